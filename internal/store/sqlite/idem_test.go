package sqlite

import (
	"errors"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
)

// The proof that a key is charged once: the journal takes no second answer.
func TestAKeyTakesNoSecondAnswer(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	j := db.Journal()
	m, err := j.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(1000, 0)
	key := ledger.IdemKey{Account: 1, Key: "a"}
	row := func(claimed time.Time, request byte) *ledger.IdemRow {
		return &ledger.IdemRow{IdemKey: key, Request: [16]byte{request}, Claimed: claimed, At: claimed, ExpiresAt: claimed.Add(time.Hour)}
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
	stands := func(want byte) {
		t.Helper()
		got, err := j.ReadIdem(t.Context(), key)
		if err != nil || (got == nil) != (want == 0) || (got != nil && got.Request[0] != want) {
			t.Errorf("ReadIdem = %+v, %v; want that of request %d", got, err, want)
		}
	}
	if err := write(&ledger.Batch{Answers: []*ledger.IdemRow{row(start, 1)}}); err != nil {
		t.Fatal(err)
	}
	if err := write(&ledger.Batch{Answers: []*ledger.IdemRow{row(start.Add(time.Hour-1), 2)}}); err == nil || errors.Is(err, ledger.ErrRetry) {
		t.Errorf("a second answer: %v, want an error for good", err)
	}
	stands(1)
	if err := write(&ledger.Batch{Answers: []*ledger.IdemRow{row(start.Add(time.Hour), 3)}}); err != nil {
		t.Errorf("after the first has expired: %v", err)
	}
	stands(3)
	if err := write(&ledger.Batch{Answers: []*ledger.IdemRow{row(start.Add(3*time.Hour), 4), row(start.Add(3*time.Hour), 5)}}); err == nil {
		t.Error("two answers at once: want an error")
	}
	stands(3)
	if err := write(&ledger.Batch{Forgotten: []*ledger.IdemRow{row(start, 1)}}); err != nil {
		t.Error(err)
	}
	stands(3) // the first one has been replaced
	if err := write(&ledger.Batch{Forgotten: []*ledger.IdemRow{row(start, 3)}, Answers: []*ledger.IdemRow{row(start, 6)}}); err != nil {
		t.Error(err)
	}
	stands(6)
	tx, err := j.Begin()
	if err != nil {
		t.Fatal(err)
	}
	next, err := tx.Purge(start.Add(time.Hour-1), 10)
	if err != nil || !next.Equal(start.Add(time.Hour)) {
		t.Errorf("Purge = %v, %v", next, err)
	}
	if next, err = tx.Purge(start.Add(time.Hour), 10); err != nil || !next.IsZero() {
		t.Errorf("Purge = %v, %v", next, err)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	stands(0)
}
