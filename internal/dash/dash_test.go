package dash

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

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

func TestLongBodyIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.do("POST", "/admin/v1/accounts", `{"name":"`+strings.Repeat("a", MaxBody)+`"}`).failed(413, "body_too_large", "")
	exact := `{"name":"a"` + strings.Repeat(" ", MaxBody-12) + `}`
	w.do("POST", "/admin/v1/accounts", exact).must(201)
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
