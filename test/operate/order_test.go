package operate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

// attempt is a request of which several things may be wrong at once.
type attempt struct {
	c      customer
	model  string
	more   string
	header map[string]string
	limits map[string]any
	key    string
	last   []func()            // just before it is sent
	spoil  func(string) string // the body
	pad    int                 // bytes more
}

// reason is one thing that can be wrong.
type reason struct {
	name   string
	status int
	code   string
	source string                         // X-Limit-Source
	early  func(*testing.T, *attempt)     // while nothing is wrong yet
	late   func(t *testing.T, a *attempt) // what makes it wrong
}

// reasons in the order in which they are looked at: what is told is the first
// that holds.
var reasons = []reason{
	{"unknown key", 401, "invalid_api_key", "", nil, func(_ *testing.T, a *attempt) { a.key = "sk-pontage-nobody" }},
	{"inactive key", 403, "key_inactive", "", nil, func(t *testing.T, a *attempt) {
		a.last = append(a.last, func() { a.patch(t, map[string]any{"active": false}) })
	}},
	{"too often", 429, "rate_limit_exceeded", "throughput", func(t *testing.T, a *attempt) {
		a.patch(t, limits(map[string]any{"rps": 0.001, "burst": 1}))
		a.ok(t, nil)
	}, func(_ *testing.T, a *attempt) { a.limits["rps"], a.limits["burst"] = 0.001, 1 }},
	{"too many at once", 429, "concurrency_limit_exceeded", "concurrency", func(t *testing.T, a *attempt) {
		a.patch(t, limits(map[string]any{"concurrency": 1}))
		t.Cleanup(hang(t, a.c, "n"))
		a.patch(t, limits(map[string]any{"concurrency": nil}))
	}, func(_ *testing.T, a *attempt) { a.limits["concurrency"] = 1 }},
	{"too large", 413, "request_too_large", "", nil, func(_ *testing.T, a *attempt) { a.pad = 70 << 10 }},
	{"not JSON", 400, "invalid_json", "", nil, func(_ *testing.T, a *attempt) { a.spoil = func(b string) string { return b[:len(b)-1] } }},
	{"bad field", 400, "invalid_value", "", nil, func(_ *testing.T, a *attempt) { a.more += `,"temperature":7` }},
	{"reused idempotency key", 422, "idempotency_mismatch", "", func(t *testing.T, a *attempt) {
		a.ok(t, map[string]string{"Idempotency-Key": "used"})
	}, func(_ *testing.T, a *attempt) { a.header["Idempotency-Key"], a.more = "used", a.more+`,"seed":1` }},
	{"unknown model", 404, "model_not_found", "", nil, func(_ *testing.T, a *attempt) { a.model = "none" }},
	{"model not allowed", 403, "model_not_allowed", "", nil, func(t *testing.T, a *attempt) {
		a.last = append(a.last, func() { a.patch(t, map[string]any{"models": []string{"by-*"}}) })
	}},
	{"too many tokens", 429, "rate_limit_exceeded", "tokens", func(t *testing.T, a *attempt) {
		a.ok(t, nil)
	}, func(_ *testing.T, a *attempt) { a.limits["tokens_per_minute"] = 5 }},
	{"requests of the day", 429, "daily_requests_exceeded", "key_day_requests", func(t *testing.T, a *attempt) {
		a.ok(t, nil)
	}, func(_ *testing.T, a *attempt) { a.limits["requests_per_day"] = 1 }},
	{"dollars of the day", 429, "daily_spend_exceeded", "key_day_usd", nil, func(_ *testing.T, a *attempt) {
		a.limits["usd_per_day"] = "0.000000001"
	}},
	{"balance", 402, "insufficient_balance", "", nil, func(t *testing.T, a *attempt) {
		a.last = append(a.last, func() {
			left := usd(t, a.c.now(t).AvailUSD)
			a.c.credit(t, (-left + usd(t, "0.000000001")).String())
		})
	}},
	{"provider", 502, "upstream_error", "", nil, func(_ *testing.T, a *attempt) {
		if a.model == "m" {
			a.model = "broken"
		}
	}},
}

func (a *attempt) patch(t *testing.T, in map[string]any) {
	t.Helper()
	a.c.g.MustAdmin(t, "PATCH", "/admin/v1/keys/"+a.c.id, in, nil)
}

// ok sends a request with which nothing is wrong.
func (a *attempt) ok(t *testing.T, header map[string]string) {
	t.Helper()
	ask(t, a.c.g, call{path: "/v1/chat/completions", key: a.c.key, body: chat("m", ""), header: header}).is(t, 200)
}

func (a *attempt) send(t *testing.T) *reply {
	t.Helper()
	body := chat(a.model, strings.TrimPrefix(a.more, ","))
	if a.spoil != nil {
		body = a.spoil(body)
	}
	body += strings.Repeat(" ", a.pad)
	return ask(t, a.c.g, call{path: "/v1/chat/completions", key: a.key, body: body, header: a.header})
}

