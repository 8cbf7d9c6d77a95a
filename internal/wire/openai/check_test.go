package openai

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// details decodes a body and returns its bad fields as "field code message".
func details(t *testing.T, d wire.Dialect, body string) []string {
	t.Helper()
	_, err := d.Decode([]byte(body), nil)
	if err == nil {
		return nil
	}
	var fe *fault.Error
	if !errors.As(err, &fe) {
		t.Fatalf("Decode(%s) = %v, want a fault", body, err)
	}
	if len(fe.Details) > 0 && (fe.Param != fe.Details[0].Field || fe.Code != fe.Details[0].Code) {
		t.Errorf("Decode(%s): the first field is %s %s, want that of %v", body, fe.Param, fe.Code, fe.Details[0])
	}
	var out []string
	for _, x := range fe.Details {
		out = append(out, fmt.Sprintf("%s %s %s", x.Field, x.Code, x.Message))
	}
	return out
}

func TestChatFieldsAreChecked(t *testing.T) {
	t.Parallel()
	d := NewChat(Options{})
	const (
		num   = "invalid_type Must be a number"
		whole = "invalid_type Must be a whole number"
		str   = "invalid_type Must be a string"
		boo   = "invalid_type Must be true or false"
		obj   = "invalid_type Must be an object"
		arr   = "invalid_type Must be an array"
		req   = "missing_parameter Required"
		inv   = "invalid_parameter "
		sch   = "invalid_json_schema "
	)
	for _, c := range []struct{ member, want string }{ // want: "field code message", or "" for none
		{`"temperature":0`, ""},
		{`"temperature":2`, ""},
		{`"temperature":null`, ""},
		{`"temperature":3`, "temperature " + inv + "Must be between 0 and 2"},
		{`"temperature":-0.1`, "temperature " + inv + "Must be between 0 and 2"},
		{`"temperature":"hot"`, "temperature " + num},
		{`"top_p":1.1`, "top_p " + inv + "Must be between 0 and 1"},
		{`"top_p":[]`, "top_p " + num},
		{`"frequency_penalty":-2`, ""},
		{`"frequency_penalty":2.5`, "frequency_penalty " + inv + "Must be between -2 and 2"},
		{`"presence_penalty":-3`, "presence_penalty " + inv + "Must be between -2 and 2"},
		{`"n":0`, "n " + inv + "Must be between 1 and 128"},
		{`"n":129`, "n " + inv + "Must be between 1 and 128"},
		{`"n":1.5`, "n " + whole},
		{`"n":128`, ""},
		{`"max_tokens":0`, "max_tokens " + inv + "Must be at least 1"},
		{`"max_tokens":1e30`, "max_tokens " + inv + "Is too large"},
		{`"max_tokens":"10"`, "max_tokens " + whole},
		{`"max_tokens":null`, ""},
		{`"max_completion_tokens":-5`, "max_completion_tokens " + inv + "Must be at least 1"},
		{`"max_completion_tokens":5,"max_tokens":5`, ""},
		{`"max_completion_tokens":5,"max_tokens":6`, "max_tokens " + inv + "Must not differ from max_completion_tokens"},
		{`"seed":1.5`, "seed " + whole},
		{`"seed":-9223372036854775808`, ""},
		{`"stream":"yes"`, "stream " + boo},
		{`"stream":1`, "stream " + boo},
		{`"stream_options":true`, "stream_options " + obj},
		{`"stream_options":{"include_usage":1}`, "stream_options.include_usage " + boo},
		{`"stop":"x"`, ""},
		{`"stop":["a","b","c","d"]`, ""},
		{`"stop":["a","b","c","d","e"]`, ""},
		{`"stop":[` + strings.Repeat(`"x",`, 64) + `"y"]`, "stop " + inv + "Must have at most 64 elements"},
		{`"stop":[]`, ""},
		{`"stop":["a",1]`, "stop.1 " + str},
		{`"stop":7`, "stop invalid_type Must be a string or an array of strings"},
		{`"logprobs":"x"`, "logprobs " + boo},
		{`"top_logprobs":21`, "top_logprobs " + inv + "Must be between 0 and 20"},
		{`"logit_bias":{"50256":-101}`, "logit_bias.50256 " + inv + "Must be between -100 and 100"},
		{`"logit_bias":[]`, "logit_bias " + obj},
		{`"user":1`, "user " + str},
		{`"safety_identifier":"` + strings.Repeat("x", 65) + `"`, "safety_identifier " + inv + "Must have at most 64 characters"},
		{`"metadata":{"k":1}`, "metadata.k " + str},
		{`"reasoning_effort":"extreme"`, "reasoning_effort " + inv + "Must be one of none, minimal, low, medium, high, xhigh or max"},
		{`"verbosity":"x"`, "verbosity " + inv + "Must be one of low, medium or high"},
		{`"modalities":["text","smell"]`, "modalities.1 " + inv + "Must be one of text or audio"},
		{`"audio":{"format":"wav"}`, "audio.voice " + req},
		{`"modalities":[null]`, "modalities.0 " + str},
		{`"temperature":1e400`, "temperature " + inv + "Must be between 0 and 2"},
		{`"temperature":-1e400`, "temperature " + inv + "Must be between 0 and 2"},
		{`"max_tokens":1e400`, "max_tokens " + inv + "Is too large"},
		{`"max_tokens":-1e400`, "max_tokens " + inv + "Must be at least 1"},
		{`"max_tokens":123456789012345678901234567890`, "max_tokens " + inv + "Is too large"},
		{`"max_tokens":-0`, "max_tokens " + inv + "Must be at least 1"},
		{`"seed":9223372036854775808`, "seed " + inv + "Must be between -9223372036854775808 and 9223372036854775807"},
		{`"n":"NaN"`, "n " + whole},
		{`"logit_bias":{"1":1e999}`, "logit_bias.1 " + inv + "Must be between -100 and 100"},
		{`"parallel_tool_calls":"no"`, "parallel_tool_calls " + boo},
		{`"prediction":1`, "prediction " + obj},
		{`"response_format":{"type":"regex","regex":{"regex":"a+"}}`, ""},
		{`"response_format":{"type":"grammar","grammar":"root ::= x"}`, ""},
		{`"response_format":{"type":"json","value":{"type":"object"}}`, ""},
		{`"response_format":{"type":"json_schema","schema":{"type":"object"}}`, ""},
		{`"response_format":{"type":"json_schema","schema":7}`, "response_format.schema invalid_json_schema Is not a valid JSON Schema: must be an object"},
		{`"reasoning_effort":"default"`, ""},
		{`"modalities":["image","text"]`, ""},
		{`"response_format":{}`, "response_format.type " + req},
		{`"response_format":{"type":"xml"}`, "response_format.type " + inv + "Must be one of text, json_object or json_schema"},
		{`"response_format":{"type":"json_schema"}`, "response_format.json_schema " + req},
		{`"response_format":{"type":"json_schema","json_schema":{"schema":{}}}`, "response_format.json_schema.name " + sch + "Required"},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"a b","schema":{}}}`, "response_format.json_schema.name " + sch + "Must consist of letters, digits, underscores and dashes"},
		{`"response_format":{"type":"json_schema","json_schema":{"name":null,"schema":{}}}`, "response_format.json_schema.name " + sch + "Required"},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"","schema":{}}}`, "response_format.json_schema.name " + sch + "Must not be empty"},
		{`"response_format":{"type":"json_schema","json_schema":{"name":5,"schema":{}}}`, "response_format.json_schema.name " + sch + "Must be a string"},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"` + strings.Repeat("a", 65) + `","schema":{}}}`, "response_format.json_schema.name " + sch + "Must have at most 64 characters"},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"a"}}`, ""}, // the official description requires the name alone
		{`"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":null,"strict":null}}`, ""},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":[]}}`, "response_format.json_schema.schema " + sch + "Is not a valid JSON Schema: must be an object"},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{},"strict":1}}`, "response_format.json_schema.strict " + boo},
		{`"response_format":{"type":"json_schema","json_schema":5}`, "response_format.json_schema " + obj},
		{`"response_format":"json_object"`, "response_format " + obj},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object","properties":{"x":{"type":"int"}}}}}`, "response_format.json_schema.schema.properties.x.type invalid_json_schema Is not a valid JSON Schema: value must be one of 'array', 'boolean', 'integer', 'null', 'number', 'object', 'string'"},
		{`"tools":{}`, "tools " + arr},
		{`"tools":[]`, ""},
		{`"tools":[1]`, "tools.0 " + obj},
		{`"tools":[null]`, "tools.0 " + obj},
		{`"tools":[{}]`, "tools.0.type " + req},
		{`"tools":[{"type":"function"}]`, "tools.0.function " + req},
		{`"tools":[{"type":"function","function":{}}]`, "tools.0.function.name " + req},
		{`"tools":[{"type":"function","function":{"name":"a.b:c"}}]`, ""},
		{`"tools":[{"type":"function","function":{"name":"a.b c"}}]`, "tools.0.function.name " + inv + "Must consist of letters, digits, underscores and dashes"},
		{`"tools":[{"type":"function","function":{"name":"` + strings.Repeat("a", 65) + `"}}]`, "tools.0.function.name " + inv + "Must have at most 64 characters"},
		{`"tools":[{"type":"function","function":{"name":"a","parameters":{"type":"objekt"}}}]`, "tools.0.function.parameters.type invalid_json_schema Is not a valid JSON Schema: value must be one of 'array', 'boolean', 'integer', 'null', 'number', 'object', 'string'"},
		{`"tools":[{"type":"function","function":{"name":"a","parameters":null,"strict":null}}]`, ""},
		{`"tools":[{"type":"function","function":{"name":"\u0061"}}]`, ""},
		{`"tools":[{"type":"function","function":{"name":"a","parameters":"x"}}]`, "tools.0.function.parameters " + sch + "Is not a valid JSON Schema: must be an object"},
		{`"tools":[{"type":"function","function":{"name":"a","parameters":{"multipleOf":1e1000001}}}]`, ""}, // not for us to compute
		{`"tools":[{"type":"openrouter:web_search"}]`, ""},
		{`"tools":[{"type":"custom","custom":{"name":"x"}}]`, ""},
		{`"tool_choice":"auto"`, ""},
		{`"tool_choice":"required"`, "tool_choice " + inv + "Needs tools"},
		{`"tool_choice":"always","tools":[{"type":"function","function":{"name":"a"}}]`, "tool_choice " + inv + "Must be one of none, auto, required or any"},
		{`"tool_choice":5`, "tool_choice invalid_type Must be a string or an object"},
		{`"tool_choice":{"type":"function","function":{"name":"b"}},"tools":[{"type":"function","function":{"name":"a"}}]`, "tool_choice.function.name " + inv + "Names a tool that is not among tools"},
		{`"tool_choice":{"type":"function","function":{"name":"a"}},"tools":[{"type":"function","function":{"name":"a"}}]`, ""},
		{`"tool_choice":{"type":"function","function":{"name":"\u0061"}},"tools":[{"type":"function","function":{"name":"a"}}]`, ""},
		{`"tool_choice":{"type":"function","function":{"name":"a"}},"tools":[{"type":"function","function":{"name":"\u0061"}}]`, ""},
		{`"tool_choice":{"type":"function","function":{"name":"a"}}`, "tool_choice " + inv + "Needs tools"},
		{`"tool_choice":{"type":"function","function":{}},"tools":[{"type":"function","function":{"name":"a"}}]`, "tool_choice.function.name " + req},
		{`"tool_choice":{"type":"custom","custom":{"name":"b"}},"tools":[{"type":"custom","custom":{"name":"a"}}]`, "tool_choice.custom.name " + inv + "Names a tool that is not among tools"},
		{`"tool_choice":{},"tools":[{"type":"function","function":{"name":"a"}}]`, "tool_choice.type " + req},
		{`"tool_choice":"any","tools":[]`, "tool_choice " + inv + "Needs tools"},
		{`"tool_choice":"required","tools":5`, "tools " + arr},
		{`"tool_choice":"required","tools":{}`, "tools " + arr},
		{`"tool_choice":{"type":"function","function":{"name":"a"}},"tools":{"name":"a"}`, "tools " + arr},
		{`"tool_choice":"none"`, ""},
		{`"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}]}},"tools":[{"type":"function","function":{"name":"a"}}]`, "tool_choice.allowed_tools.tools.1.function.name " + inv + "Names a tool that is not among tools"},
		{`"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"mcp","server_label":"x"}]}},"tools":[{"type":"mcp"}]`, ""},
		{`"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":["a"]}},"tools":[{"type":"function","function":{"name":"a"}}]`, "tool_choice.allowed_tools.tools.0 " + obj},
		{`"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}},"tools":[{"type":"function","function":{"name":"a"}}]`, "tool_choice.allowed_tools.tools " + inv + "Must not be empty"},
		{`"tool_choice":{"type":"function"},"tools":[{"type":"function","function":{"name":"a"}}]`, "tool_choice.function " + req},
		{`"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"must","tools":[{}]}},"tools":[{"type":"function","function":{"name":"a"}}]`, "tool_choice.allowed_tools.mode " + inv + "Must be one of auto or required"},
		{`"functions":[]`, "functions " + inv + "Must not be empty"},
		{`"functions":[{"name":"a"}],"function_call":"must"`, "function_call " + inv + "Must be one of none or auto"},
		{`"functions":[null]`, "functions.0 " + obj},
		{`"functions":[{"name":"a"}],"function_call":{"name":"a"}`, ""},
		{`"functions":[{"name":"a"}],"function_call":{"name":"b"}`, "function_call.name " + inv + "Names a function that is not among functions"},
		{`"functions":[{"name":"a"}],"function_call":{}`, "function_call.name " + req},
		{`"function_call":{"name":"a"}`, "function_call " + inv + "Needs functions"},
		{`"function_call":{"name":"a"},"functions":5`, "functions " + arr},
		{`"function_call":5`, "function_call " + str},
		{`"made_up_by_a_vendor":{"a":[1,2]}`, ""},
	} {
		got := details(t, d, `{"model":"m","messages":[{"role":"user","content":"hi"}],`+c.member+`}`)
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Decode with %s (-want +got):\n%s", c.member, diff)
		}
	}
}

