package gate

import (
	"context"
	"errors"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
)

// Claim claims an idempotency key of the account for this request, whose
// content has the given digest. It returns what the key stands for already, or
// nothing and the claim is the caller's: the answer that Finish charges takes it,
// and Leave gives it back otherwise. While the same request is being answered,
// Claim waits for that, at most for wait.
//
// Its error is a *fault.Error: IdempotencyMismatch for a key of another request,
// IdempotencyInProgress, LedgerUnavailable.
func (c *Caller) Claim(ctx context.Context, key string, digest [32]byte, wait time.Duration) (*ledger.Stored, error) {
	k := ledger.IdemKey{Account: int64(c.who.Account.ID), Test: c.who.Key.Test, Key: key}
	claim, stored, err := c.g.o.Ledger.Claim(ctx, k, digest, wait)
	switch {
	case err == nil:
		c.claim, c.digest = claim, digest
		return stored, nil
	case errors.Is(err, ledger.ErrIdemMismatch):
		return nil, fault.Wrap(fault.IdempotencyMismatch, err)
	case errors.Is(err, ledger.ErrIdemInProgress):
		e := fault.Wrap(fault.IdempotencyInProgress, err)
		e.RetryAfter = heldRetry
		return nil, e
	case errors.Is(err, ledger.ErrUnavailable):
		return nil, fault.Wrap(fault.LedgerUnavailable, err)
	case ctx.Err() != nil: // nobody is there to be told
		return nil, fault.Wrap(fault.IdempotencyInProgress, err)
	}
	return nil, fault.From(err)
}

// Replayed records that the request was answered by what was kept of another
// one, free of charge.
func (c *Caller) Replayed(status int) { c.record(classReplayed, "", status, toTheEnd) }

// keep completes what an answer leaves to be kept for the claim.
func (c *Caller) keep(s *ledger.Stored) *ledger.Stored {
	s.Fingerprint, s.Request, s.At = c.digest, c.v.ID, c.g.o.Now()
	return s
}

// Once makes the idempotency key that was claimed, if one was, stand for this
// request before it is done, for what may be done only once and has an answer that
// must not be kept. undo makes it stand for nothing again, if it is not done after
// all. The error is a *fault.Error.
func (c *Caller) Once(ctx context.Context) (undo func(), err error) {
	if c.claim == nil {
		return func() {}, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
	defer cancel()
	fact, err := c.g.o.Ledger.KeepFact(ctx, c.claim, c.v.ID)
	if err != nil {
		return nil, fault.Wrap(fault.LedgerUnavailable, err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), settleWait)
		defer cancel()
		_ = fact.Forget(ctx) // else it stands: he may list what there is
	}, nil
}
