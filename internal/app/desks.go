package app

import (
	"context"
	"maps"
	"slices"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/selfservice"
	"github.com/pontage/pontage/internal/wire"
)

// surfaceMemory is answered, if only by a refusal.
const surfaceMemory = "memory"

// ownSurfaces are those of a caller's own account.
var ownSurfaces = []string{
	selfservice.SurfaceBalance, selfservice.SurfaceKeys, selfservice.SurfaceUsage, selfservice.SurfaceUsageSummary, selfservice.SurfaceTransactions,
}

// desks answer the surfaces that ask nothing of a model.
func (a *App) desks() map[string]wire.Desk {
	own := ownDesk{a: a, desk: selfservice.New(selfservice.Deps{Accounts: a.accounts, Ledger: books{a.ledger}, Now: a.clock.now})}
	out := map[string]wire.Desk{surfaceMemory: unbuilt{}, surfaceJobs: jobDesk{a}}
	for _, surface := range keptSurfaces {
		out[surface] = responseDesk{a}
	}
	for _, surface := range ownSurfaces {
		out[surface] = own
	}
	return out
}

// ownDesk answers callers about their own account.
type ownDesk struct {
	a    *App
	desk *selfservice.Desk
}

// Answer implements wire.Desk.
func (d ownDesk) Answer(ctx context.Context, q wire.Question) (contract.Data, error) {
	r := selfservice.Request{
		Surface: q.Surface, Method: q.Method, ID: q.ID, Query: q.Query, Body: q.Body,
		Who: q.Caller.Who(), Site: apiSite(d.a.current.Load().list, q.Site).Name, Rate: q.Caller.Rate(),
		MaxKeys: q.Site.MaxKeys, MinCredit: q.Site.KeyBalance,
	}
	if c, ok := q.Caller.(caller); ok && q.Keep != nil {
		r.Once = c.Once
	}
	format := q.Site.Contract.KeyFormat()
	r.Plain = format.Plain
	if len(format.Inference) > 0 {
		r.Prefix = format.Inference[0]
	}
	return d.desk.Answer(ctx, r)
}

// books is the ledger as selfservice asks it.
type books struct{ *ledger.Engine }

// Transactions implements selfservice.Ledger.
func (b books) Transactions(ctx context.Context, account int64, test bool, limit, offset int) ([]ledger.Entry, error) {
	return b.Engine.Transactions(ctx, ledger.TransactionFilter{Account: account, Test: test, Limit: limit, Offset: offset})
}

// unbuilt answers a surface that is part of a contract and not built: what is
// wrong with a request is told all the same.
type unbuilt struct{}

// Answer implements wire.Desk.
func (unbuilt) Answer(_ context.Context, q wire.Question) (contract.Data, error) {
	if _, err := fields.Parse(q.Body); err != nil {
		return contract.Data{}, err
	}
	return contract.Data{}, fault.New(fault.NotFound, "This gateway does not serve this endpoint.")
}

// planKnown reports whether any site sells a plan of that name.
func (a *App) planKnown(name string) bool {
	s := a.current.Load()
	for _, v := range s.plans.Views {
		if _, ok := v.Plan(name); ok {
			return true
		}
	}
	return false
}

// planQuotas lists what a plan allows a day, at the first site that sells it; of
// the empty plan, at the first site that has one for who has none.
func (a *App) planQuotas(name string) []ledger.Quota {
	s := a.current.Load()
	for _, site := range s.list {
		p, ok := s.plans.Views[site.Name].Plan(name)
		if name == "" {
			p = s.plans.Views[site.Name].PlanOf("")
			ok = p != nil
		}
		if !ok {
			continue
		}
		var out []ledger.Quota
		for _, class := range slices.Sorted(maps.Keys(p.Classes)) {
			out = append(out, ledger.Quota{Class: class, PerDay: p.Classes[class].PerDay})
		}
		return out
	}
	return nil
}
