package hostile

import (
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

const bodyLimit = 1 << 20

// edge is a gateway with a good provider, a small limit of bodies and little
// patience.
func edge(t *testing.T) (*world, *upstream) {
	t.Helper()
	up := newUpstream()
	srv := harness.Serve(t, up, up.stop)
	var b strings.Builder
	fmt.Fprintf(&b, "providers:\n  openai: {kind: openai, quirks: openai, base_url: %q, api_key: %q, catalog: none}\n  anthropic: {kind: anthropic, base_url: %q, api_key: %q, catalog: none}\nmodels:\n",
		srv.URL+"/openai/v1", providerSecret, srv.URL+"/messages", providerSecret)
	for _, m := range []struct{ name, provider, kind string }{
		{"good/chat", "openai", "chat"},
		{"good/messages", "anthropic", "chat"},
		{"good/simple", "openai", "chat"},
		{"good/embeddings", "openai", "embedding"},
		{"good/count", "anthropic", "chat"},
		{"hangs/chat", "openai", "chat"},
		{"hangs/messages", "anthropic", "chat"},
		{"hangs/simple", "openai", "chat"},
		{"endless/chat", "openai", "chat"},
		{"endless/messages", "anthropic", "chat"},
		{"endless/simple", "openai", "chat"},
		{"endless/flood", "openai", "chat"},
	} {
		fmt.Fprintf(&b, "  %q: {targets: [{provider: %s, model: %q}], kind: %s, context: 100000, max_output: 50000, input: [text, image], price: {input: 1, output: 2}}\n", m.name, m.provider, m.name, m.kind)
	}
	return newWorld(t, srv, "body_limit: 1MiB, body_timeout: 1500ms", b.String()), up
}

// bad is a body that must be refused, and how.
type bad struct {
	name string
	body string
	code string // of the OpenAI shape; "": any
	at   string // parameter; "": any
}

// TestBadCallers sends what must be refused to every surface, in bodies, headers
// and ways of sending; and what looks odd and is right.
func TestBadCallers(t *testing.T) {
	t.Parallel()
	w, up := edge(t)
	before := w.goroutines(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"bodies", badBodies},
		{"fields", badFields},
		{"sizes", sizes},
		{"media", media},
		{"methods", methods},
		{"paths", paths},
		{"keys", keys},
		{"headers", headers},
		{"framing", framing},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, w) })
	}
	t.Run("leaving", func(t *testing.T) { leaving(t, w, up) })
	t.Run("protocols", func(t *testing.T) { protocols(t, w) })
	w.closing(t, before)
}

// refused checks a refusal: status, shape, code, parameter, no charge.
func refused(t *testing.T, s surface, name string, r reply, status int, code, at string) {
	t.Helper()
	e, ok := s.read(r.Body)
	if r.Status != status || !ok || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		t.Errorf("%s, %s: %d %.300s, want %d", s.name, name, r.Status, r.Body, status)
		return
	}
	if code != "" && s.shape != "anthropic" && e.code != code {
		t.Errorf("%s, %s: code %s, want %s: %.300s", s.name, name, e.code, code, r.Body)
	}
	if at != "" {
		named := e.param == at
		if s.shape == "anthropic" { // it has nowhere else to say so
			named = strings.Contains(e.message, at)
		}
		if !named {
			t.Errorf("%s, %s: the refusal names %q, want %q: %.300s", s.name, name, e.param, at, r.Body)
		}
	}
	if r.charged(t).Sign() != 0 {
		t.Errorf("%s, %s: charged %v", s.name, name, r.charged(t))
	}
	if status != 408 && status != 429 && status < 500 && r.Header.Get("X-Should-Retry") != "false" {
		t.Errorf("%s, %s: x-should-retry %q, want false", s.name, name, r.Header.Get("X-Should-Retry"))
	}
}

func media(t *testing.T, w *world) {
	for _, s := range surfaces {
		good := s.hello("good/"+s.name, false)
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "application/jsonx", "json", "*/*", "application/json; charset=utf-16", ";;;"} {
			r := w.do(t, http.MethodPost, s.path, strings.NewReader(good), http.Header{"Content-Type": {kind}})
			refused(t, s, kind, r, 415, "unsupported_media_type", "")
		}
		for _, kind := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON; Charset=UTF-8", "application/vnd.api+json"} {
			if r := w.do(t, http.MethodPost, s.path, strings.NewReader(good), http.Header{"Content-Type": {kind}}); r.Status != 200 {
				t.Errorf("%s, %s: %d %s", s.name, kind, r.Status, r.Body)
			}
		}
		if r := w.do(t, http.MethodPost, s.path, strings.NewReader(good), http.Header{}); r.Status != 200 {
			t.Errorf("%s, no Content-Type: %d %s", s.name, r.Status, r.Body)
		}
		for _, accept := range []string{"text/html", "application/xml;q=1, */*;q=0", "nonsense"} {
			if r := w.do(t, http.MethodPost, s.path, strings.NewReader(good), http.Header{"Content-Type": {"application/json"}, "Accept": {accept}}); r.Status != 200 {
				t.Errorf("%s, Accept %s: %d", s.name, accept, r.Status)
			}
		}
	}
	w.quiet(t, new(big.Int))
}

