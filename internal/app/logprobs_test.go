package app

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// TestLogProbabilitiesGoBetweenOpenAIsDialects has both directions, whole and
// streamed: what is asked for, and that every token comes back.
func TestLogProbabilitiesGoBetweenOpenAIsDialects(t *testing.T) {
	t.Parallel()
	b := standOn(t, customUpstreams)
	const (
		hi   = `{"token":"Hi","logprob":-0.1,"bytes":[72,105],"top_logprobs":[{"token":"Hi","logprob":-0.1,"bytes":[72,105]}]}`
		you  = `{"token":" you","logprob":-0.2,"bytes":null,"top_logprobs":[]}`
		told = `{"token":" you","logprob":-0.2,"bytes":[],"top_logprobs":[]}` // in responses, whose schema wants a list
		bare = `{"token":" you","logprob":-0.2,"top_logprobs":[]}`
	)
	response := func(status, output string) string {
		return `{"id":"r","object":"response","created_at":1,"model":"m","status":"` + status + `","output":[` + output + `],"usage":{"input_tokens":5,"output_tokens":2,"total_tokens":7}}`
	}
	message := `{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hi you","annotations":[],"logprobs":[` + hi + `,` + bare + `]}]}`
	event := func(name, rest string) string {
		return "event: " + name + "\ndata: {\"type\":\"" + name + "\"," + rest + "}\n\n"
	}
	events := event("response.created", `"response":`+response("in_progress", "")) +
		event("response.output_text.delta", `"output_index":0,"content_index":0,"delta":"Hi","logprobs":[`+hi+`]`) +
		event("response.output_text.delta", `"output_index":0,"content_index":0,"delta":" you","logprobs":[`+bare+`]`) +
		event("response.output_item.done", `"output_index":0,"item":`+message) +
		event("response.completed", `"response":`+response("completed", message))
	chunk := func(delta, logprobs, finish string) string {
		return `{"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":` + delta + `,"logprobs":` + logprobs + `,"finish_reason":` + finish + `}]}`
	}
	logs := func(tokens string) string { return `{"content":[` + tokens + `],"refusal":null}` }
	whole := `{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi you"},"logprobs":` + logs(hi+","+you) + `,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}`

	for _, c := range []struct {
		path, body string
		answer     testkit.Answer
		sent, told []string
	}{
		{
			chatPath, `{"model":"responses","messages":[{"role":"user","content":"hi"}],"logprobs":true,"top_logprobs":1}`,
			testkit.JSON(200, response("completed", message)),
			[]string{`"top_logprobs":1`, `"include":["reasoning.encrypted_content","message.output_text.logprobs"]`},
			[]string{`"logprobs":` + logs(hi+`,{"token":" you","logprob":-0.2,"top_logprobs":[],"bytes":null}`)},
		},
		{
			chatPath, `{"model":"responses","messages":[{"role":"user","content":"hi"}],"logprobs":true,"stream":true}`,
			testkit.Answer{Header: map[string][]string{"Content-Type": {"text/event-stream"}}, Body: []byte(events)},
			[]string{`"include":["reasoning.encrypted_content","message.output_text.logprobs"]`},
			[]string{
				`"delta":{"content":"Hi"},"logprobs":` + logs(hi), `"delta":{"content":" you"},"logprobs":` + logs(`{"token":" you","logprob":-0.2,"top_logprobs":[],"bytes":null}`), `"delta":{},"logprobs":null`,
			},
		},
		{
			"/v1/responses", `{"model":"chat","input":"hi","store":false,"top_logprobs":1,"include":["message.output_text.logprobs"]}`,
			testkit.JSON(200, whole),
			[]string{`"logprobs":true`, `"top_logprobs":1`},
			[]string{`"text":"Hi you","annotations":[],"logprobs":[` + hi + `,` + told + `]`},
		},
		{
			"/v1/responses", `{"model":"chat","input":"hi","store":false,"include":["message.output_text.logprobs"],"stream":true}`,
			testkit.SSE(chunk(`{"role":"assistant","content":""}`, "null", "null"), chunk(`{"content":"Hi"}`, logs(hi), "null"), chunk(`{"content":" you"}`, logs(you), "null"),
				chunk(`{}`, "null", `"stop"`), "[DONE]"),
			[]string{`"logprobs":true`},
			[]string{
				`"delta":"Hi","logprobs":[` + hi + `]`, `"delta":" you","logprobs":[` + told + `]`,
				`"text":"Hi you","logprobs":[` + hi + `,` + told + `]`, `"text":"Hi you","annotations":[],"logprobs":[` + hi + `,` + told + `]`,
			},
		},
	} {
		before := len(b.first.Received())
		b.first.Queue(c.answer)
		resp, got := b.post(t, c.path, c.body)
		if resp.StatusCode != 200 {
			t.Errorf("%s: %d %s", c.body, resp.StatusCode, got)
			continue
		}
		sent := string(b.first.Request(before).Body)
		for _, w := range c.sent {
			if strings.Count(sent, w) != 1 {
				t.Errorf("%s: the provider got %s, want %s", c.body, sent, w)
			}
		}
		for _, w := range c.told {
			if !strings.Contains(got, w) {
				t.Errorf("%s: the answer is %s, want %s", c.body, got, w)
			}
		}
	}
	if resp, got := b.post(t, chatPath, `{"model":"claude","messages":[{"role":"user","content":"hi"}],"logprobs":true}`); resp.StatusCode != 400 || !strings.Contains(got, `"param":"logprobs"`) {
		t.Errorf("Claude: %d %s", resp.StatusCode, got)
	}
}
