package wire

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

// counter is a contract with desks, controls and a role.
const counter = `
name: counter
keys: {prefixes: {inference: [c-]}, whitespace: trim, headers: [authorization]}
routes:
  POST /chat: {surface: openai.chat, envelope: flat}
  POST /models/{model}/ask: {surface: prompt, envelope: flat}
  GET /models: {surface: openai.models, envelope: flat, kind: none, answer: {n: $count, ids: {each: $models, as: $id}}, only: chat}
  GET /models/{id...}: {surface: openai.models, envelope: flat}
  GET /balance: {surface: account.balance, envelope: flat, answer: {usd: $available_usd}}
  POST /keys: {surface: account.keys, envelope: flat, status: 201, answer: {id: $id}}
  DELETE /keys/{key}: {surface: account.keys, envelope: flat, answer: {gone: $deleted}}
  GET /pages: {surface: account.usage, envelope: flat, role: dashboard, answer: {limit: $limit}}
fallback: {/: flat}
retryable: [429]
controls:
  provider.fallback: {value: false, means: no_fallback}
  cache.sticky: {value: true, means: sticky}
  cache: {means: nothing}
  mark.sticky: {value: true, means: sticky}
  mark: {means: nothing, unless: type}
  search: {means: refuse, fault: input_modality_unsupported}
  header.memory: {means: refuse, fault: unsupported_parameter}
  header.fallback: {value: false, means: no_fallback}
envelopes:
  flat: {body: {error: $fault, "field?": $param}, stream: {after: close}}
defaults:
  request: {status: 400}
  credential: {status: 401}
  permission: {status: 403}
  model: {status: 404}
  limit: {status: 429}
  money: {status: 402}
  idempotency: {status: 409}
  content: {status: 400}
  upstream: {status: 502}
  own_key: {status: 401}
  gateway: {status: 503}
faults: {internal: {status: 500}}
extras:
  rate: {headers: {X-Left: $rate_remaining}}
`

// told is a desk that notes what it was asked.
type told struct{ seen []Question }

func (d *told) Answer(_ context.Context, q Question) (contract.Data, error) {
	d.seen = append(d.seen, q)
	if q.ID == "none" {
		return contract.Data{}, fault.New(fault.NotFound, "")
	}
	data := contract.Data{Values: contract.Values{"available": contract.USD(money.Cent), "id": contract.Text("k1"), "deleted": contract.Flag(true), "limit": contract.Number(3)}}
	if q.Keep != nil {
		data.Values["id"] = contract.Text(string(q.Keep(data).Body))
	}
	return data, nil
}

// parrot is a dialect that answers with the body and the path it was given.
type parrot struct{ plain }

func (p parrot) Decode(b []byte, _ map[string][]string) (*llm.Request, error) {
	return &llm.Request{Model: string(b)}, nil
}

func (p parrot) DecodeFor(model string, b []byte, _ map[string][]string) (*llm.Request, error) {
	return &llm.Request{Model: model + " " + string(b)}, nil
}

func deskHouse(t *testing.T, f *fake, d *told) *httptest.Server {
	t.Helper()
	c, err := contract.Parse("counter.yaml", []byte(counter))
	if err != nil {
		t.Fatal(err)
	}
	f.open = func(ctx context.Context) (*fakeCall, error) {
		return &fakeCall{ctx: ctx, steps: []any{last("{}")}}, nil
	}
	s := NewServer(Options{
		Gateway: f, Dialects: map[string]Dialect{"openai.chat": parrot{}, "prompt": parrot{}}, Listers: map[string]ModelLister{"openai.models": plain{}},
		Desks: map[string]Desk{"account.balance": d, "account.keys": d, "account.usage": d},
		Done:  func(*obs.Event) {}, BodyLimit: 1000,
	}, NewSites([]*Site{
		{Name: "api", Hosts: []string{"api.test"}, Contract: c},
		{Name: "pages", Hosts: []string{"pages.test"}, Contract: c, Dashboard: true},
	}))
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return srv
}

func fetch(t *testing.T, srv *httptest.Server, method, host, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return resp, string(b)
}

