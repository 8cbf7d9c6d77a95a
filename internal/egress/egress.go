// Package egress fetches what callers name by a URL and a provider takes only in
// bytes: images and documents. It is the one client that connects to where a
// caller says.
//
// It reaches public addresses of the Internet and no others, whatever a name
// resolves to, and whenever: a name is resolved once, and the connection is made
// to the address that was judged. No proxy of the environment is asked, since it
// would resolve names again; one that the operator names is told the address.
package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// Defaults of [Options].
const (
	DefaultMaxBytes    = 10 << 20
	DefaultMaxTotal    = 30 << 20
	DefaultMaxFiles    = 16
	DefaultTimeout     = 10 * time.Second
	DefaultDeadline    = 30 * time.Second
	DefaultConcurrency = 32
	DefaultAtOnce      = 4
)

// Bounds that are not configured.
const (
	maxURL       = 8 << 10 // bytes of a URL
	maxRedirects = 3       // at one host
	maxAddresses = 3       // of a host that are tried
	maxHeader    = 32 << 10
)

// Options configure a [Client]. Zero values mean the defaults.
type Options struct {
	Hosts       []string      // that may be reached, by name; *.example.com is every name below; none: every public one
	HTTP        bool          // http is taken beside https
	MaxBytes    int64         // of one file
	MaxTotal    int64         // of all files of one request
	MaxFiles    int           // of one request
	Timeout     time.Duration // of one file
	Deadline    time.Duration // of all files of one request; 0: DefaultDeadline, or Timeout if that is more
	Concurrency int           // files at once, of all requests
	AtOnce      int           // files at once, of one request
	Proxy       *url.URL      // http, through which every connection is made; nil: none
}

// Resolver finds addresses of names, as net.Resolver does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Client fetches files. It is used by many goroutines at once, keeps no
// connections, and needs no closing.
type Client struct {
	o        Options
	resolver Resolver
	slots    chan struct{}

	// What tests change, to have servers of their own.
	public func(netip.Addr) bool
	ports  map[string]string // by scheme
	tls    *tls.Config
}

// New returns a Client.
func New(o Options) *Client {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxTotal <= 0 {
		o.MaxTotal = DefaultMaxTotal
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = DefaultMaxFiles
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Deadline <= 0 {
		o.Deadline = max(DefaultDeadline, o.Timeout)
	}
	if o.Concurrency <= 0 {
		o.Concurrency = DefaultConcurrency
	}
	if o.AtOnce <= 0 {
		o.AtOnce = DefaultAtOnce
	}
	return &Client{
		o: o, resolver: net.DefaultResolver, slots: make(chan struct{}, o.Concurrency),
		public: Public, ports: map[string]string{"https": "443", "http": "80"}, tls: &tls.Config{MinVersion: tls.VersionTLS12},
	}
}

// takes are the types of files that a part may be.
var takes = map[llm.PartKind]map[string]bool{
	llm.PartImage: {"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true},
	llm.PartFile:  {"application/pdf": true},
}

// refusal is an error that the caller may read.
type refusal string

// Error returns the sentence without its subject.
func (r refusal) Error() string { return string(r) }

// told makes a fault of what went wrong. What is not the caller's to know is only
// its cause.
func told(ctx context.Context, err error, at string) error {
	if cause := ctx.Err(); cause != nil {
		return fault.Wrap(fault.UpstreamFailed, cause)
	}
	words := "cannot be fetched from its address"
	var r refusal
	if errors.As(err, &r) {
		words = string(r)
	}
	f := fault.New(fault.InvalidParameter, "The file at this URL %s.", words).At(at)
	f.Cause = err
	return f
}

// fetch returns the bytes of a file and their type, as they themselves show it.
// take takes bytes from those that all files of the request may have together.
func (c *Client) fetch(ctx context.Context, address string, take func(n int) error) ([]byte, string, error) {
	u, err := c.check(address)
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, "", fmt.Errorf("waiting for %d others: %w", c.o.Concurrency, ctx.Err())
	}
	at, err := c.resolve(ctx, u.Hostname())
	if err != nil {
		return nil, "", err
	}
	tr := c.transport(at)
	defer tr.CloseIdleConnections()
	for range maxRedirects + 1 {
		resp, err := tr.RoundTrip(request(ctx, u))
		if err != nil {
			return nil, "", err
		}
		data, next, err := read(resp, c.o.MaxBytes, take)
		if err != nil {
			return nil, "", err
		}
		if next == "" {
			return data, http.DetectContentType(data), nil
		}
		if u, err = c.follow(u, next); err != nil {
			return nil, "", err
		}
	}
	return nil, "", refusal("redirects too often")
}

// check returns the address if it is one that may be reached.
func (c *Client) check(address string) (*url.URL, error) {
	if len(address) > maxURL {
		return nil, refusal("has too long an address")
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, refusal("has no address that can be read")
	case u.Scheme != "https" && !(c.o.HTTP && u.Scheme == "http"):
		return nil, refusal("is not fetched by " + scheme(u.Scheme) + "; use https")
	case u.User != nil:
		return nil, refusal("has an address with credentials")
	case u.Port() != "" && u.Port() != c.ports[u.Scheme]:
		return nil, refusal("is at a port that is not reached")
	case !c.allows(u.Hostname()):
		return nil, refusal("is at a host that is not reached")
	}
	u.Host = net.JoinHostPort(u.Hostname(), c.ports[u.Scheme])
	u.Fragment = ""
	return u, nil
}

// scheme returns a scheme as it can be shown.
func scheme(s string) string {
	if s == "" || len(s) > 16 {
		return "such an address"
	}
	return s
}

// allows reports whether a host may be reached by its name.
func (c *Client) allows(host string) bool {
	if len(c.o.Hosts) == 0 {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.ContainsFunc(c.o.Hosts, func(h string) bool {
		h = strings.ToLower(h)
		if below, ok := strings.CutPrefix(h, "*"); ok {
			return strings.HasSuffix(host, below) && len(host) > len(below)
		}
		return host == h
	})
}

// follow returns where a redirect leads, which must be at the same host.
func (c *Client) follow(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	if err != nil {
		return nil, refusal("redirects to no address that can be read")
	}
	next, err := c.check(to.String())
	if err != nil {
		return nil, err
	}
	if next.Scheme != from.Scheme || !strings.EqualFold(next.Host, from.Host) {
		return nil, refusal("redirects to another host")
	}
	return next, nil
}

// resolve returns the public addresses of a host.
func (c *Client) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	list := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		list = append(list, a)
	} else if list, err = c.resolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return !c.public(a) })
	if len(list) == 0 {
		return nil, errors.New("the host has no public address")
	}
	return list[:min(len(list), maxAddresses)], nil
}

