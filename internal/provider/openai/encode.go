package openai

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// encoder writes a conversation as a request of chat completions. Everything in
// it is written, dropped by a rule below, or refused.
type encoder struct {
	vendor  *vendor
	call    provider.Call
	chat    *llm.Chat
	out     []byte
	comma   bool
	err     *fault.Error // the first refusal
	dropped []string     // paths of what was left out
}

// translate returns the body for a caller of another dialect, or a
// *fault.Error naming what cannot be said.
func (p *Provider) translate(c provider.Call) ([]byte, error) {
	e, err := p.encode(c)
	if err != nil {
		return nil, err
	}
	return e.out, nil
}

func (p *Provider) encode(c provider.Call) (*encoder, error) {
	if c.Request.DecodeChat == nil {
		return nil, fault.New(fault.UnsupportedParameter, "This model cannot be used here.").At("model")
	}
	chat, err := c.Request.DecodeChat()
	if err != nil {
		return nil, fault.From(err)
	}
	e := &encoder{vendor: &p.vendor, call: c, chat: chat}
	e.out = append(make([]byte, 0, len(c.Request.Raw.Body)+256), '{')
	e.extras()
	e.text("model", c.Model)
	e.messages()
	e.tools()
	e.format()
	e.reasoning()
	e.sampling()
	e.limits()
	e.streaming()
	if e.err != nil {
		return nil, e.err
	}
	e.out = append(e.out, '}')
	return e, nil
}

// refuse notes that path cannot be honoured.
func (e *encoder) refuse(code fault.Code, path, format string, args ...any) {
	if e.err == nil {
		e.err = fault.New(code, format, args...).At(path)
	}
}

func (e *encoder) unsupported(path string) {
	e.refuse(fault.UnsupportedParameter, path, "%s cannot be honoured for this model.", path)
}

// drop notes that path was left out.
func (e *encoder) drop(path string) { e.dropped = append(e.dropped, path) }

// name begins a member.
func (e *encoder) name(name string) {
	if e.comma {
		e.out = append(e.out, ',')
	}
	e.comma = true
	e.out = append(jsonx.AppendString(e.out, name), ':')
}

func (e *encoder) text(name, v string) {
	e.name(name)
	e.out = jsonx.AppendString(e.out, v)
}

func (e *encoder) raw(name string, v []byte) {
	e.name(name)
	e.out = append(e.out, v...)
}

func (e *encoder) int(name string, v int64) {
	e.name(name)
	e.out = strconv.AppendInt(e.out, v, 10)
}

func (e *encoder) float(name string, v *float64) {
	if v != nil {
		e.name(name)
		e.out = strconv.AppendFloat(e.out, *v, 'g', -1, 64)
	}
}

func (e *encoder) bool(name string, v bool) {
	e.name(name)
	e.out = strconv.AppendBool(e.out, v)
}

// open and close stand around an object or array.
func (e *encoder) open(c byte) {
	e.out = append(e.out, c)
	e.comma = false
}

func (e *encoder) close(c byte) {
	e.out = append(e.out, c)
	e.comma = true
}

// element begins an element of an array.
func (e *encoder) element() {
	if e.comma {
		e.out = append(e.out, ',')
	}
	e.comma = false
}

func (e *encoder) tools() {
	c := e.chat
	if len(c.Tools) == 0 {
		if t := c.ToolChoice; t != nil && (t.Mode == llm.ToolRequired || t.Mode == llm.ToolNamed) {
			e.refuse(fault.ToolChoiceUnsupported, "tool_choice", "tool_choice asks for a tool, but there are none.")
		}
		return
	}
	e.name("tools")
	e.open('[')
	for i := range c.Tools {
		e.element()
		e.tool(i)
	}
	e.close(']')
	if c.ParallelTools != nil {
		e.bool("parallel_tool_calls", *c.ParallelTools)
	}
	if t := c.ToolChoice; t != nil {
		e.choice(t)
	}
}

func (e *encoder) tool(i int) {
	t := &e.chat.Tools[i]
	path := "tools." + strconv.Itoa(i)
	e.open('{')
	e.text("type", "function")
	e.name("function")
	e.open('{')
	e.text("name", t.Name)
	if t.Description != "" {
		e.text("description", t.Description)
	}
	if len(t.Schema) > 0 {
		e.raw("parameters", t.Schema)
	}
	switch {
	case t.Strict == nil:
	case e.vendor.strict:
		e.bool("strict", *t.Strict)
	case *t.Strict:
		e.drop(path + ".strict") // the caller checks what it gets anyhow
	}
	e.close('}')
	e.mark(t.Cache, path)
	e.close('}')
}

