package ledger_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/store/sqlite"
)

const day = 24 * time.Hour

// digests returns all digests once each has its sum.
func (h *house) digests() (list []ledger.Digest) {
	h.t.Helper()
	eventually(h.t, "every digest is reckoned", func() bool {
		var err error
		if list, err = h.Digests(background, ledger.DigestFilter{Limit: 1000}); err != nil {
			h.t.Fatal(err)
		}
		for _, d := range list {
			if !d.Made {
				return false
			}
		}
		return true
	})
	return list
}

// spans says which entries of which days the digests are of.
func spans(list []ledger.Digest) string {
	var parts []string
	for _, d := range list {
		parts = append(parts, fmt.Sprintf("%s:%d-%d", d.Day, d.First, d.Last))
	}
	return strings.Join(parts, " ")
}

func TestEveryDayWithEntriesGetsADigest(t *testing.T) {
	t.Parallel()
	h := setup(t)
	if got := h.digests(); len(got) != 0 {
		t.Errorf("before the first entry: %s", spans(got))
	}
	h.topup(1, money.Dollar)
	h.charge(reserve(1), 1)
	if got := h.digests(); len(got) != 0 {
		t.Errorf("on the first day: %s", spans(got))
	}
	h.clock.advance(day)
	h.charge(reserve(1), 1) // the first entry of the second day
	if got, want := spans(h.digests()), "2026-03-14:1-2"; got != want {
		t.Errorf("on the second day: %s, want %s", got, want)
	}
	h.clock.advance(3 * day) // and nothing happens
	if got, want := spans(h.digests()), "2026-03-14:1-2 2026-03-15:3-3"; got != want {
		t.Errorf("in a quiet moment: %s, want %s", got, want)
	}
	h.charge(reserve(1), 1)
	h.close()
	h.clock.advance(5 * day)
	h.reopen()
	list := h.digests()
	if got, want := spans(list), "2026-03-14:1-2 2026-03-15:3-3 2026-03-18:4-4"; got != want {
		t.Errorf("after a recovery: %s, want %s", got, want)
	}
	seen := map[[32]byte]bool{}
	for _, d := range list {
		if seen[d.Sum] || d.ClosedAt.IsZero() {
			t.Errorf("digest %+v", d)
		}
		seen[d.Sum] = true
	}
	if rep := h.verify(); rep.Digests != 3 {
		t.Errorf("%d digests were recomputed, want 3", rep.Digests)
	}
}

// The process may die, or be closed, between the end of a day and its digest.
func TestAMissingDigestIsMadeAfterTheNextStart(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	for range 3 {
		h.charge(reserve(1), 1)
		h.clock.advance(day)
	}
	want := h.digests()
	err := h.db.Update(background, func(tx *sql.Tx) error {
		_, err := tx.Exec("UPDATE day_digests SET sum = NULL WHERE last_seq > 2; UPDATE ledger_mark SET digested_to = 2")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if rep := h.verify(); rep.Digests != 1 {
		t.Errorf("%d digests were recomputed, want 1", rep.Digests)
	}
	h.reopen()
	if got := h.digests(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after a start:\n%v\nwant\n%v", got, want)
	}
}

// A clock that is set back while the process is down makes no day twice.
func TestAClosedDayStaysClosedThoughTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.clock.advance(day)
	h.charge(reserve(1), 1)
	h.clock.advance(day)
	want := h.closed("2026-03-14:1-1 2026-03-15:2-2")
	h.close()
	h.clock.advance(-3 * day)
	h.reopen()
	h.charge(reserve(1), 1) // on the thirteenth, says the clock
	h.clock.advance(2 * day)
	h.charge(reserve(1), 1)
	h.verify()
	h.clock.advance(3 * day)
	h.charge(reserve(1), 1)
	h.closed(want + " 2026-03-16:3-4")
	h.verify()
}

// closed waits until the digests are of those entries.
func (h *house) closed(want string) string {
	h.t.Helper()
	eventually(h.t, "the days "+want+" are closed", func() bool { return spans(h.digests()) == want })
	return want
}

func TestDigestsAreListedByDay(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for range 5 {
		h.topup(1, 1)
		h.clock.advance(day)
	}
	all := h.digests()
	start := all[0].Day.Start()
	for _, c := range []struct {
		f    ledger.DigestFilter
		want []ledger.Digest
	}{
		{ledger.DigestFilter{Limit: 9}, all},
		{ledger.DigestFilter{Limit: 2}, all[:2]},
		{ledger.DigestFilter{Limit: 2, After: all[1].Day}, all[2:4]},
		{ledger.DigestFilter{Limit: 9, From: start.Add(day), To: start.Add(3*day + time.Hour)}, all[1:4]},
		{ledger.DigestFilter{Limit: 9, From: start.Add(9 * day)}, nil},
	} {
		got, err := h.Digests(background, c.f)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("Digests(%+v) = %s, %v; want %s", c.f, spans(got), err, spans(c.want))
		}
	}
}

