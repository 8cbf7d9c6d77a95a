//go:build unix

package provider

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"syscall"
	"testing"
	"time"
)

// A provider is told that nothing is to be compressed: by saying nothing one
// welcomes every coding, and compressed events come late.
func TestNothingIsToBeCompressed(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Accept-Encoding"))
	}))
	defer srv.Close()
	tr := NewTransport(time.Second)
	defer tr.CloseIdleConnections()
	o := outgoing(limits, true)
	o.URL, _ = url.Parse(srv.URL)
	x, err := Post(t.Context(), tr, o)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := x.ReadAll(100); string(got) != "identity" {
		t.Errorf("Accept-Encoding: %q, %v", got, err)
	}
}

// Connections that died are found, of both versions, and small writes leave at
// once: TCP_NODELAY is set unless somebody takes it away.
func TestConnectionsAreWatched(t *testing.T) {
	t.Parallel()
	tr := NewTransport(time.Second)
	if h := tr.HTTP2; h == nil || h.SendPingTimeout <= 0 || h.PingTimeout <= 0 || !tr.ForceAttemptHTTP2 {
		t.Errorf("HTTP/2: %+v", h)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := tr.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if on := option(t, c.(conn).TCPConn); !on["TCP_NODELAY"] || !on["SO_KEEPALIVE"] {
		t.Errorf("options of a connection: %v", on)
	}
}

// option reads the options of a connection that bear on streams.
func option(t *testing.T, c *net.TCPConn) map[string]bool {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	on := map[string]bool{}
	err = raw.Control(func(fd uintptr) {
		for name, o := range map[string][2]int{
			"TCP_NODELAY": {syscall.IPPROTO_TCP, syscall.TCP_NODELAY}, "SO_KEEPALIVE": {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE},
		} {
			v, err := syscall.GetsockoptInt(int(fd), o[0], o[1])
			if err != nil {
				t.Error(err)
			}
			on[name] = v != 0
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return on
}
