package openai

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// done is the payload of the last event, and doneFrame the whole of it.
const (
	done      = "[DONE]"
	doneFrame = "data: [DONE]\n\n"
)

// stream is an answer of server-sent events.
type stream struct {
	x       *provider.Exchange
	frames  *provider.Reader
	scanner scanner
	call    provider.Call
	family  string
	err     error  // what every further call of Next returns
	model   []byte // JSON of the name that the caller knows; nil: leave it
	edited  []byte // the frame with edits
	usage   llm.Usage
	content bool // some has come
	fresh   bool // the last event meant something
}

var _ llm.Stream = (*stream)(nil)

func newStream(x *provider.Exchange, p *Provider, c provider.Call) *stream {
	s := &stream{
		x: x, frames: provider.NewReader(x, provider.MaxFrame),
		scanner: newScanner(p, c, true), call: c, family: p.vendor.class(),
	}
	s.model = ownName(c)
	return s
}

// ownName returns the caller's name for the model as JSON, if the provider has
// another.
func ownName(c provider.Call) []byte {
	if c.Model == c.Request.Model {
		return nil
	}
	return jsonx.AppendString(nil, c.Request.Model)
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
	s.fresh = ev.Content || ev.Finish != "" || ev.Usage != nil
	s.content = s.content || ev.Content || ev.Finish != ""
	switch {
	case err != nil:
		err = blame(s.call.Request, !s.scanner.translate, err)
		s.err = err
		if err != io.EOF {
			_ = s.x.Close()
		}
		return llm.Event{}, err
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
		case err != nil && s.scanner.complete() && !errors.Is(err, context.Canceled):
			return s.end() // all was said; only the usage or the marker is lost
		case err != nil:
			return llm.Event{}, err
		}
		data := bytes.TrimSpace(f.Data)
		switch {
		case len(data) > 0:
			return s.event(f, data)
		case f.Stray && bytes.IndexByte([]byte("{[<"), firstByte(f.Raw)) >= 0:
			return llm.Event{}, s.notEvents(f.Raw)
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

func firstByte(b []byte) byte {
	if b = bytes.TrimSpace(b); len(b) > 0 {
		return b[0]
	}
	return ' '
}

// notEvents is the failure of a stream that is JSON or a page instead.
func (s *stream) notEvents(body []byte) error {
	if provider.HasError(body) {
		return provider.Classify(s.family, http.StatusOK, nil, body)
	}
	return provider.BadAnswer(http.StatusOK, body, errors.New("the stream holds no events"))
}

// event makes an event of a frame with data.
func (s *stream) event(f provider.Frame, data []byte) (llm.Event, error) {
	if string(data) == done {
		return s.last(s.frames.Clean(f)), nil
	}
	k := &s.scanner
	complete := f.Cut && k.complete() // before half a chunk is looked at
	switch ok := k.scan(data); {
	case !ok && complete:
		return s.end()
	case !ok && f.Cut:
		return llm.Event{}, provider.Interrupted(io.ErrUnexpectedEOF)
	case !ok:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, data, errors.New("an event of the stream is not a JSON object"))
	case k.failed || f.Name == "error":
		return llm.Event{}, provider.Classify(s.family, http.StatusOK, nil, data)
	}
	ev := llm.Event{
		Name: f.Name, Content: k.content || k.refused, Refusal: k.refused && !k.content, OutputBytes: k.bytes, Weight: k.weight, Finish: k.finish,
	}
	if k.counted {
		s.usage = k.usage
		ev.Usage = &s.usage
		ev.UsageOnly = k.elements == 0 && !s.call.Request.IncludeUsage
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
	k := &s.scanner
	rename := s.model != nil && k.hasModel && !bytes.Equal(k.modelAt.of(data), s.model)
	if !rename && k.nullError == (span{}) {
		return s.frames.Clean(f), f.Data
	}
	s.edited = s.edited[:0]
	if f.Name != "" {
		s.edited = append(append(append(s.edited, "event: "...), f.Name...), '\n')
	}
	s.edited = append(s.edited, "data: "...)
	from := len(s.edited)
	s.edited = k.edit(s.edited, data, s.model, rename)
	to := len(s.edited)
	for i, b := range s.edited[from:to] {
		if b == '\n' { // between members: a payload of several lines becomes one
			s.edited[from+i] = ' '
		}
	}
	s.edited = append(s.edited, "\n\n"...)
	return s.edited, s.edited[from:to]
}

// edit appends data with another model, and without a null error.
func (s *scanner) edit(dst, data, model []byte, rename bool) []byte {
	at, cut := 0, s.nullError
	if rename && s.modelAt.from < cut.from {
		dst = append(append(dst, data[:s.modelAt.from]...), model...)
		at, rename = s.modelAt.to, false
	}
	if cut != (span{}) {
		dst = append(dst, data[at:cut.from]...)
		at = cut.to
	}
	if rename {
		dst = append(append(dst, data[at:s.modelAt.from]...), model...)
		at = s.modelAt.to
	}
	return append(dst, data[at:]...)
}

// last is the event that ends the stream.
func (s *stream) last(raw []byte) llm.Event {
	ev := llm.Event{Raw: s.own(raw), Last: true}
	if ev.Raw != nil {
		ev.Data = []byte(done)
	}
	ev.Finish = s.scanner.conclude()
	ev.Deltas = s.scanner.deltas
	return ev
}

// end ends a stream without a terminal marker, which is well if all choices had
// ended; some vendors never send one. The caller gets it all the same.
func (s *stream) end() (llm.Event, error) {
	if !s.scanner.complete() {
		return llm.Event{}, provider.Interrupted(fmt.Errorf("the stream ended without a finish reason: %w", io.ErrUnexpectedEOF))
	}
	return s.last([]byte(doneFrame)), nil
}

// Close ends the exchange; see llm.Stream.
func (s *stream) Close() error {
	if s.err == nil {
		s.err = io.EOF
	}
	return s.x.Close()
}
