package sim

import (
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
)

type faultKind uint8

const (
	faultNone faultKind = iota
	faultRefuse
	faultDNS
	faultReset
	faultHangHeaders
	faultHTTP // an error status with the family's body
	faultHTML
	faultErrorIn200
	faultEmpty
	faultNoChoices
	faultWrongUsage
	faultNoUsage
	faultNoDone
	faultSlow
	// What follows strikes in the middle of an answer.
	faultCut
	faultTruncated
	faultHangStream
	faultPings
	faultBadJSON
	faultErrorInStream
	faultHugeLine
)

// fault is one row of the list of faults.
type fault struct {
	name       string
	kind       faultKind
	after      int  // events with content before it, unless the step says otherwise
	midway     bool // a step may say otherwise
	status     bool // a step may choose the status
	overReplay bool // may stand beside a recording
	code       int  // HTTP status, of faultHTTP
}

// faults is the list, in the order of docs/simulator.md.
var faults = [...]fault{
	{name: "refuse", kind: faultRefuse},
	{name: "dns", kind: faultDNS},
	{name: "reset", kind: faultReset},
	{name: "hang_headers", kind: faultHangHeaders},
	{name: "rate_limited", kind: faultHTTP, code: 429, midway: true, status: true},
	{name: "auth", kind: faultHTTP, code: 401, midway: true, status: true},
	{name: "quota", kind: faultHTTP, midway: true, status: true},
	{name: "policy", kind: faultHTTP, code: 400, midway: true, status: true},
	{name: "context", kind: faultHTTP, code: 400, midway: true, status: true},
	{name: "html", kind: faultHTML, status: true},
	{name: "bad_json", kind: faultBadJSON, midway: true, status: true},
	{name: "error_in_200", kind: faultErrorIn200},
	{name: "empty", kind: faultEmpty},
	{name: "no_choices", kind: faultNoChoices},
	{name: "error_in_stream", kind: faultErrorInStream, after: 1, midway: true},
	{name: "hang_stream", kind: faultHangStream, after: 1, midway: true, overReplay: true},
	{name: "cut", kind: faultCut, after: 1, midway: true, overReplay: true},
	{name: "truncated", kind: faultTruncated, after: 1, midway: true, overReplay: true},
	{name: "pings", kind: faultPings, midway: true},
	{name: "huge_line", kind: faultHugeLine, after: 1, midway: true},
	{name: "no_done", kind: faultNoDone},
	{name: "wrong_usage", kind: faultWrongUsage},
	{name: "no_usage", kind: faultNoUsage},
	{name: "slow", kind: faultSlow, overReplay: true},
}

// The paces of faults that are about time, where a step sets none.
const (
	slowFirstMS  = 3000
	slowEventMS  = 250
	pingMS       = 1000
	defaultHuge  = 80 << 20 // beyond the 64 MiB that a reader of streams may allow a line
	absurdTokens = 1_000_000_000
)

// Faults lists the names of the faults, in the order of their documentation.
// "error_" and any status from 400 to 599 is one as well.
func Faults() []string {
	names := make([]string, len(faults))
	for i, f := range faults {
		names[i] = f.name
	}
	return names
}

func lookupFault(name string) (fault, bool) {
	for _, f := range faults {
		if f.name == name {
			return f, true
		}
	}
	digits, ok := strings.CutPrefix(name, "error_")
	if !ok || len(digits) != 3 {
		return fault{}, false
	}
	code, err := strconv.Atoi(digits)
	if err != nil || code < 400 || code > 599 {
		return fault{}, false
	}
	return fault{name: name, kind: faultHTTP, code: code, midway: true}, true
}

