package provider

import "strings"

// codes are the machine codes that mean the same at every provider, in lower
// case. Sources: protocols.md §2.3.
var codes = map[string]kind{
	"context_length_exceeded":        kContext,
	"exceed_context_size_error":      kContext,
	"too_many_prompt_tokens":         kContext,
	"content_policy_violation":       kPolicy,
	"content_filter":                 kPolicy,
	"moderation_blocked":             kPolicy,
	"bio_policy":                     kPolicy,
	"cyber_policy":                   kPolicy,
	"data_inspection_failed":         kPolicy, // of Alibaba, as arrearage
	"responsibleaipolicyviolation":   kPolicy,
	"image_content_policy_violation": kPolicy,

	"unsupported_parameter":       kUnsupported,
	"unsupported_value":           kUnsupported,
	"unsupported_feature":         kUnsupported,
	"unknown_parameter":           kUnknown,
	"missing_required_parameter":  kMissing,
	"invalid_type":                kInvalidType,
	"invalid_value":               kInvalid,
	"empty_array":                 kInvalid,
	"empty_string":                kInvalid,
	"invalid_function_parameters": kSchema,
	"invalid_json_schema":         kSchema,
	"failed_to_download_image":    kInvalid,
	"string_too_long":             kInvalid,
	"invalid_encrypted_content":   kState,

	"invalid_api_key":                      kAuth,
	"incorrect_api_key":                    kAuth,
	"api_key_invalid":                      kAuth,
	"unauthenticated":                      kAuth,
	"permissiondenied":                     kAuth,
	"permission_denied":                    kAuth,
	"unsupported_country_region_territory": kForbidden,
	"ip_not_authorized":                    kForbidden,
	"organization_restricted":              kForbidden,

	"insufficient_quota":                kQuota,
	"credit_balance_exhausted":          kQuota,
	"organization_spend_limit_exceeded": kQuota,
	"project_spend_limit_exceeded":      kQuota,
	"organization_usage_limit_exceeded": kQuota,
	"billing_hard_limit_reached":        kQuota,
	"billing_not_active":                kQuota,
	"enforced_spend_limit_reached":      kQuota,
	"insufficient_balance":              kQuota,
	"insufficient_credits":              kQuota,
	"not_enough_balance":                kQuota,
	"arrearage":                         kQuota,

	"rate_limit_exceeded": kRate,
	"ratelimitreached":    kRate,
	"too_many_requests":   kRate,
	"toomanyrequests":     kRate,
	"resource_exhausted":  kRate,
	"rate_limited":        kRate,
	"slow_down":           kRamp,

	"model_not_found":     kModel,
	"deploymentnotfound":  kConfig,
	"model_not_available": kModel,
	"model_not_supported": kModel,
	"not_found":           kModel,
	"failed_precondition": kConfig,
	"service_disabled":    kConfig,

	"server_is_overloaded":  kOverloaded,
	"capacity_exceeded":     kOverloaded,
	"engine_overloaded":     kOverloaded,
	"overloaded":            kOverloaded,
	"unavailable":           kOverloaded,
	"service_unavailable":   kOverloaded,
	"server_error":          kFailed,
	"internal":              kFailed,
	"internal_error":        kFailed,
	"internal_server_error": kFailed,
	"provider_unavailable":  kFailed,
	"upstream_error":        kFailed,
	"deadline_exceeded":     kTimeout,
	"timeout":               kTimeout,
	"tool_use_failed":       kBadCall,
	"json_validate_failed":  kBadCall,
}

// families are the codes that mean something else at one provider.
var families = map[string]map[string]kind{
	"openai": {"invalid_prompt": kPolicy},
	"azure":  {"invalid_prompt": kPolicy, "content_filter_error": kFailed, "operationnotsupported": kConfig},
	"bedrock": {
		"accessdeniedexception":         kAuth,
		"unrecognizedclientexception":   kAuth,
		"expiredtokenexception":         kAuth,
		"invalidsignatureexception":     kAuth,
		"incompletesignature":           kAuth,
		"missingauthenticationtoken":    kAuth,
		"servicequotaexceededexception": kQuota,
		"resourcenotfoundexception":     kModel,
		"ftuformnotfilled":              kConfig, // the form on what the model is used for
		"modeltimeoutexception":         kTimeout,
		"modelerrorexception":           kFailed,
		"modelstreamerrorexception":     kFailed,
		"throttlingexception":           kRate,
		"modelnotreadyexception":        kOverloaded,
		"internalserverexception":       kFailed,
		"internalfailure":               kFailed,
		"serviceunavailableexception":   kOverloaded,
	},
	"groq":    {"model_decommissioned": kModel, "model_terms_required": kForbidden},
	"generic": {"1113": kQuota, "1211": kModel, "1261": kContext, "1301": kPolicy, "1309": kQuota}, // of Z.ai
}

