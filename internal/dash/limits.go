package dash

import (
	"net/http"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/money"
)

// counterJSON is one limit and what is used of it. Limit, used and held are
// decimal strings of dollars for counters that end in usd, and whole numbers
// otherwise.
type counterJSON struct {
	Counter  string     `json:"counter"` // balance_usd, requests_per_day, usd_per_day, rps, requests, tokens_per_minute, concurrency, plan_requests_per_day
	Key      *string    `json:"key"`     // whose it is; null: the account's
	Class    *string    `json:"class"`   // of the plan
	Test     bool       `json:"test"`
	Limit    any        `json:"limit"` // null: no limit
	Used     any        `json:"used"`
	Held     any        `json:"held"` // by requests in flight, besides what is used
	Per      *string    `json:"per"`  // the window of a throughput limit
	ResetsAt *time.Time `json:"resets_at"`
}

// listLimits reports the account's own counters on the first page, and those of
// its keys a page at a time. Revoked keys have none.
func (s *server) listLimits(c *call) error {
	a, err := s.accountOf(c)
	if err != nil {
		return err
	}
	q := c.query()
	n, cursor := q.page(), q.text("cursor")
	if err := q.done(); err != nil {
		return err
	}
	keys, next, err := s.keyPage(a.ID, cursor, n)
	if err != nil {
		return err
	}
	out := list[counterJSON]{Data: []counterJSON{}, Next: next}
	if cursor == "" {
		out.Data = append(out.Data, s.accountCounters(a)...)
	}
	for _, k := range keys {
		if !k.Revoked() {
			out.Data = append(out.Data, s.keyCounters(k)...)
		}
	}
	return c.write(http.StatusOK, out)
}

func (s *server) accountCounters(a *account.Account) []counterJSON {
	b := s.Ledger.Balance(int64(a.ID))
	out := []counterJSON{
		{Counter: "balance_usd", Limit: b.Posted, Used: money.Amount(0), Held: b.Held},
		{Counter: "balance_usd", Test: true, Limit: b.TestPosted, Used: money.Amount(0), Held: b.TestHeld},
	}
	if s.PlanQuotas == nil {
		return out
	}
	for _, test := range []bool{false, true} {
		for _, quota := range s.PlanQuotas(a.Plan) {
			day := s.Ledger.PlanDay(int64(a.ID), test, quota.Class)
			out = append(out, counterJSON{
				Counter: "plan_requests_per_day", Class: &quota.Class, Test: test,
				Limit: planLimit(quota), Used: day.Requests, Held: day.RequestsHeld, ResetsAt: stampOf(day.ResetsAt),
			})
		}
	}
	return out
}

func planLimit(q ledger.Quota) any {
	if q.PerDay < 0 {
		return nil
	}
	return q.PerDay
}

func (s *server) keyCounters(k *account.Key) []counterJSON {
	id, day := k.ID.String(), s.Ledger.KeyDay(int64(k.ID))
	out := []counterJSON{
		{Counter: "requests_per_day", Limit: orNull(k.Limits.RequestsPerDay), Used: day.Requests, Held: day.RequestsHeld, ResetsAt: stampOf(day.ResetsAt)},
		{Counter: "usd_per_day", Limit: orNull(k.Limits.USDPerDay), Used: day.USD, Held: day.USDHeld, ResetsAt: stampOf(day.ResetsAt)},
	}
	if s.Limiter != nil {
		out = append(out, s.throughput(k)...)
	}
	for i := range out {
		out[i].Key, out[i].Test = &id, k.Test
	}
	return out
}

func (s *server) throughput(k *account.Key) []counterJSON {
	l := k.Limits
	rule := limit.Rule{RPS: l.RPS, Burst: l.Burst, Requests: l.Requests, Per: l.Per, Concurrency: l.Concurrency, TokensPerMinute: l.TokensPerMinute}
	var out []counterJSON
	for _, u := range s.Limiter.Uses(int64(k.ID), rule) {
		row := counterJSON{Counter: "requests", Limit: u.Limit, Used: u.Used, Held: int64(0)}
		switch {
		case u.Source == limit.Concurrency:
			row.Counter, row.Used, row.Held = "concurrency", int64(0), u.Used
		case u.Source == limit.Tokens:
			row.Counter = "tokens_per_minute"
		case u.GCRA:
			row.Counter = "rps"
		}
		if u.Per > 0 {
			per := account.FormatPer(u.Per)
			row.Per = &per
		}
		if u.Restore > 0 {
			row.ResetsAt = stampOf(s.Now().Add(u.Restore))
		}
		out = append(out, row)
	}
	return out
}
