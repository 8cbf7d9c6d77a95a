package bedrock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// stream is an answer of frames.
type stream struct {
	x        *provider.Exchange
	frames   *frames
	scanner  scanner
	blame    func(error) error
	err      error // what every further call of Next returns
	usage    llm.Usage
	content  bool // some has come
	finished bool // a stop reason has come
	fresh    bool // the last event meant something
}

var _ llm.Stream = (*stream)(nil)

func newStream(x *provider.Exchange, k scanner, blame func(error) error) *stream {
	return &stream{x: x, frames: newFrames(x), scanner: k, blame: blame}
}

// Next returns the next event; see llm.Stream.
func (s *stream) Next() (llm.Event, error) {
	if s.err != nil {
		return llm.Event{}, s.err
	}
	if s.fresh {
		s.x.Meaning(s.content)
	}
	ev, err := s.next()
	s.fresh = ev.Content || ev.Finish != ""
	s.content = s.content || s.fresh
	s.finished = s.finished || ev.Finish != ""
	switch {
	case err != nil:
		s.err = s.blame(err)
		_ = s.x.Close()
		return llm.Event{}, s.err
	case ev.Last:
		s.err = io.EOF
		s.x.Over()
	default:
		ev.More = s.frames.buffered()
	}
	return ev, nil
}

func (s *stream) next() (llm.Event, error) {
	f, err := s.frames.next()
	switch {
	case err == io.EOF && !s.finished:
		return llm.Event{}, provider.Interrupted(fmt.Errorf("the stream ended without a stop reason: %w", io.ErrUnexpectedEOF))
	case err != nil && s.finished && !errors.Is(err, context.Canceled):
		return llm.Event{Last: true}, nil // all was said; only the numbers are lost
	case err != nil:
		return llm.Event{}, err
	case f.failed:
		return llm.Event{}, provider.Classify(family, http.StatusOK, http.Header{"X-Amzn-Errortype": {f.name}}, f.payload)
	}
	k := &s.scanner
	switch ok := k.event(f.name, f.payload); {
	case !ok:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, f.payload, errors.New("an event of the stream is not a JSON object"))
	case k.malformed():
		return llm.Event{}, provider.BadAnswer(http.StatusOK, nil, fmt.Errorf("the model stopped with %s", k.reason))
	}
	ev := llm.Event{
		Name: f.name, Content: k.content, OutputBytes: k.bytes, Weight: k.weight, Finish: k.finish,
		Deltas: k.deltas, Last: f.name == "metadata" && s.finished,
	}
	if k.reported {
		if u, ok := k.counts.usage(); ok {
			s.usage = u
			ev.Usage = &s.usage
		}
	}
	return ev, nil
}

// Close ends the exchange; see llm.Stream.
func (s *stream) Close() error {
	if s.err == nil {
		s.err = io.EOF
	}
	return s.x.Close()
}
