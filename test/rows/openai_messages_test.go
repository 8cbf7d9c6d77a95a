package rows

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// openaiMessages are the rows of /v1/messages, in Anthropic's shape.
var openaiMessages = map[string]func(*proof){
	"openai/messages-401": func(p *proof) {
		strangers(p, messagesPath, message("good"), "sk-pontage-")
		for _, s := range p.shown {
			named := fmt.Sprint(s.Response.Headers["X-Request-Id"])
			if !strings.Contains(fmt.Sprintf("%s", s.Response.Body), named) {
				p.Errorf("request_id is not the X-Request-ID %s: %s", named, s.Response.Body)
			}
		}
	},
	"openai/messages-402": func(p *proof) {
		c := p.caller(p.world.openai, "0.000045678", nil)
		a := p.refused(c, messagesPath, message("good"))
		if a.header.Get("X-Required-USD") == "" || a.header.Get("X-Available-USD") != "0.000045678" {
			p.Errorf("needed and available: %v", a.header)
		}
		p.refused(c, messagesPath, message("good", streamed), xAPIKey)
		p.refused(c, messagesPath, message("claude"))
	},
	"openai/messages-404": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		p.says(p.text(p.refused(c, messagesPath, message("claude-17")), "error", "message"), "claude-17")
		p.refused(c, messagesPath, message("claude-17", streamed), xAPIKey)
	},
	"openai/messages-413": func(p *proof) { tooBig(p, messagesPath, message("good")) },
	"openai/messages-429": func(p *proof) { tooFast(p, messagesPath, message("claude")) },
	"openai/messages-529": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		for _, m := range []string{"busy-529", "busy-503"} {
			p.refused(c, messagesPath, message(m))
			p.tried(m, 3)
			p.refused(c, messagesPath, message(m, streamed), xAPIKey)
		}
	},
	"openai/messages-502": func(p *proof) {
		brokenAtEveryTry(p, p.world.openai, messagesPath, message)
		c := p.caller(p.world.openai, "3", nil)
		for _, m := range []string{"claude-500", "claude-200-error"} {
			p.refused(c, messagesPath, message(m))
			p.tried(m, 3)
			p.refused(c, messagesPath, message(m, streamed))
		}
	},
	"openai/messages-stream-midway": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		for _, m := range append(interruptedMessages, interrupted...) {
			messagesBreak(p, p.free(c, func() *answer { return p.ask(c, messagesPath, message(m.name, streamed), xAPIKey) }), m.name, "api_error")
		}
		// A provider that says what is wrong with it is not broken off: its own
		// type stands, as Anthropic documents it.
		messagesBreak(p, p.free(c, func() *answer { return p.ask(c, messagesPath, message("msg-mid-overloaded", streamed)) }), "msg-mid-overloaded", "overloaded_error")
		whole := p.paid(c, messagesPath, message("good", streamed))
		if got, err := readMessageStream(whole.body); got != said || err != nil {
			p.Errorf("a stream that ends well: %q, %v", got, err)
		}
	},
}

// messagesBreak checks a stream of messages that broke off after content.
func messagesBreak(p *proof, a *answer, name, kind string) {
	p.Helper()
	p.show(a)
	p.wants(a, http.StatusOK)
	p.brokeFree(a, name)
	es := events(a.body)
	if len(es) < 2 {
		p.Fatalf("%s: %d events\n%s", name, len(es), a.body)
	}
	last := es[len(es)-1]
	var data any
	if err := json.Unmarshal([]byte(last.data), &data); err != nil {
		p.Errorf("%s: the last frame is no JSON: %v\n%s", name, err, a.body)
	}
	want := map[string]any{"type": "error", "error": map[string]any{"type": kind, "message": "<text>"}}
	if d := differs(data, any(want), false); d != "" || last.name != "error" {
		p.Errorf("%s: the error frame differs: event %q: %s\n%s", name, last.name, d, a.body)
	}
	for _, e := range es[:len(es)-1] {
		if e.name == "message_stop" || e.name == "message_delta" || e.name == "error" {
			p.Errorf("%s: a broken stream has %s\n%s", name, e.name, a.body)
		}
	}
	if strings.Contains(string(a.body), "stop_reason\":\"") {
		p.Errorf("%s: a broken stream has a reason to stop\n%s", name, a.body)
	}
	got, err := readMessageStream(a.body)
	if got != said {
		p.Errorf("%s: before it broke off it said %q", name, got)
	}
	if err == nil {
		p.Errorf("%s: the SDK takes the stream for a whole one\n%s", name, a.body)
	} else {
		p.note("%s: the SDK's reader raises %q", name, err)
	}
}

// readMessageStream reads a stream as the official SDK for Go does (ssestream in
// anthropic-sdk-go): known events are decoded, ping is passed over, and an event
// named error raises.
func readMessageStream(body []byte) (text string, raised error) {
	for _, e := range events(body) {
		switch e.name {
		case "message_start", "message_delta", "message_stop", "content_block_start", "content_block_delta", "content_block_stop":
			var ev struct {
				Delta struct {
					Text string `json:"text"`
				} `json:"delta"`
			}
			if err := json.Unmarshal([]byte(e.data), &ev); err != nil {
				return text, err
			}
			text += ev.Delta.Text
		case "error":
			return text, fmt.Errorf("received error while streaming: %s", e.data)
		}
	}
	return text, nil
}