// transport returns one that connects to these addresses and no others, whatever
// it is asked for. It sends nothing but what the request says.
func (c *Client) transport(at []netip.Addr) *http.Transport {
	dialer := &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil || !c.public(a.Addr()) {
			return errors.New("the address is not public")
		}
		return nil
	}}
	return &http.Transport{
		Proxy: nil, // it would resolve names again
		DialContext: func(ctx context.Context, _, asked string) (conn net.Conn, err error) {
			_, port, err := net.SplitHostPort(asked)
			if err != nil {
				return nil, err
			}
			for _, a := range at {
				if conn, err = c.connect(ctx, dialer, net.JoinHostPort(a.String(), port)); err == nil {
					return conn, nil
				}
			}
			return nil, err
		},
		TLSClientConfig:        c.tls.Clone(),
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		MaxConnsPerHost:        1,
	}
}

// request returns the whole request: without credentials, cookies, or a word of
// who asks.
func request(ctx context.Context, u *url.URL) *http.Request {
	req := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{
		"User-Agent": {"pontage-fetch"}, "Accept": {"image/*, application/pdf"}, "Accept-Encoding": {"identity"},
	}}
	if u.Port() == "443" && u.Scheme == "https" || u.Port() == "80" && u.Scheme == "http" {
		req.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	return req.WithContext(ctx)
}

// read returns the body of an answer, or where it redirects to, and closes it.
func read(resp *http.Response, limit int64, take func(n int) error) (data []byte, next string, err error) {
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode <= 399 && resp.Header.Get("Location") != "":
		return nil, resp.Header.Get("Location"), nil
	case resp.StatusCode != http.StatusOK:
		return nil, "", refusal(fmt.Sprintf("is answered with status %d", resp.StatusCode))
	case resp.Header.Get("Content-Encoding") != "" && !strings.EqualFold(resp.Header.Get("Content-Encoding"), "identity"):
		return nil, "", refusal("is sent compressed")
	case resp.ContentLength > limit:
		return nil, "", refusal(fmt.Sprintf("is longer than the %d bytes that it may have", limit))
	}
	data, err = io.ReadAll(io.LimitReader(taking{resp.Body, take}, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, "", refusal(fmt.Sprintf("is longer than the %d bytes that it may have", limit))
	}
	return data, "", err
}

// taking is a body whose bytes are taken from those of all files.
type taking struct {
	body io.Reader
	take func(n int) error
}

func (t taking) Read(b []byte) (int, error) {
	n, err := t.body.Read(b)
	if e := t.take(n); e != nil {
		return n, e
	}
	return n, err
}
