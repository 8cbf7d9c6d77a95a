package rows

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
)

// nearZero asks with balances around what a request needs, to the nano-dollar.
func nearZero(p *proof) {
	for _, usd := range []string{"0", "0.000000001"} {
		c := p.at(modelswitchHost, usd, nil)
		for _, more := range [][]string{nil, {streamed}, {`"max_tokens":40`}} {
			p.codeIs(p.rejected(c, chatPath, chat("modelswitch-good", more...)), "insufficient_balance")
		}
		p.rejected(c, "/v1/embeddings", `{"model":"text-embedding-3-small","input":"bridge"}`)
	}
	below := p.at(modelswitchHost, "1", nil)
	below.credit(p, "-1.000000001")
	a := p.rejected(below, chatPath, chat("modelswitch-good"))
	if got := a.header.Get("X-Available-USD"); !strings.HasPrefix(got, "-") && !isZero(got) {
		p.Errorf("of a balance below zero %s is available", got)
	}
	justEnough(p, modelswitchHost, chatPath, chat("modelswitch-good", `"max_tokens":900`))
	justEnough(p, modelswitchHost, chatPath, chat("modelswitch-good", `"max_tokens":901`, streamed))
	for _, s := range p.shown {
		text := fmt.Sprintf("%s", s.Response.Body)
		for _, amount := range []string{"X-Required-Usd", "X-Available-Usd"} {
			if got := s.Response.Headers[amount]; got == "" || !strings.Contains(text, "$"+got) {
				p.Errorf("the message does not tell %s %q: %s", amount, got, text)
			}
		}
	}
}

// heldMeanwhile reads the balance while a request is in flight, and after it.
func heldMeanwhile(p *proof) {
	const usd = "2.5"
	failure := says(500, "server_error", "internal", "The engine has a defect")
	for _, k := range []struct {
		how, model, body string
		answer           testkit.Answer
		status           int
		cost             string
	}{
		{"answered", "modelswitch-hold", chat("modelswitch-hold", `"max_tokens":700`), testkit.JSON(200, chatBody), 200, fairCharge},
		{"answered as a stream", "modelswitch-hold-stream", chat("modelswitch-hold-stream", `"max_tokens":800`, streamed), testkit.SSE(chatStream...), 200, fairCharge},
		{"failed", "modelswitch-hold", chat("modelswitch-hold", `"max_tokens":900`), failure, 502, "0"},
		{"broken off", "modelswitch-hold-stream", chat("modelswitch-hold-stream", `"max_tokens":950`, streamed), cut(testkit.SSE(beginning...)), 200, "0"},
	} {
		broke := p.at(modelswitchHost, "0", nil)
		needs := usdOf(p, p.wants(p.ask(broke, chatPath, k.body), http.StatusForbidden).header.Get("X-Required-USD"))
		c := p.at(modelswitchHost, usd, nil)
		owner := p.anotherAt(c, billing())
		balance := func() money.Amount {
			p.Helper()
			a := p.got(owner, balancePath)
			p.show(a)
			return usdOf(p, p.number(a, "balance"))
		}
		full := balance()
		gate := make(chan struct{})
		k.answer.Gate = gate
		up := c.gw.up[k.model]
		n := len(up.Received())
		up.Queue(k.answer)
		first := p.later(context.Background(), c, chatPath, k.body)
		up.Request(n)
		if got := balance(); needs <= 0 || full-got != needs {
			p.Errorf("%s: in flight the balance is %s, and not %s less than %s", k.how, got, needs, full)
		}
		if l := c.ledger(p); l.HeldUSD != needs.String() || l.BalanceUSD != full.String() {
			p.Errorf("%s: in flight: %+v", k.how, *l)
		}
		close(gate)
		a := <-first
		if a == nil {
			p.Fatalf("%s: the request was not answered", k.how)
		}
		p.wants(a, k.status)
		p.until("the hold's end", func() bool { return isZero(c.ledger(p).HeldUSD) })
		if got, want := balance(), full-usdOf(p, k.cost); got != want {
			p.Errorf("%s: after it the balance is %s, and not %s", k.how, got, want)
		}
		p.note("%s: %s of %s were held, and it cost %s", k.how, needs, full, k.cost)
	}
}

