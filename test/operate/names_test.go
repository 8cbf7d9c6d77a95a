package operate

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

// Forms of values, as scripts that were written against the interface rely on
// them.
var forms = map[string]*regexp.Regexp{
	"usd":     regexp.MustCompile(`^"-?\d+\.\d{2,9}"$`),
	"text":    regexp.MustCompile(`^".+"$`),
	"text?":   regexp.MustCompile(`^(".+"|null)$`),
	"account": regexp.MustCompile(`^"acc_[0-9a-z]{13}"$`),
	"key":     regexp.MustCompile(`^"key_[0-9a-z]{13}"$`),
	"request": regexp.MustCompile(`^"req_[0-9a-z]{26}"$`),
	"time":    regexp.MustCompile(`^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"$`),
	"time?":   regexp.MustCompile(`^("\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"|null)$`),
	"day":     regexp.MustCompile(`^"\d{4}-\d\d-\d\d"$`),
	"int":     regexp.MustCompile(`^\d+$`),
	"num":     regexp.MustCompile(`^\d+(\.\d+)?$`),
	"bool":    regexp.MustCompile(`^(true|false)$`),
	"null":    regexp.MustCompile(`^null$`),
	"some":    regexp.MustCompile(`^("-?\d+\.\d{2,9}"|\d+|null)$`), // of a counter: money, a number, or no limit
	"[]":      regexp.MustCompile(`^\[\]$`),
	"list":    regexp.MustCompile(`(?s)^\[.*\]$`),
	"object":  regexp.MustCompile(`(?s)^\{.*\}$`),
}

// has checks that every path of the shape is in the body with a value of its
// form, or with the very JSON that stands behind "=".
func has(t *testing.T, what string, body []byte, shape map[string]string) {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v\n%s", what, err, body)
	}
	for _, path := range slices.Sorted(maps.Keys(shape)) {
		found := dig(v, path)
		if found == absent {
			t.Errorf("%s has no %s\n%s", what, path, body)
			continue
		}
		b, err := json.Marshal(found)
		if err != nil {
			t.Fatal(err)
		}
		want, literal := strings.CutPrefix(shape[path], "=")
		if literal && want != string(b) || !literal && !forms[want].Match(b) {
			t.Errorf("%s: %s is %s, and not %s", what, path, b, shape[path])
		}
	}
}

// TestTheNamesOfTheInterface holds every name that the outward interface fixes,
// with the form of its value. Scripts outside rely on them: a name may be added
// here, and none may go.
func TestTheNamesOfTheInterface(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{
		Config: strings.Replace(twoSites, "providers: {sim: {kind: sim}}", "providers: {sim: {kind: sim}, far: {kind: openai, base_url: \"http://127.0.0.1:1/v1\", api_key: sk-far-4711-secret}}", 1),
		Env:    []string{"PONTAGE_KEY_PEPPER=a-pepper-that-nobody-may-see-4711"},
	})
	n := names{t, g}
	account := map[string]string{
		"id": "account", "name": "text", "plan": "text?", "status": "=\"active\"", "balance_usd": "usd", "held_usd": "usd",
		"available_usd": "usd", "test_balance_usd": "usd", "created_at": "time",
	}
	made := n.call("POST", "/admin/v1/accounts", `{"name":"ada"}`, 201)
	has(t, "a new account", made, account)
	acc := member(t, made, "id")
	has(t, "an account", n.call("GET", "/admin/v1/accounts/"+acc, "", 200), account)
	has(t, "accounts", n.call("GET", "/admin/v1/accounts", "", 200), under("data.0", account, "next", "null"))
	account["name"], account["status"] = `="eve"`, `="suspended"`
	has(t, "a changed account", n.call("PATCH", "/admin/v1/accounts/"+acc, `{"name":"eve","status":"suspended"}`, 200), account)
	n.call("PATCH", "/admin/v1/accounts/"+acc, `{"status":"active"}`, 200)

	n.credits(acc)
	id, key := n.keys(acc)
	n.limits(acc)
	request := n.requests(acc, id, key)
	n.refund(request)
	n.process()
	n.errors(acc)
	n.test()
	has(t, "a revoked key", n.call("DELETE", "/admin/v1/keys/"+id, "", 200), map[string]string{"id": "key", "revoked_at": "time"})
	if r := ask(t, g, call{path: "/v1/chat/completions", key: key, body: chat("gpt-5-mini", "")}); r.status != 401 {
		t.Errorf("a revoked key: %d %s", r.status, r.body)
	}
}

