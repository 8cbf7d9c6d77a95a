package app

import (
	"io"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/provider/openai"
	"github.com/pontage/pontage/internal/provider/sim"
	"github.com/pontage/pontage/internal/testkit"
)

// calling is a request of a dialect, with a body that all of them could have.
func calling(t *testing.T, d llm.Dialect) *llm.Request {
	t.Helper()
	raw, err := jsonx.Scan([]byte(`{"model":"m","input":"hi","messages":[{"role":"user","content":"hi"}],"max_tokens":99}`))
	if err != nil {
		t.Fatal(err)
	}
	q := &llm.Request{Dialect: d, Model: "m", Raw: raw, Choices: 1, Inputs: 1, DecodeChat: func() (*llm.Chat, error) {
		return &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Text: "hi"}}}}}, nil
	}}
	if d == llm.OpenAIEmbeddings {
		q.Task = llm.TaskEmbed
	}
	return q
}

// TestEachCallerIsServedInItsOwnProtocolWhereThereIsOne has the paths that an
// upstream sees, by vendor, by what the target asks for, and by dialect.
func TestEachCallerIsServedInItsOwnProtocolWhereThereIsOne(t *testing.T) {
	t.Parallel()
	const dated = "/openai?api-version="
	for _, c := range []struct {
		vendor, base string
		responses    bool // the target asks for them
		dialect      llm.Dialect
		want         string
	}{
		{"openai", "/v1", false, llm.OpenAIResponses, "/v1/responses"},
		{"openai", "/v1", false, llm.OpenAIChat, "/v1/chat/completions"},
		{"openai", "/v1", false, llm.AnthropicMessages, "/v1/chat/completions"},
		{"openai", "/v1", false, llm.OpenAIEmbeddings, "/v1/embeddings"},
		{"openai", "/v1", true, llm.OpenAIResponses, "/v1/responses"},
		{"openai", "/v1", true, llm.OpenAIChat, "/v1/responses"},
		{"openai", "/v1", true, llm.AnthropicMessages, "/v1/responses"},
		{"openai", "/v1", true, llm.OpenAIEmbeddings, "/v1/embeddings"},
		{"mistral", "/v1", false, llm.OpenAIResponses, "/v1/chat/completions"},
		{"groq", "/openai/v1", false, llm.OpenAIResponses, "/openai/v1/responses"},
		{"xai", "/v1", false, llm.OpenAIResponses, "/v1/responses"},
		{"openrouter", "/api/v1", false, llm.OpenAIResponses, "/api/v1/responses"},
		{"deepseek", "", false, llm.OpenAIResponses, "/responses"},
		{"azure", "/openai/v1", false, llm.OpenAIResponses, "/openai/v1/responses"},
		{"azure", "/openai/v1", false, llm.OpenAIChat, "/openai/v1/chat/completions"},
		{"azure", dated + "2024-10-21", false, llm.OpenAIChat, "/openai/deployments/theirs/chat/completions?api-version=2024-10-21"},
		{"azure", dated + "2024-10-21", false, llm.OpenAIEmbeddings, "/openai/deployments/theirs/embeddings?api-version=2024-10-21"},
		{"azure", dated + "2024-10-21", false, llm.OpenAIResponses, "/openai/deployments/theirs/chat/completions?api-version=2024-10-21"},
		{"azure", dated + "2025-04-01-preview", false, llm.OpenAIResponses, "/openai/responses?api-version=2025-04-01-preview"},
		{"azure", "/models?api-version=2024-05-01-preview", false, llm.OpenAIChat, "/models/chat/completions?api-version=2024-05-01-preview"},
		{"generic", "/v1", false, llm.OpenAIResponses, "/v1/chat/completions"},
		{"generic", "/v1", true, llm.OpenAIResponses, "/v1/responses"},
	} {
		u := testkit.NewUpstream(t)
		u.Always(testkit.JSON(200, `{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"data":[{"embedding":[1]}],"object":"response","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}]}`))
		tr := provider.NewTransport(provider.DefaultTimeouts(true, false).Connect)
		speaks, resp := speaksOpenAI(openai.Options{Name: "up", BaseURL: u.URL + c.base, Vendor: c.vendor, Transport: tr})
		if c.responses {
			speaks = resp
		}
		q := calling(t, c.dialect)
		if err := speaks.Supports(q); err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		s, err := speaks.Open(t.Context(), provider.Call{Request: q, Model: "theirs", Key: "secret"})
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if ev, err := s.Next(); err != nil || !ev.Content {
			t.Errorf("%+v: %+v, %v", c, ev, err)
		}
		_ = s.Close()
		tr.CloseIdleConnections()
		got := u.Request(0)
		path := got.Path
		if got.Query != "" {
			path += "?" + got.Query
		}
		if path != c.want {
			t.Errorf("%+v: went to %s", c, path)
		}
		if !strings.Contains(string(got.Body), `"model":"theirs"`) {
			t.Errorf("%+v: asked %s", c, got.Body)
		}
		key := got.Header.Get("Authorization")
		if c.vendor == "azure" {
			key = "Bearer " + got.Header.Get("Api-Key")
		}
		if key != "Bearer secret" {
			t.Errorf("%+v: the key is %q", c, key)
		}
	}
}

// TestTheSimulatorSpeaksEveryProtocol has bytes that pass through for each caller
// that the simulator has a protocol for.
func TestTheSimulatorSpeaksEveryProtocol(t *testing.T) {
	t.Parallel()
	speaks, resp, texts := simulated("sim", sim.New(sim.Options{}))
	for _, c := range []struct {
		p       provider.Provider
		dialect llm.Dialect
		want    string // in the bytes; empty: it is translated
	}{
		{speaks, llm.OpenAIChat, `"object":"chat.completion"`},
		{speaks, llm.AnthropicMessages, `"type":"message"`},
		{speaks, llm.OpenAIResponses, `"object":"response"`},
		{speaks, llm.Simple, ""},
		{texts, llm.OpenAICompletions, `"object":"text_completion"`},
		{speaks, llm.OpenAICompletions, ""},
		{resp, llm.OpenAIResponses, `"object":"response"`},
		{resp, llm.OpenAIChat, ""},
		{resp, llm.AnthropicMessages, ""},
	} {
		s, err := c.p.Open(t.Context(), provider.Call{Request: calling(t, c.dialect), Model: "m"})
		if err != nil {
			t.Errorf("%s: %v", c.dialect, err)
			continue
		}
		ev, err := s.Next()
		if err != nil || !ev.Content || ev.Usage == nil {
			t.Errorf("%s: %+v, %v", c.dialect, ev, err)
			continue
		}
		if c.want == "" && (ev.Whole == nil || ev.Raw != nil) || c.want != "" && !strings.Contains(string(ev.Raw), c.want) {
			t.Errorf("%s: %s, %+v", c.dialect, ev.Raw, ev.Whole)
		}
		if _, err := s.Next(); err != io.EOF {
			t.Errorf("%s: after the answer comes %v", c.dialect, err)
		}
		_ = s.Close()
	}
}
