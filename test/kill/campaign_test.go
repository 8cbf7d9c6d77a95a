package kill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/test/harness"
)

// life is how one life of the process ends.
type life struct {
	name  string
	point string // a point that is armed
	times int
	early bool // armed before the process starts
	shape func(*campaign, *shift)
}

// lives are the ways to end, as often as they come in one round of all.
func lives() []life {
	all := []life{
		{name: "kill"},
		{name: "kill"},
		{name: "kill"},
		{name: "slow disk, then kill", point: failpoint.SlowFsync, times: 2, shape: (*campaign).slow},
		{name: "slow disk, then kill", point: failpoint.SlowFsync, times: 1, shape: (*campaign).slow},
		{name: "full disk, then kill", point: failpoint.DiskFull, times: 5, shape: (*campaign).slow},
		{name: "quiet, then kill", shape: (*campaign).quiet},
		{name: "quiet, then kill", shape: (*campaign).quiet},
		{name: "quiet, then kill", shape: (*campaign).quiet},
		{name: bySIGTERM, shape: (*campaign).stop},
		{name: "an unknown commit", point: failpoint.CommitError, times: 1, shape: (*campaign).point},
	}
	for _, point := range ofMoney() {
		if point == failpoint.CrashMidRecovery { // it dies again while it recovers from the life before
			all = append(all, life{name: point}, life{name: point})
			continue
		}
		all = append(all, life{name: point, point: point, times: 1, shape: (*campaign).point})
		if _, asked := signals[point]; !asked {
			all = append(all, life{name: point + " from the start", point: point, times: 1, early: true, shape: (*campaign).point})
		}
	}
	return all
}

// killsPerWorld bounds how large a database grows.
const killsPerWorld = 60

// campaign kills a gateway again and again.
type campaign struct {
	t      testing.TB
	env    []string // of the process
	mutant bool     // it has a defect
	rng    *rand.Rand
	until  func(*findings) bool // it is enough
	bulk   int                  // percent of the jobs that are small and quick
	floor  int64                // answers that a life is to give before it ends; 0: as many as it can
	kills  int                  // in one world; 0: killsPerWorld
	after  func(*campaign)      // called after each life; nil: nothing is
	queue  []life               // still to be lived, of this round

	f      *findings
	g      *harness.Gateway
	w      *world
	life   life
	ready  []time.Duration // from the start of a process to its readiness
	ended  bool            // the process of this life has ended
	before *shift          // of the life before
}

// run kills until it is enough, or something was found.
func (c *campaign) run() {
	for !c.f.any() && !c.until(c.f) {
		c.inhabit()
	}
}

// inhabit runs the lives of one world.
func (c *campaign) inhabit() {
	up := newUpstream(c.t)
	c.w = &world{up: up, rng: c.rng, book: newBook(), bulk: c.bulk}
	dir := c.t.TempDir()
	defer func() { _ = os.RemoveAll(dir) }() // a long run has many worlds
	c.g = harness.Prepare(c.t, harness.Options{
		Config: up.providers(), Server: "drain: 20s", Env: c.env, Dir: dir,
		Args: []string{"serve", "--test", "--log-level", "error", "--config", filepath.Join(dir, "pontage.yaml")},
	})
	if err := c.g.Launch(c.t); err != nil {
		c.f.add(trouble, "the first start: %v", err)
		return
	}
	c.w.settle(c.t, c.g)
	c.before = nil
	c.life = life{name: "kill"}
	c.live(true)
	most := cmp.Or(c.kills, killsPerWorld)
	for before := c.f.deaths(); !c.f.any() && !c.until(c.f) && c.f.deaths()-before < most; {
		if len(c.queue) == 0 {
			c.queue = lives()
			c.rng.Shuffle(len(c.queue), func(i, j int) { c.queue[i], c.queue[j] = c.queue[j], c.queue[i] })
		}
		c.life, c.queue = c.queue[0], c.queue[1:]
		c.live(false)
		if c.after != nil {
			c.after(c)
		}
	}
	c.farewell()
}

