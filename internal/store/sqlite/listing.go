package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/ledger"
)

// Bounds of listings.
const (
	scanned = 200_000 // receipts of everybody that one page looks through, and a twentieth of an account's own
	atOnce  = 100     // receipts of an account that are read with one query

	idsAtOnce  = 500
	runsAtOnce = 8 // rows, each of no more ids than a run has receipts
)

// ListReceipts implements ledger.Journal. Those of an account, or of a key, are
// found by the runs of the account. Without one a listing walks down from the
// newest one. Either stops after a portion.
func (l *ledgerJournal) ListReceipts(ctx context.Context, f ledger.Filter, before [16]byte, limit int) (rows []*ledger.ReceiptRow, more [16]byte, err error) {
	from := before[:]
	if before == [16]byte{} {
		from = []byte(strings.Repeat("\xff", 17)) // above every id
	}
	account := f.Account
	if account == 0 && f.Key != 0 {
		err := l.db.read.QueryRowContext(ctx, "SELECT account_id FROM api_keys WHERE id = ?", f.Key).Scan(&account)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, more, fmt.Errorf("list receipts: %w", err)
		}
	}
	if account != 0 {
		rows, more, err = l.receiptsOf(ctx, account, f, from, limit)
	} else {
		rows, more, err = l.receiptsOfAll(ctx, f, from, limit)
	}
	if err != nil {
		return nil, more, fmt.Errorf("list receipts: %w", err)
	}
	return rows, more, nil
}

func (l *ledgerJournal) receiptsOfAll(ctx context.Context, f ledger.Filter, from []byte, limit int) (rows []*ledger.ReceiptRow, more [16]byte, err error) {
	where, args := receiptFilter(f)
	var last []byte // of the portion
	if where != "" {
		const q = "SELECT id FROM receipts WHERE id < ? ORDER BY id DESC LIMIT 1 OFFSET ?"
		err = l.db.read.QueryRowContext(ctx, q, from, l.db.scanned-1).Scan(&last)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, more, err
		}
	}
	floor := last
	if floor == nil {
		floor = []byte{}
	}
	args = append([]any{from, floor}, args...)
	q := "SELECT " + receiptColumns + " FROM receipts WHERE id < ? AND id >= ?" + where + " ORDER BY id DESC LIMIT ? OFFSET ?"
	rows, err = l.readReceipts(ctx, q, append(args, limit+1, f.Offset))
	switch {
	case err != nil:
		return nil, more, err
	case len(rows) > limit:
		return rows[:limit], rows[limit-1].ID, nil
	case last != nil && f.Offset == 0:
		copy(more[:], last)
	}
	return rows, more, nil
}

func (l *ledgerJournal) readReceipts(ctx context.Context, q string, args []any) (list []*ledger.ReceiptRow, err error) {
	err = eachRow(ctx, l.db.read, q, args, func(rows *sql.Rows) error {
		r, err := scanReceipt(rows)
		list = append(list, r)
		return err
	})
	return list, err
}

func receiptFilter(f ledger.Filter) (where string, args []any) {
	add := func(text string, arg any) {
		where += " AND " + text
		args = append(args, arg)
	}
	if f.Account != 0 {
		add("account_id = ?", f.Account)
	}
	if f.Key != 0 {
		add("key_id = ?", f.Key)
	}
	if f.Model != "" {
		add("model = ?", f.Model)
	}
	if f.Outcome != "" {
		add("outcome = ?", f.Outcome)
	}
	if f.Charged {
		where += " AND seq <> 0"
	}
	if !f.From.IsZero() {
		add("started >= ?", f.From.UnixNano())
	}
	if !f.To.IsZero() {
		add("started < ?", f.To.UnixNano())
	}
	return where, args
}

// receiptsOf lists those of an account.
func (l *ledgerJournal) receiptsOf(ctx context.Context, account int64, f ledger.Filter, from []byte, limit int) (rows []*ledger.ReceiptRow, more [16]byte, err error) {
	ids, err := l.idsOf(ctx, account, from)
	if err != nil {
		return nil, more, err
	}
	skip := f.Offset
	for looked := 0; ; {
		portion, err := ids.take(min(atOnce, limit+skip+1-len(rows)))
		if err != nil || len(portion) == 0 {
			return rows, more, err
		}
		found, err := l.matching(ctx, portion, f)
		if err != nil {
			return nil, more, err
		}
		n := min(skip, len(found))
		skip -= n
		rows = append(rows, found[n:]...)
		if len(rows) > limit {
			return rows[:limit], rows[limit-1].ID, nil
		}
		switch looked += len(portion); {
		case looked >= l.db.scanned/20 && f.Offset == 0:
			copy(more[:], portion[len(portion)-1])
			return rows, more, nil
		case looked >= l.db.scanned:
			return rows, more, nil
		}
	}
}

