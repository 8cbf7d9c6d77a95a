package route

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/provider"
)

func TestTryingAgainAddsATenthToTheLoadOfATarget(t *testing.T) {
	t.Parallel()
	b := setup()
	ta, sa := b.target("a", fail(fault.UpstreamFailed, true, true))
	ta.Health.SetNorms(Norms{Failures: 1_000_000}) // the breaker stays out of it
	ta.Health.windowStart, ta.Health.seen = b.clock.t, -1<<30
	p := Plan{Targets: []*Target{ta}, Attempts: 2}
	const requests = 400
	told := 0
	for range requests {
		if _, _, err := b.open(p); !fault.Is(err, fault.UpstreamFailed) {
			t.Fatal(err)
		}
		if b.outcomes() == "a:upstream_failed a:skipped: retry_budget" {
			told++
		}
	}
	if again := sa.calls - requests; again < requests/20 || again > requests/10+budgetLeast {
		t.Errorf("%d requests were tried again %d times", requests, again)
	}
	if told != 2*requests-sa.calls {
		t.Errorf("%d of %d receipts tell that the budget was spent", told, 2*requests-sa.calls)
	}
	if n := len(b.slept); n > sa.calls-requests {
		t.Errorf("slept %d times before %d tries", n, sa.calls-requests)
	}
	// A few are allowed to whoever asks seldom, and ten seconds later again.
	for range 2 {
		b.clock.t = b.clock.t.Add(budgetWindow * time.Second)
		sa.calls = 0
		for range 2 * budgetLeast {
			_, _, _ = b.open(p)
		}
		if again := sa.calls - 2*budgetLeast; again != budgetLeast {
			t.Errorf("%d requests in ten seconds were tried again %d times, want %d", 2*budgetLeast, again, budgetLeast)
		}
	}
}

// Many that fail at the same moment share one budget: none is promised what others
// are about to spend.
func TestManyAtOnceTryAgainWithinTheBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &failing{}
		h := NewHealth(time.Now, Norms{Failures: 1_000_000}) // the breaker stays out of it
		h.windowStart, h.seen = time.Now(), -1<<30
		p := Plan{Targets: []*Target{{ID: "a", Provider: s, Model: "m", Health: h}}}
		const requests = 400
		for range requests {
			go func() {
				var log []obs.Attempt
				_, _ = new(Router).Open(t.Context(), &llm.Request{Stream: true}, p, &log)
			}()
		}
		time.Sleep(time.Minute)
		if again := s.calls.Load() - requests; again < 1 || again > requests/10 {
			t.Errorf("%d requests were tried again %d times", requests, again)
		}
	})
}

// failing fails after a second.
type failing struct {
	script
	calls atomic.Int64
}

func (s *failing) Open(context.Context, provider.Call) (llm.Stream, error) {
	s.calls.Add(1)
	time.Sleep(time.Second)
	return nil, &provider.Failure{Fault: fault.New(fault.UpstreamFailed, ""), Retry: true, Failover: true, Breaker: true, Sent: true}
}

func TestAnotherTargetIsNoExtraLoad(t *testing.T) {
	t.Parallel()
	b := setup()
	ta, _ := b.target("a", fail(fault.UpstreamRateLimited, false, true))
	tb, sb := b.target("b", says("hi"))
	for range 5 * budgetLeast {
		if _, _, err := b.open(Plan{Targets: []*Target{ta, tb}}); err != nil {
			t.Fatal(err)
		}
	}
	if sb.calls != 5*budgetLeast {
		t.Errorf("%d of %d requests failed over", sb.calls, 5*budgetLeast)
	}
}

// patient is a provider that answers after so long, unless its timers are over.
type patient struct {
	script
	after time.Duration
	got   []provider.Timeouts
}

func (s *patient) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	s.got = append(s.got, c.Timeouts)
	if limit := min(c.Timeouts.Headers, c.Timeouts.FirstEvent); limit < s.after {
		time.Sleep(limit)
		return nil, &provider.Failure{Fault: fault.New(fault.UpstreamTimeout, "").With("phase", "first_event"), Failover: true, Breaker: true, Sent: true}
	}
	time.Sleep(s.after)
	return s.script.Open(ctx, c)
}

func TestNobodyIsServedBeyondHisPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		s := &patient{script: script{steps: []step{says("hi")}}, after: time.Minute}
		target := &Target{ID: "a", Provider: s, Model: "m", Health: NewHealth(time.Now, Norms{})}
		other, calls := b.target("b", says("hi"))
		for range 2 * DefaultNorms.Failures {
			start := time.Now()
			_, _, err := b.open(Plan{Targets: []*Target{target, other}, Patience: 3 * time.Second})
			if took := time.Since(start); !fault.Is(err, fault.UpstreamTimeout) || took != 3*time.Second || calls.calls != 0 {
				t.Fatalf("%v after %v and %d calls of the next target", err, took, calls.calls)
			}
		}
		if st := target.Health.Status(); !st.Healthy || st.Failures != 0 {
			t.Errorf("callers in a hurry count against the target: %+v", st)
		}
		if got := s.got[0]; got.Headers != 3*time.Second || got.FirstEvent != 3*time.Second || got.Total != 3600*time.Second {
			t.Errorf("the timers of a stream: %+v", got)
		}
		if got := (&Plan{Start: time.Now(), Patience: 2 * time.Second}).timeouts(&Target{Timeouts: provider.Timeouts{FirstEvent: -1}}, &llm.Request{}); got.Total != 2*time.Second || got.FirstEvent != 2*time.Second {
			t.Errorf("the timers of a whole answer: %+v", got)
		}
		// A target that is slow of its own does count.
		for range DefaultNorms.Failures {
			_, _, _ = b.open(Plan{Targets: []*Target{{ID: "a", Provider: &patient{after: time.Hour}, Model: "m", Health: target.Health}}, Patience: 10 * time.Minute})
		}
		if st := target.Health.Status(); st.Breaker != "open" {
			t.Errorf("a target that says nothing for its own time: %+v", st)
		}
	})
}

func TestNoTryBeginsAndNoWaitEndsAfterTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.router.Base, b.router.Most = 10*time.Second, 10*time.Second
		asked := fail(fault.UpstreamRateLimited, true, true)
		asked.open.Fault.RetryAfter = 5 * time.Second
		ta, sa := b.target("a", asked)
		start := time.Now()
		_, _, err := b.open(Plan{Targets: []*Target{ta}, Within: 4 * time.Second})
		if !fault.Is(err, fault.UpstreamRateLimited) || sa.calls != 1 || time.Since(start) != 0 {
			t.Errorf("%v after %d calls and %v", err, sa.calls, time.Since(start))
		}
		// The time of a request that began before counts from then.
		time.Sleep(5 * time.Second)
		_, _, err = b.open(Plan{Targets: []*Target{ta}, Within: 4 * time.Second, Start: start})
		if f := fault.From(err); f == nil || f.Code != fault.UpstreamTimeout || sa.calls != 1 {
			t.Errorf("%v after %d calls", err, sa.calls)
		}
	})
}
