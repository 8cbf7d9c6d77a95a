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
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/route"
)

const (
	heldRetry  = time.Second      // when to try again for what others hold
	settleWait = 10 * time.Second // how long an answer waits for its charge to be durable
)

// The outcomes of a request, as receipts and metrics name them, and what each
// costs:
//
//	ok           an answer that came to its end          what it used
//	client_left  the caller left in the middle of it     the prompt, and what was produced until then; at most the hold
//	blocked      a policy, or a refusal, in its place     0
//	refused      we said no                              0
//	failed       no provider gave content                0
//	empty        a provider answered with nothing        0
//	interrupted  the provider broke off in the middle    0
//	aborted      we broke off: a defect, a shutdown      0
//	replayed     an idempotency key stood for an answer  0
const (
	OutcomeOK          = "ok"
	OutcomeClientLeft  = "client_left"
	OutcomeBlocked     = "blocked"
	OutcomeRefused     = "refused"
	OutcomeFailed      = "failed"
	OutcomeEmpty       = "empty"
	OutcomeInterrupted = "interrupted"
	OutcomeAborted     = "aborted"
	OutcomeReplayed    = "replayed"
)

// outcomeOf is the outcome of a request that ends with e before content.
func outcomeOf(e *fault.Error) string {
	switch {
	case e.Code == fault.Draining: // whose cause is a cancelled context, too
		return OutcomeAborted
	case errors.Is(e, context.Canceled):
		return OutcomeClientLeft
	case e.Code == fault.EmptyResponse:
		return OutcomeEmpty
	case e.Code == fault.ContentPolicy:
		return OutcomeBlocked
	case e.Code == fault.Internal:
		return OutcomeAborted
	case e.Code.Entry().Class == fault.ClassUpstream:
		return OutcomeFailed
	}
	return OutcomeRefused
}

// Call is one answer that is being paid for. It belongs to one goroutine and
// ends with exactly one of Finish, Left and Fail; Close ends one that has not.
type Call struct {
	c     *Caller
	req   *llm.Request
	model *catalog.Model

	quote     catalog.Quote
	hold      *ledger.Hold // nil where nothing is charged
	terms     terms
	capOutput int64 // tokens the output was capped at; 0: not
	answer    *route.Answer
	cancel    context.CancelFunc
	counted   *llm.Usage // the whole answer, where tokens were counted here

	usage    *llm.Usage // as last reported
	told     bool       // it was reported with the finish, or after it
	finish   llm.Finish
	produced int64 // bytes of output
	said     bool  // something that is not a refusal
	refused  bool  // a refusal
	ended    bool

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
	ev, err := call.answer.Next()
	if err != nil {
		return ev, err
	}
	call.produced += int64(ev.OutputBytes)
	if ev.Content {
		if ev.Refusal {
			call.refused = true
		} else {
			call.said = true
		}
	}
	call.finish = call.finish.And(ev.Finish)
	if ev.Usage != nil {
		u := *ev.Usage
		call.usage = &u
		call.told = call.finish != ""
	}
	call.finishing.Store(call.finish != "" && !call.told)
	return ev, nil
}

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
	usage := call.used()
	switch {
	case call.hold == nil:
		call.note(usage, OutcomeOK)
		call.c.record("", OutcomeOK, 200)
	case call.blocked():
		call.block(usage, "complete")
	default:
		return call.settle(usage, ending{outcome: OutcomeOK, keep: keep})
	}
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

// block ends the call free of charge for being blocked.
func (call *Call) block(usage llm.Usage, delivery string) {
	call.note(usage, OutcomeBlocked)
	r := call.receipt(usage)
	r.Outcome, r.Status, r.Delivery = OutcomeBlocked, 200, delivery
	call.hold.Void(r)
}

// Left charges for what was produced until the caller left, or for the whole
// answer if it had already ended. An answer that was blocked is free to who
// leaves, too.
func (call *Call) Left() {
	defer call.end()
	call.lateUsage()
	call.cancel()
	if call.hold == nil {
		call.c.record("", OutcomeClientLeft, 499)
		return
	}
	if call.c.claim != nil {
		// With half an answer there is nothing to keep for the key, and it is
		// charged once or never.
		call.Fail(fault.New(fault.StreamInterrupted, ""), 0)
		return
	}
	usage := call.used()
	if call.blocked() {
		call.block(usage, "partial")
		return
	}
	outcome := OutcomeClientLeft
	if call.finish != "" {
		outcome = OutcomeOK
	}
	if call.finish == "" && call.usage != nil {
		// What was reported on the way counts the output so far too low.
		usage.Output = max(usage.Output, call.estimateOutput())
		usage.Estimated = true
	}
	_, _ = call.settle(usage, ending{outcome: outcome, left: true}) // nobody is left to be told; the ledger's own log has it
}

