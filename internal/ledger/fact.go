package ledger

import (
	"context"
	"fmt"
)

// Fact is that a request was done for which an idempotency key stands, without an
// answer.
type Fact struct {
	e     *Engine
	claim *Claim
}

// KeepFact makes the claim stand for the fact that the request was done, and
// returns when that is on disk. It is for what costs nothing, may be done only
// once and has an answer that must not be kept: the fact comes first, so that
// whatever happens then, nobody does it again under that key. Should it not be
// done after all, Forget takes the fact back.
//
// The claim ends with KeepFact. If ctx ends first its error is returned, and the
// fact does not stand.
func (e *Engine) KeepFact(ctx context.Context, c *Claim, request [16]byte) (*Fact, error) {
	o := &op{bare: true, extra: new(extra)}
	o.entry.Account, o.entry.Time = c.key.Account, e.now()
	kept, err := c.keep(e, c.key.Account, c.key.Test, nil, request, o.entry.Time)
	if err != nil {
		return nil, fmt.Errorf("keep fact: %w", err)
	}
	o.extra.keep = kept
	if err := e.enqueue(o); err != nil {
		e.claims.free(kept)
		return nil, fmt.Errorf("keep fact: %w", err)
	}
	if err := o.wait(ctx); err != nil && (o.failed() || o.progress.CompareAndSwap(opWaiting, opRevoked)) {
		return nil, fmt.Errorf("keep fact: %w", err)
	}
	return &Fact{e, kept}, nil
}

// Forget makes the key stand for nothing again, and returns when that is on disk.
// If it cannot, the fact stands, or it is known after recovery whether it does.
func (f *Fact) Forget(ctx context.Context) error {
	e, c := f.e, f.claim
	if err := e.claims.revoke(ctx, c); err != nil {
		return fmt.Errorf("forget fact: %w", err)
	}
	o := &op{bare: true, extra: &extra{forget: c}}
	o.entry.Account = c.key.Account
	if err := e.enqueue(o); err != nil {
		e.claims.stand(c)
		return fmt.Errorf("forget fact: %w", err)
	}
	if err := o.wait(ctx); err != nil {
		return fmt.Errorf("forget fact: %w", err)
	}
	return nil
}
