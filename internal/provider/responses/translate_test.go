package responses

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire"
	wireanthropic "github.com/pontage/pontage/internal/wire/anthropic"
	wireopenai "github.com/pontage/pontage/internal/wire/openai"
)

// refusable are the codes that a translation may refuse with.
var refusable = []fault.Code{
	fault.UnsupportedParameter, fault.ToolChoiceUnsupported, fault.InputModalityUnsupported, fault.ImageInputUnsupported, fault.InvalidParameter,
}

// TestRecordedRequestsTranslateOrAreRefusedByName sends every recorded request of
// the other dialects: what comes out is a request by the official schema and
// holds everything that was said, or the refusal names a member.
func TestRecordedRequestsTranslateOrAreRefusedByName(t *testing.T) {
	t.Parallel()
	corpus := testkit.Fixtures(t)
	p := New(Options{Name: "up", Transport: canned{}})
	for _, c := range []struct {
		api     string
		dialect wire.Dialect
		least   int
	}{
		{"openai.chat", wireopenai.NewChat(wireopenai.Options{}), 280},
		{"anthropic.messages", wireanthropic.NewMessages(), 100},
	} {
		translated, refused := 0, map[string]int{}
		for _, e := range corpus.Filter(testkit.Filter{API: c.api, HasRequest: true}) {
			f := corpus.Load(t, e)
			if f.Request.JSON == nil {
				continue
			}
			q, err := c.dialect.Decode(f.Request.JSON, nil)
			if err != nil {
				continue // the gateway's door refuses it
			}
			body, err := p.body(provider.Call{Request: q, Model: "other", Reasons: true})
			if (err == nil) != (p.Supports(q) == nil) {
				t.Errorf("%s: Supports = %v, and the translation gives %v", e.ID, p.Supports(q), err)
			}
			if err != nil {
				var fe *fault.Error
				if !errors.As(err, &fe) || fe.Param == "" || !slices.Contains(refusable, fe.Code) {
					t.Errorf("%s: %v is no refusal by name", e.ID, err)
					continue
				}
				refused[strings.Trim(fe.Param, "0123456789")]++
				continue
			}
			translated++
			checkSchema(t, e.ID, body)
			checkTranslation(t, e.ID, f.Request.JSON, body)
		}
		t.Logf("%s: translated %d, refused %v", c.api, translated, refused)
		if translated < c.least {
			t.Errorf("%s: only %d requests are translated; refused %v", c.api, translated, refused)
		}
	}
}

// itemSchemas are the official schemas of the kinds of items that a translation
// writes. Of a message there are two that do not exclude each other, so that the
// schema of the whole is of no use.
var itemSchemas = map[string]string{
	"": "EasyInputMessage", "function_call": "FunctionToolCall", "function_call_output": "FunctionCallOutputItemParam", "reasoning": "ReasoningItem",
}

// checkSchema checks a translation against the official schemas.
func checkSchema(t *testing.T, id string, body []byte) {
	t.Helper()
	var whole struct {
		Input []json.RawMessage `json:"input"`
	}
	if err := json.Unmarshal(body, &whole); err != nil {
		t.Errorf("%s: %v in %.3000s", id, err, body)
		return
	}
	for i, item := range whole.Input {
		var head struct{ Type string }
		_ = json.Unmarshal(item, &head)
		if bytes.Contains(item, []byte(`"type":"refusal"`)) {
			continue // is taken, though the schema has it in answers only
		}
		if err := testkit.LoadSchema(t, "openai.json#"+itemSchemas[head.Type]).Check(item); err != nil {
			t.Errorf("%s: item %d: %v in %.3000s", id, i, err, item)
		}
	}
	raw, err := jsonx.Scan(body)
	if err != nil {
		t.Errorf("%s: %v", id, err)
		return
	}
	if err := testkit.LoadSchema(t, "openai.json#CreateResponse").Check(raw.With("input", []byte(`"x"`)).Body); err != nil {
		t.Errorf("%s: %v in %.3000s", id, err, body)
	}
}

