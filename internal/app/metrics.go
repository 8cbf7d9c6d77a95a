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
	hooks := a.outbox.Stats
	a.obs.Gauge("pontage_webhooks_pending", "Events that wait to be delivered.", func() float64 { return float64(hooks().Pending) })
	a.obs.Gauge("pontage_webhooks_failed", "Events that were given up and can be retried.", func() float64 { return float64(hooks().Failed) })
	a.obs.Counter("pontage_webhooks_delivered_total", "Events that were delivered.", func() float64 { return float64(hooks().Delivered) })
	a.obs.Counter("pontage_webhook_failures_total", "Tries to deliver an event that failed.", func() float64 { return float64(hooks().Failures) })
	a.obs.Counter("pontage_webhooks_dropped_total", "Events that fell out before they were delivered, because too many waited.", func() float64 { return float64(hooks().Dropped) })
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