func TestChatMessagesAreChecked(t *testing.T) {
	t.Parallel()
	d := NewChat(Options{})
	const (
		req = "missing_parameter Required"
		inv = "invalid_parameter "
		wro = "invalid_type "
	)
	for _, c := range []struct {
		messages string
		want     []string
	}{
		{`null`, []string{"messages " + req}},
		{`"hi"`, []string{"messages " + wro + "Must be an array"}},
		{`[]`, []string{"messages " + inv + "Must not be empty"}},
		{`["hi"]`, []string{"messages.0 " + wro + "Must be an object"}},
		{`[null]`, []string{"messages.0 " + wro + "Must be an object"}},
		{`[{"content":"hi"}]`, []string{"messages.0.role " + req}},
		{`[{"role":"user"}]`, []string{"messages.0.content " + req}},
		{`[{}]`, []string{"messages.0.role " + req, "messages.0.content " + req}},
		{`[{"role":"user","content":null}]`, []string{"messages.0.content " + req}},
		{`[{"role":"user","content":5}]`, []string{"messages.0.content " + wro + "Must be a string or an array of parts"}},
		{`[{"role":"user","content":[]}]`, []string{"messages.0.content " + inv + "Must not be empty"}},
		{`[{"role":"robot","content":"hi"}]`, []string{"messages.0.role " + inv + "Must be one of developer, system, user, assistant, tool or function"}},
		{`[{"role":1,"content":"hi"}]`, []string{"messages.0.role " + wro + "Must be a string"}},
		{`[{"role":"system","content":"a"},{"role":"user","content":[{"type":"text"}]}]`, []string{"messages.1.content.0.text " + req}},
		{`[{"role":"user","content":["x"]}]`, []string{"messages.0.content.0 " + wro + "Must be an object"}},
		{`[{"role":"user","content":[{"text":"x"}]}]`, []string{"messages.0.content.0.type " + req}},
		{`[{"role":"user","content":[{"type":"txt","text":"x"}]}]`, []string{"messages.0.content.0.type " + inv + "Must be one of text, image_url, input_audio, file, refusal, thinking, reference, document_url, file_url, video_url or audio_url"}},
		{`[{"role":"user","content":[{"type":"text","text":1}]}]`, []string{"messages.0.content.0.text " + wro + "Must be a string"}},
		{`[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]`, []string{"messages.0.content.0.image_url.url " + req}},
		{`[{"role":"user","content":[{"type":"image_url"}]}]`, []string{"messages.0.content.0.image_url " + req}},
		{`[{"role":"user","content":[{"type":"image_url","image_url":{"url":null}}]}]`, []string{"messages.0.content.0.image_url.url " + req}},
		{`[{"role":"user","content":[{"type":"image_url","image_url":{"url":""}}]}]`, []string{"messages.0.content.0.image_url.url " + inv + "Must not be empty"}},
		{`[{"role":"user","content":[{"type":"image_url","image_url":""}]}]`, []string{"messages.0.content.0.image_url " + inv + "Must not be empty"}},
		{`[{"role":"user","content":[{"type":"image_url","image_url":{"url":5}}]}]`, []string{"messages.0.content.0.image_url.url " + wro + "Must be a string"}},
		{`[{"role":"user","content":[{"type":"image_url","image_url":[]}]}]`, []string{"messages.0.content.0.image_url " + wro + "Must be an object"}},
		{`[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}]`, []string{"messages.0.content.0.input_audio.data " + req, "messages.0.content.0.input_audio.format " + req}},
		{`[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"","format":"wav"}}]}]`, []string{"messages.0.content.0.input_audio.data " + inv + "Must not be empty"}},
		{`[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AAAA","format":1}}]}]`, []string{"messages.0.content.0.input_audio.format " + wro + "Must be a string"}},
		{`[{"role":"user","content":[{"type":"video_url","video_url":{}}]}]`, []string{"messages.0.content.0.video_url.url " + req}},
		{`[{"role":"user","content":[{"type":"file","file":"f"}]}]`, []string{"messages.0.content.0.file " + wro + "Must be an object"}},
		{`[{"role":"user","content":[{"type":"file","file":{"file_id":1,"file_data":2}}]}]`, []string{"messages.0.content.0.file.file_id " + wro + "Must be a string", "messages.0.content.0.file.file_data " + wro + "Must be a string"}},
		{`[{"role":"user","content":[{"type":"file","file":{"file_id":"f","file_data":""}}]}]`, nil},
		{`[{"role":"user","content":[null]}]`, []string{"messages.0.content.0 " + wro + "Must be an object"}},
		{`[{"role":"user","content":{"type":"text","text":"x"}}]`, []string{"messages.0.content " + wro + "Must be a string or an array of parts"}},
		{`[{"role":null,"content":"hi"}]`, []string{"messages.0.role " + req}},
		{`[{"role":"user","content":[{"type":null,"text":"x"}]}]`, []string{"messages.0.content.0.type " + req}},
		{`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"ultra"}}]}]`, []string{"messages.0.content.0.image_url.detail " + inv + "Must be one of auto, low, high or original"}},
		{`[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AAAA"}}]}]`, []string{"messages.0.content.0.input_audio.format " + req}},
		{`[{"role":"assistant"}]`, []string{"messages.0.content " + req}},
		{`[{"role":"assistant","content":null,"tool_calls":[]}]`, []string{"messages.0.content " + req}},
		{`[{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}]`, nil},
		{`[{"role":"assistant","refusal":"no"}]`, nil},
		{`[{"role":"assistant","tool_calls":[{"type":"function","function":{"arguments":5}}]}]`, []string{
			"messages.0.tool_calls.0.id " + req, "messages.0.tool_calls.0.function.name " + req, "messages.0.tool_calls.0.function.arguments " + wro + "Must be a string",
		}},
		{`[{"role":"assistant","tool_calls":["x"]}]`, []string{"messages.0.tool_calls.0 " + wro + "Must be an object"}},
		{`[{"role":"assistant","refusal":5}]`, []string{"messages.0.refusal " + wro + "Must be a string"}},
		{`[{"role":"assistant","audio":{}}]`, []string{"messages.0.audio.id " + req}},
		{`[{"role":"assistant","audio":"x"}]`, []string{"messages.0.audio " + wro + "Must be an object"}},
		{`[{"role":"assistant","audio":{"id":"a"}}]`, nil},
		{`[{"role":"assistant","function_call":{}}]`, []string{"messages.0.function_call.name " + req}},
		{`[{"role":"assistant","function_call":"f"}]`, []string{"messages.0.function_call " + wro + "Must be an object"}},
		{`[{"role":"assistant","function_call":{"name":"f","arguments":{}}}]`, nil},
		{`[{"role":"tool","tool_call_id":"c","content":null}]`, nil},
		{`[{"role":"assistant","function_call":{"name":"f","arguments":[]}}]`, []string{"messages.0.function_call.arguments " + wro + "Must be a string"}},
		{`[{"role":"assistant","tool_calls":{}}]`, []string{"messages.0.tool_calls " + wro + "Must be an array"}},
		{`[{"role":"assistant","tool_calls":[{"id":"c","type":"custom"}]}]`, []string{"messages.0.tool_calls.0.custom " + req}},
		{`[{"role":"tool","tool_call_id":5,"content":"r"}]`, []string{"messages.0.tool_call_id " + wro + "Must be a string"}},
		{`[{"role":"tool","content":"r"}]`, []string{"messages.0.tool_call_id " + req}},
		{`[{"role":"tool","tool_call_id":"c"}]`, []string{"messages.0.content " + req}},
		{`[{"role":"function","content":null}]`, []string{"messages.0.name " + req}},
		{`[{"role":"user","content":"hi","name":5}]`, []string{"messages.0.name " + wro + "Must be a string"}},
	} {
		if diff := cmp.Diff(c.want, details(t, d, `{"model":"m","messages":`+c.messages+`}`)); diff != "" {
			t.Errorf("Decode with messages %s (-want +got):\n%s", c.messages, diff)
		}
	}
}

