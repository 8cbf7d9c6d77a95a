package ledger_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

func TestSettleNeverChargesMoreThanThereIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		balance, limit money.Amount
		hold, actual   money.Amount
		charge         money.Amount
	}{
		{"less than held", 100, 0, 80, 5, 5},
		{"nothing", 100, 0, 80, 0, 0},
		{"more than held, covered by the balance", 100, 0, 80, 95, 95},
		{"more than the balance", 100, 0, 80, 150, 100},
		{"more than the key's day", 100, 90, 80, 150, 90},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.topup(1, c.balance)
			r := reserve(c.hold)
			r.KeyUSDPerDay = c.limit
			s := h.charge(r, c.actual)
			if s.Charge != c.charge || s.Absorbed != c.actual-c.charge || s.Balance != c.balance-c.charge {
				t.Errorf("Settle = %+v, want charge %d", s, c.charge)
			}
			if st := h.Stats(); st.Absorbed != c.actual-c.charge {
				t.Errorf("Stats = %+v", st)
			}
			got, err := h.Receipt(background, r.Request)
			if err != nil || got == nil || got.Charge != s.Charge || got.Absorbed != s.Absorbed || got.Hold != c.hold {
				t.Errorf("Receipt = %+v, %v", got, err)
			}
			rows, err := h.Usage(background, ledger.UsageFilter{})
			if err != nil || len(rows) != 1 || rows[0].Charge != s.Charge || rows[0].Absorbed != s.Absorbed || rows[0].Requests != 1 {
				t.Errorf("Usage = %+v, %v", rows, err)
			}
			h.verify()
		})
	}
}

// What the caller does not owe is never his, whatever he has, and is on the books.
func TestAnExcessIsAbsorbedThoughThereIsMoney(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                   string
		actual, excess, charge money.Amount
	}{
		{"a part", 70, 20, 50},
		{"all of it", 70, 70, 0},
		{"beyond the hold, too", 95, 5, 90},
		{"and more than the balance covers", 300, 50, 100},
	} {
		h := setup(t)
		h.topup(1, 100)
		hold := h.hold(reserve(80))
		for _, bad := range []money.Amount{-1, c.actual + 1} {
			if _, err := hold.Settle(background, ledger.Settlement{Actual: c.actual, Excess: bad}); err == nil {
				t.Errorf("%s: an excess of %d of %d was taken", c.name, bad, c.actual)
			}
		}
		s, err := hold.Settle(background, ledger.Settlement{Actual: c.actual, Excess: c.excess})
		if err != nil || s.Charge != c.charge || s.Absorbed != c.actual-c.charge || s.Balance != 100-c.charge {
			t.Errorf("%s: Settle = %+v, %v; want charge %d", c.name, s, err, c.charge)
		}
		got, err := h.Receipt(background, hold.Request())
		if err != nil || got.Charge != c.charge || got.Absorbed != c.actual-c.charge {
			t.Errorf("%s: Receipt = %+v, %v", c.name, got, err)
		}
		h.verify()
	}
}

// While a settle waits for the disk, what it charges above its hold is out of
// reach for others.
func TestAChargeAboveTheHoldIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 100)
	hold := h.hold(reserve(40))
	h.slow()
	done := make(chan ledger.Settled)
	go func() {
		s, _ := hold.Settle(background, ledger.Settlement{Actual: 90})
		done <- s
	}()
	eventually(t, "the settle is on its way", func() bool { return h.Balance(1).Held == 90 })
	if b := h.Balance(1); b.Posted != 100 || b.Available != 10 {
		t.Errorf("while settling: Balance = %+v", b)
	}
	if b := h.short(reserve(11), ledger.BucketBalance); b.Held != 90 {
		t.Errorf("short bucket = %+v", b)
	}
	if s := <-done; s.Charge != 90 || s.Balance != 10 {
		t.Errorf("Settle = %+v", s)
	}
}

func TestAHoldEndsOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	hold := h.hold(reserve(money.Cent))
	if _, err := hold.Settle(background, ledger.Settlement{Actual: money.Cent}); err != nil {
		t.Fatal(err)
	}
	if _, err := hold.Settle(background, ledger.Settlement{Actual: money.Cent}); !errors.Is(err, ledger.ErrEnded) {
		t.Errorf("second Settle = %v, want ErrEnded", err)
	}
	hold.Void(nil)
	hold.Abort()
	if b := h.Balance(1); b.Posted != 99*money.Cent || b.Held != 0 {
		t.Errorf("Balance = %+v", b)
	}

	hold, err := h.Hold(reserve(money.Cent))
	if err != nil {
		t.Fatal(err)
	}
	hold.Void(nil)
	hold.Void(nil)
	if _, err := hold.Settle(background, ledger.Settlement{Actual: money.Cent}); !errors.Is(err, ledger.ErrEnded) {
		t.Errorf("Settle after Void = %v, want ErrEnded", err)
	}
	if b := h.Balance(1); b.Posted != 99*money.Cent || b.Held != 0 {
		t.Errorf("Balance = %+v", b)
	}
	if hold.Free() != 0 {
		t.Errorf("Free of an ended hold = %s", hold.Free())
	}
	if st := h.Stats(); st.Settled != 1 || st.Voided != 1 || st.OpenHolds != 0 {
		t.Errorf("Stats = %+v", st)
	}
	h.verify()
}

func TestManyWhoEndAHoldEndItOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	for range 50 {
		hold := h.hold(reserve(money.Cent))
		together(8, func(i int) {
			if i%2 == 0 {
				hold.Void(nil)
			} else {
				_, _ = hold.Settle(background, ledger.Settlement{Actual: money.Cent})
			}
		})
	}
	st := h.Stats()
	if st.Settled+st.Voided != 50 || st.OpenHolds != 0 || !h.Idle() {
		t.Errorf("Stats = %+v, idle %t", st, h.Idle())
	}
	if b := h.Balance(1); b.Posted != money.Dollar-money.Amount(st.Settled)*money.Cent {
		t.Errorf("Balance = %+v after %d settles", b, st.Settled)
	}
	h.verify()
}

