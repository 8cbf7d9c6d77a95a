package job

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
)

// now has ended already: who stops with it waits for nothing.
var now = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// shelf is a store in memory.
type shelf struct {
	mu   sync.Mutex
	jobs map[ID]*Job
}

func (s *shelf) edit(id ID, f func(*Job)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[id]; j != nil {
		c := *j
		f(&c)
		s.jobs[id] = &c
	}
	return nil
}

func (s *shelf) Put(_ context.Context, j *Job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := *j
	s.jobs[j.ID] = &c
	return nil
}

func (s *shelf) Get(_ context.Context, id ID) (*Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[id], nil
}

func (s *shelf) Open(context.Context) (out []*Job, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if j.Ended.IsZero() {
			out = append(out, j)
		}
	}
	slices.SortFunc(out, func(a, b *Job) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return out, nil
}

func (s *shelf) Cancel(_ context.Context, id ID, at time.Time) error {
	return s.edit(id, func(j *Job) { j.Cancelled = at })
}

func (s *shelf) End(_ context.Context, id ID, at time.Time) error {
	return s.edit(id, func(j *Job) { j.Ended = at })
}

func (s *shelf) Delete(ctx context.Context, id ID) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.jobs, id)
	return nil
}

func (s *shelf) Purge(_ context.Context, before time.Time, limit int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, j := range s.jobs {
		if limit > 0 && !j.Ended.IsZero() && j.Ended.Before(before) {
			delete(s.jobs, id)
			limit--
		}
	}
	return nil
}

// booth is a gate that keeps each request until it is let go.
type booth struct {
	mu     sync.Mutex
	held   map[[16]byte]bool
	let    map[[16]byte]chan struct{}
	ran    []byte // first byte of the requests that were answered
	given  []byte // given back before they ran
	broken []byte // broken off
}

func newBooth(n int) *booth {
	b := &booth{held: map[[16]byte]bool{}, let: map[[16]byte]chan struct{}{}}
	for i := range n {
		id := [16]byte{byte(i + 1)}
		b.let[id] = make(chan struct{})
	}
	return b
}

func (b *booth) Open() map[[16]byte]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[[16]byte]bool{}
	for id := range b.held {
		out[id] = true
	}
	return out
}

func (b *booth) Run(ctx context.Context, t Task) error {
	id := t.Item.Request
	select {
	case <-b.let[id]:
		b.end(id, &b.ran)
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), ErrStopping) {
			return ErrStopping
		}
		b.end(id, &b.broken)
	}
	return nil
}

func (b *booth) GiveBack(_ context.Context, t Task) error {
	b.end(t.Item.Request, &b.given)
	return nil
}

func (b *booth) end(id [16]byte, list *[]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.held[id] {
		panic("a hold ends twice")
	}
	delete(b.held, id)
	*list = append(*list, id[0])
}

func batch(id byte, a account.ID, from, to int) *Job {
	j := &Job{ID: ID{id}, Account: a}
	for i := from; i <= to; i++ {
		j.Items = append(j.Items, Item{Request: [16]byte{byte(i)}})
	}
	return j
}

func start(t *testing.T, s *shelf, b *booth) *Runner {
	t.Helper()
	r := NewRunner(s, b, time.Now, func(err error) { t.Error(err) })
	if err := r.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r
}

func submit(t *testing.T, r *Runner, b *booth, j *Job) {
	t.Helper()
	if err := r.Draft(context.Background(), j); err != nil {
		t.Fatal(err)
	}
	b.hold(j)
	r.Submit(j)
}

func (b *booth) hold(j *Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range j.Items {
		b.held[i.Request] = true
	}
}

func TestAJobRunsToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := &shelf{jobs: map[ID]*Job{}}, newBooth(20)
		r := start(t, s, b)
		j := batch(1, 7, 1, 20)
		submit(t, r, b, j)
		synctest.Wait()
		_, running, err := r.Get(context.Background(), 7, false, j.ID.String())
		n := 0
		for _, yes := range running {
			if yes {
				n++
			}
		}
		if err != nil || n != workers {
			t.Errorf("%d run at once, %v", n, err)
		}
		if _, _, err := r.Get(context.Background(), 8, false, j.ID.String()); !fault.Is(err, fault.JobNotFound) {
			t.Errorf("another account's: %v", err)
		}
		if _, _, err := r.Get(context.Background(), 7, true, j.ID.String()); !fault.Is(err, fault.JobNotFound) {
			t.Errorf("to a test key: %v", err)
		}
		for _, let := range b.let {
			close(let)
		}
		synctest.Wait()
		got, _, _ := r.Get(context.Background(), 7, false, j.ID.String())
		if len(b.ran) != 20 || got.Ended.IsZero() || r.total != 0 || len(r.open)+len(r.left)+len(r.running) != 0 {
			t.Errorf("%d ran, ended %v, left %+v", len(b.ran), got.Ended, r.left)
		}
		r.Stop(now)
	})
}

func TestCancelGivesBackWhatWaitsAndBreaksOffWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := &shelf{jobs: map[ID]*Job{}}, newBooth(12)
		r := start(t, s, b)
		j, other := batch(1, 7, 1, 10), batch(2, 8, 11, 12)
		submit(t, r, b, j)
		synctest.Wait()
		submit(t, r, b, other)
		synctest.Wait()
		if err := r.Cancel(context.Background(), 8, false, j.ID.String()); !fault.Is(err, fault.JobNotFound) {
			t.Errorf("another account cancels: %v", err)
		}
		for range 2 {
			if err := r.Cancel(context.Background(), 7, false, j.ID.String()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if len(b.given) != 2 || len(b.broken) != workers || len(b.held) != 2 {
			t.Errorf("given back %v, broken off %v, held %v", b.given, b.broken, b.held)
		}
		got, _, _ := r.Get(context.Background(), 7, false, j.ID.String())
		if got.Cancelled.IsZero() || got.Ended.IsZero() {
			t.Errorf("%+v", got)
		}
		close(b.let[[16]byte{11}])
		close(b.let[[16]byte{12}])
		synctest.Wait()
		if len(b.ran) != 2 {
			t.Errorf("the other job ran %v", b.ran)
		}
		r.Stop(now)
	})
}

func TestWhatAProcessLeavesTheNextOneTakesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := &shelf{jobs: map[ID]*Job{}}, newBooth(12)
		r := start(t, s, b)
		submit(t, r, b, batch(1, 7, 1, 10))
		synctest.Wait()
		close(b.let[[16]byte{1}])
		synctest.Wait()
		r.Stop(now)
		if len(b.held) != 9 || len(b.broken)+len(b.given) != 0 {
			t.Fatalf("a stop ends holds: %v", b.held)
		}
		if err := r.Draft(context.Background(), batch(9, 7, 11, 11)); !fault.Is(err, fault.Draining) {
			t.Errorf("a draft after the stop: %v", err)
		}
		// Drafted, and never held; cancelled, and not given back yet.
		_ = s.Put(context.Background(), batch(2, 7, 50, 60))
		gone := batch(3, 7, 12, 12)
		gone.Cancelled = time.Now()
		b.hold(gone)
		b.hold(batch(4, 7, 11, 11)) // which nobody knows
		_ = s.Put(context.Background(), gone)
		next := start(t, s, b)
		for n, let := range b.let {
			if n != [16]byte{1} {
				close(let)
			}
		}
		synctest.Wait()
		slices.Sort(b.given)
		if len(b.ran) != 10 || !slices.Equal(b.given, []byte{11, 12}) || len(b.held) != 0 {
			t.Errorf("ran %v, given back %v, held %v", b.ran, b.given, b.held)
		}
		for id, j := range s.jobs {
			if j.Ended.IsZero() {
				t.Errorf("%s has not ended", id)
			}
		}
		next.Stop(now)
	})
}

func TestAStopWaitsForWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := &shelf{jobs: map[ID]*Job{}}, newBooth(12)
		r := start(t, s, b)
		submit(t, r, b, batch(1, 7, 1, 12))
		synctest.Wait()
		go func() {
			time.Sleep(time.Second)
			for _, let := range b.let {
				close(let)
			}
		}()
		patient, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		r.Stop(patient)
		if len(b.ran) != workers || len(b.held) != 12-workers {
			t.Errorf("%d ran, %d are held", len(b.ran), len(b.held))
		}
	})
}

