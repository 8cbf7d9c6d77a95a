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
