package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// surface is one way to ask a model something.
type surface struct {
	name  string // in names of models
	path  string
	shape string // of errors: openai, anthropic or flat
}

var (
	chat       = surface{"chat", "/v1/chat/completions", "openai"}
	messages   = surface{"messages", "/v1/messages", "anthropic"}
	simple     = surface{"simple", "/v1/chat", "flat"}
	embeddings = surface{"embeddings", "/v1/embeddings", "openai"}
	count      = surface{"count", "/v1/messages/count_tokens", "anthropic"}
)

// all of them, and those that answer with text.
var (
	surfaces = []surface{chat, messages, simple, embeddings, count}
	speaking = []surface{chat, messages, simple}
)

// object is decoded JSON.
type object = map[string]any

func obj(v any) object { o, _ := v.(object); return o }
func str(v any) string { s, _ := v.(string); return s }

// parse decodes one JSON object, or returns nil.
func parse(b []byte) object {
	var o object
	if json.Unmarshal(b, &o) != nil {
		return nil
	}
	return o
}

// failure is what an answer says of an error, whatever its shape.
type failure struct {
	code, kind, param, message string
}

// read reads an error in the shape of a surface, and reports whether it has it.
func (s surface) read(body []byte) (failure, bool) {
	o := parse(body)
	switch s.shape {
	case "flat":
		f := failure{code: str(o["error"]), message: str(o["message"]), param: str(o["param"])}
		return f, f.code != "" && f.message != ""
	case "anthropic":
		e := obj(o["error"])
		f := failure{kind: str(e["type"]), message: str(e["message"])}
		return f, str(o["type"]) == "error" && f.kind != "" && f.message != "" && str(o["request_id"]) != ""
	}
	e := obj(o["error"])
	f := failure{code: str(e["code"]), kind: str(e["type"]), param: str(e["param"]), message: str(e["message"])}
	_, hasParam := e["param"]
	_, hasCode := e["code"]
	return f, f.kind != "" && f.message != "" && hasParam && hasCode && f.param != "None" && f.code != "None"
}

