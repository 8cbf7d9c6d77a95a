package app

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// google is an upstream that speaks as AI Studio and Vertex AI do, and mints
// tokens.
type google struct {
	*httptest.Server
	t      *testing.T
	minted atomic.Int64
	paths  chan string
	bodies chan string
}

func newGoogle(t *testing.T) *google {
	t.Helper()
	g := &google{t: t, paths: make(chan string, 100), bodies: make(chan string, 100)}
	g.Server = httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(g.Close)
	return g
}

func (g *google) serve(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	w.Header().Set("Content-Type", "application/json")
	if req.URL.Path == "/token" {
		_, _ = fmt.Fprintf(w, `{"access_token":"t%d","expires_in":3600}`, g.minted.Add(1))
		return
	}
	key := req.Header.Get("X-Goog-Api-Key")
	if vertex := strings.Contains(req.URL.Path, "/publishers/"); vertex != strings.HasPrefix(req.Header.Get("Authorization"), "Bearer t") || vertex == (key == "k") {
		g.t.Errorf("%s comes with %q and %q", req.URL, key, req.Header.Get("Authorization"))
	}
	g.paths <- req.URL.String()
	g.bodies <- string(body)
	const answer = `{"candidates":[{"content":{"role":"model","parts":[{"text":"hm","thought":true},{"text":"Hello"},{"functionCall":{"name":"f","args":{"x":1}},"thoughtSignature":"c2ln"}]},"finishReason":"STOP"}],` +
		`"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":3,"thoughtsTokenCount":2,"totalTokenCount":10},"modelVersion":"g-1"}`
	switch method := req.URL.Path[strings.LastIndexByte(req.URL.Path, ':')+1:]; method {
	case "generateContent":
		_, _ = io.WriteString(w, answer)
	case "streamGenerateContent":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: "+answer+"\r\n\r\n")
	case "countTokens":
		_, _ = io.WriteString(w, `{"totalTokens":7}`)
	case "batchEmbedContents":
		_, _ = io.WriteString(w, `{"embeddings":[{"values":[1,2]}]}`)
	case "rawPredict":
		_, _ = io.WriteString(w, `{"id":"msg_1","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"Bonjour"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":3}}`)
	case "streamRawPredict":
		w.Header().Set("Content-Type", "text/event-stream")
		for _, data := range []string{
			`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"c","content":[],"stop_reason":null,"usage":{"input_tokens":5,"output_tokens":1}}}`,
			`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Longtemps"}}`,
			`{"type":"content_block_stop","index":0}`,
			`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}`,
			`{"type":"message_stop"}`,
		} {
			_, _ = io.WriteString(w, "data: "+data+"\n\n")
		}
	default:
		g.t.Errorf("asked for %s", req.URL)
	}
}

