package gemini

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// claudeVersion is the version of Anthropic's protocol on Vertex AI, which stands
// in the body.
const claudeVersion = `"vertex-2023-10-16"`

// Claude is a transport for a client of Anthropic's protocol that reaches Claude
// on Vertex AI: the model goes from the body to the path, the version from the
// headers to the body. Betas stay in their header.
type Claude struct {
	Vertex  Vertex            // where; a project is needed
	BaseURL string            // empty: Vertex's own for the location
	Base    http.RoundTripper // shared; it adds the credential
}

// RoundTrip is that of http.RoundTripper. It knows the paths that end in
// /messages and /messages/count_tokens.
func (c Claude) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil {
		return nil, errors.New("a request of messages has a body")
	}
	body, err := io.ReadAll(req.Body)
	closeBody(req)
	if err != nil {
		return nil, err
	}
	raw, err := jsonx.Scan(body)
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	var model string
	if err := json.Unmarshal(raw.Value("model"), &model); err != nil {
		return nil, errors.New("the request names no model")
	}
	if err := provider.CheckPlace(model); err != nil {
		return nil, err
	}
	edits := []llm.Edit{{Name: "anthropic_version", Value: []byte(claudeVersion)}, {Name: "model"}}
	path := model + ":rawPredict"
	switch {
	case strings.HasSuffix(req.URL.Path, "/count_tokens"):
		path, edits = "count-tokens:rawPredict", edits[:1]
	case string(raw.Value("stream")) == "true":
		path = model + ":streamRawPredict"
	}
	base, err := Options{BaseURL: c.BaseURL, Vertex: &c.Vertex}.root("v1")
	if err != nil {
		return nil, err
	}
	body = raw.Splice(edits...)
	out := req.Clone(req.Context())
	out.URL = base.JoinPath(c.Vertex.publisher("anthropic"), path)
	out.Host = out.URL.Host
	out.Header.Del("Anthropic-Version")
	out.Header.Del("X-Api-Key")
	out.ContentLength = int64(len(body))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	out.Body, _ = out.GetBody()
	return c.Base.RoundTrip(out)
}
