package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// flow is one request of a caller, or one of a job, from its claim to its end.
type flow struct {
	s       *sim
	life    *life
	limits  *Reservation // of its key
	request [16]byte
	idem    IdemKey // no key: it has none
	claim   *Claim
	hold    *Hold
	durable bool
	state   flowState
	call    *simCall // that it waits for
	charge  money.Amount
	lost    money.Amount // of what it cost: what is not charged
	revoked bool
	fact    *Fact     // nil: it keeps none, or has not yet
	facts   bool      // it keeps a fact, and is not charged
	asked   time.Time // when it asked for that
}

type flowState int

const (
	flowClaiming flowState = iota
	flowReady              // to hold
	flowHeld
	flowSettling
	flowLeft    // its caller gave up while it was settling
	flowSettled // and acknowledged
	flowVoiding
	flowKeeping // its fact is on its way
	flowKept
	flowForgetting
	flowEnded
)

var (
	errRender = errors.New("no answer could be made")
	simPrints = [2][32]byte{{1}, {2}}
)

// request begins a request, with an idempotency key or without.
func (s *sim) request() {
	keys := []int64{11, 12, 21, 22, 31, 32}
	f := &flow{s: s, life: s.life, limits: simLimits[keys[s.rnd.IntN(len(keys))]], request: s.id(), state: flowReady}
	s.flows = append(s.flows, f)
	if s.rnd.IntN(2) == 0 {
		f.claimKey()
		return
	}
	if s.rnd.IntN(2) == 0 {
		f.take()
	}
}

func (f *flow) note(format string, args ...any) {
	if f.s.trace != nil {
		f.s.note("request %x of key %d: %s", f.request[14:], f.limits.Key, fmt.Sprintf(format, args...))
	}
}

func (f *flow) end() {
	f.state = flowEnded
	f.s.flows = slices.DeleteFunc(f.s.flows, func(o *flow) bool { return o == f })
}

// unclaim says that the key is no longer in flight.
func (f *flow) unclaim() {
	if f.idem.Key != "" && f.life.claims[f.idem] == f {
		delete(f.life.claims, f.idem)
	}
}

func (f *flow) claimKey() {
	s, l := f.s, f.life
	f.state = flowClaiming
	k := IdemKey{Account: f.limits.Account, Test: f.limits.Test, Key: fmt.Sprint("k", s.rnd.IntN(2))}
	print := simPrints[0]
	if s.rnd.IntN(8) == 0 {
		print = simPrints[1]
	}
	wait := time.Duration(s.rnd.IntN(3)) * 300 * time.Millisecond
	f.call = s.call("claim", nil, func(ctx context.Context) func() {
		c, st, err := l.e.Claim(ctx, k, print, wait)
		return func() { f.claimed(k, c, st, err) }
	})
}

func (f *flow) claimed(k IdemKey, c *Claim, st *Stored, err error) {
	s := f.s
	f.note("claim of %v: claim %t, answer %t, %v", k, c != nil, st != nil, err)
	if f.state != flowClaiming || f.life != s.life {
		return // it was given up; the claim went with its process
	}
	switch {
	case err != nil:
		if !errors.Is(err, ErrIdemInProgress) && !errors.Is(err, ErrIdemMismatch) && !f.life.excuses(err) {
			s.fail("Claim: %v", err)
		}
		f.end()
	case st != nil:
		s.stats.replays++
		if a := s.model.answers[k]; a == nil || a.request != st.Request {
			s.fail("I2: key %v is answered with request %x, it stands for %+v", k, st.Request, a)
		}
		f.end()
	default:
		if a := s.model.live(k); a != nil {
			s.fail("I2: key %v may be charged again, request %x was", k, a.request)
		}
		if other := f.life.claims[k]; other != nil && !f.life.closing {
			s.fail("I2: key %v is claimed twice, by %x and by %x", k, other.request, f.request)
		}
		f.idem, f.claim, f.state = k, c, flowReady
		f.life.claims[k] = f
	}
}

// act does the next thing.
func (f *flow) act() {
	switch f.state {
	case flowReady:
		if f.facts {
			f.keep()
		} else {
			f.take()
		}
	case flowKept:
		f.forget()
	case flowHeld:
		switch n := f.s.rnd.IntN(10); {
		case n == 0 && !f.durable:
			f.exchange()
		case n <= 2 && !f.durable:
			f.extend()
		case n <= 4:
			f.void()
		default:
			f.settle()
		}
	case flowSettling:
		f.s.note("request %x: its caller leaves", f.request[14:])
		f.call.cancelled = true
		f.call.cancel()
		synctest.Wait()
		f.s.collect()
		if f.state == flowLeft && f.s.rnd.IntN(3) > 0 {
			f.revoke()
		}
	case flowLeft:
		f.revoke()
	case flowSettled:
		if f.s.rnd.IntN(4) == 0 {
			f.revoke()
			return
		}
		if _, err := f.hold.Extend(1); f.durable == errors.Is(err, ErrEnded) {
			f.s.fail("a hold that has ended is extended: %v", err)
		}
		f.life.e.Delivered(f.request)
		f.end()
	case flowClaiming, flowVoiding, flowKeeping, flowForgetting, flowEnded:
	}
}