// texts are the strings of JSON, found anywhere under the named members. Thoughts
// that another provider sealed are no part of it: callers are told that they go.
func texts(v any, names ...string) (out []string) {
	switch x := v.(type) {
	case object:
		for k, m := range x {
			if k == "reasoning_details" {
				continue
			}
			if s, ok := m.(string); ok && slices.Contains(names, k) {
				out = append(out, s)
			} else {
				out = append(out, texts(m, names...)...)
			}
		}
	case []any:
		for _, m := range x {
			out = append(out, texts(m, names...)...)
		}
	}
	return out
}

// checkTranslation compares a request with its translation, both read the slow
// way.
func checkTranslation(t *testing.T, id string, from, to []byte) {
	t.Helper()
	var in, out object
	if err := json.Unmarshal(from, &in); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(to, &out); err != nil {
		t.Errorf("%s: %v in %s", id, err, to)
		return
	}
	for _, m := range list(in["messages"]) {
		delete(obj(m), "reasoning_details") // sealed by somebody else, and dropped
	}
	said := strings.Join(append(texts(out["input"], "content", "text", "refusal", "output"), str(out["instructions"])), "\x00")
	for _, s := range append(texts(in["messages"], "content", "text"), texts(object{"system": in["system"]}, "system", "text")...) {
		if !strings.Contains(said, s) {
			t.Errorf("%s: %.80q is lost", id, s)
		}
	}
	var tools []string
	for _, x := range append(list(in["tools"]), list(in["functions"])...) {
		name := str(obj(x)["name"])
		if f := obj(obj(x)["function"]); f != nil {
			name = str(f["name"])
		} else if c := obj(obj(x)["custom"]); c != nil {
			name = str(c["name"])
		}
		tools = append(tools, name)
	}
	var got []string
	for _, x := range list(out["tools"]) {
		got = append(got, str(obj(x)["name"]))
	}
	if d := cmp.Diff(tools, got); d != "" {
		t.Errorf("%s: tools (-want +got):\n%s", id, d)
	}
	if out["store"] != false {
		t.Errorf("%s: store = %v", id, out["store"])
	}
	for _, call := range list(in["messages"]) {
		for _, k := range list(obj(call)["tool_calls"]) {
			args := str(obj(obj(k)["function"])["arguments"])
			if args != "" && !slices.Contains(texts(out["input"], "arguments"), args) {
				t.Errorf("%s: the arguments %q are lost", id, args)
			}
		}
	}
}

// translated encodes a request of chat completions.
func translated(t *testing.T, p *Provider, c provider.Call, body string) (string, []string, error) {
	t.Helper()
	q, err := wireopenai.NewChat(wireopenai.Options{}).Decode([]byte(body), nil)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	c.Request, c.Model = q, "other"
	e, err := p.encode(c)
	if err != nil {
		return "", nil, err
	}
	return string(e.Body), e.Dropped, nil
}

