package gate

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/route"
	"github.com/pontage/pontage/internal/token"
)

// Wishes are what a caller's headers ask of one request.
type Wishes struct {
	FullOutput bool // rather refuse than cap the output at what can be paid
	Impatient  bool // the caller's own client is already retrying
}

// Open admits a request: model, capabilities, price, hold, provider. It returns
// when content is in hand. Its error is a *fault.Error, and nothing was spent
// and nothing is held; the caller of Open reports it with [Caller.Refused].
func (c *Caller) Open(ctx context.Context, req *llm.Request, w Wishes) (*Call, error) {
	m, err := c.model(req)
	if err != nil {
		return nil, err
	}
	targets := c.plans.Targets[m]
	if c.who.Key.Test {
		targets = c.plans.Tests[m]
	}
	call := &Call{c: c, req: req, model: m}
	if req.Task == llm.TaskCountTokens {
		return call, call.count(ctx, targets)
	}
	if err := c.reserve(call, w); err != nil {
		return nil, err
	}
	open := false
	defer func() {
		if !open { // for whatever reason, a panic included
			call.hold.Void(nil) // the receipt is recorded by Refused, with the status that was sent
		}
	}()
	if err := call.dispatch(ctx, targets, w); err != nil {
		return nil, err
	}
	open = true
	return call, nil
}

// model finds the model and checks that this caller and this request fit it.
func (c *Caller) model(req *llm.Request) (*catalog.Model, error) {
	shown := req.Model[:min(len(req.Model), 200)]
	m, ok := c.view.Model(req.Model)
	if !ok {
		return nil, fault.New(fault.ModelNotFound, "The model %q does not exist.", shown).At("model").With("model", shown)
	}
	if !c.who.Key.Allows(m.ID) {
		return nil, fault.New(fault.ModelNotAllowed, "This key may not use the model %q.", shown).At("model").With("model", shown)
	}
	if err := m.Check(req); err != nil {
		return nil, err
	}
	return m, nil
}

// reserve prices the request at its worst and holds that.
func (c *Caller) reserve(call *Call, w Wishes) error {
	req := call.req
	if err := supported(call.req, c.plans.Targets[call.model], c.plans.Tests[call.model], c.who.Key.Test); err != nil {
		return err
	}
	q, err := call.model.Quote(req, token.Upper(req.Size), func() int64 { return countInput(req) })
	if err != nil {
		return err
	}
	r := ledger.Reservation{
		Account:           int64(c.who.Account.ID),
		Key:               int64(c.who.Key.ID),
		Test:              c.who.Key.Test,
		Request:           c.v.ID,
		Amount:            q.Hold,
		Floor:             q.Hold,
		KeyRequestsPerDay: c.who.Key.Limits.RequestsPerDay,
		KeyUSDPerDay:      c.who.Key.Limits.USDPerDay,
	}
	if q.Elastic && !w.FullOutput {
		r.Floor = q.Floor
	}
	hold, err := c.g.o.Ledger.Hold(r)
	if err != nil {
		return c.unaffordable(err)
	}
	call.hold, call.quote = hold, q
	c.v.Event.Hold = hold.Amount()
	if q.Elastic {
		call.capOutput = q.OutputFor(hold.Amount())
		if hold.Amount() < q.Hold {
			c.v.Event.CappedBy = "balance"
		}
	}
	return nil
}