func TestAPanicBetweenHoldAndSettleGivesEverythingBack(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	func() {
		defer func() { _ = recover() }()
		hold, err := h.Hold(reserve(money.Cent))
		if err != nil {
			t.Error(err)
			return
		}
		defer hold.Abort()
		panic("handler")
	}()
	if !h.Idle() || h.Balance(1).Available != money.Dollar {
		t.Errorf("Balance = %+v", h.Balance(1))
	}
}

func TestASettleWhoseContextEndsStillCharges(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	hold := h.hold(reserve(money.Cent))
	h.slow()
	ctx, cancel := context.WithCancel(background)
	cancel()
	s, err := hold.Settle(ctx, ledger.Settlement{Actual: money.Cent})
	if !errors.Is(err, context.Canceled) || s.Charge != money.Cent {
		t.Fatalf("Settle = %+v, %v; want the charge and the context's error", s, err)
	}
	if b := h.Balance(1); b.Held != money.Cent {
		t.Errorf("before the commit: Balance = %+v, want the hold to stand", b)
	}
	eventually(t, "the charge is posted", func() bool { return h.Balance(1).Posted == 99*money.Cent })
	eventually(t, "nothing is held", h.Idle)
	h.reopen()
	if b := h.Balance(1); b.Posted != 99*money.Cent {
		t.Errorf("after reopening: Balance = %+v", b)
	}
	h.verify()
}

func TestARevokedChargeIsGivenBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		revoke func(h *house, hold *ledger.Hold) // called while a commit is slow
	}{
		{"while it is on its way", func(h *house, hold *ledger.Hold) {
			if err := hold.Revoke(background); err != nil {
				h.t.Error(err)
			}
		}},
		{"when it is durable", func(h *house, hold *ledger.Hold) {
			eventually(h.t, "the charge is posted", func() bool { return h.Stats().Settled == 1 })
			for range 2 {
				if err := hold.Revoke(background); err != nil {
					h.t.Error(err)
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.topup(1, money.Dollar)
			hold := h.hold(reserve(money.Cent))
			ctx := h.givenUp()
			if _, err := hold.Settle(ctx, ledger.Settlement{Actual: money.Cent}); !errors.Is(err, context.Canceled) {
				t.Fatalf("Settle = %v", err)
			}
			c.revoke(h, hold)
			eventually(t, "the charge is refunded", func() bool { return h.Balance(1).Posted == money.Dollar && h.Stats().LastSeq == 3 })
			r, err := h.Receipt(background, hold.Request())
			if err != nil || r.Charge != money.Cent || r.Refunded != money.Cent {
				t.Errorf("Receipt = %+v, %v", r, err)
			}
			h.verify()
		})
	}
}

func TestAChargeRevokedInTheQueueNeverHappens(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	first := h.hold(reserve(money.Cent))
	second := h.hold(reserve(money.Cent))
	begun := h.slow()
	done := settling(first, ledger.Settlement{Actual: money.Cent})
	begun()
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := second.Settle(ctx, ledger.Settlement{Actual: money.Cent}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Settle = %v", err)
	}
	if err := second.Revoke(background); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	eventually(t, "nothing is held", h.Idle)
	if b := h.Balance(1); b.Posted != 99*money.Cent || h.Stats().LastSeq != 2 {
		t.Errorf("Balance = %+v, last entry %d", b, h.Stats().LastSeq)
	}
	h.verify()
}

// early is a journal whose first look for a receipt comes just too early, and
// whose answer takes until it is let go.
type early struct {
	ledger.Journal
	asked, letGo chan struct{}
	once         sync.Once
}

func (j *early) ReadReceipt(ctx context.Context, id [16]byte) (*ledger.ReceiptRow, error) {
	first := false
	j.once.Do(func() { first = true })
	if first {
		close(j.asked)
		<-j.letGo
		return nil, nil
	}
	return j.Journal.ReadReceipt(ctx, id)
}

// An operator's refund that finds no charge yet must not keep the charge from
// being taken back that was revoked on its way.
func TestARevokedChargeIsGivenBackBesideARefund(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	if err := h.Engine.Close(); err != nil {
		t.Fatal(err)
	}
	j := &early{Journal: h.db.Journal(), asked: make(chan struct{}), letGo: make(chan struct{})}
	e, err := ledger.Open(background, j, ledger.Options{Now: h.clock.now, Failpoints: h.fp})
	if err != nil {
		t.Fatal(err)
	}
	h.Engine = e
	hold := h.hold(reserve(money.Cent))
	refunded := make(chan error, 1)
	go func() {
		_, err := h.Refund(background, ledger.Refund{Request: hold.Request(), Note: "operator"})
		refunded <- err
	}()
	<-j.asked
	ctx := h.givenUp()
	if _, err := hold.Settle(ctx, ledger.Settlement{Actual: money.Cent}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Settle = %v", err)
	}
	if err := hold.Revoke(background); err != nil {
		t.Error(err)
	}
	eventually(t, "the charge is posted", func() bool { return h.Stats().Settled == 1 })
	close(j.letGo)
	if err := <-refunded; !errors.Is(err, ledger.ErrNoCharge) {
		t.Errorf("Refund = %v, want ErrNoCharge", err)
	}
	eventually(t, "the charge is refunded", func() bool { return h.Balance(1).Posted == money.Dollar })
	h.verify()
}
