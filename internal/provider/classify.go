package provider

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/fault"
)

// kind is what went wrong at a provider, in the terms of protocols.md §2.
type kind uint8

const (
	kNone kind = iota
	// The caller's mistake.
	kRequest
	kInvalid
	kInvalidType
	kMissing
	kUnknown
	kUnsupported
	kSchema
	kToolChoice
	kImage
	kModality
	kContext
	kPolicy
	kTooLarge
	kState // reasoning that another provider or account had sealed
	// Between us and the provider.
	kAuth
	kForbidden // this credential is good, but not for this
	kQuota
	kRate
	kRamp   // slow down: do not repeat it here
	kBigger // one request is above the whole limit of our key
	kModel  // the provider does not have the model
	kConfig // it will fail here every time
	// The provider's own trouble.
	kOverloaded
	kFailed
	kTimeout
	kUnreachable // a network in between says that it cannot be reached
	kConflict
	kBadCall // the model wrote a tool call that the provider refuses
	kindCount
)

// verdict is what a kind means for the caller and for the router.
type verdict struct {
	code                                 fault.Code
	retry, failover, quarantine, breaker bool
	worked                               bool // the provider may have worked, and may bill us
}

var verdicts = [kindCount]verdict{
	kRequest:     {code: fault.InvalidRequest},
	kInvalid:     {code: fault.InvalidParameter},
	kInvalidType: {code: fault.InvalidType},
	kMissing:     {code: fault.MissingParameter},
	kUnknown:     {code: fault.UnknownParameter},
	kUnsupported: {code: fault.UnsupportedParameter},
	kSchema:      {code: fault.InvalidJSONSchema},
	kToolChoice:  {code: fault.ToolChoiceUnsupported},
	kImage:       {code: fault.ImageInputUnsupported},
	kModality:    {code: fault.InputModalityUnsupported},
	kContext:     {code: fault.ContextLengthExceeded},
	kPolicy:      {code: fault.ContentPolicy},
	kTooLarge:    {code: fault.BodyTooLarge},
	kState:       {code: fault.InvalidRequest},

	kAuth:      {code: fault.UpstreamAuth, failover: true, quarantine: true},
	kForbidden: {code: fault.UpstreamAuth, failover: true},
	kQuota:     {code: fault.UpstreamQuota, failover: true, quarantine: true},
	kRate:      {code: fault.UpstreamRateLimited, retry: true, failover: true},
	kRamp:      {code: fault.UpstreamRateLimited, failover: true},
	kBigger:    {code: fault.BodyTooLarge, failover: true},
	kModel:     {code: fault.ModelNotFound, failover: true},
	kConfig:    {code: fault.UpstreamFailed, failover: true, breaker: true},

	kOverloaded:  {code: fault.UpstreamOverloaded, retry: true, failover: true, breaker: true},
	kFailed:      {code: fault.UpstreamFailed, retry: true, failover: true, breaker: true, worked: true},
	kTimeout:     {code: fault.UpstreamTimeout, failover: true, breaker: true, worked: true},
	kUnreachable: {code: fault.NoTarget, retry: true, failover: true, breaker: true},
	kConflict:    {code: fault.UpstreamFailed, retry: true, failover: true},
	kBadCall:     {code: fault.UpstreamFailed, retry: true, failover: true, worked: true},
}

// Classify makes a failure of an answer that is an error. family names the
// tables to use: openai, azure, anthropic, openrouter, groq, deepseek, mistral,
// xai, fireworks, together, vllm, llamacpp, ollama, cerebras, gemini, bedrock; any
// other name means those of generic. status is the HTTP status; one of 2xx means that
// the error stood in a body or a stream that had begun well. header and body
// may be nil or anything at all.
//
// It looks at machine codes first, then at types, then at the status, and at
// words only where the status leaves it open, since providers echo prompts. The
// failure's words are redacted and cut; its public message is set only where it
// is about the caller's own request, and what the provider said of itself stands
// apart. Sent is true if the provider may have
// worked for its money.
func Classify(family string, status int, header http.Header, body []byte) *Failure {
	if !strings.Contains(known, " "+family+" ") {
		family = "generic"
	}
	w := read(body)
	w.exception(header.Get("X-Amzn-Errortype"))
	inBand := status >= 200 && status <= 299
	effective := status
	if inBand && w.status != 0 {
		effective = w.status
	}
	k := w.classify(family, effective)
	v := verdicts[k]
	f := &Failure{
		Fault: &fault.Error{
			Code: v.code, UpstreamStatus: status,
			Upstream: clip(Redact(string(head(body)))), Said: sentence(w.message),
		},
		Retry: v.retry, Failover: v.failover, Quarantine: v.quarantine, Breaker: v.breaker,
		Sent: v.worked || inBand,
	}
	switch k {
	case kRate, kRamp, kOverloaded:
		if f.Cooldown = retryAfter(header); f.Cooldown == 0 {
			f.Cooldown = w.delay
		}
		f.Fault.RetryAfter = f.Cooldown
		f.Fault.LimitSource = "provider"
	case kState:
		f.Fault.Message = "The state of reasoning in the conversation (signatures, sealed reasoning) is missing, or came from another provider or account. Send back what an answer held as it came, or leave the whole turn out."
		f.Fault.Param = "messages"
	case kContext:
		w.context(f.Fault)
	case kModel:
		f.Fault.Param = "model"
	case kToolChoice:
		f.Fault.Param = "tool_choice"
	default:
		if k <= kSchema {
			w.explain(f.Fault)
		}
	}
	return f
}

