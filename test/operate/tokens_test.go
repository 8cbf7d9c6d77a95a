package operate

import (
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// tokensConfig has a site with a limit of tokens for keys that have none.
var tokensConfig = strings.Replace(oneSite, `contract: openai}]`, `contract: openai}, {hosts: ["slow.localhost"], contract: openai, limits: {tokens_per_minute: 700}}]`, 1)

// TestTokensPerMinute: what a request is expected to use is taken when it is
// admitted and corrected to what it is charged for; nothing of it stays where
// nothing is charged. The wait that is told is the wait that is needed.
func TestTokensPerMinute(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: tokensConfig})
	c := newCustomer(t, g, "10", limits(map[string]any{"tokens_per_minute": 6000})) // a hundred a second
	script(t, g, "m", `[{"usage":{"input":4900,"output":100},"times":-1}]`)
	q := call{path: "/v1/chat/completions", key: c.key, body: chat("m", `"max_tokens":100`)}
	use := func() string { return counter(t, g, c, "tokens_per_minute") }

	// Nothing that is free has used any.
	script(t, g, "n", `[{"fault":"error_500","times":-1}]`)
	for range 3 { // with one of them in hand there would be no room for the next
		r := ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: chat("n", `"max_tokens":5000`)})
		if r.status < 500 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: chat("none", `"max_tokens":5000`)}).refused(t, 404, "model_not_found")
	}
	if got := use(); got != "0 of 6000, 0 held" {
		t.Fatalf("after what was free: %s", got)
	}

	ask(t, g, q).is(t, 200) // five thousand
	ask(t, g, q).is(t, 200) // into debt: ten thousand
	r := ask(t, g, q).refused(t, 429, "rate_limit_exceeded")
	if got := r.header.Get("X-Limit-Source"); got != "tokens" {
		t.Errorf("the source is %q", got)
	}
	wait := r.waits(t)
	within(t, "the wait for the debt", wait, 35*time.Second, 45*time.Second)
	advance(t, g, wait)
	ask(t, g, q).is(t, 200)
	ask(t, g, q).refused(t, 429, "rate_limit_exceeded")

	// Streams are counted as well, and a limit that is taken off is off.
	g.MustAdmin(t, "PATCH", "/admin/v1/keys/"+c.id, limits(map[string]any{"tokens_per_minute": nil}), nil)
	ask(t, g, q).is(t, 200)
	if got := use(); got != "none" {
		t.Errorf("without a limit: %s", got)
	}
	d := newCustomer(t, g, "10", limits(map[string]any{"tokens_per_minute": 6000}))
	ask(t, g, call{path: "/v1/chat/completions", key: d.key, body: chat("m", `"max_tokens":100,"stream":true`)}).is(t, 200)
	ask(t, g, call{path: "/v1/chat/completions", key: d.key, body: chat("m", `"max_tokens":5000`)}).refused(t, 429, "rate_limit_exceeded")

	// The site's limit is for keys that have none of their own.
	own, none := newCustomer(t, g, "10", limits(map[string]any{"tokens_per_minute": 60_000})), newCustomer(t, g, "10", nil)
	for _, k := range []customer{own, none} {
		ask(t, g, call{host: "slow.localhost", path: "/v1/chat/completions", key: k.key, body: chat("m", `"max_tokens":100`)}).is(t, 200)
	}
	ask(t, g, call{host: "slow.localhost", path: "/v1/chat/completions", key: own.key, body: chat("m", `"max_tokens":100`)}).is(t, 200)
	ask(t, g, call{host: "slow.localhost", path: "/v1/chat/completions", key: none.key, body: chat("m", `"max_tokens":100`)}).refused(t, 429, "rate_limit_exceeded")
	settled(t, g)
}
