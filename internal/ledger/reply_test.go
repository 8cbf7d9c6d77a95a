package ledger

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// A commit that fails, before it is durable or after: nobody is told of success,
// the process ends, and the next one knows what became of it.
func TestACommitWhoseReplyIsLostIsNotGuessedAt(t *testing.T) {
	t.Parallel()
	for at, charged := range map[journalCall]bool{atCommit: false, atCommitted: true} {
		t.Run(string(at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fatal error
				j := NewMemoryJournal()
				e, err := Open(context.Background(), j, Options{Fatal: func(err error) { fatal = err }})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := e.Credit(context.Background(), Credit{Account: 1, Kind: KindTopup, Amount: 10}); err != nil {
					t.Fatal(err)
				}
				h, err := e.Hold(Reservation{Account: 1, Key: 1, Request: [16]byte{1}, Amount: 4})
				if err != nil {
					t.Fatal(err)
				}
				j.from(func(now journalCall, _ *Batch) error {
					if now == at {
						return errDisk
					}
					return nil
				})
				if _, err := h.Settle(context.Background(), Settlement{Actual: 4}); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errDisk) {
					t.Errorf("Settle = %v, want ErrUnavailable and its cause", err)
				}
				if err := e.Close(); !errors.Is(err, errDisk) {
					t.Errorf("Close = %v", err)
				}
				synctest.Wait()
				if !errors.Is(fatal, errDisk) {
					t.Errorf("Fatal(%v)", fatal)
				}
				j.from(nil)
				if e, err = Open(context.Background(), j, Options{}); err != nil {
					t.Fatal(err)
				}
				want := Balance{Posted: 10, Available: 10}
				if charged {
					want = Balance{Posted: 6, Available: 6}
				}
				if b := e.Balance(1); b != want || !e.Idle() {
					t.Errorf("the next process has %+v, want %+v", b, want)
				}
				if rep, err := e.Verify(context.Background()); err != nil || !rep.OK {
					t.Errorf("verify: %+v, %v", rep, err)
				}
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
