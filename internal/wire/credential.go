package wire

import (
	"net/http"
	"strings"
)

// credential returns the key a caller sent, as it was sent but for its scheme:
// Authorization: Bearer first, then x-api-key, as both families of SDKs do.
// Whether stray space around it is forgiven is the contract's rule, applied
// where the key is resolved.
func credential(r *http.Request, accepted []string) string {
	for _, name := range accepted {
		v := r.Header.Get(name)
		if v == "" {
			continue
		}
		v = asSent(r, v)
		if !strings.EqualFold(name, "Authorization") {
			return v
		}
		scheme, rest, found := strings.Cut(strings.TrimLeft(v, " \t"), " ")
		switch {
		case found && strings.EqualFold(scheme, "Bearer"):
			return rest
		case strings.Trim(rest, " \t") == "" && !strings.EqualFold(scheme, "Bearer"):
			return v // a bare key: some clients forget the scheme
		}
	}
	return ""
}
