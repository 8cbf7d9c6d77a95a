// Package responses is OpenAI's dialect of responses as callers speak it. Facts
// of the wire are from OpenAI's OpenAPI description 2.3.0 and from recorded
// traffic.
package responses

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// Options are the parameters of the dialect. The zero value is good.
type Options struct {
	Now func() time.Time // nil: time.Now
}

// Dialect is the dialect of POST /v1/responses.
//
// null is the same as absent, as with OpenAI. Members, items, parts and tools
// that the dialect does not know pass to a provider of the same dialect
// untouched. What the gateway itself remembers for a caller is in the request's
// Thread, and is no business of the provider's.
type Dialect struct {
	now     func() time.Time
	counts  bool // what is asked is how many tokens there are to ask
	compact bool // what is asked for is the conversation in less
	schemas fields.Schemas
}

var _ wire.Dialect = (*Dialect)(nil)

// New returns the dialect.
func New(o Options) *Dialect {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Dialect{now: o.Now}
}

// NewCount returns the dialect of POST /v1/responses/input_tokens, whose bodies are
// those of requests for an answer. Neither is anything answered nor kept.
func NewCount() *Dialect { return &Dialect{now: time.Now, counts: true} }

// NewCompact returns the dialect of POST /v1/responses/compact, which answers with a
// conversation that says in less what it said. Only the provider that made it can read
// it: providers of other protocols have no part in it. It is not kept here.
func NewCompact() *Dialect { return &Dialect{now: time.Now, compact: true} }

// Decode makes a request of a body, as [wire.Dialect] says.
func (d *Dialect) Decode(body []byte, _ map[string][]string) (*llm.Request, error) {
	doc, err := fields.Parse(body)
	if err != nil {
		return nil, err
	}
	root := doc.Root()
	c := checker{
		schemas: &d.schemas,
		counts:  d.counts,
		compact: d.compact,
		r: &llm.Request{
			Task:         llm.TaskChat,
			Dialect:      llm.OpenAIResponses,
			Choices:      1,
			Inputs:       1,
			IncludeUsage: true, // the dialect always has it
			Raw:          doc.Members(),
			Thread:       &llm.Thread{Store: true},
		},
	}
	c.request(root)
	if err := c.p.Err(); err != nil {
		return c.r, err // what it was to be for is told of, all the same
	}
	if d.counts {
		c.r.Task, c.r.Dialect, c.r.Stream = llm.TaskCountTokens, llm.OpenAIInputTokens, false
		c.r.Thread.Store, c.r.Thread.Asked, c.r.Thread.Background = false, false, false
	}
	places := sync.OnceValue(func() *places { return placesOf(root) })
	c.r.DecodeChat = sync.OnceValues(func() (*llm.Chat, error) { return decodeChat(root) })
	c.r.Place = func(path string) string { return places().of(path) }
	if d.compact {
		c.r.Dialect, c.r.Stream, c.r.Thread.Store, c.r.Thread.Asked = llm.OpenAICompact, false, false, false
		c.r.DecodeChat = func() (*llm.Chat, error) {
			return nil, fault.New(fault.UnsupportedParameter, "Conversations cannot be compacted for this model.").At("model")
		}
	}
	return c.r, nil
}

// Encoder returns the encoder of one answer to r.
func (d *Dialect) Encoder(r *llm.Request) wire.Encoder {
	if d.counts {
		return wire.NewCount(`{"object":"response.input_tokens","input_tokens":`)
	}
	if d.compact {
		return &compaction{}
	}
	return d.Keeper(r)
}

// newID returns an id with the given beginning, unlike any other.
func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()) }

// Waiting returns a comment; see [wire.Patient].
func (*Dialect) Waiting() (media, beat string) { return "", waiting }
