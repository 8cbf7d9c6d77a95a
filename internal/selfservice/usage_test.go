package selfservice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

func TestUsageListsChargedRequestsOfTheBalance(t *testing.T) {
	t.Parallel()
	w := setup(t)
	sandbox := w.newKey(account.NewKey{Account: w.ada.ID, Name: "t", Site: site, Test: true})
	sibling := w.newKey(account.NewKey{Account: w.ada.ID, Name: "s"})
	stranger := w.newKey(account.NewKey{Account: w.bob.ID, Name: "b", Site: site})
	live, test := []string{}, []string{}
	for i := range 130 {
		w.set(w.time().Add(time.Second))
		k := []*account.Key{w.key, sandbox, sibling, stranger}[i%4]
		charge := money.Amount(i % 5) // 0: nothing was charged
		r := w.spend(k, fmt.Sprint("m", i), charge, ledger.Tokens{Input: int64(i), Output: 7, Reasoning: 3})
		id := obs.RequestID(r.ID).String()
		switch {
		case charge == 0, k == stranger:
		case k == sandbox:
			test = append(test, id)
		default:
			live = append(live, id)
		}
	}
	slices.Reverse(live)
	slices.Reverse(test)
	for _, c := range []struct {
		key  *account.Key
		size int
		want []string
	}{{w.key, 7, live}, {w.owner, 50, live}, {sibling, 1, live}, {sandbox, 5, test}} {
		var got []string
		for offset := 0; ; offset += c.size {
			data := w.get(c.key, SurfaceUsage, "limit", strconv.Itoa(c.size), "offset", strconv.Itoa(offset))
			w.same("page", data.Values, contract.Values{"limit": contract.Number(int64(c.size)), "offset": contract.Number(int64(offset))})
			page := column(data.Lists["usage"], "id")
			got = append(got, page...)
			if len(page) < c.size {
				break
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("pages of %d (-want +got)\n%s", c.size, diff)
		}
	}
	data := w.get(w.key, SurfaceUsage)
	if n := len(data.Lists["usage"]); n != min(50, len(live)) {
		t.Errorf("%d rows without parameters", n)
	}
	newest := w.receipts[len(w.receipts)-1]
	for newest.Test || newest.Account == int64(w.bob.ID) {
		w.receipts = w.receipts[:len(w.receipts)-1]
		newest = w.receipts[len(w.receipts)-1]
	}
	w.same("newest", data.Lists["usage"][0], contract.Values{
		"id": contract.Text(obs.RequestID(newest.ID).String()), "model": contract.Text(newest.Model),
		"key_id": contract.Text(account.KeyID(newest.Key).String()), "created_at": contract.Time(newest.Started),
		"input_tokens": contract.Number(newest.Usage.Input), "output_tokens": contract.Number(7), "reasoning_tokens": contract.Number(3),
		"total_tokens": contract.Number(newest.Usage.Input + 7), "charge": contract.USD(newest.Charge),
	})
	if rows := w.get(w.key, SurfaceUsage, "offset", "10000").Lists["usage"]; rows == nil || len(rows) != 0 {
		t.Errorf("behind the last row: %v", rows)
	}
}

func TestParametersOfPagesAreChecked(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for surface, most := range map[string]int{SurfaceUsage: 50, SurfaceTransactions: 100} {
		w.get(w.key, surface, "limit", strconv.Itoa(most), "offset", "0")
		for _, c := range []struct {
			params []string
			want   []string
		}{
			{[]string{"limit", "0"}, []string{"limit invalid_parameter"}},
			{[]string{"limit", strconv.Itoa(most + 1)}, []string{"limit invalid_parameter"}},
			{[]string{"limit", ""}, []string{"limit invalid_parameter"}},
			{[]string{"limit", "+5"}, []string{"limit invalid_parameter"}},
			{[]string{"limit", "5.0"}, []string{"limit invalid_parameter"}},
			{[]string{"limit", "99999999999999999999"}, []string{"limit invalid_parameter"}},
			{[]string{"limit", "5", "limit", "5"}, []string{"limit invalid_parameter"}},
			{[]string{"limit", "x", "limit", "y"}, []string{"limit invalid_parameter"}},
			{[]string{"offset", "-1"}, []string{"offset invalid_parameter"}},
			{[]string{"offset", "10001"}, []string{"offset invalid_parameter"}},
			{[]string{"page", "2", "Limit", "1", "offset", "x", "limit", "x"}, []string{"limit invalid_parameter", "offset invalid_parameter", "Limit invalid_parameter", "page invalid_parameter"}},
		} {
			r := w.as(w.key, surface, "GET")
			r.Query = pairs(c.params...)
			w.fails(r, c.want...)
		}
		r := w.as(w.key, surface, "GET")
		r.Query = map[string][]string{strings.Repeat("x", 1000) + "\xff": {"1"}}
		w.fails(r, strings.Repeat("x", 100)+" invalid_parameter")
		for i := range 1000 {
			r.Query[strconv.Itoa(i)] = nil
		}
		if e := w.refusal(r); len(e) != 64 {
			t.Errorf("%d unknown parameters are told", len(e))
		}
	}
}

// refusal returns the fields that a request is refused for.
func (w *world) refusal(r Request) (fields []string) {
	w.Helper()
	_, err := w.Answer(w.Context(), r)
	if err == nil {
		w.Fatalf("%s was answered", r.Surface)
	}
	for _, d := range detailsOf(err) {
		fields = append(fields, d.Field)
	}
	return fields
}

// endless is a ledger whose charged receipts never end, of which some are of the
// live balance.
type endless struct {
	Ledger
	live  int // of a page
	asked int
}

func (l *endless) Receipts(_ context.Context, f ledger.Filter) (page []*ledger.Receipt, next string, err error) {
	l.asked++
	if !f.Charged {
		return nil, "", errors.New("receipts of requests that were not charged are asked for")
	}
	for i := range f.Limit {
		page = append(page, &ledger.Receipt{Account: f.Account, Test: i >= l.live})
	}
	return page, "on", nil
}

func TestUsageLooksBackSoFar(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, c := range []struct {
		live          int // of a page
		limit, offset string
		rows, asked   int
	}{
		{0, "50", "0", 0, portions},                                            // the first page is what was found
		{1, "50", "0", portions, portions},                                     //
		{1, "30", "2", 30, portions},                                           // just enough
		{1, "30", "3", -1, portions},                                           //
		{0, "1", "1", -1, portions},                                            //
		{400, "50", "10000", 50, 26},                                           // 10050 of 400 a page
		{portion, "50", "10000", 50, (maxOffset + 50 + portion - 1) / portion}, //
	} {
		l := &endless{live: c.live}
		d := New(Deps{Ledger: l, Now: w.time})
		r := w.as(w.key, SurfaceUsage, "GET")
		r.Query = pairs("limit", c.limit, "offset", c.offset)
		data, err := d.Answer(t.Context(), r)
		rows := len(data.Lists["usage"])
		if err != nil {
			rows = -1
			if f := detailsOf(err); len(f) != 1 || f[0].Field != "offset" {
				t.Errorf("%+v: %v", c, err)
			}
		}
		if rows != c.rows || l.asked != c.asked {
			t.Errorf("%+v: %d rows of %d pages", c, rows, l.asked)
		}
	}
}

func TestSummaryHasTheDaysOfUTC(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for i, at := range []string{
		"2026-11-20T23:59:59.999Z", "2026-11-21T00:00:00Z", "2026-11-21T23:59:59.999999999Z", "2026-11-22T00:00:00Z", "2026-11-23T12:00:00Z",
	} {
		moment, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			t.Fatal(err)
		}
		w.set(moment)
		w.spend(w.key, "m", money.Amount(1)<<(4*i), ledger.Tokens{})
	}
	w.set(w.time().In(time.FixedZone("far east", 14*60*60))) // where it is the 24th
	for _, c := range []struct {
		from, to string
		days     int64
		want     money.Amount
		byDay    []string
	}{
		{"2026-11-20", "2026-11-20", 1, 0x00001, []string{"2026-11-20"}},
		{"2026-11-21", "2026-11-21", 1, 0x00110, []string{"2026-11-21"}},
		{"2026-11-22", "2026-11-22", 1, 0x01000, []string{"2026-11-22"}},
		{"2026-11-20", "2026-11-21", 2, 0x00111, []string{"2026-11-20", "2026-11-21"}},
		{"2026-11-21", "2026-11-23", 3, 0x11110, []string{"2026-11-21", "2026-11-22", "2026-11-23"}},
		{"2026-11-01", "2026-11-19", 19, 0, []string{}},
		{"2025-11-23", "2026-11-23", 366, 0x11111, []string{"2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"}},
		{"1970-01-01", "1970-01-01", 1, 0, []string{}},
		{"", "", 30, 0x11111, []string{"2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"}},
	} {
		params := []string{"from", c.from, "to", c.to}
		if c.from == "" {
			params, c.from, c.to = nil, "2026-10-25", "2026-11-23"
		}
		data := w.get(w.key, SurfaceUsageSummary, params...)
		w.same(c.from, data.Values, contract.Values{
			"from": contract.Text(c.from), "to": contract.Text(c.to), "live_days": contract.Number(c.days), "charge": contract.USD(c.want),
			"as_of": contract.Time(w.time().UTC()),
		})
		if got := column(data.Lists["by_day"], "day"); !slices.Equal(got, c.byDay) {
			t.Errorf("%s to %s has the days %v, want %v", c.from, c.to, got, c.byDay)
		}
	}
	w.set(time.Date(2026, 12, 22, 23, 59, 59, 999e6, time.UTC)) // 30 days from the 23rd on
	w.same("at the end of a day", w.get(w.key, SurfaceUsageSummary).Values, contract.Values{"charge": contract.USD(0x10000)})
	w.set(time.Date(2026, 12, 23, 0, 0, 0, 0, time.UTC))
	w.same("on the next", w.get(w.key, SurfaceUsageSummary).Values, contract.Values{"charge": contract.USD(0)})
}

