package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/testkit"
)

// fake is a transport without a network.
type fake func(r *http.Request) (*http.Response, error)

func (f fake) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer is an answer with the given body.
func answer(status int, body io.Reader) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(body)}
}

// hang waits for the end of the request.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// script is a body that says each line after its pause, and then hangs or ends.
type script struct {
	ctx   context.Context
	steps []step
	ends  bool
}

type step struct {
	after time.Duration
	says  string
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.steps) == 0 {
		if s.ends {
			return 0, io.EOF
		}
		<-s.ctx.Done()
		return 0, s.ctx.Err()
	}
	next := s.steps[0]
	s.steps = s.steps[1:]
	select {
	case <-time.After(next.after):
		return copy(p, next.says), nil
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
}

var nowhere = &url.URL{Scheme: "http", Host: "x", Path: "/"}

func outgoing(t Timeouts, stream bool) Outgoing {
	return Outgoing{URL: nowhere, Header: http.Header{}, Body: []byte("{}"), Family: "openai", Timeouts: t, Stream: stream}
}

// limits are timers that differ, so that it shows which one ran.
var limits = Timeouts{
	Connect: 5 * time.Second, Headers: 60 * time.Second, FirstEvent: 120 * time.Second,
	Idle: 130 * time.Second, IdleEvents: 600 * time.Second, Total: 3600 * time.Second,
}

// meet reads a stream as a provider does: what contains "content" is content.
func meet(rt http.RoundTripper, o Outgoing) error {
	x, err := Post(context.Background(), rt, o)
	if err != nil {
		return err
	}
	defer x.Close()
	p := make([]byte, 100)
	for {
		n, err := x.Read(p)
		if err != nil {
			return err
		}
		if strings.Contains(string(p[:n]), "content") {
			x.Meaning(true)
		}
	}
}

func TestEveryTimerEndsItsOwnPhase(t *testing.T) {
	t.Parallel()
	say := func(ends bool, steps ...step) fake {
		return func(r *http.Request) (*http.Response, error) {
			return answer(200, &script{ctx: r.Context(), steps: steps, ends: ends}), nil
		}
	}
	repeat := func(n int, s step) (out []step) {
		for range n {
			out = append(out, s)
		}
		return out
	}
	connecting := func(r *http.Request) (*http.Response, error) {
		httptrace.ContextClientTrace(r.Context()).GetConn("x:80")
		return hang(r)
	}
	connected := func(r *http.Request) (*http.Response, error) {
		tr := httptrace.ContextClientTrace(r.Context())
		tr.GetConn("x:80")
		time.Sleep(4 * time.Second) // within the bubble
		tr.GotConn(httptrace.GotConnInfo{})
		tr.WroteRequest(httptrace.WroteRequestInfo{})
		return hang(r)
	}
	for _, c := range []struct {
		name   string
		rt     fake
		limits Timeouts
		stream bool
		phase  string
		after  time.Duration
		want   string
	}{
		{"connect", connecting, limits, true, "connect", 5 * time.Second, "no_target RFB"},
		{"headers", hang, limits, true, "headers", 60 * time.Second, "upstream_timeout FBS"},
		{"headers after a slow connection", connected, limits, true, "headers", 64 * time.Second, "upstream_timeout FBS"},
		{"nothing after headers", say(false), limits, true, "first_event", 120 * time.Second, "upstream_timeout FBS"},
		{"only comments", say(false, repeat(20, step{10 * time.Second, ": x\n\n"})...), limits, true, "first_event", 120 * time.Second, "upstream_timeout FBS"},
		{"silence after content", say(false, step{time.Second, "content"}), limits, true, "idle", 131 * time.Second, "upstream_timeout FBS"},
		{"only pings after content", say(false, append([]step{{time.Second, "content"}}, repeat(100, step{100 * time.Second, ": x\n\n"})...)...), limits, true, "idle_events", 601 * time.Second, "upstream_timeout FBS"},
		{"for ever", say(false, repeat(1000, step{100 * time.Second, "content"})...), limits, true, "total", 3600 * time.Second, "upstream_timeout FBS"},
		{"silence in a whole answer", say(false, step{100 * time.Second, "{"}), limits, false, "idle", 230 * time.Second, "upstream_timeout FBS"},
		{"no timers but total", say(false), Timeouts{Connect: -1, Headers: -1, FirstEvent: -1, Idle: -1, IdleEvents: -1, Total: time.Hour}, true, "total", time.Hour, "upstream_timeout FBS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := meet(c.rt, outgoing(c.limits, c.stream))
				var f *Failure
				var over *TimeoutError
				if !errors.As(err, &f) || !errors.As(err, &over) {
					t.Fatalf("error = %v, want a failure by a timer", err)
				}
				if over.Phase != c.phase || time.Since(start) != c.after || verdictOf(f) != c.want {
					t.Errorf("%s after %v: %s, want %s after %v: %s", over.Phase, time.Since(start), verdictOf(f), c.phase, c.after, c.want)
				}
				if f.Fault.Code == fault.UpstreamTimeout && f.Fault.Args["phase"] != c.phase {
					t.Errorf("phase = %q, want %q", f.Fault.Args["phase"], c.phase)
				}
			})
		})
	}
}

func TestASlowReaderIsNotTheProvidersSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x, err := Post(t.Context(), fake(func(r *http.Request) (*http.Response, error) {
			return answer(200, &script{ctx: r.Context(), steps: []step{{time.Second, "content"}, {time.Second, "content"}}, ends: true}), nil
		}), outgoing(limits, true))
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		p := make([]byte, 10)
		for range 2 {
			if _, err := x.Read(p); err != nil {
				t.Fatal(err)
			}
			x.Meaning(true)
			time.Sleep(500 * time.Second) // within the bubble: the caller takes its time
			x.Meaning(true)
		}
		if _, err := x.Read(p); err != io.EOF {
			t.Errorf("after pauses of the reader: %v, want EOF", err)
		}
	})
}

func TestACallerWhoLeavesIsNoFailureOfTheProvider(t *testing.T) {
	t.Parallel()
	for name, rt := range map[string]fake{
		"before headers": hang,
		"in the stream": func(r *http.Request) (*http.Response, error) {
			return answer(200, &script{ctx: r.Context()}), nil
		},
		"in an error": func(r *http.Request) (*http.Response, error) {
			return answer(500, &script{ctx: r.Context()}), nil
		},
	} {
		for _, c := range []struct {
			cause error
			ctx   func(context.Context) (context.Context, context.CancelFunc)
		}{
			{context.Canceled, func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(time.Second, cancel)
				return ctx, cancel
			}},
			{context.DeadlineExceeded, func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Second)
			}},
		} {
			t.Run(name+" "+c.cause.Error(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := c.ctx(t.Context())
					defer cancel()
					x, err := Post(ctx, rt, outgoing(limits, true))
					if err == nil {
						defer x.Close()
						_, err = x.Read(make([]byte, 1))
					}
					var f *Failure
					if !errors.As(err, &f) || !errors.Is(err, c.cause) {
						t.Fatalf("error = %v, want a failure because of %v", err, c.cause)
					}
					if f.Retry || f.Failover || f.Quarantine || f.Breaker {
						t.Errorf("it asks for %s", actions(f))
					}
				})
			})
		}
	}
}

func TestClosingCancelsTheProvidersWork(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t, testkit.Answer{Hang: true, Header: http.Header{"Content-Type": {"text/event-stream"}}, Frames: []testkit.Frame{{Data: ": x\n\n"}}})
	tr := NewTransport(time.Second)
	defer tr.CloseIdleConnections()
	at, _ := url.Parse(u.URL)
	o := outgoing(limits, true)
	o.URL = at
	x, err := Post(t.Context(), tr, o)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := x.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	testkit.Wait(t, u.Request(0).Gone, "the end of the request")
}

// wire is an upstream that answers each connection with the same bytes.
func wire(t *testing.T, bytes string) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, bytes)
			_ = c.Close()
		}
	}()
	return &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/"}
}

