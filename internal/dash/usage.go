package dash

import (
	"net/http"
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// usageJSON is one line of the usage report. What it is not grouped by is left
// out.
type usageJSON struct {
	Day     *string `json:"day,omitzero"`
	Account *string `json:"account,omitzero"`
	Key     *string `json:"key,omitzero"`
	Model   *string `json:"model,omitzero"`
	sumsJSON
}

type sumsJSON struct {
	Requests    int64        `json:"requests"`
	Tokens      tokensJSON   `json:"tokens"`
	ChargeUSD   money.Amount `json:"charge_usd"`
	RefundedUSD money.Amount `json:"refunded_usd"` // on the day of the refund
	AbsorbedUSD money.Amount `json:"absorbed_usd"`
}

func (t *sumsJSON) add(u sumsJSON) {
	t.Requests += u.Requests
	t.Tokens.Input += u.Tokens.Input
	t.Tokens.CachedInput += u.Tokens.CachedInput
	t.Tokens.CacheWrite += u.Tokens.CacheWrite
	t.Tokens.CacheWrite1h += u.Tokens.CacheWrite1h
	t.Tokens.Output += u.Tokens.Output
	t.Tokens.Reasoning += u.Tokens.Reasoning
	t.ChargeUSD += u.ChargeUSD
	t.RefundedUSD += u.RefundedUSD
	t.AbsorbedUSD += u.AbsorbedUSD
}

// usageList has no pages: the total is that of all its lines.
type usageList struct {
	list[usageJSON]
	Total sumsJSON `json:"total"`
}

// maxUsage bounds the lines of one report, and what is read for it.
const maxUsage = 50_000

var groups = []string{ledger.GroupDay, ledger.GroupAccount, ledger.GroupKey, ledger.GroupModel}

// groupBy reads the parameter group_by; absent, it is the day.
func (q *query) groupBy() []string {
	s := q.text("group_by")
	if s == "" {
		return []string{ledger.GroupDay}
	}
	by := strings.Split(s, ",")
	for i, g := range by {
		if !slices.Contains(groups, g) || slices.Contains(by[:i], g) {
			q.bad(invalid("group_by", "must be some of %s, each once, with commas", strings.Join(groups, ", ")))
		}
	}
	return by
}

// flag reads a parameter that is true or false.
func (q *query) flag(name string) bool {
	switch s := q.text(name); s {
	case "true":
		return true
	case "", "false":
	default:
		q.bad(invalid(name, "must be true or false"))
	}
	return false
}

func (s *server) usage(c *call) error {
	q := c.query()
	f := ledger.UsageFilter{Model: q.text("model"), Test: q.flag("test"), GroupBy: q.groupBy(), Limit: maxUsage + 1}
	f.From, f.To = q.span()
	acc, key := q.whose()
	f.Account, f.Key = int64(acc), int64(key)
	if err := q.done(); err != nil {
		return err
	}
	rows, err := s.Ledger.Usage(c.ctx(), f)
	if err != nil {
		return err
	}
	if len(rows) > maxUsage {
		return invalid("group_by", "gives more than %d lines; narrow the report with from, to, account, key or model", maxUsage)
	}
	out := usageList{list: list[usageJSON]{Data: []usageJSON{}}}
	for _, r := range rows {
		line := usageLine(r, f.GroupBy)
		out.Total.add(line.sumsJSON)
		out.Data = append(out.Data, line)
	}
	return c.write(http.StatusOK, out)
}

func usageLine(r ledger.UsageRow, by []string) usageJSON {
	u := usageJSON{sumsJSON: sumsJSON{
		Requests: r.Requests, Tokens: tokensOut(r.Tokens), ChargeUSD: r.Charge, RefundedUSD: r.Refunded, AbsorbedUSD: r.Absorbed,
	}}
	for _, g := range by {
		switch g {
		case ledger.GroupDay:
			day := r.Day.String()
			u.Day = &day
		case ledger.GroupAccount:
			id := account.ID(r.Account).String()
			u.Account = &id
		case ledger.GroupKey:
			id := account.KeyID(r.Key).String()
			u.Key = &id
		case ledger.GroupModel:
			model := r.Model
			u.Model = &model
		}
	}
	return u
}
