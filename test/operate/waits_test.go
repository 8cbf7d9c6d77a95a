package operate

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// stopClock holds the gateway's clock where it is, so that only tests move it.
func stopClock(t testing.TB, g *harness.Gateway) {
	t.Helper()
	g.MustAdmin(t, "POST", "/admin/v1/test/clock", map[string]any{"advance": "0s", "stop": true}, nil)
}

// TestTheWaitThatIsToldIsTheWaitThatIsNeeded, to the millisecond: of each limit
// whose end is known, on a clock that only the test moves.
func TestTheWaitThatIsToldIsTheWaitThatIsNeeded(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	stopClock(t, g)
	q := call{path: "/v1/chat/completions", body: chat("m", `"max_tokens":300`)}
	for _, l := range []struct {
		name   string
		limits map[string]any
		pause  time.Duration // between the requests that use the limit up
		used   int           // how many do
		source string
		far    bool // so that SDKs are told not to wait
	}{
		{"rps", map[string]any{"rps": 0.3, "burst": 3}, 700 * time.Millisecond, 3, "throughput", false},
		{"many rps", map[string]any{"rps": 70, "burst": 1}, 0, 1, "throughput", false},
		{"few rps", map[string]any{"rps": 0.01, "burst": 1}, 0, 1, "throughput", true},
		{"window", map[string]any{"requests": 3, "per": "7321ms"}, 1100 * time.Millisecond, 3, "throughput", false},
		{"both", map[string]any{"requests": 2, "per": "90s", "rps": 1, "burst": 2}, time.Second, 2, "throughput", true},
		{"tokens", map[string]any{"tokens_per_minute": 977}, 0, 30, "tokens", false}, // each uses some 50 to 80
		{"requests a day", map[string]any{"requests_per_day": 2}, time.Hour, 2, "key_day_requests", true},
		{"dollars a day", map[string]any{"usd_per_day": "0.006999999"}, time.Hour, 2, "key_day_usd", true},
	} {
		t.Run(l.name, func(t *testing.T) {
			// Away from midnight, so that the day does not change by itself.
			advance(t, g, midnight(now(t, g)).Add(12*time.Hour).Sub(now(t, g)))
			c := newCustomer(t, g, "10", limits(l.limits))
			q.key = c.key
			var r *reply
			for n := 0; ; n++ {
				if r = ask(t, g, q); r.status != 200 {
					if n == 0 || n > l.used {
						t.Fatalf("%d passed", n)
					}
					break
				}
				advance(t, g, l.pause)
			}
			for range 3 {
				r.is(t, http.StatusTooManyRequests)
				wait := r.waits(t)
				if got := r.header.Get("X-Limit-Source"); got != l.source {
					t.Errorf("the source is %q, want %q", got, l.source)
				}
				if got := r.header.Get("X-Should-Retry"); got != fmt.Sprint(!l.far) && !(wait <= time.Minute && got == "true") {
					t.Errorf("x-should-retry is %q for a wait of %v", got, wait)
				}
				if l.far && l.pause == time.Hour {
					if want := midnight(now(t, g)).Sub(now(t, g)); wait < want || wait >= want+time.Millisecond {
						t.Errorf("the wait is %v, and midnight in %v", wait, want)
					}
				}
				advance(t, g, wait-time.Millisecond)
				early := ask(t, g, q).is(t, http.StatusTooManyRequests)
				if got := early.waits(t); got != time.Millisecond {
					t.Errorf("a millisecond early it is %v", got)
				}
				advance(t, g, time.Millisecond)
				ask(t, g, q).is(t, 200)
				for r = ask(t, g, q); r.status == 200; r = ask(t, g, q) {
				}
			}
			settled(t, g)
		})
	}
}

// TestADayOfRequestsEndsAtMidnight, wherever the clock leaps to: over midnight by
// a nanosecond, and over a month at once. A request belongs to the day it was
// admitted on, even if it ends on another.
func TestADayOfRequestsEndsAtMidnight(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	stopClock(t, g)
	script(t, g, "n", `[{"first_ms":300}]`)
	c := newCustomer(t, g, "10", limits(map[string]any{"requests_per_day": 1}))
	advance(t, g, midnight(now(t, g)).Sub(now(t, g))-time.Millisecond)
	post(t, c).is(t, 200)
	if got := post(t, c).refused(t, 429, "daily_requests_exceeded").waits(t); got != time.Millisecond {
		t.Errorf("a millisecond before midnight it is %v", got)
	}
	advance(t, g, time.Millisecond)
	// Midnight comes while it is answered: it counts on the day it came.
	done := make(chan *reply, 1)
	go func() {
		r, err := try(t.Context(), g, call{path: "/v1/chat/completions", key: c.key, body: chat("n", "")})
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	eventually(t, "the request is held", func() bool { return counter(t, g, c, "requests_per_day") == "0 of 1, 1 held" })
	if r := post(t, c).refused(t, 429, "daily_requests_exceeded"); r.header.Get("Retry-After") != "1" || r.waits(t) != time.Second {
		t.Errorf("while it is only held: %v", r.header)
	}
	advance(t, g, 24*time.Hour)
	post(t, c).is(t, 200)
	(<-done).is(t, 200)
	post(t, c).refused(t, 429, "daily_requests_exceeded")
	advance(t, g, 31*24*time.Hour+5*time.Hour)
	post(t, c).is(t, 200)
	if got := post(t, c).refused(t, 429, "daily_requests_exceeded").waits(t); got != 19*time.Hour {
		t.Errorf("at five in the morning it is %v", got)
	}
	settled(t, g)
}

// TestAWaitForWhatIsOnlyHeldIsASecond: of a limit that only requests in flight
// stand in the way of, nobody knows the end.
func TestAWaitForWhatIsOnlyHeldIsASecond(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	stopClock(t, g)
	script(t, g, "n", `[{"fault":"hang_stream","after":1,"times":-1}]`)
	for name, l := range map[string]map[string]any{
		"concurrency":      {"concurrency": 1},
		"requests_per_day": {"requests_per_day": 1},
		"usd_per_day":      {"usd_per_day": "0.005"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCustomer(t, g, "10", limits(l))
			defer hang(t, c, "n")()
			r := post(t, c).is(t, 429)
			if r.waits(t) != time.Second || (r.header.Get("X-Should-Retry") == "true") != (name == "concurrency") {
				t.Errorf("%v", r.header)
			}
		})
	}
}
