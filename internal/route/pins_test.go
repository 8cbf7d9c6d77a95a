package route

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// pinned makes a bench that remembers, and a plan of a conversation at two equal
// targets.
func pinned(t *testing.T) (*bench, Plan, *script, *script) {
	t.Helper()
	b := setup()
	b.router.Pins = NewPins(b.clock.now, 1000)
	ta, sa := b.target("a", says("hi"))
	tb, sb := b.target("b", says("hi"))
	ta.Weight, tb.Weight = 1, 1
	p := Plan{Targets: []*Target{ta, tb}, HasSession: true, Model: "m", Pin: 5 * time.Minute}
	for ta.score(p.Session) < tb.score(p.Session) {
		p.Session++
	}
	return b, p, sa, sb
}

func (b *bench) at(t *testing.T, p Plan) *Answer {
	t.Helper()
	_, a, err := b.open(p)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A conversation that had to move stays where it is now, as long as it goes on: what
// its provider keeps is there. When that has forgotten it, it goes where it belongs.
func TestAConversationStaysWhereItWasAnswered(t *testing.T) {
	t.Parallel()
	b, p, sa, _ := pinned(t)
	if a := b.at(t, p); a.Target() != "a" || a.Moved() {
		t.Fatalf("the first turn is at %s, moved %v", a.Target(), a.Moved())
	}
	sa.steps = []step{fail(fault.UpstreamFailed, false, true)}
	if a := b.at(t, p); a.Target() != "b" || !a.Moved() || b.outcomes() != "a:upstream_failed a:cache_affinity: broken b:ok" {
		t.Errorf("after its target has failed it is at %s, moved %v: %s", a.Target(), a.Moved(), b.outcomes())
	}
	sa.steps = []step{says("back")}
	for range 3 { // each turn is a use
		b.clock.t = b.clock.t.Add(4 * time.Minute)
		if a := b.at(t, p); a.Target() != "b" || a.Moved() || b.outcomes() != "b:ok" {
			t.Fatalf("it went on at %s, moved %v: %s", a.Target(), a.Moved(), b.outcomes())
		}
	}
	b.clock.t = b.clock.t.Add(5 * time.Minute)
	if a := b.at(t, p); a.Target() != "a" || a.Moved() {
		t.Errorf("after the cache is gone it is at %s, moved %v", a.Target(), a.Moved())
	}
}

func TestAPinnedTargetThatIsOutOfUseIsLeftWithAMark(t *testing.T) {
	t.Parallel()
	b, p, _, _ := pinned(t)
	b.at(t, p)
	b.broken(p.Targets[0])
	p.Targets[0].Health.openUntil = b.clock.t.Add(time.Minute)
	if a := b.at(t, p); a.Target() != "b" || !a.Moved() || b.outcomes() != "a:cache_affinity: broken b:ok" {
		t.Errorf("at %s, moved %v: %s", a.Target(), a.Moved(), b.outcomes())
	}
}

// What the caller, or the operator, puts before it is no break.
func TestAPinIsForEqualTargetsOnly(t *testing.T) {
	t.Parallel()
	b, p, sa, _ := pinned(t)
	p.Targets[0].Weight, p.Targets[1].Weight = 0, 0 // in order of the list
	sa.steps = []step{fail(fault.UpstreamFailed, false, true), says("back")}
	b.at(t, p)
	if a := b.at(t, p); a.Target() != "a" || a.Moved() {
		t.Errorf("by priority it is at %s, moved %v", a.Target(), a.Moved())
	}
	p.Prefer = []string{p.Targets[1].Name}
	p.Targets[0].Name, p.Targets[1].Name = "x", "y"
	p.Prefer = []string{"y"}
	if a := b.at(t, p); a.Target() != "b" || a.Moved() {
		t.Errorf("preferred by the caller it is at %s, moved %v", a.Target(), a.Moved())
	}
}

func TestPinsAreOfOneModelAndOneConversation(t *testing.T) {
	t.Parallel()
	b, p, sa, _ := pinned(t)
	sa.steps = []step{fail(fault.UpstreamFailed, false, true), says("back")}
	if a := b.at(t, p); a.Target() != "b" {
		t.Fatal(a.Target())
	}
	other := p
	other.Model = "n"
	if a := b.at(t, other); a.Target() != "a" {
		t.Errorf("another model is at %s", a.Target())
	}
	other = p
	for other.Session++; p.Targets[0].score(other.Session) < p.Targets[1].score(other.Session); other.Session++ {
	}
	if a := b.at(t, other); a.Target() != "a" {
		t.Errorf("another conversation is at %s", a.Target())
	}
	if a := b.at(t, p); a.Target() != "b" {
		t.Errorf("it is at %s", a.Target())
	}
	p.HasSession = false
	sa.steps = []step{says("hi")}
	b.router.Draw = func(int) int { return 0 }
	if a := b.at(t, p); a.Target() != "a" {
		t.Errorf("what is no conversation is at %s", a.Target())
	}
}

func TestPinsAreBounded(t *testing.T) {
	t.Parallel()
	c := &clock{t: time.Unix(1e9, 0)}
	p := NewPins(c.now, 100)
	target := &Target{ID: "t"}
	for i := range uint64(10_000) {
		p.put(pinKey{i, "m"}, target, time.Minute)
		if n := len(p.young) + len(p.old); n > 200 {
			t.Fatalf("%d pins are kept of 100", n)
		}
		if p.find(pinKey{i, "m"}) != "t" {
			t.Fatalf("%d was forgotten at once", i)
		}
		if i >= 50 && p.find(pinKey{i - 50, "m"}) != "t" {
			t.Fatalf("%d was forgotten too soon", i-50)
		}
	}
	for i := range uint64(20_000) { // one that is used is not forgotten
		p.put(pinKey{0, "used"}, target, time.Minute)
		p.put(pinKey{i, "n"}, target, time.Minute)
		if p.find(pinKey{0, "used"}) != "t" {
			t.Fatal("one that is used was forgotten")
		}
	}
	c.t = c.t.Add(time.Minute)
	if at := p.find(pinKey{0, "used"}); at != "" {
		t.Error(fmt.Sprint("after its time it is at ", at))
	}
}

// By latency, too, a conversation that is to stay stays.
func TestAPinHoldsAgainstLatency(t *testing.T) {
	t.Parallel()
	b, p, sa, _ := pinned(t)
	p.Order = ByLatency
	sa.steps = []step{fail(fault.UpstreamFailed, false, true), says("back")}
	if a := b.at(t, p); a.Target() != "b" {
		t.Fatal(a.Target())
	}
	if a := b.at(t, p); a.Target() != "b" || a.Moved() {
		t.Errorf("it is at %s, moved %v", a.Target(), a.Moved())
	}
	b.broken(p.Targets[1])
	p.Targets[1].Health.openUntil = b.clock.t.Add(time.Minute)
	strict := p
	strict.Stay = SameTarget // its target has no other credential
	strict.Targets[0].Name, strict.Targets[1].Name = "x", "y"
	calls := sa.calls
	if _, _, err := b.open(strict); err == nil && sa.calls != calls {
		t.Error("a conversation that may not move has moved, since its target is out of use")
	}
	b.broken(p.Targets[1])
	p.Targets[1].Health.openUntil = b.clock.t.Add(time.Minute)
	if a := b.at(t, p); a.Target() != "a" || !a.Moved() {
		t.Errorf("its target is out of use: it is at %s, moved %v", a.Target(), a.Moved())
	}
}

// Who sealed what a conversation carries decides where it goes, whether the target
// where it was is in use or not: that is no break. Another target of the same is one.
func TestWhoSealedStateDecidesAgainstAPin(t *testing.T) {
	t.Parallel()
	b, p, _, _ := pinned(t)
	p.Order = ByLatency
	b.at(t, p)
	b.broken(p.Targets[0])
	p.Targets[0].Health.openUntil = b.clock.t.Add(time.Minute)
	for _, c := range []struct {
		names  [2]string
		prefer []string
		issuer string
		moved  bool
	}{
		{[2]string{"x", "y"}, nil, "y", false},
		{[2]string{"x", "x"}, nil, "x", true},
		{[2]string{"x", "y"}, nil, "z", true}, // who is not here decides nothing
		{[2]string{"x", "y"}, []string{"y"}, "", false},
		{[2]string{"x", "x"}, []string{"x"}, "", true},
	} {
		p.Targets[0].Name, p.Targets[1].Name = c.names[0], c.names[1]
		p.Prefer = c.prefer
		b.router.Pins.put(p.pinKey(), p.Targets[0], p.Pin)
		req := &llm.Request{Stream: true}
		if c.issuer != "" {
			req.Raw.Body = []byte(`{"signature":"` + llm.Seal(c.issuer, "state") + `"}`)
		}
		b.log = nil
		a, err := b.router.Open(context.Background(), req, p, &b.log)
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Close()
		if a.Target() != "b" || a.Moved() != c.moved {
			t.Errorf("%+v: at %s, moved %v", c, a.Target(), a.Moved())
		}
	}
}
