package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/ledger"
)

// Journal returns the journal of the ledger. Of a database that was opened for
// reading only, it can be read.
func (db *DB) Journal() ledger.Journal { return &ledgerJournal{db: db} }

// ledgerJournal is the journal as the ledger sees it.
type ledgerJournal struct{ db *DB }

var _ ledger.Journal = (*ledgerJournal)(nil)

// journal is the connection that appends to the journal, with its statements.
// One goroutine uses it; the database's mutex is held during a transaction.
type journal struct {
	db    *DB
	conn  *sql.Conn
	stmts map[stmtID]*sql.Stmt
	args  []any // scratch
}

func (j *journal) close() error {
	var errs []error
	for _, s := range j.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, j.conn.Close())...)
}

// stmtID names a statement for a number of rows at once.
type stmtID struct {
	verb verb
	rows int
}

// verb is a statement about rows: head, one row for each of them, tail.
type verb struct{ head, row, tail string }

// chunks are the numbers of rows that have a statement.
var chunks = [...]int{64, 8, 1}

// each runs the verb for n rows, many at once. args appends the values of row i.
func (j *journal) each(v verb, n int, args func(dst []any, i int) []any) error {
	_, err := j.change(v, n, args)
	return err
}

// change does what each does, and returns how many rows were changed.
func (j *journal) change(v verb, n int, args func(dst []any, i int) []any) (changed int64, err error) {
	for i := 0; i < n; {
		size := 1
		for _, c := range chunks {
			if n-i >= c {
				size = c
				break
			}
		}
		s, err := j.prepare(v, size)
		if err != nil {
			return changed, err
		}
		a := j.args[:0]
		for k := range size {
			a = args(a, i+k)
		}
		res, err := s.ExecContext(context.Background(), a...)
		clear(a)
		j.args = a[:0]
		if err != nil {
			return changed, err
		}
		rows, err := res.RowsAffected()
		if err != nil {
			return changed, err
		}
		changed += rows
		i += size
	}
	return changed, nil
}

func (j *journal) prepare(v verb, rows int) (*sql.Stmt, error) {
	id := stmtID{v, rows}
	if s := j.stmts[id]; s != nil {
		return s, nil
	}
	text := v.head + strings.Repeat(v.row+",", rows-1) + v.row + v.tail
	s, err := j.conn.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", v.head, err)
	}
	j.stmts[id] = s
	return s, nil
}

func (j *journal) exec(text string, args ...any) (sql.Result, error) {
	s, err := j.prepare(verb{head: text}, 1)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(context.Background(), args...)
}

// again marks the errors after which the same batch may be tried again: nothing
// of it is there.
func again(err error) error {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		switch coded.Code() & 0xff {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return fmt.Errorf("%w: %w", ledger.ErrRetry, err)
		}
	}
	return err
}

// Start implements ledger.Journal.
func (l *ledgerJournal) Start(ctx context.Context) (m ledger.Mark, err error) {
	if l.db.journal == nil {
		return ledger.Mark{}, errors.New("the database is closed, or open for reading only")
	}
	err = l.db.Update(ctx, func(tx *sql.Tx) error {
		row := tx.QueryRowContext(ctx, "UPDATE ledger_mark SET epoch = epoch + 1 WHERE id = 1 RETURNING "+markColumns)
		m, err = scanMark(row)
		return err
	})
	if err != nil {
		return ledger.Mark{}, fmt.Errorf("start journal: %w", err)
	}
	return m, nil
}

// Begin implements ledger.Journal.
func (l *ledgerJournal) Begin() (ledger.Tx, error) {
	l.db.lockWriter()
	j := l.db.journal
	if j == nil {
		l.db.mu.Unlock()
		return nil, errors.New("the database is closed, or open for reading only")
	}
	if err := j.restart(); err != nil {
		l.db.mu.Unlock()
		return nil, err
	}
	if _, err := j.exec("BEGIN IMMEDIATE"); err != nil {
		l.db.mu.Unlock()
		return nil, again(err)
	}
	return &journalTx{j: j}, nil
}

// restart resets the log if it has grown beyond what the background checkpoints
// could keep up with.
func (j *journal) restart() error {
	frames := &j.db.checkpoint.frames
	if frames.Load()*pageSize <= restartAboveBytes && !j.db.checkpoint.dies(failpoint.CrashMidRestart) {
		return nil
	}
	frames.Store(0)
	// Without patience: a long reader, such as a verification, must not hold up
	// the charges. The next checkpoint in the background asks for another try.
	if _, err := j.exec("PRAGMA busy_timeout = 0"); err != nil {
		return err
	}
	_, err := checkpoint(j.conn, "RESTART")
	_, restored := j.exec(fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout.Milliseconds()))
	if err != nil {
		return errors.Join(again(err), restored)
	}
	return restored
}

// journalTx is one transaction of the journal. It holds the database's mutex.
type journalTx struct {
	j     *journal
	ended bool

	last, receipts int64 // entry that the journal stands at, and receipts that were written
}

func (t *journalTx) end() {
	t.ended = true
	t.j.db.mu.Unlock()
}

// Commit implements ledger.Tx.
func (t *journalTx) Commit() error {
	if t.ended {
		return errors.New("the transaction has ended")
	}
	defer t.end()
	if _, err := t.j.exec("COMMIT"); err != nil {
		return t.undone(err)
	}
	t.j.db.checkpoint.wake()
	t.j.db.runs.note(t.last, t.receipts)
	return nil
}

// undone rolls back after a COMMIT that failed. If that was for want of room,
// nothing is there: the frame that makes a transaction count is the last to be
// appended to the log, and the log is synced only after it. Should it be there all
// the same, the next try is refused, since it says which entry it follows.
func (t *journalTx) undone(err error) error {
	if undo := t.rollback(); undo != nil {
		return errors.Join(err, undo)
	}
	var coded interface{ Code() int }
	if errors.As(err, &coded) && coded.Code() == sqlite3.SQLITE_FULL {
		return again(err)
	}
	return err
}

// Rollback implements ledger.Tx.
func (t *journalTx) Rollback() error {
	if t.ended {
		return nil
	}
	defer t.end()
	return t.rollback()
}

func (t *journalTx) rollback() error {
	_, err := t.j.exec("ROLLBACK")
	if err != nil && strings.Contains(err.Error(), "no transaction is active") {
		return nil // SQLite has rolled back by itself, as it does on a full disk
	}
	return err
}
