package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

func TestARefundWithAReferenceIsOneEntry(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	r, other := reserve(10*money.Cent), reserve(10*money.Cent)
	h.charge(r, 10*money.Cent)
	h.charge(other, 10*money.Cent)
	refund := ledger.Refund{Request: r.Request, Amount: money.Cent, Reference: "ticket-7"}
	var seq atomic.Int64
	together(20, func(int) {
		e, err := h.Refund(background, refund)
		if err != nil || e.Amount != money.Cent {
			t.Errorf("Refund = %+v, %v", e, err)
		}
		if before := seq.Swap(e.Seq); before != 0 && before != e.Seq {
			t.Errorf("the same reference made the entries %d and %d", before, e.Seq)
		}
	})
	h.reopen()
	if e, err := h.Refund(background, refund); err != nil || e.Seq != seq.Load() {
		t.Errorf("after a restart: %+v, %v", e, err)
	}
	for name, changed := range map[string]ledger.Refund{
		"another amount":             {Request: r.Request, Amount: 2 * money.Cent, Reference: "ticket-7"},
		"all of what is left":        {Request: r.Request, Reference: "ticket-7"},
		"another request":            {Request: other.Request, Amount: money.Cent, Reference: "ticket-7"},
		"all of the other request's": {Request: other.Request, Reference: "ticket-7"},
	} {
		if e, err := h.Refund(background, changed); !errors.Is(err, ledger.ErrReferenceTaken) || e.Seq != seq.Load() {
			t.Errorf("the reference with %s: %+v, %v", name, e, err)
		}
	}
	// Credits and refunds share the references of an account.
	if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: money.Cent, Reference: "ticket-7"}); !errors.Is(err, ledger.ErrReferenceTaken) {
		t.Errorf("a credit with the refund's reference: %v", err)
	}
	if _, err := h.Refund(background, ledger.Refund{Request: request(), Reference: "x"}); !errors.Is(err, ledger.ErrNoCharge) {
		t.Errorf("a refund of an unknown request: %v", err)
	}
	all := ledger.Refund{Request: other.Request, Reference: "all"}
	first, err := h.Refund(background, all)
	if again, err2 := h.Refund(background, all); err != nil || err2 != nil || again.Seq != first.Seq || first.Amount != 10*money.Cent {
		t.Errorf("all that is left, twice: %+v, %v; %+v, %v", first, err, again, err2)
	}
	if b := h.Balance(1); b.Posted != 91*money.Cent {
		t.Errorf("Balance = %+v", b)
	}
	h.verify()
}

// Whoever waits for the same reference may try once the other could not.
func TestAReferenceIsFreeAfterARefundThatFailed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	r := reserve(10 * money.Cent)
	h.charge(r, 10*money.Cent)
	var given atomic.Int64
	together(20, func(i int) {
		amount := 11 * money.Cent
		if i%2 == 0 {
			amount = 4 * money.Cent
		}
		e, err := h.Refund(background, ledger.Refund{Request: r.Request, Amount: amount, Reference: "r"})
		switch {
		case err == nil:
			given.Store(int64(e.Amount))
		case !errors.Is(err, ledger.ErrRefundTooLarge) && !errors.Is(err, ledger.ErrReferenceTaken):
			t.Error(err)
		}
	})
	if b := h.Balance(1); given.Load() != int64(4*money.Cent) || b.Posted != 94*money.Cent {
		t.Errorf("refunded %d, balance %+v", given.Load(), b)
	}
	h.verify()
}

func TestAHundredRefundsAtOnceNeverExceedTheCharge(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	r := reserve(10 * money.Cent)
	h.charge(r, 10*money.Cent)
	var sum atomic.Int64
	together(100, func(i int) {
		refund := ledger.Refund{Request: r.Request, Amount: money.Amount(i%3+1) * money.Cent, Reference: fmt.Sprint(i / 2)}
		e, err := h.Refund(background, refund)
		switch {
		case err == nil:
			sum.Add(int64(e.Amount))
		case !errors.Is(err, ledger.ErrRefundTooLarge) && !errors.Is(err, ledger.ErrNothingToRefund) && !errors.Is(err, ledger.ErrReferenceTaken):
			t.Error(err)
		}
	})
	got, err := h.Receipt(background, r.Request)
	if err != nil || got.Refunded != 10*money.Cent || h.Balance(1).Posted != money.Dollar || sum.Load() != int64(10*money.Cent) {
		t.Errorf("refunded %d by the answers, receipt %+v, balance %+v, %v", sum.Load(), got, h.Balance(1), err)
	}
	h.verify()
}

func TestACreditUnderATakenReferenceIsRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: money.Dollar, Reference: "pay_1"}
	first, err := h.Credit(background, c)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*ledger.Credit){
		"amount":   func(c *ledger.Credit) { c.Amount++ },
		"kind":     func(c *ledger.Credit) { c.Kind = ledger.KindGrant },
		"sign":     func(c *ledger.Credit) { c.Kind, c.Amount = ledger.KindAdjust, -c.Amount },
		"balance":  func(c *ledger.Credit) { c.Test = true },
		"anything": func(c *ledger.Credit) { c.Kind, c.Amount, c.Test = ledger.KindGrant, 1, true },
	} {
		changed := c
		change(&changed)
		if e, err := h.Credit(background, changed); !errors.Is(err, ledger.ErrReferenceTaken) || e.Seq != first.Seq {
			t.Errorf("the same reference with another %s = %+v, %v", name, e, err)
		}
	}
	if b := h.Balance(1); b.Posted != money.Dollar || b.TestPosted != 0 {
		t.Errorf("Balance = %+v", b)
	}
	h.verify()
}

func TestEveryEntryHasAnActor(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, err := ledger.Operator("alice@example")
	if err != nil {
		t.Fatal(err)
	}
	credit := func(c ledger.Credit) {
		t.Helper()
		c.Account = 1
		if _, err := h.Credit(background, c); err != nil {
			t.Fatal(err)
		}
	}
	credit(ledger.Credit{Kind: ledger.KindTopup, Amount: money.Dollar, Actor: alice})
	credit(ledger.Credit{Kind: ledger.KindAdjust, Amount: -money.Cent, Actor: ledger.ActorOperator})
	credit(ledger.Credit{Kind: ledger.KindGrant, Amount: money.Cent, ExpiresAt: h.clock.now().Add(time.Hour)})
	r := reserve(2 * money.Cent)
	h.charge(r, money.Dollar+2*money.Cent)
	if _, err := h.Refund(background, ledger.Refund{Request: r.Request, Amount: money.Cent, Actor: alice}); err != nil {
		t.Fatal(err)
	}
	taken, err := h.Hold(reserve(money.Cent))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := taken.Settle(background, ledger.Settlement{Actual: money.Cent}); err != nil {
		t.Fatal(err)
	}
	if err := taken.Revoke(background); err != nil {
		t.Fatal(err)
	}
	credit(ledger.Credit{Kind: ledger.KindGrant, Amount: money.Cent, ExpiresAt: h.clock.now().Add(time.Hour), Actor: alice})
	h.clock.advance(2 * time.Hour)
	eventually(t, "the grant expires", func() bool { return h.Stats().LastSeq == 10 })
	h.reopen()
	want := []string{
		"topup operator:alice@example", "reduce operator", "grant system", "usage key", "absorbed key", "refund operator:alice@example",
		"usage key", "refund system", "grant operator:alice@example", "expire system",
	}
	for i, w := range want {
		e, err := h.Entry(background, int64(i+1))
		if err != nil || e == nil || string(e.Kind)+" "+string(e.Actor) != w {
			t.Errorf("entry %d is %+v, %v, want %s", i+1, e, err, w)
		}
	}
	h.verify()
}

func TestActorsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b", "é", "a\n", strings.Repeat("a", 65)} {
		if a, err := ledger.Operator(name); err == nil {
			t.Errorf("Operator(%q) = %q, want an error", name, a)
		}
	}
	h := setup(t)
	for _, a := range []ledger.Actor{"operator:", "system:x", "key:1", "alice", "operator:a b"} {
		if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: 1, Actor: a}); err == nil || !strings.Contains(err.Error(), "actor") {
			t.Errorf("a credit by %q: %v", a, err)
		}
		if _, err := h.Refund(background, ledger.Refund{Request: request(), Actor: a}); err == nil || !strings.Contains(err.Error(), "actor") {
			t.Errorf("a refund by %q: %v", a, err)
		}
	}
}
