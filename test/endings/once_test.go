package endings

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

// The surfaces of other contracts.
var (
	nanoChat     = dialect{"chat", nanogptHost, "/api/v1/chat/completions"} // waits for nobody
	nanoMessages = dialect{"messages", nanogptHost, "/api/v1/messages"}
	switchChat   = dialect{"chat", switchHost, "/v1/chat/completions"}
)

// crowd is how many ask at once with one key.
const crowd = 50

// TestACrowdWithOneKeyIsOneRequest on every surface, streamed and whole: one
// request reaches the provider, one is charged, and all who wait get its bytes;
// where the contract lets nobody wait they are told to come back. Who asks later
// gets the bytes again, and another request does not.
func TestACrowdWithOneKeyIsOneRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	for i, d := range []dialect{chat, messages, google, simple, prompt, respond, embeddings, nanoChat, nanoMessages, switchChat} {
		for _, stream := range []bool{false, true} {
			if stream && (d.name == "prompt" || d.name == "embeddings") {
				continue
			}
			model, holds := families[i%2], beforeHead
			if d.name == "embeddings" {
				model, holds = "embed", beforeVector
			}
			c, text := w.up.add(play{text: said, finish: "stop", usage: usage(10, 5), holds: holds})
			p := w.payer(t, d, "1", nil)
			wg.Go(func() {
				w.crowd(t, fmt.Sprintf("%s%s, stream %v", d.host, d.path, stream), d, p, c, d.at(model, stream), d.body(model, text, stream))
			})
		}
	}
	wg.Wait()
	w.close(t)
}

func (w *world) crowd(t *testing.T, at string, d dialect, p payer, c *cell, path, body string) {
	first := make(chan reply, 1)
	go func() { first <- p.ask(t, path, body, "Idempotency-Key", "k") }()
	wait(t, c.sent, at+": the provider's turn")
	others := make(chan reply, crowd)
	for range crowd - 1 {
		go func() { others <- p.ask(t, path, body, "Idempotency-Key", "k") }()
	}
	conflicts := 0
	var early []reply
	if d.host == nanogptHost { // which lets nobody wait
		for range crowd - 1 {
			early = append(early, <-others)
		}
	}
	close(c.release)
	one := <-first
	if one.status != 200 || one.err != nil || one.header.Get("Idempotency-Replayed") != "" || one.charged() == "0.00" {
		t.Errorf("%s: %d %v %s", at, one.status, one.err, one.body)
		return
	}
	for i := range crowd - 1 {
		r := reply{}
		if early != nil {
			r = early[i]
		} else {
			r = <-others
		}
		if r.status == http.StatusConflict && early != nil {
			conflicts++
			if r.charged() != "0.00" || r.header.Get("Retry-After") == "" || !strings.Contains(string(r.body), "idempotency") && !strings.Contains(string(r.body), "conflict") && !strings.Contains(string(r.body), "invalid_request") {
				t.Errorf("%s: %v %s", at, r.header, r.body)
			}
			continue
		}
		same(t, at, one, r)
	}
	if early != nil && conflicts != crowd-1 {
		t.Errorf("%s: %d of %d were told that the request is in progress", at, conflicts, crowd-1)
	}
	for range 2 {
		same(t, at, one, p.ask(t, path, body, "Idempotency-Key", "k"))
	}
	for _, other := range []string{body + " ", strings.Replace(body, "Hello", "Goodbye", 1)} {
		if r := p.ask(t, path, other, "Idempotency-Key", "k"); r.status != http.StatusUnprocessableEntity && !(d.host == nanogptHost && r.status == http.StatusConflict) || r.charged() != "0.00" {
			t.Errorf("%s: another request under the key: %d %s", at, r.status, r.body)
		}
	}
	if n := c.asked(); n != 1 {
		t.Errorf("%s: the provider was asked %d times", at, n)
	}
	rc := w.receipt(t, one.id)
	want := ok(10, 5)
	if d.name == "embeddings" {
		want.out = 0
	}
	w.check(t, at, want, p, rc)
	if rc.Delivery != "complete" {
		t.Errorf("%s: delivery %s", at, rc.Delivery)
	}
}

// same checks that an answer is the first one again, byte for byte, and free.
func same(t *testing.T, at string, first, again reply) {
	t.Helper()
	if again.status != first.status || again.err != nil || !bytes.Equal(again.body, first.body) || again.header.Get("Content-Type") != first.header.Get("Content-Type") {
		t.Errorf("%s: again %d %v %v %.300s\nfirst %d %v %.300s", at, again.status, again.err, again.header, again.body, first.status, first.header, first.body)
	}
	if again.header.Get("Idempotency-Replayed") != "true" || again.charged() != "0.00" || again.id == first.id || again.id == "" {
		t.Errorf("%s: again %v", at, again.header)
	}
}

