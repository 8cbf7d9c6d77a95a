package ledger_test

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/store/sqlite"
)

// days enters something on each of so many days, and waits for the digests of all
// but the last one, which is open.
func (h *house) days(n int) {
	h.t.Helper()
	h.topup(1, money.Dollar)
	for range n - 1 {
		h.clock.advance(day)
		h.charge(reserve(10), 10)
	}
	if list := h.digests(); len(list) != n-1 {
		h.t.Fatalf("%d digests", len(list))
	}
}

// found returns what a verification of the running ledger finds.
func (h *house) found() string {
	h.t.Helper()
	rep, err := h.Verify(background)
	if err != nil || rep.OK != (len(rep.Differences) == 0) {
		h.t.Fatalf("Verify = %+v, %v", rep, err)
	}
	return strings.Join(rep.Differences, "\n")
}

// Without its digest an entry can be altered unseen, so it must show that one is
// not there, or has no sum: also after a start, which must not make another one of
// what is there by then.
func TestVerifyFindsThatADigestIsMissing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ do, finds string }{
		"the last":            {"DELETE FROM day_digests WHERE last_seq = 3", "closed up to entry 3, but their digests are of entries up to 2"},
		"the last two":        {"DELETE FROM day_digests WHERE last_seq > 1", "closed up to entry 3, but their digests are of entries up to 1"},
		"all":                 {"DELETE FROM day_digests", "closed up to entry 3, but their digests are of entries up to 0"},
		"the first":           {"DELETE FROM day_digests WHERE first_seq = 1", "the digest of 2026-03-15 is of entries 2 to 2, the one before ends at entry 0"},
		"one between":         {"DELETE FROM day_digests WHERE first_seq = 2", "the digest of 2026-03-16 is of entries 3 to 3, the one before ends at entry 1"},
		"the sum of the last": {"UPDATE day_digests SET sum = NULL WHERE last_seq = 3", "the digest of 2026-03-16 is missing"},
		"the sum of the two":  {"UPDATE day_digests SET sum = NULL WHERE first_seq > 1", "the digest of 2026-03-15 is missing"},
		"the sum of all":      {"UPDATE day_digests SET sum = NULL", "the digest of 2026-03-14 is missing"},
		"what is recorded":    {"UPDATE ledger_mark SET digested_to = 0", "the digest of 2026-03-14 is there, though"},
		"one made up":         {"INSERT INTO day_digests SELECT day + 1, 4, 4, closed_at, sum FROM day_digests WHERE last_seq = 3", "closed up to entry 3, but their digests are of entries up to 4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.days(4)
			if rep := h.verify(); rep.Digests != 3 || rep.PendingDigests != 0 {
				t.Fatalf("%d digests, %d pending; want 3 and none", rep.Digests, rep.PendingDigests)
			}
			h.close()
			rep := tamper(t, h.path, c.do)
			if got := strings.Join(rep.Differences, "\n"); rep.OK || !strings.Contains(got, c.finds) {
				t.Errorf("Verify = %+v, want it to find %q", rep, c.finds)
			}
			if name == "what is recorded" { // which a start cannot know to be wrong
				return
			}
			h.reopen()
			for range 2 {
				h.clock.advance(day)
				h.charge(reserve(10), 10)
			}
			eventually(t, "the days after the start have their digests", func() bool {
				rep, err := h.Verify(background)
				return err == nil && rep.PendingDigests == 0
			})
			if got := h.found(); got == "" {
				t.Error("a start has hidden it")
			}
		})
	}
}

