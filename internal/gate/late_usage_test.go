package gate

import (
	"context"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// A caller who leaves between the last word of an answer and its usage pays what
// the provider says a moment later, and not an estimate of it.
func TestUsageThatComesAMomentAfterTheCallerLeftIsCharged(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{
		says(40),
		{Finish: llm.FinishStop},
		{Usage: &llm.Usage{Input: 100, Output: 7}, UsageOnly: true},
		{Last: true},
	}
	ctx, leave := context.WithCancel(context.Background())
	caller, call := w.reads(ctx, request(), 2) // the words, and the finish
	defer caller.Leave()
	leave()
	call.Left()
	if charge := money.Dollar - w.posted(); charge != 100*1000+7*10_000 {
		t.Errorf("charged %d, want what the provider reported: %d", charge, 100*1000+7*10_000)
	}
	if r := w.receipt(caller); r.Outcome != OutcomeOK || r.Usage.Estimated {
		t.Errorf("receipt: outcome %q, estimated %v", r.Outcome, r.Usage.Estimated)
	}
}

// One of several choices has its last word before the others: who leaves then is
// in the middle, and nothing more is read for him.
func TestWhoLeavesBehindOneOfTwoChoicesIsInTheMiddle(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{
		says(40),
		{Finish: llm.FinishStop},
		says(4000),
		{Finish: llm.FinishStop},
		{Usage: &llm.Usage{Input: 100, Output: 1000}, UsageOnly: true},
		{Last: true},
	}
	ctx, leave := context.WithCancel(context.Background())
	r := request()
	r.Choices = 2
	caller, call := w.reads(ctx, r, 2) // the words of one, and its finish
	defer caller.Leave()
	leave()
	<-w.up.ctx.Done()
	call.Left()
	if r := w.receipt(caller); r.Outcome != OutcomeClientLeft || r.Usage.Output != 10 || !r.Usage.Estimated {
		t.Errorf("receipt: outcome %q, %+v", r.Outcome, r.Usage)
	}
}
