package app

import (
	"context"
	"time"

	"github.com/pontage/pontage/internal/gate"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// edge lets the HTTP edge use the gate, neither of which knows the other.
type edge struct{ g *gate.Gate }

// Enter implements wire.Gateway.
func (e edge) Enter(ctx context.Context, v wire.Visit) (wire.Caller, error) {
	c, err := e.g.Enter(ctx, gate.Visit{
		Site:       v.Site.Name,
		Kind:       v.Route.Kind,
		Format:     v.Site.Format,
		Limits:     v.Site.Limits,
		Precedence: v.Site.Contract.Precedence(),
		Credential: v.Credential,
		ID:         v.ID,
		Event:      v.Event,
	})
	if c == nil {
		return nil, err
	}
	return caller{c}, err
}

type caller struct{ *gate.Caller }

// Open implements wire.Caller.
func (c caller) Open(ctx context.Context, r *llm.Request, w wire.Wishes) (wire.Call, error) {
	got, err := c.Caller.Open(ctx, r, gate.Wishes{FullOutput: w.FullOutput, Impatient: w.Impatient})
	if err != nil {
		return nil, err
	}
	return call{got}, nil
}

// Models implements wire.Caller.
func (c caller) Models() []wire.Model {
	list := c.Caller.Models()
	out := make([]wire.Model, len(list))
	for i, m := range list {
		out[i] = wire.Model{ID: m.ID, Name: m.ID, OwnedBy: m.OwnedBy, Created: time.Unix(m.Created, 0).UTC(), Context: m.Context, MaxOutput: m.MaxOutput}
	}
	return out
}

type call struct{ *gate.Call }

// Terms implements wire.Call.
func (c call) Terms() wire.Terms { return wire.Terms{CappedBy: c.CappedBy(), Dropped: c.Dropped()} }

// Finish implements wire.Call.
func (c call) Finish() (wire.Bill, error) {
	charge, balance, usage, err := c.Call.Finish()
	if err != nil {
		return wire.Bill{}, err
	}
	return wire.Bill{Charge: charge, Balance: balance, Usage: usage, Model: c.Model().ID}, nil
}

var (
	_ wire.Gateway = edge{}
	_ wire.Caller  = caller{}
	_ wire.Call    = call{}
)
