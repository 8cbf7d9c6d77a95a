package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/store/sqlite"
)

// crashCopy is what the disk would hold if the process died now: a copy of the
// database and its log, opened as a house of its own.
func (h *house) crashCopy() *house {
	h.t.Helper()
	c := h.crashTo(h.t.TempDir())
	h.t.Cleanup(c.close)
	return c
}

func (h *house) crashTo(dir string) *house {
	h.t.Helper()
	c := &house{t: h.t, path: filepath.Join(dir, "pontage.db"), clock: h.clock, fp: h.fp}
	// Nothing may be moved from the log to the database in between.
	err := h.db.Update(background, func(*sql.Tx) error {
		return errors.Join(copyFile(h.path, c.path), copyFile(h.path+"-wal", c.path+"-wal"))
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

func TestRecoveryReplaysAndFoldsTheTail(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.grantTo(money.Dollar, 1000)
	if _, err := h.Usage(background, ledger.UsageFilter{}); err != nil { // folds
		t.Fatal(err)
	}
	r := reserve(money.Cent)
	r.Quotas = []ledger.Quota{{Class: "open", PerDay: 10}}
	for range 5 {
		r.Request = request()
		h.charge(r, money.Cent)
	}
	if _, err := h.Refund(background, ledger.Refund{Request: r.Request}); err != nil {
		t.Fatal(err)
	}
	c := h.crashCopy()
	want, day, plan := h.Balance(1), h.KeyDay(1), h.PlanDay(1, false, "open")
	if day.Requests != 5 || plan.Requests != 5 {
		t.Fatalf("KeyDay = %+v, PlanDay = %+v", day, plan)
	}
	offline, err := sqlite.OpenReadOnly(background, c.path)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := ledger.Verify(background, offline.Journal())
	if err != nil || !rep.OK || rep.Entries != 8 || rep.Accounts != 1 {
		t.Errorf("Verify before recovery = %+v, %v", rep, err)
	}
	if err := offline.Close(); err != nil {
		t.Error(err)
	}
	for range 3 {
		c.reopen()
		if got := c.Balance(1); got != want {
			t.Errorf("after recovery: Balance = %+v, want %+v", got, want)
		}
		if got := c.KeyDay(1); got != day {
			t.Errorf("after recovery: KeyDay = %+v, want %+v", got, day)
		}
		if got := c.PlanDay(1, false, "open"); got != plan {
			t.Errorf("after recovery: PlanDay = %+v, want %+v", got, plan)
		}
		c.verify()
	}
	c.charge(reserve(money.Cent), money.Cent)
	c.verify()
	sqlFold(t, c)
}

// Dying in the middle of recovery, or right after it, changes nothing.
func TestRecoveryCanBeInterrupted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.charge(reserve(money.Cent), money.Cent)
	first := h.crashCopy()
	first.reopen()
	first.charge(reserve(money.Cent), money.Cent)
	second := first.crashCopy()
	second.reopen()
	if b := second.Balance(1); b.Posted != 98*money.Cent {
		t.Errorf("Balance = %+v", b)
	}
	second.verify()
	sqlFold(t, second)
}

// sqlFold compares the balances with sums that the database itself makes.
func sqlFold(t *testing.T, h *house) {
	t.Helper()
	const q = "SELECT account_id, test, sum(CASE WHEN kind IN (2, 3, 4, 5) THEN amount WHEN kind IN (1, 6, 9) THEN -amount ELSE 0 END) FROM entries GROUP BY account_id, test"
	rows, err := h.db.Read().QueryContext(background, q)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var account, test, sum int64
		if err := rows.Scan(&account, &test, &sum); err != nil {
			t.Fatal(err)
		}
		got := h.Balance(account).Posted
		if test == 1 {
			got = h.Balance(account).TestPosted
		}
		if int64(got) != sum {
			t.Errorf("account %d, test %d: balance is %d, entries sum up to %d", account, test, got, sum)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyFindsWhatWasTamperedWith(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ do, finds string }{
		"an entry's amount":            {"UPDATE entries SET amount = amount + 1 WHERE seq = 2", "account 1"},
		"an entry's account":           {"UPDATE entries SET account_id = 2 WHERE seq = 2", "account 1"},
		"an entry removed":             {"DELETE FROM entries WHERE seq = 2", "entries 2 to 2 are missing"},
		"the last entry":               {"DELETE FROM entries WHERE seq = 4", "the last entry is 3"},
		"an entry added":               {"INSERT INTO entries SELECT 5, ts, 2, account_id, key_id, test, day, amount, req, detail FROM entries WHERE seq = 1", "the last entry is 5"},
		"a balance":                    {"UPDATE balances SET used = used - 1", "account 1"},
		"a balance removed":            {"DELETE FROM balances", "account 1"},
		"a balance added":              {"INSERT INTO balances VALUES (7, 5, 0, 0, 0, 4)", "account 7"},
		"a balance of no account":      {"INSERT INTO balances VALUES (0, 5, 0, 0, 0, 4)", "account 0"},
		"a counter":                    {"UPDATE day_counters SET reqs = reqs + 1", "counter"},
		"a counter removed":            {"DELETE FROM day_counters", "counter"},
		"a usage line":                 {"UPDATE usage_days SET output = output + 1", "usage"},
		"a usage line added":           {"INSERT INTO usage_days SELECT day, 9, key_id, test, model, reqs, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4 FROM usage_days", "usage"},
		"a grant":                      {"UPDATE grants SET remaining = remaining + 1", "grant"},
		"a grant removed":              {"DELETE FROM grants", "grant"},
		"a receipt":                    {"UPDATE receipts SET charge = charge - 1", "receipt"},
		"a receipt's entry":            {"UPDATE receipts SET seq = 3", "receipt"},
		"a refund on receipt":          {"UPDATE receipts SET refunded = 0", "refund"},
		"a reference":                  {"UPDATE credit_refs SET seq = 99", "reference"},
		"a reference removed":          {"DELETE FROM credit_refs", "reference"},
		"a reference's words":          {"UPDATE credit_refs SET reference = 'b' WHERE seq = 1", "reference"},
		"a refund's reference removed": {"DELETE FROM credit_refs WHERE seq = 4", "the reference of entry 4"},
		"a receipt removed":            {"DELETE FROM receipts", "receipt"},
		"a charge twice": {
			"INSERT INTO entries SELECT 5, ts, kind, account_id, key_id, test, day, amount, req, detail FROM entries WHERE seq = 2; UPDATE ledger_mark SET last_seq = 5",
			"entry 5",
		},
		"an answer's charge":  {"UPDATE idem SET seq = 1", "answer"},
		"an answer's account": {"UPDATE idem SET account_id = 2", "answer"},
		"what was absorbed":   {"UPDATE receipts SET absorbed = 7", "absorbed"},
		"grants of nobody":    {"UPDATE grants SET account_id = 9", "account 9"},
		"a refund to the test balance": {
			"UPDATE entries SET test = 1 WHERE seq = 4; UPDATE balances SET credit = credit - 1, test_credit = 1; UPDATE usage_days SET refunded = 0; INSERT INTO usage_days SELECT day, account_id, key_id, 1, model, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, folded_seq FROM usage_days",
			"refund",
		},
		"a grant's balance": {"UPDATE grants SET test = 1", "grant"},
		"a grant's expiry":  {"UPDATE grants SET expires_at = expires_at + 1", "grant"},
		"a grant's account": {"UPDATE grants SET account_id = 9", "grant"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			if _, err := h.Credit(background, ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: money.Dollar, Reference: "a"}); err != nil {
				t.Fatal(err)
			}
			r := reserve(money.Cent)
			hold := h.hold(r)
			if _, err := hold.Settle(background, ledger.Settlement{Actual: money.Cent, Claim: h.claim(keyA, one), Receipt: &ledger.Receipt{Model: "m", Outcome: "ok"}}); err != nil {
				t.Fatal(err)
			}
			h.grantTo(money.Cent, 1000)
			if _, err := h.Refund(background, ledger.Refund{Request: r.Request, Amount: 1, Reference: "r"}); err != nil {
				t.Fatal(err)
			}
			h.verify()
			h.close()
			db, err := sql.Open("sqlite", h.path)
			if err != nil {
				t.Fatal(err)
			}
			res, err := db.Exec(c.do)
			if err != nil {
				t.Fatal(err)
			}
			if n, _ := res.RowsAffected(); n == 0 {
				t.Fatalf("%s changed nothing", c.do)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			offline, err := sqlite.OpenReadOnly(background, h.path)
			if err != nil {
				t.Fatal(err)
			}
			defer offline.Close()
			rep, err := ledger.Verify(background, offline.Journal())
			if err != nil {
				t.Fatal(err)
			}
			if rep.OK || !strings.Contains(strings.Join(rep.Differences, "\n"), c.finds) {
				t.Errorf("Verify = %+v, want it to find %q", rep, c.finds)
			}
		})
	}
}

func TestVerifyListsAtMostAHundredDifferences(t *testing.T) {
	t.Parallel()
	h := setup(t)
	together(150, func(i int) { h.topup(int64(i+1), 1) })
	if _, err := h.Usage(background, ledger.UsageFilter{}); err != nil {
		t.Fatal(err)
	}
	err := h.db.Update(background, func(tx *sql.Tx) error {
		_, err := tx.Exec("UPDATE balances SET credit = 2")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	rep, err := h.Verify(background)
	if err != nil || rep.OK || len(rep.Differences) != 101 || rep.Differences[100] != "and 50 more" || rep.Accounts != 150 {
		t.Errorf("Verify = OK %t, %d accounts, %d differences, last %q, %v", rep.OK, rep.Accounts, len(rep.Differences), rep.Differences[len(rep.Differences)-1], err)
	}
}

// Verify compares memory with the entries too: here the journal changes behind
// the engine's back.
func TestVerifyComparesMemory(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	if _, err := h.Usage(background, ledger.UsageFilter{}); err != nil {
		t.Fatal(err)
	}
	err := h.db.Update(background, func(tx *sql.Tx) error {
		_, err := tx.Exec("UPDATE entries SET amount = 7; UPDATE balances SET credit = 7")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	rep, err := h.Verify(background)
	if err != nil || rep.OK || !strings.Contains(strings.Join(rep.Differences, "\n"), "memory") {
		t.Errorf("Verify = %+v, %v", rep, err)
	}
}

func TestVerifyStopsWithItsContext(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := h.Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify = %v", err)
	}
	h.verify()
}

func TestASecondProcessOnTheFileIsRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, err := sqlite.Open(background, h.path)
	if !errors.Is(err, sqlite.ErrInUse) || !strings.Contains(err.Error(), h.path) {
		t.Errorf("second Open = %v, want ErrInUse naming the file", err)
	}
	h.topup(1, 1) // the first one is none the worse for it
}

// If the lock is worthless (a network file system), the journal itself notices.
func TestAJournalThatSomebodyElseTookOverIsFenced(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	if _, err := h.db.Journal().Start(background); err != nil { // somebody else
		t.Fatal(err)
	}
	hold := h.hold(reserve(1))
	if _, err := hold.Settle(background, ledger.Settlement{Actual: 1}); !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("Settle = %v, want ErrFenced", err)
	}
	eventually(t, "Fatal is called", func() bool { return h.fatal.Load() != nil })
}

func TestADamagedJournalIsNotServedFrom(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"an entry of the tail is missing": "DELETE FROM entries WHERE seq = 2",
		"the last entry is missing":       "DELETE FROM entries WHERE seq = 3",
		"an entry cannot be read":         "UPDATE entries SET detail = x'07' WHERE seq = 2",
		"an entry is of no known kind":    "DELETE FROM balances; UPDATE entries SET kind = 8 WHERE seq = 2",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.topup(1, money.Dollar)
			h.charge(reserve(1), 1)
			h.charge(reserve(1), 1)
			h.close()
			db, err := sql.Open("sqlite", h.path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(damage + "; UPDATE ledger_mark SET low_water = 0"); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if err := h.tryOpen(); err == nil {
				t.Error("opened a damaged journal")
			}
		})
	}
}

// Many balances are read by several readers at once. Each account is one's, the
// first and the last too.
func TestManyAccountsAreAllThereAgain(t *testing.T) {
	t.Parallel()
	const accounts, apart = 20_001, 3 // account numbers have gaps
	h := setup(t)
	h.close()
	db, err := sql.Open("sqlite", h.path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO balances SELECT i * ?, 1000 + i, i, 2, 1, 0 FROM n", accounts, apart)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	for id := range int64(accounts*apart + 2) {
		want := ledger.Balance{}
		if id > 0 && id%apart == 0 {
			want = ledger.Balance{Posted: 1000, Available: 1000, TestPosted: 1, TestAvailable: 1}
		}
		if got := h.Balance(id); got != want {
			t.Fatalf("account %d has %+v, want %+v", id, got, want)
		}
	}
}

// A fold may have reached some rows and not others when the process dies. What a
// row has already is not added to it again.
func TestRecoveryAddsNothingTwice(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.close()
	db, err := sqlite.Open(background, h.path)
	if err != nil {
		t.Fatal(err)
	}
	mark, err := db.Journal().Start(background)
	if err != nil {
		t.Fatal(err)
	}
	now, day := h.clock.now(), ledger.DayOf(h.clock.now())
	usage := ledger.Entry{Seq: 3, Time: now, Kind: ledger.KindUsage, Account: 1, Key: 1, Day: day, Amount: money.Cent, Request: request(), Model: "m", Tokens: ledger.Tokens{Output: 5}}
	late := usage
	late.Seq, late.Request = 4, request()
	b := &ledger.Batch{Epoch: mark.Epoch, Entries: []*ledger.Entry{
		{Seq: 1, Time: now, Kind: ledger.KindTopup, Account: 1, Day: day, Amount: money.Dollar},
		{Seq: 2, Time: now, Kind: ledger.KindTopup, Account: 2, Day: day, Amount: money.Dollar},
		&usage, &late,
	}}
	for _, e := range []ledger.Entry{usage, late} {
		b.Receipts = append(b.Receipts, &ledger.ReceiptRow{ID: e.Request, Seq: e.Seq, Account: 1, Key: 1, Model: "m", Charge: e.Amount, Started: now, Doc: (&ledger.Receipt{Usage: e.Tokens}).Doc()})
	}
	f := &ledger.Fold{
		Seq:      3,
		LowWater: 1, // account 2 is not folded
		Balances: []ledger.BalanceRow{{Account: 1, Credit: [2]money.Amount{money.Dollar}, Used: [2]money.Amount{money.Cent}, Folded: 3}},
		Counters: []ledger.CounterRow{{CounterID: ledger.CounterID{Day: day, Scope: ledger.ScopeKey, ID: 1}, Account: 1, Requests: 1, Spent: money.Cent, Folded: 3}},
		Usage:    []ledger.UsageRow{{UsageID: ledger.UsageID{Day: day, Account: 1, Key: 1, Model: "m"}, Requests: 1, Charge: money.Cent, Tokens: ledger.Tokens{Output: 5}, Folded: 3}},
	}
	tx, err := db.Journal().Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.Insert(b), tx.Fold(f), tx.Commit(), db.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		h.reopen()
		if b := h.Balance(1); b.Posted != 98*money.Cent {
			t.Errorf("account 1: %+v", b)
		}
		if b := h.Balance(2); b.Posted != money.Dollar {
			t.Errorf("account 2: %+v", b)
		}
		if d := h.KeyDay(1); d.Requests != 2 || d.USD != 2*money.Cent {
			t.Errorf("KeyDay = %+v", d)
		}
		rows, err := h.Usage(background, ledger.UsageFilter{})
		if err != nil || len(rows) != 1 || rows[0].Requests != 2 || rows[0].Tokens.Output != 10 {
			t.Errorf("Usage = %+v, %v", rows, err)
		}
		h.verify()
	}
}

// A verification may take a minute, and so may a report. Neither may keep the
// committer waiting for a connection to read with.
func TestVerifyingHoldsUpNoCharge(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	var readers []*sql.Conn
	for range 4 { // all that there are
		c, err := h.db.Read().Conn(background)
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, c)
	}
	verified := make(chan error, 8)
	for range cap(verified) {
		go func() {
			_, err := h.Verify(background)
			verified <- err
		}()
	}
	hold := h.hold(reserve(money.Cent))
	ctx, cancel := context.WithTimeout(background, 5*time.Second)
	defer cancel()
	if _, err := hold.Settle(ctx, ledger.Settlement{Actual: money.Cent}); err != nil {
		t.Errorf("Settle while verifications wait = %v", err)
	}
	for _, c := range readers {
		_ = c.Close()
	}
	for range cap(verified) {
		if err := <-verified; err != nil {
			t.Errorf("Verify = %v", err)
		}
	}
}
