package ledger_test

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// share is an elastic reservation of key 1 that takes an eighth of what is free.
func share(amount, floor money.Amount) ledger.Reservation {
	r := reserve(amount)
	r.Floor, r.Share = floor, 8
	return r
}

func TestAShareLeavesTheRestToOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		amount, floor, limit money.Amount
		held, reach          money.Amount
	}{
		"worst case is small beside what is free": {10 * money.Cent, money.Cent, 0, 10 * money.Cent, 10 * money.Cent},
		"worst case is just an eighth":            {money.Dollar / 8, money.Cent, 0, money.Dollar / 8, money.Dollar / 8},
		"an eighth of what is free":               {money.Dollar, money.Cent, 0, money.Dollar / 8, money.Dollar},
		"at least the floor":                      {money.Dollar, 20 * money.Cent, 0, 20 * money.Cent, money.Dollar},
		"no more than there is":                   {3 * money.Dollar, money.Cent, 0, money.Dollar / 8, money.Dollar},
		"the key's dollars count":                 {money.Dollar, money.Cent, 40 * money.Cent, 5 * money.Cent, 40 * money.Cent},
		"all of the floor or nothing":             {2 * money.Dollar, money.Dollar, 0, money.Dollar, money.Dollar},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.topup(1, money.Dollar)
			r := share(c.amount, c.floor)
			r.KeyUSDPerDay = c.limit
			hold := h.hold(r)
			defer hold.Abort()
			if hold.Amount() != c.held || hold.Reach() != c.reach {
				t.Errorf("holds %s of %s, want %s of %s", hold.Amount(), hold.Reach(), c.held, c.reach)
			}
			if b := h.Balance(1); b.Held != c.held {
				t.Errorf("Balance = %+v", b)
			}
		})
	}
	if _, err := setup(t).Hold(ledger.Reservation{Account: 1, Key: 1, Amount: 2, Floor: 1, Share: -1}); err == nil {
		t.Error("a negative share is granted")
	}
}

func TestAnExtensionTakesWhatIsFreeAndNoMore(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	r := reserve(50 * money.Cent)
	r.KeyUSDPerDay = 70 * money.Cent
	hold := h.hold(r)
	defer hold.Abort()
	extend := func(by, want, held money.Amount) {
		t.Helper()
		if more, err := hold.Extend(by); err != nil || more != want || hold.Amount() != held {
			t.Errorf("Extend(%s) = %s, %v, and holds %s; want %s, and %s", by, more, err, hold.Amount(), want, held)
		}
		if b, d := h.Balance(1), h.KeyDay(1); b.Held < held || d.USDHeld != held {
			t.Errorf("%+v, %+v; want %s of the hold", b, d, held)
		}
	}
	extend(0, 0, 50*money.Cent)
	extend(5*money.Cent, 5*money.Cent, 55*money.Cent)
	extend(50*money.Cent, 15*money.Cent, 70*money.Cent) // that is the key's day
	extend(1, 0, 70*money.Cent)
	other := reserve(30 * money.Cent)
	other.Key = 2
	second := h.hold(other)
	defer second.Abort()
	if more, err := second.Extend(1); more != 0 || err != nil { // and that the balance
		t.Errorf("Extend of an empty balance = %s, %v", more, err)
	}
	if _, err := hold.Extend(-1); err == nil {
		t.Error("a hold is extended by less than nothing")
	}
	b := h.short(reserve(1), ledger.BucketBalance)
	if !b.HeldOnly() || b.Held != int64(money.Dollar) {
		t.Errorf("what is extended is not held: %+v", b)
	}
	receipt := &ledger.Receipt{Model: "m", Outcome: "ok", Started: h.clock.now()}
	s, err := hold.Settle(background, ledger.Settlement{Actual: 70 * money.Cent, Receipt: receipt})
	if err != nil || s.Charge != 70*money.Cent || s.Absorbed != 0 || receipt.Hold != 70*money.Cent {
		t.Errorf("Settle = %+v, %v, with a hold of %s", s, err, receipt.Hold)
	}
	if _, err := hold.Extend(1); !errors.Is(err, ledger.ErrEnded) {
		t.Errorf("Extend after Settle = %v", err)
	}
	second.Void(nil)
	if _, err := second.Extend(1); !errors.Is(err, ledger.ErrEnded) {
		t.Errorf("Extend after Void = %v", err)
	}
	if b := h.Balance(1); b.Posted != 30*money.Cent || b.Held != 0 || !h.Idle() {
		t.Errorf("Balance = %+v", b)
	}
	h.verify()
}

func TestWhatWasExtendedIsGivenBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*house, *ledger.Hold){
		"void":  func(_ *house, h *ledger.Hold) { h.Void(nil) },
		"abort": func(_ *house, h *ledger.Hold) { h.Abort() },
		"exchange": func(h *house, old *ledger.Hold) {
			r := reserve(money.Dollar) // all of it, with what was extended
			r.Request = old.Request()
			hold, err := old.Exchange(r)
			if err != nil {
				h.t.Fatal(err)
			}
			hold.Abort()
			if free := old.Free(); free != 0 {
				h.t.Errorf("Free of a hold that was exchanged = %s", free)
			}
		},
		"an exchange that fails": func(h *house, old *ledger.Hold) {
			r := reserve(money.Dollar + 1)
			r.Request = old.Request()
			if _, err := old.Exchange(r); err == nil {
				h.t.Error("more than there is was granted")
			}
			if b := h.Balance(1); b.Held != 30*money.Cent {
				h.t.Errorf("Balance = %+v, want it as before", b)
			}
			old.Abort()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.topup(1, money.Dollar)
			hold := h.hold(reserve(10 * money.Cent))
			if _, err := hold.Extend(20 * money.Cent); err != nil {
				t.Fatal(err)
			}
			end(h, hold)
			if b := h.Balance(1); b.Held != 0 || !h.Idle() {
				t.Errorf("Balance = %+v, want nothing held", b)
			}
		})
	}
}

// Many streams whose holds grow share a dollar: every nano-dollar of it can be
// spent, none twice, and what ends in the middle of an extension gives all back.
func TestManyWhoExtendShareTheBalance(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	var charged atomic.Int64
	together(200, func(i int) {
		rnd := rand.New(rand.NewPCG(7, uint64(i)))
		var hold *ledger.Hold
		for {
			var err error
			r := share(money.Dollar, 4*money.Cent)
			if hold, err = h.Hold(r); err == nil {
				break
			}
			var short *ledger.Short
			switch {
			case errors.As(err, &short):
				if b, _ := short.Find(ledger.BucketBalance); !b.HeldOnly() {
					return // the dollar is spent
				}
			case !errors.Is(err, ledger.ErrUnavailable): // the disk is slow
				t.Error(err)
				return
			}
			<-time.After(time.Millisecond)
		}
		for range rnd.IntN(6) {
			if _, err := hold.Extend(money.Amount(rnd.Int64N(int64(5 * money.Cent)))); err != nil {
				t.Error(err)
			}
			if b := h.Balance(1); b.Posted < 0 || b.Available < 0 {
				t.Errorf("Balance = %+v", b)
			}
		}
		if i%5 == 0 {
			hold.Void(nil)
			return
		}
		s, err := hold.Settle(background, ledger.Settlement{Actual: hold.Amount()})
		if err != nil || s.Absorbed != 0 {
			t.Errorf("Settle = %+v, %v", s, err)
		}
		charged.Add(int64(s.Charge))
	})
	if b := h.Balance(1); b.Posted != money.Dollar-money.Amount(charged.Load()) || b.Posted >= 4*money.Cent || b.Held != 0 || !h.Idle() {
		t.Errorf("Balance = %+v after charges of %s", b, money.Amount(charged.Load()))
	}
	h.verify()
}
