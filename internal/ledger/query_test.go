package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

func TestAReceiptIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	r := reserve(money.Cent)
	hold := h.hold(r)
	want := receipt(h.clock.now())
	s, err := hold.Settle(background, ledger.Settlement{Actual: money.Cent, Receipt: want})
	if err != nil {
		t.Fatal(err)
	}
	if want.ID != r.Request || want.Account != 1 || want.Key != 1 || want.Charge != s.Charge || want.Hold != money.Cent {
		t.Errorf("Settle filled in %+v", want)
	}
	want.Delivery = ledger.DeliveryUnknown
	check := func() {
		t.Helper()
		got, err := h.Receipt(background, r.Request)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Receipt (-want +got):\n%s", diff)
		}
	}
	check()
	h.Delivered(r.Request)
	want.Delivery = ledger.DeliveryComplete
	check()
	h.DeliveredPart(r.Request) // too late
	check()
	h.reopen()
	check()
	if got, err := h.Receipt(background, request()); got != nil || err != nil {
		t.Errorf("Receipt of an unknown request = %+v, %v", got, err)
	}
}

func TestAnUnchargedReceiptNeverReplacesACharge(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	r := reserve(money.Cent)
	h.charge(r, money.Cent)
	h.Record(&ledger.Receipt{ID: r.Request, Account: 1, Key: 1, Outcome: "client_left"})
	got, err := h.Receipt(background, r.Request)
	if err != nil || got.Outcome != "ok" || got.Charge != money.Cent {
		t.Errorf("Receipt = %+v, %v", got, err)
	}
	h.verify()
}

func TestAVoidedHoldKeepsItsReceipt(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	r := reserve(money.Cent)
	hold := h.hold(r)
	hold.Void(&ledger.Receipt{Model: "m", Outcome: "upstream_failed", Charge: 5, Started: h.clock.now()})
	got, err := h.Receipt(background, r.Request)
	if err != nil || got == nil || got.Outcome != "upstream_failed" || got.Charge != 0 || got.Hold != money.Cent || got.Account != 1 {
		t.Errorf("Receipt = %+v, %v", got, err)
	}
	if d := h.KeyDay(1); d.Requests != 0 {
		t.Errorf("an uncharged request counts: %+v", d)
	}
	h.verify()
}

func TestReceiptsAreListedNewestFirstInPages(t *testing.T) {
	t.Parallel()
	h := setup(t)
	var want [][16]byte
	start := h.clock.now()
	for i := range 250 {
		id := request()
		r := &ledger.Receipt{ID: id, Account: int64(1 + i%2), Key: int64(1 + i%4), Model: "m", Outcome: "ok", Started: start.Add(time.Duration(i) * time.Second)}
		if i%5 == 0 {
			r.Model, r.Outcome = "n", "refused"
		}
		h.Record(r)
		want = append([][16]byte{id}, want...)
	}
	list := func(f ledger.Filter) (ids [][16]byte, pages int) {
		t.Helper()
		for {
			page, next, err := h.Receipts(background, f)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, r := range page {
				ids = append(ids, r.ID)
			}
			if f.Cursor = next; next == "" {
				return ids, pages
			}
		}
	}
	all, pages := list(ledger.Filter{Limit: 60})
	if diff := cmp.Diff(want, all); diff != "" || pages != 5 {
		t.Errorf("%d pages; all receipts (-want +got):\n%s", pages, diff)
	}
	if ids, pages := list(ledger.Filter{Limit: 250}); len(ids) != 250 || pages != 1 {
		t.Errorf("a page of exactly everything: %d receipts on %d pages", len(ids), pages)
	}
	for name, c := range map[string]struct {
		f    ledger.Filter
		want int
	}{
		"account": {ledger.Filter{Account: 1}, 125},
		"key":     {ledger.Filter{Key: 2}, 63},
		"model":   {ledger.Filter{Model: "n"}, 50},
		"outcome": {ledger.Filter{Outcome: "refused", Account: 1}, 25},
		"from":    {ledger.Filter{From: start.Add(100 * time.Second)}, 150},
		"to":      {ledger.Filter{To: start.Add(100 * time.Second)}, 100},
		"charged": {ledger.Filter{Charged: true}, 0},
		"nothing": {ledger.Filter{Account: 9}, 0},
	} {
		if ids, _ := list(c.f); len(ids) != c.want {
			t.Errorf("%s: %d receipts, want %d", name, len(ids), c.want)
		}
	}
	for _, bad := range []ledger.Filter{{Limit: -1}, {Limit: 1001}, {Cursor: "x"}, {Cursor: "zz345678901234567890123456789012"}, {Cursor: "00000000000000000000000000000000ff"}, {Offset: -1}, {Offset: 10_001}, {Offset: 1, Cursor: strings.Repeat("0", 32)}} {
		if _, _, err := h.Receipts(background, bad); err == nil {
			t.Errorf("Receipts(%+v): want an error", bad)
		}
	}
}

