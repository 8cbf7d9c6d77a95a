package chaos

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

const (
	callers  = 32
	openFor  = time.Second // a breaker, at first
	mostOpen = 2 * time.Second
	turn     = 200 * time.Millisecond // of one provider to fail
)

// result is what a run is written down as.
type result struct {
	harness.Provenance
	Seed     uint64         `json:"seed"`
	Calls    int64          `json:"calls"`
	Answered float64        `json:"answered_percent"`
	Turns    int            `json:"turns"`
	Asked    int64          `json:"upstream_calls"`
	Failed   int64          `json:"upstream_failures"`
	Refused  map[string]int `json:"refusals"`
	Billed   string         `json:"billed_usd"`
	Charged  string         `json:"charged_usd"`
	Dark     darkness       `json:"all_failing"`
}

// darkness is what happened while all providers failed, and afterwards.
type darkness struct {
	Calls     int64   `json:"calls"`
	Asked     int64   `json:"upstream_calls"`
	Seconds   float64 `json:"seconds"`
	Recovered float64 `json:"seconds_to_recover"`
}

// load is what callers have seen.
type load struct {
	w *world
	f *flock

	calls, answered atomic.Int64

	mu      sync.Mutex
	owed    *big.Int // the bill for what was answered
	charged *big.Int
	refused map[string]int
}

// failoverCalls is how many calls are made: PONTAGE_FAILOVER, or as many as a
// test that is run often can afford.
func failoverCalls() int64 {
	if n, err := strconv.ParseInt(os.Getenv("PONTAGE_FAILOVER"), 10, 64); err == nil && n > 0 {
		return n
	}
	return 4000
}

// TestFailoverUnderLoad has one of three providers fail at a time, at random,
// while callers of two dialects ask, whole and streamed, and do not ask again; and
// then has all of them fail.
func TestFailoverUnderLoad(t *testing.T) {
	begun, seed := time.Now(), rand.Uint64()
	t.Logf("seed %d", seed)
	f, w := newFlock(t, 5) // as by default, though turns are shorter than a breaker is open
	l := &load{w: w, f: f, owed: new(big.Int), charged: new(big.Int), refused: map[string]int{}}
	res := result{Seed: seed}

	ctx, stop := context.WithCancel(t.Context())
	turns, how := make(chan int, 1), ways(t)
	go func() { turns <- f.vary(ctx, rand.New(rand.NewPCG(seed, 0)), how, turn) }()
	l.run(t, failoverCalls())
	stop()
	res.Turns, res.Calls, res.Asked, res.Refused = <-turns, l.calls.Load(), f.total(), maps.Clone(l.refused)
	res.Answered = 100 * float64(l.answered.Load()) / float64(res.Calls)
	for i := range f.failed {
		res.Failed += f.failed[i].Load()
	}
	if res.Failed == 0 || res.Turns == 0 {
		t.Errorf("%d turns, and %d calls of providers failed", res.Turns, res.Failed)
	}
	if res.Answered < 99.9 {
		t.Errorf("%d of %d calls were answered, %.3f %%, want 99.9 %%: %v", l.answered.Load(), res.Calls, res.Answered, res.Refused)
	}
	res.Billed, res.Charged = dollars(l.owed), dollars(l.charged)
	if l.owed.Cmp(l.charged) != 0 {
		t.Errorf("the answers were charged %s, and the providers' bill for them is %s", res.Charged, res.Billed)
	}
	w.paid(t, l.charged)
	res.Dark = allFailing(t, failoverCalls()/4)
	res.Provenance = harness.Provenanced(t, begun)
	harness.WriteResult(t, "failover.json", res)
	t.Logf("%+v", res)
}

