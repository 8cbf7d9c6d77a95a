package rows

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/testkit"
)

// The paths of modelswitch for the account.
const (
	balancePath      = "/api/balance"
	keysPath         = "/api/keys"
	usagePath        = "/api/usage"
	statsPath        = "/api/usage/stats"
	transactionsPath = "/api/transactions"
)

// accountPaths are those that are asked with GET.
var accountPaths = []string{balancePath, keysPath, usagePath, statsPath, transactionsPath}

// modelswitchModels are the models that rows of modelswitch break.
func modelswitchModels(t testing.TB) []model {
	ms := append(breakable(t, "modelswitch", true),
		model{name: "modelswitch-fire", answer: says(500, "server_error", "internal", fire)},
		model{name: "modelswitch-hold-plain", answer: testkit.JSON(200, chatBody)},
		model{name: "modelswitch-hold", answer: testkit.JSON(200, chatBody), more: "attempts: 1"},
		model{name: "modelswitch-hold-stream", answer: testkit.SSE(chatStream...), more: "attempts: 1"},
	)
	for i, s := range spilled {
		ms = append(ms, model{name: spiller(i), answer: testkit.JSON(s.status, s.body)})
	}
	return ms
}

// modelswitchRows are the rows of modelswitch.
var modelswitchRows = map[string]func(*proof){
	"modelswitch/200-chat": func(p *proof) {
		c := p.at(modelswitchHost, "3", nil)
		if !strings.HasPrefix(c.key.Key, "ms-") {
			p.Errorf("a new key starts with %s", c.key.Key[:6])
		}
		chatAnswered(p, c, chatPath, "modelswitch-good")
	},
	"modelswitch/200-balance":   balanceToTheNano,
	"modelswitch/200-keys":      keysAreListed,
	"modelswitch/key-lifecycle": keyLifecycle,
	"modelswitch/400-body": func(p *proof) {
		c := p.at(modelswitchHost, "3", nil)
		good := chat("modelswitch-good")
		for _, body := range []string{good[:40], strings.Replace(good, "}]", "},]", 1), good + "}", "", "[]", "null", "hi"} {
			p.codeIs(p.rejected(c, chatPath, body), "invalid_json")
		}
		for _, k := range []struct{ path, body, message string }{
			{chatPath, `{"model":"modelswitch-good"}`, "Missing required parameter: messages"},
			{chatPath, `{"model":"modelswitch-good","messages":null,"stream":true}`, "Missing required parameter: messages"},
			{chatPath, `{"messages":[{"role":"user","content":"hi"}]}`, "Missing required parameter: model"},
			{"/v1/embeddings", `{"model":"text-embedding-3-small"}`, "Missing required parameter: input"},
		} {
			a := p.codeIs(p.rejected(c, k.path, k.body), "missing_parameter")
			if got := p.text(a, "error", "message"); got != k.message {
				p.Errorf("%s: %q, and not %q", k.body, got, k.message)
			}
		}
		for _, member := range []string{`"temperature":"hot"`, `"temperature":3`, `"max_tokens":"many"`, `"stream":"yes"`} {
			p.codeIs(p.rejected(c, chatPath, chat("modelswitch-good", member)), "invalid_parameter")
		}
		owner := p.anotherAt(c, billing())
		for _, body := range []string{"{", `{}`, `{"name":7}`, `{"name":""}`, `{"name":"a","kind":"billing"}`, `{"name":"a","expires_at":"soon"}`} {
			p.rejected(owner, keysPath, body)
		}
		for _, body := range []string{"{", `{}`, `{"active":"no"}`, `{"active":null}`, `{"limits":{}}`} {
			p.rejected(owner, keysPath+"/"+c.key.ID, body, method("PUT"))
		}
		for _, path := range []string{usagePath + "?limit=0", usagePath + "?limit=51", transactionsPath + "?offset=-1", statsPath + "?from=2026-13-01&to=2026-12-01"} {
			p.rejected(owner, path, "", method("GET"))
		}
	},
	"modelswitch/401-missing": func(p *proof) {
		c := p.at(modelswitchHost, "3", nil)
		for _, nothing := range []change{noKey, header("Authorization", "Bearer "), header("Authorization", "Bearer"), xAPIKey} {
			p.rejected(c, chatPath, chat("modelswitch-good"), nothing)
			p.rejected(c, chatPath, chat("modelswitch-good", streamed), nothing)
			for _, path := range append([]string{"/v1/models"}, accountPaths...) {
				p.rejected(c, path, "", method("GET"), nothing)
			}
			p.rejected(c, keysPath, `{"name":"mine"}`, nothing)
		}
	},
	"modelswitch/401-invalid": func(p *proof) {
		c := p.at(modelswitchHost, "3", nil)
		owner := p.anotherAt(c, billing())
		for _, bad := range append(strangeKeys(p, c, "ms-"), wellFormed("mk-0123456789abcdefghijABCDEFGHIJ")) {
			p.rejected(c, chatPath, chat("modelswitch-good"), key(bad))
			p.rejected(c, balancePath, "", method("GET"), key(bad))
		}
		made := newKey(p, owner, `{"name":"short-lived"}`)
		p.paid(made, chatPath, chat("modelswitch-good"))
		p.wants(p.ask(owner, keysPath+"/"+made.key.ID, "", method("DELETE")), http.StatusOK)
		p.rejected(made, chatPath, chat("modelswitch-good"))
		p.rejected(made, chatPath, chat("modelswitch-good", streamed))
		p.note("keys of nobody, of another site and of another shape, and one that its owner had deleted a moment ago")
	},
	"modelswitch/403-deactivated": deactivated,
	"modelswitch/403-balance":     nearZero,
	"modelswitch/403-proxy-key-on-api": func(p *proof) {
		c := p.at(modelswitchHost, "3", nil)
		for _, path := range accountPaths {
			p.rejected(c, path, "", method("GET"))
		}
		p.rejected(c, keysPath, `{"name":"mine"}`)
		p.rejected(c, keysPath, "{")
		p.rejected(c, keysPath+"/"+c.key.ID, `{"active":false}`, method("PUT"))
		a := p.rejected(c, keysPath+"/"+c.key.ID, "", method("DELETE"))
		p.says(p.text(a, "error", "message"), "billing key (mk-)")
		p.paid(c, chatPath, chat("modelswitch-good"))
	},
	"modelswitch/403-billing-key-on-inference": func(p *proof) {
		c := p.at(modelswitchHost, "3", billing())
		if !strings.HasPrefix(c.key.Key, "mk-") {
			p.Errorf("a new key starts with %s", c.key.Key[:6])
		}
		for _, more := range [][]string{nil, {streamed}} {
			a := p.rejected(c, chatPath, chat("modelswitch-good", more...))
			p.says(p.text(a, "error", "message"), "proxy key (ms-)")
		}
		p.rejected(c, chatPath, "{")
		p.rejected(c, "/v1/embeddings", `{"model":"text-embedding-3-small","input":"bridge"}`)
		p.rejected(c, "/v1/models", "", method("GET"))
	},
	"modelswitch/404-model": func(p *proof) {
		c := p.at(modelswitchHost, "3", nil)
		for _, name := range []string{"llama-17-nano", "org/llama-17", "GPT-5"} {
			p.says(p.text(p.codeIs(p.rejected(c, chatPath, chat(name)), "model_not_found"), "error", "message"), name)
			p.rejected(c, chatPath, chat(name, streamed))
			p.rejected(c, "/v1/models/"+name, "", method("GET"))
		}
		p.rejected(c, "/v1/embeddings", `{"model":"embedding-17","input":"bridge"}`)
	},
	"modelswitch/404-resource": noSuchKey,
	"modelswitch/429": func(p *proof) {
		tooManyAtOnce(p, modelswitchHost, func(a *answer, seconds int) {
			p.Helper()
			p.codeIs(a, "rate_limit_exceeded")
			if seconds < 1 {
				p.Errorf("Retry-After is %d", seconds)
			}
		})
	},
	"modelswitch/500": func(p *proof) {
		panics(p, modelswitchHost)
		g := startFive(p, nil)
		owner := p.atGateway(g, modelswitchHost, "3", billing())
		for _, path := range accountPaths {
			g.arm(p, "handler_panic")
			p.rejected(owner, path, "", method("GET"))
			p.wants(p.ask(owner, path, "", method("GET")), http.StatusOK)
		}
	},
	"modelswitch/502-provider": providerSpeaks,
	"modelswitch/503":          func(p *proof) { unreachable(p, modelswitchHost) },
	"modelswitch/hold":         heldMeanwhile,
	"modelswitch/403-model": func(p *proof) {
		c := p.at(modelswitchHost, "3", map[string]any{"models": []string{"modelswitch-good", "modelswitch-ho*"}})
		p.paid(c, chatPath, chat("modelswitch-good"))
		p.paid(c, chatPath, chat("modelswitch-hold-plain"))
		for _, name := range []string{"modelswitch-gated", "deepseek-chat"} {
			p.rejected(c, chatPath, chat(name))
			p.rejected(c, chatPath, chat(name, streamed))
		}
		p.rejected(c, chatPath, chat("modelswitch-gated", `"max_tokens":900`))
	},
	"modelswitch/stream-midway": func(p *proof) {
		breaksMidway(p, modelswitchHost, chatPath, map[string]any{"error": map[string]any{"message": "<text>", "type": "<text>", "code": "<text>"}})
	},
}

