package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
)

// Bugs that other gateways have had, and this one has not: protocols.md §8, by
// their numbers there. Each is brought about on a whole gateway with two
// upstreams, of which the second is asked when the first has failed.

// logbook is a log that may be written to by many.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// between is a gateway between a caller and two upstreams.
type between struct {
	running
	first, second *testkit.Upstream
	log           *logbook
	key           string
}

const upstreamKey = "upstream-credential-0123456789"

// stand starts the usual one. The model m is at the first upstream and then at the second,
// r the same but asked for responses, and a is Anthropic's at the first.
func stand(t *testing.T) *between {
	t.Helper()
	return standOn(t, usual)
}

const usual = `server: {listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0", admin_token: abcdefghijklmnopqrstuvwxyz}
store: {url: "sqlite:data/pontage.db"}
routing: {attempts: 2}
providers:
  one: {api_key: %[3]s, base_url: "%[1]s/v1", quirks: openrouter}
  two: {api_key: %[3]s, base_url: "%[2]s/v1", quirks: openai}
  claude: {kind: anthropic, api_key: %[3]s, base_url: "%[1]s/v1"}
models:
  m: {targets: [{provider: one}, {provider: two}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
  r: {targets: [{provider: one, api: responses}, {provider: two, api: responses}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
  a: {targets: [{provider: claude}], price: {input: 1, output: 2}, context: 100000, max_output: 10000}
sites: [{hosts: ["*"], contract: openai}]
`

