package gate

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/route"
	"github.com/pontage/pontage/internal/token"
)

// Wishes are what a caller asks of one request beside what it says.
type Wishes struct {
	FullOutput bool // rather refuse than cap the output at what can be paid
	Impatient  bool // the caller's own client is already retrying
	NoFallback bool // neither another model nor another provider, if the first cannot answer
	Sticky     bool // the same, since that would lose what the provider has cached

	Models   []string // to ask after the request's own, in place of the configured fallbacks
	ModelsAt string   // the member that names them

	Order      []string   // providers that come first, in order
	Only       []string   // providers that may answer; empty: all
	OnlyAt     string     // the member or header that names them
	Ignore     []string   // providers that may not
	Sort       string     // order of targets in place of the model's: catalog.OrderLatency or OrderCost; empty: the model's
	MaxInput   money.Rate // dearest price of a prompt, per million tokens; 0: any
	MaxOutput  money.Rate // dearest price of an answer, per million tokens; 0: any
	MaxRequest money.Amount
	MaxPriceAt string // the member that names them
	Selects    bool   // he chooses among the providers, by name or by their order: that may cost more
	Suffix     string // of the model's name, by which he does; empty: none
	Caching    bool   // the conversation stays where its prompt is cached, whatever the model says

	MaxImage      money.Amount // dearest price of an image; 0: any
	MaxCharacters money.Rate   // dearest price of a million characters of speech; 0: any
	MaxMinute     money.Amount // dearest price of a minute of sound that is heard; 0: any

	Session  string        // what the caller calls the conversation; empty: he does not
	Patience time.Duration // how long his client waits; 0: unknown
}

// Open admits a request: model, plan, capabilities, price, hold, provider. It
// returns when content is in hand. Its error is a *fault.Error, and nothing is
// held; the caller of Open reports it with [Caller.Refused]. Nothing was charged
// either, but to who left after a provider had accepted the request.
func (c *Caller) Open(ctx context.Context, req *llm.Request, w Wishes) (*Call, error) {
	call := &Call{c: c, req: req, caller: ctx, began: time.Now(), limits: w.MaxInput > 0 || w.MaxOutput > 0}
	if err := c.wanted(req.Model, &w); err != nil {
		return nil, err
	}
	if req.Task == llm.TaskCountTokens {
		m, err := c.model(req, &w)
		if err != nil {
			return nil, err
		}
		call.model = m
		return call, call.count(ctx, c.targets(m))
	}
	if req.Dialect == llm.OpenAICompact {
		w.FullOutput = true // nothing can limit what it comes to
	}
	rest, err := call.begin(w)
	if err != nil {
		return nil, err
	}
	open := false
	defer func() {
		if !open { // for whatever reason, a panic included
			call.lease.Correct(call.spent)
			call.hold.Void(nil) // the receipt is recorded by Refused, with the status that was sent
		}
	}()
	err = call.dispatch(ctx, w)
	if call.model.ID != req.Model && (err == nil || call.seen.Accepted) { // the one that was asked for was passed over
		c.v.Event.AnsweredBy = call.model.ID
	}
	if err != nil {
		if err = call.fallBack(ctx, fault.From(err), rest, w); err != nil {
			call.desert(err)
			return nil, err
		}
	}
	call.tries(call.model.ID, nil)
	open = true
	return call, nil
}

// desert ends the call if err says that its caller has left while a provider
// that had accepted the request was at work. A caller who is still there when we
// go down is told so, and the receipt is of that.
func (call *Call) desert(err error) {
	if !call.seen.Accepted || !errors.Is(err, context.Canceled) || call.endedByUs() {
		return
	}
	defer call.end()
	ev := call.c.v.Event
	if as := ev.Attempts; len(as) > 0 {
		ev.Provider = as[len(as)-1].Target
	}
	call.produce(call.seen.Bytes, call.seen.Split)
	call.ran(call.seen.Calls)
	call.tier = call.seen.Tier
	if u := call.seen.Usage; u != nil {
		call.report(*u)
	}
	call.leave()
	call.c.ended = true
}

// endedByUs reports whether it was the end of the process that ended the caller's
// context, and not he himself before that.
func (call *Call) endedByUs() bool {
	base := call.c.g.o.Base
	return base.Err() != nil && context.Cause(call.caller) == context.Cause(base)
}

// targets is where this caller's requests to a model go.
func (c *Caller) targets(m *catalog.Model) []*route.Target {
	if c.who.Key.Test {
		return c.plans.Tests[m.Shared()]
	}
	return c.plans.Targets[m.Shared()]
}

