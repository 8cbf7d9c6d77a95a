package provider

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/pontage/pontage/internal/llm"
)

// Protocol is what a protocol makes of its server-sent events.
type Protocol interface {
	// Event makes an event of a frame with data, which is that of the frame without
	// the space around it. It sets Raw and Data, with the help of r. Its error is a
	// *Failure, [ErrNotObject], or [ErrSkip].
	Event(r *Reader, f Frame, data []byte) (llm.Event, error)
	// End returns the event that the caller gets at the end of a body without a
	// terminal event, io.EOF if it gets none, or the *Failure that this is.
	End() (llm.Event, error)
	// Complete reports whether all was said, so that it is no matter if the body
	// breaks off.
	Complete() bool
	// Blame is that of [Source].
	Blame(err error) error
}

// What [Protocol.Event] returns, beside failures.
var (
	ErrNotObject = errors.New("an event of the stream is not a JSON object")
	ErrSkip      = errors.New("an event of the stream says nothing")
)

// events is a stream of server-sent events, and the source of it.
type events struct {
	Protocol
	stream Stream
	frames Reader
	passes bool
}

// NewEvents returns the stream of the server-sent events of x. passes says that
// the caller speaks the protocol too; else Raw and Data are taken away.
func NewEvents(x *Exchange, p Protocol, passes bool) *Stream {
	e := &events{Protocol: p, frames: Reader{src: x, max: MaxFrame}, passes: passes}
	e.stream = Stream{x: x, source: e}
	return &e.stream
}

// Next returns the next event; see [Source].
func (e *events) Next() (llm.Event, error) {
	ev, err := e.next()
	switch {
	case err != nil:
		return llm.Event{}, err
	case !e.passes:
		ev.Raw, ev.Data = nil, nil
	}
	ev.More = !ev.Last && e.frames.Buffered()
	return ev, nil
}

func (e *events) next() (llm.Event, error) {
	for {
		f, err := e.frames.Next()
		switch {
		case err == io.EOF:
			return e.End()
		case errors.Is(err, ErrFrameTooLong):
			return llm.Event{}, BadAnswer(http.StatusOK, nil, err)
		case err != nil && e.Complete() && !errors.Is(err, context.Canceled):
			return e.End() // only the usage or the marker is lost
		case err != nil:
			return llm.Event{}, err
		}
		if data := bytes.TrimSpace(f.Data); len(data) > 0 {
			ev, err := e.event(f, data)
			if err == ErrSkip {
				continue
			}
			return ev, err
		}
		if raw := bytes.TrimSpace(f.Raw); f.Stray && len(raw) > 0 && bytes.IndexByte([]byte("{[<"), raw[0]) >= 0 {
			return llm.Event{}, e.notEvents(raw, errors.New("the stream holds no events"))
		}
		if raw := e.frames.Clean(f); raw != nil {
			return llm.Event{Raw: raw, Ping: true}, nil
		}
	}
}

// event makes an event of a frame with data.
func (e *events) event(f Frame, data []byte) (llm.Event, error) {
	complete := f.Cut && e.Complete() // before half an event is looked at
	ev, err := e.Event(&e.frames, f, data)
	switch {
	case err != ErrNotObject:
		return ev, err
	case complete:
		return e.End()
	case f.Cut:
		return llm.Event{}, Interrupted(io.ErrUnexpectedEOF)
	case data[0] == '[':
		return llm.Event{}, e.notEvents(data, err)
	}
	return llm.Event{}, BadAnswer(http.StatusOK, data, err)
}

// notEvents is the failure of a stream that holds something else: an error, as it
// is and not in an event, or what cannot be used.
func (e *events) notEvents(body []byte, cause error) error {
	if HasError(body) {
		return Classify(e.stream.x.family, http.StatusOK, nil, body)
	}
	return BadAnswer(http.StatusOK, body, cause)
}
