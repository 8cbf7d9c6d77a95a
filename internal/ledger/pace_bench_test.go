//go:build unix

package ledger_test

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// BenchmarkSettleAtPace settles so many requests a second, each [paceOpen] after
// its hold and whether or not those before are done: how long each waits for the
// disk, and what it costs of a processor. With a slow disk every commit takes 4 ms
// longer. Without a ledger it is what the benchmark itself costs, to be subtracted.
func BenchmarkSettleAtPace(b *testing.B) {
	for _, pace := range []int{1000, 10_000} {
		for _, disk := range []string{"as it is", "slow"} {
			b.Run(fmt.Sprintf("pace=%d/disk=%s", pace, disk), func(b *testing.B) { benchmarkPace(b, pace, disk == "slow", (*house).settleOne) })
		}
		b.Run(fmt.Sprintf("pace=%d/ledger=none", pace), func(b *testing.B) { benchmarkPace(b, pace, false, (*house).settleNone) })
	}
}

const (
	paceAccounts = 10_000
	paceOpen     = 20 * time.Millisecond // from a hold to its settlement
)

func benchmarkPace(b *testing.B, pace int, slow bool, one func(*house, *testing.B, int) time.Duration) {
	h := setup(b)
	together(64, func(i int) {
		for a := int64(i); a < paceAccounts; a += 64 {
			h.topup(a+1, 1000*money.Dollar)
		}
	})
	if slow {
		if err := h.fp.Arm(failpoint.SlowDisk, math.MaxInt32); err != nil {
			b.Fatal(err)
		}
	}
	waits := make([]time.Duration, b.N)
	before := processor(b)
	b.ResetTimer()
	var wg sync.WaitGroup
	start := time.Now()
	for n := range b.N {
		if ahead := time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(pace))); ahead > 0 {
			time.Sleep(ahead)
		}
		wg.Go(func() { waits[n] = one(h, b, n) })
	}
	wg.Wait()
	b.StopTimer()
	used := processor(b) - before
	refused := len(waits)
	waits = slices.DeleteFunc(waits, func(d time.Duration) bool { return d == 0 })
	refused -= len(waits)
	slices.Sort(waits)
	quantile := func(q float64) float64 {
		return float64(waits[min(len(waits)-1, int(q*float64(len(waits))))].Microseconds()) / 1000
	}
	b.ReportMetric(quantile(0.5), "p50-ms")
	b.ReportMetric(quantile(0.99), "p99-ms")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(len(waits))/b.Elapsed().Seconds(), "settles/s")
	b.ReportMetric(float64(refused)/float64(b.N), "refused/op")
}

// settleOne is one request: every fifth is of the same account. It returns how
// long the settlement took; 0: it was refused, since too much waits.
func (h *house) settleOne(b *testing.B, n int) time.Duration {
	account := int64(1)
	if n%5 > 0 {
		account = 1 + int64(n)*7%paceAccounts
	}
	hold, err := h.Hold(ledger.Reservation{Account: account, Key: account, Request: request(), Amount: money.Cent, KeyUSDPerDay: 900 * money.Dollar})
	if errors.Is(err, ledger.ErrUnavailable) {
		return 0
	}
	if err != nil {
		b.Error(err)
		return 0
	}
	time.Sleep(paceOpen)
	begun := time.Now()
	if _, err := hold.Settle(background, ledger.Settlement{Actual: 1000, Receipt: receipt(h.clock.now())}); err != nil {
		b.Error(err)
	}
	took := time.Since(begun)
	h.Delivered(hold.Request())
	return took
}

// settleNone is settleOne without the ledger.
func (h *house) settleNone(*testing.B, int) time.Duration {
	_, doc := request(), receipt(h.clock.now())
	time.Sleep(paceOpen)
	begun := time.Now()
	runtime.KeepAlive(doc)
	return max(time.Since(begun), 1)
}

// processor returns the processor time that this process has used.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
