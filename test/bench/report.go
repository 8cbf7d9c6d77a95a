//go:build linux

package main

import (
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"
)

// report writes what was measured, with budgets and verdicts.
type report struct{ w io.Writer }

// memories is what the processes take.
type memories struct {
	ready, readyAgain time.Duration
	idle              int64 // bytes, of the gateway before any load
	proxyPeak, peak   int64 // bytes, under the loads
	proxyHeld, held   held
}

func (r *report) machine(p pins, o options, dir string) {
	fmt.Fprintf(r.w, "%s, %s, %d rounds of %s; processors pinned: ", processor(), runtime.Version(), o.rounds, o.length)
	if p.none != "" {
		fmt.Fprintf(r.w, "NO (%s), so the processes disturb each other\n", p.none)
	} else {
		fmt.Fprintf(r.w, "%d for the measured, %d for upstream and load\n", p.measured, p.other)
	}
	if o.against != "" {
		fmt.Fprintf(r.w, "in place of the proxy: %s\n", o.against)
	}
	if p50, p99, err := syncTimes(dir); err == nil {
		fmt.Fprintf(r.w, "making 4 KB durable on this disk: p50 %s, p99 %s\n", short(p50), short(p99))
	}
}

// table starts a table below a title.
func (r *report) table(title, head string) *tabwriter.Writer {
	fmt.Fprintf(r.w, "\n%s\n", title)
	tw := tabwriter.NewWriter(r.w, 2, 2, 2, ' ', 0)
	fmt.Fprintln(tw, head)
	return tw
}

// cpu writes processor time. The ratio is the median of the rounds' ratios, with
// their range, and that of the least processor time in any round. Busy is in processors: how much of one the measured
// gateway used; upstream and load beside it, who are the bottleneck if that is
// near 1; and whoever else is on this machine.
func (r *report) cpu(results []result) {
	tw := r.table("Processor time a request, ms",
		"load\tproxy\tgateway\tratio (rounds)\tof least\tbudget\tverdict\tsettlements a commit\treads+writes proxy/gateway\tbusy: gateway\tupstream+load\tothers")
	for _, x := range results {
		budget, verdict := "-", "-"
		if x.s.ratio > 0 {
			budget, verdict = fmt.Sprintf("≤ %.1f", x.s.ratio), kept(x.ratio <= x.s.ratio)
		}
		fmt.Fprintf(tw, "%s\t%.3f\t%.3f\t%.2f (%.2f–%.2f)\t%.2f\t%s\t%s\t%.1f\t%.1f / %.1f\t%.2f\t%.2f\t%.2f\n", x.s.name, x.proxy.cpuMS, x.gateway.cpuMS,
			x.ratio, x.lowest, x.highest, x.least, budget, verdict, x.gateway.perCommit, x.proxy.calls, x.gateway.calls, x.gateway.busy, x.gateway.besides, x.gateway.others)
	}
	_ = tw.Flush()
	for _, x := range results {
		if most := max(x.proxy.besides, x.gateway.besides); most > 0.9 {
			fmt.Fprintf(r.w, "%s: upstream and load were busy %.2f of their processor, and so the bottleneck: throughput and latency are theirs.\n", x.s.name, most)
		}
		if most := max(x.proxy.others, x.gateway.others); most > 0.3 {
			fmt.Fprintf(r.w, "%s: others used %.2f processors meanwhile: trust nothing but the ratios, and those within their range.\n", x.s.name, most)
		}
	}
}

// latency writes times. They are the callers', and mean little while others are
// busy.
func (r *report) latency(results []result) {
	tw := r.table("Latency", "load\tproxy p50/p99\tgateway p50/p99\tadded p50/p99\tadded first event p50/p99\tbudget\tverdict\treq/s proxy/gateway")
	for _, x := range results {
		p, g := x.proxy, x.gateway
		first, budget, verdict := "-", "-", "-"
		if x.s.stream {
			first = short(g.first50-p.first50) + " / " + short(g.first99-p.first99)
		}
		switch {
		case x.s.added > 0:
			budget, verdict = "added p50 ≤ "+short(x.s.added), kept(g.p50-p.p50 <= x.s.added)
		case x.s.first > 0:
			budget, verdict = "first event p50 ≤ "+short(x.s.first), kept(g.first50-p.first50 <= x.s.first)
		}
		fmt.Fprintf(tw, "%s\t%s / %s\t%s / %s\t%s / %s\t%s\t%s\t%s\t%.0f / %.0f\n", x.s.name, short(p.p50), short(p.p99), short(g.p50), short(g.p99),
			short(g.p50-p.p50), short(g.p99-p.p99), first, budget, verdict, p.perSecond, g.perSecond)
	}
	_ = tw.Flush()
}

func (r *report) memory(m memories) {
	tw := r.table("Process", "\tproxy\tgateway\tbudget\tverdict")
	fmt.Fprintf(tw, "ready after\t-\t%s, after a kill %s\t< 1s\t%s\n", short(m.ready), short(m.readyAgain), kept(max(m.ready, m.readyAgain) < time.Second))
	fmt.Fprintf(tw, "RSS idle\t-\t%d MB\t≤ 40 MB\t%s\n", m.idle>>20, kept(m.idle <= 40<<20))
	fmt.Fprintf(tw, "RSS peak under load\t%d MB\t%d MB\t-\t-\n", m.proxyPeak>>20, m.peak>>20)
	if m.held.streams > 0 {
		fmt.Fprintf(tw, "each of %d open streams\t%.0f KB\t%.0f KB\t≤ 70 KB\t%s\n", m.held.streams, m.proxyHeld.each(), m.held.each(), kept(m.held.each() <= 70))
	}
	_ = tw.Flush()
}

func kept(yes bool) string {
	if yes {
		return "kept"
	}
	return "MISSED"
}

func short(d time.Duration) string {
	if d > 10*time.Millisecond || d < -10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