// turns are codes that mean something else where the words say so.
var turns = []struct {
	family string
	from   kind
	part   string // in lower case
	to     kind
}{
	{"bedrock", kRate, "too many tokens per day", kQuota},
	{"bedrock", kAuth, "access to the model", kForbidden},
	{"bedrock", kModel, "use case details", kConfig},
}

// known are the families that phrases name; any other is generic.
const known = " openai azure anthropic openrouter groq deepseek mistral xai fireworks together vllm llamacpp ollama cerebras gemini bedrock "

// types are the error types that say enough by themselves.
var types = map[string]kind{
	"authentication_error":         kAuth,
	"billing_error":                kQuota,
	"insufficient_quota":           kQuota,
	"rate_limit_error":             kRate,
	"overloaded_error":             kOverloaded,
	"engine_overloaded_error":      kOverloaded, // of Moonshot, as the next two
	"content_filter":               kPolicy,
	"exceeded_current_quota_error": kQuota,
	"unavailable_error":            kOverloaded,
	"service_unavailable_error":    kOverloaded,
	"timeout_error":                kTimeout,
	"request_too_large":            kTooLarge,
	"conflict_error":               kConflict,
	"exceed_context_size_error":    kContext,
	"too_many_prompt_tokens":       kContext,
	"not_found_error":              kModel,
	"invalid_model":                kModel,
	"not_supported_error":          kConfig,
	"permission_error":             kAuth,
	"request_forbidden":            kForbidden,
}

// inBandTypes are types that say less than a status, for where there is none.
var inBandTypes = map[string]kind{
	"invalid_request_error": kRequest,
	"badrequesterror":       kRequest,
	"bad request":           kRequest,
	"validationexception":   kRequest,
	"api_error":             kFailed,
	"server_error":          kFailed,
}

// byCode finds a machine code. OpenAI has many that begin alike.
func byCode(family, code string) kind {
	code = strings.ToLower(code)
	if k := families[family][code]; k != kNone {
		return k
	}
	if k := codes[code]; k != kNone {
		return k
	}
	for _, p := range [...]string{"invalid_image", "image_", "invalid_base64_image", "empty_image_file", "unsupported_image"} {
		if strings.HasPrefix(code, p) {
			return kInvalid
		}
	}
	if strings.Contains(code, "_above_max_") || strings.Contains(code, "_below_min_") {
		return kInvalid
	}
	return types[code]
}

// byType finds an error type.
func byType(t string) kind { return types[strings.ToLower(t)] }

// byStatus is what a status means when nothing else is known.
var byStatus = map[int]kind{
	400: kRequest,
	401: kAuth,
	402: kQuota,
	403: kAuth,
	404: kModel,
	405: kConfig,
	406: kConfig,
	407: kConfig,
	408: kTimeout,
	409: kConflict,
	410: kModel,
	411: kConfig,
	412: kConfig,
	413: kTooLarge,
	414: kConfig,
	415: kConfig,
	417: kConfig, // it is about a header that is ours
	421: kConfig,
	422: kRequest,
	423: kConflict,
	424: kFailed,
	425: kConflict,
	426: kConfig,
	429: kRate,
	431: kConfig,
	451: kForbidden,
	498: kOverloaded,
	499: kFailed,
	501: kConfig,
	503: kOverloaded,
	504: kTimeout,
	// A network in between could not get through to the provider. With 524 it
	// did, and the provider may be at work.
	521: kUnreachable,
	522: kUnreachable,
	523: kUnreachable,
	524: kTimeout,
	525: kUnreachable,
	526: kUnreachable,
	527: kUnreachable,
	529: kOverloaded,
}

// phrase is a last resort: words that mean something at a status, at some
// providers. All parts must be there, in lower case.
type phrase struct {
	families string // separated by spaces; empty: all
	statuses []int
	parts    []string
	kind     kind
}

var (
	refused = []int{400, 404, 413, 422}
	local   = []int{400, 413, 422, 500}
)

