package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrForeign is wrapped by errors about a file that is not a database of
// Pontage. It was not changed.
var ErrForeign = errors.New("not a database of Pontage")

// ErrNewer is wrapped by errors about a database that a newer version of this
// program has written. It was not changed.
var ErrNewer = errors.New("the database was written by a newer version of Pontage")

// ErrOlder is wrapped by errors about a database whose schema must be brought
// up to date before it can be read.
var ErrOlder = errors.New("the schema of the database is older than this program")

// magic is how every SQLite file begins.
var magic = []byte("SQLite format 3\x00")

// identify makes sure that the file at path is a database of ours and not of a
// newer version, and changes nothing. It reports false if there is none and one may be made.
func identify(ctx context.Context, path string) (exists bool, err error) {
	info, err := os.Stat(path)
	log, logErr := os.Stat(path + "-wal")
	inLog := logErr == nil && log.Size() > 0
	switch {
	case errors.Is(err, fs.ErrNotExist) && inLog:
		return false, fmt.Errorf("%w: there is a %s-wal, but not the database that it belongs to", ErrForeign, path)
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%w: it is a directory or a device, not a file", ErrForeign)
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	head := make([]byte, len(magic))
	_, err = io.ReadFull(f, head)
	// Nobody has a lock on it that closing could drop: this is before it is opened.
	if err := errors.Join(ignoreEOF(err), f.Close()); err != nil {
		return false, err
	}
	if info.Size() == 0 && !inLog {
		return false, fmt.Errorf("%w: it is empty; a new database is made where there is no file", ErrForeign)
	}
	if info.Size() > 0 && !bytes.Equal(head, magic) {
		return false, fmt.Errorf("%w: it is not an SQLite file", ErrForeign)
	}
	return true, identifyTables(ctx, path, inLog)
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// identifyTables looks for the tables that every version of the schema has.
// Without a log the file alone is looked at, so that nothing is made beside it.
func identifyTables(ctx context.Context, path string, inLog bool) (err error) {
	q := fmt.Sprintf("mode=ro&_pragma=query_only(1)&_pragma=busy_timeout(%d)", busyTimeout.Milliseconds())
	if !inLog {
		q += "&immutable=1"
	}
	db, err := sql.Open("sqlite", fileURL(path, q))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	n := 0
	const tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('goose_db_version', 'ledger_mark')"
	if err := db.QueryRowContext(ctx, tables).Scan(&n); err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if n != 2 {
		return fmt.Errorf("%w: it is an SQLite file with other tables", ErrForeign)
	}
	_, err = checkVersion(ctx, db, true)
	return err
}
