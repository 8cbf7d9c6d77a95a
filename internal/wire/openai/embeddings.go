package openai

import (
	"errors"
	"fmt"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// Embeddings is the dialect of POST /v1/embeddings.
type Embeddings struct{}

var _ wire.Dialect = Embeddings{}

// NewEmbeddings returns the dialect of embeddings.
func NewEmbeddings(Options) Embeddings { return Embeddings{} }

// OpenAI's limits on the inputs of one request, and on the tokens of all of them.
const (
	maxInputs      = 2048
	maxInputTokens = 300_000
)

// Decode makes a request of a body, as [wire.Dialect] says.
func (Embeddings) Decode(body []byte, _ map[string][]string) (*llm.Request, error) {
	doc, err := fields.Parse(body)
	if err != nil {
		return nil, err
	}
	root := doc.Root()
	c := checker{r: &llm.Request{
		Task:    llm.TaskEmbed,
		Dialect: llm.OpenAIEmbeddings,
		Choices: 1,
		Inputs:  1,
		Raw:     doc.Members(),
	}}
	if m, ok := c.p.Require(root, "model"); ok && c.p.Text(m, maxModel) {
		c.r.Model = m.Text()
	}
	if in, ok := c.p.Require(root, "input"); ok {
		c.input(in)
	}
	c.p.OneOf(root.Get("encoding_format"), "float", "base64")
	c.p.Integer(root.Get("dimensions"), 1, 1<<20)
	c.p.String(root.Get("user"))
	if err := c.p.Err(); err != nil {
		return c.r, err // what it was to be for is told of, all the same
	}
	return c.r, nil
}

// input checks a text, texts, tokens, or lists of tokens.
func (c *checker) input(v jsonx.Value) {
	switch v.Kind() {
	case jsonx.String:
		c.text(v)
		return
	case jsonx.Array:
	default:
		c.p.Type(v, "a string or an array")
		return
	}
	first := v.At(0).Kind()
	if first == jsonx.Number {
		c.tokens(v)
		return
	}
	if !c.p.Array(v, 1, maxInputs) {
		return
	}
	// A model that takes one input at a time takes no array, whatever its length.
	c.r.Needs.Add(llm.NeedBatchInput, "input")
	n := 0
	for _, e := range v.Items() {
		if c.p.Full() {
			return
		}
		n++
		switch {
		case e.Kind() != first:
			c.p.Type(e, "of the same type as the first input")
		case first == jsonx.String:
			c.text(e)
		case first == jsonx.Array:
			c.tokens(e)
		default:
			c.p.Type(e, "a string or an array of tokens")
		}
	}
	c.r.Inputs = max(n, 1)
}

func (c *checker) text(v jsonx.Value) {
	c.r.Size.Messages++
	if len(v.Inner()) == 0 {
		c.p.Invalid(v, "Must not be empty")
	}
	dialect.Count(&c.r.Size, v.Inner())
}

// tokens checks one input that is given as tokens. Each is weighed as three
// bytes of text, which estimates take for one token.
func (c *checker) tokens(v jsonx.Value) {
	c.r.Size.Messages++
	if !c.p.Array(v, 1, maxInputTokens) {
		return
	}
	for _, t := range v.Items() {
		if c.p.Full() {
			return
		}
		if !t.Exists() {
			c.p.Type(t, "a whole number")
		}
		c.p.Integer(t, 0, 1<<31)
		c.r.Size.ASCII += 3
	}
}

// Encoder returns the encoder of one answer to r.
func (Embeddings) Encoder(r *llm.Request) wire.Encoder {
	return &embeddingsEncoder{encoding: string(r.Raw.Value("encoding_format"))}
}

// embeddingsEncoder forwards a whole answer, with vectors in the encoding that
// was asked for: not every provider has both. Where none was asked for, the
// provider's own choice stands: some have strings of other things than float32.
type embeddingsEncoder struct {
	encoding string // JSON
	body     []byte
	silent   bool // the provider did not say what was used: what is charged for stands there
}

// Heartbeat appends nothing: an answer that is not streamed has no room for it.
func (e *embeddingsEncoder) Heartbeat(dst []byte) []byte { return dst }

// Event keeps the answer back.
func (e *embeddingsEncoder) Event(dst []byte, ev llm.Event) ([]byte, error) {
	if ev.Raw == nil {
		return dst, nil
	}
	body := ev.Raw
	if e.encoding == `"base64"` || e.encoding == `"float"` {
		var err error
		if body, err = recode(ev.Raw, e.encoding == `"base64"`); err != nil {
			return dst, err
		}
	}
	e.body, e.silent = body, ev.Usage == nil
	return dst, nil
}

// Finish appends the answer.
func (e *embeddingsEncoder) Finish(dst []byte, f wire.Final) ([]byte, error) {
	if len(e.body) == 0 {
		return dst, errors.New("no answer")
	}
	edits := f.Extras
	if n := f.Usage.Input; e.silent && n > 0 && lacksUsage(e.body) {
		edits = append([]llm.Edit{{Name: "usage", Value: fmt.Appendf(nil, `{"prompt_tokens":%d,"total_tokens":%d}`, n, n)}}, edits...)
	}
	return wire.AppendAnswer(dst, jsonx.Splice(e.body, edits)), nil
}

// lacksUsage reports whether an answer has no member usage.
func lacksUsage(body []byte) bool {
	raw, err := jsonx.Scan(body)
	return err == nil && raw.Value("usage") == nil
}
