package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
)

// Migrations go forward only, one transaction each. 0001 is the ledger's, 0002
// is that of accounts; later ones take the next free number.
//
//go:embed migration/*.sql
var migrations embed.FS

func provider(db *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migration")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithDisableGlobalRegistry(true), goose.WithAllowOutofOrder(true))
}

// migrate brings the schema up to date, and returns the version that it had and
// the one that it has. It refuses a database that a newer version of this
// program has written.
func migrate(ctx context.Context, db *sql.DB) (was, is int64, err error) {
	p, err := provider(db)
	if err != nil {
		return 0, 0, fmt.Errorf("migrations: %w", err)
	}
	if was, err = version(ctx, p); err != nil {
		return 0, 0, err
	}
	if _, err := p.Up(ctx); err != nil {
		return 0, 0, fmt.Errorf("migrate: %w", err)
	}
	is, err = version(ctx, p)
	return was, is, err
}

// version returns the schema's version, unless it is newer than this program.
func version(ctx context.Context, p *goose.Provider) (int64, error) {
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return 0, fmt.Errorf("schema version: %w", err)
	}
	if current > target {
		return 0, fmt.Errorf("%w: its schema version is %d, and this program knows %d; run the version that wrote it, or restore a backup from before it was brought up to date", ErrNewer, current, target)
	}
	return current, nil
}

// checkVersion refuses a database whose schema is newer than this program and,
// unless older is allowed, one that is not up to date.
func checkVersion(ctx context.Context, db *sql.DB, older bool) (int64, error) {
	p, err := provider(db)
	if err != nil {
		return 0, fmt.Errorf("migrations: %w", err)
	}
	current, err := version(ctx, p)
	if err != nil || older {
		return current, err
	}
	pending, err := p.HasPending(ctx)
	if err != nil {
		return 0, fmt.Errorf("schema version: %w", err)
	}
	if pending {
		return 0, fmt.Errorf("%w: its version is %d; bring it up to date with pontage migrate, or start the gateway on it", ErrOlder, current)
	}
	return current, nil
}

// create makes a new database at path, which only its owner can read: all of it
// or, if the process dies on the way, nothing. The caller holds the lock.
func create(ctx context.Context, path string) error {
	tmp := path + newTemp
	if err := removeAll(tmp); err != nil { // of a process that died
		return err
	}
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	// It is synced once, at the end.
	db, err := sql.Open("sqlite", fileURL(tmp, "_pragma=synchronous(OFF)&_txlock=immediate"))
	if err == nil {
		_, _, err = migrate(ctx, db)
		err = errors.Join(err, db.Close())
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, removeAll(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, removeAll(tmp))
	}
	return syncDir(filepath.Dir(path))
}

// removeAll removes a database with what SQLite puts beside it. What is not
// there is no error.
func removeAll(path string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal", ".lock"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// UpToDate reports whether the schema of an open database is the current one.
func UpToDate(ctx context.Context, db *DB) (bool, error) {
	_, err := checkVersion(ctx, db.read, false)
	if errors.Is(err, ErrOlder) {
		return false, nil
	}
	return err == nil, err
}
