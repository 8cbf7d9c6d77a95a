package provider

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

func TestALookTellsTheProviderFromTheCredential(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{200: "well", 404: "well", 405: "well", 429: "well", 301: "well", 403: "well", 401: "quarantine", 402: "quarantine", 500: "breaker", 503: "breaker", 0: "breaker"} {
		var asked *http.Request
		up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"error":{"message":"sk-secret-key"}}`))
		}))
		to, err := url.Parse(up.URL + "/v1/models")
		if err != nil {
			t.Fatal(err)
		}
		if status == 0 {
			up.Close()
		}
		err = Look(t.Context(), http.DefaultTransport, to, http.Header{"Authorization": {"Bearer k"}}, "openai")
		up.Close()
		got := "well"
		var f *Failure
		switch {
		case errors.As(err, &f) && f.Quarantine && !f.Breaker:
			got = "quarantine"
		case errors.As(err, &f) && f.Breaker && !f.Quarantine:
			got = "breaker"
		case err != nil:
			got = err.Error()
		}
		if got != want {
			t.Errorf("status %d: %s, want %s (%v)", status, got, want, err)
		}
		if status != 0 && (asked.Method != http.MethodGet || asked.URL.Path != "/v1/models" || asked.Header.Get("Authorization") != "Bearer k") {
			t.Errorf("asked %s %s", asked.Method, asked.URL)
		}
	}
}
