package route

import (
	"errors"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/provider"
)

// Norms say when a breaker opens: after so many failures in a row, or when Share
// percent of at least Sample requests within Window failed; and for how long,
// twice as long each time it opens again. Zero values are those of DefaultNorms.
type Norms struct {
	Failures int
	Window   time.Duration
	Sample   int
	Share    int // percent
	Open     time.Duration
	MaxOpen  time.Duration
	Budget   int // percent of a target's requests that may be tries again, beside a few
}

// DefaultNorms are five failures in a row, or half of twenty within half a minute;
// half a minute, and five minutes.
var DefaultNorms = Norms{
	Failures: 5, Window: 30 * time.Second, Sample: 20, Share: 50, Open: 30 * time.Second, MaxOpen: 5 * time.Minute, Budget: 10,
}

const (
	cooldownMost = 5 * time.Minute
	// givenUp times as many failures in a row as open a breaker, and a target is
	// probed once in Norms.Open, and not by every request that comes.
	givenUp = 3
)

// Health is what is known of one target's fitness. Its methods may be called by
// many goroutines.
type Health struct {
	id         string
	now        func() time.Time
	norms      Norms
	credential *Credential
	notify     func(Change)

	mu          sync.Mutex
	failing     int // failures in a row, since the breaker opened
	lost        int // failures in a row
	probeAfter  time.Time
	windowStart time.Time
	seen, bad   int // within the window
	openUntil   time.Time
	openFor     time.Duration
	cooldown    time.Time
	probing     bool
	claimed     bool       // the probe is the credential's, too
	last        fault.Code // why it is out of use
	told        State      // the state that notify knows
	requests    int64
	failures    int64
	budget      budget
	took        [2]ewma // to the first content: of whole answers, of streams
}

// NewHealth returns the health of a target nothing is known of, with a credential
// that it shares with nobody.
func NewHealth(now func() time.Time, n Norms) *Health {
	return NewHealthOf("", now, n, NewCredential("", now, nil), nil)
}

// NewHealthOf returns the health of the target with that id, which uses the
// credential. notify is told of every change of its state; nil: nobody is.
func NewHealthOf(id string, now func() time.Time, n Norms, c *Credential, notify func(Change)) *Health {
	return &Health{id: id, now: now, norms: n.or(), credential: c, notify: notify, told: StateInUse}
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
	if n.Window == 0 {
		n.Window = DefaultNorms.Window
	}
	if n.Sample == 0 {
		n.Sample = DefaultNorms.Sample
	}
	if n.Share == 0 {
		n.Share = DefaultNorms.Share
	}
	if n.Open == 0 {
		n.Open = DefaultNorms.Open
	}
	if n.MaxOpen == 0 {
		n.MaxOpen = max(DefaultNorms.MaxOpen, n.Open)
	}
	if n.Budget == 0 {
		n.Budget = DefaultNorms.Budget
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
	Latency          time.Duration // to the first content of streams, as it counts now; 0: unknown
}

// Status returns how the target stands now.
func (h *Health) Status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	s := Status{Healthy: h.fit(now), Breaker: "closed", Requests: h.requests, Failures: h.failures, Latency: time.Duration(h.took[1].value(now))}
	switch {
	case now.Before(h.openUntil):
		s.Breaker = "open"
	case h.openFor > 0:
		s.Breaker = "half_open"
	}
	if now.Before(h.cooldown) {
		s.CooldownUntil = h.cooldown
	}
	if s.Breaker != "closed" || now.Before(h.cooldown) {
		s.Reason = h.last.String()
	}
	if until, why, is := h.credential.quarantined(now); is {
		s.QuarantinedUntil, s.Reason = until, why.String()
	}
	return s
}

// fit reports whether the target is in use. The caller holds mu.
func (h *Health) fit(now time.Time) bool {
	if now.Before(h.openUntil) || now.Before(h.cooldown) {
		return false
	}
	_, _, quarantined := h.credential.quarantined(now)
	return !quarantined
}

