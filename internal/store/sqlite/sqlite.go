// Package sqlite keeps everything durable in one SQLite file: the journal of the
// ledger with its folds, and accounts with their keys.
//
// One process owns the file, by a lock beside it. Two connections write: the
// journal's, and one for everything else ([DB.Update]); a mutex keeps them from
// waiting for each other inside SQLite, and many updates from keeping charges waiting. A third one moves the write-ahead log
// into the database in the background. Reading is done by a small pool.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
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

// Files that are made beside a database, and are worth nothing once whoever makes
// them is gone.
const (
	newTemp     = ".tmp-new"     // a database on its way
	restoreTemp = ".tmp-restore" // what is to become the database
	backupTemp  = ".tmp-backup"  // a copy that somebody is sent
)

// DB is an open database.
type DB struct {
	path    string
	lock    *os.File // nil: opened for reading only
	scanned int      // rows that one listing looks through
	was, is int64    // version of the schema when it was opened, and now

	settled time.Duration // see runSettled

	read    *sql.DB // pool of readers
	views   *sql.DB // pool for snapshots
	pools   []*sql.DB
	journal *journal // nil: opened for reading only

	updates sync.Mutex // held by the one update that may wait for next
	next    sync.Mutex // held by whoever waits for mu
	mu      sync.Mutex // held by whoever writes
	admin   *sql.Conn  // writes of everything but the journal; guarded by mu
	late    []byte     // receipts with an id up to this one belong to a run that is there; guarded by mu

	checkpoint *checkpointer
	runs       *runner
}

// Open opens the database at path, creates it if there is none, and brings its
// schema up to date. It fails if another process has it open ([ErrInUse]), if
// the file is something else ([ErrForeign]) or of a newer version ([ErrNewer]),
// and if a setting that durability rests on is not in force. The caller closes it.
func Open(ctx context.Context, path string) (*DB, error) {
	path = resolve(path)
	if _, err := identify(ctx, path); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
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

// resolve follows symbolic links: SQLite puts its log beside the file itself,
// and so goes the lock.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// OpenReadOnly opens an existing database for reading, whether or not a process
// has it open for writing. Its schema must be up to date ([ErrOlder]).
func OpenReadOnly(ctx context.Context, path string) (*DB, error) {
	return openReadOnly(ctx, path, false)
}

// OpenSource opens an existing database for a backup, as OpenReadOnly does, but
// also if its schema is older.
func OpenSource(ctx context.Context, path string) (*DB, error) {
	return openReadOnly(ctx, path, true)
}

func openReadOnly(ctx context.Context, path string, older bool) (*DB, error) {
	path = resolve(path)
	exists, err := identify(ctx, path)
	if err == nil && !exists {
		_, err = os.Stat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	db := &DB{path: path, scanned: scanned}
	err = db.openRead(ctx)
	if err == nil {
		db.is, err = checkVersion(ctx, db.read, older)
		db.was = db.is
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), db.Close())
	}
	return db, nil
}

func (db *DB) open(ctx context.Context) error {
	exists, err := identify(ctx, db.path)
	if err == nil && !exists {
		err = create(ctx, db.path)
	}
	if err != nil {
		return err
	}
	admin := db.pool(db.source("_txlock=immediate"), 1)
	if db.was, db.is, err = migrate(ctx, admin); err != nil {
		return err
	}
	if !exists {
		db.was = 0
	}
	for _, temp := range []string{newTemp, restoreTemp, backupTemp} { // of a process that died
		if err := removeAll(db.path + temp); err != nil {
			return err
		}
	}
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
	admitVisitors()
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
	return fileURL(db.path, q)
}

// fileURL returns the data source name of a file.
func fileURL(path, query string) string {
	u := url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: query}
	return u.String()
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

// Schema returns the version that the schema had when the database was opened (0
// if it was made then), and the one that it has.
func (db *DB) Schema() (was, is int64) { return db.was, db.is }

// Read returns the pool of readers. Its connections cannot write.
func (db *DB) Read() *sql.DB { return db.read }

// Update runs do in one transaction that is on disk when Update returns nil, and
// undone if do fails. Charges wait for one update at most, however many there
// are. A transaction that
// has begun goes on when ctx ends: database/sql would roll it back by itself, and
// might still be at it when the next one begins on the same connection.
func (db *DB) Update(ctx context.Context, do func(*sql.Tx) error) error {
	db.updates.Lock()
	defer db.updates.Unlock()
	db.lockWriter()
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
	if err := tx.Commit(); err != nil {
		// A COMMIT that fails for want of room may leave the transaction open, and
		// with it the lock that the journal needs.
		_, _ = db.admin.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return err
	}
	return nil
}

// lockWriter takes mu in the order of asking: of updates only one may ask at a
// time, so a charge waits for one at most.
func (db *DB) lockWriter() {
	db.next.Lock()
	db.mu.Lock()
	db.next.Unlock()
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
		errs = append(errs, unlockFile(db.lock))
		db.lock = nil
	}
	return errors.Join(errs...)
}

// ErrInUse is wrapped by [Open] when another process has the database open.
var ErrInUse = errors.New("the database is in use by another process")

// InUse reports whether a process has the database at path open.
func InUse(path string) (bool, error) {
	lock := resolve(path) + ".lock"
	if _, err := os.Stat(lock); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	f, err := lockFile(lock)
	if errors.Is(err, ErrInUse) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, unlockFile(f)
}
