package operate

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/test/harness"
)

const samuraiHost = "samurai.localhost"

// example is the example of five services side by side, but for what the
// harness writes. Texts in pairs are replaced.
func example(t testing.TB, replace ...string) string {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(harness.Root(t), "examples", "five-services.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(src), "\nproviders:")
	if !ok {
		t.Fatal("the example has no providers")
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(rest, replace[i]) {
			t.Fatalf("the example does not say %q", replace[i])
		}
	}
	return "providers:" + strings.NewReplacer(replace...).Replace(rest)
}

// sockets is how many requests of a crowd are under way at most.
const sockets = 200

// crowd sends the same request n times at once, as far as there are sockets, and
// returns all answers.
func crowd(t testing.TB, c customer, q call, n int) []*reply {
	t.Helper()
	q.key = c.key
	out := make([]*reply, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, sockets) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				r, err := try(t.Context(), c.g, q)
				if err != nil || r.broke != nil {
					t.Errorf("request %d: %v", i, err)
					r = &reply{header: http.Header{}}
				}
				out[i] = r
			}
		})
	}
	wg.Wait()
	return out
}

// now reads the account.
func (c customer) now(t testing.TB) harness.Account { t.Helper(); return c.g.AccountNow(t, c.account) }

// fast are the limits of a key that must not be slowed down.
func fast() map[string]any { return limits(map[string]any{"rps": 100_000}) }

// TestABalanceWorthNGivesNAnswers lets crowds spend balances that are worth so
// many answers, with nothing over, or with a nano-dollar too little for one more.
func TestABalanceWorthNGivesNAnswers(t *testing.T) {
	t.Parallel()
	prices := map[string]money.Amount{"gpt-5-mini": 3_000_001, "deepseek-chat": 7, "gpt-4o": 17_999_999, "gpt-5": 1}
	g := harness.Start(t, harness.Options{Config: example(t,
		"gpt-5-mini: {price: {request: 0.003}}", "gpt-5-mini: {price: {request: 0.003000001}}",
		"deepseek-chat: {price: {request: 0.003}}", "deepseek-chat: {price: {request: 0.000000007}}",
		"gpt-4o: {price: {request: 0.006}}", "gpt-4o: {price: {request: 0.017999999}}",
		"gpt-5: {price: {request: 0.006}}", "gpt-5: {price: {request: 0.000000001}}")})
	for model, price := range prices {
		for _, n := range []int{1, 7, 100} {
			for over := range map[money.Amount]bool{0: true, price - 1: true} {
				t.Run(fmt.Sprintf("%s %d and %d", model, n, over), func(t *testing.T) {
					c := newCustomer(t, g, (money.Amount(n)*price + over).String(), and(fast(), atSite(ninjaHost)))
					answers := 0
					for _, r := range crowd(t, c, call{host: ninjaHost, path: "/api/v1/chat", body: chat(model, `"max_tokens":20`)}, n+40) {
						switch {
						case r.status == http.StatusOK:
							answers++
						case r.status != http.StatusPaymentRequired || r.at(t, "error") != "insufficient_credits":
							t.Errorf("%d %s", r.status, r.body)
						}
					}
					if a := c.now(t); answers != n || usd(t, a.BalanceUSD) != over || usd(t, a.HeldUSD) != 0 {
						t.Errorf("%d answers, %s left and %s held; want %d, %s and nothing", answers, a.BalanceUSD, a.HeldUSD, n, over)
					}
				})
			}
		}
	}
	settled(t, g)
}

// byTheToken asks the site of the default contract for an answer that is held
// for far more than it costs.
var byTheToken = call{host: openaiHost, path: "/v1/chat/completions", body: chat("gpt-5-mini", `"max_tokens":400`)}

// terms finds out what byTheToken needs, and what it costs in the end.
func terms(t testing.TB, g *harness.Gateway) (hold, charge money.Amount) {
	t.Helper()
	q := byTheToken
	q.key = newCustomer(t, g, "0", fast()).key
	hold = usd(t, ask(t, g, q).is(t, http.StatusPaymentRequired).header.Get("X-Required-USD"))
	q.key = newCustomer(t, g, "1", fast()).key
	charge = usd(t, ask(t, g, q).is(t, http.StatusOK).header.Get("X-Charge-USD"))
	if charge <= 0 || hold < 3*charge {
		t.Fatalf("a hold of %s and a charge of %s prove little", hold, charge)
	}
	return hold, charge
}

