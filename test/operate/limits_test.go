package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/test/harness"
)

// oneSite has one site and models whose prices are easy to reckon with: each
// costs by the request, but the last.
const oneSite = `
providers: {sim: {kind: sim}}
models:
  m: {targets: [{provider: sim}], context: 100000, max_output: 10000, price: {request: 0.003}}
  n: {targets: [{provider: sim}], context: 100000, max_output: 10000, price: {request: 0.003}}
  by-token: {targets: [{provider: sim}], context: 100000, max_output: 10000, price: {input: 1.00, output: 10.00}}
routing: {backoff: {base: 1ms}}
sites: [{hosts: ["*"], contract: openai}]
`

// post asks for a short answer of the model m.
func post(t testing.TB, c customer) *reply { t.Helper(); return postTo(t, c, "m") }

func postTo(t testing.TB, c customer, model string) *reply {
	t.Helper()
	return ask(t, c.g, call{path: "/v1/chat/completions", key: c.key, body: chat(model, `"max_tokens":20`)})
}

// refused checks a refusal's status and code.
func (r *reply) refused(t testing.TB, status int, code string) *reply {
	t.Helper()
	if r.status != status || r.at(t, "error.code") != code {
		t.Fatalf("%d %s, want %d %s", r.status, r.body, status, code)
	}
	if r.header.Get("X-Charge-USD") != "0.00" {
		t.Errorf("X-Charge-USD of a refusal is %q", r.header.Get("X-Charge-USD"))
	}
	return r
}

// within checks that a wait is what it must be: from at least to at most.
func within(t testing.TB, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s is %v, want %v to %v", what, got, least, most)
	}
}

func TestRequestsASecondAndBurst(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	c := newCustomer(t, g, "10", limits(map[string]any{"rps": 0.1, "burst": 3}))
	began := now(t, g)
	for range 3 {
		post(t, c).is(t, 200)
	}
	r := post(t, c).refused(t, 429, "rate_limit_exceeded")
	wait := r.waits(t)
	within(t, "the wait behind a burst", wait, 10*time.Second-now(t, g).Sub(began), 10*time.Second)
	if r.header.Get("X-Should-Retry") != "true" {
		t.Errorf("x-should-retry is %q", r.header.Get("X-Should-Retry"))
	}
	for range 3 { // after every wait exactly one passes
		advance(t, g, wait)
		post(t, c).is(t, 200)
		wait = post(t, c).refused(t, 429, "rate_limit_exceeded").waits(t)
	}
	advance(t, g, time.Hour) // the burst is back, and no more than it
	for range 3 {
		post(t, c).is(t, 200)
	}
	post(t, c).refused(t, 429, "rate_limit_exceeded")
	// A changed limit acts on the next request.
	g.MustAdmin(t, "PATCH", "/admin/v1/keys/"+c.id, map[string]any{"limits": nil}, nil)
	for range 5 {
		post(t, c).is(t, 200)
	}
	settled(t, g)
}

