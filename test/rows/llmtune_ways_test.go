package rows

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
)

// What rows of llmtune and modelswitch share: each service has models of its own
// that are broken in the same ways, and its rows differ in what is to be seen.

// breakable are the models that rows of one service break; their names begin
// with it. Their providers speak of themselves where speaks is true, for a
// service that shows it.
func breakable(t testing.TB, service string, speaks bool) []model {
	t.Helper()
	ms := []model{
		{name: "good", answer: testkit.JSON(200, chatBody), streamed: testkit.SSE(chatStream...)},
		{name: "gated", answer: testkit.JSON(200, chatBody), more: "attempts: 1"},
		{name: "refusing", url: nobody(t), more: "attempts: 2"},
		{name: "broken", answer: testkit.Answer{HangHeaders: true}, more: "attempts: 1"},
		{name: "slow-headers", answer: testkit.Answer{HangHeaders: true}, timeouts: "headers: 400ms", more: "attempts: 2"},
		{name: "auth-401", answer: says(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-upstream-auth-401. Write to billing@acme.example.")},
	}
	for _, b := range brokenUpstreams {
		ms = append(ms, model{name: b.name, answer: b.answer})
	}
	ms = append(ms,
		model{name: "busy-503", answer: says(503, "server_error", "server_is_overloaded", "The engine is overloaded.")},
		model{name: "busy-529", kind: "anthropic", answer: anthropicSays(529, "overloaded_error", "Overloaded")})
	for _, status := range brokenStatuses {
		ms = append(ms, model{name: fmt.Sprint("bad-", status), answer: says(status, "server_error", "internal", "The engine has a defect.")})
	}
	ms = append(append(ms, interrupted...), interruptedMessages...)
	for i := range ms {
		ms[i].name = service + "-" + ms[i].name
		if speaks {
			ms[i].answer = nameless(ms[i].answer)
		}
	}
	return ms
}

// nameless is an answer in whose words the provider does not name itself.
func nameless(a testkit.Answer) testkit.Answer {
	name := strings.NewReplacer("Acme has", "The engine has", "Acme wishes", "The engine wishes")
	a.Body = []byte(name.Replace(string(a.Body)))
	a.Frames = slices.Clone(a.Frames)
	for i := range a.Frames {
		a.Frames[i].Data = name.Replace(a.Frames[i].Data)
	}
	return a
}

// brokenStatuses are those beside 500 with which an upstream fails.
var brokenStatuses = []int{501, 502, 503, 504, 529}

// fairCharge is what an answer with chatBody costs: 11 tokens at 1.10 and 5 at
// 4.40 dollars a million.
const fairCharge = "0.0000341"

// service is whose row this is.
func (p *proof) service() string {
	service, _, _ := strings.Cut(p.row.ID, "/")
	return service
}

// its is the name of one of the service's own models.
func (p *proof) its(name string) string { return p.service() + "-" + name }

// atGateway is at, on a gateway that the row has for itself.
func (p *proof) atGateway(g *gateway, host, usd string, more map[string]any) caller {
	p.Helper()
	c := caller{gw: g, host: host, account: g.NewAccount(p, p.row.ID, usd).ID}
	return p.anotherAt(c, more)
}

// rejected is refused, with the document's advice whether to send it again.
func (p *proof) rejected(c caller, path, body string, changes ...change) *answer {
	p.Helper()
	return p.advised(p.refused(c, path, body, changes...))
}

// advised checks that the statuses which the document calls retryable, and no
// others, tell an SDK to repeat the request.
func (p *proof) advised(a *answer) *answer {
	p.Helper()
	src, err := os.ReadFile(filepath.Join("testdata", p.service()+".yaml"))
	if err != nil {
		p.Fatalf("%v", err)
	}
	want := strconv.FormatBool(slices.Contains(parseDocument(p, src).Retryable, a.status))
	if got := a.header.Get("X-Should-Retry"); got != want {
		p.Errorf("%s %s %s: x-should-retry of %d is %q, and not %s", a.request.Method, a.request.URL, a.request.Body, a.status, got, want)
	}
	return a
}

// charged checks what an exchange cost its account.
func (p *proof) charged(a *answer, usd string) {
	p.Helper()
	before, after := usdOf(p, a.ledger.Before.BalanceUSD), usdOf(p, a.ledger.After.BalanceUSD)
	if before-after != usdOf(p, usd) {
		p.Errorf("the balance went from %s to %s, and the answer was to cost %s", before, after, usd)
	}
}

func usdOf(p *proof, text string) money.Amount {
	p.Helper()
	n, err := money.ParseUSD(text)
	if err != nil {
		p.Fatalf("%q is no amount: %v", text, err)
	}
	return n
}

// chatAnswered sends a request whole and as a stream, and checks what is said,
// and what it costs.
func chatAnswered(p *proof, c caller, path, name string) {
	a := p.holds(p.paid(c, path, chat(name)))
	p.charged(a, fairCharge)
	if got := a.header.Get("X-Charge-USD"); got != fairCharge {
		p.Errorf("X-Charge-USD is %s, and not %s", got, fairCharge)
	}
	body := p.json(a)
	want := map[string]any{
		"object": "chat.completion", "model": name,
		"choices": []any{map[string]any{"index": 0, "finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": said}}},
		"usage":   map[string]any{"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16},
	}
	if d := differs(any(body), any(want), false); d != "" {
		p.Errorf("the answer differs: %s\n%s", d, a.body)
	}
	a = p.paid(c, path, chat(name, streamed))
	p.show(a)
	p.charged(a, fairCharge)
	es := events(a.body)
	if got, err := readChatStream(a.body); got != said || err != nil || es[len(es)-1].data != "[DONE]" {
		p.Errorf("the stream says %q, %v\n%s", got, err, a.body)
	}
	if got := a.trailer.Get("X-Charge-USD"); got != fairCharge {
		p.Errorf("the trailer X-Charge-USD is %q", got)
	}
}

// failsAtEveryTry asks for models whose upstream fails on every attempt, with a
// key that may have a single request a day, which none of them uses up.
func failsAtEveryTry(p *proof, host string) {
	g := p.world.five
	c := p.at(host, "3", limited(map[string]any{"requests_per_day": 1}))
	for _, b := range brokenUpstreams {
		var more []string
		if b.stream {
			more = []string{streamed}
		}
		asked := len(g.up[p.its(b.name)].Received())
		p.rejected(c, chatPath, chat(p.its(b.name), more...))
		if got := len(g.up[p.its(b.name)].Received()) - asked; got != b.tries {
			p.Errorf("%s: %d attempts, and not %d", b.name, got, b.tries)
		}
	}
	for _, status := range brokenStatuses {
		p.rejected(c, chatPath, chat(p.its(fmt.Sprint("bad-", status))))
	}
	for _, name := range []string{"slow-headers", "busy-503", "busy-529"} {
		p.rejected(c, chatPath, chat(p.its(name)))
		p.rejected(c, chatPath, chat(p.its(name), streamed))
	}
	for _, more := range [][]string{nil, {streamed}} {
		a := p.refused(c, chatPath, chat(p.its("auth-401"), more...)) // sending it again does not help
		for _, word := range []string{"Incorrect", "billing@", "provided"} {
			if strings.Contains(string(a.body), word) {
				p.Errorf("the answer tells %q of our credential\n%s", word, a.body)
			}
		}
	}
	p.paid(c, chatPath, chat(p.its("good")))
	p.wants(p.ask(c, chatPath, chat(p.its("good"))), http.StatusTooManyRequests)
	p.note("%d ways to fail, and not one of a day's single request was used", len(brokenUpstreams)+len(brokenStatuses)+6)
}

// unreachable asks for a model whose upstream refuses connections, and for one
// whose circuit is broken, and asks a gateway that is going down.
func unreachable(p *proof, host string) {
	c := p.at(host, "3", nil)
	p.rejected(c, chatPath, chat(p.its("refusing")))
	p.rejected(c, chatPath, chat(p.its("refusing"), streamed))
	brokenCircuit(p, host)
	goingDown(p, host)
}

// brokenCircuit breaks a target's circuit by failures, and shows that further
// requests are refused without touching it, but for the one that probes it.
func brokenCircuit(p *proof, host string) {
	g, name := p.world.five, p.its("broken")
	c, up := p.at(host, "3", nil), p.world.five.up[p.its("broken")]
	const failures = 5 // routing.breaker.failures
	for range failures {
		up.Queue(says(500, "server_error", "internal", "The engine has a defect"))
	}
	for range failures {
		p.wants(p.free(c, func() *answer { return p.ask(c, chatPath, chat(name)) }), http.StatusBadGateway)
	}
	var targets struct {
		Data []struct{ Target, Breaker string }
	}
	g.MustAdmin(p, "GET", "/admin/v1/targets", nil, &targets)
	if open := fmt.Sprintf("{acme-%s/acme-%s open}", name, name); !strings.Contains(fmt.Sprint(targets.Data), open) {
		p.Errorf("the circuit is not open: %v", targets.Data)
	}
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	prober := p.at(host, "3", nil)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = p.try(ctx, prober, chatPath, chat(name))
	}()
	up.Request(failures) // the probe has come, and hangs
	p.rejected(c, chatPath, chat(name))
	p.rejected(c, chatPath, chat(name, streamed))
	if got := len(up.Received()); got != failures+1 {
		p.Errorf("the upstream was asked %d times, and not %d", got, failures+1)
	}
	leave()
	testkit.Wait(p, gone, "the probe's end")
	p.note("refused connections, and a circuit that %d failures in a row had opened", failures)
}

// goingDown asks a gateway that finishes what is open, on a connection from
// before, and asks it again when it is back.
func goingDown(p *proof, host string) {
	g := startFive(p, []model{{name: "slow", answer: testkit.JSON(200, chatBody)}})
	restart(p, g, strings.Replace(server, "drain: 1s", "drain: 20s", 1), nil)
	c, busy := p.atGateway(g, host, "3", nil), p.atGateway(g, host, "3", nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		p.Fatalf("%v", err)
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	p.wants(p.over(conn, in, c, "GET", "/v1/models", ""), http.StatusOK)
	gate := make(chan struct{})
	slow := testkit.JSON(200, chatBody)
	slow.Gate = gate
	g.up["slow"].Queue(slow)
	first := p.later(context.Background(), busy, chatPath, chat("slow"))
	g.up["slow"].Request(0)
	if err := g.Signal(syscall.SIGTERM); err != nil {
		p.Fatalf("%v", err)
	}
	p.until("the drain", func() bool {
		var ready struct {
			Degraded []string `json:"degraded"`
		}
		_, err := g.Peek(context.Background(), "/readyz", &ready)
		return err == nil && slices.Contains(ready.Degraded, "draining")
	})
	p.advised(p.holds(p.free(c, func() *answer { return p.over(conn, in, c, "POST", chatPath, chat("slow")) })))
	close(gate)
	if one := <-first; one == nil || one.status != http.StatusOK {
		p.Errorf("what was open was to be finished: %+v", one)
	}
	<-g.Gone()
	g.Reaped()
	g.Run(p)
	p.paid(c, chatPath, chat("slow"))
	if l := busy.ledger(p); l.Charges != 1 {
		p.Errorf("what was open: %+v", *l)
	}
	g.settled(p)
	p.note("a gateway that finished what was open; the same request passed when it was back")
}

// restart starts a gateway again with other members of server and, unless
// change is nil, another configuration.
func restart(p *proof, g *gateway, server string, change func(config map[string]any)) {
	p.Helper()
	src, err := os.ReadFile(g.ConfigPath())
	if err != nil {
		p.Fatalf("%v", err)
	}
	var config map[string]any
	if err := yaml.Load(src, &config); err != nil {
		p.Fatalf("%v", err)
	}
	delete(config, "server")
	delete(config, "store")
	if change != nil {
		change(config)
	}
	text, err := yaml.Dump(config)
	if err != nil {
		p.Fatalf("%v", err)
	}
	g.Kill()
	g.ReconfigureServer(p, server, string(text))
	g.Run(p)
}

// over sends a request on a connection, which in reads from.
func (p *proof) over(conn net.Conn, in *bufio.Reader, c caller, method, path, body string) *answer {
	p.Helper()
	a := &answer{sent: time.Now(), request: shownRequest{
		Method: method, URL: c.gw.URL + path, Body: p.world.report.body([]byte(body)),
		Headers: p.world.report.headers(http.Header{"Authorization": {"Bearer " + c.key.Key}, "Content-Type": {"application/json"}, "Host": {c.host}}),
	}}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		p.Fatalf("%v", err)
	}
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		method, path, c.host, c.key.Key, len(body), body); err != nil {
		p.Fatalf("%s: %v", path, err)
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		p.Fatalf("%s: %v", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	p.read(a, resp)
	return a
}

// later sends a request from a goroutine of its own, and yields what came of it:
// nil if nothing did.
func (p *proof) later(ctx context.Context, c caller, path, body string, changes ...change) <-chan *answer {
	out := make(chan *answer, 1)
	go func() {
		a, _ := p.try(ctx, c, path, body, changes...)
		out <- a
	}()
	return out
}

// until waits for a condition that nobody announces.
func (p *proof) until(what string, holds func() bool) {
	p.Helper()
	for end := time.Now().Add(patience); !holds(); sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.Fatalf("%s did not come about within %v", what, patience)
		}
	}
}

