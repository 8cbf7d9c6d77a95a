package responses

import (
	"errors"
	"strconv"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// countEncoder writes how many tokens there are: the provider's own answer, or what
// was counted here.
type countEncoder struct{ body []byte }

// Heartbeat appends nothing: the answer is not streamed.
func (e *countEncoder) Heartbeat(dst []byte) []byte { return dst }

// Event keeps the answer back.
func (e *countEncoder) Event(dst []byte, ev llm.Event) ([]byte, error) {
	if ev.Raw != nil {
		e.body = ev.Raw
	}
	return dst, nil
}

// Finish appends the answer.
func (e *countEncoder) Finish(dst []byte, f wire.Final) ([]byte, error) {
	if len(e.body) == 0 {
		if f.Usage.Input <= 0 {
			return dst, errors.New("no answer")
		}
		e.body = append(strconv.AppendInt([]byte(`{"object":"response.input_tokens","input_tokens":`), f.Usage.Input, 10), '}')
	}
	return wire.AppendAnswer(dst, jsonx.Splice(e.body, f.Extras)), nil
}
