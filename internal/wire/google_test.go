package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// inPath is a dialect that says what path and query asked of it.
type inPath struct {
	plain
	ending, alt string
}

func (d inPath) At(ending string, query url.Values) (Dialect, error) {
	if query.Get("alt") == "none" {
		return nil, fault.New(fault.InvalidParameter, "").At("alt")
	}
	d.ending, d.alt, d.stream = ending, cmp.Or(query.Get("alt"), query.Get("$alt")), strings.Contains(ending, "stream")
	return d, nil
}

func (d inPath) DecodeFor(model string, b []byte, h map[string][]string) (*llm.Request, error) {
	r, err := d.Decode(b, h)
	if r != nil {
		r.Model = model + " " + d.ending + " " + d.alt
	}
	return r, err
}

func (d inPath) Encoder(r *llm.Request) Encoder {
	return &arrayEncoder{array: d.alt != "sse"}
}

// arrayEncoder has streams of its own media type, and breaks them in its own way.
type arrayEncoder struct {
	plainEncoder
	array bool
}

func (e *arrayEncoder) MediaType() string {
	if e.array {
		return "application/json"
	}
	return ""
}

func (e *arrayEncoder) Break(dst, frame []byte, err *fault.Error) []byte {
	return append(append(dst, "broken "+err.Code.String()+" "...), frame...)
}

// google is a house with that dialect, and what keys it was asked with.
func google(t *testing.T, f *fake) (house, *[]string) {
	t.Helper()
	var keys []string
	f.enter = func(v Visit) error {
		keys = append(keys, v.Credential)
		return nil
	}
	return build(t, f, func(o *Options) {
		o.Dialects["gemini.generate"] = inPath{}
		o.Listers["gemini.models"] = paged{}
	}), &keys
}

func TestPathAndQuerySayWhatIsAsked(t *testing.T) {
	t.Parallel()
	var models []string
	h, _ := google(t, &fake{
		opened: func(r *llm.Request) { models = append(models, fmt.Sprint(r.Model, " ", r.Stream)) },
		open: func(ctx context.Context) (*fakeCall, error) {
			return &fakeCall{ctx: ctx, steps: []any{event("a"), last("b")}}, nil
		},
	})
	for _, c := range []struct{ path, want, media string }{
		{"/v1beta/models/a/b:generateContent", "a/b :generateContent  false", "application/json"},
		{"/v1/models/m:streamGenerateContent?alt=sse", "m :streamGenerateContent sse true", "text/event-stream"},
		{"/v1/models/m:streamGenerateContent", "m :streamGenerateContent  true", "application/json"},
	} {
		models = nil
		resp, body := h.post(t, c.path, `{}`)
		if got := strings.Join(models, ""); resp.StatusCode != 200 || got != c.want || body == "" || resp.Header.Get("Content-Type") != c.media {
			t.Errorf("%s: %d %q as %q, %s", c.path, resp.StatusCode, got, resp.Header.Get("Content-Type"), body)
		}
	}
	for path, want := range map[string]int{
		"/v1beta/models/m:generateContent?alt=none": 400, "/v1beta/models/m:generateContent?%": 400, "/v1beta/models/m:other": 405, "/v1beta/x": 404,
	} {
		if resp, body := h.post(t, path, `{}`); resp.StatusCode != want || !strings.HasPrefix(body, fmt.Sprintf(`{"error":{"code":%d,`, want)) {
			t.Errorf("%s: %d %s, want %d", path, resp.StatusCode, body, want)
		}
	}
}

// A stream that breaks off does so in the dialect's way.
func TestADialectBreaksItsStreams(t *testing.T) {
	t.Parallel()
	h, _ := google(t, &fake{open: func(ctx context.Context) (*fakeCall, error) {
		return &fakeCall{ctx: ctx, steps: []any{event("a "), fault.New(fault.UpstreamFailed, "")}}, nil
	}})
	_, body := h.post(t, "/v1beta/models/m:streamGenerateContent", `{}`)
	if !strings.HasPrefix(body, `a broken upstream_failed data: {"error":{"code":502,`) {
		t.Errorf("%s", body)
	}
}

