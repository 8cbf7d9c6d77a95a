package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/store/sqlite"
	"github.com/pontage/pontage/test/harness"
)

// daysSites is a site for requests, and one that has the account's own pages.
const daysSites = `
providers: {sim: {kind: sim}}
models:
  m: {targets: [{provider: sim}], context: 100000, max_output: 10000, price: {request: 0.003}}
  n: {targets: [{provider: sim}], context: 100000, max_output: 10000, price: {request: 0.007}}
sites: [{hosts: ["*"], contract: openai}, {hosts: ["pages.localhost"], contract: modelswitch}]
`

// dayBook is what happened to one account, by day.
type dayBook struct {
	Requests         map[string]int64
	Charge, Refunded map[string]money.Amount
}

func newDayBook() dayBook {
	return dayBook{map[string]int64{}, map[string]money.Amount{}, map[string]money.Amount{}}
}

func (b *dayBook) charge(day string, amount money.Amount) {
	b.Requests[day]++
	b.Charge[day] += amount
}

// Whoever adds up an account has the same sums of each day, whether by lines of
// the report, by pages of receipts, by the pages of the account, or by the
// journal. A request belongs to the day it was admitted, a refund to the day it
// was made.
func TestTheDaysOfAnAccountAgree(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: daysSites})
	c := newCustomer(t, g, "1", nil)
	billing := g.NewKey(t, c.account, map[string]any{"kind": "billing", "site": "pages.localhost"}).Key
	advance(t, g, midnight(now(t, g)).Add(23*time.Hour).Sub(now(t, g)))
	first := now(t, g).Format(time.DateOnly)
	second, third := now(t, g).AddDate(0, 0, 1).Format(time.DateOnly), now(t, g).AddDate(0, 0, 2).Format(time.DateOnly)
	want := newDayBook()

	early := post(t, c).is(t, 200).header.Get("X-Request-ID")
	want.charge(first, 3*money.Cent/10)
	script(t, g, "n", `[{"fault":"hang_stream","after":1}]`)
	leave := hang(t, c, "n") // admitted on the first day
	advance(t, g, midnight(now(t, g)).Sub(now(t, g)))
	post(t, c).is(t, 200)
	want.charge(second, 3*money.Cent/10)
	leave() // and charged on the second
	eventually(t, "what was left is charged", func() bool { return g.AccountNow(t, c.account).HeldUSD == "0.00" })
	want.charge(first, 7*money.Cent/10)
	postTo(t, c, "none").refused(t, 404, "model_not_found") // which counts nowhere
	advance(t, g, 24*time.Hour)
	g.MustAdmin(t, "POST", "/admin/v1/requests/"+early+"/refund", map[string]any{"amount_usd": "0.001", "note": "late"}, nil)
	want.Refunded[third] += money.Cent / 10
	for range 3 {
		postTo(t, c, "m").is(t, 200)
		want.charge(third, 3*money.Cent/10)
	}
	settled(t, g)

	days := func(got dayBook, what string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by %s (-want +got):\n%s", what, diff)
		}
	}
	days(reported(t, c), "the report")
	days(journaled(t, c), "the journal")
	days(received(t, c), "the receipts")

	sum := func(m map[string]money.Amount) (n money.Amount) {
		for a := range maps.Values(m) {
			n += a
		}
		return n
	}
	left := money.Dollar - sum(want.Charge) + sum(want.Refunded)
	if got := usd(t, g.AccountNow(t, c.account).BalanceUSD); got != left {
		t.Errorf("the balance is %s, want %s", got, left)
	}
	if got := addedUp(t, g, billing, "/api/transactions", "transactions", "amount"); got != left {
		t.Errorf("the transactions give %s, want %s", got, left)
	}
	if got := addedUp(t, g, billing, "/api/usage", "usage", "chargedAmount"); got != sum(want.Charge) {
		t.Errorf("the usage page gives %s, want %s", got, sum(want.Charge))
	}
	for _, day := range []string{first, second, third} {
		r := ask(t, g, call{method: "GET", host: "pages.localhost", path: "/api/usage/stats?from=" + day + "&to=" + day, key: billing}).is(t, 200)
		net := max(0, want.Charge[day]-want.Refunded[day])
		if got := r.at(t, "stats.requests") + " " + usd(t, r.at(t, "stats.chargedAmount")).String(); got != fmt.Sprint(want.Requests[day], " ", net) {
			t.Errorf("the account's own %s is %s, want %d %s", day, got, want.Requests[day], net)
		}
	}
}

