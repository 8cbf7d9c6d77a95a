package rows

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// failing is a way in which an upstream fails on every attempt, before content.
type failing struct {
	name   string
	answer testkit.Answer
	stream bool // it is asked for a stream
	tries  int  // how often the gateway must have tried
}

// brokenUpstreams are the ways that come out as a bad gateway.
var brokenUpstreams = []failing{
	{name: "bad-500", answer: says(500, "server_error", "internal", "Acme has a defect"), tries: 3},
	{name: "bad-502-html", answer: html(502), tries: 3},
	{name: "bad-200-html", answer: html(200), tries: 3},
	{name: "bad-json", answer: testkit.JSON(200, chatBody[:180]), tries: 3},
	{name: "bad-text", answer: testkit.JSON(200, "Acme wishes a good day"), tries: 3},
	{name: "bad-200-error", answer: testkit.JSON(200, errorBody("server_error", "internal", "Acme has a defect")), tries: 3},
	{name: "bad-nothing", answer: testkit.JSON(200, ""), tries: 3},
	{name: "bad-cut", answer: cut(testkit.JSON(200, chatBody[:180])), tries: 3},
	{name: "bad-wire", answer: testkit.Answer{Garbage: []byte("ACME/7 READY\r\n\r\n")}, tries: 3},
	{name: "bad-stream-500", answer: says(500, "server_error", "internal", "Acme has a defect"), stream: true, tries: 3},
	{name: "bad-stream-html", answer: html(200), stream: true, tries: 3},
	{name: "bad-stream-error", answer: testkit.SSE(errorBody("server_error", "internal", "Acme has a defect")), stream: true, tries: 3},
	{name: "bad-stream-json", answer: testkit.SSE(`{"id":"acme-7","choices":[{`), stream: true, tries: 3},
	{name: "bad-stream-cut", answer: cut(testkit.SSE(beginning[0])), stream: true, tries: 3},
}

// interrupted are the ways in which an upstream breaks off after content.
var interrupted = []model{
	{name: "mid-cut", answer: cut(testkit.SSE(beginning...))},
	{name: "mid-end", answer: testkit.SSE(beginning...)},
	{name: "mid-error", answer: testkit.SSE(append(slices.Clone(beginning), errorBody("server_error", "internal", "Acme has a defect"))...)},
	{name: "mid-json", answer: testkit.SSE(append(slices.Clone(beginning), `{"id":"acme-7","choices":[{`)...)},
	{name: "mid-idle", answer: hang(testkit.SSE(beginning...)), timeouts: "idle: 400ms"},
}

// interruptedMessages are the same of a provider that speaks as Anthropic does.
var interruptedMessages = []model{
	{name: "msg-mid-cut", kind: "anthropic", answer: cut(named(messageBeginning...))},
	{name: "msg-mid-end", kind: "anthropic", answer: named(messageBeginning...)},
	{name: "msg-mid-error", kind: "anthropic", answer: named(append(slices.Clone(messageBeginning), anthropicError("api_error", "Acme has a defect"))...)},
	{name: "msg-mid-idle", kind: "anthropic", answer: hang(named(messageBeginning...)), timeouts: "idle: 400ms"},
}

// limits of the model that is asked for too much.
const (
	narrowContext = 1234
	narrowOutput  = 700
)