func methods(t *testing.T, w *world) {
	for _, s := range surfaces {
		for _, m := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "post"} {
			r := w.do(t, m, s.path, nil, nil)
			if r.Header.Get("Allow") != "POST" {
				t.Errorf("%s %s: Allow %q", m, s.path, r.Header.Get("Allow"))
			}
			if m == "HEAD" {
				if r.Status != 405 || len(r.Body) > 0 {
					t.Errorf("HEAD %s: %d %s", s.path, r.Status, r.Body)
				}
				continue
			}
			refused(t, s, m, r, 405, "method_not_allowed", "")
		}
	}
	models := surface{"models", "/v1/models", "openai"}
	for _, m := range []string{"POST", "DELETE"} {
		for _, path := range []string{"/v1/models", "/v1/models/good/chat"} {
			r := w.do(t, m, path, strings.NewReader("{}"), nil)
			refused(t, models, m+" "+path, r, 405, "method_not_allowed", "")
			if !strings.Contains(r.Header.Get("Allow"), "GET") {
				t.Errorf("%s %s: Allow %q", m, path, r.Header.Get("Allow"))
			}
		}
	}
	w.quiet(t, new(big.Int))
}

func paths(t *testing.T, w *world) {
	for _, p := range []struct {
		path  string
		shape string
	}{
		{"/", "openai"},
		{"/v1", "openai"},
		{"/v1/", "openai"},
		{"/v1/files", "openai"},
		{"/v1/response", "openai"},
		{"/v2/chat/completions", "openai"},
		{"/v1/chat/completions/", "openai"},
		{"/v1/chat/completions/x", "openai"},
		{"//v1/chat/completions", "openai"},
		{"/v1//chat/completions", "openai"},
		{"/v1/./chat/completions", "openai"},
		{"/v1/x/../chat/completions", "openai"},
		{"/V1/CHAT/COMPLETIONS", "openai"},
		{"/v1/chat%2fcompletionsx", "openai"},
		{"/v1/chat/completions;x=1", "openai"},
		{"/v1/messages/", "anthropic"},
		{"/v1/messages/batches", "anthropic"},
		{"/admin/v1/accounts", "openai"},
		{"/metrics", "openai"},
		{"/debug/pprof/", "openai"},
		{"/.env", "openai"},
		{"/" + strings.Repeat("a", 8000), "openai"},
	} {
		for _, m := range []string{"GET", "POST"} {
			r := w.do(t, m, p.path, nil, nil)
			refused(t, surface{"paths", p.path, p.shape}, m+" "+p.path[:min(len(p.path), 40)], r, 404, "unknown_url", "")
		}
	}
	// A query changes nothing, and is never logged or shown.
	if r := w.do(t, "POST", chat.path+"?api_key="+w.key+"&x=%zz", strings.NewReader(chat.hello("good/chat", false)), nil); r.Status != 200 {
		t.Errorf("with a query: %d %s", r.Status, r.Body)
	}
	w.quiet(t, new(big.Int))
}

func keys(t *testing.T, w *world) {
	for _, s := range surfaces {
		good := s.hello("good/"+s.name, false)
		for name, h := range map[string]http.Header{
			"none":           {"Authorization": {""}},
			"only Bearer":    {"Authorization": {"Bearer"}},
			"Bearer nothing": {"Authorization": {"Bearer "}},
			"Basic":          {"Authorization": {"Basic " + w.key}},
			"wrong":          {"Authorization": {"Bearer sk-pontage-" + strings.Repeat("x", 36)}},
			"one letter off": {"Authorization": {"Bearer " + w.key[:len(w.key)-1] + "~"}},
			"cut":            {"Authorization": {"Bearer " + w.key[:len(w.key)-3]}},
			"twice":          {"Authorization": {"Bearer " + w.key + w.key}},
			"huge":           {"Authorization": {"Bearer sk-pontage-" + strings.Repeat("x", 30_000)}},
			"admin's":        {"Authorization": {"Bearer admin-token-of-the-tests"}},
			"x-api-key":      {"Authorization": {""}, "X-Api-Key": {"nonsense"}},
			"not ASCII":      {"Authorization": {"Bearer sk-pontage-ключ\xff"}},
		} {
			h.Set("Content-Type", "application/json")
			r := w.do(t, http.MethodPost, s.path, strings.NewReader(good), h)
			refused(t, s, "key "+name, r, 401, "invalid_api_key", "")
		}
		for name, h := range map[string]http.Header{
			"lower case scheme": {"Authorization": {"bearer " + w.key}},
			"space around":      {"Authorization": {"Bearer   " + w.key + "  "}},
			"x-api-key":         {"X-Api-Key": {w.key}},
			"x-api-key, spaced": {"X-Api-Key": {" " + w.key + " "}},
		} {
			h.Set("Content-Type", "application/json")
			if r := w.do(t, http.MethodPost, s.path, strings.NewReader(good), h); r.Status != 200 {
				t.Errorf("%s, key %s: %d %s", s.name, name, r.Status, r.Body)
			}
		}
		// A stranger's body is not read: a bad key with a bad body is a bad key.
		r := w.do(t, http.MethodPost, s.path, strings.NewReader("{"+strings.Repeat(" ", 2*bodyLimit)), http.Header{"Authorization": {"Bearer x"}})
		refused(t, s, "a stranger with a large body", r, 401, "invalid_api_key", "")
	}
	w.quiet(t, new(big.Int))
}
