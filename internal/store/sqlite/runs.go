package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

// This file fills what listings by account are found by, in runs, on a goroutine
// of its own. What is not in a run yet is looked through by whoever lists.

// Bounds of runs.
const (
	runStep    = 256                  // rows written in one transaction: a charge waits for no more
	runRest    = 2 * time.Millisecond // between two of them
	runRetry   = time.Second          // after an error
	runSettled = time.Minute          // receipts this much older than the newest are mostly all there
)

// runner fills the runs.
type runner struct {
	db   *DB
	stop context.CancelFunc
	kick chan struct{}
	done chan struct{}
	rest time.Duration // see runRest

	last     atomic.Int64 // newest entry
	entries  atomic.Int64 // entries that are in runs
	length   int64        // of a run
	receipts atomic.Int64 // receipts that were written since a run of them was made
}

// startRunner starts to fill the runs where the last process has left off.
func startRunner(ctx context.Context, db *DB) (*runner, error) {
	r := &runner{db: db, rest: runRest, kick: make(chan struct{}, 1), done: make(chan struct{})}
	m, err := readRunMark(ctx, db.read)
	if err != nil {
		return nil, err
	}
	r.length = m.length
	r.entries.Store(m.runs * m.length)
	var last, receipts int64
	err = errors.Join(
		db.read.QueryRowContext(ctx, "SELECT last_seq FROM ledger_mark WHERE id = 1").Scan(&last),
		db.read.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM receipts WHERE id > ? LIMIT ?)", m.receipts, m.length).Scan(&receipts),
	)
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	r.last.Store(last)
	r.receipts.Store(receipts)
	if !bytes.Equal(m.late, m.receipts) { // the last process ended in the middle of a run
		r.receipts.Store(m.length)
	}
	db.late = m.late
	ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	go r.run(ctx)
	r.note(last, 0)
	return r, nil
}

// note says what was committed.
func (r *runner) note(last, receipts int64) {
	r.last.Store(last)
	if r.receipts.Add(receipts) >= r.length || last-r.entries.Load() >= r.length {
		select {
		case r.kick <- struct{}{}:
		default:
		}
	}
}

// close ends the goroutine. A nil runner has nothing to end.
func (r *runner) close() {
	if r != nil {
		r.stop()
		<-r.done
	}
}