// TestCountingTokensIsFreeWithAKeyToo: there is no charge to keep an answer with.
func TestCountingTokensIsFreeWithAKeyToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, model := range families {
		_, text := w.up.add(play{})
		p := w.payer(t, count, "1", nil)
		var first reply
		for n := range 3 {
			r := p.ask(t, count.path, count.body(model, text, false), "Idempotency-Key", "k")
			if r.status != 200 || r.charged() != "0.00" || n > 0 && !bytes.Equal(r.body, first.body) {
				t.Errorf("%s: %d %v %s", model, r.status, r.header, r.body)
			}
			if rc := w.receipt(t, r.id); rc.Outcome != "ok" || rc.Delivery != "complete" || rc.ChargeUSD != "0.00" || rc.HoldUSD != "0.00" {
				t.Errorf("%s: receipt %+v", model, rc)
			}
			first = r
		}
		if paid, requests := p.spent(t); paid.Sign() != 0 || requests != 0 {
			t.Errorf("%s: %v was paid, and %d requests of the day are used", model, paid, requests)
		}
	}
	w.close(t)
}

// TestAnAnswerThatIsTooLargeToKeepIsChargedOnce: who asks again is told whose it
// was, also by the next process, and never pays again.
func TestAnAnswerThatIsTooLargeToKeepIsChargedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type asked struct {
		p          payer
		c          *cell
		path, body string
		first      reply
	}
	var all []asked
	for i, d := range []dialect{chat, messages, google, simple, prompt, respond} {
		for _, stream := range []bool{false, true} {
			if stream && d.name == "prompt" {
				continue
			}
			model := families[i%2]
			c, text := w.up.add(play{text: strings.Repeat("x", 1<<20+1), finish: "stop", usage: usage(10, 5)})
			a := asked{p: w.payer(t, d, "1", nil), c: c, path: d.at(model, stream), body: d.body(model, text, stream)}
			if a.first = a.p.ask(t, a.path, a.body, "Idempotency-Key", "k"); a.first.status != 200 || len(a.first.body) < 1<<20 {
				t.Fatalf("%s, stream %v: %d, %d bytes", d.name, stream, a.first.status, len(a.first.body))
			}
			all = append(all, a)
		}
	}
	again := func(when string) {
		for _, a := range all {
			r := a.p.ask(t, a.path, a.body, "Idempotency-Key", "k")
			if r.status != http.StatusConflict || !strings.Contains(string(r.body), a.first.id) || !strings.Contains(string(r.body), "idempotency_") && !strings.Contains(string(r.body), "conflict_error") || r.charged() != "0.00" || r.header.Get("X-Should-Retry") != "false" {
				t.Errorf("%s, %s: %d %v %s", a.path, when, r.status, r.header, r.body)
			}
			if a.c.asked() != 1 {
				t.Errorf("%s, %s: the provider was asked %d times", a.path, when, a.c.asked())
			}
		}
	}
	again("at once")
	for _, a := range all {
		w.check(t, a.path, ok(10, 5), a.p, w.receipt(t, a.first.id))
	}
	w.gw.Kill()
	w.gw.Run(t)
	again("after a kill")
	w.close(t)
}

