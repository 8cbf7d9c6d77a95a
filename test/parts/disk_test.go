package parts

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/test/harness"
)

// rush is callers who come all the time, whatever becomes of those before.
type rush struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	whole   int
	refused int
	broken  []answer // neither
}

// hurry lets a caller come every few milliseconds.
func hurry(t testing.TB, c *caller) *rush {
	ctx, stop := context.WithCancel(t.Context())
	r := &rush{stop: stop}
	r.done.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for stream := false; ; stream = !stream {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				r.done.Go(func() { r.note(ask(context.WithoutCancel(ctx), c.g, c.key, "hi", stream, nil), stream) })
			}
		}
	})
	return r
}

func (r *rush) note(a answer, stream bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case a.whole(stream):
		r.whole++
	case a.refusal():
		r.refused++
	default:
		r.broken = append(r.broken, a)
	}
}

func (r *rush) refusals() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// end stops the callers and waits for their answers.
func (r *rush) end() {
	r.stop()
	r.done.Wait()
}

// A disk that is full stops charges, and so requests: they are refused and free.
// What runs goes on. As soon as there is room again everything does, and nobody
// has paid twice.
func TestAFullDiskRefusesAndHealsByItself(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config(), Dir: smallDisk(t, 32)})
	c := newCaller(t, g, 100, nil)
	running := c.open(t, 5)
	free := fill(t, g.Dir)
	r := hurry(t, c) // charges go on for as long as the log has room that it had before
	var said probe
	eventually(t, "refusals", func() bool {
		if p := ready(t, g); p.status == 503 {
			said = p
		}
		return r.refusals() > 50
	})
	if !said.says("ledger: the disk is full") && !said.says("ledger: the last commit has taken") {
		t.Errorf("/readyz said %+v", said)
	}
	u.release() // the streams come to their end, and their charges wait
	free()
	eventually(t, "that it is ready again", func() bool { return ready(t, g).status == 200 })
	r.end()
	running.done.Wait()
	for _, a := range append(running.answers, r.broken...) {
		if !a.whole(true) {
			t.Errorf("neither served nor refused: %v", a)
		}
	}
	if got := u.reached(); got != r.whole+5 {
		t.Errorf("%d requests came to the provider, and %d were served", got, r.whole+5)
	}
	t.Logf("%d served, %d refused", r.whole, r.refused)
	c.spent(t, r.whole+5)
	if a := c.ask(t, "hi", false); !a.whole(false) {
		t.Errorf("afterwards: %v", a)
	}
	g.Settled(t)
	if strings.Contains(g.Log(), "the ledger stopped") {
		t.Error("the process ended meanwhile")
	}
}

// A disk that stays full ends the process with 75 after ten seconds; no
// database is made on a full disk; and it is right when there is room.
func TestADiskThatStaysFullEndsTheProcess(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config(), Dir: smallDisk(t, 32)})
	c := newCaller(t, g, 100, nil)
	free := fill(t, g.Dir)
	r := hurry(t, c)
	if code := ended(t, g); code != 75 {
		t.Errorf("it ended with %d, want 75", code)
	}
	r.end()
	if r.refused == 0 {
		t.Error("no request was refused")
	}
	cli(t, nil, "migrate", "--config", naming(t, filepath.Join(g.Dir, "new.db"))).is(t, 1, "new.db", "no space left")
	if left, err := filepath.Glob(filepath.Join(g.Dir, "new.db*")); err != nil || len(left) != 1 { // its lock
		t.Errorf("left behind: %v, %v", left, err)
	}
	free()
	g.Run(t)
	c.spent(t, r.whole)
	if a := c.ask(t, "hi", true); !a.whole(true) {
		t.Errorf("afterwards: %v", a)
	}
	c.spent(t, r.whole+1)
	g.Settled(t)
}

