package media

import (
	"context"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// sheet writes the parts of a form, a name and a file name and what it holds each.
func sheet(parts ...[3]string) (media, body string) {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--xYz\r\nContent-Disposition: form-data; name=\"" + p[0] + "\"")
		if p[1] != "" {
			b.WriteString("; filename=\"" + p[1] + "\"")
		}
		b.WriteString("\r\n\r\n" + p[2] + "\r\n")
	}
	return "multipart/form-data; boundary=xYz", b.String() + "--xYz--\r\n"
}

// formRequest is a request of a form.
func formRequest(task llm.Task, d llm.Dialect, parts ...[3]string) *llm.Request {
	media, body := sheet(parts...)
	return &llm.Request{Task: task, Dialect: d, Model: "ours", Media: media, Raw: llm.Raw{Body: []byte(body)}, Seconds: 60, Heard: 2, Images: 1}
}

// asked sends r to a family and returns what it got, as JSON or as a form's parts.
func asked(t *testing.T, family string, u *upstream, r *llm.Request) (string, error) {
	t.Helper()
	p := New(Options{Name: "up", BaseURL: "https://api.example.com/v1", Family: family, Transport: u})
	if err := p.Supports(r); err != nil {
		return "", err
	}
	s, err := p.Open(context.Background(), provider.Call{Request: r, Model: "theirs", Key: "k"})
	if err != nil {
		return "", err
	}
	defer s.Close()
	for err == nil {
		_, err = s.Next()
	}
	if err != io.EOF {
		t.Error(err)
	}
	media := u.sent.Header.Get("Content-Type")
	if media == "application/json" {
		return string(u.got), nil
	}
	_, boundary, _ := strings.Cut(media, "boundary=")
	return strings.Join(partsOf(t, string(u.got), boundary), "\n"), nil
}

func field(name, v string) string {
	return `map[Content-Disposition:[form-data; name="` + name + `"]] "` + v + `"`
}

