package ledger

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/pontage/pontage/internal/money"
)

// Hold is money and counts set aside for one request. It lives in memory only,
// unless it is of [Engine.HoldDurably]: if the process dies, it was never there. It ends exactly once, by Settle, Void
// or Abort, whichever comes first; `defer h.Abort()` right after [Engine.Hold]
// makes sure of it on every path, panics included.
type Hold struct {
	e     *Engine
	a     *account
	s     *shard
	stake stake
	op    op

	state   atomic.Int32
	amount  money.Amount
	reach   money.Amount
	day     Day
	key     int64
	test    bool
	request [16]byte
	classes []string
	durable *durable // nil: it ends with the process
	gaveUp  bool     // Settle has returned without its charge
}

// States of a hold.
const (
	holdOpen int32 = iota
	holdSettling
	holdVoid
)

// Hold takes what r needs from every bucket at once, or nothing. It does no
// input or output. It returns a *[Short] naming every bucket that is short, an
// error that wraps [ErrUnavailable] while charges cannot be recorded, or an
// error about a reservation that makes no sense.
func (e *Engine) Hold(r Reservation) (*Hold, error) {
	if err := e.Ready(); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	h := &Hold{e: e, s: e.shard(r.Account), day: e.today()}
	if err := h.take(&r); err != nil {
		return nil, err
	}
	e.open.Add(1)
	return h, nil
}

func (h *Hold) take(r *Reservation) error {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.a = h.s.account(r.Account)
	if err := h.e.admit(h.a, r.Key, h.day); err != nil {
		return err
	}
	if s := h.a.take(r, h.day, &h.stake); s != nil {
		return s
	}
	h.remember(r)
	return nil
}

// admit moves the account to the day, and refuses a key of another account. The
// caller holds the shard's lock.
func (e *Engine) admit(a *account, key int64, day Day) error {
	a.enter(day)
	if a.days[CounterID{Day: day, Scope: ScopeKey, ID: key}] == nil {
		if other, known := e.keys.LoadOrStore(key, a); known && other != a {
			return fmt.Errorf("reservation: key: %d belongs to another account", key)
		}
	}
	return nil
}

func (h *Hold) remember(r *Reservation) {
	h.amount, h.reach, h.key, h.test, h.request = h.stake.amount, h.stake.reach, r.Key, r.Test, r.Request
	for _, q := range r.Quotas {
		h.classes = append(h.classes, q.Class)
	}
}

// Amount returns what was held when the hold was taken, and what it was extended
// by since.
func (h *Hold) Amount() money.Amount { return h.amount }

// Reach returns what the hold would have been without [Reservation.Share].
func (h *Hold) Reach() money.Amount { return h.reach }

// Extend takes up to by more for an open hold, as far as the balance and the
// key's dollars of the day have it free right now, and returns how much it took,
// which may be nothing. It does no input or output. [Hold.Amount] is the larger
// for it, and so is what the receipt calls the hold. On a hold that has ended it
// returns [ErrEnded]. A durable hold cannot be extended, since its row says what
// it is. Extend is not safe for use together with Settle at the same time.
func (h *Hold) Extend(by money.Amount) (money.Amount, error) {
	if h.durable != nil {
		return 0, errors.New("extend hold: it is durable")
	}
	if by < 0 {
		return 0, fmt.Errorf("extend hold: %s is negative", by)
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if h.state.Load() != holdOpen || h.stake.purse == nil {
		return 0, ErrEnded
	}
	more := min(by, h.stake.free())
	if mutated(ExtendUnchecked) {
		more = by
	}
	h.stake.grow(more)
	h.amount += more
	return more, nil
}

// Free returns what is free right now besides the hold: the least of the balance
// and the key's dollars of the day. It is 0 once the hold has ended.
func (h *Hold) Free() money.Amount {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if h.stake.purse == nil {
		return 0
	}
	return h.stake.free()
}

// Day returns the day the request was admitted on, to which it belongs.
func (h *Hold) Day() Day { return h.day }

// Request returns the id of the request that the hold is for.
func (h *Hold) Request() [16]byte { return h.request }

// Exchange ends h and returns a hold for r in its place, in one step: nobody
// else can take what h gives back before r has. If r does not fit, h stays as it
// is and the error is a *[Short]. r must be of the same account, key, balance
// and request; the day stays that of h. Exchange is not safe for use together
// with other methods of h at the same time. A durable hold cannot be exchanged.
func (h *Hold) Exchange(r Reservation) (*Hold, error) {
	if h.durable != nil {
		return nil, errors.New("exchange hold: it is durable")
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	if r.Account != h.a.id || r.Key != h.key || r.Test != h.test || r.Request != h.request {
		return nil, fmt.Errorf("exchange hold: the reservation is of another account, key, balance or request")
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if !h.state.CompareAndSwap(holdOpen, holdVoid) {
		return nil, ErrEnded
	}
	n := &Hold{e: h.e, s: h.s, a: h.a, day: h.day}
	h.stake.giveBack()
	if s := h.a.take(&r, h.day, &n.stake); s != nil {
		h.stake.takeAgain()
		h.state.Store(holdOpen)
		return nil, s
	}
	h.stake = stake{}
	n.remember(&r)
	return n, nil
}

// receipt returns r, or an empty receipt, with what the hold knows of it.
func (h *Hold) receipt(r *Receipt) *Receipt {
	if r == nil {
		r = &Receipt{Started: h.e.now()}
	}
	r.ID, r.Account, r.Key, r.Test, r.Hold = h.request, h.a.id, h.key, h.test, h.amount
	return r
}

// charge returns what can be charged of the actual cost, and what is posted now
// less that.
func (h *Hold) charge(actual money.Amount) (charge, balance money.Amount) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	charge = h.stake.charge(actual)
	return charge, h.stake.purse.posted() - charge
}

// release gives the stake back. The stake is empty afterwards.
func (h *Hold) release() {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.releaseLocked()
}

func (h *Hold) releaseLocked() {
	if h.stake.purse != nil {
		h.stake.giveBack()
		h.stake = stake{}
	}
}

// fail ends the hold without a charge, since it could not be settled. A durable
// hold is open again, with what it held before.
func (h *Hold) fail() {
	if h.durable == nil {
		h.giveBack()
		return
	}
	h.s.mu.Lock()
	h.stake.shrink(h.amount)
	h.s.mu.Unlock()
	h.state.Store(holdOpen)
}

// giveBack ends the hold without a charge.
func (h *Hold) giveBack() {
	if !mutated(VoidKeeps) {
		h.release()
	}
	h.e.open.Add(-1)
	h.e.stats.voided.Add(1)
}

// Void ends the hold without a charge and gives everything back at once. The
// receipt, if there is one, is recorded lazily. On a hold that has ended it does
// nothing at all, and neither on a durable one: what is open on disk must not be
// free in memory, and it is up to whoever runs the job (VoidDurably).
func (h *Hold) Void(r *Receipt) {
	if h.durable != nil || !h.state.CompareAndSwap(holdOpen, holdVoid) {
		return
	}
	h.giveBack()
	if r != nil {
		r = h.receipt(r)
		r.Charge, r.Absorbed = 0, 0
		h.e.Record(r)
	}
}

// Abort gives everything back if the hold has not ended, and does nothing
// otherwise, nor to a durable hold. It is for defer.
func (h *Hold) Abort() { h.Void(nil) }
