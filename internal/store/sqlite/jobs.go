package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pontage/pontage/internal/job"
)

// jobs implements [job.Store].
type jobs struct{ db *DB }

var _ job.Store = jobs{}

// Jobs returns the store of jobs. It works as long as db is open.
func (db *DB) Jobs() job.Store { return jobs{db} }

const jobColumns = "id, account_id, key_id, test, site, surface, model, created_at, cancelled_at, ended_at"

// Put implements job.Store.
func (s jobs) Put(ctx context.Context, j *job.Job) error {
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO jobs ("+jobColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			j.ID[:], j.Account, j.Key, j.Test, j.Site, j.Surface, j.Model, j.Created.UnixMilli(), toMillis(j.Cancelled), toMillis(j.Ended))
		if err != nil {
			return err
		}
		for n := range j.Items {
			i := &j.Items[n]
			_, err := tx.ExecContext(ctx, "INSERT INTO job_items (job_id, n, name, request, body, pinned) VALUES (?, ?, ?, ?, ?, ?)",
				j.ID[:], n, i.Name, i.Request[:], i.Body, i.Pinned)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("put %s: %w", j.ID, err)
	}
	return nil
}

// Get implements job.Store.
func (s jobs) Get(ctx context.Context, id job.ID) (*job.Job, error) {
	list, err := s.read(ctx, "WHERE id = ?", id[:])
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

// Open implements job.Store.
func (s jobs) Open(ctx context.Context) ([]*job.Job, error) {
	return s.read(ctx, "WHERE ended_at IS NULL ORDER BY id")
}

// read returns jobs with their items, of one view of both tables.
func (s jobs) read(ctx context.Context, where string, args ...any) (list []*job.Job, err error) {
	tx, err := s.db.Read().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read jobs: %w", err)
	}
	defer func() {
		if err = errors.Join(err, tx.Rollback()); err != nil {
			list, err = nil, fmt.Errorf("read jobs: %w", err)
		}
	}()
	err = eachRow(ctx, tx, "SELECT "+jobColumns+" FROM jobs "+where, args, func(rows *sql.Rows) error {
		j, err := scanJob(rows)
		list = append(list, j)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, j := range list {
		if err := readItems(ctx, tx, j); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func scanJob(rows *sql.Rows) (*job.Job, error) {
	j := &job.Job{}
	var id []byte
	var created int64
	var cancelled, ended sql.NullInt64
	err := rows.Scan(&id, &j.Account, &j.Key, &j.Test, &j.Site, &j.Surface, &j.Model, &created, &cancelled, &ended)
	if err != nil {
		return nil, err
	}
	j.ID, j.Created, j.Cancelled, j.Ended = job.ID(id), time.UnixMilli(created).UTC(), fromMillis(cancelled), fromMillis(ended)
	return j, nil
}

func readItems(ctx context.Context, tx *sql.Tx, j *job.Job) error {
	const q = "SELECT name, request, body, pinned FROM job_items WHERE job_id = ? ORDER BY n"
	return eachRow(ctx, tx, q, []any{j.ID[:]}, func(rows *sql.Rows) error {
		var i job.Item
		var request []byte
		if err := rows.Scan(&i.Name, &request, &i.Body, &i.Pinned); err != nil {
			return err
		}
		i.Request = [16]byte(request)
		j.Items = append(j.Items, i)
		return nil
	})
}

// Cancel implements job.Store.
func (s jobs) Cancel(ctx context.Context, id job.ID, at time.Time) error {
	return s.exec(ctx, "cancel", id, "UPDATE jobs SET cancelled_at = ? WHERE id = ? AND cancelled_at IS NULL", at.UnixMilli(), id[:])
}

// End implements job.Store.
func (s jobs) End(ctx context.Context, id job.ID, at time.Time) error {
	return s.exec(ctx, "end", id, "UPDATE jobs SET ended_at = ? WHERE id = ? AND ended_at IS NULL", at.UnixMilli(), id[:])
}

// Delete implements job.Store.
func (s jobs) Delete(ctx context.Context, id job.ID) error {
	return s.exec(ctx, "delete", id, "DELETE FROM jobs WHERE id = ?", id[:])
}

// Purge implements job.Store.
func (s jobs) Purge(ctx context.Context, before time.Time, limit int) error {
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE ended_at < ? LIMIT ?)", before.UnixMilli(), limit)
		return err
	})
	if err != nil {
		return fmt.Errorf("purge jobs: %w", err)
	}
	return nil
}

func (s jobs) exec(ctx context.Context, verb string, id job.ID, query string, args ...any) error {
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, id, err)
	}
	return nil
}