// fire is what a provider says that is to be seen.
const fire = "The engine is on fire"

// spill is what a provider says of itself, of which only fire may be seen.
type spill struct {
	status int
	body   string
}

// spilled are answers in which providers tell too much.
var spilled = []spill{
	{500, errorBody("server_error", "internal", fire+": see https://status.acme.io/incidents/17?token=s3cr3t and http://10.20.30.40:8443/v1")},
	{500, errorBody("server_error", "internal", fire+" (sk-proj-s3cr3tABC123, Bearer s3cr3t.t0ken, api_key=s3cr3tvalue, org-s3cr3t0rg1)")},
	{502, `{"message":"` + fire + ` at engine-7.acme.internal:9000/health\nask ops@acme.example","trace":"s3cr3t"}`},
	{500, `{"error":"` + fire + ` at postgres://gate:s3cr3t@db/acme","hint":"s3cr3t"}`},
	{503, `{"detail":"` + fire + ` 0123456789s3cr3tabcdef0123456789abcdef"}`},
	{500, fire + ", sk-upstream-s3cr3t, www.acme.ai"},
}

func spiller(i int) string { return fmt.Sprint("modelswitch-spill-", i) }

// providerSpeaks asks for models whose providers fail in words of their own.
func providerSpeaks(p *proof) {
	p.row.Body = map[string]any{"error": map[string]any{"message": "<text>", "type": "<text>", "code": "<text>"}} // the words are checked here
	c := p.at(modelswitchHost, "3", limited(map[string]any{"requests_per_day": 1}))
	for _, more := range [][]string{nil, {streamed}} {
		n := asked(c.gw, "modelswitch-fire")
		a := p.rejected(c, chatPath, chat("modelswitch-fire", more...))
		if got := p.text(a, "error", "message"); got != "The provider answered: "+fire {
			p.Errorf("the message is %q", got)
		}
		if got := asked(c.gw, "modelswitch-fire") - n; got != 3 {
			p.Errorf("%d attempts", got)
		}
	}
	for i, s := range spilled {
		for _, more := range [][]string{nil, {streamed}} {
			a := p.rejected(c, chatPath, chat(spiller(i), more...))
			message := p.text(a, "error", "message")
			p.says(message, "The provider answered: "+fire)
			for _, word := range []string{"s3cr3t", "://", "10.20", "internal", "@", "www", "trace", "hint", "{", "postgres"} {
				if strings.Contains(message, word) {
					p.Errorf("of %s it is told %q: %s", s.body, word, message)
				}
			}
		}
	}
	failsAtEveryTry(p, modelswitchHost)
	oddKey(p)
	p.note("its sentence, without addresses and secrets")
}

// oddKey has a provider echo our own credential for it, which looks like no key.
func oddKey(p *proof) {
	const ours = "correct-horse-battery"
	g := startFive(p, []model{{name: "echo", answer: says(500, "server_error", "internal", fire+" for "+ours+", as it were")}})
	restart(p, g, server, func(config map[string]any) {
		config["providers"].(map[string]any)["acme-echo"].(map[string]any)["api_key"] = ours
	})
	c := p.atGateway(g, modelswitchHost, "3", nil)
	a := p.rejected(c, chatPath, chat("echo"))
	if text := string(a.body); strings.Contains(text, ours) || !strings.Contains(text, fire) || !strings.Contains(text, "as it were") {
		p.Errorf("of a provider that echoes our credential it is told %s", text)
	}
	g.settled(p)
}

// decodedAs reads the body as a value of some type.
func decodedAs[T any](p *proof, a *answer) T {
	p.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		p.Fatalf("%v\n%s", err, a.body)
	}
	return v
}
