package operate

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// item is one member of a RateLimit or RateLimit-Policy field.
var item = regexp.MustCompile(`^"[!#-\[\]-~]+"(;[a-z]+=(\d{1,15}|"[a-z-]+"))+$`)

// told returns both fields of limits of an answer, by policy: what is allowed,
// and what is left. It checks that they are lists of structured fields, and of
// the same policies.
func (r *reply) told(t testing.TB) (policy, left map[string]string) {
	t.Helper()
	read := func(field string) map[string]string {
		out := map[string]string{}
		for _, m := range r.header.Values(field) {
			for one := range strings.SplitSeq(m, ", ") {
				if !item.MatchString(one) {
					t.Errorf("%s: %s", field, one)
				}
				name, rest, _ := strings.Cut(one[1:], `"`)
				if out[name] != "" {
					t.Errorf("%s has %s twice", field, name)
				}
				out[name] = rest[1:]
			}
		}
		return out
	}
	policy, left = read("RateLimit-Policy"), read("RateLimit")
	for name := range policy {
		if left[name] == "" {
			t.Errorf("%s is allowed, and nothing is said of what is left", name)
		}
	}
	if len(policy) != len(left) {
		t.Errorf("%v are allowed, and %v are left", policy, left)
	}
	return policy, left
}

// TestEveryAnswerTellsWhatIsLeft of each limit, after the request itself: whole
// and streamed, good and bad, again and of no model at all. Where nothing is
// limited nothing is told, and to a stranger neither.
func TestEveryAnswerTellsWhatIsLeft(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	stopClock(t, g)
	advance(t, g, midnight(now(t, g)).Add(12*time.Hour).Sub(now(t, g)))
	script(t, g, "m", `[{"usage":{"input":200,"output":100},"times":-1}]`)
	script(t, g, "n", `[{"fault":"error_500","times":-1}]`)
	c := newCustomer(t, g, "10", limits(map[string]any{
		"rps": 0.1, "burst": 20, "requests": 20, "per": "90s", "tokens_per_minute": 6000, "requests_per_day": 9, "usd_per_day": "5", "concurrency": 7,
	}))
	path, body := "/v1/chat/completions", chat("m", `"max_tokens":100`)
	requests, tokens, days := 20, 6000, 9 // left
	is := func(name string, r *reply, status int) {
		t.Helper()
		r.is(t, status)
		policy, left := r.told(t)
		for of, want := range map[string]string{
			"rps": "q=20;w=200", "requests": "q=20;w=90", "tokens_per_minute": `q=6000;qu="tokens";w=60`, "requests_per_day": "q=9;w=86400",
		} {
			if policy[of] != want {
				t.Errorf("%s: %s: %q, want %q", name, of, policy[of], want)
			}
		}
		want := map[string]string{
			"rps": fmt.Sprintf("r=%d;t=10", requests), "requests": fmt.Sprintf("r=%d;t=90", requests),
			"tokens_per_minute": fmt.Sprintf("r=%d;t=1", tokens), "requests_per_day": fmt.Sprintf("r=%d;t=43200", days),
		}
		if tokens == 6000 {
			want["tokens_per_minute"] = "r=6000"
		}
		for of, w := range want {
			if left[of] != w {
				t.Errorf("%s: %s: %q, want %q", name, of, left[of], w)
			}
		}
		if len(left) != 4 {
			t.Errorf("%s: %v", name, left)
		}
	}
	once := map[string]string{"Idempotency-Key": "k"}

	requests--
	is("models", ask(t, g, call{method: "GET", path: "/v1/models", key: c.key}), 200)
	requests--
	is("bad body", ask(t, g, call{path: path, key: c.key, body: `{`}), 400)
	requests--
	is("no such model", ask(t, g, call{path: path, key: c.key, body: chat("none", "")}), 404)
	is("no such path", ask(t, g, call{path: "/v1/nothing", key: c.key, body: body}), 404)
	requests--
	is("provider failed", ask(t, g, call{path: path, key: c.key, body: chat("n", "")}), 502)
	requests, tokens, days = requests-1, tokens-300, days-1
	is("whole", ask(t, g, call{path: path, key: c.key, body: body, header: once}), 200)
	requests--
	is("replay", ask(t, g, call{path: path, key: c.key, body: body, header: once}), 200)

	// Of a stream it is told when it begins, so what it is expected to use is.
	requests, days = requests-1, days-1
	r := ask(t, g, call{path: path, key: c.key, body: chat("m", `"max_tokens":100,"stream":true`)}).is(t, 200)
	_, left := r.told(t)
	expected := 0
	if _, err := fmt.Sscanf(left["tokens_per_minute"], "r=%d;t=1", &expected); err != nil || expected >= tokens-100 || expected < tokens-200 {
		t.Errorf("a stream begins with %q of %d", left["tokens_per_minute"], tokens)
	}
	requests, tokens = requests-1, tokens-300 // what it was
	is("behind it", ask(t, g, call{method: "GET", path: "/v1/models", key: c.key}), 200)

	// A refusal agrees with its Retry-After.
	for requests > 0 {
		ask(t, g, call{method: "GET", path: "/v1/models", key: c.key}).is(t, 200)
		requests--
	}
	r = ask(t, g, call{path: path, key: c.key, body: body}).refused(t, 429, "rate_limit_exceeded")
	if _, left = r.told(t); left["requests"] != "r=0;t="+r.header.Get("Retry-After") || left["rps"] != "r=0;t=10" {
		t.Errorf("Retry-After %s, and %v", r.header.Get("Retry-After"), left)
	}

	for name, q := range map[string]call{
		"no limits":      {path: path, key: newCustomer(t, g, "10", nil).key, body: body},
		"dollars alone":  {path: path, key: newCustomer(t, g, "10", limits(map[string]any{"usd_per_day": "1", "concurrency": 2})).key, body: body},
		"a stranger":     {path: path, key: "sk-pontage-nobody", body: body},
		"nobody at all":  {path: path, body: body},
		"a missing path": {path: "/v1/nothing", body: body},
	} {
		if policy, left := ask(t, g, q).told(t); len(policy)+len(left) > 0 {
			t.Errorf("%s is told %v and %v", name, policy, left)
		}
	}
	settled(t, g)
}

