package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/provider/sim"
)

// running is a gateway that serves, with a key that has money.
type running struct {
	*App
	acc  *account.Account
	stop context.CancelFunc
	done chan error
}

func serving(t *testing.T, text string) running {
	t.Helper()
	return servingIn(t, t.TempDir(), text)
}

// servingIn is a gateway with its files in dir.
func servingIn(t *testing.T, dir, text string) running {
	t.Helper()
	a, err := open(t, dir, text)
	if err != nil {
		t.Fatal(err)
	}
	acc, err := a.accounts.CreateAccount(t.Context(), account.NewAccount{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.ledger.Credit(t.Context(), ledger.Credit{Account: int64(acc.ID), Kind: ledger.KindTopup, Amount: money.Dollar}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := running{a, acc, stop, make(chan error, 1)}
	go func() { r.done <- a.Serve(ctx) }()
	t.Cleanup(stop)
	return r
}

func (r running) key(t *testing.T, mode string) string {
	t.Helper()
	_, prefix, _ := r.keyPrefix("", "inference")
	_, secret, err := r.accounts.CreateKey(t.Context(), account.NewKey{Account: r.acc.ID, Name: "k", Prefix: prefix, OnDisconnect: mode})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// ask begins a streamed answer, and returns when its first bytes are there.
func (r running) ask(t *testing.T, key string, h2 bool) *http.Response {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetUnencryptedHTTP2(h2)
	t.Cleanup(tr.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.Addr()+"/v1/chat/completions",
		strings.NewReader(`{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != 200 {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("%d %s", resp.StatusCode, b)
	}
	if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return resp
}

// TestADrainWaitsForAnswersOfBothVersionsOfHTTP also proves that they are paid for.
func TestADrainWaitsForAnswersOfBothVersionsOfHTTP(t *testing.T) {
	t.Parallel()
	r := serving(t, strings.Replace(small, "server: {", "server: {drain: 20s, ", 1))
	if err := r.sim.Script("m", steps(t, `[{"events": 20, "per_event_ms": 40, "times": -1}]`)); err != nil {
		t.Fatal(err)
	}
	key := r.key(t, "cancel")
	answers := []*http.Response{r.ask(t, key, false), r.ask(t, key, true)}
	r.stop()
	for i, resp := range answers {
		b, err := io.ReadAll(resp.Body)
		if err != nil || !strings.HasSuffix(string(b), "data: [DONE]\n\n") || resp.Trailer.Get("X-Charge-Usd") == "" {
			t.Errorf("HTTP/%d: %v, charge %q, …%q", i+1, err, resp.Trailer.Get("X-Charge-Usd"), b[max(0, len(b)-200):])
		}
	}
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

func TestOptionsOfTheServerAreAnsweredByTheContract(t *testing.T) {
	t.Parallel()
	r := serving(t, small)
	conn, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprint(conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 404 || resp.Header.Get("X-Request-Id") == "" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

func TestNoAnswerOutlivesTheDrainWhateverItsKeySays(t *testing.T) {
	t.Parallel()
	r := serving(t, strings.Replace(small, "server: {", "server: {drain: 50ms, ", 1))
	if err := r.sim.Script("m", steps(t, `[{"fault": "hang_stream", "after": 2, "times": -1}]`)); err != nil {
		t.Fatal(err)
	}
	present, gone := r.ask(t, r.key(t, "drain"), false), r.ask(t, r.key(t, "drain"), false)
	_ = gone.Body.Close()
	start := time.Now()
	r.stop()
	b, _ := io.ReadAll(present.Body)
	if !strings.Contains(string(b), `"error"`) || strings.Contains(string(b), "[DONE]") {
		t.Errorf("who was there is told %q", b)
	}
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("it took %v to go down", took)
	}
}

func steps(t *testing.T, text string) []sim.Step {
	t.Helper()
	out, err := sim.ParseSteps([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A caller of HTTP/2 who has gone without a word is found by pings.
func TestCallersOfHTTP2AreAskedWhetherTheyAreThere(t *testing.T) {
	t.Parallel()
	r := serving(t, small)
	if h := r.api.HTTP2; h == nil || h.SendPingTimeout <= 0 || h.PingTimeout <= 0 {
		t.Errorf("HTTP/2: %+v", h)
	}
}
