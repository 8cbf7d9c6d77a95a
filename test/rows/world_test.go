package rows

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

// world is what all rows share.
type world struct {
	report *report
	openai *gateway // presents the contract openai
	ninja  *gateway // presents the contract ninjachat
	five   *gateway // the example: all five services side by side
}

// gateway is a running gateway and the upstreams behind it, by model.
type gateway struct {
	*harness.Gateway
	up   map[string]*testkit.Upstream
	good *httptest.Server // answers for every model that no row breaks
}

// model is one model of a gateway, with an upstream of its own, so that no row
// breaks the upstream of another.
type model struct {
	name     string
	kind     string // of the provider; empty: openai
	answer   testkit.Answer
	streamed testkit.Answer // to who asks for a stream; none: the same
	url      string         // in place of a server; see nobody
	timeouts string         // in YAML flow style
	more     string         // more members, in YAML flow style
	also     []string       // models at whose upstreams it is served too

	site      string   // where it has fallbacks
	fallbacks []string // models to ask after it, there
}

// tellsTooMuch are words that no caller may see, in lower case. Upstreams of
// these tests say acme wherever they speak of themselves or of our account.
var tellsTooMuch = []string{"acme", "sk-upstream"}

// bodyLimit is the limit of bodies, in bytes.
const bodyLimit = 24 << 10

// server are members of the section server: limits that can be passed quickly.
const server = "body_limit: 24KiB, body_timeout: 1500ms, drain: 1s"

// start starts a gateway that presents a contract, with the given models.
func start(t testing.TB, contract string, models []model) *gateway {
	t.Helper()
	g := &gateway{up: map[string]*testkit.Upstream{}}
	var providers, entries strings.Builder
	for _, m := range models {
		url := m.url
		if url == "" {
			g.up[m.name], url = serve(t, m)
		}
		kind := m.kind
		if kind == "" {
			kind = "openai"
		}
		fmt.Fprintf(&providers, "  acme-%s: {kind: %s, base_url: %q, api_key: sk-upstream-%s, timeouts: {%s}}\n", m.name, kind, url+"/v1", m.name, m.timeouts)
		targets := ""
		for _, at := range append([]string{m.name}, m.also...) {
			targets += fmt.Sprintf("{provider: acme-%s, model: acme-%s}, ", at, at)
		}
		more := ""
		if m.more != "" {
			more = ", " + m.more
		}
		fmt.Fprintf(&entries, "  %s: {owned_by: house, targets: [%s], price: %s%s}\n", m.name, targets, price[contract], more)
	}
	g.Gateway = harness.Start(t, harness.Options{
		Server: server,
		Config: "providers:\n" + providers.String() + "models:\n" + entries.String() +
			"routing: {backoff: {base: 10ms}}\n" + sites[contract],
	})
	return g
}

// serve starts the upstream of a model.
func serve(t testing.TB, m model) (*testkit.Upstream, string) {
	t.Helper()
	u := testkit.NewUpstream(t)
	u.Always(m.answer)
	if len(m.streamed.Frames) == 0 {
		return u, u.URL
	}
	streams := testkit.NewUpstream(t)
	streams.Always(m.streamed)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte(`"stream":true`)) {
			streams.ServeHTTP(w, r)
			return
		}
		u.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return u, front.URL
}

// price is what models cost.
var price = map[string]string{
	"openai":    "{input: 1.10, output: 4.40}",
	"ninjachat": "{request: " + ninjaPrice + "}",
}

// ninjaPrice is what one request at ninjachat costs, in dollars.
const ninjaPrice = "0.003"

var sites = map[string]string{
	"openai":    "sites: [{hosts: [\"*\"], contract: openai}]\n",
	"ninjachat": "sites: [{hosts: [\"*\"], contract: ninjachat, limits: {requests: 60, per: 60s}}]\n",
}

// nobody returns the URL of an address that refuses connections as long as the
// test runs: a socket that nobody listens on has it.
func nobody(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
}

// caller makes an account with usd dollars and a key with more members.
func (p *proof) caller(g *gateway, usd string, more map[string]any) caller {
	p.Helper()
	a := g.NewAccount(p, p.row.ID, usd)
	return p.another(caller{gw: g, account: a.ID}, more)
}

// another makes another key of the same account.
func (p *proof) another(c caller, more map[string]any) caller {
	p.Helper()
	c.key = c.gw.NewKey(p, c.account, more)
	p.world.report.hide(c.key.Key)
	return c
}

