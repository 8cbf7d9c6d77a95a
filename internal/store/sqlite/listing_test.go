package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

func TestAListingLooksThroughReceiptsInPortions(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	db.scanned = 10
	j := db.Journal()
	m, err := j.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &ledger.Batch{Epoch: m.Epoch}
	for i := range 95 {
		r := &ledger.ReceiptRow{ID: [16]byte{0, byte(i + 1)}, Account: 1, Doc: (&ledger.Receipt{}).Doc()}
		if i == 3 || i == 50 {
			r.Model = "n"
		}
		b.Receipts = append(b.Receipts, r)
	}
	tx, err := j.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.Insert(b), tx.Commit()); err != nil {
		t.Fatal(err)
	}
	var found []byte
	var before [16]byte
	portions := 0
	for {
		rows, more, err := j.ListReceipts(context.Background(), ledger.Filter{Model: "n"}, before, 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			found = append(found, r.ID[1])
		}
		if portions++; more == [16]byte{} || portions > 20 {
			break
		}
		before = more
	}
	if diff := cmp.Diff([]byte{51, 4}, found); diff != "" || portions != 10 {
		t.Errorf("found in %d portions (-want +got):\n%s", portions, diff)
	}
}

// crowd is a journal of several accounts, of which the first writes most, with
// short runs.
type crowd struct {
	*testing.T
	db       *DB
	rnd      *rand.Rand
	epoch    int64
	seq      int64
	floor    int64
	entries  []ledger.Entry       // oldest first
	receipts []*ledger.ReceiptRow // by id
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	c := &crowd{T: t, db: openTemp(t), rnd: rand.New(rand.NewPCG(1, 2))}
	_, err := c.db.admin.ExecContext(t.Context(), "UPDATE run_mark SET length = 64")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		_, err := c.db.admin.ExecContext(t.Context(), "INSERT INTO accounts (id, place, name, plan, status, created_at) VALUES (?1, ?1, '', '', 'active', 0);"+
			"INSERT INTO api_keys VALUES (10 * ?1, ?1, ?1, randomblob(32), '', 'inference', '', 0, '', 1, NULL, NULL, 0, '', '', 'cancel')", i+1)
		if err != nil {
			t.Fatal(err)
		}
	}
	c.reopen()
	return c
}

func (c *crowd) reopen() {
	c.Helper()
	if err := c.db.Close(); err != nil {
		c.Fatal(err)
	}
	db, err := Open(c.Context(), c.db.Path())
	if err != nil {
		c.Fatal(err)
	}
	db.scanned = 400
	c.db = db
	c.Cleanup(func() { _ = db.Close() })
	m, err := db.Journal().Start(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	c.epoch = m.Epoch
}

// id is one of a request that began so many milliseconds after the beginning.
func (c *crowd) id(at int64) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], uint64(1_000_000_000+at)<<16|0x7000|c.rnd.Uint64N(1<<12))
	binary.BigEndian.PutUint64(id[8:], c.rnd.Uint64())
	return id
}

// add writes a batch of n requests that end so many milliseconds after the
// beginning. Each has begun some seconds before, and a few have some minutes.
func (c *crowd) add(n int, at int64) {
	c.Helper()
	b := &ledger.Batch{Epoch: c.epoch, After: c.seq}
	for range n {
		account := int64(1)
		if c.rnd.IntN(10) == 0 {
			account = 2 + c.rnd.Int64N(4)
		}
		began := at - c.rnd.Int64N(20_000)
		if c.rnd.IntN(30) == 0 {
			began -= 300_000
		}
		r := &ledger.ReceiptRow{ID: c.id(began), Account: account, Key: 10 * account, Model: "m", Started: time.UnixMilli(began), Doc: (&ledger.Receipt{}).Doc()}
		if c.rnd.IntN(4) == 0 {
			r.Model = "n"
		}
		if c.rnd.IntN(8) > 0 {
			c.seq++
			e := ledger.Entry{
				Seq: c.seq, Time: time.UnixMilli(at).UTC(), Kind: ledger.KindUsage, Account: account, Key: r.Key, Test: c.rnd.IntN(6) == 0,
				Amount: money.Amount(c.rnd.Int64N(5)), Request: r.ID, Model: r.Model,
			}
			if c.rnd.IntN(10) == 0 {
				e.Kind = ledger.KindAbsorbed
			}
			r.Seq, r.Charge = e.Seq, e.Amount
			b.Entries = append(b.Entries, &e)
			c.entries = append(c.entries, e)
		}
		b.Receipts = append(b.Receipts, r)
		c.receipts = append(c.receipts, r)
	}
	tx, err := c.db.Journal().Begin()
	if err != nil {
		c.Fatal(err)
	}
	if err := errors.Join(tx.Insert(b), tx.Commit()); err != nil {
		c.Fatal(err)
	}
	slices.SortFunc(c.receipts, func(x, y *ledger.ReceiptRow) int { return bytes.Compare(x.ID[:], y.ID[:]) })
}

