package endings

import (
	"bytes"
	"context"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/test/harness"
)

// TestAChargeThatIsNotOnDiskInTimeIsTakenBack: who waits ten seconds for it is
// told 503 and pays nothing, whatever becomes of the charge; his key is free. The
// counters of the day are not given back; see docs/ledger.md.
func TestAChargeThatIsNotOnDiskInTimeIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// The process gives up on a disk that is full for ten seconds, and goes on
	// if a charge comes through before it is: a slow machine can bring about
	// either. Then it is tried again.
	for range 5 {
		if w.late(t) {
			return
		}
		if t.Failed() {
			return
		}
	}
	t.Error("no charge came too late")
}

// queued is how many operations wait for the disk, or are on their way to it.
func (w *world) queued() int {
	_, b, err := w.gw.Admin(context.Background(), "GET", "/metrics", nil, nil)
	if m := regexp.MustCompile(`(?m)^pontage_ledger_queue (\d+)$`).FindSubmatch(b); err == nil && m != nil {
		n, _ := strconv.Atoi(string(m[1]))
		return n
	}
	return -1
}

// late reports whether it brought a charge about that came too late.
func (w *world) late(t *testing.T) bool {
	ahead, behind := w.payer(t, chat, "1", nil), w.payer(t, messages, "1", nil)
	_, hello := w.up.add(play{text: said, finish: "stop", usage: usage(10, 5)})
	c, text := w.up.add(play{text: said, finish: "stop", usage: usage(10, 5), holds: beforeHead})
	body := messages.body("anthropic", text, false)
	w.gw.Verify(t) // nothing else waits to be written
	got := make(chan reply, 1)
	go func() {
		r := reply{}
		if resp, err := behind.open(context.Background(), messages.path, body, "Idempotency-Key", "k"); err == nil {
			r = take(resp)
		}
		got <- r
	}()
	wait(t, c.sent, "the provider's turn")
	arm(t, w.gw, failpoint.SlowFsync, 1)
	first := make(chan struct{})
	go func() {
		defer close(first)
		if resp, err := ahead.open(context.Background(), chat.path, chat.body("openai", hello, false)); err == nil {
			take(resp)
		}
	}()
	for missed := false; w.queued() < 1 && !missed; {
		select {
		case <-first: // it was on disk before anybody looked
			missed = true
		case <-time.After(5 * time.Millisecond):
		}
	}
	close(c.release)
	arm(t, w.gw, failpoint.DiskFull, 1000)
	r := <-got
	<-first
	select {
	case <-w.gw.Gone():
		w.gw.Reaped()
		w.gw.Run(t)
		return false
	case <-time.After(time.Millisecond):
	}
	arm(t, w.gw, failpoint.DiskFull, 0)
	eventually(t, "its readiness", func() bool {
		status, err := w.gw.Peek(context.Background(), "/readyz", new(any))
		return err == nil && status == http.StatusOK
	})
	if r.status == http.StatusOK {
		return false
	}
	if r.status != http.StatusServiceUnavailable || r.charged() != "0.00" || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", r.status, r.header, r.body)
	}
	w.gw.Settled(t)
	if paid := behind.paid(t); paid.Sign() != 0 {
		t.Errorf("%v was paid for an answer that nobody got", paid)
	}
	again := behind.ask(t, messages.path, body, "Idempotency-Key", "k")
	if again.status != 200 || again.header.Get("Idempotency-Replayed") != "" || again.charged() != "0.00002" {
		t.Errorf("again: %d %v %s", again.status, again.header, again.body)
	}
	third := behind.ask(t, messages.path, body, "Idempotency-Key", "k")
	if !bytes.Equal(again.body, third.body) || third.charged() != "0.00" || c.asked() != 2 {
		t.Errorf("the third time: %v %s; the provider was asked %d times", third.header, third.body, c.asked())
	}
	if paid := behind.paid(t); paid.Int64() != 20_000 {
		t.Errorf("%v was paid", paid)
	}
	w.gw.Receipt(t, again.id, func(r harness.Receipt) bool { return r.Outcome == "ok" && r.Delivery == "complete" })
	w.gw.Settled(t)
	return true
}
