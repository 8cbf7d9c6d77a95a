package anthropic

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
)

func TestFieldsAreChecked(t *testing.T) {
	t.Parallel()
	d := NewMessages()
	for _, c := range []struct{ member, want string }{
		{`"temperature":1`, ""},
		{`"temperature":1.5`, "temperature " + inv + "Must be between 0 and 1"},
		{`"temperature":"hot"`, "temperature " + wro + "Must be a number"},
		{`"temperature":null`, ""},
		{`"top_p":-0.5`, "top_p " + inv + "Must be between 0 and 1"},
		{`"top_k":-2`, "top_k " + inv + "Must be at least 0"},
		{`"top_k":1.5`, "top_k " + wro + "Must be a whole number"},
		{`"stream":"x"`, "stream " + wro + "Must be true or false"},
		{`"stop_sequences":"x"`, "stop_sequences " + wro + "Must be an array"},
		{`"stop_sequences":[1]`, "stop_sequences.0 " + wro + "Must be a string"},
		{`"stop_sequences":["a",null]`, "stop_sequences.1 " + wro + "Must be a string"},
		{`"stop_sequences":{}`, "stop_sequences " + wro + "Must be an array"},
		{`"temperature":1e400`, "temperature " + inv + "Must be between 0 and 1"},
		{`"top_k":-1e400`, "top_k " + inv + "Must be at least 0"},
		{`"top_k":99999999999999999999`, "top_k " + inv + "Is too large"},
		{`"system":5`, "system " + wro + "Must be a string or an array of text blocks"},
		{`"system":[{"type":"text"}]`, "system.0.text " + req},
		{`"system":[{"type":"text","text":"a","cache_control":{"type":"forever"}}]`, "system.0.cache_control.type " + inv + "Must be one of ephemeral"},
		{`"cache_control":{"type":"ephemeral","ttl":"2h"}`, "cache_control.ttl " + inv + "Must be one of 5m or 1h"},
		{`"metadata":[]`, "metadata " + wro + "Must be an object"},
		{`"metadata":{"user_id":1}`, "metadata.user_id " + wro + "Must be a string"},
		{`"thinking":{}`, "thinking.type " + req},
		{`"thinking":{"type":"hard"}`, "thinking.type " + inv + "Must be one of enabled, adaptive or disabled"},
		{`"thinking":{"type":"enabled"}`, "thinking.budget_tokens " + req},
		{`"thinking":{"type":"enabled","budget_tokens":1023}`, "thinking.budget_tokens " + inv + "Must be at least 1024"},
		{`"thinking":{"type":"enabled","budget_tokens":2000}`, "thinking.budget_tokens " + inv + "Must be less than max_tokens"},
		{`"thinking":{"type":"enabled","budget_tokens":2001}`, "thinking.budget_tokens " + inv + "Must be less than max_tokens"},
		{`"thinking":{"type":"enabled","budget_tokens":1999}`, ""},
		{`"thinking":{"type":"enabled","budget_tokens":1e400}`, "thinking.budget_tokens " + inv + "Is too large"},
		{`"thinking":{"type":"enabled","budget_tokens":"1024"}`, "thinking.budget_tokens " + wro + "Must be a whole number"},
		{`"thinking":{"type":"disabled","budget_tokens":1}`, ""},
		{`"thinking":true`, "thinking " + wro + "Must be an object"},
		{`"thinking":{"type":"adaptive","display":"all"}`, "thinking.display " + inv + "Must be one of summarized or omitted"},
		{`"output_config":{"effort":1}`, "output_config.effort " + wro + "Must be a string"},
		{`"output_config":{"format":{"type":"xml"}}`, "output_config.format.type " + inv + "Must be one of json_schema"},
		{`"output_config":{"format":{"type":"json_schema"}}`, "output_config.format.schema " + req},
		{`"output_config":{"format":{"type":"json_schema","schema":{"type":"x"}}}`, "output_config.format.schema.type invalid_json_schema Is not a valid JSON Schema: value must be one of 'array', 'boolean', 'integer', 'null', 'number', 'object', 'string'"},
		{`"tools":5`, "tools " + wro + "Must be an array"},
		{`"tools":["x"]`, "tools.0 " + wro + "Must be an object"},
		{`"tools":[{"input_schema":{}}]`, "tools.0.name " + req},
		{`"tools":[{"name":"a"}]`, "tools.0.input_schema " + req},
		{`"tools":[null]`, "tools.0 " + wro + "Must be an object"},
		{`"tools":[{"name":"a","input_schema":"x"}]`, "tools.0.input_schema invalid_json_schema Is not a valid JSON Schema: must be an object"},
		{`"tools":[{"name":"a","input_schema":{"multipleOf":1e1000001}}]`, ""},
		{`"tools":[{"name":"a b","input_schema":{}}]`, "tools.0.name " + inv + "Must consist of letters, digits, underscores and dashes"},
		{`"tools":[{"name":"a","input_schema":{"properties":5}}]`, "tools.0.input_schema.properties invalid_json_schema Is not a valid JSON Schema: got number, want object"},
		{`"tools":[{"type":"web_search_20250305","name":"web_search"}]`, ""},
		{`"tools":[{"type":"mcp_toolset","mcp_server_name":"x"}]`, ""},
		{`"tool_choice":"auto"`, "tool_choice " + wro + "Must be an object"},
		{`"tool_choice":{}`, "tool_choice.type " + req},
		{`"tool_choice":{"type":"auto"}`, ""},
		{`"tool_choice":{"type":"any"}`, "tool_choice " + inv + "Needs tools"},
		{`"tool_choice":{"type":"any"},"tools":[]`, "tool_choice " + inv + "Needs tools"},
		{`"tool_choice":{"type":"any"},"tools":5`, "tools " + wro + "Must be an array"},
		{`"tool_choice":{"type":"tool","name":"a"},"tools":{"name":"a"}`, "tools " + wro + "Must be an array"},
		{`"tool_choice":{"type":"tool","name":"a"}`, "tool_choice " + inv + "Needs tools"},
		{`"tool_choice":{"type":"tool","name":5},"tools":[{"name":"a","input_schema":{}}]`, "tool_choice.name " + wro + "Must be a string"},
		{`"tool_choice":{"type":"tool","name":"\u0061"},"tools":[{"name":"a","input_schema":{}}]`, ""},
		{`"tool_choice":{"type":"tool","name":"a"},"tools":[{"name":"\u0061","input_schema":{}}]`, ""},
		{`"tool_choice":{"type":"tool","name":"x"},"tools":[{"type":"mcp_toolset","mcp_server_name":"x"}]`, ""},
		{`"tool_choice":{"type":"none"}`, ""},
		{`"tool_choice":{"type":"required"}`, "tool_choice " + inv + "Needs tools"},
		{`"tool_choice":{"type":"required"},"tools":[{"name":"a","input_schema":{}}]`, ""},
		{`"tool_choice":{"type":"auto","disable_parallel_tool_use":1}`, "tool_choice.disable_parallel_tool_use " + wro + "Must be true or false"},
		{`"tool_choice":{"type":"must"}`, "tool_choice.type " + inv + "Must be one of auto, any, tool or none"},
		{`"tool_choice":{"type":"tool"},"tools":[{"name":"a","input_schema":{}}]`, "tool_choice.name " + req},
		{`"tool_choice":{"type":"tool","name":"b"},"tools":[{"name":"a","input_schema":{}}]`, "tool_choice.name " + inv + "Names a tool that is not among tools"},
		{`"tool_choice":{"type":"tool","name":"a"},"tools":[{"name":"a","input_schema":{}}]`, ""},
		{`"new_beta_field":[{"x":1}]`, ""},
	} {
		got := details(t, d, `{"model":"m","max_tokens":2000,"messages":[{"role":"user","content":"hi"}],`+c.member+`}`)
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Decode with %s (-want +got):\n%s", c.member, diff)
		}
	}
}

