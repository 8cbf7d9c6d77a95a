package gemini

import (
	"fmt"
	"net/http"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// finishOf maps a finish reason; failed means that the model did not bring forth
// an answer. What nobody knows is a natural end. Numbers are what the reasons are
// in the protocol's own numbering, which some ask for. See protocols.md §3.9.
func finishOf(reason []byte) (f llm.Finish, failed bool) {
	switch string(reason) {
	case "", "FINISH_REASON_UNSPECIFIED", "0":
		return "", false
	case "MAX_TOKENS", "2":
		return llm.FinishLength, false
	case "SAFETY", "3", "RECITATION", "4", "LANGUAGE", "6", "BLOCKLIST", "7", "PROHIBITED_CONTENT", "8", "SPII", "9",
		"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR":
		return llm.FinishContentFilter, false
	case "OTHER", "5", "MALFORMED_FUNCTION_CALL", "10", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
		"MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE", "NO_IMAGE", "IMAGE_OTHER":
		return "", true
	}
	return llm.FinishStop, false
}

// fruitless is the failure of an answer that the model itself gave up, which says
// nothing of the provider's health.
func fruitless(reason, body []byte) *provider.Failure {
	f := provider.BadAnswer(http.StatusOK, body, fmt.Errorf("the answer ended with %.64s", reason))
	f.Breaker = false
	return f
}

// blocked is the failure of a prompt that was not let through to the model.
func blocked(body []byte) *provider.Failure {
	f := provider.BadAnswer(http.StatusOK, body, nil)
	return &provider.Failure{
		Fault: &fault.Error{Code: fault.ContentPolicy, UpstreamStatus: http.StatusOK, Upstream: f.Fault.Upstream},
		Sent:  true,
	}
}
