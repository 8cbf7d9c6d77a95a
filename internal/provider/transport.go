package provider

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Bounds of what a provider may make us hold.
const (
	// MaxWhole is the longest answer that is not streamed, in bytes.
	MaxWhole = 64 << 20
	// MaxFrame is the longest event of a stream, in bytes. Images come as one
	// line of several megabytes.
	MaxFrame = 64 << 20
	// maxErrorBody is how much of an error's body is read.
	maxErrorBody = 64 << 10
	// maxHeader is how many bytes of response headers are accepted.
	maxHeader = 256 << 10
)

// NewTransport returns a transport for providers: one is shared by all of them.
// A connection must be up (DNS and TCP, then TLS) within connect. It keeps many
// idle connections per host, answers are passed through as they are compressed
// (none is asked for), and HTTP/2 connections that died are found by pings.
// There is no timeout on the answer: [Timeouts] are enforced by [Post].
func NewTransport(connect time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: connect, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if tcp, ok := c.(*net.TCPConn); ok {
				return conn{tcp}, err
			}
			return c, err
		},
		TLSHandshakeTimeout:    connect,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           4096,
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: 15 * time.Second,
			PingTimeout:     15 * time.Second,
		},
	}
}
