package openai

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

func TestAStreamThatBreaksAfterItsEndIsComplete(t *testing.T) {
	t.Parallel()
	const (
		begin  = `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning_encrypted":false}}]}` + "\n\n"
		text   = `data: {"choices":[{"index":0,"delta":{"content":"yes"}}]}` + "\n\n"
		other  = `data: {"choices":[{"index":1,"delta":{"content":"no"}}]}` + "\n\n"
		finish = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
		half   = `data: {"choices":[],"usage":{"prompt_tok`
	)
	for _, c := range []struct {
		name, body string
		whole      bool
		content    int // events with it
	}{
		{"after the finish", begin + text + finish, true, 1},
		{"within the usage", begin + text + finish + half, true, 1},
		{"before the finish", begin + text, false, 1},
		{"one of two choices finished", text + other + finish, false, 2},
		{"before content", begin, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, c.body)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler) // breaks the connection
			}))
			t.Cleanup(srv.Close)
			client := provider.NewTransport(0)
			t.Cleanup(client.CloseIdleConnections)
			raw, err := jsonx.Scan([]byte(`{"model":"m","messages":[],"stream":true}`))
			if err != nil {
				t.Fatal(err)
			}
			q := &llm.Request{Dialect: llm.OpenAIChat, Model: "m", Choices: 1, Inputs: 1, Raw: raw, Stream: true}
			s, err := New(Options{BaseURL: srv.URL, Vendor: "openai", Transport: client}).Open(context.Background(), provider.Call{Request: q, Model: "m"})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			var last llm.Event
			content := 0
			for {
				ev, e := s.Next()
				if err = e; err != nil {
					break
				}
				if ev.Content {
					content++
				}
				last = ev
			}
			if content != c.content {
				t.Errorf("%d events have content, want %d", content, c.content)
			}
			if c.whole && (!errors.Is(err, io.EOF) || !last.Last) {
				t.Errorf("the end is %v, last %v, want a clean one", err, last.Last)
			}
			var f *provider.Failure
			if !c.whole && !errors.As(err, &f) {
				t.Errorf("the end is %v, want a failure", err)
			}
		})
	}
}
