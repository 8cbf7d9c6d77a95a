package endings

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

const mediaConfig = `
routing: {attempts: 3, backoff: {base: 1ms, max: 2ms}, breaker: {failures: 1000, requests: 1000000, open: 1s, max_open: 1s}}
providers:
  up: {kind: openai, quirks: openai, base_url: "UP/v1", api_key: sk-upstream, catalog: none}
models:
  instruct: {kind: completion, targets: [{provider: up, model: theirs}], context: 4096, price: {input: 1, output: 2}}
  talker: {targets: [{provider: up, model: theirs}], context: 4096, price: {input: 1, output: 2}}
  omni-moderation-latest: {kind: moderation, input: [text, image], targets: [{provider: up, model: theirs}], price: {free: true}}
  painter: {kind: image, input: [text, image], max_output: 1000, targets: [{provider: up, model: theirs}], price: {image: 0.04}}
  tokens: {kind: image, input: [text, image], max_output: 1000, targets: [{provider: up, model: theirs}], price: {input: 10, output: 40}}
  sees: {kind: image, input: [text, image], max_output: 1000, targets: [{provider: up, model: theirs}], price: {input: 5, output: 40, image_input: 10}}
  hears: {kind: transcription, input: [text, audio], max_output: 1000, targets: [{provider: up, model: theirs}], price: {input: 2.5, output: 10, audio_input: 6}}
  voice: {kind: speech, targets: [{provider: up, model: theirs}], price: {characters: 15}}
  ear: {kind: transcription, input: [text, audio], targets: [{provider: up, model: theirs}], price: {minute: 0.006}}
sites: [{hosts: ["*"], contract: openai}]
`

// upload is a form with the given fields and one file.
func upload(file, name string, fields ...string) (media, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = w.WriteField(fields[i], fields[i+1])
	}
	f, _ := w.CreateFormFile(file, name)
	_, _ = io.WriteString(f, strings.Repeat("s", 32_000))
	_ = w.Close()
	return w.FormDataContentType(), b.String()
}

func sound(body string, cut bool) testkit.Answer {
	return testkit.Answer{Header: http.Header{"Content-Type": {"audio/mpeg"}}, Frames: []testkit.Frame{{Data: body}}, Cut: cut}
}

// mediaEnding is one ending of a request that is no conversation.
type mediaEnding struct {
	name, path, media, body string
	up                      testkit.Answer
	status                  int
	want                    string // in the body
	charge                  string // empty: none
	breaks                  bool   // the connection ends uncleanly
	asked                   int    // how often the provider is asked
}

