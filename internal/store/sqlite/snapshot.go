package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

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
	row := s.conn.QueryRowContext(ctx, "SELECT epoch, last_seq, low_water FROM ledger_mark WHERE id = 1")
	if err := row.Scan(&m.Epoch, &m.LastSeq, &m.LowWater); err != nil {
		return m, fmt.Errorf("read mark: %w", err)
	}
	return m, nil
}

// rows runs a query and calls each for every row.
func (s *snapshot) rows(ctx context.Context, q string, args []any, each func(*sql.Rows) error) (err error) {
	rows, err := s.conn.QueryContext(ctx, q, args...)
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

// Entries implements ledger.Reader. It reads past database/sql, which would take
// longer for its conversions than SQLite takes for the rows.
func (s *snapshot) Entries(ctx context.Context, after int64, yield func(*ledger.Entry) error) error {
	return s.conn.Raw(func(c any) (err error) {
		const q = "SELECT " + entryColumns + " FROM entries WHERE seq > ? ORDER BY seq"
		rows, err := c.(driver.QueryerContext).QueryContext(ctx, q, []driver.NamedValue{{Ordinal: 1, Value: after}})
		if err != nil {
			return fmt.Errorf("read entries: %w", err)
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		row := make([]driver.Value, len(rows.Columns()))
		for {
			if err := rows.Next(row); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return fmt.Errorf("read entries: %w", err)
			}
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			e, err := entryOf(row)
			if err != nil {
				return fmt.Errorf("read entries: %w", err)
			}
			if err := yield(e); err != nil {
				return err
			}
		}
	})
}

// entryOf makes an entry of the driver's values of entryColumns. Columns are of
// the types of a STRICT table.
func entryOf(row []driver.Value) (*ledger.Entry, error) {
	n := func(i int) int64 { v, _ := row[i].(int64); return v }
	e := &ledger.Entry{
		Seq: n(0), Time: fromNanos(n(1)), Kind: ledger.KindOf(n(2)), Account: n(3), Key: n(4), Test: n(5) != 0, Day: ledger.Day(n(6)), Amount: money.Amount(n(7)),
	}
	if req, ok := row[8].([]byte); ok {
		copy(e.Request[:], req)
	}
	detail, _ := row[9].([]byte)
	return e, e.SetDetail(detail)
}
