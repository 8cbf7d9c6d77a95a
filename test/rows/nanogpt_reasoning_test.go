package rows

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// TestNanoReasoning: what the model thought is told where the path says, whole and
// streamed, and costs the same.
func TestNanoReasoning(t *testing.T) {
	t.Parallel()
	const usage = `"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"completion_tokens_details":{"reasoning_tokens":3}}`
	chunk := func(delta, finish string) string {
		return `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"x","choices":[{"index":0,"delta":{` + delta + `},"finish_reason":` + finish + `}]}`
	}
	p := outside(t, "nanogpt", []model{{
		name: "nano-thinks",
		answer: testkit.JSON(200, `{"id":"chatcmpl-1","object":"chat.completion","created":1790000000,"model":"x","choices":[{"index":0,"message":`+
			`{"role":"assistant","content":"Yes.","reasoning_content":"A bridge. "},"finish_reason":"stop"}],`+usage+`}`),
		streamed: testkit.SSE(chunk(`"role":"assistant","reasoning_content":"A "`, "null"), chunk(`"reasoning_content":"bridge. "`, "null"), chunk(`"content":"Yes."`, "null"), chunk("", `"stop"`),
			`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"x","choices":[],`+usage+`}`, "[DONE]"),
	}})
	c := p.nano("3", nil)
	var charges []string
	for path, member := range map[string]string{"/api/v1/": "reasoning", "/api/v1legacy/": "reasoning_content", "/api/v1thinking/": "content"} {
		a := p.paid(c, path+"chat/completions", chat("nano-thinks"))
		charges = append(charges, a.header.Get("X-Charge-Usd"))
		message := p.json(a)["choices"].([]any)[0].(map[string]any)["message"].(map[string]any)
		want := map[string]any{"role": "assistant", "content": "Yes."}
		if want[member] = "A bridge. "; member == "content" {
			want[member] = "A bridge. Yes."
		}
		for _, name := range []string{"role", "content", "reasoning", "reasoning_content"} {
			if message[name] != want[name] {
				p.Errorf("%s: %s is %v, and not %v", path, name, message[name], want[name])
			}
		}

		s := p.paid(c, path+"chat/completions", chat("nano-thinks", streamed))
		body := string(s.body)
		if !strings.Contains(body, `"`+member+`":"A "`) || !strings.Contains(body, `"`+member+`":"bridge. "`) || !strings.Contains(body, `"content":"Yes."`) || !strings.HasSuffix(body, "data: [DONE]\n\n") {
			p.Errorf("%s: %s", path, body)
		}
		for _, other := range []string{"reasoning", "reasoning_content"} {
			if other != member && strings.Contains(body, `"`+other+`":`) {
				p.Errorf("%s: %s in %s", path, other, body)
			}
		}
		p.wantsNano(p.declined(c, path+"chat/completions", chat("nano-nobody")), http.StatusNotFound, "model_not_found")
	}
	if charges[0] != charges[1] || charges[1] != charges[2] || charges[0] == "" {
		p.Errorf("they cost %q", charges)
	}
	p.world.five.settled(t)
}