func TestTranslationOfChatCompletions(t *testing.T) {
	t.Parallel()
	p := New(Options{Name: "up", Transport: canned{}})
	const hi = `"messages":[{"role":"user","content":"hi"}]`
	const input = `"input":[{"role":"user","content":"hi"}]`
	for _, c := range []struct{ name, in, want, dropped string }{
		{"least", `{"model":"m",` + hi + `}`, `{"model":"other",` + input + `,"store":false}`, ""},
		{
			"system", `{"model":"m","messages":[{"role":"system","content":"a"},{"role":"developer","content":"b"},{"role":"user","content":"hi"},{"role":"system","content":"c"}]}`,
			`{"model":"other","instructions":"a\n\nb","input":[{"role":"user","content":"hi"},{"role":"system","content":"c"}],"store":false}`, "",
		},
		{
			"sampling", `{"model":"m",` + hi + `,"temperature":0.5,"top_p":0.9,"max_tokens":16,"seed":7,"frequency_penalty":0,"n":1,"store":true,"user":"u"}`,
			`{"model":"other",` + input + `,"temperature":0.5,"top_p":0.9,"safety_identifier":"` + provider.Pseudonym("u") + `","max_output_tokens":16,"store":false}`, "store frequency_penalty seed",
		},
		{
			"own members", `{"model":"m",` + hi + `,"metadata":{"a":"b"},"service_tier":"flex","prompt_cache_key":"k","verbosity":"low","response_format":{"type":"json_object"},"stream":true,"stream_options":{"include_usage":true}}`,
			`{"metadata":{"a":"b"},"service_tier":"flex","prompt_cache_key":"k","model":"other",` + input + `,"text":{"format":{"type":"json_object"},"verbosity":"low"},"store":false,"stream":true}`, "",
		},
		{
			"schema", `{"model":"m",` + hi + `,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}}}`,
			`{"model":"other",` + input + `,"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}},"store":false}`, "",
		},
		{"reasoning that another sealed", `{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"so","reasoning_details":[{"type":"reasoning.text","text":"hm"}]}]}`, `{"model":"other","input":[{"role":"user","content":"hi"},{"role":"assistant","content":"so"}],"store":false}`, "messages.1.reasoning_details"},
		{"effort", `{"model":"m",` + hi + `,"reasoning_effort":"low"}`, `{"model":"other",` + input + `,"reasoning":{"effort":"low"},"store":false}`, ""},
		{
			"tools", `{"model":"m",` + hi + `,"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}},{"type":"function","function":{"name":"g","strict":true}}],"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false}`,
			`{"model":"other",` + input + `,"tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":false},{"type":"function","name":"g","parameters":{"type":"object","properties":{}},"strict":true}],"parallel_tool_calls":false,"tool_choice":{"type":"function","name":"f"},"store":false}`, "",
		},
		{
			"some tools", `{"model":"m",` + hi + `,"tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"g"}}]}}}`,
			`{"model":"other",` + input + `,"tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{}},"strict":false},{"type":"function","name":"g","parameters":{"type":"object","properties":{}},"strict":false}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"g"}]},"store":false}`, "",
		},
		{
			"history", `{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"wait","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},{"role":"tool","tool_call_id":"c1","content":"one"},{"role":"tool","tool_call_id":"c2","content":"two"},{"role":"user","content":"so?"}]}`,
			`{"model":"other","input":[{"role":"user","content":"hi"},{"role":"assistant","content":"wait"},{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"x\": 1}"},{"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},{"type":"function_call_output","call_id":"c1","output":"one"},{"type":"function_call_output","call_id":"c2","output":"two"},{"role":"user","content":"so?"}],"store":false}`, "",
		},
		{
			"parts", `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,QQ=="}},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,QQ=="}}]}]}`,
			`{"model":"other","input":[{"role":"user","content":[{"type":"input_text","text":"see"},{"type":"input_image","image_url":"https://x/y.png","detail":"low"},{"type":"input_image","image_url":"data:image/jpeg;base64,QQ==","detail":"auto"},{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,QQ=="}]}],"store":false}`, "",
		},
	} {
		got, dropped, err := translated(t, p, provider.Call{}, c.in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
		slices.Sort(dropped)
		want := strings.Fields(c.dropped)
		slices.Sort(want)
		if !slices.Equal(dropped, want) {
			t.Errorf("%s: dropped %v, want %v", c.name, dropped, want)
		}
	}
}

// A model that does not think refuses to be told not to. Who seals nothing may think
// all the same.
func TestModelsThatDoNotThinkAreNotToldSo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reasons, stateless bool
		want               string
	}{{false, false, ""}, {false, true, `"reasoning":{"effort":"none"},`}, {true, false, `"include":["reasoning.encrypted_content"],"reasoning":{"effort":"none"},`}} {
		p := New(Options{Name: "up", Transport: canned{}})
		p.stateless = c.stateless
		got, _, err := translated(t, p, provider.Call{Reasons: c.reasons}, `{"model":"m","messages":[{"role":"user","content":"hi"}],"reasoning_effort":"none"}`)
		if want := `{"model":"other","input":[{"role":"user","content":"hi"}],` + c.want + `"store":false}`; err != nil || got != want {
			t.Errorf("%+v: %s, %v, want %s", c, got, err, want)
		}
	}
}

