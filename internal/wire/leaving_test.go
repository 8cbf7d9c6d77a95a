package wire

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/obs"
)

func TestACallerWhoLeaves(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		drains bool
		ends   string
	}{
		{"is charged for what was produced", false, "left"},
		{"and wants it drained, is charged for all of it", true, "finish, close"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var call *fakeCall
			gone := make(chan struct{})
			h := build(t, &fake{open: func(ctx context.Context) (*fakeCall, error) {
				call = &fakeCall{ctx: ctx, drains: c.drains}
				call.steps = []any{event("data: 1\n\n"), func() {
					<-gone
					<-ctx.Done() // net/http has seen it
				}}
				// The socket takes a while to fail: keep writing.
				for range 200 {
					call.steps = append(call.steps, event("data: "+strings.Repeat("x", 64<<10)+"\n\n"))
				}
				call.steps = append(call.steps, last("data: [DONE]\n\n"))
				return call, nil
			}}, nil)
			ctx, cancel := context.WithCancel(context.Background())
			req, _ := http.NewRequestWithContext(ctx, "POST", h.srv.URL+"/v1/chat/completions", strings.NewReader(`{"stream":1}`))
			resp, err := (&http.Transport{}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = resp.Body.Read(make([]byte, 9))
			cancel()
			_ = resp.Body.Close()
			close(gone)
			ev := <-h.events
			if call.outcome() != c.ends {
				t.Errorf("the call ended %q, want %q", call.outcome(), c.ends)
			}
			if c.drains && ev.Delivery != "partial" {
				t.Errorf("delivery %q", ev.Delivery)
			}
		})
	}
}

func TestAProcessThatGoesDownBreaksAnswersOffFreeOfCharge(t *testing.T) {
	t.Parallel()
	c, err := contract.Load("openai")
	if err != nil {
		t.Fatal(err)
	}
	for _, started := range []bool{false, true} {
		base, down := context.WithCancelCause(context.Background())
		var call *fakeCall
		f := &fake{events: make(chan *obs.Event, 1), open: func(ctx context.Context) (*fakeCall, error) {
			call = &fakeCall{ctx: ctx}
			if started {
				call.steps = append(call.steps, event("data: 1\n\n"))
			}
			call.steps = append(call.steps, func() { down(ErrGoingDown); <-ctx.Done() }, fault.Wrap(fault.UpstreamFailed, context.Canceled))
			return call, nil
		}}
		srv := httptest.NewUnstartedServer(NewServer(Options{
			Gateway: f, Dialects: map[string]Dialect{"openai.chat": plain{}}, Done: func(e *obs.Event) { f.events <- e },
		}, NewSites([]*Site{{Name: "*", Hosts: []string{"*"}, Contract: c}})))
		srv.Config.BaseContext = func(net.Listener) context.Context { return base }
		srv.Start()
		body := `{}`
		if started {
			body = `{"stream":1}`
		}
		resp, err := http.Post(srv.URL+"/v1/chat/completions", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		srv.Close()
		if started && !strings.HasPrefix(string(b), "data: 1\n\ndata: {\"error\"") || !started && (resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "") {
			t.Errorf("started %v: %d %s", started, resp.StatusCode, b)
		}
		if call.outcome() != "fail draining" {
			t.Errorf("started %v: the call ended %q", started, call.outcome())
		}
	}
}

func TestAnIdleStreamIsKeptAlive(t *testing.T) {
	t.Parallel()
	beaten := make(chan struct{})
	h := build(t, &fake{open: func(ctx context.Context) (*fakeCall, error) {
		return &fakeCall{ctx: ctx, steps: []any{event("data: 1\n\n"), func() { <-beaten }, last("data: [DONE]\n\n")}}, nil
	}}, func(o *Options) { o.Heartbeat = 5 * time.Millisecond })
	resp, err := http.Post(h.srv.URL+"/v1/chat/completions", "application/json", strings.NewReader(`{"stream":1}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := bufio.NewReader(resp.Body)
	beats := 0
	for beats < 3 {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ": beat\n" {
			beats++
		}
	}
	close(beaten)
	rest, _ := io.ReadAll(r)
	if !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
		t.Errorf("the stream ended %q", rest)
	}
}
