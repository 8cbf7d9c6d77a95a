package egress

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// connect connects to an address that was judged: itself, or by asking the operator's
// proxy for a tunnel to just that address, which the proxy has nothing to resolve of.
func (c *Client) connect(ctx context.Context, dialer *net.Dialer, address string) (net.Conn, error) {
	if c.o.Proxy == nil {
		return dialer.DialContext(ctx, "tcp", address)
	}
	if err := dialer.Control("", address, nil); err != nil {
		return nil, err
	}
	port := c.o.Proxy.Port()
	if port == "" {
		port = "80"
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(c.o.Proxy.Hostname(), port))
	if err != nil {
		return nil, err
	}
	through, err := tunnel(ctx, conn, c.o.Proxy, address)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return through, nil
}

// tunnel asks the proxy at the other end of conn for a tunnel.
func tunnel(ctx context.Context, conn net.Conn, proxy *url.URL, address string) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Host: address}, Host: address, Header: http.Header{"User-Agent": {"pontage-fetch"}}}
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReader(io.LimitReader(conn, maxHeader))
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the proxy answered %d", resp.StatusCode)
	case r.Buffered() > 0: // neither TLS nor HTTP has a server that speaks first
		return nil, errors.New("the proxy has said more than that there is a tunnel")
	case !stop():
		return nil, ctx.Err()
	}
	return conn, nil
}
