//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// pace is a load of streams whose events come one at a time, as a model writes
// them. What counts is how much later each of them arrives.
type pace struct {
	name       string
	conns      int
	translated bool // see scenario
}

var paces = []pace{
	{name: "1 stream", conns: 1},
	{name: "1 stream, translated", conns: 1, translated: true},
	{name: "8 streams", conns: 8},
	{name: "8 streams, translated", conns: 8, translated: true},
}

const (
	paceEvery  = 20 * time.Millisecond  // between two events, nearly
	paceBudget = 200 * time.Microsecond // that the gateway may add to 99 of 100 events
	trap       = 30 * time.Millisecond  // what is later has met delayed ACKs, or a machine that was away
	paceRounds = 5                      // how many times a round is longer than that of a load
)

// ways are where events come from.
const (
	direct = iota
	byProxy
	byGateway
	ways
)

// paced is what became of the events of a pace, in microseconds.
type paced struct {
	p     pace
	took  [ways]*hdrhistogram.Histogram // all rounds
	quiet time.Duration                 // p99 that the gateway adds to direct, in the round in which that is least
	late  [ways]int64                   // events later than trap
	busy  float64                       // everybody else on the machine, in processors
}

// added is how much later than direct ones the events of a way arrive, by quantile.
func (r *paced) added(way int, q float64) time.Duration {
	return quantile(r.took[way], q) - quantile(r.took[direct], q)
}

// clock is what sender and receiver, on one machine, take their times from.
func clock() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail
	return t.Nano()
}

// keepPace measures a pace: all ways at once, so that whoever disturbs one does
// so to the others.
func keepPace(f *field, p pace, o options) (*paced, error) {
	r := &paced{p: p}
	for i := range r.took {
		r.took[i] = histogram()
	}
	before, begun := f.clocks(f.gateway), time.Now()
	for range o.rounds {
		took, err := f.round(p, paceRounds*o.length)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		for i, h := range took {
			r.took[i].Merge(h)
		}
		if more := quantile(took[byGateway], 99) - quantile(took[direct], 99); r.quiet == 0 || more < r.quiet {
			r.quiet = more
		}
	}
	for i, h := range r.took {
		for _, b := range h.Distribution() {
			if b.From >= trap.Microseconds() {
				r.late[i] += b.Count
			}
		}
	}
	after := f.clocks(f.gateway)
	r.busy = max(float64(after.others-before.others)/float64(time.Since(begun)), 0)
	return r, nil
}

// round reads streams of about length, over every way.
func (f *field) round(p pace, length time.Duration) (took [ways]*hdrhistogram.Histogram, err error) {
	events := int(length / paceEvery)
	upstream := &process{name: "upstream", url: f.upstream.url, keys: []string{"direct"}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	c := client(ways * p.conns)
	defer c.CloseIdleConnections()
	for way, server := range []*process{upstream, f.proxy, f.gateway} {
		took[way] = histogram()
		translated := p.translated && way == byGateway
		for i := range p.conns {
			wg.Go(func() {
				own := histogram()
				e := follow(c, server, i, events, translated, own)
				mu.Lock()
				defer mu.Unlock()
				took[way].Merge(own)
				if n := own.TotalCount(); e == nil && n != int64(events) {
					e = fmt.Errorf("%s: %d of %d events arrived", server.name, n, events)
				}
				err = errors.Join(err, e)
			})
		}
	}
	wg.Wait()
	return took, err
}

// follow reads one stream, and notes of each event how long it was under way.
func follow(c *http.Client, p *process, i, events int, translated bool, took *hdrhistogram.Histogram) error {
	path, text := chatPath, body(100, true, fmt.Sprintf("pace %d ", events))
	if translated {
		path, text = messagesPath, strings.Replace(text, `,"stream_options":{"include_usage":true}`, "", 1)
	}
	req, err := request(context.Background(), p, path, i, text)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s: %d %s", p.name, resp.StatusCode, b)
	}
	r := bufio.NewReader(resp.Body)
	for {
		line, err := r.ReadSlice('\n')
		now := clock()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if _, rest, ok := bytes.Cut(line, []byte(sentAt)); ok {
			digits, _, _ := bytes.Cut(rest, []byte(";"))
			at, err := strconv.ParseInt(string(digits), 10, 64)
			if err != nil {
				return fmt.Errorf("%s: an event without its time: %s", p.name, line)
			}
			_ = took.RecordValue((now - at) / 1000)
		}
	}
}

// sentAt is in front of the time at which an event was sent, in its text.
const sentAt = " t="

// pacedStreams is how many streams were sent so.
var pacedStreams atomic.Int64

// sendPaced sends as many events as the prompt asks for, each with its time. They
// do not come on the beat, nor those of two streams together, so that none has to
// wait for another.
func sendPaced(prompt []byte, send func(string)) {
	_, rest, _ := bytes.Cut(prompt, []byte(`"pace `))
	digits, _, _ := bytes.Cut(rest, []byte(" "))
	n, _ := strconv.Atoi(string(digits))
	own := int(pacedStreams.Add(1)) * 7307
	time.Sleep(time.Duration(own%20_000) * time.Microsecond)
	for i := range min(n, 1_000_000) {
		time.Sleep(paceEvery - 2*time.Millisecond + time.Duration((own+i*7919)%4001)*time.Microsecond)
		send(strings.Replace(chunk, " word", sentAt+strconv.FormatInt(clock(), 10)+";", 1))
	}
}

// pace writes how much later events arrive.
func (r *report) pace(results []*paced) {
	if len(results) == 0 {
		return
	}
	tw := r.table("Time added to each event, one every 20 ms", "load\tevents\tdirect p50/p99\tadded by proxy p50/p99\tadded by gateway p50/p99\tp99 in its quietest round\tbudget\tverdict\tlater than 30ms direct/proxy/gateway\tothers")
	for _, x := range results {
		fmt.Fprintf(tw, "%s\t%d\t%s / %s\t%s / %s\t%s / %s\t%s\tp99 ≤ %s\t%s\t%d / %d / %d\t%.2f\n", x.p.name, x.took[byGateway].TotalCount(),
			short(quantile(x.took[direct], 50)), short(quantile(x.took[direct], 99)), short(x.added(byProxy, 50)), short(x.added(byProxy, 99)),
			short(x.added(byGateway, 50)), short(x.added(byGateway, 99)), short(x.quiet), short(paceBudget), kept(x.added(byGateway, 99) <= paceBudget),
			x.late[direct], x.late[byProxy], x.late[byGateway], x.busy)
	}
	_ = tw.Flush()
	if slices.ContainsFunc(results, func(x *paced) bool { return x.took[byGateway].ValueAtQuantile(90) >= trap.Microseconds() }) {
		fmt.Fprintln(r.w, "Events wait for ACKs that are delayed: the trap of 40 ms is THERE.")
	} else {
		fmt.Fprintln(r.w, "No sign of the trap of 40 ms, of delayed ACKs: nine of ten events would be in it.")
	}
}
