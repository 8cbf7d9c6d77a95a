package app

import (
	"slices"
	"strings"
)

// metrics registers what is read when somebody looks.
func (a *App) metrics() {
	stats := a.ledger.Stats
	a.obs.Gauge("pontage_holds_open", "Holds of requests in flight.", func() float64 { return float64(stats().OpenHolds) })
	a.obs.Gauge("pontage_ledger_queue", "Journal operations that wait to be written.", func() float64 { return float64(stats().Waiting) })
	a.obs.Counter("pontage_ledger_commits_total", "Commits of the journal.", func() float64 { return float64(stats().Batches) })
	a.obs.Gauge("pontage_ledger_last_seq", "Number of the newest durable entry of the journal.", func() float64 { return float64(stats().LastSeq) })
	a.obs.Counter("pontage_ledger_absorbed_nanousd_total", "Cost above what could be charged, in nano-dollars.", func() float64 { return float64(stats().Absorbed) })
	a.obs.Counter("pontage_receipts_dropped_total", "Receipts of uncharged requests that were dropped because too many waited.", func() float64 { return float64(stats().DroppedReceipts) })
	a.obs.Gauge("pontage_limiter_keys", "Keys whose throughput is remembered.", func() float64 { return float64(a.limiter.Len()) })
	a.obs.GaugeBy("pontage_degraded", "Whether that keeps the process from taking traffic: see /readyz.", "what", func(emit func(string, float64)) {
		now := a.degraded()
		for _, what := range []string{"draining", "ledger"} {
			v := 0.0
			if slices.ContainsFunc(now, func(why string) bool { return why == what || strings.HasPrefix(why, what+":") }) {
				v = 1
			}
			emit(what, v)
		}
	})
	a.obs.GaugeBy("pontage_target_healthy", "Whether a target that has been used would be tried now.", "target", func(emit func(string, float64)) {
		for _, t := range a.health.Targets() {
			if t.Requests == 0 {
				continue // nothing is known of it, and there may be hundreds
			}
			v := 0.0
			if t.Healthy {
				v = 1
			}
			emit(t.Target, v)
		}
	})
}
