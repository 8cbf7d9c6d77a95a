package traffic

import (
	"bytes"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// apis are the kinds of recordings that are replayed, and the surface of each.
var apis = map[string]string{
	"openai.chat":            "/v1/chat/completions",
	"openai.embeddings":      "/v1/embeddings",
	"anthropic.messages":     "/v1/messages",
	"anthropic.count_tokens": "/v1/messages/count_tokens",
}

// rates are the prices of every model here, in nano-dollars: per one million
// tokens, and for each request. They are odd so that roundings show.
var rates = struct{ input, output, cached, write, write1h, request int64 }{
	input: 1_370_000_003, output: 7_910_000_007, cached: 173_000_001, write: 2_300_000_011, write1h: 3_100_000_013, request: 1_007,
}

// world is a gateway, the upstream of all its providers, and what was said.
type world struct {
	gw       *harness.Gateway
	up       *replayer
	fixtures []*testkit.Fixture
	client   *http.Client
	log      logBuffer

	mu      sync.Mutex
	ids     map[string]bool // of requests that were answered
	secrets []string
	leaks   []string
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

// newWorld starts a gateway that serves each recording under names of its own:
// "fx/ID" is the recorded answer, "al/ID" is fx/ID under another name, "cut/ID"
// breaks off, "drip/ID" comes byte by byte, and "ask/KIND" answers any request.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{ids: map[string]bool{}, client: &http.Client{
		Timeout:   60 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	}}
	corpus := testkit.Fixtures(t)
	w.up = &replayer{fixtures: map[string]*testkit.Fixture{}, cuts: map[string]int{}, got: map[string]received{}}
	for _, e := range corpus.Entries {
		if apis[e.API] != "" {
			f := corpus.Load(t, e)
			w.fixtures = append(w.fixtures, f)
			w.up.fixtures[f.ID] = f
		}
	}
	if len(w.fixtures) < 700 {
		t.Fatalf("only %d recordings", len(w.fixtures))
	}
	srv := harness.Serve(t, w.up, nil)
	w.gw = harness.Start(t, harness.Options{Config: w.config(srv.URL), Log: &w.log})
	w.secrets = append(w.secrets, harness.AdminToken)
	return w
}

// providerOf names the provider that a recording belongs to.
func providerOf(f *testkit.Fixture) string {
	if strings.HasPrefix(f.API, "anthropic.") {
		return "messages"
	}
	return "chat-" + f.Provider
}

// config writes providers and models.
func (w *world) config(url string) string {
	var b strings.Builder
	b.WriteString("routing: {attempts: 1}\nproviders:\n")
	fmt.Fprintf(&b, "  messages: {kind: anthropic, base_url: %q, api_key: %q, catalog: none}\n", url+"/messages", w.secret("messages"))
	seen := map[string]bool{}
	for _, f := range w.fixtures {
		p := providerOf(f)
		if p == "messages" || seen[p] {
			continue
		}
		seen[p] = true
		fmt.Fprintf(&b, "  %s: {kind: openai, quirks: %s, base_url: %q, api_key: %q, catalog: none}\n", p, f.Provider, url+"/"+p+"/v1", w.secret(p))
	}
	b.WriteString("models:\n")
	anchor := []string{fmt.Sprintf("&p {input: %s, output: %s, cached_input: %s, cache_write: %s, cache_write_1h: %s, request: %s}",
		usd(rates.input), usd(rates.output), usd(rates.cached), usd(rates.write), usd(rates.write1h), usd(rates.request)), "&i [text, image, audio, file, video]"}
	entry := func(name, provider, model, kind string) {
		fmt.Fprintf(&b, "  %q: {targets: [{provider: %s, model: %q}], kind: %s, context: 50000000, price: %s, input: %s}\n", name, provider, model, kind, anchor[0], anchor[1])
		anchor[0], anchor[1] = "*p", "*i"
	}
	for _, f := range w.fixtures {
		kind := "chat"
		if f.API == "openai.embeddings" {
			kind = "embedding"
		}
		entry("fx/"+f.ID, providerOf(f), "fx/"+f.ID, kind)
		entry("al/"+f.ID, providerOf(f), "fx/"+f.ID, kind)
		if f.Response.Kind == "sse" {
			entry("cut/"+f.ID, providerOf(f), "cut/"+f.ID, kind)
			entry("drip/"+f.ID, providerOf(f), "drip/"+f.ID, kind)
		}
		if hasBody(f) && kind == "chat" && f.API != "anthropic.count_tokens" {
			to := "messages"
			if providerOf(f) == "messages" {
				to = "chat-openai"
			}
			entry("ask/"+f.ID, to, "ask/"+f.ID, kind)
		}
	}
	return b.String()
}

