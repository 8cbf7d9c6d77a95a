package rows

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// The paths of nanogpt.
const (
	nanoChat       = "/api/v1/chat/completions"
	nanoEmbeddings = "/api/v1/embeddings"
	nanoBalance    = "/api/check-balance"
	nanoMemory     = "/api/memory"
)

// nanoMessages are all the paths of its messages: SDKs append to whatever base
// URL they were given.
var nanoMessages = []string{"/api/v1/messages", "/v1/messages", "/api/v1/v1/messages"}

// nanoPrice has more places than amounts have, so that nothing comes out round.
const nanoPrice = "price: {input: 1.234567, output: 4.400003}"

// nanoRetryable are the statuses after which the document advises to try again.
var nanoRetryable = []int{408, 429, 500, 503, 504}

// nanogptRows are the rows of nanogpt.
var nanogptRows = merged(nanoRequests, nanoCallers, nanoRouting, nanoBroken, nanoLimits, nanoMoney, nanoMessagesRows, nanoStreams)

// nanogptLater are the rows of nanogpt whose feature is not built yet, with what
// they wait for.
var nanogptLater = map[string]string{
	"nanogpt/400-conflicting-moderation": noModeration,
	"nanogpt/400-moderation-needs-key":   noModeration,
	"nanogpt/400-empty-moderation":       noModeration,
	"nanogpt/400-unsupported-moderation": noModeration,
	"nanogpt/400-content-policy-inline":  noModeration,
	"nanogpt/402-memory":                 "the memory add-on is not built",
	"nanogpt/402-websearch":              "web search is not built",
	"nanogpt/402-both":                   "neither the memory add-on nor web search is built",
	"nanogpt/402-x402":                   noPayment,
	"nanogpt/x402-exact":                 noPayment,
	"nanogpt/x402-tampered":              noPayment,
	"nanogpt/x402-status":                noPayment,
	"nanogpt/x402-rails":                 noPayment,
	"nanogpt/x402-feature":               noPayment,
	"nanogpt/x402-complete-unpaid":       noPayment,
	"nanogpt/x402-complete-paid":         noPayment,
	"nanogpt/x402-complete-again":        noPayment,
	"nanogpt/x402-complete-expired":      noPayment,
	"nanogpt/x402-complete-unknown":      noPayment,
	"nanogpt/byok":                       "callers' own provider keys (BYOK) are not built",
}

const (
	noModeration = "inline moderation is not built"
	noPayment    = "accountless payment (x402) is not built"
)

// nanogptModels are the models that rows of nanogpt break. Each is for one row,
// or for a few requests, so that no circuit opens on the way.
func nanogptModels(t testing.TB) []model {
	t.Helper()
	good, stream := testkit.JSON(200, chatBody), testkit.SSE(chatStream...)
	ms := []model{
		{name: "nano-plain", answer: good, streamed: stream, more: nanoPrice},
		{name: "nano-other", answer: good, streamed: stream},
		{name: "nano-gated", answer: good, streamed: stream, more: nanoPrice},
		{name: "nano-pending", answer: good},
		{name: "nano-sighted", answer: good, more: "input: [text, image]"},
		{name: "nano-narrow", answer: good, streamed: stream, more: fmt.Sprintf("context: %d, max_output: %d", narrowContext, narrowOutput)},
		{name: "nano-full", answer: says(400, "invalid_request_error", "context_length_exceeded",
			"This model's maximum context length is 4321 tokens. However, your messages resulted in 5678 tokens.")},
		{name: "nano-policy", answer: says(400, "invalid_request_error", "content_policy_violation", "Your request was rejected by our safety system.")},
		{name: "nano-msg-policy", answer: says(400, "invalid_request_error", "content_policy_violation", "Your request was rejected by our safety system.")},
		{name: "nano-policy-filter", answer: says(400, "invalid_request_error", "content_filter", "The response was filtered.")},
		{name: "nano-refusing", url: nobody(t), more: "attempts: 1"},
		{name: "nano-msg-refusing", url: nobody(t), more: "attempts: 1"},
		{name: "nano-off", answer: good, more: "enabled: false"},
	}
	return slices.Concat(ms, nanoChains(), nanoSilent(), nanoBreaking())
}

// nanoSilent are models whose upstream says nothing, too late, or too little.
func nanoSilent() []model {
	empty := func(choices string) testkit.Answer {
		return testkit.JSON(200, `{"id":"chatcmpl-7","object":"chat.completion","created":1790000000,"model":"acme-m","choices":[`+choices+
			`],"usage":{"prompt_tokens":11,"completion_tokens":0,"total_tokens":11}}`)
	}
	return []model{
		{name: "nano-mute", answer: empty(`{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}`)},
		{name: "nano-mute-null", answer: empty(`{"index":0,"message":{"role":"assistant","content":null},"finish_reason":"length"}`)},
		{name: "nano-mute-none", answer: empty("")},
		{name: "nano-mute-stream", answer: testkit.SSE(beginning[0], chunk(`{}`, "stop"), usageChunk, "[DONE]")},
		{name: "nano-slow-headers", answer: testkit.Answer{HangHeaders: true}, timeouts: "headers: 400ms", more: "attempts: 1"},
		{name: "nano-slow-event", answer: hang(testkit.SSE()), timeouts: "first_event: 400ms", more: "attempts: 1"},
		{name: "nano-slow-body", answer: hang(testkit.JSON(200, chatBody[:180])), timeouts: "total: 600ms", more: "attempts: 1"},
		{name: "nano-slow-504", answer: html(504), more: "attempts: 1"},
		{name: "nano-busy-503", answer: says(503, "server_error", "server_is_overloaded", "Acme is overloaded.")},
		{name: "nano-busy-stream", answer: says(503, "server_error", "server_is_overloaded", "Acme is overloaded.")},
		{name: "nano-busy-529", kind: "anthropic", answer: anthropicSays(529, "overloaded_error", "Acme is overloaded.")},
		{name: "nano-msg-529", kind: "anthropic", answer: anthropicSays(529, "overloaded_error", "Acme is overloaded.")},
		{name: "nano-msg-429", answer: with(says(429, "requests", "rate_limit_exceeded", "Rate limit reached for acme-4711"), "Retry-After", "17")},
	}
}

