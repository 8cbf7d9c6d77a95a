package operate

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/test/harness"
)

// face is one surface as one site presents it.
type face struct {
	file     string // of testdata, without its ending
	contract string
	envelope string
	surface  string
	site     string // the host, and what keys are made for; empty: any
	path     string
	body     string // more members of the request
}

var faces = []face{
	{file: "openai.chat", contract: "openai", envelope: "openai", surface: "openai.chat", path: "/v1/chat/completions"},
	{file: "openai.responses", contract: "openai", envelope: "openai", surface: "openai.responses", path: "/v1/responses"},
	{file: "anthropic.messages", contract: "openai", envelope: "anthropic", surface: "anthropic.messages", path: "/v1/messages", body: `"max_tokens":200`},
	{file: "chat", contract: "openai", envelope: "flat", surface: "chat", path: "/v1/chat"},
	{file: "ninjachat.chat", contract: "ninjachat", envelope: "flat", surface: "chat", site: ninjaHost, path: "/api/v1/chat"},
	{file: "llmtune.chat", contract: "llmtune", envelope: "flat", surface: "openai.chat", site: "llmtune.localhost", path: "/v1/chat/completions"},
	{file: "nanogpt.chat", contract: "nanogpt", envelope: "openai", surface: "openai.chat", site: "nano.localhost", path: "/api/v1/chat/completions"},
	{file: "nanogpt.messages", contract: "nanogpt", envelope: "anthropic", surface: "anthropic.messages", site: "nano.localhost", path: "/api/v1/messages", body: `"max_tokens":200`},
	{file: "modelswitch.chat", contract: "modelswitch", envelope: "object", surface: "openai.chat", site: "modelswitch.localhost", path: "/v1/chat/completions"},
	{file: "samurai.chat", contract: "samurai", envelope: "object", surface: "openai.chat", site: "samurai.localhost", path: "/v1/chat/completions"},
	{file: "samurai.messages", contract: "samurai", envelope: "anthropic", surface: "anthropic.messages", site: "samurai.localhost", path: "/api/v1/messages", body: `"max_tokens":200`},
}

// events is how many events with content go out before a fault in a stream.
const events = 2

// TestEveryFaultOnEverySurface brings about every fault of the registry, before
// an answer and in the middle of a stream, and compares what a caller sees with
// what is written down. None of it costs anything.
func TestEveryFaultOnEverySurface(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: fiveServices(t)})
	t.Run("faces", func(t *testing.T) {
		for _, f := range faces {
			t.Run(f.file, func(t *testing.T) {
				t.Parallel()
				matrix(t, g, f)
			})
		}
	})
	settled(t, g)
}

func matrix(t *testing.T, g *harness.Gateway, f face) {
	c := newCustomer(t, g, "10", map[string]any{"test": true, "site": f.site, "limits": map[string]any{"rps": 100_000}})
	rows, err := contract.Load(f.contract)
	if err != nil {
		t.Fatal(err)
	}
	m := &matrixOf{face: f, c: c, rows: rows}
	m.good(t)
	var out bytes.Buffer
	fmt.Fprintf(&out, "What callers of %s %s see of every fault, under the contract %s.\n", http.MethodPost, f.path, f.contract)
	fmt.Fprintf(&out, "First the answer where nothing has been sent yet, then the end of a stream that breaks off\nbehind %d events with content.\n", events)
	before := account(t, c)
	for _, e := range fault.All() {
		fmt.Fprintf(&out, "\n== %s\n", e.Name)
		m.prove(t, &out, e.Code)
	}
	golden(t, "faults/"+f.file+".txt", out.Bytes())
	if after := account(t, c); after != before {
		t.Errorf("faults cost something: %+v became %+v", before, after)
	}
}

// balances is what an account has and what it has paid.
type balances struct{ balance, held, test, testHeld, charged string }

func account(t testing.TB, c customer) balances {
	t.Helper()
	var a struct {
		Balance  string `json:"balance_usd"`
		Held     string `json:"held_usd"`
		Test     string `json:"test_balance_usd"`
		TestHeld string `json:"test_held_usd"`
	}
	c.g.MustAdmin(t, "GET", "/admin/v1/accounts/"+c.account, nil, &a)
	charged := ""
	for _, test := range []string{"false", "true"} {
		var u struct {
			Total struct {
				Requests  int64
				ChargeUSD string `json:"charge_usd"`
			}
		}
		c.g.MustAdmin(t, "GET", "/admin/v1/usage?account="+c.account+"&test="+test, nil, &u)
		charged += fmt.Sprintf("%s in %d requests, ", u.Total.ChargeUSD, u.Total.Requests)
	}
	return balances{a.Balance, a.Held, a.Test, a.TestHeld, charged}
}