// reservation draws what a request needs.
func (f *flow) reservation() Reservation {
	r := *f.limits
	r.Request, r.Amount = f.request, money.Amount(f.s.rnd.IntN(80))
	if f.s.rnd.IntN(4) == 0 && r.Amount > 0 {
		r.Floor = 1 + money.Amount(f.s.rnd.Int64N(int64(r.Amount)))
		r.Share = f.s.rnd.Int64N(6)
	}
	return r
}

func (f *flow) take() {
	s := f.s
	r := f.reservation()
	day := max(s.life.day, DayOf(s.wall))
	want := s.expect(&r, day, 1)
	h, err := s.life.e.Hold(r)
	f.note("hold %d, floor %d, share %d, on %s: %v", r.Amount, r.Floor, r.Share, day, err)
	if !f.compare(h, err, want) {
		f.claim.Release()
		f.unclaim()
		f.end()
		return
	}
	f.hold, f.state = h, flowHeld
	s.life.held.take(r, h.Day(), h.Amount())
}

// compare holds the outcome of a hold against what was expected.
func (f *flow) compare(h *Hold, err error, want expected) (taken bool) {
	s := f.s
	var got *Short
	switch {
	case err == nil && len(want.short) > 0:
		s.fail("I3: %d was held, although it is short of %v", h.Amount(), want.short)
	case err == nil && (h.Amount() != want.amount || h.Reach() != want.reach):
		s.fail("%d of %d was held, want %d of %d", h.Amount(), h.Reach(), want.amount, want.reach)
	case err == nil:
		return true
	case errors.As(err, &got):
		s.stats.denials++
		var kinds []Bucket
		for _, b := range got.Buckets {
			kinds = append(kinds, b.Bucket)
		}
		if !slices.Equal(kinds, want.short) {
			s.fail("a hold is short of %v, want %v", kinds, want.short)
		}
	case !s.unavailable(err):
		s.fail("Hold: %v", err)
	}
	return false
}

func (f *flow) exchange() {
	s, x := f.s, f.life.held.holds[f.request]
	r := f.reservation()
	s.life.held.release(f.request)
	want := s.expect(&r, x.day, 1)
	h, err := f.hold.Exchange(r)
	f.note("exchange for %d, floor %d, share %d: %v", r.Amount, r.Floor, r.Share, err)
	if !f.compare(h, err, want) {
		s.life.held.take(x.r, x.day, x.amount)
		return
	}
	f.hold = h
	s.life.held.take(r, x.day, h.Amount())
}

// extend lets the hold grow, as that of a stream does.
func (f *flow) extend() {
	s, x := f.s, f.life.held.holds[f.request]
	balance, key := s.free(&x.r, x.day)
	free, by := max(0, min(balance, key)), money.Amount(s.rnd.IntN(60))
	if got := f.hold.Free(); got != free {
		s.fail("%d is said to be free, want %d", got, free)
	}
	more, err := f.hold.Extend(by)
	f.note("extend by %d: %d, %v", by, more, err)
	if want := min(by, free); err != nil || more != want || f.hold.Amount() != x.amount+want {
		s.fail("I3: a hold of %d was extended by %d, to %d: %v; %d was free", x.amount, more, f.hold.Amount(), err, free)
	}
	f.life.held.grow(x, more)
}

func (f *flow) void() {
	s := f.s
	if f.durable {
		f.voidDurably()
		return
	}
	var r *Receipt
	if s.rnd.IntN(2) == 0 {
		r = &Receipt{Model: "m", Outcome: "failed"}
	}
	f.note("void")
	f.hold.Void(r)
	s.life.held.release(f.request)
	f.claim.Release()
	f.unclaim()
	f.end()
}

func (f *flow) voidDurably() {
	s, l := f.s, f.life
	f.state = flowVoiding
	f.note("void durably")
	f.call = s.call("void durably", nil, func(ctx context.Context) func() {
		err := f.hold.VoidDurably(ctx, nil, []byte("nothing"))
		return func() {
			switch {
			case err == nil:
				if h := s.disk.holds[f.request]; h.State != DurableVoided {
					s.fail("I1: hold %x was said to be voided, it is %+v", f.request, h)
				}
			case !l.excuses(err):
				s.fail("VoidDurably: %v", err)
			}
			if f.life == l && f.state == flowVoiding {
				f.end()
			}
		}
	})
}

