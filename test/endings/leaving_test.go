package endings

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// parting is a moment at which a caller leaves.
type parting struct {
	name  string
	play  play
	sees  string // what he has seen by then
	whole bool   // whether an answer in one piece has such a moment

	// What becomes of it if nothing makes the gateway read on: of OpenAI's
	// answers, and of Anthropic's.
	left   [2]want
	status int
	sent   string // delivery of a stream
}

var (
	// nobodySaid how long the prompt was.
	nobodySaid = want{outcome: "client_left", counted: true, estimated: true}
	partings   = []parting{
		{
			name: "before the provider has accepted", play: play{holds: beforeHead}, whole: true, status: 499, sent: "none",
			left: [2]want{{outcome: "client_left"}, {outcome: "client_left"}},
		},
		{
			name: "before content", play: play{holds: afterHead}, whole: true, status: 499, sent: "none",
			left: [2]want{nobodySaid, {outcome: "client_left", in: 10, out: 1}},
		},
		{
			name: "while it thinks", play: play{thought: said, holds: afterThought}, status: 200, sent: "partial",
			left: [2]want{nobodySaid.and(6), {outcome: "client_left", in: 10, out: 6, estimated: true}},
		},
		{
			name: "after so many tokens", play: play{holds: afterText}, sees: "Twenty-four", status: 200, sent: "partial",
			left: [2]want{nobodySaid.and(6), {outcome: "client_left", in: 10, out: 6, estimated: true}},
		},
		{
			name: "behind the last word, and the usage never comes", play: play{holds: afterFinish}, sees: "Twenty-four", status: 200, sent: "partial",
			left: [2]want{{outcome: "ok", out: 6, counted: true, estimated: true}, {outcome: "ok", in: 10, out: 5}},
		},
	}
)

func (w want) and(out int64) want {
	w.out = out
	return w
}

// finishes are the ways in which a key and a request make the gateway read on.
var finishes = []struct {
	onDisconnect, key string
	readsOn           bool
}{
	{"cancel", "", false},
	{"cancel", "once", true},
	{"drain", "", true},
	{"drain", "once", true},
}

// TestWhoLeavesPaysForWhatWasProduced at every moment of an answer, and gets
// nothing free by leaving before the usage is told. Who drains, or can come back
// with his Idempotency-Key, pays for the whole answer.
func TestWhoLeavesPaysForWhatWasProduced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	room := make(chan struct{}, 24)
	for _, l := range partings {
		l.play.finish, l.play.usage = "stop", usage(10, 5)
		l.play.text = said
		for _, d := range []dialect{chat, messages, google, simple, prompt, respond} {
			for f := range families {
				for _, how := range finishes {
					for _, stream := range []bool{true, false} {
						if stream && d.name == "prompt" || !stream && !l.whole {
							continue
						}
						room <- struct{}{}
						wg.Go(func() {
							defer func() { <-room }()
							at := fmt.Sprintf("%s, %s of %s, stream %v, %s, key %q", l.name, d.name, families[f], stream, how.onDisconnect, how.key)
							w.parts(t, at, l, d, f, stream, how.onDisconnect, how.key, how.readsOn)
						})
					}
				}
			}
		}
	}
	wg.Wait()
	w.close(t)
	t.Logf("%d cells", w.cells)
}

