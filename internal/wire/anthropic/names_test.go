package anthropic

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// Names of tools may be longer here than other protocols take.
func TestLongNamesOfToolsComeBack(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("l", 100)
	for _, stream := range []string{"false", "true"} {
		r, err := NewMessages().Decode([]byte(`{"model":"m","max_tokens":9,"stream":`+stream+`,"messages":[{"role":"user","content":"hi"}],"tools":[{"name":"`+long+`","input_schema":{"type":"object"}}]}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		chat, err := r.DecodeChat()
		if err != nil {
			t.Fatal(err)
		}
		name := chat.Tools[0].Name
		if len(name) > 64 {
			t.Errorf("goes out as %s", name)
		}
		ev := llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Finish: llm.FinishToolCalls, Parts: []llm.Part{{Kind: llm.PartToolCall, ToolID: "1", ToolName: name}}}}}}
		if stream == "true" {
			ev = llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaToolCall, ToolID: "1", ToolName: name}, {Kind: llm.DeltaToolArgs, Text: "{}"}, {Kind: llm.DeltaFinish, Finish: llm.FinishToolCalls}}}
		}
		e := NewMessages().Encoder(r)
		out, err := e.Event(nil, ev)
		if err == nil {
			out, err = e.Finish(out, wire.Final{})
		}
		if err != nil || !strings.Contains(string(out), `"name":"`+long+`"`) {
			t.Errorf("stream %s: %s, %v", stream, out, err)
		}
	}
}
