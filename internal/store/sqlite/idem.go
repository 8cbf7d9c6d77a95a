package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pontage/pontage/internal/ledger"
)

// A key that stands for an answer is not given another one, unless the answer
// had expired when the key was claimed.
var insertAnswers = verb{
	head: "INSERT INTO idem (account_id, test, k, fingerprint, seq, req, status, kept, claimed, at, expires_at, doc) VALUES ",
	row:  "(?,?,?,?,?,?,?,?,?,?,?,?)",
	tail: " ON CONFLICT (account_id, test, k) DO UPDATE SET fingerprint = excluded.fingerprint, seq = excluded.seq, req = excluded.req," +
		" status = excluded.status, kept = excluded.kept, claimed = excluded.claimed, at = excluded.at, expires_at = excluded.expires_at," +
		" doc = excluded.doc WHERE expires_at <= excluded.claimed",
}

func (t *journalTx) answers(forgotten, answers []*ledger.IdemRow) error {
	for _, r := range forgotten {
		const q = "DELETE FROM idem WHERE account_id = ? AND test = ? AND k = ? AND req = ?"
		if _, err := t.j.exec(q, r.Account, bit(r.Test), []byte(r.Key), r.Request[:]); err != nil {
			return err
		}
	}
	if len(answers) == 0 {
		return nil
	}
	changed, err := t.j.change(insertAnswers, len(answers), func(a []any, i int) []any {
		r := answers[i]
		doc := r.Doc
		if doc == nil {
			doc = []byte{}
		}
		return append(a, r.Account, bit(r.Test), []byte(r.Key), r.Fingerprint[:], r.Seq, r.Request[:], r.Status, bit(r.Kept),
			nanos(r.Claimed), nanos(r.At), nanos(r.ExpiresAt), doc)
	})
	if err == nil && changed != int64(len(answers)) {
		err = errors.New("an idempotency key stands for an answer already")
	}
	return err
}

// Purge implements ledger.Tx.
func (t *journalTx) Purge(by time.Time, limit int) (next time.Time, err error) {
	_, err = t.j.exec("DELETE FROM idem WHERE rowid IN (SELECT rowid FROM idem WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)", nanos(by), limit)
	if err != nil {
		return time.Time{}, again(err)
	}
	s, err := t.j.prepare(verb{head: firstExpiry}, 1)
	if err != nil {
		return time.Time{}, again(err)
	}
	next, err = scanExpiry(s.QueryRowContext(context.Background()))
	return next, again(err)
}

const firstExpiry = "SELECT min(expires_at) FROM idem"

func scanExpiry(row *sql.Row) (time.Time, error) {
	var n sql.NullInt64
	if err := row.Scan(&n); err != nil {
		return time.Time{}, err
	}
	return fromNanos(n.Int64), nil
}

// Expiry implements ledger.Reader.
func (s *snapshot) Expiry(ctx context.Context) (time.Time, error) {
	at, err := scanExpiry(s.conn.QueryRowContext(ctx, firstExpiry))
	if err != nil {
		return time.Time{}, fmt.Errorf("read expiry: %w", err)
	}
	return at, nil
}

// ReadIdem implements ledger.Journal.
func (l *ledgerJournal) ReadIdem(ctx context.Context, k ledger.IdemKey) (*ledger.IdemRow, error) {
	r := ledger.IdemRow{IdemKey: k}
	var fingerprint, req []byte
	var kept, claimed, at, expires int64
	const q = "SELECT fingerprint, seq, req, status, kept, claimed, at, expires_at, doc FROM idem WHERE account_id = ? AND test = ? AND k = ?"
	err := l.db.read.QueryRowContext(ctx, q, k.Account, bit(k.Test), []byte(k.Key)).
		Scan(&fingerprint, &r.Seq, &req, &r.Status, &kept, &claimed, &at, &expires, &r.Doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read idempotency key: %w", err)
	}
	copy(r.Fingerprint[:], fingerprint)
	copy(r.Request[:], req)
	r.Kept, r.Claimed, r.At, r.ExpiresAt = kept != 0, fromNanos(claimed), fromNanos(at), fromNanos(expires)
	return &r, nil
}