func TestDesks(t *testing.T) {
	t.Parallel()
	d := &told{}
	srv := deskHouse(t, &fake{quota: contract.Limits{Known: true, Remaining: 7}}, d)
	for _, c := range []struct {
		method, host, path, body string
		status                   int
		want                     string
		seen                     string // surface, method, id, body
	}{
		{"GET", "api.test", "/balance", "", 200, `{"usd":"0.01"}`, "account.balance GET  "},
		{"HEAD", "api.test", "/balance", "", 200, "", "account.balance GET  "},
		{"POST", "api.test", "/keys", `{"name":"x"}`, 201, `{"id":"k1"}`, `account.keys POST  {"name":"x"}`},
		{"DELETE", "api.test", "/keys/a/b", "", 200, `{"gone":true}`, "account.keys DELETE a/b "},
		{"DELETE", "api.test", "/keys/none", "", 400, `{"error":"not_found"}`, "account.keys DELETE none "},
		{"POST", "api.test", "/keys", strings.Repeat("x", 1001), 400, `{"error":"body_too_large"}`, ""},
		{"PUT", "api.test", "/keys", "", 400, `{"error":"method_not_allowed"}`, ""},
		{"GET", "api.test", "/pages", "", 403, `{"error":"endpoint_not_allowed"}`, ""},
		{"GET", "pages.test", "/pages", "", 200, `{"limit":3}`, "account.usage GET  "},
		{"GET", "pages.test", "/balance", "", 403, `{"error":"endpoint_not_allowed"}`, ""},
		{"POST", "pages.test", "/chat", "{}", 403, `{"error":"endpoint_not_allowed"}`, ""},
		{"GET", "pages.test", "/models", "", 200, `{"n":0,"ids":[]}`, ""},
		{"GET", "pages.test", "/pages?limit=%zz", "", 400, `{"error":"invalid_request"}`, ""},
		{"GET", "pages.test", "/pages?limit=1;offset=2", "", 400, `{"error":"invalid_request"}`, ""},
		{"GET", "pages.test", "/models?limit=%zz", "", 400, `{"error":"invalid_request"}`, ""},
		{"GET", "pages.test", "/nothing", "", 400, `{"error":"not_found"}`, ""},
	} {
		d.seen = nil
		resp, body := fetch(t, srv, c.method, c.host, c.path, c.body)
		seen := ""
		for _, q := range d.seen {
			seen += fmt.Sprintf("%s %s %s %s", q.Surface, q.Method, q.ID, q.Body)
		}
		if resp.StatusCode != c.status || body != c.want || seen != c.seen {
			t.Errorf("%s %s%s: %d %s, the desk saw %q; want %d %s, %q", c.method, c.host, c.path, resp.StatusCode, body, seen, c.status, c.want, c.seen)
		}
		anybody := c.method == "PUT" || c.path == "/nothing" // refused before anybody was looked at
		if (resp.Header.Get("X-Left") == "7") == anybody {
			t.Errorf("%s %s%s: rate headers: %v", c.method, c.host, c.path, resp.Header)
		}
	}
}

func TestADeskKeepsItsAnswerForAKey(t *testing.T) {
	t.Parallel()
	d := &told{}
	srv := deskHouse(t, &fake{claim: func(string, [32]byte, time.Duration) (*Kept, error) { return nil, nil }}, d)
	if _, body := fetch(t, srv, "POST", "api.test", "/keys", `{}`, "Idempotency-Key", "k"); body != `{"id":"{\"id\":\"k1\"}"}` {
		t.Errorf("%s", body)
	}
	d.seen = nil
	if fetch(t, srv, "POST", "api.test", "/keys", `{}`); d.seen[0].Keep != nil {
		t.Error("without a key there is nothing to keep")
	}
}