// matching returns those receipts of the ids that match, newest first.
func (l *ledgerJournal) matching(ctx context.Context, ids [][]byte, f ledger.Filter) ([]*ledger.ReceiptRow, error) {
	where, filter := receiptFilter(f)
	args := make([]any, 0, len(ids)+len(filter))
	for _, id := range ids {
		args = append(args, id)
	}
	in := strings.Repeat("?,", len(ids)-1) + "?"
	return l.readReceipts(ctx, "SELECT "+receiptColumns+" FROM receipts WHERE id IN ("+in+")"+where+" ORDER BY id DESC", append(args, filter...))
}

// idWalk yields the ids of an account's receipts, newest first.
type idWalk struct {
	streams [3]idStream
	last    []byte // id that was yielded last, or that the walk began below
}

// idStream is some ids, newest first. It keeps no connection between two reads,
// since who lists reads with another one meanwhile.
type idStream struct {
	ids   [][]byte // that were read and not yielded
	ended bool     // there are no more to read
	read  func(below []byte) (ids [][]byte, ended bool, err error)
}

// idsOf begins a walk below an id. It reads first up to where the runs go, and
// then what no run has: runs may be made meanwhile, and ids may then come twice.
func (l *ledgerJournal) idsOf(ctx context.Context, account int64, from []byte) (*idWalk, error) {
	m, err := readRunMark(ctx, l.db.read)
	if err != nil {
		return nil, err
	}
	w := &idWalk{last: from}
	w.streams[0].read = func(below []byte) ([][]byte, bool, error) {
		const q = "SELECT id FROM receipts WHERE id > ? AND id < ? AND account_id = ? ORDER BY id DESC LIMIT ?"
		return l.readIDs(ctx, q, m.receipts, below, account, idsAtOnce)
	}
	w.streams[1].read = func(below []byte) ([][]byte, bool, error) {
		const q = "SELECT id FROM receipts_late WHERE id <= ? AND id < ? AND account_id = ? ORDER BY id DESC LIMIT ?"
		return l.readIDs(ctx, q, m.receipts, below, account, idsAtOnce)
	}
	next := int64(math.MaxInt64)
	w.streams[2].read = func(below []byte) (ids [][]byte, ended bool, err error) {
		const q = "SELECT b.run, r.ids FROM receipt_bounds b CROSS JOIN receipt_runs r ON r.run = b.run AND r.account_id = ?" +
			" WHERE b.run < ? AND b.after < ? ORDER BY b.run DESC LIMIT ?"
		n := 0
		err = eachRow(ctx, l.db.read, q, []any{account, next, below, runsAtOnce}, func(rows *sql.Rows) error {
			n++
			var packed []byte
			if err := rows.Scan(&next, &packed); err != nil {
				return err
			}
			ids = appendIDs(ids, packed, below)
			return nil
		})
		return ids, n < runsAtOnce, err
	}
	return w, nil
}

// appendIDs appends those ids of a run's row that are below one, newest first.
func appendIDs(ids [][]byte, packed, below []byte) [][]byte {
	for len(packed) >= 16 {
		rest := len(packed) - 16
		if bytes.Compare(packed[rest:], below) < 0 {
			ids = append(ids, packed[rest:])
		}
		packed = packed[:rest:rest]
	}
	return ids
}

