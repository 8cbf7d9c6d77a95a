package ledger_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// opKind is an operation of a history.
type opKind string

// input and output of one operation of a history.
type input struct {
	kind   opKind
	amount money.Amount // hold, settle, exchange and void: what is held; credit, refund and revoke: what comes back; extend: what is asked for
	actual money.Amount // settle: the charge; exchange: what is to be held
}

type output struct {
	ok           bool
	free         money.Amount // of a refused hold
	more         money.Amount // extend: what was taken
	posted, held money.Amount // balance; settle: posted
	day          ledger.DayUse
}

// accountState is an account with one key.
type accountState struct {
	posted, held, spent    money.Amount
	requests, requestsHeld int64
}

// sequential is one account, one operation after the other.
var sequential = porcupine.Model{
	Init:              func() any { return accountState{} },
	Step:              func(state, in, out any) (bool, any) { return state.(accountState).step(in.(input), out.(output)) },
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
}

func (s accountState) step(i input, o output) (bool, any) {
	free := s.posted - s.held
	switch i.kind {
	case "credit", "refund", "revoke":
		s.posted += i.amount
		return true, s
	case "hold":
		if !o.ok {
			return free < i.amount && free == o.free, s
		}
		s.held += i.amount
		s.requestsHeld++
		return free >= i.amount, s
	case "exchange":
		if !o.ok {
			return free+i.amount < i.actual && free+i.amount == o.free, s
		}
		s.held += i.actual - i.amount
		return free+i.amount >= i.actual, s
	case "extend":
		s.held += o.more
		return o.more == min(i.amount, max(0, free)), s
	case "settle":
		s.posted, s.held, s.spent = s.posted-i.actual, s.held-i.amount, s.spent+i.actual
		s.requests, s.requestsHeld = s.requests+1, s.requestsHeld-1
		return o.posted == s.posted, s
	case "void":
		s.held -= i.amount
		s.requestsHeld--
		return true, s
	case "balance":
		return o.posted == s.posted && o.held == s.held, s
	case "day":
		return o.day.Requests == s.requests && o.day.RequestsHeld == s.requestsHeld && o.day.USD == s.spent && o.day.USDHeld == s.held, s
	}
	return false, s
}

// Whatever interleaves, every account's history can be explained as one
// operation after the other: 200 histories of 2,000 operations each, and fewer
// with the race detector.
func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	accounts, clients, length := 200, 4, 2000
	if ledger.RaceEnabled || testing.Short() {
		accounts, length = 32, 400
	}
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
		for len(mine) < length/clients {
			h.step(int64(account+1), rnd, do)
		}
		mu.Lock()
		defer mu.Unlock()
		histories[account] = append(histories[account], mine...)
	})
	driven := time.Since(start)
	var sum int
	for account, ops := range histories {
		sum += len(ops)
		if got := porcupine.CheckOperationsTimeout(sequential, ops, 30*time.Second); got != porcupine.Ok {
			t.Errorf("account %d: a history of %d operations is not linearizable: %s", account+1, len(ops), got)
		}
	}
	t.Logf("%d histories, %d operations: driven in %v, checked in %v", accounts, sum, driven.Round(time.Millisecond), (time.Since(start) - driven).Round(time.Millisecond))
	if sum < accounts*length {
		t.Errorf("%d operations, want %d", sum, accounts*length)
	}
	if !h.Idle() {
		t.Error("something is held")
	}
	h.verify()
}

// step does something to the account and records it.
func (h *house) step(account int64, rnd *rand.Rand, do func(input, func() output) output) {
	amount := money.Amount(1 + rnd.Int64N(50))
	switch rnd.IntN(8) {
	case 0:
		do(input{kind: "credit", amount: amount}, func() output {
			return output{ok: h.patiently(func() error {
				_, err := h.Credit(background, ledger.Credit{Account: account, Kind: ledger.KindTopup, Amount: amount})
				return err
			})}
		})
	case 1:
		do(input{kind: "balance"}, func() output {
			b := h.Balance(account)
			return output{posted: b.Posted, held: b.Held}
		})
	case 2:
		do(input{kind: "day"}, func() output { return output{day: h.KeyDay(account)} })
	default:
		h.request(account, amount, rnd, do)
	}
}

// patiently asks again while the ledger is not ready, as it is not on a machine
// that is so busy that a commit takes a second. What was refused did not happen.
func (h *house) patiently(do func() error) bool {
	for {
		err := do()
		if errors.Is(err, ledger.ErrUnavailable) && h.fatal.Load() == nil {
			<-time.After(10 * time.Millisecond)
			continue
		}
		if err != nil {
			h.t.Error(err)
		}
		return err == nil
	}
}

// request holds, and ends the hold in one of the ways there are.
func (h *house) request(account int64, amount money.Amount, rnd *rand.Rand, do func(input, func() output) output) {
	r := ledger.Reservation{Account: account, Key: account, Request: request(), Amount: amount}
	var hold *ledger.Hold
	taken := func(take func() (*ledger.Hold, error)) output {
		var short *ledger.Short
		ok := h.patiently(func() error {
			got, err := take()
			if err == nil {
				hold = got
			}
			if errors.As(err, &short) {
				return nil
			}
			return err
		})
		if short != nil {
			b, _ := short.Find(ledger.BucketBalance)
			return output{free: money.Amount(b.Free())}
		}
		return output{ok: ok}
	}
	if got := do(input{kind: "hold", amount: amount}, func() output { return taken(func() (*ledger.Hold, error) { return h.Hold(r) }) }); !got.ok {
		return
	}
	defer func() { hold.Abort() }()
	if rnd.IntN(4) == 0 {
		other := r
		other.Amount = money.Amount(1 + rnd.Int64N(80))
		if got := do(input{kind: "exchange", amount: amount, actual: other.Amount}, func() output {
			return taken(func() (*ledger.Hold, error) { return hold.Exchange(other) })
		}); got.ok {
			amount = other.Amount
		}
	}
	if rnd.IntN(4) == 0 {
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
	if actual < 2 {
		return
	}
	back := actual
	switch rnd.IntN(4) {
	case 0: // a part of it, and then whatever is left
		part := 1 + money.Amount(rnd.Int64N(int64(actual)-1))
		do(input{kind: "refund", amount: part}, func() output {
			return output{ok: h.patiently(func() error {
				_, err := h.Refund(background, ledger.Refund{Request: r.Request, Amount: part})
				return err
			})}
		})
		back -= part
		fallthrough
	case 1:
		do(input{kind: "revoke", amount: back}, func() output {
			if err := hold.Revoke(background); err != nil {
				h.t.Error(err)
			}
			return output{ok: true}
		})
	}
}
