package rows

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// idempotent sends requests twice with one Idempotency-Key, in every way in
// which that comes about.
func idempotent(p *proof) {
	oneAfterTheOther(p)
	afterAFailure(p)
	g := startFive(p, []model{
		{name: "llmtune-slow", answer: testkit.JSON(200, chatBody), more: "attempts: 1"},
		{name: "llmtune-slow-stream", answer: testkit.SSE(chatStream...), more: "attempts: 1"},
	})
	atTheSameTime(p, g)
	handedOn(p, g)
	afterATimeout(p, g)
	afterLeavingAStream(p, g)
	acrossARestart(p, g)
	pastTheDeadline(p, g)
	namedAsOurs(p)
}

// under sends a request under an idempotency key.
func under(name string) change { return header("Idempotency-Key", name) }

// asked is how often the upstream of a model was asked.
func asked(g *gateway, model string) int { return len(g.up[model].Received()) }

// replayed checks that an answer is the first one again, byte for byte, and free.
func replayed(p *proof, first, again *answer) {
	p.Helper()
	p.show(again)
	p.wants(again, first.status)
	if !bytes.Equal(first.body, again.body) {
		p.Errorf("the same request again is answered otherwise:\n%s\n%s", first.body, again.body)
	}
	if got, want := again.header.Get("Content-Type"), first.header.Get("Content-Type"); got != want {
		p.Errorf("again its Content-Type is %q, and not %q", got, want)
	}
	if again.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Idempotency-Replayed") != "" {
		p.Errorf("Idempotency-Replayed: first %q, then %q", first.header.Get("Idempotency-Replayed"), again.header.Get("Idempotency-Replayed"))
	}
	if again.header.Get("X-Request-Id") == first.header.Get("X-Request-Id") {
		p.Errorf("two requests have one id")
	}
	if got := again.header.Get("X-Charge-USD"); !isZero(got) {
		p.Errorf("again it is said to cost %q", got)
	}
}

// once checks that an account was charged for one answer so far.
func once(p *proof, c caller, what string) {
	p.Helper()
	if l := c.ledger(p); l.Charges != 1 || l.ChargedUSD != fairCharge || !isZero(l.HeldUSD) {
		p.Errorf("%s: one charge of %s was to be made: %+v", what, fairCharge, *l)
	}
}

// oneAfterTheOther repeats requests of every surface. A key that may ask twice a
// day shows that what is repeated is not counted.
func oneAfterTheOther(p *proof) {
	for _, k := range []struct{ name, path, body string }{
		{"llmtune-kept", chatPath, chat("llmtune-kept")},
		{"llmtune-kept-stream", agentPath, chat("llmtune-kept-stream", streamed)},
		{"llmtune-kept", promptPath("llmtune-kept"), `{"prompt":"Is it open?","metadata":{"n":1.50}}`},
	} {
		name, path, body := k.name, k.path, k.body
		c := p.at(llmtuneHost, "3", limited(map[string]any{"requests_per_day": 2}))
		before := asked(p.world.five, name)
		first := p.paid(c, path, body, under("one-after-the-other"))
		p.show(first)
		colleague := p.anotherAt(c, nil)
		for _, who := range []caller{c, c, c, colleague} {
			replayed(p, first, p.free(c, func() *answer { return p.ask(who, path, body, under("one-after-the-other")) }))
		}
		if got := asked(p.world.five, name) - before; got != 1 {
			p.Errorf("%s: the upstream was asked %d times", path, got)
		}
		once(p, c, path)
		for _, other := range []string{strings.Replace(body, "open", "closed", 1), body + " "} {
			mismatch(p, c, path, other)
		}
		mismatch(p, c, "/v1/embeddings", body)
		p.paid(c, path, body, under("another"))
		p.wants(p.ask(c, path, body), http.StatusTooManyRequests) // two a day
		replayed(p, first, p.free(c, func() *answer { return p.ask(c, path, body, under("one-after-the-other")) }))
		p.paid(p.at(llmtuneHost, "3", nil), path, body, under("one-after-the-other")) // keys are the account's own
	}
	const name = "llmtune-kept"
	c := p.at(llmtuneHost, "3", nil)
	for _, bad := range []string{strings.Repeat("k", 256), "two words", "\xc3\xa4"} {
		p.advised(p.wants(p.ask(c, chatPath, chat(name), under(bad)), http.StatusBadRequest))
	}
	p.paid(c, chatPath, chat(name), under(strings.Repeat("k", 255)))
	p.note("in sequence: whole, as a stream and by prompt; with another body 422")
}