// openaiModels are the models of the gateway with the contract openai.
func openaiModels(t testing.TB) []model {
	t.Helper()
	gated := model{name: "gated", more: "attempts: 1", answer: testkit.JSON(200, chatBody)}
	ms := []model{
		{name: "good", answer: testkit.JSON(200, chatBody), streamed: testkit.SSE(chatStream...)},
		{name: "claude", kind: "anthropic", answer: testkit.JSON(200, messageBody)},
		{name: "narrow", answer: testkit.JSON(200, chatBody), more: fmt.Sprintf("context: %d, max_output: %d", narrowContext, narrowOutput)},
		{name: "full", answer: says(400, "invalid_request_error", "context_length_exceeded",
			"This model's maximum context length is 4321 tokens. However, your messages resulted in 5678 tokens.")},
		{name: "policy", answer: says(400, "invalid_request_error", "content_policy_violation", "Your request was rejected by our safety system.")},
		{name: "policy-filter", answer: says(400, "invalid_request_error", "content_filter", "The response was filtered.")},
		gated,
		{name: "limited", answer: with(says(429, "requests", "rate_limit_exceeded", "Rate limit reached for acme-4711"), "Retry-After", "17"), also: []string{"limited-2"}},
		{name: "limited-2", answer: with(says(429, "tokens", "rate_limit_exceeded", "Rate limit reached for acme-4711"), "Retry-After", "23")},
		{name: "limited-mute", answer: says(429, "requests", "rate_limit_exceeded", "Rate limit reached for acme-4711")},
		{name: "auth-401", answer: says(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-upstream-auth-401. Write to billing@acme.example.")},
		{name: "auth-403", answer: says(403, "permission_error", "forbidden", "Project proj_acme_4711 may not use this. Key sk-upstream-auth-403.")},
		{name: "quota-402", answer: says(402, "billing_error", "payment_required", "Acme: add credits to organization acme-4711.")},
		{name: "quota-429", answer: says(429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota, acme-4711.")},
		{name: "busy-503", answer: says(503, "server_error", "server_is_overloaded", "Acme is overloaded.")},
		{name: "busy-529", kind: "anthropic", answer: anthropicSays(529, "overloaded_error", "Acme is overloaded.")},
		{name: "refusing", url: nobody(t), more: "attempts: 2"},
		{name: "broken", more: "attempts: 1", answer: testkit.Answer{HangHeaders: true}},
		{name: "slow-headers", answer: testkit.Answer{HangHeaders: true}, timeouts: "headers: 400ms"},
		{name: "slow-event", answer: hang(testkit.SSE()), timeouts: "first_event: 400ms"},
		{name: "slow-body", answer: hang(testkit.JSON(200, chatBody[:180])), timeouts: "total: 600ms"},
		{name: "slow-504", answer: html(504)},
		{name: "mute", answer: testkit.JSON(200, `{"id":"chatcmpl-7","object":"chat.completion","created":1790000000,"model":"acme-m","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":0,"total_tokens":11}}`)},
		{name: "mute-none", answer: testkit.JSON(200, `{"id":"chatcmpl-7","object":"chat.completion","created":1790000000,"model":"acme-m","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":0,"total_tokens":11}}`)},
		{name: "mute-stream", answer: testkit.SSE(beginning[0], chunk(`{}`, "stop"), usageChunk, "[DONE]")},
		{name: "msg-mid-overloaded", kind: "anthropic", answer: named(append(slices.Clone(messageBeginning), anthropicError("overloaded_error", "Acme is busy"))...)},
		{name: "claude-401", kind: "anthropic", answer: anthropicSays(401, "authentication_error", "invalid x-api-key sk-upstream-claude-401 of acme")},
		{name: "claude-500", kind: "anthropic", answer: anthropicSays(500, "api_error", "Acme has a defect.")},
		{name: "claude-200-error", kind: "anthropic", answer: testkit.JSON(200, anthropicError("api_error", "Acme has a defect."))},
	}
	for _, b := range brokenUpstreams {
		ms = append(ms, model{name: b.name, answer: b.answer})
	}
	return append(append(ms, interrupted...), interruptedMessages...)
}

// ninjaModels are the models of the gateway with the contract ninjachat.
func ninjaModels(t testing.TB) []model {
	t.Helper()
	ms := []model{
		{name: "gpt-5-mini", answer: testkit.JSON(200, chatBody), streamed: testkit.SSE(chatStream...)},
		{name: "refusing", url: nobody(t), more: "attempts: 2"},
		{name: "slow-headers", answer: testkit.Answer{HangHeaders: true}, timeouts: "headers: 400ms"},
		{name: "flaky-go", answer: testkit.JSON(200, chatBody), more: "attempts: 1"},
		{name: "flaky-python", answer: testkit.JSON(200, chatBody), more: "attempts: 1"},
	}
	for _, b := range brokenUpstreams {
		ms = append(ms, model{name: b.name, answer: b.answer})
	}
	return ms
}
