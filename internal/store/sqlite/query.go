package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/ledger"
)

// scanned is how many receipts one listing looks through before it hands out
// what it has and a cursor.
const scanned = 200_000

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// scanner is a row of a result, or the only one.
type scanner interface{ Scan(...any) error }

const receiptColumns = "id, seq, account_id, key_id, test, model, outcome, delivery, started, hold, charge, absorbed, refunded, doc"

func scanReceipt(s scanner) (*ledger.ReceiptRow, error) {
	var r ledger.ReceiptRow
	var id []byte
	var test, delivery, started int64
	err := s.Scan(&id, &r.Seq, &r.Account, &r.Key, &test, &r.Model, &r.Outcome, &delivery, &started,
		(*int64)(&r.Hold), (*int64)(&r.Charge), (*int64)(&r.Absorbed), (*int64)(&r.Refunded), &r.Doc)
	if err != nil {
		return nil, err
	}
	if len(id) != 16 || delivery < 0 || delivery >= int64(len(deliveries)) {
		return nil, fmt.Errorf("receipt %x is malformed", id)
	}
	r.ID, r.Test, r.Delivery, r.Started = [16]byte(id), test != 0, deliveries[delivery], fromNanos(started)
	return &r, nil
}

// ReadReceipt implements ledger.Journal.
func (l *ledgerJournal) ReadReceipt(ctx context.Context, id [16]byte) (*ledger.ReceiptRow, error) {
	r, err := scanReceipt(l.db.read.QueryRowContext(ctx, "SELECT "+receiptColumns+" FROM receipts WHERE id = ?", id[:]))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read receipt: %w", err)
	}
	return r, nil
}

// ListReceipts implements ledger.Journal. Receipts have no second index, so a
// listing walks down from the newest one and stops after a portion.
func (l *ledgerJournal) ListReceipts(ctx context.Context, f ledger.Filter, before [16]byte, limit int) (rows []*ledger.ReceiptRow, more [16]byte, err error) {
	from := before[:]
	if before == [16]byte{} {
		from = []byte(strings.Repeat("\xff", 17)) // above every id
	}
	where, args := receiptFilter(f)
	var last []byte // of the portion
	if where != "" {
		const q = "SELECT id FROM receipts WHERE id < ? ORDER BY id DESC LIMIT 1 OFFSET ?"
		err = l.db.read.QueryRowContext(ctx, q, from, l.db.scanned-1).Scan(&last)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, more, fmt.Errorf("list receipts: %w", err)
		}
	}
	floor := last
	if floor == nil {
		floor = []byte{}
	}
	args = append([]any{from, floor}, args...)
	q := "SELECT " + receiptColumns + " FROM receipts WHERE id < ? AND id >= ?" + where + " ORDER BY id DESC LIMIT ? OFFSET ?"
	result, err := l.db.read.QueryContext(ctx, q, append(args, limit+1, f.Offset)...)
	if err != nil {
		return nil, more, fmt.Errorf("list receipts: %w", err)
	}
	defer func() { err = errors.Join(err, result.Close()) }()
	for result.Next() {
		r, err := scanReceipt(result)
		if err != nil {
			return nil, more, fmt.Errorf("list receipts: %w", err)
		}
		if len(rows) == limit {
			return rows, rows[limit-1].ID, nil
		}
		rows = append(rows, r)
	}
	if last != nil && f.Offset == 0 {
		copy(more[:], last)
	}
	return rows, more, result.Err()
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

const usageSums = "sum(reqs), sum(input), sum(cached_input), sum(cache_write), sum(cache_write_1h), sum(output), sum(reasoning), sum(nano), sum(refunded), sum(absorbed)"

