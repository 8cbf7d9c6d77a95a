package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// Snapshot implements ledger.Journal.
func (l *ledgerJournal) Snapshot(ctx context.Context) (ledger.Snapshot, error) {
	conn, err := l.db.views.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	s := &snapshot{conn: conn}
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return nil, errors.Join(fmt.Errorf("snapshot: %w", err), conn.Close())
	}
	// SQLite takes its snapshot at the first read, not at BEGIN.
	if _, err := s.Mark(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// snapshot is a connection with a read transaction. The pool that it comes from
// keeps none, so closing it ends the transaction, too.
type snapshot struct{ conn *sql.Conn }

var _ ledger.Snapshot = (*snapshot)(nil)

// Close implements ledger.Snapshot.
func (s *snapshot) Close() error { return s.conn.Close() }

// Mark implements ledger.Reader.
func (s *snapshot) Mark(ctx context.Context) (m ledger.Mark, err error) {
	if m, err = scanMark(s.conn.QueryRowContext(ctx, "SELECT "+markColumns+" FROM ledger_mark WHERE id = 1")); err != nil {
		return m, fmt.Errorf("read mark: %w", err)
	}
	return m, nil
}

const markColumns = "epoch, last_seq, low_water, closed_to, digested_to"

func scanMark(s scanner) (m ledger.Mark, err error) {
	err = s.Scan(&m.Epoch, &m.LastSeq, &m.LowWater, &m.ClosedTo, &m.DigestedTo)
	return m, err
}

// rows calls each for every row of a query.
func (s *snapshot) rows(ctx context.Context, q string, args []any, each func(*sql.Rows) error) error {
	return eachRow(ctx, s.conn, q, args, each)
}

// Balances implements ledger.Reader.
func (s *snapshot) Balances(ctx context.Context, after, upTo int64, yield func(ledger.BalanceRow) error) error {
	return visitBalances.each(ctx, s.conn, []any{after, upTo}, func(values []driver.Value) error {
		var n [6]int64
		if err := integers(values, n[:]); err != nil {
			return fmt.Errorf("read balances: %w", err)
		}
		return yield(ledger.BalanceRow{
			Account: n[0], Credit: [2]money.Amount{money.Amount(n[1]), money.Amount(n[3])},
			Used: [2]money.Amount{money.Amount(n[2]), money.Amount(n[4])}, Folded: n[5],
		})
	})
}

// LastBalance implements ledger.Reader.
func (s *snapshot) LastBalance(ctx context.Context) (last int64, err error) {
	if err = s.conn.QueryRowContext(ctx, "SELECT coalesce(max(account_id), 0) FROM balances").Scan(&last); err != nil {
		return 0, fmt.Errorf("read balances: %w", err)
	}
	return last, nil
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
	classes := names{}
	return visitCounters.each(ctx, s.conn, []any{int64(since)}, func(values []driver.Value) error {
		var n [7]int64
		err := integers(values, n[:])
		day, bad := dayOf(n[0])
		scope := ledger.Scope(n[1])
		if int64(scope) != n[1] {
			bad = fmt.Errorf("%d is no scope", n[1])
		}
		if err := errors.Join(err, bad); err != nil {
			return fmt.Errorf("read counters: %w", err)
		}
		id := ledger.CounterID{Day: day, Scope: scope, ID: n[2], Class: classes.of(values[7])}
		return yield(ledger.CounterRow{CounterID: id, Account: n[3], Requests: n[4], Spent: money.Amount(n[5]), Folded: n[6]})
	})
}

// Usage implements ledger.Reader.
func (s *snapshot) Usage(ctx context.Context, since ledger.Day, yield func(ledger.UsageRow) error) error {
	models := names{}
	return visitUsage.each(ctx, s.conn, []any{int64(since)}, func(values []driver.Value) error {
		var n [15]int64
		err := integers(values, n[:])
		day, bad := dayOf(n[0])
		if err := errors.Join(err, bad); err != nil {
			return fmt.Errorf("read usage: %w", err)
		}
		return yield(ledger.UsageRow{
			UsageID:  ledger.UsageID{Day: day, Account: n[1], Key: n[2], Test: n[3] != 0, Model: models.of(values[15])},
			Requests: n[4], Tokens: ledger.Tokens{Input: n[5], CachedInput: n[6], CacheWrite: n[7], CacheWrite1h: n[8], Output: n[9], Reasoning: n[10]},
			Charge: money.Amount(n[11]), Refunded: money.Amount(n[12]), Absorbed: money.Amount(n[13]), Folded: n[14],
		})
	})
}

// Entries implements ledger.Reader.
func (s *snapshot) Entries(ctx context.Context, after int64, yield func(*ledger.Entry) error) error {
	return s.each(ctx, after, math.MaxInt64, func(r *ledger.Row) error {
		e := new(ledger.Entry)
		if err := setEntry(e, r); err != nil {
			return fmt.Errorf("read entries: %w", err)
		}
		return yield(e)
	})
}

// Rows implements ledger.Reader.
func (s *snapshot) Rows(ctx context.Context, after, upTo int64, yield func(e *ledger.Entry, row []byte) error) error {
	var e ledger.Entry
	var b []byte
	return s.each(ctx, after, upTo, func(r *ledger.Row) error {
		if err := setEntry(&e, r); err != nil {
			e.Kind = ""
		}
		b = r.Append(b[:0])
		return yield(&e, b)
	})
}

// each calls do for each row of entries, which is do's until it returns.
func (s *snapshot) each(ctx context.Context, after, upTo int64, do func(*ledger.Row) error) error {
	var r ledger.Row
	return visitEntries.each(ctx, s.conn, []any{after, upTo}, func(values []driver.Value) error {
		setRow(&r, values)
		return do(&r)
	})
}

// setRow fills in the driver's values of entryColumns, which are of the types of
// a STRICT table.
func setRow(r *ledger.Row, values []driver.Value) {
	for i, n := range [...]*int64{&r.Seq, &r.Time, &r.Kind, &r.Account, &r.Key, &r.Test, &r.Day, &r.Amount} {
		*n, _ = values[i].(int64)
	}
	r.Request, _ = values[8].([]byte)
	r.Detail, _ = values[9].([]byte)
}

// setEntry fills in the entry of a row. With an error it has what could be read.
func setEntry(e *ledger.Entry, r *ledger.Row) error {
	e.Seq, e.Time, e.Kind, e.Account, e.Key, e.Test = r.Seq, fromNanos(r.Time), ledger.KindOf(r.Kind), r.Account, r.Key, r.Test != 0
	e.Day, e.Amount, e.Request = ledger.Day(r.Day), money.Amount(r.Amount), [16]byte{}
	copy(e.Request[:], r.Request)
	return e.SetDetail(r.Detail)
}
