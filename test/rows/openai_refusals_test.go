package rows

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
)

// openaiRefusals are the rows in which the gateway itself says no.
var openaiRefusals = map[string]func(*proof){
	"openai/400-json": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		for _, body := range []string{
			"Is the bridge open?", chat("good")[:40], "", "   ", strings.Replace(chat("good"), "}]", "},]", 1), chat("good") + "}", "{\"model\":\"\xff\"}",
		} {
			p.refused(c, chatPath, body)
		}
	},
	"openai/400-missing": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		p.refused(c, chatPath, `{"model":"good"}`)
		p.refused(c, chatPath, `{"model":"good","messages":null}`)
	},
	"openai/400-value": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		p.refused(c, chatPath, chat("good", `"temperature":3`))
		p.refused(c, chatPath, chat("good", `"temperature":-0.5`))
	},
	"openai/400-type": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		p.refused(c, chatPath, chat("good", `"temperature":"hot"`))
		p.refused(c, chatPath, chat("good", `"temperature":[1]`))
	},
	"openai/400-unsupported": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		p.paid(c, chatPath, chat("claude"))
		asked := len(p.world.openai.up["claude"].Received())
		p.refused(c, chatPath, chat("claude", `"logprobs":true`))
		p.refused(c, chatPath, chat("claude", `"logprobs":true`, streamed))
		if got := len(p.world.openai.up["claude"].Received()); got != asked {
			p.Errorf("the upstream was asked all the same")
		}
	},
	"openai/400-context":  tooLong,
	"openai/401":          func(p *proof) { strangers(p, chatPath, chat("good"), "sk-pontage-") },
	"openai/402":          tooPoor,
	"openai/402-held":     held,
	"openai/403-inactive": inactive,
	"openai/403-model": func(p *proof) {
		c := p.caller(p.world.openai, "3", map[string]any{"models": []string{"claude", "gpt-*"}})
		p.paid(c, chatPath, chat("claude"))
		p.refused(c, chatPath, chat("good"))
		p.refused(c, chatPath, chat("good", streamed))
	},
	"openai/404-model": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		a := p.refused(c, chatPath, chat("gpt-17-nano"))
		p.says(p.text(a, "error", "message"), "gpt-17-nano")
		p.refused(c, "/v1/embeddings", `{"model":"embedding-17","input":"bridge"}`)
		p.refused(c, "/v1/models/gpt-17-nano", "", method("GET"))
	},
	"openai/404-path": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		p.refused(c, "/v1/completely/else", chat("good"))
		p.refused(c, "/v2/chat/completions", chat("good"))
		p.refused(c, "/v1/chat/completions/", chat("good"))
		p.refused(c, "/", "", method("GET"), noKey)
	},
	"openai/405": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		p.refused(c, chatPath, "", method("GET"))
		p.refused(c, chatPath, chat("good"), method("PUT"))
		p.refused(c, chatPath, "", method("DELETE"), noKey)
	},
	"openai/408": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		p.late(c, chatPath, "nothing comes after the headers", "", 0)
		p.late(c, chatPath, "half of it comes", chat("good")[:30], 0)
		p.late(c, chatPath, "a byte comes now and then", chat("good")[:30], 100*time.Millisecond)
	},
	"openai/413": func(p *proof) { tooBig(p, chatPath, chat("good")) },
	"openai/415": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		p.refused(c, chatPath, chat("good"), header("Content-Type", "text/plain"))
		p.refused(c, chatPath, chat("good"), header("Content-Type", "multipart/form-data; boundary=x"))
		p.refused(c, chatPath, chat("good"), header("Content-Encoding", "br"))
	},
	"openai/429-rate":  func(p *proof) { tooFast(p, chatPath, chat("good")) },
	"openai/429-daily": daily,
	"openai/500": func(p *proof) {
		g := start(p, "openai", []model{{name: "good", answer: testkit.JSON(200, chatBody)}})
		defect(p, g, chatPath, chat("good"))
	},
}

