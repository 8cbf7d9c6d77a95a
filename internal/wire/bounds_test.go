package wire

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/obs"
)

func TestTwoBoundsAreSeenHoweverTheBytesArrive(t *testing.T) {
	t.Parallel()
	const (
		get     = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
		hidden  = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" // 71 bytes
		sized   = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 72\r\n\r\n" + hidden + "\n"
		chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n47;x=y\r\n" + hidden + "\r\n0\r\nX-Trailer: x\r\n\r\n"
	)
	for _, c := range []struct {
		name, text string
		two        bool
	}{
		{"neither", get + get, false},
		{"within a body", sized + get, false},
		{"within a chunk", chunked + get, false},
		{"both", hidden, true},
		{"both, the other way round", "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nX: y\r\ncontent-length: 3\r\n\r\n", true},
		{"behind others", get + sized + chunked + get + hidden, true},
		{"lines that end with LF alone", "POST / HTTP/1.1\nContent-Length: 3\nTransfer-Encoding: chunked\n\n", true},
		{"blank lines before", "\r\n\r\n" + hidden, true},
		{"a long line before", "POST /" + strings.Repeat("x", 200) + " HTTP/1.1\r\nX: " + strings.Repeat("Content-Length", 20) + "\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", true},
		{"one each in two requests", "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + get, false},
		{"in a trailer", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n" + get, false},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden, false},
		{"a length that is none", "POST / HTTP/1.1\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n" + hidden, false},
		{"a chunk that is none", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + hidden, false},
	} {
		for size := 1; size <= len(c.text); size++ {
			var h heads
			two := false
			for rest := []byte(c.text); len(rest) > 0; {
				n := min(size, len(rest))
				two = h.feed(rest[:n]) || two
				rest = rest[n:]
			}
			if two != c.two {
				t.Errorf("%s, in pieces of %d: %v, want %v", c.name, size, two, c.two)
				break
			}
		}
	}
}

func TestSpaceAroundAKeyIsSeenHoweverTheBytesArrive(t *testing.T) {
	t.Parallel()
	post := func(line string) string {
		return "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n" + line + "\r\n\r\nAuthorization: Bearer  k \r\n\r\n\r\n"
	}
	for _, c := range []struct{ text, want string }{
		{post("Authorization: Bearer k"), ""},
		{post("Authorization:Bearer k"), ""},
		{post("authorization: Bearer k\t"), "Bearer k\t"},
		{post("AUTHORIZATION:Bearer k "), "Bearer k "},
		{post("Authorization:  Bearer k"), " Bearer k"},
		{post("Authorization: Bearer  k"), ""}, // which net/http leaves as it is
		{post("X-Api-Key: \tk"), "\tk"},
		{post("X-Api-Key: k \t"), "k \t"},
		{post("X-Api-Key: k \r\nAuthorization: Bearer x"), "k "},
		{post("X-Other: k "), ""},
		{post("X-Api-Key: k ") + post("X-Api-Key: k"), ""},
		{post("X-Api-Key: k") + post("X-Api-Key: k "), "k "},
		{post("Authorization: Bearer\r\n k"), folded},
		{post("X-Api-Key: k\r\n\t"), folded},
		{post("X-Api-Key: k\r\nX-Other: y\r\n z"), ""},
		{post("Authorization: Bearer " + strings.Repeat("k", 300) + " "), ""}, // no key is that long
	} {
		for size := 1; size <= len(c.text); size++ {
			var h heads
			for rest := []byte(c.text); len(rest) > 0; {
				n := min(size, len(rest))
				h.feed(rest[:n])
				rest = rest[n:]
			}
			if h.spaced != c.want {
				t.Errorf("%q, in pieces of %d: %q, want %q", c.text, size, h.spaced, c.want)
				break
			}
		}
	}
}

func TestAKeyComesWithTheSpaceAroundIt(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		ConnContext: ConnContext,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "%q", credential(r, []string{"Authorization", "X-Api-Key"}, false))
		}),
	}
	go func() { _ = srv.Serve(Bounded(l, "")) }()
	t.Cleanup(func() { _ = srv.Close() })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for _, c := range []struct{ line, want string }{
		{"Authorization: Bearer k", `"k"`},
		{"Authorization: Bearer k\t", `"k\t"`},
		{"Authorization: Bearer  k ", `" k "`},
		{"Authorization: Bearer k", `"k"`},
		{"Authorization: k ", `"k "`},
		{"Authorization: Bearer ", `""`},
		{"X-Api-Key:  k", `" k"`},
		{"X-Api-Key: k", `"k"`},
		{"Authorization: Bearer\r\n k", `"k\n"`},
		{"X-Api-Key: k", `"k"`},
	} {
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n"+c.line+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(got) != c.want {
			t.Errorf("%q: %s, %v, want %s", c.line, got, err, c.want)
		}
	}
}

func TestWatchingHeadsAllocatesNothing(t *testing.T) {
	text := []byte("POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.example\r\nAuthorization: Bearer sk-pontage-" + strings.Repeat("x", 60) + "\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000))
	var h heads
	if n := testing.AllocsPerRun(100, func() { h.feed(text) }); n > 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func TestARequestWithTwoBoundsIsRefusedAndEndsItsConnection(t *testing.T) {
	t.Parallel()
	s := NewServer(Options{Done: func(*obs.Event) {}}, NewSites(nil))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		ConnContext: ConnContext,
		Handler: s.RefuseTwoBounds(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%d", len(b))
		})),
	}
	go func() { _ = srv.Serve(Bounded(l, "")) }()
	t.Cleanup(func() { _ = srv.Close() })
	const fair = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
	const foul = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, fair+foul+fair); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for i, want := range []int{http.StatusOK, http.StatusNotFound} { // 404: there is no site here
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want || resp.Close != (i == 1) {
			t.Errorf("answer %d: %d, closed %v", i, resp.StatusCode, resp.Close)
		}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("behind the refusal comes %v, want the end", err)
	}
}
