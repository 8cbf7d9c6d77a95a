package anthropic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// stopFrame is the event that ends a stream.
const stopFrame = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

// stream is an answer of server-sent events.
type stream struct {
	x        *provider.Exchange
	frames   *provider.Reader
	scanner  scanner
	request  *llm.Request
	err      error  // what every further call of Next returns
	model    []byte // JSON of the name that the caller knows; nil: leave it
	edited   []byte // the frame with edits
	usage    llm.Usage
	content  bool // some has come
	finished bool // a stop reason has come
	fresh    bool // the last event meant something
}

var _ llm.Stream = (*stream)(nil)

func newStream(x *provider.Exchange, c provider.Call, s scanner) *stream {
	return &stream{
		x: x, frames: provider.NewReader(x, provider.MaxFrame),
		scanner: s, request: c.Request, model: ownName(c),
	}
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
		s.err = blame(s.request, err)
		_ = s.x.Close()
		return llm.Event{}, s.err
	case ev.Last:
		s.err = io.EOF
		s.x.Over()
	default:
		ev.More = s.frames.Buffered()
	}
	return ev, nil
}

func (s *stream) next() (llm.Event, error) {
	for {
		f, err := s.frames.Next()
		switch {
		case err == io.EOF:
			return s.end()
		case errors.Is(err, provider.ErrFrameTooLong):
			return llm.Event{}, provider.BadAnswer(http.StatusOK, nil, err)
		case err != nil && s.finished && !errors.Is(err, context.Canceled):
			return s.end() // all was said; only the marker is lost
		case err != nil:
			return llm.Event{}, err
		}
		data := bytes.TrimSpace(f.Data)
		raw := bytes.TrimSpace(f.Raw)
		switch {
		case len(data) > 0:
			return s.event(f, data)
		case f.Stray && (raw[0] == '{' || raw[0] == '[' || raw[0] == '<'):
			return llm.Event{}, notEvents(raw)
		}
		if raw := s.frames.Clean(f); raw != nil {
			return llm.Event{Raw: s.own(raw), Ping: true}, nil
		}
	}
}

// own returns raw if the caller may see it.
func (s *stream) own(raw []byte) []byte {
	if s.scanner.translate {
		return nil
	}
	return raw
}

// notEvents is the failure of a stream that is JSON or a page instead.
func notEvents(body []byte) error {
	if provider.HasError(body) {
		return provider.Classify(family, http.StatusOK, nil, body)
	}
	return provider.BadAnswer(http.StatusOK, body, errors.New("the stream holds no events"))
}

// event makes an event of a frame with data.
func (s *stream) event(f provider.Frame, data []byte) (llm.Event, error) {
	k := &s.scanner
	switch ok := k.scan(data); {
	case !ok && f.Cut && s.finished:
		return s.end()
	case !ok && f.Cut:
		return llm.Event{}, provider.Interrupted(io.ErrUnexpectedEOF)
	case !ok:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, data, errors.New("an event of the stream is not a JSON object"))
	case k.failed || f.Name == "error":
		return llm.Event{}, provider.Classify(family, http.StatusOK, nil, data)
	}
	ev := llm.Event{
		Name: f.Name, Content: k.content, OutputBytes: k.bytes, Weight: k.weight, Finish: k.finish,
		Ping: k.kind == ping, Last: k.kind == messageStop,
	}
	if k.kind == messageStart {
		ev.Finish = "" // null, or it means nothing yet
	}
	if k.reported && (k.kind == messageStart || k.counts.spoke) { // else it says nothing of the output
		if u, ok := k.counts.usage(); ok {
			s.usage = u
			ev.Usage = &s.usage
		}
	}
	if k.translate {
		ev.Deltas = k.deltas
		return ev, nil
	}
	ev.Raw, ev.Data = s.bytes(f, data)
	return ev, nil
}

// bytes returns the frame and its payload as the caller may have them.
func (s *stream) bytes(f provider.Frame, data []byte) (raw, payload []byte) {
	at := s.scanner.modelAt
	if s.model == nil || !s.scanner.hasModel || bytes.Equal(data[at.from:at.to], s.model) {
		return s.frames.Clean(f), f.Data
	}
	s.edited = fmt.Appendf(s.edited[:0], "event: %s\ndata: ", f.Name)
	from := len(s.edited)
	s.edited = append(append(append(s.edited, data[:at.from]...), s.model...), data[at.to:]...)
	to := len(s.edited)
	for i, b := range s.edited[from:to] {
		if b == '\n' { // between members: a payload of several lines becomes one
			s.edited[from+i] = ' '
		}
	}
	s.edited = append(s.edited, "\n\n"...)
	return s.edited, s.edited[from:to]
}

// end ends a stream without its terminal event, which is well if a stop reason
// had come. The caller gets the event all the same.
func (s *stream) end() (llm.Event, error) {
	if !s.finished {
		return llm.Event{}, provider.Interrupted(fmt.Errorf("the stream ended without a stop reason: %w", io.ErrUnexpectedEOF))
	}
	ev := llm.Event{Last: true}
	if !s.scanner.translate {
		ev.Raw, ev.Name = []byte(stopFrame), "message_stop"
		ev.Data = []byte(`{"type":"message_stop"}`)
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
