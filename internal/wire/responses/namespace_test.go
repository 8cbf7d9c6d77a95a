package responses

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

const spacedTools = `"tools":[{"type":"function","name":"plain"},{"type":"namespace","name":"crm","description":"Customers.","tools":[
	{"type":"function","name":"find","description":"Find one.","parameters":{"type":"object"},"strict":true,"output_schema":{"type":"object"},"defer_loading":false},
	{"type":"function","name":"drop"},{"type":"custom","name":"say"}]}]`

// Codex puts the tools of its servers into namespaces, which no other dialect has.
func TestToolsOfANamespaceGoUnderJoinedNames(t *testing.T) {
	t.Parallel()
	yes := true
	r, c := chatOf(t, `{"model":"m",`+spacedTools+`,"tool_choice":{"type":"function","namespace":"crm","name":"drop"},"input":[{"role":"user","content":"hi"},
		{"type":"function_call","call_id":"1","namespace":"crm","name":"find","arguments":"{}"},{"type":"function_call_output","call_id":"1","output":"no"},
		{"type":"function_call","call_id":"2","namespace":"gone","name":"find","arguments":"{}"},{"type":"function_call_output","call_id":"2","output":"no"}]}`)
	want := []llm.Tool{
		{Name: "plain"},
		{Name: "crm__find", Description: "Customers.\n\nFind one.", Schema: []byte(`{"type":"object"}`), Strict: &yes},
		{Name: "crm__drop"},
		{Name: "crm__say", Custom: true},
	}
	if d := cmp.Diff(want, c.Tools); d != "" {
		t.Errorf("tools (-want +got):\n%s", d)
	}
	if d := cmp.Diff(&llm.ToolChoice{Mode: llm.ToolNamed, Name: "crm__drop"}, c.ToolChoice); d != "" {
		t.Errorf("choice (-want +got):\n%s", d)
	}
	if a, b := c.Messages[1].Parts[0].ToolName, c.Messages[3].Parts[0].ToolName; a != "crm__find" || b != "gone__find" {
		t.Errorf("calls of %s and %s", a, b)
	}
	var extras []string
	for _, x := range c.Extra {
		extras = append(extras, x.Path)
	}
	if got := strings.Join(extras, " "); got != "tools.1.tools.0.output_schema tools.1.tools.0.defer_loading" {
		t.Errorf("extras %s", got)
	}
	if got := r.Place("tools.1.strict"); got != "tools.1.tools.0.strict" {
		t.Errorf("Place = %s", got)
	}
}

func TestCallsOfANamespaceComeBack(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{`,"stream":true`, ``} {
		r := request(t, `,`+spacedTools+stream)
		ds := []llm.Delta{
			{Kind: llm.DeltaToolCall, ToolID: "a", ToolName: "crm__find"},
			{Kind: llm.DeltaToolArgs, Text: `{}`},
			{Kind: llm.DeltaToolCall, Tool: 1, ToolID: "b", ToolName: "plain"},
			{Kind: llm.DeltaToolArgs, Tool: 1, Text: `{}`},
			{Kind: llm.DeltaFinish, Finish: llm.FinishToolCalls},
		}
		ev := llm.Event{Deltas: ds}
		if stream == "" {
			ev = llm.Event{Whole: &llm.Answer{Choices: []llm.Choice{{Finish: llm.FinishToolCalls, Parts: []llm.Part{
				{Kind: llm.PartToolCall, ToolID: "a", ToolName: "crm__find", Args: []byte(`{}`)}, {Kind: llm.PartToolCall, ToolID: "b", ToolName: "plain", Args: []byte(`{}`)},
			}}}}}
		}
		got := run(t, encoderOf(r), wire.Final{}, ev)
		for _, want := range []string{`"call_id":"a","name":"find","namespace":"crm","arguments":"{}"`, `"call_id":"b","name":"plain","arguments":"{}"`} {
			if !strings.Contains(got, want) {
				t.Errorf("%q: %s is not in %s", stream, want, got)
			}
		}
		if strings.Contains(got, "crm__find") {
			t.Errorf("%q: the joined name is told: %s", stream, got)
		}
		if stream != "" {
			read(t, got)
		}
	}
}

// TestJoinedNamesAreLegalAndDiffer has names of every kind, among them those that
// run into each other.
func TestJoinedNamesAreLegalAndDiffer(t *testing.T) {
	t.Parallel()
	legal := regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	name := rapid.OneOf(rapid.StringMatching(`[a_]{1,3}(__[a_]{1,3})?`), rapid.StringMatching(`[a-z_]{60,70}`))
	rapid.Check(t, func(t *rapid.T) {
		tools := []byte{'['}
		var all []spaced
		seen := map[spaced]bool{}
		for range rapid.IntRange(1, 6).Draw(t, "tools") {
			n := spaced{name: name.Draw(t, "name")}
			if rapid.Bool().Draw(t, "spaced") {
				n.space = rapid.OneOf(name, rapid.String().Filter(func(s string) bool { return s != "" })).Draw(t, "space")
			}
			if seen[n] {
				continue
			}
			seen[n] = true
			all = append(all, n)
			if len(tools) > 1 {
				tools = append(tools, ',')
			}
			f := append(jsonx.AppendString([]byte(`{"type":"function","name":`), n.name), '}')
			if n.space != "" {
				f = append(append(append(jsonx.AppendString([]byte(`{"type":"namespace","name":`), n.space), `,"tools":[`...), f...), `]}`...)
			}
			tools = append(tools, f...)
		}
		s := spacesIn(append(tools, ']'))
		names := map[string]bool{}
		for _, n := range all {
			got := s.name(n)
			if names[got] || n.space != "" && !legal.MatchString(got) {
				t.Fatalf("%+v is called %q, beside %v", n, got, names)
			}
			names[got] = true
			if back := s.split(got); back != n {
				t.Fatalf("%+v is called %q, which is taken for %+v", n, got, back)
			}
		}
	})
}

// Names of functions may be longer here than other protocols take.
func TestLongNamesOfFunctionsComeBack(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("l", 100)
	r := request(t, `,"stream":true,"tools":[{"type":"function","name":"`+long+`"}]`)
	chat, err := r.DecodeChat()
	if err != nil || len(chat.Tools[0].Name) > 64 {
		t.Fatalf("goes out as %s, %v", chat.Tools[0].Name, err)
	}
	got := run(t, encoderOf(r), wire.Final{}, deltas(
		llm.Delta{Kind: llm.DeltaToolCall, ToolID: "1", ToolName: chat.Tools[0].Name}, llm.Delta{Kind: llm.DeltaToolArgs, Text: "{}"}, llm.Delta{Kind: llm.DeltaFinish, Finish: llm.FinishToolCalls}))
	if read(t, got); !strings.Contains(got, `"call_id":"1","name":"`+long+`"`) {
		t.Error(got)
	}
}
