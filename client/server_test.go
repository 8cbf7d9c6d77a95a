package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers each request with the next of its answers, and the last one
// for ever.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	answers []answer
	seen    []seen
}

type answer struct {
	status  int
	header  map[string]string
	body    string
	trailer string // X-Charge-USD
	cut     bool   // the connection breaks after body
}

type seen struct {
	Path, Model, Auth, Key string
	Body                   string
}

func serve(t *testing.T, answers ...answer) *server {
	s := &server{answers: answers}
	s.Server = httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(s.Close)
	return s
}

func (s *server) handle(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var named struct{ Model string }
	_ = json.Unmarshal(body, &named)
	s.mu.Lock()
	s.seen = append(s.seen, seen{r.URL.Path, named.Model, r.Header.Get("Authorization"), r.Header.Get("Idempotency-Key"), string(body)})
	a := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	s.mu.Unlock()
	w.Header().Set("X-Request-ID", "req_1")
	w.Header().Set("Content-Type", "application/json")
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	if a.trailer != "" {
		w.Header().Set("Trailer", "X-Charge-USD")
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
	if a.cut {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	if a.trailer != "" {
		w.Header().Set("X-Charge-USD", a.trailer)
	}
}

func (s *server) requests() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// open returns a client of s that records its pauses instead of making them,
// and whose dice always show half.
func open(t *testing.T, s *server, o Options) (*Client, *[]time.Duration) {
	t.Helper()
	o.BaseURL, o.HTTPClient = s.URL, s.Client()
	if o.APIKey == "" {
		o.APIKey = "sk-secret-0123456789"
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	pauses := &[]time.Duration{}
	c.sleep = func(ctx context.Context, d time.Duration) error {
		*pauses = append(*pauses, d)
		return ctx.Err()
	}
	c.random = func() float64 { return 0.5 }
	c.now = func() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }
	return c, pauses
}

const whole = `{"id":"c1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}`

func ask() Request {
	return Request{Model: "m", Messages: []Message{{Role: "user", Content: "hi <b>"}}, MaxTokens: 5, Extra: map[string]json.RawMessage{"seed": json.RawMessage("12345678901234567890")}}
}
