package gemini

import (
	"fmt"
	"io"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// stream makes events of the protocol's own. Nothing marks the end of a stream but
// the finish reasons of its candidates, and that it ends.
type stream struct {
	scanner scanner
	request *llm.Request
	model   []byte // see provider.Call.OwnName
	usage   llm.Usage
	gathers bool // nobody has had any of it before all has come
	content bool // some has come
	stopped bool // the prompt was not let through, and the caller was told
}

func newStream(x *provider.Exchange, k scanner, c provider.Call) *provider.Stream {
	k.counts.tier = tierOf(x.Header)
	return provider.NewEvents(x, &stream{scanner: k, request: c.Request, model: c.OwnName(), gathers: c.Gathers}, !k.translate)
}

// Event makes an event of one of the protocol's own; see provider.Protocol.
func (s *stream) Event(r *provider.Reader, f provider.Frame, data []byte) (llm.Event, error) {
	k := &s.scanner
	if !k.scan(data) {
		return llm.Event{}, provider.ErrNotObject
	}
	if err := k.failure(nil, data, s.content); err != nil {
		return llm.Event{}, err
	}
	if s.gathers && k.broken != nil {
		return llm.Event{}, fruitless(k.broken, data)
	}
	ev := llm.Event{Name: f.Name, Content: k.content, OutputBytes: k.bytes, Bytes: k.split, Weight: k.weight, Finish: k.finish, Tier: k.counts.tier}
	if k.news {
		ev.Calls = &k.calls
	}
	if k.blocked && len(k.choices) == 0 {
		s.stopped, ev.Finish = true, llm.FinishContentFilter
	}
	s.content = s.content || ev.Content || ev.Finish != ""
	if k.reported {
		if u, ok := k.counts.usage(); ok {
			s.usage = u
			ev.Usage = &s.usage
		}
	}
	if k.translate {
		ev.Deltas, ev.Left = k.deltas, k.left.New()
		return ev, nil
	}
	var p [1]provider.Patch
	ev.Raw, ev.Data = r.Edit(f, data, provider.Rename(p[:0], data, k.modelAt, s.model))
	return ev, nil
}

// End ends a stream, which is well if all candidates had ended.
func (s *stream) End() (llm.Event, error) {
	if !s.Complete() && !s.stopped {
		return llm.Event{}, provider.Interrupted(fmt.Errorf("the stream ended without a finish reason: %w", io.ErrUnexpectedEOF))
	}
	return llm.Event{Last: true}, nil
}

// Complete reports whether all candidates have ended; see provider.Protocol.
func (s *stream) Complete() bool { return s.scanner.complete() }

// Blame takes away a parameter; see provider.Source.
func (s *stream) Blame(err error) error { return blame(s.request, err) }
