package ledger_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/failpoint"
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

// short returns the bucket that refused r.
func (h *house) short(r ledger.Reservation, kind ledger.Bucket) ledger.ShortBucket {
	h.t.Helper()
	hold, err := h.Hold(r)
	var s *ledger.Short
	if !errors.As(err, &s) {
		if err == nil {
			hold.Abort()
		}
		h.t.Fatalf("Hold(%+v) = %v, want it to be short of %s", r, err, kind)
	}
	b, ok := s.Find(kind)
	if !ok {
		h.t.Fatalf("Hold(%+v) = %v, want it to be short of %s", r, err, kind)
	}
	return b
}

func TestARefusalNamesTheExactAmount(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	b := h.short(reserve(money.Dollar+1), ledger.BucketBalance)
	want := ledger.ShortBucket{Bucket: ledger.BucketBalance, Limit: int64(money.Dollar), Need: int64(money.Dollar) + 1}
	if b != want || b.Free() != int64(money.Dollar) || b.HeldOnly() {
		t.Errorf("short bucket = %+v, want %+v", b, want)
	}
	// One nano-dollar more, and the same reservation passes.
	h.topup(1, 1)
	hold, err := h.Hold(reserve(money.Dollar + 1))
	if err != nil {
		t.Fatalf("Hold of exactly what is there: %v", err)
	}
	if b := h.short(reserve(1), ledger.BucketBalance); !b.HeldOnly() {
		t.Errorf("short bucket = %+v, want it to be short only by what is held", b)
	}
	hold.Void(nil)
	if !h.Idle() {
		t.Error("something is held")
	}
}

func TestEveryShortBucketIsReportedAndNothingIsTaken(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	r := reserve(60 * money.Cent)
	r.KeyRequestsPerDay, r.KeyUSDPerDay = 1, money.Dollar
	r.Quotas = []ledger.Quota{{Class: "open", PerDay: 1}, {Class: "pro", PerDay: -1}}
	hold, err := h.Hold(r)
	if err != nil {
		t.Fatal(err)
	}
	before, day := h.Balance(1), h.KeyDay(1)
	_, err = h.Hold(r)
	var s *ledger.Short
	if !errors.As(err, &s) {
		t.Fatalf("Hold = %v", err)
	}
	midnight := time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC)
	sixty := int64(60 * money.Cent)
	want := []ledger.ShortBucket{
		{Bucket: ledger.BucketBalance, Limit: int64(money.Dollar), Held: sixty, Need: sixty},
		{Bucket: ledger.BucketKeyUSD, Limit: int64(money.Dollar), Held: sixty, Need: sixty, ResetsAt: midnight},
		{Bucket: ledger.BucketKeyRequests, Limit: 1, Held: 1, Need: 1, ResetsAt: midnight},
		{Bucket: ledger.BucketPlan, Class: "open", Limit: 1, Held: 1, Need: 1, ResetsAt: midnight},
	}
	if diff := cmp.Diff(want, s.Buckets); diff != "" {
		t.Errorf("short buckets (-want +got):\n%s", diff)
	}
	if h.Balance(1) != before || h.KeyDay(1) != day {
		t.Errorf("the refused hold took something: %+v %+v", h.Balance(1), h.KeyDay(1))
	}
	hold.Abort()
	if !h.Idle() {
		t.Error("something is held")
	}
	if d := h.PlanDay(1, false, "open"); d.Requests != 0 || d.RequestsHeld != 0 {
		t.Errorf("a voided request counts: %+v", d)
	}
}

func TestAnElasticHoldTakesWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		balance, limit money.Amount // of the account, of the key's day
		amount, floor  money.Amount
		want           money.Amount // 0: refused
	}{
		{"all of it fits", 100, 0, 80, 10, 80},
		{"the balance caps it", 50, 0, 80, 10, 50},
		{"the key's day caps it", 50, 30, 80, 10, 30},
		{"exactly the floor", 10, 0, 80, 10, 10},
		{"one nano-dollar below the floor", 9, 0, 80, 10, 0},
		{"no floor is exact", 79, 0, 80, 0, 0},
		{"a floor at the amount is exact", 79, 0, 80, 80, 0},
		{"no money is needed", 0, 1, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			if c.balance > 0 {
				h.topup(1, c.balance)
			}
			r := reserve(c.amount)
			r.Floor, r.KeyUSDPerDay = c.floor, c.limit
			if c.want == 0 && c.amount > 0 {
				need := c.floor
				if need == 0 {
					need = c.amount
				}
				if b := h.short(r, ledger.BucketBalance); b.Need != int64(need) {
					t.Errorf("short bucket = %+v, want need %d", b, need)
				}
				return
			}
			hold, err := h.Hold(r)
			if err != nil {
				t.Fatal(err)
			}
			defer hold.Abort()
			if hold.Amount() != c.want {
				t.Errorf("Amount = %d, want %d", hold.Amount(), c.want)
			}
		})
	}
}

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

// While a settle waits for the disk, what it charges above its hold is out of
// reach for others.
func TestAChargeAboveTheHoldIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 100)
	hold, err := h.Hold(reserve(40))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.fp.Arm(failpoint.SlowFsync, 1); err != nil {
		t.Fatal(err)
	}
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
	hold, err := h.Hold(reserve(money.Cent))
	if err != nil {
		t.Fatal(err)
	}
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

	hold, err = h.Hold(reserve(money.Cent))
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
		hold, err := h.Hold(reserve(money.Cent))
		if err != nil {
			t.Fatal(err)
		}
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
	hold, err := h.Hold(reserve(money.Cent))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.fp.Arm(failpoint.SlowFsync, 1); err != nil {
		t.Fatal(err)
	}
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
	if !h.Idle() {
		t.Error("something is held")
	}
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
			hold, err := h.Hold(reserve(money.Cent))
			if err != nil {
				t.Fatal(err)
			}
			_ = h.fp.Arm(failpoint.SlowFsync, 1)
			ctx, cancel := context.WithCancel(background)
			go func() {
				defer cancel()
				eventually(t, "the batch is being committed", func() bool { return h.fp.Left(failpoint.SlowFsync) == 0 })
			}()
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
	first, err := h.Hold(reserve(money.Cent))
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.Hold(reserve(money.Cent))
	if err != nil {
		t.Fatal(err)
	}
	_ = h.fp.Arm(failpoint.SlowFsync, 1)
	done := make(chan error)
	go func() {
		_, err := first.Settle(background, ledger.Settlement{Actual: money.Cent})
		done <- err
	}()
	eventually(t, "the first batch is being committed", func() bool { return h.fp.Left(failpoint.SlowFsync) == 0 })
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

func TestDailyLimitsResetAtMidnightUTC(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 10*money.Dollar)
	daily := func() ledger.Reservation {
		r := reserve(50 * money.Cent)
		r.KeyRequestsPerDay, r.KeyUSDPerDay = 2, money.Dollar
		r.Quotas = []ledger.Quota{{Class: "open", PerDay: 2}}
		return r
	}
	h.charge(daily(), 40*money.Cent)
	over, err := h.Hold(daily()) // crosses midnight
	if err != nil {
		t.Fatal(err)
	}
	b := h.short(daily(), ledger.BucketKeyRequests)
	if want := time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC); !b.ResetsAt.Equal(want) || !b.HeldOnly() {
		t.Errorf("short bucket = %+v, want it to reset at %v", b, want)
	}
	h.clock.advance(12*time.Hour - 1)
	h.short(daily(), ledger.BucketKeyRequests)
	h.clock.advance(1)
	if d := h.KeyDay(1); d.Requests != 0 || d.RequestsHeld != 0 || d.USD != 0 {
		t.Errorf("new day: KeyDay = %+v", d)
	}
	h.charge(daily(), 50*money.Cent)
	if _, err := over.Settle(background, ledger.Settlement{Actual: 50 * money.Cent}); err != nil {
		t.Fatal(err)
	}
	if d := h.KeyDay(1); d.Requests != 1 || d.USD != 50*money.Cent {
		t.Errorf("KeyDay = %+v, want the late request to count on the day it was admitted", d)
	}
	if d := h.PlanDay(1, false, "open"); d.Requests != 1 {
		t.Errorf("PlanDay = %+v", d)
	}
	h.reopen()
	if d := h.KeyDay(1); d.Requests != 1 || d.USD != 50*money.Cent {
		t.Errorf("after reopening: KeyDay = %+v", d)
	}
	h.charge(daily(), 0)
	h.short(daily(), ledger.BucketPlan)
	rows, err := h.Usage(background, ledger.UsageFilter{GroupBy: []string{ledger.GroupDay, ledger.GroupModel}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]money.Amount{}
	for _, r := range rows {
		got[r.Day.String()] += r.Charge
	}
	if want := map[string]money.Amount{"2026-03-14": 90 * money.Cent, "2026-03-15": 50 * money.Cent}; cmp.Diff(want, got) != "" {
		t.Errorf("usage by day (-want +got):\n%s", cmp.Diff(want, got))
	}
	h.verify()
}

