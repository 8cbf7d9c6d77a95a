package app

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/job"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// A defect that a request of a job meets is no reason to end the process: the
// next one would meet it again.
func TestAPanicInATaskIsItsFailure(t *testing.T) {
	t.Parallel()
	a, err := open(t, t.TempDir(), small)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.close() }()
	acc, err := a.accounts.CreateAccount(t.Context(), account.NewAccount{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.ledger.Credit(t.Context(), ledger.Credit{Account: int64(acc.ID), Kind: ledger.KindTopup, Amount: money.Dollar}); err != nil {
		t.Fatal(err)
	}
	k, _, err := a.accounts.CreateKey(t.Context(), account.NewKey{Account: acc.ID, Name: "k", Prefix: "sk-"})
	if err != nil {
		t.Fatal(err)
	}
	id, group := [16]byte{1}, [16]byte{2}
	holds, err := a.ledger.HoldDurably(t.Context(), []ledger.Reservation{{Account: int64(acc.ID), Key: int64(k.ID), Request: id, Amount: 5}}, ledger.DurableOptions{Group: group})
	if err != nil {
		t.Fatal(err)
	}
	broken := newTasks(a)
	broken.add(holds)
	broken.dialect = nil // which panics as soon as it is asked for anything
	if err := broken.Run(t.Context(), job.Task{Job: &job.Job{ID: group, Model: "m"}, Item: &job.Item{Request: id, Body: []byte(`{"prompt":"x"}`)}}); err != nil {
		t.Fatal(err)
	}
	rows, err := a.ledger.HoldsOf(t.Context(), group)
	if err != nil || len(rows) != 1 || rows[0].State != ledger.DurableVoided || job.DecodeResult(rows[0].Result).Fault != fault.Internal.String() {
		t.Errorf("%+v, %v", rows, err)
	}
	if !a.ledger.Idle() || len(broken.Open()) != 0 {
		t.Error("something is still held")
	}
}

// Answers about jobs are large: an account has a few of them in memory at once,
// however many it asks for.
func TestAnAccountSeesAFewOfItsJobsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ts := &tasks{}
		var seated atomic.Int64
		var leave []context.CancelFunc
		for range maxViews + 1 {
			ctx, cancel := context.WithCancel(t.Context())
			leave = append(leave, cancel)
			go func() {
				if ts.seat(ctx, 7) == nil {
					seated.Add(1)
				}
			}()
			synctest.Wait()
		}
		if err := ts.seat(t.Context(), 8); err != nil || seated.Load() != maxViews {
			t.Errorf("%d at once, another account: %v", seated.Load(), err)
		}
		leave[0]()
		synctest.Wait()
		if seated.Load() != maxViews+1 {
			t.Error("a seat is not free when its answer has been written")
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := ts.seat(gone, 7); !errors.Is(err, context.Canceled) {
			t.Errorf("who has left waits: %v", err)
		}
		for _, f := range leave {
			f()
		}
	})
}

// A job that is told to be completed says when, although the store hears of its
// end a moment later.
func TestAJobThatIsOverSaysSinceWhen(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 26, 20, 0, 0, 0, time.UTC)
	j := &job.Job{Model: "m", Items: []job.Item{{Request: [16]byte{1}}, {Request: [16]byte{2}}}}
	first := ledger.HoldRow{ID: [16]byte{1}, State: ledger.DurablePosted, Ended: at}
	open := ledger.HoldRow{ID: [16]byte{2}, State: ledger.DurableOpen}
	last := ledger.HoldRow{ID: [16]byte{2}, State: ledger.DurableVoided, Ended: at.Add(time.Second)}
	for _, c := range []struct {
		holds []ledger.HoldRow
		ended time.Time // as the store knows it
		want  time.Time
	}{
		{[]ledger.HoldRow{first}, time.Time{}, time.Time{}},
		{[]ledger.HoldRow{first, open}, time.Time{}, time.Time{}},
		{[]ledger.HoldRow{last, first}, time.Time{}, at.Add(time.Second)},
		{[]ledger.HoldRow{first, last}, at.Add(time.Minute), at.Add(time.Minute)},
	} {
		j.Ended = c.ended
		if got := endOf(j, c.holds); !got.Equal(c.want) {
			t.Errorf("%+v: ended at %v, want %v", c.holds, got, c.want)
		}
	}
}