// panics lets handlers panic; the next request is served as if nothing had been.
func panics(p *proof, host string) {
	g := startFive(p, breakable(p, p.service(), false)[:1])
	c := p.atGateway(g, host, "3", nil)
	for _, more := range [][]string{nil, {streamed}, {`"max_tokens":77`}} {
		g.arm(p, "handler_panic")
		a := p.rejected(c, chatPath, chat(p.its("good"), more...))
		for _, word := range []string{"panic", ".go", "goroutine", "injected"} {
			if strings.Contains(string(a.body), word) {
				p.Errorf("the answer tells of our inside: %s", a.body)
			}
		}
		p.paid(c, chatPath, chat(p.its("good"), more...))
	}
	g.arm(p, "handler_panic")
	p.rejected(c, "/v1/models", "", method("GET"))
	g.settled(p)
}

// breaksOff checks a stream that broke off after content: what it said, how it
// ends, and that it cost nothing.
func breaksOff(p *proof, a *answer, name string, want map[string]any) {
	p.Helper()
	p.show(a)
	p.wants(a, http.StatusOK)
	p.brokeFree(a, name)
	es := events(a.body)
	if len(es) < 2 {
		p.Fatalf("%s: %d events\n%s", name, len(es), a.body)
	}
	last := es[len(es)-1]
	var frame any
	if err := json.Unmarshal([]byte(last.data), &frame); err != nil || last.name != "" {
		p.Errorf("%s: the last frame is no data in JSON: %v\n%s", name, err, a.body)
	}
	if d := differs(frame, any(want), true); d != "" {
		p.Errorf("%s: the error frame differs: %s\n%s", name, d, a.body)
	}
	if strings.Contains(string(a.body), "[DONE]") {
		p.Errorf("%s: a broken stream ends with [DONE]\n%s", name, a.body)
	}
	for _, e := range es[:len(es)-1] {
		if f := finishReason(p, e.data); f != "" {
			p.Errorf("%s: a broken stream finishes with %q\n%s", name, f, a.body)
		}
	}
	if got, err := readChatStream(a.body); got != said || err == nil {
		p.Errorf("%s: it said %q, %v", name, got, err)
	}
	p.note("%s", name)
}

