package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// ErrReferenceTaken is returned for a credit, or a refund, whose reference stands
// for another one: of another amount, kind or balance, or of another request. The
// entry that it stands for is returned with it.
var ErrReferenceTaken = errors.New("the reference stands for another entry")

// Bounds of credits.
const (
	maxCredit    = 1_000_000_000 * money.Dollar // one credit
	maxBalance   = money.Max / 2                // what credits may sum up to
	maxReference = 255                          // bytes
	maxNote      = 1024                         // bytes
)

// Credit is money given to an account, or taken from it by its operator.
type Credit struct {
	Account   int64
	Kind      Kind         // KindTopup, KindGrant or KindAdjust
	Amount    money.Amount // > 0; an adjust may be negative, and may leave the balance below zero
	Test      bool         // to the test balance
	ExpiresAt time.Time    // grants only: what is left then is taken back; zero: never
	Reference string       // at most 255 bytes; unique in its account; empty: none
	Note      string       // at most 1,024 bytes
	Actor     Actor        // who gives it; empty: the system
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
	if err := c.Actor.check(); err != nil {
		return fmt.Errorf("credit: actor: %w", err)
	}
	return nil
}

// Credit makes the credit durable and available, and returns its entry. A
// negative adjust gives an entry of kind KindReduce. With a reference that the
// account has used before, Credit changes nothing and returns the entry of that
// time, together with [ErrReferenceTaken] if that is of another kind, amount or
// balance; its note, expiry and actor stay what they were. If ctx ends first the
// credit may still happen; asking again with the same reference is safe.
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
		ExpiresAt: c.ExpiresAt, Reference: c.Reference, Note: c.Note, Actor: cmp.Or(c.Actor, ActorSystem),
	}
	if c.Amount < 0 {
		o.entry.Kind, o.entry.Amount = KindReduce, -c.Amount
	}
	if c.Reference != "" && !mutated(ReferenceIgnored) {
		want := o.entry
		before, err := e.turnForReference(ctx, o, turnKey{account: c.Account, reference: c.Reference})
		switch {
		case err != nil:
			return Entry{}, fmt.Errorf("credit: %w", err)
		case before != nil && (before.Kind != want.Kind || before.Amount != want.Amount || before.Test != want.Test):
			return *before, fmt.Errorf("credit: reference: %w", ErrReferenceTaken)
		case before != nil:
			return *before, nil
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
	ops map[turnKey]*op // guarded by mu; two per call of Credit or Refund at most
}

// put enters o, or returns the op that is there.
func (c *turns) put(key turnKey, o *op) *op {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.ops[key]; other != nil && !mutated(TurnsIgnored) {
		return other
	}
	c.ops[key] = o
	o.turns = append(o.turns, key)
	return nil
}

// drop lets others have the turns of o.
func (c *turns) drop(o *op) {
	if len(o.turns) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range o.turns {
		delete(c.ops, key)
	}
}

// end ends an op that never reached the queue, and returns err.
func (c *turns) end(o *op, err error) error {
	c.drop(o)
	o.err = err
	close(o.done)
	return err
}

// turnForReference makes o the only op about a reference. It returns the entry
// that the reference already stands for, if there is one; o has ended then, and
// after an error.
func (e *Engine) turnForReference(ctx context.Context, o *op, key turnKey) (*Entry, error) {
	for other := e.turns.put(key, o); other != nil; other = e.turns.put(key, o) {
		err := other.wait(ctx)
		if err == nil {
			return &other.entry, nil
		}
		if ctx.Err() != nil || !passes(err) {
			return nil, err
		}
		// The other came to nothing before it was queued, so now it is our turn.
	}
	before, err := e.journal.ReadReference(ctx, key.account, key.reference)
	if err != nil {
		return nil, e.turns.end(o, fmt.Errorf("look up reference: %w", err))
	}
	if before == nil {
		return nil, nil
	}
	o.entry = *before
	_ = e.turns.end(o, nil)
	return before, nil
}

// passes reports whether err is the end of one op alone, so that whoever waited
// for it may try: its caller gave up, or it could not be refunded.
func passes(err error) bool {
	for _, own := range []error{context.Canceled, context.DeadlineExceeded, ErrNoCharge, ErrNothingToRefund, ErrRefundTooLarge} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}