// classify goes through the tables in their order.
func (w *words) classify(family string, status int) kind {
	for _, c := range w.codes {
		if k := byCode(family, c); k != kNone {
			return w.turn(family, w.refine(k, status))
		}
	}
	for _, t := range w.kinds {
		if k := byType(t); k != kNone {
			return w.refine(k, status)
		}
	}
	if k := w.byWords(family, status); k != kNone {
		return k
	}
	if status >= 200 && status <= 299 {
		for _, t := range w.kinds {
			if k := inBandTypes[strings.ToLower(t)]; k != kNone {
				return k
			}
		}
		return kFailed
	}
	return w.byStatus(family, status)
}

// refine corrects a machine code by what it came with.
func (w *words) refine(k kind, status int) kind {
	switch {
	case k == kRate && (status == http.StatusRequestEntityTooLarge || w.has("request too large")):
		return kBigger
	case k == kQuota && w.waits:
		return kRate
	case k == kRate && (w.daily || status == http.StatusPaymentRequired):
		return kQuota
	case k == kAuth && w.has("has not been used in project"):
		return kConfig
	case k != kUnsupported && k != kInvalid && k != kUnknown:
		return k
	case strings.HasPrefix(w.param, "tool_choice"):
		return kToolChoice
	case w.param == "service_tier" && w.has("not allowed for this project"):
		return kConfig
	}
	return k
}

// turn corrects a code that stands for more than one thing at one provider.
func (w *words) turn(family string, k kind) kind {
	for _, t := range turns {
		if t.family == family && t.from == k && w.has(t.part) {
			return t.to
		}
	}
	return k
}

// has reports whether the words hold all of the parts, which are in lower case.
func (w *words) has(parts ...string) bool {
	low := strings.ToLower(clip(w.message) + "\n" + clip(w.raw))
	for _, p := range parts {
		if !strings.Contains(low, p) {
			return false
		}
	}
	return true
}

// byStatus is the last word.
func (w *words) byStatus(family string, status int) kind {
	if w.html && (status == http.StatusBadRequest || status == http.StatusForbidden) {
		return kFailed // a challenge or an error page of a network in between
	}
	switch {
	case (status == http.StatusNotFound || status == http.StatusGone) && !w.has("model"):
		return kConfig // a wrong path, as far as anybody can tell
	case status == http.StatusPaymentRequired && w.waits:
		return kRate
	case status == http.StatusForbidden && w.reasons:
		return kPolicy
	case status == http.StatusPreconditionFailed && family == "fireworks":
		return kQuota
	}
	if k, ok := byStatus[status]; ok {
		return k
	}
	switch {
	case status >= 500:
		return kFailed
	case status >= 400:
		return kRequest
	}
	return kConfig
}

// integers are the numbers in a sentence.
var integers = regexp.MustCompile(`\d[\d,]*`)

// context fills in how long the prompt was and how long it may be.
func (w *words) context(e *fault.Error) {
	e.Param = "messages"
	tokens, limit := w.tokens, w.limit
	if tokens == 0 || limit == 0 {
		var found []int64
		for _, s := range integers.FindAllString(clip(w.message+" "+w.raw), 16) {
			n, err := strconv.ParseInt(strings.ReplaceAll(s, ",", ""), 10, 64)
			if err == nil && n >= 16 && (len(found) == 0 || found[0] != n) {
				found = append(found, n)
			}
		}
		if len(found) < 2 {
			return
		}
		tokens, limit = max(found[0], found[1]), min(found[0], found[1])
	}
	t, l := strconv.FormatInt(tokens, 10), strconv.FormatInt(limit, 10)
	e.With("tokens", t).With("context", l)
	e.Message = "The request has " + t + " tokens; this model takes at most " + l + "."
}

var (
	indexes = regexp.MustCompile(`\[(\d+)\]`)
	leading = regexp.MustCompile(`^((?:messages|system|tools|tool_choice|temperature|top_p|top_k|max_tokens|stop_sequences|thinking|output_config|metadata|model|stream)(?:\.[\w-]+)*): `)
)

// explain tells the caller which parameter is wrong, and why.
func (w *words) explain(e *fault.Error) {
	message := w.message
	if w.raw != "" {
		message = w.raw
	}
	param := indexes.ReplaceAllString(w.param, ".$1")
	if m := leading.FindStringSubmatch(message); param == "" && m != nil {
		param, message = m[1], message[len(m[0]):]
	}
	if len(param) <= 128 {
		e.Param = param
	}
	e.Message = publicWords(message)
	if e.Code == fault.InvalidRequest && e.Param != "" {
		e.Code = fault.InvalidParameter
	}
}
