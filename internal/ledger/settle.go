package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/pontage/pontage/internal/money"
)

// Settlement is how a request ended that is charged for.
type Settlement struct {
	Actual money.Amount // what it cost, ≥ 0
	// Excess is what of Actual the caller does not owe, whatever he has: more
	// output than was allowed, or more than was held for who has left. It is
	// absorbed.
	Excess  money.Amount
	Receipt *Receipt // may be nil
	Result  []byte   // of a durable hold: kept with it; at most MaxResult bytes
	Alerts  Alerts   // the events that the charge may cause

	// Claim is the request's idempotency key, or nil. What Render returns becomes
	// its answer in the transaction of the charge.
	Claim *Claim
	// Render makes the answer, which may show the charge and the balance. It is
	// called once, before the charge is queued, with a Settled without Seq. If it
	// fails, nothing is charged. A nil answer, and a nil Render, keep only the
	// fact that the key was charged.
	Render func(Settled) (*Stored, error)
}

// Settled is a durable charge.
type Settled struct {
	Charge   money.Amount
	Absorbed money.Amount // of Actual: Excess, and what could not be charged
	Balance  money.Amount // posted, after this charge; the one that Render was called with, if it was
	Seq      int64        // of the entry
}

// Settle charges the actual cost without its excess, but no more than the hold and
// what is free at this instant cover; the rest is absorbed. It returns once the charge is on
// disk. It fills in the receipt's identity, hold, charge and absorbed amount
// before it waits, and keeps no reference to it.
//
// A durable hold that could not be settled, because Render failed or the ledger is
// closed, is still open.
//
// A claim ends with what becomes of the charge. Only if the hold has ended before,
// or s makes no sense, it stays the caller's, who releases it.
//
// If ctx ends first, Settle returns its error together with the charge: the
// entry stays in the queue and is applied as soon as it is durable. A caller
// that then tells its client of a failure takes the charge back with Revoke. An
// error that wraps [ErrUnavailable] says that the journal has failed, and with
// that the process; whether the charge is on disk is known after recovery.
func (h *Hold) Settle(ctx context.Context, s Settlement) (Settled, error) {
	if s.Actual < 0 {
		return Settled{}, fmt.Errorf("settle: actual: %s is negative", s.Actual)
	}
	if s.Excess < 0 || s.Excess > s.Actual {
		return Settled{}, fmt.Errorf("settle: excess: %s is not between 0 and %s", s.Excess, s.Actual)
	}
	if s.Alerts.WarnBelow < 0 {
		return Settled{}, fmt.Errorf("settle: warn below: %s is negative", s.Alerts.WarnBelow)
	}
	if len(s.Result) > MaxResult || (s.Result != nil && h.durable == nil) {
		return Settled{}, fmt.Errorf("settle: result: longer than %d bytes, or of a hold that is not durable", MaxResult)
	}
	row := h.receipt(s.Receipt).row()
	if !h.state.CompareAndSwap(holdOpen, holdSettling) {
		return Settled{}, ErrEnded
	}
	charge, balance := h.charge(s.Actual - s.Excess)
	absorbed := s.Actual - charge
	row.Charge, row.Absorbed = charge, absorbed
	if s.Receipt != nil {
		s.Receipt.Charge, s.Receipt.Absorbed = charge, absorbed
	}
	o := &h.op
	o.hold, o.receipt, o.alerts = h, row, s.Alerts
	o.entry = Entry{
		Time: h.e.now(), Kind: KindUsage, Account: h.a.id, Key: h.key, Test: h.test, Day: h.day,
		Amount: charge, Request: h.request, Model: row.Model, Classes: h.classes, Actor: ActorKey,
	}
	o.entry.Seal = row.Seal()
	if s.Receipt != nil {
		o.entry.Tokens = s.Receipt.Usage
	}
	if mutated(AdmissionDayMoves) {
		o.entry.Day = h.e.today()
	}
	o.absorbed = nil
	if absorbed > 0 {
		o.absorbed = &Entry{Time: o.entry.Time, Kind: KindAbsorbed, Account: h.a.id, Key: h.key, Test: h.test, Day: h.day, Amount: absorbed, Request: h.request, Model: row.Model, Actor: ActorKey}
	}
	if h.durable != nil {
		o.extra = &extra{ends: []HoldEnd{{ID: h.request, State: DurablePosted, Charge: charge, Result: bytes.Clone(s.Result), At: o.entry.Time}}}
	}
	if s.Claim != nil || s.Render != nil {
		if err := h.render(&s, Settled{Charge: charge, Absorbed: absorbed, Balance: balance}); err != nil {
			return Settled{}, fmt.Errorf("settle: %w", err)
		}
	}
	if mutated(EarlyRelease) {
		h.release()
	}
	if err := h.e.enqueue(o); err != nil {
		h.fail()
		if s.Claim != nil {
			h.e.claims.free(s.Claim)
		}
		return Settled{}, fmt.Errorf("settle: %w", err)
	}
	if mutated(EarlyReply) {
		return Settled{Charge: charge, Absorbed: absorbed}, nil
	}
	if err := o.wait(ctx); err != nil {
		h.gaveUp = true
		return Settled{Charge: charge, Absorbed: absorbed}, fmt.Errorf("settle: %w", err)
	}
	if s.Render == nil {
		balance = o.balance
	}
	return Settled{Charge: charge, Absorbed: absorbed, Balance: balance, Seq: o.entry.Seq}, nil
}

// render makes the answer, and with a claim what the claim stands for once the
// op is durable. If it fails or panics the hold ends without a charge, or is open
// again if it is durable.
func (h *Hold) render(s *Settlement, so Settled) (err error) {
	rendered := false
	defer func() {
		if !rendered {
			h.fail()
			s.Claim.Release()
		}
	}()
	var answer *Stored
	if s.Render != nil {
		if answer, err = s.Render(so); err != nil {
			return fmt.Errorf("render: %w", err)
		}
	}
	if s.Claim != nil {
		kept, err := s.Claim.keep(h.e, h.a.id, h.test, answer, h.request, h.op.entry.Time)
		if err != nil {
			return err
		}
		if h.op.extra == nil {
			h.op.extra = new(extra)
		}
		h.op.extra.keep = kept
	}
	rendered = true
	return nil
}

// Revoke takes back the charge of a Settle that returned because its context
// ended. If the charge is not durable yet, Revoke returns at once: either it
// never will be, or a refund follows it in the next batch. If it is, Revoke
// refunds it and waits for that. The receipt says aborted then. The answer of the settle's claim goes with the
// charge: the key stands for nothing afterwards. Revoke does nothing for a hold
// that was not settled, or was revoked before; after an error that came before
// the refund was queued it can be called again. The charge of a durable hold
// cannot be revoked, but refunded.
func (h *Hold) Revoke(ctx context.Context) error {
	if h.durable != nil {
		return errors.New("revoke: the hold is durable")
	}
	if h.state.Load() != holdSettling || h.op.progress.CompareAndSwap(opWaiting, opRevoked) {
		return nil
	}
	if !h.op.progress.CompareAndSwap(opApplied, opRevoked) {
		return nil
	}
	queued, err := h.e.takeBack(ctx, h.op.receipt, h.gaveUp, h.op.kept())
	if !queued && err != nil {
		h.op.progress.Store(opApplied)
	}
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	return nil
}
