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

// stream makes events of frames.
type stream struct {
	frames   *frames
	scanner  scanner
	blame    func(error) error
	usage    llm.Usage
	finished bool // a stop reason has come
}

// Next returns the next event; see provider.Source.
func (s *stream) Next() (llm.Event, error) {
	f, err := s.frames.next()
	for err == nil && !f.failed && !known(f.name) {
		f, err = s.frames.next()
	}
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
	case k.media:
		return llm.Event{}, provider.Untold()
	}
	ev := llm.Event{
		Name: f.name, Content: k.content, OutputBytes: k.bytes, Bytes: k.split, Weight: k.weight, Finish: k.finish,
		Deltas: k.deltas, Left: k.left.New(), Last: f.name == "metadata" && s.finished,
	}
	s.finished = s.finished || ev.Finish != ""
	ev.More = !ev.Last && s.frames.buffered()
	if k.reported {
		if u, ok := k.counts.usage(); ok {
			s.usage = u
			ev.Usage = &s.usage
		}
	}
	return ev, nil
}

// Blame hides what must not be seen; see provider.Source.
func (s *stream) Blame(err error) error { return s.blame(err) }
