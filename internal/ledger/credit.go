package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// Errors of refunds.
var (
	ErrNoCharge        = errors.New("no such charge")
	ErrNothingToRefund = errors.New("nothing is left to refund")
	ErrRefundTooLarge  = errors.New("more than is left of the charge")
)

// Bounds of credits.
const (
	maxCredit    = 1_000_000_000 * money.Dollar // one credit
	maxBalance   = money.Max / 2                // what credits may sum up to
	maxReference = 255                          // bytes
	maxNote      = 1024                         // bytes
)

const noteRevoked = "the answer was not delivered"

// Credit is money given to an account, or taken from it by its operator.
type Credit struct {
	Account   int64
	Kind      Kind         // KindTopup, KindGrant or KindAdjust
	Amount    money.Amount // > 0; an adjust may be negative, and may leave the balance below zero
	Test      bool         // to the test balance
	ExpiresAt time.Time    // grants only: what is left then is taken back; zero: never
	Reference string       // at most 255 bytes; unique in its account; empty: none
	Note      string       // at most 1,024 bytes
}

func (c *Credit) check(now time.Time) error {
	switch c.Kind {
	case KindTopup, KindGrant:
		if c.Amount <= 0 {
			return fmt.Errorf("credit: amount: %s is not positive", c.Amount)
		}
	case KindAdjust:
		if c.Amount == 0 {
			return errors.New("credit: amount: an adjust of nothing")
		}
	case KindUsage, KindRefund, KindExpire, KindAbsorbed, KindReduce:
		return fmt.Errorf("credit: kind: %q is not topup, grant or adjust", c.Kind)
	default:
		return fmt.Errorf("credit: kind: %q is not topup, grant or adjust", c.Kind)
	}
	switch {
	case c.Account == 0:
		return errors.New("credit: account: missing")
	case c.Amount > maxCredit || c.Amount < -maxCredit:
		return fmt.Errorf("credit: amount: %s is beyond %s", c.Amount, maxCredit)
	case !c.ExpiresAt.IsZero() && c.Kind != KindGrant:
		return fmt.Errorf("credit: expires_at: a %s does not expire", c.Kind)
	case !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(now):
		return errors.New("credit: expires_at: is not in the future")
	case len(c.Reference) > maxReference:
		return fmt.Errorf("credit: reference: longer than %d bytes", maxReference)
	case len(c.Note) > maxNote:
		return fmt.Errorf("credit: note: longer than %d bytes", maxNote)
	}
	return nil
}

// Credit makes the credit durable and available, and returns its entry. A
// negative adjust gives an entry of kind KindReduce. With a reference that the
// account has used before, Credit changes nothing and returns the entry of that
// time. If ctx ends first the credit may still happen; asking again with the
// same reference is safe.
func (e *Engine) Credit(ctx context.Context, c Credit) (Entry, error) {
	if err := e.Ready(); err != nil {
		return Entry{}, err
	}
	now := e.now()
	if err := c.check(now); err != nil {
		return Entry{}, err
	}
	o := &op{done: make(chan struct{})}
	o.entry = Entry{
		Time: now, Kind: c.Kind, Account: c.Account, Test: c.Test, Day: e.today(), Amount: c.Amount,
		ExpiresAt: c.ExpiresAt, Reference: c.Reference, Note: c.Note,
	}
	if c.Amount < 0 {
		o.entry.Kind, o.entry.Amount = KindReduce, -c.Amount
	}
	if c.Reference != "" && !mutated(ReferenceIgnored) {
		before, err := e.turnForReference(ctx, o)
		if err != nil || before != nil {
			return deref(before), err
		}
	}
	if err := e.announce(o); err != nil {
		return Entry{}, e.turns.end(o, err)
	}
	if err := e.enqueue(o); err != nil {
		return Entry{}, e.turns.end(o, fmt.Errorf("credit: %w", err))
	}
	if err := o.wait(ctx); err != nil {
		return Entry{}, fmt.Errorf("credit: %w", err)
	}
	return o.entry, nil
}

func deref(e *Entry) Entry {
	if e == nil {
		return Entry{}
	}
	return *e
}

// announce keeps the sum of credits within its bound, credits on their way
// included.
func (e *Engine) announce(o *op) error {
	s := e.shard(o.entry.Account)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.account(o.entry.Account).purse(o.entry.Test)
	delta := o.entry.Effect()
	if sum := p.credit + p.incoming + delta; sum > maxBalance || sum < -maxBalance {
		return fmt.Errorf("credit: amount: credits of account would sum up to %s, beyond %s", sum, maxBalance)
	}
	if o.entry.Kind == KindGrant && !o.entry.ExpiresAt.IsZero() && len(p.grants) >= maxGrants {
		return fmt.Errorf("credit: account has %d expiring grants already", len(p.grants))
	}
	p.incoming += delta
	o.incoming = delta
	return nil
}

