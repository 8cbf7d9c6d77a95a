package sqlite

import (
	"errors"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
)

// The proof that a durable hold ends once: the journal ends none that is not
// open.
func TestADurableHoldEndsOnce(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	j := db.Journal()
	m, err := j.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write := func(b *ledger.Batch) error {
		t.Helper()
		b.Epoch, b.After = m.Epoch, m.LastSeq
		tx, err := j.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Insert(b); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	}
	id, group := [16]byte{1}, [16]byte{2}
	opened := &ledger.Batch{Opened: []*ledger.HoldRow{{ID: id, Group: group, Account: 1, Key: 1, State: ledger.DurableOpen, Amount: 5, Created: time.Unix(1, 0)}}}
	end := func(state ledger.DurableState) *ledger.Batch {
		return &ledger.Batch{Ended: []ledger.HoldEnd{{ID: id, State: state, At: time.Unix(2, 0)}}}
	}
	if err := write(end(ledger.DurableVoided)); err == nil {
		t.Error("ended a hold that is not there")
	}
	if err := write(opened); err != nil {
		t.Fatal(err)
	}
	if err := write(opened); err == nil {
		t.Error("opened a hold twice")
	}
	if err := write(end(ledger.DurableVoided)); err != nil {
		t.Error(err)
	}
	for _, state := range []ledger.DurableState{ledger.DurablePosted, ledger.DurableVoided, ledger.DurableOpen} {
		if err := write(end(state)); err == nil || errors.Is(err, ledger.ErrRetry) {
			t.Errorf("ended it again, as %d: %v, want an error for good", state, err)
		}
	}
	rows, err := j.ReadHolds(t.Context(), group)
	if err != nil || len(rows) != 1 || rows[0].State != ledger.DurableVoided || !rows[0].Ended.Equal(time.Unix(2, 0)) {
		t.Errorf("ReadHolds = %+v, %v", rows, err)
	}
}
