package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

const (
	helloChunk = `data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hel"}}],"error":null}` + "\n\n"
	loChunk    = `data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}` + "\n\n"
	usageChunk = `data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}` + "\n\n"
	done       = "data: [DONE]\n\n"
)

var sse = map[string]string{"Content-Type": "text/event-stream; charset=utf-8"}

// read reads a stream to its end.
func read(s *Stream) (text string, usage *Usage, err error) {
	defer s.Close()
	for s.Next() {
		text += s.Event().Text()
		if s.Event().Usage != nil {
			usage = s.Event().Usage
		}
	}
	return text, usage, s.Err()
}

func TestStream(t *testing.T) {
	t.Parallel()
	s := serve(t, answer{header: sse, body: ": hello\n\n" + helloChunk + ": ping\n\n" + loChunk + usageChunk + done, trailer: "0.5"})
	c, _ := open(t, s, Options{})
	stream, err := c.Stream(t.Context(), ask())
	if err != nil {
		t.Fatal(err)
	}
	text, usage, err := read(stream)
	if text != "hello" || err != nil || usage == nil || usage.CompletionTokens != 2 {
		t.Errorf("read %q, %+v, %v", text, usage, err)
	}
	if stream.ChargeUSD() != "0.5" || stream.RequestID() != "req_1" || stream.Next() {
		t.Errorf("charge %q, id %q", stream.ChargeUSD(), stream.RequestID())
	}
	if body := s.requests()[0].Body; !strings.Contains(body, `"stream":true`) || !strings.Contains(body, `"stream_options":{"include_usage":true}`) {
		t.Errorf("sent %s", body)
	}
}

func TestStreamRawSetsStream(t *testing.T) {
	t.Parallel()
	s := serve(t, answer{header: sse, body: helloChunk + done})
	c, _ := open(t, s, Options{})
	stream, err := c.StreamRaw(t.Context(), []byte(`{"model":"m","x":1.50}`))
	if err != nil {
		t.Fatal(err)
	}
	if text, _, err := read(stream); text != "hel" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
	if body := s.requests()[0].Body; body != `{"model":"m","stream":true,"x":1.50}` {
		t.Errorf("sent %s", body)
	}
}

func TestStreamFailuresAreSeen(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		cut        bool
		text       string
		kind       error
		code       string
	}{
		{name: "an error frame", body: `data: {"error":{"message":"broke","type":"upstream_error","code":"upstream_error"}}` + "\n\n", text: "hel", kind: ErrUpstream, code: "upstream_error"},
		{name: "a flat error frame", body: `data: {"error":"generation_failed","message":"broke"}` + "\n\n", text: "hel", kind: ErrUpstream, code: "generation_failed"},
		{name: "an error frame before DONE", body: `data: {"error":{"message":"broke","type":"server_error"}}` + "\n\n" + done, text: "hel", kind: ErrGateway},
		{name: "an Anthropic error frame", body: "event: error\n" + `data: {"type":"error","error":{"type":"overloaded_error","message":"broke"}}` + "\n\n", text: "hel", kind: ErrUpstream},
		{name: "an error frame without its blank line", body: `data: {"error":{"message":"broke","code":"upstream_error"}}`, text: "hel", kind: ErrUpstream, code: "upstream_error"},
		{name: "an end without DONE", body: loChunk, text: "hello", kind: ErrInterrupted, code: "stream_truncated"},
		{name: "half an event", body: loChunk[:40], text: "hel", kind: ErrInterrupted, code: "stream_truncated"},
		{name: "a broken connection", body: loChunk, cut: true, text: "hello", kind: ErrInterrupted, code: "stream_truncated"},
		{name: "an event that is no JSON", body: "data: oops\n\n" + done, text: "hel", kind: ErrUpstream, code: "unreadable_answer"},
		{name: "an event that is too large", body: "data: " + strings.Repeat("x", 5000) + "\n\n", text: "hel", kind: ErrUpstream, code: "answer_too_large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, answer{header: sse, body: helloChunk + tt.body, cut: tt.cut, trailer: "0"})
			c, pauses := open(t, s, Options{MaxBody: 4096, Fallbacks: []string{"n"}})
			stream, err := c.Stream(t.Context(), ask())
			if err != nil {
				t.Fatal(err)
			}
			text, _, err := read(stream)
			var e *Error
			if text != tt.text || !errors.As(err, &e) || !errors.Is(err, tt.kind) || e.Code != tt.code || !e.Delivered || e.RequestID != "req_1" {
				t.Errorf("read %q and %+v, want %q and kind %v, code %q, delivered", text, err, tt.text, tt.kind, tt.code)
			}
			if strings.Contains(tt.body, "broke") && (e.Message != "broke" || e.Charge != "0") {
				t.Errorf("message %q, charge %q", e.Message, e.Charge)
			}
			if len(s.requests()) != 1 || len(*pauses) != 0 {
				t.Errorf("sent %d requests: content had been delivered", len(s.requests()))
			}
		})
	}
}

