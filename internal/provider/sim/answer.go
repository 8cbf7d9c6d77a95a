package sim

import (
	"bytes"
	"encoding/base64"
	"sort"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/pontage/pontage/internal/llm"
)

// answer is what the simulated provider has to say, in no family's format.
type answer struct {
	family  family
	id      string // hexadecimal
	model   string
	created int64
	choices []choice
	usage   usage

	noUsage bool // never reported
	absurd  bool // reported as nonsense
	noDone  bool // the stream's terminal marker is left out
	inUsage bool // OpenAI: the stream ends with a usage chunk
	sealed  bool // Responses: reasoning comes in a form that can be sent back
	echo    []string
}

// choice is one of the alternatives.
type choice struct {
	parts  []part
	finish llm.Finish
	stopAt string // the stop sequence that ended it
}

type partKind uint8

const (
	partText partKind = iota
	partReasoning
	partTool
)

// part is a piece of a choice: a text, reasoning, or a tool call whose
// arguments are text.
type part struct {
	kind   partKind
	text   string
	id     string // of a tool call
	name   string
	space  string // namespace of a tool; empty: none
	custom bool
	seal   string // Anthropic's signature of reasoning
	chunks int    // events to stream it in; 0: one a word
}

// The default text has from minWords to minWords+moreWords-1 pieces.
const (
	minWords  = 24
	moreWords = 24
)

// answer makes the answer to a, as st says. st may be the zero Step.
func (s *Sim) answer(a *ask, st *Step) *answer {
	out := &answer{
		family: a.family, id: a.id, model: a.model, created: s.now().Unix(),
		usage: a.input, inUsage: a.includeUsage, sealed: a.sealed, echo: a.echo, choices: make([]choice, a.choices),
	}
	scripted := st.Text != nil || st.Reasoning != "" || len(st.ToolCalls) > 0
	for i := range out.choices {
		var c choice
		var output, reasoning int64
		switch {
		case st.Fault == "empty":
			c.finish = llm.FinishStop
		case scripted:
			c, output, reasoning = s.scripted(a, st, i)
		default:
			c, output, reasoning = s.made(a, st, i)
		}
		if st.Finish != "" {
			c.finish = llm.Finish(st.Finish)
		}
		out.choices[i] = c
		out.usage.output += output
		out.usage.reasoning += reasoning
	}
	if n := int64(a.choices); n > 0 { // those that nobody sees are as long
		out.usage.output += out.usage.output / n * int64(a.unseen)
	}
	if st.Usage != nil {
		out.usage = st.Usage.over(out.usage)
	}
	switch st.Fault {
	case "wrong_usage":
		out.absurd = true
		out.usage.output = absurdTokens
	case "no_usage":
		out.noUsage = true
	case "no_done":
		out.noDone = true
	case "no_choices":
		out.choices = nil
	}
	return out
}

// over puts the scripted numbers over u.
func (n *Usage) over(u usage) usage {
	set := func(dst *int64, p *int64) {
		if p != nil {
			*dst = *p
		}
	}
	input := u.input()
	set(&input, n.Input)
	set(&u.read, n.CachedInput)
	set(&u.write, n.CacheWrite)
	set(&u.write1h, n.CacheWrite1h)
	set(&u.output, n.Output)
	set(&u.reasoning, n.Reasoning)
	u.uncached = input - u.read - u.write - u.write1h
	return u
}

// scripted makes the choice that a step spells out. Its tokens are counted, its
// length is not limited.
func (s *Sim) scripted(a *ask, st *Step, i int) (c choice, output, reasoning int64) {
	c.finish = llm.FinishStop
	if st.Reasoning != "" {
		c.parts = append(c.parts, part{kind: partReasoning, text: st.Reasoning, seal: signature(a.seed), chunks: st.Chunks})
		reasoning = s.count(st.Reasoning)
	}
	if st.Text != nil && *st.Text != "" {
		c.parts = append(c.parts, part{text: *st.Text, chunks: st.Chunks})
		output += s.count(*st.Text)
	}
	for k, t := range st.ToolCalls {
		args := "{}"
		if t.Arguments != nil {
			args = literal(t.Arguments)
		}
		id := t.ID
		if id == "" {
			id = callID(a, i, k)
		}
		c.parts = append(c.parts, part{kind: partTool, id: id, name: t.Name, text: args, chunks: st.Chunks})
		output += s.count(t.Name) + s.count(args)
		c.finish = llm.FinishToolCalls
	}
	return c, output + reasoning, reasoning
}

// made makes the default choice number i.
func (s *Sim) made(a *ask, st *Step, i int) (c choice, output, reasoning int64) {
	r := rng{state: a.seed + uint64(i)}
	limit := a.maxOutput // left for what is seen; -1: no limit
	if limit == 0 {
		return choice{finish: llm.FinishLength}, 0, 0
	}
	if a.thinking != "" {
		words := 8 + int64(r.below(8))
		if a.budget > 0 {
			words = min(words, a.budget)
		}
		if limit > 0 {
			words = min(words, limit/2)
		}
		text := generate(&r, "", int(words))
		p := part{kind: partReasoning, text: text, seal: signature(r.next())}
		if a.thinking == "omitted" {
			p.text = ""
		}
		c.parts, reasoning = append(c.parts, p), words
	} else if a.effort > 0 {
		reasoning = a.effort
		if limit > 0 {
			reasoning = min(reasoning, limit/2)
		}
	}
	if limit > 0 {
		limit -= reasoning
	}
	output = s.speak(a, st, &r, &c, limit, i)
	s.stopEarly(a, &c, &output)
	return c, output + reasoning, reasoning
}

