package app

import (
	"slices"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/dash"
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
	a.targetMetrics()
}

// targetMetrics registers how the targets are that have been used: nothing is known
// of the others, and there may be hundreds.
func (a *App) targetMetrics() {
	each := func(value func(dash.TargetHealth) float64) func(emit func(string, float64)) {
		return func(emit func(string, float64)) {
			for _, t := range a.health.Targets() {
				if t.Requests > 0 {
					emit(t.Target, value(t))
				}
			}
		}
	}
	left := func(until time.Time) float64 {
		if until.IsZero() {
			return 0
		}
		return max(until.Sub(a.health.now()).Seconds(), 0)
	}
	a.obs.GaugeBy("pontage_target_healthy", "Whether a target that has been used would be tried now.", "target", each(func(t dash.TargetHealth) float64 {
		if t.Healthy {
			return 1
		}
		return 0
	}))
	a.obs.GaugeBy("pontage_circuit_state", "The breaker of a target that has been used: 0 closed, 1 half open, 2 open.", "target", each(func(t dash.TargetHealth) float64 {
		return map[string]float64{"half_open": 1, "open": 2}[t.Breaker]
	}))
	a.obs.GaugeBy("pontage_target_cooldown_seconds", "How much longer a target is left alone, as its provider asked.", "target", each(func(t dash.TargetHealth) float64 { return left(t.CooldownUntil) }))
	a.obs.GaugeBy("pontage_target_quarantine_seconds", "How much longer a target is out of use because its credential was refused.", "target", each(func(t dash.TargetHealth) float64 { return left(t.QuarantinedUntil) }))
	a.obs.GaugeBy("pontage_target_latency_seconds", "Time to the first content of a target's streams lately; 0: nothing was measured.", "target", each(func(t dash.TargetHealth) float64 { return t.Latency.Seconds() }))
}
