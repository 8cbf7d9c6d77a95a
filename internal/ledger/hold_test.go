package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	hold := h.hold(r)
	before, day := h.Balance(1), h.KeyDay(1)
	_, err := h.Hold(r)
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
			hold := h.hold(r)
			defer hold.Abort()
			if hold.Amount() != c.want {
				t.Errorf("Amount = %d, want %d", hold.Amount(), c.want)
			}
		})
	}
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
	hold := h.hold(r)
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
	hold := h.hold(reserve(1))
	if _, err := hold.Settle(background, ledger.Settlement{Actual: -1}); err == nil {
		t.Error("Settle of a negative amount: want an error")
	}
	hold.Abort()
	if !h.Idle() {
		t.Error("something is held")
	}
}