func TestResults(t *testing.T) {
	t.Parallel()
	for _, r := range []Result{{}, {Text: "a\u2028\"b", Input: 3, Output: 4}, {Fault: Cancelled}} {
		if got := DecodeResult(r.Encode()); got != r {
			t.Errorf("%+v became %+v", r, got)
		}
	}
	long := DecodeResult(Result{Text: strings.Repeat("é", maxText)}.Encode()).Text
	if len(long) > maxText || len(long) < maxText-2 || !utf8.ValidString(long) {
		t.Errorf("%d bytes are kept", len(long))
	}
	for _, text := range []string{"<", "\n", "\x01", "\xff", "\u2028"} {
		packed := Result{Text: strings.Repeat(text, maxText), Input: 3}.Encode()
		if got := DecodeResult(packed); len(packed) > ledger.MaxResult || len(packed) < ledger.MaxResult/2 || len(got.Text) < maxText/6 || got.Input != 3 {
			t.Errorf("%q: %d bytes are packed to %d", text, len(got.Text), len(packed))
		}
	}
	if DecodeResult(nil) != (Result{}) || DecodeResult([]byte("{")) != (Result{}) {
		t.Error("nothing is something")
	}
}

func TestAnAccountCannotFillTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := &shelf{jobs: map[ID]*Job{}}, newBooth(200)
		r := start(t, s, b)
		r.open[7] = MaxOpen // as if so many waited
		if err := r.Draft(context.Background(), batch(1, 7, 1, 1)); !fault.Is(err, fault.ConcurrencyLimited) {
			t.Errorf("%v", err)
		}
		if err := r.Draft(context.Background(), batch(2, 8, 1, 1)); err != nil {
			t.Errorf("another account: %v", err)
		}
		r.total = MaxQueued
		if err := r.Draft(context.Background(), batch(3, 9, 1, 1)); !fault.Is(err, fault.Overloaded) {
			t.Errorf("%v", err)
		}
		r.Stop(now)
	})
}

func TestIDsReadBack(t *testing.T) {
	t.Parallel()
	id := ID{1, 2, 3, 0xff}
	if got, err := ParseID(id.String()); err != nil || got != id {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "job_", "req_" + id.String()[4:], id.String() + "0", "job_!!!!!!!!!!!!!!!!!!!!!!!!!!"} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("ParseID(%q): want an error", bad)
		}
	}
}

// jammed is a gate that can end nothing.
type jammed struct{ *booth }

func (jammed) Run(context.Context, Task) error      { return errors.New("the disk") }
func (jammed) GiveBack(context.Context, Task) error { return errors.New("the disk") }

// Whoever cancels what only the next process can end is told so, and does not wait
// for it.
func TestNobodyWaitsForWhatCannotBeEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := &shelf{jobs: map[ID]*Job{}}, newBooth(9)
		var mu sync.Mutex
		var failures []error
		r := NewRunner(s, jammed{b}, time.Now, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			failures = append(failures, err)
		})
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		ran, gone := batch(1, 7, 1, 3), batch(2, 7, 4, 6)
		submit(t, r, b, ran)
		if err := r.Draft(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		if err := r.Cancel(t.Context(), 7, false, gone.ID.String()); err != nil {
			t.Fatal(err)
		}
		r.Submit(gone)
		synctest.Wait()
		for _, j := range []*Job{ran, gone} {
			if err := r.Cancel(t.Context(), 7, false, j.ID.String()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			if err := r.Rested(ctx, j.ID); !fault.Is(err, fault.Internal) {
				t.Errorf("job %s: %v", j.ID, err)
			}
			cancel()
			for _, i := range j.Items {
				if r.Running(i.Request) {
					t.Error("what does not run is said to run")
				}
			}
		}
		if len(failures) != 6 {
			t.Errorf("%d failures: %v", len(failures), failures)
		}
		r.Stop(now)
	})
}
