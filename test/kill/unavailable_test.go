package kill

import (
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/failpoint"
)

// soon is within how much time requests must be refused when charges cannot be
// recorded: "within a second", and what a busy machine takes.
const soon = 2500 * time.Millisecond

// While charges cannot be recorded, requests are refused rather than served for
// free; and once they can, everything goes on.
func TestRequestsAreRefusedWhileChargesCannotBeRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		point string
		times int
	}{
		{failpoint.SlowFsync, 3}, // 4.5 s, in commits of 1.5 s
		{failpoint.DiskFull, 30}, // 3 s, in tries every 0.1 s
	} {
		t.Run(c.point, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, "drain: 15s")
			s.w.renew(t, s.g)
			s.life.point, s.life.times = c.point, c.times
			load := s.w.begin(s.g, 10)
			s.watch(300 * time.Millisecond)
			if err := s.arm(); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			s.wait("that it is not ready", func() bool { return s.degraded() == "ledger" })
			took := time.Since(begun)
			if took > soon {
				t.Errorf("it took %v until the process said that it is not ready", took)
			}
			refused := 0
			for s.degraded() == "ledger" {
				refused += s.unavailable()
			}
			if refused == 0 {
				t.Error("no request was refused while charges could not be recorded")
			}
			t.Logf("%s: not ready after %v, %d requests refused", c.point, took.Round(time.Millisecond), refused)
			s.wait("that it is ready again", func() bool {
				j := s.job(chat, false, nil)
				s.shift.run(j)
				f, _ := j.outcome()
				return f == acked
			})
			load.ease()
			s.nothingHeld("after all")
			s.verifyLiving()
			if err := s.g.Stop(); err != nil {
				t.Errorf("the process ended with %v, want 0", err)
			}
			load.jobs = append(load.jobs, s.shift.jobs...)
			s.examineDead(load)
			s.tell()
		})
	}
}

// unavailable makes a request while the ledger is not ready. It returns 1 if it
// was refused for that, and 0 if the ledger was ready again meanwhile.
func (s *stage) unavailable() int {
	j := s.job(chat, true, nil)
	s.shift.run(j)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fate != refused {
		return 0
	}
	if j.status != http.StatusServiceUnavailable || !strings.Contains(j.said, `"code":"ledger_unavailable"`) || j.retryAfter < 1 || j.reached {
		s.t.Errorf("job %d: %d %s, Retry-After %d, reached the provider: %t", j.n, j.status, j.said, j.retryAfter, j.reached)
	}
	return 1
}

// A process that does not know whether a commit happened, or that cannot write
// for long, ends with 75: started again it is right.
func TestAProcessThatCannotRecordForGoodEndsAndIsRightWhenStartedAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		point string
		times int
		lives time.Duration // at most
	}{
		{failpoint.CommitError, 1, 5 * time.Second},
		{failpoint.DiskFull, 100_000, 18 * time.Second},
	} {
		t.Run(c.point, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, "drain: 15s")
			s.w.renew(t, s.g)
			s.life.point, s.life.times = c.point, c.times
			load := s.w.begin(s.g, 10)
			s.watch(300 * time.Millisecond)
			_ = s.arm()
			begun := time.Now()
			err := s.exit()
			if took := time.Since(begun); took > c.lives {
				t.Errorf("the process lived on for %v", took)
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 75 {
				t.Errorf("the process ended with %v, want 75", err)
			}
			load.end()
			s.examineDead(load)
			s.g.Run(t)
			s.before = load
			if s.examineLiving() {
				j := s.job(messages, true, nil)
				s.shift.run(j)
				s.ended(acked, j)
			}
			if err := s.g.Stop(); err != nil {
				t.Errorf("the process ended with %v, want 0", err)
			}
			s.account()
			s.verifyFile(s.g.DatabasePath(), "at the end")
			s.tell()
		})
	}
}
