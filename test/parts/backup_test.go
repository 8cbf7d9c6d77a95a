package parts

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/store/sqlite"
	"github.com/pontage/pontage/test/harness"
)

// load is callers who ask all the time.
type load struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu    sync.Mutex
	acked map[string]bool // requests whose answers came to their end
	odd   []answer        // answers that did not
}

// begin lets n callers ask, every second of them for streams.
func begin(t testing.TB, c *caller, n int) *load {
	l := &load{acked: map[string]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	l.stop = stop
	for i := range n {
		l.done.Go(func() {
			for ctx.Err() == nil {
				a := ask(context.WithoutCancel(ctx), c.g, c.key, "hi", i%2 == 0, nil)
				l.mu.Lock()
				if a.whole(i%2 == 0) {
					l.acked[a.id] = true
				} else {
					l.odd = append(l.odd, a)
				}
				l.mu.Unlock()
			}
		})
	}
	return l
}

// now returns the requests that were answered by now.
func (l *load) now() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked)
}

// end stops the callers, and fails the test if any of them saw an error.
func (l *load) end(t testing.TB) {
	t.Helper()
	l.stop()
	l.done.Wait()
	for _, a := range l.odd {
		t.Errorf("a caller saw %v", a)
	}
}

// charges reads what a database charges, by request.
func charges(t testing.TB, path string) map[string]money.Amount {
	t.Helper()
	db, err := sqlite.OpenReadOnly(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := db.Journal().Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]money.Amount{}
	err = snap.Entries(t.Context(), 0, func(e *ledger.Entry) error {
		if e.Kind == ledger.KindUsage {
			id := obs.RequestID(e.Request).String()
			if _, twice := out[id]; twice {
				t.Errorf("%s is charged twice", id)
			}
			out[id] = e.Amount
		}
		return nil
	})
	if err := errors.Join(err, snap.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	return out
}

// A backup of a gateway under load is one moment's: what was acknowledged before
// it began is in it, to the nano-dollar, and nothing is that was not asked for.
// Nobody notices that it is made.
func TestABackupUnderLoadIsRestoredToTheNanoDollar(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	c := newCaller(t, g, 100, nil)
	l := begin(t, c, 20)
	type copied struct {
		path   string
		before map[string]bool
		said   struct {
			Entries int64
			LastSeq int64 `json:"last_seq"`
			SHA256  string
			Bytes   int64
			TakenAt time.Time `json:"taken_at"`
		}
	}
	var copies []*copied
	dir := t.TempDir()
	for i, from := range [][]string{nil, {"--db", g.DatabasePath()}, nil} {
		have := len(l.now())
		eventually(t, "answers", func() bool { return len(l.now()) > have+50 })
		b := &copied{path: filepath.Join(dir, fmt.Sprintf("%d.db", i)), before: l.now()}
		r := cli(t, g, append([]string{"backup", b.path, "--json"}, from...)...).is(t, 0)
		if err := json.Unmarshal([]byte(r.out), &b.said); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, b)
	}
	l.end(t)
	g.Settled(t)
	for i, b := range copies {
		info, err := os.Stat(b.path)
		if err != nil || info.Mode().Perm() != 0o600 || info.Size() != b.said.Bytes || len(b.said.SHA256) != 64 || b.said.Entries != b.said.LastSeq || time.Since(b.said.TakenAt) > time.Hour {
			t.Errorf("copy %d: %v, %v, %+v", i, info.Mode(), err, b.said)
		}
		got := charges(t, b.path)
		for id := range b.before {
			if got[id] != price {
				t.Errorf("copy %d: %s was acknowledged before it began, and is charged %v", i, id, got[id])
			}
		}
		for id := range got {
			if u.asked[id] != 1 {
				t.Errorf("copy %d: %s is charged, and was asked %d times", i, id, u.asked[id])
			}
		}
		restoreAndRun(t, u, c, g, b.path, len(got))
	}
	t.Logf("%d answers, backups with %d, %d and %d entries", len(l.acked), copies[0].said.Entries, copies[1].said.Entries, copies[2].said.Entries)
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// restoreAndRun starts a gateway on a backup in a fresh directory.
func restoreAndRun(t *testing.T, u *upstream, c *caller, from *harness.Gateway, backup string, charged int) {
	t.Helper()
	to := harness.Prepare(t, harness.Options{Config: u.config()})
	cli(t, nil, "restore", backup, "--db", to.DatabasePath()).is(t, 0, "warning: there is no key pepper", "verified               yes")
	if err := to.Launch(t); err == nil || !strings.Contains(to.Log(), "put back the file "+to.DatabasePath()+".pepper") {
		t.Fatalf("without its pepper: %v", err)
	}
	pepper, err := os.ReadFile(from.DatabasePath() + ".pepper")
	if err == nil {
		err = os.WriteFile(to.DatabasePath()+".pepper", pepper, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	to.Run(t)
	there := *c
	there.g = to
	there.spent(t, charged)
	for n, stream := range []bool{false, true} {
		if a := there.ask(t, "hi", stream); !a.whole(stream) {
			t.Errorf("on the restored database: %v", a)
		}
		there.spent(t, charged+n+1)
	}
	to.Settled(t)
	if err := to.Stop(); err != nil {
		t.Error(err)
	}
}

// ballast makes a database larger than what a connection buffers.
func ballast(t testing.TB, path string, mib int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err == nil {
		_, err = db.Exec(fmt.Sprintf(`PRAGMA journal_mode = DELETE; CREATE TABLE ballast (b BLOB);
			WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO ballast SELECT randomblob(1 << 20) FROM n`, mib))
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// naming returns the path of a configuration that names a database.
func naming(t *testing.T, db string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pontage.yaml")
	text := fmt.Sprintf("server: {admin_token: admin-token-for-tests}\nstore: {url: %q}\nsites: [{hosts: [\"*\"], contract: openai}]\n", "sqlite:"+db)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newLarge starts a gateway with a large database.
func newLarge(t *testing.T, u *upstream, dir string, mib int) *harness.Gateway {
	t.Helper()
	g := harness.Prepare(t, harness.Options{Config: u.config(), Dir: dir})
	cli(t, nil, "migrate", "--config", naming(t, g.DatabasePath())).is(t, 0, "was made")
	ballast(t, g.DatabasePath(), mib)
	g.Run(t)
	return g
}

// temporary lists what is left of backups on the way, at the server and at dir.
func temporary(t testing.TB, g *harness.Gateway, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(g.DatabasePath() + ".tmp-*")
	if err != nil {
		t.Fatal(err)
	}
	rest, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range rest {
		list = append(list, filepath.Join(dir, e.Name()))
	}
	return list
}

// One backup is made at a time. A gateway that is killed meanwhile breaks
// nothing: whoever reads it notices and keeps no file, and the next process takes
// away what is left of it.
func TestABackupThatBreaksOffLeavesNothing(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := newLarge(t, u, "", 24)
	c := newCaller(t, g, 10, nil)
	if a := c.ask(t, "hi", false); !a.whole(false) {
		t.Fatal(a)
	}
	dir := t.TempDir()
	// Between them stands somebody who lets the first MiB through.
	half, on := make(chan struct{}), make(chan struct{})
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, _ := http.NewRequestWithContext(r.Context(), r.Method, g.AdminURL+r.URL.Path, nil)
		req.Header = r.Header
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		_, _ = io.CopyN(w, resp.Body, 1<<20)
		close(half)
		<-on
		_, _ = io.Copy(w, resp.Body)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(between.Close)
	result := make(chan typed, 1)
	go func() { result <- cliAt(t, between.URL, "backup", filepath.Join(dir, "b.db")) }()
	<-half
	status, body, err := g.Admin(t.Context(), "GET", "/admin/v1/backup", nil, nil)
	if err != nil || status != 409 || !strings.Contains(string(body), `"code":"conflict"`) {
		t.Errorf("a second backup: %d %s %v", status, body, err)
	}
	if left := temporary(t, g, t.TempDir()); len(left) != 1 {
		t.Errorf("at the server there is %v", left)
	}
	g.Kill()
	close(on)
	(<-result).is(t, 1, "broke off after ")
	if left := temporary(t, g, dir); len(left) != 1 { // that of the dead process
		t.Errorf("left behind: %v", left)
	}
	g.Run(t)
	if left := temporary(t, g, dir); len(left) != 0 {
		t.Errorf("after the next start: %v", left)
	}
	cli(t, g, "backup", filepath.Join(dir, "b.db")).is(t, 0, "verified    yes")
	c.spent(t, 1)
	g.Settled(t)
}

// Whoever is slow or leaves does not keep others from making a backup.
func TestACallerWhoLeavesGivesTheBackupUp(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := newLarge(t, u, "", 24)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", g.AdminURL+"/admin/v1/backup", nil)
	req.Header.Set("Authorization", "Bearer "+harness.AdminToken)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	dir := t.TempDir()
	eventually(t, "nothing is left of the copy", func() bool { return len(temporary(t, g, dir)) == 0 })
	var next typed
	eventually(t, "room for the next", func() bool { // a moment after its file has gone
		next = cli(t, g, "backup", filepath.Join(dir, "b.db"))
		return !strings.Contains(next.err, "another backup is being made")
	})
	next.is(t, 0)
}

// A backup that does not fit says so and leaves nothing, wherever the disk is
// full; and it leaves room for charges.
func TestABackupThatDoesNotFitLeavesNothing(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	small := smallDisk(t, 4)
	tight := smallDisk(t, 40)
	g := newLarge(t, u, tight, 24)
	c := newCaller(t, g, 10, nil)
	empty := t.TempDir()
	cli(t, g, "backup", filepath.Join(empty, "b.db")).is(t, 1, "there is no room for the copy beside the database", "bytes are free")
	status, body, err := g.Admin(t.Context(), "GET", "/admin/v1/backup", nil, nil)
	if err != nil || status != 507 || !strings.Contains(string(body), `"insufficient_storage"`) {
		t.Errorf("%d %s %v", status, body, err)
	}
	cli(t, g, "backup", filepath.Join(small, "b.db"), "--db", g.DatabasePath()).is(t, 1, "no space left on the disk", "are needed")
	large := newLarge(t, u, "", 24)
	cli(t, large, "backup", filepath.Join(small, "b.db")).is(t, 1, "no space left on device")
	cli(t, nil, "restore", large.DatabasePath(), "--db", filepath.Join(small, "pontage.db")).is(t, 1, "no space left on the disk")
	for _, left := range [][]string{temporary(t, g, empty), temporary(t, large, empty)} {
		if len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(small, "*b.db*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if a := c.ask(t, "hi", true); !a.whole(true) {
		t.Errorf("after the backups: %v", a)
	}
	c.spent(t, 1)
}

// A file is never replaced without --force, and a database in use not even then;
// a target in use is not restored over; what was there is kept.
func TestBackupsAndRestoresReplaceNothingByAccident(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	c := newCaller(t, g, 10, nil)
	dir := t.TempDir()
	b, missing := filepath.Join(dir, "b.db"), filepath.Join(dir, "none", "b.db")
	cli(t, g, "backup", b).is(t, 0)
	if a := c.ask(t, "hi", false); !a.whole(false) {
		t.Fatal(a)
	}
	for _, row := range []struct {
		code int
		says string
		args []string
	}{
		{1, "exists; --force replaces it", []string{"backup", b}},
		{0, "verified", []string{"backup", b, "--force", "--no-verify"}},
		{1, "a gateway has open", []string{"backup", g.DatabasePath(), "--force"}},
		{2, "is the database itself", []string{"backup", g.DatabasePath(), "--force", "--db", g.DatabasePath()}},
		{2, "is not a file", []string{"backup", dir, "--force"}},
		{1, "no such file", []string{"backup", missing}},
		{1, "no such file", []string{"backup", filepath.Join(dir, "c.db"), "--db", missing}},
		{2, "want pontage backup FILE", []string{"backup"}},
		{1, "in use by another process (process " + fmt.Sprint(g.PID()) + ")", []string{"restore", b, "--db", g.DatabasePath(), "--force"}},
		{1, "in use by another process", []string{"migrate", "--db", g.DatabasePath()}},
		{1, "no such file", []string{"restore", missing, "--db", filepath.Join(dir, "x.db")}},
		{2, "want pontage restore FILE", []string{"restore"}},
	} {
		cli(t, g, row.args...).is(t, row.code, row.says)
	}
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	cli(t, nil, "restore", b, "--db", g.DatabasePath()).is(t, 1, "--force moves it aside")
	var put struct {
		Aside    string   `json:"moved_aside"`
		Warnings []string `json:"warnings"`
		Verified bool
	}
	r := cli(t, nil, "restore", b, "--db", g.DatabasePath(), "--force", "--json").is(t, 0)
	if err := json.Unmarshal([]byte(r.out), &put); err != nil || len(put.Warnings) != 0 || !put.Verified {
		t.Errorf("%v %+v", err, put)
	}
	cli(t, nil, "verify", "--db", put.Aside).is(t, 0)
	g.Run(t)
	c.spent(t, 1) // the second backup was after the charge
	g.Settled(t)
}

// A process that has the database open all the same when another one is put in
// its place, since locks do not reach it, charges nobody any more and ends.
func TestAZombieOfTheOldDatabaseIsFenced(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	c := newCaller(t, g, 10, nil)
	b := filepath.Join(t.TempDir(), "b.db")
	cli(t, g, "backup", b).is(t, 0)
	open := c.open(t, 3)
	if err := os.Remove(g.DatabasePath() + ".lock"); err != nil {
		t.Fatal(err)
	}
	cli(t, nil, "restore", b, "--db", g.DatabasePath(), "--force").is(t, 0)
	u.release()
	if code := ended(t, g); code != 75 {
		t.Errorf("it ended with %d, want 75", code)
	}
	open.done.Wait()
	for _, a := range open.answers {
		if a.whole(true) {
			t.Errorf("an answer came to its end: %v", a)
		}
	}
	if !strings.Contains(g.Log(), "the journal belongs to another process") {
		t.Errorf("the log does not say why:\n%s", g.Log())
	}
	g.Run(t)
	c.spent(t, 0)
	g.Settled(t)
}