func TestTheDayNeverMovesBack(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.clock.advance(12 * time.Hour)
	r := reserve(1)
	r.KeyRequestsPerDay = 1
	h.charge(r, 1)
	h.clock.advance(-time.Hour)
	r.Request = request()
	h.short(r, ledger.BucketKeyRequests)
}

func TestTestMoneyAndLiveMoneyAreApart(t *testing.T) {
	t.Parallel()
	h := setup(t)
	if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindGrant, Amount: money.Dollar, Test: true}); err != nil {
		t.Fatal(err)
	}
	h.short(reserve(1), ledger.BucketBalance)
	r := reserve(money.Cent)
	r.Test, r.Key, r.Quotas = true, 2, []ledger.Quota{{Class: "open", PerDay: 5}}
	if s := h.charge(r, money.Cent); s.Balance != 99*money.Cent {
		t.Errorf("Settle = %+v", s)
	}
	if b := h.Balance(1); b != (ledger.Balance{TestPosted: 99 * money.Cent, TestAvailable: 99 * money.Cent}) {
		t.Errorf("Balance = %+v", b)
	}
	if d := h.PlanDay(1, false, "open"); d.Requests != 0 {
		t.Errorf("a test request counts in the plan: %+v", d)
	}
	live, err := h.Usage(background, ledger.UsageFilter{})
	if err != nil || len(live) != 0 {
		t.Errorf("live usage = %+v, %v", live, err)
	}
	test, err := h.Usage(background, ledger.UsageFilter{Test: true})
	if err != nil || len(test) != 1 || test[0].Charge != money.Cent {
		t.Errorf("test usage = %+v, %v", test, err)
	}
	h.reopen()
	if d := h.PlanDay(1, true, "open"); d.Requests != 1 {
		t.Errorf("PlanDay = %+v", d)
	}
	h.verify()
}

func TestAnExchangeIsAllOrNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, 100)
	r := reserve(80)
	r.Quotas = []ledger.Quota{{Class: "open", PerDay: 1}}
	hold, err := h.Hold(r)
	if err != nil {
		t.Fatal(err)
	}
	dear := r
	dear.Amount = 101
	var s *ledger.Short
	if _, err := hold.Exchange(dear); !errors.As(err, &s) {
		t.Fatalf("Exchange for 101 of 100 = %v, want *Short", err)
	}
	if b := h.Balance(1); b.Held != 80 {
		t.Errorf("after a refused exchange: %+v", b)
	}
	next := r
	next.Amount, next.Quotas = 100, []ledger.Quota{{Class: "pro", PerDay: 1}}
	h.clock.advance(24 * time.Hour) // the request stays on its day
	other, err := hold.Exchange(next)
	if err != nil {
		t.Fatal(err)
	}
	if other.Day() != hold.Day() {
		t.Errorf("the exchanged hold is of %v, want %v", other.Day(), hold.Day())
	}
	if _, err := hold.Settle(background, ledger.Settlement{Actual: 1}); !errors.Is(err, ledger.ErrEnded) {
		t.Errorf("Settle of the old hold = %v", err)
	}
	if _, err := hold.Exchange(next); !errors.Is(err, ledger.ErrEnded) {
		t.Errorf("Exchange of the old hold = %v", err)
	}
	hold.Abort()
	if b := h.Balance(1); b.Held != 100 {
		t.Errorf("after an exchange: %+v", b)
	}
	stranger := next
	stranger.Account = 2
	if _, err := other.Exchange(stranger); err == nil {
		t.Error("Exchange for another account: want an error")
	}
	if _, err := other.Settle(background, ledger.Settlement{Actual: 100}); err != nil {
		t.Fatal(err)
	}
	if !h.Idle() {
		t.Error("something is held")
	}
	h.verify()
}

func TestReservationsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	stranger := reserve(0)
	stranger.Account, stranger.Key = 2, 2
	h.charge(stranger, 0)
	for name, change := range map[string]func(*ledger.Reservation){
		"another's key":     func(r *ledger.Reservation) { r.Key = 2 },
		"no account":        func(r *ledger.Reservation) { r.Account = 0 },
		"no key":            func(r *ledger.Reservation) { r.Key = 0 },
		"negative amount":   func(r *ledger.Reservation) { r.Amount = -1 },
		"negative floor":    func(r *ledger.Reservation) { r.Floor = -1 },
		"floor too high":    func(r *ledger.Reservation) { r.Floor = r.Amount + 1 },
		"negative requests": func(r *ledger.Reservation) { r.KeyRequestsPerDay = -1 },
		"negative dollars":  func(r *ledger.Reservation) { r.KeyUSDPerDay = -1 },
		"too many quotas":   func(r *ledger.Reservation) { r.Quotas = make([]ledger.Quota, 9) },
	} {
		r := reserve(1)
		change(&r)
		var s *ledger.Short
		if _, err := h.Hold(r); err == nil || errors.As(err, &s) {
			t.Errorf("%s: Hold = %v, want an error about the reservation", name, err)
		}
	}
	hold, err := h.Hold(reserve(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hold.Settle(background, ledger.Settlement{Actual: -1}); err == nil {
		t.Error("Settle of a negative amount: want an error")
	}
	hold.Abort()
	if !h.Idle() {
		t.Error("something is held")
	}
}

func TestAStuckCommitStopsAdmissionWithinASecond(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	hold, err := h.Hold(reserve(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.fp.Arm(failpoint.SlowFsync, 1); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := hold.Settle(background, ledger.Settlement{Actual: 1})
		done <- err
	}()
	h.clock.advance(-100 * time.Hour) // readiness does not go by the wall clock
	eventually(t, "the ledger is unready", func() bool { return h.Ready() != nil })
	if _, err := h.Hold(reserve(1)); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("Hold = %v, want ErrUnavailable", err)
	}
	if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: 1}); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("Credit = %v, want ErrUnavailable", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Settle = %v", err)
	}
	if err := h.Ready(); err != nil {
		t.Errorf("after the commit: Ready = %v", err)
	}
}

func TestAFullDiskRefusesAndThenRecovers(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	hold, err := h.Hold(reserve(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.fp.Arm(failpoint.DiskFull, 5); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := hold.Settle(background, ledger.Settlement{Actual: 1})
		done <- err
	}()
	eventually(t, "the ledger is unready", func() bool { return errors.Is(h.Ready(), ledger.ErrUnavailable) })
	if err := <-done; err != nil {
		t.Errorf("Settle = %v, want it to succeed once there is room", err)
	}
	if err := h.Ready(); err != nil {
		t.Errorf("Ready = %v", err)
	}
	if h.fatal.Load() != nil {
		t.Errorf("Fatal(%v)", *h.fatal.Load())
	}
	h.verify()
}

func TestAFailedCommitEndsTheProcess(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	hold, err := h.Hold(reserve(money.Cent))
	if err != nil {
		t.Fatal(err)
	}
	late, err := h.Hold(reserve(money.Cent))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.fp.Arm(failpoint.CommitError, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := hold.Settle(background, ledger.Settlement{Actual: 1}); !errors.Is(err, ledger.ErrUnavailable) || !errors.Is(err, failpoint.ErrInjected) {
		t.Errorf("Settle = %v, want ErrUnavailable and its cause", err)
	}
	eventually(t, "Fatal is called", func() bool { return h.fatal.Load() != nil })
	if _, err := h.Hold(reserve(1)); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("Hold = %v", err)
	}
	if _, err := late.Settle(background, ledger.Settlement{Actual: 1}); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("late Settle = %v", err)
	}
	if err := h.Engine.Close(); !errors.Is(err, failpoint.ErrInjected) {
		t.Errorf("Close = %v, want what ended the engine", err)
	}
	h.reopen()
	if b := h.Balance(1); b.Posted != money.Dollar || !h.Idle() {
		t.Errorf("after recovery: %+v", b)
	}
	h.verify()
}

