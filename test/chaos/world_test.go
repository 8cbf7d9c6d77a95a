package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

const (
	funds          = "1000"
	providerSecret = "credential-of-the-provider-77c0"
	price          = "{input: 1, output: 2, cached_input: 0.1, cache_write: 1.25}" // dollars per million tokens
)

// surface is one way to ask a model something.
type surface struct {
	name, path string
	shape      string // of errors: openai or anthropic
}

var (
	chat     = surface{"chat", "/v1/chat/completions", "openai"}
	messages = surface{"messages", "/v1/messages", "anthropic"}
	respond  = surface{"responses", "/v1/responses", "openai"}
	generate = surface{"generate", "/v1beta/models/", "google"}
)

// url is the path and the query under which a model is asked.
func (s surface) url(model string, stream bool) string {
	switch {
	case s != generate:
		return s.path
	case stream:
		return s.path + model + ":streamGenerateContent?alt=sse"
	}
	return s.path + model + ":generateContent"
}

// hello is a good request.
func (s surface) hello(model string, stream bool) string {
	switch s {
	case generate:
		return `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}],"generationConfig":{"maxOutputTokens":1000}}`
	case respond:
		return fmt.Sprintf(`{"model":%q,"max_output_tokens":1000,"store":false,"input":"Hello","stream":%t}`, model, stream)
	}
	return fmt.Sprintf(`{"model":%q,"max_tokens":1000,"messages":[{"role":"user","content":"Hello"}],"stream":%t}`, model, stream)
}

// world is a gateway with an account and a key.
type world struct {
	gw      *harness.Gateway
	account string
	key     string
	client  *http.Client
}

// newWorld starts a gateway; server holds more members of that section, in flow
// style.
func newWorld(t testing.TB, server, config string) *world {
	t.Helper()
	w := &world{client: &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	}}
	w.gw = harness.Start(t, harness.Options{Server: server, Config: config})
	w.account = w.gw.NewAccount(t, "chaos", funds).ID
	w.key = w.gw.NewKey(t, w.account, nil).Key
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

// reply is an answer as a caller sees it.
type reply struct {
	status int
	header http.Header
	body   []byte
	charge *big.Int // nano-dollars, of the header or the trailer
	err    error    // of asking, or of reading the body
}

// ask sends a good request to a model, and reads the answer to its end.
func (w *world) ask(ctx context.Context, s surface, model string, stream bool) reply {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.gw.URL+s.url(model, stream), strings.NewReader(s.hello(model, stream)))
	if err != nil {
		return reply{err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+w.key)
	resp, err := w.client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	r := reply{status: resp.StatusCode, header: resp.Header}
	r.body, r.err = io.ReadAll(resp.Body)
	charge := resp.Header.Get("X-Charge-Usd")
	if charge == "" {
		charge = resp.Trailer.Get("X-Charge-Usd")
	}
	if r.charge = nano(charge); r.charge == nil && r.err == nil {
		r.err = fmt.Errorf("X-Charge-USD is %q", charge)
	}
	return r
}

// nano reads decimal dollars as nano-dollars; nil: they are none.
func nano(s string) *big.Int {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return nil
	}
	if r.Mul(r, big.NewRat(1e9, 1)); !r.IsInt() {
		return nil
	}
	return new(big.Int).Set(r.Num())
}

// said is what an answer says of an error.
type said struct {
	kind, code, message string
}

// read reads an error in the shape of a surface, and reports whether it has it.
func (s surface) read(body []byte) (said, bool) {
	var in struct {
		Type  string
		Error *struct {
			Type, Message, Status *string
			Code                  any
		}
	}
	if json.Unmarshal(body, &in) != nil || in.Error == nil || in.Error.Message == nil {
		return said{}, false
	}
	kind := in.Error.Type
	if s == generate {
		kind = in.Error.Status
	}
	if kind == nil {
		return said{}, false
	}
	e := said{kind: *kind, message: *in.Error.Message}
	e.code, _ = in.Error.Code.(string)
	return e, e.kind != "" && e.message != "" && (s.shape != "anthropic" || in.Type == "error")
}

