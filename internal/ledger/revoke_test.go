package ledger_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// An answer whose charge is taken back is never handed out again.
func TestARevokedChargeTakesItsAnswerAlong(t *testing.T) {
	t.Parallel()
	durable := func(h *house, _ *ledger.Hold) {
		eventually(h.t, "the charge is posted", func() bool { return h.Stats().Settled == 1 && h.Ready() == nil })
	}
	for _, c := range []struct {
		name   string
		actual money.Amount
		before func(h *house, hold *ledger.Hold) // Revoke is called; a commit is slow before
	}{
		{"on its way", money.Cent, func(*house, *ledger.Hold) {}},
		{"on its way, of nothing", 0, func(*house, *ledger.Hold) {}},
		{"durable", money.Cent, durable},
		{"durable, of nothing", 0, durable},
		{"durable, and refunded before", money.Cent, func(h *house, hold *ledger.Hold) {
			durable(h, hold)
			if _, err := h.Refund(background, ledger.Refund{Request: hold.Request()}); err != nil {
				h.t.Error(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.topup(1, money.Dollar)
			hold, claim := h.hold(reserve(money.Cent)), h.claim(keyA, one)
			ctx := h.givenUp()
			_, err := hold.Settle(ctx, ledger.Settlement{
				Actual: c.actual, Claim: claim, Render: render(&ledger.Stored{Status: 200, Kept: true}), Receipt: &ledger.Receipt{Model: "m", Outcome: "ok", Status: 200},
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("Settle = %v", err)
			}
			claim.Release() // as a defer does; it has no say any more
			c.before(h, hold)
			if err := hold.Revoke(background); err != nil {
				t.Error(err)
			}
			// Revoke may have returned before; the key is in flight until then.
			var again *ledger.Claim
			eventually(t, "the key is free", func() bool {
				var st *ledger.Stored
				again, st, err = h.Claim(background, keyA, one, time.Minute)
				if st != nil {
					t.Fatalf("Claim = %+v; want a claim", st)
				}
				return err == nil
			})
			if n := h.number("SELECT count(*) FROM idem"); n != 0 {
				t.Errorf("%d answers are stored", n)
			}
			if b := h.Balance(1); b.Posted != money.Dollar || b.Held != 0 {
				t.Errorf("Balance = %+v", b)
			}
			r, err := h.Receipt(background, hold.Request())
			if err != nil || r.Outcome != "aborted" || r.Status != 503 || r.Fault != "ledger_unavailable" || r.Charge != c.actual || r.Refunded != r.Charge {
				t.Errorf("Receipt = %+v, %v; want it to say that the charge was taken back", r, err)
			}
			want := h.answered(again, nil)
			if err := hold.Revoke(background); err != nil { // once more
				t.Error(err)
			}
			if st := h.replay(keyA, one); st.Request != want {
				t.Errorf("the answer is of request %x, want %x", st.Request, want)
			}
			h.verify()
		})
	}
}

func TestAChargeRevokedInTheQueueLeavesNoAnswer(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	first, second, claim := h.hold(reserve(money.Cent)), h.hold(reserve(money.Cent)), h.claim(keyA, one)
	begun := h.slow()
	done := settling(first, ledger.Settlement{Actual: money.Cent})
	begun()
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := second.Settle(ctx, ledger.Settlement{Actual: money.Cent, Claim: claim}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Settle = %v", err)
	}
	h.refused(keyA, one, ledger.ErrIdemInProgress)
	if err := second.Revoke(background); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	eventually(t, "the key is free", func() bool {
		c, _, err := h.Claim(background, keyA, one, 0)
		return err == nil && c != nil
	})
	if n := h.number("SELECT count(*) FROM idem"); n != 0 || h.Balance(1).Posted != 99*money.Cent {
		t.Errorf("%d answers are stored, Balance = %+v", n, h.Balance(1))
	}
}

// A charge that cannot be taken back keeps its answer, and can be revoked later.
func TestARevokeThatFailsLeavesEverything(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	hold := h.hold(reserve(money.Cent))
	if _, err := hold.Settle(background, ledger.Settlement{Actual: money.Cent, Claim: h.claim(keyA, one)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	if err := hold.Revoke(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Revoke = %v", err)
	}
	h.replay(keyA, one)
	if b := h.Balance(1); b.Posted != 99*money.Cent {
		t.Errorf("Balance = %+v", b)
	}
	if err := hold.Revoke(background); err != nil {
		t.Fatalf("second Revoke = %v", err)
	}
	h.claim(keyA, one)
	if b := h.Balance(1); b.Posted != money.Dollar {
		t.Errorf("Balance = %+v", b)
	}
	h.verify()
}
