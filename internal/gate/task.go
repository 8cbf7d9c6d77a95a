package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
)

// A job's requests are admitted and held for when the job comes, and dispatched
// whenever it is their turn, perhaps by another process. What each costs is
// fixed in between.

// Pinned is how a request of a job is paid for, fixed when it was held.
type Pinned struct {
	Price catalog.Price
	Plan  string // whose quota it counts in; empty: none
	Class string
	Free  bool // the plan pays
}

// Prepared is a request of a job that fits its caller.
type Prepared struct {
	Reservation ledger.Reservation
	Pinned      []byte // JSON of a Pinned
}

// Prepare checks a request of a job as Open would, and says what it needs. id
// becomes its request id. Its error is a *fault.Error.
func (c *Caller) Prepare(req *llm.Request, id [16]byte) (Prepared, error) {
	m, err := c.model(req, &Wishes{})
	if err != nil {
		return Prepared{}, err
	}
	r, _, err := c.reservation(m, req, Wishes{FullOutput: true})
	if err != nil {
		return Prepared{}, err
	}
	r.Request = id
	pinned, err := json.Marshal(Pinned{Price: m.Price, Plan: c.terms.plan, Class: c.terms.class, Free: c.terms.included()})
	if err != nil {
		return Prepared{}, fault.Wrap(fault.Internal, err)
	}
	return Prepared{r, pinned}, nil
}

// HoldAll holds what the requests of a job need, all of it or nothing, and
// returns when that is durable. An idempotency key that was claimed stands for
// stored then. Its error is a *fault.Error.
func (c *Caller) HoldAll(ctx context.Context, group [16]byte, list []Prepared, stored *ledger.Stored) ([]*ledger.Hold, error) {
	rs := make([]ledger.Reservation, len(list))
	for i := range list {
		rs[i] = list[i].Reservation
	}
	o := ledger.DurableOptions{Group: group, Claim: c.claim}
	if stored != nil {
		o.Stored = c.keep(stored)
	}
	holds, err := c.g.o.Ledger.HoldDurably(ctx, rs, o)
	if err != nil {
		return nil, c.unaffordable(err)
	}
	return holds, nil
}

// Task is a request of a job whose turn has come.
type Task struct {
	Hold    *ledger.Hold // durable
	Pinned  []byte
	Site    string
	Key     account.KeyID
	Request *llm.Request
	Event   *obs.Event
}

// Resume dispatches a task and returns when content is in hand. Whatever comes
// of it, the hold stays open until FinishTask or FailTask; so it does where
// Resume returns an error, a *fault.Error, together with the Call to fail. The
// call is nil where nobody can be told who was asking.
func (g *Gate) Resume(ctx context.Context, t Task) (*Call, error) {
	k, err := g.o.Accounts.Key(t.Key)
	if err != nil {
		return nil, fault.Wrap(fault.KeyInvalid, err)
	}
	a, err := g.o.Accounts.Account(k.Account)
	if err != nil {
		return nil, fault.Wrap(fault.KeyInvalid, err)
	}
	c := &Caller{
		g: g, v: Visit{Site: t.Site, ID: t.Hold.Request(), Event: t.Event}, who: account.Principal{Account: a, Key: k},
		plans: g.plans.Load(), release: func() {},
	}
	call := &Call{c: c, req: t.Request, hold: t.Hold, cancel: func() {}}
	t.Event.Account, t.Event.Key, t.Event.Test, t.Event.Hold = a.ID.String(), k.ID.String(), k.Test, t.Hold.Amount()
	if err := call.resume(ctx, t.Pinned); err != nil {
		return call, err
	}
	return call, nil
}

func (call *Call) resume(ctx context.Context, pinned []byte) error {
	c := call.c
	switch k := c.who.Key; {
	case k.Revoked():
		return fault.New(fault.KeyInvalid, "The key was revoked before it was this request's turn.")
	case !k.Active || c.who.Account.Status != account.StatusActive:
		return fault.New(fault.KeyInactive, "")
	}
	if c.view = c.plans.Views[c.v.Site]; c.view == nil {
		return fault.New(fault.EndpointNotAllowed, "The site of this job is not served any more.")
	}
	p := Pinned{Price: catalog.Price{Tiers: catalog.NoTiers}} // as it was where an earlier version has pinned a price without any
	if err := json.Unmarshal(pinned, &p); err != nil {
		return fault.Wrap(fault.Internal, fmt.Errorf("pinned price: %w", err))
	}
	m, ok := c.view.Model(call.req.Model)
	if !ok {
		return fault.NoModel(clip(call.req.Model), "model")
	}
	if err := m.Check(call.req); err != nil {
		return err
	}
	then := *m // as it was when the request was held for
	then.Price = p.Price
	q, err := then.Quote(call.req, upper(call.req), func() int64 { return countInput(call.req) })
	if err != nil {
		return err
	}
	call.model, call.quote, call.capOutput = &then, q, q.OutputFor(q.Hold)
	call.terms = terms{plan: p.Plan, class: p.Class, quota: catalog.Quota{Metered: !p.Free}}
	return call.send(ctx, c.targets(m), Wishes{})
}

// Blocked reports whether the answer ended with a policy, or a refusal, in its
// place.
func (call *Call) Blocked() bool { return call.blocked() }

// Usage returns what a finished answer is charged for.
func (call *Call) Usage() llm.Usage { return call.used() }

// FinishTask charges for an answer that has come to its end, and keeps the
// result with its hold. It returns when both are durable; after an error it is
// not known whether they are.
func (call *Call) FinishTask(result []byte) error {
	defer call.end()
	_, err := call.settle(call.used(), ending{class: call.finished(), result: result})
	return err
}

// FailTask gives the hold back because of e, free of charge, and keeps the
// result with it. It returns when that is durable; after an error the hold is
// still open.
func (call *Call) FailTask(e *fault.Error, result []byte) error {
	defer call.end()
	how := classOf(e, false)
	call.note(llm.Usage{}, how)
	r := call.receipt(llm.Usage{})
	r.Fault, r.Outcome, r.Status, r.Delivery = how.fault(e), how.row().outcome, 0, how.row().delivered(toNobody)
	return GiveBack(call.hold, r, result)
}

// LeaveTask ends a task whose caller called it off while he was told its answer: he
// pays as one does who leaves, and the result is kept with the hold. It returns when
// that is durable; after an error it is not known whether it is.
func (call *Call) LeaveTask(result []byte) error {
	defer call.end()
	how := call.left()
	usage := call.leftUsage(how)
	if how.row().owes != nothing {
		_, err := call.settle(usage, ending{class: how, result: result})
		return err
	}
	call.note(usage, how)
	r := call.receipt(usage)
	r.Outcome, r.Status, r.Delivery = how.row().outcome, 200, how.row().delivered(call.sent())
	return GiveBack(call.hold, r, result)
}

// Abandon ends the call and leaves its hold as it is.
func (call *Call) Abandon() { call.end() }

// GiveBack ends a durable hold without a charge. It returns when that is
// durable; after an error the hold is still open. A hold that has ended already
// is no error.
func GiveBack(h *ledger.Hold, r *ledger.Receipt, result []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), settleWait)
	defer cancel()
	if err := h.VoidDurably(ctx, r, result); err != nil && !errors.Is(err, ledger.ErrEnded) {
		return err
	}
	return nil
}