// wrong says what differs between a failure and its face; empty: nothing. after
// is what Retry-After must say, in seconds; 0: anything.
func (s surface) wrong(name string, after int, r reply) string {
	both, ok := faces[name]
	if !ok {
		return fmt.Sprintf("there is no face %q", name)
	}
	want := both.openai
	switch s.shape {
	case "anthropic":
		want = both.anthropic
	case "google":
		want.kind, want.code = google[want.status], ""
	}
	e, ok := s.read(r.body)
	wait := r.header.Get("Retry-After")
	seconds, err := strconv.Atoi(wait)
	switch {
	case r.err != nil:
		return r.err.Error()
	case r.status != want.status:
		return fmt.Sprintf("status %d, want %d: %.300s", r.status, want.status, r.body)
	case !ok, !strings.HasPrefix(r.header.Get("Content-Type"), "application/json"):
		return fmt.Sprintf("no error of this dialect: %.300s", r.body)
	case e.kind != want.kind, s.shape == "openai" && want.code != "" && e.code != want.code:
		return fmt.Sprintf("type %s code %s, want %s %s", e.kind, e.code, want.kind, want.code)
	case r.header.Get("X-Should-Retry") != want.again:
		return fmt.Sprintf("x-should-retry %q, want %q", r.header.Get("X-Should-Retry"), want.again)
	case want.wait && (err != nil || seconds < 1), after > 0 && seconds != after:
		return fmt.Sprintf("Retry-After %q, want %d", wait, after)
	case r.charge.Sign() != 0:
		return fmt.Sprintf("charged %v", r.charge)
	case bytes.Contains(r.body, []byte(providerSecret)):
		return "the answer shows the provider's credential"
	}
	return ""
}

// target is how the admin API says that a target is.
type target struct {
	Target           string
	Healthy          bool
	Breaker          string
	CooldownUntil    *string `json:"cooldown_until"`
	QuarantinedUntil *string `json:"quarantined_until"`
	Requests         int
	Failures         int
}

// targets reads how all targets are, by id.
func (w *world) targets(t testing.TB) map[string]target {
	t.Helper()
	var list struct{ Data []target }
	w.gw.MustAdmin(t, http.MethodGet, "/admin/v1/targets", nil, &list)
	out := map[string]target{}
	for _, x := range list.Data {
		out[x.Target] = x
	}
	return out
}

// eventually waits until done says nothing, and fails the test with what it
// says if that takes more than twenty seconds.
func eventually(t testing.TB, done func() string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		state := done()
		if state == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Error(state)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// goroutines is how many the gateway has, and what they do.
func (w *world) goroutines(t testing.TB) (int, string) {
	t.Helper()
	status, b, err := w.gw.Admin(t.Context(), http.MethodGet, "/debug/pprof/goroutine?debug=1", nil, nil)
	m := regexp.MustCompile(`total (\d+)`).FindSubmatch(b)
	if err != nil || status != http.StatusOK || m == nil {
		t.Fatalf("goroutines: %d %v %.200s", status, err, b)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n, string(b)
}

// paid waits until nothing is held, and checks that the account has paid
// exactly want nano-dollars.
func (w *world) paid(t testing.TB, want *big.Int) {
	t.Helper()
	eventually(t, func() string {
		a := w.gw.AccountNow(t, w.account)
		paid := new(big.Int).Sub(nano(funds), nano(a.BalanceUSD))
		if held := nano(a.HeldUSD); held.Sign() != 0 || paid.Cmp(want) != 0 {
			return fmt.Sprintf("the account paid %v nano-dollars and has %v held, want %v and 0", paid, held, want)
		}
		return ""
	})
	w.gw.Verify(t)
}
