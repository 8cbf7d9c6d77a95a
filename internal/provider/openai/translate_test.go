package openai

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
	wireanthropic "github.com/pontage/pontage/internal/wire/anthropic"
)

// messagesRequest decodes a request of Anthropic's dialect.
func messagesRequest(t *testing.T, body []byte) (*llm.Request, error) {
	t.Helper()
	return wireanthropic.NewMessages().Decode(body, nil)
}

// refusable are the codes that a translation may refuse with.
var refusable = []fault.Code{
	fault.UnsupportedParameter, fault.ToolChoiceUnsupported, fault.InputModalityUnsupported, fault.ImageInputUnsupported, fault.InvalidParameter,
}

// TestRecordedMessagesRequestsTranslateOrAreRefusedByName sends every recorded
// request of Anthropic's dialect to OpenAI: what comes out holds everything that
// was said, or the refusal names a member.
func TestRecordedMessagesRequestsTranslateOrAreRefusedByName(t *testing.T) {
	t.Parallel()
	corpus := testkit.Fixtures(t)
	translated, refused := 0, map[string]int{}
	for _, e := range corpus.Filter(testkit.Filter{API: "anthropic.messages", HasRequest: true}) {
		f := corpus.Load(t, e)
		q, err := messagesRequest(t, f.Request.JSON)
		if err != nil {
			continue // the gateway's door refuses it
		}
		for _, vendor := range []string{"openai", "mistral", "deepseek", "openrouter", "llamacpp"} {
			p := New(Options{Vendor: vendor, Transport: canned{}})
			body, err := p.translate(provider.Call{Request: q, Model: "other"})
			if (err == nil) != (p.Supports(q) == nil) {
				t.Errorf("%s: Supports = %v, and translate gives %v", e.ID, p.Supports(q), err)
			}
			if err != nil {
				var fe *fault.Error
				if !errors.As(err, &fe) || fe.Param == "" || !slices.Contains(refusable, fe.Code) {
					t.Errorf("%s to %s: %v is no refusal by name", e.ID, vendor, err)
					continue
				}
				if vendor == "openai" {
					refused[strings.Trim(fe.Param, "0123456789")]++
				}
				continue
			}
			if vendor == "openai" {
				translated++
			}
			checkTranslation(t, e.ID+" to "+vendor, f.Request.JSON, body)
		}
	}
	t.Logf("translated %d, refused %v", translated, refused)
	if translated < 130 {
		t.Errorf("only %d requests are translated; refused %v", translated, refused)
	}
}

