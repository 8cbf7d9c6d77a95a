package operate

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// birch returns the contract that docs/contracts.md leads to: its last block.
func birch(t testing.TB) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(harness.Root(t), "docs", "contracts.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")
	last, _, closed := strings.Cut(blocks[len(blocks)-1], "```")
	if !closed || !strings.HasPrefix(last, "name: birch\n") {
		t.Fatalf("the page does not end with the contract: %.60s", last)
	}
	return last
}

// A seventh service is one file: what docs/contracts.md walks its reader
// through, written to disk and served by the built binary.
func TestTheContractOfTheWalkIsServed(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Always(testkit.JSON(200, whole))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "birch.yaml"), []byte(birch(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	g := harness.Start(t, harness.Options{Dir: dir, Config: fmt.Sprintf(`
providers: {up: {kind: openai, base_url: %q, api_key: sk-upstream-4711}}
models:
  m: {targets: [{provider: up, model: upstream-m}], attempts: 1, context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}
  n: {targets: [{provider: up, model: upstream-n}], attempts: 1, context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}
fallbacks: {m: [n]}
sites: [{hosts: ["*"], contract: openai}, {hosts: [birch.localhost], contract: birch.yaml, limits: {requests: 8, per: 60s}}]
`, u.URL+"/v1")})
	const host = "birch.localhost"
	c := newCustomer(t, g, "0", map[string]any{"site": host})
	billing := g.NewKey(t, c.account, map[string]any{"site": host, "kind": "billing"})
	if !strings.HasPrefix(c.key, "bi-") || !strings.HasPrefix(billing.Key, "ba-") {
		t.Errorf("keys %.5s and %.5s", c.key, billing.Key)
	}
	send := func(path, body string) *reply { return ask(t, g, call{host: host, path: path, key: c.key, body: body}) }
	limited := `"max_tokens":100`

	r := send("/v1/chat/completions", chat("m", limited)).is(t, 402)
	if got := r.at(t, "error.message"); !strings.HasPrefix(got, "You need $0.000") || !strings.HasSuffix(got, " and have $0.00.") {
		t.Errorf("the contract's words are %q", got)
	}
	if r.at(t, "error.code") != "no_money" || r.at(t, "request_id") != r.header.Get("X-Request-Id") {
		t.Errorf("%s", r.body)
	}
	c.credit(t, "1")
	r = send("/v1/chat/completions", chat("m", limited)).is(t, 200)
	if r.at(t, "birch.cost_usd") != "0.00008" || r.at(t, "birch.tokens") != "46" {
		t.Errorf("what every answer carries: %s", r.body)
	}
	send("/v1/chat/completions", chat("m", `"temperature":9`)).is(t, 400)
	if r = send("/v1/messages", `{"model":"x","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`).is(t, 404); r.at(t, "error.type") != "not_found_error" {
		t.Errorf("the other dialect: %s", r.body)
	}

	u.Queue(testkit.JSON(500, `{"error":{"message":"no"}}`))
	if r = send("/v1/chat/completions", chat("m", limited)).is(t, 200); r.at(t, "model") != "n" {
		t.Errorf("the fallback is called %s", r.at(t, "model"))
	}
	u.Queue(testkit.JSON(500, `{"error":{"message":"no"}}`))
	if r = send("/v1/chat/completions", chat("m", limited+`,"birch":{"no_fallback":true}`)).is(t, 502); r.at(t, "error.code") != "provider_failed" {
		t.Errorf("%s", r.body)
	}
	for i, got := range u.Received() {
		if strings.Contains(string(got.Body), "birch") {
			t.Errorf("request %d tells the provider what was meant for us: %s", i, got.Body)
		}
	}

	show := func(path string) *reply {
		return ask(t, g, call{method: "GET", host: host, path: path, key: billing.Key})
	}
	if r = show("/account").is(t, 200); r.at(t, "balance") != "0.99" || r.at(t, "currency") != "USD" || r.at(t, "held") != "0.00" {
		t.Errorf("the account: %s", r.body)
	}
	if r = show("/account/usage").is(t, 200); r.at(t, "requests.0.cost") != "0.00008" || r.at(t, "requests.1.model") != "m" {
		t.Errorf("its usage: %s", r.body)
	}
	ask(t, g, call{method: "GET", host: host, path: "/account", key: c.key}).is(t, 403)

	send("/v1/chat/completions", "{")
	send("/v1/chat/completions", "{")
	if r = send("/v1/chat/completions", "{").is(t, 429); r.at(t, "error.message") != "Wait "+r.header.Get("Retry-After")+" seconds." {
		t.Errorf("%s, Retry-After %s", r.body, r.header.Get("Retry-After"))
	}
	r = ask(t, g, call{method: "GET", host: host, path: "/docs/errors"}).is(t, 200)
	if page := string(r.body); !strings.Contains(page, "`no_money`") || !strings.Contains(page, "http://birch.localhost:") || !strings.Contains(page, "bi-YOUR_API_KEY") {
		t.Errorf("the reference: %.1500s", page)
	}
}

// Keys that are made and shown on the host of the account pages are keys of the
// API, which stands on another host.
func TestKeysOfTheAccountPagesWorkAtTheAPI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pages := strings.Replace(birch(t), "  GET /account:\n", `  GET /keys: {surface: account.keys, envelope: object, kind: billing, role: dashboard, answer: {keys: {each: $keys, as: $id}}}
  POST /keys: {surface: account.keys, envelope: object, kind: billing, role: dashboard, answer: {id: $id, key: $key}}
  GET /sums: {surface: account.usage_summary, envelope: object, kind: billing, role: dashboard, answer: {n: $requests}}
  GET /account:
`, 1)
	if err := os.WriteFile(filepath.Join(dir, "birch.yaml"), []byte(pages), 0o600); err != nil {
		t.Fatal(err)
	}
	g := harness.Start(t, harness.Options{Dir: dir, Config: `
providers: {sim: {kind: sim}}
models: {m: {targets: [{provider: sim}], context: 100000, max_output: 5000, price: {input: 1.00, output: 2.00}}}
sites: [{hosts: [app.localhost], contract: birch.yaml, role: dashboard}, {hosts: [api.localhost], contract: birch.yaml}]
`})
	c := newCustomer(t, g, "1", map[string]any{"site": "api.localhost"})
	billing := g.NewKey(t, c.account, map[string]any{"site": "app.localhost", "kind": "billing"})
	made := ask(t, g, call{host: "app.localhost", path: "/keys", key: billing.Key, body: `{"name":"mine"}`}).is(t, 200)
	ask(t, g, call{host: "api.localhost", path: "/v1/chat/completions", key: made.at(t, "key"), body: chat("m", `"max_tokens":5`)}).is(t, 200)
	list := ask(t, g, call{method: "GET", host: "app.localhost", path: "/keys", key: billing.Key}).is(t, 200)
	if list.at(t, "keys.0") != c.id || list.at(t, "keys.1") != made.at(t, "id") {
		t.Errorf("the keys of the API are %s", list.body)
	}
	sums := ask(t, g, call{method: "GET", host: "app.localhost", path: "/sums?api_key_id=" + list.at(t, "keys.1"), key: billing.Key}).is(t, 200)
	if sums.at(t, "n") != "1" {
		t.Errorf("the use of one key is %s", sums.body)
	}
}