// check compares every page of what each account has with all that was written.
func (c *crowd) check() {
	c.Helper()
	j := c.db.Journal()
	for account := range int64(4) {
		for _, f := range []ledger.Filter{{Account: account}, {Account: account, Model: "n"}, {Account: account, Charged: true}, {Key: 10 * account}, {Account: account, Key: 7}} {
			c.checkReceipts(j, f)
		}
		for _, test := range []bool{false, true} {
			c.checkEntries(j, ledger.TransactionFilter{Account: account, Test: test, Limit: 7})
		}
	}
}

func (c *crowd) checkReceipts(j ledger.Journal, f ledger.Filter) {
	c.Helper()
	if f.Account == 0 && f.Key == 0 {
		return
	}
	var want, got [][16]byte
	for _, r := range slices.Backward(c.receipts) {
		if (f.Account == 0 || r.Account == f.Account) && (f.Key == 0 || r.Key == f.Key) && (f.Model == "" || r.Model == f.Model) && (!f.Charged || r.Seq != 0) {
			want = append(want, r.ID)
		}
	}
	var before [16]byte
	for range 2 + len(c.receipts) {
		rows, more, err := j.ListReceipts(c.Context(), f, before, 13)
		if err != nil {
			c.Fatal(err)
		}
		for _, r := range rows {
			got = append(got, r.ID)
		}
		if before = more; more == [16]byte{} {
			break
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		c.Fatalf("receipts of %+v (-want +got):\n%s", f, diff)
	}
	f.Offset = 1 + c.rnd.IntN(30)
	rows, _, err := j.ListReceipts(c.Context(), f, [16]byte{}, 9)
	if err != nil {
		c.Fatal(err)
	}
	if n := max(0, min(len(want)-f.Offset, 9)); len(rows) != n || (n > 0 && rows[0].ID != want[f.Offset]) {
		c.Fatalf("receipts of %+v: %d rows, want %d", f, len(rows), n)
	}
}

func (c *crowd) checkEntries(j ledger.Journal, f ledger.TransactionFilter) {
	c.Helper()
	var want, got []int64
	for _, e := range slices.Backward(c.entries) {
		if e.Account == f.Account && e.Test == f.Test && e.Amount > 0 && e.Kind != ledger.KindAbsorbed {
			want = append(want, e.Seq)
		}
	}
	list := func(f ledger.TransactionFilter) (seqs []int64) {
		page, err := j.ListEntries(c.Context(), f)
		if err != nil {
			c.Fatal(err)
		}
		for _, e := range page {
			seqs = append(seqs, e.Seq)
		}
		return seqs
	}
	for page := list(f); len(page) > 0; page = list(f) {
		got = append(got, page...)
		f.Before = page[len(page)-1]
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		c.Fatalf("entries of %+v (-want +got):\n%s", f, diff)
	}
	f.Before, f.Offset = 0, c.rnd.IntN(200)
	from := min(f.Offset, len(want))
	if diff := cmp.Diff(want[from:min(from+f.Limit, len(want))], list(f), cmpopts.EquateEmpty()); diff != "" {
		c.Fatalf("entries of %+v (-want +got):\n%s", f, diff)
	}
}

// runs returns how many runs there are.
func (c *crowd) runs() (entries, receipts, late int) {
	c.Helper()
	err := c.db.read.QueryRowContext(c.Context(), "SELECT entry_runs, (SELECT count(*) FROM receipt_bounds), (SELECT count(*) FROM receipts_late) FROM run_mark").
		Scan(&entries, &receipts, &late)
	if err != nil {
		c.Fatal(err)
	}
	return entries, receipts, late
}

// However many others write, an account finds all that is its own, in pages,
// before runs are made, meanwhile and afterwards.
func TestAnAccountFindsAllThatIsItsOwn(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.check()
	for i := range int64(16) {
		c.add(1+c.rnd.IntN(80), i*30_000)
		if i%5 == 3 {
			c.check()
		}
		if i == 7 {
			c.reopen()
		}
	}
	c.wait(3)
	if _, _, late := c.runs(); late < 5 {
		t.Errorf("only %d receipts came late", late)
	}
	c.check()
}

// wait waits for every run of entries, and for so many of receipts.
func (c *crowd) wait(least int) {
	c.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		entries, receipts, _ := c.runs()
		if int64(entries) == c.seq/64 && receipts >= least {
			return
		}
		if time.Now().After(deadline) {
			c.Fatalf("%d runs of %d entries, %d of %d receipts", entries, c.seq, receipts, len(c.receipts))
		}
	}
}

