package provider

import (
	"slices"
	"strings"
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
	}, nil)
	if want := []string{"client_metadata", "input.3.phase"}; e.Err != nil || !slices.Equal(e.Dropped, want) {
		t.Errorf("dropped %v, want %v; refused: %v", e.Dropped, want, e.Err)
	}
	if e.Extras([]llm.Extra{{Path: "prompt", Value: []byte(`{}`)}}, nil); e.Err == nil || e.Err.Param != "prompt" {
		t.Errorf("what matters was dropped: %v", e.Err)
	}
}

func TestArgumentsOfCallsAreObjects(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		``: `"input":{}`, `null`: `"input":{}`, `{"a": 12345678901234567890}`: `"input":{"a": 12345678901234567890}`,
		`"x{"`: `"input":{"_raw":"x{"}`, `[1]`: `"input":{"_raw":"[1]"}`,
	} {
		var e Encoding
		e.Input("input", []byte(args), "messages.1")
		if told := len(e.Dropped) > 0; string(e.Body) != want || told != strings.Contains(want, "_raw") {
			t.Errorf("%s: %s, dropped %v, want %s", args, e.Body, e.Dropped, want)
		}
	}
}

func TestToolsAreRefusedByTheirType(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`{"type":"web_search_20250305","name":"web_search"}`: "tools.3 of type web_search_20250305 cannot be honoured for this model.",
		`{"name":"x"}`: "tools.3 cannot be honoured for this model.",
	} {
		var e Encoding
		e.Extras([]llm.Extra{{Path: "tools.3", Value: []byte(value)}}, nil)
		if e.Err == nil || e.Err.Param != "tools.3" || e.Err.Public() != want {
			t.Errorf("%s: %v, want %s", value, e.Err, want)
		}
	}
	var e Encoding
	if e.Extras([]llm.Extra{{Path: "tools.3.type", Value: []byte(`"web_search"`)}}, nil); e.Err == nil {
		t.Errorf("the type of a tool is dropped: %v", e.Dropped)
	}
}
