package operate

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/test/harness"
)

// entry gives a credit and returns the number of its entry, or the status and
// code of the refusal.
func (c customer) entry(t testing.TB, in map[string]any) string {
	t.Helper()
	status, body, err := c.g.Admin(t.Context(), "POST", "/admin/v1/accounts/"+c.account+"/credits", in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status >= 400 {
		return fmt.Sprint(status, " ", member(t, body, "error.code"), " ", member(t, body, "error.param"))
	}
	return member(t, body, "entry")
}

func (c customer) has(t testing.TB, balance string) {
	t.Helper()
	if a := c.g.AccountNow(t, c.account); a.BalanceUSD != balance || a.AvailUSD != balance || a.HeldUSD != "0.00" {
		t.Errorf("the balance is %s, %s held, %s available, want %s", a.BalanceUSD, a.HeldUSD, a.AvailUSD, balance)
	}
}

// TestACreditWithAReferenceIsOneEntry however often, by how many at once, and
// after a restart it is asked for.
func TestACreditWithAReferenceIsOneEntry(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	c, other := newCustomer(t, g, "0", nil), newCustomer(t, g, "0", nil)
	credit := map[string]any{"amount_usd": "10", "kind": "topup", "reference": "invoice-17"}
	var mu sync.Mutex
	entries := map[string]int{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			e := c.entry(t, credit)
			mu.Lock()
			defer mu.Unlock()
			entries[e]++
		})
	}
	wg.Wait()
	if len(entries) != 1 {
		t.Errorf("the same reference made %v", entries)
	}
	c.has(t, "10.00")
	other.entry(t, credit) // another account's reference is another's
	other.has(t, "10.00")
	for _, changed := range []map[string]any{{"amount_usd": "11"}, {"kind": "grant"}, {"test": true}} {
		if got := c.entry(t, and(credit, changed)); got != "409 conflict reference" {
			t.Errorf("the same reference with %v: %s", changed, got)
		}
	}
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	g.Run(t)
	if got := c.entry(t, credit); entries[got] != 20 {
		t.Errorf("after a restart the reference made %s, before it %v", got, entries)
	}
	c.has(t, "10.00")
	settled(t, g)
}

func TestCreditsOfEveryKind(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	c := newCustomer(t, g, "0", nil)
	for _, bad := range []struct {
		in   map[string]any
		want string
	}{
		{map[string]any{"amount_usd": "0", "kind": "topup"}, "400 invalid_parameter amount_usd"},
		{map[string]any{"amount_usd": "-1", "kind": "topup"}, "400 invalid_parameter amount_usd"},
		{map[string]any{"amount_usd": "-1", "kind": "grant"}, "400 invalid_parameter amount_usd"},
		{map[string]any{"amount_usd": "0", "kind": "adjust"}, "400 invalid_parameter amount_usd"},
		{map[string]any{"amount_usd": "1", "kind": "refund"}, "400 invalid_parameter kind"},
		{map[string]any{"amount_usd": "1", "kind": "topup", "expires_at": "2190-01-01T00:00:00Z"}, "400 invalid_parameter expires_at"},
		{map[string]any{"amount_usd": "1", "kind": "grant", "expires_at": "2020-01-01T00:00:00Z"}, "400 invalid_parameter expires_at"},
		{map[string]any{"amount_usd": "1"}, "400 missing_parameter kind"},
		{map[string]any{"kind": "topup"}, "400 missing_parameter amount_usd"},
	} {
		if got := c.entry(t, bad.in); got != bad.want {
			t.Errorf("%v: %s, want %s", bad.in, got, bad.want)
		}
	}
	c.has(t, "0.00")
	post(t, c).refused(t, 402, "insufficient_balance")

	c.entry(t, map[string]any{"amount_usd": "1", "kind": "topup"})
	end := now(t, g).Add(time.Hour)
	c.entry(t, map[string]any{"amount_usd": "0.01", "kind": "grant", "expires_at": end.Format(time.RFC3339Nano)})
	c.has(t, "1.01")
	post(t, c).is(t, 200) // 0.003, from what expires first
	c.has(t, "1.007")
	advance(t, g, end.Add(time.Second).Sub(now(t, g)))
	eventually(t, "what is left of the grant is taken back", func() bool { return g.AccountNow(t, c.account).BalanceUSD == "1.00" })
	c.entry(t, map[string]any{"amount_usd": "-1.5", "kind": "adjust", "note": "a mistake"})
	if a := g.AccountNow(t, c.account); a.BalanceUSD != "-0.50" {
		t.Errorf("after an adjustment the balance is %s", a.BalanceUSD)
	}
	if r := post(t, c).refused(t, 402, "insufficient_balance"); r.header.Get("X-Required-USD") != "0.003" {
		t.Errorf("with a debt it needs %s, %s is available", r.header.Get("X-Required-USD"), r.header.Get("X-Available-USD"))
	}
	settled(t, g)
}