func TestMessagesAreChecked(t *testing.T) {
	t.Parallel()
	d := NewMessages()
	for _, c := range []struct {
		messages string
		want     []string
	}{
		{`null`, []string{"messages " + req}},
		{`{}`, []string{"messages " + wro + "Must be an array"}},
		{`[]`, []string{"messages " + inv + "Must not be empty"}},
		{`[5]`, []string{"messages.0 " + wro + "Must be an object"}},
		{`[{}]`, []string{"messages.0.role " + req, "messages.0.content " + req}},
		{`[{"role":"developer","content":"x"}]`, []string{"messages.0.role " + inv + "Must be one of user, assistant or system"}},
		{`[{"role":"user","content":5}]`, []string{"messages.0.content " + wro + "Must be a string or an array of blocks"}},
		{`[{"role":"user","content":["x"]}]`, []string{"messages.0.content.0 " + wro + "Must be an object"}},
		{`[{"role":"user","content":[{}]}]`, []string{"messages.0.content.0.type " + req}},
		{`[{"role":"user","content":[{"type":"text"}]}]`, []string{"messages.0.content.0.text " + req}},
		{`[{"role":"user","content":[{"type":"image"}]}]`, []string{"messages.0.content.0.source " + req}},
		{`[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"AA"}}]}]`, []string{"messages.0.content.0.source.media_type " + req}},
		{`[{"role":"user","content":[{"type":"image","source":{"type":"url"}}]}]`, []string{"messages.0.content.0.source.url " + req}},
		{`[{"role":"user","content":[{"type":"image","source":"x"}]}]`, []string{"messages.0.content.0.source " + wro + "Must be an object"}},
		{`[{"role":"user","content":[{"type":"image","source":{}}]}]`, []string{"messages.0.content.0.source.type " + req}},
		{`[{"role":"user","content":[{"type":"image","source":{"type":"text","data":"x"}}]}]`, []string{"messages.0.content.0.source.type " + inv + "Must be one of base64, url or file"}},
		{`[{"role":"user","content":[{"type":"document","source":{"type":"ftp"}}]}]`, []string{"messages.0.content.0.source.type " + inv + "Must be one of base64, url, file, text or content"}},
		{`[{"role":"user","content":[{"type":"image","source":{"type":"base64"}}]}]`, []string{"messages.0.content.0.source.media_type " + req, "messages.0.content.0.source.data " + req}},
		{`[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":""}}]}]`, []string{"messages.0.content.0.source.data " + inv + "Must not be empty"}},
		{`[{"role":"user","content":[{"type":"image","source":{"type":"url","url":""}}]}]`, []string{"messages.0.content.0.source.url " + inv + "Must not be empty"}},
		{`[{"role":"user","content":[{"type":"document","source":{"type":"file"}}]}]`, []string{"messages.0.content.0.source.file_id " + req}},
		{`[{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"f"}},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"}}]}]`, nil},
		{`[{"role":"user","content":[{"type":"document","source":{"type":"content","content":[{"type":"text"}]}}]}]`, []string{"messages.0.content.0.source.content.0.text " + req}},
		{`[{"role":"user","content":[{"type":5}]}]`, []string{"messages.0.content.0.type " + wro + "Must be a string"}},
		{`[{"role":"user","content":[null]}]`, []string{"messages.0.content.0 " + wro + "Must be an object"}},
		{`[{"role":"user","content":[{"type":"tool_result","tool_use_id":5}]}]`, []string{"messages.0.content.0.tool_use_id " + wro + "Must be a string"}},
		{`[{"role":"user","content":[{"type":"tool_result","tool_use_id":"i","content":5}]}]`, []string{"messages.0.content.0.content " + wro + "Must be a string or an array of blocks"}},
		{`[{"role":"assistant","content":"x"},{"role":"user","content":"y"}]`, nil}, // recorded as answered
		{`[{"role":null,"content":"x"}]`, []string{"messages.0.role " + req}},
		{`[{"role":"assistant","content":[{"type":"tool_use","id":"i","name":"n","input":"x"}]}]`, []string{"messages.0.content.0.input " + wro + "Must be an object"}},
		{`[{"role":"assistant","content":[{"type":"tool_use","input":{}}]}]`, []string{"messages.0.content.0.id " + req, "messages.0.content.0.name " + req}},
		{`[{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":1}]}]}]`, []string{"messages.0.content.0.tool_use_id " + req, "messages.0.content.0.content.0.text " + wro + "Must be a string"}},
		{`[{"role":"user","content":[{"type":"tool_result","tool_use_id":"i","is_error":"x"}]}]`, []string{"messages.0.content.0.is_error " + wro + "Must be true or false"}},
		{`[{"role":"assistant","content":[{"type":"thinking","signature":"x"}]}]`, []string{"messages.0.content.0.thinking " + req}},
		{`[{"role":"assistant","content":[{"type":"redacted_thinking"}]}]`, []string{"messages.0.content.0.data " + req}},
		{`[{"role":"user","content":[{"type":"brand_new","x":1}]}]`, nil},
		{`[{"role":"system","content":"x"}]`, nil},
	} {
		if diff := cmp.Diff(c.want, details(t, d, `{"model":"m","max_tokens":1,"messages":`+c.messages+`}`)); diff != "" {
			t.Errorf("Decode with messages %s (-want +got):\n%s", c.messages, diff)
		}
	}
}

