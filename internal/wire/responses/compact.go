package responses

import (
	"errors"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// notCompacted are members that have no meaning where a conversation is compacted:
// nothing limits what that comes to, and it comes at once.
var notCompacted = [...]string{"max_output_tokens", "stream", "background", "store", "context_management"}

// compacting refuses what asks for something else than a conversation in less.
func (c *checker) compacting(root jsonx.Value) {
	for _, name := range notCompacted {
		if v := root.Get(name); v.Exists() && v.Kind() != jsonx.False {
			c.p.Add(v, fault.UnsupportedParameter, "A conversation is compacted without it.")
		}
	}
}

// compaction writes the provider's own answer.
type compaction struct{ body []byte }

// Heartbeat appends nothing: the answer is not streamed.
func (*compaction) Heartbeat(dst []byte) []byte { return dst }

// Event keeps the answer back.
func (c *compaction) Event(dst []byte, ev llm.Event) ([]byte, error) {
	if ev.Raw != nil {
		c.body = ev.Raw
	}
	return dst, nil
}

// Finish appends the answer.
func (c *compaction) Finish(dst []byte, f wire.Final) ([]byte, error) {
	if len(c.body) == 0 {
		return dst, errors.New("no answer")
	}
	return wire.AppendAnswer(dst, jsonx.Splice(c.body, f.Extras)), nil
}
