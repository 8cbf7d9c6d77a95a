package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The simulator drives the engine in one thread, in a bubble of fake time, on a
// disk in memory. Callers are goroutines, of which only one runs at a time; the
// committer has none: the simulator makes its steps, at moments that the seed
// chooses. Crashes happen in any call of the journal and between any two steps.
// Everything is held against a model (sim_model_test.go).
//
// A seed is one run: the same seed makes the same decisions again.

// errCut is what a process panics with that is over, and what it gets from its
// journal afterwards.
var errCut = errors.New("the process is over")

// errDisk is an error of the disk that is not about room.
var errDisk = errors.New("the disk failed")

// sim is one run of the simulator.
type sim struct {
	rnd   *rand.Rand
	disk  *disk
	model *simModel
	life  *life        // the process that runs now
	ghost *life        // one that was paused when this one took over; nil: none
	wall  time.Time    // as the simulator sees it
	clock atomic.Int64 // the same, as callers see it
	calls []*simCall   // that have not returned, in the order of their beginning
	flows []*flow      // of this life, that have not ended
	paid  []*flow      // requests that were charged, of any life
	pace  [numSimActs]int
	ids   uint64

	dropped []*flow // that the committer throws out of its queue first thing in its step
	inTx    bool    // in the middle of a transaction
	over    bool    // nobody begins anything any more
	stats   simStats
	report  Report // of the last verification

	err   error // the first thing that was wrong
	trace *strings.Builder
}

// simStats counts what a run got to see.
type simStats struct{ steps, crashes, lost, full, fenced, acks, denials, replays, revoked, commits, events, taken, days, pruned int }

func (s *simStats) add(o simStats) {
	s.steps, s.crashes, s.lost, s.full, s.fenced = s.steps+o.steps, s.crashes+o.crashes, s.lost+o.lost, s.full+o.full, s.fenced+o.fenced
	s.acks, s.denials, s.replays, s.revoked, s.commits, s.events, s.taken, s.days, s.pruned = s.acks+o.acks, s.denials+o.denials, s.replays+o.replays, s.revoked+o.revoked, s.commits+o.commits, s.events+o.events, s.taken+o.taken, s.days+o.days, s.pruned+o.pruned
}

// life is one process.
type life struct {
	n        int
	e        *Engine
	journal  *MemoryJournal
	w        work
	cut      atomic.Bool // nothing reaches the disk any more
	excused  bool        // it was made to fail
	closing  bool
	fault    fault
	held     simHeld
	claims   map[IdemKey]*flow // that are in flight
	day      Day
	digested Digest   // the newest that its digester has handed to the committer
	pruning  *pruneOp // its step that is on its way, or was
	told     int      // events on the disk when it told somebody of them last
}

// fault is what is going to happen to a process.
type fault struct {
	calls int // of the journal until then; 0: nothing will
	kind  faultKind
	times int // how often, for a full disk
}

type faultKind string

const (
	faultCrash  faultKind = "crash"
	faultFull   faultKind = "full"
	faultCommit faultKind = "commit" // an error of the disk, before it is durable
	faultReply  faultKind = "reply"  // after
)

// fail notes the first thing that is wrong.
func (s *sim) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
		s.note("WRONG: %v", s.err)
	}
}

func (s *sim) note(format string, args ...any) {
	if s.trace != nil {
		fmt.Fprintf(s.trace, "%5d %s  ", s.stats.steps, s.wall.Format("02 15:04:05"))
		fmt.Fprintf(s.trace, format+"\n", args...)
	}
}

// now is the wall clock of every process.
func (s *sim) now() time.Time { return time.Unix(0, s.clock.Load()).UTC() }

func (s *sim) setClock(at time.Time) {
	s.wall = at
	s.clock.Store(at.UnixNano())
}

func (s *sim) id() (id [16]byte) {
	s.ids++
	for i, n := 15, s.ids; n > 0; i, n = i-1, n>>8 {
		id[i] = byte(n)
	}
	return id
}

// simulate runs one seed. It returns what was wrong, with the trace if it was
// asked for.
func simulate(t *testing.T, seed uint64, steps int, traced bool) (stats simStats, trace string, err error) {
	synctest.Test(t, func(t *testing.T) {
		s := &sim{
			rnd: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), disk: newDisk(),
		}
		s.setClock(time.Date(2026, 3, 14, 21, 0, 0, 0, time.UTC))
		if traced {
			s.trace = new(strings.Builder)
		}
		s.model = newSimModel(s)
		s.setPace()
		s.start()
		for s.err == nil && s.stats.steps < steps {
			s.stats.steps++
			s.act()
		}
		if s.err == nil {
			s.finish()
		}
		s.abandonAll()
		stats, err = s.stats, s.err
		if traced {
			trace = s.trace.String()
		}
	})
	return stats, trace, err
}

