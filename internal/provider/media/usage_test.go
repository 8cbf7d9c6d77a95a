package media

import (
	"testing"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// What a provider says of seconds is believed up to what was sent, however much
// it is.
func TestSecondsBeyondAllNumbersAreThoseThatWereSent(t *testing.T) {
	t.Parallel()
	for _, seconds := range []string{"61", "1e18", "1e19", "1e300"} {
		doc, err := jsonx.Parse([]byte(`{"seconds":` + seconds + `}`))
		if err != nil {
			t.Fatal(err)
		}
		u, ok := counts(doc.Root())
		if got := complete(&llm.Request{Task: llm.TaskTranscribe, Seconds: 60}, u, ok, 0, 0); got.Seconds != 60 {
			t.Errorf("%s seconds: %d are charged, want the 60 that were sent", seconds, got.Seconds)
		}
	}
}

// What nobody told is said to be estimated: seconds that were guessed beside
// tokens that were told, and the tokens of one image of several.
func TestWhatIsGuessedIsSaidToBe(t *testing.T) {
	t.Parallel()
	sound := &llm.Request{Task: llm.TaskTranscribe, Seconds: 60, Heard: 4}
	for _, c := range []struct {
		name, body string
		duration   float64
		want       llm.Usage
	}{
		{"tokens alone", `{"input_tokens":7,"output_tokens":2}`, 0, llm.Usage{Input: 7, Output: 2, Seconds: 4, SecondsEstimated: true}},
		{"tokens, and the length beside them", `{"input_tokens":7,"output_tokens":2}`, 3.2, llm.Usage{Input: 7, Output: 2, Seconds: 4}},
		{"seconds", `{"seconds":3}`, 0, llm.Usage{Seconds: 3}},
		{"the length beside nothing", `null`, 2.5, llm.Usage{Seconds: 3}},
		{"tokens beyond all numbers", `{"input_tokens":9223372036854775807,"output_tokens":2}`, 0, llm.Usage{Seconds: 4, Estimated: true, SecondsEstimated: true}},
		{"sound beyond all numbers", `{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"audio_tokens":9223372036854775800},"total_tokens":-9223372036854775807}`, 0, llm.Usage{Input: 7, AudioInput: 7, Output: 2, Seconds: 4, SecondsEstimated: true}},
		{"nothing", `null`, 0, llm.Usage{Seconds: 4, Estimated: true, SecondsEstimated: true}},
	} {
		doc, err := jsonx.Parse([]byte(`{"usage":` + c.body + `}`))
		if err != nil {
			t.Fatal(err)
		}
		u, told := counts(doc.Root().Get("usage"))
		if got := *complete(sound, u, told, 0, c.duration); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	const one = "data: {\"type\":\"image_generation.completed\",\"b64_json\":\"eA==\"}\n\n"
	const told = "data: {\"type\":\"image_generation.completed\",\"b64_json\":\"eA==\",\"usage\":{\"input_tokens\":7,\"output_tokens\":100}}\n\n"
	for _, body := range []string{one + told, told + one} {
		h, err := ask(t, answers(200, "text/event-stream", body), &llm.Request{Task: llm.TaskImage, Dialect: llm.OpenAIImages, Stream: true, Images: 2, Raw: scan(t, `{}`)}, "m")
		if want := (llm.Usage{Input: 7, Output: 100, ImageOutput: 100, Images: 2, Estimated: true}); err != nil || h.usage == nil || *h.usage != want {
			t.Errorf("used %+v, want %+v (%v)", h.usage, want, err)
		}
	}
}

// The bytes of a transcript are counted, whatever is told: a provider that tells
// its seconds alone leaves the tokens of the text to be estimated.
func TestTheTextOfATranscriptIsMeasured(t *testing.T) {
	t.Parallel()
	for body, media := range map[string]string{
		`{"text":"four","usage":{"type":"duration","seconds":4}}`:                                                                          "application/json",
		"data: {\"type\":\"transcript.text.delta\",\"delta\":\"four\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"four\"}\n\n": "text/event-stream",
	} {
		r := &llm.Request{Task: llm.TaskTranscribe, Dialect: llm.OpenAITranscriptions, Seconds: 60, Stream: media != "application/json", Raw: scan(t, `{}`)}
		if h, err := ask(t, answers(200, media, body), r, "m"); err != nil || h.written != 4 {
			t.Errorf("%s: %d bytes, want 4 (%v)", body, h.written, err)
		}
	}
}
