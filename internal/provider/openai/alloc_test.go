package openai

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

const someStop = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`

// streaming opens a stream of n chunks and an end.
func streaming(t testing.TB, n int, dialect llm.Dialect) llm.Stream {
	t.Helper()
	raw, err := jsonx.Scan([]byte(`{"model":"m","messages":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("data: "+chunk+"\n\n", n) + "data: " + someStop + "\n\ndata: [DONE]\n\n"
	p := New(Options{Transport: canned{
		status: 200, header: http.Header{"Content-Type": {"text/event-stream"}},
		body: func() io.Reader { return strings.NewReader(body) },
	}})
	q := &llm.Request{
		Dialect: dialect, Model: "m", Raw: raw, Stream: true, Choices: 1,
		DecodeChat: func() (*llm.Chat, error) { return &llm.Chat{}, nil },
	}
	s, err := p.Open(context.Background(), provider.Call{Request: q, Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// A ceiling of what every event of every stream pays: reading, scanning and
// handing on.
func TestAnEventOfAStreamAllocatesNothing(t *testing.T) {
	if testkit.Race {
		t.Skip("allocations cannot be counted with the race detector")
	}
	for name, c := range map[string]struct {
		dialect llm.Dialect
		ceiling float64
	}{
		"passed":     {llm.OpenAIChat, 0},
		"translated": {llm.AnthropicMessages, 1}, // the text
	} {
		const runs = 200
		s := streaming(t, runs+100, c.dialect)
		next := func() {
			if ev, err := s.Next(); err != nil || !ev.Content {
				t.Fatalf("%s: %+v, %v", name, ev, err)
			}
		}
		for range 50 {
			next() // buffers grow
		}
		if got := testing.AllocsPerRun(runs, next); got > c.ceiling {
			t.Errorf("%s: %v allocations a chunk, want at most %v", name, got, c.ceiling)
		}
	}
}

func TestAScanOfAWholeAnswerAllocatesLittle(t *testing.T) {
	if testkit.Race {
		t.Skip("allocations cannot be counted with the race detector")
	}
	p := New(Options{})
	body := []byte(`{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		strings.Repeat("word ", 200) + `","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":250,"completion_tokens":50,"total_tokens":300}}`)
	got := testing.AllocsPerRun(100, func() {
		k := newScanner(p, provider.Call{Request: &llm.Request{Dialect: llm.OpenAIChat}}, false)
		if !k.scan(body) || !k.counted {
			t.Fatal("not scanned")
		}
	})
	if got > 1 { // the choices
		t.Errorf("%v allocations, want at most 1", got)
	}
}
