package route

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
)

func TestABrokenTargetIsPassedOverUntilItsTimeIsUp(t *testing.T) {
	t.Parallel()
	b := setup()
	ta, sa := b.target("a", fail(fault.UpstreamFailed, false, true))
	tb, _ := b.target("b", says("hi"))
	p := Plan{Targets: []*Target{ta, tb}}
	for range DefaultNorms.Failures {
		if _, _, err := b.open(p); err != nil {
			t.Fatal(err)
		}
	}
	if s := ta.Health.Status(); s.Healthy || s.Breaker != "open" || s.Reason != "upstream_failed" {
		t.Fatalf("after %d failures in a row: %+v, want an open breaker", DefaultNorms.Failures, s)
	}
	calls := sa.calls
	if _, _, err := b.open(p); err != nil || sa.calls != calls {
		t.Errorf("an open breaker let %d calls through (%v)", sa.calls-calls, err)
	}
	b.clock.t = b.clock.t.Add(DefaultNorms.Open)
	sa.steps = []step{says("back")}
	if got, _, _ := b.open(p); got != "role back end done" {
		t.Errorf("after %v: %q, want the first target again", DefaultNorms.Open, got)
	}
	if s := ta.Health.Status(); s.Breaker != "closed" {
		t.Errorf("after a probe that answered: %+v", s)
	}
}

func TestABreakerThatOpensAgainStaysOpenLonger(t *testing.T) {
	t.Parallel()
	b := setup()
	h := NewHealth(b.clock.now, Norms{})
	v := verdict{code: fault.UpstreamFailed, breaker: true}
	for range DefaultNorms.Failures {
		h.failed(false, v)
	}
	var opens []time.Duration
	for range 6 {
		opens = append(opens, h.openUntil.Sub(b.clock.t))
		b.clock.t = h.openUntil
		ok, probe, _ := h.admit(false)
		if !ok || !probe {
			t.Fatalf("admit after the time was up = %v, probe %v", ok, probe)
		}
		h.failed(probe, v)
	}
	want := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute}
	if d := cmp.Diff(want, opens); d != "" {
		t.Error(d)
	}
}

func TestTheLastTargetIsProbedByOneAtATime(t *testing.T) {
	t.Parallel()
	b := setup()
	ta, sa := b.target("a", fail(fault.UpstreamFailed, false, true))
	p := Plan{Targets: []*Target{ta}}
	for range DefaultNorms.Failures {
		_, _, _ = b.open(p)
	}
	if _, _, err := b.open(p); !fault.Is(err, fault.UpstreamFailed) {
		t.Errorf("the only target, broken: %v, want its real error", err)
	}
	sa.steps = []step{says("hi")}
	if ok, probe, _ := ta.Health.admit(false); !ok || !probe {
		t.Fatalf("admit = %v, probe %v", ok, probe)
	}
	_, _, err := b.open(p)
	if f := fault.From(err); f == nil || f.Code != fault.NoTarget || f.RetryAfter < time.Second {
		t.Errorf("while the probe is under way: %v, want no_target with a time to wait", err)
	}
	ta.Health.release(true) // the caller left: no verdict, and the place is free again
	if _, _, err := b.open(p); err != nil {
		t.Errorf("after the probe was given up: %v", err)
	}
}

func TestATargetThatIsGivenUpIsProbedOnceInAWhile(t *testing.T) {
	t.Parallel()
	b := setup()
	ta, sa := b.target("a", fail(fault.UpstreamFailed, false, true))
	p := Plan{Targets: []*Target{ta}}
	for range givenUp * DefaultNorms.Failures {
		if _, _, err := b.open(p); !fault.Is(err, fault.UpstreamFailed) {
			t.Fatalf("before it is given up: %v, want its real error", err)
		}
	}
	for range 2 {
		calls := sa.calls
		for range 3 {
			_, _, err := b.open(p)
			if f := fault.From(err); f == nil || f.Code != fault.NoTarget || f.RetryAfter < time.Second || f.RetryAfter > DefaultNorms.Open {
				t.Errorf("given up: %v, want no_target with a time to wait", err)
			}
		}
		if sa.calls != calls {
			t.Errorf("a target that is given up was asked %d times", sa.calls-calls)
		}
		b.clock.t = b.clock.t.Add(DefaultNorms.Open)
		if _, _, err := b.open(p); !fault.Is(err, fault.UpstreamFailed) {
			t.Errorf("after %v: %v, want a probe", DefaultNorms.Open, err)
		}
	}
	b.clock.t = b.clock.t.Add(DefaultNorms.Open)
	sa.steps = []step{says("back"), says("back")}
	for range 2 {
		if _, _, err := b.open(p); err != nil {
			t.Errorf("it is back: %v", err)
		}
	}
}

func TestACredentialThatWasRefusedIsQuarantined(t *testing.T) {
	t.Parallel()
	b := setup()
	ta, sa := b.target("a", fail(fault.UpstreamAuth, false, true))
	tb, _ := b.target("b", says("hi"))
	for range 3 {
		if _, _, err := b.open(Plan{Targets: []*Target{ta, tb}}); err != nil {
			t.Fatal(err)
		}
	}
	if s := ta.Health.Status(); sa.calls != 1 || s.QuarantinedUntil.IsZero() {
		t.Errorf("%d calls with a refused credential, status %+v", sa.calls, s)
	}
}

func TestACallersMistakesDoNotBreakATarget(t *testing.T) {
	t.Parallel()
	b := setup()
	ta, _ := b.target("a", fail(fault.ContextLengthExceeded, false, false))
	for range 3 * DefaultNorms.Failures {
		_, _, _ = b.open(Plan{Targets: []*Target{ta}})
	}
	if s := ta.Health.Status(); !s.Healthy {
		t.Errorf("status %+v", s)
	}
}
