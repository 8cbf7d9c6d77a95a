package bedrock

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/wire"
	wireanthropic "github.com/pontage/pontage/internal/wire/anthropic"
	wireopenai "github.com/pontage/pontage/internal/wire/openai"
)

// own is the provider of the tests that send nothing.
var own = New(Options{Name: "aws", Region: "us-east-1"})

// Models of the tests.
const (
	budgeted = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
	adaptive = "global.anthropic.claude-opus-4-7-v1"
	nova     = "amazon.nova-pro-v1:0"
	llama    = "meta.llama3-1-70b-instruct-v1:0"
)

// decode makes a request of a body, in the dialect of a caller.
func decode(t *testing.T, d wire.Dialect, body string, header http.Header) *llm.Request {
	t.Helper()
	q, err := d.Decode([]byte(body), header)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return q
}

func chat(t *testing.T, members string) *llm.Request {
	t.Helper()
	return decode(t, wireopenai.NewChat(wireopenai.Options{}), `{"model":"m",`+members+`}`, nil)
}

func messages(t *testing.T, members string, header http.Header) *llm.Request {
	t.Helper()
	return decode(t, wireanthropic.NewMessages(), `{"model":"m","max_tokens":4000,`+members+`}`, header)
}

const (
	hi    = `"messages":[{"role":"user","content":"hi"}]`
	tools = `"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"z":{"type":"integer"},"a":{}}},"strict":true}},{"type":"function","function":{"name":"g"}}]`
	toolJ = `{"tools":[{"toolSpec":{"name":"f","description":"d","inputSchema":{"json":{"type":"object","properties":{"z":{"type":"integer"},"a":{}}}},"strict":true}},{"toolSpec":{"name":"g","inputSchema":{"json":{"type":"object","properties":{}}}}}]`
	hiJ   = `"messages":[{"role":"user","content":[{"text":"hi"}]}]`
	past  = `"messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"call.one:1","type":"function","function":{"name":"f","arguments":"{\"b\":12345678901234567890,\"a\":1}"}},{"id":"b","type":"function","function":{"name":"g","arguments":""}}]},{"role":"tool","tool_call_id":"call.one:1","content":"one"},{"role":"tool","tool_call_id":"b","content":"two"},{"role":"user","content":"and?"}]`
)

