package openai

import (
	"testing"

	"github.com/pontage/pontage/internal/llm"
)

func TestAChoiceThatWasFilteredDoesNotSpeakForTheOthers(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]llm.Finish{
		`{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"},{"index":1,"message":{"content":""},"finish_reason":"content_filter"}]}`:   llm.FinishStop,
		`{"choices":[{"index":0,"message":{"content":""},"finish_reason":"content_filter"},{"index":1,"message":{"content":"a"},"finish_reason":"length"}]}`: llm.FinishLength,
		`{"choices":[{"index":0,"message":{"content":""},"finish_reason":"content_filter"}]}`:                                                                llm.FinishContentFilter,
	} {
		k := scanner{quirks: &vendor{}}
		if !k.scan([]byte(body)) || k.finish != want {
			t.Errorf("%q, want %q: %s", k.finish, want, body)
		}
	}
}
