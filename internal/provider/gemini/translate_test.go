package gemini

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
	wireanthropic "github.com/pontage/pontage/internal/wire/anthropic"
	wireopenai "github.com/pontage/pontage/internal/wire/openai"
)

// door decodes a request of a dialect.
type door interface {
	Decode(body []byte, headers map[string][]string) (*llm.Request, error)
}

var doors = map[string]door{
	"openai.chat":        wireopenai.NewChat(wireopenai.Options{}),
	"anthropic.messages": wireanthropic.NewMessages(),
}

// TestRecordedRequestsTranslateOrAreRefusedByName sends every recorded request of
// the other dialects to Google: what comes out follows the rules of the protocol
// and holds everything that was said, or the refusal names a member.
func TestRecordedRequestsTranslateOrAreRefusedByName(t *testing.T) {
	t.Parallel()
	corpus := testkit.Fixtures(t)
	translated, refused := map[string]int{}, map[string]int{}
	for api, d := range doors {
		for _, e := range corpus.Filter(testkit.Filter{API: api, HasRequest: true}) {
			f := corpus.Load(t, e)
			q, err := d.Decode(f.Request.JSON, nil)
			if err != nil {
				continue // the gateway's door refuses it
			}
			for _, model := range []string{"gemini-2.5-flash", "gemini-3-flash-preview"} {
				q := q.For(model)
				c := provider.Call{Request: q, Model: model}
				p := New(Options{Name: "google", Transport: canned{}})
				out, err := p.encode(c)
				if (err == nil) != (p.Supports(q) == nil) {
					t.Errorf("%s: Supports = %v, and encode gives %v", e.ID, p.Supports(q), err)
				}
				if err != nil {
					var fe *fault.Error
					if !errors.As(err, &fe) || fe.Param == "" || !slices.Contains(refusable, fe.Code) {
						t.Errorf("%s: %v is no refusal by name", e.ID, err)
						continue
					}
					refused[strings.Map(letters, fe.Param)]++
					continue
				}
				translated[api]++
				checkTranslation(t, e.ID+" to "+model, f.Request.JSON, out.Body)
			}
		}
	}
	t.Logf("translated %v, refused %v", translated, refused)
	if translated["openai.chat"] < 450 || translated["anthropic.messages"] < 200 {
		t.Errorf("only %v are translated; refused %v", translated, refused)
	}
}

func letters(r rune) rune {
	if r >= '0' && r <= '9' {
		return '#'
	}
	return r
}

// texts are strings of JSON under the named members, anywhere.
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
	said := strings.Join(texts(out, "text", "output", "error"), "\x00")
	for _, m := range list(in["messages"]) {
		delete(obj(m), "reasoning_details") // sealed by another provider, and told as dropped
		for _, s := range texts(m, "content", "text", "refusal") {
			if !strings.Contains(said, s) {
				t.Errorf("%s: %.80q is lost", id, s)
			}
		}
	}
	for _, s := range texts(object{"system": in["system"]}, "system", "text") {
		if !strings.Contains(said, s) {
			t.Errorf("%s: %.80q of the system is lost", id, s)
		}
	}
	declared := 0
	for _, tool := range list(out["tools"]) {
		declared += len(list(obj(tool)["functionDeclarations"]))
	}
	if a := len(list(in["tools"])); a != declared {
		t.Errorf("%s: %d tools became %d", id, a, declared)
	}
	config := obj(out["generationConfig"])
	for name, as := range map[string]string{"temperature": "temperature", "top_p": "topP", "seed": "seed", "n": "candidateCount"} {
		if in[name] != nil && in[name] != config[as] && !(name == "n" && in[name] == 1.0) {
			t.Errorf("%s: %s = %v became %v", id, name, in[name], config[as])
		}
	}
	checkTurns(t, id, list(out["contents"]))
}

