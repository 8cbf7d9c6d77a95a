package provider

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/pontage/pontage/internal/fault"
)

// BaseURL reads the base URL of the provider of that name; a URL without a path has
// that of the root.
func BaseURL(name, base string) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("provider %s: base URL %q is not an http or https URL", name, base)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// Unusable is the failure of a call that cannot be sent to this target, but to
// another: of wrong options, or of a model's name that is none.
func Unusable(err error) *Failure {
	return &Failure{Fault: fault.Wrap(fault.NoTarget, err), Failover: true}
}

// NewHeader returns the headers of a request in JSON, without a credential. stream
// says that server-sent events are expected.
func NewHeader(c Call, stream bool) http.Header {
	h := make(http.Header, 8)
	h["Content-Type"] = contentJSON
	h["User-Agent"] = userAgent
	h["Accept"] = contentJSON
	if stream {
		h["Accept"] = acceptEvents
	}
	if c.RequestID != "" {
		h["X-Request-Id"] = []string{c.RequestID}
	}
	return h
}

// Values of headers, shared by all requests and never changed.
var (
	contentJSON  = []string{"application/json"}
	acceptEvents = []string{"text/event-stream"}
	userAgent    = []string{"pontage"}
)

// Put sets the header of that name to the credential; an empty name means
// Authorization with Bearer. An empty credential is not sent.
func (s Secret) Put(h http.Header, name string) {
	switch {
	case s == "":
	case name == "":
		h["Authorization"] = []string{"Bearer " + s.Reveal()}
	default:
		h.Set(name, s.Reveal())
	}
}