// TestTheWindowIsExact sends requests at random times and holds every answer
// against the definition: at most five in any minute, none refused without need,
// and the wait that is told is the wait that is needed.
func TestTheWindowIsExact(t *testing.T) {
	t.Parallel()
	const n, per = 5, time.Minute
	g := harness.Start(t, harness.Options{Config: oneSite})
	c := newCustomer(t, g, "10", limits(map[string]any{"requests": n, "per": per.String()}))
	type span struct{ from, to time.Time } // of the gateway's clock, around the decision
	var admitted []span
	refused := 0
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	for range 150 {
		from := advance(t, g, time.Duration(random.Int64N(int64(24*time.Second))))
		r := post(t, c)
		s := span{from, now(t, g)}
		last := len(admitted) - n // the n-th last, if there are so many
		switch r.status {
		case 200:
			if last >= 0 && s.to.Sub(admitted[last].from) < per {
				t.Fatalf("request %d comes at most %v after the fifth before it", len(admitted), s.to.Sub(admitted[last].from))
			}
			admitted = append(admitted, s)
		case http.StatusTooManyRequests:
			refused++
			if last < 0 || s.from.Sub(admitted[last].to) >= per {
				t.Fatalf("refused without need after %d: %s", len(admitted), r.body)
			}
			least, most := per-s.to.Sub(admitted[last].from), per-s.from.Sub(admitted[last].to)
			within(t, "the wait", r.waits(t), max(least, 0), max(most, 0)+time.Millisecond)
		default:
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	if refused < 20 || len(admitted) < 40 {
		t.Errorf("%d refused and %d admitted prove little", refused, len(admitted))
	}
	settled(t, g)
}

// hang begins a stream that does not end until stop is called. It returns when
// content has come.
func hang(t testing.TB, c customer, model string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := open(ctx, c.g, call{path: "/v1/chat/completions", key: c.key, body: chat(model, `"stream":true,"max_tokens":20`)})
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		t.Fatalf("a stream that was to hang: %d", resp.StatusCode)
	}
	if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return func() { cancel(); _ = resp.Body.Close() }
}

func TestRequestsAtOnce(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	script(t, g, "n", `[{"fault":"hang_stream","after":1,"times":-1}]`)
	c, other := newCustomer(t, g, "10", limits(map[string]any{"concurrency": 2})), newCustomer(t, g, "10", nil)
	first, second := hang(t, c, "n"), hang(t, c, "n")
	defer second()
	r := post(t, c).refused(t, 429, "concurrency_limit_exceeded")
	within(t, "the wait for a place", r.waits(t), time.Second, 2*time.Second)
	post(t, other).is(t, 200)
	if got := counter(t, g, c, "concurrency"); got != "0 of 2, 2 held" {
		t.Errorf("the counter says %s", got)
	}
	first()
	eventually(t, "a place is free", func() bool { return post(t, c).status == 200 })
	if got := counter(t, g, c, "concurrency"); got != "0 of 2, 1 held" {
		t.Errorf("the counter says %s", got)
	}
}

// counter is what the admin API says of one limit of a key.
func counter(t testing.TB, g *harness.Gateway, c customer, name string) string {
	t.Helper()
	var page struct {
		Data []struct {
			Counter, Key      string
			Limit, Used, Held any
			ResetsAt          *time.Time `json:"resets_at"`
		}
	}
	g.MustAdmin(t, "GET", "/admin/v1/accounts/"+c.account+"/limits?limit=200", nil, &page)
	for _, l := range page.Data {
		if l.Counter == name && (l.Key == c.id || l.Key == "") {
			if strings.HasSuffix(name, "per_day") {
				if at := now(t, g); l.ResetsAt == nil || !l.ResetsAt.Equal(midnight(at)) {
					t.Errorf("%s resets at %v", name, l.ResetsAt)
				}
			}
			return fmt.Sprintf("%v of %v, %v held", l.Used, l.Limit, l.Held)
		}
	}
	return "none"
}

func midnight(at time.Time) time.Time { return at.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour) }

func TestRequestsADay(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	c := newCustomer(t, g, "10", limits(map[string]any{"requests_per_day": 3}))
	// Away from midnight, so that the day does not change by itself.
	advance(t, g, midnight(now(t, g)).Add(12*time.Hour).Sub(now(t, g)))
	post(t, c).is(t, 200)
	post(t, c).is(t, 200)
	// What fails is not counted.
	script(t, g, "m", `[{"fault":"error_500","times":3}]`)
	post(t, c).refused(t, 502, "upstream_error")
	script(t, g, "m", `[]`)
	postTo(t, c, "none").refused(t, 404, "model_not_found")

	// What others hold may come back at any moment: wait a second, not a day.
	script(t, g, "n", `[{"fault":"hang_stream","after":1}]`)
	leave := hang(t, c, "n")
	if r := post(t, c).refused(t, 429, "daily_requests_exceeded"); r.header.Get("Retry-After") != "1" {
		t.Errorf("while the last is only held: Retry-After %q", r.header.Get("Retry-After"))
	}
	if got := counter(t, g, c, "requests_per_day"); got != "2 of 3, 1 held" {
		t.Errorf("the counter says %s", got)
	}
	leave() // it is charged for what it got, so it counts
	eventually(t, "the third is counted", func() bool { return counter(t, g, c, "requests_per_day") == "3 of 3, 0 held" })

	before := now(t, g)
	r := post(t, c).refused(t, 429, "daily_requests_exceeded")
	wait := r.waits(t)
	within(t, "the wait for midnight", wait, midnight(before).Sub(now(t, g)), midnight(before).Sub(before)+time.Millisecond)
	if got := r.header.Get("X-Should-Retry"); got != "false" {
		t.Errorf("x-should-retry is %q", got)
	}
	if got := r.at(t, "error.message"); got != "Daily request limit exceeded (3/3). Resets at 00:00 UTC." {
		t.Errorf("the message is %q", got)
	}
	advance(t, g, midnight(before).Sub(now(t, g))-5*time.Second)
	post(t, c).refused(t, 429, "daily_requests_exceeded")
	advance(t, g, midnight(before).Sub(now(t, g)))
	for range 3 {
		post(t, c).is(t, 200)
	}
	post(t, c).refused(t, 429, "daily_requests_exceeded")
	settled(t, g)
}

