package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/money"
	"go.yaml.in/yaml/v4"

	"github.com/pontage/pontage/test/harness"
)

var update = flag.Bool("update", false, "write the golden files again")

// Hosts of the sites in twoSites. The first has every host that no other has.
const (
	openaiHost = "api.localhost"
	ninjaHost  = "ninja.localhost"
)

// twoSites is the configuration of the design's example: one price by tokens,
// and one by request that is overlaid at another site.
const twoSites = `
providers: {sim: {kind: sim}}
models:
  gpt-5-mini: {targets: [{provider: sim}], context: 400000, max_output: 128000, price: {input: 0.25, output: 2.00, cached_input: 0.025}}
  text-embedding-3-small: {targets: [{provider: sim}], kind: embedding, context: 8191, price: {input: 0.02}}
  claude-sonnet-4-5: {targets: [{provider: sim}], context: 200000, max_output: 64000, price: {input: 3.00, output: 15.00}}
sites:
  - {hosts: ["*"], contract: openai}
  - {hosts: ["ninja.localhost"], contract: ninjachat, models: {gpt-5-mini: {price: {request: 0.003}}}, limits: {requests: 60, per: 60s}, balance_warning_below: 5.00}
`

// fiveServices is the configuration of examples/five-services.yaml.
func fiveServices(t testing.TB) string {
	t.Helper()
	config, err := yaml.Dump(harness.Example(t, "five-services.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(config)
}

// call is one request to a gateway.
type call struct {
	method string // empty: POST
	host   string // empty: the address
	path   string
	key    string
	body   string
	header map[string]string
}

// reply is what came of it.
type reply struct {
	status          int
	header, trailer http.Header
	body            []byte
	broke           error // what ended the body, if not its end
}

// direct never reuses what the environment says of proxies.
var direct = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}}

// ask sends a call and reads the answer to its end.
func ask(t testing.TB, g *harness.Gateway, c call) *reply {
	t.Helper()
	r, err := try(t.Context(), g, c)
	if err != nil {
		t.Fatalf("%s: %v", c.path, err)
	}
	return r
}

// try is ask for those who expect that it may not come to an answer.
func try(ctx context.Context, g *harness.Gateway, c call) (*reply, error) {
	return tryWith(ctx, direct, g, c)
}

// tryWith is try with a client of its own.
func tryWith(ctx context.Context, client *http.Client, g *harness.Gateway, c call) (*reply, error) {
	resp, err := openWith(ctx, client, g, c)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	r := &reply{status: resp.StatusCode, header: resp.Header}
	r.body, r.broke = io.ReadAll(resp.Body)
	r.trailer = resp.Trailer
	return r, nil
}

// open sends a call and leaves the answer to be read.
func open(ctx context.Context, g *harness.Gateway, c call) (*http.Response, error) {
	return openWith(ctx, direct, g, c)
}

func openWith(ctx context.Context, client *http.Client, g *harness.Gateway, c call) (*http.Response, error) {
	method := c.method
	if method == "" {
		method = http.MethodPost
	}
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(ctx, method, g.URL+c.path, body)
	if err != nil {
		return nil, err
	}
	req.Host = c.host
	if c.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	return client.Do(req)
}

// is checks the status, and returns r for more.
func (r *reply) is(t testing.TB, status int) *reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	return r
}

// at returns the member at a path with dots of the JSON body: text without its
// quotes, other values as JSON. Absent members are "<absent>".
func (r *reply) at(t testing.TB, path string) string {
	t.Helper()
	return member(t, r.body, path)
}

func member(t testing.TB, body []byte, path string) string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, body)
	}
	found := dig(v, path)
	if s, ok := found.(string); ok {
		return s
	}
	if found == absent {
		return "<absent>"
	}
	b, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// absent is what dig returns where there is nothing.
var absent = new(int)

// dig follows a path with dots; numbers are places in lists. An empty path is v.
func dig(v any, path string) any {
	if path == "" {
		return v
	}
	for _, name := range strings.Split(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			next, ok := in[name]
			if !ok {
				return absent
			}
			v = next
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(in) {
				return absent
			}
			v = in[i]
		default:
			return absent
		}
	}
	return v
}

// tail is the end of a body, to be shown.
func tail(body []byte) string { return string(body[max(0, len(body)-600):]) }

