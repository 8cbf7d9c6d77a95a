package limit

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tokens takes n of key 1 and fails if they are refused.
func tokens(t *testing.T, l *Limiter, r Rule, n int64) Lease {
	t.Helper()
	lease, e := l.TakeTokens(1, r, n)
	if e != nil {
		t.Fatalf("%d tokens: %v", n, e)
	}
	return lease
}

// wait is how long key 1 must wait for n tokens.
func wait(t *testing.T, l *Limiter, r Rule, n int64) time.Duration {
	t.Helper()
	_, e := l.TakeTokens(1, r, n)
	if e == nil {
		t.Fatalf("%d tokens are admitted", n)
	}
	if diff := cmp.Diff(&Exceeded{Wait: e.Wait, Limit: r.TokensPerMinute, Per: time.Minute, Source: Tokens}, e); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	return e.Wait
}

func TestAMinutesTokensAtOnceThenTheRate(t *testing.T) {
	t.Parallel()
	l, c := setup()
	r := Rule{TokensPerMinute: 600}
	tokens(t, l, r, 400)
	tokens(t, l, r, 200)
	if got := wait(t, l, r, 100); got != 10*time.Second { // ten a second
		t.Fatalf("a hundred more: %v", got)
	}
	c.advance(10*time.Second - 1)
	if got := wait(t, l, r, 100); got != 1 {
		t.Fatalf("a nanosecond early: %v", got)
	}
	c.advance(1)
	tokens(t, l, r, 100)
	// What is larger than a minute's worth passes a full bucket, and only that.
	if got := wait(t, l, r, 1_000_000); got != time.Minute {
		t.Fatalf("more than all: %v", got)
	}
	c.advance(time.Minute)
	tokens(t, l, r, 1_000_000)
	if got := wait(t, l, r, 1); got != 100*time.Millisecond {
		t.Fatalf("one more: %v", got)
	}
}

