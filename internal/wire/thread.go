package wire

import (
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// remember settles what a request asks of the gateway's memory. Where there is
// none, nothing is kept, and what asks for more is refused.
func (x *exchange) remember(r *llm.Request) error {
	t := r.Thread
	if t == nil {
		return nil
	}
	for _, asked := range []struct {
		is   bool
		name string
	}{{t.Store && t.Asked, "store"}, {t.Background, "background"}, {t.Previous != "", "previous_response_id"}, {len(t.References) > 0, "input"}} {
		if asked.is {
			return fault.New(fault.UnsupportedParameter, "Answers are not kept here.").At(asked.name)
		}
	}
	t.Store = false
	return nil
}