func TestACloseMakesEverythingDurable(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	held, err := h.Hold(reserve(money.Cent))
	if err != nil {
		t.Fatal(err)
	}
	h.charge(reserve(money.Cent), money.Cent)
	lazy := request()
	h.Record(&ledger.Receipt{ID: lazy, Account: 1, Key: 1, Model: "m", Outcome: "refused", Fault: "balance_insufficient", Status: 402, Delivery: ledger.DeliveryComplete, Started: h.clock.now()})
	e := h.Engine
	h.reopen()
	if _, err := held.Settle(background, ledger.Settlement{Actual: 1}); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("Settle after Close = %v", err)
	}
	if err := e.Ready(); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("Ready after Close = %v", err)
	}
	if !e.Idle() || e.Stats().OpenHolds != 0 {
		t.Errorf("after Close something is held: %+v", e.Stats())
	}
	r, err := h.Receipt(background, lazy)
	if err != nil || r == nil || r.Fault != "balance_insufficient" || r.Status != 402 || r.Delivery != ledger.DeliveryComplete {
		t.Errorf("Receipt = %+v, %v", r, err)
	}
	if b := h.Balance(1); b.Posted != 99*money.Cent {
		t.Errorf("Balance = %+v", b)
	}
	h.verify()
}

func TestFoldsHappenInTheBackground(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.charge(reserve(money.Cent), money.Cent)
	mark := func() ledger.Mark {
		s, err := h.db.Journal().Snapshot(background)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		m, err := s.Mark(background)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	eventually(t, "the low water reaches the last entry", func() bool { m := mark(); return m.LowWater == m.LastSeq && m.LastSeq == 2 })
	h.verify()
}

// A journal that hangs for ever, on a fake clock: no wall clock, no disk.
func TestReadinessGoesByTheMonotonicClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := &hung{gate: make(chan struct{})}
		e, err := ledger.Open(background, j, ledger.Options{Now: func() time.Time { return time.Unix(0, 0) }})
		if err != nil {
			t.Fatal(err)
		}
		j.hang = true
		hold, err := e.Hold(reserve(0))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			_, err := hold.Settle(background, ledger.Settlement{})
			done <- err
		}()
		synctest.Wait()
		for _, c := range []struct {
			after time.Duration
			ready bool
		}{{0, true}, {999 * time.Millisecond, true}, {2 * time.Millisecond, false}, {time.Hour, false}} {
			<-time.After(c.after)
			if err := e.Ready(); (err == nil) != c.ready {
				t.Errorf("%v later: Ready = %v, want %t", c.after, err, c.ready)
			}
		}
		close(j.gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := e.Ready(); err != nil {
			t.Errorf("Ready = %v", err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

// hung is an empty journal whose transactions wait at a gate once hang is set.
type hung struct {
	ledger.Journal
	hang bool
	gate chan struct{}
}

func (j *hung) Start(context.Context) (ledger.Mark, error) { return ledger.Mark{Epoch: 1}, nil }

func (j *hung) Snapshot(context.Context) (ledger.Snapshot, error) { return empty{}, nil }

func (j *hung) Begin() (ledger.Tx, error) {
	if j.hang {
		<-j.gate
	}
	return nothing{}, nil
}

// empty is a journal with nothing in it.
type empty struct{ ledger.Snapshot }

func (empty) Balances(context.Context, func(ledger.BalanceRow) error) error { return nil }
func (empty) Grants(context.Context, func(ledger.GrantRow) error) error     { return nil }
func (empty) Counters(context.Context, ledger.Day, func(ledger.CounterRow) error) error {
	return nil
}
func (empty) Entries(context.Context, int64, func(*ledger.Entry) error) error { return nil }
func (empty) Close() error                                                    { return nil }

// nothing is a transaction that keeps nothing.
type nothing struct{}

func (nothing) Insert(*ledger.Batch) error { return nil }
func (nothing) Fold(*ledger.Fold) error    { return nil }
func (nothing) Commit() error              { return nil }
func (nothing) Rollback() error            { return nil }
