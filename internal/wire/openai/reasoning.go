package openai

import (
	"slices"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// wishes counts the members that say how much to think. Beside reasoning_effort
// there are reasoning, as OpenRouter has it, and thinking, as DeepSeek and others
// took it over from Anthropic.
func wishes(root jsonx.Value) (n int) {
	for _, name := range [...]string{"reasoning_effort", "reasoning", "thinking"} {
		if root.Get(name).Exists() {
			n++
		}
	}
	return n
}

// efforts are the words for how much to think.
var efforts = []string{"none", "minimal", "low", "medium", "high", "xhigh", "max"}

// reasoning takes over the member of that name, unless it says what has no field.
func (d *decoder) reasoning(v jsonx.Value) bool {
	r := llm.Reasoning{}
	effort, budget, on := v.Get("effort"), v.Get("max_tokens"), v.Get("enabled")
	tokens, _ := budget.Int()
	switch {
	case on.Kind() == jsonx.False:
		r.Disabled = true
	case effort.Exists():
		if r.Effort = effort.Text(); !slices.Contains(efforts, r.Effort) || budget.Exists() {
			return false
		}
	case tokens > 0:
		r.Budget = tokens
	case budget.Exists():
		return false
	case on.Kind() == jsonx.True:
		r.Adaptive = true
	}
	if hidden, _ := v.Get("exclude").Bool(); hidden {
		r.Display = "omitted"
	}
	if r != (llm.Reasoning{}) {
		d.Chat.Reasoning = &r
	}
	d.Extras(v, "effort", "max_tokens", "enabled", "exclude")
	return true
}

// thinking takes over the member of that name.
func (d *decoder) thinking(v jsonx.Value) bool {
	r := llm.Reasoning{}
	budget := v.Get("budget_tokens")
	tokens, _ := budget.Int()
	switch kind := v.Get("type"); {
	case kind.Is("disabled"):
		r.Disabled = true
	case !kind.Is("enabled") && !kind.Is("adaptive"), budget.Exists() && tokens < 1:
		return false
	case budget.Exists():
		r.Budget = tokens
	default:
		r.Adaptive = true
	}
	d.Chat.Reasoning = &r
	d.Extras(v, "type", "budget_tokens")
	return true
}

// thoughtNames are the members in which an assistant's message has what was thought
// before it. Some clients copy them into the part with its text.
var thoughtNames = []string{"thinking_blocks", "reasoning_content", "reasoning"}

// thoughtsOf returns what an assistant's message says was thought, and what its parts
// say of it that the message itself, or another part, does not.
func thoughtsOf(m jsonx.Value) []llm.Part {
	parts := thought(nil, m)
	var told map[string]int // where in parts
	for _, v := range m.Get("content").Items() {
		for _, p := range thought(nil, v) {
			if told == nil {
				told = make(map[string]int, len(parts)+1)
				for i := range parts {
					told[parts[i].Text+parts[i].Data] = i
				}
			}
			at, again := told[p.Text+p.Data]
			switch {
			case !again || p.Kind != parts[at].Kind || p.Signature != "" && parts[at].Signature != "" && p.Signature != parts[at].Signature:
				told[p.Text+p.Data] = len(parts)
				parts = append(parts, p)
			case p.Signature != "":
				parts[at].Signature = p.Signature
			}
		}
	}
	return parts
}

// thought appends what v, an assistant's message or a part of it, says was thought.
func thought(parts []llm.Part, v jsonx.Value) []llm.Part {
	switch blocks := v.Get("thinking_blocks"); {
	case blocks.Len() > 0:
		for _, b := range blocks.Items() {
			if b.Get("type").Is("redacted_thinking") {
				parts = append(parts, llm.Part{Kind: llm.PartRedacted, Data: b.Get("data").Text()})
			} else {
				parts = append(parts, llm.Part{Kind: llm.PartReasoning, Text: b.Get("thinking").Text(), Signature: b.Get("signature").Text()})
			}
		}
	case v.Get("reasoning_content").Kind() == jsonx.String:
		parts = append(parts, llm.Part{Kind: llm.PartReasoning, Text: v.Get("reasoning_content").Text()})
	case v.Get("reasoning").Kind() == jsonx.String:
		parts = append(parts, llm.Part{Kind: llm.PartReasoning, Text: v.Get("reasoning").Text()})
	}
	return parts
}
