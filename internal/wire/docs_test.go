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
	for _, x := range []struct {
		name, method string
		docs         []byte
		status       int
		want         string
	}{
		{"read", "GET", c.Page(), 200, "`insufficient_credits`"},
		{"asked for", "HEAD", c.Page(), 200, ""},
		{"written to", "POST", c.Page(), 405, "method_not_allowed"},
		{"switched off", "GET", nil, 404, "not_found"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			var seen *obs.Event
			s := NewServer(Options{Gateway: &fake{}, Done: func(e *obs.Event) { seen = e }},
				NewSites([]*Site{{Name: "*", Hosts: []string{"*"}, Contract: c, Docs: x.docs}}))
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, httptest.NewRequest(x.method, "/docs/errors", nil))
			if rec.Code != x.status || !strings.Contains(rec.Body.String(), x.want) || seen.Status != x.status {
				t.Errorf("%d %.200s, want %d %s", rec.Code, rec.Body, x.status, x.want)
			}
			if x.status == http.StatusOK && (seen.Outcome != "ok" || seen.Route != "/docs/errors" || rec.Header().Get("Content-Type") != "text/markdown; charset=utf-8") {
				t.Errorf("%v, %+v", rec.Header(), seen)
			}
		})
	}
}
