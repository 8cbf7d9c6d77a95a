package operate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// behind starts a gateway with one model m that is served by an upstream of the
// test's own.
func behind(t *testing.T, u *testkit.Upstream) *harness.Gateway {
	t.Helper()
	return harness.Start(t, harness.Options{Config: behindConfig(u)})
}

func behindConfig(u *testkit.Upstream) string {
	return fmt.Sprintf(`
providers: {up: {kind: openai, base_url: %q, api_key: sk-upstream-4711}}
models: {m: {targets: [{provider: up, model: upstream-m}], attempts: 1, context: 100000, max_output: 5000, price: {input: 10.00, output: 100.00}}}
sites: [{hosts: ["*"], contract: openai}]
`, u.URL+"/v1")
}

// chunk is an event of a stream that says text; without text it ends.
func chunk(text string) string {
	delta, finish := `{}`, `"stop"`
	if text != "" {
		delta, finish = fmt.Sprintf(`{"content":%q}`, text), "null"
	}
	return `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"upstream-m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}`
}

const usageChunk = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"upstream-m","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}`

// inTwo is a streamed answer whose second half waits for gate.
func inTwo(gate <-chan struct{}) testkit.Answer {
	a := testkit.SSE(chunk("The sky "), chunk("is "), chunk("blue "), chunk("because."), chunk(""), usageChunk, "[DONE]")
	a.Frames[2].Gate = gate
	return a
}

// leave asks for a stream and leaves when two events with content have come.
func leave(t *testing.T, c customer) (request string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, err := open(ctx, c.g, call{path: "/v1/chat/completions", key: c.key, body: chat("m", `"stream":true,"max_tokens":500`)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var got []byte
	for !bytes.Contains(got, []byte(`"is "`)) {
		b := make([]byte, 4096)
		n, err := resp.Body.Read(b)
		if got = append(got, b[:n]...); err != nil {
			t.Fatalf("%v behind %s", err, got)
		}
	}
	return resp.Header.Get("X-Request-ID")
}

// TestWhoLeavesCancelsTheUpstream at once, and pays for the prompt and for what
// was produced until then, at most the hold.
func TestWhoLeavesCancelsTheUpstream(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	u := testkit.NewUpstream(t, inTwo(never))
	g := behind(t, u)
	c := newCustomer(t, g, "10", map[string]any{"on_disconnect": "cancel"})
	request := leave(t, c)
	testkit.Wait(t, u.Request(0).Gone, "the upstream's cancellation")
	r := g.Receipt(t, request, func(r harness.Receipt) bool { return r.Outcome != "" })
	charge, hold := usd(t, r.ChargeUSD), usd(t, r.HoldUSD)
	if r.Outcome != "client_left" || r.Delivery != "partial" || !r.Estimated || r.Tokens.Input == 0 || r.Tokens.Output == 0 || r.Tokens.Output > 10 {
		t.Errorf("the receipt says %+v", r)
	}
	// 10 dollars a million tokens in, 100 out.
	if want := 10_000*r.Tokens.Input + 100_000*r.Tokens.Output; int64(charge) != want || charge > hold {
		t.Errorf("%s was charged for %+v, %s was held", charge, r.Tokens, hold)
	}
	if a := g.AccountNow(t, c.account); usd(t, a.BalanceUSD) != usd(t, "10")-charge {
		t.Errorf("%s was charged, and the balance is %s", charge, a.BalanceUSD)
	}
	settled(t, g)
}

// TestWhoDrainsPaysForTheWholeAnswer: with such a key the upstream is read to
// its end although the caller has left.
func TestWhoDrainsPaysForTheWholeAnswer(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	u := testkit.NewUpstream(t, inTwo(gate), inTwo(make(chan struct{})))
	g := behind(t, u)
	c := newCustomer(t, g, "10", map[string]any{"on_disconnect": "drain"})
	request := leave(t, c)
	// Nothing tells from outside when the gateway has seen that the caller is
	// gone. When it has seen it of one who left later, it has had the time.
	leave(t, newCustomer(t, g, "10", nil))
	testkit.Wait(t, u.Request(1).Gone, "the cancellation for who left later")
	select {
	case <-u.Request(0).Gone:
		t.Error("the upstream was cancelled")
	default:
	}
	close(gate)
	testkit.Wait(t, u.Request(0).Done, "the end of the upstream's answer")
	r := g.Receipt(t, request, func(r harness.Receipt) bool { return r.Outcome != "" })
	if r.Outcome != "ok" || r.Estimated || r.Tokens.Input != 12 || r.Tokens.Output != 34 || r.ChargeUSD != "0.00352" {
		t.Errorf("the receipt says %+v", r)
	}
	if a := g.AccountNow(t, c.account); a.BalanceUSD != "9.99648" {
		t.Errorf("the balance is %s", a.BalanceUSD)
	}
	settled(t, g)
}

const wholeBody = `{"id":"chatcmpl-1","object":"chat.completion","created":1790000000,"model":"upstream-m","choices":[{"index":0,"message":{"role":"assistant","content":"The sky is blue."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}`

// TestLeavingBeforeAWholeAnswer: nothing was produced that we know of.
func TestLeavingBeforeAWholeAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, onDisconnect string
		outcome, charge    string
	}{
		{"cancel", "cancel", "client_left", "0.00"},
		{"drain", "drain", "ok", "0.00352"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			gate := make(chan struct{})
			a, later := testkit.JSON(200, wholeBody), testkit.JSON(200, wholeBody)
			a.Gate, later.HangHeaders = gate, true
			u := testkit.NewUpstream(t, a, later)
			g := behind(t, u)
			key := newCustomer(t, g, "10", map[string]any{"on_disconnect": c.onDisconnect})
			for n, who := range []customer{key, newCustomer(t, g, "10", nil)} {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() {
					_, err := try(ctx, g, call{path: "/v1/chat/completions", key: who.key, body: chat("m", "")})
					done <- err
				}()
				u.Request(n)
				cancel()
				if err := <-done; err == nil {
					t.Error("an answer came to who had left")
				}
			}
			testkit.Wait(t, u.Request(1).Gone, "the cancellation for who left later")
			if r := u.Request(0); c.onDisconnect == "drain" {
				select {
				case <-r.Gone:
					t.Error("the upstream was cancelled")
				default:
				}
				close(gate)
				testkit.Wait(t, r.Done, "the upstream's answer")
			} else {
				testkit.Wait(t, r.Gone, "the upstream's cancellation")
			}
			eventually(t, "the receipt", func() bool {
				var page struct{ Data []harness.Receipt }
				g.MustAdmin(t, "GET", "/admin/v1/requests?account="+key.account, nil, &page)
				return len(page.Data) == 1 && page.Data[0].Outcome == c.outcome && page.Data[0].ChargeUSD == c.charge
			})
			settled(t, g)
		})
	}
}

