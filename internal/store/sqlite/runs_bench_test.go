package sqlite

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
)

// BenchmarkRuns is what noting an entry and its receipt by their account takes
// beside the charges, and what a page of an account with few of them takes.
func BenchmarkRuns(b *testing.B) {
	const accounts, runs = 10_000, 4
	db, err := Open(b.Context(), filepath.Join(b.TempDir(), "pontage.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.runs.close() // the benchmark does its work
	m, err := db.Journal().Start(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	n := runs * db.runs.length
	rnd := rand.New(rand.NewPCG(1, 2))
	c := &crowd{rnd: rnd}
	batch := &ledger.Batch{Epoch: m.Epoch}
	for seq := range n {
		account := 2 + rnd.Int64N(accounts)
		if seq%20_000 == 7 {
			account = 1
		}
		e := &ledger.Entry{Seq: seq + 1, Kind: ledger.KindUsage, Account: account, Amount: 1, Time: time.UnixMilli(seq), Request: c.id(seq)}
		batch.Entries = append(batch.Entries, e)
		batch.Receipts = append(batch.Receipts, &ledger.ReceiptRow{ID: e.Request, Seq: e.Seq, Account: account, Charge: 1, Doc: new(ledger.Receipt).Doc()})
	}
	tx, err := db.Journal().Begin()
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(tx.Insert(batch), tx.Commit()); err != nil {
		b.Fatal(err)
	}
	r := &runner{db: db, length: db.runs.length, rest: 1}
	db.settled = 0
	b.Run("fill", func(b *testing.B) {
		for b.Loop() {
			for _, do := range []string{"UPDATE run_mark SET entry_runs = 0, receipts_upto = x'', late_upto = x''", "DELETE FROM receipt_bounds"} {
				if _, err := db.admin.ExecContext(b.Context(), do); err != nil {
					b.Fatal(err)
				}
			}
			r.entries.Store(0)
			for range runs {
				if err := r.entryRun(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			if err := r.receiptRun(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/settle")
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			rows, _, err := db.Journal().ListReceipts(b.Context(), ledger.Filter{Account: 1}, [16]byte{}, 100)
			if err != nil || len(rows) != int(n/20_000)+1 {
				b.Fatal(len(rows), err)
			}
			list, err := db.Journal().ListEntries(b.Context(), ledger.TransactionFilter{Account: 1, Limit: 100})
			if err != nil || len(list) != len(rows) {
				b.Fatal(len(list), err)
			}
		}
	})
}