// tooLong asks for more tokens than the model has, by the prompt alone, by the
// answer it asks for, and by the provider's own count.
func tooLong(p *proof) {
	c := p.caller(p.world.openai, "3", nil)
	words := func(n int, more ...string) string {
		return body("narrow", `"messages":[{"role":"user","content":"`+strings.Repeat("bridge ", n)+`"}]`, append(more, `"max_tokens":600`))
	}
	p.wants(p.ask(c, chatPath, words(400)), http.StatusOK)
	a := p.refused(c, chatPath, words(800))
	p.says(p.text(a, "error", "message"), strconv.Itoa(narrowContext))
	a = p.refused(c, chatPath, words(2000))
	p.says(p.text(a, "error", "message"), strconv.Itoa(narrowContext))
	a = p.refused(c, chatPath, words(800, streamed))
	p.says(p.text(a, "error", "message"), strconv.Itoa(narrowContext))
	a = p.refused(c, chatPath, chat("full"))
	p.says(p.text(a, "error", "message"), "4321", "5678")
}

// strangers come without a key or with one that opens nothing.
func strangers(p *proof, path, body, prefix string) {
	c := p.caller(p.world.openai, "3", nil)
	p.refused(c, path, body, noKey)
	for _, bad := range foreignKeys(p, c, prefix) {
		p.refused(c, path, body, key(bad))
		p.refused(c, path, body, key(bad), xAPIKey)
	}
	p.wants(p.ask(c, path, body), http.StatusOK)
	p.wants(p.ask(c, path, body, xAPIKey), http.StatusOK)
	p.wants(p.ask(c, path, body, key(" "+c.key.Key+"  ")), http.StatusOK)
}

// foreignKeys are keys that are none here: of another shape, of another
// installation, mistyped, and one that was revoked a moment ago.
func foreignKeys(p *proof, c caller, prefix string) []string {
	revoked := p.another(c, nil)
	c.gw.MustAdmin(p, "DELETE", "/admin/v1/keys/"+revoked.key.ID, nil, nil)
	last := c.key.Key[len(c.key.Key)-1]
	out := []string{
		prefix + "0123456789abcdefghijABCDEFGHIJ000000",
		prefix,
		"sk-proj-0123456789abcdefghijABCDEFGHIJ",
		c.key.Key[:len(c.key.Key)-1] + string('0'+(last-'0'+1)%10),
		c.key.Key + "0",
		wellFormed(prefix + "0123456789abcdefghijABCDEFGHIJ"),
		revoked.key.Key,
	}
	return out
}

// tooPoor shows that the refusal tells the exact amount: with it the same
// request passes, with one nano-dollar less it does not.
func tooPoor(p *proof) {
	c := p.caller(p.world.openai, "0.000123456", nil)
	body := chat("good", `"max_tokens":900`)
	a := p.refused(c, chatPath, body)
	if got := a.header.Get("X-Available-USD"); got != "0.000123456" {
		p.Errorf("X-Available-USD is %s", got)
	}
	required, err := money.ParseUSD(a.header.Get("X-Required-USD"))
	if err != nil {
		p.Fatalf("X-Required-USD: %v", err)
	}
	p.says(p.text(a, "error", "message"), required.String(), "0.000123456")
	c.credit(p, (required - 123456 - money.Nano).String())
	a = p.refused(c, chatPath, body)
	if got := a.header.Get("X-Required-USD"); got != required.String() {
		p.Errorf("the same request now needs %s, and not %s", got, required)
	}
	p.refused(c, chatPath, chat("good", `"max_tokens":900`, streamed))
	c.credit(p, money.Nano.String())
	p.paid(c, chatPath, body)
	broke := p.caller(p.world.openai, "0", nil)
	a = p.refused(broke, chatPath, chat("good")) // without a limit of its own: not even the least is affordable
	if got := a.header.Get("X-Available-USD"); !isZero(got) {
		p.Errorf("X-Available-USD is %s", got)
	}
	p.note("one nano-dollar less than the %s it names is refused, that amount passes", required)
}

