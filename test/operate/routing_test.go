package operate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// told is the answer of an upstream, whole.
const toldBody = `{"id":"c","object":"chat.completion","created":1790000000,"model":"upstream","choices":[{"index":0,"message":{"role":"assistant","content":"Rayleigh."},"finish_reason":"stop"}],` +
	`"usage":{"prompt_tokens":12,"completion_tokens":4,"total_tokens":16}}`

// routed starts a gateway with the providers up-a, up-b and so on, and more
// configuration.
func routed(t *testing.T, log *record, config string, ups ...*testkit.Upstream) *harness.Gateway {
	t.Helper()
	var b strings.Builder
	b.WriteString("providers:\n")
	for i, u := range ups {
		fmt.Fprintf(&b, "  up-%c: {kind: openai, base_url: %q, api_key: sk-upstream-4711}\n", 'a'+i, u.URL+"/v1")
	}
	o := harness.Options{Config: b.String() + config}
	if log != nil {
		o.Log = log
	}
	return harness.Start(t, o)
}

func TestAChainOfModelsTellsWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	dead := testkit.NewUpstream(t)
	dead.Always(testkit.JSON(500, `{"error":{"message":"a defect"}}`))
	live := testkit.NewUpstream(t)
	g := routed(t, nil, `
models:
  a: {targets: [{provider: up-a}], attempts: 1, price: {request: 0.001}}
  b: {targets: [{provider: up-b}], price: {request: 0.003}}
  dear: {targets: [{provider: up-b}], price: {request: 500}}
sites: [{hosts: ["*"], contract: ninjachat}]
`, dead, live)
	c := newCustomer(t, g, "1", nil)
	report := `{"chain":["a","dear","b"],"triggered":true,"attempts":[{"model":"a","success":false,"error":"generation_failed"},{"model":"dear","success":false,"error":"insufficient_credits"},{"model":"b","success":true}]}`

	live.Queue(testkit.JSON(200, toldBody))
	r := ask(t, g, call{path: "/api/v1/chat", key: c.key, body: chat("a > dear>b", "")}).is(t, 200)
	var whole struct {
		Model    string
		Fallback json.RawMessage
	}
	if err := json.Unmarshal(r.body, &whole); err != nil || whole.Model != "b" || string(whole.Fallback) != report {
		t.Errorf("%v: %s", err, r.body)
	}
	if got := r.header.Get("X-Charge-USD"); got != "0.003" {
		t.Errorf("charged %s, and not the price of b", got)
	}
	if sent := live.Request(0).Body; !strings.Contains(string(sent), `"model":"b"`) || strings.Contains(string(sent), ">") {
		t.Errorf("the provider was sent %s", sent)
	}
	receipt := g.Receipt(t, r.header.Get("X-Request-ID"), func(r harness.Receipt) bool { return r.Outcome != "" })
	if receipt.Outcome != "ok" {
		t.Errorf("receipt: %+v", receipt)
	}

	live.Queue(testkit.SSE(chunk("Rayleigh."), chunk(""), "[DONE]"))
	r = ask(t, g, call{path: "/api/v1/chat", key: c.key, body: chat("a>dear>b", `"stream":true`)}).is(t, 200)
	frames := strings.Split(strings.TrimSpace(string(r.body)), "\n\n")
	if n := len(frames); n < 3 || frames[n-1] != "data: [DONE]" || !strings.Contains(frames[n-2], `"fallback":`+report) || strings.Contains(frames[0], "fallback") {
		t.Errorf("streamed:\n%s", r.body)
	}

	for body, status := range map[string]int{chat("a>b>nobody", ""): 400, chat("a>>b", ""): 400, chat("a>b", `"fallback_on_error":false`): 502} {
		before := len(live.Received())
		ask(t, g, call{path: "/api/v1/chat", key: c.key, body: body}).is(t, status)
		if len(live.Received()) != before {
			t.Errorf("%s: b was asked", body)
		}
	}
	settled(t, g)
}

