package anthropic

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
	wireopenai "github.com/pontage/pontage/internal/wire/openai"
)

// refusable are the codes that a translation may refuse with.
var refusable = []fault.Code{
	fault.UnsupportedParameter, fault.ToolChoiceUnsupported, fault.InputModalityUnsupported, fault.ImageInputUnsupported, fault.InvalidParameter,
}

// TestRecordedChatRequestsTranslateOrAreRefusedByName sends every recorded
// request of OpenAI's dialect to Anthropic: what comes out follows the rules of
// the protocol and holds everything that was said, or the refusal names a member.
func TestRecordedChatRequestsTranslateOrAreRefusedByName(t *testing.T) {
	t.Parallel()
	corpus := testkit.Fixtures(t)
	door := wireopenai.NewChat(wireopenai.Options{})
	translated, refused := 0, map[string]int{}
	for _, e := range corpus.Filter(testkit.Filter{API: "openai.chat", HasRequest: true}) {
		f := corpus.Load(t, e)
		q, err := door.Decode(f.Request.JSON, nil)
		if err != nil {
			continue
		}
		for _, model := range []string{"claude-sonnet-4-5", "claude-opus-4-7"} {
			c := provider.Call{Request: q, Model: model, MaxOutput: 64000}
			out, err := encode(c)
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
			checkTranslation(t, e.ID, f.Request.JSON, out.Body)
		}
	}
	t.Logf("translated %d, refused %v", translated, refused)
	if translated < 600 {
		t.Errorf("only %d requests are translated; refused %v", translated, refused)
	}
}

// texts are the strings of JSON found anywhere under the named members.
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
	for _, m := range list(in["messages"]) {
		delete(obj(m), "reasoning_details") // sealed by somebody else, and dropped
	}
	said := strings.Join(append(texts(out["messages"], "text"), texts(out["system"], "text")...), "\x00")
	for _, s := range texts(in["messages"], "content", "text") {
		if !strings.Contains(said, s) {
			t.Errorf("%s: %.80q is lost", id, s)
		}
	}
	limit := in["max_completion_tokens"]
	if limit == nil {
		limit = in["max_tokens"]
	}
	if limit == nil {
		limit = 64000.0
	}
	if out["max_tokens"] != limit {
		t.Errorf("%s: max_tokens = %v, want %v", id, out["max_tokens"], limit)
	}
	for _, same := range []string{"temperature", "top_p", "top_k"} {
		if in[same] != out[same] && (in[same] != 1.0 || out[same] != nil || in["temperature"] == nil || in["top_p"] == nil) { // of both one is enough
			t.Errorf("%s: %s = %v, want %v", id, same, out[same], in[same])
		}
	}
	if (in["stream"] == true) != (out["stream"] == true) {
		t.Errorf("%s: stream = %v", id, out["stream"])
	}
	if a, b := countImages(in["messages"], "image_url"), countImages(out["messages"], "image"); a != b {
		t.Errorf("%s: %d images became %d", id, a, b)
	}
	checkTools(t, id, list(in["tools"]), list(out["tools"]))
	checkTurns(t, id, list(out["messages"]))
}

func countImages(v any, kind string) int {
	raw, _ := json.Marshal(v)
	return strings.Count(string(raw), `"type":"`+kind+`"`)
}

func checkTools(t *testing.T, id string, in, out []any) {
	t.Helper()
	if len(in) > 0 && len(in) != len(out) {
		t.Errorf("%s: %d tools became %d", id, len(in), len(out))
		return
	}
	for i, tool := range out {
		schema := obj(obj(tool)["input_schema"])
		if schema["type"] != "object" {
			t.Errorf("%s: the schema of tool %d is of %v", id, i, schema["type"])
		}
		if len(in) == 0 {
			continue
		}
		want := obj(obj(in[i])["function"])
		if obj(tool)["name"] != want["name"] || str(obj(tool)["description"]) != str(want["description"]) {
			t.Errorf("%s: tool %v became %v", id, want, tool)
		}
		if p := obj(want["parameters"]); p["type"] != nil && !cmp.Equal(p, schema) {
			t.Errorf("%s: schema (-want +got):\n%s", id, cmp.Diff(p, schema))
		}
	}
}

