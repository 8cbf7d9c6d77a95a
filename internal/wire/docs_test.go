package wire

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/obs"
)

func TestASiteServesItsErrorReference(t *testing.T) {
	t.Parallel()
	c, err := contract.Load("ninjachat")
	if err != nil {
		t.Fatal(err)
	}
	docs := &Docs{Markdown: c.Page(contract.PageOptions{}), HTML: c.HTML(contract.PageOptions{})}
	for _, x := range []struct {
		name, method, accept string
		docs                 *Docs
		status               int
		want, media          string
	}{
		{"read", "GET", "", docs, 200, "`insufficient_credits`", "text/markdown; charset=utf-8"},
		{"read by a browser", "GET", "text/html,*/*;q=0.8", docs, 200, "<html", "text/html; charset=utf-8"},
		{"asked for", "HEAD", "", docs, 200, "", "text/markdown; charset=utf-8"},
		{"written to", "POST", "", docs, 405, "method_not_allowed", "application/json"},
		{"switched off", "GET", "", nil, 404, "not_found", "application/json"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			var seen *obs.Event
			s := NewServer(Options{Gateway: &fake{}, Done: func(e *obs.Event) { seen = e }},
				NewSites([]*Site{{Name: "*", Hosts: []string{"*"}, Contract: c, Docs: x.docs}}))
			rec := httptest.NewRecorder()
			r := httptest.NewRequest(x.method, "/docs/errors", nil)
			r.Header.Set("Accept", x.accept)
			s.ServeHTTP(rec, r)
			if rec.Code != x.status || !strings.Contains(rec.Body.String(), x.want) || seen.Status != x.status || rec.Header().Get("Content-Type") != x.media {
				t.Errorf("%d %v %.200s, want %d %s", rec.Code, rec.Header(), rec.Body, x.status, x.want)
			}
			if x.status == http.StatusOK && (seen.Outcome != "ok" || seen.Route != "/docs/errors" || rec.Header().Get("Vary") != "Accept") {
				t.Errorf("%v, %+v", rec.Header(), seen)
			}
		})
	}
}
