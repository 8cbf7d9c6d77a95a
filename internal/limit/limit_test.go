package limit

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// clock is a time that tests set.
type clock struct{ t atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_800_000_000, 0).Add(time.Duration(c.t.Load())) }
func (c *clock) advance(d time.Duration) { c.t.Add(int64(d)) }

func setup() (*Limiter, *clock) {
	c := new(clock)
	return New(c.now), c
}

func TestBurstPassesAtOnceThenTheRate(t *testing.T) {
	t.Parallel()
	l, c := setup()
	r := Rule{RPS: 10, Burst: 3}
	for i := range 3 {
		if _, e := l.Take(1, r); e != nil {
			t.Fatalf("take %d of the burst: %v", i+1, e)
		}
	}
	_, e := l.Take(1, r)
	want := &Exceeded{Wait: 100 * time.Millisecond, Limit: 3, Per: 300 * time.Millisecond, Source: Throughput}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Fatalf("fourth take (-want +got)\n%s", diff)
	}
	c.advance(e.Wait - 1)
	if _, e := l.Take(1, r); e == nil || e.Wait != 1 {
		t.Fatalf("a nanosecond early: %v, want a wait of 1ns", e)
	}
	c.advance(1)
	if _, e := l.Take(1, r); e != nil {
		t.Fatalf("after the wait: %v", e)
	}
}

func TestKeysDoNotShareLimits(t *testing.T) {
	t.Parallel()
	l, _ := setup()
	r := Rule{RPS: 1, Burst: 1, Requests: 1, Per: time.Minute}
	for key := range int64(300) {
		if _, e := l.Take(key, r); e != nil {
			t.Fatalf("first take of key %d: %v", key, e)
		}
	}
}

func TestNoMoreThanTheLimitInAnyWindow(t *testing.T) {
	t.Parallel()
	l, c := setup()
	r := Rule{Requests: 60, Per: time.Minute}
	for i := range 60 {
		if _, e := l.Take(1, r); e != nil {
			t.Fatalf("take %d: %v", i+1, e)
		}
	}
	// A bucket that leaks would let one through every second now.
	for range 59 {
		c.advance(time.Second)
		if _, e := l.Take(1, r); e == nil {
			t.Fatalf("admitted with 60 in the last minute")
		}
	}
	_, e := l.Take(1, r)
	want := &Exceeded{Wait: time.Second, Limit: 60, Per: time.Minute, Source: Throughput}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Fatalf("after 59 s (-want +got)\n%s", diff)
	}
	c.advance(time.Second)
	if _, e := l.Take(1, r); e != nil {
		t.Fatalf("after 60 s: %v", e)
	}
}

func TestRefusalTakesNothing(t *testing.T) {
	t.Parallel()
	l, c := setup()
	slots := Rule{Concurrency: 1, RPS: 2, Burst: 2, Requests: 2, Per: time.Minute}
	release, e := l.Take(1, slots)
	if e != nil {
		t.Fatal(e)
	}
	for range 10 {
		if _, e := l.Take(1, slots); e == nil || e.Source != Concurrency || e.Limit != 1 || e.Wait != 0 {
			t.Fatalf("with the slot taken: %v, want a refusal for concurrency", e)
		}
	}
	release()
	release() // once is enough, twice does no harm
	second, e := l.Take(1, slots)
	if e != nil {
		t.Fatalf("the refused requests took throughput: %v", e)
	}
	if _, e := l.Take(1, slots); e == nil || e.Source != Throughput {
		t.Fatalf("third request: %v, want a refusal for throughput", e)
	}
	second()
	c.advance(time.Minute)
	if _, e := l.Take(1, slots); e != nil {
		t.Fatalf("a minute later: %v", e)
	}
	if _, e := l.Take(1, slots); e == nil {
		t.Fatal("a double release freed a slot too many")
	}
}

func TestLongestWaitOfSeveralRulesIsReported(t *testing.T) {
	t.Parallel()
	l, c := setup()
	key, site := Rule{RPS: 1, Burst: 1}, Rule{Requests: 1, Per: time.Hour}
	if _, e := l.Take(1, key, site); e != nil {
		t.Fatal(e)
	}
	if _, e := l.Take(1, key, site); e == nil || e.Wait != time.Hour || e.Per != time.Hour {
		t.Fatalf("refusal = %+v, want the hour of the second rule", e)
	}
	c.advance(time.Hour - time.Millisecond)
	if _, e := l.Take(1, key, site); e == nil || e.Wait != time.Millisecond {
		t.Fatalf("refusal = %+v, want a wait of 1ms", e)
	}
}