// TestWhatIsSent has a request of chat completions and what becomes of it, for
// each rule of the protocol.
func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	id := provider.ToolID("call.one:1")
	for _, c := range []struct{ name, model, from, want, dropped string }{
		{"a plain question", llama, hi, `{` + hiJ + `}`, ""},
		{
			"system messages stay apart", llama, `"messages":[{"role":"system","content":"one"},{"role":"developer","content":"two"},{"role":"user","content":"hi"}]`,
			`{"system":[{"text":"one"},{"text":"two"}],` + hiJ + `}`, "",
		},
		{
			"neighbours are one turn", llama, `"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"c"},{"role":"user","content":"d"}]`,
			`{"messages":[{"role":"user","content":[{"text":"a"},{"text":"b"}]},{"role":"assistant","content":[{"text":"c"}]},{"role":"user","content":[{"text":"d"}]}]}`, "",
		},
		{
			"a system message in the middle keeps its place", llama, `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"c"},{"role":"system","content":"s"},{"role":"user","content":"d"}]`,
			`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"c"}]},{"role":"user","content":[{"text":"<system>\ns\n</system>"},{"text":"d"}]}]}`, "messages.2.role",
		},
		{
			"limits and sampling", llama, hi + `,"max_completion_tokens":50,"temperature":0.5,"top_p":0.9,"stop":["END"],"seed":7,"frequency_penalty":0`,
			`{` + hiJ + `,"inferenceConfig":{"maxTokens":50,"temperature":0.5,"topP":0.9,"stopSequences":["END"]}}`, "frequency_penalty seed",
		},
		{"tools", llama, hi + `,` + tools, `{"toolConfig":` + toolJ + `},` + hiJ + `}`, ""},
		{"any tool", llama, hi + `,` + tools + `,"tool_choice":"required"`, `{"toolConfig":` + toolJ + `,"toolChoice":{"any":{}}},` + hiJ + `}`, ""},
		{"one tool", llama, hi + `,` + tools + `,"tool_choice":{"type":"function","function":{"name":"g"}}`, `{"toolConfig":` + toolJ + `,"toolChoice":{"tool":{"name":"g"}}},` + hiJ + `}`, ""},
		{"some tools", llama, hi + `,` + tools + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"g"}}]}}`, `{"toolConfig":{"tools":[{"toolSpec":{"name":"g","inputSchema":{"json":{"type":"object","properties":{}}}}}],"toolChoice":{"auto":{}}},` + hiJ + `}`, ""},
		{"temperature or top_p", adaptive, hi + `,"temperature":1,"top_p":0.9`, `{` + hiJ + `,"inferenceConfig":{"topP":0.9}}`, "temperature"},
		{"no tool, and none was called", llama, hi + `,` + tools + `,"tool_choice":"none"`, `{` + hiJ + `}`, ""},
		{
			"one tool at a time", budgeted, hi + `,` + tools + `,"parallel_tool_calls":false`,
			`{"toolConfig":` + toolJ + `},` + hiJ + `,"additionalModelRequestFields":{"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}}`, "",
		},
		{"no tool, let alone two", budgeted, hi + `,` + tools + `,"tool_choice":"none","parallel_tool_calls":false`, `{` + hiJ + `}`, ""},
		{"one that is forced, once", llama, hi + `,` + tools + `,"tool_choice":{"type":"function","function":{"name":"g"}},"parallel_tool_calls":false`, `{"toolConfig":` + toolJ + `,"toolChoice":{"tool":{"name":"g"}}},` + hiJ + `}`, "parallel_tool_calls"},
		{
			"calls and results", llama, past + `,` + tools,
			`{"toolConfig":` + toolJ + `},"messages":[{"role":"user","content":[{"text":"hi"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"` + id + `","name":"f","input":{"b":12345678901234567890,"a":1}}},{"toolUse":{"toolUseId":"b","name":"g","input":{}}}]},` +
				`{"role":"user","content":[{"toolResult":{"toolUseId":"` + id + `","content":[{"text":"one"}],"status":"success"}},{"toolResult":{"toolUseId":"b","content":[{"text":"two"}],"status":"success"}},{"text":"and?"}]}]}`, "",
		},
		{
			"arguments that are null", llama, `"messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"b","type":"function","function":{"name":"g","arguments":"null"}}]},{"role":"tool","tool_call_id":"b","content":"two"}],` + tools,
			`{"toolConfig":` + toolJ + `},"messages":[{"role":"user","content":[{"text":"hi"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"b","name":"g","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"b","content":[{"text":"two"}],"status":"success"}}]}]}`, "",
		},
		{
			"an image", llama, `"messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,/9j/AA==","detail":"high"}}]}]`,
			`{"messages":[{"role":"user","content":[{"text":"see"},{"image":{"format":"jpeg","source":{"bytes":"/9j/AA=="}}}]}]}`, "messages.0.content.1.image_url.detail",
		},
		{
			"documents", llama, `"messages":[{"role":"user","content":[{"type":"text","text":"read"},{"type":"file","file":{"filename":"a_b (1).x.pdf","file_data":"data:application/pdf;base64,JVBERi0x"}},{"type":"file","file":{"filename":"a b (1) x.pdf","file_data":"data:application/pdf;base64,JVBERi0x"}}]}]`,
			`{"messages":[{"role":"user","content":[{"text":"read"},{"document":{"format":"pdf","name":"a b (1) x","source":{"bytes":"JVBERi0x"}}},{"document":{"format":"pdf","name":"a b (1) x 2","source":{"bytes":"JVBERi0x"}}}]}]}`, "",
		},
		{
			"a sound", nova, `"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}}]}]`,
			`{"messages":[{"role":"user","content":[{"audio":{"format":"wav","source":{"bytes":"UklGRg=="}}}]}]}`, "",
		},
		{
			"a schema is a text", llama, hi + `,"response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d","strict":true,"schema":{"type":"object","z":1,"a":2}}}`,
			`{` + hiJ + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\",\"z\":1,\"a\":2}","name":"n","description":"d"}}}}}`, "",
		},
		{
			"thinking within a budget", budgeted, hi + `,"max_completion_tokens":9000,"reasoning_effort":"low"`,
			`{` + hiJ + `,"inferenceConfig":{"maxTokens":9000},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2048}}}`, "",
		},
		{
			"a budget leaves room for the answer", budgeted, hi + `,"max_completion_tokens":3000,"reasoning_effort":"high"`,
			`{` + hiJ + `,"inferenceConfig":{"maxTokens":3000},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":1976}}}`, "reasoning_effort",
		},
		{
			"thinking as much as it takes", adaptive, hi + `,"reasoning_effort":"high"`,
			`{` + hiJ + `,"additionalModelRequestFields":{"thinking":{"type":"adaptive"}},"outputConfig":{"effort":"high"}}`, "",
		},
		{"no thinking is what there is", budgeted, hi + `,"reasoning_effort":"none"`, `{` + hiJ + `}`, ""},
		{"effort elsewhere", llama, hi + `,"reasoning_effort":"low"`, `{` + hiJ + `,"outputConfig":{"effort":"low"}}`, ""},
		{
			"thinking stops where the thoughts are lost", budgeted, past[:len(past)-len(`,{"role":"user","content":"and?"}]`)] + `],` + tools + `,"reasoning_effort":"low"`,
			`{"toolConfig":` + toolJ + `},"messages":[{"role":"user","content":[{"text":"hi"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"` + id + `","name":"f","input":{"b":12345678901234567890,"a":1}}},{"toolUse":{"toolUseId":"b","name":"g","input":{}}}]},` +
				`{"role":"user","content":[{"toolResult":{"toolUseId":"` + id + `","content":[{"text":"one"}],"status":"success"}},{"toolResult":{"toolUseId":"b","content":[{"text":"two"}],"status":"success"}}]}]}`, "reasoning_effort",
		},
		{"who asks", llama, hi + `,"user":"jo"`, `{` + hiJ + `,"requestMetadata":{"user_id":"` + provider.Pseudonym("jo") + `"}}`, ""},
	} {
		q := chat(t, c.from)
		call := provider.Call{Request: q, Model: c.model}
		e, err := own.encode(call, targets(call))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := string(e.Body); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		if got := strings.Join(e.Dropped, " "); got != c.dropped {
			t.Errorf("%s: dropped %q, want %q", c.name, got, c.dropped)
		}
		if err := own.Supports(q); err != nil {
			t.Errorf("%s: is sent, and not supported: %v", c.name, err)
		}
	}
}