// secret is the credential of a provider.
func (w *world) secret(provider string) string {
	s := "upstream-credential-of-" + provider + "-7f3a9"
	w.secrets = append(w.secrets, s)
	return s
}

// usd writes nano-dollars as decimal dollars.
func usd(nano int64) string {
	return fmt.Sprintf("%d.%09d", nano/1e9, nano%1e9)
}

// nano reads decimal dollars.
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

// purse is an account with a key, and what its requests must have cost.
type purse struct {
	w       *world
	account string
	key     string
	start   *big.Int

	mu    sync.Mutex
	spent *big.Int
}

func (w *world) purse(t *testing.T) *purse {
	t.Helper()
	a := w.gw.NewAccount(t, t.Name(), "1000000")
	k := w.gw.NewKey(t, a.ID, nil)
	w.mu.Lock()
	w.secrets = append(w.secrets, k.Key)
	w.mu.Unlock()
	return &purse{w: w, account: a.ID, key: k.Key, start: nano(t, a.BalanceUSD), spent: new(big.Int)}
}

// pay notes what a request must have cost.
func (p *purse) pay(charge *big.Int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spent.Add(p.spent, charge)
}

// settle checks that the account paid exactly what was noted, and that nothing
// is held.
func (p *purse) settle(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		a := p.w.gw.AccountNow(t, p.account)
		paid := new(big.Int).Sub(p.start, nano(t, a.BalanceUSD))
		held := nano(t, a.HeldUSD)
		if held.Sign() == 0 && paid.Cmp(p.spent) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("the account paid %v nano-dollars and has %v held, want %v and 0", paid, held, p.spent)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// reply is an answer of the gateway as a caller sees it.
type reply struct {
	ID      string
	Status  int
	Header  http.Header
	Trailer http.Header
	Body    []byte
	Err     error // of reading the body
}

// post sends a request and reads the whole answer.
func (p *purse) post(t testing.TB, path string, body []byte) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.w.gw.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(path, "/v1/messages") {
		req.Header.Set("X-Api-Key", p.key)
		req.Header.Set("Anthropic-Version", "2023-06-01")
	} else {
		req.Header.Set("Authorization", "Bearer "+p.key)
	}
	resp, err := p.w.client.Do(req)
	if err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := reply{Status: resp.StatusCode, Header: resp.Header, ID: resp.Header.Get("X-Request-Id")}
	r.Body, r.Err = io.ReadAll(resp.Body)
	r.Trailer = resp.Trailer
	p.w.answered(t, r)
	return r
}

// answered notes an answer, and looks for what no answer may hold.
func (w *world) answered(t testing.TB, r reply) {
	t.Helper()
	if r.ID == "" {
		t.Errorf("answer %d has no X-Request-ID", r.Status)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ids[r.ID] {
		t.Errorf("the request id %s was given twice", r.ID)
	}
	w.ids[r.ID] = true
	for _, s := range w.secrets {
		if bytes.Contains(r.Body, []byte(s)) || strings.Contains(fmt.Sprint(r.Header), s) {
			w.leaks = append(w.leaks, fmt.Sprintf("%s: %s", r.ID, s))
		}
	}
}

// charged returns the header or trailer X-Charge-USD, in nano-dollars.
func (r reply) charged(t testing.TB) *big.Int {
	t.Helper()
	s := r.Header.Get("X-Charge-Usd")
	if s == "" {
		s = r.Trailer.Get("X-Charge-Usd")
	}
	if s == "" {
		t.Errorf("request %s: no X-Charge-USD", r.ID)
		return new(big.Int)
	}
	return nano(t, s)
}

// closing checks, once all requests have ended, what the process wrote: one
// line for each request, and never a secret.
func (w *world) closing(t *testing.T) {
	t.Helper()
	w.gw.Verify(t)
	if err := w.gw.Stop(); err != nil {
		t.Errorf("the gateway ended with %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := map[string]int{}
	for line := range strings.SplitSeq(w.log.String(), "\n") {
		if !strings.Contains(line, `"msg":"request"`) {
			continue
		}
		_, rest, _ := strings.Cut(line, `"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		lines[id]++
	}
	for id := range w.ids {
		if lines[id] != 1 {
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
	if len(w.ids) < 1000 {
		t.Errorf("only %d requests were made", len(w.ids))
	}
}
