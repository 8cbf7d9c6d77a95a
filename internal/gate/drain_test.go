package gate

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// bare is a gate that only lends out contexts.
func bare(o Options) *Gate { return New(o, &Plans{}) }

func TestADrainedAnswerHasABoundInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := bare(Options{})
		ctx, leave := context.WithCancel(context.Background())
		up, release := g.upstream(ctx, true, func() bool { return false })
		defer release()
		time.Sleep(time.Hour) // as long as the caller is there, the provider's own timers count
		synctest.Wait()
		if up.Err() != nil {
			t.Fatal("ended while the caller was there")
		}
		leave()
		time.Sleep(DrainFor - time.Second)
		synctest.Wait()
		if up.Err() != nil {
			t.Error("ended before its time")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if up.Err() == nil {
			t.Errorf("still running %v after the caller left", DrainFor+time.Second)
		}
	})
}

func TestOnlySoManyAnswersAreDrainedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := bare(Options{})
		var ups []context.Context
		var releases []context.CancelFunc
		for range MaxDrains + 1 {
			ctx, leave := context.WithCancel(context.Background())
			up, release := g.upstream(ctx, true, func() bool { return false })
			leave()
			synctest.Wait()
			ups, releases = append(ups, up), append(releases, release)
		}
		for i, up := range ups {
			if over := i >= MaxDrains; (up.Err() != nil) != over {
				t.Fatalf("answer %d: %v", i, up.Err())
			}
		}
		for _, release := range releases {
			release()
		}
		synctest.Wait()
		if n := g.drains.Load(); n != 0 {
			t.Errorf("%d places were not given back", n)
		}
	})
}

func TestWhoGoesDownDrainsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		base, down := context.WithCancelCause(context.Background())
		g := bare(Options{Base: base})
		present, release := g.upstream(base, true, func() bool { return false }) // requests live within the base
		defer release()
		ctx, leave := context.WithCancel(base)
		gone, release := g.upstream(ctx, true, func() bool { return false })
		defer release()
		leave()
		synctest.Wait()
		if present.Err() != nil || gone.Err() != nil {
			t.Fatal("ended too early")
		}
		down(errors.New("the process ends"))
		synctest.Wait()
		if present.Err() == nil {
			t.Error("an answer whose caller is there outlives the process")
		}
		if gone.Err() == nil {
			t.Error("an answer that is drained outlives the process")
		}
	})
}

func TestAPanicInAProviderHoldsNothing(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.panics = true
	caller, err := w.enter(w.key(account.NewKey{}))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Leave()
	func() {
		defer func() { _ = recover() }()
		_, _ = caller.Open(context.Background(), request(), Wishes{})
		t.Error("the provider did not panic")
	}()
	if !w.ledger.Idle() {
		t.Error("what was held for the request is held for ever")
	}
	if ctx := w.up.ctx; ctx.Err() == nil {
		t.Error("the provider's context was not ended")
	}
}

func TestWhoLeavesAfterABlockIsNotChargedForIt(t *testing.T) {
	t.Parallel()
	for name, events := range map[string][]llm.Event{
		"content filter": {says(80), {Finish: llm.FinishContentFilter, Usage: &llm.Usage{Input: 100, Output: 50}}},
		"refusal":        {{Content: true, Refusal: true, OutputBytes: 10}, {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 100, Output: 50}}},
	} {
		w := setup(t, money.Dollar)
		w.up.events = events
		caller, call := w.reads(context.Background(), request(), len(events))
		call.Left()
		caller.Leave()
		if w.posted() != money.Dollar {
			t.Errorf("%s: charged $%s", name, money.Dollar-w.posted())
		}
		if r := w.receipt(caller); r.Outcome != OutcomeBlocked || r.Delivery != "partial" {
			t.Errorf("%s: receipt %q, %q", name, r.Outcome, r.Delivery)
		}
	}
}

