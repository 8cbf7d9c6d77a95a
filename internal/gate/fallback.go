package gate

import (
	"context"
	"errors"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
)

// failsOver lists the faults after which another model may be asked: this one
// cannot be reached or does not answer, whoever asks.
var failsOver = map[fault.Code]bool{
	fault.UpstreamFailed: true, fault.UpstreamTimeout: true, fault.UpstreamOverloaded: true, fault.UpstreamRateLimited: true,
	fault.UpstreamAuth: true, fault.UpstreamQuota: true, fault.NoTarget: true, fault.EmptyResponse: true,
}

// fallBack asks the fallbacks of the model in their order, after the model
// itself has failed with first. It returns nil as soon as one of them answers:
// the call is that model's then, at its price and in its class. Otherwise it
// returns first where no other model was to be asked; FallbackBlocked or
// NoFallback where the caller forbids it; or AllFallbacksFailed.
func (call *Call) fallBack(ctx context.Context, first *fault.Error, w Wishes) error {
	list := call.c.view.Fallbacks(call.model.ID)
	switch {
	case !failsOver[first.Code] || call.deserted(ctx, first):
		return first
	case w.Sticky:
		return instead(fault.FallbackBlocked, first)
	case w.NoFallback:
		return instead(fault.NoFallback, first)
	}
	asked, worst := false, first
	original, own := call.req, call.c.terms
	for _, name := range list {
		e, sent := call.ask(ctx, original.For(name), w)
		if e == nil {
			return nil
		}
		if !sent {
			call.skipped(name, e)
			continue
		}
		asked = true
		if !failsOver[e.Code] || call.deserted(ctx, e) {
			return e
		}
		if e.RetryAfter > 0 && (worst.RetryAfter == 0 || e.RetryAfter < worst.RetryAfter) {
			worst = e
		}
	}
	if !asked {
		return first
	}
	call.c.terms = own // what is left is told of the class that was asked for
	return instead(fault.AllFallbacksFailed, worst)
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
	m, err := c.model(req)
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
	ev := call.c.v.Event
	ev.Attempts = append(ev.Attempts, obs.Attempt{Target: model, Outcome: "skipped: " + e.Code.String()})
}
