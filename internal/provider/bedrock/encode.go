package bedrock

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// encoder writes a conversation as a request of Converse. Everything in it is
// written, dropped by a rule below, or refused.
type encoder struct {
	provider.Encoding
	issuer string // whose sealed reasoning can be sent back
	call   provider.Call
	chat   *llm.Chat
	traits traits
	limit  int64           // of the output; 0: none is set
	skip   int             // cache marks to leave out before the last four
	names  map[string]bool // of documents, which must differ
	mused  bool            // the last turn of the assistant has thoughts
}

// reasoningState is how it is told that reasoning was left out which another
// provider had sealed.
const reasoningState = "reasoning_state"

// encode returns the request, or a *fault.Error naming what cannot be said.
func (p *Provider) encode(c provider.Call, t traits) (*encoder, error) {
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
	e := &encoder{issuer: p.o.Name, call: c, chat: chat, traits: t, names: map[string]bool{}}
	e.skip = max(0, marks(chat)-maxMarks)
	e.Body = append(make([]byte, 0, len(c.Request.Raw.Body)+256), '{')
	e.Extras(chat.Extra, nil)
	// The order is that of the cache: tools, system, messages.
	e.tools()
	e.system()
	turns := e.turns()
	e.Turns(turns, e.part)
	e.documents(turns)
	e.inference()
	e.own()
	e.output()
	if chat.User != "" {
		e.Name("requestMetadata")
		e.Open('{')
		e.Text("user_id", provider.Pseudonym(chat.User))
		e.Close('}')
	}
	if e.Err != nil {
		return nil, e.Err
	}
	e.Body = append(e.Body, '}')
	return e, nil
}

// maxMarks is how many cache marks a request may have.
const maxMarks = 4