// matrixOf is the matrix of one face.
type matrixOf struct {
	face
	c         customer
	rows      *contract.Contract
	beginning string // of a stream, up to its last event with content before the fault
}

func (m *matrixOf) ask(t testing.TB, simulate string, stream bool) *reply {
	t.Helper()
	more := fmt.Sprintf(`"stream":%t`, stream)
	if m.body != "" {
		more += "," + m.body
	}
	header := map[string]string{}
	if simulate != "" {
		header["X-Pontage-Simulate"] = simulate
	}
	body := chat("gpt-5-mini", more)
	if m.surface == "openai.responses" {
		body = respond("gpt-5-mini", more)
	}
	return ask(t, m.c.g, call{host: m.site, path: m.path, key: m.c.key, body: body, header: header})
}

// good asks for an answer without a fault, and keeps how it begins.
func (m *matrixOf) good(t testing.TB) {
	t.Helper()
	m.ask(t, "", false).is(t, 200)
	r := m.ask(t, "", true).is(t, 200)
	frames := strings.SplitAfter(normal(string(r.body)), "\n\n")
	said := 0
	for i, f := range frames {
		if content.MatchString(f) {
			said++
		}
		if said == events {
			m.beginning = strings.Join(frames[:i+1], "")
			return
		}
	}
	t.Fatalf("a good stream has %d events with content:\n%s", said, r.body)
}

// content finds an event that says something, in each of the grammars.
var content = regexp.MustCompile(`"(content|text|delta)":"[^"]`)

// retold is what the answer that failed had come to, which some grammars tell again.
var retold = regexp.MustCompile(`event: response\.failed\n.*\n`)

// finished finds an event that says that an answer is complete.
var finished = regexp.MustCompile(`"finish_reason":"[^e]|message_stop|response\.(completed|incomplete)`)

// prove brings a fault about in every way there is, and writes down what is seen.
func (m *matrixOf) prove(t *testing.T, out *bytes.Buffer, code fault.Code) {
	t.Helper()
	whole := m.ask(t, code.String(), false)
	shown := answer(t, whole)
	fmt.Fprint(out, shown)
	if want := m.rows.Status(m.envelope, code); whole.status != want || whole.status < 400 || whole.status > 599 {
		t.Errorf("%s: status %d, the contract says %d", code, whole.status, want)
	}
	if strings.Contains(string(whole.body), "There is no fault") {
		t.Errorf("%s cannot be asked for: %s", code, whole.body)
	}
	m.free(t, whole, code, "none")

	streamed := m.ask(t, code.String(), true)
	if got := answer(t, streamed); got != shown {
		t.Errorf("%s: to who asks for a stream:\n%s\nto others:\n%s", code, got, shown)
	}
	m.free(t, streamed, code, "none")

	late := m.ask(t, fmt.Sprintf("%s;after=%d", code, events), false)
	if got := answer(t, late); got != shown {
		t.Errorf("%s: in the middle of a whole answer:\n%s\nbefore it:\n%s", code, got, shown)
	}
	m.free(t, late, code, "none")

	broken := m.ask(t, fmt.Sprintf("%s;after=%d", code, events), true)
	fmt.Fprint(out, m.ending(t, broken, code))
	m.free(t, broken, code, "partial")
}

// answer writes down an answer that is an error, but for what differs from
// request to request.
func answer(t *testing.T, r *reply) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(strings.TrimSpace(fmt.Sprint(r.status, " ", http.StatusText(r.status))) + "\n")
	if !id.MatchString(r.header.Get("X-Request-ID")) {
		t.Errorf("X-Request-ID is %q", r.header.Get("X-Request-ID"))
	}
	if got := r.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q", got)
	}
	if got := r.header.Get("Content-Length"); got != strconv.Itoa(len(r.body)) || r.broke != nil {
		t.Errorf("Content-Length is %s of %d bytes, %v", got, len(r.body), r.broke)
	}
	if r.header.Get("Retry-After") != "" {
		r.waits(t)
	}
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		switch name {
		case "Date", "Content-Type", "Content-Length", "X-Request-Id":
			continue
		case "Ratelimit", "Ratelimit-Policy": // what is left depends on the time
			r.told(t)
			continue
		}
		for _, v := range r.header[name] {
			if reset, err := time.Parse(time.RFC3339, v); err == nil {
				r.midnight(t, name, reset)
				v = "midnight"
			}
			fmt.Fprintf(&b, "%s: %s\n", name, spread(name, v))
		}
	}
	b.WriteString(normal(string(r.body)) + "\n")
	return b.String()
}