// live is one life: start, look, work, end, look.
func (c *campaign) live(running bool) {
	c.ended = false
	if !running && !c.start() {
		return
	}
	if c.ended {
		c.before = nil
		c.examineDead(&shift{})
		return
	}
	c.w.ahead = 0
	if !c.life.early { // it may die of any look
		if !c.examineLiving() {
			return
		}
		c.w.renew(c.t, c.g)
	}
	tight := 25
	if c.life.point == failpoint.SlowFsync {
		tight = 60
	}
	s := c.w.begin(c.g, tight)
	c.busy(s)
	shape := c.life.shape
	if shape == nil {
		shape = (*campaign).kill
	}
	shape(c, s)
	if !c.ended {
		c.g.Kill()
		c.f.died(byKill)
	}
	s.end()
	c.examineDead(s)
	c.before = s
}

// start starts the process on what the last one left.
func (c *campaign) start() bool {
	if c.life.name == failpoint.CrashMidRecovery {
		err := c.g.Launch(c.t, "PONTAGE_FAILPOINTS="+failpoint.CrashMidRecovery)
		if !killed(err) {
			c.f.add(trouble, "it was to die while it recovers: %v", err)
			return false
		}
		c.f.died(failpoint.CrashMidRecovery)
	}
	var env []string
	if c.life.early {
		env = append(env, fmt.Sprintf("PONTAGE_FAILPOINTS=%s:%d", c.life.point, c.life.times))
	}
	begun := time.Now()
	err := c.g.Launch(c.t, env...)
	if c.life.early && killed(err) { // there was something to write at once
		c.f.died(c.life.point)
		c.ended = true
		return true
	}
	if err != nil {
		c.f.add(trouble, "start after %q: %v", c.life.name, err)
		return false
	}
	c.ready = append(c.ready, time.Since(begun))
	return true
}

// killed reports that a process ended by SIGKILL, its own or another's.
func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// watch lets the process work for a while. It reports false if it has ended by
// itself, which it must not.
func (c *campaign) watch(d time.Duration) bool {
	select {
	case err := <-c.g.Gone():
		c.gone()
		c.f.add(trouble, "it ended by itself in %q: %v\n%s", c.life.name, err, lastLines(c.g.Log()))
		return false
	case <-time.After(d):
		return true
	}
}

func (c *campaign) gone() {
	c.g.Reaped()
	c.ended = true
}

// busy waits until a life of a long run has given answers enough, or is slow.
func (c *campaign) busy(s *shift) {
	if c.floor == 0 || c.life.early {
		return
	}
	want := c.floor/2 + c.rng.Int64N(c.floor)
	for begun := time.Now(); s.acked.Load() < want && time.Since(begun) < 8*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
}

// some is a while, at least 150 ms.
func (c *campaign) some(most time.Duration) time.Duration {
	if c.floor > 0 {
		most /= 4
	}
	return 150*time.Millisecond + time.Duration(c.rng.Int64N(int64(most)))
}

// kill kills at any moment.
func (c *campaign) kill(*shift) { c.watch(c.some(1500 * time.Millisecond)) }

// arm arms the life's point in the running process.
func (c *campaign) arm() error {
	status, b, err := c.g.Admin(context.Background(), http.MethodPost, "/admin/v1/test/fault", map[string]any{"point": c.life.point, "times": c.life.times}, nil)
	if err == nil && status != http.StatusOK {
		c.f.add(trouble, "arm %s: %d %s", c.life.point, status, b)
	}
	return err
}

// slow makes the disk slow or full, and kills while it is, or a little later.
func (c *campaign) slow(*shift) {
	if !c.watch(c.some(500 * time.Millisecond)) {
		return
	}
	if err := c.arm(); err != nil {
		c.f.add(trouble, "arm %s: %v", c.life.point, err)
	}
	c.watch(c.some(2 * time.Second))
}

