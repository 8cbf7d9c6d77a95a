package openai

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

func decoded(t *testing.T, body string) (*llm.Request, *llm.Chat) {
	t.Helper()
	r, err := NewChat(Options{Now: func() time.Time { return time.Unix(1, 0) }}).Decode([]byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.DecodeChat()
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

const offered = `"functions":[{"name":"f","description":"d","parameters":{"type":"object"}},{"name":"g"}]`

// Callers of functions, which were before tools, are understood elsewhere, too.
func TestFunctionsAreTools(t *testing.T) {
	t.Parallel()
	r, got := decoded(t, `{"model":"m",`+offered+`,"function_call":{"name":"g"},"messages":[{"role":"user","content":"hi"},
		{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"a\":1}"}},{"role":"function","name":"f","content":"one"},
		{"role":"assistant","content":"so","function_call":{"name":"f","arguments":""}},{"role":"function","name":"f","content":null},{"role":"user","content":"and?"}]}`)
	no := false
	text := func(s string) llm.Part { return llm.Part{Text: s} }
	want := &llm.Chat{
		Messages: []llm.Message{
			{Role: llm.RoleUser, Parts: []llm.Part{text("hi")}},
			{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartToolCall, ToolID: "call_1", ToolName: "f", Args: json.RawMessage(`{"a":1}`)}}},
			{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartToolResult, ToolID: "call_1", Parts: []llm.Part{text("one")}}}},
			{Role: llm.RoleAssistant, Parts: []llm.Part{text("so"), {Kind: llm.PartToolCall, ToolID: "call_3", ToolName: "f", Args: json.RawMessage(`{}`)}}},
			{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartToolResult, ToolID: "call_3"}, text("and?")}},
		},
		Tools:         []llm.Tool{{Name: "f", Description: "d", Schema: json.RawMessage(`{"type":"object"}`)}, {Name: "g"}},
		ToolChoice:    &llm.ToolChoice{Mode: llm.ToolNamed, Name: "g"},
		ParallelTools: &no,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for path, want := range map[string]string{
		"tools": "functions", "tools.1": "functions.1", "tools.1.function.name": "functions.1.name", "tools.1.strict": "functions.1.strict",
		"tool_choice": "function_call", "parallel_tool_calls": "functions", "messages.1": "messages.1", "temperature": "temperature",
	} {
		if got := r.Place(path); got != want {
			t.Errorf("Place(%s) = %s, want %s", path, got, want)
		}
	}
}

func TestFunctionsThatAreNotUnderstood(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`"messages":[{"role":"user","content":"hi"}],` + offered + `,"tools":[{"type":"function","function":{"name":"t"}}],"function_call":"auto"`: "functions function_call",
		`"messages":[{"role":"user","content":"hi"},{"role":"function","name":"f","content":"1"}],` + offered:                                      "messages.1",
		`"messages":[{"role":"assistant","function_call":{"name":"g","arguments":""}},{"role":"function","name":"f","content":"1"}],` + offered:    "messages.1",
	} {
		_, c := decoded(t, `{"model":"m",`+body+`}`)
		var got []string
		for _, x := range c.Extra {
			got = append(got, x.Path)
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s: extras %s, want %s", body, g, want)
		}
	}
}

func TestCallsAreToldAsFunctions(t *testing.T) {
	t.Parallel()
	const hi = `{"model":"m","messages":[{"role":"user","content":"hi"}],` + offered
	call := []llm.Delta{{Kind: llm.DeltaText, Text: "so"}, {Kind: llm.DeltaToolCall, ToolID: "toolu_1", ToolName: "f"}, {Kind: llm.DeltaToolArgs, Text: `{"a":`}, {Kind: llm.DeltaToolArgs, Text: `1}`}, {Kind: llm.DeltaFinish, Finish: llm.FinishToolCalls}}
	r, _ := decoded(t, hi+`,"stream":true}`)
	got := answered(t, r, llm.Event{Deltas: call})
	for _, want := range []string{
		`"delta":{"function_call":{"name":"f","arguments":""}}`, `"delta":{"function_call":{"arguments":"{\"a\":"}}`, `"delta":{"function_call":{"arguments":"1}"}}`,
		`"delta":{},"logprobs":null,"finish_reason":"function_call"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	r, _ = decoded(t, hi+`}`)
	answer := llm.Answer{Choices: []llm.Choice{{Finish: llm.FinishToolCalls, Parts: []llm.Part{{Kind: llm.PartToolCall, ToolID: "toolu_1", ToolName: "f", Args: json.RawMessage(`{"a":1}`)}}}}}
	whole := answered(t, r, llm.Event{Whole: &answer})
	for _, want := range []string{`"message":{"role":"assistant","content":null,"refusal":null,"function_call":{"name":"f","arguments":"{\"a\":1}"}}`, `"finish_reason":"function_call"`} {
		if !strings.Contains(whole, want) {
			t.Errorf("%s is not in %s", want, whole)
		}
	}
	if strings.Contains(got+whole, "tool_calls") {
		t.Errorf("tools are told of: %s %s", got, whole)
	}
	// What names places in another way says nothing of functions.
	both, _ := decoded(t, hi+`,"tools":[{"type":"function","function":{"name":"f"}}]}`)
	both.Place = func(path string) string { return path }
	if got := answered(t, both, llm.Event{Whole: &answer}); !strings.Contains(got, `"tool_calls":[{"id":"toolu_1"`) || strings.Contains(got, "function_call\"") {
		t.Errorf("with tools beside functions: %s", got)
	}
	// Two at once have no place, and are not told as one.
	answer.Choices[0].Parts = append(answer.Choices[0].Parts, answer.Choices[0].Parts[0])
	if err := NewChat(Options{}).Encoder(r).(*chatEncoder).whole(llm.Event{Whole: &answer}); err == nil {
		t.Error("two calls were told as one")
	}
}

func answered(t *testing.T, r *llm.Request, ev llm.Event) string {
	t.Helper()
	e := NewChat(Options{}).Encoder(r)
	out, err := e.Event(nil, ev)
	if err == nil {
		out, err = e.Finish(out, wire.Final{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
