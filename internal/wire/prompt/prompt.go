// Package prompt is the dialect of POST /v1/models/{model}/inference: one prompt
// in, {text, tokens, model, latency, metadata, usage} out, never as a stream; and
// of batches of such prompts. It is never a provider's own, so every answer is
// written anew.
package prompt

import (
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// DefaultOutput is how many tokens an answer may have where the request sets no
// limit and the model can give as many: the surface documents it.
const DefaultOutput = 1024

const (
	maxModel  = 256
	maxPrompt = 1 << 31
	maxTokens = 1 << 40
)

// Options are the parameters of the dialect. The zero value is good.
type Options struct {
	Now func() time.Time // nil: time.Now
}

// Dialect is the prompt dialect. null is the same as absent. Members that it
// does not know are refused; stream is one of them.
type Dialect struct {
	now func() time.Time
}

var (
	_ wire.Dialect     = (*Dialect)(nil)
	_ wire.ModelInPath = (*Dialect)(nil)
)

// New returns the dialect.
func New(o Options) *Dialect {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Dialect{now: o.Now}
}

// Decode refuses the body for want of a model, which this dialect has in the
// path; see [Dialect.DecodeFor].
func (d *Dialect) Decode(body []byte, headers map[string][]string) (*llm.Request, error) {
	return d.DecodeFor("", body, headers)
}

// DecodeFor makes a request to the named model of a body, as
// [wire.Dialect.Decode] does.
func (d *Dialect) DecodeFor(model string, body []byte, _ map[string][]string) (*llm.Request, error) {
	r := &llm.Request{
		Task:    llm.TaskChat,
		Dialect: llm.Prompt,
		Choices: 1,
		Inputs:  1,
		Decoded: d.now(),
	}
	doc, err := fields.Parse(body)
	if err != nil {
		return nil, err
	}
	r.Raw = doc.Members()
	root := doc.Root()
	var p fields.Problems
	switch {
	case model == "":
		p.Missing(root, "model")
	case utf8.RuneCountInString(model) > maxModel:
		p.AddBelow(root, "model", fault.InvalidParameter, "Must have at most "+strconv.Itoa(maxModel)+" characters")
	default:
		r.Model = model
	}
	s := check(&p, root, false)
	if err := p.Err(); err != nil {
		return r, err // the contract may want to say something of the model, too
	}
	if s.maxOutput != nil {
		r.MaxOutput, r.HasMaxOutput = *s.maxOutput, true
	} else {
		r.UsualOutput = DefaultOutput
	}
	if s.temperature != nil && *s.temperature != 1 {
		r.Needs.Add(llm.NeedTemperature, "temperature")
	}
	r.Size.Messages = 1
	r.Size.ASCII, r.Size.Other = jsonx.Count(s.prompt.Inner())
	r.DecodeChat = sync.OnceValues(func() (*llm.Chat, error) { return s.chat(), nil })
	return r, nil
}

// settings are what a prompt and its companions say.
type settings struct {
	prompt      jsonx.Value
	temperature *float64
	topP        *float64
	topK        *int64
	maxOutput   *int64
}

// chat makes a conversation of one message. metadata stays with the gateway.
func (s *settings) chat() *llm.Chat {
	return &llm.Chat{
		Messages:    []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: s.prompt.Text()}}}},
		MaxOutput:   s.maxOutput,
		Temperature: s.temperature,
		TopP:        s.topP,
		TopK:        s.topK,
	}
}

// check checks the members of o, which is the body of a request or, inBatch, one
// request of a batch, and reads them. A request of a batch may have an id, which
// is for its batch to check.
func check(p *fields.Problems, o jsonx.Value, inBatch bool) settings {
	var s settings
	p.Require(o, "prompt")
	for name, v := range o.Members() {
		if p.Full() {
			break
		}
		if v.Exists() && !(inBatch && string(name) == "id") {
			s.member(p, string(name), v)
		}
	}
	return s
}

func (s *settings) member(p *fields.Problems, name string, v jsonx.Value) {
	switch name {
	case "prompt":
		p.Text(v, maxPrompt)
		s.prompt = v
	case "temperature":
		if f, ok := p.Number(v, 0, 2); ok {
			s.temperature = &f
		}
	case "topP", "top_p":
		if f, ok := p.Number(v, 0, 1); ok {
			agree(p, v, name, &s.topP, f)
		}
	case "topK", "top_k":
		if n, ok := p.Integer(v, 1, maxTokens); ok {
			agree(p, v, name, &s.topK, n)
		}
	case "maxTokens", "max_tokens":
		if n, ok := p.Integer(v, 1, maxTokens); ok {
			agree(p, v, name, &s.maxOutput, n)
		}
	case "metadata":
		p.Object(v)
	default:
		p.Add(v, fault.UnknownParameter, "Unknown parameter")
	}
}

// twins are the members that have two spellings.
var twins = map[string]string{
	"topP": "top_p", "top_p": "topP",
	"topK": "top_k", "top_k": "topK",
	"maxTokens": "max_tokens", "max_tokens": "maxTokens",
	"modelId": "model", "model": "modelId",
}

// agree takes over the value of a member that has a twin, and refuses it if the
// twin came before and says something else.
func agree[T comparable](p *fields.Problems, v jsonx.Value, name string, have **T, value T) {
	switch {
	case *have == nil:
		*have = &value
	case **have != value:
		p.Invalid(v, "Must not differ from "+twins[name])
	}
}

// Encoder returns the encoder of one answer to r.
func (d *Dialect) Encoder(r *llm.Request) wire.Encoder {
	return &encoder{r: r, now: d.now}
}