// Every mistake in a contract's file is told at once, each in that file with
// its line and reason.
func TestEveryMistakeInAContractIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := birch(t)
	for from, to := range map[string]string{
		"whitespace: trim":             "whitespace: sometimes",
		"credential: {status: 401":     "credential: {status: 200",
		"balance: \"{balance_usd:2}\"": "balance: \"{ballance}\"",
		"money: {status: 402":          "coins: {status: 402",
		"surface: account.usage\n":     "surface: account.abuse\n",
		"idempotency: {wait: 20s}":     "idempotency: {wait: long}",
	} {
		if !strings.Contains(bad, from) {
			t.Fatalf("the contract has no %q", from)
		}
		bad = strings.Replace(bad, from, to, 1)
	}
	file := filepath.Join(dir, "birch.yaml")
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "pontage.yaml")
	if err := os.WriteFile(config, []byte(`
providers: {sim: {kind: sim}}
models: {m: {targets: [{provider: sim}], price: {request: 0.01}}}
sites: [{hosts: ["*"], contract: birch.yaml}, {hosts: [other.localhost], contract: birch.yaml}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	line := func(text string) int { return 1 + strings.Count(bad[:strings.Index(bad, text)], "\n") }
	for _, args := range [][]string{{"check", "--config", config}, {"check", "--contract", file}} {
		out, err := exec.Command(harness.Binary(t), args...).CombinedOutput()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		for _, want := range []struct{ at, reason string }{
			{"whitespace: sometimes", "sometimes"},
			{"credential: {status: 200", "200"},
			{"\"{ballance}\"", "ballance"},
			{"coins: {", "coins"},
			{"surface: account.abuse", "account.abuse"},
			{"wait: long", "long"},
		} {
			found := false
			for l := range strings.Lines(string(out)) {
				found = found || (strings.HasPrefix(l, fmt.Sprintf("%s:%d: ", file, line(want.at))) && strings.Contains(l, want.reason))
			}
			if !found {
				t.Errorf("%v does not tell of %q at line %d:\n%s", args, want.reason, line(want.at), out)
			}
		}
		if n := strings.Count(string(out), "sometimes"); n != 1 {
			t.Errorf("%v tells of one mistake %d times:\n%s", args, n, out)
		}
	}
}