// mismatch sends another request under a key that is taken.
func mismatch(p *proof, c caller, path, body string) {
	p.Helper()
	a := p.free(c, func() *answer { return p.ask(c, path, body, under("one-after-the-other")) })
	if path == "/v1/embeddings" { // which would not take the body: that is told first
		p.wants(a, http.StatusBadRequest)
		return
	}
	p.show(a)
	p.refusal(p.wantsCode(a, http.StatusUnprocessableEntity, "idempotency_mismatch"))
	p.advised(a)
}

// wantsCode checks the status and the code of a flat error.
func (p *proof) wantsCode(a *answer, status int, code string) *answer {
	p.Helper()
	if got := p.text(p.wants(a, status), "error"); got != code {
		p.Errorf("the code is %q, and not %q\n%s", got, code, a.body)
	}
	return a
}

// inFlight waits until so many requests are being served by a gateway that the
// row has for itself.
func (p *proof) inFlight(g *gateway, n int) {
	p.Helper()
	p.until(fmt.Sprint(n, " requests in flight"), func() bool {
		status, b, err := g.Admin(context.Background(), "GET", "/metrics", nil, nil)
		return err == nil && status == http.StatusOK && strings.Contains(string(b), fmt.Sprintf("\npontage_inflight_requests %d\n", n))
	})
}

// atTheSameTime sends the same request while the first one is being answered: whole,
// and as a stream.
func atTheSameTime(p *proof, g *gateway) {
	for name, body := range map[string]string{"llmtune-slow": chat("llmtune-slow"), "llmtune-slow-stream": chat("llmtune-slow-stream", streamed)} {
		c := p.atGateway(g, llmtuneHost, "3", nil)
		first, release := slowly(p, c, name, body, "at-once")
		var others []<-chan *answer
		for range 3 {
			others = append(others, p.later(context.Background(), p.anotherAt(c, nil), chatPath, body, under("at-once")))
		}
		p.inFlight(g, 4)
		before := asked(g, name)
		release()
		one := <-first
		if one == nil {
			p.Fatalf("the first request was not answered")
		}
		p.show(p.wants(one, http.StatusOK))
		for _, other := range others {
			a := <-other
			if a == nil {
				p.Fatalf("a request that waited was not answered")
			}
			replayed(p, one, a)
		}
		if got := asked(g, name) - before; got != 0 {
			p.Errorf("the upstream was asked %d times more", got)
		}
		once(p, c, "at once")
	}
	p.note("at once: three more requests waited for the first and got its bytes")
}

// handedOn lets the first of three requests at once fail, free of charge: the
// next one runs, and the last one gets its answer.
func handedOn(p *proof, g *gateway) {
	const name = "llmtune-slow"
	up, c := g.up[name], p.atGateway(g, llmtuneHost, "3", nil)
	gate := make(chan struct{})
	failure := says(500, "server_error", "internal", "Acme has a defect")
	failure.Gate = gate
	up.Queue(failure)
	n := len(up.Received())
	first := p.later(context.Background(), c, chatPath, chat(name), under("handed-on"))
	up.Request(n)
	var others [2]<-chan *answer
	for i := range others {
		others[i] = p.later(context.Background(), c, chatPath, chat(name), under("handed-on"))
	}
	p.inFlight(g, 3)
	close(gate)
	if one := <-first; one == nil || one.status != http.StatusBadGateway {
		p.Errorf("the first request was to fail: %+v", one)
	}
	a, b := <-others[0], <-others[1]
	if a == nil || b == nil {
		p.Fatalf("a request that waited was not answered")
	}
	if a.header.Get("Idempotency-Replayed") == "true" {
		a, b = b, a
	}
	p.show(p.wants(a, http.StatusOK))
	replayed(p, a, b)
	if got := len(up.Received()) - n; got != 2 {
		p.Errorf("the upstream was asked %d times, and not twice", got)
	}
	once(p, c, "after a failure at once")
	p.note("where the first one fails free of charge, the next one that waits runs")
}

// namedAsOurs reads what the error reference says of a key's other request.
func namedAsOurs(p *proof) {
	c := p.at(llmtuneHost, "0", nil)
	page, err := p.try(context.Background(), c, "/docs/errors", "", method("GET"), noKey, header("Accept", "text/markdown"))
	if err != nil {
		p.Fatalf("%v", err)
	}
	for _, l := range strings.Split(string(page.body), "\n") {
		if strings.Contains(l, "422") && strings.Contains(l, "idempotency_mismatch") && strings.Contains(l, "Our extension") {
			p.note("422 is named as our extension in the error reference")
			return
		}
	}
	p.Errorf("the error reference does not name 422 as our extension: %d\n%s", page.status, page.body)
}