// rush sends n requests at once, and those that may be sent again are, until
// each has been answered for good. It returns how many got an answer, and how
// many were refused with each code in the end.
func rush(t *testing.T, c customer, n int, body string) (ok int, codes map[string]int) {
	t.Helper()
	codes = map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for {
				r, err := try(t.Context(), c.g, call{path: "/v1/chat/completions", key: c.key, body: body})
				if err != nil {
					t.Error(err)
					return
				}
				var e struct{ Error struct{ Code string } }
				_ = json.Unmarshal(r.body, &e)
				if r.status != 200 && (r.header.Get("X-Should-Retry") == "true" || r.header.Get("Retry-After") == "1") {
					continue // what others held may be free by now
				}
				mu.Lock()
				if r.status == 200 {
					ok++
				} else {
					codes[e.Error.Code]++
				}
				mu.Unlock()
				return
			}
		})
	}
	wg.Wait()
	return ok, codes
}

// TestDollarsADayAreExact: under fifty requests at once a key spends its daily
// dollars to the last nano-dollar, and not one more.
func TestDollarsADayAreExact(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	advance(t, g, midnight(now(t, g)).Add(12*time.Hour).Sub(now(t, g)))
	c := newCustomer(t, g, "10", limits(map[string]any{"usd_per_day": "0.050999999"}))
	ok, codes := rush(t, c, 50, chat("m", ""))
	if ok != 16 || codes["daily_spend_exceeded"] != 34 { // sixteen at 0.003 are 0.048
		t.Errorf("%d passed, refused: %v", ok, codes)
	}
	if got := counter(t, g, c, "usd_per_day"); got != "0.048 of 0.050999999, 0.00 held" {
		t.Errorf("the counter says %s", got)
	}
	r := post(t, c).refused(t, 429, "daily_spend_exceeded")
	if need, left := r.header.Get("X-Required-USD"), r.header.Get("X-Available-USD"); need != "0.003" || left != "0.002999999" {
		t.Errorf("it needs %s, and %s is left", need, left)
	}
	if r.waits(t) > midnight(now(t, g)).Sub(now(t, g))+time.Minute || r.header.Get("X-Should-Retry") != "false" {
		t.Errorf("Retry-After %s, x-should-retry %s", r.header.Get("Retry-After"), r.header.Get("X-Should-Retry"))
	}
	g.MustAdmin(t, "PATCH", "/admin/v1/keys/"+c.id, map[string]any{"limits": map[string]any{"usd_per_day": "0.051"}}, nil)
	post(t, c).is(t, 200) // with a nano-dollar more it passes
	post(t, c).refused(t, 429, "daily_spend_exceeded")
	advance(t, g, midnight(now(t, g)).Sub(now(t, g)))
	post(t, c).is(t, 200)
	if a := g.AccountNow(t, c.account); a.BalanceUSD != "9.946" {
		t.Errorf("the balance is %s", a.BalanceUSD)
	}
	settled(t, g)
}

