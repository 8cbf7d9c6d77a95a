package rows

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// samuraiMessages is the path of Anthropic's shape at samurai.
const samuraiMessages = "/api/v1/messages"

// The quotas of the plan free, which accounts without a plan have.
const (
	freeOpen   = 150
	freeClosed = 70
)

// samuraiModels are the models that rows of samurai break.
func samuraiModels(t testing.TB) []model {
	ms := []model{
		{name: "samurai-claude", kind: "anthropic", answer: testkit.JSON(200, messageBody), streamed: named(messageWhole...)},
		{name: "samurai-refusing", url: nobody(t), more: "attempts: 2"},
		{name: "samurai-slow", answer: testkit.Answer{HangHeaders: true}, timeouts: "headers: 400ms"},
		{name: "samurai-limited", answer: with(says(429, "requests", "rate_limit_exceeded", "Rate limit reached for acme-4711"), "Retry-After", "17")},
		{name: "samurai-auth", answer: says(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-upstream-samurai-auth.")},
		{name: "samurai-quota", answer: says(429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota, acme-4711.")},
		{name: "samurai-busy", kind: "anthropic", answer: anthropicSays(529, "overloaded_error", "Acme is overloaded.")},
		{name: "samurai-policy", answer: says(400, "invalid_request_error", "content_policy_violation", "Your request was rejected by our safety system.")},
	}
	for _, b := range brokenUpstreams {
		ms = append(ms, model{name: "samurai-" + b.name, answer: b.answer})
	}
	for _, m := range append(interrupted, interruptedMessages...) {
		m.name = "samurai-" + m.name
		ms = append(ms, m)
	}
	return ms
}

// messageWhole is a stream of messages that ends well.
var messageWhole = append(append([]string(nil), messageBeginning...),
	`{"type":"content_block_stop","index":0}`,
	`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5}}`,
	`{"type":"message_stop"}`)

// samuraiRows are the rows of samurai.
var samuraiRows = merged(samuraiRefusals, samuraiKeys, samuraiPlans, samuraiCredits, samuraiUpstreams, samuraiChain, samuraiClients)

// apart makes the row's gateway with all services another one. Near the end of
// the day its clock is put past it, so that no quota ends in the middle.
func (p *proof) apart(g *gateway) *gateway {
	p.Helper()
	w := *p.world
	w.five = g
	p.world = &w
	if now := g.now(p); time.Until(midnight(now)) < 10*time.Minute {
		g.advance(p, "10m")
	}
	return g
}

// samuraiGateway is a gateway all of whose models are served by one upstream.
type samuraiGateway struct {
	*gateway
	instead atomic.Pointer[testkit.Upstream] // answers in place of the good one, if it is set
}

// startSamurai starts a gateway with the example's configuration after a change
// to it.
func startSamurai(t testing.TB, change func(example, site map[string]any)) *samuraiGateway {
	t.Helper()
	g := &samuraiGateway{gateway: &gateway{good: newGood(t)}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u := g.instead.Load(); u != nil {
			u.ServeHTTP(w, r)
			return
		}
		g.good.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	example := harness.Example(t, "five-services.yaml")
	example["providers"].(map[string]any)["upstream"] = map[string]any{"kind": "openai", "base_url": front.URL + "/v1", "api_key": "sk-upstream", "catalog": "none"}
	example["routing"] = map[string]any{"backoff": map[string]any{"base": "10ms"}}
	change(example, siteOf(t, example, samuraiHost))
	config, err := yaml.Dump(example)
	if err != nil {
		t.Fatal(err)
	}
	g.Gateway = harness.Start(t, harness.Options{Server: server, Config: string(config)})
	return g
}

// asItIs leaves the example as it is.
func asItIs(_, _ map[string]any) {}

// plans puts other plans on a site, in YAML flow style.
func plans(t testing.TB, members string) func(_, site map[string]any) {
	return func(_, site map[string]any) { site["plans"] = flow(t, members) }
}

// midnight is the next 00:00 UTC after now.
func midnight(now time.Time) time.Time {
	return now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
}

// left checks what an answer tells of the day's quota.
func (p *proof) left(a *answer, limit, remaining int) *answer {
	p.Helper()
	for name, want := range map[string]string{
		"X-RateLimit-Limit-Requests":     strconv.Itoa(limit),
		"X-RateLimit-Remaining-Requests": strconv.Itoa(remaining),
		"X-RateLimit-Reset-Requests":     midnight(p.world.five.now(p)).Format(time.RFC3339),
	} {
		if got := a.header.Get(name); got != want {
			p.Errorf("%s %s %s: %d: %s is %q, and not %q", a.request.Method, a.request.URL, a.request.Body, a.status, name, got, want)
		}
	}
	return a
}

// counted is how many requests an account was counted today, by class.
func (p *proof) counted(c caller) map[string]int64 {
	p.Helper()
	var out struct {
		Data []struct {
			Counter, Class string
			Test           bool
			Used           any // of other counters an amount
		}
	}
	c.gw.MustAdmin(p, "GET", "/admin/v1/accounts/"+c.account+"/limits", nil, &out)
	n := map[string]int64{}
	for _, l := range out.Data {
		if l.Counter == "plan_requests_per_day" && !l.Test {
			n[l.Class] = int64(l.Used.(float64))
		}
	}
	return n
}

// wantsError checks that an answer is the given failure in samurai's shape.
func (p *proof) wantsError(a *answer, status int, kind string) *answer {
	p.Helper()
	p.show(a)
	p.wants(a, status)
	p.refusal(a)
	want := map[string]any{"error": map[string]any{"type": kind, "message": "<text>", "code": status}}
	if d := differs(any(p.json(a)), any(want), false); d != "" {
		p.Errorf("the body differs: %s\n%s", d, a.body)
	}
	return a
}

// retries checks what a refusal says of sending the same request again: that it
// helps where the document has its status among those to retry, unless it takes
// longer than SDKs wait.
func (p *proof) retries(a *answer, want string) *answer {
	p.Helper()
	if got := a.header.Get("x-should-retry"); got != want {
		p.Errorf("%d %s: x-should-retry is %q, and not %q", a.status, a.body, got, want)
	}
	return a
}

// raw sends a request with header lines as they stand, in which {key} stands
// for the caller's key, and {head} and {tail} for its two parts.
func (p *proof) raw(c caller, path string, lines []string, body string) *answer {
	p.Helper()
	k := c.key.Key
	filled := strings.NewReplacer("{key}", k, "{head}", k[:20], "{tail}", k[20:])
	masked := strings.NewReplacer("{key}", k[:shownKey]+"…", "{head}", k[:shownKey]+"…", "{tail}", "…")
	before := c.ledger(p)
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.gw.URL, "http://"))
	if err != nil {
		p.Fatalf("%v", err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		p.Fatalf("%v", err)
	}
	head := strings.Join(append([]string{
		"POST " + path + " HTTP/1.1", "Host: " + c.host, "Content-Type: application/json", "Content-Length: " + strconv.Itoa(len(body)),
	}, lines...), "\r\n") + "\r\n\r\n"
	a := &answer{sent: time.Now(), request: shownRequest{
		Method: "POST", URL: c.gw.URL + path, Body: p.world.report.body([]byte(body)),
		Headers: map[string]string{"Host": c.host, "as sent": strconv.Quote(masked.Replace(strings.Join(lines, "\r\n")))},
	}}
	if _, err := conn.Write([]byte(filled.Replace(head) + body)); err != nil {
		p.Fatalf("%v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		p.Fatalf("%q: %v", masked.Replace(strings.Join(lines, "\r\n")), err)
	}
	defer func() { _ = resp.Body.Close() }()
	p.read(a, resp)
	a.ledger = &ledgers{Before: before, After: c.ledger(p)}
	return a
}
