package ledger_test

import (
	"errors"
	"testing"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

func TestAChargeIsTakenFromTheBalance(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	s := h.charge(reserve(30*money.Cent), 10*money.Cent)
	if want := (ledger.Settled{Charge: 10 * money.Cent, Balance: 90 * money.Cent, Seq: 2}); s != want {
		t.Errorf("Settle = %+v, want %+v", s, want)
	}
	if b := h.Balance(1); b.Posted != 90*money.Cent || b.Held != 0 || b.Available != 90*money.Cent {
		t.Errorf("Balance = %+v", b)
	}
	if !h.Idle() {
		t.Error("something is held")
	}
	h.verify()
	h.reopen()
	if b := h.Balance(1); b.Posted != 90*money.Cent {
		t.Errorf("after reopening: Balance = %+v", b)
	}
	h.verify()
}

func TestARefusalNamesTheExactAmount(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	_, err := h.Hold(reserve(money.Dollar + 1))
	var short *ledger.Short
	if !errors.As(err, &short) {
		t.Fatalf("Hold = %v, want *Short", err)
	}
	b, ok := short.Find(ledger.BucketBalance)
	if !ok || b.Need != int64(money.Dollar)+1 || b.Free() != int64(money.Dollar) || b.HeldOnly() {
		t.Errorf("short bucket = %+v", b)
	}
	hold, err := h.Hold(reserve(money.Dollar))
	if err != nil {
		t.Fatalf("Hold of exactly what is there: %v", err)
	}
	_, err = h.Hold(reserve(1))
	if !errors.As(err, &short) {
		t.Fatalf("Hold = %v, want *Short", err)
	}
	if b, _ := short.Find(ledger.BucketBalance); !b.HeldOnly() {
		t.Errorf("short bucket = %+v, want one that is short only by what is held", b)
	}
	hold.Void(nil)
	if !h.Idle() {
		t.Error("something is held")
	}
}