// strings of JSON, found anywhere under the named members.
func texts(v any, names ...string) (out []string) {
	switch x := v.(type) {
	case object:
		for k, m := range x {
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
	said := strings.Join(texts(out["messages"], "content", "text", "refusal"), "\x00")
	for _, s := range append(texts(in["messages"], "content", "text"), texts(object{"system": in["system"]}, "system", "text")...) {
		if !strings.Contains(said, s) {
			t.Errorf("%s: %.80q is lost", id, s)
		}
	}
	if out["model"] != "other" {
		t.Errorf("%s: model = %v", id, out["model"])
	}
	if a, b := len(list(in["tools"])), len(list(out["tools"])); a != b {
		t.Errorf("%s: %d tools became %d", id, a, b)
	}
	limit := first(out["max_tokens"], out["max_completion_tokens"], 0.0)
	if limit != in["max_tokens"] {
		t.Errorf("%s: limit = %v, want %v", id, limit, in["max_tokens"])
	}
	for _, same := range []string{"temperature", "top_p"} {
		if in[same] != out[same] {
			t.Errorf("%s: %s = %v, want %v", id, same, out[same], in[same])
		}
	}
	if (in["stream"] == true) != (out["stream"] == true) {
		t.Errorf("%s: stream = %v", id, out["stream"])
	}
	if f := obj(obj(in["output_config"])["format"]); f != nil {
		if d := cmp.Diff(f["schema"], obj(obj(out["response_format"])["json_schema"])["schema"]); d != "" {
			t.Errorf("%s: schema (-want +got):\n%s", id, d)
		}
	}
	checkTurns(t, id, list(out["messages"]))
	if a, b := images(in["messages"]), images(out["messages"]); a != b {
		t.Errorf("%s: %d images became %d", id, a, b)
	}
}

func images(v any) (n int) {
	raw, _ := json.Marshal(v)
	return strings.Count(string(raw), `"type":"image"`) + strings.Count(string(raw), `"type":"image_url"`)
}

// orphan is a recording whose result answers another call than the one before it.
const orphan = "anthropic.anthropic-messages.93956b0c2a"

// checkTurns checks that every tool call is followed by its results and every
// result has its call, and that arguments are text.
func checkTurns(t *testing.T, id string, messages []any) {
	t.Helper()
	var open []string
	for i, m := range messages {
		m := obj(m)
		switch m["role"] {
		case "tool":
			call := str(m["tool_call_id"])
			if !slices.Contains(open, call) && id[:len(orphan)] != orphan {
				t.Errorf("%s: message %d answers %q, which no call before it has", id, i, call)
			}
			if _, ok := m["content"].(string); !ok && list(m["content"]) == nil {
				t.Errorf("%s: message %d has content %v", id, i, m["content"])
			}
		case "assistant":
			open = nil
			for _, c := range list(m["tool_calls"]) {
				open = append(open, str(obj(c)["id"]))
				args, ok := obj(obj(c)["function"])["arguments"].(string)
				if !ok || !json.Valid([]byte(args)) {
					t.Errorf("%s: arguments are %v", id, obj(obj(c)["function"])["arguments"])
				}
			}
			if m["content"] == nil && len(open) == 0 && m["refusal"] == nil {
				t.Errorf("%s: message %d says nothing", id, i)
			}
		case "system", "user":
		default:
			t.Errorf("%s: role %v", id, m["role"])
		}
	}
}

// chat makes a request of the simple dialect out of a conversation.
func chat(c *llm.Chat) *llm.Request {
	return &llm.Request{Dialect: llm.Simple, Model: "m", DecodeChat: func() (*llm.Chat, error) { return c, nil }}
}

func text(s string) []llm.Part { return []llm.Part{{Kind: llm.PartText, Text: s}} }

func ptr[T any](v T) *T { return &v }

func TestTranslationByCase(t *testing.T) {
	t.Parallel()
	user := []llm.Message{{Role: llm.RoleUser, Parts: text("Hi")}}
	tools := []llm.Tool{{Name: "f", Schema: json.RawMessage(`{"type":"object"}`), Strict: ptr(true)}, {Name: "g"}}
	for _, c := range []struct {
		name    string
		vendor  string
		chat    llm.Chat
		dialect llm.Dialect
		cap     int64
		stream  bool
		want    string // members after model
	}{
		{"plain", "openai", llm.Chat{Messages: user}, "", 0, false, `"messages":[{"role":"user","content":"Hi"}]`},
		{"stream", "openai", llm.Chat{Messages: user}, "", 0, true, `"messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true}`},
		{"stream at a vendor without options", "mistral", llm.Chat{Messages: user}, "", 0, true, `"messages":[{"role":"user","content":"Hi"}],"stream":true`},
		{"limit", "openai", llm.Chat{Messages: user, MaxOutput: ptr(int64(7))}, "", 5, false, `"messages":[{"role":"user","content":"Hi"}],"max_completion_tokens":7`},
		{"cap", "deepseek", llm.Chat{Messages: user}, "", 5, false, `"messages":[{"role":"user","content":"Hi"}],"max_tokens":5`},
		{
			"system in blocks", "openai",
			llm.Chat{System: append(text("A"), text("B")...), Messages: user},
			"", 0, false,
			`"messages":[{"role":"system","content":[{"type":"text","text":"A"},{"type":"text","text":"B"}]},{"role":"user","content":"Hi"}]`,
		},
		{
			"system as text", "deepseek",
			llm.Chat{System: append(text("A"), text("B")...), Messages: user},
			"", 0, false,
			`"messages":[{"role":"system","content":"A\n\nB"},{"role":"user","content":"Hi"}]`,
		},
		{
			"system in the middle", "openai",
			llm.Chat{Messages: []llm.Message{user[0], {Role: llm.RoleSystem, Parts: text("S")}}},
			"", 0, false,
			`"messages":[{"role":"user","content":"Hi"},{"role":"system","content":"S"}]`,
		},
		{
			"results before words, images after them", "openai",
			llm.Chat{Messages: []llm.Message{
				user[0],
				{Role: llm.RoleAssistant, Parts: []llm.Part{
					{Kind: llm.PartReasoning, Text: "hm", Signature: "s"},
					{Kind: llm.PartToolCall, ToolID: "a b", ToolName: "f", Args: json.RawMessage(`{"x": 12345678901234567890}`)},
					{Kind: llm.PartToolCall, ToolID: "c2", ToolName: "g"},
					{Kind: llm.PartToolCall, ToolID: "c3", ToolName: "g", Args: json.RawMessage(`"not json"`)},
				}},
				{Role: llm.RoleUser, Parts: []llm.Part{
					{Kind: llm.PartText, Text: "well"},
					{Kind: llm.PartToolResult, ToolID: "a b", IsError: true, Parts: []llm.Part{{Kind: llm.PartText, Text: "no"}, {Kind: llm.PartImage, MediaType: "image/gif", Data: "R0"}}},
					{Kind: llm.PartToolResult, ToolID: "c2"},
				}},
			}},
			"", 0, false,
			`"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":null,"tool_calls":[` +
				`{"id":"` + provider.ToolID("a b") + `","type":"function","function":{"name":"f","arguments":"{\"x\": 12345678901234567890}"}},` +
				`{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}},` +
				`{"id":"c3","type":"function","function":{"name":"g","arguments":"not json"}}]},` +
				`{"role":"tool","tool_call_id":"` + provider.ToolID("a b") + `","content":"no"},{"role":"tool","tool_call_id":"c2","content":""},` +
				`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/gif;base64,R0"}},{"type":"text","text":"well"}]}]`,
		},
		{
			"thoughts go back to who wants them", "deepseek",
			llm.Chat{Messages: []llm.Message{user[0], {Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "hm"}, {Kind: llm.PartText, Text: "A"}}}}},
			"", 0, false,
			`"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"A","reasoning_content":"hm"}]`,
		},
		{
			"a turn of nothing but thoughts", "openai",
			llm.Chat{Messages: []llm.Message{user[0], {Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "hm"}}}}},
			"", 0, false,
			`"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":""}]`,
		},
		{
			"tools", "openai",
			llm.Chat{Messages: user, Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ToolNamed, Name: "f"}, ParallelTools: ptr(false)},
			"", 0, false,
			`"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"},"strict":true}},{"type":"function","function":{"name":"g"}}],"parallel_tool_calls":false,"tool_choice":{"type":"function","function":{"name":"f"}}`,
		},
		{
			"some tools", "openai",
			llm.Chat{Messages: user, Tools: tools[1:], ToolChoice: &llm.ToolChoice{Mode: llm.ToolAuto, Allowed: []string{"x", "g"}}},
			"", 0, false,
			`"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"g"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"x"}},{"type":"function","function":{"name":"g"}}]}}`,
		},
		{
			"some tools elsewhere", "mistral",
			llm.Chat{Messages: user, Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ToolRequired, Allowed: []string{"g"}}},
			"", 0, false,
			`"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"g"}}],"tool_choice":"any"`,
		},
		{"the usual top_k of Google's callers", "openai", llm.Chat{Messages: user, TopK: ptr(int64(64))}, llm.GeminiGenerate, 0, false, `"messages":[{"role":"user","content":"Hi"}]`},
		{
			"tools elsewhere", "mistral",
			llm.Chat{Messages: user, Tools: tools[1:], ToolChoice: &llm.ToolChoice{Mode: llm.ToolRequired}, Seed: ptr(int64(3))},
			"", 0, false,
			`"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"g"}}],"tool_choice":"any","random_seed":3`,
		},
		{
			"media", "openai",
			llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{
				{Kind: llm.PartImage, URL: "https://x/y.png", Detail: "low"},
				{Kind: llm.PartImage, URL: "https://x/z.png", Detail: "original"},
				{Kind: llm.PartAudio, MediaType: "audio/mpeg", Data: "QQ"},
				{Kind: llm.PartFile, MediaType: "application/pdf", Data: "QQ", Name: "a.pdf"},
				{Kind: llm.PartFile, Text: "plain"},
				{Kind: llm.PartText},
			}}}},
			"", 0, false,
			`"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},{"type":"image_url","image_url":{"url":"https://x/z.png","detail":"high"}},{"type":"input_audio","input_audio":{"data":"QQ","format":"mp3"}},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,QQ"}},{"type":"text","text":"plain"}]}]`,
		},
		{
			"cache marks", "openrouter",
			llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: "Hi", Cache: &llm.CacheMark{TTL: "1h"}}}}}},
			"", 0, false,
			`"messages":[{"role":"user","content":[{"type":"text","text":"Hi","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]`,
		},
		{"schema", "openai", llm.Chat{Messages: user, Format: &llm.Format{JSON: true, Schema: json.RawMessage(`{"type":"object"}`)}}, llm.AnthropicMessages, 0, false, `"messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object"},"strict":true}}`},
		{"JSON", "openai", llm.Chat{Messages: user, Format: &llm.Format{JSON: true}}, "", 0, false, `"messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_object"}`},
		{"effort", "openai", llm.Chat{Messages: user, Reasoning: &llm.Reasoning{Effort: "xhigh"}}, "", 0, false, `"messages":[{"role":"user","content":"Hi"}],"reasoning_effort":"xhigh"`},
		{"budget", "openai", llm.Chat{Messages: user, Reasoning: &llm.Reasoning{Budget: 8000}}, "", 0, false, `"messages":[{"role":"user","content":"Hi"}],"reasoning_effort":"medium"`},
		{"no thinking", "openai", llm.Chat{Messages: user, Reasoning: &llm.Reasoning{Disabled: true}}, "", 0, false, `"messages":[{"role":"user","content":"Hi"}],"reasoning_effort":"none"`},
		{"no thinking in a vendor's own words", "zai", llm.Chat{Messages: user, Reasoning: &llm.Reasoning{Disabled: true}}, "", 0, false, `"messages":[{"role":"user","content":"Hi"}],"thinking":{"type":"disabled"}`},
		{"thinking as it likes", "openai", llm.Chat{Messages: user, Reasoning: &llm.Reasoning{Adaptive: true}}, "", 0, false, `"messages":[{"role":"user","content":"Hi"}]`},
		{
			"numbers", "openai",
			llm.Chat{Messages: user, Temperature: ptr(0.1), TopP: ptr(1.0), FrequencyPenalty: ptr(-2.0), PresencePenalty: ptr(0.5), Seed: ptr(int64(-1)), Stop: []string{"a", "b"}, Choices: 2, User: "Ann"},
			"", 0, false,
			`"messages":[{"role":"user","content":"Hi"}],"temperature":0.1,"top_p":1,"frequency_penalty":-2,"presence_penalty":0.5,"seed":-1,"n":2,"user":"` + provider.Pseudonym("Ann") + `","stop":["a","b"]`,
		},
		{"members of both dialects", "openai", llm.Chat{Messages: user, Extra: []llm.Extra{{Path: "logprobs", Value: []byte("true")}, {Path: "x", Value: []byte("null")}}}, "", 0, false, `"logprobs":true,"messages":[{"role":"user","content":"Hi"}]`},
	} {
		q := chat(&c.chat)
		q.Stream = c.stream
		if c.dialect != "" {
			q.Dialect = c.dialect
		}
		p := New(Options{Vendor: c.vendor, Transport: canned{}})
		got, err := p.translate(provider.Call{Request: q, Model: "u", CapOutput: c.cap, Reasons: true})
		want := `{"model":"u",` + c.want + "}"
		if strings.HasPrefix(c.want, `"logprobs"`) {
			want = strings.Replace("{"+c.want+"}", `"messages"`, `"model":"u","messages"`, 1)
		}
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, got, want)
		}
	}
}

