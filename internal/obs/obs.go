package obs

import (
	"cmp"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// Options say how to log. The zero value logs nothing and counts everything.
type Options struct {
	Log    io.Writer  // takes whole lines, one or several in a Write; nil: no log
	Level  slog.Level // lines below it are left out; the zero value is Info
	Format string     // "text" for people, anything else is JSON
	Build  string     // version, shown in pontage_build_info; empty: "unknown"
}

// Obs is the log and the metrics of one process. It is used by many goroutines
// at once. The zero value is not usable; see [New].
type Obs struct {
	text  bool
	level slog.LevelVar
	sink  *sink
	log   *slog.Logger
	known atomic.Pointer[func(site, model string) bool]
	lines sync.Pool // *[]byte
	m     *metrics
}

// New returns an Obs. It starts nothing and needs no closing, but see
// [Obs.Flush].
func New(o Options) *Obs {
	if o.Log == nil {
		o.Log = io.Discard
	}
	b := &Obs{text: o.Format == "text"}
	b.level.Set(o.Level)
	if o.Log == io.Discard {
		b.level.Set(slog.LevelError + 100)
	}
	b.sink = newSink(o.Log)
	b.lines.New = func() any { p := make([]byte, 0, 1024); return &p }
	b.log = slog.New(b.handler())
	b.m = newMetrics(o.Build, b.sink)
	return b
}

// Logger returns the log for everything that is not a request. Whatever looks
// like a secret is replaced before it is written: attributes by their name
// (api_key, authorization, password, …), any text by its looks (see [Redact]),
// and the secrets named to [Obs.Hide] wherever they stand.
func (o *Obs) Logger() *slog.Logger { return o.log }

// SetLevel changes the level of both the log and the request lines at once.
func (o *Obs) SetLevel(l slog.Level) { o.level.Set(l) }

// Hide names a secret that must never be logged, whatever it looks like, such
// as a provider's key. Secrets shorter than 8 bytes are not looked for, since
// they would blot out ordinary words; of more than 1,024 secrets the later ones
// are not looked for.
func (o *Obs) Hide(secret string) { o.sink.hide(secret) }

// SetModels gives Obs a way to tell a model of the catalogue from a name that a
// caller made up: the made-up ones are all counted as model "other". Without
// it, a model is known once a target was tried for it.
func (o *Obs) SetModels(known func(site, model string) bool) { o.known.Store(&known) }

// Begin counts a request as in flight until [Obs.End].
func (o *Obs) Begin() { o.m.inflight.Add(1) }

// End ends what [Obs.Begin] began.
func (o *Obs) End() { o.m.inflight.Add(-1) }

// Flush waits until every line logged so far has been handed to the writer.
// Call it before the process ends.
func (o *Obs) Flush() { o.sink.flush() }

// Handler serves the metrics in the Prometheus formats.
func (o *Obs) Handler() http.Handler { return o.m.handler() }

// Gauge registers a gauge pontage_NAME whose value is asked for at every
// scrape; name may also be given with its prefix. value must be quick and safe
// to call at any time. Gauge panics if the name is taken or is no Prometheus
// name: registering is part of wiring.
func (o *Obs) Gauge(name, help string, value func() float64) { o.m.gauge(name, help, value) }

// Counter is [Obs.Gauge] for a value that only grows. By convention name ends
// in _total.
func (o *Obs) Counter(name, help string, value func() float64) { o.m.counter(name, help, value) }

// GaugeBy registers a gauge pontage_NAME with one label. At every scrape each
// is called, and calls emit once for each value of the label. It must emit a
// bounded number of values, and none twice.
func (o *Obs) GaugeBy(name, help, label string, each func(emit func(label string, value float64))) {
	o.m.gaugeBy(name, help, label, each)
}

// Done logs and counts a request that has ended. It does not keep e. The line
// is at level error for our own mistakes, warn for other answers of 500 and
// above and for streams that broke off, and info otherwise. An answer that cost
// more than could be charged has a line of its own besides, at level warn.
func (o *Obs) Done(e *Event) {
	o.m.count(e, o.modelLabel(e))
	if e.Absorbed > 0 {
		o.log.Warn("an answer cost more than could be charged", "id", e.ID, "account", e.Account, "key", e.Key, "test", e.Test,
			"model", cmp.Or(e.AnsweredBy, e.Model), "provider", e.Provider,
			"hold_usd", e.Hold.String(), "charge_usd", e.Charge.String(), "absorbed_usd", e.Absorbed.String())
	}
	level := levelOf(e)
	if level < o.level.Level() {
		return
	}
	p := o.lines.Get().(*[]byte)
	*p = o.appendEvent((*p)[:0], e, level)
	_, _ = o.sink.Write(*p)
	if cap(*p) <= maxPooledLine {
		o.lines.Put(p)
	}
}

// maxPooledLine bounds what a rare long line leaves in memory.
const maxPooledLine = 16 << 10

// levelOf tells whose mistake the ending was. It goes by the fault, since
// contracts give faults different statuses.
func levelOf(e *Event) slog.Level {
	switch {
	case e.Panic != "", e.Fault == "internal", e.Fault == "ledger_unavailable", e.Status == http.StatusInternalServerError && e.Fault == "":
		return slog.LevelError
	case e.Status >= 500, e.Fault == "stream_interrupted":
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// otherModel stands for every model name that is not in the catalogue.
const otherModel = "other"

func (o *Obs) modelLabel(e *Event) string {
	switch known := o.known.Load(); {
	case e.Model == "":
		return ""
	case !utf8.ValidString(e.Model):
		return otherModel
	case e.Provider != "", len(e.Attempts) > 0:
		return e.Model
	case known != nil && (*known)(e.Site, e.Model):
		return e.Model
	}
	return otherModel
}
