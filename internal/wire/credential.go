package wire

import (
	"net/http"
	"strings"
)

// credential returns the key a caller sent, as it was sent but for its scheme:
// Authorization: Bearer first, then x-api-key, as both families of SDKs do.
// Whether stray space around it is forgiven is the contract's rule, applied
// where the key is resolved.
func credential(h http.Header, accepted []string) string {
	for _, name := range accepted {
		v := h.Get(name)
		if v == "" {
			continue
		}
		if !strings.EqualFold(name, "Authorization") {
			return v
		}
		scheme, rest, found := strings.Cut(strings.TrimLeft(v, " \t"), " ")
		switch {
		case found && strings.EqualFold(scheme, "Bearer"):
			return rest
		case !found && !strings.EqualFold(scheme, "Bearer"):
			return v // a bare key: some clients forget the scheme
		}
	}
	return ""
}
