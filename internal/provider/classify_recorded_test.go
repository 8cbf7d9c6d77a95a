package provider

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/testkit"
)

// recorded is what recorded errors mean, by recording. Those that are not named
// are 404 of a model that does not exist, or 401 of a key that is none.
var recorded = map[string]string{
	"anthropic.anthropic-messages.242b2c25b1": "unsupported_parameter",
	"anthropic.anthropic-messages.49078e5f9d": "invalid_request",
	"anthropic.anthropic-messages.6e330ebc27": "invalid_request",
	"anthropic.anthropic-messages.6feb77941f": "invalid_parameter",
	"anthropic.anthropic-messages.7c389555a6": "invalid_parameter",
	"anthropic.anthropic-messages.eaf44798bf": "invalid_parameter",
	"anthropic.anthropic-messages.eb5d7e8521": "invalid_parameter",
	"anthropic.anthropic-messages.ee6cc590f7": "invalid_parameter",
	"anthropic.anthropic-messages.fdd0d126e7": "invalid_request",
	"azure.openai-chat.335a4f2a47":            rate,
	"deepseek.openai-chat.58d71b1f83":         "tool_choice_unsupported",
	"deepseek.openai-chat.c90cd1a85b":         "tool_choice_unsupported",
	"deepseek.openai-chat.592931c876":         "image_input_unsupported",
	"deepseek.openai-chat.d26b59c2ff":         "image_input_unsupported",
	"deepseek.openai-chat.71e9d0affd":         "input_modality_unsupported",
	"deepseek.openai-chat.609f23b6d4":         noModel,
	"doubleword.openai-chat.5d13609510":       auth,
	"doubleword.openai-chat.def3fccd76":       "invalid_request",
	"groq.openai-chat.1c80bda49a":             badCall,
	"llamacpp.openai-chat.38008d279d":         "image_input_unsupported",
	"llamacpp.openai-chat.89e99dde1f":         "invalid_request",
	"llamacpp.openai-chat.b48c8eb82f":         "invalid_request",
	"llamacpp.openai-chat.c2656c0297":         broken,
	"llamacpp.openai-embeddings.3201fc4043":   "invalid_request",
	"llamacpp.openai-embeddings.b3627e363e":   tooLong,
	"llamacpp.openai-embeddings.c0e567d4ab":   config,
	"mistral.openai-chat.44d1407c27":          "invalid_request",
	"mistral.openai-chat.7d7e4d5861":          "invalid_request",
	"mistral.openai-embeddings.46dc79bfb6":    noModel,
	"mistral.openai-embeddings.ce3cddc1ac":    "invalid_request",
	"openai.openai-chat.18914fd904":           "unsupported_parameter",
	"openai.openai-chat.3d870ddfaa":           "unsupported_parameter",
	"openai.openai-chat.4910afed24":           "unsupported_parameter",
	"openai.openai-chat.66a46589a3":           "invalid_parameter",
	"openai.openai-chat.8801e642d1":           "invalid_json_schema",
	"openai.openai-chat.b8039c6d64":           "invalid_parameter",
	"openai.openai-chat.e46e86292a":           "unsupported_parameter",
	"openai.openai-chat.ee8a04b30c":           "invalid_parameter",
	"openai.openai-chat.f05f661aff":           "invalid_parameter",
	"openrouter.openai-chat.c5830d8e5f":       tooLong,
	"openrouter.openai-embeddings.87bd32135c": noModel,
	"perplexity.openai-chat.9124d747ca":       tooLong,

	"modelled.anthropic.400-credit-balance-t":      quota,
	"modelled.anthropic.413-request-too-large-t":   "body_too_large",
	"modelled.anthropic.429-input-tokens-t":        rate,
	"modelled.anthropic.500-api-error-t":           broken,
	"modelled.anthropic.529-overloaded-t":          busy,
	"modelled.azure.400-content-filter-t":          policy,
	"modelled.deepseek.402-insufficient-balance-t": quota,
	"modelled.groq.413-groq-t":                     bigger,
	"modelled.openai.400-context-length-t":         tooLong,
	"modelled.openai.403-region-t":                 noAccess,
	"modelled.openai.429-insufficient-quota-t":     quota,
	"modelled.openai.429-tpm-t":                    rate,
	"modelled.openai.500-server-error-t":           broken,
	"modelled.openai.502-cloudflare-html-t":        broken,
	"modelled.openrouter.402-openrouter-credits-t": quota,
}

func TestRecordedErrorsAreUnderstood(t *testing.T) {
	t.Parallel()
	corpus := testkit.Fixtures(t)
	n := 0
	for _, e := range corpus.Entries {
		switch e.API {
		case "openai.chat", "openai.embeddings", "anthropic.messages", "anthropic.count_tokens":
		default:
			continue
		}
		if e.Status < 400 {
			continue
		}
		n++
		want, ok := recorded[e.ID]
		if !ok {
			want = map[int]string{401: auth, 404: noModel}[e.Status]
			if strings.HasPrefix(e.ID, "azure.") && e.Status == 404 {
				want = config // the deployment, which only the operator names
			}
		}
		r := corpus.Load(t, e).Response
		f := Classify(e.Provider, e.Status, r.Header(), r.Body())
		if got := verdictOf(f); got != want {
			t.Errorf("%s: Classify = %s, want %s\n%s", e.ID, got, want, r.Body())
		}
		if f.Fault.UpstreamStatus != e.Status || f.Fault.Upstream == "" && len(r.Body()) > 0 {
			t.Errorf("%s: the log has status %d and %q", e.ID, f.Fault.UpstreamStatus, f.Fault.Upstream)
		}
		if f.Fault.Code.Entry().Class == fault.ClassUpstream && f.Fault.Message != "" {
			t.Errorf("%s: a caller sees %q", e.ID, f.Fault.Message)
		}
	}
	if n < 85 {
		t.Errorf("only %d errors", n)
	}
}
