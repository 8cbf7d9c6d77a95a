package contract

import (
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/fault"
)

// sketchProofs are the rows of the other four services that are renderings: if
// they hold, these services need a file and no code.
var sketchProofs = map[string]map[string]proof{
	"llmtune": {
		"llmtune/400-invalid-body":  {envelope: "flat", e: code(fault.InvalidJSON)},
		"llmtune/400-missing-field": {envelope: "flat", e: fields(fault.Detail{Field: "messages", Code: fault.MissingParameter})},
		"llmtune/401-invalid":       {envelope: "flat", e: code(fault.KeyInvalid)},
		"llmtune/402-balance":       {envelope: "flat", e: short()},
		"llmtune/403-wrong-host":    {envelope: "flat", e: code(fault.EndpointNotAllowed)},
		"llmtune/404-model":         {envelope: "flat", e: code(fault.ModelNotFound)},
		"llmtune/404-job":           {envelope: "flat", e: code(fault.JobNotFound)},
		"llmtune/429-rate-limit":    {envelope: "flat", e: &fault.Error{Code: fault.RateLimited, RetryAfter: 59_001 * time.Millisecond}},
		"llmtune/500-server":        {envelope: "flat", e: code(fault.Internal)},
		"llmtune/502-upstream":      {envelope: "flat", e: code(fault.UpstreamFailed)},
		"llmtune/503-unavailable":   {envelope: "flat", e: code(fault.NoTarget)},
		"llmtune/stream-midway":     {envelope: "flat", e: code(fault.StreamInterrupted), frame: `{error: <text>, message: <text>}`},
	},
	"modelswitch": {
		"modelswitch/401-missing":                  {envelope: "object", e: code(fault.KeyMissing)},
		"modelswitch/401-invalid":                  {envelope: "object", e: code(fault.KeyInvalid)},
		"modelswitch/403-deactivated":              {envelope: "object", e: code(fault.KeyInactive)},
		"modelswitch/403-balance":                  {envelope: "object", e: short()},
		"modelswitch/403-billing-key-on-inference": {envelope: "object", e: code(fault.KeyWrongKind).With("kind", "inference")},
		"modelswitch/403-model":                    {envelope: "object", e: code(fault.ModelNotAllowed)},
		"modelswitch/404-model":                    {envelope: "object", e: code(fault.ModelNotFound)},
		"modelswitch/429":                          {envelope: "object", e: code(fault.RateLimited)},
		"modelswitch/500":                          {envelope: "object", e: code(fault.Internal)},
		"modelswitch/503":                          {envelope: "object", e: code(fault.NoTarget)},
		"modelswitch/stream-midway":                {envelope: "object", e: code(fault.StreamInterrupted), frame: `{error: {message: <text>, type: <text>, code: <text>}}`},
	},
	"samurai": {
		"samurai/400-bad-request": {envelope: "object", e: code(fault.InvalidJSON)},
		"samurai/401-invalid":     {envelope: "object", e: code(fault.KeyInvalid)},
		"samurai/402-payg":        {envelope: "object", e: code(fault.CreditsRequired)},
		"samurai/403-plan":        {envelope: "object", e: code(fault.PlanRequired)},
		"samurai/404-model":       {envelope: "object", e: code(fault.ModelNotFound)},
		"samurai/422-temperature": {envelope: "object", e: fields(fault.Detail{Field: "temperature", Code: fault.InvalidParameter, Message: "Must be at most 2"})},
		"samurai/422-type":        {envelope: "object", e: fields(fault.Detail{Field: "temperature", Code: fault.InvalidType, Message: "Must be a number"})},
		"samurai/400-missing":     {envelope: "object", e: fields(fault.Detail{Field: "messages", Code: fault.MissingParameter})},
		"samurai/404-disabled":    {envelope: "object", e: code(fault.ModelUnavailable)},
		"samurai/429-daily":       {envelope: "object", e: daily(fault.PlanQuotaExceeded).With("class", "closed")},
		"samurai/500":             {envelope: "object", e: code(fault.Internal)},
		"samurai/503-upstream":    {envelope: "object", e: code(fault.UpstreamFailed)},
		"samurai/stream-midway":   {envelope: "object", e: code(fault.StreamInterrupted), frame: `{error: {type: model_unavailable, message: <text>, code: 503}}`},
	},
	"nanogpt": {
		"nanogpt/400-missing-model":           {envelope: "openai", e: fields(fault.Detail{Field: "model", Code: fault.MissingParameter})},
		"nanogpt/400-invalid-value":           {envelope: "openai", e: fields(fault.Detail{Field: "temperature", Code: fault.InvalidType, Message: "Must be a number"})},
		"nanogpt/400-invalid-json-schema":     {envelope: "openai", e: code(fault.InvalidJSONSchema).At("response_format.json_schema.schema")},
		"nanogpt/400-tool-choice":             {envelope: "openai", e: code(fault.ToolChoiceUnsupported).At("tool_choice")},
		"nanogpt/400-conflicting-moderation":  {envelope: "openai", e: code(fault.ModerationConflict)},
		"nanogpt/400-content-policy-inline":   {envelope: "openai", e: code(fault.ContentPolicy).With("moderation", `{"model":"m","results":[1]}`)},
		"nanogpt/400-content-policy-upstream": {envelope: "openai", e: code(fault.ContentPolicy)},
		"nanogpt/empty-response":              {envelope: "openai", e: code(fault.EmptyResponse)},
		"nanogpt/401-missing":                 {envelope: "openai", e: code(fault.KeyMissing)},
		"nanogpt/403-model-not-allowed":       {envelope: "openai", e: code(fault.ModelNotAllowed)},
		"nanogpt/404-model":                   {envelope: "openai", e: code(fault.ModelNotFound)},
		"nanogpt/503-model-not-available":     {envelope: "openai", e: code(fault.ModelUnavailable)},
		"nanogpt/400-no-fallback":             {envelope: "openai", e: code(fault.NoFallback)},
		"nanogpt/503-cache-consistency":       {envelope: "openai", e: code(fault.FallbackBlocked)},
		"nanogpt/408-slow-client":             {envelope: "openai", e: code(fault.RequestTimeout)},
		"nanogpt/504-timeout":                 {envelope: "openai", e: code(fault.UpstreamTimeout)},
		"nanogpt/409-conflict":                {envelope: "openai", e: code(fault.IdempotencyInProgress)},
		"nanogpt/413":                         {envelope: "openai", e: code(fault.BodyTooLarge)},
		"nanogpt/500":                         {envelope: "openai", e: code(fault.Internal)},
		"nanogpt/503":                         {envelope: "openai", e: code(fault.UpstreamOverloaded)},
		"nanogpt/429-rate":                    {envelope: "openai", e: code(fault.RateLimited)},
		"nanogpt/429-usd":                     {envelope: "openai", e: daily(fault.DailySpendExceeded)},
		"nanogpt/402-balance":                 {envelope: "openai", e: short()},
		"nanogpt/402-memory":                  {envelope: "openai", e: code(fault.MemoryBalance)},
		"nanogpt/402-websearch":               {envelope: "openai", e: code(fault.WebSearchBalance)},
		"nanogpt/402-both":                    {envelope: "openai", e: code(fault.BothBalance)},
		"nanogpt/x402-feature":                {envelope: "openai", e: code(fault.MemoryBalance).With("payment", `{"version":1}`).With("x402_version", "1")},
		"nanogpt/messages-max-tokens":         {envelope: "anthropic", e: fields(fault.Detail{Field: "max_tokens", Code: fault.MissingParameter})},
		"nanogpt/messages-401":                {envelope: "anthropic", e: code(fault.KeyInvalid)},
		"nanogpt/messages-402":                {envelope: "anthropic", e: short()},
		"nanogpt/messages-403":                {envelope: "anthropic", e: code(fault.ModelNotAllowed)},
		"nanogpt/messages-404":                {envelope: "anthropic", e: code(fault.ModelNotFound)},
		"nanogpt/messages-413":                {envelope: "anthropic", e: code(fault.BodyTooLarge)},
		"nanogpt/messages-429":                {envelope: "anthropic", e: daily(fault.DailyRequestsExceeded)},
		"nanogpt/messages-500":                {envelope: "anthropic", e: code(fault.Internal)},
		"nanogpt/messages-503":                {envelope: "anthropic", e: code(fault.UpstreamFailed)},
		"nanogpt/messages-stream-midway":      {envelope: "anthropic", e: code(fault.StreamInterrupted), event: "error", frame: `{type: error, error: {type: api_error, message: <text>}}`},
		"nanogpt/simple-401":                  {envelope: "simple", e: code(fault.KeyInvalid)},
		"nanogpt/simple-400":                  {envelope: "simple", e: code(fault.InvalidJSON)},
		"nanogpt/stream-before":               {envelope: "openai", e: code(fault.UpstreamFailed)},
		"nanogpt/stream-midway": {
			envelope: "openai", e: code(fault.StreamInterrupted), done: true,
			frame: `{id: <text>, object: chat.completion.chunk, choices: [{index: 0, delta: {}, finish_reason: error}], error: {status: 503, message: <text>, code: service_unavailable}}`,
		},
	},
}