// latency is the time to the first content of a stream, or of a whole answer, in
// nanoseconds as it counts now; 0: nothing was measured lately.
func (h *Health) latency(stream bool) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.took[boolInt(stream)].value(h.now())
}

// Fit reports whether the target is in use: not broken, cooling or quarantined.
func (h *Health) Fit() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fit(h.now())
}

// kept is why a target did not admit a request.
type kept struct {
	why    fault.Code
	wait   time.Duration // how long it will be out of use
	probed bool          // another request is finding out whether it still is
}

// admit asks to use the target now. A fit target whose breaker has not just
// been open admits everybody. An unfit or half-open one admits one request at a
// time, the probe, and one that has been given up one in a while: the last target
// of a model is never taken away for good, and a broken one is not hammered. So
// does a credential that is in doubt. again tells that the request was here
// before, and that [Health.spend] has counted it.
func (h *Health) admit(again bool) (ok, probe bool, _ kept) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	sure := h.fit(now) && h.openFor == 0
	if !sure && now.Before(h.probeAfter) {
		return false, false, kept{why: h.last, wait: max(h.probeAfter.Sub(now), time.Second)}
	}
	if sure || !h.probing {
		good, claimed := h.credential.claim()
		if good {
			probe = !sure || claimed
			if probe {
				h.probing, h.claimed = true, claimed
			}
			if !again {
				h.budget.now(now).first++
			}
			return true, probe, kept{}
		}
	}
	until, reason, quarantined := h.credential.quarantined(now)
	if !quarantined && !sure {
		reason = h.last
	}
	for _, t := range []time.Time{h.cooldown, h.openUntil} {
		if t.After(until) {
			until = t
		}
	}
	return false, false, kept{why: reason, wait: max(until.Sub(now), time.Second), probed: true}
}

// spend takes another try at the target from its budget, and reports whether there
// was one.
func (h *Health) spend() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if !h.budget.left(now, h.norms.Budget) {
		return false
	}
	h.budget.now(now).again++
	return true
}

// release gives back a probe's place without a verdict.
func (h *Health) release(probe bool) {
	if !probe {
		return
	}
	h.mu.Lock()
	h.unprobe()
	h.mu.Unlock()
}

// unprobe gives back the place of the probe. The caller holds mu.
func (h *Health) unprobe() {
	h.probing = false
	if h.claimed {
		h.claimed = false
		h.credential.release()
	}
}

// answers records that a request has content in hand, after so long. That is all
// that a probe is to find out: the rest of its answer may take an hour, and nobody
// else would be let in until then. What becomes of it counts as of any request.
func (h *Health) answers(probe, stream bool, took time.Duration) {
	h.mu.Lock()
	now := h.now()
	h.took[boolInt(stream)].add(took, now)
	if probe {
		h.unprobe()
		h.recover()
	}
	change, changed := h.changed(now)
	h.mu.Unlock()
	if probe {
		h.credential.accepted()
	}
	h.tell(change, changed)
}

// recover puts the target back in use. The caller holds mu.
func (h *Health) recover() {
	h.failing, h.lost, h.openFor = 0, 0, 0
	h.openUntil, h.probeAfter, h.cooldown = time.Time{}, time.Time{}, time.Time{}
}

// succeeded records an answer that came to its end.
func (h *Health) succeeded() {
	h.mu.Lock()
	now := h.now()
	h.count(now, false)
	h.recover()
	change, changed := h.changed(now)
	h.mu.Unlock()
	h.credential.accepted()
	h.tell(change, changed)
}

// changed returns the change of state since the last one that was told. That a
// time is up is no change: only an answer tells that the target is back. The
// caller holds mu.
func (h *Health) changed(now time.Time) (Change, bool) {
	c := Change{Target: h.id, State: h.told}
	switch {
	case now.Before(h.openUntil):
		c.State, c.Reason, c.For = StateOpen, h.last.String(), h.openUntil.Sub(now)
	case now.Before(h.cooldown):
		c.State, c.Reason, c.For = StateCooling, h.last.String(), h.cooldown.Sub(now)
	case h.openFor == 0:
		c.State = StateInUse
	}
	changed := c.State != h.told
	h.told = c.State
	return c, changed
}

