package soak

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// Tolerances.
const (
	restSlack = 10              // goroutines and files above the idle level, at rest: the runtime's and the pools' own
	rssFactor = 1.3             // of the last third of the run, to the first
	rssSlack  = 24 << 20        // bytes above that: the collector's
	mostWAL   = (64 + 24) << 20 // the writer resets the log above 64 MiB
)

// briefly is how long it takes if nobody says.
const briefly = 8 * time.Second

func config(u *upstream) string {
	var b strings.Builder
	const timers = "timeouts: {connect: 2s, headers: 3s, first_event: 3s, idle: 3s, total: 30s}"
	for _, p := range []struct{ name, kind string }{{"openly", "openai"}, {"clerk", "anthropic"}, {"locked", "openai"}, {"limited", "openai"}} {
		fmt.Fprintf(&b, "  %s: {kind: %s, base_url: \"%s/v1\", api_key: k, catalog: none, %s}\n", p.name, p.kind, u.srv.URL, timers)
	}
	providers := strings.ReplaceAll(b.String(), "kind: openai,", "kind: openai, quirks: openai,")
	b.Reset()
	for _, name := range slices.Sorted(maps.Keys(tariffs)) {
		provider, t := "openly", tariffs[name]
		switch name {
		case "claude":
			provider = "clerk"
		case "locked", "limited":
			provider = name
		}
		price := fmt.Sprintf("input: %s, cached_input: %s, output: %s", usd(t.input), usd(t.cached), usd(t.output))
		more := "max_output: 4000"
		if name == "vectors" {
			price, more = "input: "+usd(t.input), "kind: embedding"
		}
		fmt.Fprintf(&b, "  %s: {targets: [{provider: %s}], context: 100000, %s, price: {%s}}\n", name, provider, more, price)
	}
	return "providers:\n" + providers +
		"routing: {attempts: 2, backoff: {base: 1ms, max: 2ms}, breaker: {failures: 1000, open: 1s, max_open: 1s}}\nmodels:\n" + b.String() +
		"sites: [{hosts: [\"*\"], contract: openai}, {hosts: [" + jobHost + "], contract: llmtune}]\n"
}

// usd writes nano-dollars as dollars.
func usd(nano int64) string { return fmt.Sprintf("%d.%09d", nano/1e9, nano%1e9) }

// result is what a run writes to build/soak.json.
type result struct {
	harness.Provenance
	Traffic  string         `json:"traffic_for"`
	Complete bool           `json:"complete"` // nothing was found
	Requests map[fate]int   `json:"requests"`
	Refusals map[int]int    `json:"refusals_by_status"` // 200: in a stream
	Jobs     map[string]int `json:"jobs"`
	Calls    map[string]int `json:"upstream_calls"` // by what the upstream did
	TopUps   int            `json:"top_ups"`
	Refunds  int            `json:"refunds"`
	Reloads  int            `json:"reloads"`
	Idle     sample         `json:"idle"`
	Rest     sample         `json:"at_rest"`
	RSSFirst float64        `json:"rss_median_first_third_bytes"`
	RSSLast  float64        `json:"rss_median_last_third_bytes"`
	MaxRSS   float64        `json:"rss_max_bytes"`
	MaxWAL   float64        `json:"wal_max_bytes"`
	MaxGo    float64        `json:"goroutines_max"`
	MaxFDs   float64        `json:"fds_max"`
	Samples  int            `json:"samples"`
	Books    *books         `json:"books"`
}

// run is one run.
type run struct {
	t *testing.T
	g *harness.Gateway
	u *upstream
	s *traffic
	o *operator
	m *sampler
	r result
}

// Whatever comes, nothing piles up, and the journal says what the upstream says.
func TestNothingPilesUp(t *testing.T) {
	length := briefly
	if text := os.Getenv("PONTAGE_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("PONTAGE_SOAK: %v", err)
		}
	}
	begun := time.Now()
	u := newUpstream(t)
	c := config(u)
	g := harness.Start(t, harness.Options{Config: c, Server: "drain: 20s", Args: []string{"serve", "--test", "--log-level", "error", "--config", "pontage.yaml"}})
	s := newTraffic(g)
	x := &run{t: t, g: g, u: u, s: s, o: &operator{t: t, s: s, config: c}, m: &sampler{s: s, every: max(length/400, 250*time.Millisecond)}}
	x.o.settle()
	s.run(max(length/10, time.Second), x.o.money, x.o.look)
	x.r.Idle = x.rest(nil)
	s.run(length, x.o.money, x.o.configure, x.o.look, x.m.run)
	x.r.Rest = x.rest(&x.r.Idle)
	x.flat()
	if n := x.g.Settled(t); n != 3 {
		t.Errorf("there are %d accounts, want 3", n)
	}
	if err := g.Stop(); err != nil {
		t.Errorf("the process ended with %v, want 0", err)
	}
	x.count()
	x.r.Provenance, x.r.Traffic, x.r.Complete = harness.Provenanced(t, begun), length.String(), !t.Failed()
	harness.WriteResult(t, "soak.json", x.r)
	x.tell()
}