// TestTheOutputIsCappedAtWhatCanBePaid where the caller gave no limit: the
// upstream is told, and so is the caller. Who wants all or nothing is refused
// with the number.
func TestTheOutputIsCappedAtWhatCanBePaid(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Always(testkit.JSON(200, wholeBody))
	g := behind(t, u)
	post := func(c customer, body string, header map[string]string) *reply {
		t.Helper()
		return ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: body, header: header})
	}
	rich, poor := newCustomer(t, g, "10", nil), newCustomer(t, g, "0.2", nil)
	if r := post(rich, chat("m", ""), nil).is(t, 200); r.header.Get("X-Output-Capped-By") != "" {
		t.Errorf("capped although there is enough: %v", r.header)
	}
	full := post(rich, chat("m", ""), map[string]string{"X-Require-Full-Output": "true"}).is(t, 200)
	hold := g.Receipt(t, full.header.Get("X-Request-ID"), nil).HoldUSD
	if usd(t, hold) < usd(t, "0.5") { // 5,000 tokens of output at 100 dollars a million
		t.Errorf("the worst case is held as %s", hold)
	}

	sent := len(u.Received())
	r := post(poor, chat("m", ""), nil).is(t, 200)
	if got := r.header.Get("X-Output-Capped-By"); got != "balance" {
		t.Errorf("X-Output-Capped-By is %q", got)
	}
	var up struct {
		MaxTokens           int64 `json:"max_tokens"`
		MaxCompletionTokens int64 `json:"max_completion_tokens"`
	}
	if err := json.Unmarshal(u.Request(sent).Body, &up); err != nil {
		t.Fatal(err)
	}
	// What is held pays the prompt at the most it can have, and that many tokens.
	most := max(up.MaxTokens, up.MaxCompletionTokens)
	if most < 1900 || most > 2000 {
		t.Errorf("0.20 dollars are less than 2,000 tokens, and the upstream is told %+v", up)
	}
	before := usd(t, g.AccountNow(t, poor.account).BalanceUSD)
	refused := post(poor, chat("m", ""), map[string]string{"X-Require-Full-Output": "true"}).refused(t, 402, "insufficient_balance")
	if got := refused.header.Get("X-Required-USD"); got != hold {
		t.Errorf("all of it needs %s, and it is told as %s", hold, got)
	}
	if got := usd(t, refused.header.Get("X-Available-USD")); got != before {
		t.Errorf("%s is available, and it is told as %s", before, got)
	}
	if got := len(u.Received()); got != sent+1 {
		t.Errorf("the refusal reached the upstream: %d requests", got)
	}
	// The caller's own limit is the worst case, and never capped.
	refused = post(poor, chat("m", `"max_tokens":5000`), nil).refused(t, 402, "insufficient_balance")
	if got := refused.header.Get("X-Required-USD"); got != hold {
		t.Errorf("5,000 tokens need %s, and it is told as %s", hold, got)
	}
	// Below 1,024 tokens nothing is worth having: that many are what it needs.
	poorest := newCustomer(t, g, "0.1", nil)
	need := usd(t, post(poorest, chat("m", ""), nil).refused(t, 402, "insufficient_balance").header.Get("X-Required-USD"))
	if want := usd(t, hold) - (5000-1024)*100_000; need != want {
		t.Errorf("the least needs %s, and it is told as %s", want, need)
	}
	poorest.credit(t, (need - usd(t, "0.1") - 1).String())
	post(poorest, chat("m", ""), nil).refused(t, 402, "insufficient_balance")
	poorest.credit(t, "0.000000001")
	post(poorest, chat("m", ""), nil).is(t, 200)
	settled(t, g)
}

