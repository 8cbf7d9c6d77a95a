package gemini

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// keyFile is the JSON key of a service account whose tokens come from url.
func keyFile(t *testing.T, url string) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "gate@p.iam.gserviceaccount.com", "private_key_id": "kid",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": url,
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// google is a token server and an API in one: a transport. Tokens are t1, t2, …
type google struct {
	t      *testing.T
	status int      // of the token server; 0: 200
	lives  int      // seconds
	valid  sync.Map // tokens that the API takes
	minted atomic.Int64
	asked  atomic.Int64 // of the API
	answer func(req *http.Request, body string) (int, string)
}

func reply(status int, contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {contentType}},
		Body: io.NopCloser(strings.NewReader(body)),
	}
}

func (g *google) RoundTrip(req *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(req.Body)
	_ = req.Body.Close()
	if strings.HasSuffix(req.URL.Path, "/token") {
		g.assertion(req, string(body))
		if g.status != 0 {
			return reply(g.status, "application/json", `{"error":"invalid_grant","error_description":"secret words"}`), nil
		}
		token := fmt.Sprintf("t%d", g.minted.Add(1))
		g.valid.Store(token, true)
		return reply(200, "application/json", fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, token, g.lives)), nil
	}
	g.asked.Add(1)
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	if _, ok := g.valid.Load(token); !ok {
		return reply(401, "application/json", `{"error":{"code":401,"status":"UNAUTHENTICATED"}}`), nil
	}
	status, text := g.answer(req, string(body))
	return reply(status, "application/json", text), nil
}

// assertion checks what a token is asked for with.
func (g *google) assertion(req *http.Request, body string) {
	req.Body = io.NopCloser(strings.NewReader(body))
	if err := req.ParseForm(); err != nil || req.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		g.t.Errorf("asked for a token with %s", body)
		return
	}
	parts := strings.Split(req.PostForm.Get("assertion"), ".")
	if len(parts) != 3 {
		g.t.Errorf("an assertion of %d parts", len(parts))
		return
	}
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&rsaKey().PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		g.t.Errorf("the assertion is not signed: %v", err)
	}
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct{ Iss, Scope, Aud string }
	if err := json.Unmarshal(claims, &c); err != nil || c.Iss != "gate@p.iam.gserviceaccount.com" || c.Scope != scope || c.Aud != req.URL.String() {
		g.t.Errorf("the assertion says %s", claims)
	}
}

const hello = `{"candidates":[{"content":{"parts":[{"text":"Hello"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1,"totalTokenCount":2}}`

func newGoogle(t *testing.T) *google {
	return &google{t: t, lives: 3600, answer: func(*http.Request, string) (int, string) { return 200, hello }}
}

// vertexOf is a provider on Vertex AI behind a service account.
func vertexOf(t *testing.T, g *google) (*Provider, *Key) {
	t.Helper()
	k, err := ParseKey(keyFile(t, "https://oauth2.googleapis.com/token"))
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Name: "google", Vertex: &Vertex{Project: "p", Location: "us-east5"}, Transport: k.Transport(g)}), k
}

func callHello() provider.Call {
	q := foreign(&llm.Request{Model: "m", Choices: 1})
	return provider.Call{Request: q, Model: "gemini-2.5-flash"}
}

func TestATokenIsSharedAndRenewedBeforeItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t)
		p, _ := vertexOf(t, g)
		for _, c := range []struct {
			wait   time.Duration
			minted int64
		}{
			{0, 1},
			{54 * time.Minute, 1},
			{90 * time.Second, 2}, // less than five minutes are left: renewed beside the request
			{time.Second, 2},
			{2 * time.Hour, 3}, // it has ended
		} {
			time.Sleep(c.wait)
			if _, err := run(p, callHello()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if n := g.minted.Load(); n != c.minted {
				t.Errorf("%s later, %d tokens, want %d", c.wait, n, c.minted)
			}
		}
	})
}

