package route

import (
	"sync"
	"time"

	"github.com/pontage/pontage/internal/fault"
)

// Norms say when a breaker opens: after so many failures in a row, or when half
// of at least twenty requests within half a minute failed; and for how long,
// twice as long each time it opens again. Zero values are those of DefaultNorms.
type Norms struct {
	Failures int
	Open     time.Duration
	MaxOpen  time.Duration
}

// DefaultNorms are five failures, half a minute, and five minutes.
var DefaultNorms = Norms{Failures: 5, Open: 30 * time.Second, MaxOpen: 5 * time.Minute}

const (
	breakWindow   = 30 * time.Second
	breakSample   = 20
	quarantineFor = time.Minute
	quarantineMax = time.Hour
	cooldownMost  = 5 * time.Minute
	// givenUp times as many failures in a row as open a breaker, and a target is
	// probed once in Norms.Open, and not by every request that comes.
	givenUp = 3
)

// Health is what is known of one target's fitness. Its methods may be called by
// many goroutines.
type Health struct {
	now   func() time.Time
	norms Norms

	mu          sync.Mutex
	failing     int // failures in a row, since the breaker opened
	lost        int // failures in a row
	probeAfter  time.Time
	windowStart time.Time
	seen, bad   int // within the window
	openUntil   time.Time
	openFor     time.Duration
	cooldown    time.Time
	quarantine  time.Time
	quarantined time.Duration
	probing     bool
	last        fault.Code // why it is out of use
	requests    int64
	failures    int64
}

// NewHealth returns the health of a target nothing is known of.
func NewHealth(now func() time.Time, n Norms) *Health {
	return &Health{now: now, norms: n.or()}
}

// SetNorms puts other norms in force for what happens from now on.
func (h *Health) SetNorms(n Norms) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.norms = n.or()
}

// Norms returns the norms in force.
func (h *Health) Norms() Norms {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.norms
}

// or returns n with the defaults for its zero values.
func (n Norms) or() Norms {
	if n.Failures == 0 {
		n.Failures = DefaultNorms.Failures
	}
	if n.Open == 0 {
		n.Open = DefaultNorms.Open
	}
	if n.MaxOpen == 0 {
		n.MaxOpen = max(DefaultNorms.MaxOpen, n.Open)
	}
	return n
}

// Status is a copy of a target's health for people.
type Status struct {
	Healthy          bool
	Breaker          string // closed, open, half_open
	CooldownUntil    time.Time
	QuarantinedUntil time.Time
	Reason           string // name of the fault that took it out of use
	Requests         int64
	Failures         int64
}

// Status returns how the target stands now.
func (h *Health) Status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	s := Status{Healthy: h.fit(now), Breaker: "closed", Requests: h.requests, Failures: h.failures}
	switch {
	case now.Before(h.openUntil):
		s.Breaker = "open"
	case h.openFor > 0:
		s.Breaker = "half_open"
	}
	if now.Before(h.cooldown) {
		s.CooldownUntil = h.cooldown
	}
	if now.Before(h.quarantine) {
		s.QuarantinedUntil = h.quarantine
	}
	if !s.Healthy || s.Breaker != "closed" {
		s.Reason = h.last.String()
	}
	return s
}

func (h *Health) fit(now time.Time) bool {
	return !now.Before(h.openUntil) && !now.Before(h.cooldown) && !now.Before(h.quarantine)
}

// Fit reports whether the target is in use: not broken, cooling or quarantined.
func (h *Health) Fit() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fit(h.now())
}

// admit asks to use the target now. A fit target whose breaker has not just
// been open admits everybody. An unfit or half-open one admits one request at a
// time, the probe, and one that has been given up one in a while: the last target
// of a model is never taken away for good, and a broken one is not hammered. why
// is the fault that keeps it out of use, and wait how long it will.
func (h *Health) admit() (ok, probe bool, why fault.Code, wait time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if h.fit(now) && h.openFor == 0 {
		return true, false, fault.None, 0
	}
	if now.Before(h.probeAfter) {
		return false, false, h.last, max(h.probeAfter.Sub(now), time.Second)
	}
	if !h.probing {
		h.probing = true
		return true, true, fault.None, 0
	}
	until := h.openUntil
	for _, t := range []time.Time{h.cooldown, h.quarantine} {
		if t.After(until) {
			until = t
		}
	}
	return false, false, h.last, max(until.Sub(now), time.Second)
}

// release gives back a probe's place without a verdict.
func (h *Health) release(probe bool) {
	if !probe {
		return
	}
	h.mu.Lock()
	h.probing = false
	h.mu.Unlock()
}

// answers records that a probe has content in hand. That is all that a probe is
// to find out: the rest of its answer may take an hour, and nobody else would be
// let in until then. What becomes of it counts as of any request.
func (h *Health) answers(probe bool) {
	if !probe {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.probing = false
	h.recover()
}

// recover puts the target back in use. The caller holds mu.
func (h *Health) recover() {
	h.failing, h.lost, h.openFor, h.quarantined = 0, 0, 0, 0
	h.openUntil, h.probeAfter, h.cooldown, h.quarantine = time.Time{}, time.Time{}, time.Time{}, time.Time{}
}

// succeeded records an answer that came to its end.
func (h *Health) succeeded() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count(false)
	h.recover()
}

// verdict is what a failure says of the target.
type verdict struct {
	code       fault.Code
	breaker    bool
	quarantine bool
	cooldown   time.Duration
}

// failed records an attempt that failed.
func (h *Health) failed(probe bool, v verdict) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if probe {
		h.probing = false
	}
	switch {
	case v.quarantine:
		h.count(true)
		h.quarantined = min(max(2*h.quarantined, quarantineFor), quarantineMax)
		h.quarantine = now.Add(h.quarantined)
		h.last = v.code
	case v.cooldown > 0:
		h.count(true)
		h.cooldown = now.Add(min(v.cooldown, cooldownMost))
		h.last = v.code
	case v.breaker:
		h.count(true)
		h.failing++
		if h.lost++; h.lost >= givenUp*h.norms.Failures {
			h.probeAfter = now.Add(h.norms.Open)
		}
		if probe || h.failing >= h.norms.Failures || (h.seen >= breakSample && 2*h.bad >= h.seen) {
			h.openFor = min(max(2*h.openFor, h.norms.Open), h.norms.MaxOpen)
			h.openUntil = now.Add(h.openFor)
			h.failing, h.seen, h.bad = 0, 0, 0
			h.last = v.code
		}
	default:
		h.count(false) // the caller's mistake says nothing of the target
	}
}

// count adds one result to the window. The caller holds mu.
func (h *Health) count(bad bool) {
	now := h.now()
	if now.Sub(h.windowStart) > breakWindow {
		h.windowStart, h.seen, h.bad = now, 0, 0
	}
	h.seen++
	h.requests++
	if bad {
		h.bad++
		h.failures++
	}
}