// speak adds what is seen of a choice: tool calls, JSON or plain text, of at
// most limit tokens (-1: any number). It returns the tokens.
func (s *Sim) speak(a *ask, st *Step, r *rng, c *choice, limit int64, i int) int64 {
	c.finish = llm.FinishStop
	if calls := a.calls(); len(calls) > 0 {
		return s.call(a, calls, c, limit, i)
	}
	if a.json {
		text := `{"simulated":true,"answer":"` + greeting + `"}`
		if a.schema != nil {
			text = string(instance(a.schema))
		}
		text, used, cut := s.cut(text, limit)
		c.parts = append(c.parts, part{text: text})
		if cut {
			c.finish = llm.FinishLength
		}
		return used
	}
	n := minWords + r.below(moreWords)
	if events := st.Events; events > 0 {
		n = events
	} else if s.events > 0 {
		n = s.events
	}
	if limit >= 0 && int64(n) > limit {
		n, c.finish = int(limit), llm.FinishLength
	}
	c.parts = append(c.parts, part{text: generate(r, a.intro(), n)})
	return int64(n)
}

// intro is how a default text begins.
func (a *ask) intro() string {
	b := greeting
	if a.images > 0 {
		b += " There" + plural(a.images, " is", " are") + numbers[min(a.images, len(numbers)-1)] + plural(a.images, " image", " images") + "."
	}
	if a.afterTool {
		b += " The tool gave an answer."
	}
	return b
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// call adds calls of tools. The last one is cut where the limit is reached.
func (s *Sim) call(a *ask, calls []tool, c *choice, limit int64, i int) (used int64) {
	c.finish = llm.FinishToolCalls
	for k, t := range calls {
		args := "simulated"
		if !t.custom {
			args = string(instance(t.schema))
		}
		used += s.count(t.name)
		left := int64(-1)
		if limit >= 0 {
			left = max(limit-used, 0)
		}
		text, n, cut := s.cut(args, left)
		used += n
		c.parts = append(c.parts, part{kind: partTool, id: callID(a, i, k), name: t.name, space: t.space, text: text, custom: t.custom})
		if cut {
			c.finish = llm.FinishLength
			return min(used, limit)
		}
	}
	return used
}

// cut shortens text to at most limit tokens (-1: any number) and returns what
// is left, its tokens, and whether it was shortened.
func (s *Sim) cut(text string, limit int64) (string, int64, bool) {
	n := s.count(text)
	if limit < 0 || n <= limit {
		return text, n, false
	}
	// The count grows with the length, nearly: search, then step back.
	end := sort.Search(len(text), func(i int) bool { return s.count(strings.ToValidUTF8(text[:i], "")) > limit })
	for end > 0 {
		end--
		short := strings.ToValidUTF8(text[:end], "")
		if n := s.count(short); n <= limit {
			return short, n, true
		}
	}
	return "", 0, true
}

// stopEarly ends the text at the first stop sequence in it.
func (s *Sim) stopEarly(a *ask, c *choice, output *int64) {
	for i, p := range c.parts {
		if p.kind != partText {
			continue
		}
		at, found := -1, ""
		for _, stop := range a.stop {
			if k := strings.Index(p.text, stop); stop != "" && k >= 0 && (at < 0 || k < at) {
				at, found = k, stop
			}
		}
		if at < 0 {
			continue
		}
		c.parts[i].text = p.text[:at]
		*output = s.count(c.parts[i].text)
		c.finish, c.stopAt = llm.FinishStopSequence, found
	}
	// A choice of no text at all has no text part.
	kept := c.parts[:0]
	for _, p := range c.parts {
		if p.kind != partText || p.text != "" {
			kept = append(kept, p)
		}
	}
	c.parts = kept
}

// callID makes up the id of call number k of choice number i.
func callID(a *ask, i, k int) string {
	h := hash(hash(hashStart, a.id), string(appendInt(appendInt(nil, int64(i)), int64(k))))
	if a.family == familyAnthropic {
		return "toolu_sim" + hexID(h)
	}
	return "call_sim" + hexID(h)
}

// signature makes up what seals a block of thinking.
func signature(seed uint64) string {
	r := rng{state: seed}
	var b [48]byte
	for i := range b {
		b[i] = byte(r.next())
	}
	return base64.StdEncoding.EncodeToString(b[:])
}

// openaiFinish and anthropicFinish give each family's word for a finish.
var (
	openaiFinish = map[string]string{
		string(llm.FinishStop):          "stop",
		string(llm.FinishStopSequence):  "stop",
		string(llm.FinishLength):        "length",
		string(llm.FinishContextWindow): "length",
		string(llm.FinishToolCalls):     "tool_calls",
		string(llm.FinishContentFilter): "content_filter",
		string(llm.FinishPause):         "stop",
	}
	anthropicFinish = map[string]string{
		string(llm.FinishStop):          "end_turn",
		string(llm.FinishStopSequence):  "stop_sequence",
		string(llm.FinishLength):        "max_tokens",
		string(llm.FinishContextWindow): "model_context_window_exceeded",
		string(llm.FinishToolCalls):     "tool_use",
		string(llm.FinishContentFilter): "refusal",
		string(llm.FinishPause):         "pause_turn",
	}
)

// arguments returns a tool call's arguments as a JSON object, as Anthropic
// sends them in an answer that is not streamed. Arguments that are not whole
// are lost.
func (p part) arguments() jsontext.Value {
	v := jsontext.Value(bytes.Clone([]byte(p.text)))
	if v.IsValid() && v.Kind() == '{' {
		return v
	}
	return jsontext.Value("{}")
}
