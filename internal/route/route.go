// Package route brings a request to a provider that is up: targets in order,
// one retry loop, a breaker and a quarantine for each target, and nothing
// after content.
//
// [Router.Open] returns when the first event with content is in hand, so that
// until then another target can be tried and a real status can be sent.
package route

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/provider"
)

// Bounds of the retry loop, unless a model says otherwise.
const (
	DefaultAttempts = 3
	MaxAttempts     = 10
	DefaultBase     = 250 * time.Millisecond
	DefaultMost     = 8 * time.Second
)

// Target is one place a request can go: provider × upstream model × credential.
type Target struct {
	ID       string // "provider/model", with "#2" behind it for a second credential
	Name     string // of the provider in the configuration; seals name it as the issuer
	Provider provider.Provider
	Model    string // the provider's name of the model
	Key      provider.Secret
	Timeouts provider.Timeouts // zero values: the defaults for the request
	Weight   int               // consecutive targets with a weight share their requests by it; 0: its place in the order counts
	Health   *Health           // shared by all that use the same provider, model and credential
	Fetch    Fetcher           // of what the provider takes only in bytes; nil: nobody fetches

	Cost   Cost // what the operator pays there
	Priced bool // Cost is known
}

// Cost is what a target costs, in nano-dollars per million tokens, and per request.
// Long are the steps of that, the shortest first: what tokens cost with a prompt of
// more than Above of them.
type Cost struct {
	Input, Output, Request int64
	Long                   []Step
}

// Step is a step of a [Cost].
type Step struct{ Above, Input, Output int64 }

// ThinksOnlyWhenAsked reports whether it is known that the model there thinks for
// nobody who does not ask for it.
func (t *Target) ThinksOnlyWhenAsked() bool {
	p, ok := t.Provider.(provider.Thinker)
	return ok && p.ThinksOnlyWhenAsked(t.Model)
}

// Plan is where one request may go and how hard to try.
type Plan struct {
	Targets   []*Target
	Attempts  int   // in total; 0: DefaultAttempts
	CapOutput int64 // see provider.Call
	MaxOutput int64
	Reasons   bool
	RequestID string
	Impatient bool // the caller is itself retrying: no second try at one target

	Order         Order
	Input, Output int64  // tokens to expect, for ByCost
	Session       uint64 // see [Session]: the same one goes to the same of several equal targets
	HasSession    bool
	Model         string        // of the session, as callers name it
	Pin           time.Duration // how long the session stays where it was last answered; 0: that is not remembered
	Prefer        []string      // names of providers that come first, in order, in any case of letters
	Stay          Stay          // who may take the place of the target that comes first

	Start    time.Time     // when the request began; zero: now
	Within   time.Duration // from Start: no try begins later, and no wait ends later; 0: no limit
	Patience time.Duration // from Start: how long the caller waits for content; 0: unknown

	Seen    *Seen    // nil: nobody asks
	Fetched *Fetched // shared by the plans of one request; nil: what is fetched is for this plan

	stream bool
	pinned *Target // where the session is; nil: nowhere
	stayed *Target // the same, if it was to be asked first
}

// Seen is what the present attempt has given before any content: what there is to
// account for if ctx ends meanwhile.
type Seen struct {
	Accepted bool       // the provider has answered with success, and is at work
	Usage    *llm.Usage // as last reported; nil: it was not
	Bytes    int64      // of output
	Split    llm.Parts  // of Bytes
	Calls    llm.Calls  // of tools at the provider
	Tier     llm.Tier   // as told so far
}

// Router opens answers. Health lives in the targets.
type Router struct {
	// Base and Most bound the wait between rounds of tries: full jitter over
	// Base, doubled each round, up to Most. A provider that asks for a longer
	// wait than Most ends the request. Zero: DefaultBase, DefaultMost.
	Base, Most time.Duration
	// Sleep waits between attempts; nil: a timer. It returns early with ctx's
	// error if that ends first.
	Sleep func(ctx context.Context, d time.Duration) error
	// Pins remember where sessions are; nil: nothing is remembered.
	Pins *Pins
	// Draw returns a number from 0 to n-1; nil: a random one.
	Draw func(n int) int
}