// standOn starts one with a configuration, in which the addresses of the two
// upstreams and their key stand for the verbs.
func standOn(t *testing.T, format string) *between {
	t.Helper()
	b := &between{first: testkit.NewUpstream(t), second: testkit.NewUpstream(t), log: &logbook{}}
	text := fmt.Sprintf(format, b.first.URL, b.second.URL, upstreamKey)
	dir := t.TempDir()
	a, err := New(t.Context(), Options{Config: parse(t, dir, text), Dir: dir, Log: b.log})
	if err != nil {
		t.Fatal(err)
	}
	acc, err := a.accounts.CreateAccount(t.Context(), account.NewAccount{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.ledger.Credit(t.Context(), ledger.Credit{Account: int64(acc.ID), Kind: ledger.KindTopup, Amount: money.Dollar}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	b.running = running{a, acc, stop, make(chan error, 1)}
	go func() { b.done <- a.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		<-b.done
	})
	b.key = b.running.key(t, "cancel")
	return b
}

// post sends a request and reads the answer.
func (b *between) post(t *testing.T, path, body string) (*http.Response, string) {
	t.Helper()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+b.Addr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.key)
	req.Header.Set("Anthropic-Version", "2023-06-01")
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil && err != io.ErrUnexpectedEOF {
		t.Fatal(err)
	}
	return resp, string(got)
}

const (
	chatPath     = "/v1/chat/completions"
	messagesPath = "/v1/messages"

	plain    = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	streamed = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`

	roleChunk = `{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`
	textChunk = `{"id":"c","choices":[{"index":0,"delta":{"content":"from the first"},"finish_reason":null}]}`
	endChunk  = `{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	fromOther = `{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"from the second"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}`
)

// other is a stream of the second upstream's.
func other() testkit.Answer {
	return testkit.SSE(roleChunk, `{"id":"c","choices":[{"index":0,"delta":{"content":"from the second"},"finish_reason":null}]}`, endChunk, "[DONE]")
}

func TestBug1ADeadUpstreamIsNoCleanEnd(t *testing.T) {
	t.Parallel()
	b := stand(t)
	a := testkit.SSE(roleChunk, textChunk)
	a.Cut = true
	b.first.Queue(a)
	_, got := b.post(t, chatPath, streamed)
	if !strings.Contains(got, "from the first") || !strings.Contains(got, `"error":{`) || strings.Contains(got, "[DONE]") || strings.Contains(got, `"finish_reason":"`) {
		t.Errorf("%s", got)
	}
}

func TestBug2AnErrorAfterTheFirstFrameIsFailedOver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, model, path, body, error string }{
		{"chat", "m", chatPath, streamed, `{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}`},
		{"responses", "r", chatPath, strings.Replace(streamed, `"m"`, `"r"`, 1), `{"type":"error","error":{"type":"insufficient_quota","code":"insufficient_quota","message":"m"}}`},
		{"responses, passed through", "r", "/v1/responses", `{"model":"r","stream":true,"input":"hi"}`, `{"type":"error","error":{"type":"insufficient_quota","code":"insufficient_quota","message":"m"}}`},
		{"responses that fail", "r", "/v1/responses", `{"model":"r","stream":true,"input":"hi"}`, `{"type":"response.failed","response":{"id":"r","status":"failed","output":[],"error":{"code":"insufficient_quota","message":"m"}}}`},
	} {
		b := stand(t)
		head, second := roleChunk, other()
		if c.model == "r" {
			head = `{"type":"response.created","response":{"id":"r","status":"in_progress","output":[]}}`
			second = testkit.SSE(head, `{"type":"response.output_text.delta","output_index":0,"delta":"from the second"}`, `{"type":"response.completed","response":{"id":"r","status":"completed","output":[],"usage":{"input_tokens":5,"output_tokens":3,"total_tokens":8}}}`)
		}
		b.first.Queue(testkit.SSE(head, c.error))
		b.second.Queue(second)
		resp, got := b.post(t, c.path, c.body)
		if resp.StatusCode != 200 || !strings.Contains(got, "from the second") || strings.Contains(got, "insufficient") || c.path == chatPath != strings.HasSuffix(got, "data: [DONE]\n\n") {
			t.Errorf("%s: %d %s", c.name, resp.StatusCode, got)
		}
	}
}

func TestBug3OpenRoutersErrorInAChoiceIsNoEmptySuccess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body   string
		first  testkit.Answer
		second testkit.Answer
	}{
		{plain, testkit.JSON(200, `{"choices":[{"index":0,"finish_reason":"error","native_finish_reason":"error","message":{"content":""},"error":{"code":502,"message":"Provider returned error"}}]}`), testkit.JSON(200, fromOther)},
		{plain, testkit.JSON(200, `{"choices":[],"error":{"code":502,"message":"Provider returned error"}}`), testkit.JSON(200, fromOther)},
		{plain, testkit.JSON(200, `{"choices":[{"index":0,"finish_reason":"stop","native_finish_reason":"network_error","message":{"content":""}}]}`), testkit.JSON(200, fromOther)},
		{streamed, testkit.SSE(roleChunk, `{"id":"c","error":{"code":502,"message":"Provider disconnected"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`), other()},
	} {
		b := stand(t)
		b.first.Queue(c.first)
		b.second.Queue(c.second)
		if resp, got := b.post(t, chatPath, c.body); resp.StatusCode != 200 || !strings.Contains(got, "from the second") {
			t.Errorf("%s: %d %s", c.first.Body, resp.StatusCode, got)
		}
	}
}

