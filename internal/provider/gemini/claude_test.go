package gemini

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// TestClaudeGoesByThePathsOfVertex compares what goes out with what was recorded
// of Anthropic's own client.
func TestClaudeGoesByThePathsOfVertex(t *testing.T) {
	t.Parallel()
	n := 0
	for _, f := range testkit.Recorded(t, "gemini.predict") {
		if f.Request == nil || !strings.Contains(f.Request.Path, "/publishers/anthropic/") {
			continue
		}
		n++
		_, rest, _ := strings.Cut(f.Request.Path, "/publishers/anthropic/models/")
		model, _, _ := strings.Cut(rest, ":")
		var got *http.Request
		var body []byte
		c := Claude{Vertex: Vertex{Project: "example-project", Location: "us-east5"}, Base: transport(func(req *http.Request) (*http.Response, error) {
			got = req
			body, _ = io.ReadAll(req.Body)
			again, _ := req.GetBody()
			if b, _ := io.ReadAll(again); string(b) != string(body) {
				t.Errorf("%s: the body is another the second time", f.ID)
			}
			return reply(200, "application/json", "{}"), nil
		})}
		stream := strings.HasSuffix(rest, "streamRawPredict")
		in := strings.TrimSuffix(strings.TrimSpace(string(f.Request.JSON)), "}")
		in = strings.Replace(in, `"anthropic_version"`, `"x"`, 1)
		in += `,"model":"` + model + `"`
		if stream && !strings.Contains(in, `"stream"`) {
			in += `,"stream":true`
		}
		req, _ := http.NewRequest(http.MethodPost, "https://vertex.invalid/v1/messages", strings.NewReader(in+"}"))
		req.Header.Set("Anthropic-Version", "2023-06-01")
		req.Header.Set("Anthropic-Beta", "b")
		resp, err := c.RoundTrip(req)
		if err != nil {
			t.Fatalf("%s: %v", f.ID, err)
		}
		_ = resp.Body.Close()
		if got.URL.Path != f.Request.Path || got.URL.Host != "us-east5-aiplatform.googleapis.com" || got.Host != got.URL.Host {
			t.Errorf("%s: went to %s, want %s", f.ID, got.URL, f.Request.Path)
		}
		if got.Header.Get("Anthropic-Version") != "" || got.Header.Get("Anthropic-Beta") != "b" || got.ContentLength != int64(len(body)) {
			t.Errorf("%s: headers %v, length %d of %d", f.ID, got.Header, got.ContentLength, len(body))
		}
		if !strings.Contains(string(body), `"anthropic_version":"vertex-2023-10-16"`) || strings.Contains(string(body), `"model":`) {
			t.Errorf("%s: body %s", f.ID, body)
		}
	}
	if n < 3 {
		t.Errorf("only %d recordings", n)
	}
}

func TestClaudeCountsTokensOnVertex(t *testing.T) {
	t.Parallel()
	var got, body string
	c := Claude{Vertex: Vertex{Project: "p"}, Base: transport(func(req *http.Request) (*http.Response, error) {
		b, _ := io.ReadAll(req.Body)
		got, body = req.URL.String(), string(b)
		return reply(200, "application/json", "{}"), nil
	})}
	req, _ := http.NewRequest(http.MethodPost, "https://vertex.invalid/v1/messages/count_tokens", strings.NewReader(`{"model":"claude-x","messages":[]}`))
	resp, err := c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got != "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/count-tokens:rawPredict" ||
		body != `{"model":"claude-x","messages":[],"anthropic_version":"vertex-2023-10-16"}` {
		t.Errorf("%s with %s", got, body)
	}
	for _, bad := range []string{`[]`, `{}`, `{"model":1}`} {
		req, _ := http.NewRequest(http.MethodPost, "https://vertex.invalid/v1/messages", strings.NewReader(bad))
		if _, err := c.RoundTrip(req); err == nil { //nolint:bodyclose // there is none
			t.Errorf("%s was sent", bad)
		}
	}
}
