package gate

import (
	"context"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

func TestPlans(t *testing.T) {
	t.Parallel()
	site := catalog.Overlay{
		Standard: "free",
		Classes:  []catalog.Class{{Name: "best", Models: []string{"third"}, When: map[string]string{"quality": "hd"}}, {Name: "open", Models: []string{"first"}}, {Name: "closed", Models: []string{"*"}}},
		Plans: map[string]catalog.Plan{
			"free": {Classes: map[string]catalog.Quota{"open": {PerDay: 3}, "closed": {PerDay: 1}, "best": {PerDay: 0}}},
			"pro":  {Classes: map[string]catalog.Quota{"open": {PerDay: -1}, "best": {PerDay: 2, Metered: true}}},
		},
	}
	c := chained(t, 0, catalog.Input{Fallbacks: map[string][]string{}}, site)
	key := c.key(account.NewKey{})
	want := func(what string, r *llm.Request, code fault.Code) *fault.Error {
		t.Helper()
		_, _, err := c.open(key, r, Wishes{})
		e := fault.From(err)
		if (err == nil) != (code == fault.None) || (e != nil && e.Code != code) {
			t.Errorf("%s: %v, want %v", what, err, code)
		}
		return e
	}
	plan := func(name string) {
		t.Helper()
		if _, err := c.reg.UpdateAccount(context.Background(), c.acc.ID, account.AccountPatch{Plan: &name}); err != nil {
			t.Fatal(err)
		}
	}
	want("one of class closed", asks("second", ""), fault.None)
	e := want("a second one", asks("second", ""), fault.PlanQuotaExceeded)
	if e.Args["class"] != "closed" || e.RetryAfter != 12*time.Hour || e.Args["limit"] != "1" {
		t.Errorf("%+v, after %v", e.Args, e.RetryAfter)
	}
	want("the other class still answers", asks("first", ""), fault.None)
	c.up["first"].open = down(fault.UpstreamFailed)
	want("a failure", asks("first", ""), fault.UpstreamFailed)
	c.up["first"].open = nil
	want("which took nothing", asks("first", ""), fault.None)
	want("of the three", asks("first", ""), fault.None)
	want("now the class is spent", asks("first", ""), fault.PlanQuotaExceeded)
	want("a class with 0 is not in the plan", asks("third", ""), fault.PlanRequired)
	want("nor is it by what the request says", asks("first", `,"quality":"hd"`), fault.PlanRequired)
	c.advance(12 * time.Hour)
	want("another day", asks("second", ""), fault.None)
	plan("pro")
	want("a class that the plan lacks", asks("second", ""), fault.PlanRequired)
	want("credits before the quota", asks("third", ""), fault.CreditsRequired)
	if _, err := c.ledger.Credit(context.Background(), topup(c.acc.ID, money.Dollar)); err != nil {
		t.Fatal(err)
	}
	want("paid from credits", asks("third", ""), fault.None)
	if c.posted() != money.Dollar-10*3*1000 {
		t.Errorf("a metered class left %s", c.posted())
	}
	want("and by what the request says", asks("first", `,"quality":"hd"`), fault.None)
	if c.posted() != money.Dollar-10*3*1000-10*1000 {
		t.Errorf("a class by request left %s", c.posted())
	}
	want("which counts, too", asks("third", ""), fault.PlanQuotaExceeded)
	want("included, and without limit", asks("first", ""), fault.None)
	plan("unknown here")
	want("a plan that is not sold here is the default", asks("third", ""), fault.PlanRequired)
}

func topup(id account.ID, amount money.Amount) ledger.Credit {
	return ledger.Credit{Account: int64(id), Kind: ledger.KindTopup, Amount: amount}
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	site := catalog.Overlay{
		Standard: "free",
		Classes:  []catalog.Class{{Name: "open", Models: []string{"first"}}, {Name: "closed", Models: []string{"*"}}},
		Plans:    map[string]catalog.Plan{"free": {Classes: map[string]catalog.Quota{"open": {PerDay: 150}, "closed": {PerDay: 70}}}},
	}
	c := chained(t, 0, catalog.Input{}, site)
	key := c.key(account.NewKey{})
	caller, err := c.enter(key)
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Leave()
	midnight := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	if q, ok := caller.Quota(); !ok || q != (Quota{70, 70, midnight}) {
		t.Errorf("before the class is known: %+v, %v", q, ok)
	}
	caller.Concerns(asks("nonesuch", ""))
	if q, _ := caller.Quota(); q != (Quota{70, 70, midnight}) {
		t.Errorf("of no model: %+v", q)
	}
	caller.Concerns(asks("first", ""))
	if q, _ := caller.Quota(); q != (Quota{150, 150, midnight}) {
		t.Errorf("before anything is asked of the model: %+v", q)
	}
	call, err := caller.Open(context.Background(), asks("first", ""), Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if q, _ := caller.Quota(); q != (Quota{150, 149, midnight}) {
		t.Errorf("in flight: %+v", q)
	}
	consume(call, false)
	if q, _ := caller.Quota(); q != (Quota{150, 149, midnight}) {
		t.Errorf("answered: %+v", q)
	}
	for _, u := range c.up {
		u.open = down(fault.UpstreamFailed)
	}
	if _, err := caller.Open(context.Background(), asks("first", ""), Wishes{}); !fault.Is(err, fault.AllFallbacksFailed) {
		t.Fatalf("%v", err)
	}
	if q, _ := caller.Quota(); q != (Quota{150, 149, midnight}) {
		t.Errorf("all that could answer failed: %+v", q)
	}
}