// checkTurns checks the rules of the protocol: turns alternate and begin with
// the user, no text is empty, results come first and answer the turn before.
func checkTurns(t *testing.T, id string, messages []any) {
	t.Helper()
	want, open := "user", []string(nil)
	for i, m := range messages {
		m := obj(m)
		if m["role"] != want {
			t.Errorf("%s: turn %d is of %v", id, i, m["role"])
		}
		want = map[string]string{"user": "assistant", "assistant": "user"}[want]
		if len(list(m["content"])) == 0 {
			t.Errorf("%s: turn %d is empty", id, i)
		}
		words, calls := false, []string(nil)
		for _, b := range list(m["content"]) {
			b := obj(b)
			switch b["type"] {
			case "tool_result":
				if words || !slices.Contains(open, str(b["tool_use_id"])) {
					t.Errorf("%s: turn %d has a result out of place", id, i)
				}
			case "tool_use":
				calls = append(calls, str(b["id"]))
				if _, ok := b["input"].(object); !ok {
					t.Errorf("%s: input is %v", id, b["input"])
				}
			case "text":
				words = true
				if str(b["text"]) == "" {
					t.Errorf("%s: turn %d has an empty text", id, i)
				}
			default:
				words = true
			}
		}
		open = calls
	}
}

// chat makes a request of OpenAI's dialect out of a conversation.
func chat(c *llm.Chat) *llm.Request {
	return &llm.Request{Dialect: llm.OpenAIChat, Model: "m", DecodeChat: func() (*llm.Chat, error) { return c, nil }}
}

func text(s string) []llm.Part { return []llm.Part{{Kind: llm.PartText, Text: s}} }

func ptr[T any](v T) *T { return &v }

const hi = `"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]`

