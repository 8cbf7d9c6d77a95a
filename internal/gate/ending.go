package gate

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/route"
)

const (
	heldRetry  = time.Second      // when to try again for what others hold
	settleWait = 10 * time.Second // how long an answer waits for its charge to be durable
)

// Call is one answer that is being paid for. It belongs to one goroutine and
// ends with exactly one of Finish, Left and Fail; Close ends one that has not.
type Call struct {
	c     *Caller
	req   *llm.Request
	model *catalog.Model

	quote     catalog.Quote
	hold      *ledger.Hold // nil where nothing is charged
	terms     terms
	lease     limit.Lease // of tokens per minute
	spent     int64       // of them, in the end; 0 where nothing is charged
	capOutput int64       // tokens the output was capped at; 0: not
	answer    *route.Answer
	caller    context.Context // ended: he has left
	cancel    context.CancelFunc
	counted   *llm.Usage // the whole answer, where tokens were counted here
	seen      route.Seen // of an attempt that has not given content yet
	fetched   route.Fetched
	class     class     // once it has ended
	began     time.Time // zero: it is a job's
	limits    bool      // he names the dearest price of tokens that he pays
	tried     []Tried   // where the caller named several models; nil: he did not
	stays     bool      // no other target or model may answer: its conversation is to stay where it is

	usage    *llm.Usage // as last reported
	told     bool       // it counts all the output that was seen
	tier     llm.Tier   // that the answer is served in, as far as that was told
	finish   llm.Finish
	growth   growth    // of the hold, with the answer
	cut      bool      // the answer was ended here, for want of money
	produced int64     // bytes of output
	split    llm.Parts // of them
	calls    llm.Calls // of tools at the provider
	begun    bool      // some of the answer was read
	said     bool      // something that is not a refusal
	refused  bool      // a refusal
	ended    bool
	arrived  bool // its last bytes have left

	// finishing is set while only the usage is missing. The end of the
	// caller's context looks at it from a goroutine of its own.
	finishing atomic.Bool
}

// Model returns the model that answers: a fallback, where one had to.
func (call *Call) Model() *catalog.Model { return call.model }

// Request returns the request as it is answered, which names that model.
func (call *Call) Request() *llm.Request { return call.req }

// CappedBy returns "balance" if the output is capped at what can be paid.
func (call *Call) CappedBy() string { return call.c.v.Event.CappedBy }

// Dropped lists the members of the request that were left out as harmless.
func (call *Call) Dropped() []string { return call.c.v.Event.Dropped }

// Drains reports whether the answer is read to its end although the caller has
// left: his key wants that, or he can come back for it with his idempotency key.
// A task has nobody who could leave: it is ended by whoever runs it.
func (call *Call) Drains() bool {
	if call.hold != nil && call.hold.Durable() {
		return false
	}
	return call.c.who.Key.OnDisconnect == account.DisconnectDrain || call.c.claim != nil
}

// Next is that of llm.Stream.
func (call *Call) Next() (llm.Event, error) {
	if call.counted != nil {
		if call.usage != nil {
			return llm.Event{}, io.EOF
		}
		call.usage = call.counted
		return llm.Event{Usage: call.counted, Content: true, Last: true}, nil
	}
	if call.cut {
		return llm.Event{}, io.EOF
	}
	ev, err := call.answer.Next()
	if err != nil {
		return ev, err
	}
	call.begun = true
	if call.growth.on && !call.keepUp(&ev) {
		return call.cutOff(ev), nil
	}
	call.c.v.Event.Left = append(call.c.v.Event.Left, ev.Left...)
	call.produce(int64(ev.OutputBytes), ev.Bytes)
	if ev.Calls != nil {
		call.ran(*ev.Calls)
	}
	if ev.OutputBytes > 0 {
		call.told = false
	}
	if ev.Content {
		if ev.Refusal {
			call.refused = true
		} else {
			call.said = true
		}
	}
	if call.req.Choices <= 1 && ev.Finish != "" {
		call.finish = ev.Finish // some say stop with every piece: the last word counts
	} else {
		call.finish = call.finish.And(ev.Finish)
	}
	call.tier = max(call.tier, ev.Tier)
	if ev.Usage != nil {
		call.report(*ev.Usage)
	}
	call.finishing.Store(call.over() && !call.told)
	return ev, nil
}