// Open tries targets until one gives content, and returns the answer with that
// first event still to be read. Every try is added to attempts.
//
// Its error is a *fault.Error: of the last attempt, or of the one that says
// most to the caller; NoTarget if nothing could be tried at all. If ctx ended,
// the error wraps ctx's.
func (r *Router) Open(ctx context.Context, req *llm.Request, p Plan, attempts *[]obs.Attempt) (*Answer, error) {
	p.stream = req.Stream
	order, refusal := r.candidates(req, &p)
	if len(order) == 0 {
		return nil, refusal
	}
	now := time.Now()
	if p.Start.IsZero() {
		p.Start = now
	}
	l := loop{r: r, req: req, p: p, attempts: attempts, left: p.Attempts, begun: now}
	if l.left <= 0 {
		l.left = DefaultAttempts
	}
	l.left = min(l.left, MaxAttempts)
	// To wait for a probe takes no try: who has few waits for it as anybody does.
	for round, most := 0, max(l.left, DefaultAttempts); len(order) > 0 && l.left > 0 && round < most; round++ {
		if round > 0 {
			var err error
			if order, err = l.wait(ctx, round-1, order); err != nil {
				return nil, gone(err)
			}
		}
		a, err := l.round(ctx, &order)
		if a != nil || err != nil {
			return a, err
		}
	}
	if l.worst == nil {
		return nil, fault.New(fault.UpstreamTimeout, "").With("phase", "deadline")
	}
	return nil, l.worst
}

// late reports whether the time of the request is over in d.
func (p *Plan) late(d time.Duration) bool {
	if p.Within <= 0 && p.Patience <= 0 {
		return false
	}
	over := time.Since(p.Start) + d
	return p.Within > 0 && over >= p.Within || p.Patience > 0 && over >= p.Patience
}

// timeouts are the timers of an attempt at t: those of the target, but none that
// outlives the caller's patience.
func (p *Plan) timeouts(t *Target, req *llm.Request) provider.Timeouts {
	if p.Patience <= 0 {
		return t.Timeouts // the provider knows the defaults
	}
	out := t.Timeouts.Or(provider.DefaultTimeouts(req.Stream, req.Needs.Has(llm.NeedReasoning)))
	left := max(p.Patience-time.Since(p.Start), time.Millisecond)
	out.Headers, out.FirstEvent = within(out.Headers, left), within(out.FirstEvent, left)
	if !req.Stream {
		out.Total = within(out.Total, left)
	}
	return out
}

// within is the timer d, or left if that is over sooner. A negative d is off.
func within(d, left time.Duration) time.Duration {
	if d < 0 || d > left {
		return left
	}
	return d
}

// loop is the state of one request's retries.
type loop struct {
	r        *Router
	req      *llm.Request
	p        Plan
	attempts *[]obs.Attempt
	left     int
	begun    time.Time
	worst    *fault.Error              // that says most to the caller
	near     bool                      // a target is out of use, and another request is finding out whether it is still
	asked    map[*Target]time.Duration // the targets that were tried and may be again, and how long each wants to be left alone
}

// paid stands for how long a target wants to be left alone that has been, and has
// had its try taken from its budget, and did not admit it.
const paid = -1

// wait waits for the next round, and returns the targets of order that are to be
// asked in it; none: there is no other round.
func (l *loop) wait(ctx context.Context, n int, order []*Target) ([]*Target, error) {
	worst := l.worst
	if l.near {
		worst = nil // what is waited for is the probe
	}
	if worst != nil && worst.RetryAfter > l.r.most() {
		return nil, nil // longer than a caller should be kept waiting: say so instead
	}
	d := l.r.backoff(n, worst)
	if l.p.late(d) {
		return nil, nil
	}
	if order = l.affordable(order, d); len(order) == 0 {
		return nil, nil
	}
	return order, l.r.sleep(ctx, d)
}

// affordable returns the targets of order that may be asked in d: those that were
// not tried yet, and those that were if they want to be left alone no longer than
// that and their budgets have room, which it takes. It records those that have
// none as passed over.
func (l *loop) affordable(order []*Target, d time.Duration) []*Target {
	out := order[:0]
	for _, t := range order {
		quiet, again := l.asked[t]
		switch {
		case quiet > d:
		case !again || quiet == paid:
			out = append(out, t)
		case t.Health.spend():
			l.asked[t] = paid
			out = append(out, t)
		default:
			*l.attempts = append(*l.attempts, obs.Attempt{Target: t.ID, Outcome: "skipped: retry_budget"})
		}
	}
	return out
}