func TestTranslationByCase(t *testing.T) {
	t.Parallel()
	user := []llm.Message{{Role: llm.RoleUser, Parts: text("Hi")}}
	tools := []llm.Tool{
		{Name: "f", Description: "d", Schema: json.RawMessage(`{"properties":{}}`), Strict: ptr(true), Cache: &llm.CacheMark{}},
		{Name: "g", Strict: ptr(false)},
	}
	const definitions = `"tools":[{"name":"f","description":"d","input_schema":{"properties":{},"type":"object"},"strict":true,"cache_control":{"type":"ephemeral"}},{"name":"g","input_schema":{"type":"object","properties":{}}}]`
	call := llm.Part{Kind: llm.PartToolCall, ToolID: "a.b", ToolName: "f", Args: json.RawMessage(`{"x": 1.0}`)}
	for _, c := range []struct {
		name  string
		model string
		call  provider.Call
		chat  llm.Chat
		want  string // members after model
	}{
		{"plain", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: user}, `"max_tokens":9,` + hi},
		{"unknown limit", "new", provider.Call{}, llm.Chat{Messages: user}, `"max_tokens":4096,` + hi},
		{"cap", "new", provider.Call{MaxOutput: 9, CapOutput: 5}, llm.Chat{Messages: user}, `"max_tokens":5,` + hi},
		{"own limit", "new", provider.Call{MaxOutput: 9, CapOutput: 5}, llm.Chat{Messages: user, MaxOutput: ptr(int64(0))}, `"max_tokens":0,` + hi},
		{"system", "new", provider.Call{MaxOutput: 9}, llm.Chat{System: []llm.Part{{Text: "A", Cache: &llm.CacheMark{TTL: "1h"}}, {}, {Text: "B"}}, Messages: user}, `"max_tokens":9,"system":[{"type":"text","text":"A","cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"text","text":"B"}],` + hi},
		{"tools", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: user, Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ToolRequired}, ParallelTools: ptr(false)}, `"max_tokens":9,` + definitions + `,"tool_choice":{"type":"any","disable_parallel_tool_use":true},` + hi},
		{"some tools", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: user, Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ToolRequired, Allowed: []string{"g"}}}, `"max_tokens":9,"tools":[{"name":"g","input_schema":{"type":"object","properties":{}}}],"tool_choice":{"type":"any"},` + hi},
		{"a named tool", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: user, Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ToolNamed, Name: "f"}}, `"max_tokens":9,` + definitions + `,"tool_choice":{"type":"tool","name":"f"},` + hi},
		{"one at a time", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: user, Tools: tools, ParallelTools: ptr(false)}, `"max_tokens":9,` + definitions + `,"tool_choice":{"type":"auto","disable_parallel_tool_use":true},` + hi},
		{"no tool", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: user, Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ToolNone}, ParallelTools: ptr(false)}, `"max_tokens":9,` + definitions + `,"tool_choice":{"type":"none"},` + hi},
		{
			"past calls without tools", "new",
			provider.Call{MaxOutput: 9},
			llm.Chat{Messages: []llm.Message{user[0], {Role: llm.RoleAssistant, Parts: []llm.Part{call}}, {Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: "so?"}, {Kind: llm.PartToolResult, ToolID: "a.b", IsError: true, Parts: text("no")}}}}},
			`"max_tokens":9,"tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}],"tool_choice":{"type":"none"},"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]},` +
				`{"role":"assistant","content":[{"type":"tool_use","id":"` + provider.ToolID("a.b") + `","name":"f","input":{"x": 1.0}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"` + provider.ToolID("a.b") + `","content":[{"type":"text","text":"no"}],"is_error":true},{"type":"text","text":"so?"}]}]`,
		},
		{
			"neighbours join, empty turns go, thoughts need a seal", "new",
			provider.Call{MaxOutput: 9},
			llm.Chat{Messages: []llm.Message{
				user[0],
				{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "unsealed"}, {Kind: llm.PartText}}},
				{Role: llm.RoleSystem, Parts: text("S")},
				{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "t", Signature: "s"}, {Kind: llm.PartRedacted, Data: "r"}, {Kind: llm.PartRefusal, Text: "no"}}},
			}},
			`"max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"Hi"},{"type":"text","text":"<system>\nS\n</system>"}]},` +
				`{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"r"},{"type":"text","text":"no"}]}]`,
		},
		{
			"media", "new",
			provider.Call{MaxOutput: 9},
			llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{
				{Kind: llm.PartImage, URL: "https://x/y", Detail: "high"},
				{Kind: llm.PartImage, MediaType: "image/jpg", Data: "/9j/4"},
				{Kind: llm.PartImage, Data: "iVBORw"},
				{Kind: llm.PartFile, MediaType: "application/pdf", Data: "JV", Name: "a.pdf"},
				{Kind: llm.PartFile, MediaType: "text/plain; charset=utf-8", Data: "SGk="},
				{Kind: llm.PartFile, URL: "https://x/z.pdf"},
			}}}},
			`"max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://x/y"}},{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"/9j/4"}},` +
				`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw"}},{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JV"},"title":"a.pdf"},` +
				`{"type":"document","source":{"type":"text","media_type":"text/plain","data":"Hi"}},{"type":"document","source":{"type":"url","url":"https://x/z.pdf"}}]}]`,
		},
		{"arguments that are none", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: []llm.Message{user[0], {Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartToolCall, ToolID: "a", ToolName: "f", Args: json.RawMessage(`"x{"`)}}}}, Tools: tools[1:]}, `"max_tokens":9,"tools":[{"name":"g","input_schema":{"type":"object","properties":{}}}],"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{"_raw":"x{"}}]}]`},
		{"arguments that are null", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: []llm.Message{user[0], {Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartToolCall, ToolID: "a", ToolName: "f", Args: json.RawMessage(`null`)}}}}, Tools: tools[1:]}, `"max_tokens":9,"tools":[{"name":"g","input_schema":{"type":"object","properties":{}}}],"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]}]`},
		{"effort", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: user, Reasoning: &llm.Reasoning{Effort: "xhigh"}}, `"max_tokens":9,` + hi + `,"thinking":{"type":"adaptive"},"output_config":{"effort":"xhigh"}`},
		{"least effort", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: user, Reasoning: &llm.Reasoning{Effort: "minimal"}}, `"max_tokens":9,` + hi + `,"thinking":{"type":"adaptive"},"output_config":{"effort":"low"}`},
		{"no effort", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: user, Reasoning: &llm.Reasoning{Effort: "none"}}, `"max_tokens":9,` + hi + `,"thinking":{"type":"disabled"}`},
		{"effort of an older model", "claude-sonnet-4-5-20250929", provider.Call{MaxOutput: 64000}, llm.Chat{Messages: user, Reasoning: &llm.Reasoning{Effort: "medium"}}, `"max_tokens":64000,` + hi + `,"thinking":{"type":"enabled","budget_tokens":8192}`},
		{"all effort of an older model", "claude-haiku-4-5", provider.Call{MaxOutput: 64000}, llm.Chat{Messages: user, Reasoning: &llm.Reasoning{Effort: "max"}}, `"max_tokens":64000,` + hi + `,"thinking":{"type":"enabled","budget_tokens":62976}`},
		{"effort within a limit", "claude-haiku-4-5", provider.Call{}, llm.Chat{Messages: user, MaxOutput: ptr(int64(3000)), Reasoning: &llm.Reasoning{Effort: "high"}}, `"max_tokens":3000,` + hi + `,"thinking":{"type":"enabled","budget_tokens":1976}`},
		{
			"blank texts", "new",
			provider.Call{MaxOutput: 9},
			llm.Chat{System: text(" "), Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Text: "\n"}, {Text: "Hi"}}}}},
			`"max_tokens":9,` + hi,
		},
		{
			"a mark on nothing is not one of four", "new",
			provider.Call{MaxOutput: 9},
			llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Cache: &llm.CacheMark{}}, {Text: "1", Cache: &llm.CacheMark{}}, {Text: "2", Cache: &llm.CacheMark{}}, {Text: "3", Cache: &llm.CacheMark{}}, {Text: "4", Cache: &llm.CacheMark{}}}}}},
			`"max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"1","cache_control":{"type":"ephemeral"}},{"type":"text","text":"2","cache_control":{"type":"ephemeral"}},{"type":"text","text":"3","cache_control":{"type":"ephemeral"}},{"type":"text","text":"4","cache_control":{"type":"ephemeral"}}]}]`,
		},
		{
			"a mark on a tool that is not offered is not one of four", "new",
			provider.Call{MaxOutput: 9},
			llm.Chat{
				Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Text: "1", Cache: &llm.CacheMark{}}, {Text: "2", Cache: &llm.CacheMark{}}, {Text: "3", Cache: &llm.CacheMark{}}, {Text: "4", Cache: &llm.CacheMark{}}}}},
				Tools:    []llm.Tool{{Name: "f", Cache: &llm.CacheMark{}}, {Name: "g"}}, ToolChoice: &llm.ToolChoice{Mode: llm.ToolAuto, Allowed: []string{"g"}},
			},
			`"max_tokens":9,"tools":[{"name":"g","input_schema":{"type":"object","properties":{}}}],"tool_choice":{"type":"auto"},"messages":[{"role":"user","content":[{"type":"text","text":"1","cache_control":{"type":"ephemeral"}},{"type":"text","text":"2","cache_control":{"type":"ephemeral"}},{"type":"text","text":"3","cache_control":{"type":"ephemeral"}},{"type":"text","text":"4","cache_control":{"type":"ephemeral"}}]}]`,
		},
		{"thoughts that are told", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: user, Reasoning: &llm.Reasoning{Effort: "low", Display: "summarized"}}, `"max_tokens":9,` + hi + `,"thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"low"}`},
		{"schema", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: user, Format: &llm.Format{JSON: true, Name: "n", Schema: json.RawMessage(`{"type":"object"}`)}}, `"max_tokens":9,` + hi + `,"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}`},
		{"numbers", "new", provider.Call{MaxOutput: 9}, llm.Chat{Messages: user, Temperature: ptr(1.0), TopP: ptr(0.5), TopK: ptr(int64(3)), FrequencyPenalty: ptr(0.0), Seed: ptr(int64(1)), Stop: []string{"\"", "b"}, User: "Ann", Choices: 1}, `"max_tokens":9,` + hi + `,"top_p":0.5,"top_k":3,"stop_sequences":["\"","b"],"metadata":{"user_id":"` + provider.Pseudonym("Ann") + `"}`},
	} {
		c.call.Request, c.call.Model = chat(&c.chat), c.model
		e, err := encode(c.call)
		want := `{"model":"` + c.model + `",` + c.want + "}"
		if err != nil || string(e.Body) != want {
			t.Errorf("%s: %v\n got %#v\nwant %s", c.name, err, e, want)
		}
	}
}