// held shows a balance that covers the request, but for another one in flight.
func held(p *proof) {
	g := p.world.openai
	poor := p.caller(g, "0", nil)
	body := chat("gated", `"max_tokens":750`)
	required, err := money.ParseUSD(p.wants(p.ask(poor, chatPath, body), http.StatusPaymentRequired).header.Get("X-Required-USD"))
	if err != nil {
		p.Fatalf("X-Required-USD: %v", err)
	}
	c := p.caller(g, (required + 77).String(), nil)
	gate := make(chan struct{})
	release := func() { close(gate) }
	defer func() { release() }()
	failure := says(500, "server_error", "internal", "Acme has a defect")
	failure.Gate = gate
	up := g.up["gated"]
	n := len(up.Received())
	up.Queue(failure)
	first := make(chan *answer, 1)
	before := c.ledger(p)
	go func() {
		a, _ := p.try(context.Background(), c, chatPath, body)
		first <- a
	}()
	up.Request(n)
	a := p.ask(c, chatPath, body)
	during := c.ledger(p)
	if during.HeldUSD != required.String() || during.AvailableUSD != money.Amount(77).String() {
		p.Errorf("in flight: %+v, needed %s", *during, required)
	}
	release()
	release = func() {}
	if one := <-first; one == nil || one.status != http.StatusBadGateway {
		p.Errorf("the first request was to fail at the upstream: %+v", one)
	}
	a.ledger = &ledgers{Before: before, After: c.ledger(p)}
	p.holds(a)
	p.says(a.header.Get("X-Required-USD"), required.String())
	p.says(a.header.Get("X-Available-USD"), money.Amount(77).String())
	if after := a.ledger.After; after.BalanceUSD != before.BalanceUSD || after.Charges != 0 || !isZero(after.HeldUSD) {
		p.Errorf("it was to be free: %+v became %+v", *before, *after)
	}
	p.paid(c, chatPath, body)
	p.note("while the first request held %s; the same request passed afterwards", required)
}

// inactive shows keys that are switched off, and those of a suspended account.
func inactive(p *proof) {
	g := p.world.openai
	c := p.caller(g, "3", nil)
	p.wants(p.ask(c, chatPath, chat("good")), http.StatusOK)
	g.MustAdmin(p, "PATCH", "/admin/v1/keys/"+c.key.ID, map[string]any{"active": false}, nil)
	p.refused(c, chatPath, chat("good"))
	p.refused(c, chatPath, chat("good", streamed))
	g.MustAdmin(p, "PATCH", "/admin/v1/keys/"+c.key.ID, map[string]any{"active": true}, nil)
	p.wants(p.ask(c, chatPath, chat("good")), http.StatusOK)
	g.MustAdmin(p, "PATCH", "/admin/v1/accounts/"+c.account, map[string]any{"status": "suspended"}, nil)
	p.refused(c, chatPath, chat("good"))
}

// tooBig sends bodies beyond the limit: announced, unannounced, and packed.
func tooBig(p *proof, path string, small string) {
	c := p.caller(p.world.openai, "3", nil)
	pad := func(n int) string { return strings.Repeat(" ", n-len(small)) + small }
	fitting := pad(bodyLimit)
	if len(fitting) != bodyLimit {
		p.Fatalf("the body has %d bytes", len(fitting))
	}
	p.wants(p.ask(c, path, fitting), http.StatusOK)
	big := pad(bodyLimit + 1)
	a := p.refused(c, path, big)
	p.says(p.text(a, "error", "message"), strconv.Itoa(bodyLimit))
	p.refused(c, path, big, chunked)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 8<<20))
	_, _ = z.Write([]byte(small))
	if err := z.Close(); err != nil || zipped.Len() > bodyLimit {
		p.Fatalf("gzip: %d bytes, %v", zipped.Len(), err)
	}
	p.refused(c, path, zipped.String(), header("Content-Encoding", "gzip"))
}

// tooFast uses a key up to its throughput, and once more; after the time that
// the refusal names, the same request passes.
func tooFast(p *proof, path, body string) {
	for _, limits := range []map[string]any{{"requests": 3, "per": "2s"}, {"rps": 0.5, "burst": 2}} {
		c, a := p.exhausted(limits, 2*time.Second, path, body)
		p.waited(c, a, path, body)
	}
}

