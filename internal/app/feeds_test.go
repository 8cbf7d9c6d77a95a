package app

import (
	"context"
	"testing"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/job"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/response"
)

// Who comes for a response that waits, when nothing more is begun, is told so at
// once: else the process would wait for him, and he for it.
func TestWhatWaitsWhenTheProcessGoesDownIsBrokenOff(t *testing.T) {
	t.Parallel()
	fs := feeds{open: map[string]*feed{}}
	waiting := &response.Response{ID: "resp_1", Object: []byte(`{"id":"resp_1","status":"queued"}`)}
	early := fs.join(waiting)
	works := fs.begin(&response.Response{ID: "resp_2", Object: waiting.Object})
	fs.stop()
	late := fs.join(&response.Response{ID: "resp_3", Object: waiting.Object})
	for name, f := range map[string]*feed{"who waited": early, "who came": late} {
		if _, last, _, err := f.Read(-1); last != 1 || err != nil {
			t.Fatalf("%s: event %d, %v", name, last, err)
		}
		if _, _, _, err := f.Read(1); !fault.Is(err, fault.Draining) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if works.Ended() || fs.join(&response.Response{ID: "resp_2"}).Ended() {
		t.Error("what is answered is broken off, too")
	}
}

// A response that could not be begun, or not be given back, stays as it is until the
// next process: whoever asks meanwhile is told to come again, and does not wait for
// what nothing tells.
func TestWhoReadsWhatCouldNotBeBegunIsToldToComeAgain(t *testing.T) {
	t.Parallel()
	a, err := open(t, t.TempDir(), small)
	if err != nil {
		t.Fatal(err)
	}
	acc, err := a.accounts.CreateAccount(t.Context(), account.NewAccount{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.ledger.Credit(t.Context(), ledger.Credit{Account: int64(acc.ID), Kind: ledger.KindTopup, Amount: money.Dollar}); err != nil {
		t.Fatal(err)
	}
	id, group := [16]byte{1}, [16]byte{2}
	holds, err := a.ledger.HoldDurably(t.Context(), []ledger.Reservation{{Account: int64(acc.ID), Key: 1, Request: id, Amount: 5}}, ledger.DurableOptions{Group: group})
	if err != nil {
		t.Fatal(err)
	}
	_ = a.close() // so that nothing can be read or written
	task := job.Task{Job: &job.Job{ID: group, Surface: surfaceResponses}, Item: &job.Item{Name: "resp_1", Request: id}}
	waiting := &response.Response{ID: "resp_1", Object: []byte(`{"id":"resp_1","status":"queued"}`)}
	for name, do := range map[string]func(*tasks) error{
		"run":       func(tk *tasks) error { return tk.Run(context.Background(), task) },
		"give back": func(tk *tasks) error { return tk.GiveBack(context.Background(), task) },
	} {
		for _, early := range []bool{true, false} {
			tk := newTasks(a)
			tk.add(holds)
			var f *feed
			if early {
				f = tk.feeds.join(waiting)
			}
			if err := do(tk); err == nil {
				t.Fatalf("%s: it did not fail", name)
			}
			for n := range 3 {
				if f == nil {
					f = tk.feeds.join(waiting)
				}
				_, last, _, err := f.Read(-1)
				if err == nil {
					_, _, _, err = f.Read(last)
				}
				if err == nil || !fault.Is(err, fault.Internal) || !fault.From(err).Code.Entry().Helps {
					t.Errorf("%s, early %v: reader %d is told %v", name, early, n, err)
				}
				tk.feeds.leave(f)
				f = nil
			}
		}
	}
}