func TestParametersOfTheSummaryAreChecked(t *testing.T) {
	t.Parallel()
	w := setup(t)
	sibling := w.newKey(account.NewKey{Account: w.ada.ID, Name: "s", Site: site})
	strangers := w.strangers()
	for _, c := range []struct {
		params []string
		want   []string
	}{
		{[]string{"from", "2026-11-20"}, []string{"to missing_parameter"}},
		{[]string{"to", "2026-11-20"}, []string{"from missing_parameter"}},
		{[]string{"from", "2026-11-01", "to", "2026-11-21"}, []string{"to invalid_parameter"}},
		{[]string{"from", "2026-11-21", "to", "2026-11-21"}, []string{"to invalid_parameter"}},
		{[]string{"from", "2026-11-20", "to", "2026-11-19"}, []string{"from invalid_parameter"}},
		{[]string{"from", "2025-11-19", "to", "2026-11-20"}, []string{"from invalid_parameter"}},
		{[]string{"from", "2026-11-1", "to", "2026-11-20"}, []string{"from invalid_parameter"}},
		{[]string{"from", "2026-02-29", "to", "2026-11-20"}, []string{"from invalid_parameter"}},
		{[]string{"from", "2026-11-01T00:00:00Z", "to", "2026-11-20"}, []string{"from invalid_parameter"}},
		{[]string{"from", "", "to", ""}, []string{"from invalid_parameter", "to invalid_parameter"}},
		{[]string{"from", "0001-01-01", "to", "0001-01-01"}, []string{"from invalid_parameter", "to invalid_parameter"}},
		{[]string{"from", "1969-12-31", "to", "1970-01-01"}, []string{"from invalid_parameter"}},
		{[]string{"from", "2026-11-01", "from", "2026-11-01", "to", "2026-11-20"}, []string{"from invalid_parameter"}},
		{[]string{"group_by", ""}, []string{"group_by invalid_parameter"}},
		{[]string{"group_by", "key"}, []string{"group_by invalid_parameter"}},
		{[]string{"group_by", "day,day"}, []string{"group_by invalid_parameter"}},
		{[]string{"scope", "everything"}, []string{"scope invalid_parameter"}},
		{[]string{"scope", ""}, []string{"scope invalid_parameter"}},
		{[]string{"scope", "account"}, []string{"scope invalid_parameter"}},
		{[]string{"api_key_id", ""}, []string{"api_key_id invalid_parameter"}},
		{[]string{"scope", "api_key", "api_key_id", "17"}, []string{"api_key_id invalid_parameter"}},
		{[]string{"api_key_id", sibling.ID.String()}, []string{"api_key_id invalid_parameter"}},
		{[]string{"api_key_id", strangers["another account's"].ID.String()}, []string{"api_key_id invalid_parameter"}},
		{[]string{"from", "x", "to", "y", "group_by", "z", "scope", "w", "zzz", "1"}, []string{"from invalid_parameter", "to invalid_parameter", "group_by invalid_parameter", "scope invalid_parameter", "zzz invalid_parameter"}},
	} {
		r := w.as(w.key, SurfaceUsageSummary, "GET")
		r.Query = pairs(c.params...)
		w.fails(r, c.want...)
	}
	for _, name := range []string{"duration", "page", "pageSize", "sort", "dir", "filter", "weekOffset", "tz", "include_summary"} {
		r := w.as(w.key, SurfaceUsageSummary, "GET")
		r.Query = pairs(name, "1")
		w.fails(r, name+" invalid_parameter")
	}
	for _, params := range [][]string{
		{"scope", "account", "api_key_id", sibling.ID.String()},
		{"scope", "current_key", "api_key_id", sibling.ID.String()},
	} {
		r := w.as(w.owner, SurfaceUsageSummary, "GET")
		r.Query = pairs(params...)
		w.fails(r, "api_key_id invalid_parameter")
	}
	for name, k := range strangers {
		r := w.as(w.owner, SurfaceUsageSummary, "GET")
		r.Query = pairs("api_key_id", k.ID.String())
		if k == w.owner {
			continue
		}
		if got := w.refusal(r); !slices.Equal(got, []string{"api_key_id"}) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSummarySumsUpReceipts(t *testing.T) {
	t.Parallel()
	w := setup(t)
	sandbox := w.newKey(account.NewKey{Account: w.ada.ID, Name: "t", Site: site, Test: true})
	sibling := w.newKey(account.NewKey{Account: w.ada.ID, Name: "s", Site: site})
	stranger := w.newKey(account.NewKey{Account: w.bob.ID, Name: "b", Site: site})
	for i := range 60 {
		if i%6 == 0 {
			w.set(w.time().AddDate(0, 0, 1))
		}
		k := []*account.Key{w.key, sibling, sandbox, stranger, w.key}[i%5]
		w.spend(k, fmt.Sprint("m", i%3), money.Amount(1000+i), ledger.Tokens{Input: int64(i), Output: int64(2 * i), Reasoning: int64(i / 2)})
	}
	for _, c := range []struct {
		name   string
		asking *account.Key
		params []string
		in     func(*ledger.Receipt) bool
		scope  string
		key    *account.Key
	}{
		{"an inference key", w.key, nil, of(w.key), "key", w.key},
		{"itself", w.key, []string{"scope", "api_key", "api_key_id", w.key.ID.String()}, of(w.key), "key", w.key},
		{"current", w.key, []string{"scope", "current_key"}, of(w.key), "key", w.key},
		{"of test money", sandbox, nil, of(sandbox), "key", sandbox},
		{"the owner", w.owner, nil, func(r *ledger.Receipt) bool { return r.Account == int64(w.ada.ID) && !r.Test }, "account", nil},
		{"the account", w.owner, []string{"scope", "account"}, func(r *ledger.Receipt) bool { return r.Account == int64(w.ada.ID) && !r.Test }, "account", nil},
		{"one key of it", w.owner, []string{"api_key_id", strings.ToUpper(sibling.ID.String())}, of(sibling), "key", sibling},
		{"named", w.owner, []string{"scope", "api_key", "api_key_id", sibling.ID.String()}, of(sibling), "key", sibling},
		{"the owner's key", w.owner, []string{"scope", "current_key"}, of(w.owner), "key", w.owner},
	} {
		for _, by := range []string{"", "day", "model", "day,model", "model,day"} {
			params := c.params
			if by != "" {
				params = append(slices.Clip(params), "group_by", by)
			}
			if by == "" || by == "model,day" {
				by = "day,model"
			}
			data := w.get(c.asking, SurfaceUsageSummary, params...)
			what := c.name + " by " + by
			want := contract.Values{"scope": contract.Text(c.scope), "key_id": {}, "group_by": contract.Text(by)}
			if c.key != nil {
				want["key_id"] = contract.Text(c.key.ID.String())
			}
			w.same(what, data.Values, want)
			w.same(what, data.Values, w.sum(c.in)[""])
			w.listed(what, data.Lists["by_day"], w.sum(c.in, day), by != "model", "day")
			w.listed(what, data.Lists["by_model"], w.sum(c.in, model), by != "day", "model")
			w.listed(what, data.Lists["by_day_model"], w.sum(c.in, day, model), by == "day,model", "day", "model")
		}
	}
}

func of(k *account.Key) func(*ledger.Receipt) bool {
	return func(r *ledger.Receipt) bool { return r.Key == int64(k.ID) }
}

func day(r *ledger.Receipt) string   { return r.Started.Format(time.DateOnly) }
func model(r *ledger.Receipt) string { return r.Model }

// sum adds up receipts by what stands in them, joined with spaces.
func (w *world) sum(in func(*ledger.Receipt) bool, by ...func(*ledger.Receipt) string) map[string]contract.Values {
	totals := map[string][5]int64{"": {}}
	if len(by) > 0 {
		delete(totals, "")
	}
	for _, r := range w.receipts {
		if !in(r) {
			continue
		}
		var parts []string
		for _, f := range by {
			parts = append(parts, f(r))
		}
		name := strings.Join(parts, " ")
		t := totals[name]
		for i, n := range []int64{1, r.Usage.Input, r.Usage.Output, r.Usage.Reasoning, int64(r.Charge)} {
			t[i] += n
		}
		totals[name] = t
	}
	out := map[string]contract.Values{}
	for name, t := range totals {
		out[name] = contract.Values{
			"requests": contract.Number(t[0]), "input_tokens": contract.Number(t[1]), "output_tokens": contract.Number(t[2]),
			"reasoning_tokens": contract.Number(t[3]), "total_tokens": contract.Number(t[1] + t[2]),
			"charge": contract.USD(money.Amount(t[4])), "net_charge": contract.USD(money.Amount(t[4])), "refunded": contract.USD(0),
		}
	}
	return out
}

// listed checks that a list is exactly want, in order, or empty if it was not
// asked for.
func (w *world) listed(what string, rows []contract.Values, want map[string]contract.Values, asked bool, by ...string) {
	w.Helper()
	if !asked {
		want = nil
	}
	got := []string{}
	for _, row := range rows {
		var parts []string
		for _, name := range by {
			parts = append(parts, text(row[name]))
		}
		name := strings.Join(parts, " ")
		got = append(got, name)
		w.same(what+" "+name, row, want[name])
	}
	if rows == nil || len(rows) != len(want) || !slices.IsSorted(got) {
		w.Errorf("%s, %v: %d rows %v, want %d", what, by, len(rows), got, len(want))
	}
}

// A refund counts on its day, and nothing is ever less than free.
func TestRefundsInTheSummary(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.spend(w.key, "m", 5*money.Dollar, ledger.Tokens{})
	w.set(w.time().AddDate(0, 0, 1))
	w.spend(w.key, "m", money.Dollar, ledger.Tokens{})
	if _, err := w.engine.Refund(t.Context(), ledger.Refund{Request: r.ID, Amount: 4 * money.Dollar}); err != nil {
		t.Fatal(err)
	}
	data := w.get(w.key, SurfaceUsageSummary)
	money4 := contract.USD(4 * money.Dollar)
	w.same("in all", data.Values, contract.Values{"charge": contract.USD(6 * money.Dollar), "refunded": money4, "net_charge": contract.USD(2 * money.Dollar), "requests": contract.Number(2)})
	days := data.Lists["by_day"]
	w.same("first day", days[0], contract.Values{"charge": contract.USD(5 * money.Dollar), "refunded": contract.USD(0), "net_charge": contract.USD(5 * money.Dollar)})
	w.same("second day", days[1], contract.Values{"charge": contract.USD(money.Dollar), "refunded": money4, "net_charge": contract.USD(0)})
}

func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	d := New(Deps{Accounts: w.accounts, Ledger: long{w}, Now: w.time})
	_, err := d.Answer(t.Context(), w.as(w.key, SurfaceUsageSummary, "GET"))
	if f := detailsOf(err); len(f) != 1 || f[0].Field != "from" {
		t.Errorf("a report of too many lines: %v", err)
	}
	data, err := d.Answer(t.Context(), w.as(w.key, SurfaceKeys, "GET"))
	if err != nil {
		t.Fatal(err)
	}
	w.same("sums that are not known", data.Values, contract.Values{"total_requests": {}, "total_charge": {}})
	w.same("sums that are not known", data.Lists["keys"][0], contract.Values{"requests": {}, "charge": {}})
}

// long is a ledger whose reports are as long as they may be.
type long struct{ *world }

func (long) Usage(_ context.Context, f ledger.UsageFilter) ([]ledger.UsageRow, error) {
	return make([]ledger.UsageRow, f.Limit), nil
}
