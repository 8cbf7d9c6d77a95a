package route

import (
	"context"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
)

// A breaker opens for a share of the requests of a window as its norms say, and not
// one request sooner.
func TestTheShareThatOpensABreakerIsAsConfigured(t *testing.T) {
	t.Parallel()
	bad := verdict{code: fault.UpstreamFailed, breaker: true}
	for _, c := range []struct {
		name   string
		norms  Norms
		every  int           // so many answers to each failure
		apart  time.Duration // between two requests
		opened int           // after so many requests; 0: never within 100
	}{
		{"half of twenty within half a minute", Norms{Failures: 1000}, 1, 0, 20},
		{"a third is less than half", Norms{Failures: 1000}, 2, 0, 0},
		{"a third is enough", Norms{Failures: 1000, Share: 33}, 2, 0, 21},
		{"of four", Norms{Failures: 1000, Sample: 4}, 1, 0, 4},
		{"never four within a second", Norms{Failures: 1000, Sample: 4, Window: time.Second}, 1, 500 * time.Millisecond, 0},
		{"four within two seconds", Norms{Failures: 1000, Sample: 4, Window: 2 * time.Second}, 1, 500 * time.Millisecond, 4},
		{"all of twenty", Norms{Failures: 1000, Share: 100}, 0, 0, 20},
		{"all but one of three", Norms{Failures: 1000, Sample: 3, Share: 100}, 10, 0, 0},
	} {
		b := setup()
		h := NewHealth(b.clock.now, c.norms)
		opened := 0
		for i := 1; i <= 100 && opened == 0; i++ {
			if c.every == 0 || i%(c.every+1) == 0 {
				h.failed(false, bad)
			} else {
				h.succeeded()
			}
			if !h.Fit() {
				opened = i
			}
			b.clock.t = b.clock.t.Add(c.apart)
		}
		if opened != c.opened {
			t.Errorf("%s: opened after %d requests, want %d", c.name, opened, c.opened)
		}
	}
}

// To wait for who finds out whether the target is back takes no try, so who has
// only one waits as well.
func TestWhoHasOneTryWaitsForAProbe(t *testing.T) {
	t.Parallel()
	b := setup()
	target, up := b.target("a", says("hi"))
	breaks(t, target.Health)
	b.router.Sleep = func(context.Context, time.Duration) error {
		target.Health.answers(true, true, time.Second)
		return nil
	}
	var log []obs.Attempt
	a, err := b.router.Open(context.Background(), &llm.Request{Stream: true}, Plan{Targets: []*Target{target}, Attempts: 1}, &log)
	if err != nil {
		t.Fatalf("who has one try: %v", err)
	}
	_ = a.Close()
	if up.calls != 1 {
		t.Errorf("the target was asked %d times", up.calls)
	}
}

// Who has one try that fails has no other, whatever there is to wait for.
func TestOneTryIsOne(t *testing.T) {
	t.Parallel()
	b := setup()
	ta, sa := b.target("a", fail(fault.UpstreamFailed, true, true))
	tb, sb := b.target("b", says("hi"))
	breaks(t, tb.Health)
	_, _, err := b.open(Plan{Targets: []*Target{ta, tb}, Attempts: 1})
	if !fault.Is(err, fault.UpstreamFailed) || sa.calls != 1 || sb.calls != 0 {
		t.Errorf("%v after %d and %d calls", err, sa.calls, sb.calls)
	}
}