// codeIs checks the code of an error.
func (p *proof) codeIs(a *answer, code string) *answer {
	p.Helper()
	if got := p.text(a, "error", "code"); got != code {
		p.Errorf("the code is %q, and not %q\n%s", got, code, a.body)
	}
	return a
}

// number returns a number of the body as it is written there.
func (p *proof) number(a *answer, name string) string {
	p.Helper()
	var body map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &body); err != nil {
		p.Fatalf("%v\n%s", err, a.body)
	}
	return string(body[name])
}

// got asks for something of the account.
func (p *proof) got(c caller, path string) *answer {
	p.Helper()
	return p.wants(p.ask(c, path, "", method("GET")), http.StatusOK)
}

// balanceToTheNano reads balances that a float would spoil.
func balanceToTheNano(p *proof) {
	for _, usd := range []string{"7.123456789", "1234567.000000001", "0.1", "25", "0"} {
		c := p.at(modelswitchHost, usd, billing())
		a := p.holds(p.free(c, func() *answer { return p.ask(c, balancePath, "", method("GET")) }))
		if got := usdOf(p, p.number(a, "balance")); got != usdOf(p, usd) {
			p.Errorf("the balance is %s, and not %s\n%s", got, usd, a.body)
		}
	}
	c := p.at(modelswitchHost, "7.123456789", billing())
	p.paid(p.anotherAt(c, nil), chatPath, chat("modelswitch-good"))
	if got := p.number(p.got(c, balancePath), "balance"); usdOf(p, got) != usdOf(p, "7.123456789")-usdOf(p, fairCharge) {
		p.Errorf("after a charge of %s the balance is %s", fairCharge, got)
	}
	c.credit(p, "-8")
	if got := p.number(p.got(c, balancePath), "balance"); got != "-0.876577311" {
		p.Errorf("a balance below zero is %s", got)
	}
}

