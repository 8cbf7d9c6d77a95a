package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/pontage/pontage/internal/money"
)

// Errors of refunds.
var (
	ErrNoCharge        = errors.New("no such charge")
	ErrNothingToRefund = errors.New("nothing is left to refund")
	ErrRefundTooLarge  = errors.New("more than is left of the charge")
)

const noteRevoked = "the answer was not delivered"

// Refund gives back what a request was charged, or some of it.
type Refund struct {
	Request   [16]byte
	Amount    money.Amount // ≥ 0; 0: all that is left
	Reference string       // at most 255 bytes; unique in the account, credits included; empty: none
	Note      string       // at most 1,024 bytes
	Actor     Actor        // who gives it; empty: the system
}

func (r *Refund) check() error {
	switch {
	case r.Amount < 0:
		return fmt.Errorf("amount: %s is negative", r.Amount)
	case len(r.Reference) > maxReference:
		return fmt.Errorf("reference: longer than %d bytes", maxReference)
	case len(r.Note) > maxNote:
		return fmt.Errorf("note: longer than %d bytes", maxNote)
	}
	if err := r.Actor.check(); err != nil {
		return fmt.Errorf("actor: %w", err)
	}
	return nil
}

// Refund makes the refund durable and returns its entry. Refunds never exceed the
// charge: [ErrRefundTooLarge]. A request that was not charged gives
// [ErrNoCharge], or [ErrTooOld] if it may have been long ago, one that was refunded
// entirely [ErrNothingToRefund]. Daily
// counters are not given back.
//
// With a reference that the account has used before, Refund changes nothing and
// returns the entry of that time, together with [ErrReferenceTaken] if that is no
// refund of this request, or of another amount. Where r asks for all that is left,
// the entry is taken for that as long as nothing is left. That holds however old
// the request is.
func (e *Engine) Refund(ctx context.Context, r Refund) (Entry, error) {
	if err := e.Ready(); err != nil {
		return Entry{}, err
	}
	if err := r.check(); err != nil {
		return Entry{}, fmt.Errorf("refund: %w", err)
	}
	o := &op{done: make(chan struct{})}
	if r.Reference != "" {
		if before, err := e.refundedBefore(ctx, &r, o); err != nil || before != nil {
			if err != nil {
				err = fmt.Errorf("refund: %w", err)
			}
			return deref(before), err
		}
	}
	err := e.prepareRefund(ctx, &r, o)
	if err == nil {
		_, err = e.finishRefund(ctx, o)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("refund: %w", err)
	}
	return o.entry, nil
}

func deref(e *Entry) Entry {
	if e == nil {
		return Entry{}
	}
	return *e
}

// refundedBefore makes o the only op about the reference of r, and returns the
// entry that it already stands for, if there is one. A turn for a reference always
// comes before one for a request, so that no two wait for each other.
func (e *Engine) refundedBefore(ctx context.Context, r *Refund, o *op) (*Entry, error) {
	row, err := e.journal.ReadReceipt(ctx, r.Request)
	if err != nil {
		return nil, err
	}
	if row == nil {
		return e.refundedLongAgo(ctx, r)
	}
	if row.Seq == 0 {
		return nil, ErrNoCharge
	}
	before, err := e.turnForReference(ctx, o, turnKey{account: row.Account, reference: r.Reference})
	if err != nil || before == nil {
		return nil, err
	}
	same := before.Kind == KindRefund && before.Request == r.Request && (r.Amount == 0 || r.Amount == before.Amount)
	if same && r.Amount == 0 {
		// It was all that was left only if nothing is now: it may have been given
		// since the receipt was read.
		if row, err = e.journal.ReadReceipt(ctx, r.Request); err != nil {
			return nil, err
		}
		same = row == nil || row.Refunded == row.Charge
	}
	if !same {
		return before, fmt.Errorf("reference: %w", ErrReferenceTaken)
	}
	return before, nil
}

// refundedLongAgo does the same for a request that has no receipt. Refunds are
// kept when their request is not, and nothing else of it can be given back.
func (e *Engine) refundedLongAgo(ctx context.Context, r *Refund) (*Entry, error) {
	before, err := e.journal.ReadRefund(ctx, r.Request, r.Reference)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look up reference: %w", err)
	case before == nil:
		return nil, e.noCharge(r.Request)
	case r.Amount != 0 && r.Amount != before.Amount:
		return before, fmt.Errorf("reference: %w", ErrReferenceTaken)
	}
	return before, nil
}