// A process may die in the middle of a run, of which some is written then.
func TestARunThatWasBegunIsMadeAgain(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	for i := range int64(10) {
		c.add(40, i*30_000)
	}
	c.wait(1)
	c.db.runs.close() // no other run comes in between
	_, before, _ := c.runs()
	err := c.db.Update(t.Context(), func(tx *sql.Tx) error {
		for _, do := range []string{
			"UPDATE run_mark SET entry_runs = entry_runs - 1, receipts_upto = (SELECT after FROM receipt_bounds ORDER BY run DESC LIMIT 1)",
			"DELETE FROM receipt_runs WHERE account_id > 2 AND run = (SELECT max(run) FROM receipt_bounds)",
			"DELETE FROM receipt_bounds WHERE run = (SELECT max(run) FROM receipt_bounds)",
			"DELETE FROM entry_runs WHERE account_id > 2 AND run = (SELECT max(run) FROM entry_runs)",
		} {
			if _, err := tx.Exec(do); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.check()
	c.reopen()
	c.wait(before)
	c.check()
}

// prune has all usage up to an entry go, with its receipts and those of uncharged
// requests of that time.
func (c *crowd) prune(upTo int64) {
	c.Helper()
	p := &ledger.Pruning{Floor: ledger.Floor{Seq: upTo}, After: c.floor}
	for _, e := range c.entries {
		if e.Seq <= upTo {
			p.Requests = append(p.Requests, e.Request)
			p.Request = [16]byte(slices.MaxFunc([][]byte{p.Request[:], e.Request[:]}, bytes.Compare))
		}
	}
	tx, err := c.db.Journal().Begin()
	if err == nil {
		err = errors.Join(tx.Insert(&ledger.Batch{Epoch: c.epoch, After: c.seq}), tx.Prune(p), tx.Commit())
	}
	if err != nil {
		c.Fatal(err)
	}
	c.floor = upTo
	c.entries = slices.DeleteFunc(c.entries, func(e ledger.Entry) bool { return e.Seq <= upTo })
	c.receipts = slices.DeleteFunc(c.receipts, func(r *ledger.ReceiptRow) bool {
		return (r.Seq != 0 && r.Seq <= upTo) || (r.Seq == 0 && bytes.Compare(r.ID[:], p.Request[:]) <= 0)
	})
}

// A job may end long after it began, when all other requests of that time are
// gone: its receipt stays, and its account finds it.
func TestAnAccountFindsWhatWasChargedLateWhenOlderUsageIsGone(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	for i := range int64(8) {
		c.add(60, i*30_000)
	}
	c.wait(1)
	floor := c.seq
	for range 3 {
		c.add(5, 50_000) // they began when the first did, and are late
	}
	c.add(60, 8*30_000)
	c.check()
	c.prune(floor - 150)
	c.check()
	c.prune(floor)
	c.check()
	for i := range int64(8) {
		c.add(60, (i+9)*30_000)
	}
	c.wait(2)
	c.prune(floor + 1)
	c.check()
	if _, _, late := c.runs(); late < 5 {
		t.Errorf("%d late receipts are left", late)
	}
	c.prune(c.seq)
	c.check()
	if _, _, late := c.runs(); late != 0 {
		t.Errorf("%d receipts that are gone are late", late)
	}
}

// However many receipts have no run, as after an update, no run has more than its
// length: whoever makes or reads one has all of it in memory.
func TestNoRunHasMoreReceiptsThanItsLength(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.add(1000, 0)
	c.add(1, 600_000)
	c.add(64, 600_000) // enough to look
	c.wait(16)
	var most int
	if err := c.db.read.QueryRowContext(t.Context(), "SELECT max(n) FROM (SELECT sum(length(ids)) / 16 AS n FROM receipt_runs GROUP BY run)").Scan(&most); err != nil {
		t.Fatal(err)
	}
	if most != 64 {
		t.Errorf("a run has %d receipts, want 64", most)
	}
	c.check()
}
