package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// events is an answer of server-sent events: partial images, a transcript, or
// sound in base64.
type events struct {
	x       *provider.Exchange
	frames  *provider.Reader
	request *llm.Request
	family  string
	images  int64     // made
	usage   llm.Usage // of those that told it
	told    bool
	ended   bool  // the terminal event has come
	content bool  // some has come
	fresh   bool  // the last event meant something
	err     error // what every further call of Next returns
}

var _ llm.Stream = (*events)(nil)

// Next returns the next event; see llm.Stream.
func (s *events) Next() (llm.Event, error) {
	if s.err != nil {
		return llm.Event{}, s.err
	}
	if s.fresh {
		s.x.Meaning(s.content)
	}
	ev, err := s.next()
	if err != nil {
		s.err = err
		if err != io.EOF {
			_ = s.x.Close()
		}
		return llm.Event{}, s.err
	}
	s.fresh, s.content = ev.Content, s.content || ev.Content
	ev.More = s.frames.Buffered()
	return ev, nil
}

func (s *events) next() (llm.Event, error) {
	for {
		f, err := s.frames.Next()
		switch {
		case err == io.EOF && s.ended:
			s.x.Over()
			return llm.Event{}, io.EOF
		case err == io.EOF:
			return llm.Event{}, provider.Interrupted(fmt.Errorf("the stream ended without its last event: %w", io.ErrUnexpectedEOF))
		case errors.Is(err, provider.ErrFrameTooLong):
			return llm.Event{}, provider.BadAnswer(http.StatusOK, nil, err)
		case err != nil:
			return llm.Event{}, err
		}
		data := bytes.TrimSpace(f.Data)
		switch {
		case string(data) == "[DONE]" && s.ended:
			return llm.Event{Raw: s.frames.Clean(f), Data: f.Data}, nil
		case len(data) > 0 && string(data) != "[DONE]":
			return s.event(f, data)
		case f.Comment:
			return llm.Event{Raw: s.frames.Clean(f), Ping: true}, nil
		}
	}
}

// event makes an event of a frame with data. Each of several images tells its own
// usage, with the prompt in it.
func (s *events) event(f provider.Frame, data []byte) (llm.Event, error) {
	doc, err := jsonx.Parse(data)
	switch {
	case err != nil || doc.Root().Kind() != jsonx.Object:
		if f.Cut {
			return llm.Event{}, provider.Interrupted(io.ErrUnexpectedEOF)
		}
		return llm.Event{}, provider.BadAnswer(http.StatusOK, data, errors.New("an event of the stream is not a JSON object"))
	case f.Name == "error" || provider.HasError(data) || doc.Root().Get("type").Is("error"):
		return llm.Event{}, provider.Classify(s.family, http.StatusOK, nil, data)
	}
	root := doc.Root()
	kind := root.Get("type").Text()
	if kind == "" {
		kind = f.Name
	}
	ev := llm.Event{Raw: s.frames.Clean(f), Data: f.Data, Name: f.Name}
	switch {
	case strings.HasSuffix(kind, ".completed"), strings.HasSuffix(kind, ".done"):
		if s.request.Task == llm.TaskImage {
			s.images++
		}
		u, told := counts(root.Get("usage"))
		s.usage.Input, s.usage.CachedInput, s.usage.Output = s.usage.Input+u.Input, s.usage.CachedInput+u.CachedInput, s.usage.Output+u.Output
		s.usage.Seconds, s.told = max(s.usage.Seconds, u.Seconds), s.told || told
		ev.Content, ev.Finish, s.ended = true, llm.FinishStop, true
		ev.Usage = complete(s.request, s.usage, s.told, s.images, 0)
	case strings.HasSuffix(kind, ".partial_image"), strings.HasSuffix(kind, ".delta"), strings.HasSuffix(kind, ".segment"):
		ev.Content = true
	}
	return ev, nil
}

// Close ends the exchange; see llm.Stream.
func (s *events) Close() error {
	if s.err == nil {
		s.err = io.EOF
	}
	return s.x.Close()
}

// soundPiece is how much sound one event has at most.
const soundPiece = 32 << 10

// sound is an answer of bytes that are played while they come.
type sound struct {
	x       *provider.Exchange
	request *llm.Request
	media   string
	buf     []byte
	begun   bool
	late    error // came with the last piece
	err     error // what every further call of Next returns
}

var _ llm.Stream = (*sound)(nil)

// newSound returns the stream of an answer that is sound, or what is wrong with
// it: an error in JSON is classified.
func newSound(x *provider.Exchange, r *llm.Request, family string) (llm.Stream, error) {
	media := x.Header.Get("Content-Type")
	if !strings.HasPrefix(media, "audio/") && !strings.HasPrefix(media, "application/octet-stream") {
		body, err := x.ReadAll(64 << 10)
		switch {
		case err != nil:
			return nil, err
		case provider.HasError(body):
			return nil, provider.Classify(family, http.StatusOK, x.Header, body)
		}
		return nil, provider.BadAnswer(http.StatusOK, body, fmt.Errorf("content type %q where sound was expected", media))
	}
	return &sound{x: x, request: r, media: media, buf: make([]byte, soundPiece)}, nil
}

// Next returns the next piece; see llm.Stream. The end of the body is the end of
// the sound: the protocol has no other mark.
func (s *sound) Next() (llm.Event, error) {
	if s.err != nil {
		return llm.Event{}, s.err
	}
	n, err := 0, s.late
	for n == 0 && err == nil {
		n, err = s.x.Read(s.buf)
	}
	switch {
	case n > 0:
		ev := llm.Event{Raw: s.buf[:n], Content: true}
		if !s.begun {
			s.begun, ev.MediaType = true, s.media
			ev.Usage = complete(s.request, llm.Usage{}, false, 0, 0)
			ev.Usage.Estimated = false // characters are counted by whoever has the text
		}
		s.x.Meaning(true)
		s.late = err
		return ev, nil
	case err == io.EOF:
		s.err = io.EOF
		s.x.Over()
		return llm.Event{Finish: llm.FinishStop, Last: true}, nil
	}
	s.err = err
	return llm.Event{}, s.err
}

// Close ends the exchange; see llm.Stream.
func (s *sound) Close() error {
	if s.err == nil {
		s.err = io.EOF
	}
	return s.x.Close()
}
