package gate

import (
	"context"
	"errors"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/route"
)

// failsOver lists the faults after which another model may be asked: this one
// cannot be reached or does not answer, whoever asks.
var failsOver = map[fault.Code]bool{
	fault.UpstreamFailed: true, fault.UpstreamTimeout: true, fault.UpstreamOverloaded: true, fault.UpstreamRateLimited: true,
	fault.UpstreamAuth: true, fault.UpstreamQuota: true, fault.NoTarget: true, fault.EmptyResponse: true, fault.TranslationError: true,
}

// failsOverFor lists what else it is for those who name the models themselves: what
// this one cannot do another one can.
var failsOverFor = map[fault.Code]bool{fault.ContextLengthExceeded: true, fault.ModelNotFound: true, fault.ModelUnavailable: true}

// passesOver reports whether a model that is not asked because of e is passed over
// for the next one that the caller names: it does not fit him, the request, the
// plan or the balance, and another one may.
func passesOver(e *fault.Error) bool {
	switch e.Code.Entry().Class {
	case fault.ClassRequest, fault.ClassPermission, fault.ClassModel, fault.ClassMoney, fault.ClassContent:
		return true
	}
	switch e.Code {
	case fault.PlanQuotaExceeded, fault.DailySpendExceeded, fault.NoTarget:
		return true
	}
	return false
}

// Tried is a model that was asked, or passed over, for a request that names
// several.
type Tried struct {
	Model string
	Fault fault.Code // why it did not answer; None: it did
}

// Tried lists the models that were tried, in order, where the caller named several.
func (call *Call) Tried() []Tried { return call.tried }

// tries takes note of what came of a model; nil: it answers. call.tried is nil, and
// stays so, where the caller names one model.
func (call *Call) tries(model string, e *fault.Error) {
	if call.tried == nil {
		return
	}
	t := Tried{Model: model}
	if e != nil {
		t.Fault = e.Code
	}
	call.tried = append(call.tried, t)
}

// begin reserves for the model that is asked for, and returns the models to ask
// after it. Where the caller named those himself, it is the first of them all that
// fits; if none does, the error is that of the model he asked for.
func (call *Call) begin(w Wishes) (rest []string, err error) {
	c := call.c
	if len(w.Models) == 0 {
		if err := call.reserve(call.req, w); err != nil {
			return nil, err
		}
		return c.view.Fallbacks(call.model.ID), nil
	}
	call.tried = make([]Tried, 0, 1+len(w.Models))
	rest = w.Models
	original, model := call.req, call.req.Model
	first := fault.From(call.reserve(original, w))
	for e := first; e != nil; e = fault.From(call.reserve(original.For(model), w)) {
		if w.NoFallback || w.Sticky || !passesOver(e) || len(rest) == 0 {
			return nil, first
		}
		call.skipped(model, e)
		model, rest = rest[0], rest[1:]
	}
	return rest, nil
}

// fallBack asks the models of list in their order, after the call's own has failed
// with first. It returns nil as soon as one of them answers: the call is that
// model's then, at its price and in its class. Otherwise it returns first where no
// other model was to be asked; FallbackBlocked or NoFallback where the caller
// forbids it; or AllFallbacksFailed, because of what tells him most. It returns a
// translation error itself.
func (call *Call) fallBack(ctx context.Context, first *fault.Error, list []string, w Wishes) error {
	named := len(w.Models) > 0
	over := func(e *fault.Error) bool { return failsOver[e.Code] || named && failsOverFor[e.Code] }
	switch {
	case !over(first) || call.deserted(ctx, first):
		return first
	case first.Code == fault.TranslationError && (w.NoFallback || w.Sticky || call.stays):
		return first // no waiting mends it
	case w.Sticky || call.stays:
		return instead(fault.FallbackBlocked, first)
	case w.NoFallback:
		return instead(fault.NoFallback, first)
	}
	call.tries(call.model.ID, first)
	asked, worst, soonest := false, first, first.RetryAfter
	original, own := call.req, call.c.terms
	for _, name := range list {
		if call.late(w) {
			break
		}
		e, sent := call.ask(ctx, original.For(name), w)
		if e == nil {
			return nil
		}
		if !sent {
			call.skipped(name, e)
			continue
		}
		asked = true
		if !over(e) || call.deserted(ctx, e) {
			return e
		}
		call.tries(name, e)
		worst = route.Weigh(worst, e)
		if e.RetryAfter > 0 && (soonest == 0 || e.RetryAfter < soonest) {
			soonest = e.RetryAfter
		}
	}
	if !asked {
		return first
	}
	call.c.terms = own // what is left is told of the class that was asked for
	if worst.Code == fault.TranslationError {
		return worst // nothing else that befell the models is mended by waiting, either
	}
	all := instead(fault.AllFallbacksFailed, worst)
	all.RetryAfter = soonest
	return all
}

// late reports whether the time of the request is over, so that no other model is
// held for.
func (call *Call) late(w Wishes) bool {
	over := time.Since(call.began)
	most := call.c.plans.Deadline
	return most > 0 && over >= most || w.Patience > 0 && over >= w.Patience && !call.Drains()
}

// deserted reports whether nobody waits for the answer any more, so that it ended
// with e: the caller has left, and it is not, or no longer, read to its end.
func (call *Call) deserted(ctx context.Context, e *fault.Error) bool {
	return ctx.Err() != nil && (!call.Drains() || errors.Is(e, context.Canceled))
}

// instead is the fault of that code, because of e.
func instead(code fault.Code, e *fault.Error) *fault.Error {
	out := fault.Wrap(code, e)
	out.RetryAfter, out.UpstreamStatus, out.Upstream, out.Said = e.RetryAfter, e.UpstreamStatus, e.Upstream, e.Said
	return out
}

// ask asks another model in place of the call's. The hold is exchanged for what
// that one needs, in one step, before anything is sent. sent is false if the
// model does not fit the caller, the request, the plan or the balance, so that
// nobody was asked and the hold is as it was.
func (call *Call) ask(ctx context.Context, req *llm.Request, w Wishes) (e *fault.Error, sent bool) {
	c := call.c
	before := c.terms
	defer func() {
		if !sent {
			c.terms = before
		}
	}()
	m, err := c.model(req, &w)
	if err != nil {
		return fault.From(err), false
	}
	r, q, err := c.reservation(m, req, w)
	if err != nil {
		return fault.From(err), false
	}
	hold, err := call.hold.Exchange(r)
	if err != nil {
		return fault.From(c.unaffordable(err)), false
	}
	call.holds(hold, q)
	call.req, call.model = req, m
	if err := call.dispatch(ctx, w); err != nil {
		if call.seen.Accepted { // for a caller who has left, and pays for it
			c.v.Event.AnsweredBy = m.ID
		}
		return fault.From(err), true
	}
	c.v.Event.AnsweredBy = m.ID
	return nil, true
}

// skipped records that a fallback was passed over because of e.
func (call *Call) skipped(model string, e *fault.Error) {
	call.tries(model, e)
	ev := call.c.v.Event
	ev.Attempts = append(ev.Attempts, obs.Attempt{Target: model, Outcome: "skipped: " + e.Code.String()})
}
