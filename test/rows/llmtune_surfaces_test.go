package rows

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

const toolBody = `{"id":"chatcmpl-8","object":"chat.completion","created":1790000000,"model":"acme-m","choices":[{"index":0,"message":{"role":"assistant","content":null,` +
	`"tool_calls":[{"id":"call_7","type":"function","function":{"name":"is_open","arguments":"{\"bridge\":\"north\"}"}}]},"finish_reason":"tool_calls"}],` +
	`"usage":{"prompt_tokens":40,"completion_tokens":9,"total_tokens":49}}`

// TestLLMTuneSurfaces: what llmtune serves beside chat completions.
func TestLLMTuneSurfaces(t *testing.T) {
	t.Parallel()
	p := outside(t, "llmtune", []model{
		{name: "prompted", answer: testkit.JSON(200, chatBody)},
		{name: "agent", answer: testkit.JSON(200, toolBody)},
	})
	g := p.world.five
	restart(p, g, server, func(config map[string]any) {
		models := config["models"].(map[string]any)
		models["house/prompted"] = maps.Clone(models["prompted"].(map[string]any))
	})
	c := p.at(llmtuneHost, "3", nil)
	onePrompt(p, c)
	freeMetadata(p, c)
	agentTools(p, c)
	modelLists(p, c)
	g.settled(t)
}

// onePrompt asks a model by its name in the path.
func onePrompt(p *proof, c caller) {
	p.Helper()
	up := c.gw.up["prompted"]
	for _, name := range []string{"prompted", "house/prompted"} {
		n := len(up.Received())
		a := p.paid(c, promptPath(name), `{"prompt":"Is the \"north\" bridge open?","temperature":0.5,"maxTokens":60,"topP":0.9,"metadata":{"trace":[1,2.50],"of":"us"}}`)
		p.charged(a, fairCharge)
		want := map[string]any{"text": said, "tokens": 16, "model": name, "metadata": map[string]any{"trace": []any{1, 2.5}, "of": "us"}, "latency": "<num>"}
		if d := differs(any(p.json(a)), any(want), false); d != "" {
			p.Errorf("%s: %s\n%s", name, d, a.body)
		}
		var sent map[string]any
		if err := json.Unmarshal(up.Received()[n].Body, &sent); err != nil {
			p.Fatalf("%v", err)
		}
		delete(sent, "metadata")
		asked := map[string]any{
			"model": "acme-prompted", "temperature": 0.5, "top_p": 0.9,
			"messages": []any{map[string]any{"role": "user", "content": `Is the "north" bridge open?`}},
		}
		if d := differs(any(sent), any(asked), false); d != "" || (sent["max_tokens"] != 60.0 && sent["max_completion_tokens"] != 60.0) {
			p.Errorf("the upstream was asked otherwise: %s\n%v", d, sent)
		}
	}
	n := len(up.Received())
	a := p.paid(c, promptPath("prompted"), `{"prompt":"West?"}`)
	if !maps.Equal(p.json(a)["metadata"].(map[string]any), map[string]any{}) {
		p.Errorf("without metadata: %s", a.body)
	}
	if sent := string(up.Received()[n].Body); !strings.Contains(sent, `tokens":1024`) {
		p.Errorf("without a limit of its own the output is 1024 tokens: %s", sent)
	}
	for body, field := range map[string]string{
		`{"prompt":"x","stream":true}`: "stream", `{"prompt":["x"]}`: "prompt", `{"prompt":"x","topK":0}`: "topK", `{"prompt":"x","metadata":7}`: "metadata", `{"prompt":"x","max_tokens":2,"maxTokens":3}`: "maxTokens",
	} {
		a := p.wants(p.free(c, func() *answer { return p.ask(c, promptPath("prompted"), body) }), http.StatusBadRequest)
		p.says(p.text(a, "message"), "'"+field+"'")
	}
	p.wants(p.ask(c, promptPath("prompted"), "", method("GET")), http.StatusNotFound) // of a model that is called so
}

// freeMetadata sends metadata of the caller's own making, which is nobody else's
// business.
func freeMetadata(p *proof, c caller) {
	p.Helper()
	up := c.gw.up["prompted"]
	for _, path := range []string{chatPath, agentPath} {
		for _, free := range []string{`{"trace":[1,2.50],"of":{"us":true}}`, `7`, `"x"`, `null`, `{"a":"b"}`} {
			n := len(up.Received())
			p.paid(c, path, chat("prompted", `"metadata":`+free))
			if sent := string(up.Received()[n].Body); free != "null" && strings.Contains(sent, "metadata") {
				p.Errorf("the upstream was told: %s", sent)
			}
		}
	}
}

// agentTools asks at the surface of agents, which run tools themselves.
func agentTools(p *proof, c caller) {
	p.Helper()
	const tools = `"tools":[{"type":"function","function":{"name":"is_open","parameters":{"type":"object","properties":{"bridge":{"type":"string"}}}}}],"tool_choice":"auto"`
	a := p.paid(c, agentPath, chat("agent", tools))
	p.charged(a, "0.0000836") // 40 at 1.10 and 9 at 4.40
	want := map[string]any{"choices": []any{map[string]any{"finish_reason": "tool_calls", "message": map[string]any{
		"tool_calls": []any{map[string]any{"id": "call_7", "function": map[string]any{"name": "is_open", "arguments": `{"bridge":"north"}`}}},
	}}}}
	if d := differs(any(p.json(a)), any(want), false); d != "" {
		p.Errorf("%s\n%s", d, a.body)
	}
	if sent := string(c.gw.up["agent"].Received()[0].Body); !strings.Contains(sent, `"is_open"`) || !strings.Contains(sent, `"tool_choice":"auto"`) {
		p.Errorf("the upstream was not told of the tools: %s", sent)
	}
}

// modelLists reads the lists of models.
func modelLists(p *proof, c caller) {
	p.Helper()
	ids := func(a *answer) (out []string) {
		p.Helper()
		for _, m := range decodedAs[struct{ Data []struct{ ID string } }](p, p.wants(a, http.StatusOK)).Data {
			out = append(out, m.ID)
		}
		return out
	}
	all := ids(p.got(c, "/v1/models"))
	if !slices.Contains(all, "house/prompted") || !slices.Contains(all, "gpt-5-mini") {
		p.Errorf("the models are %v", all)
	}
	for name, a := range map[string]*answer{
		"for agents":           p.got(c, "/api/agent/v1/models"),
		"for everybody":        p.ask(c, "/api/models/list", "", method("GET"), noKey),
		"at the account pages": p.ask(c, "/api/models/list", "", method("GET"), noKey, host(llmtunePages)),
		"with a key of nobody": p.ask(c, "/api/models/list", "", method("GET"), key("sk_wrong")),
	} {
		if got := ids(a); !slices.Equal(got, all) {
			p.Errorf("%s: %v, and not %v", name, got, all)
		}
	}
	p.wantsCode(p.ask(c, "/api/agent/v1/models", "", method("GET"), noKey), http.StatusUnauthorized, "invalid_api_key")
	few := p.anotherAt(c, map[string]any{"models": []string{"house/*"}})
	if got := ids(p.got(few, "/v1/models")); !slices.Equal(got, []string{"house/prompted"}) {
		p.Errorf("a key for some models sees %v", got)
	}
	if got := p.text(p.got(c, "/v1/models/house/prompted"), "id"); got != "house/prompted" {
		p.Errorf("one model: %s", got)
	}
}
