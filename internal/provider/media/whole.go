package media

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// maxWhole bounds an answer in one piece: ten images of four megabytes in base64.
const maxWhole = 64 << 20

// whole is an answer in one piece: JSON, or the text of a transcript.
type whole struct {
	x       *provider.Exchange
	request *llm.Request
}

// Next returns the answer; see provider.Source.
func (w *whole) Next() (llm.Event, error) {
	media := w.x.Header.Get("Content-Type")
	body, err := w.x.ReadAll(maxWhole)
	if err != nil {
		return llm.Event{}, err
	}
	ev := llm.Event{Last: true, Finish: llm.FinishStop}
	if !isJSON(media) {
		if w.request.Task != llm.TaskTranscribe || strings.Contains(media, "html") {
			return llm.Event{}, provider.BadAnswer(http.StatusOK, body, fmt.Errorf("content type %q", media))
		}
		ev.Raw, ev.MediaType, ev.Content = body, media, true // silence is heard as well
		ev.OutputBytes = len(body)
		ev.Usage = complete(w.request, llm.Usage{}, false, 0, 0)
		return ev, nil
	}
	body = bytes.TrimLeft(body, " \t\r\n")
	doc, err := jsonx.Parse(body)
	switch {
	case err != nil || doc.Root().Kind() != jsonx.Object:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer is not a JSON object"))
	case doc.Root().Get("error").Exists():
		return llm.Event{}, provider.Classify(w.x.Family(), http.StatusOK, w.x.Header, body)
	}
	root := doc.Root()
	images, known := int64(0), false
	switch w.request.Task {
	case llm.TaskModerate:
		known, ev.Content = root.Get("results").Kind() == jsonx.Array, root.Get("results").Len() > 0
	case llm.TaskImage:
		known = root.Get("data").Kind() == jsonx.Array
		for _, d := range root.Get("data").Items() {
			if len(d.Get("b64_json").Inner())+len(d.Get("url").Inner()) > 0 {
				images++
			}
		}
		ev.Content = images > 0
	case llm.TaskTranscribe:
		known = root.Get("text").Kind() == jsonx.String || root.Get("segments").Kind() == jsonx.Array
		ev.Content = known
	}
	if !known {
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer holds nothing of what was asked for"))
	}
	if w.request.Task == llm.TaskTranscribe && root.Get("text").Kind() == jsonx.String && setting(w.request, "response_format") == "text" {
		body, ev.MediaType = append([]byte(root.Get("text").Text()), '\n'), "text/plain; charset=utf-8"
	}
	u, told := counts(root.Get("usage"))
	duration, _ := root.Get("duration").Float()
	ev.Raw, ev.Data = body, body
	if w.request.Stream && ev.MediaType == "" {
		ev.MediaType = "application/json"
	}
	if told || w.request.Task != llm.TaskModerate { // whoever has the price counts its input
		ev.Usage = complete(w.request, u, told, images, duration)
		ev.OutputBytes = len(root.Get("text").Inner())
	}
	return ev, nil
}

// Blame changes nothing: bodies pass as they are; see provider.Source.
func (w *whole) Blame(err error) error { return err }