func TestBug4AnAnswerWithoutAChoiceIsNone(t *testing.T) {
	t.Parallel()
	b := stand(t)
	b.first.Always(testkit.JSON(200, `{"id":"c","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":0,"total_tokens":5}}`))
	b.second.Queue(testkit.JSON(200, fromOther))
	if resp, got := b.post(t, chatPath, plain); resp.StatusCode != 200 || !strings.Contains(got, "from the second") {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	b.second.Always(testkit.JSON(200, `{"id":"c","choices":[]}`))
	if resp, got := b.post(t, chatPath, plain); resp.StatusCode != 502 || !strings.Contains(got, "empty_response") {
		t.Errorf("both empty: %d %s", resp.StatusCode, got)
	}
}

func TestBug10TheBridgeToResponsesKeepsEverything(t *testing.T) {
	t.Parallel()
	b := stand(t)
	b.first.Queue(testkit.JSON(200, `{"id":"r","object":"response","status":"completed","output":[
		{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"blob"},
		{"type":"message","content":[{"type":"output_text","text":"one ","annotations":[]}]},
		{"type":"message","content":[{"type":"output_text","text":"two","annotations":[]}]},
		{"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"x\": 1.0}"}],
		"usage":{"input_tokens":5,"output_tokens":3,"total_tokens":8}}`))
	_, got := b.post(t, chatPath, `{"model":"r","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f"}}]}`)
	var answer struct {
		Choices []struct {
			Message map[string]json.RawMessage
			Finish  string `json:"finish_reason"`
		}
	}
	if err := json.Unmarshal([]byte(got), &answer); err != nil || len(answer.Choices) != 1 {
		t.Fatalf("%v: %s", err, got)
	}
	m := answer.Choices[0].Message
	if string(m["content"]) != `"one two"` || string(m["reasoning_content"]) != `"hm"` || answer.Choices[0].Finish != "tool_calls" || !strings.Contains(string(m["tool_calls"]), `"arguments":"{\"x\": 1.0}"`) {
		t.Errorf("%s", got)
	}
	// The whole turn goes back, thoughts and calls, with what their own upstream sealed.
	b.first.Queue(testkit.JSON(200, `{"id":"r","object":"response","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"done","annotations":[]}]}],"usage":{"input_tokens":5,"output_tokens":3,"total_tokens":8}}`))
	turn, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	b.post(t, chatPath, `{"model":"r","messages":[{"role":"user","content":"hi"},`+string(turn)+`,{"role":"tool","tool_call_id":"c1","content":"ok"}],"tools":[{"type":"function","function":{"name":"f"}}]}`)
	sent := string(b.first.Request(1).Body)
	for _, want := range []string{`"type":"reasoning","id":"rs_1"`, `"encrypted_content":"blob"`, `"content":"one two"`, `"type":"function_call","call_id":"c1","name":"f","arguments":"{\"x\": 1.0}"`, `"type":"function_call_output","call_id":"c1","output":"ok"`} {
		if !strings.Contains(sent, want) {
			t.Errorf("%s is lost in %s", want, sent)
		}
	}
}

func TestBug12AToolWithoutArgumentsIsKept(t *testing.T) {
	t.Parallel()
	b := stand(t)
	const tools = `"tools":[{"type":"function","function":{"name":"now"}}]`
	b.first.Queue(testkit.JSON(200, `{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":3}}`))
	b.post(t, chatPath, `{"model":"a",`+tools+`,"messages":[{"role":"user","content":"hi"}]}`)
	if sent := string(b.first.Request(0).Body); !strings.Contains(sent, `{"name":"now","input_schema":{"type":"object"`) {
		t.Errorf("Anthropic got %s", sent)
	}
	b.first.Queue(testkit.JSON(200, `{"id":"r","object":"response","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}]}`))
	b.post(t, chatPath, `{"model":"r",`+tools+`,"messages":[{"role":"user","content":"hi"}]}`)
	if sent := string(b.first.Request(1).Body); !strings.Contains(sent, `"name":"now","parameters":{"type":"object"`) {
		t.Errorf("the responses got %s", sent)
	}
}

func TestBug13AKindOfToolThatNobodyKnowsIsRefusedByName(t *testing.T) {
	t.Parallel()
	b := stand(t)
	for _, c := range []struct{ path, body, want string }{
		{messagesPath, `{"model":"m","max_tokens":99,"tools":[{"type":"web_search_20250305","name":"web_search"}],"messages":[{"role":"user","content":"hi"}]}`, "web_search_20250305"},
		{messagesPath, `{"model":"r","max_tokens":99,"tools":[{"type":"web_search_20250305","name":"web_search"}],"messages":[{"role":"user","content":"hi"}]}`, "web_search_20250305"},
		{chatPath, `{"model":"a","tools":[{"type":"custom","custom":{"name":"x","format":{"type":"grammar","grammar":{"syntax":"regex","definition":"a+"}}}}],"messages":[{"role":"user","content":"hi"}]}`, "tools.0"},
	} {
		resp, got := b.post(t, c.path, c.body)
		if resp.StatusCode != 400 || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d %s", c.body, resp.StatusCode, got)
		}
	}
	if n := len(b.first.Received()) + len(b.second.Received()); n != 0 {
		t.Errorf("%d requests went out", n)
	}
}