// under puts a shape under a path, with more pairs beside it.
func under(path string, shape map[string]string, more ...string) map[string]string {
	out := map[string]string{}
	for name, form := range shape {
		out[path+"."+name] = form
	}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// names calls the admin API with the words of the interface.
type names struct {
	*testing.T
	g *harness.Gateway
}

func (n names) call(method, path, body string, status int) []byte {
	n.Helper()
	var in any
	if body != "" {
		in = json.RawMessage(body)
	}
	got, b, err := n.g.Admin(n.Context(), method, path, in, nil)
	if err != nil || got != status {
		n.Fatalf("%s %s %s = %d %s, %v, want %d", method, path, body, got, b, err, status)
	}
	return b
}

func (n names) credits(acc string) {
	n.Helper()
	path := "/admin/v1/accounts/" + acc + "/credits"
	first := n.call("POST", path, `{"amount_usd":"20.00","kind":"topup","reference":"invoice-1","note":"hello"}`, 201)
	has(n.T, "a credit", first, map[string]string{"amount_usd": `="20.00"`, "kind": `="topup"`, "reference": `="invoice-1"`, "note": `="hello"`, "test": "=false", "balance_usd": `="20.00"`})
	again := n.call("POST", path, `{"amount_usd":"20.00","kind":"topup","reference":"invoice-1","note":"hello"}`, 201)
	if string(again) != string(first) {
		n.Errorf("the same reference twice is not one entry:\n%s\n%s", first, again)
	}
	n.call("POST", path, `{"amount_usd":"1.5","kind":"grant","expires_at":"2190-01-01T00:00:00Z"}`, 201)
	n.call("POST", path, `{"amount_usd":"-1.5","kind":"adjust"}`, 201)
	n.call("POST", path, `{"amount_usd":"7","kind":"topup","test":true}`, 201)
	has(n.T, "the account", n.call("GET", "/admin/v1/accounts/"+acc, "", 200), map[string]string{
		"balance_usd": `="20.00"`, "held_usd": `="0.00"`, "available_usd": `="20.00"`, "test_balance_usd": `="7.00"`,
	})
}

func (n names) keys(acc string) (id, key string) {
	n.Helper()
	path := "/admin/v1/accounts/" + acc + "/keys"
	made := n.call("POST", path, `{"name":"k","kind":"inference","site":"api.localhost","test":false,"limits":{"rps":50,"burst":60,"requests":70,"per":"60s",
		"requests_per_day":80,"usd_per_day":"1.50","concurrency":9},"models":["gpt-*"],"expires_at":"2190-01-01T00:00:00Z","on_disconnect":"drain"}`, 400)
	has(n.T, "a key for a site that is not there", made, map[string]string{"error.code": "text", "error.message": "text", "error.param": `="site"`})
	made = n.call("POST", path, `{"name":"k","kind":"inference","site":"*","test":false,"limits":{"rps":50,"burst":60,"requests":70,"per":"60s",
		"requests_per_day":80,"usd_per_day":"1.50","concurrency":9},"models":["gpt-*"],"expires_at":"2190-01-01T00:00:00Z","on_disconnect":"drain"}`, 201)
	shape := map[string]string{
		"id": "key", "prefix": "text", "name": `="k"`, "kind": `="inference"`, "test": "=false", "limits.rps": "=50", "limits.burst": "=60", "limits.requests": "=70",
		"limits.per": `="60s"`, "limits.requests_per_day": "=80", "limits.usd_per_day": `="1.50"`, "limits.concurrency": "=9", "models": `=["gpt-*"]`,
		"expires_at": `="2190-01-01T00:00:00Z"`, "on_disconnect": `="drain"`, "active": "=true", "created_at": "time",
	}
	has(n.T, "a new key", made, shape)
	key = member(n, made, "key")
	if !strings.HasPrefix(key, member(n, made, "prefix")) || len(key) < 36 {
		n.Errorf("the key %q does not begin with its prefix %q", key, member(n, made, "prefix"))
	}
	listed := n.call("GET", path, "", 200)
	has(n.T, "keys", listed, under("data.0", shape, "next", "null"))
	if strings.Contains(string(listed), key) || member(n, listed, "data.0.key") != "<absent>" {
		n.Errorf("the key is shown twice: %s", listed)
	}
	id = member(n, made, "id")
	patched := n.call("PATCH", "/admin/v1/keys/"+id, `{"active":true,"limits":{"rps":51,"concurrency":null},"models":["gpt-5*"],"name":"l"}`, 200)
	has(n.T, "a changed key", patched, map[string]string{"limits.rps": "=51", "limits.burst": "=60", "models": `=["gpt-5*"]`, "name": `="l"`})
	if member(n, patched, "limits.concurrency") != "<absent>" {
		n.Errorf("a limit that was taken off is there: %s", patched)
	}
	n.call("PATCH", "/admin/v1/keys/"+id, `{"limits":{"concurrency":9}}`, 200)
	return id, key
}

func (n names) limits(acc string) {
	n.Helper()
	body := n.call("GET", "/admin/v1/accounts/"+acc+"/limits", "", 200)
	counter := map[string]string{"limit": "some", "used": "some", "held": "some", "resets_at": "time?"}
	seen := map[string]bool{}
	for i := 0; member(n, body, fmt.Sprint("data.", i)) != "<absent>"; i++ {
		has(n.T, "limits", body, under(fmt.Sprint("data.", i), counter, "next", "null"))
		seen[member(n, body, fmt.Sprintf("data.%d.counter", i))] = true
	}
	for _, name := range []string{"balance_usd", "requests_per_day", "usd_per_day", "rps", "requests", "concurrency"} {
		if !seen[name] {
			n.Errorf("there is no counter %s in %s", name, body)
		}
	}
}

func (n names) requests(acc, id, key string) string {
	n.Helper()
	r := ask(n, n.g, call{path: "/v1/chat/completions", key: key, body: chat("gpt-5-mini", `"max_tokens":50`)}).is(n, 200)
	request := r.header.Get("X-Request-ID")
	n.g.Receipt(n, request, func(r harness.Receipt) bool { return r.Delivery == "complete" })
	shape := map[string]string{
		"id": "=\"" + request + "\"", "account": "=\"" + acc + "\"", "key": "=\"" + id + "\"", "site": `="*"`, "surface": `="openai.chat"`, "model": `="gpt-5-mini"`,
		"answered_by": "text?", "outcome": `="ok"`, "status": "=200", "fault": "null", "tokens.input": "int", "tokens.cached_input": "int",
		"tokens.output": "int", "tokens.reasoning": "int", "estimated": "=false", "hold_usd": "usd", "charge_usd": "usd",
		"lines.0.kind": `="input"`, "lines.0.units": "int", "lines.0.amount_usd": "usd", "lines.1.kind": `="output"`,
		"attempts.0.target": `="sim/gpt-5-mini"`, "attempts.0.outcome": `="ok"`, "attempts.0.status": "=200", "attempts.0.ms": "num",
		"delivery": `="complete"`, "started_at": "time", "ms": "num",
	}
	has(n.T, "a receipt", n.call("GET", "/admin/v1/requests/"+request, "", 200), shape)
	has(n.T, "receipts", n.call("GET", "/admin/v1/requests?account="+acc+"&key="+id+"&model=gpt-5-mini&outcome=ok&from=2020-01-01&to=2190-01-01", "", 200), under("data.0", shape, "next", "null"))
	for _, other := range []string{"account=acc_0000000000001", "key=key_0000000000001", "model=m", "outcome=failed", "from=2190-01-01", "to=2020-01-01"} {
		has(n.T, "receipts with "+other, n.call("GET", "/admin/v1/requests?"+other, "", 200), map[string]string{"data": "[]", "next": "null"})
	}
	has(n.T, "usage", n.call("GET", "/admin/v1/usage?group_by=day,model,key", "", 200), map[string]string{
		"data.0.day": "day", "data.0.model": `="gpt-5-mini"`, "data.0.key": "=\"" + id + "\"", "data.0.requests": "=1", "data.0.tokens.input": "int",
		"data.0.tokens.output": "int", "data.0.charge_usd": "usd", "next": "null",
	})
	return request
}

func (n names) refund(request string) {
	n.Helper()
	has(n.T, "a refund", n.call("POST", "/admin/v1/requests/"+request+"/refund", `{"amount_usd":"0.000000001","note":"sorry"}`, 201), map[string]string{
		"kind": `="refund"`, "amount_usd": `="0.000000001"`, "note": `="sorry"`, "request": "request", "balance_usd": "usd",
	})
	n.call("POST", "/admin/v1/requests/"+request+"/refund", `{"note":"all of it"}`, 201)
}

func (n names) process() {
	n.Helper()
	has(n.T, "verify", n.call("GET", "/admin/v1/ledger/verify", "", 200), map[string]string{"ok": "=true", "entries": "int", "accounts": "=1", "digests": "int", "pending_digests": "int", "old_digests": "int", "differences": "[]"})
	has(n.T, "targets", n.call("GET", "/admin/v1/targets", "", 200), map[string]string{
		"data.0.target": "text", "data.0.healthy": "=true", "data.0.breaker": `="closed"`, "data.0.cooldown_until": "null", "data.0.quarantined_until": "null", "next": "null",
	})
	config := n.call("GET", "/admin/v1/effective-config", "", 200)
	has(n.T, "the configuration", config, map[string]string{
		"server.listen": "text", "server.admin_token": `="[redacted]"`, "store.url": "text", "providers.sim.kind": `="sim"`, "providers.far.api_key": `="[redacted]"`,
		"models.gpt-5-mini": "object", "sites.0.contract": `="openai"`, "sites.1.hosts": `=["ninja.localhost"]`,
	})
	for _, secret := range []string{harness.AdminToken, "4711"} {
		if strings.Contains(string(config), secret) {
			n.Errorf("the configuration gives %q away: %s", secret, config)
		}
	}
	has(n.T, "healthz", n.call("GET", "/healthz", "", 200), map[string]string{"": "object"})
	has(n.T, "readyz", n.call("GET", "/readyz", "", 200), map[string]string{"degraded": "[]"})
	metrics := string(n.call("GET", "/metrics", "", 200))
	for _, name := range []string{"pontage_requests_total", "pontage_target_healthy", "go_goroutines"} {
		if !strings.Contains(metrics, "\n"+name) {
			n.Errorf("there is no metric %s", name)
		}
	}
}

func (n names) errors(acc string) {
	n.Helper()
	shape := map[string]string{"error.code": "text", "error.message": "text", "error.param": "text?"}
	for _, bad := range []struct {
		method, path, body, param string
		status                    int
	}{
		{"POST", "/admin/v1/accounts", `{}`, `"name"`, 400},
		{"POST", "/admin/v1/accounts", `{"name":"a","nmae":"b"}`, `"nmae"`, 400},
		{"POST", "/admin/v1/accounts/" + acc + "/credits", `{"amount_usd":1,"kind":"topup"}`, `"amount_usd"`, 400},
		{"POST", "/admin/v1/accounts/" + acc + "/credits", `{"amount_usd":"0.0000000001","kind":"topup"}`, `"amount_usd"`, 400},
		{"POST", "/admin/v1/accounts/" + acc + "/keys", `{"name":"k","limits":{"requests":1}}`, `"limits.per"`, 400},
		{"GET", "/admin/v1/usage?group_by=hour", "", `"group_by"`, 400},
		{"GET", "/admin/v1/accounts/acc_0000000000001", "", "null", 404},
		{"GET", "/admin/v1/requests/req_0000000000000000000000000a", "", "null", 404},
		{"DELETE", "/admin/v1/accounts", "", "null", 405},
	} {
		shape["error.param"] = "=" + bad.param
		has(n.T, bad.method+" "+bad.path+" "+bad.body, n.call(bad.method, bad.path, bad.body, bad.status), shape)
	}
}

func (n names) test() {
	n.Helper()
	before := now(n, n.g)
	has(n.T, "the clock", n.call("POST", "/admin/v1/test/clock", `{"advance":"3h"}`, 200), map[string]string{"now": "time"})
	if moved := now(n, n.g).Sub(before); moved.Hours() < 3 || moved.Hours() > 3.1 {
		n.Errorf("3h moved the clock by %v", moved)
	}
	has(n.T, "a fault", n.call("POST", "/admin/v1/test/fault", `{"point":"handler_panic","times":1}`, 200), map[string]string{"point": `="handler_panic"`, "times": "=1"})
	n.call("POST", "/admin/v1/test/fault", `{"point":"handler_panic","times":0}`, 200)
	has(n.T, "a script", n.call("PUT", "/admin/v1/test/sim", `{"model":"gpt-5-mini","steps":[{"text":"hi"}]}`, 200), map[string]string{"model": `="gpt-5-mini"`})
}