func TestTheModelOfThePath(t *testing.T) {
	t.Parallel()
	f := &fake{}
	var asked string
	srv := deskHouse(t, f, &told{})
	f.open = func(ctx context.Context) (*fakeCall, error) {
		return &fakeCall{ctx: ctx, steps: []any{last("{}")}}, nil
	}
	f.opened = func(r *llm.Request) { asked = r.Model }
	for path, want := range map[string]string{"/models/m/ask": "m {}", "/models/a/b/ask": "a/b {}", "/models/a%2Fb/ask": "a/b {}"} {
		if resp, body := fetch(t, srv, "POST", "api.test", path, "{}"); resp.StatusCode != 200 || asked != want {
			t.Errorf("%s: %d %s, asked %q", path, resp.StatusCode, body, asked)
		}
	}
	// A model may be called as the path goes on; and a path has its own methods.
	if resp, body := fetch(t, srv, "GET", "api.test", "/models/m/ask", ""); resp.StatusCode != 404 || body != `{"error":"model_not_found","field":"model"}` {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := fetch(t, srv, "PUT", "api.test", "/models/m/ask", ""); resp.Header.Get("Allow") != "POST, GET" {
		t.Errorf("Allow %q", resp.Header.Get("Allow"))
	}
}

func TestWhatSpeaksToTheGatewayGoesNoFurther(t *testing.T) {
	t.Parallel()
	f := &fake{}
	srv := deskHouse(t, f, &told{})
	var sent string
	f.opened = func(r *llm.Request) { sent = r.Model }
	for _, c := range []struct {
		body    string
		headers []string
		sent    string
		wishes  Wishes
		refused string
	}{
		{`{"a":1}`, nil, `{"a":1}`, Wishes{}, ""},
		{`{"a":1,"provider":{"fallback":false}}`, nil, `{"a":1}`, Wishes{NoFallback: true}, ""},
		{`{"provider":{"fallback":true},"a":1}`, nil, `{"a":1}`, Wishes{}, ""},
		{`{"provider":"x","a":1}`, nil, `{"a":1}`, Wishes{}, ""},
		{`{"provider":{"fallback":1}}`, nil, "", Wishes{}, `{"error":"invalid_type","field":"provider.fallback"}`},
		{`{"cache":{"sticky":true},"b":2}`, nil, `{"b":2}`, Wishes{Sticky: true}, ""},
		{`{"cache":null}`, nil, `{"cache":null}`, Wishes{}, ""},
		{`{"mark":{"sticky":true},"b":2}`, nil, `{"b":2}`, Wishes{Sticky: true}, ""},
		{`{"mark":true,"b":2}`, nil, `{"b":2}`, Wishes{}, ""},
		{`{"mark":{"type":"x","ttl":"5m"},"b":2}`, nil, `{"mark":{"type":"x","ttl":"5m"},"b":2}`, Wishes{}, ""},
		{`{"mark":{"type":"x","sticky":true,"ttl":"5m"}}`, nil, `{"mark":{"type":"x","ttl":"5m"}}`, Wishes{Sticky: true}, ""},
		{`{"mark":{"type":"x","sticky":false}}`, nil, `{"mark":{"type":"x"}}`, Wishes{}, ""},
		{`{"mark":{"type":"x","sticky":1}}`, nil, "", Wishes{}, `{"error":"invalid_type","field":"mark.sticky"}`},
		{`{"a":"\"cache\""}`, nil, `{"a":"\"cache\""}`, Wishes{}, ""},
		{`{"a":{"cache":{"sticky":true}}}`, nil, `{"a":{"cache":{"sticky":true}}}`, Wishes{}, ""},
		{`{"a":1,"cache"`, nil, `{"a":1,"cache"`, Wishes{}, ""},
		{`{"search":false}`, nil, `{}`, Wishes{}, ""},
		{`{"search":"off","b":0}`, nil, `{"b":0}`, Wishes{}, ""},
		{`{"search":{}}`, nil, `{}`, Wishes{}, ""},
		{`{"search":0}`, nil, `{}`, Wishes{}, ""},
		{`{"search":{"enabled":false,"depth":"deep"},"b":2}`, nil, `{"b":2}`, Wishes{}, ""},
		{`{"search":{"depth":"deep"}}`, nil, "", Wishes{}, `{"error":"input_modality_unsupported","field":"search"}`},
		{`{"search":{"enabled":"no"}}`, nil, "", Wishes{}, `{"error":"input_modality_unsupported","field":"search"}`},
		{`{"search":{"enabled":true}}`, nil, "", Wishes{}, `{"error":"input_modality_unsupported","field":"search"}`},
		{`{"a":1,"c\u0061che":{"sticky":true}}`, nil, `{"a":1}`, Wishes{Sticky: true}, ""},
		{`{"\u0073earch":"deep"}`, nil, "", Wishes{}, `{"error":"input_modality_unsupported","field":"search"}`},
		{`{"search":"deep"}`, nil, "", Wishes{}, `{"error":"input_modality_unsupported","field":"search"}`},
		{`{}`, []string{"Memory", "30"}, "", Wishes{}, `{"error":"unsupported_parameter","field":"Memory"}`},
		{`{}`, []string{"Fallback", "perhaps"}, `{}`, Wishes{}, ""},
		{`{}`, []string{"Memory", "true"}, "", Wishes{}, `{"error":"unsupported_parameter","field":"Memory"}`},
		{`{}`, []string{"Memory", "off"}, `{}`, Wishes{}, ""},
		{`{}`, []string{"Fallback", "no"}, `{}`, Wishes{NoFallback: true}, ""},
		{`{}`, []string{"Fallback", "yes"}, `{}`, Wishes{}, ""},
		{`{}`, []string{"X-No-Fallback", "true", "X-Require-Full-Output", "true", "X-Stainless-Retry-Count", "1"}, `{}`, Wishes{NoFallback: true, FullOutput: true, Impatient: true}, ""},
	} {
		sent, f.wish = "", Wishes{}
		_, body := fetch(t, srv, "POST", "api.test", "/chat", c.body, c.headers...)
		if sent != c.sent || !reflect.DeepEqual(f.wish, c.wishes) || (c.refused != "" && body != c.refused) {
			t.Errorf("%s %v: sent %s with %+v, answered %s", c.body, c.headers, sent, f.wish, body)
		}
	}
}

func TestSitesOfSeveralListeners(t *testing.T) {
	t.Parallel()
	c, err := contract.Load("openai")
	if err != nil {
		t.Fatal(err)
	}
	s := NewSites([]*Site{
		{Name: "*", Hosts: []string{"*"}, Contract: c},
		{Name: "a", Hosts: []string{"a.test"}, Contract: c},
		{Name: "own", Listener: ":1", Hosts: []string{"*"}, Contract: c},
		{Name: "b", Listener: ":2", Hosts: []string{"b.test"}, Contract: c},
	})
	for _, k := range []struct{ listener, host, want string }{
		{"", "a.test:80", "a"}, {"", "A.TEST", "a"}, {"", "b.test", "*"}, {":1", "a.test", "own"}, {":2", "b.test.", "b"}, {":2", "a.test", ""}, {":3", "a.test", ""},
	} {
		got := s.Find(k.listener, k.host)
		if (got == nil) != (k.want == "") || (got != nil && got.Name != k.want) {
			t.Errorf("%s at %s: %+v, want %q", k.host, k.listener, got, k.want)
		}
	}
}
