package ledger_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
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

// BenchmarkSettle is the whole way to the disk, with many requests at once.
// Every settle is followed by the note that the answer was delivered.
func BenchmarkSettle(b *testing.B) {
	for _, workers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("goroutines=%d", workers), func(b *testing.B) { benchmarkSettle(b, workers) })
	}
}

func benchmarkSettle(b *testing.B, workers int) {
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
				s, err := hold.Settle(background, ledger.Settlement{Actual: money.Cent / 2, Receipt: receipt(h.clock.now())})
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
	if workers == 512 && b.N >= 20_000 && rate < 10_000 {
		b.Error(errors.New("below 10,000 settles a second"))
	}
	h.verify()
}