func TestWhatAResponseCannotBeAskedForIsRefused(t *testing.T) {
	t.Parallel()
	p := New(Options{Name: "up", Transport: canned{}})
	for _, c := range []struct {
		member, param string
		code          fault.Code
	}{
		{`"stop":["x"]`, "stop", fault.UnsupportedParameter},
		{`"n":2`, "n", fault.UnsupportedParameter},
		{`"logit_bias":{"5":1}`, "logit_bias", fault.UnsupportedParameter},
		{`"frequency_penalty":0.5`, "frequency_penalty", fault.UnsupportedParameter},
		{`"presence_penalty":-1`, "presence_penalty", fault.UnsupportedParameter},
		{`"top_k":4`, "top_k", fault.UnsupportedParameter},
		{`"max_tokens":15`, "max_tokens", fault.UnsupportedParameter},
		{`"max_completion_tokens":1`, "max_completion_tokens", fault.UnsupportedParameter},
		{`"prediction":{"type":"content","content":"x"}`, "prediction", fault.UnsupportedParameter},
		{`"web_search_options":{}`, "web_search_options", fault.UnsupportedParameter},
		{`"tools":[{"type":"custom","custom":{"name":"x","format":{"type":"of_tomorrow"}}}]`, "tools.0.custom.format", fault.UnsupportedParameter},
	} {
		_, _, err := translated(t, p, provider.Call{}, `{"model":"m","messages":[{"role":"user","content":"hi"}],`+c.member+`}`)
		var fe *fault.Error
		if !errors.As(err, &fe) || fe.Code != c.code || fe.Param != c.param {
			t.Errorf("%s: %v, want %s at %s", c.member, err, c.code, c.param)
		}
	}
	if _, _, err := translated(t, p, provider.Call{CapOutput: 9}, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`); !fault.Is(err, fault.UnsupportedParameter) {
		t.Errorf("a cap that is too low: %v", err)
	}
}

// TestReasoningGoesBackToWhoSealedIt has what an answer's reasoning becomes in
// the next request.
func TestReasoningGoesBackToWhoSealedIt(t *testing.T) {
	t.Parallel()
	p := New(Options{Name: "up", Transport: canned{}})
	part := func(signature string) llm.Part {
		return llm.Part{Kind: llm.PartReasoning, Text: "hm", Signature: signature}
	}
	text := llm.Part{Kind: llm.PartText, Text: "so"}
	for _, c := range []struct {
		name    string
		parts   []llm.Part
		want    string
		dropped []string
	}{
		{
			"ours",
			[]llm.Part{part(llm.Seal("up", "rs_1 blob")), text},
			`{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"blob"},{"role":"assistant","content":"so"}`, nil,
		},
		{"ours, and nothing follows", []llm.Part{text, part(llm.Seal("up", "rs_1 blob"))}, `{"role":"assistant","content":"so"}`, []string{"reasoning_state"}},
		{"another's", []llm.Part{part(llm.Seal("down", "rs_1 blob")), text}, `{"role":"assistant","content":"so"}`, []string{"reasoning_state"}},
		{"raw", []llm.Part{part("c2ln"), text}, `{"role":"assistant","content":"so"}`, []string{"reasoning_state"}},
		{"two of another's", []llm.Part{part(llm.Seal("down", "1")), part(llm.Seal("down", "2")), text}, `{"role":"assistant","content":"so"}`, []string{"reasoning_state"}},
		{"redacted", []llm.Part{{Kind: llm.PartRedacted, Data: "x"}, text}, `{"role":"assistant","content":"so"}`, []string{"reasoning_state"}},
		{"unsealed", []llm.Part{part(""), text}, `{"role":"assistant","content":"so"}`, []string{"messages.0.content.0"}},
	} {
		q := &llm.Request{Dialect: llm.Simple, DecodeChat: func() (*llm.Chat, error) {
			return &llm.Chat{Messages: []llm.Message{{Role: llm.RoleAssistant, Parts: c.parts}}}, nil
		}}
		e, err := p.encode(provider.Call{Request: q, Model: "m", Reasons: true})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		want := `{"model":"m","input":[` + c.want + `],"include":["reasoning.encrypted_content"],"store":false}`
		if d := cmp.Diff(want, string(e.Body)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
		if !slices.Equal(e.Dropped, c.dropped) {
			t.Errorf("%s: dropped %v, want %v", c.name, e.Dropped, c.dropped)
		}
	}
}
