package provider

import (
	"fmt"
	"testing"
)

// TestWordsOfVendors has errors whose status or type says something else than
// their words, each of which its vendor sends and no recording shows.
func TestWordsOfVendors(t *testing.T) {
	t.Parallel()
	says := func(m string) string {
		return fmt.Sprintf(`{"error":{"message":%q,"type":"invalid_request_error","code":null}}`, m)
	}
	code := func(c, m string) string { return fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, c, m) }
	xai := func(m string) string { return fmt.Sprintf(`{"code":"m","error":%q}`, m) }
	for _, c := range []struct {
		family string
		status int
		body   string
		want   string
	}{
		{"xai", 429, xai("Your team has either used all available credits or reached its monthly spending limit."), quota},
		{"xai", 429, xai("Too many requests; you may ask 5 times a second."), rate},
		{"xai", 400, xai("This model's maximum prompt length is 1024 but the request contains 2048 tokens."), tooLong},
		{"xai", 403, xai("Content violates usage guidelines. Failed check: SAFETY"), policy},
		{"xai", 403, xai("The key has no rights."), auth},
		{"xai", 403, xai("The team has no credits."), quota},
		{"deepseek", 400, says("Content Exists Risk"), policy},
		{"alibaba", 400, code("data_inspection_failed", "Input data may be wrong."), policy},
		{"alibaba", 400, code("Arrearage", "Access denied."), quota},
		{"alibaba", 400, says("Range of input length should be [1, 1024]"), tooLong},
		{"alibaba", 400, says("Range of max_tokens should be [1, 1024]"), "invalid_request"},
		{"zai", 400, code("1211", "Unknown Model."), noModel},
		{"zai", 400, code("1261", "Prompt exceeds max length"), tooLong},
		{"zai", 429, code("1309", "The plan has expired."), quota},
		{"generic", 400, says("The input (2048 tokens) is longer than the model's context length (1024 tokens)."), tooLong},
		{"generic", 400, `{"error":"The number of tokens to keep from the initial prompt is greater than the context length."}`, tooLong},
		{"novita", 403, `{"code":403,"reason":"NOT_ENOUGH_BALANCE","message":"no"}`, quota},
		{"groq", 400, `{"error":{"message":"Failed to generate JSON.","type":"invalid_request_error","code":"json_validate_failed","failed_generation":"{"}}`, badCall},
		{"groq", 400, code("organization_restricted", "Restricted."), noAccess},
		{"openai", 400, code("cyber_policy", "Flagged."), policy},
		{"openai", 401, code("account_deactivated", "Gone."), auth},
		{"azure", 400, code("OperationNotSupported", "Not with this model."), config},
		{"copilot", 400, code("model_not_supported", "No."), noModel},
		{"nvidia", 400, `{"status":400,"title":"Bad Request","detail":"Function id 'f': DEGRADED function cannot be invoked"}`, busy},
		{"vllm", 400, `{"object":"error","message":"tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set","type":"BadRequestError","code":400}`, config},
	} {
		if got := verdictOf(Classify(c.family, c.status, nil, []byte(c.body))); got != c.want {
			t.Errorf("%s %d %s = %s, want %s", c.family, c.status, c.body, got, c.want)
		}
	}
}