// listed are the keys that an account is shown.
type listed struct {
	ID, Name, Prefix string
	Active           bool
	CreatedAt        time.Time
	ExpiresAt        *time.Time
}

func (p *proof) keys(owner caller) ([]listed, *answer) {
	p.Helper()
	a := p.got(owner, keysPath)
	var body struct{ Keys []listed }
	if err := json.Unmarshal(a.body, &body); err != nil {
		p.Fatalf("%v\n%s", err, a.body)
	}
	return body.Keys, a
}

// keysAreListed shows which keys an account sees, and what of them.
func keysAreListed(p *proof) {
	owner := p.at(modelswitchHost, "3", billing())
	if keys, a := p.keys(owner); keys == nil || len(keys) != 0 {
		p.Errorf("an account without proxy keys sees %s", a.body)
	}
	first := p.anotherAt(owner, map[string]any{"name": "Production 17"})
	a := p.holds(p.free(owner, func() *answer { return p.ask(owner, keysPath, "", method("GET")) }))
	keys, _ := p.keys(owner)
	if len(keys) != 1 || keys[0].ID != first.key.ID || keys[0].Name != "Production 17" || !strings.HasPrefix(first.key.Key, keys[0].Prefix) || !strings.HasPrefix(keys[0].Prefix, "ms-") {
		p.Errorf("one key: %s", a.body)
	}
	if d := time.Since(keys[0].CreatedAt); d < 0 || d > time.Hour {
		p.Errorf("it was made at %v", keys[0].CreatedAt)
	}

	second := newKey(p, owner, `{"name":"Laptop","expires_at":"2031-02-03T04:05:06Z"}`)
	off := newKey(p, owner, `{"name":"Old"}`)
	gone := newKey(p, owner, `{"name":"Gone"}`)
	p.wants(p.ask(owner, keysPath+"/"+off.key.ID, `{"active":false}`, method("PUT")), http.StatusOK)
	p.wants(p.ask(owner, keysPath+"/"+gone.key.ID, "", method("DELETE")), http.StatusOK)
	secrets := []string{owner.key.Key, first.key.Key, second.key.Key, off.key.Key, gone.key.Key}
	elsewhere := owner
	elsewhere.host = samuraiHost
	stranger := p.at(modelswitchHost, "3", nil)
	secrets = append(secrets, stranger.key.Key, p.anotherAt(elsewhere, nil).key.Key, p.anotherAt(owner, billing()).key.Key, p.anotherAt(owner, map[string]any{"test": true}).key.Key)

	keys, a = p.keys(owner)
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
		if (k.ExpiresAt != nil) != (k.Name == "Laptop") || k.Active == (k.Name == "Old") {
			p.Errorf("%+v", k)
		}
	}
	if want := []string{"Production 17", "Laptop", "Old"}; !slices.Equal(names, want) {
		p.Errorf("the account sees the keys %v, and not %v", names, want)
	}
	for _, secret := range secrets {
		if strings.Contains(string(a.body), secret[len(secret)-20:]) {
			p.Errorf("the list tells a key: %s", a.body)
		}
	}
	p.note("proxy keys of the account and site: neither billing keys, nor those of others, of other sites, for tests, or deleted")
}

// newKey has its owner make a key, whose value is shown this once.
func newKey(p *proof, owner caller, body string) caller {
	p.Helper()
	a := p.wants(p.ask(owner, keysPath, body), http.StatusOK)
	made := owner
	made.key.ID, made.key.Key = p.text(a, "id"), p.text(a, "key")
	p.world.report.hide(made.key.Key)
	if !regexp.MustCompile(`^ms-[0-9A-Za-z]{36}$`).MatchString(made.key.Key) {
		p.Errorf("a new key does not look like one: %d characters", len(made.key.Key))
	}
	return made
}