// chat is the body of a chat request, for each of the three surfaces; more
// holds members in JSON: `"stream":true,"max_tokens":5`.
func chat(model, more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"Why is the sky blue?"}]%s}`, model, more)
}

// respond is the body of a request for a response.
func respond(model, more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"model":%q,"input":"Why is the sky blue?"%s}`, model, more)
}

// customer is an account with one key.
type customer struct {
	g       *harness.Gateway
	account string
	id, key string // of the key
}

// newCustomer makes an account with usd dollars on the balance that its key
// spends, and a key with more members.
func newCustomer(t testing.TB, g *harness.Gateway, usd string, more map[string]any) customer {
	t.Helper()
	test, _ := more["test"].(bool)
	a := g.NewAccount(t, t.Name(), "0")
	c := customer{g: g, account: a.ID}
	if test {
		g.MustAdmin(t, "POST", "/admin/v1/accounts/"+a.ID+"/credits", map[string]any{"amount_usd": usd, "kind": "topup", "test": true}, nil)
	} else if usd != "0" {
		c.credit(t, usd)
	}
	k := g.NewKey(t, a.ID, more)
	c.id, c.key = k.ID, k.Key
	return c
}

// credit moves the live balance.
func (c customer) credit(t testing.TB, usd string) {
	t.Helper()
	c.g.MustAdmin(t, "POST", "/admin/v1/accounts/"+c.account+"/credits", map[string]any{"amount_usd": usd, "kind": "adjust"}, nil)
}

// limits makes the members of a key with these limits.
func limits(l map[string]any) map[string]any { return map[string]any{"limits": l} }

// and returns a with the members of b.
func and(a, b map[string]any) map[string]any {
	a = maps.Clone(a)
	maps.Copy(a, b)
	return a
}

// advance moves the gateway's clock forward and returns the time it is now.
func advance(t testing.TB, g *harness.Gateway, d time.Duration) time.Time {
	t.Helper()
	var now struct{ Now time.Time }
	g.MustAdmin(t, "POST", "/admin/v1/test/clock", map[string]any{"advance": d.String()}, &now)
	return now.Now
}

// now asks the gateway for its time.
func now(t testing.TB, g *harness.Gateway) time.Time { t.Helper(); return advance(t, g, 0) }

// arm makes a point fail.
func arm(t testing.TB, g *harness.Gateway, point string, times int) {
	t.Helper()
	g.MustAdmin(t, "POST", "/admin/v1/test/fault", map[string]any{"point": point, "times": times}, nil)
}

// script tells the simulator what to do with a model's next requests.
func script(t testing.TB, g *harness.Gateway, model, steps string) {
	t.Helper()
	g.MustAdmin(t, "PUT", "/admin/v1/test/sim", map[string]any{"model": model, "steps": json.RawMessage(steps)}, nil)
}

// usd parses a decimal amount.
func usd(t testing.TB, text string) money.Amount {
	t.Helper()
	a, err := money.ParseUSD(text)
	if err != nil {
		t.Fatalf("%q is no amount: %v", text, err)
	}
	return a
}

// eventually checks that cond comes true while patience lasts.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// settled checks that, when what is under way has ended, nothing is held, and
// that the books add up.
func settled(t testing.TB, g *harness.Gateway) {
	t.Helper()
	if g.Settled(t) == 0 {
		t.Error("there are no accounts")
	}
}

// waits reads Retry-After, and checks it against retry-after-ms.
func (r *reply) waits(t testing.TB) time.Duration {
	t.Helper()
	s, err := strconv.ParseInt(r.header.Get("Retry-After"), 10, 64)
	if err != nil || s < 1 {
		t.Fatalf("Retry-After is %q", r.header.Get("Retry-After"))
	}
	ms, err := strconv.ParseInt(r.header.Get("retry-after-ms"), 10, 64)
	if err != nil || ms > 1000*s || ms <= 1000*(s-1) {
		t.Fatalf("Retry-After %d and retry-after-ms %q are not the same time", s, r.header.Get("retry-after-ms"))
	}
	return time.Duration(ms) * time.Millisecond
}

// golden compares text with a file of testdata, or writes it.
func golden(t testing.TB, file string, got []byte) {
	t.Helper()
	file = "testdata/" + file
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(want, got) {
		return
	}
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range max(len(w), len(g)) {
		var a, b string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			t.Fatalf("%s:%d differs (-update writes it again):\n-%s\n+%s", file, i+1, a, b)
		}
	}
}

// from returns a client whose requests come from another address of this
// machine.
func from(ip string) *http.Client {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return &http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
}
