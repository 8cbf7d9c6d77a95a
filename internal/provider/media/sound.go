package media

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// soundPiece is how much sound one event has at most.
const soundPiece = 32 << 10

// sound is an answer of bytes that are played while they come.
type sound struct {
	from  io.Reader
	media string
	usage *llm.Usage
	buf   []byte
	begun bool
	late  error // came with the last piece
}

// newSound returns the stream of an answer that is sound, or what is wrong with
// it. In JSON there is sound in base64, or an error, which is classified.
func newSound(x *provider.Exchange, r *llm.Request, family string) (llm.Stream, error) {
	s := &sound{from: x, media: x.Header.Get("Content-Type"), buf: make([]byte, soundPiece)}
	s.usage = complete(r, llm.Usage{}, true, 0, 0) // characters are counted by whoever has the text
	if strings.HasPrefix(s.media, "audio/") || strings.HasPrefix(s.media, "application/octet-stream") {
		return provider.NewStream(x, s), nil
	}
	if !isJSON(s.media) {
		body, err := x.ReadAll(64 << 10)
		switch {
		case err != nil:
			return nil, err
		case provider.HasError(body):
			return nil, provider.Classify(family, http.StatusOK, x.Header, body)
		}
		return nil, provider.BadAnswer(http.StatusOK, body, fmt.Errorf("content type %q where sound was expected", s.media))
	}
	body, err := x.ReadAll(maxWhole)
	if err != nil {
		return nil, err
	}
	if provider.HasError(body) {
		return nil, provider.Classify(family, http.StatusOK, x.Header, body)
	}
	if err := s.unwrap(body, r); err != nil {
		return nil, provider.BadAnswer(http.StatusOK, body, err)
	}
	return provider.NewStream(x, s), nil
}

// unwrap takes the sound out of JSON, as Mistral sends it. Who asked for events gets
// those that OpenAI would have sent.
func (s *sound) unwrap(body []byte, r *llm.Request) error {
	doc, err := jsonx.Parse(body)
	if err != nil || doc.Root().Kind() != jsonx.Object {
		return errors.New("the answer is not a JSON object")
	}
	v := doc.Root().Get("audio_data")
	if !v.Exists() {
		v = doc.Root().Get("audio")
	}
	if v.Kind() != jsonx.String {
		return errors.New("the answer holds no sound")
	}
	played, err := base64.StdEncoding.DecodeString(v.Text())
	if err != nil {
		return errors.New("the sound is not base64")
	}
	u, _ := counts(doc.Root().Get("usage"))
	s.usage = complete(r, u, true, 0, 0)
	s.media = soundType(played, setting(r, "response_format"))
	if setting(r, "stream_format") == "sse" && len(played) > 0 {
		played = fmt.Appendf(nil, "data: {\"type\":\"speech.audio.delta\",\"audio\":%s}\n\n"+
			"data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":%d,\"output_tokens\":%d,\"total_tokens\":%d}}\n\n", v.Raw(), u.Input, u.Output, u.Input+u.Output)
		s.media = ""
	}
	s.from = bytes.NewReader(played)
	return nil
}

// Next returns the next piece; see provider.Source. The end of the body is the end
// of the sound: the protocol has no other mark.
func (s *sound) Next() (llm.Event, error) {
	n, err := 0, s.late
	for n == 0 && err == nil {
		n, err = s.from.Read(s.buf)
	}
	switch {
	case n > 0:
		ev := llm.Event{Raw: s.buf[:n], Content: true}
		if !s.begun {
			s.begun, ev.MediaType, ev.Usage = true, s.media, s.usage
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
