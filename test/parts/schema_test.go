package parts

import (
	"compress/gzip"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	_ "modernc.org/sqlite" // the driver

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/test/harness"
)

// fixturePepper is the pepper of the databases of earlier versions.
const fixturePepper = "PONTAGE_KEY_PEPPER=the pepper of the fixtures is no secret"

// unpack puts a database of an earlier version where a gateway will look for it.
func unpack(t *testing.T, fixture, path string) {
	t.Helper()
	f, err := os.Open(fixture)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Today's program serves databases of every earlier version, with the balances,
// keys and receipts that are in them, started on them or on a backup of them.
func TestDatabasesOfEarlierVersionsAreServed(t *testing.T) {
	t.Parallel()
	fixtures, err := filepath.Glob(filepath.Join(harness.Root(t), "internal/store/sqlite/testdata/schema-*.db.gz"))
	if err != nil || len(fixtures) < 3 {
		t.Fatal(fixtures, err)
	}
	u := newUpstream(t)
	for _, fixture := range fixtures {
		var want struct {
			Account, Key, Request string
			Balance               string `json:"balance_usd"`
			TestBalance           string `json:"test_balance_usd"`
			Charge                string `json:"charge_usd"`
			Keys                  []string
			Entries               int64
		}
		b, err := os.ReadFile(strings.Replace(fixture, ".db.gz", ".json", 1))
		if err != nil || json.Unmarshal(b, &want) != nil {
			t.Fatal(err)
		}
		for _, how := range []string{"serve", "migrate", "restore"} {
			t.Run(filepath.Base(fixture)+"/"+how, func(t *testing.T) {
				t.Parallel()
				g := harness.Prepare(t, harness.Options{Config: u.config(), Env: []string{fixturePepper}})
				old := filepath.Join(t.TempDir(), "old.db")
				unpack(t, fixture, old)
				switch how {
				case "restore":
					copied := filepath.Join(t.TempDir(), "copy.db")
					cli(t, nil, "backup", copied, "--db", old).is(t, 0, fmt.Sprintf("last entry  %d", want.Entries))
					cli(t, nil, "restore", copied, "--db", g.DatabasePath()).is(t, 0, "verified               yes")
				default:
					unpack(t, fixture, g.DatabasePath())
				}
				if how == "migrate" {
					cli(t, nil, "migrate", "--db", g.DatabasePath()).is(t, 0, "schema")
					cli(t, nil, "migrate", "--db", g.DatabasePath()).is(t, 0, "is up to date")
				}
				g.Run(t)
				g.Verify(t)
				cli(t, nil, "verify", "--db", g.DatabasePath()).is(t, 0)
				a := g.AccountNow(t, want.Account)
				if a.BalanceUSD != want.Balance || a.TestBalance != want.TestBalance || a.HeldUSD != "0.00" {
					t.Errorf("the balances are %+v, want %+v", a, want)
				}
				var keys struct{ Data []harness.Key }
				g.MustAdmin(t, "GET", "/admin/v1/accounts/"+want.Account+"/keys", nil, &keys)
				if !slices.EqualFunc(keys.Data, want.Keys, func(k harness.Key, id string) bool { return k.ID == id }) {
					t.Errorf("the keys are %+v, want %v", keys.Data, want.Keys)
				}
				if r := g.Receipt(t, want.Request, nil); r.ChargeUSD != want.Charge {
					t.Errorf("the receipt says %+v, want a charge of %s", r, want.Charge)
				}
				c := &caller{g: g, account: want.Account, key: want.Key, credit: usd(t, want.Balance)}
				if got := c.ask(t, "hi", true); !got.whole(true) {
					t.Errorf("with a key from before: %v", got)
				}
				c.spent(t, 1)
				g.Settled(t)
			})
		}
	}
}

// contents are the names and contents below a directory, without the lock.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, ".lock") {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if d.IsDir() {
			out[rel] = "a directory"
			return nil
		}
		b, err := os.ReadFile(path)
		out[rel] = fmt.Sprintf("%x", sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// change runs SQL on a file, which it makes if it is not there.
func change(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err == nil {
		_, err = db.Exec(text)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What the program cannot or must not work with is refused by every command, in
// words that say what to do, and is not touched.
func TestWhatIsNoDatabaseOfThisVersionIsRefusedAndNotTouched(t *testing.T) {
	t.Parallel()
	file := func(text string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		make func(t *testing.T, path string)
		says string
	}{
		"newer": {func(t *testing.T, path string) {
			cli(t, nil, "migrate", "--config", naming(t, path)).is(t, 0)
			change(t, path, "PRAGMA journal_mode = DELETE; INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
		}, "was written by a newer version of Pontage: its schema version is 9999"},
		"random bytes":   {file(strings.Repeat("\x01\xfe random", 3000)), "not an SQLite file"},
		"an empty file":  {file(""), "is empty"},
		"another's file": {func(t *testing.T, path string) { change(t, path, "CREATE TABLE songs (name TEXT)") }, "SQLite file with other tables"},
		"a directory": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := harness.Prepare(t, harness.Options{Config: newUpstream(t).config()})
			path := g.DatabasePath()
			c.make(t, path)
			out := t.TempDir()
			before := contents(t, g.Dir)
			if err := g.Launch(t); err == nil || !strings.Contains(g.Log(), c.says) || !strings.Contains(g.Log(), path) {
				t.Errorf("serve: %v", err)
			} else if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("serve: %v, want exit code 1", err)
			}
			for _, args := range [][]string{
				{"serve", "--config", g.ConfigPath()},
				{"verify", "--db", path},
				{"backup", filepath.Join(out, "b.db"), "--db", path},
				{"migrate", "--db", path},
				{"migrate", "--config", g.ConfigPath()},
				{"restore", path, "--db", filepath.Join(out, "pontage.db")},
			} {
				if name == "a directory" && args[0] == "restore" {
					cli(t, nil, args...).is(t, 1, "is a directory")
					continue
				}
				cli(t, nil, args...).is(t, 1, c.says, path)
			}
			after := contents(t, g.Dir)
			delete(after, filepath.Base(g.ConfigPath()))
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("something was changed: %s", diff)
			}
			if left := contents(t, out); len(left) != 1 {
				t.Errorf("something was made: %v", left)
			}
		})
	}
}

