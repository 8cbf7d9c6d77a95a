package soak

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// sample is how the process stands at a moment.
type sample struct {
	RSS        float64 `json:"rss_bytes"`
	Goroutines float64 `json:"goroutines"`
	FDs        float64 `json:"fds"`
	InFlight   float64 `json:"in_flight"`
	Holds      float64 `json:"holds_open"`
	Queue      float64 `json:"ledger_queue"`
	WAL        float64 `json:"wal_bytes"`
	Dropped    float64 `json:"receipts_dropped"`
}

// read reads the metrics of the process, and the size of its log.
func read(g *harness.Gateway) (s sample, err error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, g.AdminURL+"/metrics", nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return s, err
	}
	found := 0
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		to := map[string]*float64{
			"process_resident_memory_bytes": &s.RSS, "go_goroutines": &s.Goroutines, "process_open_fds": &s.FDs,
			"pontage_inflight_requests": &s.InFlight, "pontage_holds_open": &s.Holds, "pontage_ledger_queue": &s.Queue,
			"pontage_receipts_dropped_total": &s.Dropped,
		}[name]
		if to == nil {
			continue
		}
		if *to, err = strconv.ParseFloat(value, 64); err != nil {
			return s, err
		}
		found++
	}
	if found != 7 {
		return s, fmt.Errorf("%d of 7 metrics are there (%d)", found, resp.StatusCode)
	}
	if log, err := os.Stat(g.DatabasePath() + "-wal"); err == nil {
		s.WAL = float64(log.Size())
	}
	return s, nil
}

// sampler reads a sample from time to time.
type sampler struct {
	s     *traffic
	every time.Duration
	all   []sample
}

func (m *sampler) run(*rand.Rand) {
	for m.s.pause(m.every) {
		now, err := read(m.s.g)
		if err != nil {
			m.s.note("metrics: %v", err)
			continue
		}
		m.all = append(m.all, now)
	}
}

// of is one measure of all samples.
func (m *sampler) of(measure func(sample) float64) []float64 {
	all := make([]float64, len(m.all))
	for i, s := range m.all {
		all[i] = measure(s)
	}
	return all
}

// thirds returns the medians of the first and of the last third, after the first
// tenth, in which the process warms up.
func thirds(all []float64) (first, last float64) {
	all = all[len(all)/10:]
	n := max(1, len(all)/3)
	return median(all[:n]), median(all[len(all)-n:])
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
