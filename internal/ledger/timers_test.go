package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// What the ledger does by the clock, to the millisecond, in fake time.

// timed is an engine, with its committer, on a disk in memory.
type timed struct {
	t *testing.T
	j *MemoryJournal
	*Engine
	commits atomic.Int64
	stuck   chan struct{} // transactions wait for its end, if it is there
}

// inTime runs do in a bubble of fake time that begins at 2000-01-01T00:00:00Z.
func inTime(t *testing.T, do func(t *testing.T, e *timed)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &timed{t: t, j: NewMemoryJournal()}
		var err error
		if e.Engine, err = Open(context.Background(), e.j, Options{}); err != nil {
			t.Fatal(err)
		}
		e.j.from(func(at journalCall, _ *Batch) error {
			if at == atCommit && e.stuck != nil {
				<-e.stuck
			}
			return nil
		})
		e.j.Committed = func(*Batch) { e.commits.Add(1) }
		do(t, e)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if !e.Idle() {
			t.Error("something is held")
		}
	})
}

// after lets so much time pass, and everything that happens in it.
func (e *timed) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// disk returns a copy of what is durable.
func (e *timed) disk() *disk {
	e.t.Helper()
	snap, err := e.j.Snapshot(context.Background())
	if err != nil {
		e.t.Fatal(err)
	}
	return &snap.(*memorySnapshot).d
}

func (e *timed) credit(c Credit) Entry {
	e.t.Helper()
	entry, err := e.Credit(context.Background(), c)
	if err != nil {
		e.t.Fatal(err)
	}
	return entry
}

func (e *timed) hold(n uint64, amount money.Amount) *Hold {
	e.t.Helper()
	h, err := e.Hold(Reservation{Account: 1, Key: 1, Request: [16]byte{0: 1, 14: byte(n >> 8), 15: byte(n)}, Amount: amount})
	if err != nil {
		e.t.Fatal(err)
	}
	return h
}

func (e *timed) settle(h *Hold, s Settlement) Settled {
	e.t.Helper()
	so, err := h.Settle(context.Background(), s)
	if err != nil {
		e.t.Error(err)
	}
	return so
}

func TestReceiptsThatAreNotChargedWaitATenthOfASecond(t *testing.T) {
	inTime(t, func(t *testing.T, e *timed) {
		e.Record(&Receipt{ID: [16]byte{1}, Account: 1})
		e.after(50 * time.Millisecond)
		e.Record(&Receipt{ID: [16]byte{2}, Account: 1}) // goes with the first
		e.after(49 * time.Millisecond)
		if n := e.commits.Load(); n != 0 {
			t.Errorf("%d commits after 99 ms", n)
		}
		e.after(2 * time.Millisecond)
		if e.commits.Load() != 1 || len(e.disk().receipts) != 2 {
			t.Errorf("after 101 ms: %d commits, %d receipts", e.commits.Load(), len(e.disk().receipts))
		}
	})
}

func TestChangedRowsAreFoldedAfterHalfASecond(t *testing.T) {
	inTime(t, func(t *testing.T, e *timed) {
		e.credit(Credit{Account: 1, Kind: KindTopup, Amount: 7})
		e.after(499 * time.Millisecond)
		if len(e.disk().balances) != 0 || e.disk().mark.LowWater != 0 {
			t.Errorf("folded before its time: %+v", e.disk().mark)
		}
		e.after(2 * time.Millisecond)
		if b := e.disk().balances[1]; b.Credit[0] != 7 || e.disk().mark.LowWater != 1 {
			t.Errorf("after 501 ms: %+v, %+v", b, e.disk().mark)
		}
		if e.after(time.Hour); e.commits.Load() != 2 {
			t.Errorf("%d commits, of which an idle hour made some", e.commits.Load())
		}
	})
}

func TestAGrantIsTakenBackWithinHalfASecondOfItsEnd(t *testing.T) {
	inTime(t, func(t *testing.T, e *timed) {
		e.credit(Credit{Account: 1, Kind: KindGrant, Amount: 100, ExpiresAt: time.Now().Add(time.Hour)})
		e.after(59 * time.Minute)
		h := e.hold(1, 30)
		e.after(time.Minute - time.Millisecond)
		if b := e.Balance(1); b.Posted != 100 {
			t.Errorf("a millisecond before its end: %+v", b)
		}
		e.after(502 * time.Millisecond)
		if b := e.Balance(1); b.Posted != 30 || b.Held != 30 {
			t.Errorf("half a second after its end: %+v, want what is held", b)
		}
		h.Void(nil)
		e.after(501 * time.Millisecond)
		if b := e.Balance(1); b.Posted != 0 {
			t.Errorf("half a second after the hold has ended: %+v", b)
		}
	})
}

