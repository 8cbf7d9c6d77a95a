package client

import "net/http"

// kinds tells the kind of a failure by the words that the services use as code
// or as type. Words that stand for several kinds are not here: the status
// decides.
var kinds = map[string]error{
	"invalid_json": ErrBadRequest, "invalid_request": ErrBadRequest, "missing_parameter": ErrBadRequest, "missing_required_parameter": ErrBadRequest,
	"invalid_parameter": ErrBadRequest, "invalid_parameter_value": ErrBadRequest, "invalid_value": ErrBadRequest, "invalid_type": ErrBadRequest,
	"unknown_parameter": ErrBadRequest, "unsupported_parameter": ErrBadRequest, "validation_error": ErrBadRequest, "request_too_large": ErrBadRequest, "bad_request": ErrBadRequest,
	"invalid_json_schema": ErrBadRequest, "tool_choice_unsupported": ErrBadRequest, "image_input_not_supported": ErrBadRequest, "unsupported_input_modality": ErrBadRequest,
	"unsupported_batch_input": ErrBadRequest, "request_timeout": ErrBadRequest, "unsupported_media_type": ErrBadRequest, "method_not_allowed": ErrBadRequest,
	"unknown_url": ErrBadRequest, "job_not_found": ErrBadRequest, "response_not_found": ErrBadRequest, "previous_response_not_found": ErrBadRequest,

	"missing_api_key": ErrUnauthorized, "invalid_api_key": ErrUnauthorized, "authentication_error": ErrUnauthorized, "auth_error": ErrUnauthorized,

	"key_inactive": ErrForbidden, "wrong_key_type": ErrForbidden, "permission_error": ErrForbidden, "permission_denied": ErrForbidden, "permission_denied_error": ErrForbidden,
	"endpoint_not_allowed": ErrForbidden, "origin_not_allowed": ErrForbidden,

	"model_not_found": ErrModel, "model_not_allowed": ErrModel, "plan_required": ErrModel, "model_unavailable": ErrModel,

	"rate_limited": ErrRateLimited, "rate_limit_exceeded": ErrRateLimited, "rate_limit_error": ErrRateLimited, "concurrency_limited": ErrRateLimited, "concurrency_limit_exceeded": ErrRateLimited,
	"daily_requests_exceeded": ErrRateLimited, "daily_spend_exceeded": ErrRateLimited, "plan_quota_exceeded": ErrRateLimited,

	"insufficient_balance": ErrInsufficientBalance, "balance_insufficient": ErrInsufficientBalance, "insufficient_credits": ErrInsufficientBalance, "insufficient_quota": ErrInsufficientBalance,
	"balance_held": ErrInsufficientBalance, "credits_required": ErrInsufficientBalance, "payment_required": ErrInsufficientBalance, "billing_error": ErrInsufficientBalance,
	"memory_balance_required": ErrInsufficientBalance, "web_search_balance_required": ErrInsufficientBalance, "both_balance_required": ErrInsufficientBalance,
	"payment_invalid": ErrInsufficientBalance, "payment_expired": ErrInsufficientBalance, "payment_conflict": ErrInsufficientBalance,

	"idempotency_in_progress": ErrIdempotency, "idempotency_mismatch": ErrIdempotency, "idempotency_error": ErrIdempotency, "request_in_flight": ErrIdempotency,

	"content_policy": ErrContent, "content_policy_violation": ErrContent, "context_length_exceeded": ErrContent, "empty_response": ErrContent, "empty_moderation_input": ErrContent,
	"conflicting_moderation_model": ErrContent, "inline_moderation_requires_api_key": ErrContent, "unsupported_moderation_input": ErrContent, "moderation_unavailable": ErrContent,

	"upstream_error": ErrUpstream, "upstream_failed": ErrUpstream, "upstream_timeout": ErrUpstream, "upstream_rate_limited": ErrUpstream, "upstream_overloaded": ErrUpstream,
	"upstream_authentication_failed": ErrUpstream, "upstream_quota_exhausted": ErrUpstream, "generation_failed": ErrUpstream, "no_healthy_upstream": ErrUpstream,
	"all_fallbacks_failed": ErrUpstream, "no_fallback": ErrUpstream, "no_fallback_available": ErrUpstream, "fallback_blocked_for_cache_consistency": ErrUpstream, "stream_interrupted": ErrUpstream, "server_is_overloaded": ErrUpstream, "overloaded_error": ErrUpstream,

	"invalid_provider_api_key": ErrProviderKey, "provider_key_invalid": ErrProviderKey, "provider_key_quota": ErrProviderKey, "provider_quota_exhausted": ErrProviderKey,

	"internal": ErrGateway, "internal_error": ErrGateway, "server_error": ErrGateway, "gateway_overloaded": ErrGateway, "draining": ErrGateway, "gateway_draining": ErrGateway, "ledger_unavailable": ErrGateway,

	"connection_error": ErrConnection, "stream_truncated": ErrInterrupted,
}

// kindOf returns the kind of an error: by its code, then its status, then its
// type, whose words are the broadest.
func kindOf(e *Error) error {
	if k := kinds[e.Code]; k != nil {
		return k
	}
	switch s := e.Status; {
	case s == http.StatusUnauthorized:
		return ErrUnauthorized
	case s == http.StatusPaymentRequired:
		return ErrInsufficientBalance
	case s == http.StatusForbidden:
		return ErrForbidden
	case s == http.StatusConflict:
		return ErrIdempotency
	case s == http.StatusTooManyRequests:
		return ErrRateLimited
	case s == http.StatusInternalServerError:
		return ErrGateway
	case s >= 500:
		return ErrUpstream
	case s >= 400:
		return ErrBadRequest
	}
	if k := kinds[e.Type]; k != nil {
		return k
	}
	return ErrUpstream // inside a stream, and it does not say
}
