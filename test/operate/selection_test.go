package operate

import (
	"fmt"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// TestAProviderIsChosenBehindTheModelsName has NanoGPT's suffixes on a running
// gateway with two providers: who answers, what it costs, and what is refused.
func TestAProviderIsChosenBehindTheModelsName(t *testing.T) {
	t.Parallel()
	one, two := testkit.NewUpstream(t), testkit.NewUpstream(t)
	one.Always(testkit.JSON(200, whole))
	two.Always(testkit.JSON(200, whole))
	g := harness.Start(t, harness.Options{Config: fmt.Sprintf(`
providers:
  cerebras: {base_url: %q, api_key: sk-upstream-4711}
  groq: {base_url: %q, api_key: sk-upstream-4712}
models:
  glm-5: {targets: [{provider: cerebras, cost: {input: 2}}, {provider: groq, cost: {input: 1}}], price: {input: 1.00, output: 2.00}}
  "llama3:8b": {targets: [{provider: groq}], price: {input: 1.00, output: 2.00}}
sites:
  - {hosts: [nano.test], contract: nanogpt}
  - {hosts: [less.test], contract: nanogpt, provider_selection_surcharge: 0%%}
  - {hosts: [open.test], contract: openai}
`, one.URL+"/v1", two.URL+"/v1")})
	nano := newCustomer(t, g, "1", map[string]any{"site": "nano.test"})
	less := newCustomer(t, g, "1", map[string]any{"site": "less.test"})
	other := newCustomer(t, g, "1", map[string]any{"site": "open.test"})
	at := func(c customer, host, path, body string, header map[string]string) *reply {
		t.Helper()
		return ask(t, g, call{host: host, path: path, key: c.key, body: body, header: header})
	}
	plain := at(nano, "nano.test", "/api/v1/chat/completions", chat("glm-5", ""), nil).is(t, 200)
	base := usd(t, plain.header.Get("X-Charge-Usd"))
	dear := base + (base+19)/20
	for _, k := range []struct {
		model, more, by string
		header          map[string]string
	}{
		{"glm-5:cheap", "", "groq", nil},
		{"glm-5:GROQ", "", "groq", nil},
		{"glm-5:cerebras", "", "cerebras", nil},
		{"glm-5", `"provider":{"only":["groq"]}`, "groq", nil},
		{"glm-5", "", "groq", map[string]string{"X-Provider": "Groq"}},
	} {
		before := len(two.Received())
		r := at(nano, "nano.test", "/api/v1/chat/completions", chat(k.model, k.more), k.header).is(t, 200)
		if got := usd(t, r.header.Get("X-Charge-Usd")); got != dear {
			t.Errorf("%s%s: charged %s, want %s", k.model, k.more, got, dear)
		}
		if by := map[bool]string{true: "groq", false: "cerebras"}[len(two.Received()) > before]; by != k.by {
			t.Errorf("%s%s: %s answered", k.model, k.more, by)
		}
	}
	for _, k := range []struct{ model, more, code, param string }{
		{"glm-5:online", "", "invalid_parameter_value", "model"},
		{"glm-5:fast:cheap", "", "speed_suffix_conflict", "model"},
		{"glm-5:fast", `"provider":"groq"`, "speed_suffix_conflict", "model"},
		{"llama3:8b:fast", "", "speed_suffix_unsupported", "model"},
		{"glm-5", `"provider":{"only":["nobody"]}`, "provider_unknown_provider", "provider.only"},
	} {
		r := at(nano, "nano.test", "/api/v1/chat/completions", chat(k.model, k.more), nil).is(t, 400)
		if r.at(t, "error.code") != k.code || r.at(t, "error.param") != k.param {
			t.Errorf("%s%s: %s", k.model, k.more, r.body)
		}
	}
	at(nano, "nano.test", "/api/v1/chat/completions", chat("glm-5:nobody", ""), nil).is(t, 404)
	for c, r := range map[string]*reply{
		"a model's own name":      at(nano, "nano.test", "/api/v1/chat/completions", chat("llama3:8b", ""), nil),
		"a site that takes none":  at(less, "less.test", "/api/v1/chat/completions", chat("glm-5:groq", ""), nil),
		"a contract without":      at(other, "open.test", "/v1/chat/completions", chat("glm-5", `"provider":"groq"`), nil),
		"its only provider named": at(nano, "nano.test", "/api/v1/chat/completions", chat("llama3:8b", `"provider":"groq"`), nil),
	} {
		if got := usd(t, r.is(t, 200).header.Get("X-Charge-Usd")); got != base {
			t.Errorf("%s: charged %s, want %s", c, got, base)
		}
	}
	at(other, "open.test", "/v1/chat/completions", chat("glm-5:groq", ""), nil).is(t, 404)
	settled(t, g)
}
