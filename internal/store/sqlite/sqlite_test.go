package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
)

func openTemp(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "pontage.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestAConnectionWithoutFullSyncIsRefused(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	source := db.source()
	for pragma, missing := range map[string]string{
		"synchronous":        "synchronous(FULL)",
		"wal_autocheckpoint": "wal_autocheckpoint(0)",
		"foreign_keys":       "foreign_keys(1)",
		"busy_timeout":       "busy_timeout(5000)",
	} {
		weak := strings.Replace(source, missing, "cache_size(100)", 1)
		if pragma == "synchronous" {
			weak = strings.Replace(source, missing, "synchronous(NORMAL)", 1)
		}
		if weak == source {
			t.Fatalf("%s is not in %s", missing, source)
		}
		pool, err := sql.Open("sqlite", weak)
		if err != nil {
			t.Fatal(err)
		}
		if conn, err := connect(t.Context(), pool); err == nil || !strings.Contains(err.Error(), pragma) {
			t.Errorf("without %s: connect = %v, %v; want an error naming it", missing, conn, err)
		}
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A rollback journal can only be made where the file is not in WAL mode yet.
func TestADatabaseThatIsNotInWALModeIsRefused(t *testing.T) {
	t.Parallel()
	pool, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := connect(t.Context(), pool); err == nil || !strings.Contains(err.Error(), "journal_mode") {
		t.Errorf("connect = %v, want an error naming journal_mode", err)
	}
}

func TestAnyPathIsAPath(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain.db", "a b.db", "what?mode=memory.db", "100%20.db", "a#b.db", "ä&_pragma=synchronous(OFF).db", "'quote\".db"} {
		path := filepath.Join(t.TempDir(), name)
		db, err := Open(t.Context(), path)
		if err != nil {
			t.Errorf("Open(%q) = %v", name, err)
			continue
		}
		if db.Path() != path {
			t.Errorf("Path = %q, want %q", db.Path(), path)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%q: %v, %v", name, info, err)
		} else if perm := info.Mode().Perm(); perm != 0o600 {
			t.Errorf("%q is readable by others: %v", name, perm)
		}
	}
}

func TestTheLockIsReleasedWhenTheDatabaseIsClosed(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	if _, err := Open(t.Context(), db.Path()); !errors.Is(err, ErrInUse) {
		t.Fatalf("second Open = %v, want ErrInUse", err)
	}
	for range 2 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Open(t.Context(), db.Path())
	if err != nil {
		t.Fatalf("Open after Close = %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if err := db.Update(t.Context(), func(*sql.Tx) error { return nil }); err == nil {
		t.Error("Update after Close: want an error")
	}
	if _, err := db.Journal().Begin(); err == nil {
		t.Error("Begin after Close: want an error")
	}
}

func TestOpeningWhatCannotBeOpenedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "pontage.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("this is not a database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open of a text = %v, want an error naming it", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatalf("Open = %v, want the lock to be free", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "missing", "pontage.db")); err == nil {
		t.Error("Open in a folder that does not exist: want an error")
	}
}

func TestReadingOnly(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	if _, err := OpenReadOnly(t.Context(), db.Path()+".missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenReadOnly of nothing = %v", err)
	}
	if _, err := os.Stat(db.Path() + ".missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("OpenReadOnly made a file")
	}
	check := func(when string) {
		t.Helper()
		ro, err := OpenReadOnly(t.Context(), db.Path())
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		defer ro.Close()
		if rep, err := ledger.Verify(t.Context(), ro.Journal()); err != nil || !rep.OK {
			t.Errorf("%s: Verify = %+v, %v", when, rep, err)
		}
		if _, err := ro.Read().Exec("DELETE FROM entries"); err == nil {
			t.Errorf("%s: wrote through a reader", when)
		}
		if _, err := ro.Journal().Start(t.Context()); err == nil {
			t.Errorf("%s: Start: want an error", when)
		}
		if _, err := ro.Journal().Begin(); err == nil {
			t.Errorf("%s: Begin: want an error", when)
		}
		if err := ro.Update(t.Context(), func(*sql.Tx) error { return nil }); err == nil {
			t.Errorf("%s: Update: want an error", when)
		}
	}
	check("in use")
	if _, err := db.Read().Exec("DELETE FROM entries"); err == nil {
		t.Error("wrote through the pool of readers")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	check("closed")
}

