package route

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/provider"
)

// told collects changes of state.
type told []Change

func (l *told) notify(c Change) { *l = append(*l, c) }

func (l *told) take() []Change {
	out := []Change(*l)
	*l = nil
	return out
}

func TestARefusedCredentialIsKeptOutOfUseForAllModelsOfItsProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, changes := setup(), &told{}
		bad := NewCredential("p", time.Now, changes.notify)
		good := NewCredential("p#2", time.Now, changes.notify)
		make := func(id string, c *Credential, steps ...step) (*Target, *script) {
			target, s := b.target(id, steps...)
			target.Health = NewHealthOf(id, time.Now, Norms{}, c, changes.notify)
			return target, s
		}
		m1, s1 := make("p/m", bad, fail(fault.UpstreamAuth, false, true))
		m2, _ := make("p/m#2", good, says("hi"))
		n1, sn := make("p/n", bad, fail(fault.UpstreamAuth, false, true))
		n2, _ := make("p/n#2", good, says("hi"))
		for range 3 {
			for _, targets := range [][]*Target{{m1, m2}, {n1, n2}} {
				if _, a, err := b.open(Plan{Targets: targets}); err != nil || a.target.Health.credential != good {
					t.Fatal(err)
				}
			}
		}
		if s1.calls != 1 || sn.calls != 0 {
			t.Errorf("the refused key was used %d and %d times", s1.calls, sn.calls)
		}
		if s := n1.Health.Status(); s.Healthy || s.QuarantinedUntil != time.Now().Add(time.Minute) || s.Reason != "upstream_auth" {
			t.Errorf("the other model: %+v", s)
		}
		if d := cmp.Diff([]Change{{Credential: "p", State: StateQuarantined, Reason: "upstream_auth", For: time.Minute}}, changes.take()); d != "" {
			t.Error(d)
		}
		// It is tried again after one minute, two, four, and so on up to an hour, each
		// time once.
		var spans []time.Duration
		for range 8 {
			time.Sleep(time.Until(bad.until))
			before := s1.calls
			for range 3 {
				if _, _, err := b.open(Plan{Targets: []*Target{m1, m2}}); err != nil {
					t.Fatal(err)
				}
			}
			if s1.calls != before+1 {
				t.Errorf("after the quarantine it was used %d times", s1.calls-before)
			}
			spans = append(spans, time.Until(bad.until))
		}
		want := []time.Duration{2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour, time.Hour}
		if d := cmp.Diff(want, spans); d != "" {
			t.Error(d)
		}
		changes.take()
		time.Sleep(time.Until(bad.until))
		s1.steps = []step{says("hi")}
		if _, a, err := b.open(Plan{Targets: []*Target{m1, m2}}); err != nil || a.Target() != "p/m" {
			t.Errorf("a key that is good again: %v", err)
		}
		if d := cmp.Diff([]Change{{Credential: "p", State: StateInUse}}, changes.take()); d != "" {
			t.Error(d)
		}
		if !n1.Health.Fit() {
			t.Error("the other model is still out of use")
		}
	})
}

func TestWhatWasUnderWayDoesNotMakeItWorse(t *testing.T) {
	t.Parallel()
	b := setup()
	h := NewHealth(b.clock.now, Norms{})
	for range 20 { // all were sent before the first of them failed
		h.failed(false, verdict{code: fault.UpstreamAuth, quarantine: true})
		h.failed(false, verdict{code: fault.UpstreamFailed, breaker: true})
	}
	s := h.Status()
	if s.QuarantinedUntil != b.clock.t.Add(time.Minute) || h.openUntil != b.clock.t.Add(DefaultNorms.Open) {
		t.Errorf("quarantined until %v, open until %v", s.QuarantinedUntil.Sub(b.clock.t), h.openUntil.Sub(b.clock.t))
	}
}

func TestTheLastTargetIsAskedWhateverIsKnownOfIt(t *testing.T) {
	t.Parallel()
	for _, code := range []fault.Code{fault.UpstreamAuth, fault.UpstreamRateLimited, fault.UpstreamFailed} {
		b := setup()
		ta, sa := b.target("a", fail(code, false, true))
		tb, sb := b.target("b", fail(code, false, true))
		for range 2 * DefaultNorms.Failures {
			if _, _, err := b.open(Plan{Targets: []*Target{ta, tb}}); !fault.Is(err, code) {
				t.Fatalf("all are out of use: %v, want the real error, %v", err, code)
			}
		}
		if ta.Health.Fit() || tb.Health.Fit() {
			t.Fatalf("%v: still in use", code)
		}
		if sa.calls != 2*DefaultNorms.Failures || sb.calls != sa.calls {
			t.Errorf("%v: %d and %d calls", code, sa.calls, sb.calls)
		}
		sb.steps = []step{says("hi")}
		if got, _, err := b.open(Plan{Targets: []*Target{ta, tb}}); got == "" || !tb.Health.Fit() {
			t.Errorf("%v: one is back: %v", code, err)
		}
	}
}

