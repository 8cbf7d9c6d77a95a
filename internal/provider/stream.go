package provider

import (
	"io"

	"github.com/pontage/pontage/internal/llm"
)

// Source is where a [Stream] has its events from: it speaks one protocol.
type Source interface {
	// Next returns the next event. It is not called any more once it has returned
	// an event that is Last, io.EOF, or an error, which is a *Failure.
	Next() (llm.Event, error)
	// Blame returns an error of Next as the caller may see it: it does not name
	// what the caller never sent.
	Blame(err error) error
}

// Stream is the answer of an exchange, which it owns. It tells the timers what
// events meant, once the caller asks for the next one.
type Stream struct {
	// UsageMeans says that to the timers an event which only tells the usage means
	// something. It is set before the first call of Next.
	UsageMeans bool

	x       *Exchange
	source  Source
	seams   seams
	err     error // what every further call of Next returns
	content bool  // some has come
	fresh   bool  // the last event meant something
}

var _ llm.Stream = (*Stream)(nil)

// NewStream returns the stream of what src makes of x.
func NewStream(x *Exchange, src Source) *Stream { return &Stream{x: x, source: src} }

// Next returns the next event; see llm.Stream. An error ends the exchange.
func (s *Stream) Next() (llm.Event, error) {
	if s.err != nil {
		return llm.Event{}, s.err
	}
	if s.fresh {
		s.x.Meaning(s.content)
	}
	ev, err := s.source.Next()
	switch {
	case err == io.EOF:
		s.err = err
		s.x.Over()
		return llm.Event{}, err
	case err != nil:
		s.err = s.source.Blame(err)
		_ = s.x.Close()
		return llm.Event{}, s.err
	case ev.Last:
		s.err = io.EOF
		s.x.Over()
	}
	ev.Deltas = s.seams.join(ev.Deltas)
	if ev.Whole != nil {
		settle(ev.Whole)
	}
	meant := ev.Content || ev.Finish != ""
	s.fresh = meant || s.UsageMeans && ev.Usage != nil
	s.content = s.content || meant
	return ev, nil
}

// Close ends the exchange; see llm.Stream.
func (s *Stream) Close() error {
	if s.err == nil {
		s.err = io.EOF
	}
	return s.x.Close()
}
