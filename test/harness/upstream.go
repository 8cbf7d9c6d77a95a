package harness

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Serve serves a provider until the test ends. Then it closes stop, for handlers
// that wait, and every connection; a nil stop is for those that never do.
func Serve(t testing.TB, h http.Handler, stop chan<- struct{}) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		if stop != nil {
			close(stop)
		}
		s.CloseClientConnections()
		s.Close()
	})
	return s
}
