package ledger_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/store/sqlite"
)

// receipt is a receipt of ordinary size.
func receipt(started time.Time) *ledger.Receipt {
	return &ledger.Receipt{
		Site: "openai", Surface: "openai.chat", Model: "gpt-5-mini", Outcome: "ok", Status: 200, Stream: true,
		Usage: ledger.Tokens{Input: 1200, CachedInput: 1024, Output: 350, Reasoning: 128},
		Lines: []ledger.Line{{Kind: "input", Units: 176, Amount: 44_000}, {Kind: "cached_input", Units: 1024, Amount: 25_600}, {Kind: "output", Units: 350, Amount: 700_000}},
		Attempts: []ledger.Attempt{
			{Target: "openai/gpt-5-mini", Outcome: "ok", Status: 200, Took: 830 * time.Millisecond},
		},
		Started: started, Took: 840 * time.Millisecond,
	}
}

// BenchmarkHoldAndVoid is the work in memory: four buckets taken and given back.
func BenchmarkHoldAndVoid(b *testing.B) {
	h := setup(b)
	h.topup(1, 1000*money.Dollar)
	r := reserve(money.Cent)
	r.KeyRequestsPerDay, r.KeyUSDPerDay = 1000, 100*money.Dollar
	r.Quotas = []ledger.Quota{{Class: "open", PerDay: 1000}}
	b.ReportAllocs()
	for b.Loop() {
		hold, err := h.Hold(r)
		if err != nil {
			b.Fatal(err)
		}
		hold.Void(nil)
	}
}

// BenchmarkExtend is one step of a hold that grows with its stream.
func BenchmarkExtend(b *testing.B) {
	h := setup(b)
	h.topup(1, 1000*money.Dollar)
	r := reserve(money.Cent)
	r.KeyUSDPerDay = 900 * money.Dollar
	hold, err := h.Hold(r)
	if err != nil {
		b.Fatal(err)
	}
	defer hold.Abort()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := hold.Extend(1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSettle is the whole way to the disk, with many requests at once.
// Every settle is followed by the note that the answer was delivered.
func BenchmarkSettle(b *testing.B) {
	for _, workers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("goroutines=%d", workers), func(b *testing.B) { benchmarkSettle(b, workers, nil) })
	}
}

// BenchmarkSettleWithKey does the same for requests with an idempotency key, and
// answers of two kilobytes.
func BenchmarkSettleWithKey(b *testing.B) {
	body := []byte(strings.Repeat("A body of some words, which are much alike. ", 48))
	for _, workers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("goroutines=%d", workers), func(b *testing.B) { benchmarkSettle(b, workers, body) })
	}
}

func benchmarkSettle(b *testing.B, workers int, body []byte) {
	const accounts = 10_000
	h := setup(b)
	for a := range int64(accounts) {
		hold := ledger.Credit{Account: a + 1, Kind: ledger.KindTopup, Amount: 1000 * money.Dollar}
		if a%500 == 0 || a < 500 {
			if _, err := h.Credit(background, hold); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := int64(w); left.Add(-1) >= 0; n += 7 {
				account := 1 + n%500
				hold, err := h.Hold(ledger.Reservation{Account: account, Key: 2*account + n%2, Request: request(), Amount: money.Cent, KeyUSDPerDay: 900 * money.Dollar})
				if err != nil {
					b.Error(err)
					return
				}
				settlement := ledger.Settlement{Actual: money.Cent / 2, Receipt: receipt(h.clock.now())}
				if body != nil {
					id := hold.Request()
					c, _, err := h.Claim(background, ledger.IdemKey{Account: account, Key: string(id[:])}, one, 0)
					if err != nil {
						b.Error(err)
						return
					}
					settlement.Claim, settlement.Render = c, render(&ledger.Stored{Status: 200, Body: body, Kept: true})
				}
				s, err := hold.Settle(background, settlement)
				if err != nil || s.Charge != money.Cent/2 {
					b.Error(s, err)
					return
				}
				h.Delivered(hold.Request())
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	rate := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "settles/s")
	st := h.Stats()
	b.ReportMetric(float64(b.N)/float64(st.Batches), "settles/batch")
	if st.DroppedMarks > 0 {
		b.Logf("%d deliveries dropped", st.DroppedMarks)
	}
	if workers == 512 && body == nil && b.N >= 20_000 && rate < 10_000 {
		b.Error(errors.New("below 10,000 settles a second"))
	}
	h.verify()
}

// BenchmarkOpen is the time to ready of a ledger with many accounts, whose last
// process died with a second's worth of entries that are not folded.
func BenchmarkOpen(b *testing.B) {
	const accounts, tail = 1_000_000, 100_000
	h := setup(b)
	h.close()
	db, err := sqlite.Open(background, h.path)
	if err != nil {
		b.Fatal(err)
	}
	err = db.Update(background, func(tx *sql.Tx) error {
		_, err := tx.Exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO balances SELECT i, 1000000000, 0, 0, 0, 0 FROM n", accounts)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	mark, err := db.Journal().Start(background)
	if err != nil {
		b.Fatal(err)
	}
	batch := &ledger.Batch{Epoch: mark.Epoch}
	for i := range int64(tail) {
		batch.Entries = append(batch.Entries, &ledger.Entry{
			Seq: i + 1, Time: h.clock.now(), Kind: ledger.KindUsage, Account: 1 + i%20_000, Key: 1 + i%20_000, Day: ledger.DayOf(h.clock.now()), Amount: 1, Request: request(), Model: "m",
		})
	}
	tx, err := db.Journal().Begin()
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(tx.Insert(batch), tx.Commit(), db.Close()); err != nil {
		b.Fatal(err)
	}
	var took time.Duration
	for b.Loop() {
		dir := b.TempDir()
		if err := copyFile(h.path, filepath.Join(dir, "pontage.db")); err != nil {
			b.Fatal(err)
		}
		c := &house{t: b, path: filepath.Join(dir, "pontage.db"), clock: h.clock}
		start := time.Now()
		c.reopen()
		took += time.Since(start)
		if got := c.Balance(7).Posted; got != money.Dollar-5 {
			b.Errorf("balance = %s", got)
		}
		c.close()
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "s-to-ready")
}

// BenchmarkVerify is the time per entry of a verification.
func BenchmarkVerify(b *testing.B) {
	h := setup(b)
	together(64, func(i int) {
		account := int64(i + 1)
		h.topup(account, money.Dollar)
		for range 2000 {
			hold, err := h.Hold(ledger.Reservation{Account: account, Key: account, Request: request(), Amount: 1})
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := hold.Settle(background, ledger.Settlement{Actual: 1, Receipt: receipt(h.clock.now())}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	entries := int64(0)
	for b.Loop() {
		entries = h.verify().Entries
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(entries), "ns/entry")
}