func TestTokensAreCorrectedToWhatWasUsed(t *testing.T) {
	t.Parallel()
	l, c := setup()
	r := Rule{TokensPerMinute: 600}
	less, more, none := tokens(t, l, r, 300), tokens(t, l, r, 100), tokens(t, l, r, 200)
	none.Correct(0)
	less.Correct(100)
	less.Correct(100) // once is enough
	want := Use{Limit: 600, Used: 200, Per: time.Minute, Next: 100 * time.Millisecond, Restore: 20 * time.Second, Source: Tokens}
	if diff := cmp.Diff([]Use{want}, l.Uses(1, r)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	more.Correct(1100) // a thousand that nobody had asked for
	if got := wait(t, l, r, 0); got != time.Minute {
		t.Fatalf("in debt for a minute: %v", got)
	}
	if got := l.Uses(1, r)[0].Used; got != 1200 {
		t.Fatalf("%d used, want 1200", got)
	}
	c.advance(time.Minute)
	if got := wait(t, l, r, 10); got != time.Second {
		t.Fatalf("with the debt paid and nothing left: %v", got)
	}
	more.Correct(0) // charged, and then taken back
	tokens(t, l, r, 600)
}

func TestADebtIsBounded(t *testing.T) {
	t.Parallel()
	l, _ := setup()
	r := Rule{TokensPerMinute: 1}
	lease := tokens(t, l, r, 1)
	lease.Correct(math.MaxInt64)
	if got := wait(t, l, r, 0); got > MaxDebt || got < MaxDebt-2*time.Minute {
		t.Fatalf("a wait of %v", got)
	}
	lease.Correct(-5)
	if u := l.Uses(1, r); u[0].Used < 0 {
		t.Fatalf("%+v", u)
	}
}

func TestTokensAndRequestsAreApart(t *testing.T) {
	t.Parallel()
	l, _ := setup()
	r := Rule{RPS: 1, Burst: 1, TokensPerMinute: 60}
	if _, e := l.Take(1, r); e != nil {
		t.Fatal(e)
	}
	tokens(t, l, r, 60)
	if _, e := l.Take(1, r); e == nil || e.Source != Throughput {
		t.Fatalf("%v", e)
	}
	if _, e := l.TakeTokens(1, Rule{}, 1000); e != nil {
		t.Fatalf("without a limit: %v", e)
	}
	if _, e := l.TakeTokens(2, r, 60); e != nil {
		t.Fatalf("another key: %v", e)
	}
}

func TestAChangedRateKeepsWhatWasUsed(t *testing.T) {
	t.Parallel()
	l, _ := setup()
	slow, fast := Rule{TokensPerMinute: 60}, Rule{TokensPerMinute: 6000}
	tokens(t, l, slow, 60)
	if got := wait(t, l, fast, 6000); got < 590*time.Millisecond || got > 610*time.Millisecond { // sixty of them are used
		t.Fatalf("raised: %v", got)
	}
	tokens(t, l, fast, 5900)
	if got := wait(t, l, slow, 1); got != time.Second {
		t.Fatalf("lowered below what is used: %v, want what one token takes", got)
	}
	if _, e := l.Take(1, Rule{RPS: 1e6, Burst: 1e6}); e != nil {
		t.Fatal(e)
	}
	for range 5000 {
		l.Take(1, Rule{RPS: 1e6, Burst: 1e6})
	}
	if _, e := l.Take(1, Rule{RPS: 0.1, Burst: 1}); e == nil || e.Wait != 10*time.Second {
		t.Fatalf("requests, lowered below what is used: %v, want what one request takes", e)
	}
}

func TestKeysWithTokensAreForgottenWhenTheyAreIdle(t *testing.T) {
	t.Parallel()
	l, c := setup()
	r := Rule{TokensPerMinute: 100}
	lease, other := tokens(t, l, r, 100), Rule{RPS: 1000, Burst: 1}
	sweep := func() {
		for range shards {
			c.advance(time.Second)
			l.Take(2, other)
		}
	}
	lease.Correct(300) // for three minutes
	sweep()
	if l.Len() != 2 {
		t.Fatalf("%d keys, want the one in debt and the sweeper's", l.Len())
	}
	c.advance(2 * time.Minute)
	sweep()
	if l.Len() != 1 {
		t.Fatalf("%d keys, want the sweeper's", l.Len())
	}
	// A lease outlives the state, and neither gives back nor owes to a wrong key.
	lease.Correct(0)
	tokens(t, l, r, 100)
	c.advance(10 * time.Minute)
	sweep()
	lease.Correct(50)
	if u := l.Uses(1, r)[0]; u.Used != 50 {
		t.Fatalf("%+v", u)
	}
}

// Over any window, the tokens taken are at most the rate's share of it, a
// minute's worth, and what was given back in it, less what was owed. So from the
// beginning to any admission, what was used is at most rate and burst. Nothing is
// ever below zero, and the wait that is told is exact.
func TestTokensInEveryWindowAreBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, c := setup()
		r := Rule{TokensPerMinute: rapid.Int64Range(1, 5000).Draw(t, "tpm")}
		type step struct {
			at          int64
			taken, back int64
		}
		var steps []step
		var open []Lease
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			c.advance(time.Duration(rapid.Int64Range(0, int64(40*time.Second)).Draw(t, "pause")))
			if len(open) > 0 && rapid.Bool().Draw(t, "end") {
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				had, is := open[i].taken, rapid.Int64Range(0, 2*r.TokensPerMinute).Draw(t, "actual")
				open[i].Correct(is)
				open = append(open[:i], open[i+1:]...)
				steps = append(steps, step{c.t.Load(), 0, had - is})
			} else {
				n := rapid.Int64Range(0, 2*r.TokensPerMinute).Draw(t, "estimate")
				lease, e := l.TakeTokens(1, r, n)
				if e != nil {
					c.advance(e.Wait - 1)
					if _, early := l.TakeTokens(1, r, n); early == nil || early.Wait != 1 {
						t.Fatalf("a nanosecond before the wait of %v is over: %v", e.Wait, early)
					}
					c.advance(1)
					if lease, e = l.TakeTokens(1, r, n); e != nil {
						t.Fatalf("after the exact wait: %v", e)
					}
				}
				if lease.taken != min(n, r.TokensPerMinute) {
					t.Fatalf("%d taken for %d", lease.taken, n)
				}
				open = append(open, lease)
				steps = append(steps, step{c.t.Load(), lease.taken, 0})
			}
			if u := l.Uses(1, r)[0]; u.Used < 0 || u.Restore < 0 || u.Next < 0 || u.Next > u.Restore {
				t.Fatalf("%+v", u)
			}
		}
		rate := float64(r.TokensPerMinute) / float64(time.Minute)
		for i := range steps {
			sum, back := int64(0), int64(0)
			for j := i; j < len(steps); j++ {
				sum += steps[j].taken
				if steps[j].taken > 0 {
					if most := rate*float64(steps[j].at-steps[i].at) + float64(r.TokensPerMinute+back) + 1e-3; float64(sum) > most {
						t.Fatalf("%d tokens in %v, and at most %v may be", sum, time.Duration(steps[j].at-steps[i].at), most)
					}
				}
				back += steps[j].back
			}
		}
	})
}

