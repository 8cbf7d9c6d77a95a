package operate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// record keeps all that a process prints.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// lines returns the lines of requests, by request id.
func (r *record) lines(t *testing.T) map[string][]map[string]any {
	t.Helper()
	out := map[string][]map[string]any{}
	in := bufio.NewScanner(strings.NewReader(r.String()))
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var line map[string]any
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			t.Errorf("a line is no JSON: %v\n%s", err, in.Text())
			continue
		}
		if line["msg"] == "request" {
			id, _ := line["id"].(string)
			out[id] = append(out[id], line)
		}
	}
	return out
}

// asked is one kind of request, and what its line must say.
type asked struct {
	name string
	call call
	want map[string]any
}

// What nobody may read in the log.
const (
	stranger = "sk-pontage-StrangerStrangerStranger1234567"
	prompt   = "PromptThatNobodyMaySee"
	said     = "AnswerThatNobodyMaySee"
)

// secretly is chat with the prompt that nobody may see.
func secretly(more string) string {
	return strings.ReplaceAll(chat("m", more), "Why is the sky blue?", prompt)
}

// everyKind is every kind of request, in the order in which the upstream's
// answers are queued.
func everyKind(live, test, slow customer) []asked {
	const path = "/v1/chat/completions"
	return []asked{
		{"an answer", call{path: path, key: live.key, body: secretly("")}, map[string]any{"level": "INFO", "outcome": "ok", "status": 200.0, "charge_usd": "0.00352", "input_tokens": 12.0, "output_tokens": 34.0, "account": live.account, "key": live.id, "model": "m", "route": path, "surface": "openai.chat", "site": "*", "method": "POST", "provider": "up/m", "delivery": "complete"}},
		{"a stream", call{path: path, key: live.key, body: secretly(`"stream":true`)}, map[string]any{"outcome": "ok", "stream": true, "charge_usd": "0.00352"}},
		{"the key in another header", call{path: path, header: map[string]string{"X-Api-Key": live.key, "X-Client-Request-Id": "mine-1"}, body: secretly("")}, map[string]any{"outcome": "ok", "client_request_id": "mine-1"}},
		{"space around the key", call{path: path, key: "  " + live.key + " ", body: secretly("")}, map[string]any{"outcome": "ok"}},
		{"the upstream refuses our key", call{path: path, key: live.key, body: strings.ReplaceAll(secretly(""), `"m"`, `"sick"`)}, map[string]any{"outcome": "failed", "status": 502.0, "fault": "upstream_auth", "level": "WARN"}},
		{"a stranger", call{path: path, key: stranger, body: secretly("")}, map[string]any{"outcome": "refused", "status": 401.0, "fault": "key_invalid"}},
		{"nobody", call{path: path, body: secretly("")}, map[string]any{"outcome": "refused", "status": 401.0, "fault": "key_missing"}},
		{"a key in the query", call{method: "GET", path: "/v1/models?api_key=" + stranger, key: stranger}, map[string]any{"status": 401.0, "route": "/v1/models"}},
		{"a key in the path", call{method: "GET", path: "/v1/models/" + stranger, key: live.key}, map[string]any{"status": 404.0, "route": "/v1/models/{id...}"}},
		{"no such path", call{path: "/v1/" + stranger, key: live.key}, map[string]any{"status": 404.0, "fault": "not_found", "route": nil}},
		{"another method", call{method: "DELETE", path: path, key: live.key}, map[string]any{"status": 405.0, "fault": "method_not_allowed"}},
		{"no JSON", call{path: path, key: live.key, body: `{"api_key":"` + stranger + `","` + prompt}, map[string]any{"status": 400.0, "fault": "invalid_json"}},
		{"a secret as a model", call{path: path, key: live.key, body: chat(stranger, "")}, map[string]any{"status": 404.0, "fault": "model_not_found"}},
		{"a secret as an id", call{path: path, key: live.key, body: chat("none", ""), header: map[string]string{"X-Client-Request-Id": stranger}}, map[string]any{"status": 404.0}},
		{"a fault on demand", call{path: path, key: test.key, body: secretly(""), header: map[string]string{"X-Pontage-Simulate": "upstream_overloaded"}}, map[string]any{"test": true, "outcome": "failed", "status": 503.0}},
		{"the last that is allowed", call{method: "GET", path: "/v1/models", key: slow.key}, map[string]any{"outcome": "ok", "status": 200.0, "surface": "openai.models"}},
		{"one more", call{method: "GET", path: "/v1/models", key: slow.key}, map[string]any{"outcome": "refused", "status": 429.0, "fault": "rate_limited"}},
	}
}

