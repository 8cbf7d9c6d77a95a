//go:build linux

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func body(prompt int, stream bool, first string) string {
	text := first + strings.Repeat("lorem ipsum ", prompt/12)
	s := ""
	if stream {
		s = `,"stream":true,"stream_options":{"include_usage":true}`
	}
	return `{"model":"bench","messages":[{"role":"user","content":"` + text + `"}],"max_tokens":100` + s + `}`
}

func client(conns int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: conns, MaxConnsPerHost: conns, DisableCompression: true}}
}

// figures are what one round gives, or the medians of several.
type figures struct {
	cpuMS            float64 // of the measured process, per request
	p50, p99         time.Duration
	first50, first99 time.Duration // to the first event
	perSecond        float64
	perCommit        float64 // settlements per commit of the journal
	calls            float64 // reads and writes of the measured process, per request
	busy             float64 // the measured process, in processors
	besides          float64 // upstream and load
	others           float64 // everybody else on the machine
	served           int
}

// clocks is what has been used so far.
type clocks struct {
	at                   time.Time
	own, besides, others time.Duration
	journal              journal
	calls                int64
}

func (f *field) clocks(p *process) clocks {
	c := clocks{own: p.cpu(), besides: f.upstream.cpu() + cpuOf(os.Getpid()), journal: p.journal(), calls: p.calls(), at: time.Now()}
	c.others = busy() - c.own - c.besides
	return c
}

// load runs a scenario against one process for about length, in a closed loop.
func load(f *field, p *process, s scenario, length time.Duration) (figures, error) {
	c := client(s.conns)
	defer c.CloseIdleConnections()
	text := body(s.prompt, s.stream, "")
	if s.translated {
		text = strings.Replace(text, `,"stream_options":{"include_usage":true}`, "", 1)
	}
	stop := time.Now().Add(length)
	var mu sync.Mutex
	total, first := histogram(), histogram()
	var failure error
	var failed int
	before := f.clocks(p)
	var wg sync.WaitGroup
	for i := range s.conns {
		wg.Go(func() {
			own, ownFirst := histogram(), histogram()
			bad := 0
			var last error
			for time.Now().Before(stop) {
				at := time.Now()
				f, err := one(c, p, i, text, s)
				if err != nil {
					bad++
					last = err
					continue
				}
				_ = own.RecordValue(time.Since(at).Microseconds())
				_ = ownFirst.RecordValue(f.Sub(at).Microseconds())
			}
			mu.Lock()
			defer mu.Unlock()
			total.Merge(own)
			first.Merge(ownFirst)
			failed += bad
			if last != nil {
				failure = last
			}
		})
	}
	wg.Wait()
	after := f.clocks(p)
	n := int(total.TotalCount())
	if n == 0 || failed*1000 > n {
		return figures{}, fmt.Errorf("%d of %d requests failed: %w", failed, n+failed, failure)
	}
	took := after.at.Sub(before.at)
	share := func(d time.Duration) float64 { return d.Seconds() / took.Seconds() }
	return figures{
		cpuMS:     (after.own - before.own).Seconds() * 1000 / float64(n),
		p50:       quantile(total, 50),
		p99:       quantile(total, 99),
		first50:   quantile(first, 50),
		first99:   quantile(first, 99),
		perSecond: float64(n) / took.Seconds(),
		perCommit: (after.journal.entries - before.journal.entries) / max(after.journal.commits-before.journal.commits, 1),
		calls:     float64(after.calls-before.calls) / float64(n),
		busy:      share(after.own - before.own),
		besides:   share(after.besides - before.besides),
		others:    max(share(after.others-before.others), 0),
		served:    n,
	}, nil
}

func histogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

func quantile(h *hdrhistogram.Histogram, q float64) time.Duration {
	return time.Duration(h.ValueAtQuantile(q)) * time.Microsecond
}

// result is one scenario, measured against both.
type result struct {
	s                      scenario
	proxy, gateway         figures
	ratio, lowest, highest float64 // of processor time, over the rounds
	least                  float64 // ratio of the least that each took in any round: what others disturbed least
}

