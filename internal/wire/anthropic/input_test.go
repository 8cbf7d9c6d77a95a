package anthropic

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// Input is an object in this dialect, whatever a model wrote: null, as some write
// where a tool takes nothing, is an empty one, and anything else goes into one.
func TestInputIsAnObject(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		pieces []string
		want   string // empty: no arguments are told
	}{
		{"an object", []string{`{"a"`, `:1}`}, `{"a":1}`},
		{"an object after blanks", []string{" \n", ` {"a":1} `}, `{"a":1} `},
		{"an object that is cut off", []string{`{"a":"b`}, `{"a":"b`},
		{"nothing", nil, ``},
		{"null", []string{`null`}, ``},
		{"null in pieces", []string{` n`, `ul`, `l `, "\n"}, ``},
		{"a piece of null", []string{`nu`}, `{"_raw":"nu"}`},
		{"more than null", []string{`null`, ` and`, ` "void"`}, `{"_raw":"null and \"void\""}`},
		{"a number", []string{`1`, `2`}, `{"_raw":"12"}`},
		{"a list", []string{`[{"a"`, `:1}]`}, `{"_raw":"[{\"a\":1}]"}`},
		{"words", []string{"say \"é\"", "\n now"}, `{"_raw":"say \"é\"\n now"}`},
	} {
		ds := []llm.Delta{{Kind: llm.DeltaToolCall, ToolID: "a", ToolName: "f"}}
		for _, p := range c.pieces {
			ds = append(ds, llm.Delta{Kind: llm.DeltaToolArgs, Text: p})
		}
		ds = append(ds, llm.Delta{Kind: llm.DeltaFinish, Finish: llm.FinishToolCalls})
		got := ""
		for line := range strings.SplitSeq(run(t, NewMessages().Encoder(request(`,"stream":true`)), wire.Final{}, llm.Event{Deltas: ds}), "\n") {
			var e struct {
				Delta struct {
					Partial string `json:"partial_json"`
				}
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok && json.Unmarshal([]byte(data), &e) == nil {
				got += e.Delta.Partial
			}
		}
		if got != c.want {
			t.Errorf("%s: input is streamed as %s, want %s", c.name, got, c.want)
		}
	}
	if got := string(jsonx.AppendObject(nil, []byte("null"))); got != "{}" {
		t.Errorf("whole, null is %s, want {}", got)
	}
}
