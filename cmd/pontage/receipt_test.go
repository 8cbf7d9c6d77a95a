package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/pontage/pontage/client/admin"
)

func TestAReceiptSaysWhyItCostsThat(t *testing.T) {
	t.Parallel()
	two := []admin.Line{{Kind: "input", Units: 10, RateUSD: "1.00", AmountUSD: "0.00001"}, {Kind: "request", Units: 1, RateUSD: "0.003", AmountUSD: "0.003"}}
	for _, c := range []struct {
		name    string
		receipt admin.Receipt
		want    []string // what each line holds
	}{
		{"as used", admin.Receipt{Outcome: "ok", ChargeUSD: "0.00301", Lines: two}, []string{"came to its end"}},
		{"estimated", admin.Receipt{Outcome: "ok", ChargeUSD: "0.00301", Lines: two, Estimated: true}, []string{"came to its end", "counted here (estimated)"}},
		{"left", admin.Receipt{Outcome: "client_left", ChargeUSD: "0.003", Lines: two}, []string{"The caller left", "ends at what was held"}},
		{"absorbed", admin.Receipt{Outcome: "ok", ChargeUSD: "0.003", AbsorbedUSD: "0.00001", Lines: two}, []string{"came to its end", "$0.00001 more than could be charged"}},
		{"refunded", admin.Receipt{Outcome: "ok", ChargeUSD: "0.00301", RefundedUSD: "0.001", Lines: two}, []string{"came to its end", "$0.001 of the charge was given back"}},
		{"a plan", admin.Receipt{Outcome: "ok", ChargeUSD: "0.00", Lines: []admin.Line{{Kind: "plan", Units: 1, AmountUSD: "0.00"}}}, []string{"came to its end", "plan paid"}},
		{"interrupted", admin.Receipt{Outcome: "interrupted", ChargeUSD: "0.00", RefundedUSD: "0.00"}, []string{"nothing is charged"}},
		{"of another version", admin.Receipt{Outcome: "something new", ChargeUSD: "0.00"}, nil},
	} {
		got := reasons(&c.receipt)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q", c.name, got)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], c.want[i]) {
				t.Errorf("%s: %q does not say %q", c.name, got[i], c.want[i])
			}
		}
	}
	var out bytes.Buffer
	r := &remote{sys: &system{out: &out, err: &out}}
	if err := r.lines(&admin.Receipt{Lines: two}); err != nil {
		t.Fatal(err)
	}
	like(t, out.String(), `LINE UNITS RATE AMOUNT input 10 × $1.00 / 1M = $0.00001 request 1 × $0.003 = $0.003 sum $0.00301
		The sum is rounded up once, to a nano-dollar ($0.000000001); each line is what the sum grows by with it.`)
	for outcome := range outcomes {
		if !slices.Contains([]string{"ok", "client_left", "blocked", "refused", "failed", "empty", "interrupted", "aborted", "replayed"}, outcome) {
			t.Errorf("there is no outcome %s", outcome)
		}
	}
}
