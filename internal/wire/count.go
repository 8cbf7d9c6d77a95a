package wire

import (
	"errors"
	"strconv"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// NewCount returns the encoder of an answer that says how many tokens a request
// has: the provider's own, or an object of what was counted here, which begins with
// head and ends with the number.
func NewCount(head string) Encoder { return &count{head: head} }

type count struct {
	head string
	body []byte
}

// Heartbeat appends nothing: the answer is not streamed.
func (*count) Heartbeat(dst []byte) []byte { return dst }

// Event keeps the answer back.
func (c *count) Event(dst []byte, ev llm.Event) ([]byte, error) {
	if ev.Raw != nil {
		c.body = ev.Raw
	}
	return dst, nil
}

// Finish appends the answer.
func (c *count) Finish(dst []byte, f Final) ([]byte, error) {
	if len(c.body) == 0 {
		if f.Usage.Input <= 0 {
			return dst, errors.New("no answer")
		}
		c.body = append(strconv.AppendInt([]byte(c.head), f.Usage.Input, 10), '}')
	}
	return AppendAnswer(dst, jsonx.Splice(c.body, f.Extras)), nil
}
