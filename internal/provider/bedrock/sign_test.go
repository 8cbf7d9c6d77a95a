package bedrock

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/pontage/pontage/internal/provider"
)

// Credentials of the tests.
const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	session   = "session+token=="
)

// signed reports what is wrong with the signature of a request, which it makes
// again with the SDK's signer from what has arrived.
func signed(r *http.Request, body []byte) error {
	auth := r.Header.Get("Authorization")
	_, list, ok := strings.Cut(auth, "SignedHeaders=")
	if !ok {
		return fmt.Errorf("authorization is %q", auth)
	}
	list, _, _ = strings.Cut(list, ",")
	again := &http.Request{Method: r.Method, URL: r.URL, Host: r.Host, Header: http.Header{}}
	again.URL.Host, again.URL.Scheme = r.Host, "http"
	for name := range strings.SplitSeq(list, ";") {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = r.ContentLength
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey, SessionToken: session}
	if err := v4.NewSigner().SignHTTP(r.Context(), creds, again, hex.EncodeToString(sum[:]), "bedrock", "eu-central-1", at); err != nil {
		return err
	}
	if want := again.Header.Get("Authorization"); auth != want {
		return fmt.Errorf("signed %s, want %s", auth, want)
	}
	return nil
}

// TestRequestsAreSigned has a Bedrock that checks every signature, and models
// whose names are anything but a segment of a path.
func TestRequestsAreSigned(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	var path string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		path = r.RequestURI
		w.Header().Set("Content-Type", "application/json")
		if err := signed(r, body); err != nil {
			t.Error(err)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if r.Header.Get("X-Amz-Date") != "20261126T120000Z" || r.Header.Get("X-Amz-Security-Token") != session {
			t.Errorf("headers are %v", r.Header)
		}
		_, _ = io.WriteString(w, `{"output":{"message":{"role":"assistant","content":[{"text":"ok"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}`)
	}))
	defer srv.Close()
	tr := provider.NewTransport(time.Second)
	defer tr.CloseIdleConnections()
	p := New(Options{
		Name: "aws", Region: "eu-central-1", BaseURL: srv.URL + "/root/", AccessKeyID: accessKey, SecretAccessKey: secretKey,
		SessionToken: session, Transport: tr, Now: func() time.Time { return at },
	})
	for _, c := range []struct{ model, want string }{
		{"meta.llama3-1-70b-instruct-v1:0", "/root/model/meta.llama3-1-70b-instruct-v1%3A0/converse"},
		{"arn:aws:bedrock:eu-central-1:123456789012:inference-profile/a.b", "/root/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A123456789012%3Ainference-profile%2Fa.b/converse"},
		{"../../x?y#z%2f é", "/root/model/..%2F..%2Fx%3Fy%23z%252f%20%C3%A9/converse"},
	} {
		s, err := p.Open(t.Context(), provider.Call{Request: chat(t, hi), Model: c.model, RequestID: "req_1"})
		if err != nil {
			t.Errorf("%s: %v", c.model, err)
			continue
		}
		if ev, err := s.Next(); err != nil || !ev.Content {
			t.Errorf("%s: %+v, %v", c.model, ev, err)
		}
		_ = s.Close()
		if path != c.want {
			t.Errorf("%s went to %s, want %s", c.model, path, c.want)
		}
	}
	for _, model := range []string{"", ".", ".."} {
		path = ""
		if _, err := p.Open(t.Context(), provider.Call{Request: chat(t, hi), Model: model}); err == nil || path != "" {
			t.Errorf("%q was sent to %q: %v", model, path, err)
		}
	}
}

// TestAKeyIsABearerToken has an API key of Bedrock, which is a call's own.
func TestAKeyIsABearerToken(t *testing.T) {
	t.Parallel()
	p := New(Options{Name: "aws", Region: "us-east-1"})
	h, err := p.header(t.Context(), provider.Call{Request: chat(t, hi), Key: "bedrock-api-key-x"}, p.base, nil)
	if err != nil || h.Get("Authorization") != "Bearer bedrock-api-key-x" || h.Get("X-Amz-Date") != "" {
		t.Errorf("%v, %v", h, err)
	}
}

// TestOptions has what options are refused, and where those that are not lead to.
func TestOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o    Options
		want string // empty: refused
	}{
		{Options{Region: "us-east-1"}, "https://bedrock-runtime.us-east-1.amazonaws.com/"},
		{Options{Region: "us-gov-west-1"}, "https://bedrock-runtime.us-gov-west-1.amazonaws.com/"},
		{Options{Region: "cn-north-1"}, "https://bedrock-runtime.cn-north-1.amazonaws.com.cn/"},
		{Options{Region: "us-east-1", BaseURL: "http://127.0.0.1:1/x"}, "http://127.0.0.1:1/x"},
		{Options{Region: "us-east-1", BaseURL: "ftp://x"}, ""},
		{Options{Region: ""}, ""},
		{Options{Region: "us-east-1.evil.example/"}, ""},
		{Options{Region: "us-east-1", AccessKeyID: "a"}, ""},
		{Options{Region: "us-east-1", SecretAccessKey: "a"}, ""},
	} {
		u, err := c.o.root()
		switch {
		case c.want == "" && (err == nil || c.o.Validate() == nil):
			t.Errorf("%+v is not refused", c.o)
		case c.want != "" && (err != nil || u.String() != c.want):
			t.Errorf("%+v leads to %v, %v", c.o, u, err)
		}
		if c.want == "" {
			if _, err := New(c.o).Open(t.Context(), provider.Call{Request: chat(t, hi), Model: "m"}); err == nil {
				t.Errorf("%+v can be used", c.o)
			}
		}
	}
}
