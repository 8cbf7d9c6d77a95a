package parts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// A process that is stopped for longer than every bound of the ledger, with
// streams open and a charge on its way, goes on where it was: nobody is charged
// twice, whoever came to the end is charged, nothing is stuck, and it is ready
// at once.
func TestAProcessThatIsStoppedGoesOn(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config()})
	c := newCaller(t, g, 100, nil)
	running := c.open(t, 10)
	l := begin(t, c, 4)
	eventually(t, "answers", func() bool { return len(l.now()) > 20 })
	if err := g.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// Before every thread has stopped, some might still see the ends of the streams.
	eventually(t, "that it is stopped", func() bool { return stopped(t, g) })
	u.release() // the ends of the streams arrive while nobody reads
	time.Sleep(11 * time.Second)
	if err := g.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if a := ready(t, g); a.status != 200 && !a.says("the last commit has taken") {
		t.Errorf("afterwards: %+v", a)
	}
	eventually(t, "that it is ready", func() bool { return ready(t, g).status == 200 })
	have := len(l.now())
	eventually(t, "answers", func() bool { return len(l.now()) > have+20 })
	l.stop()
	l.done.Wait()
	running.done.Wait()
	g.Settled(t)
	paid := len(l.acked)
	for _, a := range running.answers {
		if !a.whole(true) {
			t.Errorf("a stream that was open meanwhile: %v", a)
			continue
		}
		paid++
	}
	// Whoever asked in the moment of the stop may have been refused, and nothing
	// was charged then: 11 seconds are more than anybody waits for a charge.
	for _, a := range l.odd {
		if !a.refusal() && !strings.Contains(a.body, "ledger_unavailable") {
			t.Errorf("neither served nor refused: %v", a)
		}
	}
	t.Logf("%d answers, %d refused", paid, len(l.odd))
	c.spent(t, paid)
}

// stopped reports whether every thread of the process is stopped.
func stopped(t testing.TB, g *harness.Gateway) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", g.PID()))
	if err != nil || len(threads) == 0 {
		t.Fatal(threads, err)
	}
	for _, thread := range threads {
		b, err := os.ReadFile(thread)
		if err != nil {
			t.Fatal(err)
		}
		if _, state, _ := strings.Cut(string(b), ") "); !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return true
}

// rss returns how much memory the process has, in MiB.
func rss(t testing.TB, g *harness.Gateway) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kib int
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				t.Fatal(err)
			}
			return kib >> 10
		}
	}
	t.Fatal("there is no VmRSS")
	return 0
}

// With little memory, many open streams and large bodies are served all the same,
// and the memory is given back afterwards.
func TestLittleMemoryIsEnough(t *testing.T) {
	t.Parallel()
	const limit = 64 // MiB; the runtime keeps to it as far as it can
	u := newUpstream(t)
	g := harness.Start(t, harness.Options{Config: u.config(), Env: []string{fmt.Sprintf("GOMEMLIMIT=%dMiB", limit)}})
	c := newCaller(t, g, 1000, nil)
	idle := rss(t, g)
	running := c.open(t, 300)
	streams := rss(t, g)
	// 16 bodies of 2 MiB at a time.
	body := strings.Repeat("lorem ipsum ", 2<<20/12)
	var large sync.WaitGroup
	most := 0
	for i := range 16 {
		large.Go(func() {
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
				if a := ask(ctx, g, c.key, body, i%2 == 0, nil); !a.whole(i%2 == 0) {
					t.Errorf("a large body: %v", a)
				}
				cancel()
			}
		})
	}
	over := make(chan struct{})
	go func() { large.Wait(); close(over) }()
	for done := false; !done; {
		select {
		case <-over:
			done = true
		case <-time.After(20 * time.Millisecond):
			most = max(most, rss(t, g))
		}
	}
	u.release()
	running.done.Wait()
	paid := 16 * 3
	for _, a := range running.answers {
		if !a.whole(true) {
			t.Errorf("a stream: %v", a)
		}
		paid++
	}
	// 16 bodies, each a few times over, beside what the limit allows.
	if bound := limit + 16*2*5; most > bound {
		t.Errorf("it took %d MiB, want %d at most", most, bound)
	}
	after := 0
	eventually(t, "that memory is given back", func() bool { after = rss(t, g); return after <= limit+64 })
	t.Logf("MiB: %d idle, %d with 300 streams, %d at most, %d afterwards", idle, streams, most, after)
	c.spent(t, paid)
	g.Settled(t)
}
