package dash

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/money"
)

func TestAccountsFromBirthToSuspension(t *testing.T) {
	t.Parallel()
	w := setup(t)
	made := w.do("POST", "/admin/v1/accounts", `{"name":"ada","plan":"free"}`).must(201)
	want := fmt.Sprintf(`{"id":%q,"name":"ada","plan":"free","status":"active","balance_usd":"0.00","held_usd":"0.00","available_usd":"0.00",`+
		`"test_balance_usd":"0.00","test_held_usd":"0.00","test_available_usd":"0.00","warn_below_usd":null,"created_at":"2026-11-20T12:00:00Z"}`+"\n", made.at("id"))
	if string(made.body) != want {
		t.Errorf("created %swant    %s", made.body, want)
	}
	path := "/admin/v1/accounts/" + made.at("id")
	if got := w.do("GET", path, "").must(200); string(got.body) != want {
		t.Errorf("got %swant %s", got.body, want)
	}
	got := w.do("PATCH", path, `{"name":"eve","plan":null,"status":"suspended"}`).must(200)
	if got.at("name") != "eve" || got.at("plan") != "null" || got.at("status") != "suspended" {
		t.Errorf("patched: %s", got.body)
	}
	if got := w.do("PATCH", path, `{}`).must(200); got.at("name") != "eve" || got.at("status") != "suspended" {
		t.Errorf("an empty patch changed something: %s", got.body)
	}
	if got := w.do("PATCH", path, `{"plan":"pro"}`).must(200); got.at("plan") != "pro" || got.at("name") != "eve" {
		t.Errorf("patched the plan: %s", got.body)
	}
}

func TestListsAreReadPageByPage(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, key, _ := w.newAccount("10")
	var accounts, keys, requests []string
	accounts, keys = append(accounts, acc), append(keys, key)
	for range 4 {
		accounts = append(accounts, w.do("POST", "/admin/v1/accounts", `{"name":"x"}`).must(201).at("id"))
		keys = append(keys, w.do("POST", "/admin/v1/accounts/"+acc+"/keys", `{"name":"x"}`).must(201).at("id"))
		w.advance(time.Second)
		requests = slices.Insert(requests, 0, w.spend(acc, key, "m", 100, 50)) // newest first
	}
	for path, want := range map[string][]string{
		"/admin/v1/accounts?": accounts, "/admin/v1/accounts/" + acc + "/keys?": keys, "/admin/v1/requests?": requests,
	} {
		var got []string
		cursor := ""
		for pages := 0; ; pages++ {
			if pages > 10 {
				t.Fatalf("%s has no end", path)
			}
			page := w.do("GET", path+"limit=2"+cursor, "").must(200)
			ids := page.names("id")
			if len(ids) > 2 {
				t.Errorf("%s: a page of %d", path, len(ids))
			}
			got = append(got, ids...)
			if page.at("next") == "null" {
				break
			}
			cursor = "&cursor=" + page.at("next")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", path, diff)
		}
	}
	if got := w.do("GET", "/admin/v1/accounts", "").must(200); len(got.names("id")) != 5 {
		t.Errorf("without a limit: %s", got.body)
	}
}

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
	if got := w.do("GET", "/admin/v1/ledger/verify", "").must(200); string(got.body) != `{"ok":true,"entries":6,"accounts":1,"digests":0,"differences":[]}`+"\n" {
		t.Errorf("verify: %s", got.body)
	}
}

func TestKeyIsShownOnceAndActsAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, _, _ := w.newAccount("")
	made := w.do("POST", "/admin/v1/accounts/"+acc+"/keys", `{"name":"k","site":"www.ninja.localhost","test":true,"models":["gpt-*"],"expires_at":"2026-11-21T00:00:00+01:00",
		"limits":{"rps":1.5,"burst":3,"requests":60,"per":"1m","tokens_per_minute":5000,"requests_per_day":70,"usd_per_day":"1.5","concurrency":2},"on_disconnect":"drain"}`).must(201)
	text := made.at("key")
	id := made.at("id")
	for path, want := range map[string]string{
		"limits": `{"rps":1.5,"burst":3,"requests":60,"per":"60s","tokens_per_minute":5000,"requests_per_day":70,"usd_per_day":"1.50","concurrency":2}`,
		"site":   "ninja.localhost", "kind": "inference", "test": "true", "active": "true", "models": `["gpt-*"]`, "prefix": text[:12],
		"expires_at": "2026-11-20T23:00:00Z", "revoked_at": "null", "on_disconnect": "drain", "account": acc, "created_at": "2026-11-20T12:00:00Z",
	} {
		if got := made.at(path); got != want {
			t.Errorf("%s = %s, want %s", path, got, want)
		}
	}
	format := account.Format{Prefixes: []string{"nj_sk_"}}
	resolve := func() fault.Code {
		_, err := w.deps.Accounts.Resolve(text, format, "ninja.localhost")
		if err == nil {
			return fault.None
		}
		return fault.From(err).Code
	}
	if got := resolve(); got != fault.None {
		t.Fatalf("a new key: %v", got)
	}
	for _, step := range []struct {
		body, path, want string
		code             fault.Code
	}{
		{`{"active":false}`, "active", "false", fault.KeyInactive},
		{`{"active":true,"name":"new"}`, "name", "new", fault.None},
		{`{"limits":{"rps":null,"burst":null,"concurrency":5}}`, "limits", `{"requests":60,"per":"60s","tokens_per_minute":5000,"requests_per_day":70,"usd_per_day":"1.50","concurrency":5}`, fault.None},
		{`{"limits":{}}`, "limits.concurrency", "5", fault.None},
		{`{"limits":null}`, "limits", "{}", fault.None},
		{`{"models":["a","b/*"]}`, "models", `["a","b/*"]`, fault.None},
		{`{"models":null}`, "models", `[]`, fault.None},
	} {
		if got := w.do("PATCH", "/admin/v1/keys/"+id, step.body).must(200); got.at(step.path) != step.want || strings.Contains(string(got.body), text) {
			t.Errorf("%s: %s, want %s = %s and no key", step.body, got.body, step.path, step.want)
		}
		if got := resolve(); got != step.code {
			t.Errorf("after %s the key is %v, want %v", step.body, got, step.code)
		}
	}
	for range 2 {
		if got := w.do("DELETE", "/admin/v1/keys/"+id, "").must(200); got.at("revoked_at") != "2026-11-20T12:00:00Z" || got.at("active") != "false" {
			t.Errorf("revoked: %s", got.body)
		}
	}
	if got := resolve(); got != fault.KeyInvalid {
		t.Errorf("a revoked key: %v", got)
	}
	w.do("PATCH", "/admin/v1/keys/"+id, `{"active":true}`).failed(409, "conflict", "")
	if got := w.do("GET", "/admin/v1/accounts/"+acc+"/keys", ""); strings.Contains(string(got.body), text) || len(got.names("id")) != 2 {
		t.Errorf("keys: %s", got.body)
	}
	if strings.Contains(w.logged(), text) || strings.Contains(w.logged(), token) {
		t.Error("the log holds a secret")
	}
	if got := w.do("POST", "/admin/v1/accounts/"+acc+"/keys", `{"name":"k","kind":"billing"}`).must(201); !strings.HasPrefix(got.at("key"), "mk-") {
		t.Errorf("a billing key starts %.6s", got.at("key"))
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
		`"attempts":[{"target":"sim/m","outcome":"upstream_timeout","status":null,"ms":1},{"target":"other/m","outcome":"ok","status":200,"ms":0.25}],`+
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

func TestLimitsTellWhatIsUsed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, key, _ := w.newAccount("10")
	w.do("PATCH", "/admin/v1/keys/"+key, `{"limits":{"rps":1,"burst":5,"requests":60,"per":"60s","tokens_per_minute":600,"requests_per_day":70,"usd_per_day":"4","concurrency":2}}`).must(200)
	w.spend(acc, key, "m", 2*money.Dollar, money.Dollar)
	id, err := account.ParseKeyID(key)
	if err != nil {
		t.Fatal(err)
	}
	release, exceeded := w.deps.Limiter.Take(int64(id), limit.Rule{RPS: 1, Burst: 5, Requests: 60, Per: time.Minute, Concurrency: 2})
	if exceeded != nil {
		t.Fatal(exceeded)
	}
	defer release()
	if _, exceeded := w.deps.Limiter.TakeTokens(int64(id), limit.Rule{TokensPerMinute: 600}, 300); exceeded != nil {
		t.Fatal(exceeded)
	}
	got := w.do("GET", "/admin/v1/accounts/"+acc+"/limits", "").must(200)
	want := strings.ReplaceAll(`{"data":[`+
		`{"counter":"balance_usd","key":null,"class":null,"test":false,"limit":"9.00","used":"0.00","held":"0.00","per":null,"resets_at":null},`+
		`{"counter":"balance_usd","key":null,"class":null,"test":true,"limit":"0.00","used":"0.00","held":"0.00","per":null,"resets_at":null},`+
		`{"counter":"plan_requests_per_day","key":null,"class":"open","test":false,"limit":150,"used":1,"held":0,"per":null,"resets_at":"2026-11-21T00:00:00Z"},`+
		`{"counter":"plan_requests_per_day","key":null,"class":"closed","test":false,"limit":null,"used":0,"held":0,"per":null,"resets_at":"2026-11-21T00:00:00Z"},`+
		`{"counter":"plan_requests_per_day","key":null,"class":"open","test":true,"limit":150,"used":0,"held":0,"per":null,"resets_at":"2026-11-21T00:00:00Z"},`+
		`{"counter":"plan_requests_per_day","key":null,"class":"closed","test":true,"limit":null,"used":0,"held":0,"per":null,"resets_at":"2026-11-21T00:00:00Z"},`+
		`{"counter":"requests_per_day","key":KEY,"class":null,"test":false,"limit":70,"used":1,"held":0,"per":null,"resets_at":"2026-11-21T00:00:00Z"},`+
		`{"counter":"usd_per_day","key":KEY,"class":null,"test":false,"limit":"4.00","used":"1.00","held":"0.00","per":null,"resets_at":"2026-11-21T00:00:00Z"},`+
		`{"counter":"rps","key":KEY,"class":null,"test":false,"limit":5,"used":1,"held":0,"per":"5s","resets_at":"2026-11-20T12:00:01Z"},`+
		`{"counter":"requests","key":KEY,"class":null,"test":false,"limit":60,"used":1,"held":0,"per":"60s","resets_at":"2026-11-20T12:01:00Z"},`+
		`{"counter":"tokens_per_minute","key":KEY,"class":null,"test":false,"limit":600,"used":300,"held":0,"per":"60s","resets_at":"2026-11-20T12:00:30Z"},`+
		`{"counter":"concurrency","key":KEY,"class":null,"test":false,"limit":2,"used":0,"held":1,"per":null,"resets_at":null}`+
		`],"next":null}`+"\n", "KEY", `"`+key+`"`)
	if diff := cmp.Diff(strings.ReplaceAll(want, "},", "},\n"), strings.ReplaceAll(string(got.body), "},", "},\n")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	w.do("DELETE", "/admin/v1/keys/"+key, "").must(200)
	if got := w.do("GET", "/admin/v1/accounts/"+acc+"/limits", "").names("counter"); slices.Contains(got, "usd_per_day") {
		t.Errorf("a revoked key has counters: %v", got)
	}
}

func TestBadBodiesNameTheMember(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, key, _ := w.newAccount("1")
	const accounts = "/admin/v1/accounts"
	credits, keys, aKey := accounts+"/"+acc+"/credits", accounts+"/"+acc+"/keys", "/admin/v1/keys/"+key
	for _, c := range []struct{ method, path, body, code, param string }{
		{"POST", accounts, ``, "invalid_json", ""},
		{"POST", accounts, ` `, "invalid_json", ""},
		{"POST", accounts, `{`, "invalid_json", ""},
		{"POST", accounts, `{"name":"a",}`, "invalid_json", ""},
		{"POST", accounts, `{"name":"a"} x`, "invalid_json", ""},
		{"POST", accounts, `{"name":"a"}{}`, "invalid_json", ""},
		{"POST", accounts, "{\"name\":\"a\xff\"}", "invalid_json", ""},
		{"POST", accounts, `[]`, "invalid_json", ""},
		{"POST", accounts, `null`, "invalid_json", ""},
		{"POST", accounts, `"a"`, "invalid_json", ""},
		{"POST", accounts, `{"name":"a","name":"b"}`, "invalid_json", "name"},
		{"POST", accounts, `{}`, "missing_parameter", "name"},
		{"POST", accounts, `{"name":null}`, "missing_parameter", "name"},
		{"POST", accounts, `{"name":1}`, "invalid_type", "name"},
		{"POST", accounts, `{"name":""}`, "invalid_parameter", "name"},
		{"POST", accounts, `{"name":"a","plan":"gold"}`, "invalid_parameter", "plan"},
		{"POST", accounts, `{"name":"a","balance":1}`, "unknown_parameter", "balance"},
		{"POST", accounts, `{"Name":"a"}`, "unknown_parameter", "Name"},
		{"PATCH", accounts + "/" + acc, `{"name":null}`, "invalid_type", "name"},
		{"PATCH", accounts + "/" + acc, `{"status":null}`, "invalid_type", "status"},
		{"PATCH", accounts + "/" + acc, `{"status":"closed"}`, "invalid_parameter", "status"},
		{"PATCH", accounts + "/" + acc, `{"status":true}`, "invalid_type", "status"},
		{"PATCH", accounts + "/" + acc, `{"plan":"gold"}`, "invalid_parameter", "plan"},
		{"PATCH", accounts + "/" + acc, `{"id":"x"}`, "unknown_parameter", "id"},
		{"POST", credits, `{"kind":"topup"}`, "missing_parameter", "amount_usd"},
		{"POST", credits, `{"amount_usd":"1"}`, "missing_parameter", "kind"},
		{"POST", credits, `{"amount_usd":1,"kind":"topup"}`, "invalid_type", "amount_usd"},
		{"POST", credits, `{"amount_usd":"1e3","kind":"topup"}`, "invalid_parameter", "amount_usd"},
		{"POST", credits, `{"amount_usd":"0.0000000001","kind":"topup"}`, "invalid_parameter", "amount_usd"},
		{"POST", credits, `{"amount_usd":"0","kind":"topup"}`, "invalid_parameter", "amount_usd"},
		{"POST", credits, `{"amount_usd":"-1","kind":"grant"}`, "invalid_parameter", "amount_usd"},
		{"POST", credits, `{"amount_usd":"0","kind":"adjust"}`, "invalid_parameter", "amount_usd"},
		{"POST", credits, `{"amount_usd":"1000000000.01","kind":"topup"}`, "invalid_parameter", "amount_usd"},
		{"POST", credits, `{"amount_usd":"1","kind":"gift"}`, "invalid_parameter", "kind"},
		{"POST", credits, `{"amount_usd":"1","kind":"usage"}`, "invalid_parameter", "kind"},
		{"POST", credits, `{"amount_usd":"1","kind":"topup","expires_at":"2027-01-01T00:00:00Z"}`, "invalid_parameter", "expires_at"},
		{"POST", credits, `{"amount_usd":"1","kind":"grant","expires_at":"2026-11-20T12:00:00Z"}`, "invalid_parameter", "expires_at"},
		{"POST", credits, `{"amount_usd":"1","kind":"grant","expires_at":"2300-01-01T00:00:00Z"}`, "invalid_parameter", "expires_at"},
		{"POST", credits, `{"amount_usd":"1","kind":"grant","expires_at":"tomorrow"}`, "invalid_parameter", "expires_at"},
		{"POST", credits, `{"amount_usd":"1","kind":"grant","expires_at":5}`, "invalid_type", "expires_at"},
		{"POST", credits, `{"amount_usd":"1","kind":"topup","reference":""}`, "invalid_parameter", "reference"},
		{"POST", credits, `{"amount_usd":"1","kind":"topup","reference":"` + strings.Repeat("r", 256) + `"}`, "invalid_parameter", "reference"},
		{"POST", credits, `{"amount_usd":"1","kind":"topup","note":"` + strings.Repeat("r", 1025) + `"}`, "invalid_parameter", "note"},
		{"POST", credits, `{"amount_usd":"1","kind":"topup","test":"yes"}`, "invalid_type", "test"},
		{"POST", keys, `{"kind":"billing"}`, "missing_parameter", "name"},
		{"POST", keys, `{"name":"k","kind":"admin"}`, "invalid_parameter", "kind"},
		{"POST", keys, `{"name":"k","site":"nowhere.localhost"}`, "invalid_parameter", "site"},
		{"POST", keys, `{"name":"k","limits":[]}`, "invalid_type", "limits"},
		{"POST", keys, `{"name":"k","limits":{"rsp":1}}`, "unknown_parameter", "limits.rsp"},
		{"POST", keys, `{"name":"k","limits":{"rps":"1"}}`, "invalid_type", "limits.rps"},
		{"POST", keys, `{"name":"k","limits":{"rps":0}}`, "invalid_parameter", "limits.rps"},
		{"POST", keys, `{"name":"k","limits":{"tokens_per_minute":0}}`, "invalid_parameter", "limits.tokens_per_minute"},
		{"POST", keys, `{"name":"k","limits":{"tokens_per_minute":10000000001}}`, "invalid_parameter", "limits.tokens_per_minute"},
		{"POST", keys, `{"name":"k","limits":{"tokens_per_min":1}}`, "unknown_parameter", "limits.tokens_per_min"},
		{"POST", keys, `{"name":"k","limits":{"burst":1.5}}`, "invalid_type", "limits.burst"},
		{"POST", keys, `{"name":"k","limits":{"requests":99999999999999999999,"per":"1s"}}`, "invalid_type", "limits.requests"},
		{"POST", keys, `{"name":"k","limits":{"requests":100001,"per":"1s"}}`, "invalid_parameter", "limits.requests"},
		{"POST", keys, `{"name":"k","limits":{"requests":1}}`, "invalid_parameter", "limits.per"},
		{"POST", keys, `{"name":"k","limits":{"requests":1,"per":60}}`, "invalid_type", "limits.per"},
		{"POST", keys, `{"name":"k","limits":{"requests":1,"per":"a minute"}}`, "invalid_parameter", "limits.per"},
		{"POST", keys, `{"name":"k","limits":{"requests_per_day":0}}`, "invalid_parameter", "limits.requests_per_day"},
		{"POST", keys, `{"name":"k","limits":{"usd_per_day":1}}`, "invalid_type", "limits.usd_per_day"},
		{"POST", keys, `{"name":"k","limits":{"usd_per_day":"0"}}`, "invalid_parameter", "limits.usd_per_day"},
		{"POST", keys, `{"name":"k","limits":{"usd_per_day":"a lot"}}`, "invalid_parameter", "limits.usd_per_day"},
		{"POST", keys, `{"name":"k","limits":{"concurrency":-1}}`, "invalid_parameter", "limits.concurrency"},
		{"POST", keys, `{"name":"k","models":"gpt"}`, "invalid_type", "models"},
		{"POST", keys, `{"name":"k","models":["a",1]}`, "invalid_type", "models.1"},
		{"POST", keys, `{"name":"k","models":["a b"]}`, "invalid_parameter", "models.0"},
		{"POST", keys, `{"name":"k","expires_at":"2026-11-20T12:00:00Z"}`, "invalid_parameter", "expires_at"},
		{"POST", keys, `{"name":"k","expires_at":"9999-12-31T23:59:59-12:00"}`, "invalid_parameter", "expires_at"},
		{"POST", keys, `{"name":"k","on_disconnect":"wait"}`, "invalid_parameter", "on_disconnect"},
		{"PATCH", aKey, `{"active":"no"}`, "invalid_type", "active"},
		{"PATCH", aKey, `{"active":null}`, "invalid_type", "active"},
		{"PATCH", aKey, `{"name":null}`, "invalid_type", "name"},
		{"PATCH", aKey, `{"limits":{"per":"1s"}}`, "invalid_parameter", "limits.per"},
		{"PATCH", aKey, `{"limits":5}`, "invalid_type", "limits"},
		{"PATCH", aKey, `{"kind":"billing"}`, "unknown_parameter", "kind"},
		{"PATCH", aKey, `{"models":[""]}`, "invalid_parameter", "models.0"},
		{"POST", "/admin/v1/requests/req_0000000000000000000000000a/refund", `{}`, "missing_parameter", "note"},
		{"POST", "/admin/v1/requests/req_0000000000000000000000000a/refund", `{"note":" "}`, "invalid_parameter", "note"},
		{"POST", "/admin/v1/requests/req_0000000000000000000000000a/refund", `{"note":"x","amount_usd":"0"}`, "invalid_parameter", "amount_usd"},
		{"POST", "/admin/v1/test/clock", `{}`, "missing_parameter", "advance"},
		{"POST", "/admin/v1/test/clock", `{"advance":"0s","stop":1}`, "invalid_type", "stop"},
		{"POST", "/admin/v1/test/clock", `{"advance":"-88000h"}`, "invalid_parameter", "advance"},
		{"POST", "/admin/v1/test/clock", `{"advance":"87841h"}`, "invalid_parameter", "advance"},
		{"POST", "/admin/v1/test/fault", `{"times":1}`, "missing_parameter", "point"},
		{"POST", "/admin/v1/test/fault", `{"point":"nowhere"}`, "invalid_parameter", "point"},
		{"POST", "/admin/v1/test/fault", `{"point":"commit_error","times":-1}`, "invalid_parameter", "times"},
		{"PUT", "/admin/v1/test/sim", `{"steps":[]}`, "missing_parameter", "model"},
		{"PUT", "/admin/v1/test/sim", `{"model":"","steps":[]}`, "invalid_parameter", "model"},
		{"PUT", "/admin/v1/test/sim", `{"model":"m"}`, "missing_parameter", "steps"},
		{"PUT", "/admin/v1/test/sim", `{"model":"m","steps":{}}`, "invalid_type", "steps"},
		{"PUT", "/admin/v1/test/sim", `{"model":"m","steps":[{"nonsense":1}]}`, "invalid_parameter", "steps"},
		{"GET", accounts + "?limit=0", ``, "invalid_parameter", "limit"},
		{"GET", accounts + "?limit=201", ``, "invalid_parameter", "limit"},
		{"GET", accounts + "?limit=x", ``, "invalid_parameter", "limit"},
		{"GET", accounts + "?limit=1&limit=2", ``, "invalid_parameter", "limit"},
		{"GET", accounts + "?cursor=x", ``, "invalid_parameter", "cursor"},
		{"GET", accounts + "?cursor=acc_0000000000001", ``, "invalid_parameter", "cursor"},
		{"GET", accounts + "?cursor=", ``, "invalid_parameter", "cursor"},
		{"GET", accounts + "?page=2", ``, "unknown_parameter", "page"},
		{"GET", accounts + "?a;b", ``, "invalid_parameter", ""},
		{"GET", accounts + "/" + acc + "?x=1", ``, "unknown_parameter", "x"},
		{"GET", keys + "?cursor=" + acc, ``, "invalid_parameter", "cursor"},
		{"GET", "/admin/v1/requests?account=ada", ``, "invalid_parameter", "account"},
		{"GET", "/admin/v1/requests?key=" + acc, ``, "invalid_parameter", "key"},
		{"GET", "/admin/v1/requests?from=yesterday", ``, "invalid_parameter", "from"},
		{"GET", "/admin/v1/requests?from=9999-01-01", ``, "invalid_parameter", "from"},
		{"GET", "/admin/v1/requests?to=1969-12-31", ``, "invalid_parameter", "to"},
		{"GET", "/admin/v1/requests?from=2026-11-02&to=2026-11-01", ``, "invalid_parameter", "to"},
		{"GET", "/admin/v1/requests?cursor=zz", ``, "invalid_parameter", "cursor"},
		{"GET", "/admin/v1/usage?group_by=month", ``, "invalid_parameter", "group_by"},
		{"GET", "/admin/v1/usage?group_by=day,day", ``, "invalid_parameter", "group_by"},
		{"GET", "/admin/v1/usage?test=1", ``, "invalid_parameter", "test"},
		{"GET", "/admin/v1/ledger/digests?cursor=acc_0000000000001", ``, "invalid_parameter", "cursor"},
		{"GET", "/admin/v1/ledger/digests?from=2026-11-02&to=2026-11-01", ``, "invalid_parameter", "to"},
		{"GET", "/admin/v1/targets?all=1", ``, "unknown_parameter", "all"},
	} {
		w.do(c.method, c.path, c.body).failed(400, c.code, c.param)
	}
	if got := w.do("GET", "/admin/v1/accounts", "").must(200); len(got.names("id")) != 1 || got.at("data.0.balance_usd") != "1.00" {
		t.Errorf("bad requests changed something: %s", got.body)
	}
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

func TestLongBodyIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.do("POST", "/admin/v1/accounts", `{"name":"`+strings.Repeat("a", MaxBody)+`"}`).failed(413, "body_too_large", "")
	exact := `{"name":"a"` + strings.Repeat(" ", MaxBody-12) + `}`
	w.do("POST", "/admin/v1/accounts", exact).must(201)
}

func TestOnlyTheTokenOpensTheAdminAPI(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for name, headers := range map[string][]string{
		"none":            {"Authorization", ""},
		"wrong":           {"Authorization", "Bearer " + token + "x"},
		"part":            {"Authorization", "Bearer " + token[:len(token)-1]},
		"scheme":          {"Authorization", "Basic " + token},
		"bare":            {"Authorization", token},
		"empty":           {"Authorization", "Bearer "},
		"long":            {"Authorization", "Bearer " + strings.Repeat("x", 1<<20)},
		"in another name": {"Authorization", "", "X-Api-Key", token},
	} {
		got := w.do("GET", "/admin/v1/accounts", "", headers...).failed(401, "unauthorized", "")
		if got.header.Get("WWW-Authenticate") == "" || strings.Contains(string(got.body), token[:10]) {
			t.Errorf("%s: %v %s", name, got.header, got.body)
		}
	}
	w.do("GET", "/admin/v1/accounts?token="+strings.ReplaceAll(token, " ", "+"), "", "Authorization", "").failed(401, "unauthorized", "")
	w.do("GET", "/admin/v1/nothing", "", "Authorization", "").failed(401, "unauthorized", "") // paths are not told to strangers
	w.do("PUT", "/admin/v1/accounts", "", "Authorization", "").failed(401, "unauthorized", "")
	w.do("GET", "/admin/v1/accounts", "", "Authorization", "bearer  "+token).must(200)
	for _, open := range []string{"/healthz", "/readyz", "/metrics"} {
		w.do("GET", open, "", "Authorization", "").must(200)
	}
	closed := setup(t, func(d *Deps) { d.Token = secret("") })
	closed.do("GET", "/admin/v1/accounts", "", "Authorization", "Bearer ").failed(401, "unauthorized", "")
	closed.do("GET", "/admin/v1/accounts", "", "Authorization", "Bearer x").failed(401, "unauthorized", "")
}

func TestWrongTokensAreThrottledByAddress(t *testing.T) {
	t.Parallel()
	w := setup(t)
	wrong := []string{"Authorization", "Bearer wrong", "remote", "192.0.2.7:1000"}
	for range wrongBurst {
		w.do("GET", "/admin/v1/accounts", "", wrong...).failed(401, "unauthorized", "")
	}
	got := w.do("GET", "/admin/v1/accounts", "", wrong...).failed(429, "too_many_attempts", "")
	if got.header.Get("Retry-After") != "6" {
		t.Errorf("Retry-After = %s, want 6", got.header.Get("Retry-After"))
	}
	// Otherwise the answer to the next guess would still tell right from wrong.
	w.do("GET", "/admin/v1/accounts", "", "remote", "192.0.2.7:2000").failed(429, "too_many_attempts", "")
	w.do("GET", "/admin/v1/accounts", "", "remote", "[::ffff:192.0.2.7]:2000").failed(429, "too_many_attempts", "")
	w.do("GET", "/admin/v1/accounts", "", "remote", "192.0.2.8:1000").must(200)
	w.do("GET", "/admin/v1/accounts", "", "Authorization", "", "remote", "192.0.2.7:1000").failed(401, "unauthorized", "")
	w.do("GET", "/healthz", "", "remote", "192.0.2.7:1000").must(200)
	w.advance(6 * time.Second)
	w.do("GET", "/admin/v1/accounts", "", "remote", "192.0.2.7:1000").must(200)

	for i := range wrongBurst { // one IPv6 network is one address
		w.do("GET", "/admin/v1/accounts", "", "Authorization", "Bearer wrong", "remote", fmt.Sprintf("[2001:db8::%x]:1", i)).failed(401, "unauthorized", "")
	}
	w.do("GET", "/admin/v1/accounts", "", "remote", "[2001:db8::ffff]:1").failed(429, "too_many_attempts", "")
	w.do("GET", "/admin/v1/accounts", "", "remote", "[2001:db8:0:1::1]:1").must(200)
}

func TestThrottleWatchesABoundedNumberOfAddresses(t *testing.T) {
	t.Parallel()
	var th throttle
	now := time.Unix(0, 0)
	never := func() bool { return false }
	from := func(i int) string { return fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255) }
	for i := range 2 * maxWatched {
		th.try(address(&http.Request{RemoteAddr: from(i)}), now, never)
	}
	if len(th.debts) > maxWatched+1 {
		t.Fatalf("%d addresses watched", len(th.debts))
	}
	if _, wait := th.try(address(&http.Request{RemoteAddr: "192.0.2.1:1"}), now, never); wait == 0 {
		t.Error("a flood of addresses opens the throttle")
	}
	if _, wait := th.try(address(&http.Request{RemoteAddr: from(0)}), now, never); wait != 0 {
		t.Error("the flood closes it to an address that was there before")
	}
	now = now.Add(48 * time.Hour)
	th.try(address(&http.Request{RemoteAddr: "192.0.2.1:1"}), now, never)
	if len(th.debts) != 1 {
		t.Errorf("%d addresses watched when all has been forgotten", len(th.debts))
	}
}