// over reports whether the last word of the answer has come. Of several choices
// it is not known which of them have ended.
func (call *Call) over() bool { return call.finish != "" && call.req.Choices <= 1 }

// Bill is what an answer cost.
type Bill struct {
	Charge  money.Amount
	Balance money.Amount // posted, after this charge
	Usage   llm.Usage
}

// Keeper makes of a bill what is kept of the answer for its idempotency key.
type Keeper func(Bill) (*ledger.Stored, error)

// Finish charges for an answer that has come to its end, and returns when the
// charge is durable. keep may be nil; otherwise it is called once, before that,
// and what it returns is kept for the key that was claimed if the answer is
// charged for. Finish's error is a *fault.Error, or keep's; nothing is known to
// be charged then.
func (call *Call) Finish(keep Keeper) (Bill, error) {
	defer call.end()
	usage, how := call.used(), call.finished()
	if how.row().owes != nothing {
		return call.settle(usage, ending{class: how, keep: keep})
	}
	call.void(how, usage, "", 200, toTheEnd)
	free := Bill{Balance: call.c.Balance(), Usage: usage}
	if keep != nil {
		if _, err := keep(free); err != nil {
			return Bill{}, err
		}
	}
	return free, nil
}

// blocked reports whether the answer ended with a policy, or a refusal, in its
// place.
func (call *Call) blocked() bool {
	return call.finish == llm.FinishContentFilter || (call.refused && !call.said)
}

// void ends the call free of charge.
func (call *Call) void(how class, usage llm.Usage, code string, status int, sent reach) {
	call.note(usage, how)
	if call.hold == nil {
		call.c.record(how, code, status, sent)
		return
	}
	r := call.receipt(usage)
	r.Fault, r.Outcome, r.Status, r.Delivery = code, how.row().outcome, status, how.row().delivered(sent)
	call.hold.Void(r)
}

// Left charges for what was produced until the caller left, or for the whole
// answer if it had already ended. An answer that was blocked is free to who
// leaves, too. An idempotency key stands for the charge afterwards, without an
// answer: half of one is nothing to come back for, and a second charge there is
// not.
func (call *Call) Left() {
	defer call.end()
	call.lateUsage()
	call.cancel()
	call.leave()
}

// leave ends the call for a caller who has left.
func (call *Call) leave() {
	how := call.left()
	usage := call.leftUsage(how)
	if how.row().owes == nothing {
		status := 200
		if call.sent() == toNobody {
			status = 499
		}
		call.void(how, usage, "", status, call.sent())
		return
	}
	_, _ = call.settle(usage, ending{class: how}) // nobody is left to be told; the ledger's own log has it
}

// leftUsage is what was used for a caller who has left.
func (call *Call) leftUsage(how class) (usage llm.Usage) {
	if how.row().owes == nothing && how != classBlocked {
		return usage
	}
	usage = call.used()
	if n := call.estimateOutput(); how.row().owes == produced && n > usage.Output {
		usage, usage.Estimated = call.estimated(usage, n), true // what is reported on the way can lag behind
	}
	return usage
}

// sent is how much of the answer has gone out before its end.
func (call *Call) sent() reach {
	if call.begun && call.req.Stream {
		return toWhereItBroke
	}
	return toNobody
}

// ending is how a call ends that is charged for.
type ending struct {
	class  class
	keep   Keeper // for an idempotency key; nil: only the fact is kept
	result []byte // of a task
}