// Whoever alters an old entry may alter the folds to match, but not the digest
// of its day; nor that, without the digests of all later days.
func TestVerifyNamesTheDayThatWasTamperedWith(t *testing.T) {
	t.Parallel()
	const (
		entry = "2026-03-15"
		next  = "2026-03-16"
	)
	for name, c := range map[string]struct{ do, day string }{
		"a time":          {"UPDATE entries SET ts = ts + 1 WHERE seq = 3", entry},
		"a kind":          {"UPDATE entries SET kind = 5 WHERE seq = 4", entry},
		"an account":      {"UPDATE entries SET account_id = 2 WHERE seq = 3; UPDATE receipts SET account_id = 2 WHERE seq = 3", entry},
		"a key":           {"UPDATE entries SET key_id = 2 WHERE seq = 3; UPDATE day_counters SET id = 2 WHERE day = 20527; UPDATE usage_days SET key_id = 2 WHERE day = 20527", entry},
		"a test flag":     {"UPDATE entries SET test = 1 WHERE seq = 4; UPDATE balances SET credit = credit - 7, test_credit = 7", entry},
		"a day":           {"UPDATE entries SET day = day + 9 WHERE seq = 3; UPDATE day_counters SET day = day + 9 WHERE day = 20527; UPDATE usage_days SET day = day + 9 WHERE day = 20527", entry},
		"an amount":       {"UPDATE entries SET amount = 5 WHERE seq = 3; UPDATE receipts SET charge = 5 WHERE seq = 3; UPDATE balances SET used = used - 5; UPDATE day_counters SET nano = 5 WHERE day = 20527; UPDATE usage_days SET nano = 5 WHERE day = 20527", entry},
		"a request":       {"UPDATE entries SET req = x'00112233445566778899aabbccddeeff' WHERE seq = 3; UPDATE receipts SET id = x'00112233445566778899aabbccddeeff' WHERE seq = 3", entry},
		"a request gone":  {"UPDATE entries SET req = NULL WHERE seq = 3", entry},
		"a note":          {"UPDATE entries SET detail = (SELECT detail FROM entries WHERE seq = 6) WHERE seq = 4", entry},
		"garbage":         {"UPDATE entries SET detail = x'07' WHERE seq = 4", entry},
		"two swapped":     {"UPDATE entries SET seq = 99 WHERE seq = 3; UPDATE entries SET seq = 3 WHERE seq = 4; UPDATE entries SET seq = 4 WHERE seq = 99; UPDATE receipts SET seq = 4 WHERE seq = 3", entry},
		"its digest":      {"UPDATE day_digests SET sum = zeroblob(32) WHERE first_seq = 3", entry},
		"its range":       {"UPDATE day_digests SET last_seq = 3 WHERE first_seq = 3", next},
		"its day":         {"UPDATE day_digests SET day = day + 2 WHERE first_seq = 3", next},
		"its digest gone": {"UPDATE day_digests SET sum = NULL WHERE first_seq = 3", entry},
		"a day gone":      {"DELETE FROM day_digests WHERE first_seq = 3", next},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.topup(1, money.Dollar)
			h.charge(reserve(10), 10)
			h.clock.advance(day)
			h.charge(reserve(10), 10)
			if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: 7, Note: "seven"}); err != nil {
				t.Fatal(err)
			}
			h.clock.advance(day)
			h.charge(reserve(10), 10)
			if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: 7, Note: "7"}); err != nil {
				t.Fatal(err)
			}
			h.clock.advance(day)
			h.digests()
			if rep := h.verify(); rep.Digests != 3 {
				t.Fatalf("%d digests", rep.Digests)
			}
			h.close()
			rep := tamper(t, h.path, c.do)
			found := strings.Join(rep.Differences, "\n")
			if rep.OK || !strings.Contains(found, "the digest of "+c.day) {
				t.Errorf("Verify = %+v, want it to name %s", rep, c.day)
			}
			if n := strings.Count(found, "the digest of "); n > 2 {
				t.Errorf("%d days are named:\n%s", n, found)
			}
		})
	}
}

// tamper changes a database that is closed, and verifies it.
func tamper(t *testing.T, path, do string) ledger.Report {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for statement := range strings.SplitSeq(do, "; ") {
		res, err := db.Exec(statement)
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		if n, _ := res.RowsAffected(); n == 0 {
			t.Fatalf("%s changed nothing", statement)
		}
	}
	offline, err := sqlite.OpenReadOnly(background, path)
	if err != nil {
		t.Fatal(err)
	}
	defer offline.Close()
	rep, err := ledger.Verify(background, offline.Journal())
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// Whoever has noted one digest finds that everything was written anew, digests
// and all: they are other ones then.
func TestADigestCoversAllThatCameBefore(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.clock.advance(day)
	h.topup(1, money.Dollar)
	h.clock.advance(day)
	noted := h.digests()[1]
	h.close()
	tamper(t, h.path, "UPDATE entries SET ts = ts + 1 WHERE seq = 1; UPDATE day_digests SET sum = NULL; UPDATE ledger_mark SET digested_to = 0")
	h.reopen()
	if again := h.digests()[1]; again.Sum == noted.Sum || again.Last != noted.Last {
		t.Errorf("digest %+v after the first day was altered, %+v before", again, noted)
	}
	h.verify()
}