// consumed is what is gone of what a request may use up.
type consumed struct {
	window, tokens, requests, dollars, balance, held string
}

func (a *attempt) consumed(t *testing.T) consumed {
	t.Helper()
	of := func(name string) string { return counter(t, a.c.g, a.c, name) }
	now := a.c.now(t)
	return consumed{of("requests"), of("tokens_per_minute"), of("requests_per_day"), of("usd_per_day"), now.BalanceUSD, now.HeldUSD}
}

// TestWhatIsWrongFirstIsTold takes every two things that can be wrong with a
// request at once. The one that is looked at first is told, and the request has
// used up nothing: but for its place in the window, once it was let in.
func TestWhatIsWrongFirstIsTold(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Server: "body_limit: 64KiB", Config: strings.NewReplacer(
		"models:", "models:\n  broken: {targets: [{provider: sim}], attempts: 1, context: 100000, max_output: 10000, price: {request: 0.003}}",
		"routing: {", "routing: {breaker: {failures: 1000}, ").Replace(oneSite)})
	stopClock(t, g)
	script(t, g, "n", `[{"fault":"hang_stream","after":1,"times":-1}]`)
	script(t, g, "broken", `[{"fault":"error_500","times":-1}]`)
	for i, first := range reasons {
		for j := i; j < len(reasons); j++ {
			second := reasons[j]
			t.Run(first.name+" and "+second.name, func(t *testing.T) {
				c := newCustomer(t, g, "10", limits(map[string]any{"requests": 100, "per": "1h", "tokens_per_minute": 1_000_000}))
				a := &attempt{c: c, model: "m", key: c.key, header: map[string]string{"Idempotency-Key": "fresh"}, limits: map[string]any{}}
				both := []reason{first, second}
				if i == j {
					both = both[:1]
				}
				for _, r := range slices.Backward(both) { // the last to be looked at needs all the others well
					if r.early != nil {
						r.early(t, a)
					}
				}
				for _, r := range both {
					r.late(t, a)
				}
				for _, do := range a.last {
					do()
				}
				a.patch(t, map[string]any{"limits": maps.Clone(a.limits)})
				before := a.consumed(t)
				r := a.send(t).refused(t, first.status, first.code)
				if got := r.header.Get("X-Limit-Source"); got != first.source {
					t.Errorf("the source is %q, want %q", got, first.source)
				}
				after := a.consumed(t)
				if first.status == 401 || first.source == "throughput" || first.source == "concurrency" || first.name == "inactive key" {
					if after.window != before.window {
						t.Errorf("what was not let in counts: %s, then %s", before.window, after.window)
					}
				} else if want := more(t, before.window); after.window != want {
					t.Errorf("of the window %s are used, want %s", after.window, want)
				}
				before.window = after.window
				if before != after {
					t.Errorf("the refusal used up something: %+v, then %+v", before, after)
				}
				a.header["Idempotency-Key"] = "fresh"
				a.more += ` ` // another request
				if r := a.send(t); r.status == 409 || (r.status == 422 && first.status != 422) {
					t.Errorf("the idempotency key is taken: %d %s", r.status, r.body)
				}
			})
		}
	}
}

// more is a counter that one more has been counted in.
func more(t *testing.T, text string) string {
	t.Helper()
	var used, limit, held int
	if _, err := fmt.Sscanf(text, "%d of %d, %d held", &used, &limit, &held); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return fmt.Sprintf("%d of %d, %d held", used+1, limit, held)
}

// TestAReplayUsesThroughputAlone: no daily request, no dollars, no tokens, and
// it comes although nothing of them is left.
func TestAReplayUsesThroughputAlone(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	stopClock(t, g)
	c := newCustomer(t, g, "0.003", limits(map[string]any{"requests": 3, "per": "1h", "tokens_per_minute": 70, "requests_per_day": 1, "usd_per_day": "0.003"}))
	a := &attempt{c: c}
	q := call{path: "/v1/chat/completions", key: c.key, body: chat("m", `"max_tokens":500`), header: map[string]string{"Idempotency-Key": "once"}}
	once := ask(t, g, q).is(t, 200)
	before := a.consumed(t)
	again := ask(t, g, q).is(t, 200)
	if string(once.body) != string(again.body) || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%v %s", again.header, again.body)
	}
	after := a.consumed(t)
	if after.window != more(t, before.window) {
		t.Errorf("of the window %s, then %s", before.window, after.window)
	}
	if before.window = after.window; before != after {
		t.Errorf("the replay used up something: %+v, then %+v", before, after)
	}
	ask(t, g, q).is(t, 200)
	ask(t, g, q).refused(t, 429, "rate_limit_exceeded")
	settled(t, g)
}
