package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pontage/pontage/internal/ledger"
)

// swept is how many rows of each kind go with one step of a pruning besides
// those that it replaces.
const swept = 500

var (
	addStatements = verb{
		head: "INSERT INTO statements (" + statementColumns + ") VALUES ",
		row:  "(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
		tail: " ON CONFLICT (day, account_id, key_id, test, model) DO UPDATE SET reqs = reqs + excluded.reqs, input = input + excluded.input," +
			" cached_input = cached_input + excluded.cached_input, cache_write = cache_write + excluded.cache_write," +
			" cache_write_1h = cache_write_1h + excluded.cache_write_1h, output = output + excluded.output, reasoning = reasoning + excluded.reasoning," +
			" nano = nano + excluded.nano, absorbed = absorbed + excluded.absorbed",
	}
	setOpenings       = verb{head: "INSERT OR REPLACE INTO openings (account_id, credit, used, test_credit, test_used) VALUES ", row: "(?,?,?,?,?)"}
	dropOpeningGrants = verb{head: "DELETE FROM opening_grants WHERE account_id IN (", row: "?", tail: ")"}
	addOpeningGrants  = verb{head: "INSERT INTO opening_grants (seq, account_id, test, remaining, expires_at) VALUES ", row: "(?,?,?,?,?)"}
	dropReceipts      = verb{head: "DELETE FROM receipts WHERE id IN (", row: "?", tail: ")"}
)

const statementColumns = "day, account_id, key_id, test, model, reqs, input, cached_input, cache_write, cache_write_1h, output, reasoning, nano, absorbed"

// Summarise implements ledger.Tx.
func (t *journalTx) Summarise(p *ledger.Pruning) error { return again(t.summarise(p)) }

func (t *journalTx) summarise(p *ledger.Pruning) error {
	err := t.j.each(addStatements, len(p.Statements), func(a []any, i int) []any {
		u := &p.Statements[i]
		return append(a, int64(u.Day), u.Account, u.Key, bit(u.Test), u.Model, u.Requests,
			u.Tokens.Input, u.Tokens.CachedInput, u.Tokens.CacheWrite, u.Tokens.CacheWrite1h, u.Tokens.Output, u.Tokens.Reasoning,
			int64(u.Charge), int64(u.Absorbed))
	})
	if err != nil {
		return err
	}
	err = t.j.each(setOpenings, len(p.Openings), func(a []any, i int) []any {
		o := &p.Openings[i]
		return append(a, o.Account, int64(o.Credit[0]), int64(o.Used[0]), int64(o.Credit[1]), int64(o.Used[1]))
	})
	if err != nil {
		return err
	}
	var had []int64
	var left []*ledger.GrantRow
	for i := range p.Openings {
		if o := &p.Openings[i]; o.HasGrants {
			had = append(had, o.Account)
			for k := range o.Grants {
				left = append(left, &o.Grants[k])
			}
		}
	}
	if err := t.j.each(dropOpeningGrants, len(had), func(a []any, i int) []any { return append(a, had[i]) }); err != nil {
		return err
	}
	return t.j.each(addOpeningGrants, len(left), func(a []any, i int) []any {
		g := left[i]
		return append(a, g.Seq, g.Account, bit(g.Test), int64(g.Remaining), g.ExpiresAt.UnixNano())
	})
}

// Prune implements ledger.Tx.
func (t *journalTx) Prune(p *ledger.Pruning) error { return again(t.prune(p)) }

func (t *journalTx) prune(p *ledger.Pruning) error {
	res, err := t.j.exec("UPDATE ledger_floor SET seq = ?, day = ?, req = ? WHERE id = 1 AND seq = ?", p.Seq, int64(p.Day), p.Request[:], p.After)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(fmt.Errorf("the floor is not at entry %d", p.After), err)
	}
	if _, err := t.j.exec("DELETE FROM entries WHERE seq > ? AND seq <= ? AND kind IN (1, 7)", p.After, p.Seq); err != nil {
		return err
	}
	if err := t.j.each(dropReceipts, len(p.Requests), func(a []any, i int) []any { return append(a, p.Requests[i][:]) }); err != nil {
		return err
	}
	for _, w := range sweeps(&p.Floor) {
		if _, err := t.j.exec(w.drop(), append(w.upTo, swept)...); err != nil {
			return err
		}
	}
	return nil
}

// oldestReceipt is the id below which there is no receipt. It is not above that of
// a request that was admitted before the floor, and charged after it.
const oldestReceipt = "coalesce((SELECT min(id) FROM receipts), x'ffffffffffffffffffffffffffffffffff')"

// sweep is rows that are of no use below the floor.
type sweep struct {
	table, key string // its primary key
	by, where  string // column of an index that finds them, and which they are
	upTo       []any
}

func (w *sweep) drop() string {
	return "DELETE FROM " + w.table + " WHERE (" + w.key + ") IN (SELECT " + w.key + " FROM " + w.table + " WHERE " + w.where + " ORDER BY " + w.by + " LIMIT ?)"
}

