package responses

import (
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// encoder writes a conversation as a request for a response. Everything in it is
// written, dropped by a rule below, or refused.
type encoder struct {
	provider.Encoding
	issuer    string // whose sealed reasoning can be sent back
	call      provider.Call
	chat      *llm.Chat
	stateless bool            // the provider seals no reasoning, so that Reasons tells nothing of the model
	custom    map[string]bool // ids of the calls of custom tools, as they have come
	logprobs  bool            // the caller wants log probabilities
	verbosity []byte          // of chat completions; stands with the format here
}

func (p *Provider) encode(c provider.Call) (*encoder, error) {
	if c.Request.DecodeChat == nil {
		return nil, fault.New(fault.UnsupportedParameter, "This model cannot be used here.").At("model")
	}
	chat, err := c.Request.DecodeChat()
	if err == nil && p.noCustom {
		chat, err = provider.Functions(chat)
	}
	if err != nil {
		return nil, fault.From(err)
	}
	e := &encoder{issuer: p.name, call: c, chat: chat, stateless: p.stateless}
	e.Body = append(make([]byte, 0, len(c.Request.Raw.Body)+256), '{')
	e.extras()
	e.Text("model", c.Model)
	e.instructions()
	e.input()
	e.tools()
	e.text()
	e.reasoning()
	e.sampling()
	e.limit()
	e.Bool("store", false)
	if c.Request.Stream {
		e.Bool("stream", true)
	}
	if e.Err != nil {
		return nil, e.Err
	}
	e.Body = append(e.Body, '}')
	return e, nil
}

// instructions writes the leading system messages.
func (e *encoder) instructions() {
	if len(e.chat.System) == 0 {
		return
	}
	texts := make([]string, 0, len(e.chat.System))
	for i := range e.chat.System {
		p := &e.chat.System[i]
		if p.Kind != llm.PartText {
			e.Unsupported(place("system", i))
			return
		}
		e.mark(p, place("system", i))
		texts = append(texts, p.Text)
	}
	e.Text("instructions", strings.Join(texts, "\n\n"))
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
		e.Element()
		e.tool(i)
	}
	e.Close(']')
	if c.ParallelTools != nil {
		e.Bool("parallel_tool_calls", *c.ParallelTools)
	}
	if c.ToolChoice != nil {
		e.choice(c.ToolChoice)
	}
}

// choice writes which tools may be called.
func (e *encoder) choice(t *llm.ToolChoice) {
	function := func(name string) {
		e.Open('{')
		if e.chat.IsCustom(name) {
			e.Text("type", "custom")
		} else {
			e.Text("type", "function")
		}
		e.Text("name", name)
		e.Close('}')
	}
	switch {
	case t.Mode == llm.ToolNamed:
		e.Name("tool_choice")
		function(t.Name)
	case t.Allowed != nil:
		e.Name("tool_choice")
		e.Open('{')
		e.Text("type", "allowed_tools")
		e.Text("mode", string(t.Mode))
		e.Name("tools")
		e.Open('[')
		for _, n := range t.Allowed {
			e.Element()
			function(n)
		}
		e.Close(']')
		e.Close('}')
	default:
		e.Text("tool_choice", string(t.Mode))
	}
}

// noArguments is the schema of a tool without any.
const noArguments = `{"type":"object","properties":{}}`

// tool writes a definition. Whether it is strict is always said: who leaves it
// out means no in every other dialect, and yes in this one.
func (e *encoder) tool(i int) {
	t := &e.chat.Tools[i]
	e.Open('{')
	kind := "function"
	if t.Custom {
		kind = "custom"
	}
	e.Text("type", kind)
	e.Text("name", t.Name)
	if t.Description != "" {
		e.Text("description", t.Description)
	}
	switch {
	case t.Grammar != nil:
		e.Name("format")
		e.Open('{')
		e.Text("type", "grammar")
		e.Text("syntax", t.Grammar.Syntax)
		e.Text("definition", t.Grammar.Definition)
		e.Close('}')
	case t.Custom:
	case len(t.Schema) > 0:
		e.Raw("parameters", t.Schema)
	default:
		e.Raw("parameters", []byte(noArguments))
	}
	if !t.Custom {
		e.Bool("strict", t.Strict != nil && *t.Strict)
	}
	if t.Cache != nil {
		e.Drop("tools." + strconv.Itoa(i) + ".cache_control")
	}
	e.Close('}')
}

