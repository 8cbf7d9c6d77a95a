package openai

import (
	"strconv"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// encoder writes a conversation as a request of chat completions. Everything in
// it is written, dropped by a rule below, or refused.
type encoder struct {
	provider.Encoding
	vendor *vendor
	call   provider.Call
	chat   *llm.Chat
	logged bool // that log probabilities are wanted is written
}

// translate returns the body for a caller of another dialect, or a
// *fault.Error naming what cannot be said.
func (p *Provider) translate(c provider.Call) ([]byte, error) {
	e, err := p.encode(c)
	if err != nil {
		return nil, err
	}
	return e.Body, nil
}

func (p *Provider) encode(c provider.Call) (*encoder, error) {
	if c.Request.DecodeChat == nil {
		return nil, fault.New(fault.UnsupportedParameter, "This model cannot be used here.").At("model")
	}
	chat, err := c.Request.DecodeChat()
	if err == nil && !p.vendor.custom {
		chat, err = provider.Functions(chat)
	}
	if err != nil {
		return nil, fault.From(err)
	}
	e := &encoder{vendor: &p.vendor, call: c, chat: chat}
	e.Body = append(make([]byte, 0, len(c.Request.Raw.Body)+256), '{')
	e.extras()
	e.Text("model", c.Model)
	e.messages()
	e.tools()
	e.format()
	e.reasoning()
	e.sampling()
	e.limits()
	e.streaming()
	if e.Err != nil {
		return nil, e.Err
	}
	e.Body = append(e.Body, '}')
	return e, nil
}

func (e *encoder) tools() {
	c := e.chat
	if len(c.Tools) == 0 {
		if t := c.ToolChoice; t != nil && (t.Mode == llm.ToolRequired || t.Mode == llm.ToolNamed) {
			e.Refuse(fault.ToolChoiceUnsupported, "tool_choice", "tool_choice asks for a tool, but there are none.")
		}
		return
	}
	e.Name("tools")
	e.Open('[')
	for i := range c.Tools {
		if e.vendor.allowed || c.Offers(c.Tools[i].Name) {
			e.Element()
			e.tool(i)
		}
	}
	e.Close(']')
	if c.ParallelTools != nil {
		e.Bool("parallel_tool_calls", *c.ParallelTools)
	}
	if t := c.ToolChoice; t != nil {
		e.choice(t)
	}
}

func (e *encoder) tool(i int) {
	t := &e.chat.Tools[i]
	path := "tools." + strconv.Itoa(i)
	e.Open('{')
	if t.Custom {
		e.custom(t)
		e.mark(t.Cache, path)
		e.Close('}')
		return
	}
	e.Text("type", "function")
	e.Name("function")
	e.Open('{')
	e.Text("name", t.Name)
	if t.Description != "" {
		e.Text("description", t.Description)
	}
	if len(t.Schema) > 0 {
		e.Raw("parameters", t.Schema)
	}
	switch {
	case t.Strict == nil:
	case e.vendor.strict:
		e.Bool("strict", *t.Strict)
	case *t.Strict:
		e.Drop(path + ".strict") // the caller checks what it gets anyhow
	}
	e.Close('}')
	e.mark(t.Cache, path)
	e.Close('}')
}

// custom writes the members of a custom tool.
func (e *encoder) custom(t *llm.Tool) {
	e.Text("type", "custom")
	e.Name("custom")
	e.Open('{')
	e.Text("name", t.Name)
	if t.Description != "" {
		e.Text("description", t.Description)
	}
	if g := t.Grammar; g != nil {
		e.Name("format")
		e.Open('{')
		e.Text("type", "grammar")
		e.Name("grammar")
		e.Open('{')
		e.Text("syntax", g.Syntax)
		e.Text("definition", g.Definition)
		e.Close('}')
		e.Close('}')
	}
	e.Close('}')
}

// named writes which tool is meant.
func (e *encoder) named(name string) {
	kind := "function"
	if e.chat.IsCustom(name) {
		kind = "custom"
	}
	e.Open('{')
	e.Text("type", kind)
	e.Name(kind)
	e.Open('{')
	e.Text("name", name)
	e.Close('}')
	e.Close('}')
}

// mark writes a cache mark where the vendor knows it. Without it an answer is
// the same, and dearer.
func (e *encoder) mark(m *llm.CacheMark, path string) {
	switch {
	case m == nil:
	case !e.vendor.cacheMark:
		e.Drop(path + ".cache_control")
	default:
		e.Name("cache_control")
		e.Open('{')
		e.Text("type", "ephemeral")
		if m.TTL == "5m" || m.TTL == "1h" {
			e.Text("ttl", m.TTL)
		}
		e.Close('}')
	}
}

func (e *encoder) choice(t *llm.ToolChoice) {
	switch {
	case t.Mode == llm.ToolNamed:
		e.Name("tool_choice")
		e.named(t.Name)
	case t.Allowed != nil && e.vendor.allowed:
		e.allowed(t)
	case t.Mode == llm.ToolRequired && e.vendor.anyTool != "":
		e.Text("tool_choice", e.vendor.anyTool)
	default:
		e.Text("tool_choice", string(t.Mode))
	}
}

// allowed writes a choice among some of the tools. All of them are defined, so that
// the provider's cache of the prompt still fits.
func (e *encoder) allowed(t *llm.ToolChoice) {
	e.Name("tool_choice")
	e.Open('{')
	e.Text("type", "allowed_tools")
	e.Name("allowed_tools")
	e.Open('{')
	e.Text("mode", string(t.Mode))
	e.Name("tools")
	e.Open('[')
	for _, n := range t.Allowed {
		e.Element()
		e.named(n)
	}
	e.Close(']')
	e.Close('}')
	e.Close('}')
}

func (e *encoder) format() {
	f := e.chat.Format
	switch {
	case f == nil:
		return
	case len(f.Schema) == 0:
		e.Name("response_format")
		e.Value(`{"type":"json_object"}`)
		return
	}
	e.Name("response_format")
	e.Open('{')
	e.Text("type", "json_schema")
	e.Name("json_schema")
	e.Open('{')
	name := f.Name
	if name == "" {
		name = "answer" // OpenAI wants one; Anthropic's callers have none
	}
	e.Text("name", name)
	if f.Description != "" {
		e.Text("description", f.Description)
	}
	e.Raw("schema", f.Schema)
	if f.Strict != nil {
		e.Bool("strict", *f.Strict)
	} else if e.call.Request.Dialect == llm.AnthropicMessages {
		e.Bool("strict", true) // Anthropic always holds to the schema
	}
	e.Close('}')
	e.Close('}')
}

// reasoning writes how much to think. A budget becomes the nearest effort, which
// is less exact; that nothing was said of it is left as it is.
func (e *encoder) reasoning() {
	r := e.chat.Reasoning
	if r == nil {
		return
	}
	if r.Display != "" {
		e.Drop("thinking.display") // thoughts come as they come
	}
	effort := r.Effort
	switch {
	case r.Disabled && e.vendor.thinking:
		e.Name("thinking")
		e.Value(`{"type":"disabled"}`)
		return
	case (r.Disabled || effort == "none") && !e.call.Reasons:
		e.Drop(provider.Silenced(r)) // it does not think, and would refuse to be told so
		return
	case r.Disabled && e.vendor.effort:
		effort = "none"
	case r.Disabled:
		e.Drop("thinking")
		return
	case r.Budget > 0:
		effort = provider.EffortOf(r.Budget)
		e.Drop("thinking.budget_tokens")
	}
	if effort != "" {
		e.Text("reasoning_effort", effort)
	}
}

// sampling writes the numbers that steer the choice of tokens, and what else
// stands beside them.
func (e *encoder) sampling() {
	c := e.chat
	e.Float("temperature", c.Temperature)
	e.Float("top_p", c.TopP)
	switch {
	case c.TopK == nil:
	case e.vendor.topK:
		e.Int("top_k", *c.TopK)
	case provider.UsualTopK(e.call.Request, *c.TopK):
		e.Drop("top_k")
	default:
		e.Unsupported("top_k")
	}
	e.Float("frequency_penalty", c.FrequencyPenalty)
	e.Float("presence_penalty", c.PresencePenalty)
	if c.Seed != nil {
		name := "seed"
		if other := e.vendor.rename[name]; other != "" {
			name = other
		}
		e.Int(name, *c.Seed)
	}
	if c.Choices > 1 {
		e.Int("n", int64(c.Choices))
	}
	if c.User != "" && !e.refuses("user") {
		// Whose name it is remains between the caller and us.
		e.Text("user", provider.Pseudonym(c.User))
	}
	e.stops()
}

func (e *encoder) stops() {
	most := e.vendor.stops()
	switch n := len(e.chat.Stop); {
	case n == 0:
		return
	case n > most:
		if e.Err == nil {
			e.Err = tooManyStops(e.stopName(), most)
		}
		return
	}
	e.Name("stop")
	e.Open('[')
	for _, s := range e.chat.Stop {
		e.Element()
		e.String(s)
	}
	e.Close(']')
}

// stopName is how the caller calls stop sequences.
func (e *encoder) stopName() string {
	if e.call.Request.Dialect == llm.AnthropicMessages {
		return "stop_sequences"
	}
	return "stop"
}

// refuses reports whether the vendor does not take the member.
func (e *encoder) refuses(name string) bool {
	for _, d := range e.vendor.drop {
		if d == name {
			return true
		}
	}
	return false
}

func (e *encoder) limits() {
	switch {
	case e.chat.MaxOutput != nil && *e.chat.MaxOutput < 1: // which fills a cache at Anthropic
		e.Refuse(fault.UnsupportedParameter, "max_tokens", "This model's output cannot be limited to less than one token.")
	case e.chat.MaxOutput != nil:
		e.Int(e.vendor.limit(), *e.chat.MaxOutput)
	case e.call.CapOutput > 0:
		e.Int(e.vendor.limit(), e.call.CapOutput)
	}
}

func (e *encoder) streaming() {
	if !e.call.Request.Stream {
		return
	}
	e.Bool("stream", true)
	if !e.vendor.noOptions {
		e.Name("stream_options")
		e.Value(`{"include_usage":true}`)
	}
}