// TestWhatIsSentForMessages has what only Anthropic's dialect can say.
func TestWhatIsSentForMessages(t *testing.T) {
	t.Parallel()
	limit := `,"inferenceConfig":{"maxTokens":4000}`
	for _, c := range []struct {
		name, model, from string
		beta              string
		want, dropped     string
	}{
		{
			"cache marks are elements", budgeted, `"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],"tools":[{"name":"f","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral","ttl":"5m"}}]}]`, "",
			`{"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}},{"cachePoint":{"type":"default"}}]},"system":[{"text":"s"},{"cachePoint":{"type":"default","ttl":"1h"}}],"messages":[{"role":"user","content":[{"text":"hi"},{"cachePoint":{"type":"default"}}]}]` + limit + `}`, "",
		},
		{
			"and left out where they are not known", llama, `"messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}]`, "",
			`{` + hiJ + limit + `}`, "messages.0.content.0.cache_control",
		},
		{
			"blank texts are told of, and their marks", budgeted, `"system":[{"type":"text","text":" ","cache_control":{"type":"ephemeral"}}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":[{"type":"text","text":"1","cache_control":{"type":"ephemeral"}},{"type":"text","text":"2","cache_control":{"type":"ephemeral"}},{"type":"text","text":"3","cache_control":{"type":"ephemeral"}},{"type":"text","text":"4","cache_control":{"type":"ephemeral"}}]},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"\n"},{"type":"text","text":"x"}]}]}]`, "",
			`{"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}]},"messages":[{"role":"user","content":[{"text":"1"},{"cachePoint":{"type":"default"}},{"text":"2"},{"cachePoint":{"type":"default"}},{"text":"3"},{"cachePoint":{"type":"default"}},{"text":"4"},{"cachePoint":{"type":"default"}}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"a","name":"f","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"a","content":[{"text":"x"}],"status":"success"}}]}]` + limit + `}`, "messages.0.content.0 messages.0.content.0.cache_control messages.2.content.0.content.0",
		},
		{"thoughts that are told", adaptive, hi + `,"thinking":{"type":"adaptive","display":"summarized"}`, "", `{` + hiJ + limit + `,"additionalModelRequestFields":{"thinking":{"type":"adaptive","display":"summarized"}}}`, ""},
		{
			"what changes no answer", llama, `"messages":[{"role":"user","content":"hi"}],"cache_control":{"type":"ephemeral"},"inference_geo":"global","context_management":{"edits":[]}`, "",
			`{` + hiJ + limit + `}`, "cache_control inference_geo context_management",
		},
		{"top_k", budgeted, hi + `,"top_k":5`, "", `{` + hiJ + limit + `,"additionalModelRequestFields":{"top_k":5}}`, ""},
		{"flags that are taken", budgeted, hi, "context-1m-2025-08-07, files-api-2025-04-14", `{` + hiJ + limit + `,"additionalModelRequestFields":{"anthropic_beta":["context-1m-2025-08-07"]}}`, "anthropic-beta"},
		{
			"thoughts of its own go back", budgeted, `"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"` + llm.Seal("aws", "ssig") + `"},{"type":"redacted_thinking","data":"` + llm.Seal("aws", "rAAEC") + `"},{"type":"text","text":"yes"}]},{"role":"user","content":"go"}]`, "",
			`{"messages":[{"role":"user","content":[{"text":"hi"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"sig"}}},{"reasoningContent":{"redactedContent":"AAEC"}},{"text":"yes"}]},{"role":"user","content":[{"text":"go"}]}]` + limit + `}`, "",
		},
		{
			"those of others do not", budgeted, `"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"raw"},{"type":"redacted_thinking","data":"` + llm.Seal("other", "rAAEC") + `"},{"type":"text","text":"yes"}]},{"role":"user","content":"go"}]`, "",
			`{"messages":[{"role":"user","content":[{"text":"hi"}]},{"role":"assistant","content":[{"text":"yes"}]},{"role":"user","content":[{"text":"go"}]}]` + limit + `}`, "reasoning_state",
		},
		{
			"a tool that failed", budgeted, `"tools":[{"name":"f","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","is_error":true,"content":[{"type":"text","text":"no"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw=="}}]}]}]`, "",
			`{"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}]},"messages":[{"role":"user","content":[{"text":"hi"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"a","name":"f","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"a","content":[{"text":"no"},{"image":{"format":"png","source":{"bytes":"iVBORw=="}}}],"status":"error"}}]}]` + limit + `}`, "",
		},
		{"a budget of tokens", adaptive, hi + `,"thinking":{"type":"enabled","budget_tokens":2048}`, "", `{` + hiJ + limit + `,"additionalModelRequestFields":{"thinking":{"type":"adaptive"}},"outputConfig":{"effort":"low"}}`, "thinking.budget_tokens"},
	} {
		var header http.Header
		if c.beta != "" {
			header = http.Header{"Anthropic-Beta": {c.beta}}
		}
		call := provider.Call{Request: messages(t, c.from, header), Model: c.model}
		e, err := own.encode(call, targets(call))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := string(e.Body); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		if got := strings.Join(e.Dropped, " "); got != c.dropped {
			t.Errorf("%s: dropped %q, want %q", c.name, got, c.dropped)
		}
	}
}