func TestAnAnswerThatCannotBeToldAfterItsChargeIsTakenBack(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{says(20), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 100, Output: 50}}}
	caller, call := w.reads(context.Background(), request(), 2)
	defer caller.Leave()
	bill, err := call.Finish(nil)
	charge := bill.Charge
	if err != nil || charge == 0 {
		t.Fatalf("charge %s, %v", charge, err)
	}
	if left := call.TakeBack(); left != 0 {
		t.Errorf("$%s of the charge stands", left)
	}
	call.Fail(fault.New(fault.Internal, ""), 500)
	if w.posted() != money.Dollar {
		t.Errorf("charged $%s for an answer that nobody got", money.Dollar-w.posted())
	}
	if ev := caller.v.Event; ev.Outcome != OutcomeAborted || ev.Charge != 0 {
		t.Errorf("the event says %q, $%s", ev.Outcome, ev.Charge)
	}
	if left := call.TakeBack(); left != 0 || w.posted() != money.Dollar {
		t.Errorf("taken back twice: $%s, balance $%s", left, w.posted())
	}
}

func TestACallWhoseChargeFailsHasNotGoneWell(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{says(20), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 100, Output: 50}}}
	caller, call := w.reads(context.Background(), request(), 2)
	defer caller.Leave()
	if err := w.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := call.Finish(nil); !fault.Is(err, fault.LedgerUnavailable) {
		t.Fatalf("finish: %v", err)
	}
	call.Fail(fault.New(fault.LedgerUnavailable, ""), 503)
	if ev := caller.v.Event; ev.Outcome != OutcomeAborted || ev.OutputTokens != 0 {
		t.Errorf("the event says %q and %d tokens", ev.Outcome, ev.OutputTokens)
	}
}

func TestASiteThatIsGoneSinceItWasFoundIsNotADefect(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	key := w.key(account.NewKey{})
	plans := *w.g.plans.Load()
	plans.Views = nil
	w.g.Swap(&plans) // a reload, between finding the site and entering
	caller, err := w.enter(key)
	if e := fault.From(err); err == nil || e.Code != fault.Overloaded || e.RetryAfter < time.Second {
		t.Errorf("%v", err)
	}
	if caller != nil {
		caller.Leave()
	}
}

func TestAnAnswerIsBlockedOnlyIfAllItsChoicesAre(t *testing.T) {
	t.Parallel()
	used := &llm.Usage{Input: 100, Output: 50}
	stop, filter := llm.Event{Finish: llm.FinishStop}, llm.Event{Finish: llm.FinishContentFilter}
	for _, c := range []struct {
		name   string
		events []llm.Event
		free   bool
	}{
		{"the first", []llm.Event{says(20), filter, stop, {Usage: used}}, false},
		{"the last", []llm.Event{says(20), stop, filter, {Usage: used}}, false},
		{"all", []llm.Event{says(20), filter, filter, {Usage: used}}, true},
	} {
		w := setup(t, money.Dollar)
		w.up.events = c.events
		r := request()
		r.Choices = 2
		caller, call := w.reads(context.Background(), r, 0)
		consume(call, false)
		caller.Leave()
		if free := w.posted() == money.Dollar; free != c.free {
			t.Errorf("%s: charged $%s", c.name, money.Dollar-w.posted())
		}
	}
}

func TestAPanicWhileChargingHoldsNothing(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*Call){
		"finish": func(c *Call) { _, _ = c.Finish(nil) },
		"left":   (*Call).Left,
	} {
		w := setup(t, money.Dollar)
		w.up.events = []llm.Event{says(20), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 100, Output: 50}}}
		caller, call := w.reads(context.Background(), request(), 0)
		call.model = nil // a defect
		func() {
			defer func() { _ = recover() }()
			end(call)
			t.Errorf("%s did not panic", name)
		}()
		call.Fail(fault.New(fault.Internal, ""), 500)
		caller.Leave()
		if !w.ledger.Idle() {
			t.Errorf("%s: what was held is held for ever", name)
		}
	}
}
