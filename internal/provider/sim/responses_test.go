package sim

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/testkit"
)

const responsesPath = "/v1/responses"

func TestResponsesConformToTheOfficialSchema(t *testing.T) {
	t.Parallel()
	whole := testkit.LoadSchema(t, "openai.json#Response")
	event := testkit.LoadSchema(t, "openai.json#ResponseStreamEvent")
	failed := testkit.LoadSchema(t, "openai.json#ErrorResponse")
	s := newSim(t, Options{})
	const tools = `"tools":[{"type":"function","name":"get_weather","strict":true,"parameters":{"type":"object","required":["city"],"properties":{"city":{"type":"string"}}}},{"type":"custom","name":"g"}],`
	for _, rest := range []string{
		``, `"max_output_tokens":16,`, `"reasoning":{"effort":"high"},"include":["reasoning.encrypted_content"],`, `"text":{"format":{"type":"json_object"}},`,
		tools, tools + `"tool_choice":"required",`, tools + `"tool_choice":{"type":"custom","name":"g"},`, `"instructions":"Be brief.",`,
	} {
		body := rest + `"input":[{"role":"user","content":[{"type":"input_text","text":"weather"}]}]}`
		if err := whole.Check([]byte(ask1(t, s, responsesPath, `{"model":"m",`+body).body)); err != nil {
			t.Errorf("%s: %v", rest, err)
		}
		for _, f := range frames(t, ask1(t, s, responsesPath, `{"model":"m","stream":true,`+body).body) {
			if err := event.Check([]byte(f)); err != nil {
				t.Errorf("%s: %v in %s", rest, err, f)
			}
		}
	}
	for _, f := range []string{"rate_limited", "auth", "quota", "context", "error_in_200"} {
		tell(t, s, "m", `[{"fault":"`+f+`"}]`)
		if err := failed.Check([]byte(ask1(t, s, responsesPath, `{"model":"m","input":"x"}`).body)); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestResponsesKeepTheGrammar(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	tell(t, s, "m", `[{"reasoning":"hm","text":"hi","tool_calls":[{"name":"f"}],"chunks":1}]`)
	body := ask1(t, s, responsesPath, `{"model":"m","stream":true,"include":["reasoning.encrypted_content"],"input":"Hello"}`).body
	var names []string
	for i, f := range strings.Split(strings.TrimSpace(body), "\n\n") {
		event, data, _ := strings.Cut(strings.TrimPrefix(f, "event: "), "\n")
		v := decode[struct {
			Type     string `json:"type"`
			Sequence int    `json:"sequence_number"`
			Index    int    `json:"output_index"`
		}](t, strings.TrimPrefix(data, "data: "))
		if v.Type != event || v.Sequence != i {
			t.Errorf("event %d, %s, has type %s and number %d", i, event, v.Type, v.Sequence)
		}
		names = append(names, strings.TrimPrefix(event, "response.")+string(rune('0'+v.Index)))
	}
	want := `created0 in_progress0
		output_item.added0 reasoning_summary_part.added0 reasoning_summary_text.delta0 reasoning_summary_text.done0 reasoning_summary_part.done0 output_item.done0
		output_item.added1 content_part.added1 output_text.delta1 output_text.done1 content_part.done1 output_item.done1
		output_item.added2 function_call_arguments.delta2 function_call_arguments.done2 output_item.done2 completed0`
	if diff := cmp.Diff(strings.Fields(want), names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Count(body, `"encrypted_content"`) != 2 {
		t.Errorf("the reasoning is not sealed twice, in its item and in the response: %s", body)
	}
}

func TestResponsesRefuseWhatTheProtocolDoes(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	for _, c := range []struct{ body, param string }{
		{`{"input":"x"}`, "model"},
		{`{"model":"m"}`, "input"},
		{`{"model":"m","input":[{"role":"user","content":5}]}`, "input"},
		{`{"model":"m","input":"x","max_output_tokens":15}`, "max_output_tokens"},
		{`{"model":"m","input":"x","previous_response_id":"resp_1"}`, "previous_response_id"},
		{`{"model":"m","input":"x","tool_choice":{"type":"function","name":"f"}}`, "tool_choice"},
	} {
		got := ask1(t, s, responsesPath, c.body)
		if got.status != 400 || !strings.Contains(got.body, `"param":"`+c.param+`"`) {
			t.Errorf("%s: %d %s", c.body, got.status, got.body)
		}
	}
}

// A tool of a namespace is called with that beside its name, and a choice is kept to.
func TestResponsesCallWhatMayBeCalled(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	event := testkit.LoadSchema(t, "openai.json#ResponseStreamEvent")
	const tools = `"tools":[{"type":"function","name":"get_weather"},{"type":"namespace","name":"agents","description":"d","tools":[
		{"type":"function","name":"spawn","parameters":{"type":"object"}},{"type":"custom","name":"whisper"}]}]`
	const weather, spawn, whisper = `function_call get_weather `, `function_call spawn agents`, `custom_tool_call whisper agents`
	for _, c := range []struct{ prompt, choice, want string }{
		{"Please spawn one", `"auto"`, spawn},
		{"Please whisper", `"auto"`, whisper},
		{"weather", `{"type":"function","namespace":"agents","name":"spawn"}`, spawn},
		{"weather", `{"type":"custom","name":"whisper"}`, whisper},
		{"weather", `{"type":"function","namespace":"other","name":"spawn"}`, ""},
		{"weather", `{"type":"allowed_tools","mode":"required","tools":[{"type":"function","namespace":"agents","name":"spawn"}]}`, spawn},
		{"weather", `{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"get_weather"}]}`, weather},
		{"weather", `{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"spawn"}]}`, "message  "},
	} {
		body := `{"model":"m","input":"` + c.prompt + `",` + tools + `,"tool_choice":` + c.choice
		got := ask1(t, s, responsesPath, body+`}`)
		if c.want == "" {
			if got.status != 400 || !strings.Contains(got.body, `"param":"tool_choice"`) {
				t.Errorf("%s: %d %s", c.choice, got.status, got.body)
			}
			continue
		}
		out := decode[struct {
			Output []struct {
				Type      string `json:"type"`
				Name      string `json:"name"`
				Namespace string `json:"namespace"`
			} `json:"output"`
		}](t, got.body).Output
		if len(out) != 1 || out[0].Type+" "+out[0].Name+" "+out[0].Namespace != c.want {
			t.Errorf("%s, %s: %+v, want %s", c.prompt, c.choice, out, c.want)
		}
		for _, f := range frames(t, ask1(t, s, responsesPath, body+`,"stream":true}`).body) {
			if err := event.Check([]byte(f)); err != nil {
				t.Errorf("%s: %v in %s", c.choice, err, f)
			}
		}
	}
}
