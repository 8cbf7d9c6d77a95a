package route

import (
	"context"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/provider"
)

// held answers when it is told to.
type held struct {
	script
	asked, answer chan struct{}
}

func (s *held) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	s.asked <- struct{}{}
	<-s.answer
	return s.script.Open(ctx, c)
}

// Who comes while another request finds out whether the last target is back waits
// for that as for a second round, and is not refused.
func TestWhoComesDuringAProbeWaitsForIt(t *testing.T) {
	t.Parallel()
	b := setup()
	up := &held{script: script{steps: []step{says("hi")}}, asked: make(chan struct{}, 2), answer: make(chan struct{}, 2)}
	target := &Target{ID: "a", Provider: up, Model: "m", Health: NewHealth(b.clock.now, Norms{})}
	for range DefaultNorms.Failures {
		target.Health.failed(false, verdict{code: fault.UpstreamFailed, breaker: true})
	}
	plan := Plan{Targets: []*Target{target}}
	first := make(chan error, 1)
	go func() {
		var log []obs.Attempt
		a, err := b.router.Open(context.Background(), &llm.Request{Stream: true}, plan, &log)
		if err == nil {
			_ = a.Close()
		}
		first <- err
	}()
	<-up.asked // the probe is at the provider
	told := false
	second := &Router{Sleep: func(context.Context, time.Duration) error {
		if !told {
			told = true
			up.answer <- struct{}{} // of the probe, and of whoever asks next
			up.answer <- struct{}{}
			if err := <-first; err != nil {
				t.Errorf("the probe: %v", err)
			}
		}
		return nil
	}}
	var log []obs.Attempt
	a, err := second.Open(context.Background(), &llm.Request{Stream: true}, plan, &log)
	if err != nil {
		t.Fatalf("who came during the probe: %v", err)
	}
	_ = a.Close()
}

// breaks opens the target's breaker, and has a probe under way.
func breaks(t *testing.T, h *Health) {
	t.Helper()
	for range DefaultNorms.Failures {
		h.failed(false, verdict{code: fault.UpstreamFailed, breaker: true})
	}
	if ok, probe, _ := h.admit(false); !ok || !probe {
		t.Fatalf("admitted %v, as a probe %v", ok, probe)
	}
}

// To wait for a probe is not to try again: it costs nothing of the target's budget,
// needs nothing of it, and is for who wants no second try as well.
func TestWhoWaitsForAProbeTriesOnce(t *testing.T) {
	t.Parallel()
	b := setup()
	target, up := b.target("a", says("hi"))
	b.router.Sleep = func(context.Context, time.Duration) error {
		target.Health.answers(true, true, time.Second)
		return nil
	}
	for range 5 * budgetLeast {
		breaks(t, target.Health)
		if _, _, err := b.open(Plan{Targets: []*Target{target}, Attempts: 2, Impatient: true}); err != nil || b.outcomes() != "a:ok" {
			t.Fatalf("who came during a probe: %s (%v)", b.outcomes(), err)
		}
	}
	if up.calls != 5*budgetLeast {
		t.Errorf("%d calls of %d requests", up.calls, 5*budgetLeast)
	}
	for _, c := range target.Health.budget.seconds {
		if c.again != 0 {
			t.Errorf("%d of them count as tries again", c.again)
		}
	}
}

// Who waits for the probe of one target does not ask another one before that has
// had the quiet it asked for.
func TestAProbeElsewhereShortensNoRetryAfter(t *testing.T) {
	t.Parallel()
	b := setup()
	limited := fail(fault.UpstreamRateLimited, true, true)
	limited.open.Fault.RetryAfter, limited.open.Cooldown = 5*time.Second, 5*time.Second
	ta, sa := b.target("a", limited)
	tb, _ := b.target("b", says("hi"))
	breaks(t, tb.Health)
	_, _, err := b.open(Plan{Targets: []*Target{ta, tb}})
	if f := fault.From(err); f == nil || f.Code != fault.UpstreamRateLimited || f.RetryAfter != 5*time.Second || sa.calls != 1 {
		t.Errorf("%v after %d calls, want its own fault after one", err, sa.calls)
	}
}

// A credential that another target's request is trying out is waited for, too.
func TestWhoComesDuringTheProbeOfACredentialWaitsForIt(t *testing.T) {
	t.Parallel()
	b := setup()
	c := NewCredential("c", b.clock.now, nil)
	one, two := NewHealthOf("one", b.clock.now, Norms{}, c, nil), NewHealthOf("two", b.clock.now, Norms{}, c, nil)
	c.refused(fault.UpstreamAuth)
	b.clock.t = b.clock.t.Add(quarantineFor)
	if ok, probe, _ := one.admit(false); !ok || !probe {
		t.Fatalf("admitted %v, as a probe %v", ok, probe)
	}
	b.router.Sleep = func(context.Context, time.Duration) error {
		one.answers(true, true, time.Second)
		return nil
	}
	target, _ := b.target("two", says("hi"))
	target.Health = two
	if _, _, err := b.open(Plan{Targets: []*Target{target}}); err != nil {
		t.Errorf("who came during the probe: %v", err)
	}
}

// Failures of what was under way when a breaker opened are no failed probes: the
// target is not given up for them.
func TestWhatWasUnderWayDoesNotGiveATargetUp(t *testing.T) {
	t.Parallel()
	b := setup()
	h := NewHealth(b.clock.now, Norms{})
	for range 10 * givenUp * DefaultNorms.Failures {
		h.failed(false, verdict{code: fault.UpstreamFailed, breaker: true})
	}
	if ok, probe, _ := h.admit(false); !ok || !probe {
		t.Errorf("the last target there is: admitted %v, as a probe %v", ok, probe)
	}
}