func (r *runner) run(ctx context.Context) {
	defer close(r.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.kick:
		}
		// An error here costs nothing but longer listings: whoever writes to the
		// journal reports what is wrong with the disk.
		if err := r.fill(ctx); err != nil && !sleep(ctx, runRetry) {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// fill makes every run that can be made now.
func (r *runner) fill(ctx context.Context) error {
	for r.last.Load()-r.entries.Load() >= r.length {
		if err := r.entryRun(ctx); err != nil {
			return err
		}
	}
	for r.receipts.Load() >= r.length {
		if err := r.receiptRun(ctx); err != nil {
			return err
		}
	}
	return nil
}

// runMark says which runs there are.
type runMark struct {
	runs, length   int64
	receipts, late []byte
}

func readRunMark(ctx context.Context, db querier) (m runMark, err error) {
	err = db.QueryRowContext(ctx, "SELECT entry_runs, length, receipts_upto, late_upto FROM run_mark WHERE id = 1").Scan(&m.runs, &m.length, &m.receipts, &m.late)
	if err == nil && m.length < 1 {
		err = fmt.Errorf("a run of %d entries", m.length)
	}
	if err != nil {
		return m, fmt.Errorf("read runs: %w", err)
	}
	// An empty blob is scanned as nil, which would be bound as null.
	m.receipts, m.late = append([]byte{}, m.receipts...), append([]byte{}, m.late...)
	return m, nil
}

// appendPlace appends the place of an entry in its run, as the distance from the
// one before.
func appendPlace(b []byte, distance int64) []byte { return binary.AppendUvarint(b, uint64(distance)) }

// unpackPlaces returns the entries of a run's row, newest first.
func unpackPlaces(b []byte, run, length int64) ([]int64, error) {
	seq := run * length
	var list []int64
	for len(b) > 0 {
		d, n := binary.Uvarint(b)
		if n <= 0 || d == 0 || d > uint64(length) {
			return nil, fmt.Errorf("run %d is malformed", run)
		}
		b = b[n:]
		seq += int64(d)
		list = append(list, seq)
	}
	slices.Reverse(list)
	return list, nil
}

// pocket is a balance of an account.
type pocket struct{ account, test int64 }

// entryRun makes the next run of entries. After a crash in the middle of one it
// is made again.
func (r *runner) entryRun(ctx context.Context) error {
	type row struct {
		places []byte
		last   int64
	}
	from := r.entries.Load()
	rows := map[pocket]*row{}
	err := r.db.visit(ctx, visitPlaces, []any{from, from + r.length}, func(v []driver.Value) {
		seq, p := v[0].(int64), pocket{v[1].(int64), v[2].(int64)}
		if rows[p] == nil {
			rows[p] = &row{last: from}
		}
		rows[p].places = appendPlace(rows[p].places, seq-rows[p].last)
		rows[p].last = seq
	})
	if err != nil {
		return err
	}
	run := from / r.length
	list := slices.SortedFunc(maps.Keys(rows), func(x, y pocket) int { return cmp.Or(cmp.Compare(x.account, y.account), cmp.Compare(x.test, y.test)) })
	const insert = "INSERT OR REPLACE INTO entry_runs (run, account_id, test, places) VALUES (?, ?, ?, ?)"
	err = r.steps(ctx, insert, len(list), func(i int) []any { return []any{run, list[i].account, list[i].test, rows[list[i]].places} })
	if err != nil {
		return err
	}
	err = r.mark(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE run_mark SET entry_runs = ? WHERE id = 1", run+1)
		return err
	})
	if err != nil {
		return err
	}
	r.entries.Store(from + r.length)
	return nil
}

// receiptRun makes a run of the receipts that are old enough for hardly any to
// come with an older id. First it says up to which id: the journal notes as late
// whatever comes with such an id from then on.
func (r *runner) receiptRun(ctx context.Context) error {
	m, err := readRunMark(ctx, r.db.read)
	if err != nil {
		return err
	}
	var run int64
	if err := r.db.read.QueryRowContext(ctx, "SELECT coalesce(max(run), -1) + 1 FROM receipt_bounds").Scan(&run); err != nil {
		return fmt.Errorf("read runs: %w", err)
	}
	upTo := m.late
	if bytes.Equal(m.late, m.receipts) {
		if upTo, err = r.settled(ctx, m.receipts); err != nil || upTo == nil {
			return err
		}
		err := r.mark(ctx, func(tx *sql.Tx) error {
			r.db.late = upTo // before it is durable, which does no harm
			_, err := tx.ExecContext(ctx, "UPDATE run_mark SET late_upto = ? WHERE id = 1", upTo)
			return err
		})
		if err != nil {
			return err
		}
	}
	rows, n := map[int64][]byte{}, int64(0)
	err = r.db.visit(ctx, visitReceiptIDs, []any{m.receipts, upTo}, func(v []driver.Value) {
		id, account := v[0].([]byte), v[1].(int64)
		rows[account] = append(rows[account], id...)
		n++
	})
	if err != nil {
		return err
	}
	list := slices.Sorted(maps.Keys(rows))
	const insert = "INSERT OR REPLACE INTO receipt_runs (run, account_id, ids) VALUES (?, ?, ?)"
	if err := r.steps(ctx, insert, len(list), func(i int) []any { return []any{run, list[i], rows[list[i]]} }); err != nil {
		return err
	}
	err = r.mark(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO receipt_bounds (run, after) VALUES (?, ?)", run, m.receipts)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE run_mark SET receipts_upto = ? WHERE id = 1", upTo)
		return err
	})
	if err == nil && n < r.length { // otherwise there may be another one
		r.receipts.Store(0)
	}
	return err
}

// settled returns the id up to which the next run of receipts is to go, of no more
// than its length; nil: there are not enough for one yet.
func (r *runner) settled(ctx context.Context, after []byte) ([]byte, error) {
	var newest []byte
	err := r.db.read.QueryRowContext(ctx, "SELECT max(id) FROM receipts").Scan(&newest)
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	var n int64
	upTo := earlier(newest, r.db.settled)
	var last []byte
	const q = "SELECT count(*), max(id) FROM (SELECT id FROM receipts WHERE id > ? AND id <= ? ORDER BY id LIMIT ?)"
	err = r.db.read.QueryRowContext(ctx, q, after, upTo, r.length).Scan(&n, &last)
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	if n == r.length {
		upTo = last
	}
	if n < r.length/2 {
		r.receipts.Store(r.length / 2) // look again after so many more
		return nil, nil
	}
	return upTo, nil
}

// earlier returns the id that a request would have had by so much earlier. The
// first six bytes of an id are the Unix milliseconds of its making.
func earlier(id []byte, by time.Duration) []byte {
	if len(id) != 16 {
		return []byte{}
	}
	at := int64(binary.BigEndian.Uint64(id)>>16) - by.Milliseconds()
	out := bytes.Clone(id)
	binary.BigEndian.PutUint64(out, uint64(max(at, 0))<<16|0xffff)
	return out
}

// steps runs the statement n times, a few in each transaction.
func (r *runner) steps(ctx context.Context, text string, n int, args func(i int) []any) error {
	for i := 0; i < n; i += runStep {
		err := r.db.Update(ctx, func(tx *sql.Tx) (err error) {
			s, err := tx.PrepareContext(ctx, text)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			for k := i; k < min(i+runStep, n); k++ {
				if _, err := s.ExecContext(context.WithoutCancel(ctx), args(k)...); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write runs: %w", err)
		}
		if !sleep(ctx, r.rest) {
			return ctx.Err()
		}
	}
	return nil
}

// mark does what makes a run count, in one transaction.
func (r *runner) mark(ctx context.Context, do func(*sql.Tx) error) error {
	if err := r.db.Update(ctx, do); err != nil {
		return fmt.Errorf("write runs: %w", err)
	}
	return nil
}
