package scale

import (
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// size is how many entries the journal is to have.
func size(t testing.TB) int64 {
	t.Helper()
	s := os.Getenv("PONTAGE_SCALE_ENTRIES")
	if s == "" {
		return 20_000
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1000 {
		t.Fatalf("PONTAGE_SCALE_ENTRIES: %q is not a number from 1000", s)
	}
	return n
}

// A journal of any size is verified, and what it takes is reported. The file is
// read as an operator would have it read, by a process of its own.
func TestVerifyAtScale(t *testing.T) {
	entries := size(t)
	began := time.Now()
	path := write(t, entries)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d entries in %d MB were written in %v", entries, info.Size()>>20, time.Since(began).Round(time.Second))

	cmd := exec.Command(harness.Binary(t), "verify", "--json", "--db", path)
	cmd.Stderr = os.Stderr
	began = time.Now()
	out, err := cmd.Output()
	took := time.Since(began)
	if err != nil {
		t.Fatalf("%v\n%.2000s", err, out)
	}
	var v struct {
		OK      bool  `json:"ok"`
		Entries int64 `json:"entries"`
		Digests int64 `json:"digests"`
	}
	if err := json.Unmarshal(out, &v); err != nil || !v.OK || v.Entries < entries || v.Digests != 1 {
		t.Fatalf("%v: %.2000s", err, out)
	}
	most := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10 // Linux: KiB
	t.Logf("verified %d entries in %v, %v of processor time, %d MB at most", v.Entries, took.Round(10*time.Millisecond),
		(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Round(10*time.Millisecond), most)
}
