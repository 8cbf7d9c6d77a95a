package app

import (
	"context"
	"time"

	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/gate"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/wire"
)

// edge lets the HTTP edge use the gate, neither of which knows the other.
type edge struct{ g *gate.Gate }

// Enter implements wire.Gateway.
func (e edge) Enter(ctx context.Context, v wire.Visit) (wire.Caller, error) {
	c, err := e.g.Enter(ctx, visit(v))
	if c == nil {
		return nil, err
	}
	return caller{c}, err
}

// Recognize implements wire.Gateway.
func (e edge) Recognize(v wire.Visit) wire.Caller {
	if c := e.g.Recognize(visit(v)); c != nil {
		return caller{c}
	}
	return nil
}

func visit(v wire.Visit) gate.Visit {
	return gate.Visit{
		Site:       v.Site.Name,
		KeySites:   v.Site.KeySites,
		Kind:       v.Route.Kind,
		Format:     v.Site.Format,
		Limits:     v.Site.Limits,
		Precedence: v.Site.Contract.Precedence(),
		Credential: v.Credential,
		ID:         v.ID,
		Event:      v.Event,
	}
}

type caller struct{ *gate.Caller }

// Open implements wire.Caller.
func (c caller) Open(ctx context.Context, r *llm.Request, w wire.Wishes) (wire.Call, error) {
	got, err := c.Caller.Open(ctx, r, gate.Wishes(w))
	if err != nil {
		return nil, err
	}
	return call{got}, nil
}

// Claim implements wire.Caller.
func (c caller) Claim(ctx context.Context, key string, digest [32]byte, wait time.Duration) (*wire.Kept, error) {
	stored, err := c.Caller.Claim(ctx, key, digest, wait)
	if stored == nil || err != nil {
		return nil, err
	}
	return &wire.Kept{Status: stored.Status, Header: stored.Header, Body: stored.Body, Whole: stored.Kept, Request: stored.Request}, nil
}

// Replayed implements wire.Caller.
func (c caller) Replayed(k *wire.Kept) { c.Caller.Replayed(k.Status) }

// Balance implements wire.Caller.
func (c caller) Balance() (money.Amount, bool) { return c.Caller.Balance(), c.Who().Account.ID != 0 }

// Quota implements wire.Caller.
func (c caller) Quota() contract.Limits {
	q, ok := c.Caller.Quota()
	return contract.Limits{Known: ok, Limit: q.Limit, Remaining: q.Remaining, Reset: q.Reset}
}

// Models implements wire.Caller.
func (c caller) Models() []wire.Model {
	list := c.Caller.Models()
	out := make([]wire.Model, len(list))
	for i, m := range list {
		out[i] = wire.Model{
			ID: m.ID, Name: m.ID, OwnedBy: m.OwnedBy, Class: m.Class, Kind: m.Kind, Context: m.Context, MaxOutput: m.MaxOutput,
			PerToken: m.Price.PerToken, PerRequest: m.Price.PerRequest, Input: m.Price.Input, Output: m.Price.Output, Request: m.Price.Request,
			Vision: m.Takes(catalog.Image), Files: m.Takes(catalog.File), Audio: m.Takes(catalog.Audio), Video: m.Takes(catalog.Video),
			Tools: m.Tools, Reasoning: m.Reasoning, JSONSchema: m.JSONSchema,
		}
		if m.Created > 0 {
			out[i].Created = time.Unix(m.Created, 0).UTC()
		}
	}
	return out
}

type call struct{ *gate.Call }

// Terms implements wire.Call.
func (c call) Terms() wire.Terms {
	t := wire.Terms{Request: c.Request(), CappedBy: c.CappedBy(), Dropped: c.Dropped()}
	for _, m := range c.Tried() {
		t.Tried = append(t.Tried, contract.Tried(m))
	}
	return t
}

// Finish implements wire.Call.
func (c call) Finish(keep func(wire.Bill) (*wire.Kept, error)) (wire.Bill, error) {
	var keeper gate.Keeper
	if keep != nil {
		keeper = func(b gate.Bill) (*ledger.Stored, error) {
			k, err := keep(c.bill(b))
			if err != nil {
				return nil, err
			}
			return stored(k), nil
		}
	}
	b, err := c.Call.Finish(keeper)
	if err != nil {
		return wire.Bill{}, err
	}
	return c.bill(b), nil
}

func (c call) bill(b gate.Bill) wire.Bill {
	return wire.Bill{Charge: b.Charge, Balance: b.Balance, Usage: b.Usage, Model: c.Model().ID}
}

// stored is what the ledger keeps of an answer.
func stored(k *wire.Kept) *ledger.Stored {
	return &ledger.Stored{Status: k.Status, Header: k.Header, Body: k.Body, Kept: k.Whole}
}

var (
	_ wire.Gateway = edge{}
	_ wire.Caller  = caller{}
	_ wire.Call    = call{}
)