// slowly sends a request whose upstream answers only when it is released, and
// returns when the upstream has been asked.
func slowly(p *proof, c caller, model, body, name string) (first <-chan *answer, release func()) {
	p.Helper()
	up, gate := c.gw.up[model], make(chan struct{})
	slow := testkit.JSON(200, chatBody)
	if strings.Contains(body, streamed) {
		slow = testkit.SSE(chatStream...)
	}
	slow.Gate = gate
	up.Queue(slow)
	n := len(up.Received())
	first = p.later(context.Background(), c, chatPath, body, under(name))
	up.Request(n)
	return first, func() { close(gate) }
}

// afterATimeout leaves while the upstream is slow, and comes back: before the
// answer is there, and after.
func afterATimeout(p *proof, g *gateway) {
	const name = "llmtune-slow"
	up := g.up[name]
	for _, early := range []bool{true, false} {
		c := p.atGateway(g, llmtuneHost, "3", nil)
		gate := make(chan struct{})
		slow := testkit.JSON(200, chatBody)
		slow.Gate = gate
		up.Queue(slow)
		n := len(up.Received())
		ctx, giveUp := context.WithCancel(context.Background())
		first := p.later(ctx, c, chatPath, chat(name), under("after-a-timeout"))
		up.Request(n)
		giveUp()
		if a := <-first; a != nil {
			p.Fatalf("the client was to give up, and got %d", a.status)
		}
		if !early {
			close(gate)
			p.until("the charge for an answer that nobody waited for", func() bool { return c.ledger(p).Charges == 1 })
		}
		second := p.later(context.Background(), c, chatPath, chat(name), under("after-a-timeout"))
		if early {
			p.inFlight(g, 2) // the first is read to its end
			close(gate)
		}
		a := <-second
		if a == nil {
			p.Fatalf("the second request was not answered")
		}
		p.show(p.wants(a, http.StatusOK))
		if got := p.json(a)["choices"]; a.header.Get("Idempotency-Replayed") != "true" || !strings.Contains(string(a.body), said) {
			p.Errorf("the finished answer was to come: %v, %v", a.header, got)
		}
		if got := len(up.Received()) - n; got != 1 {
			p.Errorf("the upstream was asked %d times", got)
		}
		once(p, c, "after a time-out")
	}
	p.note("after a client time-out: who comes back gets the finished answer, whether it is there yet or not")
}

// afterLeavingAStream leaves in the middle of a stream and comes back for it.
func afterLeavingAStream(p *proof, g *gateway) {
	const name = "llmtune-slow-stream"
	up, c := g.up[name], p.atGateway(g, llmtuneHost, "3", nil)
	gate := make(chan struct{})
	slow := testkit.SSE(chatStream...)
	slow.Frames[2].Gate = gate
	up.Queue(slow)
	n := len(up.Received())
	ctx, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	req, err := http.NewRequestWithContext(ctx, "POST", c.gw.URL+chatPath, strings.NewReader(chat(name, streamed)))
	if err != nil {
		p.Fatalf("%v", err)
	}
	req.Host = c.host
	req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + c.key.Key}, "Idempotency-Key": {"left"}}
	resp, err := outbound.Do(req)
	if err != nil {
		p.Fatalf("%v", err)
	}
	begun := make([]byte, 16)
	if _, err := resp.Body.Read(begun); err != nil {
		p.Fatalf("the stream did not begin: %v", err)
	}
	giveUp()
	_ = resp.Body.Close()
	second := p.later(context.Background(), c, chatPath, chat(name, streamed), under("left"))
	p.inFlight(g, 2)
	close(gate)
	a := <-second
	if a == nil {
		p.Fatalf("the second request was not answered")
	}
	p.show(p.wants(a, http.StatusOK))
	if got, err := readChatStream(a.body); got != said || err != nil || a.header.Get("Idempotency-Replayed") != "true" {
		p.Errorf("the whole stream was to come: %q, %v, %v\n%s", got, err, a.header, a.body)
	}
	if got := len(up.Received()) - n; got != 1 {
		p.Errorf("the upstream was asked %d times", got)
	}
	once(p, c, "after leaving a stream")
	p.note("the same of a stream that was left in its middle")
}

