package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// The world of the simulator: three accounts with two keys each. Keys with an
// even number use the test balance; account 3 has an operator who takes money
// away. Amounts are small and credits scarce, so that everything is short often.
const simAccounts = 3

// simLimits are the limits of each key.
var simLimits = map[int64]*Reservation{
	11: {Account: 1, Key: 11, KeyRequestsPerDay: 9, KeyUSDPerDay: 260},
	12: {Account: 1, Key: 12, Test: true, Quotas: []Quota{{Class: "c", PerDay: 6}}},
	21: {Account: 2, Key: 21},
	22: {Account: 2, Key: 22, Test: true, KeyUSDPerDay: 150},
	31: {Account: 3, Key: 31, KeyRequestsPerDay: 5, Quotas: []Quota{{Class: "c", PerDay: 4}}},
	32: {Account: 3, Key: 32, Test: true},
}

// Whoever adds something to the engine that callers, the clock or the disk can
// do adds an act here.
type simAct int

const (
	actStep simAct = iota
	actClock
	actWeeks
	actFault
	actCrash
	actClose
	actTakeover
	actGhost
	actFirstOfCallers
	actRequest = iota - 1
	actFlow
	actCredit
	actRefund
	actJob
	actFact
	actCancel
	actVerify
	actFold
	actDigest
	numSimActs
)

// setPace chooses what this run does often and what never: runs that are all
// alike find the same things.
func (s *sim) setPace() {
	s.pace = [numSimActs]int{
		actStep: 30, actClock: 6, actWeeks: 1, actFault: 3, actCrash: 1, actClose: 1, actTakeover: 1, actGhost: 2,
		actRequest: 24, actFlow: 40, actCredit: 10, actRefund: 5, actJob: 4, actFact: 4, actCancel: 4, actVerify: 1, actFold: 1, actDigest: 2,
	}
	for i := range s.pace {
		switch s.rnd.IntN(4) {
		case 0:
			s.pace[i] *= 3
		case 1:
			if a := simAct(i); a != actStep && a != actRequest && a != actFlow && a != actCredit {
				s.pace[i] = 0
			}
		}
	}
}

func (s *sim) choose(from, to simAct) simAct {
	sum := 0
	for a := from; a < to; a++ {
		sum += s.pace[a]
	}
	if sum == 0 {
		return from
	}
	n := s.rnd.IntN(sum)
	for a := from; ; a++ {
		if n -= s.pace[a]; n < 0 {
			return a
		}
	}
}

// act does one thing.
func (s *sim) act() {
	switch a := s.choose(0, numSimActs); a {
	case actStep:
		s.advance()
	case actClock:
		s.moveClock()
	case actWeeks:
		s.moveWeeks()
	case actFault:
		s.arm()
	case actCrash:
		s.crash()
	case actClose:
		s.reopen()
	case actTakeover:
		s.takeover()
	case actGhost:
		s.haunt()
	default:
		s.callerAct(a)
	}
	s.settleDown()
}

// callersAct lets callers do a few things.
func (s *sim) callersAct() {
	for range 1 + s.rnd.IntN(3) {
		s.callerAct(s.choose(actFirstOfCallers, numSimActs))
		s.settleDown()
	}
}

func (s *sim) callerAct(a simAct) {
	switch a {
	case actRequest:
		s.request()
	case actFlow:
		if len(s.flows) > 0 {
			s.flows[s.rnd.IntN(len(s.flows))].act()
		}
	case actCredit:
		s.credit()
	case actRefund:
		s.refund()
	case actJob:
		s.job()
	case actFact:
		s.keepFact()
	case actCancel:
		if len(s.calls) > 0 {
			c := s.calls[s.rnd.IntN(len(s.calls))]
			s.note("%s: its caller gives up", c.what)
			c.cancelled = true
			c.cancel()
			synctest.Wait()
		}
	case actVerify:
		s.verify()
	case actDigest:
		s.digest()
		s.retainStep()
	case actFold:
		s.call("fold", nil, func(ctx context.Context) func() {
			_ = s.life.e.sync(ctx, &barrier{fold: true})
			return func() {}
		})
	case actStep, actClock, actWeeks, actFault, actCrash, actClose, actTakeover, actGhost, numSimActs:
	}
}

