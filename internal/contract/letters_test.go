package contract

import (
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/fault"
)

func TestBodiesThatServicesPromiseToTheLetter(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		contract, envelope string
		e                  *fault.Error
		want               string
	}{
		{"llmtune", "flat", short(), `{"error":"Insufficient balance. Please add funds to your account."}`},
		{"llmtune", "flat", &fault.Error{Code: fault.RateLimited, RetryAfter: 59_001 * time.Millisecond}, `{"error":"rate_limit_exceeded","message":"Too many requests. Please slow down.","retryAfter":60}`},
		{"nanogpt", "openai", short(), `{"error":"Insufficient balance","status":402,"requiredBalance":0.0035}`},
		{"nanogpt", "openai", daily(fault.DailyRequestsExceeded), `{"error":{"message":"Daily request limit exceeded (37/37). Resets at midnight UTC.","type":"rate_limit_error","code":"daily_rpd_limit_exceeded"}}`},
		{
			"nanogpt", "openai", code(fault.PaymentRequired).With("payment", "{\"version\":\n 1}").With("accepts", "[]").With("x402_version", "1"),
			`{"error":{"message":"Payment required to complete this request.","type":"insufficient_quota","code":"insufficient_quota"},"payment":{"version":1},"x402Version":1,"accepts":[]}`,
		},
		{"nanogpt", "anthropic", fields(fault.Detail{Field: "max_tokens", Code: fault.MissingParameter}), `{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens is required","param":"max_tokens"}}`},
		{"modelswitch", "object", code(fault.KeyMissing), `{"error":{"message":"Missing or invalid Authorization header","type":"authentication_error","code":"invalid_api_key"}}`},
		{"modelswitch", "object", &fault.Error{Code: fault.UpstreamFailed, Said: "The engine is on fire"}, `{"error":{"message":"The provider answered: The engine is on fire","type":"provider_error","code":"provider_error"}}`},
		{"modelswitch", "object", &fault.Error{Code: fault.UpstreamAuth, Said: "bad key sk-1", Message: "bad key sk-1"}, `{"error":{"message":"The gateway could not sign in to the provider.","type":"provider_error","code":"provider_error"}}`},
		{"samurai", "object", daily(fault.PlanQuotaExceeded).With("class", "open"), `{"error":{"type":"rate_limit_exceeded","message":"Daily request limit reached for open-source models. Resets at midnight UTC.","code":429}}`},
		{"samurai", "object", daily(fault.PlanQuotaExceeded).With("class", "pro"), `{"error":{"type":"rate_limit_exceeded","message":"Daily request limit reached for pro models. Resets at midnight UTC.","code":429}}`},
		{"samurai", "anthropic", code(fault.KeyInvalid), `{"type":"error","error":{"type":"auth_error","message":"Invalid API key provided.","code":401}}`},
	} {
		r := load(t, tc.contract).Render(tc.envelope, tc.e, Facts{RequestID: "req_1"})
		if string(r.Body) != tc.want {
			t.Errorf("%s %v:\n got %s\nwant %s", tc.contract, tc.e.Code, r.Body, tc.want)
		}
	}
}

func TestRateHeadersStandOnEveryAnswer(t *testing.T) {
	t.Parallel()
	c := load(t, "samurai")
	f := Facts{RequestID: "req_1", Limits: Limits{Known: true, Limit: 150, Remaining: 149, Reset: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}}
	want := map[string]string{"X-RateLimit-Limit-Requests": "150", "X-RateLimit-Remaining-Requests": "149", "X-RateLimit-Reset-Requests": "2026-01-02T00:00:00Z"}
	h := headers(t, c.Render("object", code(fault.Internal), f))
	success := headers(t, Rendered{Header: c.ExtraHeaders("object", f)})
	for name, v := range want {
		if h[name] != v || success[name] != v {
			t.Errorf("%s: %q on an error, %q on a success, want %q", name, h[name], success[name], v)
		}
	}
	f.Limits.Known = false
	for _, kv := range append(c.Render("object", code(fault.Internal), f).Header, c.ExtraHeaders("object", f)...) {
		if strings.HasPrefix(kv[0], "X-RateLimit") {
			t.Errorf("%v without a limit", kv)
		}
	}
}