func TestBug17LongLinesPass(t *testing.T) {
	t.Parallel()
	b := stand(t)
	long := strings.Repeat("x", 2<<20)
	b.first.Queue(testkit.SSE(roleChunk, strings.Replace(textChunk, "from the first", long, 1), endChunk, "[DONE]"))
	if _, got := b.post(t, chatPath, streamed); !strings.Contains(got, long) || !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("%d bytes have come", len(got))
	}
}

func TestBug18EventsWithoutASpaceAndStaleHeaders(t *testing.T) {
	t.Parallel()
	b := stand(t)
	body := "data:" + roleChunk + "\n\ndata:" + textChunk + "\n\ndata:" + endChunk + "\n\ndata:[DONE]\n\n"
	b.first.Queue(testkit.Answer{Header: http.Header{"Content-Type": {"text/event-stream"}, "Content-Encoding": {"identity"}, "Content-Length": {fmt.Sprint(len(body))}}, Body: []byte(body)})
	resp, got := b.post(t, chatPath, streamed)
	if !strings.Contains(got, "from the first") || !strings.Contains(got, "[DONE]") {
		t.Errorf("%s", got)
	}
	if resp.Header.Get("Content-Encoding") != "" || resp.ContentLength >= 0 {
		t.Errorf("%v", resp.Header)
	}
	// An error's body is written anew, and so are its headers.
	refusal := `{"error":{"message":"m","type":"invalid_request_error","param":"temperature","code":"invalid_value"}}`
	b.first.Queue(testkit.Answer{Status: 400, Header: http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity"}, "Set-Cookie": {"a=b"}, "Openai-Organization": {"theirs"}}, Body: []byte(refusal)})
	resp, got = b.post(t, chatPath, plain)
	if resp.StatusCode != 400 || resp.ContentLength != int64(len(got)) || resp.Header.Get("Content-Encoding") != "" || resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("Openai-Organization") != "" {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, got)
	}
}

func TestBug19OurOwnRefusalIsNotReadAsAProviders(t *testing.T) {
	t.Parallel()
	b := stand(t)
	// It would be a failure of the provider if it were read as one, and would try
	// the other, and count against their health.
	for range 12 {
		resp, got := b.post(t, messagesPath, `{"model":"r","max_tokens":99,"stop_sequences":["x"],"messages":[{"role":"user","content":"hi"}]}`)
		if resp.StatusCode != 400 || !strings.Contains(got, "takes no stop sequences") || strings.Contains(got, "upstream") {
			t.Fatalf("%d %s", resp.StatusCode, got)
		}
	}
	b.first.Queue(testkit.JSON(200, strings.Replace(fromOther, "second", "first", 1)))
	if _, got := b.post(t, chatPath, plain); !strings.Contains(got, "from the first") {
		t.Errorf("the first upstream was left alone: %s", got)
	}
}

func TestBug21NeitherCredentialsNorPromptsReachTheLog(t *testing.T) {
	t.Parallel()
	b := stand(t)
	const words = "a most private matter"
	echo := testkit.JSON(401, `{"error":{"message":"Incorrect API key provided: `+upstreamKey+`. You said: hello","type":"invalid_request_error","code":"invalid_api_key"}}`)
	b.first.Queue(echo, testkit.SSE(roleChunk, textChunk, endChunk, "[DONE]"), testkit.JSON(200, `not JSON`))
	b.second.Always(testkit.JSON(200, fromOther))
	for _, body := range []string{plain, streamed, plain} {
		b.post(t, chatPath, strings.Replace(body, `"hi"`, `"`+words+`"`, 1))
	}
	log := b.log.String()
	for what, secret := range map[string]string{"the upstream's key": upstreamKey, "the caller's key": b.key, "the prompt": words, "the answer": "from the second"} {
		if strings.Contains(log, secret) {
			t.Errorf("%s is in the log", what)
		}
	}
	if strings.Count(log, `"request_id"`) < 3 && strings.Count(log, `"msg":"request"`) < 3 {
		t.Errorf("there are no lines for the requests: %.2000s", log)
	}
}
