package gemini

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// Names of functions may have dots and colons here, which other protocols refuse.
func TestNamesOfFunctionsComeBack(t *testing.T) {
	t.Parallel()
	r, chat := decode(t, `{"contents":[{"parts":[{"text":"a"}]}],"tools":[{"functionDeclarations":[{"name":"git.hub:issue"}]}]}`)
	name := chat.Tools[0].Name
	if strings.ContainsAny(name, ".:") {
		t.Fatalf("goes out as %s", name)
	}
	for _, stream := range []bool{false, true} {
		q := *r
		q.Stream = stream
		ev := llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Finish: llm.FinishToolCalls, Parts: []llm.Part{{Kind: llm.PartToolCall, ToolID: "1", ToolName: name}}}}}}
		if stream {
			ev = llm.Event{Deltas: []llm.Delta{{Kind: llm.DeltaToolCall, ToolID: "1", ToolName: name}, {Kind: llm.DeltaToolArgs, Text: "{}"}, {Kind: llm.DeltaFinish, Finish: llm.FinishToolCalls}}}
		}
		e := NewGenerate().Encoder(&q)
		out, err := e.Event(nil, ev)
		if err == nil {
			out, err = e.Finish(out, wire.Final{})
		}
		if err != nil || !strings.Contains(string(out), `"name":"git.hub:issue"`) {
			t.Errorf("stream %v: %s, %v", stream, out, err)
		}
	}
}
