package rows

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/pontage/pontage/internal/testkit"
)

// samuraiUpstreams are the rows of samurai in which the gateway or an upstream
// fails, and those of its other shape.
var samuraiUpstreams = map[string]func(*proof){
	"samurai/500": func(p *proof) {
		g := startSamurai(p, asItIs)
		p.apart(g.gateway)
		c := p.at(samuraiHost, "0", nil)
		for i, more := range [][]string{nil, {streamed}} {
			g.arm(p, "handler_panic")
			a := p.retries(p.left(p.refused(c, chatPath, chat("gpt-4o", more...)), freeClosed, freeClosed-i), "true")
			if text := string(a.body); strings.Contains(text, "panic") || strings.Contains(text, ".go") {
				p.Errorf("the answer tells of our inside: %s", text)
			}
			p.left(p.paid(c, chatPath, chat("gpt-4o")), freeClosed, freeClosed-1-i)
		}
		g.arm(p, "handler_panic")
		p.wantsError(p.ask(c, samuraiMessages, message("gpt-4o")), 500, "server_error")
		g.settled(p)
	},
	"samurai/503-upstream": func(p *proof) {
		c := p.at(samuraiHost, "0", nil)
		for _, b := range brokenUpstreams {
			var more []string
			if b.stream {
				more = []string{streamed}
			}
			up := p.world.five.up["samurai-"+b.name]
			asked := len(up.Received())
			p.retries(p.refused(c, chatPath, chat("samurai-"+b.name, more...)), "true")
			if got := len(up.Received()) - asked; got != b.tries {
				p.Errorf("%s: %d attempts, and not %d", b.name, got, b.tries)
			}
		}
		for _, m := range []string{"refusing", "slow", "limited", "auth", "quota", "busy"} {
			for _, more := range [][]string{nil, {streamed}} {
				a := p.refused(c, chatPath, chat("samurai-"+m, more...))
				saysNothing(p, a, "samurai-"+m)
			}
			p.wantsError(p.free(c, func() *answer { return p.ask(c, samuraiMessages, message("samurai-"+m), xAPIKey) }), 503, "model_unavailable")
		}
		if n := p.counted(c)["closed"]; n != 0 {
			p.Errorf("%d failures were counted", n)
		}
		p.note("%d ways to fail, none counted", len(brokenUpstreams)+6)
	},
	"samurai/failed-is-free": failedIsFree,
	"samurai/messages":       samuraiMessage,
	"samurai/stream-midway": func(p *proof) {
		c := p.at(samuraiHost, "0", nil)
		for _, m := range append(interrupted, interruptedMessages...) {
			name := "samurai-" + m.name
			samuraiBreaks(p, p.free(c, func() *answer { return p.ask(c, chatPath, chat(name, streamed)) }), name, "", readChatStream)
			samuraiBreaks(p, p.free(c, func() *answer { return p.ask(c, samuraiMessages, message(name, streamed), xAPIKey) }), name, "error", readMessageStream)
		}
		if n := p.counted(c)["closed"]; n != 0 {
			p.Errorf("%d broken streams were counted", n)
		}
		whole := p.paid(c, chatPath, chat("gpt-4o", streamed))
		if got, err := readChatStream(whole.body); got != said || err != nil {
			p.Errorf("a stream that ends well: %q, %v", got, err)
		}
	},
}

// samuraiBreaks checks a stream that broke off after content; event is the name
// of the frame that says so.
func samuraiBreaks(p *proof, a *answer, name, event string, read func([]byte) (string, error)) {
	p.Helper()
	p.show(a)
	p.wants(a, http.StatusOK)
	p.brokeFree(a, name)
	es := events(a.body)
	if len(es) < 2 {
		p.Fatalf("%s: %d events\n%s", name, len(es), a.body)
	}
	last := es[len(es)-1]
	var data map[string]any
	if err := json.Unmarshal([]byte(last.data), &data); err != nil {
		p.Errorf("%s: the last frame is no JSON: %v\n%s", name, err, a.body)
	}
	want := map[string]any{"error": map[string]any{"type": "model_unavailable", "message": "<text>", "code": 503}}
	if event == "error" {
		want["type"] = "error"
	}
	if d := differs(any(data), any(want), true); d != "" || last.name != event {
		p.Errorf("%s: the error frame differs: event %q: %s\n%s", name, last.name, d, a.body)
	}
	for _, no := range []string{"[DONE]", "message_stop", `"finish_reason":"`, `stop_reason":"`} {
		if strings.Contains(string(a.body), no) {
			p.Errorf("%s: a broken stream has %s\n%s", name, no, a.body)
		}
	}
	got, err := read(a.body)
	if got != said {
		p.Errorf("%s: before it broke off it said %q", name, got)
	}
	if err == nil {
		p.Errorf("%s: the SDK takes the stream for a whole one\n%s", name, a.body)
	} else {
		p.note("the SDK's reader raises %q", err)
	}
}

