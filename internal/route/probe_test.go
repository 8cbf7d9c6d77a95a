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

// Failures of what was under way when a breaker opened are no failed probes: the
// target is not given up for them.
func TestWhatWasUnderWayDoesNotGiveATargetUp(t *testing.T) {
	t.Parallel()
	b := setup()
	h := NewHealth(b.clock.now, Norms{})
	for range 10 * givenUp * DefaultNorms.Failures {
		h.failed(false, verdict{code: fault.UpstreamFailed, breaker: true})
	}
	if ok, probe, _, _ := h.admit(false); !ok || !probe {
		t.Errorf("the last target there is: admitted %v, as a probe %v", ok, probe)
	}
}