// hello is a good request.
func (s surface) hello(model string, stream bool) string {
	more := ""
	if stream {
		more = `,"stream":true`
	}
	switch s.name {
	case "embeddings":
		return fmt.Sprintf(`{"model":%q,"input":"Hello"}`, model)
	case "count":
		return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"Hello"}]}`, model)
	}
	return fmt.Sprintf(`{"model":%q,"max_tokens":1000,"messages":[{"role":"user","content":"Hello"}]%s}`, model, more)
}

// world is a gateway with an account, and what was said.
type world struct {
	gw      *harness.Gateway
	account string
	key     string
	client  *http.Client
	log     logBuffer
	up      *httptest.Server // the provider

	mu      sync.Mutex
	ids     map[string]bool
	secrets []string
	leaks   []string
	paid    *big.Int // what answers said they cost
}

// logBuffer keeps all that a gateway prints.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const (
	funds          = "1000"
	providerSecret = "credential-of-the-provider-5b1d"
)

// newWorld starts a gateway in front of a provider.
func newWorld(t *testing.T, up *httptest.Server, server, config string) *world {
	t.Helper()
	w := &world{up: up, ids: map[string]bool{}, paid: new(big.Int), client: &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true},
	}}
	w.gw = harness.Start(t, harness.Options{Server: server, Config: config, Log: &w.log})
	w.account = w.gw.NewAccount(t, "hostile", funds).ID
	w.key = w.gw.NewKey(t, w.account, nil).Key
	w.secrets = []string{harness.AdminToken, providerSecret, w.key}
	return w
}

// nano reads decimal dollars as nano-dollars.
func nano(t testing.TB, s string) *big.Int {
	t.Helper()
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is not an amount", s)
	}
	r.Mul(r, big.NewRat(1e9, 1))
	if !r.IsInt() {
		t.Fatalf("%q has more than nine decimals", s)
	}
	return r.Num()
}

// reply is an answer as a caller sees it.
type reply struct {
	ID      string
	Status  int
	Header  http.Header
	Trailer http.Header
	Body    []byte
	Err     error // of reading the body
}

// charged is X-Charge-USD of the header or the trailer, in nano-dollars.
func (r reply) charged(t testing.TB) *big.Int {
	t.Helper()
	s := r.Header.Get("X-Charge-Usd")
	if s == "" {
		s = r.Trailer.Get("X-Charge-Usd")
	}
	if s == "" {
		return new(big.Int)
	}
	return nano(t, s)
}

// post sends a request with the good key.
func (w *world) post(t testing.TB, s surface, body string) reply {
	t.Helper()
	return w.do(t, http.MethodPost, s.path, strings.NewReader(body), http.Header{"Content-Type": {"application/json"}})
}

// do sends any request; Authorization is the good key unless given.
func (w *world) do(t testing.TB, method, path string, body io.Reader, h http.Header) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.gw.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if h != nil {
		req.Header = h.Clone()
	}
	if req.Header.Values("Authorization") == nil && req.Header.Values("X-Api-Key") == nil {
		req.Header.Set("Authorization", "Bearer "+w.key)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return w.take(t, resp)
}

// take reads an answer to its end, and looks for what no answer may hold.
func (w *world) take(t testing.TB, resp *http.Response) reply {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	r := reply{Status: resp.StatusCode, Header: resp.Header, ID: resp.Header.Get("X-Request-Id")}
	r.Body, r.Err = io.ReadAll(resp.Body)
	r.Trailer = resp.Trailer
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.ID == "" {
		t.Errorf("answer %d %.200s has no X-Request-ID", r.Status, r.Body)
	} else if w.ids[r.ID] {
		t.Errorf("the request id %s was given twice", r.ID)
	}
	w.ids[r.ID] = true
	w.paid.Add(w.paid, r.charged(t))
	for _, s := range w.secrets {
		if bytes.Contains(r.Body, []byte(s)) || strings.Contains(fmt.Sprint(r.Header), s) {
			w.leaks = append(w.leaks, fmt.Sprintf("%s: %s", r.ID, s))
		}
	}
	return r
}

// raw sends bytes on a connection of its own, and reads answers until n of them
// have come, or the gateway has closed it.
func (w *world) raw(t testing.TB, n int, text string) (answers []reply, closed bool) {
	t.Helper()
	conn := w.dial(t)
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Errorf("write: %v", err)
	}
	in := bufio.NewReader(conn)
	for len(answers) < n {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return answers, true
		}
		answers = append(answers, w.take(t, resp))
	}
	return answers, false
}

func (w *world) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.gw.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn.(*net.TCPConn)
}

// text is an HTTP/1.1 request, with its length.
func (w *world) text(s surface, body string, headers ...string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s",
		s.path, w.key, len(body), strings.Join(append(headers, ""), "\r\n"), body)
}

// eventually waits until done reports true, and fails the test with what it
// says if that takes more than ten seconds.
func eventually(t testing.TB, done func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		ok, state := done()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Error(state)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// quiet waits until nothing is held, and checks that the account has paid what
// the answers said, plus extra.
func (w *world) quiet(t *testing.T, extra *big.Int) {
	t.Helper()
	eventually(t, func() (bool, string) {
		a := w.gw.AccountNow(t, w.account)
		paid := new(big.Int).Sub(nano(t, funds), nano(t, a.BalanceUSD))
		w.mu.Lock()
		want := new(big.Int).Add(w.paid, extra)
		w.mu.Unlock()
		return nano(t, a.HeldUSD).Sign() == 0 && paid.Cmp(want) == 0,
			fmt.Sprintf("the account paid %v nano-dollars and has %s held, want %v and 0", paid, a.HeldUSD, want)
	})
}

// goroutines is how many the gateway has.
func (w *world) goroutines(t testing.TB) int {
	t.Helper()
	status, b, err := w.gw.Admin(context.Background(), http.MethodGet, "/debug/pprof/goroutine?debug=1", nil, nil)
	m := regexp.MustCompile(`total (\d+)`).FindSubmatch(b)
	if err != nil || status != 200 || m == nil {
		t.Fatalf("goroutines: %d %v %.200s", status, err, b)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// metric is the value of a metric without labels.
func (w *world) metric(t testing.TB, name string) float64 {
	t.Helper()
	_, b, err := w.gw.Admin(context.Background(), http.MethodGet, "/metrics", nil, nil)
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(b)
	if err != nil || m == nil {
		t.Fatalf("metric %s: %v", name, err)
	}
	f, _ := strconv.ParseFloat(string(m[1]), 64)
	return f
}

// closing checks, once all requests have ended, that nothing goes on, and what
// the process wrote: one line for each request, and never a secret.
func (w *world) closing(t *testing.T, before int) {
	t.Helper()
	// Connections that wait to be used again are no leak.
	w.client.CloseIdleConnections()
	w.up.CloseClientConnections()
	eventually(t, func() (bool, string) {
		n := w.goroutines(t)
		return n <= before+8, fmt.Sprintf("%d goroutines, before there were %d", n, before)
	})
	w.gw.Verify(t)
	if err := w.gw.Stop(); err != nil {
		t.Errorf("the gateway ended with %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := map[string]int{}
	for line := range strings.SplitSeq(w.log.String(), "\n") {
		if strings.Contains(line, `"msg":"request"`) {
			_, rest, _ := strings.Cut(line, `"id":"`)
			id, _, _ := strings.Cut(rest, `"`)
			lines[id]++
		}
	}
	for id := range w.ids {
		if id != "" && lines[id] != 1 {
			t.Errorf("request %s has %d lines in the log, want 1", id, lines[id])
		}
	}
	for _, s := range w.secrets {
		if i := strings.Index(w.log.String(), s); i >= 0 {
			t.Errorf("the log holds the secret %q: …%.200q", s, w.log.String()[max(0, i-120):])
		}
	}
	for _, l := range w.leaks {
		t.Errorf("an answer holds a secret: %s", l)
	}
	if strings.Contains(w.log.String(), `"panic"`) {
		t.Error("something panicked; see the log")
	}
}