// nanoBreaking are models whose upstream fails before content, for the streams of
// chat and for messages, or breaks off after it, for both.
func nanoBreaking() []model {
	var ms []model
	for _, b := range brokenUpstreams {
		ms = append(ms, model{name: "nano-msg-" + b.name, answer: b.answer})
		if b.stream {
			ms = append(ms, model{name: "nano-" + b.name, answer: b.answer})
		}
	}
	for _, m := range slices.Concat(interrupted, interruptedMessages, []model{nanoOverloadedMidway}) {
		for _, prefix := range []string{"nano-", "nano-for-msg-"} {
			m := m
			m.name = prefix + m.name
			ms = append(ms, m)
		}
	}
	return ms
}

// nanoOverloadedMidway says itself what is wrong with it, after content.
var nanoOverloadedMidway = model{
	name: "mid-overloaded", kind: "anthropic",
	answer: named(append(slices.Clone(messageBeginning), anthropicError("overloaded_error", "Acme is busy"))...),
}

// nanoRPS is a throughput that no row comes near to.
const nanoRPS = 1000

// nano makes an account with usd dollars and a key of nanogpt, with a throughput
// of its own, so that the site's 25 requests a second are in nobody's way.
func (p *proof) nano(usd string, more map[string]any) caller {
	p.Helper()
	return p.at(nanoHost, usd, quickly(more))
}

// quickly adds a throughput to a key's members, unless they have limits.
func quickly(more map[string]any) map[string]any {
	if _, has := more["limits"]; has {
		return more
	}
	out := limited(map[string]any{"rps": nanoRPS})
	maps.Copy(out, more)
	return out
}

// atNano makes an account with usd dollars and a key at the host of nanogpt, of
// a gateway that is the row's own.
func (p *proof) atNano(g *gateway, usd string, more map[string]any) caller {
	p.Helper()
	a := g.NewAccount(p, p.row.ID, usd)
	return p.anotherAt(caller{gw: g, host: nanoHost, account: a.ID}, quickly(more))
}

// declined is refused, and checks what the answer says of trying again.
func (p *proof) declined(c caller, path, body string, changes ...change) *answer {
	p.Helper()
	a := p.refused(c, path, body, changes...)
	p.advises(a)
	return a
}

// advises checks the advice to try again against the document: only after the
// statuses that it lists, and there always, but for what a wait does not mend or
// only a long one does.
func (p *proof) advises(a *answer) {
	p.Helper()
	advice := a.header.Get("x-should-retry")
	again := slices.Contains(nanoRetryable, a.status)
	if again && advice == "" || !again && advice == "true" {
		p.Errorf("%s: %d with x-should-retry %q\n%s", a.request.URL, a.status, advice, a.body)
	}
	var wait int
	_, _ = fmt.Sscan(a.header.Get("Retry-After"), &wait)
	daily := strings.Contains(string(a.body), `"daily_`)
	if long := wait > 60 || daily; again && (advice == "true") == long {
		p.Errorf("%s: %d, Retry-After %d, daily %v: x-should-retry %q", a.request.URL, a.status, wait, daily, advice)
	}
}

// decimal reads an exact decimal member of the body, as it was written.
func (p *proof) decimal(a *answer, name string) money.Amount {
	p.Helper()
	var v map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &v); err != nil {
		p.Fatalf("%v\n%s", err, a.body)
	}
	n, err := money.ParseUSD(string(v[name]))
	if err != nil {
		p.Fatalf("%s is %s: %v", name, v[name], err)
	}
	return n
}

// mostOf is what a request holds at most, as the refusal tells a caller who has
// nothing.
func (p *proof) mostOf(g *gateway, path, body string, changes ...change) money.Amount {
	p.Helper()
	a := p.wants(p.ask(p.atNano(g, "0", nil), path, body, changes...), http.StatusPaymentRequired)
	n, err := money.ParseUSD(a.header.Get("X-Required-USD"))
	if err != nil {
		p.Fatalf("X-Required-USD: %v", err)
	}
	return n
}

// received returns how many requests have come to a model's upstream.
func (g *gateway) received(model string) int { return len(g.up[model].Received()) }

// receiptOf waits for the receipt of an answer.
func (p *proof) receiptOf(c caller, a *answer) harness.Receipt {
	p.Helper()
	return c.gw.Receipt(p, a.header.Get("X-Request-ID"), nil)
}

// dollars reads an amount of the admin API or of a header.
func (p *proof) dollars(text string) money.Amount {
	p.Helper()
	n, err := money.ParseUSD(text)
	if err != nil {
		p.Fatalf("%q: %v", text, err)
	}
	return n
}
