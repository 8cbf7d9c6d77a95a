package operate

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// atOpenAI and atNinja ask for a short answer at each of the two sites.
func atOpenAI(t testing.TB, c customer) *reply {
	t.Helper()
	return ask(t, c.g, call{host: openaiHost, path: "/v1/chat/completions", key: c.key, body: chat("gpt-5-mini", `"max_tokens":20`)})
}

func atNinja(t testing.TB, c customer) *reply {
	t.Helper()
	return ask(t, c.g, call{host: ninjaHost, path: "/api/v1/chat", key: c.key, body: chat("gpt-5-mini", `"max_tokens":20`)})
}

func atSite(site string) map[string]any { return map[string]any{"site": site} }

// TestTwoSitesInOneProcess: the Host header decides which contract, which paths,
// which keys and which prices are in force.
func TestTwoSitesInOneProcess(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: twoSites})
	everywhere, openai, ninja := newCustomer(t, g, "10", nil), newCustomer(t, g, "10", atSite("*")), newCustomer(t, g, "10", atSite(ninjaHost))
	for _, c := range []struct {
		c      customer
		prefix string
	}{{everywhere, "sk-pontage-"}, {openai, "sk-pontage-"}, {ninja, "nj_sk_"}} {
		if !strings.HasPrefix(c.c.key, c.prefix) {
			t.Errorf("the key %q does not start with %q", c.c.key, c.prefix)
		}
	}
	for _, c := range []customer{everywhere, openai} {
		atOpenAI(t, c).is(t, 200)
		if r := atNinja(t, c); r.status != 401 || r.at(t, "error") != "invalid_api_key" {
			t.Errorf("a key of one site at the other: %d %s", r.status, r.body)
		}
	}
	atNinja(t, ninja).is(t, 200)
	if r := atOpenAI(t, ninja); r.status != 401 || r.at(t, "error.code") != "invalid_api_key" {
		t.Errorf("a key of one site at the other: %d %s", r.status, r.body)
	}
	for _, c := range []struct {
		host, path string
		status     int
		code, at   string
	}{
		{openaiHost, "/api/v1/chat", 404, "unknown_url", "error.code"},
		{ninjaHost, "/v1/chat/completions", 404, "not_found", "error"},
		{"nowhere.example.com", "/v1/chat/completions", 401, "invalid_api_key", "error.code"}, // the site of every other host
		{"NINJA.localhost:8080", "/api/v1/chat", 401, "missing_api_key", "error"},
		{"ninja.localhost.", "/api/v1/chat", 401, "missing_api_key", "error"},
		{"ninja.localhost.example.com", "/api/v1/chat", 404, "unknown_url", "error.code"},
	} {
		r := ask(t, g, call{host: c.host, path: c.path, body: chat("gpt-5-mini", "")})
		if r.status != c.status || r.at(t, c.at) != c.code {
			t.Errorf("%s%s: %d %s, want %d %s", c.host, c.path, r.status, r.body, c.status, c.code)
		}
	}
	if r := ask(t, g, call{method: "GET", host: ninjaHost, path: "/api/v1/models", key: ninja.key}).is(t, 200); !strings.Contains(string(r.body), "gpt-5-mini") {
		t.Errorf("models of the second site: %s", r.body)
	}
	settled(t, g)
}

// TestAHostThatNoSiteHas is refused in JSON where no site takes every host.
func TestAHostThatNoSiteHas(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: "providers: {sim: {kind: sim}}\nsites: [{hosts: [\"ninja.localhost\"], contract: ninjachat}]\nmodels: {m: {targets: [{provider: sim}], price: {request: 0.001}}}\n"})
	for _, host := range []string{"", "other.localhost", "localhost"} {
		r := ask(t, g, call{host: host, path: "/api/v1/chat", body: "{}"})
		if r.status != 404 || !id.MatchString(r.header.Get("X-Request-ID")) || r.header.Get("Content-Type") != "application/json" || r.at(t, "error.message") == "" {
			t.Errorf("host %q: %d %v %s", host, r.status, r.header, r.body)
		}
	}
	c := newCustomer(t, g, "1", nil) // for the only site
	ask(t, g, call{host: ninjaHost, path: "/api/v1/chat", key: c.key, body: chat("m", "")}).is(t, 200)
}

