package parts

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/test/harness"
)

// move moves the gateway's clock and returns the time it is now.
func move(t testing.TB, g *harness.Gateway, d time.Duration) time.Time {
	t.Helper()
	var out struct{ Now time.Time }
	g.MustAdmin(t, "POST", "/admin/v1/test/clock", map[string]any{"advance": d.String()}, &out)
	return out.Now
}

// askWith asks with an idempotency key, and reports whether the answer was one
// from before.
func (c *caller) askWith(t testing.TB, key string) (a answer, again bool) {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", c.g.URL+"/v1/chat/completions", strings.NewReader(`{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Idempotency-Key", key)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var b strings.Builder
	if err := resp.Write(&b); err != nil {
		t.Fatal(err)
	}
	return answer{status: resp.StatusCode, body: b.String()}, resp.Header.Get("Idempotency-Replayed") == "true"
}

// Whatever the clock does, limits of a day, idempotency keys and grants go by it
// as they must, and the day never moves back: nobody gets a day twice.
func TestTheClockJumps(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	c := newCaller(t, g, 10, map[string]any{"limits": map[string]any{"requests_per_day": 2, "rps": 1000, "burst": 1000}})
	start := move(t, g, 0)
	noon := start.Truncate(24 * time.Hour).Add(36 * time.Hour) // tomorrow's
	c.g.MustAdmin(t, "POST", "/admin/v1/accounts/"+c.account+"/credits", map[string]any{"amount_usd": "5", "kind": "grant", "expires_at": noon.Add(60 * time.Hour)}, nil)
	paid, fromGrant := 0, 0
	for _, step := range []struct {
		name    string
		to      time.Duration // from noon
		serves  int           // of three requests
		replays bool          // an answer from noon is handed out again
		granted bool          // the grant is there
	}{
		{"noon", 0, 1, false, true}, // and one with the key
		{"an hour back", -time.Hour, 0, true, true},
		{"over midnight", 12*time.Hour + time.Second, 2, true, true},
		{"back over midnight", 11 * time.Hour, 0, true, true},
		{"back a year", -365 * 24 * time.Hour, 0, true, true},
		{"the next noon", 24 * time.Hour, 0, false, true},
		{"three days on", 72 * time.Hour, 2, false, false},
		{"back to noon", 0, 0, false, false},
		{"years on", 5 * 365 * 24 * time.Hour, 2, false, false},
	} {
		now := move(t, g, 0)
		if got := move(t, g, noon.Add(step.to).Sub(now)); got.Sub(noon.Add(step.to)).Abs() > 10*time.Second {
			t.Fatalf("%s: it is %v, not %v", step.name, got, noon.Add(step.to))
		}
		if step.replays || step.to == 0 && step.name == "noon" {
			a, again := c.askWith(t, "noon")
			if a.status != 200 || again != step.replays {
				t.Errorf("%s: with a key: %d, again: %t", step.name, a.status, again)
			}
			if !again {
				paid++
			}
		}
		serves := 0
		for i := range 3 {
			switch a := c.ask(t, "hi", i%2 == 0); {
			case a.whole(i%2 == 0):
				serves++
			case a.status != 429 || !strings.Contains(a.body, "daily") || a.after < 1:
				t.Errorf("%s: %v", step.name, a)
			case time.Duration(a.after)*time.Second > 24*time.Hour && step.to >= 0 && !strings.HasPrefix(step.name, "back"):
				t.Errorf("%s: it is to wait %d s for the next day", step.name, a.after)
			}
		}
		if serves != step.serves {
			t.Errorf("%s: %d requests were served, want %d", step.name, serves, step.serves)
		}
		paid += serves
		if step.granted {
			fromGrant = paid // it pays first, since it expires
		}
		want := c.credit - price*money.Amount(paid-fromGrant)
		if step.granted {
			want += 5*money.Dollar - price*money.Amount(fromGrant)
		}
		eventually(t, fmt.Sprintf("%s: a balance of %v after %d charges", step.name, want, paid), func() bool {
			a := g.AccountNow(t, c.account)
			return a.HeldUSD == "0.00" && usd(t, a.BalanceUSD) == want
		})
		if p := ready(t, g); p.status != 200 {
			t.Errorf("%s: %+v", step.name, p)
		}
	}
	g.Settled(t)
	if strings.Contains(g.Log(), "panic") {
		t.Errorf("something panicked:\n%s", g.Log())
	}
	// The next process takes up the real time, which is years before the last entry.
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	g.Run(t)
	g.Settled(t)
}

// A clock that goes back with requests in flight and keys with rates refuses
// nobody for longer than the rate says.
func TestTheClockGoesBackUnderARate(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	c := newCaller(t, g, 10, map[string]any{"limits": map[string]any{"rps": 50, "burst": 2}})
	running := c.open(t, 1)
	for n, by := range []time.Duration{0, -time.Hour, -400 * 24 * time.Hour, 800 * 24 * time.Hour, -time.Second} {
		move(t, g, by)
		served := 0
		for range 20 {
			a := c.ask(t, "hi", false)
			switch {
			case a.whole(false):
				served++
			case a.status != 429 || a.after < 1 || a.after > 1:
				t.Errorf("jump %d by %v: %v", n, by, a)
			}
			time.Sleep(5 * time.Millisecond)
		}
		if served < 2 {
			t.Errorf("jump %d by %v: %d of 20 requests were served at 50 a second", n, by, served)
		}
	}
	u.release()
	running.done.Wait()
	if a := running.answers[0]; !a.whole(true) {
		t.Errorf("what ran meanwhile: %v", a)
	}
	g.Settled(t)
}