// settle prices usage at the prices of admission and makes the charge durable.
func (call *Call) settle(usage llm.Usage, how ending) (Bill, error) {
	cost, excess, lines, err := call.owed(usage, how.class)
	if err != nil {
		call.Fail(fault.Wrap(fault.Internal, err), 0)
		return Bill{}, fault.Wrap(fault.Internal, err)
	}
	call.note(usage, how.class)
	settlement := ledger.Settlement{
		Actual: cost, Excess: excess, Receipt: call.charged(usage, how.class, lines), Result: how.result, Claim: call.c.claim, Alerts: call.alerts(),
	}
	var unkept error
	if how.keep != nil {
		settlement.Render = func(s ledger.Settled) (*ledger.Stored, error) {
			var kept *ledger.Stored
			if kept, unkept = how.keep(Bill{Charge: s.Charge, Balance: s.Balance, Usage: usage}); unkept != nil {
				return nil, unkept
			}
			return call.c.keep(kept), nil
		}
	}
	// The caller may vanish; the bill may not.
	ctx, cancel := context.WithTimeout(context.Background(), settleWait)
	defer cancel()
	s, err := call.hold.Settle(ctx, settlement)
	switch {
	case unkept != nil:
		call.note(llm.Usage{}, classAborted)
		return Bill{}, unkept
	case err != nil && (how.class.row().alone || call.hold.Durable()):
		call.spent = call.tokens(usage) // the charge stands once it is durable
		return Bill{}, fault.Wrap(fault.LedgerUnavailable, err)
	case err != nil:
		// The caller is told of a failure, so a charge that still becomes
		// durable must not stand.
		call.note(llm.Usage{}, classUnrecorded)
		return Bill{}, fault.Wrap(fault.LedgerUnavailable, errors.Join(err, call.revoke()))
	}
	call.spent = call.tokens(usage)
	ev := call.c.v.Event
	ev.Charge, ev.Absorbed = s.Charge, s.Absorbed
	return Bill{Charge: s.Charge, Balance: s.Balance, Usage: usage}, nil
}

// alerts says which events the charge may cause.
func (call *Call) alerts() (a ledger.Alerts) {
	c := call.c
	if c.who.Key.Test {
		return a
	}
	if c.plans.WarnsBalance {
		a.WarnBelow = c.plans.WarnBelow[c.v.Site]
		if own := c.who.Account.WarnBelow; own != nil {
			a.WarnBelow = *own
		}
	}
	if c.plans.TellsAbsorbed {
		a.Absorbed, a.Target = true, c.v.Event.Provider
	}
	return a
}

// charged is the receipt of an answer that is charged for.
func (call *Call) charged(usage llm.Usage, how class, lines []catalog.Line) *ledger.Receipt {
	r := call.receipt(usage)
	sent := toTheEnd
	if how.row().alone || how == classDrained || (how == classCut && call.away()) {
		sent = call.sent()
	}
	r.Outcome, r.Status, r.Delivery = how.row().outcome, 200, how.row().delivered(sent)
	if how == classLeftWaiting {
		r.Status = 499
	}
	included := call.terms.included()
	if !included {
		r.Price = call.model.Price.ID()
	}
	for _, l := range lines {
		r.Lines = append(r.Lines, ledger.Line{Kind: l.Kind, Units: l.Units, Rate: l.Rate, Rated: !included, Amount: l.Amount})
	}
	return r
}

// owed is what usage costs, and what of that is not for the caller to pay: output
// beyond what he allowed, what a prompt costs beyond the step that it was held for if
// he names the dearest price he pays, and what is beyond the hold where he has left.
func (call *Call) owed(usage llm.Usage, how class) (cost, excess money.Amount, lines []catalog.Line, err error) {
	if cost, lines, err = call.price(usage); err != nil {
		return 0, 0, nil, err
	}
	most := cost
	if n := call.allowed(); usage.Output > n {
		if most, _, err = call.price(usage.CutTo(n)); err != nil {
			return 0, 0, nil, err
		}
	}
	if call.limits && usage.Input > call.quote.Input {
		held := usage.CutTo(call.allowed())
		held.Tier = llm.TierStandard // the rates have it
		atHeld, _, err := call.model.PriceFor(call.req, call.quote.Input).Cost(held)
		if err != nil {
			return 0, 0, nil, err
		}
		most = min(most, atHeld)
	}
	if how.row().owes == produced || call.cut {
		most = min(most, call.hold.Amount())
	}
	return cost, cost - most, lines, nil
}

