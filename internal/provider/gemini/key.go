package gemini

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
)

// scope is what an access token is for.
const scope = "https://www.googleapis.com/auth/cloud-platform"

// defaultTokenURL is where Google exchanges assertions for access tokens.
const defaultTokenURL = "https://oauth2.googleapis.com/token" //nolint:gosec // an address

const (
	// maxFetch bounds one exchange.
	maxFetch = 10 * time.Second
	// renewal is how long before its end a token is renewed, while it is still
	// used.
	renewal = 5 * time.Minute
	// leeway is how long before its end a token is used no more.
	leeway = 10 * time.Second
	// lifetime is how long a token lives whose server does not say.
	lifetime = 10 * time.Minute
)

// Key is the key of a service account, with the access token that it was
// exchanged for. It is used by many goroutines at once, and nothing of it is ever
// printed.
type Key struct {
	config jwt.Config
	client *http.Client
	now    func() time.Time

	mu     sync.Mutex
	token  string
	ends   time.Time
	flight *flight // the exchange under way
}

// flight is one exchange, which all wait for who need its token.
type flight struct {
	done chan struct{}
	err  error
}

// ParseKey reads the JSON key of a service account, as Google hands it out. Its
// errors name the member that is wrong and show nothing of the key.
func ParseKey(text []byte) (*Key, error) {
	var k struct {
		Type         string `json:"type"`
		Email        string `json:"client_email"`
		PrivateKey   string `json:"private_key"`
		PrivateKeyID string `json:"private_key_id"`
		TokenURL     string `json:"token_uri"`
	}
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, errors.New("is no JSON key of a service account")
	}
	if k.TokenURL == "" {
		k.TokenURL = defaultTokenURL
	}
	switch {
	case k.Type != "service_account":
		return nil, errors.New("type is not service_account")
	case k.Email == "":
		return nil, errors.New("client_email is missing")
	case !legalKey(k.PrivateKey):
		return nil, errors.New("private_key is no RSA key in PEM")
	case !legalTokenURL(k.TokenURL):
		return nil, errors.New("token_uri is no https URL")
	}
	return &Key{
		config: jwt.Config{
			Email: k.Email, PrivateKey: []byte(k.PrivateKey), PrivateKeyID: k.PrivateKeyID,
			Scopes: []string{scope}, TokenURL: k.TokenURL,
		},
		now: time.Now,
	}, nil
}

func legalKey(s string) bool {
	block, _ := pem.Decode([]byte(s))
	if block == nil {
		return false
	}
	if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return true
	}
	_, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	return err == nil
}

// legalTokenURL reports whether an assertion may go there: nowhere in the clear,
// but within this machine.
func legalTokenURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && net.ParseIP(u.Hostname()).IsLoopback()
}

// Transport returns a transport that sends requests over base with an access
// token. A token is shared by all requests, renewed before it ends, and once more
// if the server refuses it: such a request is repeated once. What the token
// server itself refuses is answered as the server would, with 401. It is called
// once for a key.
func (k *Key) Transport(base http.RoundTripper) http.RoundTripper {
	k.client = &http.Client{
		Transport: base, Timeout: maxFetch,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return authorized{key: k, base: base}
}

// get returns an access token that is not refused. Without one it waits for the
// exchange, which goes on if ctx ends: others may need its token.
func (k *Key) get(ctx context.Context, refused string) (string, error) {
	k.mu.Lock()
	if k.token == refused {
		k.token = ""
	}
	token, left := k.token, k.ends.Sub(k.now())
	if token != "" && left > renewal {
		k.mu.Unlock()
		return token, nil
	}
	f := k.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		k.flight = f
		go k.fetch(f)
	}
	k.mu.Unlock()
	if token != "" && left > leeway {
		return token, nil
	}
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-f.done:
	}
	if f.err != nil {
		return "", f.err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.token, nil
}

// fetch exchanges a signed assertion for an access token.
func (k *Key) fetch(f *flight) {
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, k.client)
	t, err := k.config.TokenSource(ctx).Token()
	if err == nil && t.AccessToken == "" {
		err = errors.New("the token server gave no token")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flight = nil
	if f.err = err; err == nil {
		k.token, k.ends = t.AccessToken, t.Expiry
		if t.Expiry.IsZero() {
			k.ends = k.now().Add(lifetime)
		}
	}
	close(f.done)
}

// authorized adds an access token to requests.
type authorized struct {
	key  *Key
	base http.RoundTripper
}

// RoundTrip is that of http.RoundTripper.
func (a authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := a.key.get(req.Context(), "")
	if err != nil {
		closeBody(req)
		return refusal(req, err)
	}
	resp, err := a.send(req, token, req.Body)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || req.GetBody == nil {
		return resp, err
	}
	if token, err = a.key.get(req.Context(), token); err != nil {
		return resp, nil // the first answer stands
	}
	body, err := req.GetBody()
	if err != nil {
		return resp, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxRefusal)
	_ = resp.Body.Close()
	return a.send(req, token, body)
}

// maxRefusal is how much of a refusal is read so that its connection can be used
// again, in bytes.
const maxRefusal = 4 << 10

func (a authorized) send(req *http.Request, token string, body io.ReadCloser) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Body = body
	req.Header.Set("Authorization", "Bearer "+token)
	return a.base.RoundTrip(req)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// refusal is the answer to a request for which there is no token: that of a
// server that knows none, if the token server says that there will be none, or
// the failure to get a connection: nothing was sent.
func refusal(req *http.Request, err error) (*http.Response, error) {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response == nil || refused.Response.StatusCode >= 500 || refused.Response.StatusCode == http.StatusTooManyRequests {
		return nil, &net.OpError{Op: "dial", Net: "oauth2", Err: withoutBody(err)}
	}
	body := fmt.Sprintf(`{"error":{"code":401,"status":"UNAUTHENTICATED","message":"The token server refused the service account with status %d."}}`, refused.Response.StatusCode)
	return &http.Response{
		Status: "401 Unauthorized", StatusCode: http.StatusUnauthorized, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)), Request: req,
	}, nil
}

// withoutBody returns err, or its status alone if it holds what a server said.
func withoutBody(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil {
		return fmt.Errorf("the token server answered with status %d", refused.Response.StatusCode)
	}
	return err
}
