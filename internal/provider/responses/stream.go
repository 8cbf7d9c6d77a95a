package responses

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// stream is an answer of server-sent events.
type stream struct {
	x       *provider.Exchange
	frames  *provider.Reader
	scanner scanner
	request *llm.Request
	err     error  // what every further call of Next returns
	model   []byte // JSON of the name that the caller knows; nil: leave it
	edited  []byte // the frame with edits
	usage   llm.Usage
	content bool // some has come
	fresh   bool // the last event meant something
}

var _ llm.Stream = (*stream)(nil)

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
			return llm.Event{}, provider.Interrupted(fmt.Errorf("the stream ended before the response did: %w", io.ErrUnexpectedEOF))
		case errors.Is(err, provider.ErrFrameTooLong):
			return llm.Event{}, provider.BadAnswer(http.StatusOK, nil, err)
		case err != nil:
			return llm.Event{}, err
		}
		data := bytes.TrimSpace(f.Data)
		raw := bytes.TrimSpace(f.Raw)
		switch {
		case string(data) == "[DONE]":
			continue // of chat completions; what ends a response is an event
		case len(data) > 0:
			return s.event(f, data)
		case f.Stray && (raw[0] == '{' || raw[0] == '[' || raw[0] == '<'):
			return llm.Event{}, s.notEvents(raw)
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
func (s *stream) notEvents(body []byte) error {
	if provider.HasError(body) {
		return provider.Classify(s.x.Family(), http.StatusOK, nil, body)
	}
	return provider.BadAnswer(http.StatusOK, body, errors.New("the stream holds no events"))
}

// event makes an event of a frame with data.
func (s *stream) event(f provider.Frame, data []byte) (llm.Event, error) {
	k := &s.scanner
	switch ok := k.scan(data); {
	case !ok && f.Cut:
		return llm.Event{}, provider.Interrupted(io.ErrUnexpectedEOF)
	case !ok:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, data, errors.New("an event of the stream is not a JSON object"))
	case k.failed || f.Name == "error":
		return llm.Event{}, provider.Classify(s.x.Family(), http.StatusOK, nil, k.fault(data))
	}
	ev := llm.Event{
		Name: f.Name, Content: k.content || k.refused, Refusal: k.refused && !k.content,
		OutputBytes: k.bytes, Weight: k.weight, Finish: k.finish,
		Ping: k.step == alive, Last: k.step == terminal,
	}
	if u, ok := k.counts.usage(); ok {
		s.usage = u
		ev.Usage = &s.usage
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
	s.edited = s.edited[:0]
	if f.Name != "" {
		s.edited = append(append(append(s.edited, "event: "...), f.Name...), '\n')
	}
	s.edited = append(s.edited, "data: "...)
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

// Close ends the exchange; see llm.Stream.
func (s *stream) Close() error {
	if s.err == nil {
		s.err = io.EOF
	}
	return s.x.Close()
}
