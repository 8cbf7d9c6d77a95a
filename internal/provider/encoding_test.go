package provider

import (
	"slices"
	"testing"

	"github.com/pontage/pontage/internal/llm"
)

// Codex sends client_metadata with every request: its records, not its wishes.
func TestWhatOnlyCallersOfResponsesHaveIsDroppedAndTold(t *testing.T) {
	t.Parallel()
	var e Encoding
	e.Extras([]llm.Extra{
		{Path: "client_metadata", Value: []byte(`{"session_id":"1"}`)},
		{Path: "input.3.phase", Value: []byte(`"commentary"`)},
		{Path: "reasoning.summary", Value: []byte(`null`)},
	}, Losses{}, nil)
	if want := []string{"client_metadata", "input.3.phase"}; e.Err != nil || !slices.Equal(e.Dropped, want) {
		t.Errorf("dropped %v, want %v; refused: %v", e.Dropped, want, e.Err)
	}
	if e.Extras([]llm.Extra{{Path: "prompt", Value: []byte(`{}`)}}, Losses{}, nil); e.Err == nil || e.Err.Param != "prompt" {
		t.Errorf("what matters was dropped: %v", e.Err)
	}
}
