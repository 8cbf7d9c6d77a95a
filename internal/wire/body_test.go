package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/fault"
)

func zip(b []byte) []byte {
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	_, _ = zw.Write(b)
	_ = zw.Close()
	return out.Bytes()
}

// receive serves one request with readBody and returns what came of it.
func receive(t *testing.T, limit int64, timeout time.Duration, send func(addr string)) ([]byte, error) {
	t.Helper()
	type result struct {
		body []byte
		err  error
	}
	got := make(chan result, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e := checkMedia(r.Header, JSON); e != nil {
			got <- result{err: e}
			return
		}
		b, err := readBody(w, r, limit, timeout)
		got <- result{b, err}
	}))
	defer srv.Close()
	send(srv.Listener.Addr().String())
	select {
	case r := <-got:
		return r.body, r.err
	case <-time.After(10 * time.Second):
		t.Fatal("the handler did not come to an end")
		return nil, nil
	}
}

func post(header http.Header, body io.Reader) func(string) {
	return func(addr string) {
		req, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+addr, body)
		for k, v := range header {
			req.Header[k] = v
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
	}
}

func TestBodiesAreReadWithinTheirBounds(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("a"), 1001)
	gz := http.Header{"Content-Encoding": {"gzip"}}
	for _, c := range []struct {
		name   string
		header http.Header
		body   io.Reader
		want   string
		code   fault.Code
	}{
		{"plain", nil, strings.NewReader(`{"a":1}`), `{"a":1}`, 0},
		{"chunked", nil, io.MultiReader(strings.NewReader(`{"a":`), strings.NewReader(`1}`)), `{"a":1}`, 0},
		{"empty", nil, http.NoBody, "", 0},
		{"as large as allowed", nil, bytes.NewReader(big[:1000]), string(big[:1000]), 0},
		{"announced as too large", nil, bytes.NewReader(big), "", fault.BodyTooLarge},
		{"too large without saying so", nil, io.MultiReader(bytes.NewReader(big)), "", fault.BodyTooLarge},
		{"gzip", gz, bytes.NewReader(zip([]byte(`{"a":1}`))), `{"a":1}`, 0},
		{"gzip that unpacks to too much", gz, bytes.NewReader(zip(bytes.Repeat([]byte("a"), 50_000_000))), "", fault.BodyTooLarge},
		{"not gzip", gz, strings.NewReader(`{"a":1}`), "", fault.InvalidRequest},
		{"gzip cut short", gz, bytes.NewReader(zip(big)[:15]), "", fault.InvalidRequest},
		{"another encoding", http.Header{"Content-Encoding": {"br"}}, strings.NewReader("x"), "", fault.UnsupportedMediaType},
		{"json with a charset", http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, strings.NewReader("{}"), "{}", 0},
		{"a json flavour", http.Header{"Content-Type": {"application/vnd.api+json"}}, strings.NewReader("{}"), "{}", 0},
		{"text", http.Header{"Content-Type": {"text/plain"}}, strings.NewReader("{}"), "", fault.UnsupportedMediaType},
		{"json with a charset by its other name", http.Header{"Content-Type": {"application/json; charset=utf8"}}, strings.NewReader("{}"), "{}", 0},
		{"latin", http.Header{"Content-Type": {"application/json; charset=latin1"}}, strings.NewReader("{}"), "", fault.UnsupportedMediaType},
		{"no media type at all", http.Header{"Content-Type": {";;"}}, strings.NewReader("{}"), "", fault.UnsupportedMediaType},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := receive(t, 1000, 5*time.Second, post(c.header, c.body))
			if c.code != 0 {
				if !fault.Is(err, c.code) {
					t.Fatalf("got %d bytes and %v, want %v", len(got), err, c.code)
				}
				return
			}
			if err != nil || string(got) != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestABodyThatDoesNotArriveInTimeIsRefused(t *testing.T) {
	t.Parallel()
	_, err := receive(t, 1000, 50*time.Millisecond, func(addr string) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
	})
	if !fault.Is(err, fault.RequestTimeout) {
		t.Errorf("got %v, want request_timeout", err)
	}
}

func TestACallerWhoseBodyIsLateIsTold(t *testing.T) {
	t.Parallel()
	h := build(t, &fake{}, func(o *Options) { o.BodyTimeout = 50 * time.Millisecond })
	for _, part := range []string{"", `{"a"`} {
		conn, err := net.Dial("tcp", h.srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"+part)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("after %q: %v", part, err)
		}
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 408 || code(string(b)) != "request_timeout" || !resp.Close {
			t.Errorf("after %q: %d %s, close %v", part, resp.StatusCode, b, resp.Close)
		}
		if ev := <-h.events; ev.Status != 408 {
			t.Errorf("after %q: the log says %d", part, ev.Status)
		}
		_ = conn.Close()
	}
}