func TestStreamIsRetriedBeforeItsFirstEvent(t *testing.T) {
	t.Parallel()
	s := serve(t,
		answer{status: 502},
		answer{header: sse, body: ": ping\n\n" + `data: {"error":{"message":"x","code":"upstream_error"}}` + "\n\n"},
		answer{header: sse, body: ": ping\n\n", cut: true},
		answer{header: sse, body: helloChunk + loChunk + done},
	)
	c, pauses := open(t, s, Options{MaxRetries: 1, Fallbacks: []string{"n"}})
	stream, err := c.Stream(t.Context(), ask())
	if err != nil {
		t.Fatal(err)
	}
	if text, _, err := read(stream); text != "hello" || err != nil || len(*pauses) != 2 {
		t.Errorf("read %q, %v after %d pauses", text, err, len(*pauses))
	}
	var models []string
	for _, r := range s.requests() {
		models = append(models, r.Model)
	}
	if got := strings.Join(models, " "); got != "m m n n" {
		t.Errorf("models tried: %s, want m m n n", got)
	}
}

func TestStreamThatIsNone(t *testing.T) {
	t.Parallel()
	s := serve(t, answer{body: whole})
	c, _ := open(t, s, Options{})
	if _, err := c.Stream(t.Context(), ask()); err == nil || !strings.Contains(err.Error(), "not a stream but application/json") {
		t.Errorf("Stream() = %v", err)
	}
	s = serve(t, answer{body: `{"error":{"message":"x","code":"rate_limit_exceeded"}}`})
	c, _ = open(t, s, Options{MaxRetries: -1})
	if _, err := c.Stream(t.Context(), ask()); !errors.Is(err, ErrRateLimited) {
		t.Errorf("Stream() = %v, want ErrRateLimited", err)
	}
	s = serve(t, answer{header: sse, body: done})
	c, _ = open(t, s, Options{})
	stream, err := c.Stream(t.Context(), ask())
	if err != nil {
		t.Fatal(err)
	}
	if text, _, err := read(stream); text != "" || err != nil {
		t.Errorf("read %q, %v, want nothing and a good end", text, err)
	}
}

func TestStreamEndsWithItsContext(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, helloChunk)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	}))
	defer h.Close()
	c, err := New(Options{BaseURL: h.URL, HTTPClient: h.Client()})
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("the user pressed a key")
	ctx, cancel := context.WithCancelCause(t.Context())
	stream, err := c.Stream(ctx, ask())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if !stream.Next() {
		t.Fatal(stream.Err())
	}
	cancel(why)
	if stream.Next() || !errors.Is(stream.Err(), why) || !errors.Is(stream.Err(), context.Canceled) {
		t.Errorf("Err() = %v, want the cause and context.Canceled", stream.Err())
	}
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the server was not told")
	}
}

func TestFramesDoNotDependOnReads(t *testing.T) {
	t.Parallel()
	const in = "\xef\xbb\xbf: c\r\nevent: x\r\ndata:a\r\ndata: b\r\n\r\n\n\nid: 1\ndata:  c\n\ndata\n\ndata: {}"
	want := []string{"a\nb", " c", "{}"}
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "by byte": iotest.OneByteReader(strings.NewReader(in)), "by half": iotest.HalfReader(strings.NewReader(in))} {
		f := newFrames(r, 1<<20)
		var got []string
		for {
			data, err := f.next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("%s: %v", name, err)
				}
				break
			}
			got = append(got, string(data))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	long := strings.Repeat("x", 100_000)
	f := newFrames(strings.NewReader("data: "+long+"\n\n"), 1<<20)
	if data, err := f.next(); err != nil || string(data) != long {
		t.Errorf("a long line came as %d bytes, %v", len(data), err)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte(helloChunk + done))
	f.Fuzz(func(t *testing.T, in []byte) {
		one, two := newFrames(strings.NewReader(string(in)), 256), newFrames(iotest.OneByteReader(strings.NewReader(string(in))), 256)
		for {
			a, errA := one.next()
			b, errB := two.next()
			if string(a) != string(b) || fmt.Sprint(errA) != fmt.Sprint(errB) {
				t.Fatalf("%q, %v in one read, %q, %v byte by byte", a, errA, b, errB)
			}
			if errA != nil {
				return
			}
		}
	})
}

func FuzzParseError(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"x","code":1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e := parseError(502, http.Header{}, body, time.Time{})
		if e.Kind() == nil || e.Error() == "" {
			t.Fatalf("parseError(%q) = %+v", body, e)
		}
	})
}
