package sqlite

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/outbox"
)

// insert appends events to the journal, as the ledger does.
func insert(t *testing.T, db *DB, list ...*ledger.Event) error {
	t.Helper()
	j := db.Journal()
	mark, err := j.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tx, err := j.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Insert(&ledger.Batch{Epoch: mark.Epoch, After: mark.LastSeq, Events: list}); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func TestTheOutboxKeepsRows(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	at := time.Date(2026, 11, 20, 12, 0, 0, 7, time.UTC)
	var list []*ledger.Event
	for n := range byte(5) {
		list = append(list, &ledger.Event{
			ID: [16]byte{n + 1}, Kind: ledger.EventAbsorbed, Time: at.Add(-time.Duration(n) * time.Second), Account: int64(n), Key: 9, Request: [16]byte{n, 1},
			Model: "m", Target: "up/m", Charge: 1, Absorbed: 2,
		})
	}
	list[0].Kind, list[0].Balance, list[0].Below = ledger.EventBalanceWarning, 3, 4
	if err := insert(t, db, list...); err != nil {
		t.Fatal(err)
	}
	s := db.Outbox()
	ids := func(rows []outbox.Row, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		out := ""
		for _, r := range rows {
			out += fmt.Sprint(r.Event.ID[0])
		}
		return out
	}
	got, err := s.Get(t.Context(), list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&outbox.Row{Event: *list[0], State: outbox.Pending, Next: at}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, err := s.Get(t.Context(), [16]byte{99}); !errors.Is(err, outbox.ErrNotFound) {
		t.Errorf("Get of nothing = %v", err)
	}
	if r, err := s.Due(t.Context(), at.Add(-5*time.Second)); err != nil || r != nil {
		t.Errorf("Due too early = %+v, %v", r, err)
	}
	if r, err := s.Due(t.Context(), at); err != nil || r.Event.ID != list[4].ID {
		t.Errorf("Due = %+v, %v, want the oldest", r, err)
	}
	if next, err := s.Next(t.Context()); err != nil || !next.Equal(at.Add(-4*time.Second)) {
		t.Errorf("Next = %v, %v", next, err)
	}

	done := *got
	done.State, done.Tries, done.Ended, done.Next, done.Until, done.Error = outbox.Failed, 3, at.Add(time.Hour), at.Add(time.Minute), at.Add(2*time.Hour), "it answered 500"
	if err := s.Put(t.Context(), &done); err != nil {
		t.Fatal(err)
	}
	if back, err := s.Get(t.Context(), done.Event.ID); err != nil || !cmp.Equal(&done, back) {
		t.Errorf("Put(%+v) reads as %+v, %v", done, back, err)
	}
	delivered, err := s.Get(t.Context(), list[1].ID)
	if err != nil {
		t.Fatal(err)
	}
	delivered.State, delivered.Ended = outbox.Delivered, at
	if err := s.Put(t.Context(), delivered); err != nil {
		t.Fatal(err)
	}
	if p, f, err := s.Count(t.Context()); p != 3 || f != 1 || err != nil {
		t.Errorf("Count = %d, %d, %v", p, f, err)
	}
	for _, c := range []struct {
		state  outbox.State
		before [16]byte
		limit  int
		want   string
	}{
		{"", [16]byte{}, 10, "54321"},
		{"", [16]byte{}, 2, "54"},
		{"", [16]byte{4}, 2, "32"},
		{outbox.Pending, [16]byte{}, 10, "543"},
		{outbox.Pending, [16]byte{5}, 1, "4"},
		{outbox.Failed, [16]byte{}, 10, "1"},
		{outbox.Delivered, [16]byte{2}, 10, ""},
	} {
		if got := ids(s.List(t.Context(), c.state, c.before, c.limit)); got != c.want {
			t.Errorf("List(%q, below %d, %d) = %s, want %s", c.state, c.before[0], c.limit, got, c.want)
		}
	}
	// The same event again would be a defect, but must not cost a charge.
	if err := insert(t, db, list[0]); err != nil {
		t.Error(err)
	}
	if back, err := s.Get(t.Context(), done.Event.ID); err != nil || !cmp.Equal(&done, back) {
		t.Errorf("the same event again changes it to %+v, %v", back, err)
	}
}

func TestTheOutboxIsBounded(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	var list []*ledger.Event
	for n := range byte(9) {
		list = append(list, &ledger.Event{ID: [16]byte{n + 1}, Kind: ledger.EventAbsorbed, Time: at, Request: [16]byte{n}})
	}
	if err := insert(t, db, list...); err != nil {
		t.Fatal(err)
	}
	s := db.Outbox()
	end := func(n byte, state outbox.State, at time.Time) {
		t.Helper()
		r, err := s.Get(t.Context(), [16]byte{n})
		if err != nil {
			t.Fatal(err)
		}
		r.State, r.Ended = state, at
		if err := s.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	end(1, outbox.Failed, at.Add(-time.Second))
	end(2, outbox.Delivered, at.Add(-time.Second))
	end(3, outbox.Failed, at)
	end(4, outbox.Failed, at)
	end(5, outbox.Delivered, at)
	end(9, outbox.Delivered, at)
	for _, c := range []struct {
		by      time.Time
		most    int
		dropped int64
		left    string
	}{
		{at.Add(-time.Hour), 9, 0, "123456789"},
		{at.Add(-time.Second), 9, 0, "3456789"}, // their time is over
		{at.Add(-time.Second), 6, 0, "346789"},  // a delivered one
		{at.Add(-time.Second), 4, 1, "4678"},    // the other, and a failed one
		{at.Add(-time.Second), 2, 2, "78"},      // the other, and a pending one
		{at.Add(time.Hour), 2, 0, "78"},
		{at.Add(time.Hour), 0, 2, ""},
	} {
		dropped, err := s.Prune(t.Context(), c.by, c.most)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := s.List(t.Context(), "", [16]byte{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		left := ""
		for _, r := range rows {
			left = fmt.Sprint(r.Event.ID[0]) + left
		}
		if dropped != c.dropped || left != c.left {
			t.Errorf("Prune(%v, %d) dropped %d and left %s, want %d and %s", c.by, c.most, dropped, left, c.dropped, c.left)
		}
	}
}

// A clock that was ahead has written times that are far away: such an event is not
// kept until then.
func TestAnEventOfAClockThatWasAheadIsDue(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	ahead := &ledger.Event{ID: [16]byte{1}, Kind: ledger.EventAbsorbed, Time: at.AddDate(1, 0, 0), Account: 1, Key: 9, Request: [16]byte{1}, Model: "m", Charge: 1, Absorbed: 2}
	today := *ahead
	today.ID, today.Time = [16]byte{2}, at
	if err := insert(t, db, ahead, &today); err != nil {
		t.Fatal(err)
	}
	s := db.Outbox()
	for _, want := range []*ledger.Event{&today, ahead} {
		r, err := s.Due(t.Context(), at)
		if err != nil || r == nil || r.Event.ID != want.ID {
			t.Fatalf("Due = %+v, %v; want event %x", r, err, want.ID)
		}
		r.Next, r.Tries = at.Add(outbox.LongestWait), 1
		if err := s.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := s.Due(t.Context(), at); err != nil || r != nil {
		t.Errorf("Due = %+v, %v; want none until the next try", r, err)
	}
}
