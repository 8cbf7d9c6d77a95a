package rows

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
)

// outside is a proof of what stands in no row, on a gateway of its own.
func outside(t *testing.T, service string, models []model) *proof {
	t.Helper()
	return &proof{TB: t, row: row{ID: service + "/outside"}, world: &world{report: &report{}, five: startFive(t, models)}}
}

// receipt is what the admin API tells of a request.
type receipt struct {
	ID        string    `json:"id"`
	Model     string    `json:"model"`
	ChargeUSD string    `json:"charge_usd"`
	StartedAt time.Time `json:"started_at"`
	Tokens    struct{ Input, Output int64 }
}

// moved is a line of what a balance moved by.
type moved struct {
	ID          int64
	Amount      json.Number
	Type        string
	Description string
	CreatedAt   time.Time
}

// spent is a request as its account sees it.
type spent struct {
	ID, Model                      string
	PromptTokens, CompletionTokens int64
	ChargedAmount                  json.Number
	CreatedAt                      time.Time
}

// summed is a sum of requests as their account sees it.
type summed struct {
	Model                                       string
	Requests                                    int64
	PromptTokens, CompletionTokens, TotalTokens int64 // of modelswitch
	InputTokens, OutputTokens                   int64 // of llmtune
	ChargedAmount, SpendUSD                     json.Number
}

// TestAccountSurfaces: what callers are told of their account agrees with the
// receipts that the operator sees, to the nano-dollar, and is nobody else's.
func TestAccountSurfaces(t *testing.T) {
	t.Parallel()
	p := outside(t, "modelswitch", []model{
		{name: "cheap", answer: testkit.JSON(200, chatBody), streamed: testkit.SSE(chatStream...)},
		{name: "dear", answer: testkit.JSON(200, chatBody), more: "price: {input: 13.37, output: 77.77}"},
		{name: "embed", answer: testkit.JSON(200, embeddingBody), more: "kind: embedding, context: 8192, price: {input: 0.13}"},
		{name: "bad", answer: says(500, "server_error", "internal", "The engine has a defect"), more: "attempts: 1"},
	})
	g := p.world.five
	owner := p.at(modelswitchHost, "0", billing())
	credit := func(more map[string]any) {
		g.MustAdmin(p, "POST", "/admin/v1/accounts/"+owner.account+"/credits", more, nil)
	}
	credit(map[string]any{"amount_usd": "5", "kind": "topup", "note": "Card 4242"})
	credit(map[string]any{"amount_usd": "1.25", "kind": "grant"})
	credit(map[string]any{"amount_usd": "-0.250000001", "kind": "adjust"})
	credit(map[string]any{"amount_usd": "9", "kind": "topup", "test": true})
	one, other, sandbox := p.anotherAt(owner, nil), p.anotherAt(owner, nil), p.anotherAt(owner, map[string]any{"test": true})
	p.paid(p.at(modelswitchHost, "3", nil), chatPath, chat("cheap")) // a stranger
	for i, c := range []caller{one, other, one, one, other, one, other} {
		name := []string{"cheap", "dear", "cheap"}[i%3]
		more := []string(nil)
		if i == 2 {
			more = []string{streamed}
		}
		p.paid(c, chatPath, chat(name, more...))
		p.wants(p.ask(c, chatPath, chat("bad")), http.StatusBadGateway)
		p.wants(p.ask(c, chatPath, "{"), http.StatusBadRequest)
	}
	p.paid(one, "/v1/embeddings", `{"model":"embed","input":"bridge"}`)
	p.wants(p.ask(sandbox, chatPath, chat("cheap")), http.StatusOK)

	receipts := receiptsOf(p, owner)
	if len(receipts) != 8 {
		t.Fatalf("%d receipts of charged requests", len(receipts))
	}
	usageAgrees(p, owner, receipts)
	refund := usdOf(p, receipts[1].ChargeUSD) / 2
	statsAgree(p, owner, receipts, 0)
	g.MustAdmin(p, "POST", "/admin/v1/requests/"+receipts[1].ID+"/refund", map[string]any{"amount_usd": refund.String(), "note": "Sorry"}, nil)
	statsAgree(p, owner, receipts, refund)
	transactionsAgree(p, owner, receipts, refund)
	summaryAgrees(p, owner.account, receipts, refund)
	daysAgree(p, owner)

	stranger := p.at(modelswitchHost, "0", billing())
	for path, none := range map[string]string{usagePath: `{"usage":[]}`, transactionsPath: `{"transactions":[]}`, keysPath: `{"keys":[]}`} {
		if a := p.got(stranger, path); strings.TrimSpace(string(a.body)) != none {
			t.Errorf("%s tells a stranger %s", path, a.body)
		}
	}
	g.settled(t)
}

