package dash

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pontage/pontage/internal/money"
)

func TestCreditsMoveMoneyOncePerReference(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, _, _ := w.newAccount("")
	path := "/admin/v1/accounts/" + acc
	for _, c := range []struct{ body, amount, kind, balance string }{
		{`{"amount_usd":"10","kind":"topup","reference":"r1","note":"first"}`, "10.00", "topup", "10.00"},
		{`{"amount_usd":"10","kind":"topup","reference":"r1","note":"again"}`, "10.00", "topup", "10.00"},
		{`{"amount_usd":"0.000000001","kind":"grant","expires_at":"2026-12-01T00:00:00Z"}`, "0.000000001", "grant", "10.000000001"},
		{`{"amount_usd":"-12","kind":"adjust"}`, "-12.00", "adjust", "-1.999999999"},
		{`{"amount_usd":"2","kind":"adjust"}`, "2.00", "adjust", "0.000000001"},
		{`{"amount_usd":"3.5","kind":"topup","test":true}`, "3.50", "topup", "3.50"},
		{`{"amount_usd":"3.5","kind":"topup","reference":null,"expires_at":null,"note":null,"test":null}`, "3.50", "topup", "3.500000001"},
	} {
		got := w.do("POST", path+"/credits", c.body).must(201)
		if got.at("amount_usd") != c.amount || got.at("kind") != c.kind || got.at("balance_usd") != c.balance || got.at("account") != acc {
			t.Errorf("%s: %s, want %s of %s and then %s", c.body, got.body, c.kind, c.amount, c.balance)
		}
	}
	got := w.do("GET", path, "")
	if got.at("balance_usd") != "3.500000001" || got.at("available_usd") != "3.500000001" || got.at("test_balance_usd") != "3.50" {
		t.Errorf("account: %s", got.body)
	}
	for _, other := range []string{`"amount_usd":"11","kind":"topup"`, `"amount_usd":"10","kind":"grant"`, `"amount_usd":"10","kind":"topup","test":true`} {
		w.do("POST", path+"/credits", `{`+other+`,"reference":"r1"}`).failed(409, "conflict", "reference")
	}
	if got := w.do("GET", "/admin/v1/ledger/verify", "").must(200); string(got.body) != `{"ok":true,"entries":6,"accounts":1,"digests":0,"pending_digests":0,"old_digests":0,"differences":[]}`+"\n" {
		t.Errorf("verify: %s", got.body)
	}
}