// TestRequestsAreWrappedAsVendorsTakeThem has forms for those who take JSON, JSON
// for those who take forms, and settings that a vendor has other words for.
func TestRequestsAreWrappedAsVendorsTakeThem(t *testing.T) {
	t.Parallel()
	const spoken = `{"input_audio":{"data":"SUQz","format":"mp3"},"model":"ours","temperature":0.5,"timestamp_granularities":["word","segment"],"language":null}`
	mp3 := [3]string{"file", "a b.MP3", "ID3"}
	heard := func(more ...[3]string) *llm.Request {
		return formRequest(llm.TaskTranscribe, llm.OpenAITranscriptions, append([][3]string{{"model", "", "ours"}, mp3}, more...)...)
	}
	inJSON := func(task llm.Task, d llm.Dialect, body string) *llm.Request {
		return &llm.Request{Task: task, Dialect: d, Model: "ours", Raw: scan(t, body), Seconds: 60, Images: 1}
	}
	edit := func(parts ...[3]string) *llm.Request {
		return formRequest(llm.TaskImage, llm.OpenAIImageEdits, append([][3]string{{"model", "", "ours"}, {"prompt", "", "p"}}, parts...)...)
	}
	const octets = "application/octet-stream"
	for _, c := range []struct {
		name, family string
		r            *llm.Request
		want         string // what is sent; of a refusal, its parameter
		refused      bool
	}{
		{"JSON to who takes it", "openrouter", inJSON(llm.TaskTranscribe, llm.OpenAITranscriptions, spoken), strings.Replace(spoken, "ours", "theirs", 1), false},
		{"JSON to who takes a form", "openai", inJSON(llm.TaskTranscribe, llm.OpenAITranscriptions, spoken), field("model", "theirs") + "\n" +
			`map[Content-Disposition:[form-data; name="file"; filename="audio.mp3"] Content-Type:[` + octets + `]] "ID3"` + "\n" +
			field("temperature", "0.5") + "\n" + field("timestamp_granularities[]", "word") + "\n" + field("timestamp_granularities[]", "segment"), false},
		{"JSON that a form cannot hold", "openai", inJSON(llm.TaskTranscribe, llm.OpenAITranscriptions, `{"model":"ours","input_audio":{"data":"SUQz","format":"mp3"},"chunking_strategy":{"type":"server_vad"}}`), "chunking_strategy", true},
		{
			"a form to who takes JSON", "openrouter", heard([3]string{"temperature", "", "0.5"}, [3]string{"language", "", "de"}, [3]string{"timestamp_granularities[]", "", "word"}, [3]string{"response_format", "", "text"}),
			`{"model":"theirs","temperature":0.5,"language":"de","timestamp_granularities":["word"],"input_audio":{"data":"SUQz","format":"mp3"}}`, false,
		},
		{"subtitles from who has none", "openrouter", heard([3]string{"response_format", "", "srt"}), "response_format", true},
		{"subtitles from Mistral", "mistral", heard([3]string{"response_format", "", "vtt"}), "response_format", true},
		{"a text from Mistral", "mistral", heard([3]string{"response_format", "", "text"}), field("model", "theirs") + "\n" + `map[Content-Disposition:[form-data; name="file"; filename="a b.MP3"]] "ID3"`, false},
		{
			"a text from Mistral, asked for in JSON", "mistral", inJSON(llm.TaskTranscribe, llm.OpenAITranscriptions, `{"model":"ours","input_audio":{"data":"SUQz","format":"mp3"},"response_format":"text"}`),
			field("model", "theirs") + "\n" + `map[Content-Disposition:[form-data; name="file"; filename="audio.mp3"] Content-Type:[` + octets + `]] "ID3"`, false,
		},
		{"a text from OpenAI", "openai", heard([3]string{"response_format", "", "text"}), field("model", "theirs") + "\n" + `map[Content-Disposition:[form-data; name="file"; filename="a b.MP3"]] "ID3"` + "\n" + field("response_format", "text"), false},
		{
			"a form to who edits by JSON", "xai", edit([3]string{"image", "a.png", "\x89PNG"}, [3]string{"n", "", "2"}),
			`{"model":"theirs","prompt":"p","n":2,"image":{"type":"image_url","url":"data:image/png;base64,` + base64.StdEncoding.EncodeToString([]byte("\x89PNG")) + `"}}`, false,
		},
		{
			"two images to who edits by JSON", "xai", edit([3]string{"image[]", "a", "\xff\xd8\xff"}, [3]string{"image[]", "b", "x"}),
			`{"model":"theirs","prompt":"p","images":[{"type":"image_url","url":"data:image/jpeg;base64,/9j/"},{"type":"image_url","url":"data:image/png;base64,eA=="}]}`, false,
		},
		{"a mask to who has none", "xai", edit([3]string{"image", "a", "x"}, [3]string{"mask", "b", "x"}), "mask", true},
		{"OpenAI's images to xAI", "xai", inJSON(llm.TaskImage, llm.OpenAIImageEdits, `{"model":"ours","images":[{"image_url":"u"}],"prompt":"p"}`), `{"model":"theirs","images":[{"type":"image_url","url":"u"}],"prompt":"p"}`, false},
		{"xAI's images to xAI", "xai", inJSON(llm.TaskImage, llm.OpenAIImageEdits, `{"model":"ours","image":{"type":"image_url","url":"u"}}`), `{"model":"theirs","image":{"type":"image_url","url":"u"}}`, false},
		{"xAI's images to OpenAI", "openai", inJSON(llm.TaskImage, llm.OpenAIImageEdits, `{"model":"ours","images":[{"type":"image_url","url":"u"},{"file_id":"f"}]}`), `{"model":"theirs","images":[{"image_url":"u"},{"file_id":"f"}]}`, false},
		{"xAI's image to OpenAI", "openai", inJSON(llm.TaskImage, llm.OpenAIImageEdits, `{"model":"ours","image":{"type":"image_url","url":"u"}}`), `{"model":"theirs","images":[{"image_url":"u"}]}`, false},
		{"base64 from Together", "together", inJSON(llm.TaskImage, llm.OpenAIImages, `{"model":"ours","response_format":"b64_json"}`), `{"model":"theirs","response_format":"base64"}`, false},
		{"a form without a model", "openai", formRequest(llm.TaskImage, llm.OpenAIImageVariation, [3]string{"image", "a", "x"}), `map[Content-Disposition:[form-data; name="image"; filename="a"]] "x"` + "\n" + field("model", "theirs"), false},
	} {
		answer := `{"text":"hi","usage":{"seconds":1}}`
		if c.r.Task == llm.TaskImage {
			answer = `{"data":[{"url":"u"}]}`
		}
		got, err := asked(t, c.family, answers(200, "application/json", answer), c.r)
		if c.refused {
			if f := fault.From(err); err == nil || f.Code != fault.UnsupportedParameter || f.Param != c.want {
				t.Errorf("%s: %v, want a refusal of %s (%s)", c.name, err, c.want, got)
			}
			continue
		}
		if d := cmp.Diff(c.want, got); err != nil || d != "" {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, d)
		}
	}
}

