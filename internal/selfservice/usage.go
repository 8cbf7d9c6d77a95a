package selfservice

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

// Bounds of what is read to list requests.
const (
	maxUsage = 50   // rows of a page
	portion  = 1000 // receipts read at once, at most
	portions = 32   // how often that is done for one page
)

// usage answers for account.usage: the charged requests of the balance, of all
// keys of the account. What is further back than the bounds allow to look is
// refused, so that nobody takes a short page for the last; only the first page
// is whatever was found.
func (d *Desk) usage(ctx context.Context, r *Request) (contract.Data, error) {
	q := query{values: r.Query}
	limit, offset := q.page(maxUsage)
	if err := q.err(); err != nil {
		return contract.Data{}, err
	}
	page, whole, err := d.charged(ctx, r, offset, limit)
	if err != nil {
		return contract.Data{}, err
	}
	if !whole && offset > 0 {
		return contract.Data{}, fault.New(fault.InvalidParameter, "Goes further back than is listed here.").At("offset")
	}
	rows := make([]contract.Values, 0, len(page))
	for _, receipt := range page {
		rows = append(rows, usageRow(receipt))
	}
	return contract.Data{
		Values: contract.Values{"limit": contract.Number(int64(limit)), "offset": contract.Number(int64(offset))},
		Lists:  map[string][]contract.Values{"usage": rows},
	}, nil
}

// charged returns at most limit charged receipts of the balance, after the
// offset newest ones. whole tells that there are no more for this page.
func (d *Desk) charged(ctx context.Context, r *Request, offset, limit int) (found []*ledger.Receipt, whole bool, err error) {
	f := ledger.Filter{Account: r.account(), Charged: true}
	left := offset + limit
	for range portions {
		f.Limit = min(portion, max(100, left))
		page, next, err := d.ledger.Receipts(ctx, f)
		if err != nil {
			return nil, false, err
		}
		for _, receipt := range page {
			if receipt.Test != r.test() {
				continue
			}
			if left <= limit {
				found = append(found, receipt)
			}
			if left--; left == 0 {
				return found, true, nil
			}
		}
		if next == "" {
			return found, true, nil
		}
		f.Cursor = next
	}
	return found, false, nil
}

func usageRow(r *ledger.Receipt) contract.Values {
	return contract.Values{
		"id": contract.Text(obs.RequestID(r.ID).String()), "model": contract.Text(r.Model),
		"key_id":       contract.Text(account.KeyID(r.Key).String()),
		"input_tokens": contract.Number(r.Usage.Input), "output_tokens": contract.Number(r.Usage.Output),
		"reasoning_tokens": contract.Number(r.Usage.Reasoning), "total_tokens": contract.Number(r.Usage.Input + r.Usage.Output),
		"charge": contract.USD(r.Charge), "created_at": contract.Time(r.Started.UTC()),
	}
}

// sums are those of some lines of the usage report.
type sums struct {
	requests                 int64
	input, output, reasoning int64
	charge, refunded         money.Amount
}

func (s sums) plus(r *ledger.UsageRow) sums {
	s.requests += r.Requests
	s.input += r.Tokens.Input
	s.output += r.Tokens.Output
	s.reasoning += r.Tokens.Reasoning
	s.charge += r.Charge
	s.refunded += r.Refunded
	return s
}

// values shows the sums. Reasoning is a part of the output, so it is not counted
// twice in the total. A refund counts on its own day, where it may be more than
// was charged.
func (s sums) values() contract.Values {
	return contract.Values{
		"requests": contract.Number(s.requests), "input_tokens": contract.Number(s.input), "output_tokens": contract.Number(s.output),
		"reasoning_tokens": contract.Number(s.reasoning), "total_tokens": contract.Number(s.input + s.output),
		"charge": contract.USD(s.charge), "refunded": contract.USD(s.refunded), "net_charge": contract.USD(max(0, s.charge-s.refunded)),
	}
}

// What group_by may be. The last one is the default; it can be written the other
// way round, too.
const (
	byDay      = ledger.GroupDay
	byModel    = ledger.GroupModel
	byDayModel = byDay + "," + byModel
)

func (q *query) groupBy() string {
	switch s, ok := q.text("group_by"); {
	case !ok, s == byDayModel, s == byModel+","+byDay:
		return byDayModel
	case s == byDay, s == byModel:
		return s
	}
	q.bad("group_by", "Must be day, model or day,model")
	return byDayModel
}

