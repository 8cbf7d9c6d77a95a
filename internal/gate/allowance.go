package gate

import (
	"time"

	"github.com/pontage/pontage/internal/limit"
)

// The policies of the limits by the day; that of a plan is followed by a colon
// and the class.
const (
	policyDay  = "requests_per_day"
	policyPlan = "plan_requests_per_day:"
)

const day = 24 * time.Hour

// Allowances is what is left to the caller of every limit that counts requests
// or tokens by time: of the key's rule, or the site's; of the key's day; and of
// the quota of the plan that the request counts in, or, before its class is
// known, of that which is nearest to its end. It is nil where there is no such
// limit, or nobody knows who is asking.
func (c *Caller) Allowances() []limit.Allowance {
	if c.stranger() {
		return nil
	}
	out := c.g.o.Limiter.Allowances(nil, int64(c.who.Key.ID), c.Rate())
	if q, ok := c.keyQuota(); ok {
		out = append(out, c.ofDay(policyDay, q))
	}
	plan := c.view.PlanOf(c.who.Account.Plan)
	if plan == nil || (c.terms.plan != "" && c.terms.quota.PerDay <= 0) {
		return out
	}
	if class, q, ok := c.planQuota(plan); ok {
		out = append(out, c.ofDay(policyPlan+class, q))
	}
	return out
}

func (c *Caller) ofDay(policy string, q Quota) limit.Allowance {
	return limit.Allowance{Policy: policy, Limit: q.Limit, Remaining: max(q.Remaining, 0), Window: day, Reset: max(q.Reset.Sub(c.g.o.Now()), 1)}
}