// What is kept of a stream has its media type, and another form is another
// request.
func TestAKeptStreamHasItsMediaType(t *testing.T) {
	t.Parallel()
	digests := map[[32]byte]bool{}
	var call *fakeCall
	h, _ := google(t, &fake{
		open: func(ctx context.Context) (*fakeCall, error) {
			call = &fakeCall{ctx: ctx, steps: []any{event("a"), last("b")}}
			return call, nil
		},
		claim: func(_ string, digest [32]byte, _ time.Duration) (*Kept, error) {
			digests[digest] = true
			return nil, nil
		},
	})
	for query, media := range map[string]string{"": "application/json", "?alt=sse": "text/event-stream", "?$alt=sse": "text/event-stream"} {
		req, _ := http.NewRequest(http.MethodPost, h.srv.URL+"/v1beta/models/m:streamGenerateContent"+query, strings.NewReader(`{}`))
		req.Header.Set("Idempotency-Key", "k")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if call.kept == nil || call.kept.Header[0] != [2]string{"Content-Type", media} {
			t.Errorf("%q: kept %+v", query, call.kept)
		}
	}
	if len(digests) != 3 {
		t.Errorf("%d digests of three requests", len(digests))
	}
}

// A key is taken from Google's header, and from the query at Google's paths; who
// sends it so sees Google's list of models where all families have theirs.
func TestKeysOfGooglesCallers(t *testing.T) {
	t.Parallel()
	h, keys := google(t, &fake{open: func(context.Context) (*fakeCall, error) { return nil, errors.New("no") }})
	for _, c := range []struct{ method, path, header, want, body string }{
		{"GET", "/v1beta/models?key=K_1", "", "K_1", "page of "},
		{"GET", "/v1beta/models?key=K_1&limit=3", "k2", "k2", "page of 3"},
		{"GET", "/v1/models?limit=5", "k3", "k3", "page of 5"},
		{"GET", "/v1/models?key=k4", "", "", "list of a/b"},
		{"GET", "/v1/models/a/b", "k5", "k5", "one a/b"},
		{"POST", "/v1beta/models/m:generateContent?key=K_6", "", "K_6", `{"error":{"code":500,`},
	} {
		*keys = nil
		req, _ := http.NewRequest(c.method, h.srv.URL+c.path, strings.NewReader(`{}`))
		if c.header != "" {
			req.Header.Set("X-Goog-Api-Key", c.header)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if got := strings.Join(*keys, " "); got != c.want || !strings.HasPrefix(string(b), c.body) {
			t.Errorf("%s: key %q, %s; want %q, %s", c.path, got, b, c.want, c.body)
		}
	}
	for range len(h.events) {
		if ev := fmt.Sprintf("%+v", <-h.events); strings.Contains(ev, "K_1") || strings.Contains(ev, "K_6") {
			t.Errorf("a key is told: %s", ev)
		}
	}
	r, _ := http.NewRequest(http.MethodGet, "http://h/v1beta/models?key=secret&a=b", nil)
	if key := queryKey(r, "gemini.models"); key != "secret" || strings.Contains(r.URL.String()+r.RequestURI, "secret") || r.URL.RawQuery != "a=b" {
		t.Errorf("%q is left behind for %q", r.URL, key)
	}
	// What cannot be read of the rest stays, to be refused.
	r, _ = http.NewRequest(http.MethodGet, "http://h/v1beta/models?alt=%zz&key=sec%72et&key=secret&a=b", nil)
	if key := queryKey(r, "gemini.models"); key != "secret" || strings.Contains(r.URL.String()+r.RequestURI, "sec") || r.URL.RawQuery != "alt=%zz&a=b" {
		t.Errorf("%q is left behind for %q", r.URL, key)
	}
}
