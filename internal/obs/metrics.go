package obs

import (
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pontage/pontage/internal/money"
)

const namespace = "pontage"

// Bounds on how many time series the requests can make. Past them everything
// new is counted under the label values "other".
const (
	maxSeries   = 2000 // of (site, surface, model)
	maxRequests = 8000 // of (site, surface, model, status, fault)
	maxAttempts = 4000 // of (target, outcome), and of targets
)

// The buckets of protocols.md §6.1 (OpenTelemetry's), in seconds.
var (
	durationBuckets = []float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36}
	firstBuckets    = []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 30, 60, 120}
)

type seriesKey struct{ site, surface, model string }

// series are the children that an event of one site, surface and model touches,
// resolved once.
type series struct {
	key             seriesKey
	duration, first prometheus.Observer
	input, cached   prometheus.Counter
	written         prometheus.Counter
	output, thought prometheus.Counter
	charge          atomic.Int64 // nano-dollars: summed exactly, shown as dollars at the scrape
}

type requestKey struct {
	seriesKey
	status int
	fault  string
}

type attemptKey struct{ target, outcome string }

// failoverKey is a target that failed, and the one that was asked next.
type failoverKey struct{ from, to string }

type metrics struct {
	registry *prometheus.Registry
	inflight atomic.Int64

	requests *prometheus.CounterVec
	outcomes *prometheus.CounterVec
	duration *prometheus.HistogramVec
	first    *prometheus.HistogramVec
	tokens   *prometheus.CounterVec
	attempts *prometheus.CounterVec
	attempt  *prometheus.HistogramVec
	failover *prometheus.CounterVec
	panics   prometheus.Counter

	bySeries  cache[seriesKey, *series]
	byRequest cache[requestKey, prometheus.Counter]
	byOutcome cache[string, prometheus.Counter]
	byAttempt cache[attemptKey, prometheus.Counter]
	byTarget  cache[string, prometheus.Observer]
	byPath    cache[failoverKey, prometheus.Counter]
	absorbed  cache[servedKey, *absorbed]
}

// servedKey is a model at a provider.
type servedKey struct{ provider, model string }

// absorbed is what could not be charged of the answers of one model.
type absorbed struct {
	key           servedKey
	usd, requests atomic.Int64 // nano-dollars; answers
}

func newMetrics(build string, s *sink) *metrics {
	if build == "" {
		build = "unknown"
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: counter("requests_total", "Requests that have ended, by the status sent and the fault, which is empty for none. A stream that broke off keeps its status 200 and has a fault.", "site", "surface", "model", "status", "fault"),
		outcomes: counter("outcomes_total", "Requests that have ended, by how they ended.", "outcome"),
		duration: histogram("request_duration_seconds", "Time from the request line to the last byte, of requests for which a provider was tried. Refusals are counted, not timed.", durationBuckets, "site", "surface", "model"),
		first:    histogram("ttft_seconds", "Time from the request line to the first event with content.", firstBuckets, "site", "surface", "model"),
		tokens:   counter("tokens_total", "Tokens of answers, those of test keys included. Types input and output are totals; cached_input and cache_write are parts of input, reasoning is a part of output: do not sum over type.", "site", "surface", "model", "type"),
		attempts: counter("upstream_attempts_total", "Tries at a target, by outcome: ok or the name of a fault.", "target", "outcome"),
		attempt:  histogram("upstream_attempt_seconds", "Time that a try at a target took.", durationBuckets, "target"),
		failover: counter("failovers_total", "Requests that were sent to another target, of the same model or a fallback, after one had failed.", "from", "to"),
		panics:   prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "panics_total", Help: "Requests that ended in a panic."}),
	}
	m.bySeries.max, m.byRequest.max, m.byOutcome.max = maxSeries, maxRequests, 100
	m.byAttempt.max, m.byTarget.max, m.byPath.max, m.absorbed.max = maxAttempts, maxAttempts, maxAttempts, maxSeries
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.requests, m.outcomes, m.duration, m.first, m.tokens, m.attempts, m.attempt, m.failover, m.panics, m.charges(), m.losses(),
	)
	m.gauge("inflight_requests", "Requests that have begun and not ended.", func() float64 { return float64(m.inflight.Load()) })
	m.counter("log_dropped_total", "Log lines that the log's writer did not take.", func() float64 { return float64(s.dropped.Load()) })
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"version": build, "goversion": runtime.Version()},
	}, func() float64 { return 1 }))
	return m
}