// ending is how a call ends that is charged for.
type ending struct {
	outcome string
	left    bool   // the caller has left
	keep    Keeper // for an idempotency key; nil: nothing is kept
	result  []byte // of a task
}

// settle prices usage at the prices of admission and makes the charge durable.
func (call *Call) settle(usage llm.Usage, how ending) (Bill, error) {
	cost, lines, err := call.price(usage)
	if err != nil {
		call.Fail(fault.Wrap(fault.Internal, err), 0)
		return Bill{}, fault.Wrap(fault.Internal, err)
	}
	if how.left {
		cost = min(cost, call.hold.Amount())
	}
	call.note(usage, how.outcome)
	settlement := ledger.Settlement{Actual: cost, Receipt: call.charged(usage, how, lines), Result: how.result, Alerts: call.alerts()}
	var unkept error
	if how.keep != nil {
		settlement.Claim = call.c.claim
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
		call.note(llm.Usage{}, OutcomeAborted)
		return Bill{}, unkept
	case err != nil && (how.left || call.hold.Durable()):
		return Bill{}, fault.Wrap(fault.LedgerUnavailable, err) // the charge stands once it is durable
	case err != nil:
		// The caller is told of a failure, so a charge that still becomes
		// durable must not stand.
		call.note(llm.Usage{}, OutcomeAborted)
		return Bill{}, fault.Wrap(fault.LedgerUnavailable, errors.Join(err, call.revoke()))
	}
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
func (call *Call) charged(usage llm.Usage, how ending, lines []catalog.Line) *ledger.Receipt {
	r := call.receipt(usage)
	r.Outcome, r.Status = how.outcome, 200
	included := call.terms.included()
	if !included {
		r.Price = call.model.Price.ID()
	}
	for _, l := range lines {
		r.Lines = append(r.Lines, ledger.Line{Kind: l.Kind, Units: l.Units, Rate: l.Rate, Rated: !included, Amount: l.Amount})
	}
	if how.left {
		r.Delivery = ledger.DeliveryPartial
	}
	return r
}

// price is what usage costs: nothing, where a plan pays for it.
func (call *Call) price(usage llm.Usage) (money.Amount, []catalog.Line, error) {
	if call.terms.included() {
		return 0, []catalog.Line{{Kind: "plan", Units: 1}}, nil
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
	outcome := outcomeOf(e)
	if status == 0 {
		status = 200
		if outcome == OutcomeFailed {
			outcome = OutcomeInterrupted
		}
	}
	call.note(llm.Usage{}, outcome)
	if call.hold == nil {
		call.c.record(e.Code.String(), outcome, status)
		return
	}
	r := call.receipt(llm.Usage{})
	r.Fault, r.Outcome, r.Status, r.Delivery = e.Code.String(), outcome, status, "none"
	if status == 200 {
		r.Delivery = "partial"
	}
	call.hold.Void(r)
}

// Delivered records that the last bytes have left, after Finish.
func (call *Call) Delivered() {
	if call.hold != nil && call.c.v.Event.Outcome == OutcomeOK {
		call.c.g.o.Ledger.Delivered(call.c.v.ID)
	}
}

// Close ends a call that nothing else has ended, free of charge: a defect in
// this process is not the caller's bill.
func (call *Call) Close() {
	if !call.ended {
		call.Fail(fault.New(fault.Internal, "").With("reason", "closed"), 0)
	}
}

// end releases what the call held of the outside world, and the claim if it was
// not charged: who is told so may ask again at once.
func (call *Call) end() {
	call.ended = true
	call.cancel()
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
func (call *Call) note(u llm.Usage, outcome string) {
	ev := call.c.v.Event
	ev.Outcome = outcome
	ev.InputTokens, ev.CachedInputTokens, ev.CacheWriteTokens = u.Input, u.CachedInput, u.CacheWrite+u.CacheWrite1h
	ev.OutputTokens, ev.ReasoningTokens, ev.Estimated = u.Output, u.Reasoning, u.Estimated
}

func (call *Call) receipt(u llm.Usage) *ledger.Receipt {
	r := call.c.receipt()
	r.Usage = ledger.Tokens{
		Input: u.Input, CachedInput: u.CachedInput, CacheWrite: u.CacheWrite, CacheWrite1h: u.CacheWrite1h,
		Output: u.Output, Reasoning: u.Reasoning, Estimated: u.Estimated,
	}
	r.Hold = call.c.v.Event.Hold
	return r
}