// TestThinkingStopsWhereThoughtsAreLost has the second step of a turn with tools:
// models with a budget refuse to think on without the thoughts before the calls.
func TestThinkingStopsWhereThoughtsAreLost(t *testing.T) {
	t.Parallel()
	call := llm.Part{Kind: llm.PartToolCall, ToolID: "a", ToolName: "f", Args: json.RawMessage(`{}`)}
	thought := llm.Part{Kind: llm.PartReasoning, Text: "t", Signature: "s"}
	result := []llm.Part{{Kind: llm.PartToolResult, ToolID: "a", Parts: text("1")}}
	for _, c := range []struct {
		name, model string
		said        []llm.Part
		next        []llm.Part
		thinks      bool
	}{
		{"lost", "claude-sonnet-4-5", []llm.Part{call}, result, false},
		{"lost, and the model can do without", "claude-opus-4-7", []llm.Part{call}, result, true},
		{"kept", "claude-sonnet-4-5", []llm.Part{thought, call}, result, true},
		{"redacted", "claude-sonnet-4-5", []llm.Part{{Kind: llm.PartRedacted, Data: "r"}, call}, result, true},
		{"another's", "claude-sonnet-4-5", []llm.Part{{Kind: llm.PartReasoning, Text: "t", Signature: llm.Seal("x", "s")}, call}, result, false},
		{"the turn has ended", "claude-sonnet-4-5", text("done"), text("more"), true},
	} {
		x := llm.Chat{
			Messages:  []llm.Message{{Role: llm.RoleUser, Parts: text("Hi")}, {Role: llm.RoleAssistant, Parts: c.said}, {Role: llm.RoleUser, Parts: c.next}},
			Tools:     []llm.Tool{{Name: "f"}},
			Reasoning: &llm.Reasoning{Effort: "low"},
		}
		e, err := encode(provider.Call{Request: chat(&x), Model: c.model, MaxOutput: 9000})
		if err != nil || strings.Contains(string(e.Body), `"thinking":{"type"`) != c.thinks || slices.Contains(e.Dropped, "reasoning_effort") == c.thinks {
			t.Errorf("%s: %v, dropped %v: %#v", c.name, err, e.Dropped, e)
		}
	}
}

