package openai

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
)

// The tier that an answer was served in is told with its usage, and before that with
// every event, wherever the provider says it.
func TestTheTierThatServedIsTold(t *testing.T) {
	t.Parallel()
	const choice = `"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]`
	for tail, want := range map[string]llm.Tier{
		`,"usage":{"prompt_tokens":3,"completion_tokens":1},"service_tier":"priority"`:         llm.TierPriority,
		`,"service_tier":"flex","usage":{"prompt_tokens":3,"completion_tokens":1}`:             llm.TierFlex,
		`,"service_tier":"prior\u0069ty","usage":{"prompt_tokens":3,"completion_tokens":1}`:    llm.TierPriority,
		`,"service_tier":"default","usage":{"prompt_tokens":3,"completion_tokens":1}`:          llm.TierStandard,
		`,"service_tier":null,"usage":{"prompt_tokens":3,"completion_tokens":1}`:               llm.TierStandard,
		`,"service_tier":{"a":"flex"},"usage":{"prompt_tokens":3,"completion_tokens":1}`:       llm.TierStandard,
		`,"usage":{"prompt_tokens":3,"completion_tokens":1,"service_tier":"never"},"x_groq":0`: llm.TierStandard,
	} {
		evs, err := ask(t, "openai", jsonType, `{"object":"chat.completion",`+choice+tail+`}`, false)
		if err != nil || testkit.Used(evs[0]).Tier != want || evs[0].Tier != want || testkit.Used(evs[0]).Input != 3 {
			t.Errorf("%s: %+v, %v; want tier %d", tail, evs, err, want)
		}
	}
	chunk := func(rest string) string { return `data: {"object":"chat.completion.chunk",` + rest + "}\n\n" }
	evs, err := ask(t, "openai", events, strings.Join([]string{
		chunk(`"choices":[{"index":0,"delta":{"content":"hi"}}],"service_tier":"priority"`),
		chunk(`"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"service_tier":null`),
		chunk(`"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}`),
		"data: [DONE]\n\n",
	}, ""), true)
	if err != nil || len(evs) != 4 || evs[0].Tier != llm.TierPriority || testkit.Used(evs[2]).Tier != llm.TierPriority {
		t.Errorf("a stream tells %+v, %v", evs, err)
	}
}
