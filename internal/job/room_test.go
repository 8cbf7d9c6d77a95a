package job

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
)

// Many who come at once find no more room than one after another.
func TestADraftTakesItsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := &shelf{jobs: map[ID]*Job{}}, newBooth(0)
		r := start(t, s, b)
		drafts := make([]*Job, MaxOpen/MaxItems+1)
		for i := range drafts {
			drafts[i] = batch(byte(i+1), 7, 1, MaxItems)
			err := r.Draft(context.Background(), drafts[i])
			if full := i == len(drafts)-1; fault.Is(err, fault.ConcurrencyLimited) != full {
				t.Fatalf("draft %d: %v", i, err)
			}
		}
		for _, j := range drafts[:len(drafts)-1] {
			if err := r.Discard(now, j); err != nil { // whose callers have left
				t.Fatal(err)
			}
		}
		if r.total != 0 || len(r.open)+len(r.left)+len(r.gone) != 0 || len(s.jobs) != 0 {
			t.Errorf("what was discarded keeps its room: %d of %v, %d stored", r.total, r.open, len(s.jobs))
		}
		r.Stop(now)
	})
}

// Whoever waits for the idempotency key of a job knows its id as soon as it is
// held, and may cancel it before it is submitted.
func TestAJobThatIsCancelledBeforeItsSubmissionDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := &shelf{jobs: map[ID]*Job{}}, newBooth(2)
		r := start(t, s, b)
		j := batch(1, 7, 1, 2)
		if err := r.Draft(context.Background(), j); err != nil {
			t.Fatal(err)
		}
		b.hold(j)
		if err := r.Cancel(context.Background(), 7, false, j.ID.String()); err != nil {
			t.Fatal(err)
		}
		for _, let := range b.let {
			close(let)
		}
		r.Submit(j)
		synctest.Wait()
		if len(b.ran) != 0 || len(b.given) != 2 || s.jobs[j.ID].Ended.IsZero() {
			t.Errorf("a cancelled job ran %v, given back %v", b.ran, b.given)
		}
		r.Stop(now)
	})
}

// An account with a long queue keeps nobody waiting behind all of it.
func TestAccountsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := &shelf{jobs: map[ID]*Job{}}, newBooth(40)
		r := start(t, s, b)
		submit(t, r, b, batch(1, 7, 1, 30))
		submit(t, r, b, batch(2, 8, 31, 31))
		synctest.Wait()
		close(b.let[[16]byte{1}])
		synctest.Wait()
		if _, running, _ := r.Get(context.Background(), 8, false, ID{2}.String()); !running[[16]byte{31}] {
			t.Error("the other account waits for all that came before")
		}
		r.Stop(now)
	})
}

// Requests are kept in memory until their turn: they are bounded in bytes, too.
func TestTheQueueIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := &shelf{jobs: map[ID]*Job{}}, newBooth(8)
		r := start(t, s, b)
		large := func(n byte) *Job {
			j := batch(n, account.ID(n), int(n), int(n))
			j.Items[0].Body = make([]byte, MaxBytes/4)
			return j
		}
		for n := range byte(4) {
			submit(t, r, b, large(n+1))
		}
		if err := r.Draft(context.Background(), large(5)); !fault.Is(err, fault.Overloaded) {
			t.Errorf("%v", err)
		}
		close(b.let[[16]byte{1}])
		synctest.Wait()
		submit(t, r, b, large(5))
		for n := range byte(4) {
			close(b.let[[16]byte{n + 2}])
		}
		synctest.Wait()
		if r.bytes != 0 {
			t.Errorf("%d bytes are left", r.bytes)
		}
		r.Stop(now)
	})
}

// Old jobs go a few at a time: they may be large, and while they are deleted no
// charge of anybody can be recorded.
func TestOldJobsAreForgottenLittleByLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := &shelf{jobs: map[ID]*Job{}}, newBooth(0)
		r := start(t, s, b)
		for n := range byte(10) {
			old := batch(n+100, 7, 1, 1)
			old.Ended = time.Now().Add(-Retention - time.Hour)
			_ = s.Put(context.Background(), old)
		}
		for n := range byte(5) {
			if err := r.Draft(context.Background(), batch(n+1, 7, 1, 1)); err != nil {
				t.Fatal(err)
			}
			if old := len(s.jobs) - int(n) - 1; old != 8-2*int(n) {
				t.Errorf("after %d drafts %d old jobs are left", n+1, old)
			}
		}
		r.Stop(now)
	})
}
