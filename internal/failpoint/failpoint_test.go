package failpoint

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPointFiresAsOftenAsItWasArmedFor(t *testing.T) {
	t.Parallel()
	s := New()
	if err := s.Hit(CommitError); err != nil {
		t.Fatalf("unarmed: Hit = %v", err)
	}
	if err := s.Arm(CommitError, 2); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false} {
		if err := s.Hit(CommitError); errors.Is(err, ErrInjected) != want {
			t.Errorf("hit %d = %v, want an error: %t", i, err, want)
		}
	}
	if err := s.Hit(DiskFull); err != nil {
		t.Errorf("another point: Hit = %v", err)
	}
}

func TestManyGoroutinesShareTheHits(t *testing.T) {
	t.Parallel()
	s := New()
	if err := s.Arm(CommitError, 100); err != nil {
		t.Fatal(err)
	}
	var fired atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 100 {
				if s.Hit(CommitError) != nil {
					fired.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if fired.Load() != 100 || s.Left(CommitError) != 0 {
		t.Errorf("fired %d times, %d left; want 100 and 0", fired.Load(), s.Left(CommitError))
	}
}

func TestANilSetIsOff(t *testing.T) {
	t.Parallel()
	var s *Set
	if err := s.Hit(CrashBeforeCommit); err != nil {
		t.Errorf("Hit = %v", err)
	}
	if err := s.Arm(CommitError, 1); err == nil {
		t.Error("Arm of a nil set: want an error")
	}
}

func TestPanicAndSleepPoints(t *testing.T) {
	t.Parallel()
	s := New()
	_ = s.Arm(HandlerPanic, 1)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("handler_panic: no panic")
			}
		}()
		_ = s.Hit(HandlerPanic)
	}()
	synctest.Test(t, func(t *testing.T) {
		_ = s.Arm(SlowFsync, 1)
		before := time.Now()
		_ = s.Hit(SlowFsync)
		if took := time.Since(before); took != SlowFsyncDelay {
			t.Errorf("slow_fsync took %v", took)
		}
	})
}

func TestFromEnv(t *testing.T) {
	t.Parallel()
	s, err := FromEnv("commit_error:3,slow_fsync")
	if err != nil || s.Left(CommitError) != 3 || s.Left(SlowFsync) != 1 {
		t.Errorf("FromEnv = %v, %v", s, err)
	}
	if s, err := FromEnv(""); s != nil || err != nil {
		t.Errorf("FromEnv of nothing = %v, %v; want nil", s, err)
	}
	for _, bad := range []string{"nothing", "commit_error:x", "commit_error:-1", ",", "commit_error:1,"} {
		if _, err := FromEnv(bad); err == nil {
			t.Errorf("FromEnv(%q): want an error", bad)
		}
	}
}

func TestEveryPointHasADocAndAKind(t *testing.T) {
	t.Parallel()
	for _, p := range All() {
		if p.Doc == "" || p.Kind == "" {
			t.Errorf("point %q: %+v", p.Name, p)
		}
		if strings.HasPrefix(p.Name, "crash_") != (p.Kind == Crash) {
			t.Errorf("point %q is of kind %s", p.Name, p.Kind)
		}
	}
}

func TestACrashPointEndsTheProcess(t *testing.T) {
	t.Parallel()
	if os.Getenv("FAILPOINT_CHILD") != "" {
		s, _ := FromEnv("crash_before_commit")
		defer os.Exit(0) // must not run
		_ = s.Hit(CrashBeforeCommit)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestACrashPointEndsTheProcess$")
	cmd.Env = append(os.Environ(), "FAILPOINT_CHILD=1")
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() == 0 {
		t.Errorf("child ended with %v, want a kill", err)
	}
	if s := exit.String(); !strings.Contains(s, "killed") {
		t.Errorf("child: %s, want killed", s)
	}
}