func TestBadServers(t *testing.T) {
	t.Parallel()
	closed := wire(t, "")
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	tls, _ := url.Parse(secure.URL)
	var redirected atomic.Bool
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { redirected.Store(true) }))
	t.Cleanup(target.Close)
	for _, c := range []struct {
		name string
		url  *url.URL
		want string
	}{
		{"nobody listens", &url.URL{Scheme: "http", Host: gone.Addr().String(), Path: "/"}, "no_target RFB"},
		{"no such host", &url.URL{Scheme: "http", Host: "nobody.invalid", Path: "/"}, "no_target RFB"},
		{"a certificate that nobody knows", tls, "no_target FB"},
		{"hangs up", closed, broken},
		{"no HTTP", wire(t, "SSH-2.0-nonsense\r\n\r\n"), broken},
		{"huge headers", wire(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", maxHeader+1)+"\r\n\r\n"), broken},
		{"a redirect", wire(t, "HTTP/1.1 302 Found\r\nLocation: "+target.URL+"\r\nContent-Length: 0\r\n\r\n"), config},
		{"bad chunks", wire(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"), broken},
		{"cut in a chunk", wire(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{}"), broken},
		{"shorter than it said", wire(t, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}"), broken},
		{"longer than allowed", wire(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"+strings.Repeat("x", 100)), broken},
		{"compressed", wire(t, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"), broken},
		{"an error that is cut", wire(t, "HTTP/1.1 429 Too Many\r\nContent-Length: 200\r\nRetry-After: 3\r\n\r\n{\"error\":"), rate},
		{"an error without end", wire(t, "HTTP/1.1 503 No\r\nContent-Length: 9000000\r\n\r\n"+strings.Repeat("x", 1<<20)), busy},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			patient := limits
			patient.Connect = time.Minute // a busy machine takes its time over a handshake
			tr := NewTransport(patient.Connect)
			defer tr.CloseIdleConnections()
			o := outgoing(patient, false)
			o.URL = c.url
			x, err := Post(t.Context(), tr, o)
			if err == nil {
				_, err = x.ReadAll(50)
			}
			var f *Failure
			if !errors.As(err, &f) {
				t.Fatalf("error = %v, want a failure", err)
			}
			if got := verdictOf(f); got != c.want {
				t.Errorf("%s, want %s (%v)", got, c.want, err)
			}
		})
	}
	t.Cleanup(func() {
		if redirected.Load() {
			t.Error("a redirect was followed")
		}
	})
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
		_ = http.NewResponseController(w).Flush()
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	tr := NewTransport(time.Second)
	defer tr.CloseIdleConnections()
	o := outgoing(limits, true)
	o.URL, _ = url.Parse(srv.URL)
	for range 20 {
		x, err := Post(t.Context(), tr, o)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := (&Reader{src: x, max: MaxFrame}).Next(); err != nil || string(f.Data) != "[DONE]" {
			t.Fatalf("Next() = %v, %v", f, err)
		}
		x.Over()
		_ = x.Close()
	}
	// One more may be opened if an end comes later than Close waits for it.
	if n := connections.Load(); n > 3 {
		t.Errorf("20 streams took %d connections", n)
	}
}

func TestAnEndThatDoesNotComeHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x, err := Post(t.Context(), fake(func(r *http.Request) (*http.Response, error) {
			return answer(200, &script{ctx: r.Context()}), nil
		}), outgoing(limits, true))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		x.Over()
		_ = x.Close()
		if took := time.Since(start); took > drainFor {
			t.Errorf("Close took %v", took)
		}
	})
}

func TestEventStreamWantsEvents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ contentType, body, want string }{
		{"text/event-stream", "data: x\n\n", ""},
		{"text/event-stream;charset=utf-8", "data: x\n\n", ""},
		{"Text/Event-Stream; charset=UTF-8", "data: x\n\n", ""},
		{"application/json", "data: x\n\n", broken},
		{"application/json", `{"choices":[]}`, broken},
		{"application/json", `{"error":{"code":"rate_limit_exceeded"}}`, rate + "S"},
		{"text/html", "<html>", broken},
		{"", "data: x\n\n", broken},
	} {
		x, err := Post(t.Context(), fake(func(*http.Request) (*http.Response, error) {
			r := answer(200, strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.contentType)
			return r, nil
		}), outgoing(limits, true))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		var f *Failure
		if err := x.EventStream(); errors.As(err, &f) {
			got = verdictOf(f)
		}
		if got != c.want {
			t.Errorf("%q with %q: %q, want %q", c.body, c.contentType, got, c.want)
		}
		_ = x.Close()
	}
}

func TestSecretsPrintAsPlaceholders(t *testing.T) {
	t.Parallel()
	s := Secret("sk-very-secret")
	text, _ := s.MarshalText()
	for _, got := range []string{fmt.Sprint(s), fmt.Sprintf("%v %s %q %#v", s, s, s, s), string(text), s.LogValue().String()} {
		if strings.Contains(got, "very") {
			t.Errorf("a secret prints as %s", got)
		}
	}
	if s.Reveal() != "sk-very-secret" || Secret("").String() != "" {
		t.Error("Reveal does not give the secret, or an empty one prints")
	}
}

func BenchmarkPost(b *testing.B) {
	rt := fake(func(*http.Request) (*http.Response, error) { return answer(200, strings.NewReader("{}")), nil })
	o := outgoing(limits, false)
	b.ReportAllocs()
	for b.Loop() {
		x, err := Post(b.Context(), rt, o)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := x.ReadAll(100); err != nil {
			b.Fatal(err)
		}
	}
}

// A ceiling of what an attempt costs beside the transport.
func TestPostAllocatesLittle(t *testing.T) {
	if testkit.Race {
		t.Skip("allocations cannot be counted with the race detector")
	}
	rt := fake(func(*http.Request) (*http.Response, error) { return answer(200, strings.NewReader("{}")), nil })
	o := outgoing(limits, false)
	got := testing.AllocsPerRun(100, func() {
		x, err := Post(t.Context(), rt, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.ReadAll(100); err != nil {
			t.Fatal(err)
		}
	})
	if got > 25 { // with the answer that the test makes
		t.Errorf("%v allocations, want at most 25", got)
	}
}