func TestRefusedTranslations(t *testing.T) {
	t.Parallel()
	user := func(p ...llm.Part) []llm.Message { return []llm.Message{{Role: llm.RoleUser, Parts: p}} }
	hi := user(text("Hi")...)
	for _, c := range []struct {
		name   string
		vendor string
		chat   llm.Chat
		code   fault.Code
		param  string
	}{
		{"no output", "openai", llm.Chat{Messages: hi, MaxOutput: ptr(int64(0))}, fault.UnsupportedParameter, "max_tokens"},
		{"top_k", "openai", llm.Chat{Messages: hi, TopK: ptr(int64(3))}, fault.UnsupportedParameter, "top_k"},
		{"stops", "openai", llm.Chat{Messages: hi, Stop: []string{"1", "2", "3", "4", "5"}}, fault.UnsupportedParameter, "stop"},
		{"forced without tools", "openai", llm.Chat{Messages: hi, ToolChoice: &llm.ToolChoice{Mode: llm.ToolRequired}}, fault.ToolChoiceUnsupported, "tool_choice"},
		{"a file elsewhere", "openai", llm.Chat{Messages: user(llm.Part{Kind: llm.PartFile, FileID: "f"})}, fault.InputModalityUnsupported, "messages.0.content.0"},
		{"a file by URL", "openai", llm.Chat{Messages: user(llm.Part{Kind: llm.PartFile, URL: "https://x/y.pdf"})}, fault.InputModalityUnsupported, "messages.0.content.0"},
		{"an image elsewhere", "openai", llm.Chat{Messages: user(llm.Part{Kind: llm.PartImage, FileID: "f"})}, fault.UnsupportedParameter, "messages.0.content.0"},
		{"audio of another kind", "openai", llm.Chat{Messages: user(llm.Part{Kind: llm.PartAudio, MediaType: "audio/ogg", Data: "x"})}, fault.InputModalityUnsupported, "messages.0.content.0"},
		{"files where there are none", "deepseek", llm.Chat{Messages: user(llm.Part{Kind: llm.PartFile, MediaType: "application/pdf", Data: "x"})}, fault.InputModalityUnsupported, "messages.0.content.0"},
		{"an assistant's image", "openai", llm.Chat{Messages: []llm.Message{hi[0], {Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartImage, URL: "https://x"}}}}}, fault.InputModalityUnsupported, "messages.1.content.0"},
		{"what nobody knows", "openai", llm.Chat{Messages: hi, Extra: []llm.Extra{{Path: "new_thing", Value: []byte("1")}}}, fault.UnsupportedParameter, "new_thing"},
		{"a server's tool", "openai", llm.Chat{Messages: hi, Extra: []llm.Extra{{Path: "tools.0", Value: []byte(`{"type":"web_search_20250305"}`)}}}, fault.UnsupportedParameter, "tools.0"},
	} {
		p := New(Options{Vendor: c.vendor, Transport: canned{}})
		err := p.Supports(chat(&c.chat))
		var fe *fault.Error
		if !errors.As(err, &fe) || fe.Code != c.code || fe.Param != c.param {
			t.Errorf("%s: Supports = %v, want %v at %s", c.name, err, c.code, c.param)
		}
		_, err = p.Open(context.Background(), provider.Call{Request: chat(&c.chat), Model: "m"})
		var f *provider.Failure
		if !errors.As(err, &f) || f.Sent || f.Retry || f.Failover || f.Breaker {
			t.Errorf("%s: Open = %v, want a refusal without anything sent", c.name, err)
		}
	}
}