// ReadUsage implements ledger.Journal.
func (l *ledgerJournal) ReadUsage(ctx context.Context, f ledger.UsageFilter) (list []ledger.UsageRow, err error) {
	columns := map[string]string{ledger.GroupDay: "day", ledger.GroupAccount: "account_id", ledger.GroupKey: "key_id", ledger.GroupModel: "model"}
	absent := map[string]string{ledger.GroupDay: "0", ledger.GroupAccount: "0", ledger.GroupKey: "0", ledger.GroupModel: "''"}
	var chosen, group []string
	for _, g := range []string{ledger.GroupDay, ledger.GroupAccount, ledger.GroupKey, ledger.GroupModel} {
		if slices.Contains(f.GroupBy, g) {
			chosen = append(chosen, columns[g])
		} else {
			chosen = append(chosen, absent[g])
		}
	}
	for _, g := range f.GroupBy {
		group = append(group, columns[g])
	}
	q := "SELECT " + strings.Join(chosen, ", ") + ", " + usageSums + " FROM usage_days WHERE test = ? AND day >= ? AND day <= ?"
	args := []any{bit(f.Test), int64(math.MinInt32), int64(math.MaxInt32)}
	if !f.From.IsZero() {
		args[1] = int64(ledger.DayOf(f.From))
	}
	if !f.To.IsZero() {
		args[2] = int64(ledger.DayOf(f.To))
	}
	if f.Account != 0 {
		q, args = q+" AND account_id = ?", append(args, f.Account)
	}
	if f.Key != 0 {
		q, args = q+" AND key_id = ?", append(args, f.Key)
	}
	if f.Model != "" {
		q, args = q+" AND model = ?", append(args, f.Model)
	}
	if len(group) > 0 {
		by := strings.Join(group, ", ")
		q += " GROUP BY " + by + " ORDER BY " + by
	} else {
		q += " HAVING count(*) > 0"
	}
	if f.Limit > 0 {
		q, args = q+" LIMIT ?", append(args, f.Limit)
	}
	rows, err := l.db.read.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		r := ledger.UsageRow{UsageID: ledger.UsageID{Test: f.Test}}
		t := &r.Tokens
		err := rows.Scan(&r.Day, &r.Account, &r.Key, &r.Model, &r.Requests, &t.Input, &t.CachedInput, &t.CacheWrite, &t.CacheWrite1h, &t.Output, &t.Reasoning,
			(*int64)(&r.Charge), (*int64)(&r.Refunded), (*int64)(&r.Absorbed))
		if err != nil {
			return nil, fmt.Errorf("read usage: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

const entryColumns = "seq, ts, kind, account_id, key_id, test, day, amount, req, detail"

func scanEntry(s scanner) (*ledger.Entry, error) {
	var e ledger.Entry
	var ts, kind, test int64
	var req, detail sql.RawBytes
	var reqs, details []byte
	targets := []any{&e.Seq, &ts, &kind, &e.Account, &e.Key, &test, (*int32)(&e.Day), (*int64)(&e.Amount), &req, &detail}
	if _, one := s.(*sql.Row); one {
		targets[8], targets[9] = &reqs, &details
	}
	if err := s.Scan(targets...); err != nil {
		return nil, err
	}
	if reqs == nil {
		reqs = req
	}
	if details == nil {
		details = detail
	}
	e.Time, e.Kind, e.Test = fromNanos(ts), ledger.KindOf(kind), test != 0
	copy(e.Request[:], reqs)
	return &e, e.SetDetail(details)
}

// ReadEntry implements ledger.Journal.
func (l *ledgerJournal) ReadEntry(ctx context.Context, seq int64) (*ledger.Entry, error) {
	e, err := scanEntry(l.db.read.QueryRowContext(ctx, "SELECT "+entryColumns+" FROM entries WHERE seq = ?", seq))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read entry: %w", err)
	}
	return e, nil
}

// ListEntries implements ledger.Journal. Entries have no second index, so it
// looks through a portion of the newest.
func (l *ledgerJournal) ListEntries(ctx context.Context, f ledger.TransactionFilter) (list []ledger.Entry, err error) {
	const q = "SELECT " + entryColumns + " FROM entries WHERE seq > (SELECT last_seq FROM ledger_mark WHERE id = 1) - ?" +
		" AND account_id = ? AND test = ? AND amount > 0 AND kind <> 7 ORDER BY seq DESC LIMIT ? OFFSET ?"
	rows, err := l.db.read.QueryContext(ctx, q, l.db.scanned, f.Account, bit(f.Test), f.Limit, f.Offset)
	if err != nil {
		return nil, fmt.Errorf("list entries: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		e, err := scanEntry(rows)
		if err != nil {
			return nil, fmt.Errorf("list entries: %w", err)
		}
		list = append(list, *e)
	}
	return list, rows.Err()
}

// ReadReference implements ledger.Journal.
func (l *ledgerJournal) ReadReference(ctx context.Context, account int64, reference string) (*ledger.Entry, error) {
	var seq int64
	err := l.db.read.QueryRowContext(ctx, "SELECT seq FROM credit_refs WHERE account_id = ? AND reference = ?", account, reference).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read reference: %w", err)
	}
	return l.ReadEntry(ctx, seq)
}

// Snapshot implements ledger.Journal.
func (l *ledgerJournal) Snapshot(ctx context.Context) (ledger.Snapshot, error) {
	tx, err := l.db.views.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	s := &snapshot{tx: tx}
	// SQLite takes its snapshot at the first read, not at BEGIN.
	if _, err := s.Mark(ctx); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return s, nil
}

// snapshot is a read transaction.
type snapshot struct{ tx *sql.Tx }

var _ ledger.Snapshot = (*snapshot)(nil)

// Close implements ledger.Snapshot.
func (s *snapshot) Close() error {
	err := s.tx.Rollback()
	if errors.Is(err, sql.ErrTxDone) { // its context has ended
		return nil
	}
	return err
}

// Mark implements ledger.Reader.
func (s *snapshot) Mark(ctx context.Context) (m ledger.Mark, err error) {
	row := s.tx.QueryRowContext(ctx, "SELECT epoch, last_seq, low_water FROM ledger_mark WHERE id = 1")
	if err := row.Scan(&m.Epoch, &m.LastSeq, &m.LowWater); err != nil {
		return m, fmt.Errorf("read mark: %w", err)
	}
	return m, nil
}

// rows runs a query and calls each for every row.
func (s *snapshot) rows(ctx context.Context, q string, args []any, each func(*sql.Rows) error) (err error) {
	rows, err := s.tx.QueryContext(ctx, q, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Balances implements ledger.Reader.
func (s *snapshot) Balances(ctx context.Context, yield func(ledger.BalanceRow) error) error {
	return s.rows(ctx, "SELECT account_id, credit, used, test_credit, test_used, folded_seq FROM balances", nil, func(rows *sql.Rows) error {
		var b ledger.BalanceRow
		err := rows.Scan(&b.Account, (*int64)(&b.Credit[0]), (*int64)(&b.Used[0]), (*int64)(&b.Credit[1]), (*int64)(&b.Used[1]), &b.Folded)
		if err != nil {
			return fmt.Errorf("read balances: %w", err)
		}
		return yield(b)
	})
}

// Grants implements ledger.Reader.
func (s *snapshot) Grants(ctx context.Context, yield func(ledger.GrantRow) error) error {
	return s.rows(ctx, "SELECT seq, account_id, test, remaining, expires_at FROM grants ORDER BY seq", nil, func(rows *sql.Rows) error {
		var g ledger.GrantRow
		var test, expires int64
		if err := rows.Scan(&g.Seq, &g.Account, &test, (*int64)(&g.Remaining), &expires); err != nil {
			return fmt.Errorf("read grants: %w", err)
		}
		g.Test, g.ExpiresAt = test != 0, fromNanos(expires)
		return yield(g)
	})
}

// Counters implements ledger.Reader.
func (s *snapshot) Counters(ctx context.Context, since ledger.Day, yield func(ledger.CounterRow) error) error {
	const q = "SELECT day, scope, id, class, account_id, reqs, nano, folded_seq FROM day_counters WHERE day >= ?"
	return s.rows(ctx, q, []any{int64(since)}, func(rows *sql.Rows) error {
		var c ledger.CounterRow
		if err := rows.Scan(&c.Day, &c.Scope, &c.ID, &c.Class, &c.Account, &c.Requests, (*int64)(&c.Spent), &c.Folded); err != nil {
			return fmt.Errorf("read counters: %w", err)
		}
		return yield(c)
	})
}

// Usage implements ledger.Reader.
func (s *snapshot) Usage(ctx context.Context, since ledger.Day, yield func(ledger.UsageRow) error) error {
	const q = "SELECT day, account_id, key_id, test, model, reqs, input, cached_input, cache_write, cache_write_1h, output, reasoning, nano, refunded, absorbed, folded_seq" +
		" FROM usage_days WHERE day >= ?"
	return s.rows(ctx, q, []any{int64(since)}, func(rows *sql.Rows) error {
		var u ledger.UsageRow
		var test int64
		t := &u.Tokens
		err := rows.Scan(&u.Day, &u.Account, &u.Key, &test, &u.Model, &u.Requests, &t.Input, &t.CachedInput, &t.CacheWrite, &t.CacheWrite1h, &t.Output, &t.Reasoning,
			(*int64)(&u.Charge), (*int64)(&u.Refunded), (*int64)(&u.Absorbed), &u.Folded)
		if err != nil {
			return fmt.Errorf("read usage: %w", err)
		}
		u.Test = test != 0
		return yield(u)
	})
}

// Entries implements ledger.Reader.
func (s *snapshot) Entries(ctx context.Context, after int64, yield func(*ledger.Entry) error) error {
	return s.rows(ctx, "SELECT "+entryColumns+" FROM entries WHERE seq > ? ORDER BY seq", []any{after}, func(rows *sql.Rows) error {
		e, err := scanEntry(rows)
		if err != nil {
			return fmt.Errorf("read entries: %w", err)
		}
		return yield(e)
	})
}
