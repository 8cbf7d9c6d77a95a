package operate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// Groq's SDK writes /openai behind the address that it is given, Azure's v1 API has it in
// its own, and keys of Azure's come in a header of their own. Paths with deployments, which
// the AzureOpenAI of OpenAI's SDKs writes, are not among them.
func TestOpenAIStandsWhereGroqAndAzureHaveIt(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Always(testkit.JSON(200, whole))
	g := harness.Start(t, harness.Options{Config: fmt.Sprintf(`
providers: {up: {kind: openai, base_url: %q, api_key: sk-upstream-4711}}
models: {m: {targets: [{provider: up, model: upstream-m}], context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}}
`, u.URL+"/v1")})
	c := newCustomer(t, g, "10", nil)
	const body = `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Why?"}]}`
	ask(t, g, call{path: "/openai/v1/chat/completions", key: c.key, body: body}).is(t, 200)
	azure := map[string]string{"Api-Key": c.key}
	r := ask(t, g, call{path: "/openai/v1/chat/completions?api-version=preview", header: azure, body: body}).is(t, 200)
	if rc := g.Receipt(t, r.header.Get("X-Request-Id"), nil); strings.Trim(rc.ChargeUSD, "0.") == "" {
		t.Errorf("it was free: %+v", rc)
	}
	ask(t, g, call{path: "/v1/chat/completions", header: azure, body: body}).is(t, 200)
	if r := ask(t, g, call{method: "GET", path: "/openai/v1/models", header: azure}).is(t, 200); r.at(t, "data.0.id") != "m" {
		t.Errorf("%s", r.body)
	}
	if r := ask(t, g, call{path: "/openai/v1/chat/completions", header: map[string]string{"Api-Key": c.key + "x"}, body: body}).is(t, 401); r.at(t, "error.code") != "invalid_api_key" {
		t.Errorf("%s", r.body)
	}
	if r := ask(t, g, call{path: "/openai/v1/nothing", key: c.key, body: body}).is(t, 404); r.at(t, "error.type") != "invalid_request_error" {
		t.Errorf("%s", r.body)
	}
	for _, q := range u.Received() {
		for name, values := range q.Header {
			if strings.Contains(strings.Join(values, " "), c.key) {
				t.Errorf("the provider was sent the caller's key in %s", name)
			}
		}
	}
}

// All of OpenAI's surfaces stand there, and nothing else does.
func TestTheAliasesAreThoseOfAllOfOpenAIs(t *testing.T) {
	t.Parallel()
	c, err := contract.Load("openai")
	if err != nil {
		t.Fatal(err)
	}
	var plain, aliased []string
	for _, r := range c.Routes() {
		what := r.Surface + " " + r.Envelope + " " + r.Kind + " " + r.Method + " "
		if path, ok := strings.CutPrefix(r.Path, "/openai"); ok {
			aliased = append(aliased, what+path)
		} else if strings.HasPrefix(r.Surface, "openai.") {
			plain = append(plain, what+r.Path)
		}
	}
	slices.Sort(plain)
	slices.Sort(aliased)
	if len(plain) == 0 || !slices.Equal(plain, aliased) {
		t.Errorf("at /v1: %q\nat /openai/v1: %q", plain, aliased)
	}
}
