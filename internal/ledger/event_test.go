package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// warn asks for a warning below that.
func warn(below money.Amount) ledger.Alerts { return ledger.Alerts{WarnBelow: below, Absorbed: true} }

// spend charges a request, which may cause events.
func (h *house) spend(r ledger.Reservation, actual money.Amount, a ledger.Alerts) {
	h.t.Helper()
	hold := h.hold(r)
	defer hold.Abort()
	receipt := &ledger.Receipt{Model: "m", Outcome: "ok", Started: h.clock.now()}
	if _, err := hold.Settle(background, ledger.Settlement{Actual: actual, Receipt: receipt, Alerts: a}); err != nil {
		h.t.Fatal(err)
	}
}

// events returns what stands in the outbox, the oldest request's first.
func (h *house) events() []string {
	h.t.Helper()
	rows, err := h.db.Outbox().List(background, "", [16]byte{}, 100_000)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for i := len(rows) - 1; i >= 0; i-- {
		e := rows[i].Event
		what := fmt.Sprintf("%s of account %d", e.Kind, e.Account)
		switch e.Kind {
		case ledger.EventBalanceWarning:
			what += fmt.Sprintf(": %s is below %s", e.Balance, e.Below)
		case ledger.EventAbsorbed:
			what += fmt.Sprintf(": %s of %s at %s, charged %s", e.Absorbed, e.Model, e.Target, e.Charge)
		}
		if e.Request == [16]byte{} || e.Time.IsZero() || e.Key == 0 {
			h.t.Errorf("event %+v", e)
		}
		out = append(out, what)
	}
	return out
}

func (h *house) told(want ...string) {
	h.t.Helper()
	if got := h.events(); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		h.t.Errorf("the outbox has\n%q\nwant\n%q", got, want)
	}
}

func TestABalanceIsWarnedOfOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 2*money.Dollar)
	h.spend(reserve(money.Dollar), money.Dollar, warn(money.Dollar)) // 1.00 is not below 1.00
	h.told()
	h.spend(reserve(money.Cent), money.Cent, ledger.Alerts{}) // 0.99, but nobody asks
	h.told()
	h.spend(reserve(money.Cent), money.Cent, warn(money.Dollar))
	first := "balance_warning of account 1: 0.98 is below 1.00"
	h.told(first)
	h.reopen()
	h.spend(reserve(money.Cent), money.Cent, warn(money.Dollar)) // 0.97
	h.topup(1, 22*money.Cent)                                    // 1.19: above, but not by a fifth
	h.spend(reserve(50*money.Cent), 50*money.Cent, warn(money.Dollar))
	h.told(first)
	h.topup(1, 51*money.Cent) // 1.20: warned of again
	h.reopen()
	h.spend(reserve(30*money.Cent), 30*money.Cent, warn(money.Dollar))
	second := "balance_warning of account 1: 0.90 is below 1.00"
	h.told(first, second)
	h.spend(reserve(10*money.Cent), 10*money.Cent, warn(85*money.Cent)) // a lower bound is another matter
	third := "balance_warning of account 1: 0.80 is below 0.85"
	h.told(first, second, third)
	h.spend(reserve(10*money.Cent), 10*money.Cent, warn(money.Dollar))
	h.told(first, second, third)
	h.verify()
}

func TestTestMoneyIsNotWarnedOf(t *testing.T) {
	t.Parallel()
	h := setup(t)
	if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: money.Dollar, Test: true}); err != nil {
		t.Fatal(err)
	}
	r := reserve(money.Dollar)
	r.Test = true
	h.spend(r, 2*money.Dollar, warn(money.Dollar))
	h.told()
	h.topup(1, money.Cent)
	h.spend(reserve(money.Cent), 0, warn(money.Dollar)) // of nothing, and yet a charge
	h.told("balance_warning of account 1: 0.01 is below 1.00")
}

func TestWhatIsAbsorbedIsAnEvent(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	a := ledger.Alerts{Absorbed: true, Target: "up/m"}
	h.spend(reserve(money.Dollar), 3*money.Dollar, a)
	h.topup(1, money.Dollar)
	h.spend(reserve(money.Dollar), money.Dollar, a)
	h.topup(1, money.Dollar)
	h.spend(reserve(money.Dollar), 3*money.Dollar, ledger.Alerts{WarnBelow: 0})
	h.told("absorbed of account 1: 2.00 of m at up/m, charged 1.00")
	h.topup(1, money.Dollar)
	h.spend(reserve(money.Dollar), 2*money.Dollar, warn(money.Dollar)) // both at once
	if got := h.events(); len(got) != 3 {
		t.Errorf("the outbox has %q", got)
	}
	h.verify()
}