// Scopes of a usage report. The first two are the same, but for billing keys,
// which may name an inference key of the account.
const (
	scopeKey     = "current_key"
	scopeNamed   = "api_key"
	scopeAccount = "account"
)

// scope reads scope and api_key_id, and returns the key that is summed up; 0:
// the whole account, which only a billing key may ask for, and does if it asks
// for nothing else.
func (d *Desk) scope(r *Request, q *query) account.KeyID {
	asking, billing := r.Who.Key.ID, r.Who.Key.Kind == account.KindBilling
	scope, given := q.text("scope")
	id, named := q.text("api_key_id")
	switch {
	case given && !slices.Contains([]string{scopeKey, scopeNamed, scopeAccount}, scope):
		q.bad("scope", "Must be current_key, api_key or account")
	case given && scope == scopeAccount && !billing:
		q.bad("scope", "Must be current_key or api_key for an inference key")
	case named && given && scope == scopeAccount:
		q.bad("api_key_id", "Has no meaning with scope account")
	case named && !strings.EqualFold(id, asking.String()):
		k, err := d.find(r, id)
		if err != nil || !billing || scope == scopeKey {
			q.bad("api_key_id", "Must be the id of a key that the asking key may see")
			return asking
		}
		return k.ID
	case !named && billing && (!given || scope == scopeAccount):
		return 0
	}
	return asking
}

// summary answers for account.usage_summary. Days are of UTC; a request counts
// on the day it was admitted.
func (d *Desk) summary(ctx context.Context, r *Request) (contract.Data, error) {
	now := d.now()
	q := query{values: r.Query}
	from, to := q.span(ledger.DayOf(now))
	by := q.groupBy()
	key := d.scope(r, &q)
	if err := q.err(); err != nil {
		return contract.Data{}, err
	}
	lines, err := d.ledger.Usage(ctx, ledger.UsageFilter{
		Account: r.account(), Key: int64(key), Test: r.test(), From: from.Start(), To: to.Start(),
		GroupBy: strings.Split(by, ","), Limit: maxLines + 1,
	})
	if err != nil {
		return contract.Data{}, err
	}
	if len(lines) > maxLines {
		return contract.Data{}, fault.New(fault.InvalidParameter, "The report is too long. Ask for fewer days at once.").At("from")
	}
	total, lists := split(lines, by)
	values := total.values()
	values["scope"] = contract.Text("account")
	if key != 0 {
		values["scope"], values["key_id"] = contract.Text("key"), contract.Text(key.String())
	}
	values["from"], values["to"], values["group_by"] = contract.Text(from.String()), contract.Text(to.String()), contract.Text(by)
	values["as_of"], values["live_days"] = contract.Time(now.UTC().Truncate(time.Millisecond)), contract.Number(int64(to-from)+1)
	return contract.Data{Values: values, Lists: lists}, nil
}

// split sums up the lines of a report: all of them, by day and by model. A list
// that was not asked for is empty.
func split(lines []ledger.UsageRow, by string) (total sums, lists map[string][]contract.Values) {
	days, models := map[ledger.Day]sums{}, map[string]sums{}
	both := []contract.Values{}
	for i := range lines {
		line := &lines[i]
		total = total.plus(line)
		if by != byModel {
			days[line.Day] = days[line.Day].plus(line)
		}
		if by != byDay {
			models[line.Model] = models[line.Model].plus(line)
		}
		if by == byDayModel {
			row := sums{}.plus(line).values()
			row["day"], row["model"] = contract.Text(line.Day.String()), contract.Text(line.Model)
			both = append(both, row)
		}
	}
	return total, map[string][]contract.Values{
		"by_day":       rowsOf(days, "day", ledger.Day.String),
		"by_model":     rowsOf(models, "model", func(model string) string { return model }),
		"by_day_model": both,
	}
}

// rowsOf shows sums in the order of what they are grouped by.
func rowsOf[K ledger.Day | string](groups map[K]sums, name string, text func(K) string) []contract.Values {
	rows := make([]contract.Values, 0, len(groups))
	for _, k := range slices.Sorted(maps.Keys(groups)) {
		row := groups[k].values()
		row[name] = contract.Text(text(k))
		rows = append(rows, row)
	}
	return rows
}