// checkTurns checks that the turns alternate, begin and end with the user, say
// something, and that every result has its call in the turn before.
func checkTurns(t *testing.T, id string, contents []any) {
	t.Helper()
	calls := map[string]string{}
	for i, c := range contents {
		c := obj(c)
		want := "user"
		if i%2 == 1 {
			want = "model"
		}
		if c["role"] != want {
			t.Errorf("%s: turn %d is one of %v", id, i, c["role"])
		}
		if len(list(c["parts"])) == 0 {
			t.Errorf("%s: turn %d is empty", id, i)
		}
		said := false
		for _, p := range list(c["parts"]) {
			p := obj(p)
			switch call, response := obj(p["functionCall"]), obj(p["functionResponse"]); {
			case call != nil:
				calls[str(call["id"])] = str(call["name"])
				if obj(call["args"]) == nil {
					t.Errorf("%s: arguments are %v", id, call["args"])
				}
			case response != nil:
				if said {
					t.Errorf("%s: turn %d speaks before the results", id, i)
				}
				if calls[str(response["id"])] != response["name"] || obj(response["response"]) == nil {
					t.Errorf("%s: %v answers none of %v", id, response, calls)
				}
			default:
				said = true
			}
		}
	}
	if len(contents)%2 == 0 {
		t.Errorf("%s: the last turn is the model's", id)
	}
}

// chat makes a request of OpenAI's dialect out of a conversation.
func chat(c *llm.Chat) *llm.Request {
	return &llm.Request{Dialect: llm.OpenAIChat, Model: "m", DecodeChat: func() (*llm.Chat, error) { return c, nil }}
}

func text(s string) []llm.Part { return []llm.Part{{Kind: llm.PartText, Text: s}} }

func ptr[T any](v T) *T { return &v }

const hi = `"contents":[{"role":"user","parts":[{"text":"Hi"}]}]`

func user(parts ...llm.Part) llm.Message { return llm.Message{Role: llm.RoleUser, Parts: parts} }

func model(parts ...llm.Part) llm.Message { return llm.Message{Role: llm.RoleAssistant, Parts: parts} }

func called(id, name, args string) llm.Part {
	return llm.Part{Kind: llm.PartToolCall, ToolID: id, ToolName: name, Args: json.RawMessage(args)}
}

func answered(id string, parts ...llm.Part) llm.Part {
	return llm.Part{Kind: llm.PartToolResult, ToolID: id, Parts: parts}
}