// mark writes a cache mark where the vendor knows it. Without it an answer is
// the same, and dearer.
func (e *encoder) mark(m *llm.CacheMark, path string) {
	switch {
	case m == nil:
	case !e.vendor.cacheMark:
		e.drop(path + ".cache_control")
	default:
		e.name("cache_control")
		e.open('{')
		e.text("type", "ephemeral")
		if m.TTL == "5m" || m.TTL == "1h" {
			e.text("ttl", m.TTL)
		}
		e.close('}')
	}
}

func (e *encoder) choice(t *llm.ToolChoice) {
	switch {
	case t.Mode == llm.ToolNamed:
		e.name("tool_choice")
		e.open('{')
		e.text("type", "function")
		e.name("function")
		e.open('{')
		e.text("name", t.Name)
		e.close('}')
		e.close('}')
	case t.Mode == llm.ToolRequired && e.vendor.anyTool != "":
		e.text("tool_choice", e.vendor.anyTool)
	default:
		e.text("tool_choice", string(t.Mode))
	}
}

func (e *encoder) format() {
	f := e.chat.Format
	switch {
	case f == nil:
		return
	case len(f.Schema) == 0:
		e.name("response_format")
		e.out = append(e.out, `{"type":"json_object"}`...)
		return
	}
	e.name("response_format")
	e.open('{')
	e.text("type", "json_schema")
	e.name("json_schema")
	e.open('{')
	name := f.Name
	if name == "" {
		name = "answer" // OpenAI wants one; Anthropic's callers have none
	}
	e.text("name", name)
	if f.Description != "" {
		e.text("description", f.Description)
	}
	e.raw("schema", f.Schema)
	if f.Strict != nil {
		e.bool("strict", *f.Strict)
	} else if e.call.Request.Dialect == llm.AnthropicMessages {
		e.bool("strict", true) // Anthropic always holds to the schema
	}
	e.close('}')
	e.close('}')
}

// reasoning writes how much to think. A budget becomes the nearest effort, which
// is less exact; that nothing was said of it is left as it is.
func (e *encoder) reasoning() {
	r := e.chat.Reasoning
	if r == nil {
		return
	}
	effort := r.Effort
	switch {
	case r.Disabled && e.vendor.thinking:
		e.name("thinking")
		e.out = append(e.out, `{"type":"disabled"}`...)
		return
	case r.Disabled && e.vendor.effort:
		effort = "none"
	case r.Disabled:
		e.drop("thinking")
		return
	case r.Budget > 0:
		effort = effortOf(r.Budget)
		e.drop("thinking.budget_tokens")
	}
	if effort != "" {
		e.text("reasoning_effort", effort)
	}
}

// effortOf maps a thinking budget in tokens to the effort it stands for; see
// protocols.md §3.5.
func effortOf(budget int64) string {
	switch {
	case budget <= 2048:
		return "low"
	case budget <= 8192:
		return "medium"
	}
	return "high"
}

// sampling writes the numbers that steer the choice of tokens, and what else
// stands beside them.
func (e *encoder) sampling() {
	c := e.chat
	e.float("temperature", c.Temperature)
	e.float("top_p", c.TopP)
	switch {
	case c.TopK == nil:
	case e.vendor.topK:
		e.int("top_k", *c.TopK)
	default:
		e.unsupported("top_k")
	}
	e.float("frequency_penalty", c.FrequencyPenalty)
	e.float("presence_penalty", c.PresencePenalty)
	if c.Seed != nil {
		name := "seed"
		if other := e.vendor.rename[name]; other != "" {
			name = other
		}
		e.int(name, *c.Seed)
	}
	if c.Choices > 1 {
		e.int("n", int64(c.Choices))
	}
	if c.User != "" && !e.refuses("user") {
		// Whose name it is remains between the caller and us.
		sum := sha256.Sum256([]byte(c.User))
		e.text("user", hex.EncodeToString(sum[:16]))
	}
	e.stops()
}

func (e *encoder) stops() {
	most := max(e.vendor.oldStop, 4)
	switch n := len(e.chat.Stop); {
	case n == 0:
		return
	case n > most:
		e.refuse(fault.UnsupportedParameter, e.stopName(), "This model takes at most %d stop sequences.", most)
		return
	}
	e.name("stop")
	e.open('[')
	for _, s := range e.chat.Stop {
		e.element()
		e.out = jsonx.AppendString(e.out, s)
		e.comma = true
	}
	e.close(']')
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
	case e.chat.MaxOutput != nil:
		e.int(e.vendor.limit(), *e.chat.MaxOutput)
	case e.call.CapOutput > 0:
		e.int(e.vendor.limit(), e.call.CapOutput)
	}
}

func (e *encoder) streaming() {
	if !e.call.Request.Stream {
		return
	}
	e.bool("stream", true)
	if !e.vendor.noOptions {
		e.name("stream_options")
		e.out = append(e.out, `{"include_usage":true}`...)
	}
}