// TestPlansTellWhatIsLeftToo, beside the contract's own headers: of the class
// that the request counts in.
func TestPlansTellWhatIsLeftToo(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: example(t)})
	stopClock(t, g)
	advance(t, g, midnight(now(t, g)).Add(12*time.Hour).Sub(now(t, g)))
	c := newCustomer(t, g, "0", and(limits(map[string]any{"requests_per_day": 500}), atSite(samuraiHost)))
	for n := 1; n <= 3; n++ {
		r := ask(t, g, call{host: samuraiHost, path: "/v1/chat/completions", key: c.key, body: chat("gpt-5-mini", `"max_tokens":20`)}).is(t, 200)
		policy, left := r.told(t)
		if got := policy["plan_requests_per_day:closed"]; got != "q=70;w=86400" {
			t.Errorf("the plan allows %q of %v", got, policy)
		}
		if got := left["plan_requests_per_day:closed"]; got != fmt.Sprintf("r=%d;t=43200", 70-n) || r.header.Get("X-RateLimit-Remaining-Requests") != fmt.Sprint(70-n) {
			t.Errorf("of the plan %q is left, and in its own header %q", got, r.header.Get("X-RateLimit-Remaining-Requests"))
		}
		if got := left["requests_per_day"]; got != fmt.Sprintf("r=%d;t=43200", 500-n) {
			t.Errorf("of the key %q is left", got)
		}
	}
	// Its limits stand at the site.
	d := newCustomer(t, g, "100", atSite(ninjaHost))
	r := ask(t, g, call{host: ninjaHost, path: "/api/v1/chat", key: d.key, body: chat("gpt-5-mini", `"max_tokens":20`)}).is(t, 200)
	if policy, left := r.told(t); policy["requests"] != "q=60;w=60" || left["requests"] != "r=59;t=60" || len(left) != 1 {
		t.Errorf("%v, %v", policy, left)
	}
	settled(t, g)
}