// midnight checks that a time which a header tells is the next midnight, or the
// one that passed while the answer was written.
func (r *reply) midnight(t *testing.T, name string, at time.Time) {
	t.Helper()
	date, err := http.ParseTime(r.header.Get("Date"))
	if wait := at.Sub(date); err != nil || !at.Equal(at.Truncate(24*time.Hour)) || wait > 24*time.Hour || wait < -time.Minute {
		t.Errorf("%s is %s at %s", name, at, date)
	}
}

// spread hides waits of one to two seconds, which are spread by request id.
func spread(name, value string) string {
	n, err := strconv.Atoi(value)
	switch {
	case err != nil:
	case name == "Retry-After" && n <= 2:
		return "1…2"
	case name == "Retry-After-Ms" && n >= 1000 && n < 2000:
		return "1000…1999"
	}
	return normal(value)
}

var (
	id    = regexp.MustCompile(`^req_[0-9a-z]{26}$`)
	ids   = regexp.MustCompile(`(\b|_)(req|msg|chatcmpl|toolu|resp)[_-][0-9A-Za-z-]{6,}`)
	times = regexp.MustCompile(`"created(_at)?":\d+`)
)

// normal takes ids and times out.
func normal(s string) string {
	return times.ReplaceAllString(ids.ReplaceAllString(s, "${1}${2}_…"), `"created$1":0`)
}

// ending checks a stream that broke off, and writes its end down.
func (m *matrixOf) ending(t *testing.T, r *reply, code fault.Code) string {
	t.Helper()
	if r.status != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/event-stream") || r.broke != nil {
		t.Fatalf("%s;after=%d: %d %s, %v\n%s", code, events, r.status, r.header.Get("Content-Type"), r.broke, r.body)
	}
	body := normal(string(r.body))
	end, found := strings.CutPrefix(body, m.beginning)
	if !found {
		t.Fatalf("%s;after=%d does not begin as a good stream does:\n%s\nwant\n%s", code, events, body, m.beginning)
	}
	if got := r.trailer.Get("X-Charge-USD"); got != "0.00" {
		t.Errorf("%s;after=%d: trailer X-Charge-USD is %q", code, events, got)
	}
	if content.MatchString(retold.ReplaceAllString(end, "")) || !strings.HasSuffix(end, "\n\n") || finished.MatchString(end) {
		t.Errorf("%s;after=%d looks as if it went on, or came to a good end:\n%s", code, events, end)
	}
	return "stream:\n" + strings.TrimSuffix(end, "\n")
}

// free checks the receipt of a request that failed.
func (m *matrixOf) free(t *testing.T, r *reply, code fault.Code, delivery string) {
	t.Helper()
	if got := r.header.Get("X-Charge-USD"); r.status >= 400 && got != "0.00" {
		t.Errorf("%s: X-Charge-USD is %q", code, got)
	}
	rec := m.c.g.Receipt(t, r.header.Get("X-Request-ID"), nil)
	if rec.ChargeUSD != "0.00" || rec.Fault != code.String() || rec.Outcome == "ok" || rec.Status != r.status || rec.Delivery != delivery {
		t.Errorf("%s: the receipt says %+v", code, rec)
	}
}

// TestLiveKeysGetNoFaults: a live key that asks for a fault is refused, and is
// not charged, on every route of every service; a test key has it.
func TestLiveKeysGetNoFaults(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Options{Config: fiveServices(t)})
	for _, site := range []struct{ contract, role, host string }{
		{"openai", "api", ""},
		{"ninjachat", "api", ninjaHost},
		{"llmtune", "api", "llmtune.localhost"},
		{"llmtune", "dashboard", "app.llmtune.localhost"},
		{"nanogpt", "api", "nano.localhost"},
		{"modelswitch", "api", "modelswitch.localhost"},
		{"samurai", "api", "samurai.localhost"},
	} {
		rows, err := contract.Load(site.contract)
		if err != nil {
			t.Fatal(err)
		}
		live, test := map[string]customer{}, map[string]customer{}
		of := map[string]any{"site": site.host, "limits": map[string]any{"rps": 100_000}}
		for _, route := range rows.Routes() {
			if route.Role != site.role || route.Kind == "none" {
				continue // there is nobody there whose key could be a test key
			}
			kind := route.Kind
			if kind == "any" {
				kind = "inference"
			}
			if live[kind].key == "" {
				live[kind] = newCustomer(t, g, "10", and(of, map[string]any{"kind": kind}))
				test[kind] = newCustomer(t, g, "10", and(of, map[string]any{"kind": kind, "test": true}))
			}
			before := account(t, live[kind])
			onlyTestKeys(t, live[kind], test[kind], call{
				method: route.Method, host: site.host, path: wildcard.ReplaceAllString(route.Path, askedOf(route)),
				body: wellFormed(route),
			}, rows.Status(route.Envelope, fault.InvalidParameter), rows.Status(route.Envelope, fault.UpstreamOverloaded))
			if after := account(t, live[kind]); after != before {
				t.Errorf("%s %s: %+v became %+v", route.Method, route.Path, before, after)
			}
		}
	}
	settled(t, g)
}

