package media

import (
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
	request *llm.Request
	family  string
	images  int64     // made
	usage   llm.Usage // of those that told it
	untold  bool      // some did not
	ended   bool      // a terminal event has come, of which several images have one each
}

// Event makes an event of one of the protocol's own; see provider.Protocol. Each of
// several images tells its own usage, with the prompt in it.
func (s *events) Event(r *provider.Reader, f provider.Frame, data []byte) (llm.Event, error) {
	ev := llm.Event{Raw: r.Clean(f), Data: f.Data}
	switch {
	case string(data) == "[DONE]" && s.ended:
		return ev, nil
	case string(data) == "[DONE]":
		return llm.Event{}, provider.ErrSkip
	}
	doc, err := jsonx.Parse(data)
	switch {
	case err != nil || doc.Root().Kind() != jsonx.Object:
		return llm.Event{}, provider.ErrNotObject
	case f.Name == "error" || provider.HasError(data) || doc.Root().Get("type").Is("error"):
		return llm.Event{}, provider.Classify(s.family, http.StatusOK, nil, data)
	}
	root := doc.Root()
	kind := root.Get("type").Text()
	if kind == "" {
		kind = f.Name
	}
	ev.Name = f.Name
	switch {
	case strings.HasSuffix(kind, ".completed"), strings.HasSuffix(kind, ".done"):
		if s.request.Task == llm.TaskImage {
			s.images++
		}
		u, told := counts(root.Get("usage"))
		s.usage.Input, s.usage.CachedInput, s.usage.Output = s.usage.Input+u.Input, s.usage.CachedInput+u.CachedInput, s.usage.Output+u.Output
		s.usage.Seconds, s.untold = max(s.usage.Seconds, u.Seconds), s.untold || !told
		ev.Content, ev.Finish, s.ended = true, llm.FinishStop, true
		ev.Usage = complete(s.request, s.usage, !s.untold, s.images, 0)
	case strings.HasSuffix(kind, ".partial_image"), strings.HasSuffix(kind, ".delta"), strings.HasSuffix(kind, ".segment"):
		ev.Content = true
		if s.request.Task == llm.TaskTranscribe {
			ev.OutputBytes = len(root.Get("delta").Inner())
		}
	}
	return ev, nil
}

// End ends a stream, which is well if a terminal event has come.
func (s *events) End() (llm.Event, error) {
	if !s.ended {
		return llm.Event{}, provider.Interrupted(fmt.Errorf("the stream ended without its last event: %w", io.ErrUnexpectedEOF))
	}
	return llm.Event{}, io.EOF
}

// Complete is false as long as the body has not ended: another image may follow.
func (s *events) Complete() bool { return false }

// Blame changes nothing: bodies pass as they are; see provider.Source.
func (s *events) Blame(err error) error { return err }

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
}

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
	return provider.NewStream(x, &sound{x: x, request: r, media: media, buf: make([]byte, soundPiece)}), nil
}

// Next returns the next piece; see provider.Source. The end of the body is the end
// of the sound: the protocol has no other mark.
func (s *sound) Next() (llm.Event, error) {
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
		s.late = err
		return ev, nil
	case err == io.EOF:
		return llm.Event{Finish: llm.FinishStop, Last: true}, nil
	}
	return llm.Event{}, err
}

// Blame changes nothing: there is nothing to name; see provider.Source.
func (s *sound) Blame(err error) error { return err }
