package kill

import (
	"slices"
	"syscall"
	"testing"

	"github.com/pontage/pontage/internal/failpoint"
)

// signals are the points that are reached when the process is asked for
// something, and how it is asked.
var signals = map[string]syscall.Signal{
	failpoint.CrashMidReload:   syscall.SIGHUP,
	failpoint.CrashMidDrain:    syscall.SIGTERM,
	failpoint.CrashBeforeClose: syscall.SIGTERM,
}

// onlyKeys are the points that only callers with idempotency keys, and jobs,
// come to.
var onlyKeys = []string{failpoint.CrashBeforeReplay, failpoint.CrashJobDrafted, failpoint.CrashJobHeld}

// elsewhere are the points that take more than a campaign has: entries that are
// weeks old. TestAKillWhileUsageIsReplacedLosesNothing of the ledger dies there.
var elsewhere = []string{failpoint.CrashMidRetention}

// crashPoints are all other points at which a process dies.
func crashPoints() []string {
	var names []string
	for _, p := range failpoint.All() {
		if p.Kind == failpoint.Crash && !slices.Contains(elsewhere, p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}

// ofMoney are the points at which the process dies in the campaign of money. In
// that of keys it dies at every one.
func ofMoney() []string {
	return slices.DeleteFunc(crashPoints(), func(name string) bool { return slices.Contains(onlyKeys, name) })
}

// reached fails the test for each of the points at which the process never died,
// unless something was found, which ended the run before its time.
func (f *findings) reached(t testing.TB, points []string) {
	t.Helper()
	if f.any() {
		return
	}
	for _, p := range points {
		if f.ways[p] == 0 {
			t.Errorf("the process never died at %s", p)
		}
	}
}

// oneRound is how often the process dies until it has lived every life once.
func oneRound() int {
	n := 1 // the first life of the world
	for _, l := range lives() {
		switch {
		case l.point == failpoint.CommitError || l.name == bySIGTERM:
		case l.name == failpoint.CrashMidRecovery:
			n += 2 // and then by kill -9
		default:
			n++
		}
	}
	return n
}
