package provider

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/pontage/pontage/internal/fault"
)

// Checker is a [Provider] that can be looked at without asking a model anything.
type Checker interface {
	// Check reads what stands at path behind the base URL; an empty path is the
	// list of models. Its error is a *[Failure] of the provider or the credential;
	// whatever else comes back shows that both are well.
	Check(ctx context.Context, path string, key Secret) error
}

// checkTime is how long a look may take.
const checkTime = 10 * time.Second

// Look sends a GET for a [Checker], and judges what comes back. It follows no
// redirect and reads no more than what is needed.
func Look(ctx context.Context, rt http.RoundTripper, to *url.URL, h http.Header, family string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	req := &http.Request{Method: http.MethodGet, URL: to, Host: to.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h}
	resp, err := rt.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return &Failure{Fault: fault.Wrap(fault.NoTarget, err), Breaker: true}
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // a part of it will do
	switch {
	case resp.StatusCode >= 500:
		return &Failure{Fault: fault.Wrap(fault.UpstreamFailed, fmt.Errorf("status %d", resp.StatusCode)), Breaker: true}
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusPaymentRequired:
		f := Classify(family, resp.StatusCode, resp.Header, body)
		f.Quarantine, f.Breaker = true, false
		return f
	}
	return nil
}
