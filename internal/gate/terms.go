package gate

import (
	"cmp"
	"time"

	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// terms are how one request is paid for: by a quota of its account's plan, from
// the balance, or both. The zero value is the balance alone.
type terms struct {
	plan  string // empty: no plan is in force
	class string
	quota catalog.Quota
}

// included reports whether the plan pays, so that no money is needed.
func (t terms) included() bool { return t.plan != "" && !t.quota.Metered }

// quotas lists the buckets of the plan that the request counts in.
func (t terms) quotas() []ledger.Quota {
	if t.plan == "" {
		return nil
	}
	return []ledger.Quota{{Class: t.class, PerDay: t.quota.PerDay}}
}

// choose finds the terms of a request to a model: PlanRequired if the class of
// the request is not in the account's plan.
func (c *Caller) choose(m *catalog.Model, req *llm.Request) error {
	t, err := c.termsOf(m, req)
	if err == nil {
		c.terms = t
	}
	return err
}

// Concerns tells the caller what is going to be asked for, or would have been,
// so that a refusal before Open tells the quota which that counts in.
func (c *Caller) Concerns(req *llm.Request) {
	if m, ok := c.view.Model(req.Model); ok {
		_ = c.choose(m, req) // who may not have it is told so by Open
	}
}

func (c *Caller) termsOf(m *catalog.Model, req *llm.Request) (terms, error) {
	plan := c.view.PlanOf(c.who.Account.Plan)
	if plan == nil {
		return terms{}, nil
	}
	class := c.view.ClassOf(m, req)
	q, ok := plan.Classes[class]
	if !ok || q.PerDay == 0 {
		return terms{}, fault.ModelNotInPlan(m.ID, class, plan.Name)
	}
	return terms{plan: plan.Name, class: class, quota: q}, nil
}

// shortBalance tells a balance that is too small from one that is held, and
// credits that a plan asks for besides from a balance that pays alone.
func (t terms) shortBalance(s ledger.ShortBucket) *fault.Error {
	code := fault.BalanceInsufficient
	switch {
	case s.HeldOnly():
		code = fault.BalanceHeld
	case t.plan != "":
		code = fault.CreditsRequired
	}
	e := fault.Short(code, money.Amount(s.Need), money.Amount(s.Free()), money.Amount(s.Held), t.class)
	if code == fault.BalanceHeld {
		e.RetryAfter = heldRetry
	}
	if t.plan != "" {
		e.With("plan", t.plan)
	}
	return e
}

// Quota is how much of a daily number of requests is left to a caller.
type Quota struct {
	Limit     int64
	Remaining int64 // what neither was used nor is in flight; it may be negative
	Reset     time.Time
}

// Quota returns the daily quota that this request counts in: its class's in the
// account's plan; before the class is known, or where it is not limited, that
// of the plan which is nearest to its end; and without a plan the key's own
// requests a day. ok is false if nothing is limited by the day.
func (c *Caller) Quota() (q Quota, ok bool) {
	if c.stranger() {
		return Quota{}, false
	}
	if plan := c.view.PlanOf(c.who.Account.Plan); plan != nil {
		_, q, ok = c.planQuota(plan)
		return q, ok
	}
	return c.keyQuota()
}

// planQuota is the quota of a plan that the request counts in, and its class;
// or that which is nearest to its end.
func (c *Caller) planQuota(plan *catalog.Plan) (of string, q Quota, ok bool) {
	if c.terms.plan != "" && c.terms.quota.PerDay > 0 {
		return c.terms.class, c.classQuota(c.terms.class, c.terms.quota.PerDay), true
	}
	for class, limit := range plan.Classes {
		if limit.PerDay <= 0 {
			continue
		}
		x := c.classQuota(class, limit.PerDay)
		if order := cmp.Or(cmp.Compare(x.Remaining, q.Remaining), cmp.Compare(x.Limit, q.Limit), cmp.Compare(class, of)); !ok || order < 0 {
			of, q, ok = class, x, true
		}
	}
	return of, q, ok
}

func (c *Caller) classQuota(class string, limit int64) Quota {
	u := c.g.o.Ledger.PlanDay(int64(c.who.Account.ID), c.who.Key.Test, class)
	return Quota{Limit: limit, Remaining: limit - u.Requests - u.RequestsHeld, Reset: u.ResetsAt}
}

func (c *Caller) keyQuota() (Quota, bool) {
	limit := c.who.Key.Limits.RequestsPerDay
	if limit <= 0 {
		return Quota{}, false
	}
	u := c.g.o.Ledger.KeyDay(int64(c.who.Key.ID))
	return Quota{Limit: limit, Remaining: limit - u.Requests - u.RequestsHeld, Reset: u.ResetsAt}, true
}