// After the retention there are sums of the days, and nothing of single requests;
// what the account has, and the report, are as they were.
func TestOldRequestsBecomeSums(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: daysSites, Store: "retention: 840h"})
	c := newCustomer(t, g, "1", nil)
	old := post(t, c).is(t, 200).header.Get("X-Request-ID")
	postTo(t, c, "n").is(t, 200)
	settled(t, g)
	want, balance := reported(t, c), g.AccountNow(t, c.account).BalanceUSD
	advance(t, g, 37*24*time.Hour)
	recent := post(t, c).is(t, 200).header.Get("X-Request-ID")
	eventually(t, "the old requests are gone", func() bool {
		status, _, err := g.Admin(t.Context(), "GET", "/admin/v1/requests/"+old, nil, nil)
		return err == nil && status == 404
	})
	g.Receipt(t, recent, nil)
	settled(t, g)
	want.charge(now(t, g).Format(time.DateOnly), 3*money.Cent/10)
	if diff := cmp.Diff(want, reported(t, c)); diff != "" {
		t.Errorf("the report (-want +got):\n%s", diff)
	}
	if got, want := usd(t, g.AccountNow(t, c.account).BalanceUSD), usd(t, balance)-3*money.Cent/10; got != want {
		t.Errorf("the balance is %s, want %s", got, want)
	}
	status, body, err := g.Admin(t.Context(), "POST", "/admin/v1/requests/"+old+"/refund", map[string]any{"note": "late"}, nil)
	if err != nil || status != 404 || !strings.Contains(string(body), "older than what is kept") {
		t.Errorf("a refund of an old request = %d %s, %v", status, body, err)
	}
	if err := g.Stop(); err != nil {
		t.Error(err)
	}
	g.Run(t)
	settled(t, g)
	if diff := cmp.Diff(want, reported(t, c)); diff != "" {
		t.Errorf("the report after another start (-want +got):\n%s", diff)
	}
}

// reported adds up the lines of the admin's report, which must add up to its
// total.
func reported(t *testing.T, c customer) dayBook {
	t.Helper()
	var report struct {
		Data []struct {
			Day         string `json:"day"`
			Requests    int64  `json:"requests"`
			ChargeUSD   string `json:"charge_usd"`
			RefundedUSD string `json:"refunded_usd"`
		} `json:"data"`
		Total struct {
			Requests    int64  `json:"requests"`
			ChargeUSD   string `json:"charge_usd"`
			RefundedUSD string `json:"refunded_usd"`
		} `json:"total"`
	}
	c.g.MustAdmin(t, "GET", "/admin/v1/usage?group_by=day,key,model&account="+c.account, nil, &report)
	b := newDayBook()
	var requests int64
	var charge, refunded money.Amount
	for _, line := range report.Data {
		if line.Requests > 0 {
			b.Requests[line.Day] += line.Requests
			b.Charge[line.Day] += usd(t, line.ChargeUSD)
		}
		if r := usd(t, line.RefundedUSD); r > 0 {
			b.Refunded[line.Day] += r
		}
		requests, charge, refunded = requests+line.Requests, charge+usd(t, line.ChargeUSD), refunded+usd(t, line.RefundedUSD)
	}
	if requests != report.Total.Requests || charge != usd(t, report.Total.ChargeUSD) || refunded != usd(t, report.Total.RefundedUSD) {
		t.Errorf("the lines of the report add up to %d, %s and %s, its total is %+v", requests, charge, refunded, report.Total)
	}
	return b
}

// received adds up the receipts, page by page. What was refunded stands on them
// without its day, so it is checked as a sum only.
func received(t *testing.T, c customer) dayBook {
	t.Helper()
	b := newDayBook()
	for cursor := ""; ; {
		var page struct {
			Data []struct {
				StartedAt   time.Time `json:"started_at"`
				Outcome     string    `json:"outcome"`
				ChargeUSD   string    `json:"charge_usd"`
				RefundedUSD string    `json:"refunded_usd"`
			} `json:"data"`
			Next string `json:"next"`
		}
		c.g.MustAdmin(t, "GET", "/admin/v1/requests?limit=2&account="+c.account+cursor, nil, &page)
		for _, r := range page.Data {
			if charge := usd(t, r.ChargeUSD); charge > 0 {
				b.charge(r.StartedAt.UTC().Format(time.DateOnly), charge)
			}
			if refunded := usd(t, r.RefundedUSD); refunded > 0 {
				b.Refunded[now(t, c.g).Format(time.DateOnly)] += refunded // it was made today
			}
		}
		if page.Next == "" {
			return b
		}
		cursor = "&cursor=" + url.QueryEscape(page.Next)
	}
}

// journaled adds up the entries, read from the file beside the running process.
func journaled(t *testing.T, c customer) dayBook {
	t.Helper()
	db, err := sqlite.OpenReadOnly(t.Context(), c.g.DatabasePath())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	snap, err := db.Journal().Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	b := newDayBook()
	err = snap.Entries(context.Background(), 0, func(e *ledger.Entry) error {
		switch e.Kind {
		case ledger.KindUsage:
			b.charge(e.Day.String(), e.Amount)
		case ledger.KindRefund:
			b.Refunded[e.Day.String()] += e.Amount
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// addedUp adds up one member of the rows of an account's page, two at a time.
func addedUp(t *testing.T, g *harness.Gateway, key, path, list, amount string) (sum money.Amount) {
	t.Helper()
	for offset := 0; ; offset += 2 {
		r := ask(t, g, call{method: "GET", host: "pages.localhost", path: fmt.Sprintf("%s?limit=2&offset=%d", path, offset), key: key}).is(t, 200)
		var rows []map[string]json.RawMessage
		if err := json.Unmarshal([]byte(r.at(t, list)), &rows); err != nil {
			t.Fatalf("%v in %s", err, r.body)
		}
		for _, row := range rows {
			sum += usd(t, string(row[amount]))
		}
		if len(rows) < 2 {
			return sum
		}
	}
}