func TestParallelGuessesDoNotSlipThroughTheThrottle(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range 100 {
		wg.Go(func() {
			got := w.do("GET", "/admin/v1/targets", "", "Authorization", "Bearer wrong", "remote", "192.0.2.9:1").status
			mu.Lock()
			defer mu.Unlock()
			statuses[got]++
		})
	}
	wg.Wait()
	if diff := cmp.Diff(map[int]int{401: wrongBurst, 429: 100 - wrongBurst}, statuses); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPathsAndMethodsThatAreNotThere(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, _, _ := w.newAccount("")
	for _, path := range []string{
		"/", "/admin", "/admin/", "/admin/v1", "/admin/v1/accounts/", "/admin/v1/accounts/" + acc + "/", "/admin/v1//accounts", "/admin/v1/accounts/../accounts",
		"/admin/v2/accounts", "/nothing", "/admin/v1/accounts/" + acc + "/nothing", "/admin/v1/keys", "/admin/v1/accounts/acc_0000000000001", "/admin/v1/accounts/x%2Fy",
		"/admin/v1/accounts/ada", "/admin/v1/accounts/acc_0000000000001/keys", "/admin/v1/accounts/acc_0000000000001/limits",
	} {
		w.do("GET", path, "").failed(404, "not_found", "")
	}
	w.do("DELETE", "/admin/v1/keys/key_0000000000001", "").failed(404, "not_found", "")
	w.do("DELETE", "/admin/v1/keys/x", "").failed(404, "not_found", "")
	for path, allow := range map[string]string{
		"/admin/v1/accounts": "GET, HEAD, POST", "/admin/v1/keys/key_0000000000001": "DELETE, PATCH", "/admin/v1/test/sim": "PUT", "/healthz": "GET, HEAD",
	} {
		got := w.do("OPTIONS", path, "").failed(405, "method_not_allowed", "")
		if got.header.Get("Allow") != allow {
			t.Errorf("Allow of %s = %q, want %q", path, got.header.Get("Allow"), allow)
		}
	}
	w.do("HEAD", "/admin/v1/accounts", "").must(200)
	if got := w.do("GET", "/admin/v1/accounts/"+strings.Replace(acc, "_", "%5F", 1), "").must(200); got.at("id") != acc {
		t.Errorf("an escaped path: %s", got.body)
	}
}

func TestTestControlsExistOnlyWhereTheyAreGiven(t *testing.T) {
	t.Parallel()
	w := setup(t)
	if got := w.do("POST", "/admin/v1/test/clock", `{"advance":"3h"}`).must(200); got.at("now") != "2026-11-20T15:00:00Z" {
		t.Errorf("clock: %s", got.body)
	}
	w.do("POST", "/admin/v1/test/fault", `{"point":"handler_panic","times":3}`).must(200)
	if left := w.deps.Test.Failpoints.Left("handler_panic"); left != 3 {
		t.Errorf("armed %d times, want 3", left)
	}
	if got := w.do("GET", "/admin/v1/test/fault", "").must(200); !slices.Contains(got.names("point"), "commit_error") || got.at("data.0.times") != "3" {
		t.Errorf("points: %s", got.body)
	}
	w.do("PUT", "/admin/v1/test/sim", `{"model":"m","steps":[{"status":500}]}`).must(200)
	if w.sim["m"] != `[{"status":500}]` {
		t.Errorf("script: %q", w.sim)
	}
	none := setup(t, func(d *Deps) { d.Test = nil })
	some := setup(t, func(d *Deps) { d.Test = &TestControls{AdvanceClock: func(time.Duration) {}} })
	for _, c := range [][2]string{{"POST", "clock"}, {"GET", "fault"}, {"POST", "fault"}, {"PUT", "sim"}} {
		none.do(c[0], "/admin/v1/test/"+c[1], "{}").failed(404, "not_found", "")
		if c[1] != "clock" {
			some.do(c[0], "/admin/v1/test/"+c[1], "{}").failed(404, "not_found", "")
		}
	}
}

func TestReadinessNamesWhatIsDegraded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	if got := w.do("GET", "/readyz", "").must(200); string(got.body) != `{"ready":true,"degraded":[],"reasons":[]}`+"\n" {
		t.Errorf("ready: %s", got.body)
	}
	w.ready = []string{"draining", "ledger: the last commit has taken 1.2s"}
	if got := w.do("GET", "/readyz", "").must(503); string(got.body) != `{"ready":false,"degraded":["draining","ledger"],"reasons":["draining","ledger: the last commit has taken 1.2s"]}`+"\n" {
		t.Errorf("not ready: %s", got.body)
	}
	bare := setup(t, func(d *Deps) {
		*d = Deps{Accounts: d.Accounts, Ledger: d.Ledger, Token: d.Token, Now: d.Now}
	})
	bare.do("GET", "/readyz", "").must(200)
	bare.do("GET", "/metrics", "").failed(404, "not_found", "")
	if got := bare.do("GET", "/admin/v1/targets", "").must(200); string(got.body) != `{"data":[],"next":null}`+"\n" {
		t.Errorf("targets: %s", got.body)
	}
	if got := bare.do("GET", "/admin/v1/effective-config", "").must(200); string(got.body) != "{}\n" {
		t.Errorf("config: %s", got.body)
	}
	acc, _, text := bare.newAccount("1")
	if !strings.HasPrefix(text, "sk-") {
		t.Errorf("key starts %.4s", text)
	}
	bare.do("POST", "/admin/v1/accounts/"+acc+"/keys", `{"name":"k","site":"a.example"}`).failed(400, "invalid_parameter", "site")
	if got := bare.do("GET", "/admin/v1/accounts/"+acc+"/limits", "").must(200).names("counter"); len(got) != 4 {
		t.Errorf("limits: %v", got)
	}
}