// keyFile writes the key of a service account into dir.
func (g *google) keyFile(dir string) {
	g.t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		g.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		g.t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "a@b", "token_uri": g.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key.json"), text, 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// TestCallersOfEveryDialectReachGoogle goes through the whole gateway, to AI
// Studio with a key and to Vertex AI with a service account.
func TestCallersOfEveryDialectReachGoogle(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	dir := t.TempDir()
	g.keyFile(dir)
	r := servingIn(t, dir, strings.NewReplacer("{sim: {kind: sim}}", `{
  studio: {kind: gemini, api_key: k, base_url: "`+g.URL+`"},
  cloud: {kind: vertex, key_file: key.json, project: p, location: us-east5, base_url: "`+g.URL+`"},
  claude: {kind: vertex, publisher: anthropic, key_file: key.json, project: p, base_url: "`+g.URL+`"}}`,
		"{m: {targets: [{provider: sim}], price: {input: 1, output: 2}}}", `{
  m: {targets: [{provider: studio, model: gemini-3-flash-preview}], price: {input: 1, output: 2}},
  v: {targets: [{provider: cloud, model: gemini-3-flash-preview}], price: {input: 1, output: 2}},
  c: {targets: [{provider: claude, model: claude-sonnet-4-5@20250929}], price: {input: 1, output: 2}},
  e: {kind: embedding, targets: [{provider: studio}], price: {input: 1}}}`).Replace(small))
	key := r.key(t, "")
	const studio, vertex = "/v1beta/models/gemini-3-flash-preview:", "/v1beta1/projects/p/locations/us-east5/publishers/google/models/gemini-3-flash-preview:"
	hi := `"messages":[{"role":"user","content":"hi"}]`
	for _, c := range []struct {
		path, body string
		upstream   string
		want       []string
	}{
		{"/v1/chat/completions", `{"model":"m",` + hi + `}`, studio + "generateContent", []string{
			`"content":"Hello"`, `"reasoning_content":"hm"`, `"finish_reason":"tool_calls"`, `"arguments":"{\"x\":1}"`, `"extra_content":{"google":{"thought_signature":"pontage1.`,
			`"prompt_tokens":5`, `"completion_tokens":5`, `"reasoning_tokens":2`, `"model":"m"`,
		}},
		{"/v1/chat/completions", `{"model":"v","stream":true,` + hi + `}`, vertex + "streamGenerateContent?alt=sse", []string{
			`"content":"Hello"`, `"finish_reason":"tool_calls"`, "data: [DONE]",
		}},
		{"/v1/messages", `{"model":"m","max_tokens":50,"stream":true,` + hi + `}`, studio + "streamGenerateContent?alt=sse", []string{
			`"text_delta","text":"Hello"`, `"signature":"pontage1.`, `"name":"f"`, `"stop_reason":"tool_use"`, `"input_tokens":5`, "event: message_stop",
		}},
		{"/v1/messages/count_tokens", `{"model":"v",` + hi + `}`, vertex + "countTokens", []string{`"input_tokens":7`}},
		{"/v1/embeddings", `{"model":"e","input":"a"}`, "/v1beta/models/e:batchEmbedContents", []string{`"embedding":[1,2]`, `"prompt_tokens":`}},
		{"/v1/chat/completions", `{"model":"c",` + hi + `}`, "/v1/projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict", []string{`"content":"Bonjour"`, `"finish_reason":"stop"`}},
		// What may take long is asked for as a stream.
		{"/v1/messages", `{"model":"c","max_tokens":9000,` + hi + `}`, "/v1/projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict", []string{`"text":"Longtemps"`, `"stop_reason":"end_turn"`}},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.Addr()+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Anthropic-Version", "2023-06-01")
		req.Close = true
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("%s %s: %d %s", c.path, c.body, resp.StatusCode, got)
		}
		if at := <-g.paths; at != c.upstream {
			t.Errorf("%s %s went to %s, want %s", c.path, c.body, at, c.upstream)
		}
		for _, want := range c.want {
			if !strings.Contains(string(got), want) {
				t.Errorf("%s %s: %s\nwant %s in it", c.path, c.body, got, want)
			}
		}
		<-g.bodies
	}
	g.signatureComesBack(r, key)
	if n := g.minted.Load(); n != 2 {
		t.Errorf("%d tokens for two service accounts", n)
	}
}

// signatureComesBack plays a tool loop of a caller of chat completions: the
// signature of the call goes back to Google as it came.
func (g *google) signatureComesBack(r running, key string) {
	g.t.Helper()
	post := func(body string) string {
		req, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, "http://"+r.Addr()+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			g.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Close = true
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			g.t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		return string(text)
	}
	var answer struct {
		Choices []struct {
			Message struct {
				ToolCalls []struct{ ID string } `json:"tool_calls"`
			}
		}
	}
	text := post(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`)
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		g.t.Fatal(err)
	}
	_, message, _ := strings.Cut(text, `"message":`)
	message, _, _ = strings.Cut(message, `,"logprobs"`)
	post(`{"model":"m","messages":[{"role":"user","content":"hi"},` + message + `,{"role":"tool","tool_call_id":"` + answer.Choices[0].Message.ToolCalls[0].ID + `","content":"42"}]}`)
	<-g.bodies
	if body := <-g.bodies; !strings.Contains(body, `"args":{"x":1}},"thoughtSignature":"c2ln"}`) || !strings.Contains(body, `"name":"f","response":{"output":"42"}`) {
		g.t.Errorf("the second turn is %s", body)
	}
}

func TestCheckFindsKeysOfServiceAccountsThatAreNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.json"), []byte(`{"type":"service_account"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Check(parse(t, dir, strings.Replace(small, "{kind: sim}", "{kind: vertex, project: p, key_file: bad.json}", 1)))
	if want := "pontage.yaml:3: providers.sim.key_file: client_email is missing"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}
