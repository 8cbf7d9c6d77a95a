package ledger_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// A thousand at once, on a dollar and a key's 70 cents, with costs above and
// below what they hold: not a nano-dollar too much is charged.
func TestAThousandAtOnceDrainADollarExactly(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	const limit = 70 * money.Cent
	var charged, byLimited atomic.Int64
	var below atomic.Bool
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
			}
			if b := h.Balance(1); b.Posted < 0 || b.Available < 0 {
				below.Store(true)
			}
			if d := h.KeyDay(1); d.USD+d.USDHeld > limit {
				below.Store(true)
			}
		}
	})
	together(1000, func(i int) {
		rnd := rand.New(rand.NewPCG(1, uint64(i)))
		key := int64(1 + i%2)
		for {
			r := ledger.Reservation{Account: 1, Key: key, Request: request(), Amount: money.Amount(1 + rnd.Int64N(int64(money.Cent)))}
			r.Floor = 1
			if key == 1 {
				r.KeyUSDPerDay = limit
			}
			hold, err := h.Hold(r)
			var short *ledger.Short
			if errors.As(err, &short) {
				if b, ok := short.Find(ledger.BucketBalance); ok && !b.HeldOnly() {
					return
				}
				if b, ok := short.Find(ledger.BucketKeyUSD); ok && !b.HeldOnly() {
					return
				}
				<-time.After(time.Millisecond)
				continue
			}
			if errors.Is(err, ledger.ErrUnavailable) {
				<-time.After(time.Millisecond)
				continue
			}
			if err != nil {
				t.Error(err)
				return
			}
			if rnd.IntN(10) == 0 {
				hold.Void(nil)
				continue
			}
			s, err := hold.Settle(background, ledger.Settlement{Actual: money.Amount(rnd.Int64N(2 * int64(r.Amount)))})
			if err != nil {
				t.Error(err)
				return
			}
			charged.Add(int64(s.Charge))
			if key == 1 {
				byLimited.Add(int64(s.Charge))
			}
		}
	})
	close(stop)
	watch.Wait()
	if below.Load() {
		t.Error("a balance was below zero, or a key above its limit, at some moment")
	}
	if charged.Load() != int64(money.Dollar) {
		t.Errorf("charged %s of $1", money.Amount(charged.Load()))
	}
	if byLimited.Load() > int64(limit) {
		t.Errorf("the limited key was charged %s of %s", money.Amount(byLimited.Load()), limit)
	}
	if b := h.Balance(1); b != (ledger.Balance{}) {
		t.Errorf("Balance = %+v, want nothing left and nothing held", b)
	}
	if d := h.KeyDay(1); d.USD != money.Amount(byLimited.Load()) {
		t.Errorf("KeyDay = %+v, want %d", d, byLimited.Load())
	}
	if !h.Idle() {
		t.Error("something is held")
	}
	h.verify()
}
