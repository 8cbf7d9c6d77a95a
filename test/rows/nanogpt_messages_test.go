package rows

import (
	"strings"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// nanoMessagesRows are the rows of messages, in Anthropic's shape, at every path
// that they are served at.
var nanoMessagesRows = map[string]func(*proof){
	"nanogpt/messages-max-tokens": func(p *proof) {
		c := p.nano("3", nil)
		for _, path := range nanoMessages {
			p.declined(c, path, chat("nano-plain"))
			p.declined(c, path, chat("nano-plain", streamed), xAPIKey)
			p.declined(c, path, chat("nano-plain", `"max_tokens":null`))
			p.paid(c, path, chat("nano-plain", `"max_tokens":7`))
			p.paid(c, path, message("nano-plain", `"service_tier":"standard"`))
			p.paid(c, path, message("nano-plain", `"service_tier":"batch"`))
			p.paid(c, path, message("nano-plain", `"tools":[{"name":"look","input_schema":{"type":"object"}}],"tool_choice":{"type":"required"}`))
		}
	},
	"nanogpt/messages-400": nanoMessagesInvalid,
	"nanogpt/messages-401": func(p *proof) {
		c := p.nano("3", nil)
		for _, path := range nanoMessages {
			p.declined(c, path, message("nano-plain"), noKey)
			p.declined(c, path, message("nano-plain", streamed), key(c.key.Key+"0"))
			p.declined(c, path+"/count_tokens", message("nano-plain"), key(c.key.Key+"0"))
		}
		nanoStrangers(p, c, nanoMessages[0], message("nano-plain"))
	},
	"nanogpt/messages-402": func(p *proof) {
		for i, path := range nanoMessages {
			body := message("nano-plain", [][]string{nil, {streamed}, {`"temperature":0.3`}}[i]...)
			c := p.nano("0.000045678", nil)
			a := p.declined(c, path, body)
			p.declined(c, path, body, xAPIKey)
			if got := a.header.Get("X-Available-USD"); got != "0.000045678" {
				p.Errorf("X-Available-USD is %s", got)
			}
			required := p.dollars(a.header.Get("X-Required-USD"))
			c.credit(p, (required - 45678 - money.Nano).String())
			p.declined(c, path, body)
			c.credit(p, money.Nano.String())
			a = p.paid(c, path, body)
			if got := p.dollars(p.receiptOf(c, a).HoldUSD); got != required {
				p.Errorf("it held %s, and had been told to need %s", got, required)
			}
		}
	},
	"nanogpt/messages-403": func(p *proof) {
		c := p.nano("3", map[string]any{"models": []string{"nano-other", "claude-*"}})
		for _, path := range nanoMessages {
			p.declined(c, path, message("nano-plain"))
			p.declined(c, path, message("nano-plain", streamed), xAPIKey)
			p.declined(c, path+"/count_tokens", message("nano-plain"))
			p.paid(c, path, message("nano-other"))
		}
	},
	"nanogpt/messages-404": func(p *proof) {
		c := p.nano("3", nil)
		for _, path := range nanoMessages {
			p.says(p.text(p.declined(c, path, message("claude-17")), "error", "message"), "claude-17")
			p.declined(c, path, message("claude-17", streamed), xAPIKey)
			p.declined(c, path+"/count_tokens", message("claude-17"))
			p.declined(c, path+"/bridges", message("nano-plain")) // a path that is none
		}
	},
	"nanogpt/messages-413": func(p *proof) {
		for _, path := range nanoMessages {
			nanoTooBig(p, path, message("nano-plain"))
		}
	},
	"nanogpt/messages-429": nanoMessagesTooOften,
	"nanogpt/messages-500": func(p *proof) {
		nanoDefect(p, nanoMessages[0], message("gpt-4o"), message("gpt-4o", streamed))
		nanoDefect(p, nanoMessages[1], message("gpt-4o"))
		nanoDefect(p, nanoMessages[2], message("gpt-4o"))
	},
	"nanogpt/messages-503": func(p *proof) {
		c := p.nano("3", nil)
		for i, b := range brokenUpstreams {
			var more []string
			if b.stream {
				more = []string{streamed}
			}
			p.declined(c, nanoMessages[i%3], message("nano-msg-"+b.name, more...))
			if got := c.gw.received("nano-msg-" + b.name); got != b.tries {
				p.Errorf("%s: %d attempts, and not %d", b.name, got, b.tries)
			}
		}
		for i, m := range []string{"nano-msg-529", "nano-msg-refusing", "nano-msg-429"} {
			p.declined(c, nanoMessages[i%3], message(m))
			p.declined(c, nanoMessages[(i+1)%3], message(m, streamed), xAPIKey)
		}
		p.note("%d ways to fail, each on every one of 3 attempts, an upstream that is overloaded, one that limits us, and one that refuses connections", len(brokenUpstreams))
	},
	"nanogpt/messages-stream-midway": func(p *proof) {
		c := p.nano("3", nil)
		ms := append(append(interruptedMessages[:len(interruptedMessages):len(interruptedMessages)], interrupted...), nanoOverloadedMidway)
		for i, m := range ms {
			for j, changes := range [][]change{nil, {xAPIKey}} {
				a := p.free(c, func() *answer {
					return p.ask(c, nanoMessages[(i+j)%3], message("nano-for-msg-"+m.name, streamed), changes...)
				})
				messagesBreak(p, a, m.name, "api_error")
			}
		}
		for _, path := range nanoMessages {
			whole := p.paid(c, path, message("nano-plain", streamed))
			if got, err := readMessageStream(whole.body); got != said || err != nil {
				p.Errorf("a stream that ends well: %q, %v", got, err)
			}
		}
	},
}

// nanoMessagesInvalid sends what else can be wrong with a request.
func nanoMessagesInvalid(p *proof) {
	c := p.nano("3", nil)
	good := message("nano-plain")
	const tools = `"tools":[{"name":"look","input_schema":{"type":"object"}}]`
	const image = `{"type":"image","source":{"type":"url","url":"https://bridge.example/now.png"}}`
	bad := []string{
		good[:50], "", strings.Replace(good, "}]", "},]", 1),
		`{"max_tokens":7,"messages":[{"role":"user","content":"hi"}]}`,
		`{"model":"nano-plain","max_tokens":7}`,
		`{"model":"nano-plain","max_tokens":7,"messages":[]}`,
		`{"model":"nano-plain","max_tokens":7,"messages":[{"role":"bridge","content":"hi"}]}`,
		chat("nano-plain", `"max_tokens":-3`), chat("nano-plain", `"max_tokens":"many"`), chat("nano-plain", `"max_tokens":2.5`),
		message("nano-plain", `"temperature":1.5`), message("nano-plain", `"temperature":"hot"`), message("nano-plain", `"top_k":-2`),
		message("nano-plain", `"thinking":{"type":"enabled","budget_tokens":17}`),
		message("tiny-talk", tools, `"tool_choice":{"type":"any"}`),
		withPart("llama-3.3-70b", image, `"max_tokens":50`),
		chat("nano-narrow", `"max_tokens":1300`),
		message("nano-full"), message("nano-msg-policy"),
		message("text-embedding-3-small"),
	}
	for i, b := range bad {
		a := p.declined(c, nanoMessages[i%3], b)
		if _, has := p.json(a)["error"].(map[string]any)["code"]; has {
			p.Errorf("this shape has no code\n%s", a.body)
		}
		if strings.HasSuffix(b, "}") && strings.HasPrefix(b, `{"model"`) {
			p.declined(c, nanoMessages[(i+1)%3], b[:len(b)-1]+`,"stream":true}`, xAPIKey)
		}
	}
	p.note("%d ways, whole and streamed", len(bad))
}

// nanoMessagesTooOften passes a key's throughput, and what it may a day.
func nanoMessagesTooOften(p *proof) {
	nanoQuick(p, nanoMessages[0], message("gpt-4o"), message("gpt-4o", streamed))
	g := startFive(p, nil)
	g.beforeMidnight(p, 613*time.Second)
	rich := p.atNano(g, "3", nil)
	c := p.anotherAt(rich, limited(map[string]any{"requests_per_day": len(nanoMessages)}))
	for _, path := range nanoMessages {
		p.paid(c, path, message("gpt-4o"))
	}
	for _, path := range nanoMessages {
		a := p.untilMidnight(g, func() *answer { return p.declined(c, path, message("gpt-4o", streamed), xAPIKey) })
		p.says(p.text(a, "error", "message"), "Daily request limit exceeded (3/3). Resets at midnight UTC.")
	}
	body := message("gpt-4o", `"temperature":0.3`)
	required := p.mostOf(g, nanoMessages[1], body)
	for _, path := range nanoMessages {
		short := p.anotherAt(rich, limited(map[string]any{"usd_per_day": (required - money.Nano).String()}))
		p.untilMidnight(g, func() *answer { return p.declined(short, path, body) })
		p.paid(p.anotherAt(rich, limited(map[string]any{"usd_per_day": required.String()})), path, body)
	}
	p.note("and the limits of a day, in requests and in dollars, to the nano-dollar")
	g.settled(p)
}
