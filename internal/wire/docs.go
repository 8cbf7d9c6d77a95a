package wire

import (
	"net/http"

	"github.com/pontage/pontage/internal/fault"
)

// docsPath is where a site serves its error reference.
const docsPath = "/docs/errors"

// docs answers with the site's error reference, to anybody.
func (x *exchange) docs() error {
	x.ev.Route = docsPath
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		return fault.New(fault.MethodNotAllowed, "Use GET here.").With("allow", "GET, HEAD").With("method", x.r.Method)
	}
	x.ev.Outcome = "ok"
	x.w.Header()["Content-Type"] = []string{"text/markdown; charset=utf-8"}
	x.w.whole(http.StatusOK, x.site.Docs)
	return nil
}
