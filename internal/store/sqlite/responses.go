package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pontage/pontage/internal/response"
)

// responses implements [response.Store].
type responses struct{ db *DB }

var _ response.Store = responses{}

// Responses returns the store of responses. It works as long as db is open.
func (db *DB) Responses() response.Store { return responses{db} }

// crowded bounds how many responses are deleted in one transaction to make room.
const crowded = 64

const responseColumns = "id, account_id, test, previous, created_at, expires_at, job, ended, attempts, input, object"

// Put implements response.Store. How many bytes there are is added up before its
// transaction, which charges wait for.
func (s responses) Put(ctx context.Context, r *response.Response, continued []string, most int64) error {
	if err := s.makeRoom(ctx, r, most); err != nil {
		return fmt.Errorf("make room for %s: %w", r.ID, err)
	}
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO responses ("+responseColumns+", bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			r.ID, r.Owner.Account, r.Owner.Test, r.Previous, r.Created.UnixMilli(), r.Expires.UnixMilli(), r.Job[:], r.Ended, r.Attempts, blob(r.Input), blob(r.Object), len(r.Input)+len(r.Object))
		if err != nil {
			return err
		}
		for _, id := range continued {
			if _, err := tx.ExecContext(ctx, "UPDATE responses SET expires_at = max(expires_at, ?) WHERE id = ?", r.Expires.UnixMilli(), id); err != nil {
				return err
			}
		}
		return nameItems(ctx, tx, r.ID, r.Items)
	})
	if err != nil {
		return fmt.Errorf("put %s: %w", r.ID, err)
	}
	return nil
}

// blob is b, but never null.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// nameItems makes the items of a response known by their ids. An id that another
// response has used before is the newest one's.
func nameItems(ctx context.Context, tx *sql.Tx, id string, items []string) error {
	for _, item := range items {
		_, err := tx.ExecContext(ctx, `INSERT INTO response_items (account_id, test, item, response_id)
			SELECT account_id, test, ?, id FROM responses WHERE id = ?
			ON CONFLICT (account_id, test, item) DO UPDATE SET response_id = excluded.response_id`, item, id)
		if err != nil {
			return err
		}
	}
	return nil
}

// makeRoom deletes the oldest responses of an owner while they and r have more than
// most bytes.
func (s responses) makeRoom(ctx context.Context, r *response.Response, most int64) error {
	var all int64
	err := s.db.Read().QueryRowContext(ctx, "SELECT coalesce(sum(bytes), 0) FROM responses WHERE account_id = ? AND test = ?", r.Owner.Account, r.Owner.Test).Scan(&all)
	excess := all + int64(len(r.Input)+len(r.Object)) - most
	for more := all > 0; err == nil && excess > 0 && more; {
		err = s.db.Update(ctx, func(tx *sql.Tx) (err error) {
			excess, more, err = crowdOut(ctx, tx, r.Owner, excess)
			return err
		})
	}
	return err
}

// crowdOut deletes the oldest responses of an owner until there is no excess, but
// only so many. It returns what excess is left, and whether there are more.
func crowdOut(ctx context.Context, tx *sql.Tx, o response.Owner, excess int64) (left int64, more bool, err error) {
	for n := 0; excess > 0 && n < crowded; n++ {
		var id string
		var size int64
		const oldest = "SELECT id, bytes FROM responses WHERE account_id = ? AND test = ? ORDER BY created_at LIMIT 1"
		err := tx.QueryRowContext(ctx, oldest, o.Account, o.Test).Scan(&id, &size)
		if errors.Is(err, sql.ErrNoRows) {
			return excess, false, nil
		}
		if err != nil {
			return excess, false, err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM responses WHERE id = ?", id); err != nil {
			return excess, false, err
		}
		excess -= size
	}
	return excess, true, nil
}

// Get implements response.Store.
func (s responses) Get(ctx context.Context, id string, now time.Time) (*response.Response, error) {
	return s.one(ctx, "WHERE id = ? AND expires_at > ?", id, now.UnixMilli())
}