func (h *Health) tell(c Change, changed bool) {
	if changed && h.notify != nil {
		h.notify(c)
	}
}

// verdict is what a failure says of the target.
type verdict struct {
	code       fault.Code
	breaker    bool
	quarantine bool
	forbidden  bool // the provider knows the credential: it may be the model that it may not use
	cooldown   time.Duration
}

// failed records an attempt that failed.
func (h *Health) failed(probe bool, v verdict) {
	h.mu.Lock()
	now := h.now()
	if probe {
		h.unprobe()
	}
	switch {
	case v.quarantine:
		h.count(now, true)
		if v.quarantine = !v.forbidden || !h.credential.shared; !v.quarantine && (probe || !now.Before(h.openUntil)) {
			h.open(now, v.code)
		}
	case v.cooldown > 0:
		h.count(now, true)
		h.cooldown = now.Add(min(v.cooldown, cooldownMost))
		h.last = v.code
	case v.breaker:
		h.count(now, true)
		h.strike(now, probe, v.code)
	default:
		h.count(now, false) // the caller's mistake says nothing of the target
	}
	change, changed := h.changed(now)
	h.mu.Unlock()
	if v.quarantine {
		h.credential.refused(v.code)
	}
	h.tell(change, changed)
}

// strike counts a failure of the target itself, and opens the breaker where there
// were too many. What was under way when it opened does not keep it open longer.
// The caller holds mu.
func (h *Health) strike(now time.Time, probe bool, why fault.Code) {
	if !probe && now.Before(h.openUntil) {
		return
	}
	h.failing++
	if h.lost++; h.lost >= givenUp*h.norms.Failures {
		h.probeAfter = now.Add(h.norms.Open)
	}
	if now.Before(h.openUntil) {
		return
	}
	if probe || h.failing >= h.norms.Failures || (h.seen >= h.norms.Sample && 100*h.bad >= h.norms.Share*h.seen) {
		h.open(now, why)
	}
}

// open opens the breaker, for twice as long as the last time. The caller holds mu.
func (h *Health) open(now time.Time, why fault.Code) {
	h.openFor = min(max(2*h.openFor, h.norms.Open), h.norms.MaxOpen)
	h.openUntil = now.Add(h.openFor)
	h.failing, h.seen, h.bad = 0, 0, 0
	h.last = why
}

// count adds one result to the window. The caller holds mu.
func (h *Health) count(now time.Time, bad bool) {
	if now.Sub(h.windowStart) >= h.norms.Window {
		h.windowStart, h.seen, h.bad = now, 0, 0
	}
	h.seen++
	h.requests++
	if bad {
		h.bad++
		h.failures++
	}
}

// Checked records what came of a look at whether the provider is there. One that
// is not is out of use at once, and one whose credential is refused quarantined,
// so that no request has to find it out; one that may not see the path is there. One that is there again may be asked by
// the next request, whatever time it had left; whether it answers is for that to
// tell.
func (h *Health) Checked(err error) {
	var f *provider.Failure
	h.mu.Lock()
	now := h.now()
	switch {
	case err == nil:
		if now.Before(h.openUntil) {
			h.openUntil, h.probeAfter = now, time.Time{}
		}
	case errors.As(err, &f) && f.Breaker && !now.Before(h.openUntil):
		h.open(now, f.Fault.Code)
	}
	change, changed := h.changed(now)
	h.mu.Unlock()
	switch {
	case err == nil:
		h.credential.accepted()
	case f != nil && f.Quarantine && !forbidden(f):
		h.credential.refused(f.Fault.Code)
	}
	h.tell(change, changed)
}
