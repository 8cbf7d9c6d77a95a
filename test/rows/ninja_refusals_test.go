package rows

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ninjaRefusals are the rows of ninjachat in which the gateway itself says no.
var ninjaRefusals = map[string]func(*proof){
	"ninjachat/400-invalid-json": func(p *proof) {
		c := p.at(ninjaHost, "8", nil)
		good := chat("gpt-5-mini")
		for _, body := range []string{
			good[:40], strings.Replace(good, "}]", "},]", 1), good[:len(good)-1] + ",}", "", "[]", `"hi"`, "null", "7", "hi",
		} {
			p.refused(c, ninjaPath, body)
		}
	},
	"ninjachat/400-validation-both": func(p *proof) {
		c := p.at(ninjaHost, "8", nil)
		p.refused(c, ninjaPath, `{"model":"gpt5"}`)
		p.refused(c, ninjaPath, `{"model":"gpt-17-nano","stream":true}`)
	},
	"ninjachat/400-model-typo": func(p *proof) {
		c := p.at(ninjaHost, "8", nil)
		p.refused(c, ninjaPath, chat("gpt5"))
		p.refused(c, ninjaPath, chat("gpt5", streamed))
		p.refused(c, ninjaPath, chat("GPT-5-mini"))
	},
	"ninjachat/400-message-without-role": func(p *proof) {
		c := p.at(ninjaHost, "8", nil)
		p.refused(c, ninjaPath, `{"model":"gpt-5-mini","messages":[{"content":"hi"}]}`)
		a := p.wants(p.ask(c, ninjaPath, `{"model":"gpt-5-mini","messages":[{"role":"user","content":"hi"},{"role":"user","content":"ho"},{"content":"hi"}]}`), http.StatusBadRequest)
		p.says(string(a.body), `"messages.2.role"`)
	},
	"ninjachat/400-message-without-content": func(p *proof) {
		c := p.at(ninjaHost, "8", nil)
		p.refused(c, ninjaPath, `{"model":"gpt-5-mini","messages":[{"role":"user"}]}`)
		a := p.wants(p.ask(c, ninjaPath, `{"model":"gpt-5-mini","messages":[{"role":"user","content":"hi"},{"role":"assistant"}]}`), http.StatusBadRequest)
		p.says(string(a.body), `"messages.1.content"`)
	},
	"ninjachat/401-missing-api-key": func(p *proof) {
		c := p.at(ninjaHost, "8", nil)
		p.refused(c, ninjaPath, chat("gpt-5-mini"), noKey)
	},
	"ninjachat/401-invalid-api-key": func(p *proof) {
		c := p.at(ninjaHost, "8", nil)
		p.refused(c, ninjaPath, chat("gpt-5-mini"), key(wellFormed("nj_sk_0123456789abcdefghijABCDEFGHIJ")))
		p.refused(c, ninjaPath, chat("gpt-5-mini"), key("nj_sk_YOUR_API_KEY"))
		p.refused(c, ninjaPath, chat("gpt-5-mini"), key(c.key.Key[:len(c.key.Key)-1]))
	},
	"ninjachat/401-wrong-prefix": func(p *proof) {
		c := p.at(ninjaHost, "8", nil)
		if !strings.HasPrefix(c.key.Key, "nj_sk_") {
			p.Errorf("a new key starts with %s", c.key.Key[:6])
		}
		random := strings.TrimPrefix(c.key.Key, "nj_sk_")
		p.refused(c, ninjaPath, chat("gpt-5-mini"), key(wellFormed("sk-pontage-0123456789abcdefghijABCDEFGHIJ")))
		p.refused(c, ninjaPath, chat("gpt-5-mini"), key(random))
		p.refused(c, ninjaPath, chat("gpt-5-mini"), key("NJ_SK_"+random))
	},
	"ninjachat/401-revoked": func(p *proof) {
		c := p.at(ninjaHost, "8", nil)
		p.paid(c, ninjaPath, chat("gpt-5-mini"))
		c.gw.MustAdmin(p, "DELETE", "/admin/v1/keys/"+c.key.ID, nil, nil)
		p.refused(c, ninjaPath, chat("gpt-5-mini"))
		p.refused(c, ninjaPath, chat("gpt-5-mini", streamed))
		p.note("the key had been good in the request before")
	},
	"ninjachat/402-insufficient-credits": func(p *proof) {
		c := p.at(ninjaHost, "0", nil)
		p.refused(c, ninjaPath, chat("gpt-5-mini"))
		p.refused(c, ninjaPath, chat("gpt-5-mini", streamed))
		c.credit(p, "0.002999999")
		a := p.refused(c, ninjaPath, chat("gpt-5-mini"))
		if got := a.header.Get("X-Required-USD"); got != ninjaPrice {
			p.Errorf("X-Required-USD is %s", got)
		}
		c.credit(p, "0.000000001")
		p.paid(c, ninjaPath, chat("gpt-5-mini"))
		p.refused(c, ninjaPath, chat("gpt-5-mini"))
	},
	"ninjachat/429-rate-limit": func(p *proof) {
		window(p)
		sixtyAMinute(p)
	},
	"ninjachat/402-before-404-never": precedence,
}