// parts plays one cell: a caller who leaves.
func (w *world) parts(t *testing.T, at string, l parting, d dialect, f int, stream bool, onDisconnect, key string, readsOn bool) {
	c, text := w.up.add(l.play)
	p := w.payer(t, d, "1", map[string]any{"on_disconnect": onDisconnect})
	body := d.body(families[f], text, stream)
	var header []string
	if key != "" {
		header = []string{"Idempotency-Key", key}
	}
	w.leave(t, p, c, d.at(families[f], stream), body, l.sees, stream, header...)
	expected, status, sent := l.left[f], l.status, l.sent
	switch {
	case readsOn:
		close(c.release)
		expected, status, sent = *ok(10, 5), 200, "partial"
		if !stream {
			sent = "none"
		}
	case !stream && l.play.holds == afterHead:
		expected = nobodySaid // of an answer in one piece nothing is told before its end
	}
	wait(t, c.gone, at+": the end of the provider's work")
	rc := p.only(t)
	if l.play.holds == afterThought && !d.shows(f, l) && !readsOn {
		expected.out = rc.Tokens.Output // nothing tells how much of it the gateway has read
		if floor := int64(f); expected.out < floor || expected.out > 6 {
			t.Errorf("%s: charged for %+v", at, rc.Tokens)
		}
		if rc.Status == 499 { // or whether any
			status, sent = 499, "none"
		}
		expected.estimated = rc.Estimated
	}
	w.check(t, at, &expected, p, rc)
	if rc.Status != status || rc.Delivery != sent {
		t.Errorf("%s: the receipt says status %d, delivery %s; want %d, %s", at, rc.Status, rc.Delivery, status, sent)
	}
	if nano(t, rc.ChargeUSD).Cmp(nano(t, rc.HoldUSD)) > 0 {
		t.Errorf("%s: %s was charged, and %s held", at, rc.ChargeUSD, rc.HoldUSD)
	}
	if n := c.asked(); n != 1 {
		t.Errorf("%s: the provider was asked %d times", at, n)
	}
	if key != "" {
		w.comesBack(t, at, p, c, d, d.at(families[f], stream), body, stream, header...)
	}
}

// shows reports whether the dialect shows everything of the answer that the
// provider has sent when the caller leaves.
func (d dialect) shows(f int, l parting) bool {
	return l.play.holds != afterThought || d.name == "chat" && f == openai || d.name == "messages" && f == anthropic
}

// comesBack asks for an answer that was finished without its caller.
func (w *world) comesBack(t *testing.T, at string, p payer, c *cell, d dialect, path, body string, stream bool, header ...string) {
	t.Helper()
	again := p.ask(t, path, body, header...)
	if again.status != 200 || again.header.Get("Idempotency-Replayed") != "true" || !bytes.Contains(again.body, []byte("Twenty-four")) || stream && !finished(d, again.body) {
		t.Errorf("%s: he comes back to %d %v %s", at, again.status, again.header, again.body)
	}
	if got := again.charged(); got != "0.00" || c.asked() != 1 {
		t.Errorf("%s: coming back costs %q, and the provider was asked %d times", at, got, c.asked())
	}
	if r := w.receipt(t, again.id); r.Outcome != "replayed" || r.Delivery != "complete" || r.ChargeUSD != "0.00" {
		t.Errorf("%s: coming back has the receipt %+v", at, r)
	}
}

// leave asks, and leaves when the provider waits and the caller has seen what he
// sees by then.
func (w *world) leave(t *testing.T, p payer, c *cell, path, body, sees string, stream bool, header ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	seen := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(over)
		resp, err := p.open(ctx, path, body, header...)
		if err != nil {
			return
		}
		defer func() { _ = resp.Body.Close() }()
		var got []byte
		for b := make([]byte, 4096); ; {
			n, err := resp.Body.Read(b)
			before := bytes.Contains(got, []byte(sees))
			got = append(got, b[:n]...)
			if sees != "" && !before && bytes.Contains(got, []byte(sees)) {
				close(seen)
			}
			if err != nil {
				return
			}
		}
	}()
	wait(t, c.sent, "the provider's turn")
	if sees != "" && stream {
		wait(t, seen, "what the caller sees")
	}
	w.letPass(t)
	cancel()
	<-over
	w.letPass(t)
}

// letPass lets the gateway answer others. Nothing tells from outside when it has
// read what was sent to it; when it has answered who came later, it had the time.
func (w *world) letPass(t *testing.T) {
	t.Helper()
	_, text := w.up.add(play{text: said, finish: "stop", usage: usage(10, 5)})
	p := w.payer(t, chat, "1", nil)
	for range 3 {
		r := p.ask(t, chat.path, chat.body("openai", text, true))
		if r.status != 200 {
			t.Errorf("%d %s", r.status, r.body)
		}
		rc := w.receipt(t, r.id)
		w.mu.Lock()
		w.charged.Add(w.charged, nano(t, rc.ChargeUSD))
		w.mu.Unlock()
	}
}