// --- processes ---------------------------------------------------------------

// start starts a process on what the disk holds, and again if it dies meanwhile.
func (s *sim) start() {
	for range 20 {
		if s.err != nil || s.boot() {
			return
		}
	}
	s.fail("no process comes up")
}

func (s *sim) boot() bool {
	n := 0
	if s.life != nil {
		n = s.life.n + 1
	}
	l := &life{n: n, journal: &MemoryJournal{disk: s.disk}, held: newSimHeld(), claims: map[IdemKey]*flow{}}
	l.journal.At = func(at journalCall, b *Batch) error { return s.at(l, at, b) }
	l.journal.Committed = func(b *Batch) { s.model.commit(b) }
	s.life, s.flows = l, nil
	if s.rnd.IntN(8) == 0 {
		l.fault = fault{calls: 1 + s.rnd.IntN(7), kind: faultCrash}
	}
	l.day = DayOf(s.wall)
	if err := s.guard(l, func() (err error) {
		l.e, err = open(context.Background(), l.journal, Options{Now: s.now, Retention: MinRetention, Notify: func() { l.told = len(s.disk.events) }})
		return err
	}); err != nil {
		if !errors.Is(err, errCut) {
			s.fail("open: %v", err)
		}
		s.note("process %d dies while it starts", n)
		l.cut.Store(true)
		return false
	}
	s.note("process %d runs, journal at %+v", n, s.disk.mark)
	l.told = len(s.disk.events)
	s.adopt()
	s.check()
	return true
}

// guard runs what the committer does, and returns errCut if the process died of
// it. Any other panic is wrong.
func (s *sim) guard(l *life, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p != error(errCut) {
				s.fail("panic: %v", p)
			}
			l.cut.Store(true)
			err = errCut
		}
	}()
	return do()
}

// at is every moment of a process's work with the journal.
func (s *sim) at(l *life, at journalCall, b *Batch) error {
	if l.cut.Load() {
		return errCut
	}
	if at == atRead || at == atRollback || (at == atSnapshot && l.e != nil) {
		return nil
	}
	if l == s.life {
		s.drop()
	}
	if err := s.strike(l, at); err != nil {
		return err
	}
	if l == s.life && l.e != nil && (at == atInsert || at == atCommit) && s.err == nil && !s.inTx && !s.over && s.rnd.IntN(3) == 0 {
		s.inTx = true
		l.held.expiring = expiring(b)
		s.note("in the middle of a transaction, at %s:", at)
		s.callersAct()
		s.inTx = false
	}
	if at == atCommitted {
		l.held.expiring = nil
	}
	return nil
}

// strike lets the process's fate catch up with it.
func (s *sim) strike(l *life, at journalCall) error {
	f := &l.fault
	if f.calls == 0 {
		return nil
	}
	f.calls = max(1, f.calls-1)
	if f.calls > 1 {
		return nil
	}
	switch {
	case f.kind == faultCrash:
		s.note("process %d dies at %s", l.n, at)
		s.stats.crashes++
		panic(errCut)
	case f.kind == faultFull && (at == atBegin || at == atInsert || at == atFold || at == atPurge || at == atSummarise || at == atPrune):
		s.stats.full++
		if f.times--; f.times <= 0 {
			*f = fault{}
		}
		s.note("the disk is full at %s", at)
		return ErrRetry
	case f.kind == faultCommit && at == atCommit, f.kind == faultReply && at == atCommitted:
		s.stats.lost++
		*f = fault{}
		l.excused = true
		s.note("the commit fails, at %s", at)
		return errDisk
	}
	return nil
}

// step makes a step of the committer. It reports whether the process goes on.
func (s *sim) step(l *life) bool {
	s.dropped = s.revokedOnes(l)
	var more bool
	begun := time.Now()
	err := s.guard(l, func() (err error) {
		more, err = l.e.step(&l.w)
		return err
	})
	s.note("step of process %d: %v", l.n, err) // whether more waits is a matter of who woke first
	switch {
	case err == nil:
		s.stats.commits++
		s.drop()
		if n := len(s.disk.events); l == s.life && l.told != n {
			s.fail("there are %d events, and somebody was told when there were %d", n, l.told)
		}
		s.settleDown()
		if l.w.closing && !more {
			l.cut.Store(true)
			l.e.end(nil)
			s.settleDown()
			return false
		}
		return true
	case errors.Is(err, errCut):
		s.settleDown() // what was acknowledged before that
	case errors.Is(err, ErrFenced) && l == s.ghost:
		s.stats.fenced++
	case errors.Is(err, ErrRetry) && time.Since(begun) > fullLimit:
	case !l.excused || errors.Is(err, ErrFenced):
		s.fail("process %d ended by itself: %v", l.n, err)
	}
	s.bury(l)
	return false
}