// supported refuses, before anything is held, what no target can honour.
func supported(req *llm.Request, live, tests []*route.Target, test bool) error {
	targets := live
	if test {
		targets = tests
	}
	var first error
	for _, t := range targets {
		err := t.Provider.Supports(req)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first // nil if there is no target at all: the router says so
}

// dispatch brings the request to a provider.
func (call *Call) dispatch(ctx context.Context, targets []*route.Target, w Wishes) error {
	c := call.c
	// An answer in one piece has nothing to come that could be waited for.
	up, cancel := ctx, func() {}
	if call.req.Stream || call.Drains() {
		up, cancel = c.g.upstream(ctx, call.Drains(), call.finishing.Load)
	}
	call.cancel = cancel
	defer func() {
		if call.answer == nil {
			cancel()
		}
	}()
	a, err := c.g.o.Router.Open(up, call.req, route.Plan{
		Targets:   targets,
		Attempts:  cmp.Or(call.model.Attempts, c.plans.Attempts),
		CapOutput: call.capOutput,
		MaxOutput: call.mostOutput(),
		RequestID: c.v.Event.ID,
		Impatient: w.Impatient,
	}, &c.v.Event.Attempts)
	if err != nil {
		return err
	}
	call.answer = a
	c.v.Event.Provider = a.Target()
	c.v.Event.Dropped = a.Dropped(call.req)
	return nil
}

// mostOutput is the most that the model can answer to this prompt; 0: unknown.
func (call *Call) mostOutput() int64 {
	most := call.model.MaxOutput
	if room := call.quote.Room; room > 0 && (most == 0 || room < most) {
		most = room
	}
	return most
}

// count answers how many tokens a prompt has: by a provider that can say, else
// by counting here. It is free, and nothing is held.
func (call *Call) count(ctx context.Context, targets []*route.Target) error {
	var able []*route.Target
	for _, t := range targets {
		if t.Provider.Supports(call.req) == nil {
			able = append(able, t)
		}
	}
	if len(able) > 0 {
		return call.dispatch(ctx, able, Wishes{})
	}
	call.counted = &llm.Usage{Input: countInput(call.req), Estimated: true}
	call.cancel = func() {}
	return nil
}

// unaffordable turns the ledger's refusal into the fault that the contract's
// precedence puts first.
func (c *Caller) unaffordable(err error) error {
	var short *ledger.Short
	if !errors.As(err, &short) {
		if errors.Is(err, ledger.ErrUnavailable) {
			return fault.Wrap(fault.LedgerUnavailable, err)
		}
		return fault.From(err)
	}
	var all []*fault.Error
	for _, s := range short.Buckets {
		all = append(all, c.shortage(s))
	}
	order := c.v.Precedence
	if len(order) == 0 {
		order = defaultPrecedence
	}
	for _, code := range order {
		for _, e := range all {
			if e.Code == code {
				return e
			}
		}
	}
	return all[0]
}

// defaultPrecedence: daily limits before the balance.
var defaultPrecedence = []fault.Code{
	fault.PlanRequired, fault.CreditsRequired, fault.PlanQuotaExceeded,
	fault.DailyRequestsExceeded, fault.DailySpendExceeded,
	fault.BalanceInsufficient, fault.BalanceHeld,
}

// shortage makes the fault of one bucket that is short.
func (c *Caller) shortage(s ledger.ShortBucket) *fault.Error {
	if s.Bucket == ledger.BucketBalance {
		return shortBalance(s)
	}
	var e *fault.Error
	switch s.Bucket {
	case ledger.BucketKeyUSD:
		e = fault.New(fault.DailySpendExceeded, "")
		e.LimitSource, e.HasMoney = "key_day_usd", true
		e.Required, e.Available, e.Held = money.Amount(s.Need), money.Amount(s.Free()), money.Amount(s.Held)
		e.With("limit", money.Amount(s.Limit).String()).With("used", money.Amount(s.Used).String())
	case ledger.BucketKeyRequests:
		e = fault.New(fault.DailyRequestsExceeded, "")
		e.LimitSource = "key_day_requests"
	default:
		e = fault.New(fault.PlanQuotaExceeded, "").With("class", s.Class)
		e.LimitSource = "plan_day"
	}
	if !e.HasMoney {
		e.With("limit", strconv.FormatInt(s.Limit, 10)).With("used", strconv.FormatInt(s.Used, 10))
	}
	// What only others hold may come back any moment; what is used comes back
	// with the next day.
	if s.HeldOnly() {
		e.RetryAfter = heldRetry
	} else {
		e.ResetAt = s.ResetsAt
		e.RetryAfter = max(s.ResetsAt.Sub(c.g.o.Now()), time.Second)
	}
	return e
}

// shortBalance tells a balance that is too small from one that is held.
func shortBalance(s ledger.ShortBucket) *fault.Error {
	need, free, held := money.Amount(s.Need), money.Amount(s.Free()), money.Amount(s.Held)
	var e *fault.Error
	if s.HeldOnly() {
		e = fault.New(fault.BalanceHeld, "This request needs $%s; $%s is available and $%s is held by requests in flight.", need, free, held)
		e.RetryAfter = heldRetry
	} else {
		e = fault.New(fault.BalanceInsufficient, "This request needs $%s and $%s is available.", need, free)
	}
	e.HasMoney, e.LimitSource = true, "balance"
	e.Required, e.Available, e.Held, e.Balance = need, free, held, money.Amount(s.Limit-s.Used)
	return e
}
