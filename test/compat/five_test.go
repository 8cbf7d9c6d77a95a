package compat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// five is the example of five services side by side, with its simulator replaced
// by the upstream of this package for live keys, and with a listener for each
// service, so that no SDK needs to know of hosts. broken is another one, for the
// tests that make a handler fail, since that may hit whoever comes next.
var (
	five   = &fleet{}
	broken = &fleet{idle: true}
)

// fleet is a gateway that presents all services of the example, and whoever
// calls them.
type fleet struct {
	once
	services []*service
	idle     bool   // nothing may run but what a test asks for
	busy     func() // ends the request that its caller repeats while it runs; nil: none runs
}

// service is one of the services, with keys for each way to be refused. Node
// reads it, too.
type service struct {
	Name     string // of the contract
	URL      string
	Chat     string   // what OpenAI's SDKs need behind URL
	Post     string   // where there are no chat completions: a path of chat below Chat
	Messages []string // what Anthropic's SDKs need behind URL; empty: there are no messages
	Key      string
	TestKey  string
	Cases    []refusal
	Rows     map[string]map[string]row // by "chat" or "messages", and fault
	Frames   map[string]string         // by "chat" or "messages": what ends a stream that has broken off, JSON

	site string // where keys are known
}

// row is a row of docs/errors.md.
type row struct {
	Status  int
	Retry   string
	Example string
}

// refusal is a request that is refused for what it is, not by the simulator.
// In its body SDK stands for who asks, and MODE for how.
type refusal struct {
	Name     string
	Key      string
	Body     string // JSON
	Header   map[string]string
	Fault    string
	Param    string   // the field at fault, where the envelope shows it
	Tries    int      // of an SDK that may retry once; 0: as the row says
	Surfaces []string // empty: chat and, where there are, messages
}

// the services of the example, by the first host of their sites.
var inExample = map[string]service{
	"*":                     {Name: "openai", Chat: "/v1", Messages: []string{""}},
	"ninja.localhost":       {Name: "ninjachat", Chat: "/api/v1", Post: "/chat"},
	"llmtune.localhost":     {Name: "llmtune", Chat: "/v1"},
	"nano.localhost":        {Name: "nanogpt", Chat: "/api/v1", Messages: []string{"", "/api", "/api/v1"}},
	"modelswitch.localhost": {Name: "modelswitch", Chat: "/v1"},
	"samurai.localhost":     {Name: "samurai", Chat: "/v1", Messages: []string{"/api"}},
}

// sdks and modes make the models of which one request each may break the
// provider.
var (
	sdks  = []string{"go", "node", "go-anthropic", "node-anthropic"}
	modes = []string{"whole", "streamed"}
)

// breaking are the plays that break a provider, and what callers are told.
var breaking = map[string]string{
	"status-500": "upstream_failed", "status-503": "upstream_overloaded", "status-429": "upstream_rate_limited",
	"status-401": "upstream_auth", "status-429-quota": "upstream_quota", "hang": "upstream_timeout",
}

// bodyLimit is the most that a body may have, in bytes.
const bodyLimit = 64 << 10

// get starts the gateway for all tests that need it.
func (f *fleet) get(t *testing.T) []*service {
	t.Helper()
	f.start = f.launch
	f.once.get(t)
	return f.services
}

func (f *fleet) launch() (*gateway, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddr()
	if err != nil {
		return nil, err
	}
	config, err := f.config(addr, admin)
	if err != nil {
		return nil, err
	}
	g, err := serve(config, admin)
	if err != nil {
		return nil, err
	}
	g.base, g.admin, g.token = "http://"+addr, "http://"+admin, farToken
	for _, s := range f.services {
		if err := s.furnish(g); err != nil {
			g.stop()
			return nil, err
		}
	}
	if f.idle {
		return g, nil
	}
	if err := f.occupy(); err != nil {
		g.stop()
		return nil, err
	}
	return g, nil
}