func TestTranslationByCase(t *testing.T) {
	t.Parallel()
	hello := []llm.Message{user(text("Hi")...)}
	tools := []llm.Tool{
		{Name: "f", Description: "d", Schema: json.RawMessage(`{"type":"object","$defs":{"x":{}}}`), Strict: ptr(true), Cache: &llm.CacheMark{}},
		{Name: "g"},
	}
	const definitions = `"tools":[{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":{"type":"object","$defs":{"x":{}}}},{"name":"g"}]}]`
	signed := called("c1", "f", `{"x": 12345678901234567890}`)
	signed.Signature = llm.Seal("google", "sig")
	shown := llm.Part{Kind: llm.PartImage, MediaType: "image/png", Data: "iVBORw"}
	for _, c := range []struct {
		name  string
		model string
		call  provider.Call
		chat  llm.Chat
		want  string
	}{
		{"plain", "gemini-2.5-flash", provider.Call{}, llm.Chat{Messages: hello}, hi},
		{"cap", "gemini-2.5-flash", provider.Call{CapOutput: 5}, llm.Chat{Messages: hello}, hi + `,"generationConfig":{"maxOutputTokens":5}`},
		{"own limit", "gemini-2.5-flash", provider.Call{CapOutput: 5}, llm.Chat{Messages: hello, MaxOutput: ptr(int64(7))}, hi + `,"generationConfig":{"maxOutputTokens":7}`},
		{
			"system", "gemini-2.5-flash",
			provider.Call{},
			llm.Chat{System: []llm.Part{{Text: "A"}, {}, {Text: "B"}}, Messages: hello},
			`"systemInstruction":{"parts":[{"text":"A"},{"text":"B"}]},` + hi,
		},
		{"tools", "gemini-2.5-flash", provider.Call{}, llm.Chat{Messages: hello, Tools: tools}, definitions + `,` + hi},
		{"auto", "gemini-2.5-flash", provider.Call{}, llm.Chat{Messages: hello, Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ToolAuto}}, definitions + `,"toolConfig":{"functionCallingConfig":{"mode":"AUTO"}},` + hi},
		{"any", "gemini-2.5-flash", provider.Call{}, llm.Chat{Messages: hello, Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ToolRequired}}, definitions + `,"toolConfig":{"functionCallingConfig":{"mode":"ANY"}},` + hi},
		{"one", "gemini-2.5-flash", provider.Call{}, llm.Chat{Messages: hello, Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ToolNamed, Name: "g"}}, definitions + `,"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["g"]}},` + hi},
		{"some that may be called", "gemini-2.5-flash", provider.Call{}, llm.Chat{Messages: hello, Tools: []llm.Tool{{Name: "f"}, {Name: "g"}}, ToolChoice: &llm.ToolChoice{Mode: llm.ToolAuto, Allowed: []string{"g"}}}, `"tools":[{"functionDeclarations":[{"name":"g"}]}],"toolConfig":{"functionCallingConfig":{"mode":"AUTO"}},` + hi},
		{"some that must be called", "gemini-2.5-flash", provider.Call{}, llm.Chat{Messages: hello, Tools: []llm.Tool{{Name: "f"}, {Name: "g"}, {Name: "h"}}, ToolChoice: &llm.ToolChoice{Mode: llm.ToolRequired, Allowed: []string{"g", "h"}}}, `"tools":[{"functionDeclarations":[{"name":"f"},{"name":"g"},{"name":"h"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["g","h"]}},` + hi},
		{"none", "gemini-2.5-flash", provider.Call{}, llm.Chat{Messages: hello, Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ToolNone}, ParallelTools: ptr(false)}, definitions + `,"toolConfig":{"functionCallingConfig":{"mode":"NONE"}},` + hi},
		{"one, once", "gemini-2.5-flash", provider.Call{}, llm.Chat{Messages: hello, Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ToolNamed, Name: "g"}, ParallelTools: ptr(false)}, definitions + `,"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["g"]}},` + hi},
		{
			"calls and results, by id and by order", "gemini-2.5-flash",
			provider.Call{},
			llm.Chat{Messages: []llm.Message{
				hello[0],
				model(llm.Part{Kind: llm.PartReasoning, Text: "hm"}, signed, called("c2", "f", ``), called("c3", "g", `"not json"`)),
				user(llm.Part{Text: "well"}, answered("c1", llm.Part{Text: `{"$ref":"#/x","n":9007199254740993}`}), answered("c2", llm.Part{Text: "a"}, llm.Part{Text: "b"}), llm.Part{Kind: llm.PartToolResult, ToolID: "lost", IsError: true, Parts: text("no")}),
			}},
			`"contents":[{"role":"user","parts":[{"text":"Hi"}]},{"role":"model","parts":[` +
				`{"functionCall":{"id":"c1","name":"f","args":{"x": 12345678901234567890}},"thoughtSignature":"sig"},` +
				`{"functionCall":{"id":"c2","name":"f","args":{}}},{"functionCall":{"id":"c3","name":"g","args":{"_raw":"not json"}}}]},` +
				`{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"f","response":{"output":"{\"$ref\":\"#/x\",\"n\":9007199254740993}"}}},` +
				`{"functionResponse":{"id":"c2","name":"f","response":{"output":"a\nb"}}},{"functionResponse":{"id":"c3","name":"g","response":{"error":"no"}}},{"text":"well"}]}]`,
		},
		{
			"media in a result", "gemini-3-flash-preview",
			provider.Call{},
			llm.Chat{Messages: []llm.Message{hello[0], model(signed), user(answered("c1", llm.Part{Text: "see"}, shown))}},
			`"contents":[{"role":"user","parts":[{"text":"Hi"}]},{"role":"model","parts":[{"functionCall":{"id":"c1","name":"f","args":{"x": 12345678901234567890}},"thoughtSignature":"sig"}]},` +
				`{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"f","response":{"output":"see"},"parts":[{"inlineData":{"mimeType":"image/png","data":"iVBORw"}}]}}]}]`,
		},
		{
			"media behind a result", "gemini-2.5-pro",
			provider.Call{},
			llm.Chat{Messages: []llm.Message{hello[0], model(signed), user(answered("c1", shown))}},
			`"contents":[{"role":"user","parts":[{"text":"Hi"}]},{"role":"model","parts":[{"functionCall":{"id":"c1","name":"f","args":{"x": 12345678901234567890}},"thoughtSignature":"sig"}]},` +
				`{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"f","response":{"output":""}}},{"inlineData":{"mimeType":"image/png","data":"iVBORw"}}]}]`,
		},
		{
			"a call of another model, in the turn under way and before it", "gemini-3-pro-preview",
			provider.Call{},
			llm.Chat{Messages: []llm.Message{
				hello[0], model(called("a", "f", `{}`)), user(answered("a")),
				model(llm.Part{Text: "done"}), user(text("More")...),
				model(called("b", "f", `{}`), called("c", "g", `{}`)), user(answered("b"), answered("c")),
			}},
			`"contents":[{"role":"user","parts":[{"text":"Hi"}]},{"role":"model","parts":[{"functionCall":{"id":"a","name":"f","args":{}}}]},` +
				`{"role":"user","parts":[{"functionResponse":{"id":"a","name":"f","response":{"output":""}}}]},{"role":"model","parts":[{"text":"done"}]},{"role":"user","parts":[{"text":"More"}]},` +
				`{"role":"model","parts":[{"functionCall":{"id":"b","name":"f","args":{}},"thoughtSignature":"` + unsigned + `"},{"functionCall":{"id":"c","name":"g","args":{}}}]},` +
				`{"role":"user","parts":[{"functionResponse":{"id":"b","name":"f","response":{"output":""}}},{"functionResponse":{"id":"c","name":"g","response":{"output":""}}}]}]`,
		},
		{
			"signatures that came as those of thoughts, and of texts", "gemini-3-pro-preview",
			provider.Call{},
			llm.Chat{Messages: []llm.Message{
				hello[0],
				model(llm.Part{Kind: llm.PartReasoning, Text: "t"}, llm.Part{Text: "Let me see.", Signature: llm.Seal("google", "s1")}, llm.Part{Kind: llm.PartReasoning, Signature: llm.Seal("google", "s2")}, called("a", "f", `{}`)),
				user(answered("a")),
				model(llm.Part{Signature: llm.Seal("google", "s3")}),
				user(text("So?")...),
			}},
			`"contents":[{"role":"user","parts":[{"text":"Hi"}]},{"role":"model","parts":[{"text":"Let me see.","thoughtSignature":"s1"},{"functionCall":{"id":"a","name":"f","args":{}},"thoughtSignature":"s2"}]},` +
				`{"role":"user","parts":[{"functionResponse":{"id":"a","name":"f","response":{"output":""}}}]},{"role":"model","parts":[{"text":"","thoughtSignature":"s3"}]},{"role":"user","parts":[{"text":"So?"}]}]`,
		},
		{
			"neighbours join, empty turns go", "gemini-2.5-flash",
			provider.Call{},
			llm.Chat{Messages: []llm.Message{
				hello[0], model(llm.Part{Kind: llm.PartReasoning, Text: "unsealed"}, llm.Part{}),
				{Role: llm.RoleSystem, Parts: text("S")},
				model(llm.Part{Kind: llm.PartRefusal, Text: "no"}), user(text("Please")...),
			}},
			`"contents":[{"role":"user","parts":[{"text":"Hi"},{"text":"<system>\nS\n</system>"}]},{"role":"model","parts":[{"text":"no"}]},{"role":"user","parts":[{"text":"Please"}]}]`,
		},
		{
			"media", "gemini-2.5-flash",
			provider.Call{},
			llm.Chat{Messages: []llm.Message{user(
				llm.Part{Kind: llm.PartImage, MediaType: "image/jpg", Data: "/9j/4", Detail: "high"},
				llm.Part{Kind: llm.PartImage, URL: "https://x/y.PNG?z=1"},
				llm.Part{Kind: llm.PartImage, URL: "https://x/y"},
				llm.Part{Kind: llm.PartAudio, MediaType: "audio/wav", Data: "UklGR"},
				llm.Part{Kind: llm.PartVideo, MediaType: "video/mp4", URL: "https://b/v"},
				llm.Part{Kind: llm.PartFile, Data: "JVBERi0", Name: "a.pdf"},
				llm.Part{Kind: llm.PartFile, Text: "plain"},
			)}},
			`"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"image/jpeg","data":"/9j/4"}},{"fileData":{"mimeType":"image/png","fileUri":"https://x/y.PNG?z=1"}},{"fileData":{"fileUri":"https://x/y"}},` +
				`{"inlineData":{"mimeType":"audio/wav","data":"UklGR"}},{"fileData":{"mimeType":"video/mp4","fileUri":"https://b/v"}},{"inlineData":{"mimeType":"application/pdf","data":"JVBERi0"}},{"text":"plain"}]}]`,
		},
		{
			"numbers", "gemini-2.5-flash",
			provider.Call{},
			llm.Chat{Messages: hello, Temperature: ptr(2.0), TopP: ptr(0.5), TopK: ptr(int64(3)), FrequencyPenalty: ptr(0.5), PresencePenalty: ptr(0.0), Seed: ptr(int64(1)), Stop: []string{"\"", "b"}, Choices: 8},
			hi + `,"generationConfig":{"temperature":2,"topP":0.5,"topK":3,"frequencyPenalty":0.5,"seed":1,"candidateCount":8,"stopSequences":["\"","b"]}`,
		},
		{"JSON", "gemini-2.5-flash", provider.Call{}, llm.Chat{Messages: hello, Format: &llm.Format{JSON: true}}, hi + `,"generationConfig":{"responseMimeType":"application/json"}`},
		{"schema beside tools", "gemini-3-flash-preview", provider.Call{}, llm.Chat{Messages: hello, Tools: tools[1:], Format: &llm.Format{JSON: true, Name: "n", Schema: json.RawMessage(`{"type":"object"}`)}}, `"tools":[{"functionDeclarations":[{"name":"g"}]}],` + hi + `,"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":{"type":"object"}}`},
	} {
		p := New(Options{Name: "google"})
		c.call.Request, c.call.Model = chat(&c.chat), c.model
		e, err := p.encode(c.call)
		if want := "{" + c.want + "}"; err != nil || string(e.Body) != want {
			t.Errorf("%s: %v\n got %#v\nwant %s", c.name, err, e, want)
		}
	}
}

// GoString shows the body in messages of tests.
func (e *encoder) GoString() string {
	if e == nil {
		return "nothing"
	}
	return string(e.Body)
}

// FuzzTranslate checks that any body of OpenAI's dialect that passes the door
// becomes valid JSON or is refused by name.
func FuzzTranslate(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"data:image/png;base64,x"}}]},{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{"}}]},{"role":"tool","tool_call_id":"a","content":"r"}],"tools":[{"type":"function","function":{"name":"f"}}]}`))
	p := New(Options{Name: "google", Transport: canned{}})
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := doors["openai.chat"].Decode(body, nil)
		if err != nil {
			return
		}
		out, err := p.encode(provider.Call{Request: q, Model: q.Model})
		var fe *fault.Error
		switch {
		case err == nil && !json.Valid(out.Body):
			t.Errorf("%s becomes %s", body, out.Body)
		case err != nil && (!errors.As(err, &fe) || fe.Param == ""):
			t.Errorf("%s is refused without a name: %v", body, err)
		}
	})
}