// TestRefunds give back at most what was charged, once, to the balance that
// paid; daily limits keep what was used.
func TestRefunds(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	advance(t, g, midnight(now(t, g)).Add(12*time.Hour).Sub(now(t, g)))
	c := newCustomer(t, g, "1", limits(map[string]any{"usd_per_day": "0.003"}))
	request := post(t, c).is(t, 200).header.Get("X-Request-ID")
	refund := func(id string, in map[string]any) string {
		t.Helper()
		status, body, err := g.Admin(t.Context(), "POST", "/admin/v1/requests/"+id+"/refund", in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if status >= 400 {
			return fmt.Sprint(status, " ", member(t, body, "error.code"))
		}
		return fmt.Sprint(member(t, body, "kind"), " ", member(t, body, "amount_usd"), " ", member(t, body, "balance_usd"))
	}
	for _, step := range []struct {
		in   map[string]any
		want string
	}{
		{map[string]any{}, "400 missing_parameter"},
		{map[string]any{"note": "n", "amount_usd": "0"}, "400 invalid_parameter"},
		{map[string]any{"note": "n", "amount_usd": "-0.001"}, "400 invalid_parameter"},
		{map[string]any{"note": "n", "amount_usd": "0.003000001"}, "400 invalid_parameter"},
		{map[string]any{"note": "n", "amount_usd": "0.001"}, "refund 0.001 0.998"},
		{map[string]any{"note": "n", "amount_usd": "0.002000001"}, "400 invalid_parameter"},
		{map[string]any{"note": "n"}, "refund 0.002 1.00"},
		{map[string]any{"note": "n"}, "409 conflict"},
	} {
		if got := refund(request, step.in); got != step.want {
			t.Errorf("refund %v: %s, want %s", step.in, got, step.want)
		}
	}
	post(t, c).refused(t, 429, "daily_spend_exceeded")
	var r struct {
		Refunded string `json:"refunded_usd"`
		Charge   string `json:"charge_usd"`
	}
	g.MustAdmin(t, "GET", "/admin/v1/requests/"+request, nil, &r)
	if r.Refunded != "0.003" || r.Charge != "0.003" {
		t.Errorf("the receipt says %+v", r)
	}

	test := newCustomer(t, g, "1", map[string]any{"test": true})
	request = post(t, test).is(t, 200).header.Get("X-Request-ID")
	if got := refund(request, map[string]any{"note": "n"}); got != "refund 0.003 1.00" {
		t.Errorf("a refund of test money: %s", got)
	}
	if a := g.AccountNow(t, test.account); a.TestBalance != "1.00" || a.BalanceUSD != "0.00" {
		t.Errorf("test money went to %+v", a)
	}
	script(t, g, "m", `[{"fault":"error_500","times":3}]`)
	failed := newCustomer(t, g, "1", nil)
	request = post(t, failed).refused(t, 502, "upstream_error").header.Get("X-Request-ID")
	g.Receipt(t, request, nil)
	if got := refund(request, map[string]any{"note": "n"}); got != "409 conflict" {
		t.Errorf("a refund of what cost nothing: %s", got)
	}
	settled(t, g)
}

// Amounts that are none, or too much, are refused by name, and move nothing.
func TestAmountsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	c := newCustomer(t, g, "1", nil)
	request := post(t, c).is(t, 200).header.Get("X-Request-ID")
	paths := map[string]map[string]any{
		"/admin/v1/accounts/" + c.account + "/credits": {"kind": "topup"},
		"/admin/v1/requests/" + request + "/refund":    {"note": "n"},
	}
	for _, amount := range []any{
		"", "0", "0.00", "-0", "-1", "-0.000000001", "1000000000.000000001", "1000000001", "9223372036.854775808", "99999999999999999999", // sums that cannot be
		"1e9", "1E-3", "NaN", "Infinity", "inf", "0x10", "0.0000000001", " 1", "1 ", "1.", ".5", "+1", "--1", "1,5", "1_000", "$1", "\u0661", "\uff11", "1\x00", // no decimal numbers
		1, 1.5, true, []string{"1"}, map[string]string{"usd": "1"}, // no strings
	} {
		for path, more := range paths {
			status, body, err := g.Admin(t.Context(), "POST", path, and(more, map[string]any{"amount_usd": amount}), nil)
			if err != nil {
				t.Fatal(err)
			}
			if status != 400 || member(t, body, "error.param") != "amount_usd" || member(t, body, "error.message") == "" {
				t.Errorf("%s of %#v: %d %s", path, amount, status, body)
			}
		}
	}
	if status, body, err := g.Admin(t.Context(), "POST", "/admin/v1/accounts/"+c.account+"/credits", map[string]any{"kind": "topup", "amount_usd": nil}, nil); err != nil || status != 400 || member(t, body, "error.param") != "amount_usd" {
		t.Errorf("a credit of null: %d %s %v", status, body, err)
	}
	c.has(t, "0.997")
	settled(t, g)
}

// TestAHundredRefundsAtOnce give back what was charged, and not a nano-dollar
// more, whatever their references.
func TestAHundredRefundsAtOnce(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	c := newCustomer(t, g, "1", nil)
	request := post(t, c).is(t, 200).header.Get("X-Request-ID")
	var mu sync.Mutex
	sum, entries := money.Amount(0), map[string]bool{}
	var wg sync.WaitGroup
	for i := range 100 {
		in := map[string]any{"note": "n", "amount_usd": fmt.Sprintf("0.000%d", i%4+1)}
		if i%2 == 0 {
			in["reference"] = fmt.Sprint("ticket-", i/10)
		}
		wg.Go(func() {
			status, body, err := g.Admin(t.Context(), "POST", "/admin/v1/requests/"+request+"/refund", in, nil)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case status == 201 && !entries[member(t, body, "entry")]:
				entries[member(t, body, "entry")] = true
				sum += usd(t, member(t, body, "amount_usd"))
			case status != 201 && status != 400 && status != 409:
				t.Errorf("%d %s", status, body)
			}
		})
	}
	wg.Wait()
	var r struct {
		Refunded string `json:"refunded_usd"`
	}
	g.MustAdmin(t, "GET", "/admin/v1/requests/"+request, nil, &r)
	if r.Refunded != sum.String() || sum < usd(t, "0.0027") || sum > usd(t, "0.003") {
		t.Errorf("%d refunds of %s, the receipt says %s", len(entries), sum, r.Refunded)
	}
	if got := c.g.AccountNow(t, c.account).BalanceUSD; got != (usd(t, "0.997") + sum).String() {
		t.Errorf("the balance is %s", got)
	}
	settled(t, g)
}
