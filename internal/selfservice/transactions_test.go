package selfservice

import (
	"slices"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

func TestTransactionsTellWhatMovedTheBalance(t *testing.T) {
	t.Parallel()
	w := setup(t)
	sandbox := w.newKey(account.NewKey{Account: w.ada.ID, Name: "t", Site: site, Test: true})
	w.spend(sandbox, "m", money.Dollar, ledger.Tokens{})
	w.spend(w.newKey(account.NewKey{Account: w.bob.ID, Name: "b", Site: site}), "m", money.Dollar, ledger.Tokens{})
	r := w.spend(w.key, "big", 5*money.Dollar, ledger.Tokens{Input: 10, Output: 20, Reasoning: 5})
	one := w.spend(w.key, "one", money.Dollar, ledger.Tokens{Input: 1})
	w.credit(w.ada, ledger.Credit{Kind: ledger.KindTopup, Amount: money.Dollar, Note: "Card 4242"})
	w.credit(w.ada, ledger.Credit{Kind: ledger.KindGrant, Amount: money.Dollar})
	w.credit(w.ada, ledger.Credit{Kind: ledger.KindAdjust, Amount: money.Dollar})
	w.credit(w.ada, ledger.Credit{Kind: ledger.KindAdjust, Amount: -money.Dollar})
	if _, err := w.engine.Refund(t.Context(), ledger.Refund{Request: r.ID, Amount: 2 * money.Dollar}); err != nil {
		t.Fatal(err)
	}
	data := w.get(w.owner, SurfaceTransactions)
	rows := data.Lists["transactions"]
	w.same("page", data.Values, contract.Values{"limit": contract.Number(50), "offset": contract.Number(0)})
	request := contract.Text(obs.RequestID(r.ID).String())
	want := []contract.Values{
		{"amount": contract.USD(2 * money.Dollar), "transaction_type": contract.Text("refund"), "description": contract.Text("A charge was given back."), "request": request},
		{"amount": contract.USD(-money.Dollar), "transaction_type": contract.Text("reduce"), "description": contract.Text("The balance was corrected downwards."), "request": {}},
		{"amount": contract.USD(money.Dollar), "transaction_type": contract.Text("adjust"), "description": contract.Text("The balance was corrected upwards.")},
		{"amount": contract.USD(money.Dollar), "transaction_type": contract.Text("grant"), "description": contract.Text("Credit was granted.")},
		{"amount": contract.USD(money.Dollar), "transaction_type": contract.Text("topup"), "description": contract.Text("Card 4242")},
		{"amount": contract.USD(-money.Dollar), "transaction_type": contract.Text("usage"), "description": contract.Text("one: 1 token"), "request": contract.Text(obs.RequestID(one.ID).String())},
		{"amount": contract.USD(-5 * money.Dollar), "transaction_type": contract.Text("usage"), "description": contract.Text("big: 30 tokens"), "request": request},
		{"amount": contract.USD(100 * money.Dollar), "transaction_type": contract.Text("topup"), "description": contract.Text("Credit was added."), "request": {}},
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows %v, want %d", len(rows), column(rows, "description"), len(want))
	}
	var sum int64
	for i, row := range rows {
		w.same(text(want[i]["description"]), row, want[i])
		sum += number(row["amount"])
		if i > 0 && number(row["id"]) >= number(rows[i-1]["id"]) {
			t.Errorf("row %d is not older than the one before", i)
		}
	}
	if balance := number(w.get(w.owner, SurfaceBalance).Values["balance"]); sum != balance {
		t.Errorf("transactions sum up to %d, the balance is %d", sum, balance)
	}
	w.same("time", rows[0], contract.Values{"created_at": contract.Time(w.time())})

	var paged []string
	for _, offset := range []string{"0", "3", "6"} {
		paged = append(paged, column(w.get(w.owner, SurfaceTransactions, "limit", "3", "offset", offset).Lists["transactions"], "description")...)
	}
	if !slices.Equal(paged, column(rows, "description")) {
		t.Errorf("pages are %v", paged)
	}
	if rows := w.get(w.owner, SurfaceTransactions, "offset", "8").Lists["transactions"]; rows == nil || len(rows) != 0 {
		t.Errorf("behind the last row: %v", rows)
	}
	if rows := w.get(sandbox, SurfaceTransactions).Lists["transactions"]; !slices.Equal(column(rows, "transaction_type"), []string{"usage", "topup"}) {
		t.Errorf("of the test balance: %v", rows)
	}
}

func TestAnExpiredGrantIsATransaction(t *testing.T) {
	t.Parallel()
	row := transactionRow(&ledger.Entry{Seq: 7, Kind: ledger.KindExpire, Amount: money.Dollar, Time: time.Unix(1, 0)})
	w := &world{T: t}
	w.same("expire", row, contract.Values{
		"id": contract.Number(7), "amount": contract.USD(-money.Dollar), "transaction_type": contract.Text("expire"),
		"description": contract.Text("Granted credit expired."), "created_at": contract.Time(time.Unix(1, 0).UTC()),
	})
}

// Every kind that moves a balance has words of its own.
func TestEveryKindIsDescribed(t *testing.T) {
	t.Parallel()
	for n := range int64(20) {
		k := ledger.KindOf(n)
		e := ledger.Entry{Kind: k, Amount: 1, Model: "m"}
		if k != "" && e.Effect() != 0 && describe(&e) == "" {
			t.Errorf("%s has no description", k)
		}
	}
}
