package fault

// Class groups the codes that a contract may give one default row.
type Class uint8

// The classes, in the order in which a request can meet them.
const (
	ClassRequest     Class = iota // the request itself is wrong
	ClassCredential               // who are you
	ClassPermission               // you may not
	ClassModel                    // that model, for you, now
	ClassLimit                    // too much, too often
	ClassMoney                    // not enough money
	ClassIdempotency              // the same key, twice
	ClassContent                  // what was said, or not said
	ClassUpstream                 // a provider failed us
	ClassOwnKey                   // the caller's own provider key failed
	ClassGateway                  // we failed
)

// classNames are the names that contracts use; see [Class.String].
var classNames = [...]string{"request", "credential", "permission", "model", "limit", "money", "idempotency", "content", "upstream", "own_key", "gateway"}

// String returns the name that a contract file uses for the class.
func (c Class) String() string { return classNames[c] }

// Classes lists every class.
func Classes() []Class {
	out := make([]Class, len(classNames))
	for i := range out {
		out[i] = Class(i)
	}
	return out
}

// Code names one way to fail. The list is closed: a failure that fits none of
// these is a new row here, never a string made up on the spot.
type Code uint8

// The registry. Names are stable: contracts, metrics and logs use them.
const (
	None Code = iota // the zero value: not a fault

	InvalidJSON
	InvalidRequest
	MissingParameter
	InvalidParameter
	InvalidType
	UnknownParameter
	UnsupportedParameter
	InvalidJSONSchema
	ToolChoiceUnsupported
	ImageInputUnsupported
	InputModalityUnsupported
	BatchInputUnsupported
	BodyTooLarge
	RequestTimeout
	UnsupportedMediaType
	MethodNotAllowed
	NotFound
	JobNotFound
	ResponseIDInvalid
	ResponseNotFound
	PreviousResponseNotFound
	UnknownProvider
	SuffixConflict
	SuffixUnsupported

	KeyMissing
	KeyInvalid
	KeyExpired
	KeyInactive
	KeyWrongKind
	EndpointNotAllowed
	OriginNotAllowed

	ModelNotFound
	ModelNotAllowed
	PlanRequired
	ModelUnavailable

	RateLimited
	ConcurrencyLimited
	DailyRequestsExceeded
	DailySpendExceeded
	PlanQuotaExceeded

	BalanceInsufficient
	BalanceHeld
	CreditsRequired
	MemoryBalance
	WebSearchBalance
	BothBalance
	PaymentRequired
	PaymentInvalid
	PaymentExpired
	PaymentConflict

	IdempotencyInProgress
	IdempotencyMismatch
	IdempotencyNotStored

	ContentPolicy
	ContextLengthExceeded
	EmptyResponse
	ModerationConflict
	ModerationNeedsKey
	ModerationEmpty
	ModerationUnsupported
	ModerationUnavailable

	UpstreamFailed
	UpstreamTimeout
	UpstreamOverloaded
	UpstreamRateLimited
	UpstreamAuth
	UpstreamQuota
	NoTarget
	StreamInterrupted
	AllFallbacksFailed
	NoFallback
	FallbackBlocked

	ProviderKeyInvalid
	ProviderKeyQuota

	Internal
	Overloaded
	Draining
	LedgerUnavailable
	TranslationError

	codeCount
)

// Entry is what is known of a code whatever the contract.
type Entry struct {
	Code   Code
	Name   string // stable, snake_case
	Class  Class
	Helps  bool   // repeating the same request later can succeed without anybody doing anything
	Public string // a plain sentence for a caller, used where a contract has no words of its own
	Advice string // what to do about it, for the error reference
}