func TestRequiredMembers(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"model " + req, "max_tokens " + req, "messages " + req, "temperature " + inv + "Must be between 0 and 1"}, details(t, NewMessages(), `{"temperature":2}`)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"model " + req, "messages " + req}, details(t, NewCountTokens(), `{}`)); diff != "" {
		t.Errorf("count_tokens (-want +got):\n%s", diff)
	}
	streamed := `{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}`
	if diff := cmp.Diff([]string{"stream " + inv + "Must be false: a count is not streamed"}, details(t, NewCountTokens(), streamed)); diff != "" {
		t.Errorf("count_tokens as a stream (-want +got):\n%s", diff)
	}
	for body, want := range map[string]string{`{"max_tokens":-1}`: "max_tokens " + inv + "Must be at least 0", `{"max_tokens":"5"}`: "max_tokens " + wro + "Must be a whole number"} {
		got := details(t, NewMessages(), strings.Replace(body, "{", `{"model":"m","messages":[{"role":"user","content":"x"}],`, 1))
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

func TestBudgetsMayExceedOneTurnWhereThinkingIsInterleaved(t *testing.T) {
	t.Parallel()
	body := []byte(`{"max_tokens":1500,"thinking":{"type":"enabled","budget_tokens":4000},"model":"m","messages":[{"role":"user","content":"x"}]}`)
	for beta, want := range map[string]bool{"": false, "other-2025-01-01": false, "interleaved-thinking-2025-05-14": true, "a, interleaved-thinking-2025-05-14,b": true} {
		if _, err := NewMessages().Decode(body, map[string][]string{"Anthropic-Beta": {"x", beta}}); (err == nil) != want {
			t.Errorf("Decode with beta %q = %v, want accepted: %v", beta, err, want)
		}
	}
	// A count of tokens has no limit to compare with.
	if _, err := NewCountTokens().Decode([]byte(strings.Replace(string(body), `"max_tokens":1500,`, ``, 1)), nil); err != nil {
		t.Errorf("Decode of a count = %v", err)
	}
}

func TestBadFieldsAreCappedInOrder(t *testing.T) {
	t.Parallel()
	got := details(t, NewMessages(), `{"temperature":3,"messages":[`+strings.Repeat(`{"content":"x"},`, 100)+`{}],"model":5}`)
	if len(got) != 64 || got[0] != "max_tokens "+req || !strings.HasPrefix(got[1], "temperature ") || !strings.HasPrefix(got[63], "messages.61.role ") {
		t.Errorf("%d details, want 64 from max_tokens to messages.61.role: %v", len(got), got)
	}
}

func TestBadJSONIsOneFaultThatSaysWhere(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `{`, `[]`, `null`, `{"model":"a","model":"b"}`, `{"a":1,}`, `{"a":NaN}`, `{"a":1.}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}",
		`{"a":{"b":1,"\u0062":2}}`, `{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
	} {
		for _, d := range []wire.Dialect{NewMessages(), NewCountTokens()} {
			_, err := d.Decode([]byte(body), nil)
			if e := fault.From(err); !fault.Is(err, fault.InvalidJSON) || !strings.Contains(e.Message, " at byte ") {
				t.Errorf("Decode(%.40q) = %v, want invalid_json and a place", body, err)
			}
		}
	}
}

func TestMediaInResultsAreNeededWhereTheyStand(t *testing.T) {
	t.Parallel()
	r, err := NewMessages().Decode([]byte(`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"i","content":[
	{"type":"text","text":"a"},{"type":"image","source":{"type":"url","url":"https://x/y"}},{"type":"document","source":{"type":"file","file_id":"f"}}]}]}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	var want llm.Needs
	want.Add(llm.NeedImageInput, "messages.0.content.0.content.1")
	want.Add(llm.NeedFileInput, "messages.0.content.0.content.2")
	if diff := cmp.Diff(want, r.Needs); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
}

func TestRequestsAreFilledIn(t *testing.T) {
	t.Parallel()
	headers := map[string][]string{"Anthropic-Beta": {"a", "b"}, "Anthropic-Version": {"2023-06-01"}, "Authorization": {"secret"}, "X-Api-Key": {"secret"}}
	body := `{"model":"claude","max_tokens":0,"stream":true,"temperature":0.1,"system":"é","thinking":{"type":"adaptive"},
	"messages":[{"role":"user","content":[{"type":"text","text":"abc"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"de"}}]}],
	"tools":[{"name":"a","input_schema":{}}],"tool_choice":{"type":"any"}}`
	r, err := NewMessages().Decode([]byte(body), headers)
	if err != nil {
		t.Fatal(err)
	}
	if r.Task != llm.TaskChat || r.Dialect != llm.AnthropicMessages || !r.Stream || !r.HasMaxOutput || r.MaxOutput != 0 || r.Model != "claude" || r.Choices != 1 {
		t.Errorf("request = %+v", r)
	}
	if diff := cmp.Diff(map[string][]string{"Anthropic-Beta": {"a", "b"}, "Anthropic-Version": {"2023-06-01"}}, r.Headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	var needs llm.Needs
	needs.Add(llm.NeedTools, "tools")
	needs.Add(llm.NeedForcedTool, "tool_choice")
	needs.Add(llm.NeedImageInput, "messages.0.content.1")
	needs.Add(llm.NeedFileInput, "messages.0.content.2")
	needs.Add(llm.NeedReasoning, "thinking")
	needs.Add(llm.NeedTemperature, "temperature")
	if diff := cmp.Diff(needs, r.Needs); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
	want := llm.Size{ASCII: int64(len(`abc` + `de` + `[{"name":"a","input_schema":{}}]`)), Other: 2, Messages: 1, Images: 2, Media: 4}
	if diff := cmp.Diff(want, r.Size); diff != "" {
		t.Errorf("size (-want +got):\n%s", diff)
	}
	count, err := NewCountTokens().Decode([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}]}`), nil)
	if err != nil || count.Task != llm.TaskCountTokens || count.Dialect != llm.AnthropicCountTokens || count.HasMaxOutput || count.Headers != nil {
		t.Errorf("count = %+v, %v", count, err)
	}
}

// Documents are weighed by their pages, and those that only a provider can look into
// as the longest that are taken.
func TestDocumentsAreWeighedByTheirPages(t *testing.T) {
	t.Parallel()
	const pdf = "JVBERi0xLjQgPDwvVHlwZS9QYWdlPj4gPDwvVHlwZS9QYWdlPj4gPDwvVHlwZS9QYWdlPj4g"
	for part, want := range map[string]int64{
		`{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"` + pdf + `"}}`: 3,
		`{"type":"document","source":{"type":"url","url":"https://x/y.pdf"}}`:                                100,
		`{"type":"document","source":{"type":"file","file_id":"f"}}`:                                         100,
		`{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"}}`:                  0,
		`{"type":"image","source":{"type":"url","url":"https://x/y.png"}}`:                                   0,
	} {
		r, err := NewMessages().Decode([]byte(`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[`+part+`]}]}`), nil)
		if err != nil {
			t.Errorf("%s: %v", part, err)
			continue
		}
		if r.Size.Pages != want || r.Size.Images != 1 {
			t.Errorf("%s: %+v, want %d pages", part, r.Size, want)
		}
	}
}