// However many charges cross the threshold in one batch or in several, and
// whatever is topped up meanwhile: the edge is there once each time.
func TestManyChargesCrossTheThresholdOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 10*money.Dollar)
	h.topup(2, 10*money.Dollar)
	var requests atomic.Int64
	together(64, func(i int) {
		for range 10 {
			r := reserve(money.Cent)
			if r.Account = int64(i%2 + 1); r.Account == 2 {
				r.Key = 2
			}
			h.spend(r, money.Cent, warn(8*money.Dollar))
			requests.Add(1)
		}
	})
	got := h.events()
	slices.Sort(got) // which request it was is nobody's matter
	if want := []string{"balance_warning of account 1: 7.99 is below 8.00", "balance_warning of account 2: 7.99 is below 8.00"}; !slices.Equal(got, want) {
		t.Errorf("the outbox has %q, want %q", got, want)
	}
	if requests.Load() != 640 {
		t.Errorf("%d charges", requests.Load())
	}
	h.verify()
}

// An event is on disk with its charge, and without it neither is.
func TestAnEventIsDurableWithItsCharge(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.spend(reserve(money.Cent), money.Cent, warn(money.Dollar))
	h.topup(2, money.Dollar)
	c := h.crashCopy()
	c.reopen()
	c.told("balance_warning of account 1: 0.99 is below 1.00")
	c.spend(reserve(money.Cent), money.Cent, warn(money.Dollar)) // what the crashed process knew is known
	c.told("balance_warning of account 1: 0.99 is below 1.00")

	hold := h.hold(ledger.Reservation{Account: 2, Key: 2, Request: request(), Amount: money.Cent})
	_ = h.fp.Arm(failpoint.CommitError, 1)
	if _, err := hold.Settle(background, ledger.Settlement{Actual: money.Cent, Alerts: warn(money.Dollar)}); err == nil {
		t.Fatal("a failed commit charged")
	}
	h.reopen()
	h.told("balance_warning of account 1: 0.99 is below 1.00")
	h.spend(ledger.Reservation{Account: 2, Key: 2, Request: request(), Amount: money.Cent}, money.Cent, warn(money.Dollar))
	if got := h.events(); len(got) != 2 {
		t.Errorf("the outbox has %q", got)
	}
}

func TestSomebodyIsToldOfEvents(t *testing.T) {
	t.Parallel()
	h := setup(t)
	if err := h.Engine.Close(); err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{}, 10)
	e, err := ledger.Open(context.Background(), h.db.Journal(), ledger.Options{Now: h.clock.now, Notify: func() { told <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	h.Engine = e
	h.topup(1, money.Dollar)
	h.charge(reserve(money.Cent), money.Cent)
	if len(told) != 0 {
		t.Error("told of nothing")
	}
	h.spend(reserve(money.Cent), money.Cent, warn(money.Dollar))
	<-told
	if rows, err := h.db.Outbox().List(background, "", [16]byte{}, 10); err != nil || len(rows) != 1 {
		t.Errorf("told before it was there: %v, %v", rows, err)
	}
}

// The edges are those of a plain walk over the entries in their order.
func TestEdgesAreThoseOfAPlainWalk(t *testing.T) {
	t.Parallel()
	h := setup(t)
	account := int64(0)
	rapid.Check(t, func(t *rapid.T) {
		account++ // a new one each time
		balance, warned, edges := money.Amount(0), money.Amount(0), 0
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			amount := money.Amount(rapid.Int64Range(1, 60).Draw(t, "amount"))
			switch rapid.IntRange(0, 40).Draw(t, "step") {
			case 0:
				h.reopen()
			case 1, 2, 3, 4, 5, 6, 7, 8, 9:
				h.topup(account, amount)
				balance += amount
			default:
				below := money.Amount(rapid.Int64Range(0, 50).Draw(t, "below"))
				amount = max(min(amount, balance), 0)
				h.spend(ledger.Reservation{Account: account, Key: account, Request: request(), Amount: amount}, amount, ledger.Alerts{WarnBelow: below})
				balance -= amount
				if below > 0 && balance < below && (warned == 0 || below < warned) {
					warned = below
					edges++
				}
			}
			if 5*balance >= 6*warned {
				warned = 0
			}
		}
		told := 0
		for _, e := range h.events() {
			if strings.HasPrefix(e, fmt.Sprintf("balance_warning of account %d:", account)) {
				told++
			}
		}
		if told != edges {
			t.Fatalf("%d events of account %d, want %d", told, account, edges)
		}
	})
}