// price is what usage costs: nothing, where a plan pays for it.
func (call *Call) price(usage llm.Usage) (money.Amount, []catalog.Line, error) {
	if call.terms.included() {
		return 0, []catalog.Line{{Kind: "plan", Units: 1}}, nil
	}
	if usage.Tier != llm.TierStandard {
		usage.Tier = call.model.Price.Billed(call.req.Tier(), usage.Tier)
	}
	return call.model.Price.Cost(usage)
}

// revoke takes a charge back, and waits a while until that is durable.
func (call *Call) revoke() error {
	ctx, cancel := context.WithTimeout(context.Background(), settleWait)
	defer cancel()
	return call.hold.Revoke(ctx)
}

// TakeBack takes the charge of Finish back, for an answer of which the caller
// is told a failure after all, and returns what stands of it: nothing, but if
// the ledger cannot.
func (call *Call) TakeBack() money.Amount {
	ev := call.c.v.Event
	if call.hold == nil || ev.Charge == 0 {
		return 0
	}
	if call.revoke() == nil {
		call.class = classAborted
		call.lease.Correct(0)
		ev.Charge, ev.Absorbed, ev.Outcome = 0, 0, OutcomeAborted
	}
	return ev.Charge
}

// Fail ends the call free of charge, because of e. status is what the caller
// was sent; 0: a status had gone out before.
func (call *Call) Fail(e *fault.Error, status int) {
	if call.ended {
		return
	}
	defer call.end()
	how, sent := classOf(e, status == 0), toNobody
	if status == 0 || status == 200 {
		status, sent = 200, toWhereItBroke
	}
	call.void(how, llm.Usage{}, how.fault(e), status, sent)
}

// Delivered records that the last bytes have left, after Finish.
func (call *Call) Delivered() {
	if call.hold != nil && call.class.row().owes != nothing && call.class.row().delivery == toTheEnd {
		call.arrived = true
		call.c.g.o.Ledger.Delivered(call.c.v.ID)
	}
}

// Close ends a call that nothing else has ended, free of charge: a defect in
// this process is not the caller's bill. Of an answer that was charged for it
// records that its last bytes have not left, unless Delivered did before.
func (call *Call) Close() {
	switch r := call.class.row(); {
	case !call.ended:
		call.Fail(fault.New(fault.Internal, "").With("reason", "closed"), 0)
	case call.hold != nil && !call.hold.Durable() && r.owes != nothing && r.delivery == toTheEnd && !call.arrived:
		call.c.g.o.Ledger.DeliveredPart(call.c.v.ID)
	}
}

// end releases what the call held of the outside world, the tokens that it did
// not use, and the claim if it was not charged: who is told so may ask again at
// once.
func (call *Call) end() {
	call.ended = true
	call.cancel()
	call.lease.Correct(call.spent)
	if call.hold != nil {
		call.hold.Abort() // does nothing unless a defect has kept it from its end
	}
	call.c.claim.Release()
	if call.answer != nil {
		_ = call.answer.Close()
		if as := call.c.v.Event.Attempts; len(as) > 0 {
			as[len(as)-1] = call.answer.Attempt()
		}
		call.answer = nil
	}
}

// note writes what is known at the end into the event.
func (call *Call) note(u llm.Usage, how class) {
	ev := call.c.v.Event
	call.class, ev.Outcome = how, how.row().outcome
	ev.InputTokens, ev.CachedInputTokens, ev.CacheWriteTokens = u.Input, u.CachedInput, u.CacheWrite+u.CacheWrite1h
	ev.OutputTokens, ev.ReasoningTokens, ev.Estimated = u.Output, u.Reasoning, u.Estimated
}

func (call *Call) receipt(u llm.Usage) *ledger.Receipt {
	r := call.c.receipt()
	r.Usage = ledger.Tokens{
		Input: u.Input, CachedInput: u.CachedInput, CacheWrite: u.CacheWrite, CacheWrite1h: u.CacheWrite1h,
		Output: u.Output, Reasoning: u.Reasoning, Estimated: u.Estimated,
	}
	ev := call.c.v.Event
	r.Hold, r.Left = ev.Hold, ledger.Names(ev.Left)
	r.Dropped = ledger.Names(call.req.Own(ev.Dropped))
	return r
}
