package endings

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

const surfacesConfig = `
providers:
  sim: {kind: sim}
  mistral: {kind: openai, quirks: mistral, base_url: "UP/v1", api_key: k, catalog: none}
  openai: {kind: openai, quirks: openai, base_url: "UP/v1", api_key: k, catalog: none}
  voyage: {kind: openai, quirks: voyage, base_url: "UP/v1", api_key: k, catalog: none}
models:
  check: {kind: moderation, input: [text, image], targets: [{provider: sim, model: m}], price: {free: true}}
  paint: {kind: image, input: [text, image], max_output: 1000, targets: [{provider: sim, model: m}], price: {image: 0.04}}
  speak: {kind: speech, targets: [{provider: sim, model: m}], price: {characters: 15}}
  hear: {kind: transcription, targets: [{provider: sim, model: m}], price: {minute: 0.006}}
  embed: {kind: embedding, targets: [{provider: sim, model: m}], price: {input: 1}}
  mistral-speak: {kind: speech, targets: [{provider: mistral, model: m}], price: {characters: 15}}
  mistral-hear: {kind: transcription, targets: [{provider: mistral, model: m}], price: {minute: 0.006}}
  openai-hear: {kind: transcription, targets: [{provider: openai, model: m}], price: {input: 2, output: 10}}
  voyage-embed: {kind: embedding, targets: [{provider: voyage, model: m}], price: {input: 1}}
sites: [{hosts: ["*"], contract: openai}]
`

// TestWhatIsNoConversationConforms checks what callers get against OpenAI's own
// description, from the simulator, and from providers whose answers are made into
// it. Whole JSON of a provider passes as it is.
func TestWhatIsNoConversationConforms(t *testing.T) {
	t.Parallel()
	up := testkit.NewUpstream(t)
	gw := harness.Start(t, harness.Options{Config: strings.ReplaceAll(surfacesConfig, "UP", up.URL)})
	key := gw.NewKey(t, gw.NewAccount(t, "a", "5").ID, nil).Key
	sheet := func(file string, fields ...string) []string { // a content type and a body
		media, body := upload(file, "a.mp3", fields...)
		return []string{media, body}
	}
	js := func(body string) []string { return []string{"application/json", body} }
	sound := testkit.JSON(200, `{"audio_data":"SUQzeA=="}`)
	mistralHears := testkit.SSE(`{"type":"transcription.text.delta","text":"hi"}`,
		`{"type":"transcription.done","model":"m","text":"hi","language":"en","segments":[],"usage":{"prompt_audio_seconds":3,"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}`)
	for _, c := range []struct {
		path   string
		ask    []string
		up     testkit.Answer
		schema string
	}{
		{"moderations", js(`{"model":"check","input":["kill",""]}`), testkit.Answer{}, "CreateModerationResponse"},
		{"images/generations", js(`{"model":"paint","prompt":"p","n":2}`), testkit.Answer{}, "ImagesResponse"},
		{"images/generations", js(`{"model":"paint","prompt":"p","stream":true}`), testkit.Answer{}, "ImageGenStreamEvent"},
		{"images/edits", sheet("image", "model", "paint", "prompt", "p"), testkit.Answer{}, "ImagesResponse"},
		{"images/edits", sheet("image", "model", "paint", "prompt", "p", "stream", "true"), testkit.Answer{}, "ImageEditStreamEvent"},
		{"images/variations", sheet("image", "model", "paint", "n", "2"), testkit.Answer{}, "ImagesResponse"},
		{"audio/speech", js(`{"model":"speak","input":"hi","voice":"v","stream_format":"sse"}`), testkit.Answer{}, "CreateSpeechResponseStreamEvent"},
		{"audio/speech", js(`{"model":"mistral-speak","input":"hi","voice":"v","stream_format":"sse"}`), sound, "CreateSpeechResponseStreamEvent"},
		{"audio/transcriptions", sheet("file", "model", "hear"), testkit.Answer{}, "CreateTranscriptionResponseJson"},
		{"audio/transcriptions", sheet("file", "model", "hear", "response_format", "verbose_json"), testkit.Answer{}, "CreateTranscriptionResponseVerboseJson"},
		{"audio/transcriptions", sheet("file", "model", "hear", "response_format", "diarized_json"), testkit.Answer{}, "CreateTranscriptionResponseDiarizedJson"},
		{"audio/transcriptions", sheet("file", "model", "hear", "stream", "true"), testkit.Answer{}, "CreateTranscriptionResponseStreamEvent"},
		{"audio/transcriptions", js(`{"model":"hear","input_audio":{"data":"SUQz","format":"mp3"}}`), testkit.Answer{}, "CreateTranscriptionResponseJson"},
		{"audio/transcriptions", sheet("file", "model", "mistral-hear", "stream", "true"), mistralHears, "CreateTranscriptionResponseStreamEvent"},
		{"audio/transcriptions", sheet("file", "model", "openai-hear"), testkit.JSON(200, `{"text":"hi"}`), "CreateTranscriptionResponseJson"},
		{"audio/translations", sheet("file", "model", "hear"), testkit.Answer{}, "CreateTranslationResponseJson"},
		{"audio/translations", sheet("file", "model", "hear", "response_format", "verbose_json"), testkit.Answer{}, "CreateTranslationResponseVerboseJson"},
		{"embeddings", js(`{"model":"embed","input":["a","b"],"dimensions":4}`), testkit.Answer{}, "CreateEmbeddingResponse"},
		{"embeddings", js(`{"model":"voyage-embed","input":"a","encoding_format":"float"}`), testkit.JSON(200, `{"object":"list","data":[{"object":"embedding","embedding":"AAAAPw==","index":0}],"model":"m","usage":{"total_tokens":3}}`), "CreateEmbeddingResponse"},
	} {
		up.Always(c.up)
		resp, body, err := ask(t, gw.URL+"/v1/"+c.path, key, c.ask[0], c.ask[1], "")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s %.80s: %d %.300s, %v", c.path, c.ask[1], resp.StatusCode, body, err)
			continue
		}
		docs := []string{body}
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
			docs = nil
			for _, line := range strings.Split(body, "\n") {
				if data, ok := strings.CutPrefix(line, "data: "); ok {
					docs = append(docs, data)
				}
			}
		}
		schema := testkit.LoadSchema(t, "openai.json#"+c.schema)
		for _, d := range docs {
			if !json.Valid([]byte(d)) {
				t.Errorf("%s: %.100q is no JSON", c.path, d)
				continue
			}
			if err := schema.Check([]byte(d)); err != nil {
				t.Errorf("%s: %.300s\n%v", c.path, d, err)
			}
		}
	}
	gw.Verify(t)
}
