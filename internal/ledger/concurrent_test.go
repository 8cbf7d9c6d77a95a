package ledger_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

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

// opKind is an operation of a history.
type opKind string

// input and output of one operation of a history.
type input struct {
	kind   opKind
	amount money.Amount // hold, settle and void: what is held; credit: its amount; extend: what is asked for
	actual money.Amount // settle
}

type output struct {
	ok           bool
	free         money.Amount // of a refused hold
	more         money.Amount // extend: what was taken
	posted, held money.Amount // balance; settle: posted
}

type balanceState struct{ posted, held money.Amount }

// sequential is one account, one operation after the other.
var sequential = porcupine.Model{
	Init: func() any { return balanceState{} },
	Step: func(state, in, out any) (bool, any) {
		s, i, o := state.(balanceState), in.(input), out.(output)
		switch i.kind {
		case "credit":
			s.posted += i.amount
			return true, s
		case "hold":
			free := s.posted - s.held
			if !o.ok {
				return free < i.amount && free == o.free, s
			}
			s.held += i.amount
			return free >= i.amount, s
		case "extend":
			s.held += o.more
			return o.more == min(i.amount, max(0, s.posted-s.held+o.more)), s
		case "settle":
			s.posted, s.held = s.posted-i.actual, s.held-i.amount
			return o.posted == s.posted, s
		case "void":
			s.held -= i.amount
			return true, s
		case "balance":
			return o.posted == s.posted && o.held == s.held, s
		}
		return false, s
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
}

// Whatever interleaves, every account's history can be explained as one
// operation after the other.
func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	const accounts, clients, steps = 16, 6, 60
	h := setup(t)
	histories := make([][]porcupine.Operation, accounts)
	var mu sync.Mutex
	start := time.Now()
	together(accounts*clients, func(n int) {
		account, client := n%accounts, n/accounts
		rnd := rand.New(rand.NewPCG(uint64(account), uint64(client)))
		var mine []porcupine.Operation
		do := func(in input, run func() output) output {
			op := porcupine.Operation{ClientId: client, Input: in, Call: int64(time.Since(start))}
			out := run()
			op.Output, op.Return = out, int64(time.Since(start))
			mine = append(mine, op)
			return out
		}
		for range steps {
			h.step(int64(account+1), rnd, do)
		}
		mu.Lock()
		defer mu.Unlock()
		histories[account] = append(histories[account], mine...)
	})
	for account, ops := range histories {
		if got := porcupine.CheckOperationsTimeout(sequential, ops, 30*time.Second); got != porcupine.Ok {
			t.Errorf("account %d: a history of %d operations is not linearizable: %s", account+1, len(ops), got)
		}
	}
	if !h.Idle() {
		t.Error("something is held")
	}
	h.verify()
}

// step does something to the account and records it.
func (h *house) step(account int64, rnd *rand.Rand, do func(input, func() output) output) {
	amount := money.Amount(1 + rnd.Int64N(50))
	switch rnd.IntN(5) {
	case 0:
		do(input{kind: "credit", amount: amount}, func() output {
			h.topup(account, amount)
			return output{ok: true}
		})
	case 1:
		do(input{kind: "balance"}, func() output {
			b := h.Balance(account)
			return output{posted: b.Posted, held: b.Held}
		})
	default:
		var hold *ledger.Hold
		got := do(input{kind: "hold", amount: amount}, func() output {
			var err error
			hold, err = h.Hold(ledger.Reservation{Account: account, Key: account, Request: request(), Amount: amount})
			var short *ledger.Short
			if errors.As(err, &short) {
				b, _ := short.Find(ledger.BucketBalance)
				return output{free: money.Amount(b.Free())}
			}
			if err != nil {
				h.t.Error(err)
			}
			return output{ok: err == nil}
		})
		if !got.ok {
			return
		}
		if rnd.IntN(2) == 0 {
			by := money.Amount(rnd.Int64N(60))
			amount += do(input{kind: "extend", amount: by}, func() output {
				more, err := hold.Extend(by)
				if err != nil {
					h.t.Error(err)
				}
				return output{ok: true, more: more}
			}).more
		}
		if rnd.IntN(3) == 0 {
			do(input{kind: "void", amount: amount}, func() output {
				hold.Void(nil)
				return output{ok: true}
			})
			return
		}
		actual := money.Amount(rnd.Int64N(int64(amount) + 1))
		do(input{kind: "settle", amount: amount, actual: actual}, func() output {
			s, err := hold.Settle(background, ledger.Settlement{Actual: actual})
			if err != nil || s.Charge != actual {
				h.t.Error(s, err)
			}
			return output{ok: true, posted: s.Balance}
		})
	}
}
