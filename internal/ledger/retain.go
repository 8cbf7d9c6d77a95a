package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pontage/pontage/internal/failpoint"
)

// MinRetention is the shortest time that usage may be kept one by one: refunds
// and disputes take as long.
const MinRetention = 35 * 24 * time.Hour

// ErrTooOld is what a refund of a request gives of which no more than the sums
// of its day are kept. It is an [ErrNoCharge].
var ErrTooOld = fmt.Errorf("%w: it is older than what is kept of single requests", ErrNoCharge)

// Floor says up to where usage was replaced by statements.
type Floor struct {
	Seq     int64    // entries of usage and absorbed cost up to this one are gone; 0: none
	Day     Day      // the newest day that one of them counted in
	Request [16]byte // the newest request that one of them was of
}

// Pruning is one step of the floor.
type Pruning struct {
	Floor                   // after it
	After      int64        // Seq of the floor before it
	Statements []UsageRow   // to be added to those that are there; without refunds
	Openings   []BalanceRow // balances at Seq, of those that an entry of the step moved
	Requests   [][16]byte   // whose receipts go
}

// Pace of pruning. A step is as much as a charge may have to wait for.
const (
	pruneStep = 500 // entries
	pruneRest = 50 * time.Millisecond
)

// pruneOp is a step on its way to the committer.
type pruneOp struct {
	p    *Pruning
	done chan struct{} // closed once it is durable
}

