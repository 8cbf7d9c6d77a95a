package rows

import (
	"bytes"
	"strings"

	"github.com/pontage/pontage/internal/testkit"
)

// nanoChains are models that fail over: to a second target where they have one,
// and to the fallbacks that the site lists.
func nanoChains() []model {
	good, stream := testkit.JSON(200, chatBody), testkit.SSE(chatStream...)
	defect := says(500, "server_error", "internal", "Acme has a defect")
	busy := says(503, "server_error", "server_is_overloaded", "Acme is overloaded.")
	dead := func(name string, a testkit.Answer) model { return model{name: name, answer: a, more: "attempts: 1"} }
	chain := func(name string, a testkit.Answer, also []string, fallbacks ...string) model {
		return model{name: name, answer: a, more: "attempts: 2", also: also, site: nanoHost, fallbacks: fallbacks}
	}
	return []model{
		{name: "nano-spare", answer: good, streamed: stream},
		dead("nano-dead-1", defect),
		dead("nano-dead-2", busy),
		dead("nano-dead-3", html(502)),
		chain("nano-doomed", defect, nil, "nano-dead-1", "nano-dead-2"),
		chain("nano-doomed-alone", busy, nil, "nano-dead-3"),
		chain("nano-rescued", defect, nil, "nano-dead-3", "nano-spare"),
		// Down at both targets, with a fallback that would answer.
		chain("nano-kept", defect, []string{"nano-dead-4"}, "nano-spare"),
		dead("nano-dead-4", busy),
		// Down at the first target only.
		chain("nano-cached", busy, []string{"nano-spare"}, "nano-spare"),
		chain("nano-cached-2", busy, nil, "nano-spare"),
		// Down in no way at all: members that speak to us go no further.
		chain("nano-up", good, nil, "nano-spare"),
	}
}

// nanoRouting are the rows about models and where they are served.
var nanoRouting = map[string]func(*proof){
	"nanogpt/404-model": func(p *proof) {
		c := p.nano("3", nil)
		a := p.declined(c, nanoChat, chat("gpt-17-nano"))
		p.says(p.text(a, "error", "message"), "gpt-17-nano")
		p.declined(c, nanoChat, chat("gpt-17-nano", streamed))
		p.declined(c, nanoChat, chat("NANO-plain"))
		p.declined(c, nanoEmbeddings, `{"model":"embedding-17","input":"bridge"}`)
		p.declined(c, "/api/v1/models/gpt-17-nano", "", method("GET"))
	},
	"nanogpt/503-model-not-available": func(p *proof) {
		c := p.nano("3", nil)
		for _, m := range []string{"gpt-4", "nano-off", "nano-refusing"} {
			p.declined(c, nanoChat, chat(m))
			p.declined(c, nanoChat, chat(m, streamed))
		}
		p.note("two models that are switched off, and one whose upstream refuses connections")
	},
	"nanogpt/503-all-fallbacks-failed": func(p *proof) {
		c := p.nano("3", nil)
		p.declined(c, nanoChat, chat("nano-doomed"))
		p.declined(c, nanoChat, chat("nano-doomed", streamed, `"max_tokens":70`))
		for _, m := range []string{"nano-dead-1", "nano-dead-2"} {
			if got := c.gw.received(m); got != 2 {
				p.Errorf("%s was asked %d times, and not once for each of two requests", m, got)
			}
		}
		p.declined(c, nanoChat, chat("nano-doomed-alone"))
		a := p.paid(c, nanoChat, chat("nano-rescued"))
		if got := p.text(a, "model"); got != "nano-spare" {
			p.Errorf("where the last of two fallbacks answers, the model is %q", got)
		}
	},
	"nanogpt/400-no-fallback":       noFallback,
	"nanogpt/503-cache-consistency": cacheConsistency,
}

// noFallback asks for a model that is down at every target, with its fallback
// forbidden in all ways, and allowed.
func noFallback(p *proof) {
	c := p.nano("3", nil)
	forbid := `"provider":{"allow_fallbacks":false}`
	refused := 0
	forbidden := func(body string, changes ...change) {
		p.Helper()
		refused++
		p.askedOnly(c, p.declined(c, nanoChat, body, changes...), "nano-kept")
	}
	for _, more := range [][]string{{forbid}, {forbid, streamed}, {`"provider":{"order":["acme"],"allow_fallbacks":false}`}, {`"byok":{"disableFallbacks":true}`}} {
		forbidden(chat("nano-kept", more...))
	}
	for _, body := range []string{chat("nano-kept"), chat("nano-kept", streamed)} {
		forbidden(body, header("X-No-Fallback", "true"))
	}
	for _, r := range c.gw.up["nano-kept"].Received() {
		saysNothingOf(p, r, "provider", "allow_fallbacks", "byok", "disableFallbacks", "X-No-Fallback")
	}
	for _, more := range [][]string{nil, {`"provider":{"allow_fallbacks":true}`}, {`"provider":{"order":["acme"]}`}, {`"byok":{"disableFallbacks":false}`}, {streamed}} {
		answeredBySpare(p, p.paid(c, nanoChat, chat("nano-kept", more...)))
	}
	p.note("%d requests that forbid it, in the body and in a header; without that the fallback answered", refused)
}

