package prompt

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pontage/pontage/internal/completion"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// Collector gathers the text of a whole answer from its events. The zero value
// is ready for use, by one goroutine.
type Collector struct {
	text []byte
	done bool
}

// Add takes an event. It keeps nothing of it. It returns an error for an answer
// that is no text: one that is streamed, is in a provider's own bytes, has no
// choice, calls a tool, holds media, or is unfinished.
func (c *Collector) Add(ev llm.Event) error {
	switch {
	case ev.Raw != nil:
		return errors.New("answer in bytes of another dialect")
	case len(ev.Deltas) > 0:
		return errors.New("answer is streamed")
	case ev.Whole == nil:
		return nil
	case len(ev.Whole.Choices) == 0:
		return errors.New("answer without choices")
	}
	first := &ev.Whole.Choices[0]
	if _, err := completion.FinishReason(first.Finish, false); err != nil {
		return err
	}
	c.text = c.text[:0]
	for i := range first.Parts {
		switch p := &first.Parts[i]; p.Kind {
		case llm.PartText, llm.PartRefusal:
			c.text = append(c.text, p.Text...)
		case llm.PartReasoning, llm.PartRedacted: // no part of the text
		default:
			return fmt.Errorf("part of kind %d has no place in a text", p.Kind)
		}
	}
	c.done = true
	return nil
}

// Text returns the text of the answer's first choice, which may be empty: what
// the model said, refusals too, but not its reasoning. It returns an error if
// there was no answer.
func (c *Collector) Text() (string, error) {
	if !c.done {
		return "", errors.New("no answer")
	}
	return string(c.text), nil
}

// encoder writes one answer.
type encoder struct {
	r   *llm.Request
	now func() time.Time
	Collector
}

// Heartbeat appends nothing: an answer that is not streamed has no room for it.
func (e *encoder) Heartbeat(dst []byte) []byte { return dst }

// Event keeps the answer back.
func (e *encoder) Event(dst []byte, ev llm.Event) ([]byte, error) { return dst, e.Add(ev) }

// Finish appends the answer. An addition of the contract takes the place of a
// member of the same name.
func (e *encoder) Finish(dst []byte, f wire.Final) ([]byte, error) {
	text, err := e.Text()
	if err != nil {
		return dst, err
	}
	model := e.r.Model
	if f.Model != "" {
		model = f.Model
	}
	metadata := e.r.Raw.Value("metadata")
	if metadata == nil || metadata[0] != '{' { // null
		metadata = []byte(`{}`)
	}
	members := []llm.Edit{
		{Name: "text", Value: jsonx.AppendString(nil, text)},
		{Name: "tokens", Value: strconv.AppendInt(nil, f.Usage.Input+f.Usage.Output, 10)},
		{Name: "model", Value: jsonx.AppendString(nil, model)},
		{Name: "latency", Value: strconv.AppendInt(nil, max(0, e.now().Sub(e.r.Decoded).Milliseconds()), 10)},
		{Name: "metadata", Value: metadata},
		{Name: "usage", Value: completion.AppendUsage(nil, f.Usage)},
	}
	for _, x := range f.Extras {
		if i := slices.IndexFunc(members, func(m llm.Edit) bool { return m.Name == x.Name }); i >= 0 {
			members[i] = x
		} else {
			members = append(members, x)
		}
	}
	return wire.AppendAnswer(dst, llm.Raw{}.Splice(members...)), nil
}
