//go:build linux

// Command bench measures the gateway beside a bare reverse proxy, in one run:
// CPU per request, added latency, memory, time to ready, and the ratios.
//
// It starts a simulated upstream, a 40-line httputil.ReverseProxy and the built
// gateway, each as a process of its own. The measured process has the first
// processor to itself, upstream and load share the second. Rounds alternate
// between the two, so that a machine whose speed drifts drifts for both, and
// each figure is the median of its rounds.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

type options struct {
	bin, against    string
	out, profile    string
	rounds, streams int
	length          time.Duration
	only            int
	paces           bool
}

// scenario is one kind of load, and what it may cost.
type scenario struct {
	name   string
	prompt int // bytes
	conns  int
	stream bool

	// translated asks in Anthropic's dialect what the upstream answers in OpenAI's,
	// and is measured against the gateway itself where it passes bytes through.
	translated bool

	ratio float64       // of CPU per request to the bare proxy's, at most; 0: no budget
	added time.Duration // to the median of whole answers, at most; 0: no budget
	first time.Duration // to the median of the first event, at most; 0: no budget
}

var scenarios = []scenario{
	{name: "1 KB, 1 connection", prompt: 1 << 10, conns: 1, added: 400 * time.Microsecond},
	{name: "stream, 1 connection", prompt: 1 << 10, conns: 1, stream: true, first: 200 * time.Microsecond},
	{name: "1 KB, 64 connections", prompt: 1 << 10, conns: 64, ratio: 1.6},
	{name: "100 KB, 16 connections", prompt: 100 << 10, conns: 16, ratio: 2.5},
	{name: "stream, 64 connections", prompt: 1 << 10, conns: 64, stream: true, ratio: 1.3},
	{name: "translated, 1 KB, 64 connections", prompt: 1 << 10, conns: 64, translated: true, ratio: 2},
	{name: "translated stream, 64 connections", prompt: 1 << 10, conns: 64, stream: true, translated: true, ratio: 2},
}

func main() {
	o := options{}
	mode := flag.String("mode", "run", "run, upstream or proxy")
	flag.StringVar(&o.bin, "bin", "build/pontage", "the built gateway")
	flag.StringVar(&o.against, "against", "", "another build of the gateway, to be measured in place of the proxy")
	flag.StringVar(&o.out, "out", "", "also write the result to this file")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each measurement; the median counts")
	flag.DurationVar(&o.length, "length", 2*time.Second, "length of one round")
	flag.StringVar(&o.profile, "profile", "", "instead of measuring, write profiles of the gateway under each load into this folder")
	flag.IntVar(&o.streams, "streams", 5000, "open streams at once, for memory; 0: do not measure it")
	flag.IntVar(&o.only, "only", 0, "measure only the load of this number, from 1")
	flag.BoolVar(&o.paces, "paces", false, "measure only the time added to each event; chrt -f 1 before it keeps others on the machine out of the figures")
	addr := flag.String("addr", "", "listen here (upstream, proxy)")
	target := flag.String("target", "", "the upstream (proxy)")
	flag.Parse()
	var err error
	switch *mode {
	case "upstream":
		err = serveUpstream(*addr)
	case "proxy":
		err = serveProxy(*addr, *target)
	case "run":
		err = run(o)
	default:
		err = fmt.Errorf("unknown mode %q", *mode)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	pins, err := pin()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pontage-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	f, err := start(o, pins, dir)
	if err != nil {
		return err
	}
	defer f.stop()
	if o.profile != "" {
		return profiles(f, o)
	}
	r := report{w: os.Stdout}
	if o.out != "" {
		file, err := os.Create(o.out)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		r.w = io.MultiWriter(os.Stdout, file)
	}
	r.machine(pins, o, dir)
	idle := f.gateway.rss()
	var results []result
	for i, s := range scenarios {
		if o.paces || o.only != 0 && o.only != i+1 {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s …\n", s.name)
		got, err := compare(f, s, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		results = append(results, got)
	}
	var steady []*paced
	for i, p := range paces {
		if o.only != 0 && o.only != len(scenarios)+i+1 {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s, event by event …\n", p.name)
		got, err := keepPace(f, p, o)
		if err != nil {
			return err
		}
		steady = append(steady, got)
	}
	if len(results) > 0 {
		r.cpu(results)
		r.latency(results)
	}
	r.pace(steady)
	if o.only != 0 || o.paces {
		return nil
	}
	fmt.Fprintln(os.Stderr, "memory …")
	return memory(f, &r, o, idle)
}

// memory measures what the processes take, and how soon the gateway is ready.
// Open streams are measured on fresh processes, so that what load has left
// behind is not counted as theirs.
func memory(f *field, r *report, o options, idle int64) error {
	m := memories{ready: f.gateway.ready, idle: idle, proxyPeak: f.proxy.peak(), peak: f.gateway.peak()}
	if err := errors.Join(f.restart(f.proxy), f.restart(f.gateway)); err != nil {
		return err
	}
	m.readyAgain = f.gateway.ready
	if o.streams > 0 {
		for _, p := range []struct {
			*process
			to *held
		}{{f.proxy, &m.proxyHeld}, {f.gateway, &m.held}} {
			var err error
			if *p.to, err = hold(p.process, o.streams, func() error { return nil }); err != nil {
				return fmt.Errorf("open streams of %s: %w", p.name, err)
			}
		}
	}
	r.memory(m)
	return nil
}

// profiles writes what the gateway does under each load, for go tool pprof: its
// processor time, its allocations, and its heap with many open streams. They say
// where time goes, and not how much: profiling itself costs some.
func profiles(f *field, o options) error {
	if err := os.MkdirAll(o.profile, 0o755); err != nil {
		return err
	}
	for i, s := range scenarios {
		if o.only != 0 && o.only != i+1 {
			continue
		}
		for _, kind := range []string{"profile", "allocs"} {
			path := filepath.Join(o.profile, fmt.Sprintf("%d.%s.pprof", i+1, map[string]string{"profile": "cpu", "allocs": "allocs"}[kind]))
			got := make(chan error, 1)
			go func() { got <- f.gateway.profile(kind, path, o.length) }()
			fig, err := load(f, f.gateway, s, o.length+time.Second)
			if err := errors.Join(err, <-got); err != nil {
				return err
			}
			fmt.Printf("%s: %s, %d requests, %.3f CPU ms a request\n", path, s.name, fig.served, fig.cpuMS)
		}
	}
	if o.only != 0 || o.streams == 0 {
		return nil
	}
	if err := f.restart(f.gateway); err != nil {
		return err
	}
	_, err := hold(f.gateway, o.streams, func() error {
		return f.gateway.profile("heap?gc=1", filepath.Join(o.profile, "held.heap.pprof"), 0)
	})
	return err
}
