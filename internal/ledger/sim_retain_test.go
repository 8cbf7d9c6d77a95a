package ledger

import (
	"context"
	"errors"
	"maps"
	"time"
)

// retainStep makes a step of what replaces usage that is too old, unless one is
// on its way to the committer.
func (s *sim) retainStep() {
	l := s.life
	if l.pruning != nil && !isClosed(l.pruning.done) {
		return
	}
	p, err := l.e.nextPruning(context.Background())
	if err != nil {
		s.fail("retain: %v", err)
	}
	if p == nil {
		return
	}
	s.note("entries %d to %d are to be replaced", p.After+1, p.Seq)
	l.pruning = &pruneOp{p: p, done: make(chan struct{})}
	l.e.queue.prune(l.pruning)
}

// moveWeeks moves the clock so far that usage gets too old.
func (s *sim) moveWeeks() {
	d := time.Duration(20+s.rnd.IntN(40)) * 24 * time.Hour
	s.setClock(s.wall.Add(d))
	if s.wall.After(s.model.maxWall) {
		s.model.maxWall = s.wall
	}
	s.note("the clock moves by %v", d)
}

// prune takes in what a batch replaces: nothing too early, and nothing that is
// needed.
func (m *simModel) prune(p *Pruning) {
	if p == nil {
		return
	}
	m.s.stats.pruned++
	if p.After != m.floor || p.Seq <= p.After {
		m.s.fail("entries %d to %d are replaced, the floor was at %d", p.After+1, p.Seq, m.floor)
	}
	m.floor = p.Seq
	for id, c := range m.charges {
		// The clock may have been set back between an entry and its day's end.
		if c.seq > p.After && c.seq <= p.Seq && m.maxWall.Sub(c.at) < MinRetention-simSetBack {
			m.s.fail("request %x was charged at %s, and is replaced already", id, c.at)
		}
		if _, kept := m.s.disk.receipts[id]; kept != (c.seq > p.Seq) {
			m.s.fail("request %x is entry %d, the floor is at %d: its receipt is kept: %t", id, c.seq, p.Seq, kept)
		}
	}
	for id, h := range m.jobs {
		if h.State == DurableOpen && h.Day <= p.Day && m.opened[id] <= p.After {
			m.s.fail("hold %x is open on %s, of which usage was replaced", id, h.Day)
		}
	}
}

// simSetBack is how far the clock may go back in one run, at most.
const simSetBack = 24 * time.Hour

// gone reports that no more than the sums of the request's day are kept, so that
// an error may say so.
func (m *simModel) gone(request [16]byte, err error) bool {
	c := m.charges[request]
	return c != nil && c.seq <= m.floor && errors.Is(err, ErrNoCharge)
}

// report adds an entry to its line of the usage report.
func (m *simModel) report(e *Entry) {
	if e.Kind != KindUsage && e.Kind != KindRefund && e.Kind != KindAbsorbed {
		return
	}
	id := UsageID{Day: e.Day, Account: e.Account, Key: e.Key, Test: e.Test, Model: e.Model}
	r := m.usageLines[id]
	switch e.Kind {
	case KindUsage:
		r.Requests++
		r.Charge += e.Amount
		r.Tokens.Input, r.Tokens.Output = r.Tokens.Input+3, r.Tokens.Output+5
	case KindRefund:
		r.Refunded += e.Amount
	default:
		r.Absorbed += e.Amount
	}
	r.UsageID = id
	m.usageLines[id] = r
}

// allReported compares the usage report at the end, when everything is folded.
func (s *sim) allReported() {
	got := maps.Clone(s.disk.usage)
	for id, r := range got {
		r.Folded = 0
		got[id] = r
	}
	if !maps.Equal(got, s.model.usageLines) {
		s.fail("I6: the usage report is %+v, want %+v", got, s.model.usageLines)
	}
}