// isHeld reports whether an answer says that the balance is held, and when to
// come back.
func (r *reply) isHeld(t testing.TB) bool {
	t.Helper()
	if r.status != http.StatusPaymentRequired || r.at(t, "error.code") != "balance_held" {
		return false
	}
	if r.header.Get("X-Should-Retry") != "true" || r.header.Get("Retry-After") == "" {
		t.Errorf("balance_held with the headers %v", r.header)
	}
	return true
}

// TestNoMoreAtOnceThanAreHeld opens more streams than the balance can hold.
func TestNoMoreAtOnceThanAreHeld(t *testing.T) {
	t.Parallel()
	const n, asked = 5, 60
	g := harness.Start(t, harness.Options{Config: example(t)})
	hold, _ := terms(t, g)
	script(t, g, "gpt-5-mini", `[{"fault":"hang_stream","after":1,"times":-1}]`)
	c := newCustomer(t, g, ((n+1)*hold - 1).String(), fast())
	q := byTheToken
	q.key, q.body = c.key, chat("gpt-5-mini", `"max_tokens":400,"stream":true`)
	var wg sync.WaitGroup
	streams := make(chan *http.Response, asked)
	var held atomic.Int64
	for range asked {
		wg.Go(func() {
			resp, err := open(t.Context(), g, q)
			switch {
			case err != nil:
				t.Error(err)
			case resp.StatusCode == http.StatusOK:
				streams <- resp
			default:
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusPaymentRequired && resp.Header.Get("X-Should-Retry") == "true" && resp.Header.Get("Retry-After") != "" {
					held.Add(1)
				}
			}
		})
	}
	wg.Wait()
	close(streams)
	if len(streams) != n || held.Load() != asked-n {
		t.Errorf("%d streams, and %d who are to come back; want %d of %d", len(streams), held.Load(), n, asked)
	}
	if a := c.now(t); usd(t, a.HeldUSD) != n*hold {
		t.Errorf("%s is held, want %d times %s", a.HeldUSD, n, hold)
	}
	for resp := range streams {
		_ = resp.Body.Close()
	}
	settled(t, g)
}

// TestABalanceIsSpentToLessThanOneHold lets callers come back as often as they
// are told to. One after the other would be answered as long as the balance is a
// hold or more: so many answers must the crowd get.
func TestABalanceIsSpentToLessThanOneHold(t *testing.T) {
	t.Parallel()
	const callers, patience = 40, 20_000
	g := harness.Start(t, harness.Options{Config: example(t)})
	hold, charge := terms(t, g)
	begin := 5*hold + 4_321
	c := newCustomer(t, g, begin.String(), fast())
	q := byTheToken
	q.key = c.key
	var wg sync.WaitGroup
	var answers, returned, asked atomic.Int64
	for range callers {
		wg.Go(func() {
			for asked.Add(1) < patience {
				r, err := try(t.Context(), g, q)
				switch {
				case err != nil:
					t.Error(err)
					return
				case r.status == http.StatusOK:
					answers.Add(1)
				case r.isHeld(t):
					returned.Add(1)
				default: // and told so only when one hold is too much for the whole balance
					if r.header.Get("X-Should-Retry") != "false" || r.at(t, "error.code") != "insufficient_balance" {
						t.Errorf("%d %s", r.status, r.body)
					}
					return
				}
			}
			t.Error("no end of it")
		})
	}
	wg.Wait()
	want := int64((begin-hold)/charge) + 1
	left := usd(t, c.now(t).BalanceUSD)
	if answers.Load() != want || left >= hold || left != begin-money.Amount(want)*charge {
		t.Errorf("%d answers at %s and %s left of %s, want %d; a hold is %s", answers.Load(), charge, left, begin, want, hold)
	}
	if returned.Load() == 0 {
		t.Error("nobody was told to come back")
	}
	settled(t, g)
}