func TestEveryAnswerCarriesARequestID(t *testing.T) {
	t.Parallel()
	w := setup(t)
	seen := map[string]bool{}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/nothing", "/admin/v1/accounts", "/admin/v1/accounts/x", "/admin/v1/accounts?x=1"} {
		got := w.do("GET", path, "", "X-Client-Request-Id", "mine")
		id := got.header.Get("X-Request-ID")
		if !strings.HasPrefix(id, "req_") || seen[id] || got.header.Get("X-Client-Request-Id") != "mine" {
			t.Errorf("%s: id %q, client's %q", path, id, got.header.Get("X-Client-Request-Id"))
		}
		seen[id] = true
		if path != "/metrics" && got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: Content-Type %q", path, got.header.Get("Content-Type"))
		}
	}
}

func TestPanicIsAnsweredAndLogged(t *testing.T) {
	t.Parallel()
	w := setup(t, func(d *Deps) { d.EffectiveConfig = func() any { panic("the wheels came off") } })
	got := w.do("GET", "/admin/v1/effective-config", "").failed(500, "internal", "")
	if strings.Contains(string(got.body), "wheels") {
		t.Errorf("the caller is told: %s", got.body)
	}
	if log := w.logged(); !strings.Contains(log, "wheels") || !strings.Contains(log, got.header.Get("X-Request-ID")) {
		t.Errorf("log: %s", log)
	}
	w = setup(t, func(d *Deps) { d.EffectiveConfig = func() any { return make(chan int) } })
	w.do("GET", "/admin/v1/effective-config", "").failed(500, "internal", "")
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

func TestChangesAreLoggedAndReadsAreNot(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := w.do("POST", "/admin/v1/accounts", `{"name":"ada"}`).must(201).header.Get("X-Request-ID")
	w.do("GET", "/admin/v1/accounts", "").must(200)
	for _, line := range strings.Split(strings.TrimSpace(w.logged()), "\n") {
		if level := "level=INFO"; strings.Contains(line, "method=GET") == strings.Contains(line, level) {
			t.Errorf("logged %s", line)
		}
	}
	if log := w.logged(); !strings.Contains(log, id) || !strings.Contains(log, "route=/admin/v1/accounts") || !strings.Contains(log, "status=201") {
		t.Errorf("log: %s", log)
	}
}

// The patch of limits is read, merge, write; two at once must not lose one.
func TestParallelPatchesAreAllKept(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, key, _ := w.newAccount("")
	var wg sync.WaitGroup
	for _, body := range []string{`{"rps":1}`, `{"requests":5,"per":"1s"}`, `{"requests_per_day":9}`, `{"usd_per_day":"3"}`, `{"concurrency":4}`} {
		wg.Go(func() {
			if got := w.do("PATCH", "/admin/v1/keys/"+key, `{"limits":`+body+`}`); got.status != 200 {
				t.Errorf("%s: %d %s", body, got.status, got.body)
			}
		})
	}
	wg.Wait()
	want := `{"rps":1,"requests":5,"per":"1s","requests_per_day":9,"usd_per_day":"3.00","concurrency":4}`
	if got := w.do("PATCH", "/admin/v1/keys/"+key, `{}`).must(200).at("limits"); got != want {
		t.Errorf("limits = %s, want %s", got, want)
	}
}

func TestClockStopsBeforeTimeRunsOut(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for range 17 {
		w.do("POST", "/admin/v1/test/clock", `{"advance":"87840h"}`).must(200)
	}
	w.do("POST", "/admin/v1/test/clock", `{"advance":"87840h"}`).failed(400, "invalid_parameter", "advance")
	for range 19 {
		w.do("POST", "/admin/v1/test/clock", `{"advance":"-87840h"}`).must(200)
	}
	w.do("POST", "/admin/v1/test/clock", `{"advance":"-87840h"}`).failed(400, "invalid_parameter", "advance")
}

// A doctor compares clocks: what is told is the clock that days go by, moved or not.
func TestTheDateIsThatOfTheClock(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for range 2 {
		want := w.time().Format(http.TimeFormat)
		for _, path := range []string{"/healthz", "/admin/v1/accounts", "/admin/v1/nothing"} {
			if got := w.do("GET", path, "").header.Get("Date"); got != want {
				t.Errorf("GET %s has Date %q, want %q", path, got, want)
			}
		}
		w.do("POST", "/admin/v1/test/clock", `{"advance":"48h"}`).must(200)
	}
}

func TestCallerWhoLeftIsNoDefect(t *testing.T) {
	t.Parallel()
	w := setup(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(gone, "POST", "/admin/v1/accounts", strings.NewReader(`{"name":"a"}`))
	r.Header.Set("Authorization", "Bearer "+token)
	w.handler.ServeHTTP(httptest.NewRecorder(), r)
	if log := w.logged(); strings.Contains(log, "ERROR") || !strings.Contains(log, "status=499") {
		t.Errorf("log: %s", log)
	}
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestBodyThatBreaksOffChangesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := httptest.NewRequestWithContext(context.Background(), "POST", "/admin/v1/accounts", brokenBody{})
	r.Header.Set("Authorization", "Bearer "+token)
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	if rec.Code != 400 || len(w.do("GET", "/admin/v1/accounts", "").names("id")) != 0 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// A patch of limits is read, merge, write under a lock. Whoever is slow to send
// one must not keep an operator from switching off another key.
func TestASlowPatchHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc, slow, _ := w.newAccount("")
	other := w.do("POST", "/admin/v1/accounts/"+acc+"/keys", `{"name":"leaked"}`).must(201).at("id")
	body, sender := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		r := httptest.NewRequestWithContext(context.Background(), "PATCH", "/admin/v1/keys/"+slow, body)
		r.Header.Set("Authorization", "Bearer "+token)
		w.handler.ServeHTTP(httptest.NewRecorder(), r)
	}()
	if _, err := sender.Write([]byte(`{"name":`)); err != nil { // returns when it was read
		t.Fatal(err)
	}
	patched := make(chan *reply, 1)
	go func() { patched <- w.do("PATCH", "/admin/v1/keys/"+other, `{"active":false}`) }()
	select {
	case got := <-patched:
		got.must(200)
	case <-time.After(5 * time.Second):
		t.Error("a key could not be switched off while another patch was on its way")
	}
	_ = sender.Close()
	<-sent
}
