package traffic

import (
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// face is how an error of a provider looks to a caller: protocols.md §2.1, with
// the statuses, types and codes of contract/openai.yaml, and the advice of
// design.md §2.
type face struct {
	status        int
	kind, code    string // of the OpenAI shape
	messageStatus int
	messageKind   string // of the Anthropic shape
	again         string // x-should-retry
	againMessage  string
	wait          bool // Retry-After must be there
}

var faces = map[string]face{
	"invalid":    {400, "invalid_request_error", "", 400, "invalid_request_error", "false", "false", false},
	"context":    {400, "invalid_request_error", "context_length_exceeded", 400, "invalid_request_error", "false", "false", false},
	"policy":     {400, "invalid_request_error", "content_policy_violation", 400, "invalid_request_error", "false", "false", false},
	"model":      {404, "invalid_request_error", "model_not_found", 404, "not_found_error", "false", "false", false},
	"large":      {413, "invalid_request_error", "request_too_large", 413, "request_too_large", "false", "false", false},
	"rate":       {429, "rate_limit_error", "upstream_rate_limited", 429, "rate_limit_error", "true", "true", true},
	"auth":       {502, "upstream_error", "upstream_authentication_failed", 502, "api_error", "false", "false", false},
	"failed":     {502, "upstream_error", "upstream_error", 502, "api_error", "true", "true", false},
	"quota":      {503, "service_unavailable_error", "upstream_quota_exhausted", 503, "api_error", "false", "false", false},
	"overloaded": {503, "service_unavailable_error", "server_is_overloaded", 529, "overloaded_error", "true", "", true},
}

// wantError is what a recorded error means: its face, the parameter and a more
// exact code where protocols.md gives them, and how long to wait where the
// provider said.
type wantError struct {
	face, param, code string
	wait, waitMS      int64
}

// errorsByID says what recorded errors are. Those that are not named are 401
// for a key that is none (auth) and 404 for a model that is none (model).
var errorsByID = map[string]wantError{
	"anthropic.anthropic-messages.242b2c25b1": {face: "invalid"},
	"anthropic.anthropic-messages.49078e5f9d": {face: "invalid"},
	"anthropic.anthropic-messages.6e330ebc27": {face: "invalid"},
	"anthropic.anthropic-messages.6feb77941f": {face: "invalid", param: "tools.0.custom.input_schema.type"},
	"anthropic.anthropic-messages.eaf44798bf": {face: "invalid", param: "tools.0.custom.input_schema.type"},
	"anthropic.anthropic-messages.ee6cc590f7": {face: "invalid", param: "tools.0.custom"},
	"anthropic.anthropic-messages.fdd0d126e7": {face: "invalid"},
	"azure.openai-chat.335a4f2a47":            {face: "rate", wait: 1},
	"azure.openai-chat.ec9701eed4":            {face: "failed"}, // DeploymentNotFound is ours
	"deepseek.openai-chat.58d71b1f83":         {face: "invalid", param: "tool_choice", code: "tool_choice_unsupported"},
	"deepseek.openai-chat.c90cd1a85b":         {face: "invalid", param: "tool_choice", code: "tool_choice_unsupported"},
	"deepseek.openai-chat.592931c876":         {face: "invalid", code: "image_input_not_supported"},
	"deepseek.openai-chat.d26b59c2ff":         {face: "invalid", code: "image_input_not_supported"},
	"deepseek.openai-chat.71e9d0affd":         {face: "invalid", code: "unsupported_input_modality"},
	"deepseek.openai-chat.609f23b6d4":         {face: "model"},
	"doubleword.openai-chat.5d13609510":       {face: "auth"},   // 403
	"groq.openai-chat.1c80bda49a":             {face: "failed"}, // tool_use_failed: the model's mistake
	"llamacpp.openai-chat.38008d279d":         {face: "invalid", code: "image_input_not_supported"},
	"llamacpp.openai-chat.89e99dde1f":         {face: "invalid"},
	"llamacpp.openai-chat.b48c8eb82f":         {face: "invalid"},
	"llamacpp.openai-chat.c2656c0297":         {face: "failed"},
	"llamacpp.openai-embeddings.3201fc4043":   {face: "invalid"},
	"llamacpp.openai-embeddings.b3627e363e":   {face: "context"},
	"llamacpp.openai-embeddings.c0e567d4ab":   {face: "failed"}, // 501: the server has no embeddings
	"mistral.openai-chat.44d1407c27":          {face: "invalid"},
	"mistral.openai-chat.7d7e4d5861":          {face: "invalid"},
	"mistral.openai-embeddings.46dc79bfb6":    {face: "model"},
	"mistral.openai-embeddings.ce3cddc1ac":    {face: "invalid"},
	"openai.openai-chat.3d870ddfaa":           {face: "invalid", param: "messages.0.role", code: "unsupported_parameter"},
	"openai.openai-chat.e46e86292a":           {face: "invalid", param: "messages.0.role", code: "unsupported_parameter"},
	"openai.openai-chat.4910afed24":           {face: "invalid", param: "stop", code: "unsupported_parameter"},
	"openai.openai-chat.66a46589a3":           {face: "invalid", code: "invalid_value"},
	"openai.openai-chat.8801e642d1":           {face: "invalid", param: "tools.0.function.parameters", code: "invalid_json_schema"},
	"openai.openai-chat.b8039c6d64":           {face: "invalid", param: "messages.3", code: "invalid_value"},
	"openrouter.openai-chat.c5830d8e5f":       {face: "context"},
	"openrouter.openai-embeddings.87bd32135c": {face: "model"},
	"perplexity.openai-chat.9124d747ca":       {face: "context"},

	"modelled.anthropic.400-credit-balance-t":      {face: "quota"},
	"modelled.anthropic.413-request-too-large-t":   {face: "large"},
	"modelled.anthropic.429-input-tokens-t":        {face: "rate", wait: 30},
	"modelled.anthropic.500-api-error-t":           {face: "failed"},
	"modelled.anthropic.529-overloaded-t":          {face: "overloaded"},
	"modelled.azure.400-content-filter-t":          {face: "policy"},
	"modelled.deepseek.402-insufficient-balance-t": {face: "quota"},
	"modelled.groq.413-groq-t":                     {face: "large"},
	"modelled.openai.400-context-length-t":         {face: "context", param: "messages"},
	"modelled.openai.403-region-t":                 {face: "auth"},
	"modelled.openai.429-insufficient-quota-t":     {face: "quota"},
	"modelled.openai.429-tpm-t":                    {face: "rate", wait: 2, waitMS: 1780},
	"modelled.openai.500-server-error-t":           {face: "failed"},
	"modelled.openai.502-cloudflare-html-t":        {face: "failed"},
	"modelled.openrouter.402-openrouter-credits-t": {face: "quota"},
}

// recordedErrors replays every answer that was not 200: the caller sees the
// status, the code and the advice of protocols.md, nothing of the provider's
// words that are about our credential, and pays nothing.
func recordedErrors(t *testing.T, w *world) {
	p := w.purse(t)
	// A credential that was refused is used by one request at a time.
	refuses := func(f *testkit.Fixture) bool {
		face := errorsByID[f.ID].face
		return f.Response.Status == 401 || face == "auth" || face == "quota"
	}
	replay := func(f *testkit.Fixture) {
		r := p.post(t, apis[f.API], request(f, "fx/"+f.ID))
		if field, ok := refusedHere[f.ID]; ok {
			refusedAtOurDoor(t, p, f, r, field)
			return
		}
		want, ok := errorsByID[f.ID]
		if !ok {
			want.face = map[int]string{401: "auth", 404: "model"}[f.Response.Status]
			if want.face == "model" {
				want.param = "model"
			}
		}
		checkError(t, f.ID, strings.HasPrefix(f.API, "anthropic."), want, r)
		rc := w.gw.Receipt(t, r.ID, nil)
		if len(rc.Attempts) != 1 || nano(t, rc.ChargeUSD).Sign() != 0 || rc.Status != r.Status {
			t.Errorf("%s: receipt %+v", f.ID, rc)
		}
		if len(rc.Attempts) == 1 && rc.Attempts[0].Status != f.Response.Status {
			t.Errorf("%s: the receipt has upstream status %d", f.ID, rc.Attempts[0].Status)
		}
	}
	n := w.each(func(f *testkit.Fixture) bool { return f.Response.Status != 200 && !refuses(f) }, replay)
	for _, f := range w.fixtures {
		if f.Response.Status != 200 && refuses(f) {
			n++
			replay(f)
		}
	}
	if n < 85 {
		t.Errorf("only %d errors were replayed", n)
	}
	p.settle(t)
}

// checkError checks one error answer.
func checkError(t *testing.T, id string, messages bool, want wantError, r reply) {
	t.Helper()
	f, ok := faces[want.face]
	if !ok {
		t.Errorf("%s: no face %q for %d %s", id, want.face, r.Status, r.Body)
		return
	}
	o := parse(r.Body)
	e := obj(o["error"])
	status, kind, again := f.status, f.kind, f.again
	if messages {
		status, kind, again = f.messageStatus, f.messageKind, f.againMessage
	}
	if r.Status != status || str(e["type"]) != kind || str(e["message"]) == "" {
		t.Errorf("%s: %d %s, want %d %s", id, r.Status, r.Body, status, kind)
	}
	switch code, param := str(e["code"]), str(e["param"]); {
	case messages:
		if str(o["type"]) != "error" || str(o["request_id"]) != r.ID || want.param != "" && want.face == "invalid" && !strings.HasPrefix(str(e["message"]), want.param+": ") {
			t.Errorf("%s: %s, want type, request_id and %q", id, r.Body, want.param)
		}
	case code == "", f.code != "" && code != f.code, want.code != "" && code != want.code:
		t.Errorf("%s: code %q, want %s%s\n%s", id, code, f.code, want.code, r.Body)
	case want.param != "" && param != want.param:
		t.Errorf("%s: param %q, want %q\n%s", id, param, want.param, r.Body)
	}
	if got := r.Header.Get("X-Should-Retry"); got != again {
		t.Errorf("%s: x-should-retry %q, want %q", id, got, again)
	}
	waits(t, id, r, want, f.wait && (status == 429 || status == 503))
	if r.charged(t).Cmp(new(big.Int)) != 0 {
		t.Errorf("%s: charged %v", id, r.charged(t))
	}
	if want.face == "auth" || want.face == "quota" || want.face == "failed" {
		for _, word := range []string{"api key", "api_key", "credential-of", "balance", "subscription", "cloudflare", "html", "sk-"} {
			if strings.Contains(strings.ToLower(str(e["message"])), word) {
				t.Errorf("%s: the message shows the provider's affairs: %s", id, r.Body)
			}
		}
	}
}

// waits checks Retry-After and retry-after-ms.
func waits(t *testing.T, id string, r reply, want wantError, needed bool) {
	t.Helper()
	after, ms := r.Header.Get("Retry-After"), r.Header.Get("Retry-After-Ms")
	if after == "" && ms == "" && !needed {
		return
	}
	s, err := strconv.ParseInt(after, 10, 64)
	m, err2 := strconv.ParseInt(ms, 10, 64)
	if err != nil || err2 != nil || s < 1 || m < 1 || s != (m+999)/1000 {
		t.Errorf("%s: Retry-After %q, retry-after-ms %q", id, after, ms)
	}
	if want.wait > 0 && s != want.wait || want.waitMS > 0 && m != want.waitMS {
		t.Errorf("%s: Retry-After %d and %d ms, want %d and %d", id, s, m, want.wait, want.waitMS)
	}
}