// exhausted sends requests with a key of such limits until one is refused. Where
// the machine was so slow that more time went by than the limits count in, it
// begins again with another key.
func (p *proof) exhausted(limits map[string]any, within time.Duration, path, body string) (caller, *answer) {
	p.Helper()
	most := limits["requests"]
	if most == nil {
		most = limits["burst"]
	}
	for range 20 {
		c := p.caller(p.world.openai, "3", limited(limits))
		start := time.Now()
		for range most.(int) {
			p.wants(p.ask(c, path, body), http.StatusOK)
		}
		a := p.watched(c, path, body)
		if a.status == http.StatusOK && time.Since(start) >= within {
			continue
		}
		if b, after := a.ledger.Before, a.ledger.After; b.BalanceUSD != after.BalanceUSD || b.Charges != after.Charges || !isZero(after.HeldUSD) {
			p.Errorf("it was to be free: %+v became %+v", *b, *after)
		}
		return c, p.holds(a)
	}
	p.Fatalf("%v were never used up within %v", limits, within)
	return caller{}, nil
}

// waited sends a request again after the time that its refusal named, which
// must be enough, and not more than needed.
func (p *proof) waited(c caller, refused *answer, path, body string) {
	p.Helper()
	ms, err := strconv.Atoi(refused.header.Get("retry-after-ms"))
	if err != nil {
		p.Fatalf("retry-after-ms: %v", err)
	}
	// It was refused at some moment between these two.
	wait := time.Duration(ms) * time.Millisecond
	soonest, latest := refused.sent.Add(wait), refused.came.Add(wait)
	sleep(time.Until(soonest) - 300*time.Millisecond)
	if a := p.ask(c, path, body); a.status == http.StatusOK {
		if early := soonest.Sub(a.came) - time.Millisecond; early > 0 { // the time is told in whole ones
			p.Errorf("it passed %v before the time that was named", early)
		}
	} else {
		sleep(time.Until(latest))
		p.wants(p.ask(c, path, body), http.StatusOK)
	}
	p.note("after the %d ms that it names the same request passed", ms)
}

// sleep is for what is about the real time and nothing else.
func sleep(d time.Duration) { <-time.After(d) }

// daily uses up a key's requests of the day; the next day they are there again.
func daily(p *proof) {
	g := start(p, "openai", []model{{name: "good", answer: testkit.JSON(200, chatBody), streamed: testkit.SSE(chatStream...)}})
	if now := time.Now().UTC(); now.Hour() == 23 && now.Minute() >= 55 {
		g.advance(p, "10m") // the day must not end before the test does
		p.note("near midnight, so the clock was put forward by ten minutes")
	}
	const limit = 4
	c := p.caller(g, "3", limited(map[string]any{"requests_per_day": limit}))
	for range limit {
		p.paid(c, chatPath, chat("good"))
	}
	a := p.refused(c, chatPath, chat("good"))
	p.says(p.text(a, "error", "message"), fmt.Sprintf("%d/%d", limit, limit))
	wait, _ := strconv.Atoi(a.header.Get("Retry-After"))
	now := g.now(p)
	left := now.Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now)
	if d := time.Duration(wait)*time.Second - left; d < -5*time.Second || d > 5*time.Second {
		p.Errorf("Retry-After is %d s, and the day ends in %v", wait, left)
	}
	p.refused(c, chatPath, chat("good", streamed))
	p.paid(p.another(c, nil), chatPath, chat("good"))
	g.advance(p, (time.Duration(wait) * time.Second).String())
	p.paid(c, chatPath, chat("good"))
	p.note("after the %d s that it names the same request passed (test clock)", wait)
	g.settled(p)
}

// now is the time by the gateway's clock.
func (g *gateway) now(p *proof) time.Time {
	p.Helper()
	var out struct {
		Now time.Time `json:"now"`
	}
	g.MustAdmin(p, "POST", "/admin/v1/test/clock", map[string]any{"advance": "0s"}, &out)
	return out.Now.UTC()
}

// defect lets a handler panic; the next request is served as if nothing had been.
func defect(p *proof, g *gateway, path, body string) {
	c := p.caller(g, "3", nil)
	for range 2 {
		g.arm(p, "handler_panic")
		a := p.refused(c, path, body)
		if text := string(a.body); strings.Contains(text, "panic") || strings.Contains(text, ".go") || strings.Contains(text, "goroutine") {
			p.Errorf("the answer tells of our inside: %s", text)
		}
		p.paid(c, path, body)
	}
	g.settled(p)
}