// config is the example's configuration, changed as said at [five].
func (f *fleet) config(addr, admin string) ([]byte, error) {
	src, err := os.ReadFile("../../examples/five-services.yaml")
	if err != nil {
		return nil, err
	}
	var c map[string]any
	var ordered struct {
		Sites []struct{ Classes yaml.Node } // which are looked at in their order
	}
	if err := errors.Join(yaml.Unmarshal(src, &c), yaml.Unmarshal(src, &ordered)); err != nil {
		return nil, err
	}
	c["server"] = map[string]any{"listen": addr, "admin_listen": admin, "admin_token": farToken, "body_limit": fmt.Sprint(bodyLimit, "B")}
	c["store"] = map[string]any{"url": "sqlite:five.db"}
	c["routing"] = map[string]any{"backoff": map[string]any{"base": "1ms", "max": "2ms"}, "breaker": map[string]any{"failures": 1000}}
	plays := map[string]any{"kind": "openai", "base_url": upstream.URL() + "/openai/v1", "api_key": farKey, "quirks": "openai", "catalog": "none"}
	providers, models := c["providers"].(map[string]any), c["models"].(map[string]any)
	providers["upstream"] = plays
	for i, site := range c["sites"].([]any) {
		s := site.(map[string]any)
		host := s["hosts"].([]any)[0].(string)
		svc, known := inExample[host]
		if !known {
			continue // account pages, which no SDK looks at
		}
		svc.URL, svc.site = "http://"+addr, host
		if host != "*" {
			if svc.site, err = freeAddr(); err != nil {
				return nil, err
			}
			svc.URL = "http://" + svc.site
			s["hosts"], s["listen"] = []any{"*"}, svc.site
		}
		if plans, has := s["plans"].(map[string]any); has {
			s["classes"] = &ordered.Sites[i].Classes
			plans["single"] = map[string]any{"classes": map[string]any{"closed": map[string]any{"requests_per_day": 1}}}
		}
		svc.breakable(providers, models, plays)
		f.services = append(f.services, &svc)
	}
	return yaml.Marshal(c)
}

// breakable adds the models that requests break, each with a provider of its own.
func (s *service) breakable(providers, models, plays map[string]any) {
	for play := range breaking {
		for _, sdk := range sdks {
			for _, mode := range modes {
				name := strings.Join([]string{play, s.Name, sdk, mode}, "-")
				own := map[string]any{"timeouts": map[string]any{}}
				for k, v := range plays {
					own[k] = v
				}
				if play == "hang" {
					own["timeouts"] = map[string]any{"headers": "100ms"}
				}
				providers["of-"+name] = own
				models[name] = map[string]any{
					"targets": []any{map[string]any{"provider": "of-" + name, "model": "gpt-upstream"}},
					"context": 400000, "max_output": 64000, "price": map[string]any{"input": 1, "output": 2},
				}
			}
		}
	}
}

// furnish makes the keys, the requests that are refused, and what they are
// promised.
func (s *service) furnish(g *gateway) error {
	k := &keyring{g: g, s: s}
	s.Key = k.make("100", nil)
	s.TestKey = k.make("100", map[string]any{"test": true})
	s.Cases = s.refusals(k)
	if k.err != nil {
		return fmt.Errorf("%s: %w", s.Name, k.err)
	}
	return s.promise()
}

// keyring makes keys until that fails.
type keyring struct {
	g    *gateway
	s    *service
	last string // id of the key that was made last
	err  error
}

// make makes an account with some dollars, and a key of the service. More may
// name the account's plan beside the members of a key; spent keys have answered
// one request.
func (k *keyring) make(usd string, more map[string]any) string {
	if k.err != nil {
		return ""
	}
	in := map[string]any{"name": "test", "site": k.s.site, "limits": map[string]any{"rps": 100_000}}
	for name, v := range more {
		in[name] = v
	}
	plan := "pro"
	if p, has := in["plan"]; has {
		plan = p.(string)
		delete(in, "plan")
	}
	account := map[string]any{"name": k.s.Name}
	if k.s.Name == "samurai" {
		account["plan"] = plan
	}
	var acc, key struct{ ID, Key string }
	if k.err = k.g.ask("POST", "/admin/v1/accounts", account, &acc); k.err != nil {
		return ""
	}
	if usd != "" {
		test, _ := in["test"].(bool)
		credit := map[string]any{"amount_usd": usd, "kind": "topup", "test": test}
		k.err = errors.Join(k.err, k.g.ask("POST", "/admin/v1/accounts/"+acc.ID+"/credits", credit, nil))
	}
	k.err = errors.Join(k.err, k.g.ask("POST", "/admin/v1/accounts/"+acc.ID+"/keys", in, &key))
	k.last = key.ID
	return key.Key
}

// inactive makes a key that is switched off.
func (k *keyring) inactive() string {
	key := k.make("1", nil)
	k.err = errors.Join(k.err, k.g.ask("PATCH", "/admin/v1/keys/"+k.last, map[string]any{"active": false}, nil))
	return key
}

