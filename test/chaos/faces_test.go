package chaos

// face is how a failure looks in one dialect.
type face struct {
	status int
	kind   string // error.type
	code   string // error.code of OpenAI's shape; empty: any
	again  string // x-should-retry
	wait   bool   // Retry-After must be there
}

// faces are what callers of OpenAI's and of Anthropic's dialect see, from the
// contract openai and the rules for every answer.
var faces = map[string]struct{ openai, anthropic face }{
	"invalid":     {face{400, "invalid_request_error", "", "false", false}, face{400, "invalid_request_error", "", "false", false}},
	"context":     {face{400, "invalid_request_error", "context_length_exceeded", "false", false}, face{400, "invalid_request_error", "", "false", false}},
	"policy":      {face{400, "invalid_request_error", "content_policy_violation", "false", false}, face{400, "invalid_request_error", "", "false", false}},
	"model":       {face{404, "invalid_request_error", "model_not_found", "false", false}, face{404, "not_found_error", "", "false", false}},
	"large":       {face{413, "invalid_request_error", "request_too_large", "false", false}, face{413, "request_too_large", "", "false", false}},
	"rate":        {face{429, "rate_limit_error", "upstream_rate_limited", "true", true}, face{429, "rate_limit_error", "", "true", true}},
	"rate-long":   {face{429, "rate_limit_error", "upstream_rate_limited", "false", true}, face{429, "rate_limit_error", "", "false", true}},
	"auth":        {face{502, "upstream_error", "upstream_authentication_failed", "false", false}, face{502, "api_error", "", "false", false}},
	"failed":      {face{502, "upstream_error", "upstream_error", "true", false}, face{502, "api_error", "", "true", false}},
	"empty":       {face{502, "upstream_error", "empty_response", "true", false}, face{502, "api_error", "", "true", false}},
	"quota":       {face{503, "service_unavailable_error", "upstream_quota_exhausted", "false", false}, face{503, "api_error", "", "false", false}},
	"overloaded":  {face{503, "service_unavailable_error", "server_is_overloaded", "true", true}, face{529, "overloaded_error", "", "", true}},
	"unreachable": {face{503, "service_unavailable_error", "no_healthy_upstream", "true", true}, face{503, "api_error", "", "true", true}},
	"timeout":     {face{504, "timeout_error", "upstream_timeout", "true", false}, face{504, "timeout_error", "", "true", false}},
}

// google are Google's words for statuses: a failure has the status that it has
// in OpenAI's dialect.
var google = map[int]string{
	400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 413: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED",
	502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}
