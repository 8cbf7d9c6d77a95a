package rows

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/testkit"
)

// openaiUpstreams are the rows of chat completions in which an upstream fails.
var openaiUpstreams = map[string]func(*proof){
	"openai/400-policy": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		p.refused(c, chatPath, chat("policy"))
		p.refused(c, chatPath, chat("policy", streamed))
		p.refused(c, chatPath, chat("policy-filter"))
		p.refused(c, "/v1/chat/completions", chat("policy"), header("X-Stainless-Retry-Count", "1"))
	},
	"openai/429-upstream": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		a := p.refused(c, chatPath, chat("limited"))
		if n, _ := strconv.Atoi(a.header.Get("Retry-After")); n < 16 || n > 23 {
			p.Errorf("Retry-After is %d, and the upstreams said 17 and 23", n)
		}
		for _, name := range []string{"limited", "limited-2"} {
			if len(p.world.openai.up[name].Received()) == 0 {
				p.Errorf("target %s was not tried", name)
			}
		}
		p.refused(c, chatPath, chat("limited", streamed)) // both are cooling down
		p.refused(c, chatPath, chat("limited-mute"))      // it does not say how long
	},
	"openai/502-upstream": func(p *proof) { brokenAtEveryTry(p, p.world.openai, chatPath, chat) },
	"openai/502-credential": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		for _, m := range []string{"auth-401", "auth-403", "claude-401"} {
			for _, more := range [][]string{nil, {streamed}} {
				a := p.refused(c, chatPath, chat(m, more...))
				saysNothing(p, a, m)
			}
		}
	},
	"openai/503-quota": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		for _, m := range []string{"quota-402", "quota-429"} {
			a := p.refused(c, chatPath, chat(m))
			saysNothing(p, a, m)
			p.refused(c, chatPath, chat(m, streamed))
		}
	},
	"openai/503-overloaded": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		for _, m := range []string{"busy-503", "busy-529"} {
			p.refused(c, chatPath, chat(m))
			p.tried(m, 3)
			p.refused(c, chatPath, chat(m, streamed))
		}
	},
	"openai/503-no-target": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		p.refused(c, chatPath, chat("refusing"))
		p.refused(c, chatPath, chat("refusing", streamed))
		circuit(p)
	},
	"openai/504": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		p.refused(c, chatPath, chat("slow-headers"))
		p.refused(c, chatPath, chat("slow-headers", streamed))
		p.refused(c, chatPath, chat("slow-event", streamed))
		p.refused(c, chatPath, chat("slow-body"))
		p.refused(c, chatPath, chat("slow-504"))
	},
	"openai/502-empty": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		p.refused(c, chatPath, chat("mute"))
		p.tried("mute", 3)
		p.refused(c, chatPath, chat("mute-none"))
		p.refused(c, chatPath, chat("mute-stream", streamed))
	},
	"openai/stream-midway": func(p *proof) {
		c := p.caller(p.world.openai, "3", nil)
		for _, m := range append(interrupted, interruptedMessages...) {
			chatBreaks(p, p.free(c, func() *answer { return p.ask(c, chatPath, chat(m.name, streamed)) }), m.name)
			chatBreaks(p, p.free(c, func() *answer {
				return p.ask(c, chatPath, chat(m.name, streamed, `"stream_options":{"include_usage":true}`))
			}), m.name)
		}
		whole := p.paid(c, chatPath, chat("good", streamed))
		if got, err := readChatStream(whole.body); got != said || err != nil {
			p.Errorf("a stream that ends well: %q, %v", got, err)
		}
	},
}

// brokenAtEveryTry asks for models whose upstream fails on every attempt, with a
// key that may have a single request a day, which none of them uses up.
func brokenAtEveryTry(p *proof, g *gateway, path string, ask func(string, ...string) string) {
	c := p.caller(g, "3", limited(map[string]any{"requests_per_day": 1}))
	for _, b := range brokenUpstreams {
		var more []string
		if b.stream {
			more = []string{streamed}
		}
		asked := len(g.up[b.name].Received())
		p.refused(c, path, ask(b.name, more...))
		if got := len(g.up[b.name].Received()) - asked; got != b.tries {
			p.Errorf("%s: %d attempts, and not %d", b.name, got, b.tries)
		}
	}
	good := "good"
	if path == ninjaPath {
		good = "gpt-5-mini"
	}
	p.paid(c, path, ask(good))
	p.wants(p.ask(c, path, ask(good)), http.StatusTooManyRequests)
	p.note("%d ways to fail, each on every one of 3 attempts, and not one of a day's single request was used", len(brokenUpstreams))
}

// tried checks that a model's upstream was asked at least n times.
func (p *proof) tried(model string, n int) {
	p.Helper()
	if got := len(p.world.openai.up[model].Received()); got < n {
		p.Errorf("%s: %d attempts, and not %d", model, got, n)
	}
}

