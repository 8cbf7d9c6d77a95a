//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pins are the processors that processes are held to.
type pins struct {
	measured, other int
	none            string // why nothing is pinned; empty: it is
}

// pin holds this process to the second of the processors that it may use, by
// starting it anew, and returns the first for whoever is measured. The calling
// goroutine keeps its thread from here on.
func pin() (pins, error) {
	runtime.LockOSThread()
	const marked = "PONTAGE_BENCH_PINNED"
	if v := os.Getenv(marked); v != "" {
		var p pins
		_, err := fmt.Sscanf(v, "%d,%d", &p.measured, &p.other)
		return p, err
	}
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return pins{none: err.Error()}, nil
	}
	if allowed.Count() < 2 {
		return pins{none: "there is only one processor"}, nil
	}
	var p pins
	for p.measured = 0; !allowed.IsSet(p.measured); p.measured++ {
	}
	for p.other = p.measured + 1; !allowed.IsSet(p.other); p.other++ {
	}
	if err := holdThread(p.other); err != nil {
		return pins{none: err.Error()}, nil
	}
	self, err := os.Executable()
	if err != nil {
		return pins{}, err
	}
	return pins{}, syscall.Exec(self, os.Args, append(os.Environ(), fmt.Sprintf("%s=%d,%d", marked, p.measured, p.other)))
}

// holdThread holds the calling thread, and the processes it starts, to one
// processor.
func holdThread(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}

// on runs start, which starts a process, so that it is held to a processor. It
// is called on the goroutine that called pin.
func (p pins) on(cpu int, start func() error) error {
	if p.none != "" {
		return start()
	}
	if err := holdThread(cpu); err != nil {
		return err
	}
	return errors.Join(start(), holdThread(p.other))
}

// hz is USER_HZ, in which the kernel counts processor time.
const hz = 100

// ticks turns a field of /proc into processor time.
func ticks(s string) time.Duration {
	n, _ := strconv.ParseInt(s, 10, 64)
	return time.Duration(n) * (time.Second / hz)
}

// busy returns the processor time that the machine has spent on processes.
func busy() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(line) // cpu user nice system idle …
	if len(f) < 4 {
		return 0
	}
	return ticks(f[1]) + ticks(f[2]) + ticks(f[3])
}

// syncTimes returns the median and the 99th percentile of appending 4 KB to a
// file in dir and making that durable.
func syncTimes(dir string) (p50, p99 time.Duration, err error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096)
	took := make([]time.Duration, 300)
	for i := range took {
		at := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, 0, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, 0, err
		}
		took[i] = time.Since(at)
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100], nil
}

// processor returns the name of the machine's processor.
func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(strings.TrimSpace(name), ": ")
		}
	}
	return runtime.GOARCH
}