// TestWhatIsRefused has what cannot be said, by the caller's own name for it.
func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		model, from string
		code        fault.Code
		param       string
	}{
		{llama, hi + `,"temperature":1.5`, fault.UnsupportedParameter, "temperature"},
		{llama, hi + `,"n":2`, fault.UnsupportedParameter, "n"},
		{llama, hi + `,"logprobs":true`, fault.UnsupportedParameter, "logprobs"},
		{llama, hi + `,"frequency_penalty":1`, fault.UnsupportedParameter, "frequency_penalty"},
		{llama, hi + `,"service_tier":"flex"`, fault.UnsupportedParameter, "service_tier"},
		{llama, hi + `,"top_k":3`, fault.UnsupportedParameter, "top_k"},
		{llama, hi + `,` + tools + `,"parallel_tool_calls":false`, fault.UnsupportedParameter, "parallel_tool_calls"},
		{llama, hi + `,` + tools + `,"tool_choice":"required","parallel_tool_calls":false`, fault.UnsupportedParameter, "parallel_tool_calls"},
		{llama, hi + `,"stop":[" "]`, fault.UnsupportedParameter, "stop"},
		{llama, hi + `,"response_format":{"type":"json_object"}`, fault.UnsupportedParameter, "response_format"},
		{llama, past + `,` + tools + `,"tool_choice":"none"`, fault.ToolChoiceUnsupported, "tool_choice"},
		{llama, past, fault.UnsupportedParameter, "tools"},
		{budgeted, hi + `,` + tools + `,"tool_choice":"required","reasoning_effort":"low"`, fault.ToolChoiceUnsupported, "tool_choice"},
		{budgeted, hi + `,"max_tokens":1024,"reasoning_effort":"low"`, fault.UnsupportedParameter, "reasoning_effort"},
		{llama, `"messages":[{"role":"assistant","content":"hi"},{"role":"user","content":"hi"}]`, fault.UnsupportedParameter, "messages.0.role"},
		{llama, `"messages":[{"role":"user","content":" "}]`, fault.UnsupportedParameter, "messages.0.content"},
		{llama, `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]`, fault.UnsupportedParameter, "messages.0.content.0"},
		{llama, `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/bmp;base64,Qk0="}}]}]`, fault.UnsupportedParameter, "messages.0.content.0"},
		{llama, `"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0x"}}]}]`, fault.UnsupportedParameter, "messages.0.content.0"},
		{llama, `"messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"file","file":{"file_id":"file-1"}}]}]`, fault.InputModalityUnsupported, "messages.0.content.1"},
	} {
		call := provider.Call{Request: chat(t, c.from), Model: c.model}
		_, err := own.encode(call, targets(call))
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != c.code || f.Param != c.param {
			t.Errorf("%s: %v, want %s at %s", c.from, err, c.code, c.param)
		}
	}
}

