package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/outbox"
)

// An event that is there already is the same one: no charge fails because of it.
var insertEvents = verb{
	head: "INSERT OR IGNORE INTO outbox (id, kind, account_id, request, created, detail, state, tries, next_at, until, ended, error) VALUES ",
	row:  "(?,?,?,?,?,?,1,0,?,0,0,'')",
}

// events adds to the outbox, and notes which balances are warned of.
func (t *journalTx) events(list []*ledger.Event, warned []ledger.WarnedRow) error {
	err := t.j.each(insertEvents, len(list), func(a []any, i int) []any {
		v := list[i]
		return append(a, v.ID[:], v.Kind.Number(), v.Account, v.Request[:], nanos(v.Time), v.Detail(), nanos(v.Time))
	})
	if err != nil {
		return err
	}
	for _, w := range warned {
		if w.Below == 0 {
			_, err = t.j.exec("DELETE FROM balance_warnings WHERE account_id = ?", w.Account)
		} else {
			_, err = t.j.exec("INSERT OR REPLACE INTO balance_warnings (account_id, below) VALUES (?, ?)", w.Account, int64(w.Below))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Warned implements ledger.Reader.
func (s *snapshot) Warned(ctx context.Context, yield func(ledger.WarnedRow) error) error {
	return s.rows(ctx, "SELECT account_id, below FROM balance_warnings", nil, func(rows *sql.Rows) error {
		var w ledger.WarnedRow
		if err := rows.Scan(&w.Account, (*int64)(&w.Below)); err != nil {
			return fmt.Errorf("read warnings: %w", err)
		}
		return yield(w)
	})
}

// events implements [outbox.Store].
type events struct{ db *DB }

var _ outbox.Store = events{}

// Outbox returns the store of events. It works as long as db is open.
func (db *DB) Outbox() outbox.Store { return events{db} }

const eventColumns = "id, kind, account_id, request, created, detail, state, tries, next_at, until, ended, error"

func scanEvent(s scanner) (r outbox.Row, err error) {
	var id, request, detail []byte
	var kind, created, state, next, until, ended int64
	if err := s.Scan(&id, &kind, &r.Event.Account, &request, &created, &detail, &state, &r.Tries, &next, &until, &ended, &r.Error); err != nil {
		return r, err
	}
	copy(r.Event.ID[:], id)
	copy(r.Event.Request[:], request)
	r.Event.Kind, r.Event.Time = ledger.EventKindOf(kind), fromNanos(created)
	r.State, r.Next, r.Until, r.Ended = outbox.StateOf(state), fromNanos(next), fromNanos(until), fromNanos(ended)
	return r, r.Event.SetDetail(detail)
}

// one reads the only row of a query, or nil.
func (s events) one(ctx context.Context, where string, args ...any) (*outbox.Row, error) {
	r, err := scanEvent(s.db.read.QueryRowContext(ctx, "SELECT "+eventColumns+" FROM outbox WHERE "+where, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	return &r, nil
}

// Due implements outbox.Store.
func (s events) Due(ctx context.Context, now time.Time) (*outbox.Row, error) {
	const q = "state = 1 AND (next_at <= ? OR next_at > ?) ORDER BY next_at, id LIMIT 1"
	return s.one(ctx, q, now.UnixNano(), now.Add(outbox.LongestWait).UnixNano())
}

// Next implements outbox.Store.
func (s events) Next(ctx context.Context) (time.Time, error) {
	var at sql.NullInt64
	if err := s.db.read.QueryRowContext(ctx, "SELECT min(next_at) FROM outbox WHERE state = 1").Scan(&at); err != nil {
		return time.Time{}, fmt.Errorf("read outbox: %w", err)
	}
	return fromNanos(at.Int64), nil
}

// Get implements outbox.Store.
func (s events) Get(ctx context.Context, id [16]byte) (*outbox.Row, error) {
	r, err := s.one(ctx, "id = ?", id[:])
	if err == nil && r == nil {
		err = outbox.ErrNotFound
	}
	return r, err
}

// Put implements outbox.Store.
func (s events) Put(ctx context.Context, r *outbox.Row) error {
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE outbox SET state = ?, tries = ?, next_at = ?, until = ?, ended = ?, error = ? WHERE id = ?",
			r.State.Number(), r.Tries, nanos(r.Next), nanos(r.Until), nanos(r.Ended), r.Error, r.Event.ID[:])
		return err
	})
	if err != nil {
		return fmt.Errorf("put event: %w", err)
	}
	return nil
}

// List implements outbox.Store.
func (s events) List(ctx context.Context, state outbox.State, before [16]byte, limit int) (list []outbox.Row, err error) {
	q, args := "SELECT "+eventColumns+" FROM outbox WHERE true", []any{}
	if before != [16]byte{} {
		q, args = q+" AND id < ?", append(args, before[:])
	}
	if state != "" {
		q, args = q+" AND state = ?", append(args, state.Number())
	}
	err = eachRow(ctx, s.db.read, q+" ORDER BY id DESC LIMIT ?", append(args, limit), func(rows *sql.Rows) error {
		r, err := scanEvent(rows)
		list = append(list, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return list, nil
}

// Prune implements outbox.Store.
func (s events) Prune(ctx context.Context, by time.Time, most int) (dropped int64, err error) {
	var rows, old int64
	const count = "SELECT count(*), count(*) FILTER (WHERE state <> 1 AND ended <= ?) FROM outbox"
	if err := s.db.read.QueryRowContext(ctx, count, by.UnixNano()).Scan(&rows, &old); err != nil {
		return 0, fmt.Errorf("prune events: %w", err)
	}
	if old == 0 && rows <= int64(most) {
		return 0, nil // no transaction for nothing
	}
	err = s.db.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM outbox WHERE state <> 1 AND ended <= ?", by.UnixNano()); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM outbox").Scan(&rows); err != nil {
			return err
		}
		for _, state := range []outbox.State{outbox.Delivered, outbox.Failed, outbox.Pending} {
			over := rows - int64(most)
			if over <= 0 {
				return nil
			}
			const q = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE state = ? ORDER BY id LIMIT ?)"
			res, err := tx.ExecContext(ctx, q, state.Number(), over)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			if rows -= n; state != outbox.Delivered {
				dropped += n
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("prune events: %w", err)
	}
	return dropped, nil
}

// Count implements outbox.Store.
func (s events) Count(ctx context.Context) (pending, failed int64, err error) {
	const q = "SELECT count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 3) FROM outbox"
	if err := s.db.read.QueryRowContext(ctx, q).Scan(&pending, &failed); err != nil {
		return 0, 0, fmt.Errorf("count events: %w", err)
	}
	return pending, failed, nil
}
