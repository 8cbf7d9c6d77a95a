package openai

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

func TestARefusalIsToldApartFromAnAnswer(t *testing.T) {
	t.Parallel()
	const head, tail = `{"choices":[{"index":0,`, `,"finish_reason":null}]}`
	for _, c := range []struct {
		name, body       string
		stream           bool
		content, refusal bool
	}{
		{"text", head + `"message":{"content":"yes","refusal":null}` + tail, false, true, false},
		{"refusal", head + `"message":{"content":null,"refusal":"no"}` + tail, false, true, true},
		{"empty text and refusal", head + `"message":{"content":"","refusal":"no"}` + tail, false, true, true},
		{"both", head + `"message":{"content":"well","refusal":"no"}` + tail, false, true, false},
		{"refusal and a tool call", head + `"message":{"refusal":"no","tool_calls":[{"id":"a","function":{"name":"f"}}]}` + tail, false, true, false},
		{"nothing", head + `"message":{"content":"","refusal":""}` + tail, false, false, false},
		{"streamed refusal", head + `"delta":{"content":"","refusal":"no"}` + tail, true, true, true},
		{"streamed text", head + `"delta":{"content":"yes"}` + tail, true, true, false},
		{"text beside an empty delta", head + `"message":{"content":"yes"},"delta":{"content":""}` + tail, false, true, false},
		{"streamed, a delta beside the text so far", head + `"message":{"content":"yes"},"delta":{"refusal":"no"}` + tail, true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if c.stream {
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, "data: "+c.body+"\n\n")
					return
				}
				_, _ = io.WriteString(w, c.body)
			}))
			t.Cleanup(srv.Close)
			client := provider.NewTransport(0)
			t.Cleanup(client.CloseIdleConnections)
			raw, err := jsonx.Scan([]byte(`{"model":"m","messages":[]}`))
			if err != nil {
				t.Fatal(err)
			}
			q := &llm.Request{Dialect: llm.OpenAIChat, Model: "m", Choices: 1, Inputs: 1, Raw: raw, Stream: c.stream}
			s, err := New(Options{BaseURL: srv.URL, Vendor: "openai", Transport: client}).Open(context.Background(), provider.Call{Request: q, Model: "m"})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			ev, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			if ev.Content != c.content || ev.Refusal != c.refusal {
				t.Errorf("%s: content %v, refusal %v, want %v, %v", strings.TrimSpace(c.body), ev.Content, ev.Refusal, c.content, c.refusal)
			}
		})
	}
}