// TestOneLogLineForEachRequest, whatever becomes of it, and never a secret in
// the log: no key, no token, no word of a prompt or an answer.
func TestOneLogLineForEachRequest(t *testing.T) {
	t.Parallel()
	log := &record{}
	u := testkit.NewUpstream(t)
	g := harness.Start(t, harness.Options{Log: log, Env: []string{"PONTAGE_TEST_UPSTREAM_KEY=upstream-4711-secret"}, Config: fmt.Sprintf(`
providers: {up: {kind: openai, base_url: %q, api_key: "${PONTAGE_TEST_UPSTREAM_KEY}"}}
models:
  m: {targets: [{provider: up}], attempts: 1, context: 100000, max_output: 1000, price: {input: 10.00, output: 100.00}}
  sick: {targets: [{provider: up}], attempts: 1, context: 100000, max_output: 1000, price: {request: 0.001}}
sites: [{hosts: ["*"], contract: openai}]
`, u.URL+"/v1")})
	live, test := newCustomer(t, g, "10", nil), newCustomer(t, g, "10", map[string]any{"test": true})
	slow := newCustomer(t, g, "10", limits(map[string]any{"rps": 0.001, "burst": 1}))
	good := testkit.JSON(200, strings.ReplaceAll(wholeBody, "The sky is blue.", said))
	gate := make(chan struct{})
	close(gate)
	stream := inTwo(gate)
	refusal := testkit.JSON(401, `{"error":{"message":"Incorrect API key provided: upstream-4711-secret. You sent sk-upstream-4711-secret.","type":"invalid_request_error","code":"invalid_api_key"}}`)
	u.Queue(good, stream, good, good, refusal)
	ids := map[string]asked{}
	for _, c := range everyKind(live, test, slow) {
		ids[ask(t, g, c.call).header.Get("X-Request-ID")] = c
	}
	arm(t, g, "handler_panic", 1)
	broken := ask(t, g, call{path: "/v1/chat/completions", key: live.key, body: secretly("")}).is(t, 500)
	ids[broken.header.Get("X-Request-ID")] = asked{name: "a panic", want: map[string]any{"level": "ERROR", "outcome": "aborted", "status": 500.0, "fault": "internal"}}

	leaves := testkit.SSE(chunk(said), chunk("more"))
	leaves.Hang = true
	u.Queue(leaves)
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := open(ctx, g, call{path: "/v1/chat/completions", key: live.key, body: secretly(`"stream":true`)})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = resp.Body.Close()
	ids[resp.Header.Get("X-Request-ID")] = asked{name: "one who left", want: map[string]any{"outcome": "client_left", "stream": true}}
	eventually(t, "every request has its line", func() bool { return len(log.lines(t)) >= len(ids) })
	if err := g.Stop(); err != nil { // everything is flushed
		t.Fatal(err)
	}

	lines := log.lines(t)
	if len(ids) != 19 || len(lines) != len(ids) {
		t.Errorf("%d requests have %d ids in the log", len(ids), len(lines))
	}
	for id, c := range ids {
		if len(lines[id]) != 1 {
			t.Errorf("%s has %d lines", c.name, len(lines[id]))
			continue
		}
		for name, want := range c.want {
			if got := lines[id][0][name]; got != want {
				t.Errorf("%s: %s is %v, want %v\n%v", c.name, name, got, want, lines[id][0])
			}
		}
	}
	if stack, _ := lines[broken.header.Get("X-Request-ID")][0]["panic"].(string); !strings.Contains(stack, "handler_panic") {
		t.Errorf("the line of a panic does not say where: %q", stack)
	}
	pepper, err := os.ReadFile(g.DatabasePath() + ".pepper")
	if err != nil {
		t.Fatal(err)
	}
	log.tellsNone(t, map[string]string{
		"a key": live.key, "a test key": test.key, "a limited key": slow.key, "a stranger's key": stranger, "the admin token": harness.AdminToken,
		"the provider's key": "upstream-4711-secret", "the pepper": string(pepper), "a prompt": prompt, "an answer": said, "a header": "Bearer",
	})
}

// tellsNone checks that no secret stands in what was printed.
func (r *record) tellsNone(t *testing.T, secrets map[string]string) {
	t.Helper()
	text := r.String()
	for name, secret := range secrets {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("the log tells %s: …%s…", name, text[max(0, i-300):i+len(secret)])
		}
	}
}

// TestEveryAnswerHasAnID of ours, and the caller's own, if it is one.
func TestEveryAnswerHasAnID(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: oneSite})
	c := newCustomer(t, g, "10", nil)
	seen := map[string]bool{}
	for _, own := range []struct{ sent, want string }{
		{"", ""},
		{"a", "a"},
		{"0a1b-{}\"~!", "0a1b-{}\"~!"},
		{strings.Repeat("x", 128), strings.Repeat("x", 128)},
		{strings.Repeat("x", 129), ""},
		{"a b", ""},
		{"a\tb", ""},
		{"é", ""},
	} {
		for _, q := range []call{
			{path: "/v1/chat/completions", key: c.key, body: chat("m", "")},
			{path: "/v1/chat/completions", key: c.key, body: chat("m", `"stream":true`)},
			{path: "/v1/messages", key: "sk-none", body: "{}"},
			{method: "GET", path: "/"},
			{method: "GET", path: "/v1/models", key: c.key},
		} {
			q.header = map[string]string{"X-Client-Request-Id": own.sent, "X-Request-Id": "req_of_the_caller"}
			r := ask(t, g, q)
			got := r.header.Get("X-Request-ID")
			if !id.MatchString(got) || seen[got] {
				t.Errorf("%s: X-Request-ID is %q", q.path, got)
			}
			seen[got] = true
			if got := r.header.Get("X-Client-Request-Id"); got != own.want {
				t.Errorf("%s: %q comes back as %q", q.path, own.sent, got)
			}
		}
	}
}
