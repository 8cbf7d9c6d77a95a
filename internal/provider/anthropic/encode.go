package anthropic

import (
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// encoder writes a conversation as a request of messages. Everything in it is
// written, dropped by a rule below, or refused.
type encoder struct {
	provider.Encoding
	name   string // of the provider
	call   provider.Call
	chat   *llm.Chat
	limit  int64    // max_tokens
	skip   int      // cache marks to leave out before the last four
	tooled []string // names of tools that the history calls, where none are defined
	thinks bool     // thinking is asked for
	mused  bool     // the last turn of the assistant has thoughts
}

// encodeAs returns the request of the named provider for a caller of another
// dialect, or a *fault.Error naming what cannot be said.
func encodeAs(name string, c provider.Call) (*encoder, error) {
	if c.Request.DecodeChat == nil {
		return nil, fault.New(fault.UnsupportedParameter, "This model cannot be used here.").At("model")
	}
	chat, err := c.Request.DecodeChat()
	if err == nil {
		chat, err = provider.Functions(chat)
	}
	if err != nil {
		return nil, fault.From(err)
	}
	e := &encoder{name: name, call: c, chat: chat}
	e.skip = max(0, marks(chat)-maxMarks)
	e.Body = append(make([]byte, 0, len(c.Request.Raw.Body)+256), '{')
	e.Extras(chat.Extra, nil)
	e.Text("model", c.Model)
	e.limits()
	// The order is that of Anthropic's own cache: tools, system, messages.
	e.tools()
	e.system()
	e.Turns(e.turns(), e.part)
	e.reasoning()
	if c.Request.Task != llm.TaskCountTokens {
		e.sampling()
	}
	if c.Request.Stream {
		e.Bool("stream", true)
	}
	if e.Err != nil {
		return nil, e.Err
	}
	e.Body = append(e.Body, '}')
	return e, nil
}

// unknownLimit is max_tokens, which the protocol demands, where neither the
// caller nor the catalogue knows one.
const unknownLimit = 4096

// limits writes how long the answer may be: as the caller said, or as the
// balance allows, or as long as the model can.
func (e *encoder) limits() {
	switch {
	case e.chat.MaxOutput != nil:
		e.limit = *e.chat.MaxOutput
	case e.call.CapOutput > 0:
		e.limit = e.call.CapOutput
	case e.call.MaxOutput > 0:
		e.limit = e.call.MaxOutput
	default:
		e.limit = unknownLimit
	}
	if e.call.Request.Task != llm.TaskCountTokens { // which takes only what makes tokens of the prompt
		e.Int("max_tokens", e.limit)
	}
}

// maxMarks is how many cache marks a request may have.
const maxMarks = 4

// marks counts the cache marks of what goes out.
func marks(c *llm.Chat) (n int) {
	var count func(parts []llm.Part)
	count = func(parts []llm.Part) {
		for i := range parts {
			if parts[i].Cache != nil && !provider.Blank(&parts[i]) {
				n++
			}
			count(parts[i].Parts)
		}
	}
	for i := range c.Tools {
		if t := &c.Tools[i]; t.Cache != nil && c.Offers(t.Name) {
			n++
		}
	}
	count(c.System)
	for i := range c.Messages {
		count(c.Messages[i].Parts)
	}
	return n
}

// mark writes a cache mark. Of too many the last count, as they do at OpenAI.
func (e *encoder) mark(m *llm.CacheMark, path string) {
	if m == nil {
		return
	}
	if e.skip > 0 {
		e.skip--
		e.Drop(path + ".cache_control")
		return
	}
	e.Name("cache_control")
	e.Open('{')
	e.Text("type", "ephemeral")
	switch m.TTL {
	case "5m", "1h":
		e.Text("ttl", m.TTL)
	case "":
	default:
		e.Drop(path + ".cache_control.ttl")
	}
	e.Close('}')
}

// noArguments is the schema of a tool that takes none.
const noArguments = `{"type":"object","properties":{}}`

func (e *encoder) tools() {
	c := e.chat
	if len(c.Tools) == 0 {
		e.pastTools()
		return
	}
	e.Name("tools")
	e.Open('[')
	for i := range c.Tools {
		t := &c.Tools[i]
		if !c.Offers(t.Name) {
			continue
		}
		e.Element()
		e.Open('{')
		e.Text("name", t.Name)
		if t.Description != "" {
			e.Text("description", t.Description)
		}
		e.Raw("input_schema", schema(t.Schema))
		if t.Strict != nil && *t.Strict {
			e.Bool("strict", true)
		}
		e.mark(t.Cache, "tools."+num(i))
		e.Close('}')
	}
	e.Close(']')
	e.choice()
}

// schema returns the schema of arguments, which must say that it is one of an
// object.
func schema(s []byte) []byte {
	if len(s) == 0 {
		return []byte(noArguments)
	}
	raw, err := jsonx.Scan(s)
	if err != nil || raw.Value("type") != nil {
		return s
	}
	return raw.Splice(llm.Edit{Name: "type", Value: []byte(`"object"`)})
}

// pastTools defines the tools that the history calls where the request defines
// none, and forbids to call them: the protocol wants them defined.
func (e *encoder) pastTools() {
	if t := e.chat.ToolChoice; t != nil && (t.Mode == llm.ToolRequired || t.Mode == llm.ToolNamed) {
		e.Refuse(fault.ToolChoiceUnsupported, "tool_choice", "tool_choice asks for a tool, but there are none.")
	}
	seen := map[string]bool{}
	for _, m := range e.chat.Messages {
		for i := range m.Parts {
			if p := &m.Parts[i]; p.Kind == llm.PartToolCall && !seen[p.ToolName] {
				seen[p.ToolName] = true
				e.tooled = append(e.tooled, p.ToolName)
			}
		}
	}
	if len(e.tooled) == 0 {
		return
	}
	e.Name("tools")
	e.Open('[')
	for _, name := range e.tooled {
		e.Element()
		e.Open('{')
		e.Text("name", name)
		e.Raw("input_schema", []byte(noArguments))
		e.Close('}')
	}
	e.Close(']')
	e.Name("tool_choice")
	e.Value(`{"type":"none"}`)
}

// choice writes which tools may be called, and whether several at once.
func (e *encoder) choice() {
	t, alone := e.chat.ToolChoice, e.chat.ParallelTools != nil && !*e.chat.ParallelTools
	if t == nil && !alone {
		return
	}
	if t == nil {
		t = &llm.ToolChoice{Mode: llm.ToolAuto}
	}
	e.Name("tool_choice")
	e.Open('{')
	switch t.Mode {
	case llm.ToolRequired:
		e.Text("type", "any")
	case llm.ToolNamed:
		e.Text("type", "tool")
		e.Text("name", t.Name)
	case llm.ToolNone:
		e.Text("type", "none")
		alone = false
	default:
		e.Text("type", "auto")
	}
	if alone {
		e.Bool("disable_parallel_tool_use", true)
	}
	e.Close('}')
}

// budgetModels begin the names of the models that think within a budget and
// know no effort. The list is closed: all later models think adaptively.
var budgetModels = []string{
	"claude-3-7-", "claude-opus-4-0", "claude-sonnet-4-0", "claude-opus-4-2", "claude-sonnet-4-2",
	"claude-opus-4-1", "claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5",
}

// quietModels begin the names of the models that think adaptively, and as
// documented not unless thinking is switched on. Later models may think whatever
// they are asked.
var quietModels = []string{"claude-opus-4-6", "claude-sonnet-4-6", "claude-opus-4-7"}

// ThinksOnlyWhenAsked reports whether the model thinks for nobody who does not ask
// for it; see provider.Thinker.
func (p *Provider) ThinksOnlyWhenAsked(model string) bool {
	return budgetModel(model) || begins(model, quietModels)
}

// budgets are what efforts stand for; see protocols.md §3.5.
var budgets = map[string]int64{
	"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 1 << 40,
}

// minBudget is the least that a model can be given to think.
const minBudget = 1024

// reasoning writes how much to think, and the form of the answer, which stands
// beside it.
func (e *encoder) reasoning() {
	r := e.chat.Reasoning
	if r == nil {
		e.output("")
		return
	}
	if r.Disabled || r.Effort == "none" {
		e.Name("thinking")
		e.Value(`{"type":"disabled"}`)
		e.output("")
		return
	}
	if r.Effort == "" && r.Budget == 0 && !r.Adaptive {
		e.output("")
		return
	}
	effort, budget := r.Effort, r.Budget
	if budgetModel(e.call.Model) {
		if e.halted() {
			e.Drop(e.call.Named("reasoning_effort", "thinking"))
		} else {
			e.thinkingRules()
			e.budget(effort, budget)
		}
		e.output("")
		return
	}
	e.thinkingRules()
	switch {
	case budget > 0:
		effort = provider.EffortOf(budget)
		e.Drop("thinking.budget_tokens")
	case effort == "minimal":
		effort = "low"
	}
	e.Name("thinking")
	e.Open('{')
	e.Text("type", "adaptive")
	if r.Display != "" {
		e.Text("display", r.Display)
	}
	e.Close('}')
	e.output(effort)
}

// halted reports whether thinking must stop for this request: a turn of tools goes
// on of which the thoughts are not there any more, and models with a budget refuse
// to think on without them.
func (e *encoder) halted() bool { return !e.mused && provider.Unfinished(e.chat) }

func budgetModel(name string) bool { return begins(name, budgetModels) }

// tunedModels begin the names of the models of Claude that take numbers for sampling;
// later ones refuse them.
var tunedModels = append([]string{"claude-2", "claude-3-", "claude-opus-4-6", "claude-sonnet-4-6"}, budgetModels...)

func untuned(name string) bool {
	return strings.HasPrefix(name, "claude-") && !begins(name, tunedModels)
}

func begins(name string, with []string) bool {
	return slices.ContainsFunc(with, func(p string) bool { return strings.HasPrefix(name, p) })
}

// thinkingRules refuses what does not go with thinking.
func (e *encoder) thinkingRules() {
	c := e.chat
	e.thinks = true
	if c.Temperature != nil && *c.Temperature != 1 {
		e.Refuse(fault.UnsupportedParameter, "temperature", "A temperature other than 1 does not go with reasoning for this model.")
	}
	if c.TopK != nil && !provider.UsualTopK(e.call.Request, *c.TopK) {
		e.Refuse(fault.UnsupportedParameter, "top_k", "top_k does not go with reasoning for this model.")
	}
	if t := c.ToolChoice; t != nil && (t.Mode == llm.ToolRequired || t.Mode == llm.ToolNamed) {
		e.Refuse(fault.ToolChoiceUnsupported, "tool_choice", "A forced tool_choice does not go with reasoning for this model.")
	}
}

// budget writes a thinking budget, which must leave room for the answer. The
// caller's own limit is never raised for it.
func (e *encoder) budget(effort string, budget int64) {
	if budget == 0 {
		budget = budgets[effort]
	}
	if budget == 0 { // adaptive, which these models are not
		budget = budgets["medium"]
	}
	budget = max(budget, minBudget)
	if room := e.limit - minBudget; budget > room {
		if budget != budgets["max"] {
			e.Drop("reasoning_effort")
		}
		budget = max(room, min(minBudget, e.limit-1))
	}
	if budget < minBudget {
		e.Refuse(fault.UnsupportedParameter, "reasoning_effort", "Reasoning needs a limit of more than %d output tokens for this model.", minBudget)
		return
	}
	e.Name("thinking")
	e.Open('{')
	e.Text("type", "enabled")
	e.Int("budget_tokens", budget)
	e.Close('}')
}

// output writes output_config: effort and format.
func (e *encoder) output(effort string) {
	f := e.chat.Format
	if f != nil && len(f.Schema) == 0 {
		e.Unsupported("response_format")
		f = nil
	}
	if effort == "" && f == nil {
		return
	}
	e.Name("output_config")
	e.Open('{')
	if effort != "" {
		e.Text("effort", effort)
	}
	if f != nil {
		e.Name("format")
		e.Open('{')
		e.Text("type", "json_schema")
		e.Raw("schema", f.Schema)
		e.Close('}')
		if f.Strict != nil && !*f.Strict {
			e.Drop("response_format.json_schema.strict")
		}
		if f.Description != "" {
			e.Drop("response_format.json_schema.description")
		}
	}
	e.Close('}')
}

// sampling writes the numbers that steer the choice of tokens. What would change
// the answer and has no counterpart is refused.
func (e *encoder) sampling() {
	c := e.chat
	if c.Temperature != nil && *c.Temperature > 1 {
		e.Refuse(fault.UnsupportedParameter, "temperature", "This model takes a temperature of at most 1.")
	}
	temperature, topP := e.OneCut(c)
	e.Float("temperature", temperature)
	e.Float("top_p", topP)
	switch {
	case c.TopK == nil:
	case provider.UsualTopK(e.call.Request, *c.TopK) && (e.thinks || untuned(e.call.Model)):
		e.Drop("top_k")
	default:
		e.Int("top_k", *c.TopK)
	}
	if c.FrequencyPenalty != nil && *c.FrequencyPenalty != 0 {
		e.Unsupported("frequency_penalty")
	}
	if c.PresencePenalty != nil && *c.PresencePenalty != 0 {
		e.Unsupported("presence_penalty")
	}
	if c.Seed != nil {
		e.Drop("seed")
	}
	if c.Choices > 1 {
		e.Refuse(fault.UnsupportedParameter, "n", "This model gives one answer at a time.")
	}
	if len(c.Stop) > 0 {
		e.Name("stop_sequences")
		e.Open('[')
		for _, s := range c.Stop {
			if strings.TrimSpace(s) == "" {
				e.Refuse(fault.UnsupportedParameter, "stop", "This model takes no stop sequence of nothing but white space.")
			}
			e.Element()
			e.String(s)
		}
		e.Close(']')
	}
	if c.User != "" {
		e.Name("metadata")
		e.Open('{')
		e.Text("user_id", provider.Pseudonym(c.User))
		e.Close('}')
	}
}