// failedIsFree fails in every way that ends in 5xx, far more often than a quota
// of the day allows, and then uses up the whole quota.
func failedIsFree(p *proof) {
	bad := []model{
		{name: "down-500", answer: says(500, "server_error", "internal", "Acme has a defect"), more: "attempts: 1"},
		{name: "down-nobody", url: nobody(p), more: "attempts: 1"},
		{name: "down-mid", answer: cut(testkit.SSE(beginning...))},
		{name: "down-policy", answer: says(400, "invalid_request_error", "content_policy_violation", "Your request was rejected by our safety system.")},
	}
	g := p.apart(startFive(p, bad))
	c := p.at(samuraiHost, "0", nil)
	for range freeClosed/10 + 1 {
		for _, m := range []string{"down-500", "down-nobody"} {
			for _, more := range [][]string{nil, {streamed}} {
				a := p.wants(p.free(c, func() *answer { return p.ask(c, chatPath, chat(m, more...)) }), 503)
				p.left(a, freeClosed, freeClosed)
			}
			p.wants(p.ask(c, samuraiMessages, message(m)), 503)
		}
		p.free(c, func() *answer { return p.ask(c, chatPath, chat("down-mid", streamed)) })
		p.wants(p.ask(c, chatPath, chat("down-policy")), 400)
		g.arm(p, "handler_panic")
		p.wants(p.ask(c, chatPath, chat("gpt-4o")), 500)
	}
	if got := p.counted(c)["closed"]; got != 0 {
		p.Errorf("%d failures were counted", got)
	}
	for i := range freeClosed {
		p.left(p.wants(p.ask(c, chatPath, chat("gpt-5")), http.StatusOK), freeClosed, freeClosed-1-i)
	}
	p.show(p.left(p.wants(p.ask(c, chatPath, chat("gpt-5")), 429), freeClosed, 0))
	p.note("after %d failures the whole quota of %d was there", 9*(freeClosed/10+1), freeClosed)
	g.settled(p)
}

// samuraiMessage asks in Anthropic's shape.
func samuraiMessage(p *proof) {
	c := p.at(samuraiHost, "0", nil)
	for _, m := range []string{"samurai-claude", "gpt-4o"} {
		for _, changes := range [][]change{{xAPIKey}, nil} {
			a := p.paid(c, samuraiMessages, message(m), changes...)
			p.show(a)
			want := map[string]any{
				"id": "<id>", "type": "message", "role": "assistant", "model": m, "stop_reason": "end_turn", "stop_sequence": nil,
				"content": []any{map[string]any{"type": "text", "text": said}}, "usage": map[string]any{"input_tokens": 11, "output_tokens": 5},
			}
			if d := differs(any(p.json(a)), any(want), false); d != "" {
				p.Errorf("%s: the body differs: %s\n%s", m, d, a.body)
			}
		}
		a := p.paid(c, samuraiMessages, message(m, streamed), xAPIKey)
		p.show(a)
		es := events(a.body)
		if got, err := readMessageStream(a.body); got != said || err != nil || len(es) == 0 || es[len(es)-1].name != "message_stop" {
			p.Errorf("%s streamed: %q, %v\n%s", m, got, err, a.body)
		}
	}
	if got := fmt.Sprint(p.counted(c)); got != "map[closed:6 open:0]" {
		p.Errorf("counted: %s", got)
	}
	anthropic := func(a *answer, status int, kind string) {
		p.Helper()
		p.wantsError(a, status, kind)
		if got := p.json(a)["type"]; got != "error" {
			p.Errorf("type is %v\n%s", got, a.body)
		}
	}
	post := func(body string, changes ...change) *answer {
		return p.free(c, func() *answer { return p.ask(c, samuraiMessages, body, changes...) })
	}
	bad := wellFormed("sk-samurai-0123456789abcdefghijABCDEFGHIJ")
	for _, a := range []*answer{
		post(message("gpt-4o"), key(bad), xAPIKey), post(message("gpt-4o", streamed), key(bad), xAPIKey),
		post(message("gpt-4o"), key(bad)), post(message("gpt-4o"), key("sk-ant-api03-0123456789"), xAPIKey),
	} {
		anthropic(a, 401, "auth_error")
		if got := p.text(a, "error", "message"); got != "Invalid API key provided." {
			p.Errorf("the message is %q", got)
		}
	}
	anthropic(post(message("gpt-4o"), noKey), 401, "auth_error")
	anthropic(post("{", xAPIKey), 400, "bad_request")
	anthropic(post(`{"model":"gpt-4o","max_tokens":5}`, xAPIKey), 400, "bad_request")
	anthropic(post(message("gpt-4o", `"temperature":7`), xAPIKey), 422, "validation_error")
	anthropic(post(message("claude-17"), xAPIKey), 404, "not_found")
	anthropic(post(message("o1"), xAPIKey), 403, "permission_denied")
	anthropic(post(message("gpt-4o"), method("GET")), 405, "bad_request")
	count := p.ask(c, samuraiMessages+"/count_tokens", chat("gpt-4o"), xAPIKey)
	if d := differs(any(p.json(p.wants(count, 200))), map[string]any{"input_tokens": "<int>"}, true); d != "" {
		p.Errorf("count_tokens: %s\n%s", d, count.body)
	}
}
