// Package client calls a Pontage gateway, or any other service with an
// OpenAI-shaped API.
//
// It retries what can be helped by waiting, as the server says with
// x-should-retry, Retry-After and retry-after-ms; it falls back to other models
// when one fails; and every failure is an [*Error] that says what went wrong,
// what was charged, and what to do. It needs the standard library only.
package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Defaults of [Options].
const (
	DefaultBaseURL    = "http://127.0.0.1:8080/v1"
	DefaultMaxRetries = 2
	DefaultMaxWait    = 60 * time.Second
	DefaultMaxBody    = 64 << 20
)

// Options say whom to call and how patiently. The zero value calls a gateway on
// this machine, without a key.
type Options struct {
	// BaseURL is where the API stands, such as "https://gateway.example/v1".
	// A URL without a path gets "/v1". Empty means [DefaultBaseURL].
	BaseURL string

	// APIKey is sent as a bearer token; empty sends none.
	APIKey string

	// HTTPClient sends the requests; nil means one with the default transport
	// and no timeout: use the context.
	HTTPClient *http.Client

	// MaxRetries is how often one request is repeated for each model, after the
	// first time. 0 means [DefaultMaxRetries]; a negative number means never.
	MaxRetries int

	// MaxWait is the longest time to wait between two tries. A server that asks
	// for more is not waited for: its error is returned. 0 means
	// [DefaultMaxWait].
	MaxWait time.Duration

	// Fallbacks are models that are tried, in order and each with its own
	// retries, when the model of the request has failed in a way that another
	// model may not. At most 16 are used.
	Fallbacks []string

	// Header is added to every request.
	Header http.Header

	// MaxBody bounds a whole answer and one event of a stream, in bytes. 0
	// means [DefaultMaxBody].
	MaxBody int64
}

const (
	maxFallbacks = 16
	maxErrorBody = 1 << 20
)

// Client calls one API with one key. It is used by many goroutines at once.
type Client struct {
	base    *url.URL
	options Options
	retries int
	sleep   func(context.Context, time.Duration) error
	random  func() float64
	now     func() time.Time
}

// New returns a Client. It reports an error for a base URL that is none.
func New(o Options) (*Client, error) {
	if o.BaseURL == "" {
		o.BaseURL = DefaultBaseURL
	}
	base, err := url.Parse(o.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("base URL: %w", errors.Unwrap(err))
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, errors.New("base URL: want http:// or https:// and a host")
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("base URL: must not have a user, a query or a fragment")
	}
	if strings.Trim(base.Path, "/") == "" {
		base.Path = "/v1"
	}
	if strings.ContainsFunc(o.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("API key: has a space or a character that no key has")
	}
	if o.HTTPClient == nil {
		o.HTTPClient = &http.Client{}
	}
	if o.MaxWait <= 0 {
		o.MaxWait = DefaultMaxWait
	}
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	c := &Client{base: base, options: o, retries: max(o.MaxRetries, 0), sleep: sleep, random: rand.Float64, now: time.Now}
	if o.MaxRetries == 0 {
		c.retries = DefaultMaxRetries
	}
	c.options.Fallbacks = o.Fallbacks[:min(len(o.Fallbacks), maxFallbacks)]
	return c, nil
}

// Response is an answer of success, as it came.
type Response struct {
	Status    int
	Header    http.Header
	Body      []byte
	RequestID string
	ChargeUSD string // what the answer cost, in dollars; empty: not told
}

// call is one request, whatever the model and however often.
type call struct {
	method, path string
	model        string                             // empty: the request names none, so there is no fallback
	body         func(model string) ([]byte, error) // nil: none
	header       http.Header
	accept       func(*http.Response) error // takes the answer; it closes the body
}

// do makes the call until it is answered, as the options allow. If several
// models failed, the error wraps the failures of all, that of the first model
// first.
func (c *Client) do(ctx context.Context, k call) error {
	err := c.withRetries(ctx, k, 0)
	if k.model == "" || len(c.options.Fallbacks) == 0 {
		return err
	}
	var failures []error
	for i := 0; err != nil; i++ {
		failures = append(failures, fmt.Errorf("model %s: %w", k.model, err))
		if i == len(c.options.Fallbacks) || !fallsBack(err) || ctx.Err() != nil {
			return errors.Join(failures...)
		}
		k.model = c.options.Fallbacks[i]
		err = c.withRetries(ctx, k, i+1)
	}
	return nil
}