// cacheConsistency asks with a sticky provider for models whose first target is
// down: another one would answer, and so would a fallback.
func cacheConsistency(p *proof) {
	c := p.nano("3", nil)
	const sticky = `"prompt_caching":{"enabled":true,"ttl":"5m","stickyProvider":true}`
	for _, m := range []string{"nano-cached", "nano-cached-2"} {
		p.askedOnly(c, p.declined(c, nanoChat, chat(m, sticky)), m)
		p.askedOnly(c, p.declined(c, nanoChat, chat(m, `"promptCaching":{"stickyProvider":true}`, streamed)), m)
		for _, more := range []string{
			`"cache_control":{"enabled":true,"stickyProvider":true}`, `"cache_control":{"type":"ephemeral","stickyProvider":true}`,
			`"caching":true,"stickyProvider":true`, `"caching":true,"stickyprovider":true`,
		} {
			p.askedOnly(c, p.declined(c, nanoChat, chat(m, more)), m)
		}
		for _, r := range c.gw.up[m].Received() {
			saysNothingOf(p, r, "prompt_caching", "promptCaching", `"caching"`, "stickyProvider", "stickyprovider")
		}
	}
	// Another target of the same model answers in its name, a fallback in its own.
	for _, more := range [][]string{nil, {`"prompt_caching":{"enabled":true,"stickyProvider":false}`}, {streamed}} {
		if a := p.paid(c, nanoChat, chat("nano-cached", more...)); !strings.Contains(string(a.body), `"model":"nano-cached"`) {
			p.Errorf("another target answers in another name\n%s", a.body)
		}
		answeredBySpare(p, p.paid(c, nanoChat, chat("nano-cached-2", more...)))
	}
	// A first target that is up answers, and hears nothing of it.
	p.paid(c, nanoChat, chat("nano-up", sticky))
	p.paid(c, nanoChat, chat("nano-up", `"provider":{"allow_fallbacks":false}`))
	p.paid(c, nanoChat, chat("nano-up", `"prompt_caching":true`))
	p.paid(c, nanoChat, chat("nano-up", `"cache_control":{"enabled":true,"stickyProvider":true,"ttl":"5m"},"caching":true`))
	p.paid(c, nanoMessages[0], message("nano-up", `"cache_control":{"enabled":true,"stickyProvider":true}`))
	p.paid(c, nanoMessages[0], message("nano-up", `"cache_control":true`))
	for _, r := range c.gw.up["nano-up"].Received() {
		saysNothingOf(p, r, "prompt_caching", "stickyProvider", "provider", "cache_control", "caching")
	}
	if got := c.gw.received("nano-up"); got != 6 {
		p.Errorf("six requests came %d times", got)
	}
	p.note("sticky: neither the second target nor the fallback was asked; without: both answered")
}

// askedOnly checks that of all targets only a model's own was asked.
func (p *proof) askedOnly(c caller, a *answer, model string) {
	p.Helper()
	own := "acme-" + model + "/acme-" + model
	attempts := p.receiptOf(c, a).Attempts
	if len(attempts) == 0 {
		p.note("the last requests found the circuit of %s open", model)
	}
	for _, t := range attempts {
		if t.Target != own {
			p.Errorf("%s was asked, too: %+v", t.Target, attempts)
		}
	}
}

// answeredBySpare checks that the fallback answered, whole or streamed.
func answeredBySpare(p *proof, a *answer) {
	p.Helper()
	if !strings.Contains(string(a.body), `"model":"nano-spare"`) {
		p.Errorf("another model answered\n%s", a.body)
	}
}

// saysNothingOf checks that what reached an upstream has none of the words.
func saysNothingOf(p *proof, r testkit.Received, words ...string) {
	p.Helper()
	for _, w := range words {
		if bytes.Contains(r.Body, []byte(w)) || r.Header.Get(w) != "" {
			p.Errorf("the upstream was told %q: %s", w, r.Body)
		}
	}
	if !bytes.Contains(r.Body, []byte("Is the bridge open?")) {
		p.Errorf("the upstream was asked something else: %s", r.Body)
	}
}
