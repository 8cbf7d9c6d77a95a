package gate

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// What the gate does by the clock, in fake time.

// slowJournal is a journal whose transactions take a while to begin.
type slowJournal struct {
	ledger.Journal
	delay atomic.Int64 // nanoseconds, of each
}

func (j *slowJournal) Begin() (ledger.Tx, error) {
	time.Sleep(time.Duration(j.delay.Load()))
	return j.Journal.Begin()
}

// slow is a world whose disk can be slow.
func slow(t *testing.T) (*world, *slowJournal) {
	t.Helper()
	var j *slowJournal
	w := setupOn(t, money.Dollar, func(real ledger.Journal) ledger.Journal {
		j = &slowJournal{Journal: real}
		return j
	})
	return w, j
}

// answered returns a call of which everything has come.
func (w *world) answered() (*Caller, *Call) {
	w.t.Helper()
	w.up.events = []llm.Event{says(20), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 100, Output: 50}}}
	return w.reads(context.Background(), request(), len(w.up.events))
}

// settled lets the disk be fast again, and everything come to its end.
func (j *slowJournal) settled(after time.Duration) {
	j.delay.Store(0)
	time.Sleep(after)
	synctest.Wait()
}

// An answer waits ten seconds for its charge. Then its caller is told of a
// failure, and the charge, which was on its way to the disk, is taken back.
func TestAnAnswerWaitsTenSecondsForItsCharge(t *testing.T) {
	t.Parallel()
	for name, busy := range map[string]bool{"on its way": false, "in the queue": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, j := slow(t)
				caller, call := w.answered()
				j.delay.Store(int64(time.Minute))
				if busy {
					go func() {
						if _, err := w.ledger.Credit(context.Background(), ledger.Credit{Account: int64(w.acc.ID), Kind: ledger.KindTopup, Amount: 1}); err != nil {
							t.Error(err)
						}
					}()
					synctest.Wait()
				}
				begun := time.Now()
				_, err := call.Finish(nil)
				if took := time.Since(begun); !fault.Is(err, fault.LedgerUnavailable) || took != settleWait {
					t.Errorf("after %v: %v, want ledger_unavailable after %v", took, err, settleWait)
				}
				caller.Leave()
				j.settled(2 * time.Minute)
				want := money.Dollar
				if busy {
					want++
				}
				if w.posted() != want || !w.ledger.Idle() {
					t.Errorf("$%s posted, want $%s", w.posted(), want)
				}
				rows, err := w.ledger.Transactions(context.Background(), ledger.TransactionFilter{Account: int64(w.acc.ID)})
				if err != nil {
					t.Fatal(err)
				}
				charged := 0
				for _, e := range rows {
					if e.Kind == ledger.KindUsage {
						charged++
					}
				}
				// One that was on its way is charged and refunded; one in the queue never was.
				if (charged == 0) != busy {
					t.Errorf("%d charges in the journal", charged)
				}
			})
		})
	}
}

// A charge that becomes durable just in time stands.
func TestAChargeThatIsDurableInTimeStands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, j := slow(t)
		caller, call := w.answered()
		defer caller.Leave()
		j.delay.Store(int64(settleWait - time.Millisecond))
		begun := time.Now()
		bill, err := call.Finish(nil)
		if err != nil || bill.Charge == 0 || time.Since(begun) != settleWait-time.Millisecond {
			t.Errorf("after %v: %+v, %v", time.Since(begun), bill, err)
		}
		j.settled(time.Second)
		if w.posted() != money.Dollar-bill.Charge {
			t.Errorf("$%s posted after a charge of $%s", w.posted(), bill.Charge)
		}
	})
}

// Taking a charge back waits ten seconds, too, and then says what stands.
func TestTakingAChargeBackWaitsTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, j := slow(t)
		caller, call := w.answered()
		defer caller.Leave()
		bill, err := call.Finish(nil)
		if err != nil {
			t.Fatal(err)
		}
		j.delay.Store(int64(time.Minute))
		begun := time.Now()
		if left := call.TakeBack(); left != bill.Charge || time.Since(begun) != settleWait {
			t.Errorf("after %v $%s stands, want $%s after %v", time.Since(begun), left, bill.Charge, settleWait)
		}
		j.settled(2 * time.Minute)
		if w.posted() != money.Dollar {
			t.Errorf("$%s posted: the refund was on its way", w.posted())
		}
	})
}

// Usage that a provider owes a caller who has left is waited for two seconds.
func TestLateUsageIsWaitedForTwoSeconds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ comes, took time.Duration }{
		"in time": {LateUsage - time.Millisecond, LateUsage - time.Millisecond},
		"never":   {time.Hour, LateUsage},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, _ := slow(t)
				w.up.events = []llm.Event{says(40), {Finish: llm.FinishStop}}
				w.up.wait = func(ctx context.Context) error {
					select {
					case <-time.After(c.comes):
						return errors.New("broken off")
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				caller, err := w.enter(w.key(account.NewKey{}))
				if err != nil {
					t.Fatal(err)
				}
				defer caller.Leave()
				ctx, leave := context.WithCancel(context.Background())
				call, err := caller.Open(ctx, request(), Wishes{})
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if _, err := call.Next(); err != nil {
						t.Fatal(err)
					}
				}
				leave()
				begun := time.Now()
				call.Left()
				if took := time.Since(begun); took != c.took {
					t.Errorf("the provider was waited for %v, want %v", took, c.took)
				}
				if r := w.receipt(caller); r.Outcome != OutcomeOK || !r.Usage.Estimated {
					t.Errorf("receipt: %q, estimated %t: there was no usage to go by", r.Outcome, r.Usage.Estimated)
				}
			})
		})
	}
}

// Who is refused for what others hold is told to come back in a second, and is
// let in once they have ended.
func TestWhatOthersHoldIsFreeASecondLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _ := slow(t)
		key := w.key(account.NewKey{Limits: account.Limits{RequestsPerDay: 1}})
		enter := func() *Caller {
			c, err := w.enter(key)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		w.up.events = []llm.Event{says(20), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
		first, second := enter(), enter()
		defer first.Leave()
		defer second.Leave()
		call, err := first.Open(context.Background(), request(), Wishes{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = second.Open(context.Background(), request(), Wishes{})
		e := fault.From(err)
		if err == nil || e.Code != fault.DailyRequestsExceeded || e.RetryAfter != heldRetry {
			t.Fatalf("%v, retry after %v", err, e.RetryAfter)
		}
		time.AfterFunc(e.RetryAfter/2, call.Close)
		time.Sleep(e.RetryAfter)
		again, err := second.Open(context.Background(), request(), Wishes{})
		if err != nil {
			t.Fatalf("after the time it was told: %v", err)
		}
		again.Close()
	})
}
