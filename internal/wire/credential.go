package wire

import (
	"net/http"
	"net/url"
	"strings"
)

// credential returns the key a caller sent, as it was sent but for its scheme:
// Authorization: Bearer first, then x-api-key, as both families of SDKs do.
// A bare key is taken, too, unless the contract insists on the scheme: some
// clients forget it. Whether stray space around it is forgiven is the contract's
// rule, applied where the key is resolved.
func credential(r *http.Request, names []string, scheme bool) string {
	for _, name := range names {
		v := r.Header.Get(name)
		if v == "" {
			continue
		}
		v = asSent(r, v)
		if !strings.EqualFold(name, "Authorization") {
			return v
		}
		word, rest, found := strings.Cut(strings.TrimLeft(v, " \t"), " ")
		switch {
		case found && strings.EqualFold(word, "Bearer"):
			return rest
		case !scheme && strings.Trim(rest, " \t") == "" && !strings.EqualFold(word, "Bearer"):
			return v
		}
	}
	return ""
}

// queryKey takes the key out of the query, where Google's surfaces allow it, so
// that nothing that looks at the address later can tell of it.
func queryKey(r *http.Request, surface string) string {
	if !strings.HasPrefix(surface, "gemini.") || !strings.Contains(r.URL.RawQuery, "key=") {
		return ""
	}
	key := ""
	var rest []string // as it was: what cannot be read is told of later
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if n, err := url.QueryUnescape(name); err != nil || n != "key" {
			rest = append(rest, pair)
			continue
		}
		if v, err := url.QueryUnescape(value); err == nil && key == "" {
			key = v
		}
	}
	r.URL.RawQuery = strings.Join(rest, "&")
	r.RequestURI = r.URL.RequestURI()
	return key
}