var registry = [codeCount]Entry{
	None: {Name: "none"},

	InvalidJSON:              {Name: "invalid_json", Class: ClassRequest, Public: "The request body is not valid JSON.", Advice: "Fix the JSON syntax."},
	InvalidRequest:           {Name: "invalid_request", Class: ClassRequest, Public: "The request is not valid.", Advice: "Fix the request as the message says."},
	MissingParameter:         {Name: "missing_parameter", Class: ClassRequest, Public: "A required parameter is missing.", Advice: "Send the parameter that is named."},
	InvalidParameter:         {Name: "invalid_parameter", Class: ClassRequest, Public: "A parameter has a value that is not allowed.", Advice: "Correct the parameter that is named."},
	InvalidType:              {Name: "invalid_type", Class: ClassRequest, Public: "A parameter has the wrong type.", Advice: "Send the parameter that is named with the right JSON type."},
	UnknownParameter:         {Name: "unknown_parameter", Class: ClassRequest, Public: "A parameter is not known here.", Advice: "Leave the parameter out."},
	UnsupportedParameter:     {Name: "unsupported_parameter", Class: ClassRequest, Public: "A parameter cannot be honoured for this model.", Advice: "Leave the parameter out or choose another model."},
	InvalidJSONSchema:        {Name: "invalid_json_schema", Class: ClassRequest, Public: "The JSON Schema is not valid.", Advice: "Correct the schema at the place that is named."},
	ToolChoiceUnsupported:    {Name: "tool_choice_unsupported", Class: ClassRequest, Public: "This model does not support that tool choice.", Advice: "Use tool_choice auto, or another model."},
	ImageInputUnsupported:    {Name: "image_input_unsupported", Class: ClassRequest, Public: "This model does not take images.", Advice: "Send text only, or choose a model with image input."},
	InputModalityUnsupported: {Name: "input_modality_unsupported", Class: ClassRequest, Public: "This model does not take that kind of input.", Advice: "Choose a model that does."},
	BatchInputUnsupported:    {Name: "batch_input_unsupported", Class: ClassRequest, Public: "This model does not take several inputs at once.", Advice: "Send one input a request."},
	BodyTooLarge:             {Name: "body_too_large", Class: ClassRequest, Public: "The request body is too large.", Advice: "Send a smaller body."},
	RequestTimeout:           {Name: "request_timeout", Class: ClassRequest, Helps: true, Public: "The request body did not arrive in time.", Advice: "Send the request again over a better connection."},
	UnsupportedMediaType:     {Name: "unsupported_media_type", Class: ClassRequest, Public: "This Content-Type or Content-Encoding is not taken here.", Advice: "Send application/json, or multipart/form-data where a file is sent, encoded as identity or gzip."},
	MethodNotAllowed:         {Name: "method_not_allowed", Class: ClassRequest, Public: "This method is not allowed here.", Advice: "Use a method that the Allow header names."},
	NotFound:                 {Name: "not_found", Class: ClassRequest, Public: "There is nothing at this path.", Advice: "Check the path and the base URL."},
	JobNotFound:              {Name: "job_not_found", Class: ClassRequest, Public: "There is no such job.", Advice: "Check the job's id."},
	ResponseIDInvalid:        {Name: "response_id_invalid", Class: ClassRequest, Public: "That is not the id of a response.", Advice: "Send the id as it was given: it begins with resp_."},
	ResponseNotFound:         {Name: "response_not_found", Class: ClassRequest, Public: "There is no such response.", Advice: "Check the response's id, and that it was stored, not so long ago."},
	PreviousResponseNotFound: {Name: "previous_response_not_found", Class: ClassRequest, Public: "There is no such response to continue.", Advice: "Send the conversation whole; store what is to be continued."},

	UnknownProvider:   {Name: "unknown_provider", Class: ClassRequest, Public: "There is no such provider.", Advice: "Name a provider that is offered here, or none."},
	SuffixConflict:    {Name: "suffix_conflict", Class: ClassRequest, Public: "A suffix of the model contradicts another choice of a provider.", Advice: "Choose a provider, or an order of them, in one way only."},
	SuffixUnsupported: {Name: "suffix_unsupported", Class: ClassRequest, Public: "This model has no providers to choose from.", Advice: "Name the model without that suffix."},

	KeyMissing:         {Name: "key_missing", Class: ClassCredential, Public: "No API key was sent.", Advice: "Send Authorization: Bearer and your key."},
	KeyInvalid:         {Name: "key_invalid", Class: ClassCredential, Public: "The API key is not valid.", Advice: "Check that the key was copied whole and was not revoked."},
	KeyExpired:         {Name: "key_expired", Class: ClassCredential, Public: "The API key has expired.", Advice: "Create a new key."},
	KeyInactive:        {Name: "key_inactive", Class: ClassPermission, Public: "The API key is not active.", Advice: "Activate the key or use another one."},
	KeyWrongKind:       {Name: "key_wrong_kind", Class: ClassPermission, Public: "This kind of key may not be used here.", Advice: "Use a key of the kind that is named."},
	EndpointNotAllowed: {Name: "endpoint_not_allowed", Class: ClassPermission, Public: "This key may not use this endpoint.", Advice: "Use the endpoint that belongs to the key."},
	OriginNotAllowed:   {Name: "origin_not_allowed", Class: ClassPermission, Public: "Requests from this origin are not allowed.", Advice: "Call from an allowed origin."},

	ModelNotFound:    {Name: "model_not_found", Class: ClassModel, Public: "There is no such model.", Advice: "List the models, and use one of their ids."},
	ModelNotAllowed:  {Name: "model_not_allowed", Class: ClassModel, Public: "This key may not use this model.", Advice: "Use a model that the key allows."},
	PlanRequired:     {Name: "plan_required", Class: ClassModel, Public: "This model is not part of your plan.", Advice: "Choose another plan or another model."},
	ModelUnavailable: {Name: "model_unavailable", Class: ClassModel, Helps: true, Public: "The model is not available at the moment.", Advice: "Try again later or choose another model."},

	RateLimited:           {Name: "rate_limited", Class: ClassLimit, Helps: true, Public: "Too many requests.", Advice: "Wait for Retry-After, then send it again."},
	ConcurrencyLimited:    {Name: "concurrency_limited", Class: ClassLimit, Helps: true, Public: "Too many requests at the same time.", Advice: "Wait until one has finished."},
	DailyRequestsExceeded: {Name: "daily_requests_exceeded", Class: ClassLimit, Public: "The daily request limit is reached.", Advice: "Wait until 00:00 UTC or raise the key's limit."},
	DailySpendExceeded:    {Name: "daily_spend_exceeded", Class: ClassLimit, Public: "The daily spending limit is reached.", Advice: "Wait until 00:00 UTC or raise the key's limit."},
	PlanQuotaExceeded:     {Name: "plan_quota_exceeded", Class: ClassLimit, Public: "The plan's daily quota is used up.", Advice: "Wait until 00:00 UTC or choose another plan."},

	BalanceInsufficient: {Name: "balance_insufficient", Class: ClassMoney, Public: "The balance does not cover this request.", Advice: "Add credit, lower max_tokens or choose a cheaper model."},
	BalanceHeld:         {Name: "balance_held", Class: ClassMoney, Helps: true, Public: "The balance is held by requests in flight.", Advice: "Wait for one of them to finish."},
	CreditsRequired:     {Name: "credits_required", Class: ClassMoney, Public: "This model is paid from credits, and there are none.", Advice: "Add credits."},
	MemoryBalance:       {Name: "memory_balance", Class: ClassMoney, Public: "The balance does not cover context memory.", Advice: "Add credit or switch context memory off."},
	WebSearchBalance:    {Name: "web_search_balance", Class: ClassMoney, Public: "The balance does not cover web search.", Advice: "Add credit or switch web search off."},
	BothBalance:         {Name: "both_balance", Class: ClassMoney, Public: "The balance covers neither context memory nor web search.", Advice: "Add credit or switch them off."},
	PaymentRequired:     {Name: "payment_required", Class: ClassMoney, Public: "Payment is required.", Advice: "Pay as the body describes and repeat the request."},
	PaymentInvalid:      {Name: "payment_invalid", Class: ClassMoney, Public: "The payment is not valid.", Advice: "Make a new payment."},
	PaymentExpired:      {Name: "payment_expired", Class: ClassMoney, Public: "The payment has expired.", Advice: "Ask for a new quote and pay that."},
	PaymentConflict:     {Name: "payment_conflict", Class: ClassMoney, Public: "The payment was used for another request.", Advice: "Make a new payment."},

	IdempotencyInProgress: {Name: "idempotency_in_progress", Class: ClassIdempotency, Helps: true, Public: "A request with this Idempotency-Key is still running.", Advice: "Wait, then repeat it to get its answer."},
	IdempotencyMismatch:   {Name: "idempotency_mismatch", Class: ClassIdempotency, Public: "This Idempotency-Key was used for a different request.", Advice: "Use a new key for a new request."},
	IdempotencyNotStored:  {Name: "idempotency_not_stored", Class: ClassIdempotency, Public: "The answer to this Idempotency-Key is not kept.", Advice: "The first request was done, and charged once; look it up by its request id instead of sending it again."},

	ContentPolicy:         {Name: "content_policy", Class: ClassContent, Public: "The request was blocked by the provider's content policy.", Advice: "Change the content."},
	ContextLengthExceeded: {Name: "context_length_exceeded", Class: ClassContent, Public: "The request does not fit the model's context.", Advice: "Shorten the messages or lower max_tokens."},
	EmptyResponse:         {Name: "empty_response", Class: ClassContent, Helps: true, Public: "The provider answered with nothing.", Advice: "Send it again. Nothing was charged."},
	ModerationConflict:    {Name: "moderation_conflict", Class: ClassContent, Public: "Moderation was asked for in two ways.", Advice: "Ask for it once."},
	ModerationNeedsKey:    {Name: "moderation_needs_key", Class: ClassContent, Public: "Moderation needs an API key.", Advice: "Send a key."},
	ModerationEmpty:       {Name: "moderation_empty", Class: ClassContent, Public: "There is nothing to moderate.", Advice: "Send text."},
	ModerationUnsupported: {Name: "moderation_unsupported", Class: ClassContent, Public: "This input cannot be moderated.", Advice: "Send text, or switch moderation off."},
	ModerationUnavailable: {Name: "moderation_unavailable", Class: ClassContent, Helps: true, Public: "Moderation is not available at the moment.", Advice: "Try again later."},

	UpstreamFailed:      {Name: "upstream_failed", Class: ClassUpstream, Helps: true, Public: "The provider failed to answer.", Advice: "Send it again. Nothing was charged."},
	UpstreamTimeout:     {Name: "upstream_timeout", Class: ClassUpstream, Helps: true, Public: "The provider did not answer in time.", Advice: "Send it again. Nothing was charged."},
	UpstreamOverloaded:  {Name: "upstream_overloaded", Class: ClassUpstream, Helps: true, Public: "The provider is overloaded.", Advice: "Wait for Retry-After, then send it again. Nothing was charged."},
	UpstreamRateLimited: {Name: "upstream_rate_limited", Class: ClassUpstream, Helps: true, Public: "The provider is limiting our requests.", Advice: "Wait for Retry-After, then send it again. Nothing was charged."},
	UpstreamAuth:        {Name: "upstream_auth", Class: ClassUpstream, Public: "The gateway could not sign in to the provider.", Advice: "Tell the operator. Nothing was charged."},
	UpstreamQuota:       {Name: "upstream_quota", Class: ClassUpstream, Public: "The gateway's provider account is exhausted.", Advice: "Tell the operator. Nothing was charged."},
	NoTarget:            {Name: "no_target", Class: ClassUpstream, Helps: true, Public: "No provider of this model can be reached.", Advice: "Wait for Retry-After, then send it again. Nothing was charged."},
	StreamInterrupted:   {Name: "stream_interrupted", Class: ClassUpstream, Helps: true, Public: "The provider broke off in the middle of the answer.", Advice: "Send it again. Nothing was charged."},
	AllFallbacksFailed:  {Name: "all_fallbacks_failed", Class: ClassUpstream, Helps: true, Public: "The model and all its fallbacks failed.", Advice: "Send it again later. Nothing was charged."},
	NoFallback:          {Name: "no_fallback", Class: ClassUpstream, Helps: true, Public: "The model failed, and no other may be asked.", Advice: "Send it again later. Nothing was charged."},
	FallbackBlocked:     {Name: "fallback_blocked", Class: ClassUpstream, Helps: true, Public: "The model failed and this request forbids a fallback.", Advice: "Send it again later, or allow fallbacks. Nothing was charged."},

	ProviderKeyInvalid: {Name: "provider_key_invalid", Class: ClassOwnKey, Public: "The provider refused your own key.", Advice: "Correct the provider key that you stored."},
	ProviderKeyQuota:   {Name: "provider_key_quota", Class: ClassOwnKey, Public: "Your own provider account is exhausted.", Advice: "Add credit at the provider."},

	Internal:          {Name: "internal", Class: ClassGateway, Helps: true, Public: "An internal error occurred.", Advice: "Send it again; tell the operator the request id. Nothing was charged."},
	Overloaded:        {Name: "overloaded", Class: ClassGateway, Helps: true, Public: "The gateway is overloaded.", Advice: "Wait for Retry-After, then send it again."},
	Draining:          {Name: "draining", Class: ClassGateway, Helps: true, Public: "The gateway is restarting.", Advice: "Wait for Retry-After, then send it again."},
	LedgerUnavailable: {Name: "ledger_unavailable", Class: ClassGateway, Helps: true, Public: "Charges cannot be recorded at the moment.", Advice: "Wait for Retry-After, then send it again."},
	TranslationError:  {Name: "translation_error", Class: ClassGateway, Public: "The request could not be put into words that the model's provider takes.", Advice: "Tell the operator the request id; the same request would fail again. Nothing was charged."},
}

// byName finds a code by its stable name.
var byName = func() map[string]Code {
	m := make(map[string]Code, codeCount)
	for c := range registry {
		registry[c].Code = Code(c)
		if Code(c) != None {
			m[registry[c].Name] = Code(c)
		}
	}
	return m
}()

// Lookup returns the code with the given stable name.
func Lookup(name string) (Code, bool) {
	c, ok := byName[name]
	return c, ok
}

// All lists every entry of the registry, in its order, without [None].
func All() []Entry { return registry[1:] }

// Entry returns the code's row. A code out of range is [Internal].
func (c Code) Entry() Entry {
	if c >= codeCount {
		return registry[Internal]
	}
	return registry[c]
}

// String returns the stable name.
func (c Code) String() string { return c.Entry().Name }