// GoString shows the body in messages of tests.
func (e *encoder) GoString() string { return string(e.Body) }

func TestRefusedTranslations(t *testing.T) {
	t.Parallel()
	user := func(p ...llm.Part) []llm.Message { return []llm.Message{{Role: llm.RoleUser, Parts: p}} }
	hi := user(text("Hi")...)
	think := &llm.Reasoning{Effort: "high"}
	for _, c := range []struct {
		name  string
		chat  llm.Chat
		code  fault.Code
		param string
	}{
		{"hot", llm.Chat{Messages: hi, Temperature: ptr(1.1)}, fault.UnsupportedParameter, "temperature"},
		{"warm with thinking", llm.Chat{Messages: hi, Temperature: ptr(0.5), Reasoning: think}, fault.UnsupportedParameter, "temperature"},
		{"top_k with thinking", llm.Chat{Messages: hi, TopK: ptr(int64(5)), Reasoning: think}, fault.UnsupportedParameter, "top_k"},
		{"forced with thinking", llm.Chat{Messages: hi, Tools: []llm.Tool{{Name: "f"}}, ToolChoice: &llm.ToolChoice{Mode: llm.ToolRequired}, Reasoning: think}, fault.ToolChoiceUnsupported, "tool_choice"},
		{"forced without tools", llm.Chat{Messages: hi, ToolChoice: &llm.ToolChoice{Mode: llm.ToolNamed, Name: "f"}}, fault.ToolChoiceUnsupported, "tool_choice"},
		{"penalty", llm.Chat{Messages: hi, PresencePenalty: ptr(0.1)}, fault.UnsupportedParameter, "presence_penalty"},
		{"another penalty", llm.Chat{Messages: hi, FrequencyPenalty: ptr(0.1)}, fault.UnsupportedParameter, "frequency_penalty"},
		{"several answers", llm.Chat{Messages: hi, Choices: 2}, fault.UnsupportedParameter, "n"},
		{"blank stop", llm.Chat{Messages: hi, Stop: []string{"\n"}}, fault.UnsupportedParameter, "stop"},
		{"JSON without schema", llm.Chat{Messages: hi, Format: &llm.Format{JSON: true}}, fault.UnsupportedParameter, "response_format"},
		{"audio", llm.Chat{Messages: user(llm.Part{Kind: llm.PartAudio, Data: "x", MediaType: "audio/wav"})}, fault.InputModalityUnsupported, "messages.0.content.0"},
		{"an odd image", llm.Chat{Messages: user(llm.Part{Kind: llm.PartImage, Data: "x", MediaType: "image/tiff"})}, fault.UnsupportedParameter, "messages.0.content.0"},
		{"a file elsewhere", llm.Chat{Messages: user(llm.Part{Kind: llm.PartFile, FileID: "f"})}, fault.InputModalityUnsupported, "messages.0.content.0"},
		{"the assistant begins", llm.Chat{Messages: []llm.Message{{Role: llm.RoleAssistant, Parts: text("Hi")}}}, fault.UnsupportedParameter, "messages.0.role"},
		{"nobody speaks", llm.Chat{System: text("S")}, fault.UnsupportedParameter, "messages"},
		{"an empty turn", llm.Chat{Messages: user(llm.Part{})}, fault.UnsupportedParameter, "messages.0.content"},
		{"logprobs", llm.Chat{Messages: hi, Extra: []llm.Extra{{Path: "logprobs", Value: []byte("true")}}}, fault.UnsupportedParameter, "logprobs"},
		{"logit_bias", llm.Chat{Messages: hi, Extra: []llm.Extra{{Path: "logit_bias", Value: []byte(`{"1":2}`)}}}, fault.UnsupportedParameter, "logit_bias"},
		{"flex", llm.Chat{Messages: hi, Extra: []llm.Extra{{Path: "service_tier", Value: []byte(`"flex"`)}}}, fault.UnsupportedParameter, "service_tier"},
		{"what nobody knows", llm.Chat{Messages: hi, Extra: []llm.Extra{{Path: "new_thing", Value: []byte("1")}}}, fault.UnsupportedParameter, "new_thing"},
	} {
		p := New(Options{Transport: canned{}})
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

func TestStateOfAnotherProviderStaysBehind(t *testing.T) {
	t.Parallel()
	seal := llm.Seal("google", "s")
	c := llm.Chat{Messages: []llm.Message{
		{Role: llm.RoleUser, Parts: text("Hi")},
		{Role: llm.RoleAssistant, Parts: []llm.Part{
			{Kind: llm.PartReasoning, Text: "t", Signature: seal},
			{Kind: llm.PartRedacted, Data: seal},
			{Kind: llm.PartToolCall, ToolID: "a", ToolName: "f", Signature: seal},
		}},
		{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartToolResult, ToolID: "a"}}},
	}}
	e, err := encode(provider.Call{Request: chat(&c), Model: "m"})
	if err != nil || strings.Contains(string(e.Body), "thinking") || strings.Contains(string(e.Body), seal) {
		t.Fatalf("%v, %#v", err, e)
	}
	if d := cmp.Diff([]string{"reasoning_state", "messages.1.content.0", "messages.1.content.1"}, e.Dropped); d != "" {
		t.Errorf("Dropped (-want +got):\n%s", d)
	}
}

