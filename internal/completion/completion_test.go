package completion

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
)

func TestFinishReasons(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		finish llm.Finish
		called bool
		want   string
	}{
		{llm.FinishStop, false, "stop"},
		{llm.FinishStop, true, "tool_calls"},
		{llm.FinishStopSequence, false, "stop"},
		{llm.FinishLength, true, "length"},
		{llm.FinishContextWindow, false, "length"},
		{llm.FinishToolCalls, true, "tool_calls"},
		{llm.FinishContentFilter, false, "content_filter"},
		{llm.FinishPause, false, ""},
		{"", false, ""},
		{"error", false, ""},
	} {
		got, err := FinishReason(c.finish, c.called)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("FinishReason(%q, %v) = %q, %v, want %q", c.finish, c.called, got, err, c.want)
		}
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		parts []llm.Part
		want  string
	}{
		{"nothing", nil, `{"role":"assistant","content":"","refusal":null}`},
		{"texts", []llm.Part{{Text: "a"}, {Text: "b\n"}}, `{"role":"assistant","content":"ab\n","refusal":null}`},
		{"refusal", []llm.Part{{Kind: llm.PartRefusal, Text: "no"}}, `{"role":"assistant","content":null,"refusal":"no"}`},
		{"call", []llm.Part{{Kind: llm.PartToolCall, ToolID: "i", ToolName: "f", Args: json.RawMessage(`{"a": 1}`)}}, `{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"i","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]}`},
		{"call with state", []llm.Part{{Kind: llm.PartToolCall, ToolID: "i", ToolName: "f", Signature: "s\""}}, `{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"i","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s\""}}}]}`},
		{"call without arguments", []llm.Part{{Kind: llm.PartToolCall, ToolID: "i", ToolName: "f"}}, `{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"i","type":"function","function":{"name":"f","arguments":"{}"}}]}`},
		{"call with broken arguments", []llm.Part{{Kind: llm.PartToolCall, ToolID: "i", ToolName: "f", Args: json.RawMessage(`"{\"a\":"`)}}, `{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"i","type":"function","function":{"name":"f","arguments":"{\"a\":"}}]}`},
		{"reasoning", []llm.Part{{Kind: llm.PartReasoning, Text: "hm", Signature: "s"}, {Kind: llm.PartRedacted, Data: "d"}, {Text: "a"}}, `{"role":"assistant","content":"a","refusal":null,"reasoning_content":"hm","thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"d"}]}`},
		{"reasoning without a seal", []llm.Part{{Kind: llm.PartReasoning, Text: "hm"}}, `{"role":"assistant","content":"","refusal":null,"reasoning_content":"hm"}`},
	} {
		got, called, err := AppendMessage(nil, c.parts)
		if err != nil || string(got) != c.want || called != strings.Contains(c.want, "tool_calls") {
			t.Errorf("%s: %s, %v, %v\nwant %s", c.name, got, called, err, c.want)
		}
	}
	if got, _, err := AppendMessage(nil, []llm.Part{{Kind: llm.PartAudio}}); err == nil {
		t.Errorf("audio = %s, want an error", got)
	}
}

func TestTheLastChunkIsKeptBack(t *testing.T) {
	t.Parallel()
	s := NewStream(Head{ID: "i", Created: 1, Model: "m"}, UsageLast)
	out, err := s.Deltas(nil, []llm.Delta{{Kind: llm.DeltaText, Text: "a"}, {Kind: llm.DeltaFinish, Finish: llm.FinishStop}})
	const head = `data: {"id":"i","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{`
	want := head + `"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}` + "\n\n" +
		head + `"content":"a"},"logprobs":null,"finish_reason":null}]}` + "\n\n"
	if err != nil || string(out) != want {
		t.Errorf("Deltas = %s, %v\nwant %s", out, err, want)
	}
	out, err = s.End(nil, llm.Usage{Input: 1, Output: 2}, []llm.Edit{{Name: "x", Value: []byte("1")}})
	want = head + `},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}},"x":1}` + "\n\n"
	if err != nil || string(out) != want {
		t.Errorf("End = %s, %v\nwant %s", out, err, want)
	}
}

// Some providers say more after the chunk that gave the reason for the end.
func TestWhatComesAfterTheEndIsToldBeforeIt(t *testing.T) {
	t.Parallel()
	for _, u := range []UsageMode{UsageLast, UsageChunk, UsageNone} {
		s := NewStream(Head{ID: "i", Created: 1, Model: "m"}, u)
		out, err := s.Deltas(nil, []llm.Delta{{Kind: llm.DeltaText, Text: "a"}, {Kind: llm.DeltaFinish, Finish: llm.FinishStop}})
		if err == nil {
			out, err = s.Deltas(out, []llm.Delta{{Kind: llm.DeltaText, Text: "late"}})
		}
		if err == nil {
			out, err = s.End(out, llm.Usage{Input: 1, Output: 2}, nil)
		}
		text, late, end := strings.Index(string(out), `"a"`), strings.Index(string(out), `"late"`), strings.Index(string(out), `"finish_reason":"stop"`)
		if err != nil || text < 0 || late < text || end < late || strings.Count(string(out), `"finish_reason":"stop"`) != 1 {
			t.Errorf("usage %d: %s, %v", u, out, err)
		}
		if told := strings.Contains(string(out), `"total_tokens":3`); told != (u != UsageNone) {
			t.Errorf("usage %d: %s", u, out)
		}
	}
}

func TestIDsDiffer(t *testing.T) {
	t.Parallel()
	if a, b := NewID(), NewID(); a == b || !strings.HasPrefix(a, "chatcmpl-") || len(a) < 30 {
		t.Errorf("NewID = %s, %s", a, b)
	}
}

// An annotation of responses names its URL beside its type, and one of chat
// completions in a member of its own.
func TestAnnotationsOfResponsesAreWrittenAnew(t *testing.T) {
	t.Parallel()
	const flat = `{"type":"url_citation","start_index":3,"end_index":9,"url":"https://a.example/","title":"A"}`
	const want = `"annotations":[{"type":"url_citation","url_citation":{"start_index":%d,"end_index":%d,"url":"https://a.example/","title":"A"}}]`
	whole, _, err := AppendMessage(nil, []llm.Part{{Kind: llm.PartText, Text: "né"}, {Kind: llm.PartText, Text: "more and more", Citations: json.RawMessage("[" + flat + "]")}})
	if w := fmt.Sprintf(want, 5, 11); err != nil || !strings.Contains(string(whole), w) { // it counts from its own part
		t.Errorf("message %s, %v, want %s", whole, err, w)
	}
	s := NewStream(Head{ID: "i", Model: "m"}, UsageLast)
	got, err := s.Deltas(nil, []llm.Delta{{Kind: llm.DeltaText, Text: "more and more"}, {Kind: llm.DeltaCitation, Value: json.RawMessage(flat)}})
	if w := fmt.Sprintf(want, 3, 9); err != nil || !strings.Contains(string(got), w) {
		t.Errorf("chunks %s, %v, want %s", got, err, w)
	}
}
