package sim

import (
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// sheet is a form of settings and one file.
func sheet(file string, settings ...string) (media, body string) {
	var b strings.Builder
	for i := 0; i < len(settings); i += 2 {
		b.WriteString("--xYz\r\nContent-Disposition: form-data; name=\"" + settings[i] + "\"\r\n\r\n" + settings[i+1] + "\r\n")
	}
	b.WriteString("--xYz\r\nContent-Disposition: form-data; name=\"" + file + "\"; filename=\"a\"\r\n\r\n" + strings.Repeat("s", 20_000) + "\r\n--xYz--\r\n")
	return "multipart/form-data; boundary=xYz", b.String()
}

// What is no conversation is answered as OpenAI's description has it, whole and
// in events.
func TestMediaBodiesConformToTheOfficialSchema(t *testing.T) {
	t.Parallel()
	schema := func(name string) *jsonschema.Schema { return official(t, "openai.json", "#/components/schemas/"+name) }
	images, generated, edited := schema("ImagesResponse"), schema("ImageGenStreamEvent"), schema("ImageEditStreamEvent")
	s := newSim(t, Options{})
	for _, c := range []struct {
		path, media, body string
		whole, event      *jsonschema.Schema
		events            int
	}{
		{"moderations", "", `{"input":"kill"}`, schema("CreateModerationResponse"), nil, 0},
		{"moderations", "", `{"model":"m","input":["a",{"type":"text","text":"b"}]}`, schema("CreateModerationResponse"), nil, 0},
		{"images/generations", "", `{"model":"m","prompt":"p","n":2}`, images, nil, 0},
		{"images/generations", "", `{"model":"m","prompt":"p","n":2,"response_format":"url","output_format":"webp","size":"1536x1024","quality":"high"}`, images, nil, 0},
		{"images/generations", "", `{"model":"m","prompt":"p","stream":true,"n":2}`, nil, generated, 4},
		{"images/edits", "", `{"model":"m","prompt":"p","images":[{"image_url":"x"}]}`, images, nil, 0},
		{"images/edits", "", `{"model":"m","prompt":"p","stream":true,"images":[{"image_url":"x"}]}`, nil, edited, 2},
		{path: "images/variations", media: "image", body: "n=2", whole: images},
		{path: "images/edits", media: "image", body: "prompt=p&stream=true", event: edited, events: 2},
		{"audio/speech", "", `{"model":"m","input":"hi","voice":"v","stream_format":"sse"}`, nil, schema("CreateSpeechResponseStreamEvent"), 2},
		{path: "audio/transcriptions", media: "file", body: "response_format=json", whole: schema("CreateTranscriptionResponseJson")},
		{path: "audio/transcriptions", media: "file", body: "response_format=verbose_json", whole: schema("CreateTranscriptionResponseVerboseJson")},
		{path: "audio/transcriptions", media: "file", body: "response_format=diarized_json", whole: schema("CreateTranscriptionResponseDiarizedJson")},
		{path: "audio/transcriptions", media: "file", body: "stream=true", event: schema("CreateTranscriptionResponseStreamEvent"), events: 3},
		{path: "audio/translations", media: "file", body: "response_format=json", whole: schema("CreateTranslationResponseJson")},
		{path: "audio/translations", media: "file", body: "response_format=verbose_json", whole: schema("CreateTranslationResponseVerboseJson")},
	} {
		name := c.path + " " + c.body
		media, body := "application/json", c.body
		if c.media != "" {
			media, body = sheet(c.media, append([]string{"model", "m"}, strings.FieldsFunc(c.body, func(r rune) bool { return r == '=' || r == '&' })...)...)
		}
		got := askAs(t, s, "/v1/"+c.path, media, body)
		if got.status != 200 || got.err != nil {
			t.Errorf("%s: %d %s %v", name, got.status, got.body, got.err)
			continue
		}
		if c.whole != nil {
			conforms(t, c.whole, name, got.body)
			continue
		}
		list := frames(t, got.body)
		if len(list) != c.events {
			t.Errorf("%s: %d events, want %d", name, len(list), c.events)
		}
		for _, f := range list {
			conforms(t, c.event, name, f)
		}
	}
}

// Subtitles are subtitles.
func TestTranscriptsHaveTheFormAskedFor(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	for format, want := range map[string]string{
		"text": "This is a simulated transcript.\n",
		"srt":  "1\n00:00:00,000 --> 00:00:02,000\nThis is a simulated transcript.\n\n",
		"vtt":  "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nThis is a simulated transcript.\n\n",
	} {
		media, body := sheet("file", "model", "m", "response_format", format)
		if got := askAs(t, s, "/v1/audio/transcriptions", media, body); got.status != 200 || got.body != want {
			t.Errorf("%s: %d %q, want %q", format, got.status, got.body, want)
		}
	}
}