// A file that may not be read is told as that. Root may read anything, so the
// program is run as somebody else then.
func TestADatabaseThatMayNotBeReadIsTold(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "parts") // whose parents everybody may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "pontage.db")
	cli(t, nil, "migrate", "--config", naming(t, path)).is(t, 0)
	src, err := os.ReadFile(harness.Binary(t))
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(dir, "pontage"), src, 0o755), os.Chmod(path, 0), os.Chmod(dir, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", "--db", path}, {"migrate", "--db", path}, {"backup", filepath.Join(t.TempDir(), "b.db"), "--db", path}} {
		cmd := exec.Command(filepath.Join(dir, "pontage"), args...)
		cmd.Dir = dir
		if os.Getuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := cmd.CombinedOutput()
		exit := new(exec.ExitError)
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "permission denied") {
			t.Errorf("pontage %s: %v %s", args[0], err, out)
		}
	}
}

// A second process on a database refuses to start, by whatever name it knows it.
func TestASecondProcessOnADatabaseRefusesToStart(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	c := newCaller(t, g, 10, nil)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(g.DatabasePath(), link); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(g.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]string{"the same path": g.DatabasePath(), "a link": link, "a relative path": "pontage.db", "a roundabout path": filepath.Join("..", filepath.Base(g.Dir), "pontage.db")} {
		second := filepath.Join(g.Dir, "second.yaml")
		other := strings.Replace(string(b), "sqlite:"+g.DatabasePath(), "sqlite:"+url, 1)
		for _, addr := range []string{g.URL, g.AdminURL} {
			other = strings.Replace(other, strings.TrimPrefix(addr, "http://"), "127.0.0.1:0", 1)
		}
		if err := os.WriteFile(second, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Log(name)
		cli(t, nil, "serve", "--config", second).is(t, 1, g.DatabasePath(), fmt.Sprintf("in use by another process (process %d)", g.PID()))
	}
	if a := c.ask(t, "hi", false); !a.whole(false) {
		t.Errorf("the first one: %v", a)
	}
	c.spent(t, 1)
}
