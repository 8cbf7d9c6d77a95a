package wire

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// lateConn is a connection whose client sends nothing until its deadline has
// almost come: it passes behind the first bytes, unless another was set.
type lateConn struct {
	net.Conn
	mu      sync.Mutex
	begun   bool
	renewed bool
}

func (c *lateConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	begun, renewed := c.begun, c.renewed
	c.mu.Unlock()
	if begun && !renewed {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.begun = c.begun || n > 0
	c.mu.Unlock()
	return n, err
}

func (c *lateConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.renewed = c.begun
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(t)
}

type lateListener struct{ net.Listener }

func (l lateListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lateConn{Conn: c}, nil
}

// Where a process speaks HTTP/2 as well, net/http reads a few bytes of a
// connection first, and the rest when it knows which it is.
func TestWhoSendsLateIsAnsweredAll(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		ConnContext:       ConnContext,
		ReadHeaderTimeout: HeadTimeout,
		Protocols:         new(http.Protocols),
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }),
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = srv.Serve(Bounded(lateListener{l}, "")) }()
	t.Cleanup(func() { _ = srv.Close() })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	path := "/" + strings.Repeat("x", 100)
	for range 2 {
		_, _ = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(b) != path {
			t.Fatalf("%s %q", resp.Status, b)
		}
	}
}