// prepareRefund makes o the refund, which is the only one of its request. After an
// error o has ended.
func (e *Engine) prepareRefund(ctx context.Context, r *Refund, o *op) error {
	if err := e.turnForRequest(ctx, r.Request, o); err != nil {
		return e.turns.end(o, err)
	}
	row, err := e.journal.ReadReceipt(ctx, r.Request)
	if err == nil && row == nil {
		err = e.noCharge(r.Request)
	}
	if err == nil {
		err = o.refund(row, r.Amount)
	}
	if err != nil {
		return e.turns.end(o, err)
	}
	o.entry.Time, o.entry.Day, o.entry.Note = e.now(), e.today(), r.Note
	o.entry.Reference, o.entry.Actor = r.Reference, cmp.Or(r.Actor, ActorSystem)
	return nil
}

// finishRefund queues o, and waits for it. It reports whether o was queued.
func (e *Engine) finishRefund(ctx context.Context, o *op) (queued bool, err error) {
	if err := e.enqueue(o); err != nil {
		return false, e.turns.end(o, err)
	}
	return true, o.wait(ctx)
}

// refund makes o the refund of amount, or of all that is left, of the charge.
func (o *op) refund(row *ReceiptRow, amount money.Amount) error {
	if row == nil || row.Seq == 0 {
		return ErrNoCharge
	}
	left := row.Charge - row.Refunded
	if mutated(RefundUnbounded) {
		left = row.Charge
	}
	switch {
	case left == 0:
		return ErrNothingToRefund
	case amount == 0:
		amount = left
	case amount > left:
		return fmt.Errorf("amount: %s: %w: %s of %s", amount, ErrRefundTooLarge, left, row.Charge)
	}
	o.entry = Entry{Kind: KindRefund, Account: row.Account, Key: row.Key, Test: row.Test, Amount: amount, Request: row.ID, Model: row.Model}
	return nil
}

// takeBack refunds what is left of a revoked charge, and deletes the answer of
// the claim that it was settled with; nil: there is none. It reports whether
// that was queued; if not, the charge stands, and so does the answer.
func (e *Engine) takeBack(ctx context.Context, receipt *ReceiptRow, unrecorded bool, c *Claim) (queued bool, err error) {
	abort, err := receipt.abort(unrecorded)
	if err != nil {
		return false, err
	}
	if err := e.claims.revoke(ctx, c); err != nil {
		return false, err
	}
	o := &op{done: make(chan struct{})}
	err = e.prepareRefund(ctx, &Refund{Request: receipt.ID, Note: noteRevoked}, o)
	if errors.Is(err, ErrNothingToRefund) {
		o, err = &op{bare: true}, nil
	}
	if err == nil {
		o.extra = &extra{forget: c, abort: abort}
		queued, err = e.finishRefund(ctx, o)
	}
	if !queued {
		e.claims.stand(c)
	}
	return queued, err
}

// takeBackOnTheWay follows the durable charge of o, which was revoked on its
// way, with a refund. It runs on the committer's goroutine. If an operator is
// refunding the request at this moment, whatever that leaves is refunded after
// it: it may have looked before the charge was there.
func (e *Engine) takeBackOnTheWay(o *op) {
	c := o.kept()
	r := &op{follows: true, bare: o.entry.Amount == 0, done: make(chan struct{})}
	abort, err := o.receipt.abort(true)
	if err != nil {
		abort = nil // of a receipt that this process has packed
	}
	if !r.bare && e.turns.put(turnKey{request: o.entry.Request}, r) != nil {
		go func() {
			// It asks nobody whether the ledger is ready: this commit may have taken
			// long. There is nobody to tell that it could not, which takes an engine
			// that ends at this moment.
			_, _ = e.takeBack(context.Background(), o.receipt, true, c)
		}()
		return
	}
	r.extra = &extra{forget: c, abort: abort}
	r.entry = Entry{
		Time: e.now(), Kind: KindRefund, Account: o.entry.Account, Key: o.entry.Key, Test: o.entry.Test, Day: e.today(),
		Amount: o.entry.Amount, Request: o.entry.Request, Model: o.entry.Model, Note: noteRevoked, Actor: ActorSystem,
	}
	// A follower is always taken in.
	_ = e.enqueue(r)
}

// turnForRequest makes o the only refund of its request, once others have ended.
func (e *Engine) turnForRequest(ctx context.Context, request [16]byte, o *op) error {
	for {
		other := e.turns.put(turnKey{request: request}, o)
		if other == nil {
			return nil
		}
		if err := other.wait(ctx); err != nil && ctx.Err() != nil {
			return err
		}
	}
}