// advance makes a step of the committer, and starts the next process if that was
// the end of this one.
func (s *sim) advance() {
	if !s.step(s.life) && s.err == nil {
		s.start()
	}
}

func (s *sim) moveClock() {
	time.Sleep(time.Duration(s.rnd.IntN(400)) * time.Millisecond) // the monotonic clock
	d := time.Duration(s.rnd.IntN(2000)) * time.Millisecond
	switch s.rnd.IntN(6) {
	case 0:
		d = time.Duration(s.rnd.IntN(30)) * time.Hour
	case 1:
		d = -time.Duration(s.rnd.IntN(5)) * time.Hour
	case 2:
		d = DayOf(s.wall).Start().Add(24*time.Hour - 1).Sub(s.wall) // the last moment of the day
	}
	s.setClock(s.wall.Add(d))
	if s.wall.After(s.model.maxWall) {
		s.model.maxWall = s.wall
	}
	s.note("the clock moves by %v", d)
}

func (s *sim) arm() {
	f := &s.life.fault
	*f = fault{calls: 1 + s.rnd.IntN(7), kind: []faultKind{faultCrash, faultCrash, faultFull, faultCommit, faultReply}[s.rnd.IntN(5)]}
	if f.times = 1 + s.rnd.IntN(8); f.kind == faultFull && s.rnd.IntN(8) == 0 {
		f.times = 1 << 20
	}
	s.note("armed: %+v", *f)
}

// reopen closes the process in order. Everything that waits becomes durable.
func (s *sim) reopen() {
	l := s.life
	s.note("process %d closes", l.n)
	l.closing = true
	c := s.call("close", nil, func(context.Context) func() { _ = l.e.Close(); return func() {} })
	for s.err == nil && s.step(l) {
	}
	synctest.Wait()
	if !c.finished.Load() {
		s.fail("Close does not return")
	}
	s.collect()
	if s.err == nil {
		s.start()
	}
}

// takeover starts another process on the disk while this one is paused.
func (s *sim) takeover() {
	if s.ghost != nil {
		return
	}
	s.note("process %d pauses", s.life.n)
	s.ghost = s.life
	s.ghost.fault = fault{}
	s.start()
}

// haunt lets the paused process go on. It must do nothing that counts.
func (s *sim) haunt() {
	l := s.ghost
	if l == nil {
		return
	}
	if s.rnd.IntN(3) > 0 && s.step(l) {
		return // it had nothing to write
	}
	s.bury(l)
	s.ghost = nil
}

// verify asks the process whether its books balance.
func (s *sim) verify() {
	l := s.life
	if s.inTx {
		return
	}
	s.call("verify", nil, func(ctx context.Context) func() {
		rep, err := l.e.Verify(ctx)
		return func() {
			if err == nil && !rep.OK && l == s.life { // one that was taken over knows less
				s.fail("I7: verify: %q", rep.Differences)
			}
			s.report = rep
		}
	})
}

// credit gives or takes money, often with a reference that was there before.
func (s *sim) credit() {
	account := 1 + s.rnd.Int64N(simAccounts)
	c := Credit{Account: account, Kind: KindTopup, Amount: money.Amount(1 + s.rnd.IntN(120)), Test: s.rnd.IntN(2) == 0}
	switch s.rnd.IntN(5) {
	case 0:
		c.Kind, c.ExpiresAt = KindGrant, s.wall.Add(time.Duration(1+s.rnd.IntN(30))*time.Hour)
	case 1:
		if c.Kind = KindAdjust; account == 3 && s.rnd.IntN(2) == 0 {
			c.Amount = -c.Amount
		}
	}
	var turns []turnKey
	if s.rnd.IntN(2) == 0 {
		n := s.rnd.IntN(12)
		c.Reference = fmt.Sprint("r", n)
		if s.rnd.IntN(4) > 0 { // the same again, as whoever got no answer asks it
			c = Credit{Account: account, Kind: KindTopup, Amount: money.Amount(50 + n), Reference: c.Reference}
		}
		if turns = []turnKey{{account: account, reference: c.Reference}}; s.busy(turns...) {
			return
		}
	}
	l := s.life
	call := s.call("credit", turns, func(ctx context.Context) func() {
		e, err := l.e.Credit(ctx, c)
		return func() { s.credited(l, c, e, err) }
	})
	s.note("credit %+v: returned %t", c, call.finished.Load())
}

