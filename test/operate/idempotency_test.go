package operate

import (
	"fmt"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// An account's keys share its idempotency keys, but an answer is that of one
// site: in its contract's shape, and at its price.
func TestAnIdempotencyKeyIsNotReplayedAtAnotherSite(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Always(testkit.JSON(200, whole))
	g := harness.Start(t, harness.Options{Config: fmt.Sprintf(`
providers: {up: {kind: openai, base_url: %q, api_key: sk-upstream-4711}}
models: {m: {targets: [{provider: up, model: upstream-m}], attempts: 1, context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}}
sites: [{hosts: ["*"], contract: openai}, {hosts: ["switch.localhost"], contract: modelswitch, models: {m: {price: {request: 0.01}}}}]
`, u.URL+"/v1")})
	c := newCustomer(t, g, "1", nil)
	other := g.NewKey(t, c.account, map[string]any{"site": "switch.localhost"})
	body := `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	once := map[string]string{"Idempotency-Key": "k"}
	ask(t, g, call{path: "/v1/chat/completions", key: c.key, header: once, body: body}).is(t, 200)
	ask(t, g, call{path: "/v1/chat/completions", key: c.key, header: once, body: body}).is(t, 200)
	ask(t, g, call{host: "switch.localhost", path: "/v1/chat/completions", key: other.Key, header: once, body: body}).is(t, 422)
	if n := len(u.Received()); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	g.Verify(t)
}