// Refund gives back amount of what the request was charged; 0 means all that is
// left. Refunds never exceed the charge: [ErrRefundTooLarge]. A request that was
// not charged gives [ErrNoCharge], or [ErrTooOld] if it may have been long ago,
// one that was refunded entirely [ErrNothingToRefund]. Daily counters are not given back.
func (e *Engine) Refund(ctx context.Context, request [16]byte, amount money.Amount, note string) (Entry, error) {
	if err := e.Ready(); err != nil {
		return Entry{}, err
	}
	switch {
	case amount < 0:
		return Entry{}, fmt.Errorf("refund: amount: %s is negative", amount)
	case len(note) > maxNote:
		return Entry{}, fmt.Errorf("refund: note: longer than %d bytes", maxNote)
	}
	o, err := e.prepareRefund(ctx, request, amount, note)
	if err == nil {
		_, err = e.finishRefund(ctx, o)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("refund: %w", err)
	}
	return o.entry, nil
}

// prepareRefund returns the op of a refund, which is the only one of its request.
func (e *Engine) prepareRefund(ctx context.Context, request [16]byte, amount money.Amount, note string) (*op, error) {
	o := &op{done: make(chan struct{})}
	if err := e.turnForRequest(ctx, request, o); err != nil {
		return nil, err
	}
	row, err := e.journal.ReadReceipt(ctx, request)
	if err == nil && row == nil {
		err = e.noCharge(request)
	}
	if err == nil {
		err = o.refund(row, amount)
	}
	if err != nil {
		return nil, e.turns.end(o, err)
	}
	o.entry.Time, o.entry.Day, o.entry.Note = e.now(), e.today(), note
	return o, nil
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
	if row.Seq == 0 {
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
func (e *Engine) takeBack(ctx context.Context, request [16]byte, c *Claim) (queued bool, err error) {
	if err := e.claims.revoke(ctx, c); err != nil {
		return false, err
	}
	o, err := e.prepareRefund(ctx, request, 0, noteRevoked)
	if errors.Is(err, ErrNothingToRefund) {
		if c == nil {
			return true, nil
		}
		o, err = &op{bare: true}, nil
	}
	if err == nil {
		if c != nil {
			o.extra = &extra{forget: c}
		}
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
	switch {
	case r.bare && c == nil:
		return
	case !r.bare && e.turns.put(turnKey{request: o.entry.Request}, r) != nil:
		go func() {
			// It asks nobody whether the ledger is ready: this commit may have taken
			// long. There is nobody to tell that it could not, which takes an engine
			// that ends at this moment.
			_, _ = e.takeBack(context.Background(), o.entry.Request, c)
		}()
		return
	}
	if c != nil {
		r.extra = &extra{forget: c}
	}
	r.entry = Entry{
		Time: e.now(), Kind: KindRefund, Account: o.entry.Account, Key: o.entry.Key, Test: o.entry.Test, Day: e.today(),
		Amount: o.entry.Amount, Request: o.entry.Request, Model: o.entry.Model, Note: noteRevoked,
	}
	// A follower is always taken in.
	_ = e.enqueue(r)
}

// turnKey is something that only one op at a time may be about: a reference of
// an account, or the refunds of a request.
type turnKey struct {
	account   int64
	reference string
	request   [16]byte
}

// turns holds the ops that are about to change what they have looked up. An op
// is in it from before the look-up until it is durable.
type turns struct {
	mu  sync.Mutex
	ops map[turnKey]*op // guarded by mu; one per call of Credit or Refund at most
}

// put enters o, or returns the op that is there.
func (c *turns) put(key turnKey, o *op) *op {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.ops[key]; other != nil {
		return other
	}
	c.ops[key] = o
	o.turn = &key
	return nil
}

func (c *turns) drop(key turnKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ops, key)
}

// end ends an op that never reached the queue, and returns err.
func (c *turns) end(o *op, err error) error {
	if o.turn != nil {
		c.drop(*o.turn)
	}
	o.err = err
	close(o.done)
	return err
}

// turnForReference makes o the only op about its reference. It returns the entry
// that the reference already stands for, if there is one.
func (e *Engine) turnForReference(ctx context.Context, o *op) (*Entry, error) {
	key := turnKey{account: o.entry.Account, reference: o.entry.Reference}
	for other := e.turns.put(key, o); other != nil; other = e.turns.put(key, o) {
		err := other.wait(ctx)
		if err == nil {
			return &other.entry, nil
		}
		gaveUp := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
		if ctx.Err() != nil || !gaveUp {
			return nil, fmt.Errorf("credit: %w", err)
		}
		// The other's caller gave up before it was queued, so now it is our turn.
	}
	before, err := e.journal.ReadReference(ctx, key.account, key.reference)
	if err != nil {
		return nil, e.turns.end(o, fmt.Errorf("credit: look up reference: %w", err))
	}
	if before == nil {
		return nil, nil
	}
	o.entry = *before
	_ = e.turns.end(o, nil)
	return before, nil
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
