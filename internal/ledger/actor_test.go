package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

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
	taken := h.hold(reserve(money.Cent))
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
