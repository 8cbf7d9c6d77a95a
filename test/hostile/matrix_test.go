package hostile

import (
	"bytes"
	"fmt"
	"math/big"
	"net"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

// face is how a failure looks: contract/openai.yaml, protocols.md §2.1, and for
// x-should-retry and Retry-After design.md §2.
type face struct {
	status        int
	kind, code    string // of the OpenAI shape; code also of the flat one
	messageStatus int
	messageKind   string
	again         string // x-should-retry
	againMessage  string
	wait          bool // Retry-After must be there, on 429 and 503
}

var faces = map[string]face{
	"invalid":     {400, "invalid_request_error", "", 400, "invalid_request_error", "false", "false", false},
	"context":     {400, "invalid_request_error", "context_length_exceeded", 400, "invalid_request_error", "false", "false", false},
	"policy":      {400, "invalid_request_error", "content_policy_violation", 400, "invalid_request_error", "false", "false", false},
	"model":       {404, "invalid_request_error", "model_not_found", 404, "not_found_error", "false", "false", false},
	"large":       {413, "invalid_request_error", "request_too_large", 413, "request_too_large", "false", "false", false},
	"rate":        {429, "rate_limit_error", "upstream_rate_limited", 429, "rate_limit_error", "true", "true", true},
	"rate long":   {429, "rate_limit_error", "upstream_rate_limited", 429, "rate_limit_error", "false", "false", true},
	"auth":        {502, "upstream_error", "upstream_authentication_failed", 502, "api_error", "false", "false", false},
	"failed":      {502, "upstream_error", "upstream_error", 502, "api_error", "true", "true", false},
	"empty":       {502, "upstream_error", "empty_response", 502, "api_error", "true", "true", false},
	"quota":       {503, "service_unavailable_error", "upstream_quota_exhausted", 503, "api_error", "false", "false", false},
	"overloaded":  {503, "service_unavailable_error", "server_is_overloaded", 529, "overloaded_error", "true", "", true},
	"unreachable": {503, "service_unavailable_error", "no_healthy_upstream", 503, "api_error", "true", "true", true},
	"timeout":     {504, "timeout_error", "upstream_timeout", 504, "timeout_error", "true", "true", false},
}

// attempts is how often a request is tried at its only target: see routing in
// the configuration.
const attempts = 2

// condition is what an upstream does, and what becomes of it.
type condition struct {
	do    func(*ask)
	whole string // face for an answer that is not streamed; "": not asked for; "ok": an answer
	strm  string // the same for a stream; "midway": it breaks after content
	tries int    // attempts; 0: one
	after int64  // Retry-After; 0: any
	tells string // words that a caller must not see
	heavy bool   // takes a while: few run at once
}

// status is an upstream that answers with a status.
func status(face string, status, tries int, kind string, headers ...string) condition {
	c := condition{whole: face, strm: face, tries: tries, tells: "words of the provider"}
	c.do = func(a *ask) { a.fail(status, kind, "words of the provider", headers...) }
	return c
}

// early is a failure before content, however it was asked.
func early(face string, tries int, do func(*ask)) condition {
	return condition{do: do, whole: face, strm: face, tries: tries}
}

// midway breaks after some content of a stream.
func midway(do func(*ask)) condition { return condition{do: do, strm: "midway"} }

const page = "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body>secret words</body></html>"

// conditions are everything that can be wrong with a provider.
var conditions = map[string]condition{
	"good": {do: func(a *ask) { a.answer("Hello", a.words.usageOf("10", "2")) }, whole: "ok", strm: "ok"},

	// It cannot be reached, or does not answer.
	"refuses":  early("unreachable", attempts, nil),
	"hangs-up": early("failed", attempts, func(a *ask) { a.cut() }),
	"no-http":  early("failed", attempts, func(a *ask) { a.wire("SSH-2.0-nonsense\r\n\r\n") }),
	"hangs":    early("timeout", 1, func(a *ask) { a.hang() }),
	"hangs-after-head": {do: func(a *ask) {
		a.head(200, map[bool]string{true: "text/event-stream", false: "application/json"}[a.stream])
		a.send()
		a.hang()
	}, whole: "timeout", strm: "timeout"},
	"hangs-after-role":  {do: func(a *ask) { a.events(); a.hang() }, strm: "timeout"},
	"pings-for-ever":    {do: func(a *ask) { a.head(200, "text/event-stream"); a.pings() }, strm: "timeout"},
	"hangs-in-the-body": {do: func(a *ask) { a.head(200, "application/json"); a.send(`{"id":"c1","choices":[`); a.hang() }, whole: "timeout"},

	// It answers with something else.
	"html":         early("failed", attempts, func(a *ask) { a.head(200, "text/html"); a.send(page) }),
	"html-502":     early("failed", attempts, func(a *ask) { a.head(502, "text/html"); a.send(page) }),
	"html-as-json": {do: func(a *ask) { a.head(200, "application/json"); a.send(page) }, whole: "failed", tries: attempts},
	"html-as-sse":  {do: func(a *ask) { a.head(200, "text/event-stream"); a.send(page) }, strm: "failed", tries: attempts},
	"broken-json":  {do: func(a *ask) { a.json(200, `{"id":"c1","choices":[{]}`) }, whole: "failed", tries: attempts},
	"half-json":    {do: func(a *ask) { a.head(200, "application/json"); a.send(`{"id":"c1","choi`); a.cut() }, whole: "failed", tries: attempts},
	"short-body": {do: func(a *ask) {
		a.wire("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"id\":")
	}, whole: "failed", tries: attempts},
	"bad-chunks": early("failed", attempts, func(a *ask) {
		a.wire("HTTP/1.1 200 OK\r\nContent-Type: " + map[bool]string{true: "text/event-stream", false: "application/json"}[a.stream] + "\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}")
	}),
	"json-array":   {do: func(a *ask) { a.json(200, `[1,2,3]`) }, whole: "failed", tries: attempts},
	"other-json":   {do: func(a *ask) { a.json(200, `{"hello":"world"}`) }, whole: "failed", tries: attempts},
	"json-null":    {do: func(a *ask) { a.json(200, `null`) }, whole: "failed", tries: attempts},
	"sse-not-json": {do: func(a *ask) { a.head(200, "text/event-stream"); a.send("data: hello\n\n") }, strm: "failed", tries: attempts},
	"json-for-sse": {do: func(a *ask) { a.json(200, `{"hello":"world"}`) }, strm: "failed", tries: attempts},
	"redirect-302": early("failed", 1, func(a *ask) { a.head(302, "text/plain", "Location", "http://127.0.0.1:1/elsewhere") }),
	"redirect-307": early("failed", 1, func(a *ask) { a.head(307, "text/plain", "Location", "/elsewhere") }),
	"compressed": early("failed", attempts, func(a *ask) {
		a.head(200, "application/json", "Content-Encoding", "gzip")
		a.send(string(zipped([]byte(page))))
	}),
	"huge-header": early("failed", attempts, func(a *ask) { a.wire("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 600<<10) + "\r\n\r\n") }),
	"early-hints": {do: func(a *ask) { a.w.WriteHeader(103); a.answer("Hello", a.words.usageOf("10", "2")) }, whole: "ok", strm: "ok"},
	"leading-blank": {do: func(a *ask) {
		a.head(200, "application/json")
		a.send("\n\n\r\n  " + fmt.Sprintf(a.words.whole, `"Hello"`, a.words.usageOf("10", "2")))
	}, whole: "ok"},

	// It answers with nothing.
	"empty-body":   {do: func(a *ask) { a.head(200, "application/json") }, whole: "failed", tries: attempts},
	"empty-sse":    {do: func(a *ask) { a.head(200, "text/event-stream") }, strm: "failed", tries: attempts},
	"only-done":    {do: func(a *ask) { a.head(200, "text/event-stream"); a.send(a.words.done) }, strm: "empty", tries: attempts},
	"no-content":   early("failed", attempts, func(a *ask) { a.w.WriteHeader(204) }),
	"nothing-said": early("empty", attempts, func(a *ask) { a.nothing() }),
	"no-alternates": {do: func(a *ask) {
		a.json(200, map[bool]string{true: `{"type":"message","role":"assistant","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":0}}`, false: `{"id":"c1","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":0}}`}[a.anthropic])
	}, whole: "empty", tries: attempts},

	// 200 with an error inside.
	"error-in-200":      early("failed", attempts, func(a *ask) { a.fail(200, "api_error", "words of the provider") }),
	"rate-in-200":       early("rate", attempts, func(a *ask) { a.fail(200, "rate_limit_error", "words of the provider") }),
	"overloaded-in-200": early("overloaded", attempts, func(a *ask) { a.fail(200, "overloaded_error", "words of the provider") }),
	"error-in-sse":      {do: func(a *ask) { a.head(200, "text/event-stream"); a.event("api_error") }, strm: "failed", tries: attempts},
	"error-after-role":  {do: func(a *ask) { a.events(); a.event("overloaded_error") }, strm: "overloaded", tries: attempts},
	"quota-in-sse":      {do: func(a *ask) { a.head(200, "text/event-stream"); a.event("billing_error") }, strm: "quota"},
	"json-error-under-sse": {do: func(a *ask) {
		a.head(200, "text/event-stream")
		a.send(errorBody(a.anthropic, "api_error", "words of the provider"))
	}, strm: "failed", tries: attempts},

	// Statuses.
	"400":         status("invalid", 400, 1, "invalid_request_error"),
	"401":         status("auth", 401, 1, "authentication_error"),
	"402":         status("quota", 402, 1, "billing_error"),
	"403":         status("auth", 403, 1, "permission_error"),
	"404-model":   {do: func(a *ask) { a.fail(404, "not_found_error", "model: m does not exist") }, whole: "model", strm: "model"},
	"404-path":    early("failed", 1, func(a *ask) { a.head(404, "text/html"); a.send(page) }),
	"405":         early("failed", 1, func(a *ask) { a.head(405, "text/plain"); a.send("no") }),
	"408":         early("timeout", 1, func(a *ask) { a.head(408, "text/plain"); a.send("late") }),
	"409":         early("failed", attempts, func(a *ask) { a.head(409, "text/plain"); a.send("busy") }),
	"413":         early("large", 1, func(a *ask) { a.head(413, "text/html"); a.send(page) }),
	"422":         status("invalid", 422, 1, "invalid_request_error"),
	"429":         status("rate", 429, attempts, "rate_limit_error"),
	"429-1":       with(status("rate", 429, attempts, "rate_limit_error", "Retry-After", "1"), 1),
	"429-7":       with(status("rate", 429, 1, "rate_limit_error", "Retry-After", "7"), 7), // longer than we wait
	"429-200":     with(status("rate long", 429, 1, "rate_limit_error", "Retry-After", "200"), 200),
	"429-ms":      with(status("rate", 429, 1, "rate_limit_error", "Retry-After-Ms", "2500", "Retry-After", "9"), 3),
	"429-quota":   status("quota", 429, 1, "insufficient_quota"),
	"429-absurd":  with(status("rate long", 429, 1, "rate_limit_error", "Retry-After", "999999999999"), 86400),
	"429-bad":     status("rate", 429, attempts, "rate_limit_error", "Retry-After", "soon"),
	"429-minus":   status("rate", 429, attempts, "rate_limit_error", "Retry-After", "-5"),
	"500":         status("failed", 500, attempts, "api_error"),
	"501":         early("failed", 1, func(a *ask) { a.head(501, "text/plain"); a.send("no") }),
	"502":         early("failed", attempts, func(a *ask) { a.head(502, "text/plain"); a.send("bad gateway") }),
	"503":         early("overloaded", attempts, func(a *ask) { a.head(503, "text/plain"); a.send("busy") }),
	"503-4":       {do: func(a *ask) { a.head(503, "text/plain", "Retry-After", "4"); a.send("busy") }, whole: "overloaded", strm: "overloaded", after: 4},
	"504":         early("timeout", 1, func(a *ask) { a.head(504, "text/plain"); a.send("late") }),
	"520":         early("failed", attempts, func(a *ask) { a.head(520, "text/html"); a.send(page) }),
	"524":         early("timeout", 1, func(a *ask) { a.head(524, "text/html"); a.send(page) }),
	"529":         status("overloaded", 529, attempts, "overloaded_error"),
	"leaks-a-key": {do: func(a *ask) { a.fail(500, "api_error", "the key "+providerSecret+" is overloaded") }, whole: "failed", strm: "failed", tries: attempts, tells: providerSecret},
	"echoes-key":  {do: func(a *ask) { a.fail(400, "invalid_request_error", "bad header Authorization: Bearer "+providerSecret) }, whole: "invalid", strm: "invalid", tells: providerSecret},

	// It breaks in the middle of a stream.
	"mid-hang":     midway(func(a *ask) { a.events("one", "two"); a.hang() }),
	"mid-cut":      midway(func(a *ask) { a.events("one", "two"); a.cut() }),
	"mid-close":    midway(func(a *ask) { a.events("one", "two") }),
	"mid-chunks":   midway(func(a *ask) { a.midChunks() }),
	"mid-html":     midway(func(a *ask) { a.events("one"); a.send(page) }),
	"mid-nonsense": midway(func(a *ask) { a.events("one"); a.send("data: nonsense\n\n"); a.hang() }),
	"mid-half":     midway(func(a *ask) { a.events("one"); a.send(`data: {"choices":[{"delta":{"content":"tw`); a.cut() }),
	"mid-error":    midway(func(a *ask) { a.events("one"); a.event("api_error"); a.send(a.words.done) }),
	"mid-overload": midway(func(a *ask) { a.events("one"); a.event("overloaded_error") }),
	"mid-rate":     midway(func(a *ask) { a.events("one"); a.event("rate_limit_error") }),
	"mid-auth":     midway(func(a *ask) { a.events("one"); a.event("authentication_error") }),
	"mid-json": midway(func(a *ask) {
		a.events("one")
		a.send(errorBody(a.anthropic, "api_error", "words of the provider") + "\n\n")
	}),
	"mid-comments":  midway(func(a *ask) { a.events("one"); a.comments() }),
	"mid-huge-line": {do: func(a *ask) { a.events("one"); a.hugeLine() }, strm: "midway", heavy: true},

	// It says a lot.
	"endless":        {do: func(a *ask) { a.endless(0) }}, // for callers who leave
	"five-megabytes": {do: func(a *ask) { a.answer(strings.Repeat("é\n\"", 5<<20/5), a.words.usageOf("10", "2000")) }, whole: "ok", strm: "ok", heavy: true},
}

// late reports whether the condition is that the provider takes too long. Only
// then is the gateway impatient, so that a slow machine is not taken for it.
func (c condition) late(name string) bool {
	return c.whole == "timeout" || c.strm == "timeout" || name == "mid-hang" || name == "mid-comments"
}

func with(c condition, after int64) condition {
	c.after = after
	return c
}

// event is an error within a stream.
func (a *ask) event(kind string) {
	name := ""
	if a.anthropic {
		name = "event: error\n"
	}
	a.send(name + "data: " + errorBody(a.anthropic, kind, "words of the provider") + "\n\n")
}

// pings says that it is alive, and nothing else.
func (a *ask) pings() {
	for a.r.Context().Err() == nil {
		if a.anthropic {
			a.send("event: ping\ndata: {\"type\": \"ping\"}\n\n")
		} else {
			a.send(": OPENROUTER PROCESSING\n\n")
		}
		if a.wait() {
			return
		}
	}
}

// comments keeps a stream open that has begun.
func (a *ask) comments() { a.pings() }

// nothing is an answer that ended well and says nothing.
func (a *ask) nothing() {
	if a.stream {
		a.events()
		a.send(fmt.Sprintf(a.words.finish, a.words.usageOf("10", "0")), a.words.done)
		return
	}
	a.json(200, fmt.Sprintf(a.words.whole, `""`, a.words.usageOf("10", "0")))
}

// midChunks breaks the framing of HTTP after content.
func (a *ask) midChunks() {
	one := a.words.begin + fmt.Sprintf(a.words.text, `"one"`)
	a.wire(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\nzz\r\n", len(one), one))
}

// hugeLine is an event beyond the cap of 64 MiB, written until nobody reads.
func (a *ask) hugeLine() {
	piece := strings.Repeat("x", 1<<20)
	a.send(`data: {"choices":[{"delta":{"content":"`)
	for i := 0; i < 80 && a.r.Context().Err() == nil; i++ {
		a.send(piece)
	}
	a.cut()
}

// pairing is a caller's surface and a provider's family.
type pairing struct {
	s         surface
	anthropic bool
}

func pairings() (out []pairing) {
	for _, s := range speaking {
		out = append(out, pairing{s, false}, pairing{s, true})
	}
	return out
}

func (p pairing) provider() string {
	if p.anthropic {
		return "anthropic"
	}
	return "openai"
}

// model is the name of the model of one cell: each has its own, so that one
// breaker does not hide another.
func cell(condition string, p pairing, stream bool) string {
	return fmt.Sprintf("%s/%s/%s/%v", condition, p.provider(), p.s.name, stream)
}

// matrixConfig has a model for each cell.
func matrixConfig(url, refusing string) string {
	var b strings.Builder
	b.WriteString("routing: {attempts: 2, backoff: {base: 5ms, max: 2s}}\nproviders:\n")
	for name, kind := range map[string]string{"openai": "openai, quirks: openai", "anthropic": "anthropic"} {
		path := map[string]string{"openai": "/openai/v1", "anthropic": "/messages"}[name]
		const timers = "timeouts: {connect: 5s, headers: 1500ms, first_event: 1500ms, idle: 1s, idle_events: 1500ms, total: 30s}"
		fmt.Fprintf(&b, "  %s: {kind: %s, base_url: %q, api_key: %q, catalog: none, %s}\n", name, kind, url+path, providerSecret, timers)
		fmt.Fprintf(&b, "  %s-patient: {kind: %s, base_url: %q, api_key: %q, catalog: none}\n", name, kind, url+path, providerSecret)
		fmt.Fprintf(&b, "  %s-refuses: {kind: %s, base_url: %q, api_key: %q, catalog: none, %s}\n", name, kind, refusing+path, providerSecret, timers)
	}
	b.WriteString("models:\n")
	price := "&p {input: 1, output: 2, cached_input: 0.1, cache_write: 1.25}"
	for _, name := range names() {
		for _, p := range pairings() {
			for _, stream := range []bool{false, true} {
				to := p.provider()
				switch {
				case name == "refuses":
					to += "-refuses"
				case !conditions[name].late(name):
					to += "-patient"
				}
				m := cell(name, p, stream)
				fmt.Fprintf(&b, "  %q: {targets: [{provider: %s, model: %q}], context: 100000, max_output: 50000, price: %s}\n", m, to, m, price)
				price = "*p"
			}
		}
	}
	return b.String()
}

func names() []string {
	var out []string
	for name := range conditions {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// TestEveryConditionOfAProvider is the failure matrix: every condition, for
// callers of every surface, whole and streamed, of both families of providers.
func TestEveryConditionOfAProvider(t *testing.T) {
	t.Parallel()
	up := newUpstream()
	srv := harness.Serve(t, up, up.stop)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close() // nobody listens there
	w := newWorld(t, srv, "", matrixConfig(srv.URL, "http://"+gone.Addr().String()))
	before := w.goroutines(t)
	cells := run(t, w, up, false, 12) + run(t, w, up, true, 2)
	t.Logf("%d conditions, %d cells", len(conditions), cells)
	w.quiet(t, new(big.Int))
	if w.paid.Sign() == 0 {
		t.Error("no answer cost anything")
	}
	w.closing(t, before)
}

// run goes through the heavy conditions, or the others, some at a time.
func run(t *testing.T, w *world, up *upstream, heavy bool, atOnce int) (cells int) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, name := range names() {
		c := conditions[name]
		if c.heavy != heavy {
			continue
		}
		for _, p := range pairings() {
			for _, stream := range []bool{false, true} {
				if stream && c.strm == "" || !stream && c.whole == "" {
					continue
				}
				cells++
				slots <- struct{}{}
				wg.Go(func() {
					oneCell(t, w, up, name, c, p, stream)
					<-slots
				})
			}
		}
	}
	wg.Wait()
	return cells
}

func oneCell(t *testing.T, w *world, up *upstream, name string, c condition, p pairing, stream bool) {
	m := cell(name, p, stream)
	r := w.post(t, p.s, p.s.hello(m, stream))
	want := c.whole
	if stream {
		want = c.strm
	}
	switch want {
	case "ok":
		if r.Status != 200 || r.Err != nil || r.charged(t).Sign() <= 0 || stream && !finished(p.s, r.Body) {
			t.Errorf("%s: %d %v charged %v %.300s", m, r.Status, r.Err, r.charged(t), r.Body)
		}
		return
	case "midway":
		brokenMidway(t, p.s, m, r)
	default:
		checkFailure(t, p.s, m, want, c, r)
	}
	if r.charged(t).Sign() != 0 {
		t.Errorf("%s: charged %v", m, r.charged(t))
	}
	tells := append([]string{"words of the provider", "secret words", providerSecret}, c.tells)
	for _, s := range tells {
		// A caller's own mistake is explained in the provider's words.
		if s != "" && bytes.Contains(r.Body, []byte(s)) && (want != "invalid" || s == providerSecret) {
			t.Errorf("%s: the answer shows %q: %.300s", m, s, r.Body)
		}
	}
	tries := max(c.tries, 1)
	if got := up.requests(m); name != "refuses" && got != tries {
		t.Errorf("%s: the provider was asked %d times, want %d", m, got, tries)
	}
	rc := w.gw.Receipt(t, r.ID, func(rc harness.Receipt) bool { return true })
	if len(rc.Attempts) != tries || nano(t, rc.ChargeUSD).Sign() != 0 || rc.Status != r.Status || rc.Fault == "" {
		t.Errorf("%s: receipt %+v, want %d attempts, no charge, status %d", m, rc, tries, r.Status)
	}
}

// checkFailure checks an error that came before content.
func checkFailure(t *testing.T, s surface, m, want string, c condition, r reply) {
	t.Helper()
	f, ok := faces[want]
	if !ok {
		t.Errorf("%s: there is no face %q", m, want)
		return
	}
	status, kind, again := f.status, f.kind, f.again
	if s.shape == "anthropic" {
		status, kind, again = f.messageStatus, f.messageKind, f.againMessage
	}
	e, ok := s.read(r.Body)
	switch {
	case !ok, r.Status != status, !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		t.Errorf("%s: %d %.300s, want %d %s", m, r.Status, r.Body, status, want)
	case s.shape != "flat" && e.kind != kind:
		t.Errorf("%s: type %s, want %s", m, e.kind, kind)
	case s.shape != "anthropic" && f.code != "" && e.code != f.code:
		t.Errorf("%s: code %s, want %s", m, e.code, f.code)
	}
	if got := r.Header.Get("X-Should-Retry"); got != again {
		t.Errorf("%s: x-should-retry %q, want %q", m, got, again)
	}
	after, ms := r.Header.Get("Retry-After"), r.Header.Get("Retry-After-Ms")
	if after == "" && ms == "" && !(f.wait && (status == 429 || status == 503)) {
		return
	}
	sec, err := strconv.ParseInt(after, 10, 64)
	msec, err2 := strconv.ParseInt(ms, 10, 64)
	if err != nil || err2 != nil || sec < 1 || msec < 1 || sec != (msec+999)/1000 || c.after > 0 && sec != c.after {
		t.Errorf("%s: Retry-After %q, retry-after-ms %q, want %d", m, after, ms, c.after)
	}
}

// finished reports whether a stream has the clean end of its surface.
func finished(s surface, body []byte) bool {
	if s.shape == "anthropic" {
		return bytes.HasSuffix(body, []byte("\n\n")) && bytes.Contains(body, []byte(`"message_stop"`))
	}
	return bytes.HasSuffix(body, []byte("data: [DONE]\n\n"))
}

// brokenMidway checks a stream that broke after content: what was said, then an
// error of the surface's own, and no clean end.
func brokenMidway(t *testing.T, s surface, m string, r reply) {
	t.Helper()
	if r.Status != 200 || !bytes.Contains(r.Body, []byte(`"one"`)) {
		t.Errorf("%s: %d %.300s, want content", m, r.Status, r.Body)
		return
	}
	parts := slices.DeleteFunc(strings.Split(string(r.Body), "\n\n"), func(p string) bool { return strings.TrimSpace(p) == "" })
	last := parts[len(parts)-1]
	name, data, _ := strings.Cut(last, "data: ")
	e, ok := s.read([]byte(data))
	switch {
	case !ok, !strings.HasSuffix(string(r.Body), "\n\n"):
		t.Errorf("%s: the stream ends with %.300q, want an error", m, last)
	case s.shape == "anthropic" && name != "event: error\n", s.shape != "anthropic" && name != "":
		t.Errorf("%s: the last event is called %q", m, name)
	case e.message == "":
		t.Errorf("%s: the error says nothing", m)
	}
	for _, clean := range []string{"[DONE]", `"message_stop"`, `"finish_reason":"`, `"stop_reason":"`} {
		if bytes.Contains(r.Body, []byte(clean)) {
			t.Errorf("%s: the broken stream holds %s", m, clean)
		}
	}
}
