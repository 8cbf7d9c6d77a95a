// Command bench measures the gateway beside a bare reverse proxy, in one run:
// CPU per request, added latency, memory per open stream, and the ratios.
//
// It starts a simulated upstream, a 40-line httputil.ReverseProxy and the built
// gateway, each as a process of its own. The measured process is pinned to the
// first processor, upstream and load to the second. Rounds alternate between
// the two, so that a machine whose speed drifts drifts for both.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

func main() {
	mode := flag.String("mode", "run", "run, upstream or proxy")
	bin := flag.String("bin", "build/pontage", "the built gateway")
	out := flag.String("out", "", "also write the result to this file")
	rounds := flag.Int("rounds", 3, "rounds of each measurement; the median counts")
	length := flag.Duration("length", 3*time.Second, "length of one round")
	addr := flag.String("addr", "", "listen here (upstream, proxy)")
	target := flag.String("target", "", "the upstream (proxy)")
	profile := flag.String("profile", "", "instead of measuring, write a CPU profile of the gateway under each load into this folder")
	streams := flag.Int("streams", 5000, "open streams at once, for memory")
	flag.Parse()
	var err error
	switch *mode {
	case "upstream":
		err = serveUpstream(*addr)
	case "proxy":
		err = serveProxy(*addr, *target)
	case "run":
		err = run(options{bin: *bin, out: *out, rounds: *rounds, length: *length, profile: *profile, streams: *streams})
	default:
		err = fmt.Errorf("unknown mode %q", *mode)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	bin, out, profile string
	rounds, streams   int
	length            time.Duration
}

// scenario is one kind of load.
type scenario struct {
	name   string
	prompt int // bytes
	conns  int
	stream bool
	budget float64 // ratio of CPU per request to the bare proxy's; 0: none
}

var scenarios = []scenario{
	{"1 KB, 1 connection", 1 << 10, 1, false, 0},
	{"1 KB, 64 connections", 1 << 10, 64, false, 1.6},
	{"100 KB, 16 connections", 100 << 10, 16, false, 2.5},
	{"stream of 50 events, 64 connections", 1 << 10, 64, true, 1.3},
}

// figures are the medians of one scenario for one process.
type figures struct {
	cpuMS          float64 // per request
	p50, p99       time.Duration
	first          time.Duration // to the first event, median
	perSecond      float64
	failed, served int
}

func run(o options) error {
	dir, err := os.MkdirTemp("", "pontage-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	field, err := start(o, dir)
	if err != nil {
		return err
	}
	defer field.stop()
	if o.profile != "" {
		return profiles(field, o)
	}
	var w io.Writer = os.Stdout
	if o.out != "" {
		f, err := os.Create(o.out)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		w = io.MultiWriter(os.Stdout, f)
	}
	tw := tabwriter.NewWriter(w, 2, 2, 2, ' ', 0)
	fmt.Fprintln(tw, "load\tproxy CPU ms\tgateway CPU ms\tratio\tbudget\tproxy p50/p99\tgateway p50/p99\tadded p50/p99\tadded first event\tgateway req/s")
	for _, s := range scenarios {
		p, g, ratio, err := compare(field, s, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		budget := "-"
		if s.budget > 0 {
			budget = fmt.Sprintf("%.1f", s.budget)
		}
		first := "-"
		if s.stream {
			first = short(g.first - p.first)
		}
		fmt.Fprintf(tw, "%s\t%.3f\t%.3f\t%.2f\t%s\t%s/%s\t%s/%s\t%s/%s\t%s\t%.0f\n", s.name, p.cpuMS, g.cpuMS, ratio, budget,
			short(p.p50), short(p.p99), short(g.p50), short(g.p99), short(g.p50-p.p50), short(g.p99-p.p99), first, g.perSecond)
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	return memory(field, w, o)
}

func short(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

// compare runs a scenario against both in turn. The ratio is the median of the
// rounds' own ratios.
func compare(f *field, s scenario, o options) (proxy, gateway figures, ratio float64, err error) {
	var ps, gs []figures
	var ratios []float64
	for i := range o.rounds + 1 {
		length := o.length
		if i == 0 {
			length /= 3 // to warm up
		}
		p, err := load(f.proxy, s, length)
		if err != nil {
			return proxy, gateway, 0, fmt.Errorf("proxy: %w", err)
		}
		g, err := load(f.gateway, s, length)
		if err != nil {
			return proxy, gateway, 0, fmt.Errorf("gateway: %w", err)
		}
		if i == 0 {
			continue
		}
		ps, gs = append(ps, p), append(gs, g)
		ratios = append(ratios, g.cpuMS/p.cpuMS)
	}
	slices.Sort(ratios)
	return median(ps), median(gs), ratios[len(ratios)/2], nil
}

func median(fs []figures) figures {
	mid := func(get func(figures) float64) float64 {
		var vs []float64
		for _, f := range fs {
			vs = append(vs, get(f))
		}
		slices.Sort(vs)
		return vs[len(vs)/2]
	}
	return figures{
		cpuMS:     mid(func(f figures) float64 { return f.cpuMS }),
		p50:       time.Duration(mid(func(f figures) float64 { return float64(f.p50) })),
		p99:       time.Duration(mid(func(f figures) float64 { return float64(f.p99) })),
		first:     time.Duration(mid(func(f figures) float64 { return float64(f.first) })),
		perSecond: mid(func(f figures) float64 { return f.perSecond }),
	}
}

// memory prints what the processes take idle and with many open streams.
func memory(f *field, w io.Writer, o options) error {
	for _, p := range []*process{f.proxy, f.gateway} {
		idle := p.rss()
		open, err := hold(p, o.streams)
		if err != nil {
			return fmt.Errorf("open streams of %s: %w", p.name, err)
		}
		if _, err := fmt.Fprintf(w, "%s: RSS %d MB before, %d MB with %d streams open: %.0f KB a stream\n",
			p.name, idle>>20, open.rss>>20, open.streams, float64(open.rss-idle)/1024/float64(open.streams)); err != nil {
			return err
		}
	}
	return nil
}

// profiles writes what the gateway does under each load, for go tool pprof.
func profiles(f *field, o options) error {
	if err := os.MkdirAll(o.profile, 0o755); err != nil {
		return err
	}
	for i, s := range scenarios {
		got := make(chan error, 1)
		go func() { got <- f.gateway.profile(filepath.Join(o.profile, fmt.Sprintf("%d.pprof", i)), o.length) }()
		fig, err := load(f.gateway, s, o.length+time.Second)
		if err := errors.Join(err, <-got); err != nil {
			return err
		}
		fmt.Printf("%d.pprof: %s, %.3f CPU ms a request\n", i, s.name, fig.cpuMS)
	}
	return nil
}
