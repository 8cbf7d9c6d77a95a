package gate

import (
	"context"
	"testing"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
)

// A ceiling of what a request costs on its way through the gate, with every kind
// of limit, but for its charge: that has a ceiling in the ledger.
func TestARequestAllocatesLittleOnItsWayThroughTheGate(t *testing.T) {
	if testkit.Race {
		t.Skip("allocations cannot be counted with the race detector")
	}
	w := setup(t, money.Dollar)
	key := w.key(account.NewKey{Limits: account.Limits{RPS: 1e6, Burst: 1e6, Concurrency: 10, TokensPerMinute: 1e9, RequestsPerDay: 1e6, USDPerDay: 100 * money.Dollar}})
	events := []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	req := request()
	req.Stream = false
	refused := fault.New(fault.Internal, "")
	got := testing.AllocsPerRun(200, func() {
		w.up.events, w.up.calls = events, w.up.calls[:0]
		caller, err := w.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		call, err := caller.Open(context.Background(), req, Wishes{})
		if err != nil {
			t.Fatal(err)
		}
		for range events {
			if _, err := call.Next(); err != nil {
				t.Fatal(err)
			}
		}
		call.Fail(refused, 0)
		caller.Leave()
	})
	free, err := w.enter(w.key(account.NewKey{}))
	if err != nil {
		t.Fatal(err)
	}
	defer free.Leave()
	if n := testing.AllocsPerRun(100, func() { free.Allowances() }); n != 0 {
		t.Errorf("%v allocations to say that nothing is limited", n)
	}
	if got > 24 {
		t.Errorf("%v allocations, want at most 24", got)
	}
}
