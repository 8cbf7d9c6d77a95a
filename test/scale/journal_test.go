package scale

import (
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/store/sqlite"
)

// The world of the journal: an ordinary month.
const (
	days     = 30
	accounts = 10_000 // each with a key
	portion  = 20_000 // entries in one transaction
	credited = 1_000_000 * money.Dollar
)

var firstDay = ledger.DayOf(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))

// author writes a journal straight into the store, past the engine, which would
// sync it to the disk several thousand times. What it folds it reckons itself.
type author struct {
	t   testing.TB
	rnd *rand.Rand
	j   ledger.Journal

	mark     ledger.Mark
	batch    *ledger.Batch
	seq      int64
	balances map[int64]*ledger.BalanceRow
	counters map[ledger.CounterID]*ledger.CounterRow
	usage    map[ledger.UsageID]*ledger.UsageRow
	refunds  []ledger.Entry // of the batch before, which has their receipts
}

// write makes a database with that many entries, or a few more, and returns its
// path. If PONTAGE_SCALE_DB names a file, it is kept there and used again.
func write(t testing.TB, entries int64) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pontage.db")
	if kept := os.Getenv("PONTAGE_SCALE_DB"); kept != "" {
		if path = kept; exists(path) {
			entries = 0 // it is only brought up to date
		}
	}
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	a := &author{t: t, rnd: rand.New(rand.NewPCG(1, 2)), j: db.Journal(), balances: map[int64]*ledger.BalanceRow{}}
	if entries == 0 {
		digest(t, db)
		return path
	}
	if a.mark, err = a.j.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.begin()
	few := min(accounts, entries/10)
	for i := range few {
		at := firstDay.Start().Add(time.Duration(i))
		a.add(&ledger.Entry{Time: at, Kind: ledger.KindTopup, Account: 1 + i, Day: firstDay, Amount: credited, Reference: "invoice-1"})
	}
	for a.seq < entries {
		a.request(few, firstDay.Start().Add(time.Duration(float64(days*24*time.Hour)*float64(a.seq)/float64(entries+1))))
		if len(a.batch.Entries) >= portion {
			a.commit()
		}
	}
	a.commit()
	a.commit() // the last refunds
	digest(t, db)
	return path
}