// wildcard is what stands for something in a path.
var wildcard = regexp.MustCompile(`\{\w+(\.\.\.)?\}`)

// askedOf is the model that a route can be asked of.
func askedOf(route contract.Route) string {
	if strings.HasSuffix(route.Surface, "embed") {
		return "text-embedding-3-small"
	}
	return "gpt-5-mini"
}

// boundary stands between the parts of a form.
const boundary = "the-next-part"

// simulating is the headers of a call that asks for a fault.
func (c call) simulating(what string) map[string]string {
	h := map[string]string{"X-Pontage-Simulate": what}
	if strings.HasPrefix(c.body, "--"+boundary) {
		h["Content-Type"] = "multipart/form-data; boundary=" + boundary
	}
	return h
}

// wellFormed is a body that a route takes.
func wellFormed(route contract.Route) string {
	switch {
	case route.Method != http.MethodPost:
		return ""
	case route.Surface == "openai.embeddings":
		return `{"model":"text-embedding-3-small","input":"x"}`
	case route.Surface == "openai.responses":
		return respond("gpt-5-mini", "")
	case route.Surface == "openai.responses.compact":
		return `{"model":"gpt-5-mini","input":"x"}`
	case route.Surface == "openai.completions":
		return `{"model":"gpt-5-mini","prompt":"x","max_tokens":10}`
	case route.Surface == "openai.moderations":
		return `{"model":"omni-moderation-latest","input":"x"}`
	case route.Surface == "openai.images":
		return `{"model":"gpt-image-1","prompt":"x"}`
	case route.Surface == "openai.image_edits":
		return `{"model":"gpt-image-1","prompt":"x","images":[{"image_url":"data:image/png;base64,iVBORw0KGgo="}]}`
	case route.Surface == "openai.image_variations":
		part := "--" + boundary + "\r\nContent-Disposition: form-data; name="
		return part + "\"model\"\r\n\r\ngpt-image-1\r\n" + part + "\"image\"; filename=\"a.png\"\r\n\r\npicture\r\n--" + boundary + "--\r\n"
	case route.Surface == "openai.speech":
		return `{"model":"tts-1","input":"x","voice":"alloy"}`
	case route.Surface == "openai.transcriptions", route.Surface == "openai.translations":
		part := "--" + boundary + "\r\nContent-Disposition: form-data; name="
		return part + "\"model\"\r\n\r\nwhisper-1\r\n" + part + "\"file\"; filename=\"a.mp3\"\r\n\r\nsound\r\n--" + boundary + "--\r\n"
	case route.Surface == "gemini.embed":
		one := `{"model":"models/text-embedding-3-small","content":{"parts":[{"text":"x"}]}}`
		if strings.HasSuffix(route.Path, ":batchEmbedContents") {
			return `{"requests":[` + one + `]}`
		}
		return one
	case strings.HasPrefix(route.Surface, "gemini."):
		return `{"contents":[{"parts":[{"text":"x"}]}]}`
	case route.Surface == "prompt":
		return `{"prompt":"Say something about tolls.","max_tokens":10}`
	}
	return chat("gpt-5-mini", `"max_tokens":10`)
}

// onlyTestKeys asks for faults, by name and by names that are none.
func onlyTestKeys(t *testing.T, live, test customer, c call, refused, failed int) {
	t.Helper()
	c.key, c.header = live.key, c.simulating("rate_limited")
	if r := ask(t, live.g, c); r.status != refused {
		t.Errorf("%s %s%s with a live key: %d %s", c.method, c.host, c.path, r.status, r.body)
	}
	c.key = test.key
	for _, wrong := range []string{"made_up", "rate_limited;after=", "rate_limited;after=-1", "rate_limited;before=1", "rate_limited;after=10001", "none"} {
		c.header = c.simulating(wrong)
		if r := ask(t, test.g, c); r.status != refused {
			t.Errorf("%s %s%s, simulating %q: %d %s", c.method, c.host, c.path, wrong, r.status, r.body)
		}
	}
	c.header = c.simulating("upstream_overloaded")
	if r := ask(t, test.g, c); r.status != failed {
		t.Errorf("%s %s%s with a test key: %d %s", c.method, c.host, c.path, r.status, r.body)
	}
}