func TestOtherServicesNeedOnlyAFile(t *testing.T) {
	t.Parallel()
	for service, proofs := range sketchProofs {
		c := sketch(t, service)
		rows, _ := readRows(t, service)
		byID := map[string]documented{}
		for _, row := range rows {
			byID[row.ID] = row
		}
		for id, p := range proofs {
			row, ok := byID[id]
			if !ok {
				t.Errorf("%s is no row", id)
				continue
			}
			t.Run(id, func(t *testing.T) { prove(t, c, row, p) })
		}
	}
}

func sketch(t testing.TB, name string) *Contract {
	t.Helper()
	c, err := LoadFile("testdata/sketch/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

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
		{"modelswitch", "object", &fault.Error{Code: fault.UpstreamFailed, Upstream: "The engine is on fire"}, `{"error":{"message":"The provider answered: The engine is on fire","type":"provider_error","code":"provider_error"}}`},
		{"modelswitch", "object", &fault.Error{Code: fault.UpstreamAuth, Upstream: "bad key sk-1", Message: "bad key sk-1"}, `{"error":{"message":"The gateway could not sign in to the provider.","type":"provider_error","code":"provider_error"}}`},
		{"samurai", "object", daily(fault.PlanQuotaExceeded).With("class", "open"), `{"error":{"type":"rate_limit_exceeded","message":"Daily request limit reached for open-source models. Resets at midnight UTC.","code":429}}`},
		{"samurai", "object", daily(fault.PlanQuotaExceeded).With("class", "pro"), `{"error":{"type":"rate_limit_exceeded","message":"Daily request limit reached for pro models. Resets at midnight UTC.","code":429}}`},
		{"samurai", "anthropic", code(fault.KeyInvalid), `{"type":"error","error":{"type":"auth_error","message":"Invalid API key provided.","code":401}}`},
	} {
		r := sketch(t, tc.contract).Render(tc.envelope, tc.e, Facts{RequestID: "req_1"})
		if string(r.Body) != tc.want {
			t.Errorf("%s %v:\n got %s\nwant %s", tc.contract, tc.e.Code, r.Body, tc.want)
		}
	}
}

func TestRateHeadersStandOnEveryAnswer(t *testing.T) {
	t.Parallel()
	c := sketch(t, "samurai")
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
