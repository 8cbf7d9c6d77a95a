package media

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream is a transport that answers with what it holds, and keeps what was
// sent.
type upstream struct {
	status int
	header http.Header
	body   io.Reader
	err    error

	sent *http.Request
	got  []byte
}

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	u.sent = r
	if r.Body != nil {
		u.got, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	if u.err != nil {
		return nil, u.err
	}
	return &http.Response{
		StatusCode: u.status, Header: u.header, Body: io.NopCloser(u.body), ContentLength: -1, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// answers makes an upstream of one answer.
func answers(status int, media, body string) *upstream {
	return &upstream{status: status, header: http.Header{"Content-Type": {media}}, body: strings.NewReader(body)}
}

// heard is an answer as it was read.
type heard struct {
	bytes   string
	media   string
	content bool
	usage   *llm.Usage
	last    llm.Event
	events  int
	written int // bytes of text
}

// ask sends r and reads the answer to its end; the error is nil where that is
// clean.
func ask(t *testing.T, u *upstream, r *llm.Request, model string) (h heard, err error) {
	t.Helper()
	p := New(Options{Name: "up", BaseURL: "https://api.example.com/v1", Transport: u})
	s, err := p.Open(context.Background(), provider.Call{Request: r, Model: model, Key: "secret"})
	if err != nil {
		return h, err
	}
	defer s.Close()
	for {
		ev, err := s.Next()
		if err != nil {
			if _, again := s.Next(); again != err {
				t.Errorf("after %v comes %v", err, again)
			}
			if err == io.EOF {
				err = nil
			}
			return h, err
		}
		h.events++
		h.written += ev.OutputBytes
		h.bytes += string(ev.Raw)
		h.content = h.content || ev.Content
		if ev.MediaType != "" {
			h.media = ev.MediaType
		}
		if ev.Usage != nil {
			u := *ev.Usage
			h.usage = &u
		}
		h.last = ev
	}
}

var tasks = map[string]struct {
	task    llm.Task
	dialect llm.Dialect
}{
	"openai.moderations":          {llm.TaskModerate, llm.OpenAIModerations},
	"openai.images.generations":   {llm.TaskImage, llm.OpenAIImages},
	"openai.images.edits":         {llm.TaskImage, llm.OpenAIImageEdits},
	"openai.images.variations":    {llm.TaskImage, llm.OpenAIImageVariation},
	"openai.audio.speech":         {llm.TaskSpeech, llm.OpenAISpeech},
	"openai.audio.transcriptions": {llm.TaskTranscribe, llm.OpenAITranscriptions},
}

// request makes the request of a recording, or one that its answer could be to.
func request(t *testing.T, f *testkit.Fixture) *llm.Request {
	t.Helper()
	what := tasks[f.API]
	r := &llm.Request{
		Task: what.task, Dialect: what.dialect, Model: "m", Choices: 1, Inputs: 1, Images: 10, Characters: 5, Seconds: 1000, Heard: 9,
		Stream: what.task == llm.TaskSpeech || f.Response.Kind == "sse",
	}
	body := f.Body()
	if body == nil {
		body = []byte(`{"model":"m"}`)
	}
	raw, err := jsonx.Scan(body)
	if err != nil {
		t.Fatalf("%s: %v", f.ID, err)
	}
	r.Raw = raw
	return r
}

// wants is what a recording uses, as far as its provider tells, and how it ends.
var wants = map[string]struct {
	usage llm.Usage
	err   fault.Code
}{
	"mistral.openai-audio-transcriptions.6c79d13046":    {usage: llm.Usage{Input: 378, AudioInput: 375, Output: 11, Seconds: 3}},
	"mistral.openai-audio-transcriptions.4bd4aa31a6":    {usage: llm.Usage{Input: 380, AudioInput: 375, Output: 20, Seconds: 3}},
	"mistral.openai-audio-transcriptions.9ee2a00353":    {usage: llm.Usage{Input: 13, Output: 151, Seconds: 36}},
	"groq.openai-audio-transcriptions.e65a773dbf":       {usage: llm.Usage{Output: 12, Seconds: 4}},
	"openai.openai-audio-transcriptions.d5051b391d":     {usage: llm.Usage{Seconds: 6}},
	"openai.openai-audio-transcriptions.85eac38730":     {usage: llm.Usage{Input: 37, AudioInput: 37, Output: 12, Seconds: 9, SecondsEstimated: true}},
	"openai.openai-audio-transcriptions.1d13dc10aa":     {usage: llm.Usage{Seconds: 4}},
	"openai.openai-audio-transcriptions.0f19994b87":     {usage: llm.Usage{Seconds: 37}},
	"openai.openai-audio-transcriptions.a47c2257e9":     {err: fault.InvalidRequest},
	"openrouter.openai-audio-transcriptions.47665b713e": {usage: llm.Usage{Seconds: 6}},
	"openai.openai-images-edits.368d389e6b":             {usage: llm.Usage{Input: 76, ImageInput: 64, Output: 120, ImageOutput: 120, Images: 1}},
	"openai.openai-images-edits.28fa477baf":             {usage: llm.Usage{Input: 221, ImageInput: 194, Output: 1318, ImageOutput: 1056, Images: 1}},
	"openai.openai-images-edits.220a813eeb":             {err: fault.InvalidParameter},
	"openai.openai-images-generations.6acd0caf0e":       {err: fault.InvalidParameter},
	"openai.openai-images-generations.6ebcb27d73":       {err: fault.InvalidParameter},
	"openai.openai-images-generations.0d71c576f7":       {err: fault.InvalidParameter},
	"openai.openai-images-generations.4f40ff860a":       {err: fault.InvalidParameter},
	"openai.openai-images-generations.9690c32908":       {err: fault.UnknownParameter},
	"openai.openai-images-generations.c98b1193f9":       {err: fault.InvalidParameter},
	"openai.openai-images-generations.716bfeb597":       {usage: llm.Usage{Input: 14, Output: 272, ImageOutput: 272, Images: 1}},
	"openai.openai-images-generations.17e2629ff6":       {usage: llm.Usage{Input: 14, Output: 272, ImageOutput: 272, Images: 1}},
	"openai.openai-images-generations.4bbb10ba69":       {usage: llm.Usage{Input: 224, ImageInput: 194, Output: 4160, ImageOutput: 4160, Images: 1}},
}

// TestEveryRecordingIsForwardedAndCounted replays what providers have answered:
// the bytes as they came, what they say that they used, and their errors by name.
func TestEveryRecordingIsForwardedAndCounted(t *testing.T) {
	t.Parallel()
	seen := 0
	for api, what := range tasks {
		for _, f := range testkit.Recorded(t, api) {
			seen++
			u := answers(f.Response.Status, f.Response.Header().Get("Content-Type"), string(f.Response.Body()))
			h, err := ask(t, u, request(t, f), "m")
			want := wants[f.ID]
			if want.err != fault.None {
				if err == nil || fault.From(err).Code != want.err {
					t.Errorf("%s: %v, want %s", f.ID, err, want.err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", f.ID, err)
				continue
			}
			sent := string(f.Response.Body())
			if v := scanOf(t, f).Value("audio_data"); v != nil { // Mistral's sound, in JSON
				wrapped, err := base64.StdEncoding.DecodeString(strings.Trim(string(v), `"`))
				if err != nil || h.media != "audio/mpeg" {
					t.Errorf("%s: %s, %v", f.ID, h.media, err)
				}
				sent = string(wrapped)
			}
			if h.bytes != sent || !h.content || h.last.Finish != llm.FinishStop && what.task != llm.TaskTranscribe {
				t.Errorf("%s: %d bytes of %d, content %v, the last is %+v", f.ID, len(h.bytes), len(sent), h.content, h.last)
			}
			checkUsage(t, f, what.task, want.usage, h.usage)
			if media := f.Response.Header().Get("Content-Type"); what.task == llm.TaskSpeech && h.media != media && media != "application/json" {
				t.Errorf("%s: is %s, want %s", f.ID, h.media, media)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d recordings", seen)
	}
}

// scanOf returns the members of a recorded answer; none if it is no JSON object.
func scanOf(t *testing.T, f *testkit.Fixture) llm.Raw {
	t.Helper()
	raw, err := jsonx.Scan(f.Response.Body())
	if err != nil {
		return llm.Raw{}
	}
	return raw
}

func checkUsage(t *testing.T, f *testkit.Fixture, task llm.Task, want llm.Usage, got *llm.Usage) {
	t.Helper()
	if task == llm.TaskModerate {
		if got != nil {
			t.Errorf("%s: used %+v, and nothing is told", f.ID, *got)
		}
		return
	}
	if want == (llm.Usage{}) {
		switch task { // nothing is told, so what can be counted is
		case llm.TaskSpeech:
			want = llm.Usage{Characters: 5}
		case llm.TaskTranscribe:
			want = llm.Usage{Seconds: 9, Estimated: true, SecondsEstimated: true}
		default:
			want = llm.Usage{Images: int64(strings.Count(string(f.Response.Body()), `"url"`)), Estimated: true}
		}
	}
	if got == nil || *got != want {
		t.Errorf("%s: used %+v, want %+v", f.ID, got, want)
	}
}

// TestRequestsGoWhereTheyBelong has the address, the headers and the body of each
// kind of request.
func TestRequestsGoWhereTheyBelong(t *testing.T) {
	t.Parallel()
	for d, path := range paths {
		r := &llm.Request{Task: llm.TaskModerate, Dialect: d, Model: "ours", Raw: scan(t, `{"model": "ours","x":[1]}`)}
		u := answers(200, "application/json", `{"results":[{}]}`)
		if _, err := ask(t, u, r, "theirs"); err != nil {
			t.Errorf("%s: %v", d, err)
			continue
		}
		if u.sent.URL.String() != "https://api.example.com/v1/"+path || u.sent.Header.Get("Authorization") != "Bearer secret" ||
			u.sent.Header.Get("Content-Type") != "application/json" || string(u.got) != `{"model": "theirs","x":[1]}` {
			t.Errorf("%s: %s %v %s", d, u.sent.URL, u.sent.Header, u.got)
		}
	}
	// A model that was not named is not named to its provider either, who has the
	// same default.
	u := answers(200, "application/json", `{"results":[{}]}`)
	r := &llm.Request{Task: llm.TaskModerate, Dialect: llm.OpenAIModerations, Model: "omni", Raw: scan(t, `{"input":"a"}`)}
	if _, err := ask(t, u, r, "omni"); err != nil || string(u.got) != `{"input":"a"}` {
		t.Errorf("%s, %v", u.got, err)
	}
	if err := New(Options{}).Supports(&llm.Request{Dialect: llm.OpenAIChat}); err == nil {
		t.Error("a conversation is supported")
	}
}

func scan(t *testing.T, body string) llm.Raw {
	t.Helper()
	raw, err := jsonx.Scan([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestFormsKeepTheirParts renames the model of a form; all else stays as it was,
// byte for byte: headers, order, an encoding that nobody asked for.
func TestFormsKeepTheirParts(t *testing.T) {
	t.Parallel()
	const boundary = "xYzZY"
	body := "--xYzZY\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b.wav\"\r\nContent-Type: audio/wav\r\nX-Own: 1\r\n\r\nRIFF\x00\xff\r\n--xYz\r\n" +
		"\r\n--xYzZY\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nours\r\n" +
		"--xYzZY\r\nContent-Disposition: form-data; name=\"prompt\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db\r\n--xYzZY--\r\n"
	media := "multipart/form-data; boundary=" + boundary
	for model, changed := range map[string]bool{"ours": false, "their model": true} {
		u := answers(200, "application/json", `{"text":"hi"}`)
		r := &llm.Request{Task: llm.TaskTranscribe, Dialect: llm.OpenAITranscriptions, Model: "ours", Media: media, Raw: llm.Raw{Body: []byte(body)}}
		if _, err := ask(t, u, r, model); err != nil {
			t.Fatal(err)
		}
		if !changed && string(u.got) != body || u.sent.Header.Get("Content-Type") != media || u.sent.ContentLength != int64(len(u.got)) {
			t.Errorf("%s: %v %q", model, u.sent.Header, u.got)
		}
		want := partsOf(t, body, boundary)
		want[1] = strings.Replace(want[1], "ours", model, 1)
		if d := cmp.Diff(want, partsOf(t, string(u.got), boundary)); d != "" {
			t.Errorf("%s: (-want +got):\n%s", model, d)
		}
	}
}

// partsOf are the headers and the bytes of each part.
func partsOf(t *testing.T, body, boundary string) (out []string) {
	t.Helper()
	in := multipart.NewReader(strings.NewReader(body), boundary)
	for {
		p, err := in.NextRawPart()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%v %q", p.Header, data))
	}
}

// broken is a body that breaks off.
type broken struct{ rest io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.rest.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// TestAnswersThatAreNone has what must not pass for an answer.
func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	const done = "event: image_generation.completed\ndata: {\"type\":\"image_generation.completed\",\"b64_json\":\"eA==\"}\n\n"
	const partial = "data: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"eA==\"}\n\n"
	for _, c := range []struct {
		name   string
		task   llm.Task
		stream bool
		status int
		media  string
		body   string
		cut    bool
		want   fault.Code
	}{
		{"a page", llm.TaskImage, false, 200, "text/html", "<html>", false, fault.UpstreamFailed},
		{"a page for a transcript", llm.TaskTranscribe, false, 200, "text/html; charset=utf-8", "<html>", false, fault.UpstreamFailed},
		{"no JSON", llm.TaskImage, false, 200, "application/json", `{"data":[`, false, fault.UpstreamFailed},
		{"a list", llm.TaskImage, false, 200, "application/json", `[]`, false, fault.UpstreamFailed},
		{"something else", llm.TaskImage, false, 200, "application/json", `{"results":[]}`, false, fault.UpstreamFailed},
		{"an error", llm.TaskImage, false, 200, "application/json", `{"error":{"message":"slow down","code":"rate_limit_exceeded"}}`, false, fault.UpstreamRateLimited},
		{"half of it", llm.TaskImage, false, 200, "application/json", `{"data":[{"b64_json":"eA=="}]}`, true, fault.UpstreamFailed},
		{"no verdict", llm.TaskModerate, false, 200, "application/json", `{"id":"x"}`, false, fault.UpstreamFailed},
		{"sound that is an error", llm.TaskSpeech, true, 200, "application/json", `{"error":{"message":"The model is overloaded","code":"server_is_overloaded"}}`, false, fault.UpstreamOverloaded},
		{"sound that is a page", llm.TaskSpeech, true, 200, "text/html", `<html>`, false, fault.UpstreamFailed},
		{"half of a sound", llm.TaskSpeech, true, 200, "audio/mpeg", "abc", true, fault.StreamInterrupted},
		{"no sound at all", llm.TaskSpeech, true, 200, "audio/mpeg", "", true, fault.StreamInterrupted},
		{"a stream without an end", llm.TaskImage, true, 200, "text/event-stream", partial, false, fault.StreamInterrupted},
		{"a stream that breaks off", llm.TaskImage, true, 200, "text/event-stream", partial, true, fault.StreamInterrupted},
		{"half an event", llm.TaskImage, true, 200, "text/event-stream", partial + "data: {\"type\":", false, fault.StreamInterrupted},
		{"an event of no JSON", llm.TaskImage, true, 200, "text/event-stream", partial + "data: nonsense\n\n" + done, false, fault.UpstreamFailed},
		{"an error in a stream", llm.TaskImage, true, 200, "text/event-stream", "event: error\ndata: {\"error\":{\"message\":\"no\",\"code\":\"moderation_blocked\"}}\n\n", false, fault.ContentPolicy},
		{"a policy", llm.TaskImage, false, 400, "application/json", `{"error":{"message":"Your request was rejected by the safety system.","type":"image_generation_user_error","param":null,"code":"moderation_blocked"}}`, false, fault.ContentPolicy},
		{"a redirect", llm.TaskImage, false, 302, "text/html", "", false, fault.UpstreamFailed},
		{"too many requests", llm.TaskSpeech, true, 429, "application/json", `{"error":{"message":"slow down","code":"rate_limit_exceeded"}}`, false, fault.UpstreamRateLimited},
		{"an image that is whole", llm.TaskImage, true, 200, "text/event-stream", partial + done, false, fault.None},
	} {
		d := map[llm.Task]llm.Dialect{
			llm.TaskImage: llm.OpenAIImages, llm.TaskModerate: llm.OpenAIModerations, llm.TaskSpeech: llm.OpenAISpeech, llm.TaskTranscribe: llm.OpenAITranscriptions,
		}[c.task]
		u := answers(c.status, c.media, c.body)
		if c.cut {
			u.body = broken{u.body}
		}
		_, err := ask(t, u, &llm.Request{Task: c.task, Dialect: d, Stream: c.stream, Model: "m", Raw: scan(t, `{"model":"m"}`)}, "m")
		if c.want == fault.None && err != nil || c.want != fault.None && (err == nil || fault.From(err).Code != c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// TestSoundPassesPieceByPiece has every byte of a long sound, its content type
// once, and its end in an event of its own.
func TestSoundPassesPieceByPiece(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 10_000)
	u := answers(200, "audio/wav", long)
	h, err := ask(t, u, &llm.Request{Task: llm.TaskSpeech, Dialect: llm.OpenAISpeech, Stream: true, Model: "m", Characters: 7, Raw: scan(t, `{"model":"m"}`)}, "m")
	if err != nil || h.bytes != long || h.media != "audio/wav" || h.events < 5 || !h.last.Last || h.last.Raw != nil {
		t.Errorf("%d of %d bytes of %s in %d events, the last %+v, %v", len(h.bytes), len(long), h.media, h.events, h.last, err)
	}
	if h.usage == nil || *h.usage != (llm.Usage{Characters: 7}) {
		t.Errorf("used %+v", h.usage)
	}
	// A sound of nothing is an answer of nothing.
	h, err = ask(t, answers(200, "audio/wav", ""), &llm.Request{Task: llm.TaskSpeech, Dialect: llm.OpenAISpeech, Stream: true, Raw: scan(t, `{}`)}, "m")
	if err != nil || h.content {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestEveryImageOfAStreamIsCounted adds up what several images used.
func TestEveryImageOfAStreamIsCounted(t *testing.T) {
	t.Parallel()
	const one = "data: {\"type\":\"image_generation.completed\",\"b64_json\":\"eA==\",\"usage\":{\"input_tokens\":7,\"output_tokens\":100}}\n\n"
	h, err := ask(t, answers(200, "text/event-stream", one+": x\n\n"+one), &llm.Request{Task: llm.TaskImage, Dialect: llm.OpenAIImages, Stream: true, Images: 2, Raw: scan(t, `{}`)}, "m")
	if want := (llm.Usage{Input: 14, Output: 200, ImageOutput: 200, Images: 2}); err != nil || h.usage == nil || *h.usage != want {
		t.Errorf("used %+v, want %+v (%v)", h.usage, want, err)
	}
}

// TestATranscriptMayBeCutWithinACharacter has deltas that are no text by themselves.
func TestATranscriptMayBeCutWithinACharacter(t *testing.T) {
	t.Parallel()
	const body = "data: {\"type\":\"transcript.text.delta\",\"delta\":\"a\\ud83d\"}\n\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\"\\ude00\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"a\U0001f600\"}\n\n"
	h, err := ask(t, answers(200, "text/event-stream", body), &llm.Request{Task: llm.TaskTranscribe, Dialect: llm.OpenAITranscriptions, Stream: true, Raw: scan(t, `{}`)}, "m")
	if err != nil || h.bytes != body {
		t.Errorf("%q, %v", h.bytes, err)
	}
}

// TestNothingIsSentWhereNothingCan has what fails before anything leaves.
func TestNothingIsSentWhereNothingCan(t *testing.T) {
	t.Parallel()
	r := &llm.Request{Task: llm.TaskImage, Dialect: llm.OpenAIImages, Model: "m", Raw: scan(t, `{"model":"m"}`)}
	for _, p := range []*Provider{New(Options{BaseURL: "nonsense"}), New(Options{BaseURL: "ftp://x"})} {
		_, err := p.Open(t.Context(), provider.Call{Request: r, Model: "m"})
		if f, ok := err.(*provider.Failure); !ok || f.Sent || f.Fault.Code != fault.NoTarget {
			t.Errorf("%v", err)
		}
	}
	u := &upstream{err: &url.Error{Op: "Post", Err: io.ErrUnexpectedEOF}}
	if _, err := ask(t, u, r, "m"); err == nil || bytes.Contains([]byte(err.Error()), []byte("secret")) {
		t.Errorf("%v", err)
	}
}