// settle charges the request for anything between nothing and too much.
func (f *flow) settle() {
	s, l := f.s, f.life
	x := l.held.holds[f.request]
	actual := money.Amount(s.rnd.Int64N(int64(x.amount)*3/2 + 10))
	excess := money.Amount(0)
	if s.rnd.IntN(4) == 0 {
		excess = money.Amount(s.rnd.Int64N(int64(actual) + 1))
	}
	settlement := Settlement{Actual: actual, Excess: excess, Claim: f.claim, Receipt: &Receipt{Model: "m", Outcome: "ok", Usage: Tokens{Input: 3, Output: 5}}}
	if f.durable {
		settlement.Result = []byte("done")
	}
	settlement.Alerts = s.drawAlerts(f)
	fails := f.claim != nil && s.rnd.IntN(10) == 0
	if fails {
		f.unclaim() // whoever waits for the key has it before this call returns
	}
	if f.claim != nil {
		settlement.Render = func(so Settled) (*Stored, error) {
			if fails {
				return nil, errRender
			}
			return &Stored{Status: 200, Body: []byte(so.Charge.String()), Kept: true}, nil
		}
	}
	balance, key := s.free(&x.r, x.day)
	f.charge = min(actual-excess, x.amount+max(0, min(balance, key)))
	f.lost = actual - f.charge
	if f.charge > x.amount && !fails {
		l.held.grow(x, f.charge-x.amount)
	}
	x.settled = true
	f.state = flowSettling
	f.note("settle %d, %d of it in excess, which charges %d", actual, excess, f.charge)
	f.call = s.call("settle", nil, func(ctx context.Context) func() {
		so, err := f.hold.Settle(ctx, settlement)
		return func() { f.settled(so, err) }
	})
}

func (f *flow) settled(so Settled, err error) {
	s := f.s
	f.note("settled: %+v, %v", so, err)
	switch {
	case err == nil:
		s.stats.acks++
		e := s.disk.entry(so.Seq)
		if so.Charge != f.charge || e == nil || e.Kind != KindUsage || e.Request != f.request || e.Amount != f.charge || e.Day != f.hold.Day() {
			s.fail("I1: a charge of %d for request %x was acknowledged: %+v, the entry is %+v", f.charge, f.request, so, e)
		}
		if c := s.model.charges[f.request]; so.Absorbed != f.lost || c == nil || c.lost != f.lost {
			s.fail("I1: %d is lost with request %x: %+v was acknowledged, the entries are %+v", f.lost, f.request, so, c)
		}
		f.state = flowSettled
		f.unclaim()
		s.paid = append(s.paid, f)
	case errors.Is(err, errRender):
		f.life.held.release(f.request)
		f.unclaim()
		f.end()
	case errors.Is(err, context.Canceled):
		if f.state = flowLeft; f.durable {
			f.end() // it cannot be revoked
		}
	case errors.Is(err, ErrUnavailable) && !f.life.cut.Load() && f.life.closing:
		f.refused()
	case f.life.excuses(err):
		f.end()
	default:
		s.fail("Settle: %v", err)
	}
}

// refused says that the charge was not taken in, since the ledger is closing.
func (f *flow) refused() {
	f.unclaim()
	if !f.durable {
		f.life.held.release(f.request)
		f.end()
		return
	}
	x := f.life.held.holds[f.request]
	f.life.held.grow(x, f.hold.Amount()-x.amount)
	f.state = flowHeld
}

// revoke takes the charge back.
func (f *flow) revoke() {
	s, l := f.s, f.life
	turn := turnKey{request: f.request}
	if f.durable || f.revoked || s.busy(turn) {
		return
	}
	f.note("revoke")
	f.revoked = true
	l.held.revoked = append(l.held.revoked, f.request)
	s.stats.revoked++
	f.unclaim()
	f.call = s.call("revoke", []turnKey{turn}, func(ctx context.Context) func() {
		err := f.hold.Revoke(ctx)
		return func() {
			if err != nil && !l.excuses(err) && !s.model.gone(f.request, err) {
				s.fail("Revoke: %v", err)
			}
			if errors.Is(err, context.Canceled) && f.hold.op.progress.Load() == opApplied {
				// Its caller left while somebody else's refund was on its way, and
				// nobody asks again.
				l.held.revoked = slices.DeleteFunc(l.held.revoked, func(id [16]byte) bool { return id == f.request })
			}
			if c := s.model.charges[f.request]; err == nil && c != nil && f.state == flowSettled && c.back != c.amount && l == s.life {
				s.fail("I1: request %x was revoked: %+v", f.request, c)
			}
			if f.state == flowSettled {
				f.end()
			}
		}
	})
}

// dropped says that the charge of a revoked request never came to be, if it was
// not committed.
func (f *flow) dropped() {
	if f.s.model.charges[f.request] == nil && f.s.model.jobs[f.request] == nil {
		f.life.held.release(f.request)
	}
	if f.state != flowEnded {
		f.end()
	}
}

// revokedOnes returns the requests that the next step of the committer drops.
func (s *sim) revokedOnes(l *life) (list []*flow) {
	if l != s.life {
		return nil
	}
	for _, f := range s.flows {
		if f.revoked && (f.state == flowLeft || f.state == flowVoiding) {
			list = append(list, f)
		}
	}
	return list
}