func TestAllBadFieldsComeAtOnceInOrder(t *testing.T) {
	t.Parallel()
	got := details(t, NewChat(Options{}), `{"temperature":3,"messages":[{"content":"x"}],"n":0,"stop":5}`)
	want := []string{
		"model missing_parameter Required",
		"temperature invalid_parameter Must be between 0 and 2",
		"messages.0.role missing_parameter Required",
		"n invalid_parameter Must be between 1 and 128",
		"stop invalid_type Must be a string or an array of strings",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
	if got := details(t, NewChat(Options{}), `{}`); len(got) != 2 || !strings.HasPrefix(got[0], "model ") || !strings.HasPrefix(got[1], "messages ") {
		t.Errorf("details of {} = %v", got)
	}
	if got := details(t, NewChat(Options{}), `{"model":"","messages":[{"role":"user","content":"x"}]}`); len(got) != 1 || got[0] != "model invalid_parameter Must not be empty" {
		t.Errorf("details of an empty model = %v", got)
	}
}

func TestBadFieldsAreCappedInOrder(t *testing.T) {
	t.Parallel()
	body := `{"temperature":3,"messages":[` + strings.Repeat(`{"content":"x"},`, 100) + `{}],"model":5}`
	got := details(t, NewChat(Options{}), body)
	if len(got) != 64 || !strings.HasPrefix(got[0], "temperature ") || !strings.HasPrefix(got[1], "messages.0.role ") || !strings.HasPrefix(got[63], "messages.62.role ") {
		t.Errorf("%d details, want 64 from temperature to messages.62.role: %v", len(got), got)
	}
}

func TestBadJSONIsOneFault(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `{`, `[]`, `"x"`, `{"model":"a","model":"b"}`, `{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, `{"a":1,}`, "{\"a\":\"\xff\"}",
		`{"a":"\ud800"}`, `{"a":"\udc00\ud800"}`, `{"a":NaN}`, `{"a":-Infinity}`, `{"a":01}`, `{"a":+1}`, `{"a":1.}`, `{"a":0x10}`, `{"a":{"b":1,"\u0062":2}}`, `{"a":1}{}`, "\xef\xbb\xbf{}", "{\"a\":\"\x00\"}",
	} {
		for _, d := range []wire.Dialect{NewChat(Options{}), NewEmbeddings(Options{})} {
			_, err := d.Decode([]byte(body), nil)
			if e := fault.From(err); !fault.Is(err, fault.InvalidJSON) || !strings.Contains(e.Message, " at byte ") {
				t.Errorf("Decode(%.40q) = %v, want invalid_json and a place", body, err)
			}
		}
	}
}

func TestRequestsAreFilledIn(t *testing.T) {
	t.Parallel()
	body := `{"model":"gpt-5","stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":100,"n":2,"temperature":0.2,
	"messages":[{"role":"system","content":"é"},{"role":"user","content":[{"type":"text","text":"abc"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"file","file":{"file_id":"f"}},{"type":"image_url","image_url":{"url":"https://x/y"}}]}],
	"tools":[{"type":"function","function":{"name":"a"}}],"tool_choice":"required","reasoning_effort":"low","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}}`
	r, err := NewChat(Options{}).Decode([]byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Task != llm.TaskChat || r.Dialect != llm.OpenAIChat || r.Model != "gpt-5" || !r.Stream || !r.IncludeUsage ||
		r.MaxOutput != 100 || !r.HasMaxOutput || r.Choices != 2 || r.Inputs != 1 {
		t.Errorf("request = %+v", r)
	}
	var needs llm.Needs
	needs.Add(llm.NeedTools, "tools")
	needs.Add(llm.NeedForcedTool, "tool_choice")
	needs.Add(llm.NeedImageInput, "messages.1.content.1")
	needs.Add(llm.NeedFileInput, "messages.1.content.2")
	needs.Add(llm.NeedJSONSchema, "response_format")
	needs.Add(llm.NeedReasoning, "reasoning_effort")
	needs.Add(llm.NeedTemperature, "temperature")
	if diff := cmp.Diff(needs, r.Needs); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
	want := llm.Size{
		ASCII:    int64(len(`abc` + `[{"type":"function","function":{"name":"a"}}]` + `{"type":"json_schema","json_schema":{"name":"n","schema":{}}}`)),
		Other:    2,
		Messages: 2,
		Images:   3,
		Media:    int64(len("data:image/png;base64,AAAA")),
		Pages:    100, // of a file that only its provider knows
	}
	if diff := cmp.Diff(want, r.Size); diff != "" {
		t.Errorf("size (-want +got):\n%s", diff)
	}
	if string(r.Raw.Value("n")) != "2" || string(r.Raw.Splice()) != body {
		t.Error("the raw body is not as it came")
	}
	plain, err := NewChat(Options{}).Decode([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":1,"reasoning_effort":"none","stream":null,"n":null}`), nil)
	if err != nil || plain.Needs != (llm.Needs{}) || plain.Stream || plain.HasMaxOutput || plain.Choices != 1 {
		t.Errorf("a plain request = %+v, %v", plain, err)
	}
}

func TestModalitiesAreNeededWhereTheyStand(t *testing.T) {
	t.Parallel()
	for part, need := range map[string]llm.Need{
		`{"type":"image_url","image_url":{"url":"https://x/y.png"}}`:              llm.NeedImageInput,
		`{"type":"image_url","image_url":"data:image/png;base64,AAAA"}`:           llm.NeedImageInput,
		`{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}`:     llm.NeedAudioInput,
		`{"type":"audio_url","audio_url":{"url":"https://x/y.mp3"}}`:              llm.NeedAudioInput,
		`{"type":"file","file":{"file_id":"f"}}`:                                  llm.NeedFileInput,
		`{"type":"file","file":{"file_data":"data:application/pdf;base64,AA=="}}`: llm.NeedFileInput,
		`{"type":"document_url","document_url":"https://x/y.pdf"}`:                llm.NeedFileInput,
		`{"type":"file_url","file_url":{"url":"https://x/y.pdf"}}`:                llm.NeedFileInput,
		`{"type":"video_url","video_url":{"url":"https://x/y.mp4"}}`:              llm.NeedVideoInput,
	} {
		text := `{"type":"text","text":"a"}`
		body := `{"model":"m","messages":[{"role":"user","content":[` + text + `,` + part + `,` + part + `]},{"role":"user","content":[` + part + `]}]}`
		r, err := NewChat(Options{}).Decode([]byte(body), nil)
		if err != nil {
			t.Errorf("Decode with %s = %v", part, err)
			continue
		}
		var want llm.Needs
		want.Add(need, "messages.0.content.1")
		if diff := cmp.Diff(want, r.Needs); diff != "" || r.Size.Images != 3 {
			t.Errorf("Decode with %s: %d media, needs (-want +got):\n%s", part, r.Size.Images, diff)
		}
	}
}

func TestUnknownMembersSurvive(t *testing.T) {
	t.Parallel()
	body := `{"model":"m","vendor":{"a":[1,2.50,{"b":null}]},"messages":[{"role":"user","content":"x","x_note":1}], "zzz" : 1e400}`
	r, err := NewChat(Options{}).Decode([]byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := string(r.Raw.Splice(llm.Edit{Name: "model", Value: []byte(`"n"`)}))
	if want := strings.Replace(body, `"m"`, `"n"`, 1); got != want {
		t.Errorf("Splice = %s, want %s", got, want)
	}
	chat, err := r.DecodeChat()
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, e := range chat.Extra {
		paths = append(paths, e.Path+"="+string(e.Value))
	}
	if diff := cmp.Diff([]string{`vendor={"a":[1,2.50,{"b":null}]}`, "messages.0.x_note=1", "zzz=1e400"}, paths); diff != "" {
		t.Errorf("extras (-want +got):\n%s", diff)
	}
}

func TestAnArrayOfInputsIsABatch(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]struct {
		batch  bool
		inputs int
	}{
		`"ab"`:      {false, 1},
		`[1,2,3]`:   {false, 1}, // one text, as tokens
		`["ab"]`:    {true, 1},
		`[[1,2]]`:   {true, 1},
		`["a","b"]`: {true, 2},
		`[[1],[2]]`: {true, 2},
	} {
		r, err := NewEmbeddings(Options{}).Decode([]byte(`{"model":"m","input":`+input+`}`), nil)
		if err != nil {
			t.Errorf("Decode of input %s = %v", input, err)
			continue
		}
		var needs llm.Needs
		if want.batch {
			needs.Add(llm.NeedBatchInput, "input")
		}
		if r.Needs != needs || r.Inputs != want.inputs {
			t.Errorf("Decode of input %s: %d inputs, needs %v, want %+v", input, r.Inputs, r.Needs, want)
		}
	}
}

// Documents are weighed by their pages, and those that only a provider can look into
// as the longest that are taken.
func TestDocumentsAreWeighedByTheirPages(t *testing.T) {
	t.Parallel()
	const pdf = "JVBERi0xLjQgPDwvVHlwZS9QYWdlPj4gPDwvVHlwZS9QYWdlPj4gPDwvVHlwZS9QYWdlPj4g"
	for part, want := range map[string]int64{
		`{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,` + pdf + `"}}`: 3,
		`{"type":"file","file":{"filename":"a.pdf","file_data":"` + pdf + `"}}`:                             3,
		`{"type":"file","file":{"file_id":"f"}}`:                                                            100,
		`{"type":"document_url","document_url":"https://x/y.pdf"}`:                                          100,
		`{"type":"file_url","file_url":{"url":"data:application/pdf;base64,` + pdf + `"}}`:                  3,
		`{"type":"image_url","image_url":{"url":"https://x/y.png"}}`:                                        0,
	} {
		r, err := NewChat(Options{}).Decode([]byte(`{"model":"m","messages":[{"role":"user","content":[`+part+`]}]}`), nil)
		if err != nil {
			t.Errorf("%s: %v", part, err)
			continue
		}
		if r.Size.Pages != want || r.Size.Images != 1 {
			t.Errorf("%s: %+v, want %d pages", part, r.Size, want)
		}
	}
}