// withRetries makes the call for one model: the n-th of the chain.
func (c *Client) withRetries(ctx context.Context, k call, n int) error {
	var body []byte
	if k.body != nil {
		var err error
		if body, err = k.body(k.model); err != nil {
			return err
		}
	}
	for try := 0; ; try++ {
		err := c.once(ctx, k, body, n)
		if err == nil || ctx.Err() != nil || try >= c.retries {
			return err
		}
		wait, ok := c.waitFor(err, try)
		if !ok {
			return err
		}
		if deadline, ok := ctx.Deadline(); ok && deadline.Sub(c.now()) <= wait {
			return err // no use in waiting for what cannot come any more
		}
		if c.sleep(ctx, wait) != nil {
			return err
		}
	}
}

// once makes the call a single time.
func (c *Client) once(ctx context.Context, k call, body []byte, n int) error {
	req, err := c.request(ctx, k, body, n)
	if err != nil {
		return err
	}
	resp, err := c.options.HTTPClient.Do(req)
	if err != nil {
		return c.connectionError(ctx, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close()
		raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what came of it is all there is
		return parseError(resp.StatusCode, resp.Header, raw, c.now())
	}
	return k.accept(resp)
}

func (c *Client) request(ctx context.Context, k call, body []byte, n int) (*http.Request, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	path, query, _ := strings.Cut(k.path, "?")
	u := c.base.JoinPath(path)
	u.RawQuery = query
	req, err := http.NewRequestWithContext(ctx, k.method, u.String(), reader)
	if err != nil {
		return nil, err
	}
	for _, h := range []http.Header{c.options.Header, k.header} {
		for name, values := range h {
			req.Header[name] = values
		}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.options.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+c.options.APIKey)
	}
	if key := req.Header.Get("Idempotency-Key"); key != "" && n > 0 {
		// Another model is another request: the same key would be refused.
		req.Header.Set("Idempotency-Key", key+"-"+strconv.Itoa(n))
	}
	return req, nil
}

// whole is an accept that reads the whole answer into to.
func (c *Client) whole(ctx context.Context, to *Response) func(*http.Response) error {
	return func(resp *http.Response) error {
		defer resp.Body.Close()
		raw, err := io.ReadAll(io.LimitReader(resp.Body, c.options.MaxBody+1))
		if err != nil {
			return c.brokenAnswer(ctx, resp, err)
		}
		if int64(len(raw)) > c.options.MaxBody {
			return &Error{
				Status: resp.StatusCode, Code: "answer_too_large", Message: fmt.Sprintf("the answer is larger than %d bytes", c.options.MaxBody),
				RequestID: requestID(resp.Header), Charge: resp.Header.Get("X-Charge-USD"), Delivered: true, kind: ErrUpstream,
			}
		}
		if e := inBand(raw); e != nil { // a 200 with an error inside
			e.Status, e.RequestID = resp.StatusCode, requestID(resp.Header)
			e.Charge = resp.Header.Get("X-Charge-USD")
			return e
		}
		*to = Response{Status: resp.StatusCode, Header: resp.Header, Body: raw, RequestID: requestID(resp.Header), ChargeUSD: resp.Header.Get("X-Charge-USD")}
		return nil
	}
}

// brokenAnswer makes an Error of a whole answer that broke off. It was charged
// before it was sent, so asking again is safe only with an idempotency key.
func (c *Client) brokenAnswer(ctx context.Context, resp *http.Response, cause error) error {
	err := c.connectionError(ctx, cause)
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	e.RequestID, e.Charge = requestID(resp.Header), resp.Header.Get("X-Charge-USD")
	e.Delivered = resp.Request.Method == http.MethodPost && resp.Request.Header.Get("Idempotency-Key") == ""
	return e
}

// Do sends one request with retries and returns the answer as it came. path is
// below the base URL and escaped, and may have a query; body is JSON, or nil for
// none.
func (c *Client) Do(ctx context.Context, method, path string, body []byte) (*Response, error) {
	var r Response
	k := call{method: method, path: path, accept: c.whole(ctx, &r)}
	if body != nil {
		k.body = func(string) ([]byte, error) { return body, nil }
	}
	if err := c.do(ctx, k); err != nil {
		return nil, err
	}
	return &r, nil
}

// Open sends one request without a body, with retries, and returns the answer
// for its body to be read. The caller closes it. An answer other than 2xx is an
// [*Error].
func (c *Client) Open(ctx context.Context, method, path string) (*http.Response, error) {
	var r *http.Response
	err := c.do(ctx, call{method: method, path: path, accept: func(resp *http.Response) error {
		r = resp
		return nil
	}})
	return r, err
}

// CloseIdleConnections closes the connections that wait for a next request.
func (c *Client) CloseIdleConnections() { c.options.HTTPClient.CloseIdleConnections() }

func requestID(h http.Header) string {
	if id := h.Get("X-Request-Id"); id != "" {
		return id
	}
	return h.Get("Request-Id")
}

// sleep waits for d or for the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
