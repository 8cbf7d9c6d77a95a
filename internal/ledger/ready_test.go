package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

func TestAStuckCommitStopsAdmissionWithinASecond(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	hold := h.hold(reserve(1))
	h.slow()
	done := settling(hold, ledger.Settlement{Actual: 1})
	h.clock.advance(-100 * time.Hour) // readiness does not go by the wall clock
	eventually(t, "the ledger is unready", func() bool { return h.Ready() != nil })
	if _, err := h.Hold(reserve(1)); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("Hold = %v, want ErrUnavailable", err)
	}
	if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: 1}); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("Credit = %v, want ErrUnavailable", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Settle = %v", err)
	}
	eventually(t, "the ledger is ready again", func() bool { return h.Ready() == nil })
}

func TestAFullDiskRefusesAndThenRecovers(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	hold := h.hold(reserve(1))
	if err := h.fp.Arm(failpoint.DiskFull, 5); err != nil {
		t.Fatal(err)
	}
	done := settling(hold, ledger.Settlement{Actual: 1})
	eventually(t, "the ledger is unready", func() bool { return errors.Is(h.Ready(), ledger.ErrUnavailable) })
	if err := <-done; err != nil {
		t.Errorf("Settle = %v, want it to succeed once there is room", err)
	}
	if err := h.Ready(); err != nil {
		t.Errorf("Ready = %v", err)
	}
	if h.fatal.Load() != nil {
		t.Errorf("Fatal(%v)", *h.fatal.Load())
	}
	h.verify()
}

func TestAFailedCommitEndsTheProcess(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	hold := h.hold(reserve(money.Cent))
	late := h.hold(reserve(money.Cent))
	if err := h.fp.Arm(failpoint.CommitError, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := hold.Settle(background, ledger.Settlement{Actual: 1}); !errors.Is(err, ledger.ErrUnavailable) || !errors.Is(err, failpoint.ErrInjected) {
		t.Errorf("Settle = %v, want ErrUnavailable and its cause", err)
	}
	eventually(t, "Fatal is called", func() bool { return h.fatal.Load() != nil })
	if _, err := h.Hold(reserve(1)); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("Hold = %v", err)
	}
	if _, err := late.Settle(background, ledger.Settlement{Actual: 1}); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("late Settle = %v", err)
	}
	if err := h.Engine.Close(); !errors.Is(err, failpoint.ErrInjected) {
		t.Errorf("Close = %v, want what ended the engine", err)
	}
	h.reopen()
	if b := h.Balance(1); b.Posted != money.Dollar || !h.Idle() {
		t.Errorf("after recovery: %+v", b)
	}
	h.verify()
}

func TestACloseMakesEverythingDurable(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	held := h.hold(reserve(money.Cent))
	h.charge(reserve(money.Cent), money.Cent)
	lazy := request()
	h.Record(&ledger.Receipt{ID: lazy, Account: 1, Key: 1, Model: "m", Outcome: "refused", Fault: "balance_insufficient", Status: 402, Delivery: ledger.DeliveryComplete, Started: h.clock.now()})
	e := h.Engine
	h.reopen()
	if _, err := held.Settle(background, ledger.Settlement{Actual: 1}); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("Settle after Close = %v", err)
	}
	if err := e.Ready(); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("Ready after Close = %v", err)
	}
	if !e.Idle() || e.Stats().OpenHolds != 0 {
		t.Errorf("after Close something is held: %+v", e.Stats())
	}
	r, err := h.Receipt(background, lazy)
	if err != nil || r == nil || r.Fault != "balance_insufficient" || r.Status != 402 || r.Delivery != ledger.DeliveryComplete {
		t.Errorf("Receipt = %+v, %v", r, err)
	}
	if b := h.Balance(1); b.Posted != 99*money.Cent {
		t.Errorf("Balance = %+v", b)
	}
	h.verify()
}

