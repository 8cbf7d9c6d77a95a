// Package sqlite keeps everything durable in one SQLite file: the journal of the
// ledger with its folds, and accounts with their keys.
//
// One process owns the file, by a lock beside it. Two connections write: the
// journal's, and one for everything else ([DB.Update]); a mutex keeps them from
// waiting for each other inside SQLite. A third one moves the write-ahead log
// into the database in the background. Reading is done by a small pool.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver
)

// Settings that every connection must have. They are read back, since a driver
// that does not know a setting of the data source name ignores it silently.
const (
	busyTimeout = 5 * time.Second
	readers     = 4
)

// DB is an open database.
type DB struct {
	path    string
	lock    *os.File // nil: opened for reading only
	scanned int      // rows that one listing looks through

	settled time.Duration // see runSettled

	read    *sql.DB // pool of readers
	views   *sql.DB // pool for snapshots
	pools   []*sql.DB
	journal *journal // nil: opened for reading only

	mu    sync.Mutex // held by whoever writes
	admin *sql.Conn  // writes of everything but the journal; guarded by mu
	late  []byte     // receipts with an id up to this one belong to a run that is there; guarded by mu

	checkpoint *checkpointer
	runs       *runner
}

// Open opens the database at path, creates it if there is none, and brings its
// schema up to date. It fails if another process has it open, and if a setting
// that durability rests on is not in force. The caller closes it.
func Open(ctx context.Context, path string) (*DB, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // SQLite puts its log beside the file itself, and so goes the lock
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	db := &DB{path: path, lock: lock, scanned: scanned, settled: runSettled}
	if err := db.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), db.Close())
	}
	return db, nil
}

// OpenReadOnly opens an existing database for reading, whether or not a process
// has it open for writing. Its schema must be up to date.
func OpenReadOnly(ctx context.Context, path string) (*DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db := &DB{path: path, scanned: scanned}
	err := db.openRead(ctx)
	if err == nil {
		err = checkVersion(ctx, db.read)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), db.Close())
	}
	return db, nil
}

func (db *DB) open(ctx context.Context) error {
	if err := create(db.path); err != nil {
		return err
	}
	admin := db.pool(db.source("_txlock=immediate"), 1)
	if err := migrate(ctx, admin); err != nil {
		return err
	}
	var err error
	if db.admin, err = connect(ctx, admin); err != nil {
		return err
	}
	conn, err := connect(ctx, db.pool(db.source(), 1))
	if err != nil {
		return err
	}
	db.journal = &journal{db: db, conn: conn, stmts: map[stmtID]*sql.Stmt{}}
	second, err := connect(ctx, db.pool(db.source(), 1))
	if err != nil {
		return err
	}
	db.checkpoint = newCheckpointer(second)
	if err := db.openRead(ctx); err != nil {
		return err
	}
	db.runs, err = startRunner(ctx, db)
	return err
}

func (db *DB) openRead(ctx context.Context) error {
	options := []string{"_pragma=query_only(1)"}
	if db.lock == nil {
		options = append(options, "mode=ro")
	}
	db.read = db.pool(db.source(options...), readers)
	// The committer takes a snapshot between two batches, so it must never wait
	// for a connection: there is no bound here, the ledger has one.
	db.views = db.pool(db.source(options...), 0)
	return db.read.PingContext(ctx)
}

// pool opens a pool of at most n connections that stay open; 0: of any number,
// each closed after use.
func (db *DB) pool(source string, n int) *sql.DB {
	p, err := sql.Open("sqlite", source)
	if err != nil {
		panic("sqlite driver is not registered: " + err.Error())
	}
	p.SetMaxOpenConns(n)
	p.SetMaxIdleConns(n) // 0: none
	db.pools = append(db.pools, p)
	return p
}

// source returns the data source name. Pragmas stand in it, since they belong to
// a connection and the pools make connections as they please. The log is never
// moved by a writer's commit (wal_autocheckpoint): see checkpointer.
func (db *DB) source(options ...string) string {
	q := fmt.Sprintf("_pragma=busy_timeout(%d)&_pragma=foreign_keys(1)", busyTimeout.Milliseconds())
	if db.lock != nil {
		q += "&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(0)"
	}
	for _, o := range options {
		q += "&" + o
	}
	u := url.URL{Scheme: "file", Opaque: url.PathEscape(db.path), RawQuery: q}
	return u.String()
}

// create makes an empty file that only its owner can read, if there is none.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// connect returns a connection of its own, on which the settings that durability
// rests on are in force.
func connect(ctx context.Context, pool *sql.DB) (*sql.Conn, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for _, want := range []struct{ pragma, value string }{
		{"journal_mode", "wal"},
		{"synchronous", "2"}, // FULL
		{"foreign_keys", "1"},
		{"busy_timeout", fmt.Sprint(busyTimeout.Milliseconds())},
		{"wal_autocheckpoint", "0"},
	} {
		var got string
		if err := conn.QueryRowContext(ctx, "PRAGMA "+want.pragma).Scan(&got); err != nil {
			return nil, errors.Join(fmt.Errorf("read back pragma %s: %w", want.pragma, err), conn.Close())
		}
		if got != want.value {
			return nil, errors.Join(fmt.Errorf("pragma %s is %s, not %s", want.pragma, got, want.value), conn.Close())
		}
	}
	return conn, nil
}

// Path returns the database's file.
func (db *DB) Path() string { return db.path }

// Read returns the pool of readers. Its connections cannot write.
func (db *DB) Read() *sql.DB { return db.read }

// Update runs do in one transaction that is on disk when Update returns nil, and
// undone if do fails. It does not compete with the journal. A transaction that
// has begun goes on when ctx ends: database/sql would roll it back by itself, and
// might still be at it when the next one begins on the same connection.
func (db *DB) Update(ctx context.Context, do func(*sql.Tx) error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.admin == nil {
		return errors.New("the database is closed, or open for reading only")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	tx, err := db.admin.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Close moves the log into the database and closes everything. The ledger's
// engine must be closed before. Close may be called any number of times.
func (db *DB) Close() error {
	db.runs.close()
	errs := []error{db.checkpoint.close()}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.journal != nil {
		errs = append(errs, db.journal.close())
		db.journal = nil
	}
	if db.admin != nil {
		_, err := db.admin.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
		errs = append(errs, err, db.admin.Close())
		db.admin = nil
	}
	for _, p := range db.pools {
		errs = append(errs, p.Close())
	}
	db.pools = nil
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
		db.lock = nil
	}
	return errors.Join(errs...)
}

// ErrInUse is wrapped by [Open] when another process has the database open.
var ErrInUse = errors.New("the database is in use by another process")