// A disk that becomes read-only ends the process at the next charge, which
// nobody gets; it says why, and does not start on it.
func TestAReadOnlyDiskEndsTheProcess(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config(), Dir: smallDisk(t, 32)})
	c := newCaller(t, g, 10, nil)
	if a := c.ask(t, "hi", false); !a.whole(false) {
		t.Fatal(a)
	}
	// The process has files open for writing, so that the disk cannot be remounted
	// under it: no file may grow instead, as on a disk that goes away.
	running := c.open(t, 2)
	if err := unix.Prlimit(g.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{}, nil); err != nil {
		t.Fatal(err)
	}
	u.release()
	code := ended(t, g)
	running.done.Wait()
	for _, a := range running.answers {
		if a.whole(true) {
			t.Errorf("an answer came to its end without a charge: %v", a)
		}
	}
	if code != 75 {
		t.Errorf("it ended with %d, want 75", code)
	}
	if !strings.Contains(g.Log(), "the ledger stopped") {
		t.Errorf("it does not say why:\n%s", g.Log())
	}
	if err := syscall.Mount("", g.Dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	cli(t, nil, "serve", "--config", g.ConfigPath()).is(t, 1, g.DatabasePath(), "read-only file system")
	if err := syscall.Mount("", g.Dir, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	g.Run(t)
	c.spent(t, 1)
	g.Settled(t)
}

// An error of COMMIT ends the process with 75; started again it knows what was
// charged, and nobody is charged twice: not with a key, whoever asks again.
func TestAnErrorAtCommitChargesNobodyTwice(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	c := newCaller(t, g, 10, nil)
	running := c.open(t, 8)
	arm(t, g, failpoint.CommitError, 1)
	u.release()
	if code := ended(t, g); code != 75 {
		t.Errorf("it ended with %d, want 75", code)
	}
	running.done.Wait()
	g.Run(t)
	// The point rolls back, so that what was told nobody is not there either.
	paid := 0
	for _, a := range running.answers {
		if a.whole(true) {
			paid++
		}
	}
	if paid == len(running.answers) {
		t.Error("every answer came to its end, although a commit failed")
	}
	c.spent(t, paid)
	for range 8 {
		if a := c.ask(t, "hi", true); !a.whole(true) {
			t.Errorf("afterwards: %v", a)
		}
		paid++
	}
	c.spent(t, paid)
	g.Settled(t)
}

// A disk whose syncs take milliseconds makes batches larger, and refuses nobody.
func TestASlowDiskMakesBatchesAndRefusesNobody(t *testing.T) {
	t.Parallel()
	const callers, each = 64, 25
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	c := newCaller(t, g, 100, nil)
	arm(t, g, failpoint.SlowDisk, 1_000_000)
	before := metric(t, g, "pontage_ledger_commits_total")
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range each {
				if a := c.ask(t, "hi", true); !a.whole(true) {
					t.Errorf("on a slow disk: %v", a)
					return
				}
			}
		})
	}
	all.Wait()
	commits := metric(t, g, "pontage_ledger_commits_total") - before
	t.Logf("%d charges in %v commits", callers*each, commits)
	if commits > callers*each/4 {
		t.Errorf("%d charges took %v commits of 4 ms", callers*each, commits)
	}
	c.spent(t, callers*each)
	g.Settled(t)
}

// Commits that hang stop admission within a second: what comes more than a second
// after the oldest charge began to wait is refused and does not reach the provider.
func TestAdmissionStopsWhenCommitsHang(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	c := newCaller(t, g, 100, nil)
	arm(t, g, failpoint.SlowFsync, 3)
	r := hurry(t, c)
	var said probe
	eventually(t, "refusals", func() bool {
		if p := ready(t, g); p.status == 503 {
			said = p
		}
		return r.refusals() > 20
	})
	if !said.says("ledger: the last commit has taken ") {
		t.Errorf("/readyz said %+v", said)
	}
	eventually(t, "that it is ready again", func() bool { return ready(t, g).status == 200 })
	r.end()
	for _, a := range r.broken {
		t.Errorf("neither served nor refused: %v", a)
	}
	if got := u.reached(); got != r.whole {
		t.Errorf("%d requests came to the provider, and %d were served", got, r.whole)
	}
	t.Logf("%d served, %d refused", r.whole, r.refused)
	c.spent(t, r.whole)
	g.Settled(t)
}