func TestUsageIsTheLedger(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	h.topup(2, money.Dollar)
	for day := range 2 {
		for i := range 6 {
			r := ledger.Reservation{Account: int64(1 + i%3%2), Key: int64(10 + i%3), Request: request(), Amount: money.Cent}
			hold := h.hold(r)
			rec := &ledger.Receipt{Model: []string{"a", "b"}[i/3], Usage: ledger.Tokens{Input: 100, CachedInput: 40, Output: 10, Reasoning: 3}}
			if _, err := hold.Settle(background, ledger.Settlement{Actual: money.Cent, Receipt: rec}); err != nil {
				t.Fatal(err)
			}
		}
		if day == 0 {
			h.clock.advance(24 * time.Hour)
		}
	}
	sum := func(f ledger.UsageFilter) (rows int, total money.Amount, requests int64) {
		t.Helper()
		list, err := h.Usage(background, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if r.Tokens.Input != 100*r.Requests || r.Tokens.CachedInput != 40*r.Requests || r.Tokens.Reasoning != 3*r.Requests {
				t.Errorf("Usage(%+v): %+v", f, r)
			}
			total += r.Charge
			requests += r.Requests
		}
		return len(list), total, requests
	}
	today := h.clock.now()
	for _, c := range []struct {
		f        ledger.UsageFilter
		rows     int
		requests int64
	}{
		{ledger.UsageFilter{}, 1, 12},
		{ledger.UsageFilter{GroupBy: []string{"day"}}, 2, 12},
		{ledger.UsageFilter{GroupBy: []string{"day", "model", "key"}}, 12, 12},
		{ledger.UsageFilter{GroupBy: []string{"account"}}, 2, 12},
		{ledger.UsageFilter{Account: 1, GroupBy: []string{"model"}}, 2, 8},
		{ledger.UsageFilter{Key: 10}, 1, 4},
		{ledger.UsageFilter{Model: "a"}, 1, 6},
		{ledger.UsageFilter{From: today}, 1, 6},
		{ledger.UsageFilter{To: today.Add(-24 * time.Hour), GroupBy: []string{"day"}}, 1, 6},
		{ledger.UsageFilter{Account: 3}, 0, 0},
		{ledger.UsageFilter{GroupBy: []string{"day", "model", "key"}, Limit: 5}, 5, 5},
	} {
		rows, total, requests := sum(c.f)
		if rows != c.rows || requests != c.requests || total != money.Amount(c.requests)*money.Cent {
			t.Errorf("Usage(%+v): %d rows, %d requests, %s; want %d and %d", c.f, rows, requests, total, c.rows, c.requests)
		}
	}
	if _, err := h.Usage(background, ledger.UsageFilter{GroupBy: []string{"colour"}}); err == nil {
		t.Error("Usage grouped by colour: want an error")
	}
	h.verify()
}