// digest lets the ledger close the days and reckon their digest, which is one of
// all entries, since no process has seen the days end. It closes the database.
func digest(t testing.TB, db *sqlite.DB) {
	t.Helper()
	after := func() time.Time { return (firstDay + days + 1).Start() }
	e, err := ledger.Open(t.Context(), db.Journal(), ledger.Options{Now: after})
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for made := false; !made; <-tick.C {
		list, err := e.Digests(t.Context(), ledger.DigestFilter{Limit: 1})
		if err != nil || len(list) != 1 {
			t.Fatalf("%d digests, %v", len(list), err)
		}
		made = list[0].Made
	}
	if err := errors.Join(e.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// request adds the charge of a request, and now and then what follows from one.
func (a *author) request(accounts int64, at time.Time) {
	account := 1 + int64(float64(accounts)*a.rnd.Float64()*a.rnd.Float64())
	model := []string{"gpt-5-mini", "claude-sonnet-4-5", "gemini-2.5-flash"}[(account+a.rnd.Int64N(8)/7)%3]
	e := ledger.Entry{
		Time: at, Kind: ledger.KindUsage, Account: account, Key: account, Day: ledger.DayOf(at), Amount: money.Amount(10_000 + a.rnd.Int64N(1_000_000)),
		Model: model, Tokens: ledger.Tokens{Input: 1200, CachedInput: 1024, Output: 350, Reasoning: 128}, Classes: []string{"standard"},
	}
	binary.BigEndian.PutUint64(e.Request[:], uint64(at.UnixMilli())<<16|0x7000|a.rnd.Uint64N(1<<12))
	binary.BigEndian.PutUint64(e.Request[8:], a.rnd.Uint64()|1<<63)
	a.add(&e)
	doc := ledger.Receipt{
		Site: "openai", Surface: "openai.chat", Status: 200, Usage: e.Tokens, Took: 840 * time.Millisecond,
		Lines:    []ledger.Line{{Kind: "input", Units: 176, Amount: 44_000}, {Kind: "output", Units: 350, Amount: e.Amount - 44_000}},
		Attempts: []ledger.Attempt{{Target: "openai/" + model, Outcome: "ok", Status: 200, Took: 830 * time.Millisecond}},
	}
	r := &ledger.ReceiptRow{
		ID: e.Request, Seq: e.Seq, Account: account, Key: account, Model: model, Outcome: "ok", Delivery: ledger.DeliveryComplete, Started: at,
		Hold: e.Amount, Charge: e.Amount, Doc: doc.Doc(),
	}
	follow := ledger.Entry{Time: at, Account: account, Key: account, Day: e.Day, Amount: 1000, Request: e.Request, Model: model}
	switch a.rnd.IntN(200) {
	case 0:
		follow.Kind = ledger.KindRefund
		a.refunds = append(a.refunds, follow)
	case 1:
		follow.Kind, r.Absorbed = ledger.KindAbsorbed, 1000
		a.add(&follow)
	}
	e.Seal = r.Seal()
	a.batch.Receipts = append(a.batch.Receipts, r)
}

func (a *author) begin() {
	a.batch = &ledger.Batch{Epoch: a.mark.Epoch, After: a.seq}
	a.counters, a.usage = map[ledger.CounterID]*ledger.CounterRow{}, map[ledger.UsageID]*ledger.UsageRow{}
}

// add appends e to the batch and folds it.
func (a *author) add(e *ledger.Entry) {
	a.seq++
	e.Seq = a.seq
	a.batch.Entries = append(a.batch.Entries, e)
	if b := get(a.balances, e.Account, ledger.BalanceRow{Account: e.Account}); e.Kind == ledger.KindUsage {
		b.Used[0] += e.Amount
	} else if e.Kind != ledger.KindAbsorbed {
		b.Credit[0] += e.Amount
	}
	if e.Kind == ledger.KindTopup {
		return
	}
	id := ledger.UsageID{Day: e.Day, Account: e.Account, Key: e.Key, Model: e.Model}
	u := get(a.usage, id, ledger.UsageRow{UsageID: id})
	switch e.Kind {
	case ledger.KindRefund:
		u.Refunded += e.Amount
		return
	case ledger.KindAbsorbed:
		u.Absorbed += e.Amount
		return
	}
	u.Requests++
	u.Charge += e.Amount
	u.Tokens.Input, u.Tokens.CachedInput = u.Tokens.Input+e.Tokens.Input, u.Tokens.CachedInput+e.Tokens.CachedInput
	u.Tokens.Output, u.Tokens.Reasoning = u.Tokens.Output+e.Tokens.Output, u.Tokens.Reasoning+e.Tokens.Reasoning
	for _, id := range []ledger.CounterID{{Day: e.Day, Scope: ledger.ScopeKey, ID: e.Key}, {Day: e.Day, Scope: ledger.ScopePlan, ID: e.Account, Class: "standard"}} {
		c := get(a.counters, id, ledger.CounterRow{CounterID: id, Account: e.Account})
		c.Requests++
		c.Spent += e.Amount
	}
}

// get returns the row of k, which begins as it is given.
func get[K comparable, V any](rows map[K]*V, k K, begin V) *V {
	if rows[k] == nil {
		rows[k] = &begin
	}
	return rows[k]
}

// commit writes the batch with its folds and begins the next one.
func (a *author) commit() {
	a.t.Helper()
	f := &ledger.Fold{Seq: a.seq, LowWater: a.seq}
	touched := map[int64]bool{}
	for _, e := range a.batch.Entries {
		touched[e.Account] = true
	}
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		b := a.balances[id]
		b.Folded = a.seq
		f.Balances = append(f.Balances, *b)
	}
	for _, c := range a.counters {
		c.Folded = a.seq
		f.Counters = append(f.Counters, *c)
	}
	for _, u := range a.usage {
		u.Folded = a.seq
		f.Usage = append(f.Usage, *u)
	}
	slices.SortFunc(a.batch.Receipts, func(x, y *ledger.ReceiptRow) int { return slices.Compare(x.ID[:], y.ID[:]) })
	tx, err := a.j.Begin()
	if err != nil {
		a.t.Fatal(err)
	}
	if err := errors.Join(tx.Insert(a.batch), tx.Fold(f), tx.Commit()); err != nil {
		a.t.Fatal(errors.Join(err, tx.Rollback()))
	}
	a.begin()
	for i := range a.refunds {
		a.add(&a.refunds[i])
	}
	a.refunds = nil
}
