package operate

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

// service is one of those of examples/five-services.yaml.
type service struct {
	name   string
	host   string
	path   string // of chat
	prefix string // of keys
	code   string // where the code of an error stands, and what it is for an unknown key
	about  string // what only its error reference says
}

var services = []service{
	{"openai", "anything.example.com", "/v1/chat/completions", "sk-pontage-", "error.code=invalid_api_key", "openai"},
	{"ninjachat", "ninja.localhost", "/api/v1/chat", "nj_sk_", "error=invalid_api_key", "nj_sk_"},
	{"llmtune", "llmtune.localhost", "/v1/chat/completions", "sk_", "error=invalid_api_key", "sk_"},
	{"nanogpt", "nano.localhost", "/api/v1/chat/completions", "sk-nano-", "error.type=authentication_error", "sk-nano-"},
	{"modelswitch", "modelswitch.localhost", "/v1/chat/completions", "ms-", "error.code=invalid_api_key", "ms-"},
	{"samurai", "samurai.localhost", "/v1/chat/completions", "sk-samurai-", "error.type=auth_error", "sk-samurai-"},
}

// site is what keys of the service are bound to.
func (s service) site() string {
	if s.name == "openai" {
		return "*"
	}
	return s.host
}

// startExample starts the built binary with examples/five-services.yaml as it
// stands, after a change: only its ports are others.
func startExample(t *testing.T, change func(string) string) *harness.Gateway {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(harness.Root(t), "examples", "five-services.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("listen: 127.0.0.1:8080", "listen: 127.0.0.1:0", "admin_listen: 127.0.0.1:8081", "admin_listen: 127.0.0.1:0").Replace(string(src))
	if strings.Count(text, "listen: 127.0.0.1:0") != 2 {
		t.Fatalf("the example listens elsewhere:\n%s", src)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "five-services.yaml"), []byte(change(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(harness.Binary(t), "serve", "--test", "--config", "five-services.yaml")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PONTAGE_ADMIN_TOKEN="+harness.AdminToken)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	g := &harness.Gateway{Dir: dir}
	serving := regexp.MustCompile(`serving.*\bapi"?[=:]"?([\d.:]+).*\badmin"?[=:]"?([\d.:]+)`)
	lines, said := bufio.NewScanner(log), ""
	for g.URL == "" && lines.Scan() {
		said += lines.Text() + "\n"
		if at := serving.FindStringSubmatch(lines.Text()); at != nil {
			g.URL, g.AdminURL = "http://"+at[1], "http://"+at[2]
		}
	}
	if g.URL == "" {
		t.Fatalf("it does not say where it serves:\n%s", said)
	}
	go func() { _, _ = io.Copy(io.Discard, log) }()
	eventually(t, "the example is ready", func() bool {
		var ready struct{}
		status, err := g.Peek(t.Context(), "/readyz", &ready)
		return err == nil && status == http.StatusOK
	})
	return g
}

func asItStands(text string) string { return text }

// TestTheExampleOfFiveServices starts the example with its simulator, and asks
// at every host of it.
func TestTheExampleOfFiveServices(t *testing.T) {
	t.Parallel()
	g := startExample(t, asItStands)
	keys := map[string]customer{}
	for _, s := range services {
		keys[s.name] = newCustomer(t, g, "10", atSite(s.site()))
		if k := keys[s.name].key; !strings.HasPrefix(k, s.prefix) {
			t.Errorf("a key of %s starts with %.12s", s.name, k)
		}
	}
	for _, s := range services {
		post := func(host, key string) *reply {
			return ask(t, g, call{host: host, path: s.path, key: key, body: chat("gpt-5-mini", "")})
		}
		where, want, _ := strings.Cut(s.code, "=")
		for name, c := range keys {
			r := post(s.host, c.key)
			if name == s.name {
				r.is(t, 200)
				continue
			}
			if r.status != 401 || r.at(t, where) != want {
				t.Errorf("a key of %s at %s: %d %s", name, s.name, r.status, r.body)
			}
		}
		for _, host := range []string{strings.ToUpper(s.host), s.host + ":8080", s.host + "."} {
			post(host, keys[s.name].key).is(t, 200)
		}
		if r := ask(t, g, call{method: "GET", host: s.host, path: "/docs/errors"}).is(t, 200); !strings.Contains(string(r.body), s.about) {
			t.Errorf("the error reference of %s does not say %s", s.name, s.about)
		}
	}
	// A host that is none of them has the site of every other host, and so has a
	// Host header that is wrong.
	openai := keys["openai"]
	for _, host := range []string{"", "localhost", "ninja.localhost.example.com", "ninja", "127.0.0.1", "[::1]:8080", "api.openai.com"} {
		r := ask(t, g, call{host: host, path: "/v1/chat/completions", key: openai.key, body: chat("gpt-5-mini", "")})
		if r.status != 200 {
			t.Errorf("at %q: %d %s", host, r.status, r.body)
		}
		if r := ask(t, g, call{host: host, path: "/api/v1/chat", key: keys["ninjachat"].key, body: "{}"}); r.status != 404 || r.at(t, "error.code") != "unknown_url" {
			t.Errorf("ninjachat's path at %q: %d %s", host, r.status, r.body)
		}
	}
	settled(t, g)
}

// TestTheExampleWithoutASiteForEveryHost refuses what is none of its hosts.
func TestTheExampleWithoutASiteForEveryHost(t *testing.T) {
	t.Parallel()
	g := startExample(t, func(text string) string {
		const every = `  - {hosts: ["*"], contract: openai}` + "\n"
		if strings.Count(text, every) != 1 {
			t.Fatalf("the example has another site for every host:\n%s", text)
		}
		return strings.Replace(text, every, "", 1)
	})
	c := newCustomer(t, g, "1", atSite("samurai.localhost"))
	for _, host := range []string{"", "localhost", "127.0.0.1", "samurai", "samurai.localhost.example.com", "localhost:8080"} {
		r := ask(t, g, call{host: host, path: "/v1/chat/completions", key: c.key, body: chat("gpt-4o", "")})
		if r.status != 404 || !id.MatchString(r.header.Get("X-Request-ID")) || r.at(t, "error.message") == "" {
			t.Errorf("host %q: %d %v %s", host, r.status, r.header, r.body)
		}
	}
	for _, s := range services[1:] {
		where, want, _ := strings.Cut(s.code, "=")
		if r := ask(t, g, call{host: s.host, path: s.path, key: s.prefix + "0123", body: chat("gpt-4o", "")}); r.status != 401 || r.at(t, where) != want {
			t.Errorf("%s: %d %s", s.host, r.status, r.body)
		}
	}
	ask(t, g, call{host: "samurai.localhost", path: "/v1/chat/completions", key: c.key, body: chat("gpt-4o", "")}).is(t, 200)
}

// TestOneModelAtThePriceOfEachService costs by the request at one, by tokens at
// others, and a place in a day's quota at the last.
func TestOneModelAtThePriceOfEachService(t *testing.T) {
	t.Parallel()
	g := startExample(t, asItStands)
	script(t, g, "gpt-5-mini", `[{"text":"a","usage":{"input":2000,"output":3000},"times":100}]`)
	const byToken = "0.0065" // 2000 at 0.25 a million, 3000 at 2.00
	want := map[string]string{"openai": byToken, "ninjachat": "0.003", "llmtune": byToken, "nanogpt": byToken, "modelswitch": byToken, "samurai": "0.00"}
	// The account is one for all, and so is its balance.
	a := g.NewAccount(t, t.Name(), "1")
	balance := usd(t, "1")
	for _, more := range []string{"", `"stream":true`} {
		for _, s := range services {
			key := g.NewKey(t, a.ID, atSite(s.site())).Key
			r := ask(t, g, call{host: s.host, path: s.path, key: key, body: chat("gpt-5-mini", more)}).is(t, 200)
			charge := r.header.Get("X-Charge-USD")
			if more != "" {
				charge = r.trailer.Get("X-Charge-USD")
			}
			balance -= usd(t, want[s.name])
			if now := g.AccountNow(t, a.ID).BalanceUSD; charge != want[s.name] || now != balance.String() {
				t.Errorf("%s %s: charged %q, want %s; the balance is %s, want %s", s.name, more, charge, want[s.name], now, balance)
			}
		}
	}
	settled(t, g)
}

// TestThePlanIsTheAccounts and counts wherever it is sold: a change is in force
// with the next request, what was counted stays, and other sites know of no plan.
// What is left is told of the class that was asked for, be the request good or
// not, and where there is nothing to ask.
func TestRefusalsTellTheQuotaOfTheirClass(t *testing.T) {
	t.Parallel()
	g := startExample(t, asItStands)
	samurai := services[5]
	c := newCustomer(t, g, "0", atSite(samurai.host))
	for _, x := range []struct{ what, method, path, body, want string }{
		{"an answer", "POST", samurai.path, chat("llama-3.3-70b", `"max_tokens":50`), "200 149/150"},
		{"a bad member", "POST", samurai.path, chat("llama-3.3-70b", `"temperature":9`), "422 149/150"},
		{"no messages", "POST", samurai.path, `{"model":"llama-3.3-70b"}`, "400 149/150"},
		{"a closed model", "POST", samurai.path, `{"model":"gpt-4o"}`, "400 70/70"},
		{"no model", "POST", samurai.path, `{"messages":[]}`, "400 70/70"}, // that is nearest to its end
		{"no such path", "GET", "/v1/nowhere", "", "404 70/70"},
		{"no such method", "GET", samurai.path, "", "405 70/70"},
	} {
		r := ask(t, g, call{method: x.method, host: samurai.host, path: x.path, key: c.key, body: x.body})
		if got := fmt.Sprintf("%d %s/%s", r.status, r.header.Get("X-RateLimit-Remaining-Requests"), r.header.Get("X-RateLimit-Limit-Requests")); got != x.want {
			t.Errorf("%s: %s, want %s", x.what, got, x.want)
		}
	}
}

func TestThePlanIsTheAccounts(t *testing.T) {
	t.Parallel()
	g := startExample(t, asItStands)
	samurai := services[5]
	c := newCustomer(t, g, "1", atSite(samurai.host))
	post := func(model string) *reply {
		return ask(t, g, call{host: samurai.host, path: samurai.path, key: c.key, body: chat(model, `"max_tokens":50`)})
	}
	left := func(r *reply) string {
		return r.header.Get("X-RateLimit-Remaining-Requests") + "/" + r.header.Get("X-RateLimit-Limit-Requests")
	}
	plan := func(name any) {
		t.Helper()
		g.MustAdmin(t, "PATCH", "/admin/v1/accounts/"+c.account, map[string]any{"plan": name}, nil)
	}
	for i, step := range []struct {
		plan  any
		model string
		want  string // status, and what is left
	}{
		{nil, "gpt-4o", "200 69/70"}, // the site's default
		{nil, "llama-3.3-70b", "200 149/150"},
		{nil, "o1", "403 69/70"}, // of the class that is nearest to its end
		{"starter", "gpt-4o", "200 998/1000"},
		{"starter", "o1", "403 998/1000"},
		{"pro", "o1", "200 649/650"},
		{"pro", "gpt-4o", "200 2497/2500"},
		{"free", "gpt-4o", "200 66/70"},
		{"free", "o1", "403 66/70"},
		{nil, "deepseek-chat", "200 148/150"},
	} {
		plan(step.plan)
		if r := post(step.model); fmt.Sprint(r.status, " ", left(r)) != step.want {
			t.Errorf("step %d, %v asks %s: %d %s, want %s\n%s", i+1, step.plan, step.model, r.status, left(r), step.want, r.body)
		}
	}
	if status, _, err := g.Admin(t.Context(), "PATCH", "/admin/v1/accounts/"+c.account, map[string]any{"plan": "gold"}, nil); err != nil || status != 400 {
		t.Errorf("a plan that there is not: %d %v", status, err)
	}
	// At a site that sells no plans the account pays for what it asks.
	key := g.NewKey(t, c.account, atSite("*")).Key
	r := ask(t, g, call{host: "localhost", path: "/v1/chat/completions", key: key, body: chat("gpt-4o", "")}).is(t, 200)
	if charge := r.header.Get("X-Charge-USD"); usd(t, charge) == 0 || r.header.Get("X-RateLimit-Limit-Requests") != "" {
		t.Errorf("elsewhere: charged %s, and a quota of %q", charge, left(r))
	}
	if r := post("gpt-4o"); left(r) != "65/70" {
		t.Errorf("what was asked elsewhere was counted: %s", left(r))
	}
	settled(t, g)
}