// TestTheWindowHoldsACrowd sends crowds while the clock moves on, and holds what
// was admitted against the definition: at most 60 in any 60 seconds, and none
// refused without need.
func TestTheWindowHoldsACrowd(t *testing.T) {
	t.Parallel()
	const n, per, size, rounds = 60, time.Minute, 45, 24
	g := harness.Start(t, harness.Options{Config: example(t)})
	c := newCustomer(t, g, "100", atSite(ninjaHost))
	q := call{host: ninjaHost, path: "/api/v1/chat", body: chat("gpt-5-mini", `"max_tokens":20`)}
	type round struct {
		from, to time.Time // of the gateway's clock, around all decisions
		admitted int
	}
	var all []round
	refused := 0
	for i := range rounds {
		r := round{from: advance(t, g, time.Duration(i%7)*3*time.Second)}
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 4 {
				if _, _, err := g.Admin(t.Context(), "POST", "/admin/v1/test/clock", map[string]any{"advance": "700ms"}, nil); err != nil {
					t.Error(err)
				}
			}
		})
		for _, a := range crowd(t, c, q, size) {
			switch {
			case a.status == http.StatusOK:
				r.admitted++
			case a.status != http.StatusTooManyRequests || a.at(t, "error") != "rate_limit_exceeded" || a.waits(t) > per:
				t.Errorf("%d %s", a.status, a.body)
			}
		}
		wg.Wait()
		r.to = now(t, g)
		refused += size - r.admitted
		free := n
		for _, before := range all {
			if before.to.After(r.from.Add(-per)) {
				free -= before.admitted
			}
		}
		if r.admitted < min(size, free) {
			t.Errorf("round %d: %d admitted, and at least %d were free", i, r.admitted, free)
		}
		all = append(all, r)
	}
	for i := range all {
		sum := 0
		for j := i; j < len(all) && all[j].to.Sub(all[i].from) < per; j++ {
			if sum += all[j].admitted; sum > n {
				t.Errorf("%d were admitted in the %v from round %d to %d", sum, all[j].to.Sub(all[i].from), i, j)
			}
		}
	}
	if took := all[rounds-1].to.Sub(all[0].from); took < 2*per || refused < n {
		t.Errorf("%d refused in %v prove little", refused, took)
	}
	settled(t, g)
}

// TestAPlanGivesWhatIsLeft asks a thousand times at once on a plan that has
// seventy requests left.
func TestAPlanGivesWhatIsLeft(t *testing.T) {
	t.Parallel()
	const left, asked = 70, 1000
	g := harness.Start(t, harness.Options{Config: example(t)})
	// Away from midnight, so that the day does not change by itself.
	advance(t, g, midnight(now(t, g)).Add(12*time.Hour).Sub(now(t, g)))
	c := newCustomer(t, g, "0", and(fast(), atSite(samuraiHost)))
	q := call{host: samuraiHost, path: "/v1/chat/completions", body: chat("gpt-5-mini", `"max_tokens":20`)}
	answers := 0
	for _, r := range crowd(t, c, q, asked) {
		if r.status == http.StatusOK {
			answers++
			continue
		}
		if r.status != http.StatusTooManyRequests || r.at(t, "error.type") != "rate_limit_exceeded" || r.at(t, "error.code") != "429" ||
			r.at(t, "error.message") != "Daily request limit reached for closed-source models. Resets at midnight UTC." {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if r.header.Get("X-Should-Retry") != "false" || r.header.Get("X-RateLimit-Limit-Requests") != "70" || r.header.Get("X-Charge-USD") != "0.00" {
			t.Errorf("a refusal has the headers %v", r.header)
		}
		// What others hold may come back, if they fail; what they used does not.
		if wait := r.waits(t); wait != time.Second {
			within(t, "the wait", wait, 11*time.Hour, 12*time.Hour)
		}
	}
	if answers != left {
		t.Errorf("%d answers, want %d", answers, left)
	}
	settled(t, g)
	q.key = c.key
	within(t, "the wait behind the crowd", ask(t, g, q).is(t, http.StatusTooManyRequests).waits(t), 11*time.Hour, 12*time.Hour)
}