// Find implements response.Store.
func (s responses) Find(ctx context.Context, o response.Owner, item string, now time.Time) (*response.Response, error) {
	return s.one(ctx, "WHERE id = (SELECT response_id FROM response_items WHERE account_id = ? AND test = ? AND item = ?) AND expires_at > ?",
		o.Account, o.Test, item, now.UnixMilli())
}

func (s responses) one(ctx context.Context, where string, args ...any) (*response.Response, error) {
	r := &response.Response{}
	var created, expires int64
	var job []byte
	err := s.db.Read().QueryRowContext(ctx, "SELECT "+responseColumns+" FROM responses "+where, args...).
		Scan(&r.ID, &r.Owner.Account, &r.Owner.Test, &r.Previous, &created, &expires, &job, &r.Ended, &r.Attempts, &r.Input, &r.Object)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	r.Created, r.Expires, r.Job = time.UnixMilli(created).UTC(), time.UnixMilli(expires).UTC(), [16]byte(job)
	return r, nil
}

// Update implements response.Store.
func (s responses) Update(ctx context.Context, id string, u response.Update) error {
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		if u.Events != nil {
			if err := putEvents(ctx, tx, id, u.Events); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE responses SET object = ?, ended = ?,
			bytes = length(input) + ? + (SELECT coalesce(sum(length(packed)), 0) FROM response_events WHERE response_id = responses.id) WHERE id = ?`,
			blob(u.Object), u.Ended, len(u.Object), id)
		if err != nil {
			return err
		}
		return nameItems(ctx, tx, id, u.Items)
	})
	if err != nil {
		return fmt.Errorf("update %s: %w", id, err)
	}
	return nil
}

// putEvents replaces the events of a response, if it is there.
func putEvents(ctx context.Context, tx *sql.Tx, id string, chunks []response.Chunk) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM response_events WHERE response_id = ?", id); err != nil {
		return err
	}
	for _, c := range chunks {
		_, err := tx.ExecContext(ctx, "INSERT INTO response_events (response_id, first, last, packed) SELECT id, ?, ?, ? FROM responses WHERE id = ?", c.First, c.Last, blob(c.Packed), id)
		if err != nil {
			return err
		}
	}
	return nil
}

// Attempt implements response.Store.
func (s responses) Attempt(ctx context.Context, id string) error {
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		if err := putEvents(ctx, tx, id, nil); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE responses SET attempts = attempts + 1, bytes = length(input) + length(object) WHERE id = ?", id)
		return err
	})
	if err != nil {
		return fmt.Errorf("begin %s: %w", id, err)
	}
	return nil
}

// Events implements response.Store.
func (s responses) Events(ctx context.Context, id string, after int64) (*response.Chunk, error) {
	c := &response.Chunk{}
	err := s.db.Read().QueryRowContext(ctx, "SELECT first, last, packed FROM response_events WHERE response_id = ? AND last > ? ORDER BY last LIMIT 1", id, after).
		Scan(&c.First, &c.Last, &c.Packed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read events of %s: %w", id, err)
	}
	return c, nil
}

// LastEvent implements response.Store.
func (s responses) LastEvent(ctx context.Context, id string) (int64, bool, error) {
	var last sql.NullInt64
	if err := s.db.Read().QueryRowContext(ctx, "SELECT max(last) FROM response_events WHERE response_id = ?", id).Scan(&last); err != nil {
		return 0, false, fmt.Errorf("read events of %s: %w", id, err)
	}
	return last.Int64, last.Valid, nil
}

// Delete implements response.Store.
func (s responses) Delete(ctx context.Context, id string) error {
	return s.exec(ctx, "delete response", "DELETE FROM responses WHERE id = ?", id)
}

// Purge implements response.Store.
func (s responses) Purge(ctx context.Context, now time.Time, limit int) error {
	return s.exec(ctx, "purge responses", "DELETE FROM responses WHERE id IN (SELECT id FROM responses WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)", now.UnixMilli(), limit)
}

func (s responses) exec(ctx context.Context, what, query string, args ...any) error {
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
