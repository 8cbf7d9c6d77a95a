package wire

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
)

// dial opens a connection that ends with the test.
func (h house) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", h.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn, bufio.NewReader(conn)
}

// answers opens calls that play steps.
func answers(steps ...any) func(context.Context) (*fakeCall, error) {
	return func(ctx context.Context) (*fakeCall, error) { return &fakeCall{ctx: ctx, steps: steps}, nil }
}

// An event may wait for the next one only if that will be written.
func TestNoEventWaitsForOneThatGivesNothing(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	first := event("data: 1\n\n")
	first.More = true
	h := build(t, &fake{open: answers(first, llm.Event{Usage: &llm.Usage{}}, func() { <-release }, event("data: 2\n\n"), last("data: [DONE]\n\n"))}, nil)
	defer func() {
		select {
		case <-release:
		default:
			close(release)
		}
	}()
	got := make(chan string, 1)
	go func() {
		resp, err := http.Post(h.srv.URL+"/v1/chat/completions", "application/json", strings.NewReader(`{"stream":true}`))
		if err != nil {
			got <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		line, _ := bufio.NewReader(resp.Body).ReadString('\n')
		got <- line
	}()
	select {
	case line := <-got:
		if line != "data: 1\n" {
			t.Errorf("first line %q", line)
		}
	case <-time.After(3 * time.Second):
		t.Error("the first event is held back until the provider sends another")
	}
}

func TestWhoseSendingSideIsClosedNeverGetsAnEmptySuccess(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(context.Context) (*fakeCall, error){
		"before content": func(ctx context.Context) (*fakeCall, error) { <-ctx.Done(); return nil, ctx.Err() },
		"midway": func(ctx context.Context) (*fakeCall, error) {
			return &fakeCall{ctx: ctx, steps: []any{event("x"), func() { <-ctx.Done() }, context.Canceled}}, nil
		},
	} {
		h := build(t, &fake{open: open}, nil)
		conn, r := h.dial(t)
		fmt.Fprint(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); len(b) > 0 {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		if ev := <-h.events; ev.Status != 499 {
			t.Errorf("%s: status %d", name, ev.Status)
		}
	}
}

func TestTheReceiptOfWhoLeftBeforeContentSaysSo(t *testing.T) {
	t.Parallel()
	f := &fake{open: func(ctx context.Context) (*fakeCall, error) { <-ctx.Done(); return nil, ctx.Err() }}
	h := build(t, f, nil)
	conn, _ := h.dial(t)
	fmt.Fprint(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
	_ = conn.Close()
	<-h.events
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.refused) != 1 || !strings.HasSuffix(f.refused[0], " 499") {
		t.Errorf("%v", f.refused)
	}
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	t.Parallel()
	h := build(t, &fake{}, nil)
	for path, status := range map[string]int{"/v1/models": 200, "/v1/models/a/b": 200, "/v1/models/none": 404, "/v1/chat/completions": 405} {
		req, _ := http.NewRequest(http.MethodHead, h.srv.URL+path, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != status || len(b) > 0 || resp.ContentLength <= 0 {
			t.Errorf("HEAD %s: %d, %d bytes, Content-Length %d; want %d", path, resp.StatusCode, len(b), resp.ContentLength, status)
		}
		<-h.events
	}
}

func TestPathsThatAreNotTextAreToldAsText(t *testing.T) {
	t.Parallel()
	h := build(t, &fake{}, nil)
	for _, id := range []string{"%ff%fe", strings.Repeat("x", 199) + "%c3%a9", "%22%0d%0aX-Evil:%201", "a%2Fb%2Fc"} {
		resp, err := http.Get(h.srv.URL + "/v1/models/" + id)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 404 || !utf8.Valid(b) || !json.Valid(b) || resp.Header.Get("X-Evil") != "" {
			t.Errorf("%s: %d %q", id, resp.StatusCode, b)
		}
	}
	resp, err := http.Get(h.srv.URL + "/v1/models/a%2Fb")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != 200 || string(b) != "one a/b" {
		t.Errorf("a slash as %%2F: %d %q", resp.StatusCode, b)
	}
}

// unfinished is a dialect that cannot write the end of its answers.
type unfinished struct{ plain }

func (u unfinished) Encoder(*llm.Request) Encoder { return &unfinishedEncoder{} }

type unfinishedEncoder struct{ plainEncoder }

func (*unfinishedEncoder) Finish(dst []byte, _ Final) ([]byte, error) {
	return dst, errors.New("no answer")
}

// speechless is a dialect that cannot say what a provider answered.
type speechless struct{ plain }

func (speechless) Encoder(*llm.Request) Encoder { return &speechlessEncoder{} }

type speechlessEncoder struct{ plainEncoder }

func (*speechlessEncoder) Event(dst []byte, _ llm.Event) ([]byte, error) {
	return dst, errors.New("several choices")
}

func TestAnAnswerThatTheDialectCannotSayIsTheProvidersFailure(t *testing.T) {
	t.Parallel()
	var call *fakeCall
	h := build(t, &fake{open: func(ctx context.Context) (*fakeCall, error) {
		call = &fakeCall{ctx: ctx, steps: []any{event("x"), last("x")}}
		return call, nil
	}}, func(o *Options) { o.Dialects["openai.chat"] = speechless{} })
	resp, got := h.post(t, "/v1/chat/completions", `{}`)
	<-h.events
	if resp.StatusCode != 502 || code(got) != "upstream_error" || call.outcome() != "fail upstream_failed" {
		t.Errorf("%d %s, the call ended %q", resp.StatusCode, got, call.outcome())
	}
}

type panicking struct{ plain }

func (panicking) Encoder(*llm.Request) Encoder { return &panickingEncoder{} }

type panickingEncoder struct{ plainEncoder }

func (*panickingEncoder) Finish([]byte, Final) ([]byte, error) { panic("a defect") }

func TestWhatCannotBeToldAfterItsChargeIsTakenBackAndSaysSo(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]Dialect{"error": unfinished{}, "panic": panicking{}} {
		for _, body := range []string{`{}`, `{"stream":1}`} {
			for _, stands := range []bool{false, true} {
				var call *fakeCall
				h := build(t, &fake{open: func(ctx context.Context) (*fakeCall, error) {
					call = &fakeCall{ctx: ctx, steps: []any{event("data: 1\n\n"), last("x")}, stands: stands}
					return call, nil
				}}, func(o *Options) { o.Dialects["openai.chat"] = d })
				resp, got := h.post(t, "/v1/chat/completions", body)
				want := "0.00"
				if stands {
					want = "0.0000015"
				}
				if told := resp.Header.Get("X-Charge-Usd") + resp.Trailer.Get("X-Charge-Usd"); told != want || !strings.Contains(got, `"error"`) {
					t.Errorf("%s of %s: told a charge of %q, want %q: %s", name, body, told, want, got)
				}
				<-h.events
				if call.outcome() != "finish, take back, fail internal" {
					t.Errorf("%s of %s: the call ended %q", name, body, call.outcome())
				}
			}
		}
	}
}

// The stall is a time without progress: it does not bound how long a large
// answer may take over a slow line.
func TestALargeAnswerToASlowReaderGetsThrough(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 24<<20)
	h := build(t, &fake{open: answers(last(large))}, func(o *Options) { o.WriteStall = 400 * time.Millisecond })
	conn, r := h.dial(t)
	fmt.Fprint(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := int64(0)
	for got < int64(len(large)) {
		time.Sleep(80 * time.Millisecond) // a slow line
		n, err := io.CopyN(io.Discard, resp.Body, 1<<20)
		if got += n; err != nil {
			t.Fatalf("cut after %d bytes: %v", got, err)
		}
	}
	if ev := <-h.events; ev.Delivery != "complete" {
		t.Errorf("delivery %q", ev.Delivery)
	}
}

// Who is refused before anybody looks further can name his request to us all
// the same.
func TestARefusalAtTheDoorSaysWhichRequestItIs(t *testing.T) {
	t.Parallel()
	c, err := contract.Load("openai")
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan *obs.Event, 1)
	s := NewServer(Options{Done: func(e *obs.Event) { events <- e }}, NewSites([]*Site{{Name: "*", Hosts: []string{"*"}, Contract: c}}))
	door := s.Refusing(s, func() *fault.Error { return fault.New(fault.Draining, "") })
	r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
	r.Header.Set("X-Client-Request-Id", "mine-1")
	w := httptest.NewRecorder()
	door.ServeHTTP(w, r)
	e := <-events
	if w.Code != 503 || w.Header().Get("X-Client-Request-Id") != "mine-1" || w.Header().Get("X-Request-Id") != e.ID || e.ClientRequestID != "mine-1" {
		t.Errorf("%d %v, recorded %+v", w.Code, w.Header(), e)
	}
}

func TestWhatWasLeftOutFitsIntoAHead(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 100_000 {
		many = append(many, fmt.Sprintf("messages.%d.name", i))
	}
	if got := dropped(many); len(got) > maxDropped+50 || !strings.HasPrefix(got, "messages.0.name, messages.1.name, ") || !strings.HasSuffix(got, " more") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
	if got := dropped(many[:2]); got != "messages.0.name, messages.1.name" {
		t.Error(got)
	}
}
