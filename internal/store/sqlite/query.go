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

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// scanner is a row of a result, or the only one.
type scanner interface{ Scan(...any) error }

// querier is the pool of readers, or one connection or transaction of it.
type querier interface {
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row
}

// eachRow runs a query and calls each for every row.
func eachRow(ctx context.Context, db querier, q string, args []any, each func(*sql.Rows) error) (err error) {
	rows, err := db.QueryContext(ctx, q, args...)
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
	err = eachRow(ctx, l.db.read, q, args, func(rows *sql.Rows) error {
		r := ledger.UsageRow{UsageID: ledger.UsageID{Test: f.Test}}
		t := &r.Tokens
		err := rows.Scan(&r.Day, &r.Account, &r.Key, &r.Model, &r.Requests, &t.Input, &t.CachedInput, &t.CacheWrite, &t.CacheWrite1h, &t.Output, &t.Reasoning,
			(*int64)(&r.Charge), (*int64)(&r.Refunded), (*int64)(&r.Absorbed))
		list = append(list, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	return list, nil
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

// ReadRefund implements ledger.Journal.
func (l *ledgerJournal) ReadRefund(ctx context.Context, request [16]byte, reference string) (*ledger.Entry, error) {
	const q = "SELECT " + entryColumns + " FROM entries WHERE kind = 4 AND req = ? AND seq IN (SELECT seq FROM credit_refs WHERE reference = ?) ORDER BY seq LIMIT 1"
	e, err := scanEntry(l.db.read.QueryRowContext(ctx, q, request[:], reference))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read reference: %w", err)
	}
	return e, nil
}