// point arms a point at which the process ends by itself.
func (c *campaign) point(*shift) {
	if !c.life.early {
		if !c.watch(c.some(700 * time.Millisecond)) {
			return
		}
		err := c.arm() // its answer may be lost with the process
		if s, asked := signals[c.life.point]; asked && err == nil {
			err = c.g.Signal(s)
			if err != nil {
				c.f.add(trouble, "%s: %v", s, err)
			}
		}
	}
	select {
	case err := <-c.g.Gone():
		c.gone()
		var exit *exec.ExitError
		switch {
		case c.life.point != failpoint.CommitError && killed(err):
			c.f.died(c.life.point)
		case c.life.point == failpoint.CommitError && errors.As(err, &exit) && exit.ExitCode() == 75:
			c.f.ends++
		default:
			c.f.add(trouble, "%s: it ended with %v\n%s", c.life.name, err, lastLines(c.g.Log()))
		}
	case <-time.After(30 * time.Second):
		c.f.add(trouble, "%s: it lives on", c.life.name)
	}
}

// stop asks the process to go, which it does after its work is done.
func (c *campaign) stop(s *shift) {
	if !c.watch(c.some(500 * time.Millisecond)) {
		return
	}
	err := c.g.Stop()
	c.ended = true
	c.f.ends++
	s.end()
	if err != nil {
		c.f.add(trouble, "SIGTERM: it ended with %v", err)
	}
	c.verifyFile(c.g.DatabasePath(), "after SIGTERM")
	if log, err := os.Stat(c.g.DatabasePath() + "-wal"); err == nil && log.Size() > 0 {
		c.f.add(wrong, "after SIGTERM there are %d bytes that are not in the database itself", log.Size())
	}
}

// quiet ends all work, looks whether anything is held, and lets a request cross
// midnight, before the kill.
func (c *campaign) quiet(s *shift) {
	if !c.watch(c.some(500 * time.Millisecond)) {
		return
	}
	s.ease()
	if c.nothingHeld("with nothing in flight") {
		c.midnight(s)
	}
	c.verifyLiving()
}

// farewell ends the last process of a world in peace, and reads its database.
func (c *campaign) farewell() {
	if c.f.any() {
		c.evidence()
		return
	}
	c.life = life{name: "the last"}
	if !c.start() || !c.examineLiving() {
		return
	}
	if err := c.g.Stop(); err != nil {
		c.f.add(trouble, "SIGTERM: it ended with %v", err)
	}
	c.verifyFile(c.g.DatabasePath(), "at the end")
	c.f.entries += len(c.w.book.charges)
	c.f.bill.balance(c.f)
}

// evidence keeps the database and the log for whoever looks into a finding.
func (c *campaign) evidence() {
	if c.mutant {
		return // that was to be
	}
	kept := filepath.Join(harness.Root(c.t), "build", "evidence")
	err := os.MkdirAll(kept, 0o755)
	if err == nil {
		kept, err = os.MkdirTemp(kept, "kill-")
	}
	if err == nil {
		_, err = copyDatabase(c.g.DatabasePath(), kept)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(kept, "found.txt"), []byte(strings.Join(c.f.said, "\n")+"\n\n"+c.g.Log()), 0o644)
	}
	c.t.Logf("the database and the log are kept in %s (%v)", kept, err)
}

func lastLines(log string) string {
	const most = 1500
	return log[max(0, len(log)-most):]
}

// verifyFile runs the product's own verification on a closed database.
func (c *campaign) verifyFile(path, when string) {
	out, err := exec.Command(harness.Binary(c.t), "verify", "--db", path).CombinedOutput()
	if err != nil {
		c.f.add(trouble, "pontage verify %s, %s: %v\n%s", filepath.Base(path), when, err, out)
	}
}

// median and the most of the times to readiness.
func (c *campaign) readiness() (median, most time.Duration) {
	if len(c.ready) == 0 {
		return 0, 0
	}
	all := slices.Sorted(slices.Values(c.ready))
	return all[len(all)/2], all[len(all)-1]
}
