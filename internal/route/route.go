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
	"slices"
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
	Provider provider.Provider
	Model    string // the provider's name of the model
	Key      provider.Secret
	Timeouts provider.Timeouts // zero values: the defaults for the request
	Weight   int               // consecutive targets with a weight share their requests by it; 0: its place in the order counts
	Health   *Health           // shared by all that use the same provider, model and credential
}

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

	Seen *Seen // nil: nobody asks
}

// Seen is what the present attempt has given before any content: what there is to
// account for if ctx ends meanwhile.
type Seen struct {
	Accepted bool       // the provider has answered with success, and is at work
	Usage    *llm.Usage // as last reported; nil: it was not
	Bytes    int64      // of output
}

// Router opens answers. It has no state of its own: health lives in the targets.
type Router struct {
	// Base and Most bound the wait between rounds of tries: full jitter over
	// Base, doubled each round, up to Most. A provider that asks for a longer
	// wait than Most ends the request. Zero: DefaultBase, DefaultMost.
	Base, Most time.Duration
	// Sleep waits between attempts; nil: a timer. It returns early with ctx's
	// error if that ends first.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Open tries targets until one gives content, and returns the answer with that
// first event still to be read. Every try is added to attempts.
//
// Its error is a *fault.Error: of the last attempt, or of the one that says
// most to the caller; NoTarget if nothing could be tried at all. If ctx ended,
// the error wraps ctx's.
func (r *Router) Open(ctx context.Context, req *llm.Request, p Plan, attempts *[]obs.Attempt) (*Answer, error) {
	order, refusal := candidates(req, p.Targets)
	if len(order) == 0 {
		return nil, refusal
	}
	l := loop{r: r, req: req, p: p, attempts: attempts, left: p.Attempts, start: time.Now()}
	if l.left <= 0 {
		l.left = DefaultAttempts
	}
	l.left = min(l.left, MaxAttempts)
	for round := 0; len(order) > 0 && l.left > 0; round++ {
		if round > 0 {
			if l.worst.RetryAfter > r.most() {
				break // longer than a caller should be kept waiting: say so instead
			}
			if err := r.sleep(ctx, r.backoff(round-1, l.worst)); err != nil {
				return nil, gone(err)
			}
		}
		a, err := l.round(ctx, &order)
		if a != nil || err != nil {
			return a, err
		}
	}
	return nil, l.worst
}

// loop is the state of one request's retries.
type loop struct {
	r        *Router
	req      *llm.Request
	p        Plan
	attempts *[]obs.Attempt
	left     int
	start    time.Time
	worst    *fault.Error // that says most to the caller
}

// round tries each target of order once, in turn, and leaves in order those that
// may be tried again. It returns an answer, or an error that ends the request,
// or neither.
func (l *loop) round(ctx context.Context, order *[]*Target) (*Answer, error) {
	again := make([]*Target, 0, len(*order))
	for _, t := range *order {
		if l.left == 0 {
			break
		}
		ok, probe, why, wait := t.Health.admit()
		if !ok {
			l.worst = weigh(l.worst, outOfUse(why, wait))
			continue
		}
		l.left--
		a, failure := l.r.attempt(ctx, l.req, t, probe, l.p, l.attempts)
		if failure == nil {
			return a, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, gone(err)
		}
		l.worst = weigh(l.worst, failure.Fault)
		if !failure.Retry && !failure.Failover {
			return nil, failure.Fault
		}
		if total := t.Timeouts.Or(provider.DefaultTimeouts(l.req.Stream, false)).Total; total > 0 && time.Since(l.start) > total {
			return nil, l.worst
		}
		if failure.Retry && !l.p.Impatient {
			again = append(again, t)
		}
		if !failure.Failover {
			break
		}
	}
	*order = again
	return nil, nil
}

// candidates returns the targets that can honour the request, fit ones first,
// or the refusal that says most if none can.
func candidates(req *llm.Request, targets []*Target) ([]*Target, *fault.Error) {
	order := make([]*Target, 0, len(targets))
	var refusal *fault.Error
	supported := map[provider.Provider]bool{}
	for _, t := range targets {
		ok, known := supported[t.Provider]
		if !known {
			err := t.Provider.Supports(req)
			ok = err == nil
			supported[t.Provider] = ok
			if err != nil && refusal == nil {
				refusal = fault.From(err)
			}
		}
		if ok {
			order = append(order, t)
		}
	}
	if len(order) == 0 {
		if refusal == nil {
			refusal = fault.New(fault.NoTarget, "")
		}
		return nil, refusal
	}
	shareOut(order)
	slices.SortStableFunc(order, func(a, b *Target) int {
		return boolInt(!a.Health.Fit()) - boolInt(!b.Health.Fit())
	})
	return order, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// shareOut shuffles each run of weighted targets by weight.
func shareOut(order []*Target) {
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && order[j].Weight > 0 {
			j++
		}
		for run := order[i:j]; len(run) > 1; run = run[1:] {
			total := 0
			for _, t := range run {
				total += t.Weight
			}
			pick := rand.IntN(total)
			for k, t := range run {
				if pick -= t.Weight; pick < 0 {
					run[0], run[k] = run[k], run[0]
					break
				}
			}
		}
		i = max(j, i+1)
	}
}

// attempt opens one target and reads on until content.
func (r *Router) attempt(ctx context.Context, req *llm.Request, t *Target, probe bool, p Plan, attempts *[]obs.Attempt) (*Answer, *provider.Failure) {
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
		Timeouts:  t.Timeouts,
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
		t.Health.answers(probe)
		*attempts = append(*attempts, rec)
		a.record = rec
		a.start = start
		return a, nil
	}
	if s != nil {
		_ = s.Close()
	}
	failure := once(req, beforeContent(asFailure(err, t.Key)))
	if failure.Fault.Code == fault.ModelNotFound {
		// The provider means its own name of the model, which is not the caller's.
		failure.Fault.With("model", req.Model[:min(len(req.Model), 200)])
	}
	if failure.Fault.Param == "messages" {
		failure.Fault.Param = req.PromptName()
	}
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

// beforeContent turns a stream that broke off before it had said anything into
// an attempt that failed, and can be made again.
func beforeContent(f *provider.Failure) *provider.Failure {
	if f.Fault.Code != fault.StreamInterrupted {
		return f
	}
	e := *f.Fault
	e.Code = fault.UpstreamFailed
	return &provider.Failure{Fault: &e, Retry: true, Failover: true, Breaker: true, Sent: true}
}

// once makes a failure final where making an image, or sound, or a transcript may
// have begun: it is slow and dear, and nobody wants to pay for it twice. A status
// below 500 proves that nothing was done, and so do those of a server that has too
// much to do.
func once(req *llm.Request, f *provider.Failure) *provider.Failure {
	switch req.Task {
	case llm.TaskImage, llm.TaskSpeech, llm.TaskTranscribe:
	default:
		return f
	}
	switch s := f.Fault.UpstreamStatus; {
	case !f.Sent, s >= 400 && s < 500, s == unavailable, s == overloaded:
		return f
	}
	g := *f
	g.Retry, g.Failover = false, false
	return &g
}

// Statuses of a server with too much to do; the second is Anthropic's, and others
// have taken it over.
const (
	unavailable = 503
	overloaded  = 529
)

func judge(f *provider.Failure) verdict {
	v := verdict{code: f.Fault.Code, breaker: f.Breaker, quarantine: f.Quarantine}
	if f.Fault.Code == fault.UpstreamRateLimited {
		v.cooldown = max(f.Cooldown, time.Second)
	}
	return v
}

// asFailure makes a Failure of whatever a provider returned that was asked with
// the key.
func asFailure(err error, key provider.Secret) *provider.Failure {
	var f *provider.Failure
	if errors.As(err, &f) {
		f.Hide(key)
		return f
	}
	return &provider.Failure{Fault: fault.Wrap(fault.UpstreamFailed, err), Failover: true, Breaker: true, Sent: true}
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

func gone(err error) *fault.Error {
	return fault.Wrap(fault.UpstreamFailed, err)
}

// outOfUse is the fault of a target that is kept out of use because of why.
func outOfUse(why fault.Code, wait time.Duration) *fault.Error {
	switch why {
	case fault.UpstreamRateLimited, fault.UpstreamAuth, fault.UpstreamQuota:
	default:
		why = fault.NoTarget
	}
	e := fault.New(why, "")
	e.RetryAfter = wait
	return e
}

// telling ranks the faults of several attempts: the one that tells the caller
// most wins, and among equals the last. What can be mended by waiting is worth
// more than what cannot, and a provider that answered more than one that did not.
var telling = map[fault.Code]int{
	fault.NoTarget:            1,
	fault.UpstreamAuth:        2,
	fault.UpstreamQuota:       3,
	fault.UpstreamTimeout:     4,
	fault.EmptyResponse:       5,
	fault.UpstreamFailed:      5,
	fault.UpstreamOverloaded:  6,
	fault.UpstreamRateLimited: 7,
}

func weigh(a, b *fault.Error) *fault.Error {
	if a == nil || telling[b.Code] >= telling[a.Code] {
		return b
	}
	return a
}
