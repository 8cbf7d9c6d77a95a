package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// load runs a scenario against one process for about length, in a closed loop.
func load(p *process, s scenario, length time.Duration) (figures, error) {
	c := client(s.conns)
	defer c.CloseIdleConnections()
	text := body(s.prompt, s.stream, "")
	stop := time.Now().Add(length)
	var mu sync.Mutex
	total := hdrhistogram.New(1, 60_000_000, 3)
	first := hdrhistogram.New(1, 60_000_000, 3)
	var failure error
	var failed int
	before, begun := p.cpu(), time.Now()
	var wg sync.WaitGroup
	for range s.conns {
		wg.Go(func() {
			own, ownFirst := hdrhistogram.New(1, 60_000_000, 3), hdrhistogram.New(1, 60_000_000, 3)
			bad := 0
			var last error
			for time.Now().Before(stop) {
				at := time.Now()
				f, err := one(c, p, text, s.stream)
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
	took := time.Since(begun)
	used := p.cpu() - before
	n := int(total.TotalCount())
	if n == 0 || failed*100 > n {
		return figures{}, fmt.Errorf("%d of %d requests failed: %w", failed, n+failed, errors.Join(failure))
	}
	return figures{
		cpuMS:     used.Seconds() * 1000 / float64(n),
		p50:       time.Duration(total.ValueAtQuantile(50)) * time.Microsecond,
		p99:       time.Duration(total.ValueAtQuantile(99)) * time.Microsecond,
		first:     time.Duration(first.ValueAtQuantile(50)) * time.Microsecond,
		perSecond: float64(n) / took.Seconds(),
		failed:    failed,
		served:    n,
	}, nil
}

// one sends one request and reads its answer to the end.
func one(c *http.Client, p *process, text string, stream bool) (first time.Time, err error) {
	req, err := request(context.Background(), p, text)
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
	if !stream {
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
		done = done || strings.HasPrefix(string(line), "data: [DONE]")
	}
	if !done {
		return first, errors.New("the stream did not come to its end")
	}
	return first, nil
}

func request(ctx context.Context, p *process, text string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/v1/chat/completions", strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+p.key)
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

type held struct {
	streams int
	rss     int64
}

// hold opens n streams at once, and reads the process's memory while all are
// open.
func hold(p *process, n int) (held, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := client(n)
	text := body(1<<10, true, "hold ")
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failure error
	open := 0
	slots := make(chan struct{}, 64)
	for range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			err := openOne(ctx, c, p, text)
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
	return held{open, p.rss()}, nil
}

// openOne opens a stream, reads its first event, and leaves it open until ctx ends.
func openOne(ctx context.Context, c *http.Client, p *process, text string) error {
	req, err := request(ctx, p, text)
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