func sweeps(f *ledger.Floor) []sweep {
	return []sweep{
		// Receipts of requests that were not charged go with those of their time.
		{"receipts", "id", "id", "id <= ? AND seq = 0", []any{f.Request[:]}},
		{"receipts_late", "account_id, id", "id", "id < " + oldestReceipt, nil},
		{"day_counters", "day, scope, id, class", "day", "day <= ?", []any{int64(f.Day)}},
		{"entry_runs", "run, account_id, test", "run", "run < ? / (SELECT length FROM run_mark)", []any{f.Seq}},
		{"receipt_runs", "run, account_id", "run", "run < (SELECT coalesce(max(run), 0) FROM receipt_bounds WHERE after < " + oldestReceipt + ")", nil},
	}
}

// Unswept implements ledger.Reader.
func (s *snapshot) Unswept(ctx context.Context, f ledger.Floor) (left bool, err error) {
	for _, w := range sweeps(&f) {
		row := s.conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+w.table+" WHERE "+w.where+")", w.upTo...)
		if err := row.Scan(&left); err != nil || left {
			return left, err
		}
	}
	return false, nil
}

// Floor implements ledger.Reader.
func (s *snapshot) Floor(ctx context.Context) (f ledger.Floor, err error) {
	var req []byte
	if err := s.conn.QueryRowContext(ctx, "SELECT seq, day, req FROM ledger_floor WHERE id = 1").Scan(&f.Seq, (*int32)(&f.Day), &req); err != nil {
		return f, fmt.Errorf("read floor: %w", err)
	}
	copy(f.Request[:], req)
	return f, nil
}

const openingColumns = "account_id, credit, used, test_credit, test_used"

func scanOpening(s scanner) (b ledger.BalanceRow, err error) {
	err = s.Scan(&b.Account, (*int64)(&b.Credit[0]), (*int64)(&b.Used[0]), (*int64)(&b.Credit[1]), (*int64)(&b.Used[1]))
	return b, err
}

// Opening implements ledger.Reader.
func (s *snapshot) Opening(ctx context.Context, account int64) (ledger.BalanceRow, error) {
	b, err := scanOpening(s.conn.QueryRowContext(ctx, "SELECT "+openingColumns+" FROM openings WHERE account_id = ?", account))
	if errors.Is(err, sql.ErrNoRows) {
		return ledger.BalanceRow{Account: account}, nil
	}
	if err != nil {
		return b, fmt.Errorf("read opening: %w", err)
	}
	err = s.openingGrants(ctx, " WHERE account_id = ?", []any{account}, func(g ledger.GrantRow) error {
		b.Grants = append(b.Grants, g)
		return nil
	})
	return b, err
}

// Openings implements ledger.Reader.
func (s *snapshot) Openings(ctx context.Context, yield func(ledger.BalanceRow) error) error {
	return s.rows(ctx, "SELECT "+openingColumns+" FROM openings", nil, func(rows *sql.Rows) error {
		b, err := scanOpening(rows)
		if err != nil {
			return fmt.Errorf("read openings: %w", err)
		}
		return yield(b)
	})
}

// OpeningGrants implements ledger.Reader.
func (s *snapshot) OpeningGrants(ctx context.Context, yield func(ledger.GrantRow) error) error {
	return s.openingGrants(ctx, "", nil, yield)
}

func (s *snapshot) openingGrants(ctx context.Context, where string, args []any, yield func(ledger.GrantRow) error) error {
	return s.rows(ctx, "SELECT seq, account_id, test, remaining, expires_at FROM opening_grants"+where+" ORDER BY seq", args, func(rows *sql.Rows) error {
		var g ledger.GrantRow
		var test, expires int64
		if err := rows.Scan(&g.Seq, &g.Account, &test, (*int64)(&g.Remaining), &expires); err != nil {
			return fmt.Errorf("read openings: %w", err)
		}
		g.Test, g.ExpiresAt = test != 0, fromNanos(expires)
		return yield(g)
	})
}

// Statements implements ledger.Reader.
func (s *snapshot) Statements(ctx context.Context, yield func(ledger.UsageRow) error) error {
	return s.rows(ctx, "SELECT "+statementColumns+" FROM statements", nil, func(rows *sql.Rows) error {
		var u ledger.UsageRow
		var test int64
		t := &u.Tokens
		err := rows.Scan(&u.Day, &u.Account, &u.Key, &test, &u.Model, &u.Requests, &t.Input, &t.CachedInput, &t.CacheWrite, &t.CacheWrite1h, &t.Output, &t.Reasoning,
			(*int64)(&u.Charge), (*int64)(&u.Absorbed))
		if err != nil {
			return fmt.Errorf("read statements: %w", err)
		}
		u.Test = test != 0
		return yield(u)
	})
}