// I14 with rates that change: what was used stays used, counted in requests, so
// that over any window the admissions are at most what the rates in force gave
// in it, the last burst, and what was forgiven when a burst was lowered.
func TestAdmittedUnderChangingRatesIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, c := setup()
		type step struct {
			at       int64
			r        Rule
			admitted bool
		}
		var steps []step
		draw := func() Rule {
			return Rule{RPS: rapid.Float64Range(0.2, 50).Draw(t, "rps"), Burst: rapid.Int64Range(1, 8).Draw(t, "burst")}
		}
		r := draw()
		for range rapid.IntRange(2, 80).Draw(t, "steps") {
			c.advance(time.Duration(rapid.Int64Range(0, 400_000_000).Draw(t, "pause")))
			if rapid.IntRange(0, 4).Draw(t, "change") == 0 {
				r = draw()
			}
			_, e := l.Take(1, r)
			steps = append(steps, step{c.t.Load(), r, e == nil})
		}
		for i := range steps {
			n, gave, forgiven := 0, 0.0, int64(0)
			for j := i; j < len(steps); j++ {
				if j > i { // until then the rate was that of the step before
					gave += steps[j-1].r.RPS * float64(steps[j].at-steps[j-1].at) / 1e9
					forgiven += max(0, steps[j-1].r.Burst-steps[j].r.Burst)
				}
				if !steps[j].admitted {
					continue
				}
				n++
				if most := gave + float64(steps[j].r.Burst+forgiven) + 1e-3; float64(n) > most {
					t.Fatalf("%d in %v, and at most %v may be", n, time.Duration(steps[j].at-steps[i].at), most)
				}
			}
		}
	})
}

// Many take requests at once, on the short way and the long one, while the clock
// moves and the rate changes back and forth: in all no more are admitted than the
// higher rate and its burst allow, and what each lowering of the burst forgives.
func TestRequestsUnderConcurrency(t *testing.T) {
	t.Parallel()
	const workers, rounds = 16, 500
	high, low := Rule{RPS: 50, Burst: 20}, Rule{RPS: 10, Burst: 20}
	for name, more := range map[string][]Rule{"short": nil, "long": {{Concurrency: 1000}}} {
		for _, other := range []Rule{high, low} {
			t.Run(fmt.Sprint(name, " ", other.RPS), func(t *testing.T) {
				t.Parallel()
				l, c := setup()
				var ok atomic.Int64
				var wg sync.WaitGroup
				for w := range workers {
					wg.Go(func() {
						for i := range rounds {
							r := high
							if (i+w)%7 == 0 {
								r = other
							}
							c.advance(500 * time.Microsecond)
							if release, e := l.Take(1, append([]Rule{r}, more...)...); e == nil {
								ok.Add(1)
								release()
							}
						}
					})
				}
				wg.Wait()
				most := high.Burst + int64(math.Ceil(high.RPS*time.Duration(c.t.Load()).Seconds()))
				if got := ok.Load(); got > most || got < high.Burst {
					t.Errorf("%d admitted, want %d to %d", got, high.Burst, most)
				}
			})
		}
	}
}