func TestDroppedMembersAreTold(t *testing.T) {
	t.Parallel()
	mark := func(s string) llm.Part {
		return llm.Part{Kind: llm.PartText, Text: s, Cache: &llm.CacheMark{TTL: "30m"}}
	}
	c := llm.Chat{
		System:   []llm.Part{mark("1"), mark("2")},
		Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{mark("3"), mark("4"), mark("5")}}},
		Seed:     ptr(int64(1)),
		Extra:    []llm.Extra{{Path: "messages.1.name", Value: []byte(`"x"`)}, {Path: "verbosity", Value: []byte(`"low"`)}},
	}
	want := []string{
		"messages.1.name", "verbosity", "messages.0.content.0.cache_control", "messages.0.content.1.cache_control.ttl",
		"messages.0.content.0.cache_control.ttl", "messages.0.content.1.cache_control.ttl", "messages.0.content.2.cache_control.ttl", "seed",
	}
	if d := cmp.Diff(want, New(Options{Transport: canned{}}).Dropped(chat(&c))); d != "" {
		t.Errorf("Dropped (-want +got):\n%s", d)
	}
}

// FuzzTranslate checks that any body of OpenAI's dialect that passes the door
// becomes valid JSON or is refused by name.
func FuzzTranslate(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"data:image/png;base64,x"}}]},{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{"}}]},{"role":"tool","tool_call_id":"a","content":"r"}],"tools":[{"type":"function","function":{"name":"f"}}]}`))
	d := wireopenai.NewChat(wireopenai.Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := d.Decode(body, nil)
		if err != nil {
			return
		}
		out, err := encode(provider.Call{Request: q, Model: q.Model})
		var fe *fault.Error
		switch {
		case err == nil && !json.Valid(out.Body):
			t.Errorf("%s becomes %s", body, out.Body)
		case err != nil && (!errors.As(err, &fe) || fe.Param == ""):
			t.Errorf("%s is refused without a name: %v", body, err)
		}
	})
}

func TestModelsThatThinkOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	p := New(Options{})
	for model, want := range map[string]bool{
		"claude-3-7-sonnet-20250219": true, "claude-haiku-4-5": true, "claude-opus-4-5-20251101": true, "claude-sonnet-4-6": true, "claude-opus-4-7": true,
		"claude-fable-5": false, "claude-opus-5": false, "claude-sonnet-5": false, "mine": false, "": false,
	} {
		if p.ThinksOnlyWhenAsked(model) != want {
			t.Errorf("%s: want %v", model, want)
		}
	}
}