// allFailing has three providers fail under load, all at once, and then none.
func allFailing(t *testing.T, calls int64) (d darkness) {
	t.Helper()
	const failures = 5
	f, w := newFlock(t, failures)
	l := &load{w: w, f: f, owed: new(big.Int), charged: new(big.Int), refused: map[string]int{}}
	l.run(t, calls) // all is well
	down := &failing{name: "500", do: func(w http.ResponseWriter, _ bool) { w.WriteHeader(http.StatusInternalServerError) }}
	before, answered, asked, begun := l.calls.Load(), l.answered.Load(), f.total(), time.Now()
	for i := range f.failing {
		f.failing[i].Store(down)
	}
	l.run(t, calls)
	took := time.Since(begun)
	d.Calls, d.Asked, d.Seconds = l.calls.Load()-before, f.total()-asked, took.Seconds()
	if got := l.answered.Load() - answered; got != 0 {
		t.Errorf("%d calls were answered while every provider failed", got)
	}
	// Of each provider: what is under way when its breaker opens, the probes
	// that give it up, and one in each time that it is open.
	most := int64(len(f.failing)) * (callers + 3*failures + 1 + int64(took/openFor))
	if d.Asked > most || d.Asked >= d.Calls {
		t.Errorf("%d calls asked the providers %d times in %v while all of them failed, want at most %d", d.Calls, d.Asked, took, most)
	}
	for i := range f.failing {
		f.failing[i].Store(nil)
	}
	back := time.Now()
	eventually(t, func() string {
		if l.call(t, chat, false) {
			return ""
		}
		return fmt.Sprintf("not answered though all providers are well: %v", l.refused)
	})
	d.Recovered = time.Since(back).Seconds()
	at, answered := l.calls.Load(), l.answered.Load()
	l.run(t, calls)
	if made, got := l.calls.Load()-at, l.answered.Load()-answered; made != got {
		t.Errorf("%d of %d calls were answered after all providers were well: %v", got, made, l.refused)
	}
	w.paid(t, l.charged)
	return d
}

// run makes n calls at least, callers at a time.
func (l *load) run(t *testing.T, n int64) {
	t.Helper()
	until := l.calls.Load() + n
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for l.calls.Load() < until {
				l.call(t, []surface{chat, messages}[i%2], i/2%2 == 0)
			}
		})
	}
	wg.Wait()
}

// call asks, and reports whether that was answered.
func (l *load) call(t *testing.T, by surface, stream bool) bool {
	defer l.calls.Add(1)
	if !l.note(t, by, stream, l.w.ask(t.Context(), by, "m", stream)) {
		return false
	}
	l.answered.Add(1)
	return true
}

// note adds up one reply, and reports whether it is an answer.
func (l *load) note(t *testing.T, by surface, stream bool, r reply) bool {
	owed, ok := l.f.owed(r.body)
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.charge != nil {
		l.charged.Add(l.charged, r.charge)
	}
	if r.err != nil || r.status != http.StatusOK || stream && !by.finished(r.body) {
		e, _ := by.read(r.body)
		l.refused[fmt.Sprint(r.status, " ", e.kind, " ", e.code)]++
		if r.err != nil || r.charge.Sign() != 0 {
			t.Errorf("%s, stream %t, has failed: %v, charged %v: %.300s", by.name, stream, r.err, r.charge, r.body)
		}
		return false
	}
	if !ok || owed.Cmp(r.charge) != 0 || bytes.Count(r.body, []byte("answer-")) != 1 {
		t.Errorf("%s, stream %t: charged %v, the provider's bill is %v: %.300s", by.name, stream, r.charge, owed, r.body)
		return false
	}
	l.owed.Add(l.owed, owed)
	return true
}

// dollars writes nano-dollars as dollars.
func dollars(n *big.Int) string { return new(big.Rat).SetFrac(n, big.NewInt(1e9)).FloatString(9) }

// TestTheWaysToFailAreMany guards the load against a table that is read wrong.
func TestTheWaysToFailAreMany(t *testing.T) {
	t.Parallel()
	var names []string
	for _, x := range ways(t) {
		names = append(names, x.name)
	}
	t.Logf("%d ways", len(names))
	if slices.Sort(names); len(names) < 25 || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("%d ways, or some twice: %q", len(names), names)
	}
}
