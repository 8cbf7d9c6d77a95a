package bedrock

import (
	"slices"
	"testing"
)

// TestWhatIsLeftOutIsToldByTheTargetsName has that what is told agrees with what
// was sent.
func TestWhatIsLeftOutIsToldByTheTargetsName(t *testing.T) {
	t.Parallel()
	q := messages(t, `"messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}]`, nil)
	for model, want := range map[string][]string{llama: {"messages.0.content.0.cache_control"}, nova: nil, budgeted: nil} {
		own2 := *q
		own2.Model = model
		if got := own.Dropped(&own2); !slices.Equal(got, want) {
			t.Errorf("%s: %q", model, got)
		}
	}
}