// limited is a key's member limits.
func limited(limits map[string]any) map[string]any {
	return map[string]any{"limits": limits}
}

// arm makes a fault point fire at its next hit.
func (g *gateway) arm(t testing.TB, point string) {
	t.Helper()
	g.MustAdmin(t, "POST", "/admin/v1/test/fault", map[string]any{"point": point, "times": 1}, nil)
}

// advance moves the gateway's clock forward.
func (g *gateway) advance(t testing.TB, d string) {
	t.Helper()
	g.MustAdmin(t, "POST", "/admin/v1/test/clock", map[string]any{"advance": d}, nil)
}

// settled checks that the gateway's books are in order: nothing is held, and
// everything can be recomputed.
func (g *gateway) settled(t testing.TB) { t.Helper(); g.Settled(t) }

// --- what upstreams say -----------------------------------------------------

// said is the text of every good answer.
const said = "The bridge is open."

const chatBody = `{"id":"chatcmpl-7","object":"chat.completion","created":1790000000,"model":"acme-m",` +
	`"choices":[{"index":0,"message":{"role":"assistant","content":"` + said + `"},"finish_reason":"stop"}],` +
	`"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16}}`

func chunk(delta, finish string) string {
	if finish != "null" {
		finish = `"` + finish + `"`
	}
	return `{"id":"chatcmpl-7","object":"chat.completion.chunk","created":1790000000,"model":"acme-m",` +
		`"choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}`
}

// beginning is how a stream of chat begins: with a role and two pieces of text.
var beginning = []string{
	chunk(`{"role":"assistant","content":""}`, "null"),
	chunk(`{"content":"The bridge"}`, "null"),
	chunk(`{"content":" is open."}`, "null"),
}

const usageChunk = `{"id":"chatcmpl-7","object":"chat.completion.chunk","created":1790000000,"model":"acme-m","choices":[],` +
	`"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16}}`

var chatStream = append(append([]string(nil), beginning...), chunk(`{}`, "stop"), usageChunk, "[DONE]")

const messageBody = `{"id":"msg_7","type":"message","role":"assistant","model":"acme-m","content":[{"type":"text","text":"` + said + `"}],` +
	`"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":11,"output_tokens":5}}`

// messageBeginning is how a stream of messages begins.
var messageBeginning = []string{
	`{"type":"message_start","message":{"id":"msg_7","type":"message","role":"assistant","model":"acme-m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":11,"output_tokens":1}}}`,
	`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
	`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"The bridge"}}`,
	`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" is open."}}`,
}

// named makes an answer of events in the way of Anthropic, with the name of
// each in front.
func named(payloads ...string) testkit.Answer {
	a := testkit.SSE(payloads...)
	for i, p := range payloads {
		_, rest, _ := strings.Cut(p, `"type":"`)
		name, _, _ := strings.Cut(rest, `"`)
		a.Frames[i].Data = "event: " + name + "\n" + a.Frames[i].Data
	}
	return a
}

// html is an answer from something that is no API.
func html(status int) testkit.Answer {
	return testkit.Answer{
		Status: status, Header: http.Header{"Content-Type": {"text/html"}},
		Body: []byte("<!DOCTYPE html><html><body><h1>Acme proxy</h1></body></html>"),
	}
}

// says makes an error as OpenAI tells it.
func says(status int, kind, code, message string) testkit.Answer {
	return testkit.JSON(status, errorBody(kind, code, message))
}

func errorBody(kind, code, message string) string {
	return fmt.Sprintf(`{"error":{"message":%q,"type":%q,"param":null,"code":%q}}`, message, kind, code)
}

// anthropicSays makes an error as Anthropic tells it.
func anthropicSays(status int, kind, message string) testkit.Answer {
	return testkit.JSON(status, anthropicError(kind, message))
}

func anthropicError(kind, message string) string {
	return fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q}}`, kind, message)
}

// with returns an answer with one header more.
func with(a testkit.Answer, name, value string) testkit.Answer {
	a.Header = maps.Clone(a.Header)
	a.Header.Set(name, value)
	return a
}

// cut returns an answer that breaks off behind what it says.
func cut(a testkit.Answer) testkit.Answer {
	a.Cut = true
	return a
}

// hang returns an answer that never ends behind what it says.
func hang(a testkit.Answer) testkit.Answer {
	a.Hang = true
	return a
}