// afterAFailure repeats what failed and cost nothing: it runs again.
func afterAFailure(p *proof) {
	g := p.world.five
	failure := says(500, "server_error", "internal", "Acme has a defect")
	g.up["llmtune-flaky"].Queue(failure)
	c := p.at(llmtuneHost, "3", nil)
	again := func(status int, name string, more ...string) *answer {
		p.Helper()
		return p.wants(p.free(c, func() *answer { return p.ask(c, chatPath, chat(name, more...), under(name)) }), status)
	}
	p.show(again(http.StatusBadGateway, "llmtune-flaky"))
	first := p.paid(c, chatPath, chat("llmtune-flaky"), under("llmtune-flaky"))
	replayed(p, first, again(http.StatusOK, "llmtune-flaky"))
	if got := asked(g, "llmtune-flaky"); got != 2 {
		p.Errorf("the upstream was asked %d times, and not twice", got)
	}

	c = p.at(llmtuneHost, "3", nil)
	g.up["llmtune-flaky-stream"].Queue(cut(testkit.SSE(beginning...)))
	broken := again(http.StatusOK, "llmtune-flaky-stream", streamed)
	if got, err := readChatStream(broken.body); got != said || err == nil {
		p.Errorf("the stream was to break off: %q, %v", got, err)
	}
	first = p.paid(c, chatPath, chat("llmtune-flaky-stream", streamed), under("llmtune-flaky-stream"))
	if got, err := readChatStream(first.body); got != said || err != nil || first.header.Get("Idempotency-Replayed") != "" {
		p.Errorf("the stream was to run again, and whole: %q, %v\n%s", got, err, first.body)
	}
	replayed(p, first, again(http.StatusOK, "llmtune-flaky-stream", streamed))

	c = p.at(llmtuneHost, "0", nil)
	again(http.StatusPaymentRequired, "llmtune-good")
	c.credit(p, "3")
	p.paid(c, chatPath, chat("llmtune-good"), under("llmtune-good"))
	p.note("what failed free of charge runs again: at the upstream, in the middle of a stream, and for want of money")
}

// pastTheDeadline waits longer for the first request than the contract does.
func pastTheDeadline(p *proof, g *gateway) {
	src, err := os.ReadFile(filepath.Join(harness.Root(p), "contracts", "llmtune.yaml"))
	if err != nil {
		p.Fatalf("%v", err)
	}
	const long, short = "idempotency: {wait: 60s}", "idempotency: {wait: 300ms}"
	if strings.Count(string(src), long) != 1 {
		p.Fatalf("the contract does not say %s", long)
	}
	impatient := filepath.Join(p.TempDir(), "llmtune.yaml")
	if err := os.WriteFile(impatient, bytes.Replace(src, []byte(long), []byte(short), 1), 0o600); err != nil {
		p.Fatalf("%v", err)
	}
	restart(p, g, server, func(config map[string]any) { siteOf(p, config, llmtuneHost)["contract"] = impatient })
	c := p.atGateway(g, llmtuneHost, "3", nil)
	body, before := chat("llmtune-slow"), asked(g, "llmtune-slow")
	first, release := slowly(p, c, "llmtune-slow", body, "too-late")
	for range 2 {
		a := p.wantsCode(p.ask(c, chatPath, body, under("too-late")), http.StatusConflict, "idempotency_in_progress")
		a.ledger = &ledgers{After: c.ledger(p)}
		p.show(a)
		p.refusal(a)
		if !headerFits(a.header.Get("Retry-After"), "<int>") {
			p.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
		}
	}
	p.wantsCode(p.ask(c, chatPath, chat("llmtune-slow", `"n":1`), under("too-late")), http.StatusUnprocessableEntity, "idempotency_mismatch")
	release()
	one := <-first
	if one == nil {
		p.Fatalf("the first request was not answered")
	}
	replayed(p, p.wants(one, http.StatusOK), p.free(c, func() *answer { return p.ask(c, chatPath, body, under("too-late")) }))
	once(p, c, "past the deadline")
	if got := asked(g, "llmtune-slow") - before; got != 1 {
		p.Errorf("the upstream was asked %d times", got)
	}
	g.settled(p)
	p.note("past the contract's deadline 409, with the time to come back after")
}

// acrossARestart kills the gateway behind the answers, and asks for them again.
func acrossARestart(p *proof, g *gateway) {
	c := p.atGateway(g, llmtuneHost, "3", nil)
	bodies := map[string]string{"llmtune-slow": chat("llmtune-slow"), "llmtune-slow-stream": chat("llmtune-slow-stream", streamed)}
	first, before := map[string]*answer{}, map[string]int{}
	for name, body := range bodies {
		first[name] = p.paid(c, chatPath, body, under(name))
		before[name] = asked(g, name)
	}
	g.Kill()
	g.Run(p)
	for name, body := range bodies {
		replayed(p, first[name], p.free(c, func() *answer { return p.ask(c, chatPath, body, under(name)) }))
		p.wantsCode(p.ask(c, chatPath, chat(name, `"n":1`), under(name)), http.StatusUnprocessableEntity, "idempotency_mismatch")
		if got := asked(g, name) - before[name]; got != 0 {
			p.Errorf("after the restart the upstream was asked %d times", got)
		}
	}
	if l := c.ledger(p); l.Charges != 2 {
		p.Errorf("two answers: %+v", *l)
	}
	g.settled(p)
	p.note("after kill -9 the answers come from the disk")
}
