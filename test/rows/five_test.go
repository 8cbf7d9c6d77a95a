package rows

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// The hosts of examples/five-services.yaml.
const (
	ninjaHost       = "ninja.localhost"
	llmtuneHost     = "llmtune.localhost"
	llmtunePages    = "app.llmtune.localhost"
	nanoHost        = "nano.localhost"
	modelswitchHost = "modelswitch.localhost"
	samuraiHost     = "samurai.localhost"
)

// startFive starts a gateway with the example's configuration: its simulator is
// replaced by an upstream that answers everything well, and the models that
// rows break are added to it.
func startFive(t testing.TB, models []model) *gateway {
	t.Helper()
	g := &gateway{up: map[string]*testkit.Upstream{}}
	example := harness.Example(t, "five-services.yaml")
	providers, entries := example["providers"].(map[string]any), example["models"].(map[string]any)
	g.good = newGood(t)
	providers["upstream"] = map[string]any{"kind": "openai", "base_url": g.good.URL + "/v1", "api_key": "sk-upstream-five", "catalog": "none"}
	for _, m := range models {
		url := m.url
		if url == "" {
			g.up[m.name], url = serve(t, m)
		}
		kind := m.kind
		if kind == "" {
			kind = "openai"
		}
		provider := map[string]any{"kind": kind, "base_url": url + "/v1", "api_key": "sk-upstream-" + m.name}
		if m.timeouts != "" {
			provider["timeouts"] = flow(t, m.timeouts)
		}
		providers["acme-"+m.name] = provider
		entry := flow(t, m.more)
		if _, has := entry["price"]; !has {
			entry["price"] = map[string]any{"input": "1.10", "output": "4.40"}
		}
		entry["owned_by"] = "house"
		targets := []any{}
		for _, at := range append([]string{m.name}, m.also...) {
			targets = append(targets, map[string]any{"provider": "acme-" + at, "model": "acme-" + at})
		}
		entry["targets"] = targets
		entries[m.name] = entry
		for _, name := range m.fallbacks {
			site := siteOf(t, example, m.site)
			list, _ := site["fallbacks"].(map[string]any)
			if list == nil {
				list = map[string]any{}
				site["fallbacks"] = list
			}
			before, _ := list[m.name].([]any)
			list[m.name] = append(before, name)
		}
	}
	example["routing"] = map[string]any{"backoff": map[string]any{"base": "10ms"}}
	config, err := yaml.Dump(example)
	if err != nil {
		t.Fatal(err)
	}
	g.Gateway = harness.Start(t, harness.Options{Server: server, Config: string(config)})
	return g
}

// siteOf finds the site of a host.
func siteOf(t testing.TB, example map[string]any, host string) map[string]any {
	t.Helper()
	for _, s := range example["sites"].([]any) {
		site := s.(map[string]any)
		for _, h := range site["hosts"].([]any) {
			if h == host {
				return site
			}
		}
	}
	t.Fatalf("the example has no site %q", host)
	return nil
}

// flow reads members in YAML flow style.
func flow(t testing.TB, members string) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := yaml.Load([]byte("{"+members+"}"), &out); err != nil {
		t.Fatalf("%s: %v", members, err)
	}
	return out
}

// newGood starts an upstream that answers every request well: chat, whole or
// streamed, and embeddings, in the name of the model that was asked for.
func newGood(t testing.TB) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var asked struct {
			Model string `json:"model"`
		}
		if err := json.Unmarshal(body, &asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		as := strings.NewReplacer("acme-m", asked.Model, "acme-e", asked.Model)
		switch {
		case strings.HasSuffix(r.URL.Path, "/embeddings"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = as.WriteString(w, embeddingBody)
		case bytes.Contains(body, []byte(`"stream":true`)):
			w.Header().Set("Content-Type", "text/event-stream")
			for _, payload := range chatStream {
				_, _ = as.WriteString(w, "data: "+payload+"\n\n")
			}
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = as.WriteString(w, chatBody)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

const embeddingBody = `{"object":"list","model":"acme-e","data":[{"object":"embedding","index":0,"embedding":[0.25,-0.5]}],` +
	`"usage":{"prompt_tokens":7,"total_tokens":7}}`

// at makes an account with usd dollars and a key of the site at host.
func (p *proof) at(host, usd string, more map[string]any) caller {
	p.Helper()
	return p.atPlan(host, usd, "", more)
}

// atPlan is at, for an account with a plan.
func (p *proof) atPlan(host, usd, plan string, more map[string]any) caller {
	p.Helper()
	g := p.world.five
	account := map[string]any{"name": p.row.ID}
	if plan != "" {
		account["plan"] = plan
	}
	var a harness.Account
	g.MustAdmin(p, "POST", "/admin/v1/accounts", account, &a)
	c := caller{gw: g, host: host, account: a.ID}
	if usd != "0" {
		c.credit(p, usd)
	}
	return p.anotherAt(c, more)
}

// anotherAt makes another key of the same account and site.
func (p *proof) anotherAt(c caller, more map[string]any) caller {
	p.Helper()
	key := map[string]any{"site": c.host}
	for name, v := range more {
		key[name] = v
	}
	return p.another(c, key)
}

// billing is a key of kind billing.
func billing() map[string]any { return map[string]any{"kind": "billing"} }

// later lists the rows whose feature is not built yet, with what they wait for.
var later = nanogptLater