// round tries each target of order once, in turn, and leaves in order those that
// may be tried again. It returns an answer, or an error that ends the request,
// or neither.
func (l *loop) round(ctx context.Context, order *[]*Target) (*Answer, error) {
	next := make([]*Target, 0, len(*order))
	l.near = false
	for _, t := range *order {
		if l.left == 0 || l.p.late(0) {
			break
		}
		req, refusal := l.fit(ctx, t)
		if refusal != nil {
			if err := ctx.Err(); err != nil {
				return nil, gone(err)
			}
			l.worst = Weigh(l.worst, refusal)
			continue
		}
		if l.p.late(0) {
			break // what it takes had to be fetched first
		}
		_, again := l.asked[t]
		ok, probe, kept := t.Health.admit(again)
		if !ok {
			l.worst = Weigh(l.worst, outOfUse(kept.why, kept.wait))
			if kept.probed {
				l.near = true
				next = append(next, t)
			}
			continue
		}
		l.left--
		a, failure := l.r.attempt(ctx, req, t, probe, &l.p, l.attempts)
		if failure == nil {
			return a, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, gone(err)
		}
		l.worst = Weigh(l.worst, failure.Fault)
		if !failure.Retry && !failure.Failover {
			return nil, failure.Fault
		}
		if total := t.Timeouts.Or(provider.DefaultTimeouts(l.req.Stream, false)).Total; total > 0 && time.Since(l.begun) > total {
			return nil, l.worst
		}
		if failure.Retry && !l.p.Impatient {
			next = append(next, t)
			if l.asked == nil {
				l.asked = map[*Target]time.Duration{}
			}
			l.asked[t] = failure.Fault.RetryAfter
		}
		if !failure.Failover {
			break
		}
	}
	*order = next
	return nil, nil
}

// attempt opens one target and reads on until content.
func (r *Router) attempt(ctx context.Context, req *llm.Request, t *Target, probe bool, p *Plan, attempts *[]obs.Attempt) (*Answer, *provider.Failure) {
	start := time.Now()
	rec := obs.Attempt{Target: t.ID, Outcome: "ok", Status: 200}
	var s llm.Stream
	var err error
	defect := true
	defer func() {
		if !defect {
			return
		}
		t.Health.release(probe)
		if s != nil {
			_ = s.Close()
		}
	}()
	s, err = t.Provider.Open(ctx, provider.Call{
		Request:   req,
		Model:     t.Model,
		Key:       t.Key,
		CapOutput: p.CapOutput,
		MaxOutput: p.MaxOutput,
		Reasons:   p.Reasons,
		RequestID: p.RequestID,
		Timeouts:  p.timeouts(t, req),
	})
	a := &Answer{stream: s, target: t}
	seen := p.Seen
	if seen == nil {
		seen = new(Seen)
	}
	*seen = Seen{Accepted: err == nil}
	if err == nil {
		err = a.peek(req.HasMaxOutput && req.MaxOutput == 0, seen)
	}
	if err != nil && (ctx.Err() == nil || !errors.Is(err, context.Canceled)) {
		*seen = Seen{} // it failed by itself
	}
	defect = false
	rec.Took = time.Since(start)
	if err == nil {
		t.Health.answers(probe, req.Stream, rec.Took)
		if r.pins(p) {
			r.Pins.put(p.pinKey(), t, p.Pin)
		}
		if p.stayed != nil && p.stayed != t {
			a.moved = true
			*attempts = append(*attempts, obs.Attempt{Target: p.stayed.ID, Outcome: obs.CacheBroken})
		}
		*attempts = append(*attempts, rec)
		a.record = rec
		a.start = start
		return a, nil
	}
	if s != nil {
		_ = s.Close()
	}
	failure := p.failure(req, t, err)
	if ctx.Err() != nil {
		t.Health.release(probe) // the caller left: that says nothing of the target
		rec.Outcome = "cancelled"
	} else {
		t.Health.failed(probe, judge(failure))
		rec.Outcome = failure.Fault.Code.String()
	}
	rec.Status, rec.Billed = failure.Fault.UpstreamStatus, failure.Sent
	*attempts = append(*attempts, rec)
	return nil, failure
}

func (r *Router) sleep(ctx context.Context, d time.Duration) error {
	if r.Sleep != nil {
		return r.Sleep(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// backoff is full jitter over Base·2ⁿ, and at least what the provider asked.
func (r *Router) backoff(n int, last *fault.Error) time.Duration {
	base := r.Base
	if base <= 0 {
		base = DefaultBase
	}
	d := rand.N(max(min(base<<min(n, 5), r.most()), 1))
	if last != nil && last.RetryAfter > d {
		d = last.RetryAfter
	}
	return d
}

func (r *Router) most() time.Duration {
	if r.Most <= 0 {
		return DefaultMost
	}
	return r.Most
}