// receiptsOf are the receipts of what an account's live balance was charged,
// newest first.
func receiptsOf(p *proof, c caller) (out []receipt) {
	p.Helper()
	var page struct {
		Data []struct {
			receipt
			Test bool
		}
		Next *string
	}
	c.gw.MustAdmin(p, "GET", "/admin/v1/requests?limit=200&account="+c.account, nil, &page)
	for _, r := range page.Data {
		if !r.Test && !isZero(r.ChargeUSD) {
			out = append(out, r.receipt)
		}
	}
	return out
}

// usageAgrees compares /api/usage with the receipts, whole and page by page.
func usageAgrees(p *proof, owner caller, receipts []receipt) {
	p.Helper()
	list := func(query string) []spent {
		p.Helper()
		return decodedAs[struct{ Usage []spent }](p, p.got(owner, usagePath+query)).Usage
	}
	all := list("")
	if len(all) != len(receipts) {
		p.Fatalf("%d rows of %d receipts", len(all), len(receipts))
	}
	for i, r := range receipts {
		s := all[i]
		if s.ID != r.ID || s.Model != r.Model || s.PromptTokens != r.Tokens.Input || s.CompletionTokens != r.Tokens.Output ||
			usdOf(p, s.ChargedAmount.String()) != usdOf(p, r.ChargeUSD) || s.CreatedAt.Sub(r.StartedAt).Abs() > time.Millisecond {
			p.Errorf("row %d is %+v, and the receipt %+v", i, s, r)
		}
	}
	var paged []spent
	for _, query := range []string{"?limit=3", "?limit=3&offset=3", "?limit=3&offset=6", "?limit=3&offset=9"} {
		paged = append(paged, list(query)...)
	}
	if !slices.Equal(paged, all) || !slices.Equal(list("?limit=50&offset=0"), all) || !slices.Equal(list("?offset=7&limit=1"), all[7:]) {
		p.Errorf("pages of three: %v, and not %v", paged, all)
	}
	for _, bad := range []string{"?limit=0", "?limit=51", "?limit=many", "?offset=-1", "?offset=10001", "?limit=3&limit=4", "?page=2"} {
		p.codeIs(p.wants(p.ask(owner, usagePath+bad, "", method("GET")), http.StatusBadRequest), "invalid_parameter")
	}
}

// sum adds up receipts, of one model or, with "", of all.
func sum(p *proof, receipts []receipt, model string) (s summed, charge money.Amount) {
	p.Helper()
	for _, r := range receipts {
		if model == "" || r.Model == model {
			s.Requests++
			s.InputTokens += r.Tokens.Input
			s.OutputTokens += r.Tokens.Output
			charge += usdOf(p, r.ChargeUSD)
		}
	}
	return s, charge
}

// statsAgree compares /api/usage/stats with the receipts, less what was given
// back of the second one.
func statsAgree(p *proof, owner caller, receipts []receipt, refund money.Amount) {
	p.Helper()
	got := decodedAs[struct {
		Stats   summed
		ByModel []summed
	}](p, p.got(owner, statsPath))
	if len(got.ByModel) != 3 {
		p.Errorf("by model: %+v", got.ByModel)
	}
	for _, g := range append(got.ByModel, got.Stats) {
		want, charge := sum(p, receipts, g.Model)
		if g.Model == "" || g.Model == receipts[1].Model {
			charge -= refund
		}
		if g.Requests != want.Requests || g.PromptTokens != want.InputTokens || g.CompletionTokens != want.OutputTokens ||
			g.TotalTokens != want.InputTokens+want.OutputTokens || usdOf(p, g.ChargedAmount.String()) != charge {
			p.Errorf("model %q: %+v, want %+v and %s", g.Model, g, want, charge)
		}
	}
}

