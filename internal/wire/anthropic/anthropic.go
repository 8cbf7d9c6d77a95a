// Package anthropic is Anthropic's dialect as callers speak it: messages, token
// counts and the list of models. Facts of the wire are from the types of the
// official SDKs and from recorded traffic, version 2023-06-01.
package anthropic

import (
	"sync"

	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// Messages is the dialect of POST /v1/messages.
//
// null is the same as absent. Members and kinds of blocks that the dialect does
// not know pass to a provider of the same dialect untouched.
type Messages struct {
	schemas fields.Schemas
}

// CountTokens is the dialect of POST /v1/messages/count_tokens.
type CountTokens struct {
	schemas fields.Schemas
}

var (
	_ wire.Dialect = (*Messages)(nil)
	_ wire.Dialect = (*CountTokens)(nil)
)

// NewMessages returns the dialect of messages.
func NewMessages() *Messages { return &Messages{} }

// NewCountTokens returns the dialect of token counts.
func NewCountTokens() *CountTokens { return &CountTokens{} }

// Decode makes a request of a body, as [wire.Dialect] says.
func (d *Messages) Decode(body []byte, headers map[string][]string) (*llm.Request, error) {
	return decode(body, headers, &d.schemas, llm.TaskChat, llm.AnthropicMessages)
}

// Encoder returns the encoder of one answer to r.
func (d *Messages) Encoder(r *llm.Request) wire.Encoder { return &encoder{r: r} }

// Decode makes a request of a body, as [wire.Dialect] says.
func (d *CountTokens) Decode(body []byte, headers map[string][]string) (*llm.Request, error) {
	return decode(body, headers, &d.schemas, llm.TaskCountTokens, llm.AnthropicCountTokens)
}

// Encoder returns the encoder of one answer to r.
func (d *CountTokens) Encoder(*llm.Request) wire.Encoder {
	return wire.NewCount(`{"input_tokens":`)
}

func decode(body []byte, headers map[string][]string, s *fields.Schemas, t llm.Task, d llm.Dialect) (*llm.Request, error) {
	doc, err := fields.Parse(body)
	if err != nil {
		return nil, err
	}
	root := doc.Root()
	c := checker{
		schemas: s,
		r: &llm.Request{
			Task:    t,
			Dialect: d,
			Choices: 1,
			Inputs:  1,
			Raw:     doc.Members(),
			Headers: forwarded(headers),
		},
	}
	c.request(root)
	if err := c.p.Err(); err != nil {
		return c.r, err // what it was to be for is told of, all the same
	}
	c.r.DecodeChat = sync.OnceValues(func() (*llm.Chat, error) { return decodeChat(root) })
	return c.r, nil
}

// forwarded picks the headers that a provider of the same dialect must see:
// without them it switches features off, silently.
func forwarded(headers map[string][]string) map[string][]string {
	var out map[string][]string
	for _, name := range []string{"Anthropic-Version", "Anthropic-Beta"} {
		if v := headers[name]; len(v) > 0 {
			if out == nil {
				out = make(map[string][]string, 2)
			}
			out[name] = v
		}
	}
	return out
}

// Waiting returns a ping, which may come at any time; see [wire.Patient].
func (*Messages) Waiting() (media, beat string) { return "", ping }