func TestSchemasOfOtherVersionsAreRefused(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	version := func(change string) {
		t.Helper()
		err := db.Update(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(change)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	version("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
	for name, open := range map[string]func(context.Context, string) (*DB, error){"OpenReadOnly": OpenReadOnly, "OpenSource": OpenSource} {
		if _, err := open(t.Context(), db.Path()); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "9999") {
			t.Errorf("%s = %v, want an error naming the version", name, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), db.Path()); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "run the version that wrote it") {
		t.Errorf("Open = %v, want a refusal that says what to do", err)
	}
}

func TestMigrationsAreNumberedOneByOne(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(migrations, "migration/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	form := regexp.MustCompile(`^migration/(\d{4})_[a-z_]+\.sql$`)
	seen := map[string]bool{}
	for _, name := range names {
		m := form.FindStringSubmatch(name)
		if m == nil || seen[m[1]] {
			t.Errorf("%s: not NNNN_name.sql with a number of its own", name)
			continue
		}
		seen[m[1]] = true
		text, err := migrations.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(text), "-- +goose Up") || strings.Contains(string(text), "+goose Down") {
			t.Errorf("%s: does not go forward only: %v", name, err)
		}
	}
}

func TestAnUpdateIsAllOrNothing(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	mark := func() int64 {
		var n int64
		if err := db.Read().QueryRow("SELECT epoch FROM ledger_mark").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	set := func(fail error) error {
		return db.Update(t.Context(), func(tx *sql.Tx) error {
			if _, err := tx.Exec("UPDATE ledger_mark SET epoch = 7"); err != nil {
				return err
			}
			return fail
		})
	}
	no := errors.New("no")
	if err := set(no); !errors.Is(err, no) || mark() != 0 {
		t.Errorf("failed Update = %v, epoch %d", err, mark())
	}
	if err := set(nil); err != nil || mark() != 7 {
		t.Errorf("Update = %v, epoch %d", err, mark())
	}
}

// topups returns a batch of n credits after the entry that the journal is at.
func topups(m ledger.Mark, n int) *ledger.Batch {
	b := &ledger.Batch{Epoch: m.Epoch, After: m.LastSeq}
	for i := range n {
		b.Entries = append(b.Entries, &ledger.Entry{
			Seq: m.LastSeq + int64(i) + 1, Time: time.Unix(1, 0), Kind: ledger.KindTopup, Account: int64(i + 1), Amount: 1, Note: strings.Repeat("x", 900),
		})
	}
	return b
}

func TestAFullDiskIsToldApart(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	j := db.Journal()
	m, err := j.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	limit := func(pragma string) {
		t.Helper()
		if _, err := db.journal.conn.ExecContext(t.Context(), pragma); err != nil {
			t.Fatal(err)
		}
	}
	limit("PRAGMA max_page_count = 1") // the smallest possible: as large as it is now
	tx, err := j.Begin()
	if err != nil {
		t.Fatal(err)
	}
	b := topups(m, 300)
	if err := tx.Insert(b); !errors.Is(err, ledger.ErrRetry) {
		t.Fatalf("Insert on a full disk = %v, want ErrRetry", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatalf("Rollback = %v", err)
	}
	limit("PRAGMA max_page_count = 100000")
	if tx, err = j.Begin(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.Insert(b), tx.Commit()); err != nil {
		t.Fatalf("the same batch again = %v", err)
	}
	if err := errors.Join(tx.Rollback(), tx.Rollback()); err != nil {
		t.Errorf("Rollback after Commit = %v, want nothing", err)
	}
	if err := tx.Commit(); err == nil {
		t.Error("second Commit: want an error")
	}
}

func TestAJournalIsFenced(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	j := db.Journal()
	m, err := j.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string]func(*ledger.Batch){
		"an older epoch":  func(b *ledger.Batch) { b.Epoch-- },
		"another place":   func(b *ledger.Batch) { b.After++ },
		"a newer process": func(b *ledger.Batch) { b.Epoch++ },
	} {
		tx, err := j.Begin()
		if err != nil {
			t.Fatal(err)
		}
		b := topups(m, 1)
		wrong(b)
		if err := tx.Insert(b); !errors.Is(err, ledger.ErrFenced) {
			t.Errorf("%s: Insert = %v, want ErrFenced", name, err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

// The log does not grow for ever, and a reader that takes its time holds up
// nobody.
func TestTheLogIsMovedIntoTheDatabase(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	j := db.Journal()
	m, err := j.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write := func() {
		t.Helper()
		tx, err := j.Begin()
		if err != nil {
			t.Fatal(err)
		}
		b := topups(m, 500)
		if err := errors.Join(tx.Insert(b), tx.Commit()); err != nil {
			t.Fatal(err)
		}
		m.LastSeq += 500
	}
	write()
	deadline := time.Now().Add(10 * time.Second)
	for db.checkpoint.frames.Load() == 0 {
		if time.Now().After(deadline) {
			t.Fatal("no checkpoint in 10 s")
		}
		<-time.After(10 * time.Millisecond)
	}
	snap, err := j.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write()
	before := time.Now()
	db.checkpoint.frames.Store(restartAboveBytes) // as if nothing had been moved for long
	write()
	if took := time.Since(before); took > busyTimeout/2 {
		t.Errorf("a batch took %v while somebody was reading", took)
	}
	var timeout int64
	if err := db.journal.conn.QueryRowContext(t.Context(), "PRAGMA busy_timeout").Scan(&timeout); err != nil || timeout != busyTimeout.Milliseconds() {
		t.Errorf("busy_timeout = %d, %v", timeout, err)
	}
	if err := snap.Close(); err != nil {
		t.Error(err)
	}
	db.checkpoint.frames.Store(restartAboveBytes)
	write()
	info, err := os.Stat(db.Path() + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	size := info.Size()
	for range 3 {
		db.checkpoint.frames.Store(restartAboveBytes)
		write()
	}
	if info, err = os.Stat(db.Path() + "-wal"); err != nil || info.Size() > size {
		t.Errorf("the log grew from %d to %d bytes although it starts again every time, %v", size, info.Size(), err)
	}
}

// The lock lies beside the file itself, not beside a link to it.
func TestALinkToTheDatabaseIsTheSameDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	second, err := Open(t.Context(), link)
	if err == nil {
		_ = second.Close()
	}
	if !errors.Is(err, ErrInUse) {
		t.Errorf("Open by a link = %v, want ErrInUse", err)
	}
}

// A charge waits for the update that is under way and, at most, for the next,
// not for all that want to.
func TestAChargeDoesNotWaitForManyUpdates(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	held, release := make(chan struct{}), make(chan struct{})
	var done atomic.Int64
	var all sync.WaitGroup
	update := func(do func()) {
		all.Go(func() {
			err := db.Update(t.Context(), func(*sql.Tx) error { do(); return nil })
			if err != nil {
				t.Error(err)
			}
			done.Add(1)
		})
	}
	update(func() { close(held); <-release })
	<-held
	for range 200 {
		update(func() {})
	}
	for range 10_000 {
		runtime.Gosched() // so that they wait, whose turn it is
	}
	first := make(chan int64)
	go func() {
		tx, err := db.Journal().Begin()
		if err != nil {
			t.Error(err)
		} else if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
		first <- done.Load()
	}()
	for range 10_000 {
		runtime.Gosched()
	}
	close(release)
	if before := <-first; before > 2 {
		t.Errorf("a charge waited for %d updates", before)
	}
	all.Wait()
}