// marks counts the cache marks of what goes out.
func marks(c *llm.Chat) (n int) {
	count := func(parts []llm.Part) {
		for i := range parts {
			if parts[i].Cache != nil && !provider.Blank(&parts[i]) {
				n++
			}
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

// mark writes a cache mark, which is an element after what it marks. Of too many
// the last count.
func (e *encoder) mark(m *llm.CacheMark, path string) {
	if m == nil {
		return
	}
	if e.skip > 0 || !e.traits.caches && !e.traits.open {
		e.skip = max(0, e.skip-1)
		e.Drop(path + ".cache_control")
		return
	}
	e.Element()
	e.Open('{')
	e.Name("cachePoint")
	e.Open('{')
	e.Text("type", "default")
	switch m.TTL {
	case "", "5m": // the default, which old models do not know by name
	case "1h":
		e.Text("ttl", m.TTL)
	default:
		e.Drop(path + ".cache_control.ttl")
	}
	e.Close('}')
	e.Close('}')
}

// noArguments is the schema of a tool that takes none.
const noArguments = `{"type":"object","properties":{}}`

// tools writes the tools. There is no way to forbid their use but to leave them
// out, and no way to leave them out where the history has calls of them.
func (e *encoder) tools() {
	c, past := e.chat, e.history()
	mode := llm.ToolAuto
	if c.ToolChoice != nil {
		mode = c.ToolChoice.Mode
	}
	switch {
	case len(c.Tools) == 0 && (mode == llm.ToolRequired || mode == llm.ToolNamed):
		e.Refuse(fault.ToolChoiceUnsupported, "tool_choice", "tool_choice asks for a tool, but there are none.")
		return
	case past && mode == llm.ToolNone:
		e.Refuse(fault.ToolChoiceUnsupported, "tool_choice", "This model cannot be kept from calling tools once the conversation has calls of them.")
		return
	case past && len(c.Tools) == 0:
		e.Refuse(fault.UnsupportedParameter, "tools", "This model needs the definitions of the tools that the conversation has calls of.")
		return
	case len(c.Tools) == 0 || mode == llm.ToolNone:
		return
	}
	e.Name("toolConfig")
	e.Open('{')
	e.Name("tools")
	e.Open('[')
	for i := range c.Tools {
		if c.Offers(c.Tools[i].Name) {
			e.tool("tools."+strconv.Itoa(i), &c.Tools[i])
		}
	}
	e.Close(']')
	if !e.alone() || !e.claude() { // else it stands with what else is Anthropic's
		e.choice(c.ToolChoice)
	}
	e.Close('}')
}

// history reports whether the conversation has calls of tools or their results.
func (e *encoder) history() bool {
	for i := range e.chat.Messages {
		for j := range e.chat.Messages[i].Parts {
			if k := e.chat.Messages[i].Parts[j].Kind; k == llm.PartToolCall || k == llm.PartToolResult {
				return true
			}
		}
	}
	return false
}

func (e *encoder) tool(path string, t *llm.Tool) {
	if t.Name == "" || len(t.Name) > 64 || strings.ContainsFunc(t.Name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}) {
		e.Unsupported(path + e.call.Named(".function.name", ".name"))
	}
	e.Element()
	e.Open('{')
	e.Name("toolSpec")
	e.Open('{')
	e.Text("name", t.Name)
	if t.Description != "" {
		e.Text("description", t.Description)
	}
	e.Name("inputSchema")
	e.Open('{')
	e.Raw("json", schema(t.Schema))
	e.Close('}')
	if t.Strict != nil && *t.Strict {
		e.Bool("strict", true)
	}
	e.Close('}')
	e.Close('}')
	e.mark(t.Cache, path)
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

// choice writes which tools may be called.
func (e *encoder) choice(t *llm.ToolChoice) {
	if t == nil {
		return
	}
	e.Name("toolChoice")
	switch t.Mode {
	case llm.ToolRequired:
		e.Value(`{"any":{}}`)
	case llm.ToolNamed:
		e.Open('{')
		e.Name("tool")
		e.Open('{')
		e.Text("name", t.Name)
		e.Close('}')
		e.Close('}')
	default:
		e.Value(`{"auto":{}}`)
	}
}

// claude reports whether the model is one of Anthropic's, or may be.
func (e *encoder) claude() bool { return e.traits.claude != "" || e.traits.open }

// alone reports whether tools may be called, but only one at a time, which only
// Anthropic's models can be told.
func (e *encoder) alone() bool {
	p, t := e.chat.ParallelTools, e.chat.ToolChoice
	return p != nil && !*p && len(e.chat.Tools) > 0 && (t == nil || t.Mode != llm.ToolNone)
}

// inference writes the numbers that steer the choice of tokens. What would change
// the answer and has no counterpart is refused.
func (e *encoder) inference() {
	c := e.chat
	e.numbers()
	stops := c.Stop
	e.limit = e.call.CapOutput
	if c.MaxOutput != nil {
		if e.limit = *c.MaxOutput; e.limit < 1 {
			name := "max_tokens"
			if e.call.Request.Raw.Value("max_completion_tokens") != nil {
				name = "max_completion_tokens"
			}
			e.Refuse(fault.UnsupportedParameter, name, "This model's output cannot be limited to less than one token.")
		}
	}
	if e.limit == 0 && c.Temperature == nil && c.TopP == nil && len(stops) == 0 {
		return
	}
	e.Name("inferenceConfig")
	e.Open('{')
	if e.limit > 0 {
		e.Int("maxTokens", e.limit)
	}
	temperature, topP := c.Temperature, c.TopP
	if e.traits.claude != "" {
		temperature, topP = e.OneCut(c)
	}
	e.Float("temperature", temperature)
	e.Float("topP", topP)
	if len(stops) > 0 {
		e.Name("stopSequences")
		e.Open('[')
		for _, s := range stops {
			if strings.TrimSpace(s) == "" {
				e.Refuse(fault.UnsupportedParameter, e.call.Named("stop", "stop_sequences"), "This model takes no stop sequence of nothing but white space.")
			}
			e.Element()
			e.String(s)
		}
		e.Close(']')
	}
	e.Close('}')
}

// numbers refuses and drops what has no counterpart.
func (e *encoder) numbers() {
	c := e.chat
	if c.Temperature != nil && *c.Temperature > 1 {
		e.Refuse(fault.UnsupportedParameter, "temperature", "This model takes a temperature of at most 1.")
	}
	e.penalty("frequency_penalty", c.FrequencyPenalty)
	e.penalty("presence_penalty", c.PresencePenalty)
	if c.Seed != nil {
		e.Drop("seed")
	}
	if c.Choices > 1 {
		e.Refuse(fault.UnsupportedParameter, "n", "This model gives one answer at a time.")
	}
}

// penalty refuses a penalty; none is what holds without it.
func (e *encoder) penalty(name string, v *float64) {
	switch {
	case v == nil:
	case *v == 0:
		e.Drop(name)
	default:
		e.Unsupported(name)
	}
}

// output writes the form of the answer, and how hard to think about it.
func (e *encoder) output() {
	f, effort := e.chat.Format, e.effort()
	if f == nil && effort == "" {
		return
	}
	if f != nil && len(f.Schema) == 0 {
		e.Refuse(fault.UnsupportedParameter, "response_format", "This model answers in JSON only by a schema.")
		return
	}
	e.Name("outputConfig")
	e.Open('{')
	if effort != "" {
		e.Text("effort", effort)
	}
	if f != nil {
		e.format(f)
	}
	e.Close('}')
}

// format writes a schema, which the protocol wants as a text.
func (e *encoder) format(f *llm.Format) {
	e.Name("textFormat")
	e.Open('{')
	e.Text("type", "json_schema")
	e.Name("structure")
	e.Open('{')
	e.Name("jsonSchema")
	e.Open('{')
	e.Text("schema", string(f.Schema))
	if f.Name != "" {
		e.Text("name", f.Name)
	}
	if f.Description != "" {
		e.Text("description", f.Description)
	}
	e.Close('}')
	e.Close('}')
	e.Close('}')
	if f.Strict != nil && !*f.Strict {
		e.Drop("response_format.json_schema.strict")
	}
}

// own writes what only the models of one company know: Anthropic's.
func (e *encoder) own() {
	thinking := e.thinking()
	flags := e.flags()
	top := e.chat.TopK
	if top != nil && provider.UsualTopK(e.call.Request, *top) && (thinking != "" || !e.traits.tuned()) {
		e.Drop("top_k")
		top = nil
	}
	alone := e.alone()
	if thinking == "" && flags == nil && top == nil && !alone {
		return
	}
	if !e.claude() {
		if top != nil {
			e.Unsupported("top_k")
		}
		if alone {
			e.OneCall(e.call, e.chat)
		}
		return
	}
	e.Name("additionalModelRequestFields")
	e.Open('{')
	if top != nil {
		e.Int("top_k", *top)
	}
	if alone {
		e.one()
	}
	if thinking != "" {
		e.Raw("thinking", []byte(thinking))
	}
	if flags != nil {
		e.Name("anthropic_beta")
		e.Open('[')
		for _, f := range flags {
			e.Element()
			e.String(f)
		}
		e.Close(']')
	}
	e.Close('}')
}

// one writes the choice of tools with at most one call at a time.
func (e *encoder) one() {
	e.Name("tool_choice")
	e.Open('{')
	t := e.chat.ToolChoice
	switch {
	case t != nil && t.Mode == llm.ToolRequired:
		e.Text("type", "any")
	case t != nil && t.Mode == llm.ToolNamed:
		e.Text("type", "tool")
		e.Text("name", t.Name)
	default:
		e.Text("type", "auto")
	}
	e.Bool("disable_parallel_tool_use", true)
	e.Close('}')
}

// flags returns the beta flags that are sent along. The others are refused by
// Bedrock, and are left out.
func (e *encoder) flags() (out []string) {
	if e.call.Request.Dialect != llm.AnthropicMessages {
		return nil
	}
	for _, line := range e.call.Request.Headers["Anthropic-Beta"] {
		for flag := range strings.SplitSeq(line, ",") {
			switch flag = strings.TrimSpace(flag); {
			case flag == "" || slices.Contains(out, flag):
			case slices.Contains(betas, flag) && e.traits.claude != "":
				out = append(out, flag)
			case !slices.Contains(e.Dropped, "anthropic-beta"):
				e.Drop("anthropic-beta")
			}
		}
	}
	return out
}
