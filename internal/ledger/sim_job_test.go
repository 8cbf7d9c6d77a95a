package ledger

import (
	"context"
	"errors"
	"slices"

	"github.com/pontage/pontage/internal/money"
)

// job takes up to three durable holds of one key, all or none.
func (s *sim) job() {
	keys := []int64{11, 12, 21, 31}
	l, limits := s.life, simLimits[keys[s.rnd.IntN(len(keys))]]
	n := 1 + s.rnd.IntN(3)
	whole := *limits
	var list []*flow
	var rs []Reservation
	for range n {
		f := &flow{s: s, life: l, limits: limits, request: s.id(), durable: true, state: flowClaiming}
		r := *limits
		r.Request, r.Amount = f.request, money.Amount(s.rnd.IntN(40))
		whole.Amount += r.Amount
		list, rs = append(list, f), append(rs, r)
	}
	day := max(l.day, DayOf(s.wall))
	short := s.expect(&whole, day, int64(n)).short
	group := s.id()
	ready := l.e.Ready() == nil
	if ready && len(short) == 0 {
		for i := range rs {
			l.held.take(rs[i], day, rs[i].Amount)
		}
		s.flows = append(s.flows, list...)
	}
	s.note("job %x of key %d: %d holds, %d", group[14:], limits.Key, n, whole.Amount)
	c := s.call("job", nil, func(ctx context.Context) func() {
		holds, err := l.e.HoldDurably(ctx, rs, DurableOptions{Group: group})
		return func() { s.jobTaken(list, holds, err, short) }
	})
	for _, f := range list {
		f.call = c
	}
}

func (s *sim) jobTaken(list []*flow, holds []*Hold, err error, short []Bucket) {
	var got *Short
	f := list[0]
	switch {
	case err == nil && len(short) > 0:
		s.fail("I3: a job was held, although it is short of %v", short)
	case err == nil:
		s.stats.acks++
		for i, f := range list {
			if h := s.disk.holds[f.request]; h.State != DurableOpen || h.Amount != holds[i].Amount() {
				s.fail("I1: durable hold %x was acknowledged, it is %+v", f.request, h)
			}
			f.hold, f.state = holds[i], flowHeld
		}
	case errors.As(err, &got):
		s.stats.denials++
		var kinds []Bucket
		for _, b := range got.Buckets {
			kinds = append(kinds, b.Bucket)
		}
		if !slices.Equal(kinds, short) {
			s.fail("a job is short of %v, want %v", kinds, short)
		}
	case errors.Is(err, context.Canceled):
		// What became durable all the same is voided right after.
		for _, f := range list {
			f.state, f.revoked = flowVoiding, true
		}
	case !errors.Is(err, ErrUnavailable) || (len(short) == 0 && f.life == s.life && !f.life.cut.Load() && f.life.e.Ready() == nil):
		s.fail("HoldDurably: %v", err)
	}
}

// adopt takes over the durable holds that are open on the disk, and nothing
// else.
func (s *sim) adopt() {
	open := map[[16]byte]*HoldRow{}
	for id, h := range s.model.jobs {
		if h.State == DurableOpen {
			open[id] = h
		}
	}
	for _, h := range s.life.e.OpenHolds() {
		row := open[h.Request()]
		if row == nil || row.Amount != h.Amount() || row.Day != h.Day() {
			s.fail("I6: durable hold %x is open with %d, the journal has %+v", h.Request(), h.Amount(), row)
			return
		}
		delete(open, h.Request())
		limits := simLimits[row.Key]
		r := *limits
		r.Request, r.Amount = row.ID, row.Amount
		s.life.held.take(r, row.Day, row.Amount)
		s.flows = append(s.flows, &flow{s: s, life: s.life, limits: limits, request: row.ID, hold: h, durable: true, state: flowHeld})
	}
	if len(open) > 0 {
		s.fail("I4: %d durable holds are lost", len(open))
	}
}

// finish ends everything that is open, and looks whether all is well: nothing
// waits, nothing is held, and what a new process knows is what this one did.
func (s *sim) finish() {
	s.note("the end: everybody finishes")
	s.over, s.life.fault = true, fault{}
	if s.ghost != nil {
		s.bury(s.ghost)
		s.ghost = nil
	}
	for round := 0; s.err == nil && (len(s.flows)+len(s.calls) > 0 || round < 2); round++ {
		if round > 50 {
			s.fail("I4: %d requests and %d calls do not end", len(s.flows), len(s.calls))
			return
		}
		for _, f := range slices.Clone(s.flows) {
			switch f.state {
			case flowReady:
				f.claim.Release()
				f.unclaim()
				f.end()
			case flowHeld:
				f.void()
			case flowSettled, flowKept:
				f.end()
			case flowLeft:
				if s.rnd.IntN(2) == 0 && !f.revoked {
					f.revoke()
				} else if !f.revoked {
					f.end()
				}
			case flowClaiming, flowSettling, flowVoiding, flowKeeping, flowForgetting, flowEnded:
			}
		}
		s.settleDown()
		if !s.step(s.life) {
			s.fail("the process ends at the end: %v", s.life.e.failure)
		}
	}
	if s.err != nil {
		return
	}
	if l := s.life; !l.e.Idle() || l.e.Stats().OpenHolds != 0 || len(l.held.holds) != 0 || len(l.e.claims.slots) != 0 || len(l.e.turns.ops) != 0 {
		s.fail("I4: something is held at the end: %+v, %d claims, %d turns", l.e.Stats(), len(l.e.claims.slots), len(l.e.turns.ops))
	}
	s.digest()
	if s.step(s.life) {
		s.allVerified()
		s.allDigested(s.report)
	}
	s.revocationsKept()
	if s.err == nil {
		s.reopen()
		s.life.fault = fault{}
		s.retainStep()
		s.allVerified()
		s.allReported()
		s.noneDeleted()
	}
}

func (s *sim) allVerified() {
	s.verify()
	s.settleDown()
	for range 3 {
		if s.err != nil || !s.step(s.life) {
			return
		}
	}
	if len(s.calls) > 0 {
		s.fail("%d calls never return: %s", len(s.calls), s.calls[0].what)
	}
}

// revocationsKept finds requests of the last process that were revoked and are
// charged all the same, and facts that were given up and stand.
func (s *sim) revocationsKept() {
	for _, id := range s.life.held.revoked {
		if c := s.model.charges[id]; c != nil && c.back != c.amount && c.seq > s.model.floor {
			s.fail("I1: request %x was revoked, and has %d of %d back", id, c.back, c.amount)
		}
	}
	for k, a := range s.model.answers {
		if slices.Contains(s.life.held.unkept, a.request) {
			s.fail("I2: key %v stands for request %x, which was given up", k, a.request)
		}
	}
}