// A model that does not think refuses to be told not to.
func TestModelsThatDoNotThinkAreNotToldSo(t *testing.T) {
	t.Parallel()
	for _, r := range []llm.Reasoning{{Disabled: true}, {Effort: "none"}} {
		p := New(Options{Vendor: "openai", Transport: canned{}})
		got, err := p.translate(provider.Call{Request: chat(&llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: text("Hi")}}, Reasoning: &r}), Model: "gpt-4o"})
		if want := `{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}`; err != nil || string(got) != want {
			t.Errorf("%+v: %s, %v, want %s", r, got, err, want)
		}
	}
}

func TestStateOfToolCallsStaysBehind(t *testing.T) {
	t.Parallel()
	call := llm.Part{Kind: llm.PartToolCall, ToolID: "a", ToolName: "f", Signature: llm.Seal("google", "s")}
	c := llm.Chat{Messages: []llm.Message{
		{Role: llm.RoleUser, Parts: text("Hi")},
		{Role: llm.RoleAssistant, Parts: []llm.Part{call, call}},
		{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartToolResult, ToolID: "a"}}},
	}}
	p := New(Options{Vendor: "openai", Transport: canned{}})
	if d := cmp.Diff([]string{"reasoning_state"}, p.Dropped(chat(&c))); d != "" {
		t.Errorf("Dropped (-want +got):\n%s", d)
	}
}

