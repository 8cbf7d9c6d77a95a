package ledger

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/pontage/pontage/internal/money"
)

// maxDifferences bounds what a report lists.
const maxDifferences = 100

// Report is what a verification found.
type Report struct {
	OK             bool
	Entries        int64
	Accounts       int
	Digests        int      // of closed days, recomputed
	OldDigests     int      // of days of which statements have replaced the usage: they cannot be recomputed
	PendingDigests int      // of days that were closed a moment ago: they are being reckoned
	Differences    []string // at most 100, and a line that says how many more there are
	more           int
}

func (r *Report) differ(format string, args ...any) {
	if len(r.Differences) >= maxDifferences {
		r.more++
		return
	}
	r.Differences = append(r.Differences, fmt.Sprintf(format, args...))
}

func (r *Report) end() {
	r.OK = len(r.Differences) == 0
	if r.more > 0 {
		r.Differences = append(r.Differences, fmt.Sprintf("and %d more", r.more))
	}
}

// Verify recomputes every balance, counter and line of the usage report from the
// entries, and compares them with what is stored. The journal may be in use, or
// opened for reading only. An error means that it could not be read.
func Verify(ctx context.Context, j Journal) (Report, error) {
	snap, err := j.Snapshot(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	rep, _, err := verify(ctx, j, snap)
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	rep.end()
	return rep, nil
}

// Verify does what the function Verify does, and compares what is in memory with
// the entries as well. It is done one at a time: each holds all the sums in
// memory, and a view of the journal that keeps its log from being reset.
func (e *Engine) Verify(ctx context.Context) (Report, error) {
	select {
	case e.verifying <- struct{}{}:
		defer func() { <-e.verifying }()
	case <-ctx.Done():
		return Report{}, fmt.Errorf("verify: %w", context.Cause(ctx))
	}
	var snap Snapshot
	var now memory
	var failed error
	err := e.sync(ctx, &barrier{then: func() {
		snap, failed = e.journal.Snapshot(ctx)
		if failed == nil {
			now = e.remember()
		}
	}})
	if errors.Is(err, ErrUnavailable) {
		return Verify(ctx, e.journal)
	}
	if err != nil { // snap may still be written to; it ends with ctx
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	if failed != nil {
		return Report{}, fmt.Errorf("verify: %w", failed)
	}
	rep, sums, err := verify(ctx, e.journal, snap)
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	now.compare(sums, &rep)
	rep.end()
	return rep, nil
}

// verify adds up the entries of the snapshot, which it closes, and compares the
// sums with the folds. Meanwhile what else must agree within the journal is
// looked at in a snapshot of its own.
func verify(ctx context.Context, j Journal, snap Snapshot) (rep Report, all *sums, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mismatches []string
	var failed error
	compared := make(chan struct{})
	go func() {
		defer close(compared)
		if mismatches, failed = mismatched(ctx, j); failed != nil {
			cancel()
		}
	}()
	all, err = addUp(ctx, snap, &rep)
	if err = errors.Join(err, snap.Close()); err != nil {
		cancel()
	}
	<-compared
	if failed != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = failed
	}
	for _, m := range mismatches {
		rep.differ("%s", m)
	}
	return rep, all, err
}

func mismatched(ctx context.Context, j Journal) (found []string, err error) {
	snap, err := j.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	return snap.Mismatches(ctx, maxDifferences)
}

// Entries are handed from their reader to whoever adds them up in portions.
const (
	verifyPortion  = 512
	verifyPortions = 8 // that wait
)

// addUp adds up all entries, and compares the sums with the folds.
func addUp(ctx context.Context, r Reader, rep *Report) (*sums, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := readFolds(ctx, r)
	if err != nil {
		return nil, err
	}
	s.chain.skip(s.floor.Seq, rep)
	portions, used := make(chan *portion, verifyPortions), make(chan *portion, verifyPortions)
	read := make(chan error, 1)
	go func() {
		defer close(portions)
		read <- inPortions(ctx, r, portions, used, s.chain.covers)
	}()
	for p := range portions {
		from := 0
		for i := range p.entries {
			e := &p.entries[i]
			s.add(e, rep)
			if to := p.ends[i]; to > from {
				s.chain.add(e.Seq, p.rows[from:to], rep)
				from = to
			}
		}
		select {
		case used <- p:
		default:
		}
	}
	if err := <-read; err != nil {
		return nil, err
	}
	if s.last != s.mark.LastSeq {
		rep.differ("the last entry is %d, but %d was recorded", s.last, s.mark.LastSeq)
	}
	s.chain.finish(rep)
	rep.OldDigests = s.chain.old
	rep.Accounts = len(s.accounts)
	s.compare(rep)
	return s, nil
}

// portion is some entries with the rows of those that a digest covers.
type portion struct {
	entries []Entry
	rows    []byte
	ends    []int // of the row of each entry in rows
}

// emptyPortion returns one that was used, if there is one.
func emptyPortion(used <-chan *portion) *portion {
	select {
	case p := <-used:
		p.entries, p.rows, p.ends = p.entries[:0], p.rows[:0], p.ends[:0]
		return p
	default:
		return &portion{entries: make([]Entry, 0, verifyPortion), ends: make([]int, 0, verifyPortion), rows: make([]byte, 0, verifyPortion*128)}
	}
}

// inPortions reads all entries into the channel. Portions come back when they are
// used.
func inPortions(ctx context.Context, r Reader, portions chan<- *portion, used <-chan *portion, covered func(seq int64) bool) error {
	next := emptyPortion(used)
	send := func() error {
		select {
		case portions <- next:
			next = emptyPortion(used)
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	err := r.Rows(ctx, 0, math.MaxInt64, func(e *Entry, row []byte) error {
		next.entries = append(next.entries, *e)
		if covered(e.Seq) {
			next.rows = append(next.rows, row...)
		}
		next.ends = append(next.ends, len(next.rows))
		if len(next.entries) < verifyPortion {
			return nil
		}
		return send()
	})
	if err == nil && len(next.entries) > 0 {
		err = send()
	}
	return err
}

// memory is what the engine held at one moment, between two transactions. Every
// charge waits while it is copied, so it is only sorted out afterwards.
type memory struct {
	closedTo int64 // the last entry of the day that was closed last
	day      Day
	accounts []remembered
	counters []CounterRow
	holds    map[[16]byte]money.Amount
}

// remembered is what was posted of one account, live and test.
type remembered struct {
	id           int64
	credit, used [2]money.Amount
}

// remember copies what is posted. It runs on the committer's goroutine.
func (e *Engine) remember() memory {
	n := 0
	for i := range e.shards {
		n += e.shards[i].len()
	}
	m := memory{day: e.today(), closedTo: e.days.closedTo, accounts: make([]remembered, 0, n), counters: make([]CounterRow, 0, n)}
	for i := range e.shards {
		e.shards[i].remember(&m)
	}
	m.holds = e.durables.amounts()
	return m
}

func (s *shard) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.accounts)
}

func (s *shard) remember(m *memory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, a := range s.accounts {
		m.accounts = append(m.accounts, remembered{
			id: id, credit: [2]money.Amount{a.purses[0].credit, a.purses[1].credit}, used: [2]money.Amount{a.purses[0].used, a.purses[1].used},
		})
		for c, u := range a.days {
			if c.Day == m.day {
				m.counters = append(m.counters, CounterRow{CounterID: c, Requests: u.requests, Spent: u.spent})
			}
		}
	}
}

// compare holds what was in memory against the sums of all entries.
func (m *memory) compare(s *sums, rep *Report) {
	if has := s.mark.ClosedTo; has != m.closedTo {
		rep.differ("memory has days closed up to entry %d, but %d was recorded", m.closedTo, has)
	}
	known := make(map[int64]bool, len(m.accounts))
	for _, a := range m.accounts {
		known[a.id] = true
		for i, test := range []bool{false, true} {
			b := new(balanceSum)
			if sum := s.accounts[a.id]; sum != nil {
				b = &sum.balances[i]
			}
			if a.credit[i] != b.credit || a.used[i] != b.used {
				rep.differ("account %d, test %t: memory has credit %s and used %s, the entries give %s and %s", a.id, test, a.credit[i], a.used[i], b.credit, b.used)
			}
		}
	}
	for id, a := range s.accounts {
		if !known[id] && a.moved {
			rep.differ("account %d is not in memory", id)
		}
	}
	for id, amount := range s.holds {
		if has, known := m.holds[id]; !known || has != amount {
			rep.differ("hold %x is open with %s, memory has %s", id, amount, has)
		}
		delete(m.holds, id)
	}
	for id := range m.holds {
		rep.differ("hold %x is open in memory only", id)
	}
	counters := make(map[CounterID]CounterRow, len(m.counters))
	for _, c := range m.counters {
		counters[c.CounterID] = c
	}
	for id, c := range s.counters {
		if id.Day != m.day {
			continue
		}
		if has := counters[id]; has.Requests != c.all.requests || has.Spent != c.all.spent {
			rep.differ("counter %v: memory has %d requests and %s, the entries give %d and %s", id, has.Requests, has.Spent, c.all.requests, c.all.spent)
		}
	}
}