func mediaEndings() []mediaEnding {
	const json = "application/json"
	form, file := upload("file", "a.mp3", "model", "ear")
	textForm, textFile := upload("file", "a.mp3", "model", "ear", "response_format", "text")
	oddForm, oddFile := upload("file", "a.mp3", "model", "ear", "prompt", `{"models": ["x"], "provider": {`)
	liveForm, liveFile := upload("file", "a.mp3", "model", "ear", "stream", "true")
	editForm, edit := upload("image", "a.png", "model", "painter", "prompt", "p")
	hearForm, hearFile := upload("file", "a.mp3", "model", "hears", "stream", "true")
	likeForm, like := upload("image", "a.png", "model", "painter", "n", "2")
	const spoken = `{"model":"ear","input_audio":{"data":"SUQz","format":"mp3"}}`
	image := testkit.JSON(200, `{"created":1,"data":[{"b64_json":"eA=="},{"b64_json":"eQ=="}]}`)
	events := func(s ...string) testkit.Answer { return testkit.SSE(s...) }
	const partial, completed = `{"type":"image_generation.partial_image","b64_json":"eA=="}`, `{"type":"image_generation.completed","b64_json":"eA==","usage":{"input_tokens":10,"output_tokens":100}}`
	const chunk, last = `{"id":"c","choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":null}],"model":"theirs"}`, `{"id":"c","choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}],"model":"theirs"}`
	return []mediaEnding{
		{"a text goes on", "completions", json, `{"model":"instruct","prompt":"hi","max_tokens":5}`, testkit.JSON(200, `{"object":"text_completion","choices":[{"text":"ho","index":0,"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15},"model":"theirs"}`), 200, `"text":"ho"`, "0.00002", false, 1},
		{"a text goes on in a conversation", "completions", json, `{"model":"talker","prompt":"hi","max_tokens":5}`, testkit.JSON(200, `{"choices":[{"index":0,"message":{"role":"assistant","content":"ho"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}`), 200, `"text":"ho","index":0,"logprobs":null,"finish_reason":"stop"}`, "0.00002", false, 1},
		{"a streamed text", "completions", json, `{"model":"instruct","prompt":"hi","max_tokens":5,"stream":true}`, events(chunk, last, `{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}`, "[DONE]"), 200, "data: [DONE]", "0.00002", false, 1},
		{"a streamed text that breaks off", "completions", json, `{"model":"instruct","prompt":"hi","max_tokens":5,"stream":true}`, events(chunk), 200, `data: {"error":`, "", false, 1},
		{"an empty text", "completions", json, `{"model":"instruct","prompt":"hi"}`, testkit.JSON(200, `{"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":0,"total_tokens":10}}`), 502, "empty_response", "", false, 3},
		{"a verdict", "moderations", json, `{"input":"hi"}`, testkit.JSON(200, `{"id":"m","model":"x","results":[{"flagged":false}]}`), 200, `"flagged":false`, "", false, 1},
		{"no verdict", "moderations", json, `{"input":"hi"}`, testkit.JSON(200, `{"id":"m","model":"x","results":[]}`), 502, "empty_response", "", false, 3},
		{"two images", "images/generations", json, `{"model":"painter","prompt":"p","n":2}`, image, 200, `"b64_json":"eQ=="`, "0.08", false, 1},
		{"no image", "images/generations", json, `{"model":"painter","prompt":"p"}`, testkit.JSON(200, `{"created":1,"data":[]}`), 502, "empty_response", "", false, 1},
		{"images by tokens that nobody tells", "images/generations", json, `{"model":"tokens","prompt":"p","n":2}`, image, 200, `"data"`, "0.08017", false, 1},
		{"images by tokens", "images/generations", json, `{"model":"tokens","prompt":"p"}`, testkit.JSON(200, `{"data":[{"b64_json":"eA=="}],"usage":{"input_tokens":10,"output_tokens":100}}`), 200, `"usage"`, "0.0041", false, 1},
		{"a policy", "images/generations", json, `{"model":"painter","prompt":"p"}`, testkit.JSON(400, `{"error":{"message":"Your request was rejected by the safety system.","type":"image_generation_user_error","code":"moderation_blocked"}}`), 400, "content_policy_violation", "", false, 1},
		{"a server that fails at it", "images/generations", json, `{"model":"painter","prompt":"p"}`, testkit.JSON(500, `{"error":{"message":"no"}}`), 502, "upstream_error", "", false, 1},
		{"a server that has too much to do", "images/generations", json, `{"model":"painter","prompt":"p"}`, testkit.JSON(503, `{"error":{"message":"no"}}`), 503, `"error"`, "", false, 3},
		{"streamed images", "images/generations", json, `{"model":"tokens","prompt":"p","stream":true}`, events(partial, completed), 200, `image_generation.completed`, "0.0041", false, 1},
		{"streamed images that break off", "images/generations", json, `{"model":"tokens","prompt":"p","stream":true}`, events(partial), 200, "event: error\ndata: {\"error\":", "", false, 1},
		{"an edit", "images/edits", editForm, edit, image, 200, `"b64_json":"eA=="`, "0.04", false, 1},
		{"an edit in JSON", "images/edits", json, `{"model":"painter","prompt":"p","images":[{"image_url":"data:image/png;base64,eA=="}]}`, image, 200, `"b64_json":"eA=="`, "0.04", false, 1},
		{"variations", "images/variations", likeForm, like, image, 200, `"b64_json":"eA=="`, "0.08", false, 1},
		{"a translation", "audio/translations", textForm, textFile, testkit.JSON(200, `{"text":"hi","usage":{"type":"duration","seconds":4}}`), 200, "hi\n", "0.0004", false, 1},
		{"a translation of what is told", "audio/translations", form, file, testkit.JSON(200, `{"task":"translate","duration":3.5,"text":"hi"}`), 200, `"text":"hi"`, "0.0004", false, 1},
		{"sound to hear in JSON", "audio/transcriptions", json, spoken, testkit.JSON(200, `{"text":"hi"}`), 200, `"text":"hi"`, "0.0001", false, 1},
		{"an edit of images that are paid for as such", "images/edits", json, `{"model":"sees","prompt":"p","images":[{"image_url":"x"}]}`, testkit.JSON(200, `{"data":[{"b64_json":"eA=="}],"usage":{"input_tokens":310,"input_tokens_details":{"text_tokens":110,"image_tokens":200},"output_tokens":100,"total_tokens":410}}`), 200, `"usage"`, "0.00655", false, 1},
		{"a transcript of sound that is paid for as such", "audio/transcriptions", hearForm, hearFile, events(`{"type":"transcript.text.done","text":"hi","usage":{"type":"tokens","total_tokens":49,"input_tokens":37,"input_token_details":{"text_tokens":0,"audio_tokens":37},"output_tokens":12}}`), 200, "done", "0.000342", false, 1},
		{"speech in JSON", "audio/speech", json, `{"model":"voice","input":"hello","voice":"alloy"}`, testkit.JSON(200, `{"audio_data":"SUQzeA=="}`), 200, "ID3x", "0.000075", false, 1},
		{"speech", "audio/speech", json, `{"model":"voice","input":"hello","voice":"alloy"}`, sound("ID3 sound", false), 200, "ID3 sound", "0.000075", false, 1},
		{"speech that breaks off", "audio/speech", json, `{"model":"voice","input":"hello","voice":"alloy"}`, sound(strings.Repeat("ID3 sound", 20_000), true), 200, "ID3 sound", "", true, 1},
		{"no speech", "audio/speech", json, `{"model":"voice","input":"hello","voice":"alloy"}`, sound("", false), 502, "empty_response", "", false, 1},
		{"a transcript", "audio/transcriptions", form, file, testkit.JSON(200, `{"text":"hi","usage":{"type":"duration","seconds":4}}`), 200, `"text":"hi"`, "0.0004", false, 1},
		{"a form that mentions what JSON would mean", "audio/transcriptions", oddForm, oddFile, testkit.JSON(200, `{"text":"hi","usage":{"type":"duration","seconds":4}}`), 200, `"text":"hi"`, "0.0004", false, 1},
		{"a transcript whose length nobody tells", "audio/transcriptions", textForm, textFile, testkit.Answer{Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, Body: []byte("hi\n")}, 200, "hi\n", "0.0002", false, 1},
		{"a streamed transcript", "audio/transcriptions", liveForm, liveFile, events(`{"type":"transcript.text.delta","delta":"hi"}`, `{"type":"transcript.text.done","text":"hi","usage":{"type":"duration","seconds":4}}`, "[DONE]"), 200, "transcript.text.done", "0.0004", false, 1},
		{"a page for a transcript", "audio/transcriptions", form, file, testkit.Answer{Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html>")}, 502, "upstream", "", false, 1},
		{"JSON where a form is taken", "audio/translations", json, `{}`, testkit.Answer{}, 415, "multipart/form-data", "", false, 0},
		{"a form where JSON is taken", "chat/completions", form, file, testkit.Answer{}, 415, "application/json", "", false, 0},
		{"the wrong kind of model", "audio/speech", json, `{"model":"painter","input":"hello","voice":"alloy"}`, testkit.Answer{}, 400, "is not a speech model", "", false, 0},
	}
}

// TestWhatIsNoConversationEndsAndCosts has the endings of texts, verdicts, images
// and sound through a running gateway: what the caller gets, what he pays, and how
// often the provider is asked.
func TestWhatIsNoConversationEndsAndCosts(t *testing.T) {
	t.Parallel()
	up := testkit.NewUpstream(t)
	gw := harness.Start(t, harness.Options{Config: strings.ReplaceAll(mediaConfig, "UP", up.URL)})
	for _, c := range mediaEndings() {
		a := gw.NewAccount(t, "a", "1")
		key := gw.NewKey(t, a.ID, nil).Key
		up.Always(c.up)
		before := len(up.Received())
		resp, body, err := ask(t, gw.URL+"/v1/"+c.path, key, c.media, c.body, "")
		if (err != nil) != c.breaks || resp.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %.300q, %v", c.name, resp.StatusCode, body, err)
		}
		if asked := len(up.Received()) - before; asked != c.asked {
			t.Errorf("%s: the provider was asked %d times, want %d", c.name, asked, c.asked)
		}
		if c.asked > 0 && !strings.Contains(string(up.Request(before).Body), "theirs") && c.path != "moderations" {
			t.Errorf("%s: the provider was sent %.200s", c.name, up.Request(before).Body)
		}
		r := gw.Receipt(t, resp.Header.Get("X-Request-Id"), func(r harness.Receipt) bool { return r.Outcome != "" })
		want := nano(t, "0")
		if c.charge != "" {
			want = nano(t, c.charge)
		}
		if nano(t, r.ChargeUSD).Cmp(want) != 0 {
			t.Errorf("%s: costs %s, want %s (%+v)", c.name, r.ChargeUSD, c.charge, r)
		}
		told := resp.Trailer.Get("X-Charge-Usd") + resp.Header.Get("X-Charge-Usd")
		if c.charge != "" && nano(t, told).Cmp(want) != 0 {
			t.Errorf("%s: tells a charge of %s, want %s", c.name, told, c.charge)
		}
		if now := gw.AccountNow(t, a.ID); nano(t, now.BalanceUSD).Cmp(nano(t, "1").Sub(nano(t, "1"), want)) != 0 {
			t.Errorf("%s: leaves %s", c.name, now.BalanceUSD)
		}
	}
	gw.Verify(t)
}

// ask sends a request and reads the answer as far as it comes.
func ask(t *testing.T, url, key, media, body, idempotency string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", media)
	if idempotency != "" {
		req.Header.Set("Idempotency-Key", idempotency)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp, string(got), err
}

// TestSoundIsGivenAgain has an idempotency key: the sound comes again with its
// content type, byte for byte, and is paid for once; so does a transcript of the
// same form, and another form under the same key is refused.
func TestSoundIsGivenAgain(t *testing.T) {
	t.Parallel()
	up := testkit.NewUpstream(t)
	gw := harness.Start(t, harness.Options{Config: strings.ReplaceAll(mediaConfig, "UP", up.URL)})
	a := gw.NewAccount(t, "a", "1")
	key := gw.NewKey(t, a.ID, nil).Key
	up.Always(sound("ID3\x00\xff sound", false))
	for i := range 2 {
		resp, body, err := ask(t, gw.URL+"/v1/audio/speech", key, "application/json", `{"model":"voice","input":"hello","voice":"alloy"}`, "one")
		if err != nil || resp.StatusCode != 200 || body != "ID3\x00\xff sound" || resp.Header.Get("Content-Type") != "audio/mpeg" {
			t.Errorf("time %d: %d %s %q, %v", i, resp.StatusCode, resp.Header.Get("Content-Type"), body, err)
		}
	}
	up.Always(testkit.JSON(200, `{"text":"hi","usage":{"type":"duration","seconds":4}}`))
	media, form := upload("file", "a.mp3", "model", "ear")
	for i := range 2 {
		if resp, body, err := ask(t, gw.URL+"/v1/audio/transcriptions", key, media, form, "two"); err != nil || resp.StatusCode != 200 || !strings.Contains(body, `"hi"`) {
			t.Errorf("time %d: %d %q, %v", i, resp.StatusCode, body, err)
		}
	}
	media, form = upload("file", "a.mp3", "model", "ear", "language", "de")
	if resp, body, _ := ask(t, gw.URL+"/v1/audio/transcriptions", key, media, form, "two"); resp.StatusCode != 422 {
		t.Errorf("another form: %d %s", resp.StatusCode, body)
	}
	if n := len(up.Received()); n != 2 {
		t.Errorf("the provider was asked %d times, want 2", n)
	}
	if now := gw.AccountNow(t, a.ID); nano(t, now.BalanceUSD).Cmp(nano(t, "0.999525")) != 0 {
		t.Errorf("%s is left", now.BalanceUSD)
	}
	for _, path := range []string{"completions", "moderations", "images/generations", "images/edits", "images/variations", "audio/speech", "audio/transcriptions", "audio/translations"} {
		resp, err := http.Get(gw.URL + "/v1/" + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST" {
			t.Errorf("GET %s: %d, Allow %q", path, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
}

// TestWhoLeavesATranscriptPaysForTheSound has a caller who leaves with a part of what
// was heard: the sound, two seconds of 16,000 bytes, is the prompt.
func TestWhoLeavesATranscriptPaysForTheSound(t *testing.T) {
	t.Parallel()
	up := testkit.NewUpstream(t)
	gw := harness.Start(t, harness.Options{Config: strings.ReplaceAll(mediaConfig, "UP", up.URL)})
	delta := testkit.SSE(`{"type":"transcript.text.delta","delta":"hi"}`, `{"type":"transcript.text.delta","delta":" you"}`)
	delta.Hang = true
	up.Always(delta)
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	media, form := upload("file", "a.mp3", "model", "ear", "stream", "true")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, gw.URL+"/v1/audio/transcriptions", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+gw.NewKey(t, gw.NewAccount(t, "a", "1").ID, nil).Key)
	req.Header.Set("Content-Type", media)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	leave()
	r := gw.Receipt(t, resp.Header.Get("X-Request-Id"), func(r harness.Receipt) bool { return r.Outcome != "" })
	if r.Outcome != "client_left" || nano(t, r.ChargeUSD).Cmp(nano(t, "0.0002")) != 0 || !r.Estimated {
		t.Errorf("%s costs %s, estimated %v", r.Outcome, r.ChargeUSD, r.Estimated)
	}
}