func TestChangedRuleKeepsWhatWasUsed(t *testing.T) {
	t.Parallel()
	l, _ := setup()
	slow := Rule{RPS: 0.01, Burst: 10}
	for range 10 {
		if _, e := l.Take(1, slow); e != nil {
			t.Fatal(e)
		}
	}
	// Ten of ten are used; at the new rate that is ten of twenty.
	fast := Rule{RPS: 100, Burst: 20}
	for i := range 10 {
		if _, e := l.Take(1, fast); e != nil && i < 9 { // the last may be a nanosecond off
			t.Fatalf("take %d under the raised limit: %v", i+1, e)
		}
	}
	if _, e := l.Take(1, fast); e == nil || e.Wait > 11*time.Millisecond {
		t.Fatalf("raised limit: %v, want a wait of 10ms", e)
	}

	many, few := Rule{Requests: 5, Per: time.Minute}, Rule{Requests: 3, Per: time.Minute}
	for range 5 {
		if _, e := l.Take(2, many); e != nil {
			t.Fatal(e)
		}
	}
	if _, e := l.Take(2, few); e == nil || e.Wait != time.Minute {
		t.Fatalf("lowered limit: %v, want a wait of a minute", e)
	}
}

func TestReleaseFreesExactlyOneSlotUnderConcurrency(t *testing.T) {
	t.Parallel()
	l, _ := setup()
	r := Rule{Concurrency: 8}
	var inside, most atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 200 {
				release, e := l.Take(7, r)
				if e != nil {
					continue
				}
				n := inside.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				inside.Add(-1)
				release()
				release()
			}
		})
	}
	wg.Wait()
	if most.Load() > 8 {
		t.Fatalf("%d at once, limit 8", most.Load())
	}
	uses := l.Uses(7, r)
	if diff := cmp.Diff([]Use{{Limit: 8, Source: Concurrency}}, uses); diff != "" {
		t.Fatalf("when all have left (-want +got)\n%s", diff)
	}
}

func TestConcurrentTakesNeverExceedBurstOrWindow(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string][]Rule{
		"gcra":           {{RPS: 0.001, Burst: 100}},
		"window":         {{Requests: 100, Per: time.Hour}},
		"gcra twice":     {{RPS: 0.001, Burst: 100}, {RPS: 1, Burst: 120}},
		"gcra or window": {{RPS: 0.001, Burst: 150}, {Requests: 100, Per: time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, _ := setup()
			var ok atomic.Int64
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					for range 50 {
						if _, e := l.Take(1, rules...); e == nil {
							ok.Add(1)
						}
					}
				})
			}
			wg.Wait()
			if ok.Load() != 100 {
				t.Fatalf("admitted %d at once, want 100", ok.Load())
			}
		})
	}
}