// TestStreamsAreCappedToo says so on the surfaces whose callers may leave the
// limit out.
func TestStreamsAreCappedToo(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	close(gate)
	u := testkit.NewUpstream(t)
	u.Always(inTwo(gate))
	g := behind(t, u)
	c := newCustomer(t, g, "0.2", nil)
	for _, path := range []string{"/v1/chat/completions", "/v1/chat"} {
		r := ask(t, g, call{path: path, key: c.key, body: chat("m", `"stream":true`)}).is(t, http.StatusOK)
		if got := r.header.Get("X-Output-Capped-By"); got != "balance" || r.trailer.Get("X-Charge-USD") != "0.00352" || !strings.Contains(string(r.body), "because.") {
			t.Errorf("%s: X-Output-Capped-By %q, trailer %v, %s", path, got, r.trailer, tail(r.body))
		}
	}
	settled(t, g)
}

// TestNobodyWaitsForABodyThatIsNotWanted: who may not come is told so although
// the body that was announced has not come.
func TestNobodyWaitsForABodyThatIsNotWanted(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	limited := newCustomer(t, g, "10", limits(map[string]any{"rps": 0.001, "burst": 1}))
	post(t, limited).is(t, 200)
	for _, c := range []struct{ name, path, key, want string }{
		{"a stranger", "/v1/chat/completions", "", "401"},
		{"a wrong key", "/v1/messages", "sk-pontage-wrong", "401"},
		{"over the limit", "/v1/chat/completions", limited.key, "429"},
		{"no such path", "/v1/nothing", limited.key, "404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(g.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", c.path, c.key)
			if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Error(err)
			} else {
				if body, _ := io.ReadAll(resp.Body); !strings.HasPrefix(resp.Status, c.want) || !json.Valid(body) {
					t.Errorf("%s %s", resp.Status, body)
				}
				_ = resp.Body.Close()
			}
			_ = conn.Close()
		})
	}
}
