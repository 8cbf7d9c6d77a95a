package responses

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// details decodes a body and returns its bad fields as "field code message".
func details(t *testing.T, body string) []string {
	t.Helper()
	_, err := New(Options{}).Decode([]byte(body), nil)
	if err == nil {
		return nil
	}
	var fe *fault.Error
	if !errors.As(err, &fe) {
		t.Fatalf("Decode(%s) = %v, want a fault", body, err)
	}
	var out []string
	for _, x := range fe.Details {
		out = append(out, fmt.Sprintf("%s %s %s", x.Field, x.Code, x.Message))
	}
	return out
}

const (
	req = "missing_parameter Required"
	inv = "invalid_parameter "
	wro = "invalid_type "
	uns = "unsupported_parameter "
)

func TestFieldsAreChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ member, want string }{
		{`"max_output_tokens":16`, ""},
		{`"max_output_tokens":15`, "max_output_tokens " + inv + "Must be at least 16"},
		{`"max_output_tokens":"x"`, "max_output_tokens " + wro + "Must be a whole number"},
		{`"max_output_tokens":null`, ""},
		{`"max_tool_calls":0`, "max_tool_calls " + inv + "Must be at least 1"},
		{`"temperature":2.1`, "temperature " + inv + "Must be between 0 and 2"},
		{`"top_p":-1`, "top_p " + inv + "Must be between 0 and 1"},
		{`"top_logprobs":21`, "top_logprobs " + inv + "Must be between 0 and 20"},
		{`"stream":1`, "stream " + wro + "Must be true or false"},
		{`"store":"yes"`, "store " + wro + "Must be true or false"},
		{`"parallel_tool_calls":"no"`, "parallel_tool_calls " + wro + "Must be true or false"},
		{`"truncation":"on"`, "truncation " + inv + "Must be one of auto or disabled"},
		{`"instructions":["x"]`, "instructions " + wro + "Must be a string"},
		{`"previous_response_id":""`, "previous_response_id " + inv + "Must not be empty"},
		{`"safety_identifier":"` + strings.Repeat("x", 65) + `"`, "safety_identifier " + inv + "Must have at most 64 characters"},
		{`"metadata":{"a":1}`, "metadata.a " + wro + "Must be a string"},
		{`"include":[1]`, "include.0 " + wro + "Must be a string"},
		{`"reasoning":{"effort":"huge"}`, "reasoning.effort " + inv + "Must be one of none, minimal, low, medium, high, xhigh or max"},
		{`"reasoning":{"summary":"long"}`, "reasoning.summary " + inv + "Must be one of auto, concise or detailed"},
		{`"text":{"verbosity":"loud"}`, "text.verbosity " + inv + "Must be one of low, medium or high"},
		{`"text":{"format":{"type":"json_schema","name":"a"}}`, "text.format.schema " + req},
		{`"text":{"format":{"type":"json_schema","schema":{}}}`, "text.format.name invalid_json_schema Required"},
		{`"text":{"format":{"type":"json_schema","name":"a b","schema":{}}}`, "text.format.name invalid_json_schema Must consist of letters, digits, underscores and dashes"},
		{`"text":{"format":{"type":"xml"}}`, "text.format.type " + inv + "Must be one of text, json_object or json_schema"},
		{`"context_management":[{"type":"compaction","compact_threshold":999}]`, "context_management.0.compact_threshold " + inv + "Must be at least 1000"},
		{`"context_management":[]`, "context_management " + inv + "Must not be empty"},
		{`"stream_options":{"include_obfuscation":1}`, "stream_options.include_obfuscation " + wro + "Must be true or false"},
		{`"tools":[{"name":"f"}]`, "tools.0.type " + req},
		{`"tools":[{"type":"function"}]`, "tools.0.name " + req},
		{`"tools":[{"type":"function","name":"a b"}]`, "tools.0.name " + inv + "Must consist of letters, digits, underscores and dashes"},
		{`"tools":[{"type":"function","name":"f","parameters":{"type":5}}]`, "tools.0.parameters.type invalid_json_schema Is not a valid JSON Schema: "},
		{`"tools":[{"type":"function","name":"f"}]`, ""},
		{`"tools":[{"type":"web_search"}],"tool_choice":{"type":"web_search"}`, ""},
		{`"tool_choice":"required"`, "tool_choice " + inv + "Needs tools"},
		{`"tool_choice":"any"`, "tool_choice " + inv + "Must be one of none, auto or required"},
		{`"tools":[{"type":"function","name":"f"}],"tool_choice":{"type":"function","name":"g"}`, "tool_choice.name " + inv + "Names a tool that is not among tools"},
		{`"tools":[{"type":"namespace","description":"d","tools":[{"type":"function","name":"f"}]}]`, "tools.0.name " + req},
		{`"tools":[{"type":"namespace","name":"n","tools":[{"type":"web_search"}]}]`, "tools.0.tools.0.type " + inv + "Must be one of function or custom"},
		{`"tools":[{"type":"namespace","name":"n","tools":[]}]`, "tools.0.tools " + inv + "Must not be empty"},
		{`"tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"f"}]}]`, ""},
		{`"tools":[{"type":"function","name":"f"}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"g"}]}`, "tool_choice.tools.0.name " + inv + "Names a tool that is not among tools"},
		{`"conversation":"conv_1"`, "conversation " + uns},
		{`"prompt":{"id":"pmpt_1"}`, "prompt " + uns},
		{`"background":true,"store":false`, "background " + inv + "Needs store"},
	} {
		got := details(t, `{"model":"m","input":"hi",`+c.member+`}`)
		if c.want == "" && got == nil {
			continue
		}
		if len(got) != 1 || c.want == "" || !strings.HasPrefix(got[0], c.want) {
			t.Errorf("%s: %q, want %q", c.member, got, c.want)
		}
	}
	if diff := cmp.Diff([]string{"model " + req, "input " + req}, details(t, `{}`)); diff != "" {
		t.Error(diff)
	}
	if got := details(t, `{"model":"m","previous_response_id":"resp_1"}`); got != nil {
		t.Errorf("without input behind a response: %q", got)
	}
}

func TestItemsAreChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ item, want string }{
		{`{"role":"user","content":"hi"}`, ""},
		{`{"type":"message","role":"tool","content":"hi"}`, "input.0.role " + inv + "Must be one of user, assistant, system or developer"},
		{`{"role":"user"}`, "input.0.content " + req},
		{`{"role":"user","content":5}`, "input.0.content " + wro + "Must be a string or an array of parts"},
		{`{"role":"user","content":[{"type":"input_text"}]}`, "input.0.content.0.text " + req},
		{`{"role":"user","content":[{"text":"x"}]}`, "input.0.content.0.type " + req},
		{`{"role":"user","content":[{"type":"input_image"}]}`, "input.0.content.0.image_url " + req},
		{`{"role":"user","content":[{"type":"input_image","image_url":"https://x/y.png","detail":"tiny"}]}`, "input.0.content.0.detail " + inv + "Must be one of auto, low, high or original"},
		{`{"role":"user","content":[{"type":"input_file"}]}`, "input.0.content.0.file_data " + req},
		{`{"role":"assistant","content":[{"type":"refusal"}]}`, "input.0.content.0.refusal " + req},
		{`{"role":"user","content":[{"type":"of tomorrow","x":1}]}`, ""},
		{`{"type":"function_call","call_id":"c","name":"f"}`, "input.0.arguments " + req},
		{`{"type":"function_call","name":"f","arguments":"{}"}`, "input.0.call_id " + req},
		{`{"type":"function_call","call_id":"c","name":"f","arguments":{}}`, "input.0.arguments " + wro + "Must be a string"},
		{`{"type":"function_call_output","output":"x"}`, "input.0.call_id " + req},
		{`{"type":"function_call_output","call_id":"` + strings.Repeat("c", 65) + `","output":"x"}`, "input.0.call_id " + inv + "Must have at most 64 characters"},
		{`{"type":"function_call_output","call_id":"c"}`, "input.0.output " + req},
		{`{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"x"}]}`, ""},
		{`{"type":"custom_tool_call","call_id":"c","name":"f"}`, "input.0.input " + req},
		{`{"type":"custom_tool_call_output","call_id":"c"}`, "input.0.output " + req},
		{`{"type":"reasoning","summary":[{"type":"summary_text"}]}`, "input.0.summary.0.text " + req},
		{`{"type":"reasoning","summary":[],"encrypted_content":5}`, "input.0.encrypted_content " + wro + "Must be a string"},
		{`{"type":"compaction"}`, "input.0.encrypted_content " + req},
		{`{"type":"item_reference"}`, "input.0.id " + req},
		{`{"id":"msg_1"}`, ""},
		{`{"type":"web_search_call","id":"ws_1","action":{}}`, ""},
		{`{"type":"configuration_update"}`, ""},
		{`{"type":"configuration_update","reasoning":{"effort":"huge"}}`, "input.0.reasoning.effort " + inv + "Must be one of none, minimal, low, medium, high, xhigh or max"},
		{`{}`, "input.0.type " + req},
		{`"hi"`, "input.0 " + wro + "Must be an object"},
	} {
		got := details(t, `{"model":"m","input":[`+c.item+`]}`)
		if c.want == "" && got == nil {
			continue
		}
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %q, want %q", c.item, got, c.want)
		}
	}
	if got := details(t, `{"model":"m","input":[]}`); !slices.Equal(got, []string{"input " + inv + "Must not be empty"}) {
		t.Errorf("no items: %q", got)
	}
	if got := details(t, `{"model":"m","input":5}`); !slices.Equal(got, []string{"input " + wro + "Must be a string or an array of items"}) {
		t.Errorf("a number: %q", got)
	}
}

