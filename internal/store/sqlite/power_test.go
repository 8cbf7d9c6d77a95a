//go:build linux

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/ledger"
)

// The power goes at any moment, and the disk has lost whatever was not synced,
// or any part of that, in torn sectors: no acknowledged charge or credit is lost,
// and the books balance. Checkpoints and restarts of the log are in the run.
func TestPowerLossLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	run := record(t, "")
	lost, cuts := run.cutAll(t, powerCuts)
	t.Logf("%d acknowledgements, %d syncs, %d cuts: %d lost", run.acks, run.syncs, cuts, lost)
	if run.acks != 2*powerBursts*powerCharges || run.restarts < 2 || run.backfills == 0 {
		t.Errorf("the run has not seen what it should: %+v", run)
	}
}

// With synchronous=NORMAL the same run loses some: the test can see it.
func TestPowerLossWithoutFullSyncIsNoticed(t *testing.T) {
	t.Parallel()
	run := record(t, "NORMAL")
	if lost, cuts := run.cutAll(t, 12); lost == 0 {
		t.Errorf("nothing was lost in %d cuts, with %d syncs of %d acknowledgements", cuts, run.syncs, run.acks)
	}
}

// recording is a run of a process that was watched.
type recording struct {
	level     string // of synchronous, if it was changed
	calls     []traced
	platter   *platter // as it was before the run
	acks      int
	syncs     int
	restarts  int // how often the log began anew
	backfills int // writes into the database itself
}

// record runs a process on a new database under strace.
func record(t *testing.T, level string) *recording {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is needed; make needs installs it")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), filepath.Join(dir, "pontage.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r := &recording{level: level}
	if r.platter, err = newPlatter(dir); err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(t.Context(), strace, "-f", "--seccomp-bpf", "-y", "-xx", "-s", "131072", "-o", trace,
		"-e", "trace=open,openat,openat2,creat,write,pwrite64,pwritev,pwritev2,writev,fsync,fdatasync,sync_file_range,ftruncate,fallocate,unlink,unlinkat,rename,renameat,renameat2",
		os.Args[0])
	cmd.Env = append(os.Environ(), powerDir+"="+dir, powerSync+"="+level)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if r.calls, err = readTrace(f); err != nil {
		t.Fatal(err)
	}
	for _, c := range r.calls {
		switch {
		case c.path == "stdout" && c.begins:
			r.acks++
		case (c.name == "fsync" || c.name == "fdatasync") && c.begins && r.platter.kept(c.path):
			r.syncs++
		case c.name == "pwrite64" && c.begins && strings.HasSuffix(c.path, "-wal") && c.off == 0:
			r.restarts++
		case c.name == "pwrite64" && c.begins && strings.HasSuffix(c.path, ".db"):
			r.backfills++
		}
	}
	return r
}

// cutAll cuts the power again and again, at moments that are spread over the run,
// with a sync or a checkpoint under way or not. It returns how many acknowledged
// entries were lost.
func (r *recording) cutAll(t *testing.T, most int) (lost, cuts int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	at := map[int]bool{}
	for len(at) < min(most, len(r.calls)) {
		i := rnd.IntN(len(r.calls))
		if c := r.calls[i]; rnd.IntN(3) == 0 && c.path != "stdout" && !strings.HasSuffix(c.path, ".db") {
			continue // rather at an acknowledgement, or in a checkpoint
		}
		at[i] = true
	}
	var acked []string
	for i, c := range r.calls {
		if c.path == "stdout" && c.begins {
			acked = append(acked, strings.TrimSpace(string(c.data)))
		} else if err := r.platter.see(c); err != nil {
			t.Fatal(err)
		}
		if !at[i] {
			continue
		}
		cuts++
		luck := []float64{0, 0, 0.3, 0.7, 1}[rnd.IntN(5)]
		gone, err := survives(t, r.platter.cut(rnd, luck), acked)
		if err != nil {
			t.Errorf("cut at call %d of %d, with %.0f%% of what was not synced: %v", i, len(r.calls), 100*luck, err)
		}
		if gone > 0 && r.level == "" {
			t.Errorf("cut at call %d of %d, with %.0f%% of what was not synced: %d of %d acknowledged entries are lost", i, len(r.calls), 100*luck, gone, len(acked))
		}
		lost += gone
	}
	return lost, cuts
}

// survives opens what is left of a database, and returns how many of the
// acknowledged entries are not in it.
func survives(t *testing.T, files map[string][]byte, acked []string) (lost int, err error) {
	t.Helper()
	dir := t.TempDir()
	for path, b := range files {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	db, err := Open(ctx, filepath.Join(dir, "pontage.db"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	e, err := ledger.Open(ctx, db.Journal(), ledger.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	rep, err := e.Verify(ctx)
	if err != nil || !rep.OK {
		return 0, fmt.Errorf("verify: %q, %w", rep.Differences, err)
	}
	there, err := said(ctx, db.Journal())
	if err != nil {
		return 0, err
	}
	for _, ack := range acked {
		if !there[ack] {
			lost++
		}
	}
	return lost, nil
}

// said returns what the process would have said of each entry of a journal.
func said(ctx context.Context, j ledger.Journal) (lines map[string]bool, err error) {
	snap, err := j.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	lines = map[string]bool{}
	return lines, snap.Entries(ctx, 0, func(e *ledger.Entry) error {
		if e.Kind == ledger.KindUsage {
			lines[fmt.Sprintf("ack charge %x %d", e.Request, e.Amount)] = true
		} else {
			lines[fmt.Sprintf("ack credit %d %s %d", e.Account, e.Reference, e.Amount)] = true
		}
		return nil
	})
}