// A running gateway knows what it has closed, whatever is written beside it.
func TestVerifyComparesWhatIsClosedWithMemory(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.days(3)
	for _, do := range []string{"DELETE FROM day_digests WHERE last_seq = 2", "UPDATE ledger_mark SET closed_to = 1, digested_to = 1"} {
		err := h.db.Update(background, func(tx *sql.Tx) error {
			_, err := tx.Exec(do)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if h.found() == "" {
			t.Errorf("%s: nothing was found", do)
		}
	}
	if got, want := h.found(), "memory has days closed up to entry 2, but 1 was recorded"; got != want {
		t.Errorf("found %q, want %q", got, want)
	}
}

// A digest of a day whose usage statements have replaced can no longer be
// recomputed, but it must still be there.
func TestVerifyFindsThatAnOldDigestIsMissing(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]string{
		"the first":  "DELETE FROM day_digests WHERE first_seq = 1",
		"the second": "DELETE FROM day_digests WHERE first_seq = (SELECT min(last_seq) + 1 FROM day_digests)",
		"both":       "DELETE FROM day_digests WHERE first_seq <= (SELECT seq FROM ledger_floor)",
		"all":        "DELETE FROM day_digests",
		"its sum":    "UPDATE day_digests SET sum = NULL WHERE first_seq = 1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			for range 3 {
				h.busy()
				h.clock.advance(day)
			}
			h.clock.advance(34 * day)
			h.retain()
			if rep := h.verify(); rep.OldDigests != 2 {
				t.Fatalf("%d digests are old, want 2", rep.OldDigests)
			}
			h.close()
			if rep := tamper(t, h.path, do); rep.OK {
				t.Errorf("Verify = %+v", rep)
			}
		})
	}
}

// A digest that is still being reckoned is no difference.
func TestVerifyCountsDigestsThatAreBeingReckoned(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.days(4)
	h.close()
	rep := tamper(t, h.path, "UPDATE day_digests SET sum = NULL WHERE first_seq > 1; UPDATE ledger_mark SET digested_to = 1")
	if !rep.OK || rep.PendingDigests != 2 || rep.Digests != 1 {
		t.Errorf("Verify = %+v, want 2 pending", rep)
	}
	h.reopen()
	h.digests()
	if rep := h.verify(); rep.PendingDigests != 0 || rep.Digests != 3 {
		t.Errorf("Verify = %+v, want 3 digests", rep)
	}
}

// However clocks are set no digest seems to be missing, and none is of a day twice.
func TestVerifyMissesNoDigestBecauseOfClocks(t *testing.T) {
	t.Parallel()
	const midnight = 12 * time.Hour // from when the clock starts
	for name, moves := range map[string][]time.Duration{
		"back and on":               {day, -3 * day, day, day},
		"ahead and back":            {5 * day, -4 * day, day, day, day, day, day},
		"around midnight":           {midnight - time.Second, 2 * time.Second, day, -2 * time.Second, 2 * time.Second},
		"back, over midnight again": {midnight + time.Second, -2 * time.Second, 2 * time.Second, -2 * time.Second, day},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := setup(t)
				h.topup(1, money.Dollar)
				for _, d := range moves {
					h.clock.advance(d)
					h.charge(reserve(1), 1)
					h.verify()
					if restart {
						h.close()
						h.reopen()
						h.verify()
					}
				}
			})
		}
	}
}

// A database from before it was recorded up to where days are closed has it
// recorded when it is brought up to date.
func TestWhatIsClosedIsRecordedForAnOldDatabase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   string
		want ledger.Report
	}{
		"closed":              {"", ledger.Report{Digests: 2}},
		"one is not made yet": {"UPDATE day_digests SET sum = NULL WHERE last_seq = 2; ", ledger.Report{Digests: 1, PendingDigests: 1}},
		"before digests":      {"DELETE FROM day_digests; ", ledger.Report{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.days(3)
			h.close()
			old, err := sql.Open("sqlite", h.path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = old.Exec(c.do + "ALTER TABLE ledger_mark DROP COLUMN closed_to; ALTER TABLE ledger_mark DROP COLUMN digested_to; DROP TABLE response_events; DROP TABLE response_items; DROP TABLE responses; ALTER TABLE jobs DROP COLUMN surface; DELETE FROM goose_db_version WHERE version_id >= 8")
			if err != nil {
				t.Fatal(err)
			}
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := sqlite.Open(background, h.path)
			if err != nil {
				t.Fatal(err)
			}
			rep, err := ledger.Verify(background, db.Journal())
			if err != nil || !rep.OK || rep.Digests != c.want.Digests || rep.PendingDigests != c.want.PendingDigests {
				t.Errorf("Verify = %+v, %v; want %+v", rep, err, c.want)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			h.reopen()
			h.digests()
			h.verify()
		})
	}
}