func TestTheLazyQueueIsBounded(t *testing.T) {
	t.Parallel()
	h := setup(t)
	if err := h.fp.Arm(failpoint.DiskFull, 90); err != nil {
		t.Fatal(err)
	}
	h.Record(&ledger.Receipt{ID: request()})
	eventually(t, "the disk is full", func() bool { return h.Ready() != nil })
	for range 20_000 {
		h.Record(&ledger.Receipt{ID: request()})
		h.Delivered(request())
	}
	st := h.Stats()
	if st.DroppedReceipts < 20_000-16_384 || st.DroppedMarks < 20_000-16_384 {
		t.Errorf("Stats = %+v, want drops to be counted", st)
	}
	if err := h.fp.Arm(failpoint.DiskFull, 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the disk has room", func() bool { return h.Ready() == nil })
}

// A page of what an account was charged for: newest first, by limit and offset.
func TestChargedRequestsArePaged(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.topup(1, money.Dollar)
	var want [][16]byte
	for i := range 20 {
		r := reserve(money.Cent)
		switch i % 4 {
		case 0:
			h.hold(r).Void(&ledger.Receipt{Started: h.clock.now()})
			continue
		case 1:
			h.charge(r, 0) // a charge all the same
		default:
			h.charge(r, money.Cent)
		}
		want = append([][16]byte{r.Request}, want...)
	}
	page := func(limit, offset int) (ids [][16]byte, next string) {
		t.Helper()
		rows, next, err := h.Receipts(background, ledger.Filter{Account: 1, Charged: true, Limit: limit, Offset: offset})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		return ids, next
	}
	for offset := range len(want) + 2 {
		ids, next := page(4, offset)
		from, to := min(offset, len(want)), min(offset+4, len(want))
		if diff := cmp.Diff(want[from:to], ids, cmpopts.EquateEmpty()); diff != "" || (next == "") != (to == len(want)) {
			t.Errorf("offset %d, next %q (-want +got):\n%s", offset, next, diff)
		}
	}
}

func TestTransactionsAreWhatMovedABalance(t *testing.T) {
	t.Parallel()
	h := setup(t)
	var want []ledger.Entry
	note := func(e *ledger.Entry) { want = append([]ledger.Entry{*e}, want...) }
	credit := func(c ledger.Credit) {
		t.Helper()
		e, err := h.Credit(background, c)
		if err != nil {
			t.Fatal(err)
		}
		if c.Account == 1 && !c.Test {
			note(&e)
		}
	}
	credit(ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: 100, Reference: "a", Note: "b"})
	credit(ledger.Credit{Account: 1, Kind: ledger.KindTopup, Amount: 50, Test: true})
	credit(ledger.Credit{Account: 2, Kind: ledger.KindTopup, Amount: 50})
	credit(ledger.Credit{Account: 1, Kind: ledger.KindAdjust, Amount: -10})
	credit(ledger.Credit{Account: 1, Kind: ledger.KindGrant, Amount: 5, ExpiresAt: h.clock.now().Add(time.Hour)})
	h.charge(reserve(10), 0) // which moves nothing
	r := reserve(10)
	s := h.charge(r, 200) // of which 105 are absorbed
	usage, err := h.Entry(background, s.Seq)
	if err != nil {
		t.Fatal(err)
	}
	note(usage)
	refund, err := h.Refund(background, ledger.Refund{Request: r.Request, Amount: 30})
	if err != nil {
		t.Fatal(err)
	}
	note(&refund)
	h.clock.advance(2 * time.Hour)
	list := func(f ledger.TransactionFilter) []ledger.Entry {
		t.Helper()
		got, err := h.Transactions(background, f)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	opts := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(0)}
	for offset := range len(want) + 2 {
		from, to := min(offset, len(want)), min(offset+2, len(want))
		if diff := cmp.Diff(want[from:to], list(ledger.TransactionFilter{Account: 1, Limit: 2, Offset: offset}), opts); diff != "" {
			t.Errorf("offset %d (-want +got):\n%s", offset, diff)
		}
	}
	if got := list(ledger.TransactionFilter{Account: 1}); len(got) != len(want) {
		t.Errorf("%d entries, want %d", len(got), len(want))
	}
	if got := list(ledger.TransactionFilter{Account: 1, Test: true}); len(got) != 1 || got[0].Amount != 50 {
		t.Errorf("test balance: %+v", got)
	}
	if got := list(ledger.TransactionFilter{Account: 9}); len(got) != 0 {
		t.Errorf("unknown account: %+v", got)
	}
	sum := money.Amount(0)
	for _, e := range list(ledger.TransactionFilter{Account: 1, Limit: 200}) {
		sum += e.Effect()
	}
	if b := h.Balance(1); b.Posted != sum {
		t.Errorf("Balance = %+v, the transactions give %d", b, sum)
	}
	for _, f := range []ledger.TransactionFilter{{}, {Account: 1, Limit: -1}, {Account: 1, Limit: 201}, {Account: 1, Offset: -1}, {Account: 1, Offset: 10_001}} {
		if _, err := h.Transactions(background, f); err == nil {
			t.Errorf("Transactions(%+v): want an error", f)
		}
	}
}