// count adds one ended request to the metrics.
func (m *metrics) count(e *Event, model string) {
	k := seriesKey{e.Site, e.Surface, model}
	m.request(requestKey{k, e.Status, e.Fault}).Inc()
	m.byOutcome.get(e.Outcome, otherModel, func(o string) prometheus.Counter { return m.outcomes.WithLabelValues(o) }).Inc()
	if e.Panic != "" {
		m.panics.Inc()
	}
	if e.Absorbed > 0 && !e.Test {
		m.absorb(e, model)
	}
	last := ""
	for i := range e.Attempts {
		a := &e.Attempts[i]
		if a.Skipped() {
			continue
		}
		if last != "" && last != a.Target {
			m.byPath.get(failoverKey{last, a.Target}, failoverKey{otherModel, otherModel}, func(k failoverKey) prometheus.Counter { return m.failover.WithLabelValues(k.from, k.to) }).Inc()
		}
		last = a.Target
		m.byAttempt.get(attemptKey{a.Target, a.Outcome}, attemptKey{otherModel, otherModel}, m.newAttempt).Inc()
		m.byTarget.get(a.Target, otherModel, func(t string) prometheus.Observer { return m.attempt.WithLabelValues(t) }).Observe(a.Took.Seconds())
	}
	if len(e.Attempts) == 0 && e.Charge == 0 && e.InputTokens == 0 && e.OutputTokens == 0 {
		return
	}
	m.series(k).add(e)
}

func (m *metrics) request(k requestKey) prometheus.Counter {
	rest := requestKey{seriesKey{k.site, otherModel, otherModel}, k.status, otherModel}
	return m.byRequest.get(k, rest, func(k requestKey) prometheus.Counter {
		return m.requests.WithLabelValues(k.site, k.surface, k.model, strconv.Itoa(k.status), k.fault)
	})
}

func (m *metrics) newAttempt(k attemptKey) prometheus.Counter {
	return m.attempts.WithLabelValues(k.target, k.outcome)
}

func (m *metrics) series(k seriesKey) *series {
	return m.bySeries.get(k, seriesKey{otherModel, otherModel, otherModel}, func(k seriesKey) *series {
		token := func(kind string) prometheus.Counter {
			return m.tokens.WithLabelValues(k.site, k.surface, k.model, kind)
		}
		return &series{
			key:      k,
			duration: m.duration.WithLabelValues(k.site, k.surface, k.model),
			first:    m.first.WithLabelValues(k.site, k.surface, k.model),
			input:    token("input"), cached: token("cached_input"), written: token("cache_write"),
			output: token("output"), thought: token("reasoning"),
		}
	})
}

func (s *series) add(e *Event) {
	if len(e.Attempts) > 0 {
		s.duration.Observe(e.Took.Seconds())
	}
	if e.FirstEvent > 0 {
		s.first.Observe(e.FirstEvent.Seconds())
	}
	for _, t := range [...]struct {
		to *prometheus.Counter
		n  int64
	}{
		{&s.input, e.InputTokens},
		{&s.cached, e.CachedInputTokens},
		{&s.written, e.CacheWriteTokens},
		{&s.output, e.OutputTokens},
		{&s.thought, e.ReasoningTokens},
	} {
		if t.n > 0 {
			(*t.to).Add(float64(t.n))
		}
	}
	if e.Charge > 0 && !e.Test {
		s.charge.Add(int64(e.Charge))
	}
}

