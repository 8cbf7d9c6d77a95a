package ledger_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

func TestRefundsNeverExceedTheCharge(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.charged()
	e, err := h.Refund(background, ledger.Refund{Request: r.Request, Amount: 4 * money.Cent, Note: "sorry"})
	if err != nil || e.Kind != ledger.KindRefund || e.Amount != 4*money.Cent || e.Request != r.Request || e.Note != "sorry" || e.Model != "m" {
		t.Fatalf("Refund = %+v, %v", e, err)
	}
	if _, err := h.Refund(background, ledger.Refund{Request: r.Request, Amount: 6*money.Cent + 1}); !errors.Is(err, ledger.ErrRefundTooLarge) {
		t.Errorf("Refund of a nano-dollar too much = %v", err)
	}
	if _, err := h.Refund(background, ledger.Refund{Request: r.Request, Amount: -1}); err == nil {
		t.Error("Refund of a negative amount: want an error")
	}
	h.reopen()
	if e, err := h.Refund(background, ledger.Refund{Request: r.Request}); err != nil || e.Amount != 6*money.Cent {
		t.Errorf("Refund of the rest = %+v, %v", e, err)
	}
	if _, err := h.Refund(background, ledger.Refund{Request: r.Request}); !errors.Is(err, ledger.ErrNothingToRefund) {
		t.Errorf("Refund of nothing = %v", err)
	}
	if _, err := h.Refund(background, ledger.Refund{Request: request()}); !errors.Is(err, ledger.ErrNoCharge) {
		t.Errorf("Refund of an unknown request = %v", err)
	}
	if b := h.Balance(1); b.Posted != money.Dollar {
		t.Errorf("Balance = %+v", b)
	}
	got, err := h.Receipt(background, r.Request)
	if err != nil || got.Charge != 10*money.Cent || got.Refunded != 10*money.Cent {
		t.Errorf("Receipt = %+v, %v", got, err)
	}
	rows, err := h.Usage(background, ledger.UsageFilter{GroupBy: []string{"model"}})
	if err != nil || len(rows) != 1 || rows[0].Refunded != 10*money.Cent || rows[0].Charge != 10*money.Cent || rows[0].Requests != 1 {
		t.Errorf("Usage = %+v, %v", rows, err)
	}
	if d := h.KeyDay(1); d.USD != 10*money.Cent {
		t.Errorf("KeyDay = %+v, want refunds to leave it", d)
	}
	h.verify()
}

func TestManyRefundsAtOnceNeverExceedTheCharge(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.charged()
	var sum atomic.Int64
	together(16, func(int) {
		e, err := h.Refund(background, ledger.Refund{Request: r.Request, Amount: 3 * money.Cent})
		if err == nil {
			sum.Add(int64(e.Amount))
		} else if !errors.Is(err, ledger.ErrRefundTooLarge) {
			t.Error(err)
		}
	})
	if sum.Load() != int64(9*money.Cent) || h.Balance(1).Posted != 99*money.Cent {
		t.Errorf("refunded %d, balance %+v", sum.Load(), h.Balance(1))
	}
	h.verify()
}

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
	r := h.charged()
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
	r := h.charged()
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
