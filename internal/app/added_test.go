package app

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// What a provider objects to that the gateway itself has added is no mistake of the
// caller's: protocols.md §2.4.

const addedUpstreams = `server: {listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0", admin_token: abcdefghijklmnopqrstuvwxyz}
store: {url: "sqlite:data/pontage.db"}
providers:
  one: {api_key: %[3]s, base_url: "%[1]s/v1", quirks: openai}
  claude: {kind: anthropic, api_key: %[3]s, base_url: "%[1]s/v1"}
  gemini: {kind: gemini, api_key: %[3]s, base_url: "%[1]s/v1beta"}
  bedrock: {kind: bedrock, api_key: %[3]s, base_url: "%[1]s", region: us-east-1}
  two: {api_key: %[3]s, base_url: "%[2]s/v1", quirks: openai}
models:
  chat: {targets: [{provider: one}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
  responses: {targets: [{provider: one, api: responses}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
  claude: {targets: [{provider: claude}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
  gemini: {targets: [{provider: gemini, model: gemini-2.5-pro}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
  bedrock: {targets: [{provider: bedrock, model: anthropic.claude}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
  both: {targets: [{provider: claude}, {provider: two}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
sites: [{hosts: ["*"], contract: openai}]
`

func TestWhatTheGatewayAddedIsNotTheCallersMistake(t *testing.T) {
	t.Parallel()
	b := standOn(t, addedUpstreams)
	const anthropic = `{"type":"error","error":{"type":"invalid_request_error","message":"`
	openai := func(param, code string) string {
		return `{"error":{"message":"That cannot be: '` + param + `'.","type":"invalid_request_error","param":"` + param + `","code":"` + code + `"}}`
	}
	const google = `{"error":{"code":400,"message":"Invalid JSON payload received. `
	for _, c := range []struct {
		model, rest, answer string
		path                string // empty: chat completions
		own                 bool
	}{
		{"claude", ``, anthropic + `max_tokens: 10000 > 8192, which is the maximum allowed number of output tokens"}}`, "", true},
		{"claude", `,"max_tokens":9000`, anthropic + `max_tokens: 9000 > 8192, which is the maximum allowed number of output tokens"}}`, "", false},
		{"claude", `,"temperature":0.5`, anthropic + `temperature: Extra inputs are not permitted"}}`, "", false},
		{"claude", ``, anthropic + `messages.0.content: Input should be a valid list"}}`, "", false},
		{"claude", ``, anthropic + `Something: is wrong"}}`, "", false},
		{"chat", `,"stream":true`, openai("stream_options", "unknown_parameter"), "", true},
		{"chat", `,"stream":true,"stream_options":{"include_usage":false}`, openai("stream_options", "unknown_parameter"), "", false},
		{"chat", ``, openai("messages[0].content", "invalid_value"), "", false},
		{"responses", ``, openai("store", "unsupported_parameter"), "", true},
		{"responses", `,"tools":[{"type":"function","function":{"name":"f"}}]`, openai("tools[0].strict", "invalid_type"), "", true},
		{"responses", `,"tools":[{"type":"function","function":{"name":"f","strict":true}}]`, openai("tools[0].strict", "invalid_type"), "", false},
		{"responses", `,"verbosity":"low"`, openai("text.verbosity", "unsupported_value"), "", false},
		{"responses", `,"metadata":{"a":"b"}`, openai("metadata", "unknown_parameter"), "", false},
		{"responses", `,"max_output_tokens":99`, openai("max_output_tokens", "invalid_value"), "/v1/responses", false},
		{"gemini", `,"reasoning_effort":"low"`, google + `Unknown name \"thinkingBudget\" at 'generation_config.thinking_config': Cannot find field.","status":"INVALID_ARGUMENT"}}`, "", false},
		{"gemini", `,"max_tokens":50`, google + `Unknown name \"maxOutputTokens\" at 'generation_config': Cannot find field.","status":"INVALID_ARGUMENT"}}`, "", false},
		{"bedrock", ``, `{"message":"Malformed input request: extraneous key [messages] is not permitted, please reformat your input and try again."}`, "", false},
	} {
		b.first.Queue(testkit.JSON(400, c.answer))
		before := len(b.first.Received())
		path, body := chatPath, `{"model":"`+c.model+`","messages":[{"role":"user","content":"hi"}]`+c.rest+`}`
		if c.path != "" {
			path, body = c.path, `{"model":"`+c.model+`","input":"hi"`+c.rest+`}`
		}
		resp, got := b.post(t, path, body)
		if len(b.first.Received()) != before+1 {
			t.Errorf("%s %s: %d requests went out: %s", c.model, c.rest, len(b.first.Received())-before, got)
		}
		if own := resp.StatusCode == 500 && strings.Contains(got, `"code":"translation_error"`) && strings.Contains(got, `"param":null`); own != c.own || !own && resp.StatusCode != 400 {
			t.Errorf("%s %s: %d %s of %s", c.model, c.rest, resp.StatusCode, got, c.answer)
		}
		if c.own && resp.Header.Get("X-Should-Retry") != "false" {
			t.Errorf("%s %s: %v", c.model, c.rest, resp.Header)
		}
	}
	b.first.Queue(testkit.JSON(400, anthropic+`max_tokens: 10000 > 8192, which is the maximum allowed number of output tokens"}}`))
	b.second.Queue(testkit.JSON(200, `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"from the second"},"finish_reason":"stop"}]}`))
	if resp, got := b.post(t, chatPath, `{"model":"both","messages":[{"role":"user","content":"hi"}]}`); resp.StatusCode != 200 || !strings.Contains(got, "from the second") {
		t.Errorf("with another target: %d %s", resp.StatusCode, got)
	}
	if log := b.log.String(); !strings.Contains(log, "the provider objects to max_tokens, which the gateway added") {
		t.Error("the log does not say what was added")
	}
}

// A long answer is asked for as a stream, which the caller knows nothing of: who
// refuses what belongs to it is asked for the answer in one piece.
func TestAGatheredAnswerComesInOnePieceWhereItCannotStream(t *testing.T) {
	t.Parallel()
	b := standOn(t, addedUpstreams)
	for _, param := range []string{"stream", "stream_options", "stream_options.include_usage"} {
		b.first.Queue(testkit.JSON(400, `{"error":{"message":"Unknown parameter: '`+param+`'.","type":"invalid_request_error","param":"`+param+`","code":"unknown_parameter"}}`),
			testkit.JSON(200, `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"in one piece"},"finish_reason":"stop"}]}`))
		before := len(b.first.Received())
		resp, got := b.post(t, chatPath, `{"model":"chat","max_tokens":9000,"messages":[{"role":"user","content":"hi"}]}`)
		sent := b.first.Received()[before:]
		if resp.StatusCode != 200 || !strings.Contains(got, "in one piece") || len(sent) != 2 {
			t.Fatalf("%s: %d requests, %d %s", param, len(sent), resp.StatusCode, got)
		}
		if !strings.Contains(string(sent[0].Body), "stream_options") || strings.Contains(string(sent[1].Body), "stream") {
			t.Errorf("%s: %s, then %s", param, sent[0].Body, sent[1].Body)
		}
	}
}