// With more than 500 operations a second and holds on their way, a batch waits
// for them as long as lingerTime; otherwise it does not wait at all.
func TestABatchLingersForCompany(t *testing.T) {
	inTime(t, func(t *testing.T, e *timed) {
		e.credit(Credit{Account: 1, Kind: KindTopup, Amount: money.Dollar})
		begun := time.Now()
		e.settle(e.hold(1, 1), Settlement{Actual: 1})
		if took := time.Since(begun); took != 0 {
			t.Errorf("a single charge took %v", took)
		}
		for n := uint64(2); n < 200; n++ { // a thousand a second
			time.Sleep(time.Millisecond)
			e.settle(e.hold(n, 1), Settlement{Actual: 1})
		}
		others := []*Hold{e.hold(1000, 0), e.hold(1001, 0)}
		before := e.commits.Load()
		begun = time.Now()
		go e.settle(others[0], Settlement{})
		e.after(lingerTime / 2) // at lingerTime itself either of two that wake may be the first
		e.settle(others[1], Settlement{})
		if took := time.Since(begun); took != lingerTime || e.commits.Load() != before+1 {
			t.Errorf("two charges half of that apart took %v and %d commits, want %v and 1", took, e.commits.Load()-before, lingerTime)
		}
		begun = time.Now()
		e.settle(e.hold(300, 1), Settlement{Actual: 1})
		if took := time.Since(begun); took != 0 {
			t.Errorf("a charge that nobody could join took %v", took)
		}
	})
}

func TestAFullDiskIsTriedTenTimesASecondForTenSeconds(t *testing.T) {
	inTime(t, func(t *testing.T, e *timed) {
		e.credit(Credit{Account: 1, Kind: KindTopup, Amount: 7})
		e.after(time.Second)
		h := e.hold(1, 5)
		var tries atomic.Int64
		var room atomic.Bool
		e.j.from(func(at journalCall, _ *Batch) error {
			if at == atInsert && !room.Load() {
				tries.Add(1)
				return fmt.Errorf("%w: disk full", ErrRetry)
			}
			return nil
		})
		done := make(chan Settled, 1)
		go func() { done <- e.settle(h, Settlement{Actual: 5}) }()
		synctest.Wait()
		if err := e.Ready(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("at once: Ready = %v", err)
		}
		e.after(9 * time.Second)
		if n := tries.Load(); n != 91 {
			t.Errorf("%d tries in 9 s", n)
		}
		room.Store(true)
		e.after(retryPause)
		if so := <-done; so.Charge != 5 || e.Ready() != nil {
			t.Errorf("once there is room: %+v, %v", so, e.Ready())
		}
	})
}

func TestExpiredAnswersArePurgedAtTheirPace(t *testing.T) {
	inTime(t, func(t *testing.T, e *timed) {
		const answers = 150
		for n := range uint64(answers) {
			c, _, err := e.Claim(context.Background(), IdemKey{Account: 1, Key: fmt.Sprint(n)}, [32]byte{}, 0)
			if err != nil {
				t.Fatal(err)
			}
			e.settle(e.hold(n, 0), Settlement{Claim: c})
		}
		if e.after(IdemTTL - time.Second); len(e.disk().idem) != answers {
			t.Errorf("a second too early: %d answers", len(e.disk().idem))
		}
		for _, want := range []int{answers - purgeRows, answers - 2*purgeRows, 0} {
			if e.after(time.Second + time.Millisecond); want == answers-purgeRows {
				if len(e.disk().idem) != want {
					t.Errorf("a millisecond after their time: %d answers, want %d", len(e.disk().idem), want)
				}
			}
		}
		if len(e.disk().idem) != 0 {
			t.Errorf("two seconds later %d answers are left: a portion goes every %v", len(e.disk().idem), purgeAgain)
		}
	})
}