func TestFoldsHappenInTheBackground(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.charge(reserve(money.Cent), money.Cent)
	mark := func() ledger.Mark {
		s, err := h.db.Journal().Snapshot(background)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		m, err := s.Mark(background)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	eventually(t, "the low water reaches the last entry", func() bool { m := mark(); return m.LowWater == m.LastSeq && m.LastSeq == 2 })
	h.verify()
}

// A journal that hangs for ever, on a fake clock: no wall clock, no disk.
func TestReadinessGoesByTheMonotonicClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := &hung{gate: make(chan struct{})}
		e, err := ledger.Open(background, j, ledger.Options{Now: func() time.Time { return time.Unix(0, 0) }})
		if err != nil {
			t.Fatal(err)
		}
		j.hang = true
		hold, err := e.Hold(reserve(0))
		if err != nil {
			t.Fatal(err)
		}
		done := settling(hold, ledger.Settlement{})
		synctest.Wait()
		for _, c := range []struct {
			after time.Duration
			ready bool
		}{{0, true}, {999 * time.Millisecond, true}, {2 * time.Millisecond, false}, {time.Hour, false}} {
			<-time.After(c.after)
			if err := e.Ready(); (err == nil) != c.ready {
				t.Errorf("%v later: Ready = %v, want %t", c.after, err, c.ready)
			}
		}
		close(j.gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := e.Ready(); err != nil {
			t.Errorf("Ready = %v", err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

// hung is an empty journal whose transactions wait at a gate once hang is set.
type hung struct {
	ledger.Journal
	hang  bool
	gate  chan struct{}
	fails error // of every Begin once hang is set
}

func (j *hung) Start(context.Context) (ledger.Mark, error) { return ledger.Mark{Epoch: 1}, nil }

func (j *hung) Snapshot(context.Context) (ledger.Snapshot, error) { return empty{}, nil }

func (j *hung) ReadIdem(context.Context, ledger.IdemKey) (*ledger.IdemRow, error) { return nil, nil }

func (j *hung) Begin() (ledger.Tx, error) {
	if j.hang {
		<-j.gate
		return nothing{}, j.fails
	}
	return nothing{}, nil
}

// empty is a journal with nothing in it.
type empty struct{ ledger.Snapshot }

func (empty) Mark(context.Context) (ledger.Mark, error) { return ledger.Mark{Epoch: 1}, nil }

func (empty) Balances(context.Context, int64, int64, func(ledger.BalanceRow) error) error {
	return nil
}

func (empty) LastBalance(context.Context) (int64, error) { return 0, nil }

func (empty) Grants(context.Context, func(ledger.GrantRow) error) error { return nil }

func (empty) Counters(context.Context, ledger.Day, func(ledger.CounterRow) error) error {
	return nil
}

func (empty) Entries(context.Context, int64, func(*ledger.Entry) error) error { return nil }

func (empty) OpenHolds(context.Context, func(ledger.HoldRow) error) error { return nil }

func (empty) Warned(context.Context, func(ledger.WarnedRow) error) error { return nil }

func (empty) Digests(context.Context, func(ledger.Digest) error) error { return nil }

func (empty) Floor(context.Context) (ledger.Floor, error) { return ledger.Floor{}, nil }

func (empty) Expiry(context.Context) (time.Time, error) { return time.Time{}, nil }

func (empty) Close() error { return nil }

// nothing is a transaction that keeps nothing.
type nothing struct{}

func (nothing) Insert(*ledger.Batch) error { return nil }

func (nothing) Fold(*ledger.Fold) error { return nil }

func (nothing) Purge(time.Time, int) (time.Time, error) { return time.Time{}, nil }

func (nothing) Summarise(*ledger.Pruning) error { return nil }

func (nothing) Prune(*ledger.Pruning) error { return nil }

func (nothing) Commit() error { return nil }

func (nothing) Rollback() error { return nil }

// stuck opens an engine on an empty journal that hangs or fails from now on.
func stuck(t *testing.T, j *hung) (*ledger.Engine, *error) {
	t.Helper()
	var fatal error
	e, err := ledger.Open(background, j, ledger.Options{Fatal: func(err error) { fatal = err }})
	if err != nil {
		t.Fatal(err)
	}
	j.hang = true
	return e, &fatal
}

func TestTooMuchWaitingStopsAdmission(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := &hung{gate: make(chan struct{})}
		e, _ := stuck(t, j)
		var holds []*ledger.Hold
		for range 4098 {
			hold, err := e.Hold(reserve(0))
			if err != nil {
				t.Fatal(err)
			}
			holds = append(holds, hold)
		}
		var wg sync.WaitGroup
		settle := func(h *ledger.Hold) {
			wg.Go(func() {
				if _, err := h.Settle(background, ledger.Settlement{}); err != nil {
					t.Error(err)
				}
			})
		}
		for _, h := range holds[:4096] {
			settle(h)
		}
		synctest.Wait()
		if err := e.Ready(); err != nil {
			t.Errorf("with 4,096 waiting: Ready = %v", err)
		}
		settle(holds[4096])
		synctest.Wait()
		if _, err := e.Hold(reserve(0)); !errors.Is(err, ledger.ErrUnavailable) {
			t.Errorf("with 4,097 waiting: Hold = %v, want ErrUnavailable", err)
		}
		settle(holds[4097]) // who has a hold is always let in
		close(j.gate)
		wg.Wait()
		if err := e.Ready(); err != nil {
			t.Errorf("Ready = %v", err)
		}
		if st := e.Stats(); st.Settled != 4098 || st.Waiting != 0 || st.Batches > 5 {
			t.Errorf("Stats = %+v, want few batches", st)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestADiskThatStaysFullEndsTheProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := &hung{gate: make(chan struct{}), fails: fmt.Errorf("%w: disk full", ledger.ErrRetry)}
		close(j.gate)
		e, fatal := stuck(t, j)
		hold, err := e.Hold(reserve(0))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = hold.Settle(background, ledger.Settlement{})
		if took := time.Since(start); !errors.Is(err, ledger.ErrUnavailable) || took < 10*time.Second || took > 11*time.Second {
			t.Errorf("Settle = %v after %v, want ErrUnavailable after 10 s", err, took)
		}
		if err := e.Close(); !errors.Is(err, ledger.ErrRetry) {
			t.Errorf("Close = %v", err)
		}
		synctest.Wait()
		if *fatal == nil {
			t.Error("Fatal was not called")
		}
	})
}

// Many small requests share commits; a single one does not wait for company.
func TestABatchWaitsForCompanyOnlyIfThereIsSome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := &hung{gate: make(chan struct{})}
		close(j.gate)
		e, _ := stuck(t, j)
		settle := func() {
			hold, err := e.Hold(reserve(0))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := hold.Settle(background, ledger.Settlement{}); err != nil {
				t.Error(err)
			}
		}
		start := time.Now()
		for range 50 {
			settle()
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("50 requests one after the other took %v on a disk that takes no time", took)
		}
		// 5,000 a second, each of which is held for a while.
		before := e.Stats().Batches
		var wg sync.WaitGroup
		for range 2000 {
			wg.Go(func() {
				hold, err := e.Hold(reserve(0))
				if err != nil {
					t.Error(err)
					return
				}
				<-time.After(20 * time.Millisecond)
				if _, err := hold.Settle(background, ledger.Settlement{}); err != nil {
					t.Error(err)
				}
			})
			<-time.After(200 * time.Microsecond)
		}
		wg.Wait()
		if n := e.Stats().Batches - before; n > 1000 {
			t.Errorf("2,000 requests in 0.4 s took %d batches", n)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}