func TestManyAskForOneToken(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	p, _ := vertexOf(t, g)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := run(p, callHello()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := g.minted.Load(); n != 1 {
		t.Errorf("%d tokens for 20 requests at once", n)
	}
}

func TestARefusedTokenIsRenewedOnceAndTheRequestRepeatedOnce(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	p, _ := vertexOf(t, g)
	var bodies []string
	g.answer = func(_ *http.Request, body string) (int, string) {
		bodies = append(bodies, body)
		return 200, hello
	}
	if _, err := run(p, callHello()); err != nil {
		t.Fatal(err)
	}
	g.valid.Clear()
	if _, err := run(p, callHello()); err != nil {
		t.Fatal(err)
	}
	if m, a := g.minted.Load(), g.asked.Load(); m != 2 || a != 3 || len(bodies) != 2 || bodies[0] != bodies[1] {
		t.Errorf("%d tokens, %d requests, bodies %q", m, a, bodies)
	}
	g.answer = func(*http.Request, string) (int, string) {
		return 401, `{"error":{"code":401,"status":"UNAUTHENTICATED"}}`
	}
	_, err := run(p, callHello())
	if m, a := g.minted.Load(), g.asked.Load(); m != 3 || a != 5 || verdict(err) != "upstream_auth FQ" {
		t.Errorf("refused for good: %d tokens, %d requests, %v", m, a, err)
	}
}

func TestWhatTheTokenServerRefuses(t *testing.T) {
	t.Parallel()
	// A redirect is not followed: an assertion goes nowhere else.
	for status, want := range map[int]string{400: "upstream_auth FQ", 401: "upstream_auth FQ", 500: "no_target RFB", 429: "no_target RFB", 302: "upstream_auth FQ"} {
		g := newGoogle(t)
		g.status = status
		p, _ := vertexOf(t, g)
		_, err := run(p, callHello())
		if got := verdict(err); got != want || g.asked.Load() != 0 {
			t.Errorf("%d: %s after %d requests, want %s", status, got, g.asked.Load(), want)
		}
		if s := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(s, "secret words") || strings.Contains(s, "PRIVATE") {
			t.Errorf("%d: the failure tells %s", status, s)
		}
		g.status = 0
		if _, err := run(p, callHello()); err != nil {
			t.Errorf("%d: does not recover: %v", status, err)
		}
	}
}

func TestWhoLeavesDoesNotEndTheExchange(t *testing.T) {
	t.Parallel()
	begun, proceed := make(chan struct{}), make(chan struct{})
	g := newGoogle(t)
	slow := transport(func(req *http.Request) (*http.Response, error) {
		if strings.HasSuffix(req.URL.Path, "/token") {
			close(begun)
			<-proceed
		}
		return g.RoundTrip(req)
	})
	k, err := ParseKey(keyFile(t, "https://oauth2.googleapis.com/token"))
	if err != nil {
		t.Fatal(err)
	}
	k.Transport(slow)
	ctx, leave := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := k.get(ctx, "")
		done <- err
	}()
	<-begun
	leave()
	if err := <-done; err != context.Canceled {
		t.Errorf("who left was told %v", err)
	}
	close(proceed)
	if token, err := k.get(context.Background(), ""); err != nil || token != "t1" || g.minted.Load() != 1 {
		t.Errorf("token %q, %v, of %d", token, err, g.minted.Load())
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestKeysAreJudged(t *testing.T) {
	t.Parallel()
	good := string(keyFile(t, "https://x/token"))
	for text, want := range map[string]string{
		good: "",
		strings.Replace(good, `https://x/token`, `http://127.0.0.1:1/token`, 1): "",
		strings.Replace(good, `"https://x/token"`, `""`, 1):                     "",
		`nonsense`: "no JSON key",
		strings.Replace(good, `service_account`, `authorized_user`, 1): "type",
		strings.Replace(good, `client_email`, `email`, 1):              "client_email",
		strings.Replace(good, `BEGIN PRIVATE`, `BEGIN PUBLIC`, 1):      "private_key",
		strings.Replace(good, `https://x/token`, `http://x/token`, 1):  "token_uri",
	} {
		_, err := ParseKey([]byte(text))
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("ParseKey = %v, want %q", err, want)
		case err != nil && strings.Contains(err.Error(), "MII"):
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

// TestTheTokenServerOverHTTP goes through a real server once.
func TestTheTokenServerOverHTTP(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req.URL.Scheme, req.URL.Host = "http", req.Host
		resp, err := g.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(srv.Close)
	k, err := ParseKey(keyFile(t, srv.URL+"/token"))
	if err != nil {
		t.Fatal(err)
	}
	pipe := provider.NewTransport(time.Second)
	t.Cleanup(pipe.CloseIdleConnections)
	p := New(Options{BaseURL: srv.URL, Vertex: &Vertex{Project: "p"}, Transport: k.Transport(pipe)})
	for range 2 {
		if _, err := run(p, callHello()); err != nil {
			t.Fatal(err)
		}
		g.valid.Clear() // the second request is repeated
	}
	if g.minted.Load() != 2 {
		t.Errorf("%d tokens", g.minted.Load())
	}
}