// drop notes what the committer has just thrown out of its queue.
func (s *sim) drop() {
	for _, f := range s.dropped {
		f.dropped()
	}
	s.dropped = nil
}

// bury ends a process: whoever waits is told, which counts as nothing.
func (s *sim) bury(l *life) {
	if l.e == nil || l.e.failure != nil {
		return
	}
	l.cut.Store(true)
	for _, o := range l.w.ops {
		if o == nil || isClosed(o.done) {
			continue
		}
		l.e.turns.drop(o)
		o.err = fmt.Errorf("%w: %w", ErrUnavailable, errCut)
		close(o.done)
	}
	for _, b := range l.w.barriers {
		if b != nil && !isClosed(b.done) {
			b.err = fmt.Errorf("%w: %w", ErrUnavailable, errCut)
			close(b.done)
		}
	}
	if !isClosed(l.e.done) {
		l.e.end(errCut)
	}
	synctest.Wait()
	s.collect()
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// crash ends the process that runs, wherever it is, and starts the next one.
func (s *sim) crash() {
	s.stats.crashes++
	s.note("process %d dies between two steps", s.life.n)
	s.life.cut.Store(true)
	s.bury(s.life)
	s.start()
}

// abandonAll ends every goroutine of the run.
func (s *sim) abandonAll() {
	for _, l := range []*life{s.ghost, s.life} {
		if l == nil || l.e == nil {
			continue
		}
		l.cut.Store(true)
		_ = s.guard(l, func() error { s.bury(l); return nil })
	}
	for _, c := range s.calls {
		c.cancel()
	}
	synctest.Wait()
}

// --- callers -----------------------------------------------------------------

// simCall is a call of the engine that may have to wait.
type simCall struct {
	life      *life
	what      string
	cancel    context.CancelFunc
	cancelled bool
	finished  atomic.Bool
	end       func() // what is made of its outcome
	turns     []turnKey
}

// call begins a call in a goroutine of its own. What run returns is called in
// the simulator's thread once it has returned.
func (s *sim) call(what string, turns []turnKey, run func(context.Context) func()) *simCall {
	ctx, cancel := context.WithCancel(context.Background())
	c := &simCall{life: s.life, what: what, cancel: cancel, turns: turns}
	s.calls = append(s.calls, c)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				c.end = func() { s.fail("%s: panic: %v", what, p) }
			}
			c.finished.Store(true)
		}()
		c.end = run(ctx)
	}()
	synctest.Wait()
	return c
}

// collect takes in the calls that have returned.
func (s *sim) collect() {
	calls := s.calls
	for i := 0; i < len(calls); i++ {
		c := calls[i]
		if !c.finished.Load() {
			continue
		}
		c.cancel()
		calls = slices.Delete(calls, i, i+1)
		i--
		s.calls = calls
		c.end()
		calls = s.calls
	}
}

// settleDown lets every goroutine come to rest, and looks at everything.
func (s *sim) settleDown() {
	synctest.Wait()
	s.collect()
	if s.life.e != nil && !s.life.cut.Load() && !s.inTx {
		s.check()
	}
}

// busy reports that a call about one of the turns is under way, and another one
// of any turn waits already: whoever wakes next would be left to chance.
func (s *sim) busy(turns ...turnKey) bool {
	same, waiting := false, false
	seen := map[turnKey]bool{}
	for _, c := range s.calls {
		for _, k := range c.turns {
			waiting = waiting || seen[k]
			same = same || slices.Contains(turns, k)
			seen[k] = true
		}
	}
	return same && waiting
}

// excuses reports that an error says nothing of what was asked for: its caller
// gave up, the ledger is not available, or the process is over.
func (l *life) excuses(err error) bool {
	return l.cut.Load() || errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable)
}

// unavailable reports that the error may be put down to the state of the ledger.
func (s *sim) unavailable(err error) bool {
	return errors.Is(err, ErrUnavailable) && (s.life.cut.Load() || s.life.e.Ready() != nil)
}
