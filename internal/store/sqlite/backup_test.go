package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// files are the contents of a directory, by name.
func files(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][32]byte{}
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil && !e.IsDir() {
			t.Fatal(err)
		}
		out[e.Name()] = sha256.Sum256(b)
	}
	return out
}

// spending is a ledger with one account that spends a nano-dollar a request.
type spending struct {
	db    *DB
	e     *ledger.Engine
	acked atomic.Int64
	next  atomic.Int64
}

func newSpending(t *testing.T, path string) *spending {
	t.Helper()
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ledger.Open(t.Context(), db.Journal(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(e.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	if _, err := e.Credit(t.Context(), ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: money.Dollar}); err != nil {
		t.Fatal(err)
	}
	return &spending{db: db, e: e}
}

// spend charges one nano-dollar and returns how long that took.
func (s *spending) spend(ctx context.Context) (time.Duration, error) {
	var id [16]byte
	copy(id[:], fmt.Sprintf("%016d", s.next.Add(1)))
	h, err := s.e.Hold(ledger.Reservation{Account: 1, Key: 1, Request: id, Amount: 1})
	if err != nil {
		return 0, err
	}
	defer h.Abort()
	begun := time.Now()
	_, err = h.Settle(ctx, ledger.Settlement{Actual: 1, Receipt: &ledger.Receipt{Model: "m", Outcome: "ok"}})
	if err == nil {
		s.acked.Add(1)
	}
	return time.Since(begun), err
}

// load spends with n callers until stop is called, which returns every error.
func (s *spending) load(t *testing.T, n int) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.spend(context.WithoutCancel(ctx)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// A copy is one moment's, whatever is written meanwhile: all that was
// acknowledged before it began is in it, it verifies, and it stands alone.
func TestABackupUnderLoadIsOneMoment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSpending(t, filepath.Join(t.TempDir(), "pontage.db"))
	stop := s.load(t, 4)
	for i := range 3 {
		path := filepath.Join(dir, fmt.Sprintf("copy-%d.db", i))
		before := s.acked.Load()
		c, err := s.db.Backup(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		after := s.next.Load()
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 || info.Size() != c.Bytes {
			t.Errorf("copy %d is %v %v, of %d bytes", i, info.Mode(), err, c.Bytes)
		}
		if charges := c.Entries - 1; charges < before || charges > after {
			t.Errorf("copy %d has %d charges; %d were acknowledged before it began, %d asked for when it was done", i, charges, before, after)
		}
		db, err := OpenReadOnly(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		rep, err := ledger.Verify(t.Context(), db.Journal())
		if err = errors.Join(err, db.Check(t.Context()), db.Close()); err != nil || !rep.OK || rep.Entries != c.Entries {
			t.Errorf("copy %d: %v, %+v", i, err, rep)
		}
	}
	stop()
	if left := files(t, dir); len(left) != 3 {
		t.Errorf("there are %d files: %v", len(left), left)
	}
}

func TestABackupThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newSpending(t, filepath.Join(t.TempDir(), "pontage.db"))
	dir := t.TempDir()
	there := filepath.Join(dir, "there.db")
	if err := os.WriteFile(there, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		path string
	}{
		"a file that is there":          {t.Context(), there},
		"a directory that is not there": {t.Context(), filepath.Join(dir, "none", "copy.db")},
		"nobody who waits for it":       {gone, filepath.Join(dir, "copy.db")},
	} {
		before := files(t, dir)
		if _, err := s.db.Backup(c.ctx, c.path); err == nil {
			t.Errorf("%s: no error", name)
		}
		if diff := cmp.Diff(before, files(t, dir)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// foreign makes files that are no databases of ours.
var foreign = map[string]struct {
	make func(t *testing.T, path string)
	says string
}{
	"random bytes":  {func(t *testing.T, path string) { write(t, path, []byte(strings.Repeat("\x8f\x03random", 2000))) }, "not an SQLite file"},
	"a short file":  {func(t *testing.T, path string) { write(t, path, []byte("x")) }, "not an SQLite file"},
	"an empty file": {func(t *testing.T, path string) { write(t, path, nil) }, "is empty"},
	"a directory": {func(t *testing.T, path string) {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}, "is a directory"},
	"another SQLite file": {func(t *testing.T, path string) { another(t, path, "CREATE TABLE songs (name TEXT)") }, "other tables"},
	"an SQLite file with a log": {func(t *testing.T, path string) {
		another(t, path, "PRAGMA journal_mode = WAL; CREATE TABLE songs (name TEXT)")
	}, "other tables"},
	"the head of an SQLite file": {func(t *testing.T, path string) {
		write(t, path, append([]byte("SQLite format 3\x00"), make([]byte, 5000)...))
	}, "not a database"},
	"a log without its database": {func(t *testing.T, path string) { write(t, path+"-wal", []byte("frames")) }, "not the database that it belongs to"},
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func another(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", fileURL(path, ""))
	if err == nil {
		_, err = db.Exec(text)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsNoDatabaseOfOursIsRefusedAndNotTouched(t *testing.T) {
	t.Parallel()
	for name, c := range foreign {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "pontage.db")
			c.make(t, path)
			before := files(t, dir)
			for verb, open := range map[string]func(context.Context, string) (*DB, error){"Open": Open, "OpenReadOnly": OpenReadOnly, "OpenSource": OpenSource} {
				_, err := open(t.Context(), path)
				if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
					t.Errorf("%s = %v, want ErrForeign that says %q", verb, err, c.says)
				}
				if diff := cmp.Diff(before, files(t, dir)); diff != "" {
					t.Errorf("%s changed it: %s", verb, diff)
				}
			}
		})
	}
}

// A process that dies while it makes a new database leaves what the next one
// makes again.
func TestANewDatabaseIsWholeOrNotThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pontage.db")
	write(t, path+".tmp-new", []byte("half"))
	write(t, path+".tmp-new-journal", []byte("half"))
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	was, is := db.Schema()
	if err := db.Close(); err != nil || was != 0 || is == 0 {
		t.Errorf("schema was %d, is %d; %v", was, is, err)
	}
	if left := files(t, filepath.Dir(path)); len(left) != 2 {
		t.Errorf("there are %v", left)
	}
}

// aBackup makes a backup with some charges.
func aBackup(t *testing.T, charges int) string {
	t.Helper()
	s := newSpending(t, filepath.Join(t.TempDir(), "pontage.db"))
	for range charges {
		if _, err := s.spend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Accounts().PutAccount(t.Context(), account.Account{ID: 1, Name: "a", Status: account.StatusActive, CreatedAt: at}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "backup.db")
	if _, err := s.db.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

func verified(ctx context.Context, db *DB) error {
	rep, err := ledger.Verify(ctx, db.Journal())
	if err == nil && !rep.OK {
		err = errors.New(strings.Join(rep.Differences, "\n"))
	}
	return err
}

func TestARestorePutsABackupInPlace(t *testing.T) {
	t.Parallel()
	backup := aBackup(t, 3)
	for name, c := range map[string]struct {
		old   func(t *testing.T, path string) // nil: nothing is there
		link  bool
		aside bool
	}{
		"where nothing is": {},
		"over a database":  {old: func(t *testing.T, path string) { another(t, path, "SELECT 1"); _ = os.Remove(path); newClosed(t, path) }, aside: true},
		"over a broken one": {old: func(t *testing.T, path string) {
			write(t, path, []byte("broken"))
			write(t, path+"-wal", []byte("log"))
		}, aside: true},
		"over a log alone": {old: func(t *testing.T, path string) { write(t, path+"-wal", []byte("log")) }, aside: true},
		"through a link":   {old: newClosed, link: true, aside: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "pontage.db")
			if c.old != nil {
				c.old(t, path)
			}
			target := path
			if c.link {
				target = filepath.Join(t.TempDir(), "link.db")
				if err := os.Symlink(path, target); err != nil {
					t.Fatal(err)
				}
			}
			before := files(t, dir)
			o := Restoring{Source: backup, Target: target, Now: at, Verify: verified}
			if c.old != nil {
				if _, err := Restore(t.Context(), o); !errors.Is(err, ErrExists) {
					t.Fatalf("without force: %v", err)
				}
				now := files(t, dir)
				delete(now, "pontage.db.lock")
				delete(before, "pontage.db.lock")
				if diff := cmp.Diff(before, now); diff != "" {
					t.Errorf("without force: %s", diff)
				}
			}
			o.Force = true
			r, err := Restore(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if (r.Aside != "") != c.aside || r.Entries != 4 || r.Epoch < 2 {
				t.Errorf("%+v", r)
			}
			left := files(t, dir)
			if c.aside {
				for suffix, was := range map[string]string{"": "pontage.db", "-wal": "pontage.db-wal"} {
					if _, ok := before[was]; ok && left[filepath.Base(r.Aside)+suffix] == [32]byte{} {
						t.Errorf("%s is not kept: %v", was, left)
					}
				}
			}
			if _, ok := left["pontage.db-wal"]; ok {
				t.Error("a log of another database stands beside it")
			}
			s := newSpending(t, path) // which adds a dollar
			if got := s.e.Balance(1).Posted; got != 2*money.Dollar-3 {
				t.Errorf("the balance is %v", got)
			}
		})
	}
}

func newClosed(t *testing.T, path string) {
	t.Helper()
	db, err := Open(t.Context(), path)
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestARestoreThatFailsLeavesEverything(t *testing.T) {
	t.Parallel()
	good := aBackup(t, 3)
	change := func(text string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) { copyFile(t, good, path); another(t, path, text) }
	}
	cases := map[string]struct {
		source func(t *testing.T, path string)
		says   string
	}{
		"a newer schema":   {change("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"), "newer version of Pontage"},
		"a changed charge": {change("UPDATE entries SET amount = amount + 1 WHERE kind = 1"), "does not agree with its entry"},
		"no file":          {func(*testing.T, string) {}, "no such file"},
		"half a file": {func(t *testing.T, path string) {
			copyFile(t, good, path)
			if err := os.Truncate(path, 40_000); err != nil {
				t.Fatal(err)
			}
		}, "its header says"},
		"a page too few": {func(t *testing.T, path string) { resize(t, good, path, -4096) }, "its header says"},
		"a byte more":    {func(t *testing.T, path string) { resize(t, good, path, 1) }, "its header says"},
		"an index that lacks rows": {
			change("PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, 'kind <> 1', 'kind <> 2') WHERE name = 'entries_rare'"), "is damaged",
		},
	}
	for name, f := range foreign {
		cases[name] = struct {
			source func(t *testing.T, path string)
			says   string
		}{f.make, f.says}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := filepath.Join(t.TempDir(), "backup.db")
			c.source(t, source)
			dir := t.TempDir()
			newClosed(t, filepath.Join(dir, "pontage.db"))
			before := files(t, dir)
			_, err := Restore(t.Context(), Restoring{Source: source, Target: filepath.Join(dir, "pontage.db"), Force: true, Now: at, Verify: verified})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Restore = %v, want an error that says %q", err, c.says)
			}
			now := files(t, dir)
			before["pontage.db.lock"] = now["pontage.db.lock"]
			if diff := cmp.Diff(before, now); diff != "" {
				t.Errorf("it changed the target: %s", diff)
			}
			nowhere := t.TempDir()
			if _, err := Restore(t.Context(), Restoring{Source: source, Target: filepath.Join(nowhere, "pontage.db"), Now: at, Verify: verified}); err == nil {
				t.Error("it was restored where nothing was")
			}
			if left := files(t, nowhere); len(left) != 0 {
				t.Errorf("it left %v where nothing was", slices.Collect(maps.Keys(left)))
			}
		})
	}
}

// resize makes a copy that is so many bytes longer.
func resize(t *testing.T, from, to string, by int64) {
	t.Helper()
	copyFile(t, from, to)
	info, err := os.Stat(to)
	if err == nil {
		err = os.Truncate(to, info.Size()+by)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, b)
}

// A process that believes to own a database after another one was put in its
// place is fenced at its next charge.
func TestARestoreFencesWhoHasTheOldDatabaseOpen(t *testing.T) {
	t.Parallel()
	backup := aBackup(t, 1)
	path := filepath.Join(t.TempDir(), "pontage.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ledger.Open(t.Context(), db.Journal(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := Restoring{Source: backup, Target: path, Force: true, Now: at, Verify: verified}
	if _, err := Restore(t.Context(), o); !errors.Is(err, ErrInUse) {
		t.Fatalf("Restore = %v, want ErrInUse", err)
	}
	// As on a file system where locks do nothing.
	if err := os.Remove(path + ".lock"); err != nil {
		t.Fatal(err)
	}
	r, err := Restore(t.Context(), o)
	if err != nil || r.Unfenced != nil {
		t.Fatal(err, r.Unfenced)
	}
	if _, err := e.Credit(t.Context(), ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: 1}); !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("a credit of the old process: %v, want ErrFenced", err)
	}
	_, _ = e.Close(), db.Close()
	s := newSpending(t, path)
	if got := s.e.Balance(1).Posted; got != 2*money.Dollar-1 {
		t.Errorf("the balance is %v", got)
	}
}