// Many take, correct and look at once, on a clock that moves: in all no more is
// used than the rate, the bucket, and what is given back allow.
func TestTokensUnderConcurrency(t *testing.T) {
	t.Parallel()
	const workers, rounds, n = 16, 400, 7
	l, c := setup()
	r := Rule{TokensPerMinute: 6000}
	var taken, back atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				c.advance(time.Millisecond)
				lease, e := l.TakeTokens(1, r, n)
				if u := l.Uses(1, r)[0]; u.Used < 0 {
					t.Errorf("%+v", u)
				}
				if e != nil {
					continue
				}
				taken.Add(n)
				if (i+w)%3 == 0 {
					back.Add(n) // before it is, so that the bound always holds
					lease.Correct(0)
				}
			}
		})
	}
	wg.Wait()
	passed := time.Duration(c.t.Load())
	most := r.TokensPerMinute + int64(passed.Seconds()*float64(r.TokensPerMinute)/60) + 1
	if got := taken.Load() - back.Load(); got > most || got < r.TokensPerMinute/2 {
		t.Errorf("%d used in %v, want at most %d and much of that", got, passed, most)
	}
	c.advance(time.Hour)
	tokens(t, l, r, 6000)
	if _, e := l.TakeTokens(1, r, 1); e == nil {
		t.Error("the bucket holds more than a minute's worth")
	}
}

// Concurrent takes of one bucket admit exactly what is in it, to the token.
func TestConcurrentTokensAreExact(t *testing.T) {
	t.Parallel()
	l, _ := setup()
	r := Rule{TokensPerMinute: 1000}
	var ok atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 40 {
				if _, e := l.TakeTokens(1, r, 10); e == nil {
					ok.Add(10)
				}
			}
		})
	}
	wg.Wait()
	if ok.Load() != 1000 {
		t.Fatalf("%d tokens were admitted", ok.Load())
	}
}

// Not parallel: it counts allocations.
func TestTakingTokensAllocatesNothing(t *testing.T) {
	l := New(time.Now)
	r := Rule{TokensPerMinute: MaxTokens}
	lease, _ := l.TakeTokens(1, r, 1)
	got := testing.AllocsPerRun(100, func() {
		if lease, e := l.TakeTokens(1, r, 100); e == nil {
			lease.Correct(50)
		}
		lease.Correct(lease.taken + 1)
	})
	if got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

func BenchmarkTokens(b *testing.B) {
	l := New(time.Now)
	r := Rule{TokensPerMinute: MaxTokens}
	b.ReportAllocs()
	for b.Loop() {
		if lease, e := l.TakeTokens(1, r, 100); e == nil {
			lease.Correct(90)
		}
	}
}

// What is told of a limit is what is left, and when there will be more: exactly
// then one more passes, if nothing was left.
func TestAllowances(t *testing.T) {
	t.Parallel()
	l, c := setup()
	r := Rule{RPS: 0.25, Burst: 2, Requests: 3, Per: time.Hour, TokensPerMinute: 600, Concurrency: 9}
	if got := l.Allowances(nil, 1, Rule{Concurrency: 9}); got != nil {
		t.Fatalf("of requests at once: %+v", got)
	}
	for range 2 {
		if _, e := l.Take(1, r); e != nil {
			t.Fatal(e)
		}
		c.advance(time.Second)
	}
	lease := tokens(t, l, r, 100)
	lease.Correct(700)
	want := []Allowance{
		{Policy: "rps", Limit: 2, Remaining: 0, Window: 8 * time.Second, Reset: 2 * time.Second},
		{Policy: "requests", Limit: 3, Remaining: 1, Window: time.Hour, Reset: time.Hour - 2*time.Second},
		{Policy: "tokens_per_minute", Unit: "tokens", Limit: 600, Remaining: 0, Window: time.Minute, Reset: 10*time.Second + 100*time.Millisecond},
	}
	if diff := cmp.Diff(want, l.Allowances(nil, 1, r)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	if got := l.Allowances(nil, 2, Rule{RPS: 1, Burst: 1}); got[0].Remaining != 1 || got[0].Reset != 0 {
		t.Fatalf("of a key that nobody knows: %+v", got)
	}
	// A window that was lowered below what is used tells when there is room.
	few := Rule{Requests: 1, Per: time.Hour}
	got := l.Allowances(nil, 1, few)[0]
	if _, e := l.Take(1, few); e == nil || e.Wait != got.Reset || got.Remaining != 0 {
		t.Fatalf("%v, and it is told as %+v", e, got)
	}
}