func TestReceiptsRefundsAndUsage(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, key, _ := w.newAccount("10")
	id := w.spend(acc, key, "gpt", 5*money.Dollar, 3*money.Dollar)
	w.advance(24 * time.Hour)
	w.spend(acc, key, "claude", money.Dollar, money.Dollar/2)

	got := w.do("GET", "/admin/v1/requests/"+id, "").must(200)
	want := fmt.Sprintf(`{"id":%q,"account":%q,"key":%q,"test":false,"site":"ninja.localhost","surface":"openai.chat","model":"gpt","answered_by":null,"stream":false,`+
		`"outcome":"ok","status":200,"fault":null,"tokens":{"input":10,"cached_input":4,"cache_write":0,"cache_write_1h":0,"output":20,"reasoning":5},"estimated":false,`+
		`"hold_usd":"5.00","charge_usd":"3.00","absorbed_usd":"0.00","refunded_usd":"0.00","price":"0123abcd","lines":[{"kind":"input","units":10,"rate_usd":null,"amount_usd":"0.000000001"},{"kind":"output","units":20,"rate_usd":"0.0075","amount_usd":"2.999999999"}],`+
		`"attempts":[{"target":"sim/m","outcome":"upstream_timeout","status":null,"ms":1},{"target":"other/m","outcome":"ok","status":200,"ms":0.25}],"dropped_params":["seed"],"dropped_output":[],`+
		`"delivery":"complete","started_at":"2026-11-20T12:00:00Z","ms":1.5}`+"\n", id, acc, key)
	if diff := cmp.Diff(want, string(got.body)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	refund := w.do("POST", "/admin/v1/requests/"+id+"/refund", `{"amount_usd":"1","note":"sorry"}`).must(201)
	if refund.at("amount_usd") != "1.00" || refund.at("kind") != "refund" || refund.at("request") != id || refund.at("balance_usd") != "7.50" {
		t.Errorf("refund: %s", refund.body)
	}
	w.do("POST", "/admin/v1/requests/"+id+"/refund", `{"amount_usd":"2.000000001","note":"too much"}`).failed(400, "invalid_parameter", "amount_usd")
	if rest := w.do("POST", "/admin/v1/requests/"+id+"/refund", `{"note":"the rest"}`).must(201); rest.at("amount_usd") != "2.00" {
		t.Errorf("the rest: %s", rest.body)
	}
	w.do("POST", "/admin/v1/requests/"+id+"/refund", `{"note":"again"}`).failed(409, "conflict", "")

	for query, n := range map[string]int{
		"": 2, "?model=gpt": 1, "?model=none": 0, "?account=" + acc: 2, "?key=" + key: 2, "?outcome=ok": 2, "?outcome=refused": 0,
		"?from=2026-11-21": 1, "?to=2026-11-21": 1, "?from=2026-11-20T12:00:00Z&to=2026-11-21T12:00:00Z": 1, "?account=acc_0000000000001": 0,
	} {
		if got := w.do("GET", "/admin/v1/requests"+query, "").must(200).names("id"); len(got) != n {
			t.Errorf("requests%s: %d, want %d", query, len(got), n)
		}
	}

	usage := w.do("GET", "/admin/v1/usage?group_by=day,model,key&account="+acc, "").must(200)
	if diff := cmp.Diff([]string{"gpt", "claude", "gpt"}, usage.names("model"), cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("usage %s (-want +got)\n%s", usage.body, diff)
	}
	for path, want := range map[string]string{
		"total.requests": "2", "total.charge_usd": "3.50", "total.refunded_usd": "3.00", "total.tokens.input": "20", "total.tokens.reasoning": "10",
		"data.0.day": "2026-11-20", "data.0.key": key, "data.0.charge_usd": "3.00", "data.0.requests": "1", "next": "null",
	} {
		if got := usage.at(path); got != want {
			t.Errorf("usage %s = %s, want %s", path, got, want)
		}
	}
	if got := w.do("GET", "/admin/v1/usage?to=2026-11-20", "").must(200); len(got.names("day")) != 1 || got.at("total.charge_usd") != "3.00" {
		t.Errorf("usage of the first day: %s", got.body)
	}
	if got := w.do("GET", "/admin/v1/usage?test=true", "").must(200); got.at("total.requests") != "0" {
		t.Errorf("usage of the test balance: %s", got.body)
	}
	if got := w.do("GET", "/admin/v1/usage?group_by=account", "").must(200); strings.Join(got.names("account"), ",") != acc || got.names("day")[0] != "" {
		t.Errorf("usage by account: %s", got.body)
	}
}

// Who sends no name is the operator; a name must be one.
func TestTheActorOfAnEntryIsTold(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, key, _ := w.newAccount("10")
	id := w.spend(acc, key, "m", money.Dollar, money.Dollar)
	credits, refund := "/admin/v1/accounts/"+acc+"/credits", "/admin/v1/requests/"+id+"/refund"
	for header, want := range map[string]string{"": "operator", "alice@example": "operator:alice@example", strings.Repeat("x", 64): "operator:" + strings.Repeat("x", 64)} {
		if got := w.do("POST", credits, `{"amount_usd":"1","kind":"topup"}`, "X-Pontage-Actor", header).must(201).at("actor"); got != want {
			t.Errorf("a credit by %q has the actor %s", header, got)
		}
		if got := w.do("POST", refund, `{"amount_usd":"0.01","note":"n"}`, "X-Pontage-Actor", header).must(201).at("actor"); got != want {
			t.Errorf("a refund by %q has the actor %s", header, got)
		}
	}
	for _, bad := range []string{"a b", "é", strings.Repeat("x", 65), "\x7f"} {
		w.do("POST", credits, `{"amount_usd":"1","kind":"topup"}`, "X-Pontage-Actor", bad).failed(400, "invalid_parameter", "X-Pontage-Actor")
		w.do("GET", "/admin/v1/accounts", "", "X-Pontage-Actor", bad).failed(400, "invalid_parameter", "X-Pontage-Actor")
	}
	r := httptest.NewRequest("GET", "/admin/v1/accounts", nil)
	r.Header = http.Header{"Authorization": {"Bearer " + token}, "X-Pontage-Actor": {"a", "b"}}
	rec := httptest.NewRecorder()
	if w.handler.ServeHTTP(rec, r); rec.Code != 400 {
		t.Errorf("two names: %d %s", rec.Code, rec.Body)
	}
	if log := w.logged(); !strings.Contains(log, "actor=operator:alice@example") {
		t.Error("the log does not name the actor")
	}
}

func TestARefundsReferenceStandsForOneRefund(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, key, _ := w.newAccount("10")
	id, other := w.spend(acc, key, "m", money.Dollar, money.Dollar), w.spend(acc, key, "m", money.Dollar, money.Dollar)
	refund := func(id, body string) *reply { return w.do("POST", "/admin/v1/requests/"+id+"/refund", body) }
	first := refund(id, `{"amount_usd":"0.25","note":"n","reference":"t"}`).must(201)
	again := refund(id, `{"amount_usd":"0.25","note":"another note","reference":"t"}`).must(201)
	if string(first.body) != string(again.body) || first.at("reference") != "t" || first.at("balance_usd") != "8.25" {
		t.Errorf("the same reference: %s, then %s", first.body, again.body)
	}
	for _, r := range []*reply{
		refund(id, `{"amount_usd":"0.5","note":"n","reference":"t"}`),
		refund(id, `{"note":"n","reference":"t"}`),
		refund(other, `{"amount_usd":"0.25","note":"n","reference":"t"}`),
		w.do("POST", "/admin/v1/accounts/"+acc+"/credits", `{"amount_usd":"0.25","kind":"topup","reference":"t"}`),
	} {
		if r.failed(409, "conflict", "reference"); !strings.Contains(r.at("error.message"), "a refund of 0.25 for "+id) {
			t.Errorf("the message is %s", r.at("error.message"))
		}
	}
	for _, bad := range []string{`""`, `"` + strings.Repeat("r", 256) + `"`} {
		refund(id, `{"note":"n","reference":`+bad+`}`).failed(400, "invalid_parameter", "reference")
	}
	refund(id, `{"note":"n","reference":7}`).failed(400, "invalid_type", "reference")
}

func TestUnchargedRequestIsNotRefunded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, key, _ := w.newAccount("10")
	id := w.spend(acc, key, "m", money.Dollar, money.Dollar)
	w.do("POST", "/admin/v1/requests/"+id[:5]+"0000000000000000000000000/refund", `{"note":"x"}`).failed(404, "not_found", "")
	w.do("POST", "/admin/v1/requests/req_x/refund", `{"note":"x"}`).failed(404, "not_found", "")
	w.do("GET", "/admin/v1/requests/"+id[:29]+"0", "")
	w.do("GET", "/admin/v1/requests/req_0000000000000000000000000a", "").failed(404, "not_found", "")
}

func TestSumOfCreditsIsBounded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, _, _ := w.newAccount("")
	path := "/admin/v1/accounts/" + acc + "/credits"
	for range 4 {
		w.do("POST", path, `{"amount_usd":"1000000000","kind":"topup"}`).must(201)
	}
	w.do("POST", path, `{"amount_usd":"1000000000","kind":"topup"}`).failed(400, "invalid_parameter", "amount_usd")
}

func TestMoneyCannotBeMovedWhileTheLedgerIsClosed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, key, _ := w.newAccount("1")
	id := w.spend(acc, key, "m", 1000, 1000)
	if err := w.deps.Ledger.Close(); err != nil {
		t.Fatal(err)
	}
	for path, body := range map[string]string{
		"/admin/v1/accounts/" + acc + "/credits": `{"amount_usd":"1","kind":"topup"}`,
		"/admin/v1/requests/" + id + "/refund":   `{"note":"x"}`,
	} {
		if got := w.do("POST", path, body).failed(503, "ledger_unavailable", ""); got.header.Get("Retry-After") != "1" {
			t.Errorf("%s: Retry-After %q", path, got.header.Get("Retry-After"))
		}
	}
}