// model finds the model, at what it costs this request, and checks that this caller
// and this request fit it.
func (c *Caller) model(req *llm.Request, w *Wishes) (*catalog.Model, error) {
	shown := req.Model[:min(len(req.Model), 200)]
	m, ok := c.view.Model(req.Model)
	if !ok {
		return nil, fault.NoModel(shown, "model")
	}
	if !c.who.Key.Allows(m.ID) {
		return nil, fault.ModelNotOfKey(shown)
	}
	extra := c.surcharge(m, w)
	switch {
	case req.Task == llm.TaskCountTokens: // which costs nothing, and counts in no quota
	case extra > 0: // no plan pays for that
		c.terms = terms{}
	default:
		if err := c.choose(m, req); err != nil {
			return nil, err
		}
	}
	if err := m.Check(req); err != nil {
		return nil, err
	}
	return m.WithSurcharge(extra), nil
}

// reserve finds the request's model, prices the request at its worst, takes the
// tokens that it is expected to use, and holds the price. The call is of that
// request then.
func (call *Call) reserve(req *llm.Request, w Wishes) error {
	c := call.c
	m, err := c.model(req, &w)
	if err != nil {
		return err
	}
	r, q, err := c.reservation(m, req, w)
	if err != nil {
		return err
	}
	call.req, call.model = req, m
	var exceeded *limit.Exceeded
	if call.lease, exceeded = c.g.o.Limiter.TakeTokens(int64(c.who.Key.ID), c.Rate(), q.Tokens()); exceeded != nil {
		return tooMany(exceeded, q.Tokens())
	}
	hold, err := c.g.o.Ledger.Hold(r)
	if err != nil {
		call.lease.Correct(0)
		return c.unaffordable(err)
	}
	call.holds(hold, q)
	return nil
}

// reservation is what a request to a model needs of every bucket.
func (c *Caller) reservation(m *catalog.Model, req *llm.Request, w Wishes) (ledger.Reservation, catalog.Quote, error) {
	targets, err := c.places(m, req, w)
	if err != nil {
		return ledger.Reservation{}, catalog.Quote{}, err
	}
	if err := supported(req, targets); err != nil {
		return ledger.Reservation{}, catalog.Quote{}, err
	}
	q, err := m.Quote(req, upper(req), func() int64 { return countInput(req) })
	if err != nil {
		return ledger.Reservation{}, catalog.Quote{}, err
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
		Quotas:            c.terms.quotas(),
	}
	if q.Elastic && !w.FullOutput {
		r.Floor = q.Floor
		if observable(m, targets, req) {
			r.Share = shareOf
		}
	}
	if c.terms.included() {
		r.Amount, r.Floor = 0, 0
	}
	return r, q, nil
}

// upper is an estimate of the prompt's tokens that is not below their number.
func upper(req *llm.Request) int64 { return token.Upper(req.Size) }

// holds takes note of what is held for the call.
func (call *Call) holds(h *ledger.Hold, q catalog.Quote) {
	ev := call.c.v.Event
	call.hold, call.quote, call.terms, call.growth = h, q, call.c.terms, growth{}
	ev.Hold, ev.CappedBy = h.Amount(), ""
	if call.terms.included() {
		call.capOutput = q.OutputFor(q.Hold)
		return
	}
	// What others hold later may stand in the way, but is not known of yet.
	call.capOutput = q.OutputFor(h.Reach())
	if q.Elastic && h.Reach() < q.Hold {
		ev.CappedBy = cappedByBalance
	}
	call.growth = growthOf(h, q)
}

// supported refuses, before anything is held, what no target can honour.
func supported(req *llm.Request, targets []*route.Target) error {
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

// send opens an answer at one of the targets.
func (call *Call) send(ctx context.Context, targets []*route.Target, w Wishes) error {
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
	a, err := c.g.o.Router.Open(up, call.req, call.plan(targets, w), &c.v.Event.Attempts)
	if err != nil {
		return err
	}
	call.answer = a
	c.v.Event.Provider = a.Target()
	if a.Moved() {
		c.v.Event.CacheAffinity = "broken"
	}
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
		return call.send(ctx, able, Wishes{})
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
		return c.terms.shortBalance(s)
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
	if !e.HasMoney { // a request in flight is one of the day, as its caller counts
		e.With("limit", strconv.FormatInt(s.Limit, 10)).With("used", strconv.FormatInt(s.Used+s.Held, 10))
	}
	// What only others hold may come back any moment; what is used comes back
	// with the next day.
	if s.HeldOnly() {
		e.RetryAfter = heldRetry
	} else {
		e.ResetAt = s.ResetsAt
		e.RetryAfter = max(s.ResetsAt.Sub(c.g.o.Now()), time.Millisecond) // 0 would be unknown
	}
	return e
}
