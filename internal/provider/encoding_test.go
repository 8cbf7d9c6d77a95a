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

// Claude Code says in every request that it wants all earlier thoughts kept. What
// becomes of them is the protocol's affair; other edits change what the model reads.
func TestWhatBecomesOfThoughtsIsDroppedAndTold(t *testing.T) {
	t.Parallel()
	for value, harmless := range map[string]bool{
		`{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}`:                                       true,
		`{"edits":[{"keep":{"type":"thinking_turns","value":2},"type":"clear_thinking_20251015"}]}`:         true,
		`{"edits":[{"type":"clear_thinking_20251015"},{"type":"clear_tool_uses_20250919"}]}`:                false,
		`{"edits":[{"type":"clear_thinking_20251015"}],"x":1}`:                                              false,
		`{"edits":{"type":"clear_thinking_20251015"}}`:                                                      false,
		`{"edits":[{"type":"compact_20260112","trigger":{"type":"input_tokens","value":100000000000000}}]}`: false,
	} {
		var e Encoding
		e.Extras([]llm.Extra{{Path: "context_management", Value: []byte(value)}}, nil)
		if (e.Err == nil) != harmless || harmless != slices.Equal(e.Dropped, []string{"context_management"}) {
			t.Errorf("%s: dropped %v, refused: %v", value, e.Dropped, e.Err)
		}
	}
}

// The Agents SDK of OpenAI puts members of a message beside its text, and of a call
// on the message of the call.
func TestCopiesInAMessageAreDroppedAndTold(t *testing.T) {
	t.Parallel()
	var e Encoding
	want := []string{"messages.2.extra_content"}
	for _, name := range []string{"role", "tool_calls", "annotations", "extra_content", "reasoning_details"} {
		want = append(want, "messages.1.content.0."+name)
	}
	for _, path := range want {
		e.Extras([]llm.Extra{{Path: path, Value: []byte(`["x"]`)}}, nil)
	}
	if e.Err != nil || !slices.Equal(e.Dropped, want) {
		t.Errorf("dropped %v, want %v; refused: %v", e.Dropped, want, e.Err)
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