func TestDroppedMembersAreTold(t *testing.T) {
	t.Parallel()
	c := llm.Chat{
		Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: "Hi", Cache: &llm.CacheMark{}}}}},
		Extra:    []llm.Extra{{Path: "messages.0.name", Value: []byte(`"x"`)}, {Path: "cache_control", Value: []byte(`{}`)}, {Path: "speed", Value: []byte(` "standard" `)}},
	}
	p := New(Options{Vendor: "openai", Transport: canned{}})
	want := []string{"messages.0.name", "cache_control", "speed", "messages.0.content.0.cache_control"}
	if d := cmp.Diff(want, p.Dropped(chat(&c))); d != "" {
		t.Errorf("Dropped (-want +got):\n%s", d)
	}
}

// FuzzTranslate checks that any body of Anthropic's dialect that passes the
// door becomes valid JSON or is refused by name.
func FuzzTranslate(f *testing.F) {
	f.Add([]byte(`{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"tool_result","tool_use_id":"a","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"x"}}]}]}],"tools":[{"name":"f","input_schema":{}}],"thinking":{"type":"enabled","budget_tokens":1024}}`))
	d := wireanthropic.NewMessages()
	p := New(Options{Vendor: "openai", Transport: canned{200, http.Header{}, func() io.Reader { return nil }}})
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := d.Decode(body, nil)
		if err != nil {
			return
		}
		out, err := p.translate(provider.Call{Request: q, Model: q.Model})
		var fe *fault.Error
		switch {
		case err == nil && !json.Valid(out):
			t.Errorf("%s becomes %s", body, out)
		case err != nil && (!errors.As(err, &fe) || fe.Param == ""):
			t.Errorf("%s is refused without a name: %v", body, err)
		}
	})
}