// phrases are gone through in order. Sources: protocols.md §2.3.
var phrases = []phrase{
	{"anthropic", refused, []string{"prompt is too long"}, kContext},
	{"anthropic", refused, []string{"exceed context limit"}, kContext},
	{"anthropic", refused, []string{"credit balance", "too low"}, kQuota},
	{"anthropic", refused, []string{"usage limits"}, kQuota},
	{"anthropic", refused, []string{"spend limit"}, kQuota},
	{"anthropic", refused, []string{"content filtering policy"}, kPolicy},
	{"anthropic", refused, []string{"signature", "thinking"}, kState},
	{"anthropic", refused, []string{"signature: field required"}, kState},
	{"anthropic", refused, []string{"thinking", "cannot be modified"}, kState},
	{"anthropic", refused, []string{"tool_choice", "not supported for this model"}, kToolChoice},
	{"anthropic", refused, []string{"not supported for this model"}, kUnsupported},
	{"anthropic", refused, []string{"does not support effort"}, kUnsupported},

	{"bedrock", refused, []string{"input is too long"}, kContext},
	{"bedrock", refused, []string{"expected maxlength"}, kContext},
	{"bedrock", refused, []string{"on-demand throughput"}, kConfig},
	{"bedrock", refused, []string{"model identifier is invalid"}, kModel},
	{"bedrock", refused, []string{"signature", "thinking"}, kState},
	{"bedrock", refused, []string{"thinking", "cannot be modified"}, kState},

	{"openai azure openrouter", refused, []string{"unsupported parameter: "}, kUnsupported},
	{"", refused, []string{"maximum context length"}, kContext},
	{"vllm llamacpp ollama generic", local, []string{"maximum context length"}, kContext},
	{"", refused, []string{"input tokens exceed the configured limit"}, kContext},
	{"", refused, []string{"total length of all messages is too long"}, kContext},
	{"", refused, []string{"exceeds the maximum number of tokens allowed"}, kContext},
	{"", refused, []string{"prompt is too long"}, kContext},
	{"", refused, []string{"too many input tokens"}, kContext},
	{"", refused, []string{"prompt tokens", "exceed model maximum"}, kContext},
	{"", refused, []string{"`inputs` tokens + `max_new_tokens` must be"}, kContext},
	{"", refused, []string{"current length is", "while limit is"}, kContext},
	{"xai generic", refused, []string{"maximum prompt length"}, kContext},
	{"generic", refused, []string{"range of input length should be"}, kContext},
	{"vllm generic", local, []string{"longer than the model's context length"}, kContext},
	{"llamacpp generic", local, []string{"greater than the context length"}, kContext},
	{"vllm generic", refused, []string{"requires --enable-auto-tool-choice"}, kConfig},
	{"", refused, []string{"could not be verified", "encrypted"}, kState},
	{"", []int{429}, []string{"request too large"}, kBigger},
	{"llamacpp vllm ollama generic", local, []string{"exceeds the available context size"}, kContext},
	{"llamacpp vllm ollama generic", local, []string{"you passed", "input tokens"}, kContext},
	{"llamacpp generic", local, []string{"is too large to process", "tokens"}, kContext},
	{"llamacpp vllm generic", local, []string{"image input is not supported"}, kImage},
	{"deepseek generic", refused, []string{"unknown variant `image_url`"}, kImage},
	{"deepseek generic", refused, []string{"unknown variant `input_audio`"}, kModality},
	{"", refused, []string{"does not support this tool_choice"}, kToolChoice},
	{"gemini", refused, []string{"thought_signature"}, kState},
	{"gemini", refused, []string{"thought signature"}, kState},
	{"xai gemini generic", refused, []string{"incorrect api key"}, kAuth},
	{"xai gemini generic", refused, []string{"api key not valid"}, kAuth},
	{"xai generic", []int{403}, []string{"violates usage guidelines"}, kPolicy},
	{"xai generic", []int{403}, []string{"credits"}, kQuota},
	{"xai generic", []int{429}, []string{"used all available credits"}, kQuota},
	{"deepseek generic", refused, []string{"content exists risk"}, kPolicy},
	{"generic", refused, []string{"degraded function cannot be invoked"}, kOverloaded},
	{"mistral", []int{400, 403, 500}, []string{"service tier capacity exceeded"}, kRate},
	{"azure", []int{401, 403}, []string{"virtual network"}, kForbidden},
	{"azure", []int{401, 403}, []string{"firewall"}, kForbidden},
	{"deepseek generic", refused, []string{"supported api model names"}, kModel},
	{"mistral generic", refused, []string{"invalid model:"}, kModel},
	{"openrouter generic", refused, []string{"model ", " does not exist"}, kModel},
	{"openrouter generic", refused, []string{"is not a valid model id"}, kModel},
}

// byWords looks for a phrase.
func (w *words) byWords(family string, status int) kind {
	for _, p := range phrases {
		if p.holds(family, status) && w.has(p.parts...) {
			return p.kind
		}
	}
	return kNone
}

// holds reports whether the phrase means something at this provider with this
// status. An error within a stream has no status, and so leaves it open.
func (p *phrase) holds(family string, status int) bool {
	if p.families != "" && !strings.Contains(" "+p.families+" ", " "+family+" ") {
		return false
	}
	if status >= 200 && status <= 299 {
		return true
	}
	for _, s := range p.statuses {
		if s == status {
			return true
		}
	}
	return false
}