// TestToolNamesThatCannotBeSaid has a name that other dialects take.
func TestToolNamesThatCannotBeSaid(t *testing.T) {
	t.Parallel()
	q := &llm.Request{Dialect: llm.GeminiGenerate, Model: "m", DecodeChat: func() (*llm.Chat, error) {
		return &llm.Chat{Tools: []llm.Tool{{Name: "a.b"}}, Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Text: "hi"}}}}}, nil
	}}
	var f *fault.Error
	if err := own.Supports(q); !errors.As(err, &f) || f.Code != fault.UnsupportedParameter || !strings.HasPrefix(f.Param, "tools.0") {
		t.Errorf("Supports = %v", err)
	}
}

// TestModelsAreKnownByTheirNames has what is known of a model, also where its
// resource has a name that says nothing.
func TestModelsAreKnownByTheirNames(t *testing.T) {
	t.Parallel()
	const profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2"
	for _, c := range []struct {
		target, caller string
		want           traits
	}{
		{budgeted, "x", traits{claude: "claude-sonnet-4-5-20250929-v1:0", caches: true}},
		{profile, "anthropic/claude-sonnet-4.5", traits{claude: "claude-sonnet-4-5", caches: true}},
		{profile, "smart", traits{}},
		{nova, "claude-imitation", traits{caches: true}},
		{llama, "claude-imitation", traits{}},
	} {
		got := targets(provider.Call{Model: c.target, Request: &llm.Request{Model: c.caller}})
		if got != c.want {
			t.Errorf("%s for %s: %+v", c.target, c.caller, got)
		}
	}
	quiet := func(m string) bool { return own.ThinksOnlyWhenAsked(m) }
	if !quiet(budgeted) || !quiet(adaptive) || quiet(llama) || quiet("anthropic.claude-opus-5-v1") {
		t.Error("ThinksOnlyWhenAsked")
	}
}

// TestDocumentNames has that names keep to the protocol's letters and differ.
func TestDocumentNames(t *testing.T) {
	t.Parallel()
	e := &encoder{names: map[string]bool{}}
	var got []string
	for _, name := range []string{"", "", "../../etc/passwd", "Überblick_2024.final.pdf", strings.Repeat("a", 300), strings.Repeat("a", 300)} {
		got = append(got, e.docName(name))
	}
	want := []string{"Document", "Document 2", "etc passwd", "berblick 2024 final", strings.Repeat("a", 192), strings.Repeat("a", 192) + " 2"}
	if !slices.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	if !json.Valid([]byte(`"` + strings.Join(got, "") + `"`)) {
		t.Error("names are no JSON")
	}
}

// TestWhatIsFetchedIsNotRefused has parts that somebody fetches before the
// request is sent, and those that nobody does.
func TestWhatIsFetchedIsNotRefused(t *testing.T) {
	t.Parallel()
	fetches := New(Options{Name: "aws", Region: "us-east-1", Fetches: true})
	for url, want := range map[string]bool{"https://a.example/x.png": true, "http://a.example/x.png": true, "s3://bucket/x.png": false} {
		q := chat(t, `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"`+url+`"}}]}]`)
		if err := fetches.Supports(q); (err == nil) != want {
			t.Errorf("%s: %v", url, err)
		}
		if err := own.Supports(q); err == nil {
			t.Errorf("%s: taken where nobody fetches it", url)
		}
		if _, err := fetches.Open(t.Context(), provider.Call{Request: q, Model: llama}); err == nil {
			t.Errorf("%s: sent as it is", url)
		}
		c, _ := q.DecodeChat()
		if p := &c.Messages[0].Parts[0]; fetches.Inlines(q)(p) != want || own.Inlines(q) != nil {
			t.Errorf("%s: Inlines", url)
		}
	}
}