// transactionsAgree compares /api/transactions with receipts and balance.
func transactionsAgree(p *proof, owner caller, receipts []receipt, refund money.Amount) {
	p.Helper()
	list := func(query string) []moved {
		p.Helper()
		return decodedAs[struct{ Transactions []moved }](p, p.got(owner, transactionsPath+query)).Transactions
	}
	all := list("")
	type line struct {
		kind, description string
		amount            money.Amount
	}
	want := []line{{"refund", "Sorry", refund}}
	for _, r := range receipts {
		want = append(want, line{"usage", fmt.Sprintf("%s: %d tokens", r.Model, r.Tokens.Input+r.Tokens.Output), -usdOf(p, r.ChargeUSD)})
	}
	want = append(want, line{"payment", "The balance was corrected downwards.", usdOf(p, "-0.250000001")}, line{"payment", "Credit was granted.", usdOf(p, "1.25")}, line{"payment", "Card 4242", usdOf(p, "5")})
	var got []line
	var balance money.Amount
	for i, m := range all {
		got = append(got, line{m.Type, m.Description, usdOf(p, m.Amount.String())})
		balance += got[i].amount
		if i > 0 && (m.ID >= all[i-1].ID || m.CreatedAt.After(all[i-1].CreatedAt)) {
			p.Errorf("line %d is not older than the one before: %+v", i, all)
		}
	}
	if !slices.Equal(got, want) {
		p.Errorf("the transactions are\n%v, and not\n%v", got, want)
	}
	if now := usdOf(p, p.number(p.got(owner, balancePath), "balance")); now != balance || now != usdOf(p, owner.ledger(p).BalanceUSD) {
		p.Errorf("the transactions sum up to %s, and the balance is %s", balance, now)
	}
	var paged []moved
	for offset := 0; offset < 15; offset += 5 {
		paged = append(paged, list(fmt.Sprintf("?limit=5&offset=%d", offset))...)
	}
	if !slices.Equal(paged, all) || !slices.Equal(list("?limit=100"), all) {
		p.Errorf("pages of five: %v, and not %v", paged, all)
	}
	for _, bad := range []string{"?limit=101", "?offset=x", "?type=usage"} {
		p.codeIs(p.wants(p.ask(owner, transactionsPath+bad, "", method("GET")), http.StatusBadRequest), "invalid_parameter")
	}
}

// summaryAgrees compares what llmtune tells of the same account.
func summaryAgrees(p *proof, account string, receipts []receipt, refund money.Amount) {
	p.Helper()
	c := p.anotherAt(caller{gw: p.world.five, host: llmtunePages, account: account}, billing())
	got := decodedAs[struct {
		summed
		From, To       string
		ByDay, ByModel []summed
	}](p, p.got(c, summaryPath))
	if len(got.ByModel) != 3 || len(got.ByDay) != 1 || got.From >= got.To {
		p.Errorf("%+v", got)
	}
	for _, g := range slices.Concat(got.ByModel, got.ByDay, []summed{got.summed}) {
		want, charge := sum(p, receipts, g.Model)
		if g.Model == "" || g.Model == receipts[1].Model {
			charge -= refund
		}
		if g.Requests != want.Requests || g.InputTokens != want.InputTokens || g.OutputTokens != want.OutputTokens || usdOf(p, g.SpendUSD.String()) != charge {
			p.Errorf("llmtune: model %q: %+v, want %+v and %s", g.Model, g, want, charge)
		}
	}
}

// daysAgree asks for days, and for days that are none.
func daysAgree(p *proof, owner caller) {
	p.Helper()
	g := owner.gw
	requests := func(query string) int64 {
		p.Helper()
		return decodedAs[struct{ Stats summed }](p, p.got(owner, statsPath+query)).Stats.Requests
	}
	g.advance(p, "72h")
	today := g.now(p)
	day := func(ago int) string { return today.AddDate(0, 0, -ago).Format(time.DateOnly) }
	if all, now := requests("?from="+day(4)+"&to="+day(0)), requests("?from="+day(1)+"&to="+day(0)); all != 8 || now != 0 || requests("") != 8 {
		p.Errorf("three days later there are %d requests in four days, and %d in two", all, now)
	}
	for _, bad := range []string{"?from=" + day(0) + "&to=" + day(1), "?to=" + day(-2) + "&from=" + day(0), "?from=yesterday&to=" + day(0), "?from=" + day(400) + "&to=" + day(0)} {
		p.codeIs(p.wants(p.ask(owner, statsPath+bad, "", method("GET")), http.StatusBadRequest), "invalid_parameter")
	}
	p.codeIs(p.wants(p.ask(owner, statsPath+"?from="+day(3), "", method("GET")), http.StatusBadRequest), "missing_parameter")
}