// window goes on asking for longer than two windows, and checks that no window
// held more than it may, and that the time which a refusal names is enough.
func window(p *proof) {
	const limit, span = 4, 2 * time.Second
	c := p.at(ninjaHost, "8", limited(map[string]any{"requests": limit, "per": span.String()}))
	body := chat("gpt-5-mini")
	var good []*answer
	shown := false
	for len(good) < 2*limit+1 {
		a := p.ask(c, ninjaPath, body)
		switch a.status {
		case http.StatusOK:
			good = append(good, a)
		case http.StatusTooManyRequests:
			if !shown {
				shown = true
				a = p.refused(c, ninjaPath, body)
			}
			seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
			if most := int(span / time.Second); seconds < 1 || seconds > most {
				p.Fatalf("Retry-After is %q", a.header.Get("Retry-After"))
			}
			sleep(100 * time.Millisecond)
		default:
			p.Fatalf("status %d\n%s", a.status, a.body)
		}
		if len(good) > 0 && time.Since(good[0].sent) > patience {
			p.Fatalf("%d requests passed in %v", len(good), patience)
		}
	}
	if !shown {
		p.Errorf("nothing was refused")
	}
	for i := limit; i < len(good); i++ {
		if d := good[i].came.Sub(good[i-limit].sent); d < span {
			p.Errorf("%d requests passed within %v", limit+1, d)
		}
	}
	p.note("%d in any %v: of %d requests in a row that passed, no window held more", limit, span, len(good))
}

// sixtyAMinute uses up what the site allows every key, at once, and then asks
// once a second by the gateway's clock.
func sixtyAMinute(p *proof) {
	g := p.apart(startFive(p, nil))
	c := p.at(ninjaHost, "8", nil)
	body := chat("gpt-5-mini")
	for i := range 60 {
		if a := p.ask(c, ninjaPath, body); a.status != http.StatusOK {
			p.Fatalf("request %d: %d\n%s", i+1, a.status, a.body)
		}
	}
	p.refused(c, ninjaPath, body)
	for i := range 55 {
		g.advance(p, "1s")
		if a := p.ask(c, ninjaPath, body); a.status != http.StatusTooManyRequests {
			p.Fatalf("%d s later: %d", i+1, a.status)
		}
	}
	p.refused(c, ninjaPath, body)
	g.advance(p, "5s")
	p.wants(p.ask(c, ninjaPath, body), http.StatusOK)
	p.note("60 at once, then one a second refused for 55 s, then the window had room (test clock)")
	g.settled(p)
}

// precedence brings about several refusals at once.
func precedence(p *proof) {
	g := p.world.five
	empty := p.at(ninjaHost, "0", nil)
	code := func(a *answer, status int, want string) *answer {
		p.Helper()
		p.show(a)
		p.wants(a, status)
		p.refusal(a)
		if got := p.text(a, "error"); got != want {
			p.Errorf("%s comes first, and not %s\n%s", got, want, a.request.Body)
		}
		return a
	}
	post := func(c caller, body string, changes ...change) *answer {
		return p.free(c, func() *answer { return p.ask(c, ninjaPath, body, changes...) })
	}
	bad := key(wellFormed("nj_sk_0123456789abcdefghijABCDEFGHIJ"))
	code(post(empty, chat("gpt5")), 400, "validation_error")
	code(post(empty, "{"), 400, "invalid_json")
	code(post(empty, `{"model":"gpt-5-mini"}`), 400, "validation_error")
	code(post(empty, chat("gpt-5-mini")), 402, "insufficient_credits")
	code(post(empty, "{", bad), 401, "invalid_api_key")
	code(post(empty, chat("gpt5"), bad), 401, "invalid_api_key")
	code(post(empty, "{", noKey), 401, "missing_api_key")
	code(post(empty, strings.Repeat(" ", bodyLimit+1), bad), 401, "invalid_api_key")

	quick := p.anotherAt(empty, limited(map[string]any{"requests": 1, "per": "60s"}))
	code(post(quick, chat("gpt-5-mini")), 402, "insufficient_credits")
	code(post(quick, "{"), 429, "rate_limit_exceeded")
	code(post(quick, chat("gpt5")), 429, "rate_limit_exceeded")
	code(post(quick, chat("gpt-5-mini")), 429, "rate_limit_exceeded")
	g.MustAdmin(p, "DELETE", "/admin/v1/keys/"+quick.key.ID, nil, nil)
	code(post(quick, "{"), 401, "invalid_api_key")
	p.note("401 before 429 before 400 before 402, in %d combinations", len(p.shown))
}
