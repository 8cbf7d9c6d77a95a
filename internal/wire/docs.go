package wire

import (
	"net/http"
	"strings"

	"github.com/pontage/pontage/internal/fault"
)

// docsPath is where a site serves its error reference.
const docsPath = "/docs/errors"

// docs answers with the site's error reference, to anybody: as a page to
// browsers, as Markdown to everything else.
func (x *exchange) docs() error {
	x.ev.Route = docsPath
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		return fault.New(fault.MethodNotAllowed, "Use GET here.").With("allow", "GET, HEAD").With("method", x.r.Method)
	}
	x.ev.Outcome = "ok"
	h := x.w.Header()
	h["Vary"] = []string{"Accept"}
	if strings.Contains(x.r.Header.Get("Accept"), "text/html") {
		h["Content-Type"] = []string{"text/html; charset=utf-8"}
		h["Content-Security-Policy"] = []string{"default-src 'none'; style-src 'unsafe-inline'"}
		x.w.whole(http.StatusOK, x.site.Docs.HTML)
		return nil
	}
	h["Content-Type"] = []string{"text/markdown; charset=utf-8"}
	x.w.whole(http.StatusOK, x.site.Docs.Markdown)
	return nil
}
