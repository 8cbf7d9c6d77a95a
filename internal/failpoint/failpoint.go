// Package failpoint makes a process fail on demand, at places that are hard to
// reach from outside: in the middle of a commit, between a durable charge and
// the last bytes of an answer. A nil [*Set] is off and costs one comparison.
//
// The points are a closed list ([Points]); a point that is armed fires as often
// as it was armed for, and then is off again.
package failpoint

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The points.
const (
	HandlerPanic         = "handler_panic"
	CommitError          = "commit_error"
	DiskFull             = "disk_full"
	SlowFsync            = "slow_fsync"
	SlowDisk             = "slow_disk"
	CrashBeforeBegin     = "crash_before_begin"
	CrashAfterInsert     = "crash_after_insert"
	CrashBeforeCommit    = "crash_before_commit"
	CrashAfterCommit     = "crash_after_commit"
	CrashAfterWake       = "crash_after_wake"
	CrashMidFold         = "crash_mid_fold"
	CrashMidCheckpoint   = "crash_mid_checkpoint"
	CrashMidRestart      = "crash_mid_restart"
	CrashMidRetention    = "crash_mid_retention"
	CrashMidRecovery     = "crash_mid_recovery"
	CrashBeforeReplay    = "crash_before_replay"
	CrashBeforeLastBytes = "crash_before_last_bytes"
	CrashJobDrafted      = "crash_job_drafted"
	CrashJobHeld         = "crash_job_held"
	CrashMidReload       = "crash_mid_reload"
	CrashMidDrain        = "crash_mid_drain"
	CrashBeforeClose     = "crash_before_close"
)

// SlowFsyncDelay is how long one hit of slow_fsync takes: longer than the
// second after which the ledger stops admitting requests.
const SlowFsyncDelay = 1500 * time.Millisecond

// SlowDiskDelay is how long one hit of slow_disk takes: what a sync takes on a
// disk that is far away.
const SlowDiskDelay = 4 * time.Millisecond

// ErrInjected is what a point of the error kind returns, wrapped with its name.
var ErrInjected = errors.New("injected failure")

// delays are how long points of the sleep kind take.
var delays = map[string]time.Duration{SlowFsync: SlowFsyncDelay, SlowDisk: SlowDiskDelay}

// Kind is what a point does when it fires.
type Kind string

// The kinds.
const (
	Error Kind = "error" // Hit returns an error
	Panic Kind = "panic" // Hit panics
	Sleep Kind = "sleep" // Hit takes a while
	Crash Kind = "crash" // the process is gone, as with kill -9
)

// Point describes one point.
type Point struct {
	Name string
	Kind Kind
	Doc  string
}

// All returns every point with what it does, in the order of a request's life.
func All() []Point {
	return []Point{
		{HandlerPanic, Panic, "a handler panics before it has answered"},
		{CrashMidRecovery, Crash, "the process dies while it folds the tail of the journal at start"},
		{CrashBeforeBegin, Crash, "the process dies before a batch of the journal begins"},
		{DiskFull, Error, "the disk is full while a batch is written, before its commit"},
		{CrashAfterInsert, Crash, "the process dies after the entries of a batch were inserted"},
		{CrashMidFold, Crash, "the process dies between two rows of a fold"},
		{CrashMidRetention, Crash, "the process dies between writing the statements of old usage and deleting it"},
		{CrashBeforeCommit, Crash, "the process dies just before COMMIT"},
		{SlowFsync, Sleep, "a commit takes 1.5 s"},
		{SlowDisk, Sleep, "a commit takes 4 ms longer"},
		{CommitError, Error, "COMMIT reports an error, so its outcome is unknown"},
		{CrashAfterCommit, Crash, "the process dies after COMMIT, before anybody is told"},
		{CrashAfterWake, Crash, "the process dies when those who wait for a batch have just been told"},
		{CrashMidCheckpoint, Crash, "the process dies while the log is moved into the database"},
		{CrashMidRestart, Crash, "the process dies while the writer resets the log, which it does then however short that is"},
		{CrashBeforeLastBytes, Crash, "the process dies between the durable charge and the last bytes of the answer"},
		{CrashBeforeReplay, Crash, "the process dies before it gives an idempotency key its answer again"},
		{CrashJobDrafted, Crash, "the process dies after a job was stored, before its money is held"},
		{CrashJobHeld, Crash, "the process dies after the money of a job is held, before the job is acknowledged"},
		{CrashMidReload, Crash, "the process dies when half of a new configuration is in force"},
		{CrashMidDrain, Crash, "the process dies when it has just begun to drain"},
		{CrashBeforeClose, Crash, "the process dies after it has drained, before it closes the ledger"},
	}
}

// Points returns the names of all points.
func Points() []string {
	var names []string
	for _, p := range All() {
		names = append(names, p.Name)
	}
	return names
}

// Set is the points that are armed. It is used by many goroutines at once. A nil
// Set never fires and cannot be armed.
type Set struct {
	armed atomic.Int64 // how many points have hits left

	mu   sync.Mutex
	left map[string]int
}

// New returns a set with nothing armed.
func New() *Set { return &Set{left: map[string]int{}} }

// FromEnv arms a new set as text says: "point:times,point:times"; a point
// without a number is armed once. Empty text gives a nil Set.
func FromEnv(text string) (*Set, error) {
	if text == "" {
		return nil, nil
	}
	s := New()
	for item := range strings.SplitSeq(text, ",") {
		name, count, counted := strings.Cut(item, ":")
		times := 1
		if counted {
			n, err := strconv.Atoi(count)
			if err != nil {
				return nil, fmt.Errorf("failpoint %q: times: %q is not a number", name, count)
			}
			times = n
		}
		if err := s.Arm(name, times); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Arm makes the point fire at its next times hits. It replaces what was armed
// before; 0 disarms. A point that does not exist, and a negative number, are
// errors.
func (s *Set) Arm(point string, times int) error {
	if !slices.Contains(Points(), point) {
		return fmt.Errorf("failpoint %q: no such point (%s)", point, strings.Join(Points(), ", "))
	}
	if times < 0 || times > math.MaxInt32 {
		return fmt.Errorf("failpoint %q: times: %d is not between 0 and %d", point, times, math.MaxInt32)
	}
	if s == nil {
		return errors.New("failpoints are off in this process")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left[point] = times
	s.count()
	return nil
}

// count keeps the fast path of Hit right. The caller holds mu.
func (s *Set) count() {
	n := int64(0)
	for _, times := range s.left {
		if times > 0 {
			n++
		}
	}
	s.armed.Store(n)
}

// Left returns how many hits the point is still armed for.
func (s *Set) Left(point string) int {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left[point]
}

// Hit passes the point. If it is armed it fires: it returns an error that wraps
// [ErrInjected], panics, takes a while, or ends the process, by the
// point's kind. Otherwise it returns nil.
func (s *Set) Hit(point string) error {
	if s == nil || s.armed.Load() == 0 {
		return nil
	}
	if !s.use(point) {
		return nil
	}
	switch kind(point) {
	case Error:
		return fmt.Errorf("%w: %s", ErrInjected, point)
	case Panic:
		panic("failpoint: " + point)
	case Sleep:
		time.Sleep(delays[point])
	case Crash:
		die()
	}
	return nil
}

func (s *Set) use(point string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left[point] == 0 {
		return false
	}
	s.left[point]--
	s.count()
	return true
}

func kind(point string) Kind {
	for _, p := range All() {
		if p.Name == point {
			return p.Kind
		}
	}
	return ""
}
