// Package openai is OpenAI's dialect as callers speak it: chat completions, the
// older completions of texts, embeddings and the list of models. Facts of the wire
// are from OpenAI's OpenAPI description 2.3.0 and from recorded traffic.
package openai

import (
	"sync"
	"time"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// Options are the parameters of a dialect. The zero value is good.
type Options struct {
	Now func() time.Time // nil: time.Now
}

func (o Options) now() func() time.Time {
	if o.Now == nil {
		return time.Now
	}
	return o.Now
}

// Chat is the dialect of POST /v1/chat/completions.
//
// null is the same as absent, as with OpenAI. Members that the dialect does not
// know pass to a provider of the same dialect untouched.
type Chat struct {
	now     func() time.Time
	schemas fields.Schemas
}

var _ wire.Dialect = (*Chat)(nil)

// NewChat returns the dialect of chat completions.
func NewChat(o Options) *Chat { return &Chat{now: o.now()} }

// Decode makes a request of a body, as [wire.Dialect] says.
func (d *Chat) Decode(body []byte, _ map[string][]string) (*llm.Request, error) {
	doc, err := fields.Parse(body)
	if err != nil {
		return nil, err
	}
	root := doc.Root()
	c := checker{
		schemas: &d.schemas,
		r: &llm.Request{
			Task:    llm.TaskChat,
			Dialect: llm.OpenAIChat,
			Choices: 1,
			Inputs:  1,
			Raw:     doc.Members(),
		},
	}
	c.request(root)
	if err := c.p.Err(); err != nil {
		return c.r, err // what it was to be for is told of, all the same
	}
	if c.r.Functions = legacy(root); c.r.Functions {
		c.r.Place = functionPlace
	}
	c.r.DecodeChat = sync.OnceValues(func() (*llm.Chat, error) { return decodeChat(root) })
	return c.r, nil
}

// Encoder returns the encoder of one answer to r.
func (d *Chat) Encoder(r *llm.Request) wire.Encoder {
	names := func() map[string]bool { return customNames(r.Raw.Value("tools")) }
	return &chatEncoder{r: r, now: d.now, end: endOfChat, inputs: dialect.Inputs{Names: names}}
}

// Waiting returns a comment; see [wire.Patient].
func (*Chat) Waiting() (media, beat string) { return "", keepAlive }