func TestAClaimIsWaitedForAsLongAsItsCallerLikes(t *testing.T) {
	inTime(t, func(t *testing.T, e *timed) {
		k := IdemKey{Account: 1, Key: "k"}
		c, _, err := e.Claim(context.Background(), k, [32]byte{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, _, err := e.Claim(context.Background(), k, [32]byte{}, 3*time.Second); !errors.Is(err, ErrIdemInProgress) || time.Since(begun) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		got := make(chan time.Duration, 1)
		go func() {
			begun := time.Now()
			if _, st, err := e.Claim(context.Background(), k, [32]byte{}, time.Minute); err != nil || st == nil {
				t.Errorf("the answer: %v, %v", st, err)
			}
			got <- time.Since(begun)
		}()
		e.after(20 * time.Second)
		e.stuck = make(chan struct{})
		go e.settle(e.hold(1, 0), Settlement{Claim: c})
		e.after(500 * time.Millisecond) // the answer is not durable yet
		close(e.stuck)
		if d := <-got; d != 20*time.Second+500*time.Millisecond {
			t.Errorf("the answer came after %v", d)
		}
	})
}

func TestCloseWaitsForWhatIsOnItsWayAndTakesNothingIn(t *testing.T) {
	inTime(t, func(t *testing.T, e *timed) {
		e.credit(Credit{Account: 1, Kind: KindTopup, Amount: 10})
		e.after(time.Second)
		onWay, queued, late := e.hold(1, 1), e.hold(2, 2), e.hold(3, 3)
		e.stuck = make(chan struct{})
		go e.settle(onWay, Settlement{Actual: 1})
		synctest.Wait()
		go e.settle(queued, Settlement{Actual: 2})
		synctest.Wait()
		e.Record(&Receipt{ID: [16]byte{9}, Account: 1})
		closed := make(chan time.Time, 1)
		go func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			closed <- time.Now()
		}()
		e.after(900 * time.Millisecond)
		if _, err := e.Hold(Reservation{Account: 1, Key: 1}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Hold while closing: %v", err)
		}
		if _, err := late.Settle(context.Background(), Settlement{Actual: 3}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Settle while closing: %v", err)
		}
		e.after(2 * time.Second)
		select {
		case <-closed:
			t.Error("closed while a commit was under way")
		default:
		}
		freed := time.Now()
		close(e.stuck)
		if at := <-closed; !at.Equal(freed) {
			t.Errorf("closed %v after the commit", at.Sub(freed))
		}
		d := e.disk()
		if len(d.entries) != 3 || d.mark.LowWater != 3 || d.balances[1].Used[0] != 3 || d.receipts[[16]byte{9}].ID != [16]byte{9} {
			t.Errorf("%d entries, %+v, %+v", len(d.entries), d.mark, d.balances[1])
		}
	})
}

func TestARequestStaysOnItsDayOverMidnight(t *testing.T) {
	inTime(t, func(t *testing.T, e *timed) {
		e.credit(Credit{Account: 1, Kind: KindTopup, Amount: 10})
		e.after(24*time.Hour - time.Millisecond)
		h := e.hold(1, 4)
		if d := e.KeyDay(1); d.RequestsHeld != 1 || !d.ResetsAt.Equal(time.Now().Add(time.Millisecond)) {
			t.Errorf("before midnight: %+v", d)
		}
		e.after(time.Millisecond)
		if d := e.KeyDay(1); d.Requests+d.RequestsHeld != 0 || d.USDHeld != 0 {
			t.Errorf("at midnight: %+v", d)
		}
		e.settle(h, Settlement{Actual: 4})
		if d := e.KeyDay(1); d.Requests != 0 || d.USD != 0 {
			t.Errorf("the charge counts on the new day: %+v", d)
		}
		if last := e.disk().entries[1]; last.Day != DayOf(time.Now())-1 {
			t.Errorf("the charge is of %s", last.Day)
		}
	})
}

// A second after it was queued a charge that is not durable stops admission, and
// not before.
func TestAChargeThatWaitsASecondStopsAdmission(t *testing.T) {
	inTime(t, func(t *testing.T, e *timed) {
		h := e.hold(1, 0)
		e.stuck = make(chan struct{})
		go e.settle(h, Settlement{})
		if e.after(maxStall); e.Ready() != nil {
			t.Errorf("after a second: %v", e.Ready())
		}
		if e.after(time.Nanosecond); !errors.Is(e.Ready(), ErrUnavailable) {
			t.Errorf("a nanosecond later: %v", e.Ready())
		}
		close(e.stuck)
		if synctest.Wait(); e.Ready() != nil {
			t.Errorf("once it is durable: %v", e.Ready())
		}
	})
}