// idle is the lowest that is seen of the process while nobody asks for anything.
func (x *run) idle() (low sample) {
	x.t.Helper()
	for begun := time.Now(); time.Since(begun) < 3*time.Second; time.Sleep(100 * time.Millisecond) {
		x.u.srv.CloseClientConnections()
		now, err := read(x.g)
		if err != nil {
			x.t.Fatal(err)
		}
		if low.Goroutines == 0 || now.Goroutines <= low.Goroutines && now.FDs <= low.FDs {
			low = now
		}
	}
	return low
}

// rest waits until the process is at rest: nothing in flight, nothing held, and
// goroutines and files at the idle level; nil: that is not known yet.
func (x *run) rest(idle *sample) (now sample) {
	x.t.Helper()
	if idle == nil {
		return x.idle()
	}
	for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		x.u.srv.CloseClientConnections() // which the gateway keeps for the next request
		var err error
		if now, err = read(x.g); err != nil {
			x.t.Fatal(err)
		}
		busy := now.InFlight > 0 || now.Holds > 0 || now.Queue > 0
		if !busy && now.Goroutines <= idle.Goroutines+restSlack && now.FDs <= idle.FDs+restSlack {
			return now
		}
		if time.Now().After(deadline) {
			x.t.Errorf("at rest: %+v, idle was %+v", now, idle)
			return now
		}
	}
}

// flat judges the samples.
func (x *run) flat() {
	if len(x.m.all) < 12 {
		x.t.Errorf("%d samples are too few", len(x.m.all))
		return
	}
	r := &x.r
	rss := x.m.of(func(s sample) float64 { return s.RSS })
	r.Samples = len(x.m.all)
	r.RSSFirst, r.RSSLast = thirds(rss)
	r.MaxRSS = slices.Max(rss)
	r.MaxWAL = slices.Max(x.m.of(func(s sample) float64 { return s.WAL }))
	r.MaxGo = slices.Max(x.m.of(func(s sample) float64 { return s.Goroutines }))
	r.MaxFDs = slices.Max(x.m.of(func(s sample) float64 { return s.FDs }))
	if r.RSSLast > r.RSSFirst*rssFactor+rssSlack {
		x.t.Errorf("the memory grows: %.1f MiB in the first third, %.1f MiB in the last", r.RSSFirst/(1<<20), r.RSSLast/(1<<20))
	}
	if r.MaxWAL > mostWAL {
		x.t.Errorf("the log of the database grew to %.1f MiB", r.MaxWAL/(1<<20))
	}
	if r.Rest.Dropped > 0 {
		x.t.Errorf("%.0f receipts were dropped", r.Rest.Dropped)
	}
}

// count holds the journal against the upstream's bill, and looks whether enough
// was going on.
func (x *run) count() {
	t, r := x.t, &x.r
	if out, err := exec.Command(harness.Binary(t), "verify", "--db", x.g.DatabasePath()).CombinedOutput(); err != nil {
		t.Errorf("pontage verify: %v\n%s", err, out)
	}
	b, err := reconcile(x.g.DatabasePath(), x.s, x.u)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range append(b.found, x.s.odd...) {
		t.Error(found)
	}
	r.Books, r.Requests, r.Refusals, r.Jobs, r.Calls = b, x.s.fates, x.s.status, x.s.jobs, x.u.calls
	r.TopUps, r.Refunds, r.Reloads = x.o.topUps, x.o.refunds, x.o.reloads
	for _, want := range []fate{acked, replayed, refused, left} {
		if r.Requests[want] == 0 {
			t.Errorf("no request was %s", want)
		}
	}
	for _, status := range []int{402, 429, 200} {
		if r.Refusals[status] == 0 {
			t.Errorf("nothing was refused with %d", status)
		}
	}
	for _, do := range []string{ends, blocks, empty, hangs, stalls, cuts, garbles} {
		if r.Calls[do] == 0 {
			t.Errorf("the upstream never did %q", do)
		}
	}
	if r.Jobs["completed"] == 0 || r.TopUps == 0 || r.Refunds == 0 || r.Reloads == 0 {
		t.Errorf("too little was going on: %+v", r)
	}
}

// tell says it in a few lines, the last one for docs/reliability.md.
func (x *run) tell() {
	r := &x.r
	fmt.Printf("soak: requests %v, refusals %v, jobs %v, top-ups %d, refunds %d, reloads %d\n", r.Requests, r.Refusals, r.Jobs, r.TopUps, r.Refunds, r.Reloads)
	fmt.Printf("soak: the upstream did %v\n", r.Calls)
	fmt.Printf("soak: %+v\n", *r.Books)
	fmt.Printf("soak: idle %+v, at rest %+v\n", r.Idle, r.Rest)
	fmt.Printf("| %s | %s | %s | %d | %d | %.0f → %.0f (max %.0f) | %.1f | %.0f / %.0f | %.0f / %.0f |\n", r.Date, r.Commit, r.Traffic,
		r.Requests[acked]+r.Requests[replayed]+r.Requests[refused]+r.Requests[left], r.Books.Charges,
		r.RSSFirst/(1<<20), r.RSSLast/(1<<20), r.MaxRSS/(1<<20), r.MaxWAL/(1<<20), r.Idle.Goroutines, r.Rest.Goroutines, r.Idle.FDs, r.Rest.FDs)
}