func (s *sim) credited(l *life, c Credit, e Entry, err error) {
	has := s.disk.entry(e.Seq)
	switch {
	case errors.Is(err, ErrReferenceTaken):
		want := s.model.refs[turnKey{account: c.Account, reference: c.Reference}]
		if has == nil || want != e.Seq || (has.Effect() == c.Amount && has.Test == c.Test && (has.Kind == c.Kind || has.Kind == KindReduce)) {
			s.fail("credit %+v: the reference, entry %d, is said to be another: %+v", c, want, has)
		}
		return
	case err != nil:
		if !l.excuses(err) {
			s.fail("Credit(%+v): %v", c, err)
		}
		return
	}
	s.stats.acks++
	if has == nil || has.Account != c.Account || has.Reference != c.Reference {
		s.fail("I1: credit %+v was acknowledged as entry %d, which is %+v", c, e.Seq, has)
		return
	}
	if has.Effect() != c.Amount || has.Test != c.Test || (has.Kind != c.Kind && has.Kind != KindReduce) {
		s.fail("I1: credit %+v is entry %+v", c, has)
	}
	if want := s.model.refs[turnKey{account: c.Account, reference: c.Reference}]; c.Reference != "" && want != e.Seq {
		s.fail("credit %+v is entry %d, the reference is entry %d", c, e.Seq, want)
	}
}

// refund gives back a part of what a request was charged.
func (s *sim) refund() {
	if len(s.paid) == 0 {
		return
	}
	f := s.paid[s.rnd.IntN(len(s.paid))]
	r := Refund{Request: f.request, Amount: money.Amount(s.rnd.IntN(40)), Note: "by the operator", Actor: []Actor{"", ActorOperator, "operator:ann"}[s.rnd.IntN(3)]}
	var turns []turnKey
	if s.rnd.IntN(2) == 0 { // also one that a credit has, or a refund of something else
		n := s.rnd.IntN(12)
		r.Reference = fmt.Sprint("r", n)
		if s.rnd.IntN(3) > 0 {
			r.Amount = money.Amount(n)
		}
		turns = append(turns, turnKey{account: f.limits.Account, reference: r.Reference})
	}
	turns = append(turns, turnKey{request: f.request})
	if s.busy(turns...) {
		return
	}
	l := s.life
	s.note("refund %+v", r)
	s.call("refund", turns, func(ctx context.Context) func() {
		e, err := l.e.Refund(ctx, r)
		return func() { s.refunded(l, f, r, e, err) }
	})
}

func (s *sim) refunded(l *life, f *flow, r Refund, e Entry, err error) {
	c := s.model.charges[f.request]
	k := turnKey{account: f.limits.Account, reference: r.Reference}
	was := s.model.refs[k]
	if err != nil && (l.excuses(err) || s.model.gone(f.request, err)) {
		return
	}
	s.note("refund %+v: entry %d, %v", r, e.Seq, err)
	has := s.disk.entry(e.Seq)
	same := has != nil && has.Kind == KindRefund && has.Request == f.request && has.Reference == r.Reference &&
		(r.Amount == has.Amount || (r.Amount == 0 && (r.Reference == "" || c.back == c.amount || c.seq <= s.model.floor))) // nothing more of what is old can be given back
	switch {
	case r.Reference != "" && was != e.Seq:
		s.fail("refund %+v is entry %d, the reference is entry %d: %v", r, e.Seq, was, err)
	case err == nil && (!same || (r.Reference == "" && has.Actor != cmp.Or(r.Actor, ActorSystem))):
		s.fail("I1: refund %+v was acknowledged as entry %d, which is %+v", r, e.Seq, has)
	case err == nil:
		s.stats.acks++
	case errors.Is(err, ErrReferenceTaken) && r.Reference != "" && has != nil && !same:
		s.stats.taken++
	case errors.Is(err, ErrNothingToRefund) && (c.back == c.amount):
	case errors.Is(err, ErrRefundTooLarge) && (r.Amount > c.amount-c.back):
	default:
		s.fail("Refund(%+v) of %+v: %v", r, c, err)
	}
}
