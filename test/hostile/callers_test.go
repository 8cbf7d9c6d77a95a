package hostile

import (
	"bytes"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const bodyLimit = 1 << 20

// edge is a gateway with a good provider, a small limit of bodies and little
// patience.
func edge(t *testing.T) (*world, *upstream) {
	t.Helper()
	up := newUpstream()
	srv := httptest.NewServer(up)
	t.Cleanup(func() {
		close(up.stop)
		srv.CloseClientConnections()
		srv.Close()
	})
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

// syntax is wrong whatever is asked.
func syntax(good string) []bad {
	deep := strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000)
	return []bad{
		{"nothing", "", "invalid_json", ""},
		{"space", " \n ", "invalid_json", ""},
		{"half", good[:len(good)/2], "invalid_json", ""},
		{"all but the brace", good[:len(good)-1], "invalid_json", ""},
		{"twice", good + good, "invalid_json", ""},
		{"rest", good + "x", "invalid_json", ""},
		{"a list", `[` + good + `]`, "invalid_json", ""},
		{"a text", `"hello"`, "invalid_json", ""},
		{"a number", `42`, "invalid_json", ""},
		{"null", `null`, "invalid_json", ""},
		{"not JSON", `model=good&messages=hello`, "invalid_json", ""},
		{"single quotes", strings.ReplaceAll(good, `"`, `'`), "invalid_json", ""},
		{"a comment", "/* hello */" + good, "invalid_json", ""},
		{"a comma more", good[:len(good)-1] + ",}", "invalid_json", ""},
		{"a name twice", good[:len(good)-1] + `,"model":"other"}`, "invalid_json", ""},
		{"a name twice, escaped", good[:len(good)-1] + `,"mode\u006c":"other"}`, "invalid_json", ""},
		{"a name twice, within", good[:len(good)-1] + `,"metadata":{"a":1,"a":2}}`, "invalid_json", ""},
		{"100,000 lists deep", good[:len(good)-1] + `,"metadata":` + deep + `}`, "invalid_json", ""},
		{"100,000 objects deep", good[:len(good)-1] + `,"metadata":` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat(`}`, 100_000) + `}`, "invalid_json", ""},
		{"open lists", strings.Repeat(`[`, 900_000), "invalid_json", ""},
		{"open objects", strings.Repeat(`{"a":`, 150_000), "invalid_json", ""},
		{"not UTF-8", strings.Replace(good, "Hello", "He\xff\xfello", 1), "invalid_json", ""},
		{"overlong UTF-8", strings.Replace(good, "Hello", "\xc0\x80", 1), "invalid_json", ""},
		{"half a character", strings.Replace(good, "Hello", "\xe2\x82", 1), "invalid_json", ""},
		{"UTF-8 of a surrogate", strings.Replace(good, "Hello", "\xed\xa0\x80", 1), "invalid_json", ""},
		{"a control character", strings.Replace(good, "Hello", "He\x01llo", 1), "invalid_json", ""},
		{"a NUL", good[:10] + "\x00" + good[10:], "invalid_json", ""},
		{"a bad escape", strings.Replace(good, "Hello", `\q`, 1), "invalid_json", ""},
		{"UTF-16", string(append([]byte{0xff, 0xfe}, []byte("{\x00}\x00")...)), "invalid_json", ""},
		{"NaN", good[:len(good)-1] + `,"temperature":NaN}`, "invalid_json", ""},
		{"a number with a zero", good[:len(good)-1] + `,"temperature":01}`, "invalid_json", ""},
		{"empty object", `{}`, "", ""},
	}
}

// fields are wrong members, by surface: what replaces or is added to a good
// request, and the parameter that the refusal must name.
var fields = map[string][]struct{ name, value, at string }{
	"chat": {
		{"model", `7`, "model"},
		{"model", `""`, "model"},
		{"model", `null`, "model"},
		{"model", `"` + strings.Repeat("m", 5000) + `"`, "model"},
		{"messages", `null`, "messages"},
		{"messages", `[]`, "messages"},
		{"messages", `{}`, "messages"},
		{"messages", `"Hello"`, "messages"},
		{"messages", `[7]`, "messages.0"},
		{"messages", `[[]]`, "messages.0"},
		{"messages", `[{"content":"x"}]`, "messages.0.role"},
		{"messages", `[{"role":"alien","content":"x"}]`, "messages.0.role"},
		{"messages", `[{"role":7,"content":"x"}]`, "messages.0.role"},
		{"messages", `[{"role":"user"}]`, "messages.0.content"},
		{"messages", `[{"role":"user","content":7}]`, "messages.0.content"},
		{"messages", `[{"role":"user","content":[]}]`, "messages.0.content"},
		{"messages", `[{"role":"user","content":[{"type":"text"}]}]`, "messages.0.content.0.text"},
		{"messages", `[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]`, "messages.0.content.0.image_url.url"},
		{"messages", `[{"role":"tool","content":"x"}]`, "messages.0.tool_call_id"},
		{"temperature", `"hot"`, "temperature"},
		{"temperature", `3`, "temperature"},
		{"temperature", `-1`, "temperature"},
		{"temperature", `1e999`, "temperature"},
		{"top_p", `2`, "top_p"},
		{"max_tokens", `0`, "max_tokens"},
		{"max_tokens", `-1`, "max_tokens"},
		{"max_tokens", `1.5`, "max_tokens"},
		{"max_tokens", `"many"`, "max_tokens"},
		{"max_tokens", `99999999999999999999`, "max_tokens"},
		{"stream", `"yes"`, "stream"},
		{"stream", `1`, "stream"},
		{"stream_options", `7`, "stream_options"},
		{"n", `0`, "n"},
		{"n", `1000`, "n"},
		{"stop", `7`, "stop"},
		{"stop", `["a","b","c","d","e"]`, "stop"},
		{"stop", `[1]`, "stop.0"},
		{"tools", `{}`, "tools"},
		{"tools", `[7]`, "tools.0"},
		{"tools", `[{"type":"function"}]`, "tools.0.function"},
		{"tools", `[{"type":"function","function":{}}]`, "tools.0.function.name"},
		{"tools", `[{"type":"function","function":{"name":"bad name!"}}]`, "tools.0.function.name"},
		{"tool_choice", `7`, "tool_choice"},
		{"response_format", `"json"`, "response_format"},
		{"response_format", `{"type":"yaml"}`, "response_format.type"},
		{"response_format", `{"type":"json_schema"}`, "response_format.json_schema"},
		{"top_logprobs", `50`, "top_logprobs"},
		{"logit_bias", `[]`, "logit_bias"},
		{"frequency_penalty", `9`, "frequency_penalty"},
		{"seed", `"x"`, "seed"},
		{"user", `7`, "user"},
	},
	"messages": {
		{"model", `7`, "model"},
		{"model", `null`, "model"},
		{"messages", `null`, "messages"},
		{"messages", `[]`, "messages"},
		{"messages", `"Hello"`, "messages"},
		{"messages", `[7]`, "messages.0"},
		{"messages", `[{"role":"alien","content":"x"}]`, "messages.0.role"},
		{"messages", `[{"role":"user"}]`, "messages.0.content"},
		{"messages", `[{"role":"user","content":7}]`, "messages.0.content"},
		{"messages", `[{"role":"user","content":[{"type":"text"}]}]`, "messages.0.content.0.text"},
		{"max_tokens", `null`, "max_tokens"},
		{"max_tokens", `-1`, "max_tokens"},
		{"max_tokens", `"many"`, "max_tokens"},
		{"temperature", `"hot"`, "temperature"},
		{"temperature", `2`, "temperature"},
		{"stream", `"yes"`, "stream"},
		{"system", `7`, "system"},
		{"stop_sequences", `"x"`, "stop_sequences"},
		{"tools", `{}`, "tools"},
		{"tools", `[{"name":"f"}]`, "tools.0.input_schema"},
		{"tool_choice", `"auto"`, "tool_choice"},
		{"thinking", `{"type":"enabled"}`, "thinking.budget_tokens"},
		{"metadata", `7`, "metadata"},
		{"top_k", `-1`, "top_k"},
	},
	"simple": {
		{"model", `7`, "model"},
		{"model", `null`, "model"},
		{"messages", `null`, "messages"},
		{"messages", `[]`, "messages"},
		{"messages", `[{"role":"user","content":7}]`, "messages.0.content"},
		{"messages", `[{"role":"tool","content":"x"}]`, "messages.0.role"},
		{"message", `"both"`, "message"},
		{"temperature", `"hot"`, "temperature"},
		{"max_tokens", `-1`, "max_tokens"},
		{"stream", `"yes"`, "stream"},
		{"something", `1`, "something"},
	},
	"embeddings": {
		{"model", `7`, "model"},
		{"model", `null`, "model"},
		{"input", `null`, "input"},
		{"input", `""`, "input"},
		{"input", `[]`, "input"},
		{"input", `[""]`, "input.0"},
		{"input", `[1.5]`, "input.0"},
		{"input", `["a",1]`, "input.1"},
		{"input", `{}`, "input"},
		{"encoding_format", `"hex"`, "encoding_format"},
		{"dimensions", `0`, "dimensions"},
	},
	"count": {
		{"model", `7`, "model"},
		{"messages", `null`, "messages"},
		{"messages", `[]`, "messages"},
		{"messages", `[{"role":"alien","content":"x"}]`, "messages.0.role"},
		{"system", `7`, "system"},
	},
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

func badBodies(t *testing.T, w *world) {
	for _, s := range surfaces {
		good := s.hello("good/"+s.name, false)
		if r := w.post(t, s, good); r.Status != 200 {
			t.Errorf("%s: a good request gives %d %s", s.name, r.Status, r.Body)
		}
		for _, b := range syntax(good) {
			refused(t, s, b.name, w.post(t, s, b.body), 400, b.code, b.at)
		}
		// Odd, and right.
		for name, body := range map[string]string{
			"space around":    "\r\n\t " + good + " \n",
			"escaped names":   strings.Replace(good, `"model"`, `"mod\u0065l"`, 1),
			"127 lists deep":  good[:len(good)-1] + `,"metadata":` + strings.Repeat(`[`, 120) + strings.Repeat(`]`, 120) + `}`,
			"a big number":    good[:len(good)-1] + `,"metadata":123456789012345678901234567890}`,
			"an unknown name": good[:len(good)-1] + `,"surprise":{"a":[1,2]}}`,
		} {
			r := w.post(t, s, body)
			if s.name == "simple" && (strings.Contains(body, "surprise") || strings.Contains(body, "metadata")) {
				refused(t, s, name, r, 400, "unknown_parameter", "")
				continue
			}
			if r.Status != 200 && !strings.Contains(body, "metadata") {
				t.Errorf("%s, %s: %d %s", s.name, name, r.Status, r.Body)
			}
			if r.Status != 200 && r.Status != 400 {
				t.Errorf("%s, %s: %d %s", s.name, name, r.Status, r.Body)
			}
		}
	}
	w.quiet(t, new(big.Int))
}

// set returns a good body with one member replaced or added.
func set(good, name, value string) string {
	var b strings.Builder
	b.WriteString(`{`)
	found := false
	for _, m := range topLevel(good) {
		if b.Len() > 1 {
			b.WriteString(`,`)
		}
		v := m[1]
		if m[0] == name {
			v, found = value, true
		}
		fmt.Fprintf(&b, "%q:%s", m[0], v)
	}
	if !found {
		fmt.Fprintf(&b, ",%q:%s", name, value)
	}
	return b.String() + `}`
}

func badFields(t *testing.T, w *world) {
	n := 0
	for _, s := range surfaces {
		good := s.hello("good/"+s.name, false)
		for _, f := range fields[s.name] {
			n++
			r := w.post(t, s, set(good, f.name, f.value))
			refused(t, s, f.name+" "+f.value[:min(len(f.value), 60)], r, 400, "", f.at)
		}
		for _, name := range []string{"no-such-model", "good/" + s.name + "\u0000", "../../etc/passwd", "good/chat/../chat"} {
			r := w.post(t, s, set(good, "model", fmt.Sprintf("%q", name)))
			if strings.Contains(name, "\u0000") {
				r = w.post(t, s, set(good, "model", `"good\u0000"`))
			}
			refused(t, s, "model "+name, r, 404, "model_not_found", "")
		}
	}
	if n < 90 {
		t.Errorf("only %d fields", n)
	}
	w.quiet(t, new(big.Int))
}

func sizes(t *testing.T, w *world) {
	bomb := zipped(bytes.Repeat([]byte(" "), 32<<20))
	if len(bomb) > bodyLimit {
		t.Fatal("the bomb is too large")
	}
	for _, s := range surfaces {
		good := s.hello("good/"+s.name, false)
		big := good + strings.Repeat(" ", bodyLimit)
		refused(t, s, "too large", w.post(t, s, big), 413, "request_too_large", "")
		chunked := w.do(t, http.MethodPost, s.path, io.MultiReader(strings.NewReader(big)), http.Header{"Content-Type": {"application/json"}})
		refused(t, s, "too large, in chunks", chunked, 413, "request_too_large", "")
		fits := good + strings.Repeat(" ", bodyLimit-len(good))
		if r := w.post(t, s, fits); r.Status != 200 {
			t.Errorf("%s: a body of exactly the limit gives %d %s", s.name, r.Status, r.Body)
		}
		zip := func(b []byte, encoding string) reply {
			return w.do(t, http.MethodPost, s.path, bytes.NewReader(b), http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {encoding}})
		}
		if r := zip(zipped([]byte(good)), "gzip"); r.Status != 200 {
			t.Errorf("%s: gzip gives %d %s", s.name, r.Status, r.Body)
		}
		refused(t, s, "a gzip bomb", zip(bomb, "gzip"), 413, "request_too_large", "")
		refused(t, s, "not gzip", zip([]byte(good), "gzip"), 400, "", "")
		refused(t, s, "half of gzip", zip(zipped([]byte(good))[:20], "gzip"), 400, "", "")
		refused(t, s, "gzip in gzip", zip(zipped(zipped([]byte(good))), "gzip"), 400, "", "")
		refused(t, s, "gzip, gzip", zip(zipped(zipped([]byte(good))), "gzip, gzip"), 415, "", "")
		for _, encoding := range []string{"br", "deflate", "zstd", "compress", "x"} {
			refused(t, s, encoding, zip([]byte(good), encoding), 415, "unsupported_media_type", "")
		}
	}
	if rss := w.metric(t, "process_resident_memory_bytes"); rss > 400<<20 {
		t.Errorf("the process takes %.0f MiB", rss/(1<<20))
	}
	w.quiet(t, new(big.Int))
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
		{"/v1/completions", "openai"},
		{"/v1/responses", "openai"},
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