// text writes the form of the answer.
func (e *encoder) text() {
	f := e.chat.Format
	if f == nil && e.verbosity == nil {
		return
	}
	e.Name("text")
	e.Open('{')
	if f != nil {
		e.Name("format")
		e.format(f)
	}
	if e.verbosity != nil {
		e.Raw("verbosity", e.verbosity)
	}
	e.Close('}')
}

func (e *encoder) format(f *llm.Format) {
	if len(f.Schema) == 0 {
		e.Value(`{"type":"json_object"}`)
		return
	}
	e.Open('{')
	e.Text("type", "json_schema")
	name := f.Name
	if name == "" {
		name = "answer" // the protocol wants one; other callers have none
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
}

// reasoning writes how much to think, and asks for what can be sent back of it.
// A budget becomes the nearest effort, which is less exact. Who asks for thinking
// as such is shown a summary; who names an effort is not, as in chat
// completions.
func (e *encoder) reasoning() {
	switch {
	case e.call.Reasons && e.logprobs:
		e.Raw("include", []byte("["+encrypted+","+logged+"]"))
	case e.call.Reasons:
		e.Raw("include", []byte("["+encrypted+"]"))
	case e.logprobs:
		e.Raw("include", []byte("["+logged+"]"))
	}
	r := e.chat.Reasoning
	if r == nil {
		return
	}
	effort, summary := r.Effort, r.Display == "summarized"
	switch {
	case (r.Disabled || effort == "none") && !e.call.Reasons && !e.stateless:
		e.Drop(provider.Silenced(r)) // it does not think, and would refuse to be told so
		return
	case r.Disabled:
		effort, summary = "none", false
	case r.Budget > 0:
		effort = provider.EffortOf(r.Budget)
		e.Drop("thinking.budget_tokens")
		summary = r.Display != "omitted"
	case r.Adaptive:
		summary = r.Display != "omitted"
	}
	if effort == "" && !summary {
		return
	}
	e.Name("reasoning")
	e.Open('{')
	if effort != "" {
		e.Text("effort", effort)
	}
	if summary {
		e.Text("summary", "auto")
	}
	e.Close('}')
}

// sampling writes the numbers that steer the choice of tokens, of which this
// protocol knows two, and who asks.
func (e *encoder) sampling() {
	c := e.chat
	e.Float("temperature", c.Temperature)
	e.Float("top_p", c.TopP)
	switch {
	case c.TopK == nil:
	case provider.UsualTopK(e.call.Request, *c.TopK):
		e.Drop("top_k")
	default:
		e.Unsupported("top_k")
	}
	e.penalty("frequency_penalty", c.FrequencyPenalty)
	e.penalty("presence_penalty", c.PresencePenalty)
	if c.Seed != nil {
		e.Drop("seed")
	}
	if c.Choices > 1 {
		e.Refuse(fault.UnsupportedParameter, "n", "This model gives one answer at a time.")
	}
	if len(c.Stop) > 0 {
		name := "stop"
		if e.call.Request.Dialect == llm.AnthropicMessages {
			name = "stop_sequences"
		}
		e.Refuse(fault.UnsupportedParameter, name, "This model takes no stop sequences.")
	}
	if c.User != "" {
		// Whose name it is remains between the caller and us.
		e.Text("safety_identifier", provider.Pseudonym(c.User))
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

// limit writes the limit of the output. One below the least is refused: a higher
// one would be another question, and more than was held for it.
func (e *encoder) limit() {
	limit := e.call.CapOutput
	if e.chat.MaxOutput != nil {
		limit = *e.chat.MaxOutput
	} else if limit == 0 {
		return
	}
	if limit < minOutput {
		e.Refuse(fault.UnsupportedParameter, e.limitName(),
			"This model's output cannot be limited to less than %d tokens; %d is too low.", minOutput, limit)
		return
	}
	e.Int("max_output_tokens", limit)
}

// limitName is how the caller calls the limit of the output.
func (e *encoder) limitName() string {
	if e.call.Request.Raw.Value("max_completion_tokens") != nil {
		return "max_completion_tokens"
	}
	return "max_tokens"
}
