package app

import (
	"testing"

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
