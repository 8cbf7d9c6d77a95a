package sim

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// openStreams opens n streams, reads the first event of each, and returns their
// bodies.
func openStreams(tb testing.TB, ctx context.Context, s *Sim, n int) []io.ReadCloser {
	tb.Helper()
	out := make([]io.ReadCloser, n)
	prompt := strings.Repeat("a long prompt ", 300) // about four kilobytes, which a stream must not keep
	buf := make([]byte, 1024)
	for i := range out {
		body := fmt.Sprintf(`{"model":"m","stream":true,"messages":[{"role":"user","content":"%s%d"}]}`, prompt, i)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sim.invalid"+chatPath, strings.NewReader(body))
		if err != nil {
			tb.Fatal(err)
		}
		resp, err := s.RoundTrip(req)
		if err != nil {
			tb.Fatal(err)
		}
		// What a client keeps is not the simulator's.
		resp.Request = nil
		if k, err := resp.Body.Read(buf); err != nil || k == 0 {
			tb.Fatalf("stream %d: %d bytes, %v", i, k, err)
		}
		out[i] = resp.Body
	}
	return out
}

// heap returns the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// Not parallel: it looks at the memory and the goroutines of the whole process.
func TestFiveThousandOpenStreamsAreCheapAndEndAtOnce(t *testing.T) {
	const n = 5000
	s := New(Options{Now: fixed, PerEvent: time.Hour, Count: func(string) int64 { return 1 }})
	ctx, cancel := context.WithCancel(t.Context())
	before, goroutines := heap(), runtime.NumGoroutine()
	bodies := openStreams(t, ctx, s, n)
	each := (heap() - before) / n
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("%d goroutines for the streams", got-goroutines)
	}
	if each > 4<<10 {
		t.Errorf("%d bytes for an open stream, want at most 4 KiB", each)
	}
	cancel()
	for i, b := range bodies {
		if _, err := b.Read(make([]byte, 1)); err == nil {
			t.Fatalf("stream %d goes on after its context has ended", i)
		}
		b.Close()
	}
	if got := s.Cancelled("m"); got != n {
		t.Errorf("%d streams count as cancelled, want %d", got, n)
	}
}

func BenchmarkOpenStream(b *testing.B) {
	s := New(Options{Now: fixed, PerEvent: time.Hour, Count: func(string) int64 { return 1 }})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.ReportAllocs()
	before := heap()
	bodies := openStreams(b, ctx, s, b.N)
	b.StopTimer()
	b.ReportMetric(float64(heap()-before)/float64(b.N), "B/open-stream")
	for _, body := range bodies {
		body.Close()
	}
}

func BenchmarkStreamOf50Events(b *testing.B) {
	s := New(Options{Now: fixed, Events: 50})
	req := asks["chat*"]
	b.ReportAllocs()
	for b.Loop() {
		r, _ := http.NewRequest(http.MethodPost, "http://sim.invalid"+req[0], strings.NewReader(req[1]))
		resp, err := s.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
}

func TestManyAtOnceSpendEachStepOnce(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	tell(t, s, "m", `[{"status":503,"times":40},{"status":429,"times":40},{"fault":"cut","times":20}]`)
	var mu sync.Mutex
	seen := map[int]int{}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 20 {
				g := ask1(t, s, asks["chat*"][0], asks["chat*"][1])
				mu.Lock()
				if seen[g.status]++; g.err != nil {
					seen[-1]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if seen[503] != 40 || seen[429] != 40 || seen[-1] != 20 || seen[200] != 120 || s.Calls("m") != 200 {
		t.Errorf("statuses %v of %d calls", seen, s.Calls("m"))
	}
}

func TestATraceSeesThatTheRequestWasWritten(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]string{"refuse": "", "reset": "conn written", "error_500": "conn written"} {
		s := newSim(t, Options{})
		tell(t, s, "m", `[{"fault":"`+fault+`"}]`)
		var seen []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn:      func(httptrace.GotConnInfo) { seen = append(seen, "conn") },
			WroteRequest: func(httptrace.WroteRequestInfo) { seen = append(seen, "written") },
		})
		askWith(t, ctx, s, asks["chat"][0], asks["chat"][1])
		if got := strings.Join(seen, " "); got != want {
			t.Errorf("%s: %q, want %q", fault, got, want)
		}
	}
}