// TestUsageThatComesWithinTwoSecondsCounts where the caller left behind the last
// word of the answer.
func TestUsageThatComesWithinTwoSecondsCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, d := range []dialect{chat, messages, google, simple, respond} {
		c, text := w.up.add(play{text: said, finish: "stop", usage: usage(10, 5), holds: afterFinish})
		p := w.payer(t, d, "1", nil)
		// The usage comes at once, so that no machine is too slow for it.
		ctx, cancel := context.WithCancel(context.Background())
		resp, err := p.open(ctx, d.at("openai", true), d.body("openai", text, true))
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for b := make([]byte, 4096); !bytes.Contains(got, []byte("Twenty-four")); {
			n, err := resp.Body.Read(b)
			if got = append(got, b[:n]...); err != nil {
				t.Fatalf("%v behind %s", err, got)
			}
		}
		wait(t, c.sent, "the provider's turn")
		w.letPass(t)
		cancel()
		_ = resp.Body.Close()
		close(c.release)
		w.check(t, d.name, ok(10, 5), p, p.only(t))
	}
	w.close(t)
}

// TestWhoLeavesBehindTheEndHasHadTheAnswer: that is no leaving.
func TestWhoLeavesBehindTheEndHasHadTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, d := range []dialect{chat, messages, google, simple, respond} {
		for f := range families {
			_, text := w.up.add(play{text: said, finish: "stop", usage: usage(10, 5)})
			p := w.payer(t, d, "1", nil)
			ctx, cancel := context.WithCancel(context.Background())
			resp, err := p.open(ctx, d.at(families[f], true), d.body(families[f], text, true))
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			for b := make([]byte, 4096); !finished(d, got); {
				n, err := resp.Body.Read(b)
				if got = append(got, b[:n]...); err != nil && !finished(d, got) {
					t.Fatalf("%v behind %s", err, got)
				}
			}
			cancel()
			_ = resp.Body.Close()
			rc := p.only(t)
			w.check(t, d.name, ok(10, 5), p, rc)
			if rc.Delivery != "complete" {
				t.Errorf("%s: delivery %s", d.name, rc.Delivery)
			}
		}
	}
	w.close(t)
}

// TestAShutdownEndsWhatIsReadOnFreeOfCharge: what we break off ourselves costs
// nothing, although the caller had left before; with his key he may ask again.
func TestAShutdownEndsWhatIsReadOnFreeOfCharge(t *testing.T) {
	t.Parallel()
	w := &world{up: newUpstream(t)}
	w.gw = harness.Start(t, harness.Options{Server: "drain: 1s", Config: w.up.config()})
	var all []payer
	for _, how := range finishes {
		for _, holds := range []stage{afterHead, afterText} {
			if !how.readsOn {
				continue
			}
			c, text := w.up.add(play{text: said, finish: "stop", usage: usage(10, 5), holds: holds})
			p := w.payer(t, chat, "1", map[string]any{"on_disconnect": how.onDisconnect})
			ctx, cancel := context.WithCancel(context.Background())
			var header []string
			if how.key != "" {
				header = []string{"Idempotency-Key", how.key}
			}
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				if resp, err := p.open(ctx, chat.path, chat.body("anthropic", text, true), header...); err == nil {
					take(resp)
				}
			}()
			wait(t, c.sent, "the provider's turn")
			cancel()
			<-gone
			all = append(all, p)
		}
	}
	if err := w.gw.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.gw.Gone():
		w.gw.Reaped()
	case <-time.After(20 * time.Second):
		t.Fatal("the gateway does not end")
	}
	w.gw.Run(t)
	for i, p := range all {
		paid, requests := p.spent(t)
		if rc := p.only(t); paid.Sign() != 0 || requests != 0 || rc.Outcome != "aborted" || rc.ChargeUSD != "0.00" {
			t.Errorf("answer %d: %v was paid, %d requests of the day, receipt %+v", i, paid, requests, rc)
		}
	}
	w.gw.Settled(t)
}