// transportError is what net/http reports when a connection fails.
func (k faultKind) transportError(host string) error {
	switch k {
	case faultRefuse:
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	case faultDNS:
		return &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	default:
		return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
}

// errHang is a source's way to say that nothing more will ever come.
var errHang = errors.New("simulated hang")

// apiError is an error as a provider words it.
type apiError struct {
	status  int
	kind    string // type
	code    string // OpenAI's machine code; empty: null
	param   string // OpenAI's parameter; empty: null
	message string
}

// apiErrorOf returns what a provider of the family would answer to bring about
// the fault. Statuses, types and codes follow the providers' documentation;
// the words are ours, but for the phrases that clients look for.
func apiErrorOf(f family, name string, status int) apiError {
	var e apiError
	if f == familyAnthropic {
		e = anthropicError(name, status)
	} else {
		e = openaiError(name, status)
	}
	if status != 0 {
		e.status = status
	}
	return e
}

func openaiError(name string, status int) apiError {
	switch name {
	case "rate_limited":
		return apiError{429, "tokens", "rate_limit_exceeded", "", "Rate limit reached on tokens per minute (simulated). Limit 30000, Used 30000, Requested 890."}
	case "auth":
		return apiError{401, "invalid_request_error", "invalid_api_key", "", "Incorrect API key provided (simulated)."}
	case "quota":
		return apiError{429, "insufficient_quota", "insufficient_quota", "", "You exceeded your current quota, please check your plan and billing details (simulated)."}
	case "policy":
		return apiError{400, "invalid_request_error", "content_policy_violation", "", "Your request was rejected by the safety system (simulated)."}
	case "context":
		return apiError{400, "invalid_request_error", "context_length_exceeded", "messages", "This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens (simulated)."}
	}
	switch status {
	case 400, 405, 409, 413, 415, 422:
		return apiError{kind: "invalid_request_error", message: "The request is not valid (simulated)."}
	case 401:
		return openaiError("auth", 0)
	case 403:
		return apiError{kind: "request_forbidden", code: "unsupported_country_region_territory", message: "Country, region, or territory not supported (simulated)."}
	case 404:
		return apiError{kind: "invalid_request_error", code: "model_not_found", param: "model", message: "The model does not exist or you do not have access to it (simulated)."}
	case 429:
		return openaiError("rate_limited", 0)
	case 503, 529:
		return apiError{kind: "service_unavailable_error", code: "server_is_overloaded", message: "The engine is currently overloaded, please try again later (simulated)."}
	default:
		return apiError{500, "server_error", "", "", "The server had an error while processing your request (simulated)."}
	}
}

func anthropicError(name string, status int) apiError {
	switch name {
	case "rate_limited":
		return apiError{status: 429, kind: "rate_limit_error", message: "This request would exceed your organization's rate limit of input tokens per minute (simulated)."}
	case "auth":
		return apiError{status: 401, kind: "authentication_error", message: "invalid x-api-key (simulated)"}
	case "quota":
		return apiError{status: 400, kind: "invalid_request_error", message: "Your credit balance is too low to access the API (simulated)."}
	case "policy":
		return apiError{status: 400, kind: "invalid_request_error", message: "Output blocked by content filtering policy (simulated)."}
	case "context":
		return apiError{status: 400, kind: "invalid_request_error", message: "prompt is too long: 200227 tokens > 200000 maximum (simulated)"}
	}
	switch status {
	case 401:
		return anthropicError("auth", 0)
	case 402:
		return apiError{kind: "billing_error", message: "Payment is required (simulated)."}
	case 403:
		return apiError{kind: "permission_error", message: "Your API key may not use this resource (simulated)."}
	case 404:
		return apiError{kind: "not_found_error", message: "The model was not found (simulated)."}
	case 413:
		return apiError{kind: "request_too_large", message: "Request exceeds the maximum size (simulated)."}
	case 429:
		return anthropicError("rate_limited", 0)
	case 408, 504:
		return apiError{kind: "timeout_error", message: "The request timed out (simulated)."}
	case 503, 529:
		return apiError{kind: "overloaded_error", message: "Overloaded (simulated)."}
	}
	if status >= 400 && status < 500 {
		return apiError{kind: "invalid_request_error", message: "The request is not valid (simulated)."}
	}
	return apiError{status: 500, kind: "api_error", message: "Internal server error (simulated)."}
}

// appendError appends an error in the family's envelope.
func appendError(dst []byte, f family, e apiError, id string) []byte {
	if f == familyAnthropic {
		dst = append(dst, `{"type":"error","error":{"type":`...)
		dst = quote(dst, e.kind)
		dst = append(dst, `,"message":`...)
		dst = quote(dst, e.message)
		dst = append(dst, `},"request_id":`...)
		dst = quote(dst, "req_"+id)
		return append(dst, '}')
	}
	dst = append(dst, `{"error":{"message":`...)
	dst = quote(dst, e.message)
	dst = append(dst, `,"type":`...)
	dst = quote(dst, e.kind)
	dst = append(dst, `,"param":`...)
	dst = quoteOrNull(dst, e.param)
	dst = append(dst, `,"code":`...)
	dst = quoteOrNull(dst, e.code)
	return append(dst, "}}"...)
}

// appendErrorFrame appends an error as an event of a stream.
func appendErrorFrame(dst []byte, f family, e apiError, id string) []byte {
	body := appendError(nil, f, e, id)
	switch f {
	case familyAnthropic:
		dst = append(dst, "event: error\n"...)
	case familyResponses:
		dst = append(dst, "event: error\ndata: {\"type\":\"error\","...)
		return append(append(dst, body[1:]...), "\n\n"...)
	}
	dst = append(append(dst, "data: "...), body...)
	return append(dst, "\n\n"...)
}

const htmlBody = `<html>
<head><title>502 Bad Gateway</title></head>
<body>
<center><h1>502 Bad Gateway</h1></center>
<hr><center>simulated</center>
</body>
</html>
`

// setRetryAfter sets the header of an error, if it has one.
func setRetryAfter(h http.Header, st *Step) {
	seconds := 0
	if st.Fault == "rate_limited" {
		seconds = 1
	}
	if st.RetryAfter != nil {
		seconds = *st.RetryAfter
	}
	if seconds > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds))
	}
}
