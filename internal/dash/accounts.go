package dash

import (
	"net/http"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/money"
)

// accountJSON is an account with what it has.
type accountJSON struct {
	ID               string        `json:"id"`
	Name             string        `json:"name"`
	Plan             *string       `json:"plan"`
	Status           string        `json:"status"`
	BalanceUSD       money.Amount  `json:"balance_usd"`
	HeldUSD          money.Amount  `json:"held_usd"`
	AvailableUSD     money.Amount  `json:"available_usd"`
	TestBalanceUSD   money.Amount  `json:"test_balance_usd"`
	TestHeldUSD      money.Amount  `json:"test_held_usd"`
	TestAvailableUSD money.Amount  `json:"test_available_usd"`
	WarnBelowUSD     *money.Amount `json:"warn_below_usd"` // null: the site's
	CreatedAt        time.Time     `json:"created_at"`
}

func (s *server) account(a *account.Account) accountJSON {
	b := s.Ledger.Balance(int64(a.ID))
	return accountJSON{
		ID: a.ID.String(), Name: a.Name, Plan: orNull(a.Plan), Status: a.Status, WarnBelowUSD: a.WarnBelow, CreatedAt: a.CreatedAt,
		BalanceUSD: b.Posted, HeldUSD: b.Held, AvailableUSD: b.Available,
		TestBalanceUSD: b.TestPosted, TestHeldUSD: b.TestHeld, TestAvailableUSD: b.TestAvailable,
	}
}

// accountOf finds the account of the path.
func (s *server) accountOf(c *call) (*account.Account, error) {
	id, err := account.ParseID(c.r.PathValue("account"))
	if err != nil {
		return nil, fail(http.StatusNotFound, codeNotFound, "", "there is no such account")
	}
	return s.Accounts.Account(id)
}

func (s *server) checkPlan(plan string) error {
	if plan != "" && s.PlanKnown != nil && !s.PlanKnown(plan) {
		return invalid("plan", "there is no plan of that name")
	}
	return nil
}

func (s *server) createAccount(c *call) error {
	var in struct {
		Name         *string       `json:"name"`
		Plan         *string       `json:"plan"`
		WarnBelowUSD *money.Amount `json:"warn_below_usd"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if in.Name == nil {
		return missing("name")
	}
	n := account.NewAccount{Name: *in.Name, Plan: deref(in.Plan), WarnBelow: in.WarnBelowUSD}
	if err := s.checkPlan(n.Plan); err != nil {
		return err
	}
	a, err := s.Accounts.CreateAccount(c.ctx(), n)
	if err != nil {
		return err
	}
	return c.write(http.StatusCreated, s.account(a))
}

func (s *server) listAccounts(c *call) error {
	q := c.query()
	limit, cursor := q.page(), q.text("cursor")
	if err := q.done(); err != nil {
		return err
	}
	var after account.ID
	if cursor != "" {
		var err error
		if after, err = account.ParseID(cursor); err != nil {
			return badCursor()
		}
	}
	page, more, err := s.Accounts.Accounts(after, limit)
	if err != nil {
		return badCursor()
	}
	out := list[accountJSON]{Data: []accountJSON{}}
	for _, a := range page {
		out.Data = append(out.Data, s.account(a))
	}
	if more {
		out.Next = &out.Data[len(out.Data)-1].ID
	}
	return c.write(http.StatusOK, out)
}

func badCursor() error { return invalid("cursor", "is not a cursor of this list") }

func (s *server) getAccount(c *call) error {
	a, err := s.accountOf(c)
	if err != nil {
		return err
	}
	if err := c.query().done(); err != nil {
		return err
	}
	return c.write(http.StatusOK, s.account(a))
}

func (s *server) updateAccount(c *call) error {
	a, err := s.accountOf(c)
	if err != nil {
		return err
	}
	var in struct {
		Name   opt[string] `json:"name"`
		Plan   opt[string] `json:"plan"`
		Status opt[string] `json:"status"`

		WarnBelowUSD opt[money.Amount] `json:"warn_below_usd"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	var p account.AccountPatch
	if p.Name, err = in.Name.ptr("name"); err != nil {
		return err
	}
	if p.Status, err = in.Status.ptr("status"); err != nil {
		return err
	}
	if in.Plan.set { // null is no plan
		p.Plan = &in.Plan.v
		if err := s.checkPlan(*p.Plan); err != nil {
			return err
		}
	}
	if in.WarnBelowUSD.set { // null is the site's
		if p.SetWarnBelow = true; !in.WarnBelowUSD.null {
			p.WarnBelow = &in.WarnBelowUSD.v
		}
	}
	if a, err = s.Accounts.UpdateAccount(c.ctx(), a.ID, p); err != nil {
		return err
	}
	return c.write(http.StatusOK, s.account(a))
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
