package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/pontage/pontage/internal/ledger"
)

// digests closes a day, and adds the sums of days that were closed before.
func (t *journalTx) digests(closed *ledger.Digest, made []ledger.Digest) error {
	if closed != nil {
		const q = "INSERT INTO day_digests (day, first_seq, last_seq, closed_at) VALUES (?, ?, ?, ?)"
		if _, err := t.j.exec(q, int64(closed.Day), closed.First, closed.Last, nanos(closed.ClosedAt)); err != nil {
			return err
		}
		if _, err := t.j.exec("UPDATE ledger_mark SET closed_to = ? WHERE id = 1", closed.Last); err != nil {
			return err
		}
	}
	for i := range made {
		d := &made[i]
		const q = "UPDATE day_digests SET sum = ? WHERE day = ? AND last_seq = ? AND sum IS NULL"
		if _, err := t.j.exec(q, d.Sum[:], int64(d.Day), d.Last); err != nil {
			return err
		}
		if _, err := t.j.exec("UPDATE ledger_mark SET digested_to = max(digested_to, ?) WHERE id = 1", d.Last); err != nil {
			return err
		}
	}
	return nil
}

const digestColumns = "day, first_seq, last_seq, closed_at, sum"

func scanDigest(s scanner) (d ledger.Digest, err error) {
	var closed int64
	var sum []byte
	if err := s.Scan((*int32)(&d.Day), &d.First, &d.Last, &closed, &sum); err != nil {
		return d, fmt.Errorf("read digests: %w", err)
	}
	d.ClosedAt, d.Made = fromNanos(closed), sum != nil
	copy(d.Sum[:], sum)
	return d, nil
}

// Digests implements ledger.Reader.
func (s *snapshot) Digests(ctx context.Context, yield func(ledger.Digest) error) error {
	return s.rows(ctx, "SELECT "+digestColumns+" FROM day_digests ORDER BY day", nil, func(rows *sql.Rows) error {
		d, err := scanDigest(rows)
		if err != nil {
			return err
		}
		return yield(d)
	})
}

// ListDigests implements ledger.Journal.
func (l *ledgerJournal) ListDigests(ctx context.Context, f ledger.DigestFilter) (list []ledger.Digest, err error) {
	from, to := int64(math.MinInt32), int64(math.MaxInt32)
	if !f.From.IsZero() {
		from = int64(ledger.DayOf(f.From))
	}
	if f.After != 0 {
		from = max(from, int64(f.After)+1)
	}
	if !f.To.IsZero() {
		to = int64(ledger.DayOf(f.To))
	}
	rows, err := l.db.read.QueryContext(ctx, "SELECT "+digestColumns+" FROM day_digests WHERE day BETWEEN ? AND ? ORDER BY day LIMIT ?", from, to, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("read digests: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		d, err := scanDigest(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}
