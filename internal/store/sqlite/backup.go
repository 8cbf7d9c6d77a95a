package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Pace of a backup. Charges go on meanwhile, and their commits must find the
// processor and the disk: so it works in small pieces, rests as long as each of
// them took, and syncs before much has gathered.
const (
	backupPages = 64      // copied at a time
	backupSync  = 8 << 20 // bytes written between two syncs
	backupRest  = 20 * time.Millisecond
)

// Copy tells what a backup holds.
type Copy struct {
	Schema  int64 // version
	Entries int64 // that were ever made: the number of the newest one; fewer are there if old usage was replaced
	Bytes   int64
}

// ErrNoSpace is wrapped by errors of a backup that its disk has no room for.
var ErrNoSpace = errors.New("no space left on the disk")

// spare is how much of a disk a backup leaves free: a full disk stops charges.
const spare = 64 << 20

// TempBackup is where a copy may be put that is to be sent to somebody: if this
// process dies before it removes it, the next one does.
func (db *DB) TempBackup() string { return db.path + backupTemp }

// Backup writes a copy of everything that is committed to a new file at path,
// which only its owner can read, and syncs it. The copy is one moment's, needs no
// file beside it, and may be made while the database is in use. Until it is
// done the write-ahead log grows by what is written meanwhile. After an error
// there is no file. It does not begin unless the disk has room for the copy
// ([ErrNoSpace]), and 64 MiB, or a twentieth of a small disk, besides.
func (db *DB) Backup(ctx context.Context, path string) (c Copy, err error) {
	if err := db.room(ctx, filepath.Dir(path)); err != nil {
		return c, fmt.Errorf("backup to %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return c, fmt.Errorf("backup: %w", noSpace(err))
	}
	c.Schema = db.is
	c.Entries, err = db.copy(ctx, f)
	if err == nil {
		err = single(ctx, path)
	}
	// Only now: closing any descriptor of a file drops SQLite's locks on it.
	err = errors.Join(err, f.Sync())
	if info, serr := f.Stat(); serr == nil {
		c.Bytes = info.Size()
	} else {
		err = errors.Join(err, serr)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return Copy{}, fmt.Errorf("backup to %s: %w", path, errors.Join(noSpace(err), removeAll(path)))
	}
	return c, nil
}

// room makes sure that there is room for a copy in a directory.
func (db *DB) room(ctx context.Context, dir string) error {
	var pages, size int64
	err := errors.Join(
		db.read.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages),
		db.read.QueryRowContext(ctx, "PRAGMA page_size").Scan(&size))
	if err != nil {
		return err
	}
	free, total, err := diskSpace(dir)
	if err != nil {
		return err
	}
	if need := pages*size + min(spare, total/20); free < need {
		return fmt.Errorf("%w: %d bytes are free, and %d are needed", ErrNoSpace, free, need)
	}
	return nil
}

// noSpace marks the errors of a disk that filled up on the way.
func noSpace(err error) error {
	var coded interface{ Code() int }
	if errors.Is(err, syscall.ENOSPC) || errors.As(err, &coded) && coded.Code()&0xff == sqlite3.SQLITE_FULL {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// copy copies all pages as they are at one moment into f.
func (db *DB) copy(ctx context.Context, f *os.File) (entries int64, err error) {
	conn, err := db.views.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// A transaction holds on to the moment; without one every commit would make
	// the copy begin again. SQLite takes the moment at the first read.
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return 0, err
	}
	defer func() {
		_, rerr := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		err = errors.Join(err, rerr)
	}()
	if err := conn.QueryRowContext(ctx, "SELECT last_seq FROM ledger_mark WHERE id = 1").Scan(&entries); err != nil {
		return 0, err
	}
	return entries, conn.Raw(func(raw any) error {
		source, ok := raw.(interface {
			NewBackup(string) (*driver.Backup, error)
		})
		if !ok {
			return fmt.Errorf("the driver (%T) makes no backups", raw)
		}
		b, err := source.NewBackup(fileURL(f.Name(), "_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)"))
		if err != nil {
			return err
		}
		return errors.Join(steps(ctx, b, f), b.Finish())
	})
}

// steps copies piece by piece.
func steps(ctx context.Context, b *driver.Backup, f *os.File) error {
	rest := time.NewTimer(0)
	defer rest.Stop()
	unsynced := 0
	for {
		begun := time.Now()
		more, err := b.Step(backupPages)
		if err != nil || !more {
			return err
		}
		if unsynced += backupPages * pageSize; unsynced >= backupSync {
			unsynced = 0
			if err := f.Sync(); err != nil {
				return err
			}
		}
		rest.Reset(min(time.Since(begun), backupRest))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-rest.C:
		}
	}
}

// single makes the copy a file that needs no log beside it: its header says, as
// that of its source, that there is one.
func single(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite", fileURL(path, "_pragma=synchronous(OFF)"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode = DELETE").Scan(&mode); err != nil {
		return err
	}
	if mode != "delete" {
		return fmt.Errorf("journal mode of the copy is %s", mode)
	}
	return nil
}

// LastEntry returns the number of the newest entry, 0 if there is none. The schema
// may be older.
func (db *DB) LastEntry(ctx context.Context) (seq int64, err error) {
	err = db.read.QueryRowContext(ctx, "SELECT last_seq FROM ledger_mark WHERE id = 1").Scan(&seq)
	return seq, err
}

// Check reads the whole file and reports an error if its structure is damaged.
// What the entries add up to is [ledger.Verify]'s to check.
func (db *DB) Check(ctx context.Context) error {
	var found []error
	err := eachRow(ctx, db.views, "PRAGMA integrity_check(10)", nil, func(rows *sql.Rows) error {
		var text string
		err := rows.Scan(&text)
		if err == nil && text != "ok" {
			found = append(found, errors.New(text))
		}
		return err
	})
	if err := errors.Join(append(found, err)...); err != nil {
		return fmt.Errorf("%s is damaged: %w", db.path, err)
	}
	return nil
}
