package fidelity

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// TestAnAnswerThatIsNotTheSameIsSeen changes an answer in every way that matters,
// one at a time, and asks the judge.
func TestAnAnswerThatIsNotTheSameIsSeen(t *testing.T) {
	t.Parallel()
	const recorded = `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":"hello","reasoning_content":"hm","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1.0}"}}]}}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":2}}}`
	const heard = `{"id":"m","type":"message","role":"assistant","model":"as-x","content":[{"type":"thinking","thinking":"hm","signature":""},{"type":"text","text":"hello"},{"type":"tool_use","id":"a","name":"f","input":{"x":1.0}}],"stop_reason":"tool_use","usage":{"input_tokens":7,"cache_read_input_tokens":2,"output_tokens":5}}`
	for _, c := range []struct{ name, old, now, want string }{
		{"nothing", "", "", ""},
		{"another text", `"text":"hello"`, `"text":"hell"`, "text: "},
		{"no text", `{"type":"text","text":"hello"},`, ``, "text: "},
		{"no thought", `"thinking":"hm"`, `"thinking":""`, "thought: "},
		{"a number spelt otherwise", `{"x":1.0}`, `{"x":1}`, "call 0"},
		{"another tool", `"name":"f"`, `"name":"g"`, "call 0"},
		{"a call without id", `"id":"a"`, `"id":""`, "call 0"},
		{"another end", `"tool_use","usage"`, `"end_turn","usage"`, "finish"},
		{"another usage", `"input_tokens":7`, `"input_tokens":9`, "usage"},
		{"the provider's model", `"as-x"`, `"m"`, "by "},
		{"an error", `"id":"m"`, `"error":{"message":"m"}`, "badly"},
	} {
		f := &testkit.Fixture{ID: "x", Provider: "groq", API: "openai.chat"}
		p := play{f: f, d: speaks("anthropic.messages"), own: speaks("openai.chat")}
		want, got := readChat("groq", []byte(recorded), false), readMessages("", []byte(strings.Replace(heard, c.old, c.now, 1)), false)
		p.heard(&want, &got, reply{})
		if seen := strings.Join(p.differences, "; "); c.want == "" && seen != "" || !strings.Contains(seen, c.want) {
			t.Errorf("%s: the judge sees %q, want %q", c.name, seen, c.want)
		}
	}
}

// TestARequestThatIsNotTheSameIsSeen does the same with what a provider was sent.
func TestARequestThatIsNotTheSameIsSeen(t *testing.T) {
	t.Parallel()
	const asked = `{"model":"as-x","max_completion_tokens":9,"temperature":0.5,"stop":["z"],"reasoning_effort":"low","tool_choice":"required","parallel_tool_calls":false,` +
		`"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}},"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"x":{"type":"number"}}}}}],` +
		`"messages":[{"role":"system","content":"be brief"},{"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},` +
		`{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},{"role":"tool","tool_call_id":"a","content":"two"}]}`
	const sent = `{"model":"x","max_tokens":9,"temperature":0.5,"stop_sequences":["z"],"thinking":{"type":"adaptive"},"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object"}}},` +
		`"tool_choice":{"type":"any","disable_parallel_tool_use":true},"tools":[{"name":"f","description":"d","input_schema":{"type":"object","properties":{"x":{"type":"number"}}}}],"system":[{"type":"text","text":"be brief"}],` +
		`"messages":[{"role":"user","content":[{"type":"text","text":"look"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]},{"role":"assistant","content":[{"type":"tool_use","id":"b","name":"f","input":{"x":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"b","content":[{"type":"text","text":"two"}]}]}]}`
	for _, c := range []struct{ name, old, now, want string }{
		{"nothing", "", "", ""},
		{"no system", `{"type":"text","text":"be brief"}`, ``, "text of system is lost"},
		{"more said", `"look"`, `"look here"`, "text of user grew"},
		{"less said", `"look"`, `"loo"`, "text of user is lost"},
		{"another image", `"AAAA"`, `"AAAB"`, "lost: image"},
		{"other arguments", `"input":{"x":1}`, `"input":{"x":2}`, "lost: call"},
		{"a result of another call", `"tool_use_id":"b"`, `"tool_use_id":"c"`, "lost: result"},
		{"no result", `{"type":"text","text":"two"}`, ``, "text of result"},
		{"another tool", `"description":"d"`, `"description":"e"`, "lost: tool f: d"},
		{"another argument", `"x":{"type":"number"}`, `"y":{"type":"number"}`, "lost: tool f takes x"},
		{"a free choice", `"any"`, `"auto"`, "lost: choice"},
		{"several at a time", `,"disable_parallel_tool_use":true`, ``, "lost: one call"},
		{"no format", `,"format":{"type":"json_schema","schema":{"type":"object"}}`, ``, "lost: format"},
		{"no thought", `"thinking":{"type":"adaptive"},"output_config":{"effort":"low",`, `"output_config":{`, "lost: thinks"},
		{"another effort", `"effort":"low"`, `"effort":"high"`, "lost: thinks: low; added: thinks: high"},
		{"another limit", `"max_tokens":9`, `"max_tokens":99`, "lost: max"},
		{"another temperature", `0.5`, `0.6`, "lost: temperature"},
		{"no stop", `"stop_sequences":["z"],`, ``, "lost: stop"},
	} {
		seen := strings.Join(readChatRequest(value(asked)).hear().lost(readMessagesRequest(value(strings.Replace(sent, c.old, c.now, 1))).hear(), nil), "; ")
		if c.want == "" && seen != "" || !strings.Contains(seen, c.want) {
			t.Errorf("%s: the judge sees %q, want %q", c.name, seen, c.want)
		}
	}
}
