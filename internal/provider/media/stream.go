package media

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
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
	written int       // bytes of a transcript
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
	doc, err := jsonx.ParseEvent(data)
	switch {
	case err != nil || doc.Root().Kind() != jsonx.Object:
		return llm.Event{}, provider.ErrNotObject
	case f.Name == "error" || doc.Root().Get("error").Exists() || doc.Root().Get("type").Is("error"):
		return llm.Event{}, provider.Classify(s.family, http.StatusOK, nil, data)
	}
	root := doc.Root()
	kind := root.Get("type").Text()
	if kind == "" {
		kind = f.Name
	}
	ev.Name = f.Name
	if own := openAIs(kind, root); own != nil {
		if doc, err = jsonx.Parse(own); err != nil {
			return llm.Event{}, provider.ErrNotObject
		}
		root, ev.Name, ev.Data = doc.Root(), "", own
		kind = root.Get("type").Text()
		ev.Raw = append(append([]byte("data: "), own...), "\n\n"...)
	}
	switch {
	case strings.HasSuffix(kind, ".completed"), strings.HasSuffix(kind, ".done"):
		if s.request.Task == llm.TaskImage {
			s.images++
		}
		u, told := counts(root.Get("usage"))
		s.usage.Input, s.usage.CachedInput, s.usage.Output = s.usage.Input+u.Input, s.usage.CachedInput+u.CachedInput, s.usage.Output+u.Output
		s.usage.ImageInput, s.usage.AudioInput = s.usage.ImageInput+u.ImageInput, s.usage.AudioInput+u.AudioInput
		s.usage.ImageOutput += u.ImageOutput
		s.usage.Seconds, s.untold = max(s.usage.Seconds, u.Seconds), s.untold || !told
		if s.request.Task == llm.TaskTranscribe && s.written == 0 { // all of it comes at once
			s.delta(&ev, root.Get("text"))
		}
		ev.Content, ev.Finish, s.ended = true, llm.FinishStop, true
		ev.Usage = complete(s.request, s.usage, !s.untold, s.images, 0)
	case strings.HasSuffix(kind, ".partial_image"), strings.HasSuffix(kind, ".delta"), strings.HasSuffix(kind, ".segment"):
		ev.Content = true
		if s.request.Task == llm.TaskTranscribe {
			s.delta(&ev, root.Get("delta"))
		}
	}
	return ev, nil
}

// openAIs returns an event of Mistral's as OpenAI would have sent it; nil: it is
// passed on as it is.
//
// Source: Mistral's SDK, SpeechStreamAudioDelta, TranscriptionStreamTextDelta and
// TranscriptionStreamDone.
func openAIs(kind string, root jsonx.Value) []byte {
	var e provider.Encoding
	e.Open('{')
	switch {
	case kind == "speech.audio.delta" && root.Get("audio_data").Exists():
		e.Text("type", kind)
		e.Raw("audio", root.Get("audio_data").Raw())
	case kind == "transcription.text.delta" && root.Get("text").Exists():
		e.Text("type", "transcript.text.delta")
		e.Raw("delta", root.Get("text").Raw())
	case kind == "transcription.done" && root.Get("text").Exists():
		e.Text("type", "transcript.text.done")
		e.Raw("text", root.Get("text").Raw())
		if v := root.Get("usage"); v.Exists() {
			e.Raw("usage", ownUsage(v))
		}
	default:
		return nil
	}
	e.Close('}')
	return e.Body
}

// ownUsage returns a usage with the counts in OpenAI's words besides those of the
// vendor.
func ownUsage(v jsonx.Value) []byte {
	u, ok := counts(v)
	if !ok || v.Get("input_tokens").Exists() {
		return v.Raw()
	}
	num := func(n int64) []byte { return strconv.AppendInt(nil, n, 10) }
	return jsonx.Splice(v.Raw(), []llm.Edit{
		{Name: "type", Value: []byte(`"tokens"`)},
		{Name: "input_tokens", Value: num(u.Input)},
		{Name: "output_tokens", Value: num(u.Output)},
		{Name: "total_tokens", Value: num(u.Input + u.Output)},
	})
}

// delta measures a piece of a transcript.
func (s *events) delta(ev *llm.Event, text jsonx.Value) {
	ev.OutputBytes = len(text.Inner())
	s.written += ev.OutputBytes
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