// TestOnePriceByTokensAndOneByRequest: the same model costs by tokens at one
// site and by the request at the other, to the nano-dollar.
func TestOnePriceByTokensAndOneByRequest(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: twoSites})
	c := newCustomer(t, g, "10", nil)
	ninja := c
	ninja.key = g.NewKey(t, c.account, atSite(ninjaHost)).Key
	script(t, g, "gpt-5-mini", `[{"text":"a","usage":{"input":1000,"cached_input":400,"output":2000},"times":4}]`)

	r := ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: chat("gpt-5-mini", `"max_tokens":2000`)}).is(t, 200)
	// 600 at 0.25, 400 at 0.025 and 2000 at 2.00 for a million.
	if got := r.header.Get("X-Charge-USD"); got != "0.00416" {
		t.Errorf("by tokens: X-Charge-USD is %q", got)
	}
	if a := g.AccountNow(t, c.account); a.BalanceUSD != "9.99584" {
		t.Errorf("by tokens: the balance is %s", a.BalanceUSD)
	}
	r = atNinja(t, ninja).is(t, 200)
	if got := r.header.Get("X-Charge-USD"); got != "0.003" {
		t.Errorf("by request: X-Charge-USD is %q", got)
	}
	if a := g.AccountNow(t, c.account); a.BalanceUSD != "9.99284" {
		t.Errorf("by request: the balance is %s", a.BalanceUSD)
	}
	var receipt struct {
		Site      string
		ChargeUSD string `json:"charge_usd"`
		Lines     []struct {
			Kind      string
			Units     int64
			AmountUSD string `json:"amount_usd"`
		}
	}
	g.Receipt(t, r.header.Get("X-Request-ID"), func(r harness.Receipt) bool { return r.Delivery == "complete" })
	g.MustAdmin(t, "GET", "/admin/v1/requests/"+r.header.Get("X-Request-ID"), nil, &receipt)
	if got := fmt.Sprint(receipt); got != "{ninja.localhost 0.003 [{request 1 0.003}]}" {
		t.Errorf("the receipt says %s", got)
	}

	// A stream costs the same, and says so behind its end.
	streamed := ask(t, g, call{host: ninjaHost, path: "/api/v1/chat", key: ninja.key, body: chat("gpt-5-mini", `"stream":true`)}).is(t, 200)
	if got := streamed.trailer.Get("X-Charge-USD"); got != "0.003" {
		t.Errorf("a stream's trailer X-Charge-USD is %q", got)
	}
	// And what fails costs nothing.
	script(t, g, "gpt-5-mini", `[{"fault":"error_500","times":9}]`)
	if r := atNinja(t, ninja); r.status != 502 || r.header.Get("X-Charge-USD") != "0.00" {
		t.Errorf("a failure: %d, X-Charge-USD %q", r.status, r.header.Get("X-Charge-USD"))
	}
	if a := g.AccountNow(t, c.account); a.BalanceUSD != "9.98984" {
		t.Errorf("in the end the balance is %s", a.BalanceUSD)
	}
	settled(t, g)
}

// TestTheSitesLimitIsExact: at most 60 requests in any 60 seconds, for each key
// by itself, and only at the site that has the limit.
func TestTheSitesLimitIsExact(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: twoSites})
	c, other := newCustomer(t, g, "10", atSite(ninjaHost)), newCustomer(t, g, "10", atSite(ninjaHost))
	free := newCustomer(t, g, "10", nil)
	var first, third time.Time // when the first and the last of the first twenty were admitted, at least and at most
	for batch := range 3 {
		for range 20 {
			sent := now(t, g)
			atNinja(t, c).is(t, 200)
			if batch == 0 {
				if third = now(t, g); first.IsZero() {
					first = sent
				}
			}
		}
		if batch < 2 {
			advance(t, g, 20*time.Second)
		}
	}
	r := atNinja(t, c).is(t, http.StatusTooManyRequests)
	if r.at(t, "error") != "rate_limit_exceeded" {
		t.Errorf("the refusal is %s", r.body)
	}
	wait, at := r.waits(t), now(t, g)
	if most := time.Minute - at.Sub(third) + time.Second; wait <= 0 || wait > most {
		t.Errorf("told to wait %v, and %v is the most", wait, most)
	}
	atNinja(t, other).is(t, 200)
	atOpenAI(t, free).is(t, 200)

	// Just before the first of them leaves the window nothing has changed.
	if early := time.Minute - at.Sub(first) - 2*time.Second; early > 0 {
		advance(t, g, early)
		atNinja(t, c).is(t, http.StatusTooManyRequests)
	}
	// When the first twenty have left it, twenty may come and no more: the other
	// forty are in it still.
	advance(t, g, time.Minute-now(t, g).Sub(third)+time.Millisecond)
	for i := range 20 {
		if r := atNinja(t, c); r.status != 200 {
			t.Fatalf("request %d of the next twenty: %d %s", i+1, r.status, r.body)
		}
	}
	atNinja(t, c).is(t, http.StatusTooManyRequests)
	settled(t, g)
}

// TestTheBalanceIsWarnedOf below the site's bound, by the posted balance after
// the answer's own charge, and only at the site whose contract says so.
func TestTheBalanceIsWarnedOf(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: twoSites})
	c := newCustomer(t, g, "5.003", atSite(ninjaHost))
	if r := atNinja(t, c).is(t, 200); r.at(t, "balance_warning") != "<absent>" { // 5.000 is left
		t.Errorf("a balance of 5.00 is warned of: %s", r.body)
	}
	r := atNinja(t, c).is(t, 200) // 4.997, in whole cents
	if got := r.at(t, "balance_warning.warning") + ": " + r.at(t, "balance_warning.threshold"); got != "low_balance: Balance is $4.99. Consider adding credits soon." {
		t.Errorf("the warning is %q", got)
	}
	streamed := ask(t, g, call{host: ninjaHost, path: "/api/v1/chat", key: c.key, body: chat("gpt-5-mini", `"stream":true`)}).is(t, 200)
	if got := strings.Count(string(streamed.body), "balance_warning"); got != 1 || !strings.Contains(tail(streamed.body), "Balance is $4.99.") {
		t.Errorf("the warning stands %d times in a stream that ends with\n%s", got, tail(streamed.body))
	}
	c.key = g.NewKey(t, c.account, nil).Key
	if r := atOpenAI(t, c).is(t, 200); strings.Contains(string(r.body), "balance_warning") {
		t.Errorf("the other site warns as well: %s", r.body)
	}
}