func (l *ledgerJournal) readIDs(ctx context.Context, q string, args ...any) (ids [][]byte, ended bool, err error) {
	err = eachRow(ctx, l.db.read, q, args, func(rows *sql.Rows) error {
		var id []byte
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, len(ids) < idsAtOnce, err
}

// take returns the next n ids, or fewer at the end.
func (w *idWalk) take(n int) (ids [][]byte, err error) {
	for len(ids) < n {
		id, err := w.next()
		if err != nil || id == nil {
			return ids, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// next returns the next id, or nil at the end.
func (w *idWalk) next() ([]byte, error) {
	var id []byte
	for i := range w.streams {
		first, err := w.streams[i].first(w.last)
		if err != nil {
			return nil, err
		}
		if bytes.Compare(first, id) > 0 {
			id = first
		}
	}
	if id != nil {
		w.last = id
	}
	return id, nil
}

// first returns the first id of the stream below one.
func (s *idStream) first(below []byte) (id []byte, err error) {
	for {
		for len(s.ids) > 0 && bytes.Compare(s.ids[0], below) >= 0 {
			s.ids = s.ids[1:]
		}
		if len(s.ids) > 0 {
			return s.ids[0], nil
		}
		if s.ended {
			return nil, nil
		}
		if s.ids, s.ended, err = s.read(below); err != nil {
			return nil, err
		}
	}
}

// ListEntries implements ledger.Journal. It reads in one transaction, since runs
// are made and entries are pruned meanwhile.
func (l *ledgerJournal) ListEntries(ctx context.Context, f ledger.TransactionFilter) (list []ledger.Entry, err error) {
	tx, err := l.db.read.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("list entries: %w", err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	places, err := placesOf(ctx, tx, f)
	if err != nil {
		return nil, fmt.Errorf("list entries: %w", err)
	}
	for _, seq := range places[min(f.Offset, len(places)):] {
		e, err := scanEntry(tx.QueryRowContext(ctx, "SELECT "+entryColumns+" FROM entries WHERE seq = ?", seq))
		if err != nil {
			return nil, fmt.Errorf("list entries: %w", err)
		}
		list = append(list, *e)
	}
	return list, nil
}

// placesOf returns the newest entries of a balance below f.Before, as many as
// f.Offset and f.Limit make.
func placesOf(ctx context.Context, db querier, f ledger.TransactionFilter) (places []int64, err error) {
	m, err := readRunMark(ctx, db)
	if err != nil {
		return nil, err
	}
	before, most := f.Before, f.Offset+f.Limit
	if before == 0 {
		before = math.MaxInt64
	}
	const tail = "SELECT seq FROM entries WHERE seq > ? AND seq < ? AND account_id = ? AND test = ? AND amount > 0 AND kind <> 7 ORDER BY seq DESC LIMIT ?"
	err = eachRow(ctx, db, tail, []any{m.runs * m.length, before, f.Account, bit(f.Test), most}, func(rows *sql.Rows) error {
		var seq int64
		err := rows.Scan(&seq)
		places = append(places, seq)
		return err
	})
	if err != nil || len(places) >= most {
		return places, err
	}
	var floor int64 // runs are not used up to there: they have entries that are gone
	if err := db.QueryRowContext(ctx, "SELECT seq FROM ledger_floor WHERE id = 1").Scan(&floor); err != nil {
		return nil, err
	}
	top := min(m.runs-1, (before-2)/m.length)
	const runs = "WITH RECURSIVE n(run) AS (SELECT ?1 WHERE ?1 >= ?4 UNION ALL SELECT run - 1 FROM n WHERE run > ?4)" +
		" SELECT n.run, r.places FROM n CROSS JOIN entry_runs r ON r.run = n.run AND r.account_id = ?2 AND r.test = ?3"
	err = eachRow(ctx, db, runs, []any{top, f.Account, bit(f.Test), floor / m.length}, func(rows *sql.Rows) error {
		var run int64
		var packed sql.RawBytes
		if err := rows.Scan(&run, &packed); err != nil {
			return err
		}
		more, err := unpackPlaces(packed, run, m.length)
		if err != nil {
			return err
		}
		more = slices.DeleteFunc(more, func(seq int64) bool { return seq >= before || seq <= floor })
		places = append(places, more[:min(len(more), most-len(places))]...)
		if len(places) == most {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return places, nil
	}
	if err != nil || floor == 0 {
		return places, err
	}
	const kept = "SELECT seq FROM entries WHERE kind <> 1 AND account_id = ? AND seq <= ? AND seq < ? AND test = ? AND amount > 0 AND kind <> 7 ORDER BY seq DESC LIMIT ?"
	err = eachRow(ctx, db, kept, []any{f.Account, min(floor, m.runs*m.length), before, bit(f.Test), most - len(places)}, func(rows *sql.Rows) error {
		var seq int64
		err := rows.Scan(&seq)
		places = append(places, seq)
		return err
	})
	return places, err
}

// errEnough ends eachRow.
var errEnough = errors.New("enough")
