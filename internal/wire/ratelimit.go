package wire

import (
	"net/http"
	"strconv"
	"time"

	"github.com/pontage/pontage/internal/limit"
)

// The fields of draft-ietf-httpapi-ratelimit-headers-11: lists of structured
// fields, with one item for each limit. They come beside whatever headers a
// contract has of its own.
const (
	policyField    = "Ratelimit-Policy" // in the form that net/http knows headers by
	remainingField = "Ratelimit"
)

// allowances tells a caller who is known what limits him, and what is left. It
// sets nothing where nothing does.
func (x *exchange) allowances(c Caller) {
	list := c.Allowances()
	if len(list) == 0 {
		return
	}
	policy, left := make([]byte, 0, 64*len(list)), make([]byte, 0, 48*len(list))
	for i := range list {
		if i > 0 {
			policy, left = append(policy, ", "...), append(left, ", "...)
		}
		policy, left = appendPolicy(policy, &list[i]), appendRemaining(left, &list[i])
	}
	h := x.w.Header()
	h[policyField], h[remainingField] = []string{string(policy)}, []string{string(left)}
	if x.w.committed {
		h[http.TrailerPrefix+policyField], h[http.TrailerPrefix+remainingField] = h[policyField], h[remainingField]
	}
}

// appendPolicy appends how much is allowed: "rps";q=5;w=1.
func appendPolicy(dst []byte, a *limit.Allowance) []byte {
	dst = appendInteger(append(appendString(dst, a.Policy), ";q="...), a.Limit)
	if a.Unit != "" {
		dst = appendString(append(dst, ";qu="...), a.Unit)
	}
	return appendInteger(append(dst, ";w="...), wholeSeconds(a.Window))
}

// appendRemaining appends what is left, and in how many seconds there will be
// more: "rps";r=4;t=1.
func appendRemaining(dst []byte, a *limit.Allowance) []byte {
	dst = appendInteger(append(appendString(dst, a.Policy), ";r="...), a.Remaining)
	if a.Reset > 0 {
		dst = appendInteger(append(dst, ";t="...), wholeSeconds(a.Reset))
	}
	return dst
}

// wholeSeconds rounds up, as Retry-After does, so that nobody comes too early.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// appendString appends a String of structured fields, which is of printable
// ASCII; what is not is a question mark.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r < 0x20 || r > 0x7e:
			dst = append(dst, '?')
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		default:
			dst = append(dst, byte(r))
		}
	}
	return append(dst, '"')
}

// maxInteger is the largest Integer of structured fields.
const maxInteger = 999_999_999_999_999

func appendInteger(dst []byte, n int64) []byte { return strconv.AppendInt(dst, min(n, maxInteger), 10) }