// compare runs a scenario against both in turn: a translated one against the same
// that is passed through, both at the gateway. The ratio is the median of the
// rounds' own ratios.
func compare(f *field, s scenario, o options) (result, error) {
	r := result{s: s}
	var ps, gs []figures
	var ratios []float64
	for i := range o.rounds + 1 {
		length := o.length
		if i == 0 {
			length /= 2 // to warm up
		}
		var p, g figures
		var err error
		yardstick, plain := f.proxy, s
		if s.translated {
			yardstick, plain.translated = f.gateway, false
		}
		turns := []func() error{
			func() error { p, err = load(f, yardstick, plain, length); return err },
			func() error { g, err = load(f, f.gateway, s, length); return err },
		}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return r, fmt.Errorf("%s: %w", s.name, err)
			}
		}
		if i > 0 {
			ps, gs = append(ps, p), append(gs, g)
			ratios = append(ratios, g.cpuMS/p.cpuMS)
		}
	}
	slices.Sort(ratios)
	r.proxy, r.gateway = median(ps), median(gs)
	r.least = least(gs) / least(ps)
	r.ratio, r.lowest, r.highest = ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1]
	return r, nil
}

// least returns the least processor time of any round.
func least(fs []figures) float64 {
	return slices.MinFunc(fs, func(a, b figures) int { return cmp.Compare(a.cpuMS, b.cpuMS) }).cpuMS
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
	span := func(get func(figures) time.Duration) time.Duration {
		return time.Duration(mid(func(f figures) float64 { return float64(get(f)) }))
	}
	return figures{
		cpuMS:     mid(func(f figures) float64 { return f.cpuMS }),
		p50:       span(func(f figures) time.Duration { return f.p50 }),
		p99:       span(func(f figures) time.Duration { return f.p99 }),
		first50:   span(func(f figures) time.Duration { return f.first50 }),
		first99:   span(func(f figures) time.Duration { return f.first99 }),
		perSecond: mid(func(f figures) float64 { return f.perSecond }),
		perCommit: mid(func(f figures) float64 { return f.perCommit }),
		calls:     mid(func(f figures) float64 { return f.calls }),
		busy:      mid(func(f figures) float64 { return f.busy }),
		besides:   mid(func(f figures) float64 { return f.besides }),
		others:    mid(func(f figures) float64 { return f.others }),
	}
}

// one sends one request and reads its answer to the end.
func one(c *http.Client, p *process, i int, text string, s scenario) (first time.Time, err error) {
	path, end := chatPath, "data: [DONE]"
	if s.translated {
		path, end = messagesPath, `data: {"type":"message_stop"`
	}
	req, err := request(context.Background(), p, path, i, text)
	if err != nil {
		return first, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return first, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return first, fmt.Errorf("%d %s", resp.StatusCode, b)
	}
	if !s.stream {
		_, err := io.Copy(io.Discard, resp.Body)
		return time.Now(), err
	}
	r := bufio.NewReader(resp.Body)
	if _, err := r.ReadSlice('\n'); err != nil {
		return first, err
	}
	first = time.Now()
	done := false
	for {
		line, err := r.ReadSlice('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return first, err
		}
		done = done || bytes.HasPrefix(line, []byte(end))
	}
	if !done {
		return first, errors.New("the stream did not come to its end")
	}
	return first, nil
}

const (
	chatPath     = "/v1/chat/completions"
	messagesPath = "/v1/messages"
)

func request(ctx context.Context, p *process, path string, i int, text string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path, strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+p.keys[i%len(p.keys)])
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

// held is the memory of a process before streams were opened, and with them.
type held struct {
	streams   int
	idle, rss int64
}

// each is the memory of one stream in KB.
func (h held) each() float64 { return float64(h.rss-h.idle) / 1024 / float64(h.streams) }

// hold opens n streams at once, and reads the process's memory, and calls
// during, while all are open.
func hold(p *process, n int, during func() error) (held, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := client(n)
	idle := p.rss()
	text := body(1<<10, true, "hold ")
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failure error
	open := 0
	slots := make(chan struct{}, 64)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			err := openOne(ctx, c, p, i, text)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failure = err
				return
			}
			open++
		})
	}
	wg.Wait()
	if open < n {
		return held{}, fmt.Errorf("%d of %d opened: %w", open, n, failure)
	}
	time.Sleep(2 * time.Second) // for the collector to settle
	return held{open, idle, p.rss()}, during()
}

// openOne opens a stream, reads its first event, and leaves it open until ctx ends.
func openOne(ctx context.Context, c *http.Client, p *process, i int, text string) error {
	req, err := request(ctx, p, chatPath, i, text)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		_ = resp.Body.Close()
		return fmt.Errorf("%d %s", resp.StatusCode, b)
	}
	_, err = resp.Body.Read(make([]byte, 1))
	context.AfterFunc(ctx, func() { _ = resp.Body.Close() })
	return err
}
