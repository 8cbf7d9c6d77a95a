// Package simple is the dialect of POST /v1/chat: a message or a conversation of
// texts in, {message, choices, usage, model} out, or chunks of a chat completion
// as a stream. It is never a provider's own, so every answer is written anew.
package simple

import (
	"errors"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/completion"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// Options are the parameters of the dialect. The zero value is good.
type Options struct {
	// IgnoreUnknown lets members pass that the dialect does not know, without
	// effect. Without it they are refused.
	IgnoreUnknown bool
	Now           func() time.Time // nil: time.Now
}

// Dialect is the simple dialect.
type Dialect struct {
	ignoreUnknown bool
	now           func() time.Time
}

var _ wire.Dialect = (*Dialect)(nil)

// New returns the dialect.
func New(o Options) *Dialect {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Dialect{ignoreUnknown: o.IgnoreUnknown, now: o.Now}
}

const (
	maxModel    = 256
	maxTokens   = 1 << 40
	maxMessages = 10_000
)

// checker validates one body and fills the request on the way.
type checker struct {
	p             fields.Problems
	r             *llm.Request
	message       jsonx.Value // the member message or messages, if there is just one of them
	ignoreUnknown bool
}

// Decode makes a request of a body, as [wire.Dialect] says. null is the same as
// absent.
func (d *Dialect) Decode(body []byte, _ map[string][]string) (*llm.Request, error) {
	doc, err := fields.Parse(body)
	if err != nil {
		return nil, err
	}
	root := doc.Root()
	c := checker{
		ignoreUnknown: d.ignoreUnknown,
		r: &llm.Request{
			Task:    llm.TaskChat,
			Dialect: llm.Simple,
			Choices: 1,
			Inputs:  1,
			Raw:     doc.Members(),
		},
	}
	c.conversation(root)
	c.p.Require(root, "model")
	for name, v := range root.Members() {
		if v.Exists() && !c.p.Full() {
			c.member(name, v)
		}
	}
	if err := c.p.Err(); err != nil {
		return c.r, err // the contract may want to say something of the model, too
	}
	c.r.DecodeChat = sync.OnceValues(func() (*llm.Chat, error) { return decodeChat(root), nil })
	return c.r, nil
}

// conversation checks that there is exactly one of message and messages.
func (c *checker) conversation(root jsonx.Value) {
	one, many := root.Get("message"), root.Get("messages")
	switch {
	case one.Exists() && many.Exists():
		c.p.Invalid(one, "Cannot be combined with messages")
	case one.Exists():
		c.message = one
	case many.Exists():
		c.message = many
	default:
		c.p.Missing(root, "messages")
	}
}

// said checks the member that holds the conversation, in its turn.
func (c *checker) said(name []byte, v jsonx.Value) {
	switch {
	case v != c.message: // there are both: one bad field is enough
	case string(name) == "messages":
		c.messages(v)
	default:
		c.r.Size.Messages++
		if c.p.Text(v, 1<<31) {
			c.count(v)
		}
	}
}

func (c *checker) messages(v jsonx.Value) {
	if !c.p.Array(v, 1, maxMessages) {
		return
	}
	for _, m := range v.Items() {
		if c.p.Full() {
			return
		}
		c.r.Size.Messages++
		if m.Kind() != jsonx.Object {
			c.p.Type(m, "an object")
			continue
		}
		if role, ok := c.p.Require(m, "role"); ok {
			c.p.OneOf(role, "system", "user", "assistant")
		}
		if content, ok := c.p.Require(m, "content"); ok && c.p.String(content) {
			c.count(content)
		}
		for name, x := range m.Members() {
			if string(name) != "role" && string(name) != "content" && x.Exists() {
				c.unknown(x)
			}
		}
	}
}

// member checks one member of the body. Those from session_id on are what
// services with this surface document for functions that are not built; they
// are checked, and have no effect.
func (c *checker) member(name []byte, v jsonx.Value) {
	switch string(name) {
	case "message", "messages":
		c.said(name, v)
	case "model":
		if c.p.Text(v, maxModel) {
			c.r.Model = v.Text()
		}
	case "stream":
		c.r.Stream, _ = c.p.Bool(v)
		c.r.IncludeUsage = c.r.Stream
	case "temperature":
		if f, ok := c.p.Number(v, 0, 2); ok && f != 1 {
			c.r.Needs.Add(llm.NeedTemperature, "temperature")
		}
	case "top_p":
		c.p.Number(v, 0, 1)
	case "max_tokens":
		if n, ok := c.p.Integer(v, 1, maxTokens); ok {
			c.r.MaxOutput, c.r.HasMaxOutput = n, true
		}
	case "session_id":
		c.p.Short(v, 64)
	case "cache", "include_routing", "include_quality", "fallback_on_error":
		c.p.Bool(v)
	case "budget_cents":
		c.p.Number(v, 0, 1e6)
	case "min_quality":
		c.p.Number(v, 0, 1)
	default:
		c.unknown(v)
	}
}

func (c *checker) unknown(v jsonx.Value) {
	if !c.ignoreUnknown {
		c.p.Add(v, fault.UnknownParameter, "Unknown parameter")
	}
}

func (c *checker) count(v jsonx.Value) {
	ascii, other := jsonx.Count(v.Inner())
	c.r.Size.ASCII += ascii
	c.r.Size.Other += other
}

// decodeChat makes a conversation of a checked body.
func decodeChat(root jsonx.Value) *llm.Chat {
	c := &llm.Chat{}
	if v := root.Get("message"); v.Exists() {
		c.Messages = []llm.Message{{Role: llm.RoleUser, Parts: text(v)}}
	}
	for _, m := range root.Get("messages").Items() {
		role := llm.Role(m.Get("role").Text())
		if role == llm.RoleSystem && len(c.Messages) == 0 {
			c.System = append(c.System, text(m.Get("content"))...)
			continue
		}
		c.Messages = append(c.Messages, llm.Message{Role: role, Parts: text(m.Get("content"))})
	}
	if f, ok := root.Get("temperature").Float(); ok {
		c.Temperature = &f
	}
	if f, ok := root.Get("top_p").Float(); ok {
		c.TopP = &f
	}
	if n, ok := root.Get("max_tokens").Int(); ok {
		c.MaxOutput = &n
	}
	return c
}

func text(v jsonx.Value) []llm.Part {
	return []llm.Part{{Kind: llm.PartText, Text: v.Text()}}
}

// Encoder returns the encoder of one answer to r.
func (d *Dialect) Encoder(r *llm.Request) wire.Encoder {
	return &encoder{r: r, now: d.now}
}

// encoder writes one answer, whole or streamed.
type encoder struct {
	r    *llm.Request
	now  func() time.Time
	body []byte // whole: the answer but for its usage, kept back
	out  *completion.Stream
}

// Heartbeat appends a comment, which readers of events skip.
func (e *encoder) Heartbeat(dst []byte) []byte { return append(dst, ": keep-alive\n\n"...) }

// Event appends what one event gives.
func (e *encoder) Event(dst []byte, ev llm.Event) ([]byte, error) {
	switch {
	case !e.r.Stream:
		return dst, e.whole(ev.Whole)
	case ev.Raw != nil, ev.Whole != nil:
		return dst, errors.New("answer in bytes of another dialect")
	case ev.Ping:
		return e.Heartbeat(dst), nil
	case ev.Cut && e.out != nil:
		return e.out.Cut(dst), nil
	}
	if e.out == nil {
		e.out = completion.NewStream(e.head(), completion.UsageLast)
		e.out.SetContent()
	}
	return e.out.Deltas(dst, ev.Deltas)
}

func (e *encoder) head() completion.Head {
	return completion.Head{ID: completion.NewID(), Created: e.now().Unix(), Model: e.r.Model}
}

// whole keeps a whole answer back: a chat completion, with its first message
// again where simple readers look for it.
func (e *encoder) whole(a *llm.Answer) error {
	if a == nil {
		return nil
	}
	if len(a.Choices) == 0 {
		return errors.New("answer without choices")
	}
	for i := range a.Choices {
		a.Choices[i].Logprobs = nil // nobody can ask for them here, and their form is the provider's own
	}
	b, _, err := completion.AppendMessage([]byte(`{"message":`), a.Choices[0].Parts)
	if err != nil {
		return err
	}
	if b, err = completion.AppendWhole(append(b, ','), e.head(), a); err != nil {
		return err
	}
	e.body = append(b, '}')
	return nil
}

// Finish appends the end of the answer. The usage and what the contract adds
// stand in the last chunk, which is the one that says why the answer ended.
func (e *encoder) Finish(dst []byte, f wire.Final) ([]byte, error) {
	if e.r.Stream {
		if e.out == nil {
			return dst, errors.New("no answer")
		}
		dst, err := e.out.End(dst, f.Usage, f.Extras)
		return append(dst, "data: [DONE]\n\n"...), err
	}
	if len(e.body) == 0 {
		return dst, errors.New("no answer")
	}
	edits := append([]llm.Edit{{Name: "usage", Value: completion.AppendUsage(nil, f.Usage)}}, f.Extras...)
	if f.Model != "" && f.Model != e.r.Model {
		edits = append(edits, llm.Edit{Name: "model", Value: jsonx.AppendString(nil, f.Model)})
	}
	return wire.AppendAnswer(dst, jsonx.Splice(e.body, edits)), nil
}

// Waiting returns a comment; see [wire.Patient].
func (*Dialect) Waiting() (media, beat string) { return "", ": keep-alive\n\n" }