func TestACallerChoosesModelsAndProviders(t *testing.T) {
	t.Parallel()
	var ups []*testkit.Upstream
	for range 2 {
		u := testkit.NewUpstream(t)
		u.Always(testkit.JSON(200, toldBody))
		ups = append(ups, u)
	}
	g := routed(t, nil, `
models:
  m: {targets: [{provider: up-a, model: m, weight: 1}, {provider: up-b, model: m, weight: 1}], price: {input: 10.00, output: 100.00}}
  cheap: {targets: [{provider: up-b, model: cheap}], price: {input: 1.00, output: 1.00}}
sites: [{hosts: ["*"], contract: openai}]
`, ups...)
	c := newCustomer(t, g, "5", nil)
	count := func() [2]int { return [2]int{len(ups[0].Received()), len(ups[1].Received())} }
	asks := func(n int, want [2]int, body string, header map[string]string) {
		t.Helper()
		before := count()
		for range n {
			ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: body, header: header}).is(t, 200)
		}
		after := count()
		if got := [2]int{after[0] - before[0], after[1] - before[1]}; got != want {
			t.Errorf("%s %v: the providers were asked %v times, want %v", body, header, got, want)
		}
	}
	asks(4, [2]int{4, 0}, chat("m", `"provider":{"only":["up-a"]}`), nil)
	asks(4, [2]int{0, 4}, chat("m", `"provider":{"ignore":["UP-A"]}`), nil)
	asks(4, [2]int{0, 4}, chat("m", `"provider":{"order":["up-b"]}`), nil)
	asks(4, [2]int{4, 0}, chat("m", ""), map[string]string{"X-Provider": "Up-A"})
	asks(1, [2]int{0, 1}, chat("m", `"models":["cheap"],"provider":{"max_price":{"prompt":2}}`), nil)
	asks(1, [2]int{0, 1}, `{"models":["cheap","m"],"messages":[{"role":"user","content":"Hi"}]}`, nil)
	for _, u := range ups {
		for _, r := range u.Received() {
			if strings.Contains(string(r.Body), "provider") || strings.Contains(string(r.Body), "models") || r.Header.Get("X-Provider") != "" {
				t.Errorf("a provider was sent %s", r.Body)
			}
		}
	}
	for body, param := range map[string]string{
		chat("m", `"provider":{"only":["acme"]}`):            "provider.only",
		chat("m", `"provider":{"max_price":{"prompt":"1"}}`): "provider.max_price.prompt",
		chat("cheap", `"provider":{"only":["up-a"]}`):        "provider.only",
		chat("m", `"provider":{"quantizations":["fp8"]}`):    "provider.quantizations",
		chat("m", `"models":["nobody"]`):                     "models",
	} {
		r := ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: body})
		if r.status/100 != 4 || !strings.Contains(string(r.body), fmt.Sprintf(`"param":%q`, param)) {
			t.Errorf("%s: %d %s, want %s refused", body, r.status, r.body, param)
		}
	}
	// The requests of one session go to one provider, and those of many to both.
	places := map[[2]int]bool{}
	for i := range 16 {
		before := count()
		for range 3 {
			ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: chat("m", ""), header: map[string]string{"X-Session-Id": fmt.Sprint("s", i)}}).is(t, 200)
		}
		after := count()
		places[[2]int{after[0] - before[0], after[1] - before[1]}] = true
	}
	if len(places) != 2 || !places[[2]int{3, 0}] || !places[[2]int{0, 3}] {
		t.Errorf("16 sessions of three requests each went to %v", places)
	}
	settled(t, g)
}

func TestTheStateOfTargetsIsSeen(t *testing.T) {
	t.Parallel()
	refused := testkit.JSON(401, `{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}`)
	u := testkit.NewUpstream(t, refused, testkit.JSON(200, toldBody), testkit.JSON(200, toldBody))
	gone := testkit.NewUpstream(t)
	gone.Always(testkit.JSON(503, `{}`))
	log := &record{}
	g := harness.Start(t, harness.Options{Log: log, Config: fmt.Sprintf(`
providers:
  two: {kind: openai, base_url: %q, api_keys: [sk-upstream-one-4711, sk-upstream-two-4711]}
  gone: {kind: openai, base_url: %q, api_key: none, health_check: {interval: 1s}}
models:
  m: {targets: [{provider: two, model: m}], price: {request: 0.001}}
  n: {targets: [{provider: two, model: n}], price: {request: 0.001}}
  o: {targets: [{provider: gone, model: o}], price: {request: 0.001}}
sites: [{hosts: ["*"], contract: openai}]
`, u.URL+"/v1", gone.URL+"/v1")})
	c := newCustomer(t, g, "1", nil)
	for _, model := range []string{"m", "n"} {
		ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: chat(model, "")}).is(t, 200)
	}
	if got := u.Received(); len(got) != 3 || got[0].Header.Get("Authorization") == got[1].Header.Get("Authorization") || got[2].Header.Get("Authorization") != got[1].Header.Get("Authorization") {
		t.Errorf("%d requests: the key that was refused was used for the other model", len(got))
	}
	type target struct {
		Target           string
		Healthy          bool
		Breaker          string
		Reason           *string
		QuarantinedUntil *string `json:"quarantined_until"`
		LatencyMS        *int64  `json:"latency_ms"`
	}
	targets := func() map[string]target {
		var list struct{ Data []target }
		g.MustAdmin(t, "GET", "/admin/v1/targets", nil, &list)
		out := map[string]target{}
		for _, x := range list.Data {
			out[x.Target] = x
		}
		return out
	}
	quarantined := 0
	for id, x := range targets() {
		if strings.HasPrefix(id, "two/") && x.QuarantinedUntil != nil && !x.Healthy && *x.Reason == "upstream_auth" {
			quarantined++
		}
	}
	if quarantined != 2 {
		t.Errorf("%d targets are quarantined, and not those of one key", quarantined)
	}
	// Nobody has asked for o: a look has found out.
	eventually(t, "the look at a provider that is not there", func() bool { return targets()["gone/o"].Breaker == "open" })
	gone.Always(testkit.JSON(200, `{"data":[]}`))
	eventually(t, "the look at a provider that is there again", func() bool { return targets()["gone/o"].Breaker == "half_open" })
	for _, r := range gone.Received() {
		if r.Method != "GET" || r.Path != "/v1/models" {
			t.Errorf("a look asked %s %s", r.Method, r.Path)
		}
	}
	gone.Always(testkit.JSON(200, toldBody))
	ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: chat("o", "")}).is(t, 200)
	if got := targets()["gone/o"]; got.Breaker != "closed" || !got.Healthy {
		t.Errorf("it has answered: %+v", got)
	}
	for words, times := range map[string]int{"a credential is out of use": 1, "a target is out of use": 1, "a target is in use again": 1, "sk-upstream": 0} {
		if got := strings.Count(log.String(), words); got != times {
			t.Errorf("the log says %d times %q, want %d", got, words, times)
		}
	}
	metrics := scraped(t, g)
	for _, want := range []string{`pontage_circuit_state{target="gone/o"} 0`, `pontage_target_quarantine_seconds{target="two/m`, `pontage_failovers_total{from="two/`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}
