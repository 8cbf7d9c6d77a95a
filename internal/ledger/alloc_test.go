package ledger_test

import (
	"testing"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// Ceilings, not averages: a change that allocates more must say so here.
func TestAllocationsStayBelowTheirCeilings(t *testing.T) {
	h := setup(t)
	h.topup(1, 1000*money.Dollar)
	simple, planned := reserve(money.Cent), reserve(money.Cent)
	planned.KeyRequestsPerDay, planned.KeyUSDPerDay = 1_000_000, 100*money.Dollar
	planned.Quotas = []ledger.Quota{{Class: "open", PerDay: 1_000_000}}
	void := func(r ledger.Reservation) func() {
		return func() {
			hold, err := h.Hold(r)
			if err != nil {
				t.Fatal(err)
			}
			hold.Void(nil)
		}
	}
	grows, err := h.Hold(simple)
	if err != nil {
		t.Fatal(err)
	}
	defer grows.Abort()
	for name, c := range map[string]struct {
		ceiling float64
		do      func()
	}{
		"hold and void":             {1, void(simple)},
		"hold and void with a plan": {3, void(planned)},
		"extend":                    {0, func() { _, _ = grows.Extend(1) }},
		"balance":                   {0, func() { h.Balance(1) }},
		"ready":                     {0, func() { _ = h.Ready() }},
	} {
		if got := testing.AllocsPerRun(200, c.do); got > c.ceiling {
			t.Errorf("%s: %.1f allocations, ceiling %.0f", name, got, c.ceiling)
		}
	}
	settle := func() {
		hold, err := h.Hold(simple)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hold.Settle(background, ledger.Settlement{Actual: 1, Receipt: receipt(h.clock.now())}); err != nil {
			t.Fatal(err)
		}
	}
	// One goroutine, so every settle pays for a whole batch.
	if got := testing.AllocsPerRun(50, settle); got > 100 {
		t.Errorf("hold and settle: %.1f allocations, ceiling 100", got)
	}
}
