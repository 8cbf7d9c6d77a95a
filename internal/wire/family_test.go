package wire

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
)

// paged shows the query of a list.
type paged struct{ plain }

func (paged) Page(dst []byte, _ []Model, q url.Values) ([]byte, error) {
	if q.Get("limit") == "none" {
		return dst, fault.New(fault.InvalidParameter, "").At("limit")
	}
	return append(dst, "page of "+q.Get("limit")...), nil
}

func TestCallersOfAnthropicGetTheirOwnShapes(t *testing.T) {
	t.Parallel()
	h := build(t, &fake{enter: func(v Visit) error {
		if v.Credential == "bad" {
			return fault.New(fault.KeyInvalid, "")
		}
		return nil
	}}, func(o *Options) { o.Listers["anthropic.models"] = paged{} })
	for _, c := range []struct {
		path, key, version string
		status             int
		body               string // how it begins
		id                 bool   // the request's id has Anthropic's header
	}{
		{"/v1/models?limit=3", "good", "", 200, "list of a/b", false},
		{"/v1/models?limit=3", "good", "2026-10-21", 200, "page of 3", true},
		{"/v1/models/a/b", "good", "2023-06-01", 200, "one a/b", true},
		{"/v1/models?limit=none", "good", "2023-06-01", 400, `{"type":"error","error":{"type":"invalid_request_error"`, true},
		{"/v1/models/none", "good", "2023-06-01", 404, `{"type":"error","error":{"type":"not_found_error"`, true},
		{"/v1/models", "bad", "2023-06-01", 401, `{"type":"error","error":{"type":"authentication_error"`, true},
		{"/v1/models", "bad", "", 401, `{"error":{`, false},
	} {
		req, _ := http.NewRequest("GET", h.srv.URL+c.path, nil)
		req.Header.Set("X-Api-Key", c.key)
		if c.version != "" {
			req.Header.Set("Anthropic-Version", c.version)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != c.status || !strings.HasPrefix(string(b), c.body) {
			t.Errorf("%s, version %q: %d %s, want %d %s", c.path, c.version, resp.StatusCode, b, c.status, c.body)
		}
		want := ""
		if c.id {
			want = resp.Header.Get("X-Request-Id")
		}
		if got := resp.Header.Get("Request-Id"); got != want {
			t.Errorf("%s, version %q: request-id %q, want %q", c.path, c.version, got, want)
		}
	}
}

func TestAnswersOfAnthropicSurfacesHaveTheirRequestID(t *testing.T) {
	t.Parallel()
	h := build(t, &fake{open: func(ctx context.Context) (*fakeCall, error) {
		return &fakeCall{ctx: ctx, steps: []any{event("data: 1\n\n"), last("data: 2\n\n")}}, nil
	}}, nil)
	for _, body := range []string{`{}`, `{"stream":true}`} {
		resp, _ := h.post(t, "/v1/messages", body)
		if id := resp.Header.Get("Request-Id"); resp.StatusCode != 200 || id == "" || id != resp.Header.Get("X-Request-Id") {
			t.Errorf("%s: %d, request-id %q, X-Request-ID %q", body, resp.StatusCode, id, resp.Header.Get("X-Request-Id"))
		}
		if resp, _ := h.post(t, "/v1/chat/completions", body); resp.Header.Get("Request-Id") != "" {
			t.Errorf("%s: a chat completion has Anthropic's header", body)
		}
	}
}
