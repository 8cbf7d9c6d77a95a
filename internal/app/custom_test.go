package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// Custom tools take text in the place of JSON. These tests have callers of both of
// OpenAI's dialects, and providers that know such tools and that do not.

const customUpstreams = `server: {listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0", admin_token: abcdefghijklmnopqrstuvwxyz}
store: {url: "sqlite:data/pontage.db"}
providers:
  one: {api_key: %[3]s, base_url: "%[1]s/v1", quirks: openai}
  azure: {api_key: %[3]s, base_url: "%[1]s/openai?api-version=2024-10-21", quirks: azure}
  two: {api_key: %[3]s, base_url: "%[2]s/v1", quirks: moonshot}
  claude: {kind: anthropic, api_key: %[3]s, base_url: "%[1]s/v1"}
models:
  chat: {targets: [{provider: azure}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
  responses: {targets: [{provider: one, api: responses}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
  moonshot: {targets: [{provider: two}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
  claude: {targets: [{provider: claude}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
sites: [{hosts: ["*"], contract: openai}]
`

// typed is what the tool is called with: every character that JSON escapes.
const typed = "echo \"a\\b\"\n\té😀 {\"input\":\"x\"}"

func quoted(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// chatAsks and responsesAsks are a request with a call in the history, in both dialects.
func chatAsks(t *testing.T, model, rest string) string {
	t.Helper()
	return fmt.Sprintf(`{"model":%q,"tools":[{"type":"custom","custom":{"name":"shell","description":"Runs.","format":{"type":"text"}}},{"type":"function","function":{"name":"f"}}],`+
		`"tool_choice":{"type":"custom","custom":{"name":"shell"}},"messages":[{"role":"user","content":"hi"},`+
		`{"role":"assistant","tool_calls":[{"id":"c1","type":"custom","custom":{"name":"shell","input":%s}}]},{"role":"tool","tool_call_id":"c1","content":"done"}]%s}`, model, quoted(t, typed), rest)
}

func responsesAsks(t *testing.T, model, rest string) string {
	t.Helper()
	return fmt.Sprintf(`{"model":%q,"store":false,"tools":[{"type":"custom","name":"shell","description":"Runs."},{"type":"function","name":"f","strict":false}],`+
		`"tool_choice":{"type":"custom","name":"shell"},"input":[{"role":"user","content":"hi"},`+
		`{"type":"custom_tool_call","id":"ctc_1","call_id":"c1","name":"shell","input":%s,"status":"completed"},{"type":"custom_tool_call_output","call_id":"c1","output":"done"}]%s}`, model, quoted(t, typed), rest)
}

// chatCalls and the others answer with a call of the tool, whole and streamed.
func chatCalls(t *testing.T) (whole string, stream []string) {
	t.Helper()
	whole = `{"id":"x","object":"chat.completion","created":1,"model":"chat","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c2","type":"custom","custom":{"name":"shell","input":` +
		quoted(t, typed) + `}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}`
	chunk := func(delta, finish string) string {
		return `{"id":"x","object":"chat.completion.chunk","created":1,"model":"chat","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}`
	}
	stream = append(stream, chunk(`{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"c2","type":"custom","custom":{"name":"shell","input":""}}]}`, "null"))
	for _, r := range typed {
		stream = append(stream, chunk(`{"tool_calls":[{"index":0,"custom":{"input":`+quoted(t, string(r))+`}}]}`, "null"))
	}
	return whole, append(stream, chunk(`{}`, `"tool_calls"`), "[DONE]")
}

func responsesCalls(t *testing.T) (whole string, stream []string) {
	t.Helper()
	item := func(input, status string) string {
		return `{"id":"ctc_9","type":"custom_tool_call","call_id":"c2","name":"shell","input":` + quoted(t, input) + `,"status":"` + status + `"}`
	}
	response := func(status, output string) string {
		return `{"id":"r","object":"response","created_at":1,"model":"responses","status":"` + status + `","output":[` + output + `],"usage":{"input_tokens":5,"output_tokens":3,"total_tokens":8}}`
	}
	whole = response("completed", item(typed, "completed"))
	stream = append(stream, `{"type":"response.created","response":`+response("in_progress", "")+`}`,
		`{"type":"response.output_item.added","output_index":0,"item":`+item("", "in_progress")+`}`)
	for _, r := range typed {
		stream = append(stream, `{"type":"response.custom_tool_call_input.delta","output_index":0,"item_id":"ctc_9","delta":`+quoted(t, string(r))+`}`)
	}
	return whole, append(stream, `{"type":"response.custom_tool_call_input.done","output_index":0,"item_id":"ctc_9","input":`+quoted(t, typed)+`}`,
		`{"type":"response.output_item.done","output_index":0,"item":`+item(typed, "completed")+`}`, `{"type":"response.completed","response":`+whole+`}`)
}

func claudeCalls(t *testing.T) (whole string, stream []string) {
	t.Helper()
	args := `{"input": ` + quoted(t, typed) + `}`
	whole = `{"id":"m","type":"message","role":"assistant","content":[{"type":"tool_use","id":"c2","name":"shell","input":` + args + `}],"stop_reason":"tool_use","usage":{"input_tokens":5,"output_tokens":3}}`
	stream = append(stream, `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}`,
		`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"c2","name":"shell","input":{}}}`)
	for _, r := range args {
		stream = append(stream, `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":`+quoted(t, string(r))+`}}`)
	}
	return whole, append(stream, `{"type":"content_block_stop","index":0}`, `{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":3}}`, `{"type":"message_stop"}`)
}

func moonshotCalls(t *testing.T) (whole string, stream []string) {
	t.Helper()
	args := `{"input":` + quoted(t, typed) + `}`
	whole = `{"id":"x","object":"chat.completion","created":1,"model":"d","choices":[{"index":0,"message":{"role":"assistant","content":"","tool_calls":[{"id":"c2","type":"function","function":{"name":"shell","arguments":` +
		quoted(t, args) + `}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}`
	chunk := func(delta, finish string) string {
		return `{"id":"x","object":"chat.completion.chunk","created":1,"model":"d","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}`
	}
	stream = append(stream, chunk(`{"role":"assistant","content":"","tool_calls":[{"index":0,"id":"c2","type":"function","function":{"name":"shell","arguments":""}}]}`, "null"))
	for _, r := range args {
		stream = append(stream, chunk(`{"tool_calls":[{"index":0,"function":{"arguments":`+quoted(t, string(r))+`}}]}`, "null"))
	}
	return whole, append(stream, chunk(`{}`, `"tool_calls"`), "[DONE]")
}

func TestCustomToolsGoEverywhereAndComeBack(t *testing.T) {
	t.Parallel()
	b := standOn(t, customUpstreams)
	input := quoted(t, typed)
	asFunction := quoted(t, `{"input":`+input+`}`)
	for _, c := range []struct {
		model  string
		at     *testkit.Upstream
		chat   bool // the caller speaks chat completions
		calls  func(*testing.T) (string, []string)
		sent   []string // what the provider gets
		events bool     // its frames have names
	}{
		{"responses", b.first, true, responsesCalls, []string{
			`{"type":"custom","name":"shell","description":"Runs."}`, `"tool_choice":{"type":"custom","name":"shell"}`,
			`{"type":"custom_tool_call","call_id":"c1","name":"shell","input":` + input + `}`, `{"type":"custom_tool_call_output","call_id":"c1","output":"done"}`,
		}, true},
		{"chat", b.first, false, chatCalls, []string{
			`{"type":"custom","custom":{"name":"shell","description":"Runs."}}`, `"tool_choice":{"type":"custom","custom":{"name":"shell"}}`,
			`{"id":"c1","type":"custom","custom":{"name":"shell","input":` + input + `}}`, `{"role":"tool","tool_call_id":"c1","content":"done"}`,
		}, false},
		{"claude", b.first, true, claudeCalls, []string{
			`{"name":"shell","description":"Runs.","input_schema":{"type":"object","properties":{"input":{"type":"string"`, `"tool_choice":{"type":"tool","name":"shell"`,
			`{"type":"tool_use","id":"c1","name":"shell","input":{"input":` + input + `}}`, `"type":"tool_result","tool_use_id":"c1"`,
		}, true},
		{"claude", b.first, false, claudeCalls, []string{`"input":{"input":` + input + `}}`}, true},
		{"moonshot", b.second, false, moonshotCalls, []string{
			`{"type":"function","function":{"name":"shell","description":"Runs.","parameters":{"type":"object","properties":{"input"`, `"tool_choice":{"type":"function","function":{"name":"shell"}}`,
			`{"id":"c1","type":"function","function":{"name":"shell","arguments":` + asFunction + `}}`,
		}, false},
	} {
		whole, stream := c.calls(t)
		for _, streamed := range []bool{false, true} {
			path, rest, ask := chatPath, "", chatAsks
			if !c.chat {
				path, ask = "/v1/responses", responsesAsks
			}
			if streamed {
				rest = `,"stream":true`
			}
			before := len(c.at.Received())
			switch {
			case !streamed:
				c.at.Queue(testkit.JSON(200, whole))
			case c.events:
				frames := make([]string, len(stream))
				for i, data := range stream {
					var ev struct{ Type string }
					if err := json.Unmarshal([]byte(data), &ev); err != nil {
						t.Fatal(err)
					}
					frames[i] = "event: " + ev.Type + "\ndata: " + data + "\n\n"
				}
				c.at.Queue(testkit.Answer{Header: map[string][]string{"Content-Type": {"text/event-stream"}}, Body: []byte(strings.Join(frames, ""))})
			default:
				c.at.Queue(testkit.SSE(stream...))
			}
			resp, got := b.post(t, path, ask(t, c.model, rest))
			if resp.StatusCode != 200 || len(c.at.Received()) != before+1 {
				t.Errorf("%s, chat %v, streamed %v: %d %s", c.model, c.chat, streamed, resp.StatusCode, got)
				continue
			}
			sent := string(c.at.Request(before).Body)
			for _, w := range c.sent {
				if !strings.Contains(sent, w) {
					t.Errorf("%s, chat %v: the provider got %s, want %s", c.model, c.chat, sent, w)
				}
			}
			if call := called(t, got, c.chat, streamed); call != "c2 shell "+typed {
				t.Errorf("%s, chat %v, streamed %v: call %q of %s", c.model, c.chat, streamed, call, got)
			}
		}
	}
}

// called returns the custom call that an answer tells: id, name and input.
func called(t *testing.T, body string, chat, streamed bool) string {
	t.Helper()
	type call struct {
		Type, ID, Name, Input string
		CallID                string `json:"call_id"`
		Custom                struct{ Name, Input string }
	}
	type chatMessage struct {
		Calls []call `json:"tool_calls"`
	}
	var doc struct {
		Type, Delta    string
		Item           call
		Output         []call
		Response       struct{ Output []call }
		Input          string
		Choices        []struct{ Message, Delta chatMessage }
		SequenceNumber int `json:"sequence_number"`
	}
	if !streamed {
		if err := json.Unmarshal([]byte(body), &doc); err != nil {
			t.Fatal(err)
		}
		if chat {
			c := doc.Choices[0].Message.Calls[0]
			return c.ID + " " + c.Custom.Name + " " + c.Custom.Input
		}
		return doc.Output[0].CallID + " " + doc.Output[0].Name + " " + doc.Output[0].Input
	}
	id, name, input, done := "", "", "", ""
	for _, line := range strings.Split(body, "\n") {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		one := doc
		if err := json.Unmarshal([]byte(data), &one); err != nil {
			t.Fatal(err)
		}
		for _, ch := range one.Choices {
			for _, c := range ch.Delta.Calls {
				if c.Type == "custom" {
					id, name = c.ID, c.Custom.Name
				}
				input += c.Custom.Input
				done = input
			}
		}
		switch one.Type {
		case "response.output_item.added":
			if one.Item.Type == "custom_tool_call" {
				id, name = one.Item.CallID, one.Item.Name
			}
		case "response.custom_tool_call_input.delta":
			input += one.Delta
		case "response.custom_tool_call_input.done":
			done = one.Input
		case "response.output_item.done":
			if one.Item.Input != done {
				t.Errorf("the item has %q", one.Item.Input)
			}
		case "response.completed":
			if one.Response.Output[0].Input != done {
				t.Errorf("the response has %q", one.Response.Output[0].Input)
			}
		}
	}
	if input != done {
		t.Errorf("the pieces are %q, all is %q", input, done)
	}
	return id + " " + name + " " + input
}

func TestAGrammarIsRefusedByNameWhereThereAreNone(t *testing.T) {
	t.Parallel()
	b := standOn(t, customUpstreams)
	for _, c := range []struct{ path, body, param string }{
		{chatPath, `{"model":"claude","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f"}},{"type":"custom","custom":{"name":"g","format":{"type":"grammar","grammar":{"syntax":"regex","definition":"a+"}}}}]}`, "tools.1.custom.format"},
		{"/v1/responses", `{"model":"claude","input":"hi","tools":[{"type":"namespace","name":"n","tools":[{"type":"custom","name":"g","format":{"type":"grammar","syntax":"regex","definition":"a+"}}]}]}`, "tools.0.tools.0.format"},
		{"/v1/responses", `{"model":"moonshot","input":"hi","tools":[{"type":"custom","name":"g","format":{"type":"grammar","syntax":"regex","definition":"a+"}}]}`, "tools.0.format"},
	} {
		resp, got := b.post(t, c.path, c.body)
		if resp.StatusCode != 400 || !strings.Contains(got, `"param":"`+c.param+`"`) || !strings.Contains(got, "The grammar of the custom tool ") {
			t.Errorf("%s: %d %s, want %s", c.body, resp.StatusCode, got, c.param)
		}
	}
	b.first.Queue(testkit.JSON(200, `{"id":"r","object":"response","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}]}`))
	b.post(t, chatPath, strings.Replace(`{"model":"claude","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"custom","custom":{"name":"g","format":{"type":"grammar","grammar":{"syntax":"regex","definition":"a+"}}}}]}`, "claude", "responses", 1))
	if sent := string(b.first.Request(0).Body); !strings.Contains(sent, `{"type":"custom","name":"g","format":{"type":"grammar","syntax":"regex","definition":"a+"}}`) {
		t.Errorf("the responses got %s", sent)
	}
	b.first.Queue(testkit.JSON(200, `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`))
	b.post(t, "/v1/responses", `{"model":"chat","input":"hi","tools":[{"type":"custom","name":"g","format":{"type":"grammar","syntax":"regex","definition":"a+"}}]}`)
	if sent := string(b.first.Request(1).Body); !strings.Contains(sent, `{"type":"custom","custom":{"name":"g","format":{"type":"grammar","grammar":{"syntax":"regex","definition":"a+"}}}}`) {
		t.Errorf("chat completions got %s", sent)
	}
}
