package anthropic

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
		begin = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":3}}}\n\n"
		text  = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"yes\"}}\n\n"
		end   = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n"
	)
	for _, c := range []struct {
		name, body string
		whole      bool
	}{
		{"after the stop reason", begin + text + end, true},
		{"within message_stop", begin + text + end + "event: mess", true},
		{"before the stop reason", begin + text, false},
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
			q := &llm.Request{Dialect: llm.AnthropicMessages, Model: "m", Choices: 1, Inputs: 1, Raw: raw, Stream: true}
			s, err := New(Options{BaseURL: srv.URL, Transport: client}).Open(context.Background(), provider.Call{Request: q, Model: "m"})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			var last llm.Event
			for err == nil {
				var ev llm.Event
				if ev, err = s.Next(); err == nil {
					last = ev
				}
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
