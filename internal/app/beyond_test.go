package app

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

const beyondUpstreams = `server: {listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0", admin_token: abcdefghijklmnopqrstuvwxyz}
store: {url: "sqlite:data/pontage.db"}
providers:
  one: {api_key: %[3]s, base_url: "%[1]s/v1", quirks: openai}
  two: {api_key: %[3]s, base_url: "%[2]s/v1", quirks: deepseek}
  claude: {kind: anthropic, api_key: %[3]s, base_url: "%[2]s/v1"}
models:
  openai: {targets: [{provider: one}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
  deepseek: {targets: [{provider: two}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
  both: {targets: [{provider: one}, {provider: two}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
  claude: {targets: [{provider: claude}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
sites: [{hosts: ["*"], contract: openai}]
`

// TestWhatOpenAIDoesNotTakeGoesToWhoDoes has values beyond OpenAI's description, and
// what a target gets; where that is empty, the request is refused by name.
func TestWhatOpenAIDoesNotTakeGoesToWhoDoes(t *testing.T) {
	t.Parallel()
	b := standOn(t, beyondUpstreams)
	const (
		hi    = `"messages":[{"role":"user","content":"hi"}]`
		five  = `"stop":["1","2","3","4","5"]`
		tools = `"tools":[{"type":"function","function":{"name":"files.read","parameters":{"type":"object"}}}]`
		past  = `"messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":{"a":1}}}]},{"role":"tool","tool_call_id":"c","content":null}]`
	)
	seventeen := `"stop":[` + strings.Repeat(`"x",`, 16) + `"y"]`
	chat := `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`
	claude := `{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":3}}`
	for _, c := range []struct {
		model, body string
		at          *testkit.Upstream
		sent        string
	}{
		{"openai", hi + `,` + five, b.first, ""},
		{"deepseek", hi + `,` + five, b.second, five},
		{"deepseek", hi + `,` + seventeen, b.second, ""},
		{"both", hi + `,` + five, b.second, five},
		{"claude", hi + `,` + five, b.second, `"stop_sequences":["1","2","3","4","5"]`},
		{"openai", hi + `,"stop":[]`, b.first, `"content":"hi"}]}`},
		{"claude", hi + `,"stop":[]`, b.second, `"content":[{"type":"text","text":"hi"}]`},
		{"deepseek", past, b.second, `"arguments":{"a":1}`},
		{"claude", past, b.second, `"input":{"a":1}`},
		{"deepseek", hi + `,` + tools, b.second, `"name":"files.read"`},
		{"claude", hi + `,` + tools, b.second, `"name":"files_read_x`},
	} {
		before := len(b.first.Received()) + len(b.second.Received())
		n := len(c.at.Received())
		if c.sent != "" {
			answer := chat
			if c.model == "claude" {
				answer = claude
			}
			c.at.Queue(testkit.JSON(200, answer))
		}
		resp, got := b.post(t, chatPath, `{"model":"`+c.model+`",`+c.body+`}`)
		switch after := len(b.first.Received()) + len(b.second.Received()); {
		case c.sent == "" && (resp.StatusCode != 400 || !strings.Contains(got, `"param":"stop"`) || after != before):
			t.Errorf("%s %s: %d %s", c.model, c.body, resp.StatusCode, got)
		case c.sent == "":
		case resp.StatusCode != 200 || after != before+1:
			t.Errorf("%s %s: %d %s", c.model, c.body, resp.StatusCode, got)
		default:
			if sent := string(c.at.Request(n).Body); !strings.Contains(sent, c.sent) || strings.Contains(sent, `"stop":[]`) {
				t.Errorf("%s %s: the provider got %s", c.model, c.body, sent)
			}
		}
	}
	// A name that had to be another for the provider is the caller's in the answer.
	b.second.Queue(testkit.JSON(200, claude))
	n := len(b.second.Received())
	b.post(t, chatPath, `{"model":"claude",`+hi+`,`+tools+`}`)
	_, name, _ := strings.Cut(string(b.second.Request(n).Body), `"tools":[{"name":"`)
	name, _, _ = strings.Cut(name, `"`)
	b.second.Queue(testkit.JSON(200, strings.Replace(claude, `{"type":"text","text":"hi"}`, `{"type":"tool_use","id":"c","name":"`+name+`","input":{}}`, 1)))
	if _, got := b.post(t, chatPath, `{"model":"claude",`+hi+`,`+tools+`}`); !strings.Contains(got, `"name":"files.read"`) {
		t.Errorf("a call of %s is told as %s", name, got)
	}
}
