package ledger

import (
	"context"
	"errors"
	"time"
)

// keepFact begins a request that keeps no more than the fact that it was done.
func (s *sim) keepFact() {
	limits := simLimits[[]int64{11, 12, 21}[s.rnd.IntN(3)]]
	f := &flow{s: s, life: s.life, limits: limits, request: s.id(), facts: true}
	s.flows = append(s.flows, f)
	f.claimKey()
}

func (f *flow) keep() {
	s, l := f.s, f.life
	if s.rnd.IntN(8) == 0 {
		f.note("release")
		f.claim.Release()
		f.unclaim()
		f.end()
		return
	}
	f.state, f.asked = flowKeeping, s.wall
	f.note("keep fact")
	f.call = s.call("keep fact", nil, func(ctx context.Context) func() {
		fact, err := l.e.KeepFact(ctx, f.claim, f.request)
		return func() { f.kept(fact, err) }
	})
}

func (f *flow) kept(fact *Fact, err error) {
	s := f.s
	f.note("kept: %v", err)
	switch {
	case err == nil:
		s.stats.acks++
		if a := s.model.answers[f.idem]; a == nil || a.request != f.request || (s.model.live(f.idem) != nil && s.disk.idem[f.idem].Request != f.request) {
			s.fail("I2: the fact of request %x is kept, key %v stands for %+v", f.request, f.idem, a)
		}
		if f.fact, f.state = fact, flowKept; s.rnd.IntN(2) == 0 {
			f.end() // it was done
		}
	case errors.Is(err, context.Canceled):
		f.life.held.unkept = append(f.life.held.unkept, f.request)
		f.giveUp()
	case f.life.excuses(err):
		f.giveUp()
	default:
		s.fail("KeepFact: %v", err)
	}
}

func (f *flow) giveUp() {
	f.unclaim()
	f.end()
}

// forget takes the fact back.
func (f *flow) forget() {
	s, l := f.s, f.life
	if s.wall.Sub(f.asked) >= 24*time.Hour { // who forgets does so at once, and not when the fact has lapsed
		f.end()
		return
	}
	f.state = flowForgetting
	f.note("forget fact")
	f.call = s.call("forget fact", nil, func(ctx context.Context) func() {
		err := f.fact.Forget(ctx)
		return func() {
			f.note("forgotten: %v", err)
			if err != nil && !l.excuses(err) {
				s.fail("Forget: %v", err)
			}
			if a := s.model.answers[f.idem]; err == nil && a != nil && a.request == f.request {
				s.fail("I2: the fact of request %x is forgotten, and key %v stands for it", f.request, f.idem)
			}
			if err == nil {
				l.held.unkept = append(l.held.unkept, f.request)
			}
			f.end()
		}
	})
}