// breaksMidway asks for every model whose stream breaks off.
func breaksMidway(p *proof, host, path string, want map[string]any) {
	c := p.at(host, "3", limited(map[string]any{"requests_per_day": 1}))
	for _, m := range slices.Concat(interrupted, interruptedMessages) {
		name := p.its(m.name)
		breaksOff(p, p.free(c, func() *answer { return p.ask(c, path, chat(name, streamed)) }), m.name, want)
	}
	whole := p.paid(c, path, chat(p.its("good"), streamed))
	if got, err := readChatStream(whole.body); got != said || err != nil {
		p.Errorf("a stream that ends well: %q, %v", got, err)
	}
}

// tooManyAtOnce uses up limits of keys and of the site, waits as long as it is
// told by the gateway's clock, and then passes.
func tooManyAtOnce(p *proof, host string, told func(a *answer, seconds int)) {
	g := startFive(p, breakable(p, p.service(), false)[:1])
	body := chat(p.its("good"))
	wait := func(a *answer) int {
		p.Helper()
		n, _ := strconv.Atoi(a.header.Get("Retry-After"))
		told(a, n)
		return n
	}
	seconds := func(n int) string { return fmt.Sprintf("%ds", n) }
	for _, limit := range []map[string]any{{"requests": 3, "per": "37s"}, {"rps": 0.05, "burst": 3}} {
		c := p.atGateway(g, host, "3", limited(limit))
		for range 3 {
			p.paid(c, chatPath, body)
		}
		wait(p.rejected(c, chatPath, chat(p.its("good"), streamed)))
		n := wait(p.rejected(c, chatPath, body))
		p.paid(p.anotherAt(c, nil), chatPath, body) // the limit is the key's
		g.advance(p, seconds(n))
		p.paid(c, chatPath, body)
		p.note("%v: after the %d s that it names the same request passed (test clock)", limit, n)
	}
	// A long wait is not to be sat out by an SDK, but the time is told.
	c := p.atGateway(g, host, "3", limited(map[string]any{"requests": 2, "per": "600s"}))
	p.paid(c, chatPath, body)
	p.paid(c, chatPath, body)
	n := wait(p.refused(c, chatPath, body))
	g.advance(p, seconds(n-90))
	p.refused(c, chatPath, body)
	g.advance(p, "90s")
	p.paid(c, chatPath, body)

	restart(p, g, server, func(config map[string]any) {
		siteOf(p, config, host)["limits"] = map[string]any{"requests": 5, "per": "41s"}
	})
	c = p.atGateway(g, host, "3", nil)
	for range 5 {
		p.wants(p.ask(c, "/v1/models", "", method("GET")), http.StatusOK)
	}
	n = wait(p.rejected(c, chatPath, body))
	g.advance(p, seconds(n))
	p.paid(c, chatPath, body)
	p.note("the site's own limit, too")
	g.settled(p)
}

// justEnough shows that a refusal tells the exact amount: with it the same
// request passes, with one nano-dollar less it does not.
func justEnough(p *proof, host, path string, body string) {
	c := p.at(host, "0.000123456", nil)
	a := p.rejected(c, path, body)
	if got := a.header.Get("X-Available-USD"); got != "0.000123456" {
		p.Errorf("X-Available-USD is %s", got)
	}
	required := usdOf(p, a.header.Get("X-Required-USD"))
	c.credit(p, (required - 123456 - money.Nano).String())
	a = p.rejected(c, path, body)
	if got := a.header.Get("X-Required-USD"); got != required.String() {
		p.Errorf("the same request now needs %s, and not %s", got, required)
	}
	c.credit(p, money.Nano.String())
	p.paid(c, path, body)
	p.note("%s: one nano-dollar less than the %s it names is refused, that amount passes", path, required)
}
