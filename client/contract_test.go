package client_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pontage/pontage/client"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/money"
)

// kindOf names the kind of error for every class of fault.
var kindOf = map[fault.Class]error{
	fault.ClassRequest: client.ErrBadRequest, fault.ClassCredential: client.ErrUnauthorized, fault.ClassPermission: client.ErrForbidden,
	fault.ClassModel: client.ErrModel, fault.ClassLimit: client.ErrRateLimited, fault.ClassMoney: client.ErrInsufficientBalance,
	fault.ClassIdempotency: client.ErrIdempotency, fault.ClassContent: client.ErrContent, fault.ClassUpstream: client.ErrUpstream,
	fault.ClassOwnKey: client.ErrProviderKey, fault.ClassGateway: client.ErrGateway,
}

// The client must read every fault of every contract, in every envelope. Only
// the default contract tells all classes apart; the services' own have fewer
// words than the registry has faults.
func TestEveryFaultOfEveryContractIsRead(t *testing.T) {
	t.Parallel()
	for _, name := range contract.Embedded() {
		c, err := contract.Load(name)
		if err != nil {
			t.Errorf("contract %s: %v", name, err)
			continue
		}
		for _, envelope := range c.Envelopes() {
			for _, f := range fault.All() {
				t.Run(name+"/"+envelope+"/"+f.Name, func(t *testing.T) {
					t.Parallel()
					want := &fault.Error{Code: f.Code, Param: "model", HasMoney: true, Required: 2 * money.Cent, Available: money.Cent, RetryAfter: 30e9}
					answer := c.Render(envelope, want, contract.Facts{RequestID: "req_1"})
					checkFault(t, answer, kindOf[f.Class], name == "openai" && envelope != "anthropic")
				})
			}
		}
	}
}

func checkFault(t *testing.T, answer contract.Rendered, kind error, exact bool) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, h := range answer.Header {
			w.Header().Set(h[0], h[1])
		}
		w.WriteHeader(answer.Status)
		_, _ = w.Write(answer.Body)
	}))
	defer s.Close()
	c, err := client.New(client.Options{BaseURL: s.URL, MaxRetries: -1, HTTPClient: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.ChatCompletions(t.Context(), client.Request{Model: "m"})
	var e *client.Error
	if !errors.As(err, &e) {
		t.Fatalf("error = %v, want a *client.Error for %s", err, answer.Body)
	}
	if e.Status != answer.Status || (e.Message == "" && e.Code == "") || e.Kind() == nil {
		t.Errorf("error = %+v from %s", e, answer.Body)
	}
	if e.ShouldRetry != nil && *e.ShouldRetry != e.Retryable {
		t.Errorf("x-should-retry is %v and Retryable %v", *e.ShouldRetry, e.Retryable)
	}
	if exact && e.Kind() != kind {
		t.Errorf("%s is read as %q, want %q", answer.Body, e.Kind(), kind)
	}
}