// TestTheBalanceIsExact: the same of the balance, by the request and by tokens.
func TestTheBalanceIsExact(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	c := newCustomer(t, g, "0.050999999", nil)
	ok, codes := rush(t, c, 50, chat("m", ""))
	if ok != 16 || codes["insufficient_balance"] != 34 {
		t.Errorf("%d passed, refused: %v", ok, codes)
	}
	r := post(t, c).refused(t, 402, "insufficient_balance")
	if need, left := r.header.Get("X-Required-USD"), r.header.Get("X-Available-USD"); need != "0.003" || left != "0.002999999" {
		t.Errorf("it needs %s, and %s is left", need, left)
	}
	c.credit(t, "0.000000001")
	post(t, c).is(t, 200)
	if a := g.AccountNow(t, c.account); a.BalanceUSD != "0.00" || a.HeldUSD != "0.00" {
		t.Errorf("the balance is %+v", a)
	}

	// By tokens more is held than is spent, so requests get in each other's way.
	d := newCustomer(t, g, "0.01", nil)
	body := chat("by-token", `"max_tokens":50`)
	ok, codes = rush(t, d, 50, body)
	spent := usd(t, "0.01") - usd(t, g.AccountNow(t, d.account).BalanceUSD)
	one := ask(t, g, call{path: "/v1/chat/completions", key: newCustomer(t, g, "1", nil).key, body: body}).is(t, 200)
	if each := usd(t, one.header.Get("X-Charge-USD")); spent != each*money.Amount(ok) || ok == 0 || codes["insufficient_balance"] != 50-ok {
		t.Errorf("%d passed at %s each, %s was spent, refused: %v", ok, each, spent, codes)
	}
	r = ask(t, g, call{path: "/v1/chat/completions", key: d.key, body: body}).refused(t, 402, "insufficient_balance")
	need, left := usd(t, r.header.Get("X-Required-USD")), usd(t, r.header.Get("X-Available-USD"))
	if left != usd(t, "0.01")-spent || need <= left {
		t.Errorf("it needs %s, %s is left and %s was spent", need, left, spent)
	}
	d.credit(t, (need - left - 1).String())
	ask(t, g, call{path: "/v1/chat/completions", key: d.key, body: body}).refused(t, 402, "insufficient_balance")
	d.credit(t, "0.000000001")
	ask(t, g, call{path: "/v1/chat/completions", key: d.key, body: body}).is(t, 200)
	settled(t, g)
}

func TestKeysHaveAllowlistsAndEnds(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	c := newCustomer(t, g, "10", map[string]any{"models": []string{"m", "by-*"}})
	post(t, c).is(t, 200)
	postTo(t, c, "by-token").is(t, 200)
	postTo(t, c, "n").refused(t, 403, "model_not_allowed")
	list := ask(t, g, call{method: "GET", path: "/v1/models", key: c.key}).is(t, 200)
	if got := list.at(t, "data.0.id") + " " + list.at(t, "data.1.id") + " " + list.at(t, "data.2.id"); got != "by-token m <absent>" {
		t.Errorf("the key may list %s", got)
	}
	ask(t, g, call{method: "GET", path: "/v1/models/n", key: c.key}).refused(t, 404, "model_not_found")
	g.MustAdmin(t, "PATCH", "/admin/v1/keys/"+c.id, map[string]any{"models": []string{"n"}}, nil)
	postTo(t, c, "n").is(t, 200)
	post(t, c).refused(t, 403, "model_not_allowed")

	at := now(t, g)
	ends := newCustomer(t, g, "10", map[string]any{"expires_at": at.Add(time.Hour).Format(time.RFC3339Nano)})
	post(t, ends).is(t, 200)
	advance(t, g, time.Hour-time.Minute)
	post(t, ends).is(t, 200)
	advance(t, g, at.Add(time.Hour).Sub(now(t, g)))
	post(t, ends).refused(t, 401, "invalid_api_key")
	status, body, err := g.Admin(t.Context(), "POST", "/admin/v1/accounts/"+c.account+"/keys", map[string]any{"name": "k", "expires_at": at.Format(time.RFC3339Nano)}, nil)
	if err != nil || status != 400 || member(t, body, "error.param") != "expires_at" {
		t.Errorf("a key that has ended is made: %d %s", status, body)
	}

	for _, state := range []struct {
		path   string
		in     map[string]any
		status int
		code   string
	}{
		{"/admin/v1/keys/" + c.id, map[string]any{"active": false}, 403, "key_inactive"},
		{"/admin/v1/keys/" + c.id, map[string]any{"active": true}, 200, ""},
		{"/admin/v1/accounts/" + c.account, map[string]any{"status": "suspended"}, 403, "key_inactive"},
		{"/admin/v1/accounts/" + c.account, map[string]any{"status": "active"}, 200, ""},
	} {
		g.MustAdmin(t, "PATCH", state.path, state.in, nil)
		if r := postTo(t, c, "n"); r.status != state.status || state.code != "" && r.at(t, "error.code") != state.code {
			t.Errorf("after %v: %d %s", state.in, r.status, r.body)
		}
	}
	g.MustAdmin(t, "DELETE", "/admin/v1/keys/"+c.id, nil, nil)
	postTo(t, c, "n").refused(t, 401, "invalid_api_key")
	settled(t, g)
}