// I14 of the ledger's invariants, for both ways to limit: over any window w,
// GCRA admits at most rate·w + burst, and the log at most N in any window W.
// The wait of a refusal is exact: a nanosecond less is refused, the wait is
// admitted.
func TestAdmittedInEveryWindowIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, c := setup()
		r := Rule{}
		if rapid.Bool().Draw(t, "gcra") {
			r.RPS = rapid.Float64Range(0.5, 50).Draw(t, "rps")
			r.Burst = rapid.Int64Range(1, 8).Draw(t, "burst")
		}
		if r.RPS == 0 || rapid.Bool().Draw(t, "window") {
			r.Requests = rapid.Int64Range(1, 8).Draw(t, "requests")
			r.Per = time.Duration(rapid.Int64Range(1, 3000).Draw(t, "per ms")) * time.Millisecond
		}
		rules := []Rule{r}
		switch rapid.IntRange(0, 2).Draw(t, "beside") {
		case 1:
			rules = append(rules, Rule{Concurrency: 100}) // sends GCRA the long way
		case 2:
			rules = []Rule{{}, r}
		}
		var admitted []int64
		for range rapid.IntRange(1, 60).Draw(t, "takes") {
			c.advance(time.Duration(rapid.Int64Range(0, 400_000_000).Draw(t, "pause")))
			release, e := l.Take(1, rules...)
			if e != nil {
				c.advance(e.Wait - 1)
				if _, early := l.Take(1, rules...); early == nil || early.Wait != 1 {
					t.Fatalf("a nanosecond before the wait of %v is over: %v", e.Wait, early)
				}
				c.advance(1)
				if release, e = l.Take(1, rules...); e != nil {
					t.Fatalf("after the exact wait: %v", e)
				}
			}
			release()
			admitted = append(admitted, c.t.Load())
		}
		for i := range admitted {
			for j := i; j < len(admitted); j++ {
				n, w := int64(j-i+1), admitted[j]-admitted[i]
				if r.RPS > 0 && float64(n) > math.Ceil(r.RPS*float64(w)/1e9)+float64(r.Burst) {
					t.Fatalf("%d in %v, over %v a second + %d", n, time.Duration(w), r.RPS, r.Burst)
				}
				if r.Requests > 0 && w < int64(r.Per) && n > r.Requests {
					t.Fatalf("%d in %v, over %d in any %v", n, time.Duration(w), r.Requests, r.Per)
				}
			}
		}
	})
}

func TestUsesReportWithoutTaking(t *testing.T) {
	t.Parallel()
	l, c := setup()
	r := Rule{RPS: 1, Burst: 5, Requests: 10, Per: time.Minute, Concurrency: 3}
	for range 2 {
		if _, e := l.Take(1, r); e != nil {
			t.Fatal(e)
		}
	}
	c.advance(500 * time.Millisecond)
	want := []Use{
		{Limit: 5, Used: 2, Per: 5 * time.Second, Next: 500 * time.Millisecond, Restore: 1500 * time.Millisecond, Source: Throughput, GCRA: true},
		{Limit: 10, Used: 2, Per: time.Minute, Next: 59500 * time.Millisecond, Restore: 59500 * time.Millisecond, Source: Throughput},
		{Limit: 3, Used: 2, Source: Concurrency},
	}
	for range 2 {
		if diff := cmp.Diff(want, l.Uses(1, r)); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	}
	if got := l.Uses(2, r); got[1].Used != 0 || l.Len() != 1 {
		t.Fatalf("asking after an unknown key: %+v and %d keys, want nothing used and no new key", got, l.Len())
	}
}

func TestIdleKeysAreForgottenAndBusyOnesAreNot(t *testing.T) {
	t.Parallel()
	l, c := setup()
	for key := range int64(10_000) {
		if _, e := l.Take(key, Rule{RPS: 1, Burst: 2, Requests: 3, Per: time.Minute}); e != nil {
			t.Fatal(e)
		}
	}
	_, e := l.Take(10_001, Rule{Concurrency: 1})
	if e != nil {
		t.Fatal(e)
	}
	if _, e := l.Take(10_002, Rule{Requests: 1, Per: time.Hour}); e != nil {
		t.Fatal(e)
	}
	c.advance(time.Minute)
	for range shards {
		c.advance(time.Second)
		l.Take(10_003, Rule{RPS: 1000, Burst: 1})
	}
	if n := l.Len(); n > 3 {
		t.Fatalf("%d keys remembered, want the 3 that are in use", n)
	}
	if _, e := l.Take(10_001, Rule{Concurrency: 1}); e == nil {
		t.Fatal("the sweep forgot a slot in use")
	}
	if _, e := l.Take(10_002, Rule{Requests: 1, Per: time.Hour}); e == nil {
		t.Fatal("the sweep forgot a window that has not passed")
	}
}

func TestWindowGivesItsMemoryBack(t *testing.T) {
	t.Parallel()
	var w window
	for i := range int64(50_000) {
		w.add(i)
	}
	if w.n != 50_000 || w.at(49_999) != 49_999 {
		t.Fatalf("log holds %d, newest %d", w.n, w.at(w.n-1))
	}
	w.drop(49_998)
	if w.n != 1 || w.at(0) != 49_999 {
		t.Fatalf("log holds %d", w.n)
	}
	w.drop(50_000)
	if w.ring != nil {
		t.Fatalf("an empty log keeps %d places", len(w.ring))
	}
}