// retain replaces usage that is older than is kept by statements, one step after
// the other, always the oldest first.
func (e *Engine) retain(ctx context.Context) error {
	if e.retention == 0 {
		return nil
	}
	e.retaining.Lock() // one step at a time waits for the committer
	defer e.retaining.Unlock()
	for {
		p, err := e.nextPruning(ctx)
		if err != nil || p == nil {
			return err
		}
		o := &pruneOp{p: p, done: make(chan struct{})}
		e.queue.prune(o)
		select {
		case <-o.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := rest(ctx, pruneRest); err != nil {
			return err
		}
	}
}

// nextPruning reckons the next step, or returns nil if nothing is old enough.
func (e *Engine) nextPruning(ctx context.Context) (p *Pruning, err error) {
	snap, err := e.journal.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	floor, err := snap.Floor(ctx)
	if err != nil {
		return nil, err
	}
	last, young, err := e.oldEnough(ctx, snap)
	if err != nil {
		return nil, err
	}
	if last <= floor.Seq {
		return unswept(ctx, snap, floor)
	}
	s := &step{Pruning: Pruning{Floor: floor, After: floor.Seq}, accounts: map[int64]*account{}, usage: map[UsageID]*UsageRow{}}
	upTo := min(floor.Seq+pruneStep, last)
	var entries []*Entry // openings cannot be read before all of them are
	err = snap.Rows(ctx, floor.Seq, upTo+1, func(x *Entry, _ []byte) error {
		if x.Kind == KindUsage && x.Day >= young {
			upTo = min(upTo, x.Seq-1)
		}
		if x.Seq <= upTo || (x.Kind == KindAbsorbed && x.Seq == upTo+1) { // which goes with the charge before it
			kept := *x
			entries = append(entries, &kept)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if upTo == floor.Seq {
		return unswept(ctx, snap, floor)
	}
	for _, x := range entries {
		if err := s.add(ctx, snap, x); err != nil {
			return nil, err
		}
	}
	if s.Seq < upTo {
		return nil, fmt.Errorf("journal: entry %d is missing", s.Seq+1)
	}
	s.end()
	return &s.Pruning, nil
}

// unswept returns a step that leaves the floor where it is, if more goes with the
// usage up to it than went with its steps.
func unswept(ctx context.Context, r Reader, floor Floor) (*Pruning, error) {
	if floor.Seq == 0 {
		return nil, nil
	}
	left, err := r.Unswept(ctx, floor)
	if err != nil || !left {
		return nil, err
	}
	return &Pruning{Floor: floor, After: floor.Seq}, nil
}

// oldEnough returns the last entry of the newest day that has its digest and is
// over for as long as usage is kept, 0: there is none; and the first day that is
// not. A day of which something is still held by a job stays, since what is charged
// then counts in it. Where the clock was set back, usage up to that entry may be of
// a later day, which stays, too.
func (e *Engine) oldEnough(ctx context.Context, r Reader) (last int64, young Day, err error) {
	young = DayOf(e.now().Add(-e.retention))
	err = r.OpenHolds(ctx, func(h HoldRow) error {
		young = min(young, h.Day)
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	err = r.Digests(ctx, func(d Digest) error {
		if d.Made && d.Day < young {
			last = d.Last
		}
		return nil
	})
	return last, young, err
}

// step adds up what a pruning replaces.
type step struct {
	Pruning
	accounts map[int64]*account // at their openings, and then at Seq
	usage    map[UsageID]*UsageRow
}

func (s *step) add(ctx context.Context, r Reader, x *Entry) error {
	if x.Seq != s.Seq+1 || x.Kind == "" {
		return fmt.Errorf("journal: entry %d follows %d, or is of no known kind", x.Seq, s.Seq)
	}
	s.Seq = x.Seq
	if x.Kind != KindAbsorbed {
		a, err := s.opening(ctx, r, x.Account)
		if err != nil {
			return err
		}
		a.postBalance(x)
	}
	if x.Kind != KindUsage && x.Kind != KindAbsorbed {
		return nil // it stays
	}
	id, _ := x.usage()
	row := s.usage[id]
	if row == nil {
		row = &UsageRow{UsageID: id}
		s.usage[id] = row
	}
	row.add(x)
	if x.Kind == KindUsage {
		s.Day = max(s.Day, x.Day)
		s.Requests = append(s.Requests, x.Request)
		if bytes.Compare(x.Request[:], s.Request[:]) > 0 {
			s.Request = x.Request
		}
	}
	return nil
}

// opening returns the account as it was at the floor, and what entries of the
// step have done to it since.
func (s *step) opening(ctx context.Context, r Reader, id int64) (*account, error) {
	if a := s.accounts[id]; a != nil {
		return a, nil
	}
	row, err := r.Opening(ctx, id)
	if err != nil {
		return nil, err
	}
	a := &account{id: id}
	for i := range a.purses {
		a.purses[i].credit, a.purses[i].used = row.Credit[i], row.Used[i]
	}
	for _, g := range row.Grants {
		a.purse(g.Test).insert(grant{seq: g.Seq, remaining: g.Remaining, expires: g.ExpiresAt})
	}
	a.fold.hadGrants = len(row.Grants) > 0
	s.accounts[id] = a
	return a, nil
}

func (s *step) end() {
	for _, a := range s.accounts {
		s.Openings = append(s.Openings, a.row(s.Seq))
	}
	for _, row := range s.usage {
		s.Statements = append(s.Statements, *row)
	}
}

// prune hands a step to the committer.
func (q *queue) prune(o *pruneOp) {
	q.mu.Lock()
	q.pruning = o
	q.mu.Unlock()
	q.wake()
}

// pruningDue returns the step that waits, if all entries up to its floor are folded by
// then: recovery replays those that are not.
func (q *queue) pruningDue(lowWater int64) *Pruning {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pruning == nil || q.pruning.p.Seq > lowWater {
		return nil
	}
	return q.pruning.p
}

// pruned notes that the step is durable.
func (q *queue) pruned() {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.pruning.done)
	q.pruning = nil
}

// prune writes a step in two halves, with the crash point between them.
func (e *Engine) prune(tx Tx, p *Pruning) error {
	if mutated(StatementLost) {
		p = &Pruning{Floor: p.Floor, After: p.After, Openings: p.Openings, Requests: p.Requests}
	}
	if err := tx.Summarise(p); err != nil {
		return fmt.Errorf("write statements: %w", err)
	}
	if err := e.fp.Hit(failpoint.CrashMidRetention); err != nil {
		return err
	}
	if err := tx.Prune(p); err != nil {
		return fmt.Errorf("prune usage: %w", err)
	}
	return nil
}

// noCharge is the error of a refund of a request without a receipt.
func (e *Engine) noCharge(request [16]byte) error {
	if f := e.floor.Load(); f != nil && f.Seq > 0 && bytes.Compare(request[:], f.Request[:]) <= 0 {
		return ErrTooOld
	}
	return ErrNoCharge
}
