package fidelity

import (
	"regexp"
	"strings"

	"github.com/pontage/pontage/internal/testkit"
)

// face is how an error of a provider looks to a caller of the default contract,
// in each envelope: protocols.md §2.1.
type face struct {
	status        int
	kind, code    string // of OpenAI's shape; code is the flat one's, too
	messageStatus int
	messageKind   string // of Anthropic's
	google        string // of Google's
}

var faces = map[string]face{
	"invalid":    {400, "invalid_request_error", "", 400, "invalid_request_error", "INVALID_ARGUMENT"},
	"context":    {400, "invalid_request_error", "context_length_exceeded", 400, "invalid_request_error", "INVALID_ARGUMENT"},
	"policy":     {400, "invalid_request_error", "content_policy_violation", 400, "invalid_request_error", "INVALID_ARGUMENT"},
	"model":      {404, "invalid_request_error", "model_not_found", 404, "not_found_error", "NOT_FOUND"},
	"large":      {413, "invalid_request_error", "request_too_large", 413, "request_too_large", "INVALID_ARGUMENT"},
	"rate":       {429, "rate_limit_error", "upstream_rate_limited", 429, "rate_limit_error", "RESOURCE_EXHAUSTED"},
	"auth":       {502, "upstream_error", "upstream_authentication_failed", 502, "api_error", "UNAVAILABLE"},
	"failed":     {502, "upstream_error", "upstream_error", 502, "api_error", "UNAVAILABLE"},
	"quota":      {503, "service_unavailable_error", "upstream_quota_exhausted", 503, "api_error", "UNAVAILABLE"},
	"overloaded": {503, "service_unavailable_error", "server_is_overloaded", 529, "overloaded_error", "UNAVAILABLE"},
}

// oddErrors are recorded errors that mean something else than protocols.md §2.3
// says of their status and code.
var oddErrors = map[string]string{
	"azure.openai-chat.ec9701eed4":            "failed",  // DeploymentNotFound is our configuration
	"groq.openai-chat.1c80bda49a":             "failed",  // tool_use_failed is the model's mistake
	"deepseek.openai-chat.609f23b6d4":         "model",   // a 400 for a model that is none
	"llamacpp.openai-chat.38008d279d":         "invalid", // a 500 for an image
	"llamacpp.openai-embeddings.b3627e363e":   "context", // a 500 for too long an input
	"mistral.openai-embeddings.46dc79bfb6":    "model",
	"openrouter.openai-embeddings.87bd32135c": "model",
}

var tooLong = regexp.MustCompile(`(?i)context_length|maximum context length|prompt is too long|exceeds? the (available |maximum )?context|exceeds the maximum number of tokens|input is too large to process`)

// meaning is what kind of failure a recorded error is, by the tables of
// protocols.md §2.3: its status first, then its code, then its words.
func meaning(f *testkit.Fixture) string {
	if k := oddErrors[f.ID]; k != "" {
		return k
	}
	body := string(f.Response.Body())
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(body, w) {
				return true
			}
		}
		return false
	}
	switch s := f.Response.Status; {
	case s == 400 && has("API_KEY_INVALID", "Incorrect API key"):
		return "auth"
	case has("credit balance is too low", "insufficient_quota", "enforced_spend_limit_reached"):
		return "quota"
	case s == 400 && has("FAILED_PRECONDITION"), s == 403 && has("SERVICE_DISABLED"): // our configuration
		return "failed"
	case has(`"model_not_found"`):
		return "model"
	case s == 400 && has(`"content_filter"`, "content_policy_violation", "ResponsibleAIPolicyViolation"):
		return "policy"
	case s == 400 && tooLong.MatchString(body):
		return "context"
	case s == 400 || s == 422:
		return "invalid"
	case s == 401 || s == 403:
		return "auth"
	case s == 402:
		return "quota"
	case s == 404:
		return "model"
	case s == 413:
		return "large"
	case s == 429:
		return "rate"
	case s == 503 || s == 529 || s == 498:
		return "overloaded"
	case s == 500 && tooLong.MatchString(body):
		return "context"
	}
	return "failed"
}

func openAIFailure(body value) (kind, code string) {
	e := in(body, "error")
	return text(in(e, "type")), text(in(e, "code"))
}

func openAIFace(f face) (status int, kind, code string) { return f.status, f.kind, f.code }

func anthropicFailure(body value) (kind, code string) {
	if text(in(body, "type")) != "error" || text(in(body, "request_id")) == "" {
		return "no envelope", ""
	}
	return text(in(body, "error", "type")), ""
}

func anthropicFace(f face) (status int, kind, code string) { return f.messageStatus, f.messageKind, "" }

// flatFailure reads the flat envelope, which has a code and no kind.
func flatFailure(body value) (kind, code string) {
	if text(in(body, "message")) == "" || text(in(body, "request_id")) == "" {
		return "no envelope", ""
	}
	return "", text(in(body, "error"))
}

func flatFace(f face) (status int, kind, code string) { return f.status, "", f.code }

func geminiFailure(body value) (kind, code string) { return text(in(body, "error", "status")), "" }

func geminiFace(f face) (status int, kind, code string) { return f.status, f.google, "" }