// Who is refused by the headers is told so, whether or not the body comes; and
// keeps the connection if it does.
func TestNobodyWaitsForABodyThatIsNotWanted(t *testing.T) {
	t.Parallel()
	h := build(t, &fake{enter: func(Visit) error { return fault.New(fault.KeyInvalid, "") }}, nil)
	for _, c := range []struct {
		path, body string
		closes     bool
	}{{"/v1/chat/completions", `{"a"`, true}, {"/v1/nothing", "", true}, {"/v1/chat/completions", `{"a":1234}`, false}} {
		conn, err := net.Dial("tcp", h.srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		in := bufio.NewReader(conn)
		for range 2 {
			_, _ = io.WriteString(conn, "POST "+c.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"+c.body)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("after %q: %v", c.body, err)
			}
			b, _ := io.ReadAll(resp.Body)
			if resp.StatusCode/100 != 4 || !json.Valid(b) || resp.Close != c.closes {
				t.Errorf("after %q: %d %s, close %v", c.body, resp.StatusCode, b, resp.Close)
			}
			<-h.events
			if c.closes {
				break
			}
		}
		_ = conn.Close()
	}
}

func TestABodyThatBreaksOffIsAnInvalidRequest(t *testing.T) {
	t.Parallel()
	_, err := receive(t, 1000, 5*time.Second, func(addr string) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
		_ = conn.Close()
	})
	if !fault.Is(err, fault.InvalidRequest) {
		t.Errorf("got %v, want invalid_request", err)
	}
}

func TestCredentialsAreTakenAsTheyWereSent(t *testing.T) {
	t.Parallel()
	both := []string{"Authorization", "X-Api-Key"}
	for _, c := range []struct {
		h    http.Header
		want string
	}{
		{http.Header{"Authorization": {"Bearer k"}}, "k"},
		{http.Header{"Authorization": {"bearer  k "}}, " k "},
		{http.Header{"Authorization": {"k"}}, "k"},
		{http.Header{"Authorization": {"Basic k"}}, ""},
		{http.Header{"Authorization": {"Bearer"}}, ""},
		{http.Header{"X-Api-Key": {"k"}}, "k"},
		{http.Header{"X-Api-Key": {"x"}, "Authorization": {"Bearer k"}}, "k"},
		{http.Header{}, ""},
	} {
		if got := credential(&http.Request{Header: c.h}, both, false); got != c.want {
			t.Errorf("credential(%v) = %q, want %q", c.h, got, c.want)
		}
	}
	if got := credential(&http.Request{Header: http.Header{"X-Api-Key": {"k"}}}, both[:1], false); got != "" {
		t.Errorf("a header that the contract does not take gave %q", got)
	}
	for value, want := range map[string]string{"k": "", "Token k": "", "Bearer k": "k", "bearer k": "k", "Bearer": ""} {
		if got := credential(&http.Request{Header: http.Header{"Authorization": {value}}}, both, true); got != want {
			t.Errorf("where the scheme is required %q gave %q, want %q", value, got, want)
		}
	}
}

// A content type that is refused is told which are not.
func TestContentTypesAreToldApart(t *testing.T) {
	t.Parallel()
	const form = "multipart/form-data; boundary=b"
	for _, c := range []struct {
		want Body
		sent string
		told string
	}{
		{JSON, "", ""},
		{JSON, "application/json", ""},
		{JSON, "APPLICATION/JSON; charset=utf-8", ""},
		{JSON, form, "Content-Type must be application/json."},
		{Form, form, ""},
		{Form, "Multipart/Form-Data; boundary=b", ""},
		{Form, "", "Content-Type must be multipart/form-data."},
		{Form, "application/json", "Content-Type must be multipart/form-data."},
		{Form, "multipart/form-data", "Content-Type must name the boundary of the form."},
		{Form, "multipart/form-data; ;", "Content-Type must be multipart/form-data."},
		{Either, "", ""},
		{Either, form, ""},
		{Either, "application/json", ""},
		{Either, "multipart/form-data", "Content-Type must name the boundary of the form."},
		{Either, "text/plain", "Content-Type must be application/json or multipart/form-data."},
		{Either, "application/json; charset=latin1", "The charset must be utf-8."},
	} {
		e := checkMedia(http.Header{"Content-Type": {c.sent}}, c.want)
		told := ""
		if e != nil {
			told = e.Message
		}
		if told != c.told || e != nil && (e.Code != fault.UnsupportedMediaType || e.Param != "Content-Type") {
			t.Errorf("%d, %q: %v, want %q", c.want, c.sent, e, c.told)
		}
	}
}
