package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/dash"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/outbox"
	"github.com/pontage/pontage/internal/store/sqlite"
)

const token = "admin-token-for-tests"

type secret string

func (s secret) Reveal() string { return string(s) }

// gateway is a real admin API over a real database, and a scripted API beside
// it.
type gateway struct {
	t        *testing.T
	path     string // of the database
	db       *sqlite.DB
	accounts *account.Registry
	ledger   *ledger.Engine
	admin    *httptest.Server
	api      *httptest.Server
	env      map[string]string
	spent    int           // requests made by spend
	alerts   ledger.Alerts // of them

	mu       sync.Mutex
	targets  []dash.TargetHealth
	degraded []string
	serve    func(w http.ResponseWriter, r *http.Request, body string) // of api
}

func setup(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{t: t, path: filepath.Join(t.TempDir(), "pontage.db")}
	var err error
	if g.db, err = sqlite.Open(t.Context(), g.path); err != nil {
		t.Fatal(err)
	}
	if g.accounts, err = account.Open(t.Context(), g.db.Accounts(), []byte("0123456789abcdef"), time.Now); err != nil {
		t.Fatal(err)
	}
	if g.ledger, err = ledger.Open(t.Context(), g.db.Journal(), ledger.Options{}); err != nil {
		t.Fatal(err)
	}
	hooks := outbox.New(outbox.Options{Store: g.db.Outbox()})
	g.targets = []dash.TargetHealth{{Target: "sim/gpt-5-mini", Provider: "sim", Model: "gpt-5-mini", Healthy: true, Breaker: "closed", Requests: 3}}
	g.admin = httptest.NewServer(dash.New(dash.Deps{
		Accounts: g.accounts, Ledger: g.ledger, Token: secret(token), Now: time.Now, Routes: g, Webhooks: hooks,
		EffectiveConfig: func() any { return map[string]any{"server": map[string]any{"listen": "x"}} },
		Ready: func() []string {
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.degraded
		},
	}))
	g.api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Request-ID", "req_1")
		g.serve(w, r, string(body))
	}))
	g.serve = answerWell
	g.env = map[string]string{
		"PONTAGE_ADMIN_URL": g.admin.URL, "PONTAGE_ADMIN_TOKEN": token,
		"PONTAGE_BASE_URL": g.api.URL, "PONTAGE_API_KEY": "sk-live-0123456789", "PONTAGE_TEST_KEY": "sk-test-0123456789",
	}
	t.Cleanup(func() {
		g.admin.Close()
		g.api.Close()
		if err := g.ledger.Close(); err != nil {
			t.Error(err)
		}
		if err := g.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// Targets implements dash.Routes.
func (g *gateway) Targets() []dash.TargetHealth {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.targets
}

type result struct {
	code     int
	out, err string
}

// typed runs a command with text on standard input.
func (g *gateway) typed(in string, terminal bool, args ...string) result {
	g.t.Helper()
	var out, errs bytes.Buffer
	sys := &system{
		in: strings.NewReader(in), out: &out, err: &errs, now: time.Now, terminal: terminal, http: g.admin.Client(),
		lookup: func(name string) (string, bool) { v, ok := g.env[name]; return v, ok },
	}
	code := run(g.t.Context(), sys, append([]string{args[0], "--env-file", filepath.Join(g.t.TempDir(), "none")}, args[1:]...))
	if strings.Contains(out.String()+errs.String(), token) {
		g.t.Errorf("pontage %v shows the admin token", args)
	}
	return result{code, out.String(), errs.String()}
}

func (g *gateway) run(args ...string) result {
	g.t.Helper()
	return g.typed("", false, args...)
}

// well runs a command that must exit with 0, and returns what it printed.
func (g *gateway) well(args ...string) string {
	g.t.Helper()
	r := g.run(args...)
	if r.code != exitWell {
		g.t.Fatalf("pontage %v = %d, %s%s", args, r.code, r.out, r.err)
	}
	return r.out
}

// value runs a command with --json and returns one member of its answer.
func (g *gateway) value(member string, args ...string) string {
	g.t.Helper()
	out := g.well(append(args, "--json")...)
	var v map[string]any
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		g.t.Fatalf("pontage %v --json: %v in %s", args, err, out)
	}
	s, ok := v[member].(string)
	if !ok {
		g.t.Fatalf("pontage %v --json: no text %q in %s", args, member, out)
	}
	return s
}

// spend makes a request that was charged.
func (g *gateway) spend(acc, key string, charge money.Amount) string {
	g.t.Helper()
	a, err := account.ParseID(acc)
	if err != nil {
		g.t.Fatal(err)
	}
	k, err := account.ParseKeyID(key)
	if err != nil {
		g.t.Fatal(err)
	}
	g.spent++
	at := time.Now().Add(time.Duration(g.spent) * time.Millisecond) // ids of one millisecond have no order
	id := obs.NewRequestID(at)
	h, err := g.ledger.Hold(ledger.Reservation{Account: int64(a), Key: int64(k), Request: id, Amount: 2 * charge, Floor: 2 * charge})
	if err != nil {
		g.t.Fatal(err)
	}
	_, err = h.Settle(g.t.Context(), ledger.Settlement{Actual: charge, Alerts: g.alerts, Receipt: &ledger.Receipt{
		ID: id, Account: int64(a), Key: int64(k), Site: "openai", Surface: "openai.chat", Model: "gpt-5-mini", Outcome: "ok", Status: 200, Delivery: ledger.DeliveryComplete,
		Usage: ledger.Tokens{Input: 100, CachedInput: 40, Output: 7}, Started: at, Took: 1500 * time.Millisecond,
		Lines:   []ledger.Line{{Kind: "input", Units: 100, Amount: charge, Rate: 10_000 * money.Rate(charge), Rated: true}},
		Price:   "0123abcd",
		Dropped: []string{"seed", "messages.0.name"}, Left: []string{"web_search_call"},
		Attempts: []ledger.Attempt{{Target: "sim/gpt-5-mini", Outcome: "ok", Status: 200, Took: time.Second}},
	}})
	if err != nil {
		g.t.Fatal(err)
	}
	return id.String()
}

// like compares text with a pattern in which every run of spaces stands for any
// space, and the rest for itself but for {name}, which is anything but space.
func like(t *testing.T, got, want string) {
	t.Helper()
	var p strings.Builder
	p.WriteString(`^\s*`)
	for i, f := range strings.Fields(want) {
		if i > 0 {
			p.WriteString(`\s+`)
		}
		p.WriteString(regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(f), `\S+`))
	}
	p.WriteString(`\s*$`)
	if !regexp.MustCompile(p.String()).MatchString(got) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOperatingOneAccount(t *testing.T) {
	t.Parallel()
	g := setup(t)
	acc := g.value("id", "account", "create", "demo", "--plan", "pro")
	like(t, g.well("account", "list"), `
		ID NAME PLAN STATUS BALANCE HELD AVAILABLE CREATED
		{acc} demo pro active $0.00 $0.00 $0.00 {day} {time}`)
	g.well("credit", "add", acc, "$25.00", "--reference", "invoice-1")
	like(t, g.well("credit", "add", acc, "25.00", "--reference", "invoice-1", "--note", "again"), `
		entry {n} account {acc} kind topup amount $25.00 balance $25.00 reference invoice-1 actor operator created {day} {time}`)
	g.well("credit", "add", acc, "3", "--test", "--kind", "grant", "--expires", "30d")
	like(t, g.well("credit", "add", acc, "--kind", "adjust", "--actor", "alice@example", "--", "-0.5"), `
		entry {n} account {acc} kind adjust amount -$0.50 balance $24.50 actor operator:alice@example created {day} {time}`)
	if r := g.run("credit", "add", acc, "25.01", "--reference", "invoice-1"); r.code != exitWrong || !strings.Contains(r.err, "a topup of 25.00") {
		t.Errorf("another amount under the same reference = %+v", r)
	}
	for user, actor := range map[string]string{"bob": "operator:bob", "Bob Smith": "operator", strings.Repeat("b", 65): "operator"} {
		g.env["USER"] = user
		if got := g.value("actor", "credit", "add", acc, "1", "--test"); got != actor {
			t.Errorf("the actor of %q is %s, want %s", user, got, actor)
		}
	}
	delete(g.env, "USER")

	made := g.run("key", "create", acc, "--name", "laptop", "--rps", "2.5", "--burst", "5", "--tokens-per-minute", "9000", "--usd-per-day", "1.50", "--model", "gpt-*,claude-*", "--expires", "2099-01-01")
	if made.code != exitWell || !strings.Contains(made.err, "only time") {
		t.Errorf("key create = %+v", made)
	}
	like(t, made.out, `
		id {key} key {text} prefix {prefix} account {acc} name laptop kind inference status active limits 2.5/s, burst 5, 9000 tokens a minute, $1.50 a day
		models gpt-*, claude-* on disconnect cancel expires 2099-01-01 00:00:00Z created {day} {time}`)
	text := regexp.MustCompile(`(?m)^key +(sk-\S+)$`).FindStringSubmatch(made.out)
	if text == nil {
		t.Fatalf("the key is not shown:\n%s", made.out)
	}
	if list := g.well("key", "list", acc) + g.well("key", "list", acc, "--json"); strings.Contains(list, text[1]) || !strings.Contains(list, "laptop") {
		t.Errorf("key list shows the key, or not its name:\n%s", list)
	}

	key := g.value("id", "key", "create", acc, "--name", "server")
	like(t, g.well("key", "update", key, "--requests", "60", "--per", "60s", "--requests-per-day", "9", "--name", "srv"), `
		id {key} prefix {prefix} account {acc} name srv kind inference status active limits 60 per 60s, 9 a day on disconnect cancel created {day} {time}`)
	for _, step := range []struct{ do, want string }{{"deactivate", "inactive"}, {"activate", "active"}, {"revoke", "revoked"}} {
		if out := g.well("key", step.do, key); !regexp.MustCompile(`(?m)^status +` + step.want + `$`).MatchString(out) {
			t.Errorf("after %s:\n%s", step.do, out)
		}
	}
	for _, step := range []struct{ do, want string }{{"suspend", "suspended"}, {"resume", "active"}} {
		if got := g.value("status", "account", step.do, acc); got != step.want {
			t.Errorf("after %s the account is %s", step.do, got)
		}
	}
	if got := g.value("name", "account", "update", acc, "--name", "new", "--plan", ""); got != "new" {
		t.Errorf("the account is named %q", got)
	}
	shown := g.well("account", "show", acc)
	if !strings.Contains(shown, "balance_usd") || !strings.Contains(shown, "usd_per_day") || strings.Contains(shown, "plan ") {
		t.Errorf("account show:\n%s", shown)
	}
	if got := g.value("available_usd", "account", "show", acc); got != "24.50" {
		t.Errorf("available %s, want 24.50", got)
	}
}

func TestWebhooksOfOneAccount(t *testing.T) {
	t.Parallel()
	g := setup(t)
	acc := g.value("id", "account", "create", "demo")
	g.well("credit", "add", acc, "9")
	key := g.value("id", "key", "create", acc, "--name", "k")
	if r := g.run("webhook", "list"); r.code != exitWell || r.err != "none\n" {
		t.Errorf("webhook list of nothing = %+v", r)
	}
	if got := g.value("warn_below_usd", "account", "update", acc, "--warn-below", "$2.5"); got != "2.50" {
		t.Errorf("the threshold is %s", got)
	}
	like(t, g.well("account", "update", acc, "--warn-below", ""), `account {acc} name demo status active balance {b} held $0.00 available {b} test balance $0.00 created {day} {time}`)
	g.alerts = ledger.Alerts{WarnBelow: 8 * money.Dollar}
	warned := g.spend(acc, key, money.Dollar+money.Cent)
	g.alerts = ledger.Alerts{}
	like(t, g.well("webhook", "list", "--state", "pending"), `
		ID TYPE ACCOUNT STATE NEXT
		{event} balance_warning `+acc+` pending {day} {time}`)
	if r := g.run("webhook", "list", "--state", "lost"); r.code != exitUsage {
		t.Errorf("webhook list --state lost = %+v", r)
	}
	event := strings.Fields(g.well("webhook", "list"))[5]
	like(t, g.well("webhook", "retry", event), `event `+event+` type balance_warning account `+acc+` state pending tries 0 next {day} {time}`)
	if r := g.run("webhook", "retry", warned); r.code != exitWrong {
		t.Errorf("webhook retry of a request = %+v", r)
	}
}

func TestLookingIntoRequests(t *testing.T) {
	t.Parallel()
	g := setup(t)
	acc := g.value("id", "account", "create", "demo")
	g.well("credit", "add", acc, "10")
	key := g.value("id", "key", "create", acc, "--name", "k")
	id := g.spend(acc, key, 1_234_567)
	g.spend(acc, key, money.Dollar)

	like(t, g.well("request", "show", id), `
		request `+id+` started {day} {time} took 1.5s account {acc} key {key} site openai surface openai.chat model gpt-5-mini
		outcome ok status 200 delivery complete input tokens 100 of them cached 40 output tokens 7 held $0.002469134 charged $0.001234567 price 0123abcd left out of the request seed, messages.0.name left out of the answer web_search_call
		LINE UNITS RATE AMOUNT input 100 × $12.34567 / 1M = $0.001234567
		The sum is rounded up once, to a nano-dollar ($0.000000001); each line is what the sum grows by with it.
		- The answer came to its end and is charged as used.
		ATTEMPT OUTCOME STATUS TOOK sim/gpt-5-mini ok 200 1s`)
	if list := g.well("request", "list", "--account", acc, "--from", "1h", "--limit", "1"); strings.Count(list, "\n") != 2 || strings.Contains(list, id) {
		t.Errorf("request list --limit 1 does not show the latest alone:\n%s", list)
	}
	if r := g.run("request", "list", "--to", "1h"); r.code != exitWell || r.out != "" || r.err != "none\n" {
		t.Errorf("request list of nothing = %+v", r)
	}
	if out := g.well("request", "list", "--to", "1h", "--json"); strings.Join(strings.Fields(out), "") != `{"data":[]}` {
		t.Errorf("request list of nothing in JSON: %s", out)
	}
	like(t, g.well("usage"), `
		DAY MODEL REQUESTS INPUT CACHED OUTPUT CHARGE
		{day} gpt-5-mini 2 200 80 14 $1.001234567`)
	like(t, g.well("usage", "--by", "account,key", "--model", "gpt-5-mini"), `
		ACCOUNT KEY REQUESTS INPUT CACHED OUTPUT CHARGE `+acc+` `+key+` 2 200 80 14 $1.001234567`)

	for range 2 {
		like(t, g.well("request", "refund", id, "--amount", "0.001", "--note", "sorry", "--reference", "ticket-7"), `
		entry {n} account {acc} kind refund request `+id+` amount $0.001 balance {b} reference ticket-7 note sorry actor operator created {day} {time}`)
	}
	if got := g.value("amount_usd", "request", "refund", id, "--note", "all"); got != "0.000234567" {
		t.Errorf("the rest of the refund is %s", got)
	}
	if r := g.run("request", "refund", id, "--note", "more"); r.code != exitWrong || !strings.Contains(r.err, "409 conflict") {
		t.Errorf("a third refund = %+v", r)
	}
}

func TestTargetsAndConfig(t *testing.T) {
	t.Parallel()
	g := setup(t)
	like(t, g.well("target", "list"), `TARGET HEALTHY BREAKER REQUESTS sim/gpt-5-mini yes closed 3`)
	like(t, g.well("config", "show"), `{ "server": { "listen": "x" } }`)
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	g := setup(t)
	tests := []struct {
		name string
		args []string
		env  map[string]string
		code int
		err  string
	}{
		{name: "no command", code: exitUsage, err: "say which command of pontage"},
		{name: "half a command", args: []string{"key"}, code: exitUsage, err: "say which command of pontage key"},
		{name: "unknown command", args: []string{"explode"}, code: exitUsage, err: `unknown command "explode"`},
		{name: "unknown subcommand", args: []string{"key", "explode"}, code: exitUsage, err: `unknown command "explode"`},
		{name: "unknown flag", args: []string{"usage", "--explode"}, code: exitUsage, err: "unknown flag"},
		{name: "missing argument", args: []string{"account", "show"}, code: exitUsage, err: "want pontage account show ACCOUNT [flags]"},
		{name: "an argument too many", args: []string{"account", "list", "demo"}, code: exitUsage, err: "want pontage account list [flags]"},
		{name: "no configuration", args: []string{"serve", "--config", "none.yaml"}, code: exitWrong, err: "none.yaml: no such file or directory; --config names the file"},
		{name: "missing flag", args: []string{"key", "create", "acc_1"}, code: exitUsage, err: `required flag(s) "name"`},
		{name: "nothing to change", args: []string{"account", "update", "acc_1"}, code: exitUsage, err: "say what to change"},
		{name: "no time", args: []string{"usage", "--from", "yesterday"}, code: exitUsage, err: `--from "yesterday"`},
		{name: "no token", args: []string{"account", "list"}, env: map[string]string{"PONTAGE_ADMIN_TOKEN": ""}, code: exitUsage, err: "set PONTAGE_ADMIN_TOKEN"},
		{name: "wrong token", args: []string{"account", "list"}, env: map[string]string{"PONTAGE_ADMIN_TOKEN": "no"}, code: exitWrong, err: "401 unauthorized"},
		{name: "no server", args: []string{"account", "create", "x", "--server", "http://127.0.0.1:1"}, code: exitWrong, err: "connection refused"},
		{name: "no URL", args: []string{"account", "list", "--server", "localhost"}, code: exitUsage, err: "base URL"},
		{name: "no such account", args: []string{"account", "show", "acc_1"}, code: exitWrong, err: "404 not_found"},
		{name: "an amount that is none", args: []string{"credit", "add", "acc_1", "much"}, code: exitWrong, err: "404"},
		{name: "a bad value", args: []string{"usage", "--by", "moon"}, code: exitUsage, err: "400 invalid_parameter"},
		{name: "no API key", args: []string{"chat", "hi"}, env: map[string]string{"PONTAGE_API_KEY": "", "PONTAGE_TEST_KEY": ""}, code: exitUsage, err: "set PONTAGE_API_KEY"},
		{name: "help", args: []string{"key", "create", "--help"}, code: exitWell},
		{name: "help on a command", args: []string{"help", "key", "create"}, code: exitWell},
		{name: "unknown help", args: []string{"help", "explode"}, code: exitUsage, err: `no command "explode"`},
		{name: "unknown help on half a command", args: []string{"help", "key", "explode"}, code: exitUsage, err: `no command "key explode"`},
		{name: "unknown shell", args: []string{"completion", "explode"}, code: exitUsage, err: `unknown command "explode"`},
		{name: "half a command: completion", args: []string{"completion"}, code: exitUsage, err: "say which command of pontage completion"},
		{name: "help to complete", args: []string{"completion", "bash"}, code: exitWell},
		{name: "version", args: []string{"version", "--json"}, code: exitWell},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := &gateway{t: t, admin: g.admin, env: map[string]string{}}
			for k, v := range g.env {
				h.env[k] = v
			}
			for k, v := range tt.env {
				h.env[k] = v
			}
			var r result
			if tt.name == "version" || tt.name == "no configuration" || len(tt.args) == 0 || strings.HasPrefix(tt.name, "half a command") || strings.HasPrefix(tt.name, "unknown") || strings.HasPrefix(tt.name, "help") {
				r = h.bare(tt.args...)
			} else {
				r = h.run(tt.args...)
			}
			if r.code != tt.code || !strings.Contains(r.err, tt.err) {
				t.Errorf("pontage %v = %d %q, want %d and %q", tt.args, r.code, r.err, tt.code, tt.err)
			}
			if strings.HasPrefix(tt.name, "help") && r.out == "" {
				t.Errorf("pontage %v printed nothing", tt.args)
			}
			if tt.code != exitWell && (r.out != "" || r.err == "") {
				t.Errorf("pontage %v printed %q and %q", tt.args, r.out, r.err)
			}
		})
	}
}

// bare runs a command as it stands.
func (g *gateway) bare(args ...string) result {
	var out, errs bytes.Buffer
	code := run(context.Background(), &system{in: strings.NewReader(""), out: &out, err: &errs, now: time.Now, lookup: func(string) (string, bool) { return "", false }}, args)
	return result{code, out.String(), errs.String()}
}