func TestEachChangeOfStateIsToldOnce(t *testing.T) {
	t.Parallel()
	b, changes := setup(), &told{}
	target, s := b.target("a", fail(fault.UpstreamFailed, false, true))
	target.Health = NewHealthOf("a", b.clock.now, Norms{}, NewCredential("p", b.clock.now, changes.notify), changes.notify)
	p := Plan{Targets: []*Target{target}}
	for range 2 * DefaultNorms.Failures {
		_, _, _ = b.open(p)
	}
	b.clock.t = b.clock.t.Add(DefaultNorms.Open)
	target.Health.probeAfter = time.Time{}
	_, _, _ = b.open(p) // the probe fails as well
	s.steps = []step{says("hi")}
	for range 3 {
		if _, _, err := b.open(p); err != nil {
			t.Fatal(err)
		}
	}
	s.steps = []step{fail(fault.UpstreamRateLimited, false, true), says("hi")}
	s.calls = 0
	for range 3 {
		_, _, _ = b.open(p)
	}
	want := []Change{
		{Target: "a", State: StateOpen, Reason: "upstream_failed", For: DefaultNorms.Open},
		{Target: "a", State: StateInUse},
		{Target: "a", State: StateCooling, Reason: "upstream_rate_limited", For: 2 * time.Second},
		{Target: "a", State: StateInUse},
	}
	if d := cmp.Diff(want, changes.take()); d != "" {
		t.Error(d)
	}
}

func TestWhatALookFindsOutNoRequestHasTo(t *testing.T) {
	t.Parallel()
	b, changes := setup(), &told{}
	h := NewHealthOf("a", b.clock.now, Norms{}, NewCredential("p", b.clock.now, changes.notify), changes.notify)
	h.Checked(&provider.Failure{Fault: fault.New(fault.NoTarget, ""), Breaker: true})
	h.Checked(&provider.Failure{Fault: fault.New(fault.NoTarget, ""), Breaker: true})
	if s := h.Status(); s.Breaker != "open" || h.openFor != DefaultNorms.Open {
		t.Errorf("it is not there: %+v, for %v", s, h.openFor)
	}
	h.Checked(nil)
	if s := h.Status(); s.Breaker != "half_open" || !s.Healthy {
		t.Errorf("it is there again, and nobody was answered yet: %+v", s)
	}
	h.Checked(&provider.Failure{Fault: fault.New(fault.UpstreamAuth, ""), Quarantine: true})
	if s := h.Status(); s.QuarantinedUntil.IsZero() {
		t.Errorf("its credential was refused: %+v", s)
	}
	h.Checked(nil)
	if s := h.Status(); !s.QuarantinedUntil.IsZero() {
		t.Errorf("its credential is good again: %+v", s)
	}
	// What is no failure of the provider's changes nothing; nor does a 403, which may be
	// of the path alone: there are keys that may use models and not list them.
	h = NewHealth(b.clock.now, Norms{})
	h.Checked(&provider.Failure{Fault: &fault.Error{Code: fault.UpstreamAuth, UpstreamStatus: 403}, Quarantine: true})
	if !h.Fit() {
		t.Error("a key that may not see the path is kept from everything")
	}
	h.Checked(&provider.Failure{Fault: fault.New(fault.UpstreamRateLimited, "")})
	if !h.Fit() {
		t.Error("a look that came too often takes the target out of use")
	}
}

// A 403 may be of the model alone: where a credential is shared it keeps only that
// target out of use, as an open breaker does, and the credential's other models are
// asked with it. A 401 and an empty account are of the credential.
func TestAModelThatIsForbiddenDoubtsNoSharedCredential(t *testing.T) {
	t.Parallel()
	for status, shared := range map[int]bool{401: true, 402: true, 403: false} {
		b := setup()
		refused := fail(fault.UpstreamAuth, false, true)
		refused.open.Fault.UpstreamStatus = status
		c := NewCredential("p", b.clock.now, nil)
		c.Share()
		m, sm := b.target("p/m", refused)
		n, _ := b.target("p/n", says("hi"))
		other, _ := b.target("p/m#2", says("hi"))
		m.Health, n.Health = NewHealthOf("p/m", b.clock.now, Norms{}, c, nil), NewHealthOf("p/n", b.clock.now, Norms{}, c, nil)
		for range 3 {
			if _, a, err := b.open(Plan{Targets: []*Target{m, other}}); err != nil || a.Target() != "p/m#2" {
				t.Fatal(err)
			}
		}
		if s := m.Health.Status(); s.Healthy || s.Reason != "upstream_auth" || sm.calls != 1 {
			t.Errorf("%d: the target was asked %d times: %+v", status, sm.calls, s)
		}
		if n.Health.Fit() == shared {
			t.Errorf("%d: the other model is fit: %v", status, !shared)
		}
		if shared {
			continue
		}
		b.clock.t = b.clock.t.Add(DefaultNorms.Open)
		_, _, _ = b.open(Plan{Targets: []*Target{m, other}})
		if s := m.Health.Status(); s.Breaker != "open" || sm.calls != 2 {
			t.Errorf("after its time it was asked %d times: %+v", sm.calls, s)
		}
		b.clock.t = b.clock.t.Add(DefaultNorms.Open)
		if m.Health.Fit() {
			t.Error("refused again it is out of use for twice as long")
		}
	}
}
