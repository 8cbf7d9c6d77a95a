package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestChatCompletions(t *testing.T) {
	t.Parallel()
	s := serve(t, answer{body: whole, header: map[string]string{"X-Charge-USD": "0.00012"}})
	c, _ := open(t, s, Options{})
	got, err := c.ChatCompletions(t.Context(), ask())
	if err != nil {
		t.Fatal(err)
	}
	if got.Text() != "hello" || got.Response.ChargeUSD != "0.00012" || got.Response.RequestID != "req_1" || got.Usage.PromptTokens != 3 {
		t.Errorf("ChatCompletions() = %+v", got)
	}
	r := s.requests()[0]
	if r.Path != "/v1/chat/completions" || r.Auth != "Bearer sk-secret-0123456789" {
		t.Errorf("sent %s with %q", r.Path, r.Auth)
	}
	var sent map[string]any
	if err := json.Unmarshal([]byte(r.Body), &sent); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.Body, `"seed":12345678901234567890`) || sent["max_tokens"] != 5.0 || sent["stream"] != nil {
		t.Errorf("sent %s", r.Body)
	}
}

func TestRetryRules(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	bad := `{"error":{"message":"no","type":"t","code":"c","param":null}}`
	h := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	tests := []struct {
		name   string
		status int
		header map[string]string
		body   string
		want   []time.Duration // the pauses; none: no retry
	}{
		{name: "an overloaded provider", status: 503, want: []time.Duration{250 * ms, 500 * ms}},
		{name: "a defect", status: 500, want: []time.Duration{250 * ms, 500 * ms}},
		{name: "a time-out", status: 408, want: []time.Duration{250 * ms, 500 * ms}},
		{name: "an answer still under way", status: 409, want: []time.Duration{250 * ms, 500 * ms}},
		{name: "a bad request", status: 400},
		{name: "a bad key", status: 401},
		{name: "no money", status: 402},
		{name: "held money comes back", status: 402, header: h("X-Should-Retry", "true", "Retry-After", "1"), want: []time.Duration{1250 * ms, 1250 * ms}},
		{name: "the server says no", status: 503, header: h("X-Should-Retry", "false", "Retry-After", "1")},
		{name: "the server says yes", status: 404, header: h("X-Should-Retry", "true"), want: []time.Duration{250 * ms, 500 * ms}},
		{name: "a pause in seconds is kept and spread", status: 429, header: h("Retry-After", "7"), want: []time.Duration{7250 * ms, 7500 * ms}},
		{name: "milliseconds are finer", status: 429, header: h("Retry-After", "1", "Retry-After-Ms", "40"), want: []time.Duration{50 * ms, 50 * ms}},
		{name: "a date by the server's clock", status: 429, header: h("Date", "Fri, 20 Nov 2026 11:00:00 GMT", "Retry-After", "Fri, 20 Nov 2026 11:00:08 GMT"), want: []time.Duration{8250 * ms, 8500 * ms}},
		{name: "a date gone by", status: 429, header: h("Date", "Fri, 20 Nov 2026 11:00:00 GMT", "Retry-After", "Fri, 20 Nov 2026 10:00:08 GMT"), want: []time.Duration{250 * ms, 500 * ms}},
		{name: "a pause that is too long", status: 429, header: h("Retry-After", "61")},
		{name: "a pause without end", status: 429, header: h("Retry-After", "1e300")},
		{name: "nonsense", status: 429, header: h("Retry-After", "soon"), want: []time.Duration{250 * ms, 500 * ms}},
		{name: "a pause in the body", status: 429, body: `{"error":"rate_limit_exceeded","message":"slow","retryAfter":4}`, want: []time.Duration{4250 * ms, 4500 * ms}},
		{name: "an error in a 200", status: 200, body: `{"error":{"message":"x","code":"upstream_error"}}`, want: []time.Duration{250 * ms, 500 * ms}},
		{name: "a refusal in a 200", status: 200, body: `{"error":{"message":"x","code":"content_policy_violation"}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.body == "" {
				tt.body = bad
			}
			s := serve(t, answer{status: tt.status, header: tt.header, body: tt.body})
			c, pauses := open(t, s, Options{})
			_, err := c.ChatCompletions(t.Context(), ask())
			var e *Error
			if !errors.As(err, &e) || e.Status != tt.status {
				t.Fatalf("ChatCompletions() = %v, want an Error of status %d", err, tt.status)
			}
			if diff := cmp.Diff(tt.want, *pauses, cmp.Transformer("empty", func(d []time.Duration) string { return fmt.Sprint(d) })); diff != "" {
				t.Errorf("pauses (-want +got):\n%s", diff)
			}
			if got, want := len(s.requests()), len(tt.want)+1; got != want {
				t.Errorf("sent %d requests, want %d", got, want)
			}
		})
	}
}

func TestRetrySucceeds(t *testing.T) {
	t.Parallel()
	s := serve(t, answer{status: 502}, answer{status: 200, body: "half of an ans", cut: true}, answer{body: whole})
	c, pauses := open(t, s, Options{})
	r := ask()
	r.IdempotencyKey = "k"
	got, err := c.ChatCompletions(t.Context(), r)
	if err != nil || got.Text() != "hello" || len(*pauses) != 2 {
		t.Errorf("ChatCompletions() = %v, %v after %v", got, err, *pauses)
	}
	for _, r := range s.requests() {
		if r.Key != "k" || r.Body != s.requests()[0].Body {
			t.Errorf("a retry differs: %+v", r)
		}
	}
}

// A whole answer is charged before its first byte is sent. What broke on the way,
// or cannot be read, was paid for: asking again would be paid for again.
func TestAnAnswerThatBegan(t *testing.T) {
	t.Parallel()
	charged := map[string]string{"X-Charge-USD": "0.5"}
	for name, a := range map[string]answer{
		"breaks off":   {body: `{"choices":[`, cut: true, header: charged},
		"is too large": {body: `{"x":"` + strings.Repeat("x", 2000) + `"}`, header: charged},
	} {
		t.Run(name+" is not asked for again", func(t *testing.T) {
			t.Parallel()
			s := serve(t, a)
			c, _ := open(t, s, Options{MaxBody: 1000, Fallbacks: []string{"n"}})
			_, err := c.ChatCompletions(t.Context(), ask())
			var e *Error
			if !errors.As(err, &e) || !e.Delivered || e.Charge != "0.5" || e.RequestID != "req_1" || e.Kind() == nil || len(s.requests()) != 1 {
				t.Errorf("ChatCompletions() = %+v after %d requests", err, len(s.requests()))
			}
		})
	}
	t.Run("and is none of a stream is not asked for again", func(t *testing.T) {
		t.Parallel()
		s := serve(t, answer{body: whole, header: charged})
		c, _ := open(t, s, Options{Fallbacks: []string{"n"}})
		if _, err := c.Stream(t.Context(), ask()); err == nil || len(s.requests()) != 1 {
			t.Errorf("Stream() = %v after %d requests", err, len(s.requests()))
		}
	})
	t.Run("with too large an event is not asked for again", func(t *testing.T) {
		t.Parallel()
		s := serve(t, answer{body: "data: " + strings.Repeat("x", 2000) + "\n\n", header: map[string]string{"Content-Type": "text/event-stream"}})
		c, _ := open(t, s, Options{MaxBody: 1000, Fallbacks: []string{"n"}})
		if _, err := c.Stream(t.Context(), ask()); err == nil || len(s.requests()) != 1 {
			t.Errorf("Stream() = %v after %d requests", err, len(s.requests()))
		}
	})
	t.Run("to a question without a charge is", func(t *testing.T) {
		t.Parallel()
		s := serve(t, answer{body: `{"data":[`, cut: true}, answer{body: `{"data":[]}`})
		c, _ := open(t, s, Options{})
		if _, err := c.Models(t.Context()); err != nil {
			t.Errorf("Models() = %v", err)
		}
	})
}

func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	for retries, want := range map[int]int{-1: 1, 0: 3, 1: 2, 5: 6} {
		s := serve(t, answer{status: 500})
		c, _ := open(t, s, Options{MaxRetries: retries})
		if _, err := c.Models(t.Context()); !errors.Is(err, ErrGateway) || len(s.requests()) != want {
			t.Errorf("MaxRetries %d: %d requests and %v, want %d", retries, len(s.requests()), err, want)
		}
	}
}

func TestNoPauseOutlivesTheContext(t *testing.T) {
	t.Parallel()
	s := serve(t, answer{status: 429, header: map[string]string{"Retry-After": "30"}})
	c, pauses := open(t, s, Options{})
	c.now = time.Now
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := c.Models(ctx)
	if !errors.Is(err, ErrRateLimited) || len(*pauses) != 0 {
		t.Errorf("Models() = %v after pauses %v, want the refusal at once", err, *pauses)
	}

	ctx, cancel = context.WithCancel(t.Context())
	c.sleep = func(ctx context.Context, d time.Duration) error { cancel(); return sleep(ctx, time.Hour) }
	if _, err := c.Models(ctx); !errors.Is(err, ErrRateLimited) {
		t.Errorf("Models() = %v, want the refusal when the pause is broken off", err)
	}
	if _, err := c.Models(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Models() = %v, want context.Canceled", err)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := serve(t, answer{})
	c, pauses := open(t, s, Options{Fallbacks: []string{"n"}})
	s.Close()
	_, err := c.ChatCompletions(t.Context(), ask())
	if !errors.Is(err, ErrConnection) || len(*pauses) != 2 {
		t.Errorf("ChatCompletions() = %v after %d pauses, want ErrConnection after 2, and no other model", err, len(*pauses))
	}
	if strings.Contains(err.Error(), "sk-secret") {
		t.Errorf("the error shows the key: %v", err)
	}
}

func TestFallbackChain(t *testing.T) {
	t.Parallel()
	credential := answer{status: 502, header: map[string]string{"X-Should-Retry": "false"}, body: `{"error":{"message":"x","code":"upstream_authentication_failed"}}`}
	s := serve(t, answer{status: 503}, answer{status: 503}, credential, answer{body: whole})
	c, _ := open(t, s, Options{MaxRetries: 1, Fallbacks: []string{"n", "o", "p"}})
	r := ask()
	r.IdempotencyKey = "k"
	if _, err := c.ChatCompletions(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range s.requests() {
		got = append(got, r.Model+" "+r.Key)
		if !strings.Contains(r.Body, "12345678901234567890") {
			t.Errorf("the body for %s lost something: %s", r.Model, r.Body)
		}
	}
	if diff := cmp.Diff([]string{"m k", "m k", "n k-1", "o k-2"}, got); diff != "" {
		t.Errorf("models tried (-want +got):\n%s", diff)
	}

	s = serve(t, answer{status: 503, body: `{"error":"model_unavailable","message":"down"}`})
	c, _ = open(t, s, Options{MaxRetries: -1, Fallbacks: []string{"n"}})
	_, err := c.ChatCompletions(t.Context(), ask())
	if !errors.Is(err, ErrModel) || !strings.Contains(err.Error(), "model m:") || !strings.Contains(err.Error(), "model n:") {
		t.Errorf("ChatCompletions() = %v, want both models' failures", err)
	}

	s = serve(t, answer{status: 400})
	c, _ = open(t, s, Options{Fallbacks: []string{"n"}})
	if _, err := c.ChatCompletions(t.Context(), ask()); !errors.Is(err, ErrBadRequest) || len(s.requests()) != 1 {
		t.Errorf("ChatCompletions() = %v in %d requests: a bad request is bad for every model", err, len(s.requests()))
	}
}

func TestErrorTellsEverything(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		header map[string]string
		body   string
		want   Error
		kind   error
	}{
		{
			name: "OpenAI", status: 402, header: map[string]string{"X-Required-USD": "0.02", "X-Available-USD": "0.01", "X-Charge-USD": "0"},
			body: `{"error":{"message":"Too little.","type":"insufficient_quota","param":null,"code":"insufficient_balance"}}`,
			want: Error{Code: "insufficient_balance", Type: "insufficient_quota", Message: "Too little.", RequiredUSD: "0.02", AvailableUSD: "0.01", Charge: "0"},
			kind: ErrInsufficientBalance,
		},
		{
			name: "OpenAI with a number as code", status: 401, body: `{"error":{"type":"auth_error","message":"Invalid API key provided.","code":401}}`,
			want: Error{Code: "401", Type: "auth_error", Message: "Invalid API key provided."}, kind: ErrUnauthorized,
		},
		{
			name: "Anthropic", status: 404, body: `{"type":"error","error":{"type":"not_found_error","message":"model: x"},"request_id":"req_2"}`,
			want: Error{Type: "not_found_error", Message: "model: x"}, kind: ErrBadRequest,
		},
		{
			name: "flat with a code", status: 400, body: `{"error":"validation_error","message":"Invalid parameters","details":[{"field":"model","message":"Invalid model ID"},{"field":"messages","message":"Required"}]}`,
			want: Error{Code: "validation_error", Message: "Invalid parameters", Details: []Detail{{"model", "Invalid model ID"}, {"messages", "Required"}}}, kind: ErrBadRequest,
		},
		{
			name: "flat with a sentence", status: 402, body: `{"error":"Insufficient balance. Please add funds to your account."}`,
			want: Error{Message: "Insufficient balance. Please add funds to your account."}, kind: ErrInsufficientBalance,
		},
		{
			name: "the code wins over the status", status: 403, body: `{"error":{"message":"x","type":"y","code":"insufficient_balance"}}`,
			want: Error{Code: "insufficient_balance", Type: "y", Message: "x"}, kind: ErrInsufficientBalance,
		},
		{name: "HTML", status: 404, body: "<html>" + strings.Repeat("x", 10000), want: Error{Message: "<html>" + strings.Repeat("x", maxMessage-6)}, kind: ErrBadRequest},
		{name: "nothing", status: 403, body: "", want: Error{Message: "Forbidden"}, kind: ErrForbidden},
		{name: "a field of the wrong type", status: 422, body: `{"error":{"message":"x","param":["a"],"code":"c"}}`, want: Error{Message: "x", Code: "c"}, kind: ErrBadRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, answer{status: tt.status, header: tt.header, body: tt.body})
			c, _ := open(t, s, Options{})
			_, err := c.ChatCompletionsRaw(t.Context(), []byte(`{"model":"m"}`))
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, tt.kind) || e.Kind() != tt.kind {
				t.Fatalf("error = %v, want kind %v", err, tt.kind)
			}
			tt.want.Status, tt.want.RequestID, tt.want.Body, tt.want.kind = tt.status, "req_1", []byte(tt.body), tt.kind
			if diff := cmp.Diff(tt.want, *e, cmp.AllowUnexported(Error{}), cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if text := e.Error(); !strings.HasPrefix(text, strconv.Itoa(tt.status)) || !strings.Contains(text, "req_1") {
				t.Errorf("Error() = %q", text)
			}
		})
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, answer{body: `{"x":"` + strings.Repeat("x", 2000) + `"}`})
	c, _ := open(t, s, Options{MaxBody: 1000})
	if _, err := c.Models(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than 1000 bytes") {
		t.Errorf("Models() = %v", err)
	}
	c, _ = open(t, s, Options{})
	s.answers = []answer{{status: 400, body: strings.Repeat("x", 3<<20)}}
	var e *Error
	if _, err := c.Models(t.Context()); !errors.As(err, &e) || len(e.Body) != maxErrorBody {
		t.Errorf("the error's body has %d bytes, want it cut", len(e.Body))
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{BaseURL: "gateway.example"},
		{BaseURL: "ftp://x/"},
		{BaseURL: "http://u:p@x/"},
		{BaseURL: "http://x/?key=1"},
		{BaseURL: "http://a b/"},
		{BaseURL: ":"},
		{APIKey: "sk-a\n"},
		{APIKey: "sk-ä"},
	} {
		if _, err := New(o); err == nil || strings.Contains(err.Error(), "sk-") || strings.Contains(err.Error(), ":p@") {
			t.Errorf("New(%+v) = %v", o, err)
		}
	}
	for in, want := range map[string]string{"": "http://127.0.0.1:8080/v1", "http://x": "http://x/v1", "https://x/": "https://x/v1", "https://x/api/v1/": "https://x/api/v1/"} {
		c, err := New(Options{BaseURL: in})
		if err != nil || c.base.String() != want {
			t.Errorf("New(%q) calls %v, %v, want %s", in, c.base, err, want)
		}
	}
}

func TestOtherSurfaces(t *testing.T) {
	t.Parallel()
	s := serve(t,
		answer{body: `{"message":{"role":"assistant","content":"yes"},"model":"m","finish_reason":"stop"}`},
		answer{body: `{"data":[{"index":0,"embedding":[0.5,1]}],"model":"e"}`},
		answer{body: `{"data":[{"id":"a","owned_by":"x","context":7},{"id":"b"}]}`},
		answer{body: `{"data":`},
	)
	c, _ := open(t, s, Options{})
	chat, err := c.Chat(t.Context(), ChatRequest{Model: "m", Message: "really?"})
	if err != nil || chat.Message.Content != "yes" {
		t.Errorf("Chat() = %+v, %v", chat, err)
	}
	vectors, err := c.Embeddings(t.Context(), EmbeddingRequest{Model: "e", Input: []string{"x"}})
	if err != nil || len(vectors.Data) != 1 || vectors.Data[0].Embedding[0] != 0.5 {
		t.Errorf("Embeddings() = %+v, %v", vectors, err)
	}
	models, err := c.Models(t.Context())
	if err != nil || len(models) != 2 || models[0].OwnedBy != "x" || !strings.Contains(string(models[0].Raw), `"context":7`) {
		t.Errorf("Models() = %+v, %v", models, err)
	}
	if _, err := c.Models(t.Context()); !errors.Is(err, ErrUpstream) || len(s.requests()) != 4 {
		t.Errorf("Models() = %v in %d requests, want an unreadable answer and no retry", err, len(s.requests())-3)
	}
	var paths []string
	for _, r := range s.requests() {
		paths = append(paths, r.Path)
	}
	if diff := cmp.Diff([]string{"/v1/chat", "/v1/embeddings", "/v1/models", "/v1/models"}, paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if _, err := c.Chat(t.Context(), ChatRequest{Message: "a", Messages: []Message{{}}}); err == nil {
		t.Error("Chat with message and messages is not refused")
	}
}

func TestMessageKeepsParts(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`{"role":"user","content":"a"}`,
		`{"role":"user","content":[{"type":"text","text":"a"}]}`,
		`{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}`,
		`{"role":"tool","content":"","tool_call_id":"1"}`,
	} {
		var m Message
		if err := json.Unmarshal([]byte(in), &m); err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(m)
		if err != nil || string(out) != in {
			t.Errorf("%s became %s, %v", in, out, err)
		}
	}
}