// saysNothing checks that an answer about our credential tells nothing of it:
// no provider, no model of the provider, no words of its answer.
func saysNothing(p *proof, a *answer, model string) {
	p.Helper()
	text := strings.ToLower(p.text(a, "error", "message"))
	for _, word := range []string{"incorrect", "api key provided", "proj_", "organization", "credits", "billing", "quota, ", "127.0.0.1", "anthropic", model} {
		if strings.Contains(text, word) {
			p.Errorf("the message tells %q: %s", word, text)
		}
	}
}

// circuit breaks a target's circuit by failures, and shows that further requests
// are refused without touching it, but for the one that probes it.
func circuit(p *proof) {
	g := p.world.openai
	c := p.caller(g, "3", nil)
	up := g.up["broken"]
	const failures = 5 // routing.breaker.failures
	for range failures {
		up.Queue(says(500, "server_error", "internal", "Acme has a defect"))
	}
	for range failures {
		p.wants(p.free(c, func() *answer { return p.ask(c, chatPath, chat("broken")) }), http.StatusBadGateway)
	}
	var targets struct {
		Data []struct{ Target, Breaker string }
	}
	g.MustAdmin(p, "GET", "/admin/v1/targets", nil, &targets)
	if !strings.Contains(fmt.Sprint(targets.Data), "{acme-broken/acme-broken open}") {
		p.Errorf("the circuit is not open: %v", targets.Data)
	}
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	prober := p.caller(g, "3", nil)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = p.try(ctx, prober, chatPath, chat("broken"))
	}()
	up.Request(failures) // the probe has come, and hangs
	for _, more := range [][]string{nil, {streamed}} {
		p.refused(c, chatPath, chat("broken", more...))
	}
	if got := len(up.Received()); got != failures+1 {
		p.Errorf("the upstream was asked %d times, and not %d", got, failures+1)
	}
	leave()
	testkit.Wait(p, gone, "the probe's end")
	p.note("refused connections, and a circuit that %d failures in a row had opened", failures)
}

// chatBreaks checks a stream of chat that broke off after content.
func chatBreaks(p *proof, a *answer, name string) {
	p.Helper()
	p.show(a)
	p.wants(a, http.StatusOK)
	p.brokeFree(a, name)
	es := events(a.body)
	if len(es) < 2 {
		p.Fatalf("%s: %d events\n%s", name, len(es), a.body)
	}
	var last struct {
		Error map[string]any `json:"error"`
	}
	if err := json.Unmarshal([]byte(es[len(es)-1].data), &last); err != nil {
		p.Errorf("%s: the last frame is no JSON: %v\n%s", name, err, a.body)
	}
	want := map[string]any{"message": "<text>", "type": "<text>", "param": nil, "code": "<text>"}
	if d := differs(any(last.Error), any(want), true); d != "" {
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
	got, err := readChatStream(a.body)
	if got != said {
		p.Errorf("%s: before it broke off it said %q", name, got)
	}
	if err == nil {
		p.Errorf("%s: the SDK takes the stream for a whole one\n%s", name, a.body)
	} else {
		p.note("%s: the SDK's reader raises %q", name, err)
	}
}

// brokeFree checks that the trailer of a stream that broke off tells no charge,
// and that its error frame came whole.
func (p *proof) brokeFree(a *answer, name string) {
	p.Helper()
	if a.broke != nil {
		p.Errorf("%s: the error frame may be lost: the connection broke: %v", name, a.broke)
	}
	if got := a.trailer.Get("X-Charge-USD"); !isZero(got) {
		p.Errorf("%s: the trailer X-Charge-USD is %q", name, got)
	}
}

func finishReason(p *proof, data string) string {
	p.Helper()
	var c struct {
		Choices []struct {
			FinishReason *string `json:"finish_reason"`
		} `json:"choices"`
	}
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		p.Errorf("a frame is no JSON: %v\n%s", err, data)
		return ""
	}
	for _, choice := range c.Choices {
		if choice.FinishReason != nil {
			return *choice.FinishReason
		}
	}
	return ""
}

// readChatStream reads a stream as the official SDK for Go does (ssestream in
// openai-go): [DONE] ends it, an event with a member error raises, and so does
// one that is no JSON.
func readChatStream(body []byte) (text string, raised error) {
	for _, e := range events(body) {
		if strings.HasPrefix(e.data, "[DONE]") {
			return text, nil
		}
		var chunk struct {
			Error   json.RawMessage `json:"error"`
			Choices []struct {
				Delta struct {
					Content string `json:"content"`
				} `json:"delta"`
			} `json:"choices"`
		}
		if err := json.Unmarshal([]byte(e.data), &chunk); err != nil {
			return text, err
		}
		if chunk.Error != nil {
			return text, fmt.Errorf("received error while streaming: %s", chunk.Error)
		}
		for _, c := range chunk.Choices {
			text += c.Delta.Content
		}
	}
	return text, nil
}