// spent makes a key with which one request was answered.
func (k *keyring) spent(more map[string]any) string {
	key := k.make("100", more)
	k.answered(key, nil)
	return key
}

// answered asks for an answer, which must come.
func (k *keyring) answered(key string, header map[string]string) {
	if k.err != nil {
		return
	}
	resp, err := k.s.post(key, asks("gpt-5-mini", play("text"), ""), header)
	if err != nil {
		k.err = err
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		k.err = fmt.Errorf("%d %s, %w", resp.StatusCode, b, err)
	}
}

// post asks for a chat without an SDK.
func (s *service) post(key, body string, header map[string]string) (*http.Response, error) {
	path := s.Post
	if path == "" {
		path = "/chat/completions"
	}
	req, err := http.NewRequest("POST", s.URL+s.Chat+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	for name, v := range header {
		req.Header.Set(name, v)
	}
	return http.DefaultClient.Do(req)
}

// asks makes a body that both families of SDKs take.
func asks(model, prompt, more string) string {
	return fmt.Sprintf(`{"model":%q,"max_tokens":50,"messages":[{"role":"user","content":%q}]%s}`, model, prompt, more)
}

// occupy repeats, while it runs, a request of the service that says at once
// that it does.
func (f *fleet) occupy() error {
	for _, s := range f.services {
		if s.Name != "nanogpt" {
			continue
		}
		arrived := upstream.expect("busy")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			resp, err := s.post(s.Key, asks("gpt-5-mini", play("hang")+note("busy"), ""), map[string]string{"Idempotency-Key": "busy"})
			if err == nil {
				_ = resp.Body.Close()
			}
		}()
		f.busy = func() { upstream.release(); <-ended }
		select {
		case <-arrived:
			return nil
		case <-ended:
			return errors.New("the request that was to hang has ended")
		}
	}
	return errors.New("no service says at once that a request is running")
}

// promise reads what docs/errors.md promises.
func (s *service) promise() error {
	doc, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		return err
	}
	s.Rows, s.Frames = map[string]map[string]row{}, map[string]string{}
	paths := map[string]string{"chat": s.Chat + s.Post, "messages": "/messages"}
	if s.Post == "" {
		paths["chat"] = s.Chat + "/chat/completions"
	}
	_, section, _ := bytes.Cut(doc, []byte("\n## "+s.Name+"\n"))
	section, _, _ = bytes.Cut(section, []byte("\n## "))
	for part := range strings.SplitSeq(string(section), "\n### ") {
		for surface, path := range paths {
			_, at, _ := strings.Cut(part, "\nAt `")
			at, _, _ = strings.Cut(at, "\n")
			if strings.Contains(at, path+"`") {
				if s.Rows[surface], s.Frames[surface], err = promised(part); err != nil {
					return err
				}
			}
		}
	}
	if len(s.Rows["chat"]) < 70 || len(s.Messages) > 0 && len(s.Rows["messages"]) < 70 {
		return fmt.Errorf("docs/errors.md lists %d and %d faults of %s", len(s.Rows["chat"]), len(s.Rows["messages"]), s.Name)
	}
	return nil
}

// promised reads the part of one envelope.
func promised(part string) (map[string]row, string, error) {
	rows := map[string]row{}
	frame := ""
	for line := range strings.Lines(part) {
		if data, ok := strings.CutPrefix(line, "data: {"); ok {
			frame = "{" + strings.TrimSpace(data)
		}
		cells := strings.Split(line, "|")
		if len(cells) != 11 {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		var r row
		if _, err := fmt.Sscan(cells[1], &r.Status); err != nil {
			continue // the head
		}
		r.Retry, r.Example = cells[7], cells[9]
		if !json.Valid([]byte(r.Example)) {
			return nil, "", fmt.Errorf("the example of %s is not JSON: %s", cells[4], r.Example)
		}
		rows[cells[4]] = r
	}
	return rows, frame, nil
}

// tries is how often an SDK that may retry once sends a request that is answered
// with a row: as x-should-retry says, and where that is silent by the status.
func (r row) tries() int {
	retried := r.Status == 408 || r.Status == 409 || r.Status == 429 || r.Status >= 500
	if r.Retry == "yes" || r.Retry == "up to you" && retried {
		return 2
	}
	return 1
}