// TestAKeyOfTheAccountIsMadeOnce: the secret must not be kept, so that who asks
// again is told whose answer it was, and no second key is made. What was refused
// can be asked for again.
func TestAKeyOfTheAccountIsMadeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owner := w.gw.NewAccount(t, "owner", "1")
	k := w.gw.NewKey(t, owner.ID, map[string]any{"kind": "billing", "site": switchHost})
	p := payer{w: w, account: owner.ID, key: k.Key, keyID: k.ID, host: switchHost}
	keys := func() int {
		var page struct{ Data []json.RawMessage }
		w.gw.MustAdmin(t, "GET", "/admin/v1/accounts/"+owner.ID+"/keys", nil, &page)
		return len(page.Data)
	}
	before := keys()
	const path, body = "/api/keys", `{"name":"one"}`
	if r := p.ask(t, path, `{"name":7}`, "Idempotency-Key", "bad"); r.status != http.StatusBadRequest {
		t.Errorf("a bad request: %d %s", r.status, r.body)
	}
	if r := p.ask(t, path, body, "Idempotency-Key", "bad"); r.status != 200 {
		t.Errorf("a good one after it: %d %s", r.status, r.body)
	}
	answers := make(chan reply, crowd)
	for range crowd {
		go func() { answers <- p.ask(t, path, body, "Idempotency-Key", "k") }()
	}
	made := map[string]reply{}
	var told []reply
	for range crowd {
		if r := <-answers; r.status == 200 {
			made[string(r.body)] = r
		} else {
			told = append(told, r)
		}
	}
	if len(made) != 1 || keys() != before+2 {
		t.Fatalf("%d answers with a key, and %d more keys; want 1 and 2", len(made), keys()-before)
	}
	var id string
	for _, r := range made {
		id = r.id
	}
	refused := func(r reply) {
		t.Helper()
		if r.status != http.StatusConflict || !strings.Contains(string(r.body), "idempotency_not_stored") || !strings.Contains(string(r.body), id) || strings.Contains(string(r.body), `"key"`) {
			t.Errorf("again: %d %s, want the request %s", r.status, r.body, id)
		}
	}
	for _, r := range told {
		refused(r)
	}
	if r := p.ask(t, path, `{"name":"two"}`, "Idempotency-Key", "k"); r.status != http.StatusUnprocessableEntity {
		t.Errorf("another request: %d %s", r.status, r.body)
	}
	w.gw.Kill()
	w.gw.Run(t)
	refused(p.ask(t, path, body, "Idempotency-Key", "k"))
	if keys() != before+2 {
		t.Errorf("%d keys were made", keys()-before)
	}
	if r := p.ask(t, path, body); r.status != 200 || keys() != before+3 {
		t.Errorf("without a key: %d %s", r.status, r.body)
	}
	w.gw.Verify(t)
}

// TestAKilledProcessLeavesAKeyChargedOrFree, and never charged without its answer:
// before the charge is on disk the request runs again; behind it its answer comes.
func TestAKilledProcessLeavesAKeyChargedOrFree(t *testing.T) {
	t.Parallel()
	for point, charged := range map[string]bool{
		"crash_before_begin": false, "crash_before_commit": false, "crash_after_commit": true, "crash_before_last_bytes": true,
	} {
		for _, d := range []dialect{messages, simple, respond} {
			for _, stream := range []bool{false, true} {
				t.Run(fmt.Sprint(point, " ", d.name, " ", stream), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t)
					c, text := w.up.add(play{text: said, finish: "stop", usage: usage(10, 5), holds: beforeHead})
					p := w.payer(t, d, "1", nil)
					path, body := d.path, d.body("anthropic", text, stream)
					over := make(chan struct{})
					go func() {
						defer close(over)
						if resp, err := p.open(context.Background(), path, body, "Idempotency-Key", "k"); err == nil {
							if r := take(resp); r.err == nil && r.status == 200 && finished(d, r.body) {
								t.Errorf("the whole answer came: %s", r.body)
							}
						}
					}()
					wait(t, c.sent, "the provider's turn")
					w.gw.Verify(t) // nothing else waits to be written
					arm(t, w.gw, point, 1)
					close(c.release)
					<-over
					<-w.gw.Gone()
					w.gw.Reaped()
					w.gw.Run(t)
					first := p.ask(t, path, body, "Idempotency-Key", "k")
					if replayed := first.header.Get("Idempotency-Replayed") == "true"; first.status != 200 || replayed != charged || !bytes.Contains(first.body, []byte(said)) {
						t.Errorf("after the kill: %d %v %s", first.status, first.header, first.body)
					}
					again := p.ask(t, path, body, "Idempotency-Key", "k")
					if !bytes.Equal(first.body, again.body) || again.charged() != "0.00" {
						t.Errorf("again: %v %s", again.header, again.body)
					}
					asked := map[bool]int{true: 1, false: 2}[charged]
					if n := c.asked(); n != asked {
						t.Errorf("the provider was asked %d times, want %d", n, asked)
					}
					if paid, requests := p.spent(t); paid.Int64() != 20_000 || requests != 1 {
						t.Errorf("%v was paid for %d requests", paid, requests)
					}
					w.gw.Settled(t)
				})
			}
		}
	}
}

// arm makes a point of the gateway fire so many times.
func arm(t testing.TB, gw *harness.Gateway, point string, times int) {
	t.Helper()
	gw.MustAdmin(t, "POST", "/admin/v1/test/fault", map[string]any{"point": point, "times": times}, nil)
}