func request(t testing.TB, members string) *llm.Request {
	t.Helper()
	r, err := New(Options{}).Decode([]byte(`{"model":"m","input":"hi"`+members+`}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatTheRequestNeedsIsKnown(t *testing.T) {
	t.Parallel()
	r, err := New(Options{}).Decode([]byte(`{"model":"m","stream":true,"max_output_tokens":99,"temperature":0,"reasoning":{"effort":"low"},
		"text":{"format":{"type":"json_schema","name":"n","schema":{}}},"tools":[{"type":"function","name":"f"}],"tool_choice":"required",
		"input":[{"role":"user","content":[{"type":"input_text","text":"é"},{"type":"input_image","image_url":"data:image/png;base64,AAAA"},{"type":"input_file","file_url":"https://x/y.pdf"}]},
			{"type":"item_reference","id":"msg_1"}],
		"previous_response_id":"resp_1"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := llm.Needs{}
	for need, place := range map[llm.Need]string{
		llm.NeedTools: "tools", llm.NeedForcedTool: "tool_choice", llm.NeedImageInput: "input.0.content.1", llm.NeedFileInput: "input.0.content.2",
		llm.NeedJSONSchema: "text.format", llm.NeedReasoning: "reasoning.effort", llm.NeedTemperature: "temperature",
	} {
		want.Add(need, place)
	}
	if diff := cmp.Diff(want, r.Needs); diff != "" {
		t.Error(diff)
	}
	if !r.Stream || !r.HasMaxOutput || r.MaxOutput != 99 || r.Size.Images != 2 || r.Size.Messages != 2 || r.Size.Other != 2 || r.Size.Media == 0 {
		t.Errorf("request = %+v", r)
	}
	if diff := cmp.Diff(&llm.Thread{Store: true, Previous: "resp_1", References: []string{"msg_1"}}, r.Thread); diff != "" {
		t.Error(diff)
	}
}

// Documents are weighed by their pages, and those that only a provider can look into
// as the longest that are taken.
func TestDocumentsAreWeighedByTheirPages(t *testing.T) {
	t.Parallel()
	const pdf = "JVBERi0xLjQgPDwvVHlwZS9QYWdlPj4gPDwvVHlwZS9QYWdlPj4gPDwvVHlwZS9QYWdlPj4g"
	for part, want := range map[string]int64{
		`{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,` + pdf + `"}`: 3,
		`{"type":"input_file","file_id":"f"}`:                100,
		`{"type":"input_file","file_url":"https://x/y.pdf"}`: 100,
		`{"type":"input_image","file_id":"f"}`:               0,
	} {
		r, err := New(Options{}).Decode([]byte(`{"model":"m","input":[{"role":"user","content":[`+part+`]}]}`), nil)
		if err != nil {
			t.Errorf("%s: %v", part, err)
			continue
		}
		if r.Size.Pages != want || r.Size.Images != 1 {
			t.Errorf("%s: %+v, want %d pages", part, r.Size, want)
		}
	}
}