func TestRuleBoundsNameTheField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{}, ""},
		{Rule{RPS: 0.5}, ""},
		{Rule{Requests: 100_000, Per: time.Second, Concurrency: 1}, ""},
		{Rule{RPS: -1}, "rps: must be between 0.001 and 1000000"},
		{Rule{RPS: math.NaN()}, "rps: must be between 0.001 and 1000000"},
		{Rule{RPS: math.Inf(1)}, "rps: must be between 0.001 and 1000000"},
		{Rule{Burst: 1}, "burst: has no meaning without rps"},
		{Rule{RPS: 1, Burst: 1e6 + 1}, "burst: must be between 1 and 1000000"},
		{Rule{Requests: 100_001, Per: time.Second}, "requests: must be between 1 and 100000"},
		{Rule{Requests: 1}, "per: is required with requests"},
		{Rule{Per: time.Second}, "per: has no meaning without requests"},
		{Rule{Requests: 1, Per: 1}, "per: must be between 1ms and 168h0m0s"},
		{Rule{TokensPerMinute: MaxTokens}, ""},
		{Rule{TokensPerMinute: -1}, "tokens_per_minute: must be between 1 and 10000000000"},
		{Rule{TokensPerMinute: MaxTokens + 1}, "tokens_per_minute: must be between 1 and 10000000000"},
		{Rule{Concurrency: -1}, "concurrency: must be between 1 and 1000000"},
	} {
		got := ""
		if err := c.rule.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.rule, got, c.want)
		}
	}
}

func TestExtremeRulesDoNotOverflow(t *testing.T) {
	t.Parallel()
	for _, r := range []Rule{{RPS: 1e-9, Burst: math.MaxInt64}, {RPS: math.Inf(1)}, {RPS: 1e300, Burst: 1}, {RPS: MinRPS, Burst: MaxBurst}} {
		l, _ := setup()
		admitted := 0
		for range 10 {
			if _, e := l.Take(1, r); e == nil {
				admitted++
			} else if e.Wait <= 0 {
				t.Errorf("%+v: a wait of %v", r, e.Wait)
			}
		}
		if admitted == 0 {
			t.Errorf("%+v admits nothing", r)
		}
	}
}

// Not parallel: it counts allocations.
func TestTakeAllocatesOnlyForASlot(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules []Rule
		want  float64
	}{
		{"nothing", []Rule{{}}, 0},
		{"gcra", []Rule{{RPS: 1e6, Burst: 1e6}}, 0},
		{"window", []Rule{{}, {Requests: 100_000, Per: time.Hour}}, 0},
		{"slot", []Rule{{Concurrency: 10}}, 2},
	} {
		l := New(time.Now)
		if release, _ := l.Take(1, c.rules...); release != nil {
			release()
		}
		got := testing.AllocsPerRun(100, func() {
			if release, e := l.Take(1, c.rules...); e == nil {
				release()
			}
		})
		if got > c.want {
			t.Errorf("%s: %v allocations, want at most %v", c.name, got, c.want)
		}
	}
}

func BenchmarkGCRA(b *testing.B) {
	l := New(time.Now)
	r := Rule{RPS: 1e6, Burst: 1e6}
	b.ReportAllocs()
	for b.Loop() {
		l.Take(1, r)
	}
}

// The arithmetic alone, without clock, lookup or locks.
func BenchmarkGCRASlot(b *testing.B) {
	var s slot
	l := New(time.Now)
	r := Rule{RPS: 1e6, Burst: 1e6}
	now := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		now += 1000
		s.take(l, now, r)
	}
}

func BenchmarkWindow(b *testing.B) {
	c := new(clock)
	l := New(c.now)
	r := Rule{Requests: 1000, Per: time.Second}
	b.ReportAllocs()
	for b.Loop() {
		c.advance(time.Millisecond)
		l.Take(1, r)
	}
}

func BenchmarkConcurrency(b *testing.B) {
	l := New(time.Now)
	r := Rule{RPS: 1e6, Burst: 1e6, Concurrency: 10}
	b.ReportAllocs()
	for b.Loop() {
		if release, e := l.Take(1, r); e == nil {
			release()
		}
	}
}