// absorb adds what could not be charged of an answer.
func (m *metrics) absorb(e *Event, model string) {
	if e.AnsweredBy != "" {
		model = e.AnsweredBy
	}
	provider, _, _ := strings.Cut(e.Provider, "/")
	a := m.absorbed.get(servedKey{provider, model}, servedKey{otherModel, otherModel}, func(k servedKey) *absorbed { return &absorbed{key: k} })
	a.usd.Add(int64(e.Absorbed))
	a.requests.Add(1)
}

// losses shows what could not be charged.
func (m *metrics) losses() prometheus.Collector {
	labels := []string{"provider", "model"}
	usd := prometheus.NewDesc(namespace+"_absorbed_usd_total", "Dollars that answers to live keys cost above what could be charged. Summed exactly in nano-dollars; the number shown is the nearest float.", labels, nil)
	requests := prometheus.NewDesc(namespace+"_absorbed_requests_total", "Answers to live keys that cost more than could be charged.", labels, nil)
	return collector{[]*prometheus.Desc{usd, requests}, func(ch chan<- prometheus.Metric) {
		m.absorbed.each(func(a *absorbed) {
			ch <- prometheus.MustNewConstMetric(usd, prometheus.CounterValue, dollars(a.usd.Load()), a.key.provider, a.key.model)
			ch <- prometheus.MustNewConstMetric(requests, prometheus.CounterValue, float64(a.requests.Load()), a.key.provider, a.key.model)
		})
	}}
}

// charges shows the exact sums of the series.
func (m *metrics) charges() prometheus.Collector {
	desc := prometheus.NewDesc(namespace+"_charge_usd_total", "Dollars charged to live keys. Summed exactly in nano-dollars; the number shown is the nearest float.", []string{"site", "surface", "model"}, nil)
	return collector{[]*prometheus.Desc{desc}, func(ch chan<- prometheus.Metric) {
		m.bySeries.each(func(s *series) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, dollars(s.charge.Load()), s.key.site, s.key.surface, s.key.model)
		})
	}}
}

// fullName returns name with our prefix, once.
func fullName(name string) string { return namespace + "_" + strings.TrimPrefix(name, namespace+"_") }

func (m *metrics) gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: fullName(name), Help: help}, value))
}

func (m *metrics) counter(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: fullName(name), Help: help}, value))
}

func (m *metrics) gaugeBy(name, help, label string, each func(emit func(string, float64))) {
	desc := prometheus.NewDesc(fullName(name), help, []string{label}, nil)
	m.registry.MustRegister(collector{[]*prometheus.Desc{desc}, func(ch chan<- prometheus.Metric) {
		each(func(l string, v float64) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, l)
		})
	}})
}

// maxScrapes bounds the scrapes that are served at the same time.
const maxScrapes = 4

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, MaxRequestsInFlight: maxScrapes, EnableOpenMetrics: true})
}

// collector shows the values of its descriptions at the time of the scrape.
type collector struct {
	descs   []*prometheus.Desc
	collect func(chan<- prometheus.Metric)
}

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}
func (c collector) Collect(ch chan<- prometheus.Metric) { c.collect(ch) }

// cache keeps at most max values, each made once; the zero value keeps none.
type cache[K comparable, V any] struct {
	max int
	mu  sync.RWMutex
	m   map[K]V
}

// get returns the value of k, making it if there is room, and else the value of
// rest.
func (c *cache[K, V]) get(k, rest K, build func(K) V) V {
	c.mu.RLock()
	v, ok := c.m[k]
	c.mu.RUnlock()
	if ok {
		return v
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.m[k]; ok {
		return v
	}
	if c.m == nil {
		c.m = make(map[K]V)
	}
	if len(c.m) >= c.max {
		if v, ok := c.m[rest]; ok {
			return v
		}
		k = rest
	}
	v = build(k)
	c.m[k] = v
	return v
}

func (c *cache[K, V]) each(f func(V)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, v := range c.m {
		f(v)
	}
}

func dollars(nano int64) float64 { return float64(nano) / float64(money.Dollar) }
