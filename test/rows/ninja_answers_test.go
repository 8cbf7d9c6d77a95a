package rows

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// ninjaFive are the models that rows of ninjachat break at the gateway with all
// services.
func ninjaFive(t testing.TB) []model {
	ms := []model{
		{name: "ninja-refusing", url: nobody(t), more: "attempts: 2"},
		{name: "ninja-bad-500", answer: says(500, "server_error", "internal", "Acme has a defect")},
	}
	for _, m := range interrupted {
		m.name = "ninja-" + m.name
		ms = append(ms, m)
	}
	return ms
}

// ninjaAnswers are the other rows of ninjachat.
var ninjaAnswers = map[string]func(*proof){
	"ninjachat/200-chat": func(p *proof) {
		c := p.at(ninjaHost, "8", nil)
		a := p.holds(p.paid(c, ninjaPath, `{"model":"gpt-5-mini","messages":[{"role":"user","content":"hi"}]}`))
		if got := p.text(a, "message", "content"); got != said {
			p.Errorf("the content is %q", got)
		}
		if charge, after := a.header.Get("X-Charge-USD"), a.ledger.After; charge != ninjaPrice || after.ChargedUSD != ninjaPrice || after.BalanceUSD != "7.997" {
			p.Errorf("charged %s: %+v", charge, *after)
		}
		got := p.json(a)
		if choices, ok := got["choices"].([]any); !ok || len(choices) != 1 {
			p.Errorf("choices: %v", got["choices"])
		}
		if d := differs(got["usage"], map[string]any{"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}, false); d != "" {
			p.Errorf("usage: %s", d)
		}
	},
	"ninjachat/200-stream": func(p *proof) {
		c := p.at(ninjaHost, "8", nil)
		a := p.holds(p.paid(c, ninjaPath, `{"model":"gpt-5-mini","messages":[{"role":"user","content":"hi"}],"stream":true}`))
		es := events(a.body)
		if len(es) < 3 || es[len(es)-1].data != "[DONE]" {
			p.Fatalf("the stream does not end with [DONE]\n%s", a.body)
		}
		for _, e := range es[:len(es)-1] {
			var chunk struct {
				Choices []struct {
					Delta *struct {
						Content *string `json:"content"`
					} `json:"delta"`
				} `json:"choices"`
			}
			if err := json.Unmarshal([]byte(e.data), &chunk); err != nil || e.name != "" {
				p.Errorf("a frame is no chunk: %v\n%s", err, e.data)
			}
			if len(chunk.Choices) != 1 || chunk.Choices[0].Delta == nil || chunk.Choices[0].Delta.Content == nil {
				p.Errorf("a chunk has no choices[0].delta.content: a client as documented fails on it\n%s", e.data)
			}
		}
		if got, err := readChatStream(a.body); got != said || err != nil {
			p.Errorf("the stream says %q, %v", got, err)
		}
		if got := a.trailer.Get("X-Charge-USD"); got != ninjaPrice {
			p.Errorf("the trailer X-Charge-USD is %q", got)
		}
	},
	"ninjachat/502-generation-failed": func(p *proof) {
		brokenAtEveryTry(p, p.world.ninja, ninjaPath, chat)
		c := p.caller(p.world.ninja, "8", nil)
		for _, m := range []string{"refusing", "slow-headers"} {
			p.refused(c, ninjaPath, chat(m))
			p.refused(c, ninjaPath, chat(m, streamed))
		}
	},
	"ninjachat/500-internal-error": func(p *proof) {
		g := p.apart(startFive(p, nil))
		c := p.at(ninjaHost, "8", nil)
		for _, more := range [][]string{nil, {streamed}} {
			g.arm(p, "handler_panic")
			a := p.refused(c, ninjaPath, chat("gpt-5-mini", more...))
			if text := string(a.body); strings.Contains(text, "panic") || strings.Contains(text, ".go") {
				p.Errorf("the answer tells of our inside: %s", text)
			}
			p.paid(c, ninjaPath, chat("gpt-5-mini"))
		}
		g.settled(p)
	},
	"ninjachat/balance-warning":    lowBalance,
	"ninjachat/no-balance-warning": noWarning,
	"ninjachat/stream-midway": func(p *proof) {
		c := p.at(ninjaHost, "8", nil)
		for _, m := range interrupted {
			ninjaBreaks(p, p.free(c, func() *answer { return p.ask(c, ninjaPath, chat("ninja-"+m.name, streamed)) }), m.name)
		}
	},
	"ninjachat/documented-python-client": documentedClient,
	"ninjachat/quick-debug":              quickDebug,
}

// ninjaBreaks checks a stream that broke off after content.
func ninjaBreaks(p *proof, a *answer, name string) {
	p.Helper()
	p.show(a)
	p.wants(a, http.StatusOK)
	p.brokeFree(a, name)
	es := events(a.body)
	if len(es) < 2 {
		p.Fatalf("%s: %d events\n%s", name, len(es), a.body)
	}
	var last any
	if err := json.Unmarshal([]byte(es[len(es)-1].data), &last); err != nil {
		p.Errorf("%s: the last frame is no JSON: %v\n%s", name, err, a.body)
	}
	if d := differs(last, map[string]any{"error": "generation_failed", "message": "<text>"}, false); d != "" {
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

// warning is the documented member, with the balance that it must tell.
func warning(balance string) map[string]any {
	return map[string]any{"warning": "low_balance", "threshold": "Balance is $" + balance + ". Consider adding credits soon."}
}

// warns checks that an answer warns of a balance, and shows it.
func (p *proof) warns(a *answer, status int, balance string) {
	p.Helper()
	p.show(a)
	p.wants(a, status)
	if d := differs(p.json(a)["balance_warning"], any(warning(balance)), false); d != "" {
		p.Errorf("the warning differs: %s\n%s %s: %d\n%s", d, a.request.Method, a.request.URL, a.status, a.body)
	}
}

// lowBalance asks for everything that can be answered to a caller whose balance
// is low. The first answer is the example's.
func lowBalance(p *proof) {
	c := p.at(ninjaHost, "3.5069", nil)
	a := p.paid(c, ninjaPath, chat("gpt-5-mini"))
	p.warns(a, 200, "3.50") // 3.5039: cut
	if d := differs(any(p.json(a)), any(p.row.Body), false); d != "" {
		p.Errorf("the example differs: %s\n%s", d, a.body)
	}
	c.credit(p, "0.8265")
	p.warns(p.paid(c, ninjaPath, chat("gpt-5-mini")), 200, "4.32") // 4.3274
	c.credit(p, "0.675599999")
	p.warns(p.paid(c, ninjaPath, chat("gpt-5-mini")), 200, "4.99") // 4.999999999: cut, not rounded

	// Exactly $5.00 with the charge yet to come, and errors, which cost nothing.
	c = p.at(ninjaHost, "5.0029", limited(map[string]any{"requests": 9, "per": "60s"}))
	p.warns(p.paid(c, ninjaPath, chat("gpt-5-mini")), 200, "4.99") // 4.9999
	post := func(body string, changes ...change) *answer {
		return p.free(c, func() *answer { return p.ask(c, ninjaPath, body, changes...) })
	}
	p.warns(post("{"), 400, "4.99")
	p.warns(post(chat("gpt5")), 400, "4.99")
	p.warns(post(chat("ninja-bad-500")), 502, "4.99")
	p.warns(post(chat("ninja-refusing", streamed)), 502, "4.99")
	p.warns(post(chat("gpt-5-mini"), header("Content-Type", "text/plain")), 415, "4.99")
	p.warns(p.free(c, func() *answer { return p.ask(c, "/api/v1/models", "", method("GET")) }), 200, "4.99")
	warnsAtTheEnd(p, p.paid(c, ninjaPath, chat("gpt-5-mini", streamed)), "4.99") // 4.9969
	broken := post(chat("ninja-mid-error", streamed))
	p.show(broken)
	es := events(broken.body)
	if d := differs(decoded(p, es[len(es)-1].data), map[string]any{"balance_warning": warning("4.99")}, false); d != "" {
		p.Errorf("the frame of a broken stream has another warning: %s\n%s", d, broken.body)
	}
	p.warns(post(chat("gpt-5-mini")), 429, "4.99")

	empty := p.at(ninjaHost, "0", nil)
	p.warns(p.ask(empty, ninjaPath, chat("gpt-5-mini")), 402, "0.00")

	own := p.apart(startFive(p, nil))
	c = p.at(ninjaHost, "2.719", nil)
	own.arm(p, "handler_panic")
	p.warns(post(chat("gpt-5-mini")), 500, "2.71")
	p.note("on a success, a stream, a broken stream, and on 400, 402, 415, 429, 500, 502")
}

// warnsAtTheEnd checks that the last frame before [DONE], and no other, warns.
func warnsAtTheEnd(p *proof, a *answer, balance string) {
	p.Helper()
	p.show(a)
	es := events(a.body)
	if len(es) < 3 || es[len(es)-1].data != "[DONE]" {
		p.Fatalf("the stream does not end with [DONE]\n%s", a.body)
	}
	for i, e := range es[:len(es)-1] {
		frame, _ := decoded(p, e.data).(map[string]any)
		got, has := frame["balance_warning"]
		if last := i == len(es)-2; has != last {
			p.Errorf("frame %d of %d: a warning: %v\n%s", i+1, len(es)-1, has, a.body)
		} else if d := differs(got, any(warning(balance)), false); last && d != "" {
			p.Errorf("the warning differs: %s\n%s", d, a.body)
		}
	}
}

// noWarning asks for the same with enough money, to the nano-dollar.
func noWarning(p *proof) {
	c := p.at(ninjaHost, "5.003", nil)
	none := func(a *answer, status int) {
		p.Helper()
		p.holds(a)
		p.wants(a, status)
		if strings.Contains(string(a.body), "balance_warning") {
			p.Errorf("it warns\n%s", a.body)
		}
	}
	none(p.paid(c, ninjaPath, chat("gpt-5-mini")), 200) // exactly 5.00 is left
	if got := c.ledger(p).BalanceUSD; got != "5.00" {
		p.Errorf("the balance is %s", got)
	}
	post := func(body string) *answer {
		return p.free(c, func() *answer { return p.ask(c, ninjaPath, body) })
	}
	none(post("{"), 400)
	none(post(chat("gpt5")), 400)
	none(post(chat("ninja-bad-500")), 502)
	c.credit(p, "1234.5")
	none(p.paid(c, ninjaPath, chat("gpt-5-mini")), 200)
	for _, m := range []string{"gpt-5-mini", "ninja-mid-error"} {
		a := p.ask(c, ninjaPath, chat(m, streamed))
		p.show(a)
		if a.status != 200 || strings.Contains(string(a.body), "balance_warning") {
			p.Errorf("%s: %d\n%s", m, a.status, a.body)
		}
	}
	p.note("with exactly $5.00 left, and with more")
}