// TestAnswersAreUnwrapped has answers of vendors who wrap them otherwise than
// OpenAI: sound in JSON, a text in JSON, and events of other names.
func TestAnswersAreUnwrapped(t *testing.T) {
	t.Parallel()
	speak := func(body string) *llm.Request {
		return &llm.Request{Task: llm.TaskSpeech, Dialect: llm.OpenAISpeech, Model: "m", Stream: true, Characters: 5, Raw: scan(t, body)}
	}
	hear := func(stream bool, more ...[3]string) *llm.Request {
		r := formRequest(llm.TaskTranscribe, llm.OpenAITranscriptions, append([][3]string{{"model", "", "m"}, {"file", "a", "x"}}, more...)...)
		r.Stream = stream
		return r
	}
	const js, events = "application/json", "text/event-stream"
	for _, c := range []struct {
		name          string
		r             *llm.Request
		media, answer string
		want, as      string
		usage         llm.Usage
	}{
		{"sound by its head", speak(`{"response_format":"pcm"}`), js, `{"audio_data":"SUQzeA=="}`, "ID3x", "audio/mpeg", llm.Usage{Characters: 5}},
		{"sound as it was asked for", speak(`{"response_format":"pcm"}`), js, `{"audio_data":"eHh4"}`, "xxx", "audio/pcm", llm.Usage{Characters: 5}},
		{"sound by another name", speak(`{}`), js + "; charset=utf-8", `{"audio":"eHh4","usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}`, "xxx", "audio/mpeg", llm.Usage{Characters: 5, Input: 3, Output: 4, AudioOutput: 4}},
		{
			"sound in events", speak(`{"stream_format":"sse"}`), js, `{"audio_data":"eHh4","usage":{"prompt_tokens":3,"completion_tokens":4}}`,
			"data: {\"type\":\"speech.audio.delta\",\"audio\":\"eHh4\"}\n\ndata: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":3,\"output_tokens\":4,\"total_tokens\":7}}\n\n", "",
			llm.Usage{Characters: 5, Input: 3, Output: 4, AudioOutput: 4},
		},
		{
			"Mistral's events of sound", speak(`{}`), events, "event: speech.audio.delta\ndata: {\"type\":\"speech.audio.delta\",\"audio_data\":\"eA==\"}\n\nevent: speech.audio.done\ndata: {\"type\":\"speech.audio.done\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n",
			"data: {\"type\":\"speech.audio.delta\",\"audio\":\"eA==\"}\n\nevent: speech.audio.done\ndata: {\"type\":\"speech.audio.done\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n", "",
			llm.Usage{Characters: 5, Input: 1, Output: 2, AudioOutput: 2},
		},
		{"a text in JSON", hear(false, [3]string{"response_format", "", "text"}), js, `{"text":"a\u00e9","usage":{"seconds":2}}`, "aé\n", "text/plain; charset=utf-8", llm.Usage{Seconds: 2}},
		{"JSON that was asked for", hear(false, [3]string{"response_format", "", "json"}), js, `{"text":"a","usage":{"seconds":2}}`, `{"text":"a","usage":{"seconds":2}}`, "", llm.Usage{Seconds: 2}},
		{
			"Mistral's events of a text", hear(true), events, "event: transcription.text.delta\ndata: {\"type\":\"transcription.text.delta\",\"text\":\"a\"}\n\nevent: transcription.done\ndata: {\"type\":\"transcription.done\",\"model\":\"v\",\"text\":\"a\",\"usage\":{\"prompt_audio_seconds\":2,\"prompt_tokens\":3,\"completion_tokens\":1,\"total_tokens\":4}}\n\n",
			"data: {\"type\":\"transcript.text.delta\",\"delta\":\"a\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"a\",\"usage\":{\"prompt_audio_seconds\":2,\"prompt_tokens\":3,\"completion_tokens\":1,\"total_tokens\":4,\"type\":\"tokens\",\"input_tokens\":3,\"output_tokens\":1}}\n\n",
			"",
			llm.Usage{Seconds: 2, Input: 3, Output: 1},
		},
	} {
		h, err := ask(t, answers(200, c.media, c.answer), c.r, "m")
		if d := cmp.Diff(c.want, h.bytes); err != nil || d != "" || h.media != c.as || h.usage == nil || *h.usage != c.usage {
			t.Errorf("%s: %q, used %+v, %v (-want +got):\n%s", c.name, h.media, h.usage, err, d)
		}
	}
	for _, body := range []string{`{}`, `[]`, `{"audio_data":7}`, `{"audio_data":"?"}`, `{"audio_data":`} {
		if h, err := ask(t, answers(200, js, body), speak(`{}`), "m"); err == nil || fault.From(err).Code != fault.UpstreamFailed {
			t.Errorf("%s: %q, %v", body, h.bytes, err)
		}
	}
}

// TestDeploymentsAreNamedInThePath has Azure's addresses of a dated version.
func TestDeploymentsAreNamedInThePath(t *testing.T) {
	t.Parallel()
	u := answers(200, "application/json", `{"data":[{"url":"u"}]}`)
	p := New(Options{BaseURL: "https://x.openai.azure.com/openai?api-version=2025-04-01-preview", ByPath: true, Family: "azure", Transport: u})
	raw, err := jsonx.Scan([]byte(`{"model":"ours","prompt":"p"}`))
	if err != nil {
		t.Fatal(err)
	}
	r := &llm.Request{Task: llm.TaskImage, Dialect: llm.OpenAIImages, Model: "ours", Images: 1, Raw: raw}
	s, err := p.Open(t.Context(), provider.Call{Request: r, Model: "my-image", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if got := u.sent.URL.String(); got != "https://x.openai.azure.com/openai/deployments/my-image/images/generations?api-version=2025-04-01-preview" {
		t.Error(got)
	}
	_, err = p.Open(t.Context(), provider.Call{Request: r, Model: "../x", Key: "k"})
	if f, ok := err.(*provider.Failure); !ok || f.Sent {
		t.Errorf("a path in a name: %v", err)
	}
}
