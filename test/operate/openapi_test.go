package operate

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/pontage/pontage/test/harness"
)

// unseen are the described answers that no test can bring about from outside,
// and why. The tests of internal/dash do.
var unseen = map[string]string{
	"POST /admin/v1/accounts/{account}/keys 409": "needs ten thousand keys",
	"GET /admin/v1/backup 409":                   "needs two at the same time; test/parts has them",
	"GET /admin/v1/backup 507":                   "needs a full disk; test/parts has one",
}

// document is docs/admin.openapi.yaml, and which of its answers were seen.
type document struct {
	doc *openapi3.T
	ops map[string]*routers.Route // by "METHOD /path/{pattern}"

	mu   sync.Mutex
	seen map[string]bool // "METHOD /path/{pattern} status"
}

func describe(t *testing.T) *document {
	t.Helper()
	file := filepath.Join(harness.Root(t), "docs", "admin.openapi.yaml")
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	d := &document{doc: doc, ops: map[string]*routers.Route{}, seen: map[string]bool{}}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			d.ops[method+" "+path] = &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: op}
		}
	}
	return d
}

// driver sends requests to the admin API of one process and holds the answers
// against the document.
type driver struct {
	*testing.T
	*document
	g      *harness.Gateway
	client *http.Client
	token  string
	values map[string]string // of the path's patterns
}

// call sends a request to an operation, and checks its status and that request
// and answer are as described. query is appended to the path.
func (d *driver) call(op, query, body string, status int) *reply {
	d.Helper()
	route := d.ops[op]
	if route == nil {
		d.Fatalf("%s is not described", op)
	}
	path := route.Path
	for name, value := range d.values {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	req, err := http.NewRequestWithContext(d.Context(), route.Method, d.g.AdminURL+path+query, strings.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	if d.token != "" {
		req.Header.Set("Authorization", "Bearer "+d.token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := d.client.Do(req)
	if err != nil {
		d.Fatalf("%s: %v", op, err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := &reply{status: resp.StatusCode, header: resp.Header}
	if r.body, err = io.ReadAll(resp.Body); err != nil {
		d.Fatalf("%s: %v", op, err)
	}
	if r.status != status {
		d.Errorf("%s %.200s%.300s = %d %s, want %d", op, query, body, r.status, r.body, status)
		return r
	}
	d.mu.Lock()
	d.seen[fmt.Sprint(op, " ", status)] = true
	d.mu.Unlock()
	d.validate(route, path+query, body, req.Header, r)
	return r
}

// validate holds one exchange against the document. A request that succeeds must
// be valid.
func (d *driver) validate(route *routers.Route, target, body string, header http.Header, r *reply) {
	d.Helper()
	u, err := url.Parse(target)
	if err != nil {
		d.Fatal(err)
	}
	request, err := http.NewRequestWithContext(d.Context(), route.Method, target, strings.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	request.Header = header
	in := &openapi3filter.RequestValidationInput{
		Request: request, PathParams: params(route.Path, u.Path), QueryParams: u.Query(), Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if r.status < 400 {
		if err := openapi3filter.ValidateRequest(d.Context(), in); err != nil {
			d.Errorf("%s %s %.300s succeeds, but is not valid: %v", route.Method, target, body, err)
		}
	}
	err = openapi3filter.ValidateResponse(d.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: r.status, Header: r.header, Body: io.NopCloser(bytes.NewReader(r.body)), Options: in.Options,
	})
	if err != nil {
		d.Errorf("%s %s = %d %s: %v", route.Method, target, r.status, r.body, err)
	}
}

func params(pattern, path string) map[string]string {
	out := map[string]string{}
	parts := strings.Split(path, "/")
	for i, p := range strings.Split(pattern, "/") {
		if name, ok := strings.CutPrefix(p, "{"); ok && i < len(parts) {
			out[strings.TrimSuffix(name, "}")] = parts[i]
		}
	}
	return out
}

// TestTheAdminAPIIsAsDescribed drives every operation of docs/admin.openapi.yaml
// on a running process to every answer that is described.
func TestTheAdminAPIIsAsDescribed(t *testing.T) {
	t.Parallel()
	doc := describe(t)
	g := harness.Start(t, harness.Options{Config: twoSites + "webhooks: {url: \"http://127.0.0.1:1/\", secret: 0123456789abcdef}\n"})
	c := newCustomer(t, g, "100", nil)
	g.MustAdmin(t, "PATCH", "/admin/v1/accounts/"+c.account, map[string]any{"warn_below_usd": "1000"}, nil)
	answered := ask(t, g, call{path: "/v1/chat/completions", key: c.key, body: chat("gpt-5-mini", `"max_tokens":1000`)}).is(t, 200)
	request := answered.header.Get("X-Request-ID")
	g.Receipt(t, request, func(r harness.Receipt) bool { return r.Delivery == "complete" })
	var events struct{ Data []struct{ ID string } }
	g.MustAdmin(t, "GET", "/admin/v1/webhooks", nil, &events)
	d := &driver{T: t, document: doc, g: g, client: direct, token: harness.AdminToken, values: map[string]string{"account": c.account, "key": c.id, "request": request, "webhook": events.Data[0].ID}}
	d.well()
	d.wrong()
	plain := harness.Start(t, harness.Options{Config: twoSites, Args: []string{"serve", "--config", "pontage.yaml"}})
	d.withoutTest(plain)
	d.degraded()
	d.goingDown()

	for _, op := range slices.Sorted(maps.Keys(d.ops)) {
		for status := range d.ops[op].Operation.Responses.Map() {
			answer := op + " " + status
			why, known := unseen[answer]
			switch {
			case status == "500": // a defect of ours
			case known && d.seen[answer]:
				t.Errorf("%s was seen although it %s", answer, why)
			case !known && !d.seen[answer]:
				t.Errorf("%s is described, and this test does not bring it about", answer)
			}
		}
	}
}

// well drives every operation to success, with requests that use every member.
func (d *driver) well() {
	d.Helper()
	for _, op := range []string{"GET /healthz", "GET /readyz", "GET /metrics"} {
		token := d.token
		d.token = ""
		d.call(op, "", "", 200)
		d.token = token
	}
	const accounts, account = "/admin/v1/accounts", "/admin/v1/accounts/{account}"
	d.call("POST "+accounts, "", `{"name":"eve"}`, 201)
	d.call("POST "+accounts, "", `{"name":"eve","plan":null}`, 201)
	d.call("GET "+accounts, "", "", 200)
	next := d.call("GET "+accounts, "?limit=1", "", 200).at(d, "next")
	if second := d.call("GET "+accounts, "?limit=200&cursor="+next, "", 200); second.at(d, "data.1.id") == "<absent>" || second.at(d, "next") != "null" {
		d.Errorf("the second page is %s", second.body)
	}
	d.call("GET "+account, "", "", 200)
	d.call("PATCH "+account, "", `{"name":"n","plan":null,"status":"suspended"}`, 200)
	d.call("PATCH "+account, "", `{"status":"active","warn_below_usd":"5.00"}`, 200)
	d.call("PATCH "+account, "", `{"warn_below_usd":null}`, 200)
	d.call("POST "+accounts, "", `{"name":"eve","warn_below_usd":"0"}`, 201)
	d.call("GET /admin/v1/webhooks", "", "", 200)
	d.call("GET /admin/v1/webhooks", "?state=pending&limit=1&cursor="+d.values["webhook"], "", 200)
	d.call("POST /admin/v1/webhooks/{webhook}/retry", "", "", 200)

	d.call("POST "+account+"/credits", "", `{"amount_usd":"1","kind":"topup","reference":"r","note":"n","test":true}`, 201)
	d.call("POST "+account+"/credits", "", `{"amount_usd":"1","kind":"grant","expires_at":"2190-12-01T00:00:00+01:00"}`, 201)
	d.call("POST "+account+"/credits", "", `{"amount_usd":"-0.000000001","kind":"adjust","expires_at":null,"reference":null,"note":null,"test":null}`, 201)

	d.call("POST "+account+"/keys", "", `{"name":"k","kind":null,"site":null,"test":null,"limits":null,"models":null,"expires_at":null,"on_disconnect":null}`, 201)
	full := d.call("POST "+account+"/keys", "", `{"name":"k","kind":"billing","site":"ninja.localhost","test":true,"models":["a*"],"expires_at":"2190-12-01T00:00:00Z",
		"limits":{"rps":1.5,"burst":3,"requests":60,"per":"60s","tokens_per_minute":5000,"requests_per_day":70,"usd_per_day":"1.5","concurrency":2},"on_disconnect":"drain"}`, 201).at(d, "id")
	d.call("GET "+account+"/keys", "", "", 200)
	d.call("GET "+account+"/keys", "?limit=1&cursor="+d.values["key"], "", 200)
	d.call("GET "+account+"/limits", "", "", 200)
	d.call("GET "+account+"/limits", "?limit=1&cursor="+d.values["key"], "", 200)
	other := *d
	other.values = maps.Clone(d.values)
	other.values["key"] = full
	other.call("PATCH /admin/v1/keys/{key}", "", `{"active":false,"limits":{"rps":null,"burst":null,"tokens_per_minute":null,"usd_per_day":null},"models":["b"],"name":"m"}`, 200)
	other.call("PATCH /admin/v1/keys/{key}", "", `{"active":true,"limits":{"rps":2,"burst":4}}`, 200)
	other.call("PATCH /admin/v1/keys/{key}", "", `{"limits":null,"models":null}`, 200)

	d.call("GET /admin/v1/requests", "", "", 200)
	day := time.Now().UTC()
	span := "from=" + day.Add(-time.Hour).Format(time.DateOnly) + "&to=" + url.QueryEscape(day.Add(time.Hour).Format(time.RFC3339))
	found := d.call("GET /admin/v1/requests", "?limit=5&model=gpt-5-mini&outcome=ok&account="+d.values["account"]+"&key="+d.values["key"]+"&"+span, "", 200)
	if found.at(d, "data.0.id") != d.values["request"] {
		d.Errorf("the request is not among %s", found.body)
	}
	d.call("GET /admin/v1/requests/{request}", "", "", 200)
	d.call("GET /admin/v1/usage", "", "", 200)
	d.call("GET /admin/v1/usage", "?group_by=day,account,key,model&test=false&model=gpt-5-mini&account="+d.values["account"]+"&key="+d.values["key"]+"&from="+day.Add(-24*time.Hour).Format(time.DateOnly), "", 200)
	d.call("POST /admin/v1/requests/{request}/refund", "", `{"amount_usd":"0.000000001","note":"n","reference":"t"}`, 201)
	d.call("POST /admin/v1/requests/{request}/refund", "", `{"amount_usd":null,"note":"n","reference":null}`, 201)
	d.call("GET /admin/v1/requests/{request}", "", "", 200)

	d.call("GET /admin/v1/ledger/verify", "", "", 200)
	if b := d.call("GET /admin/v1/backup", "", "", 200); !bytes.HasPrefix(b.body, []byte("SQLite format 3\x00")) || b.header.Get("Content-Length") != fmt.Sprint(len(b.body)) {
		d.Errorf("the backup has %d bytes: %v", len(b.body), b.header)
	}
	d.call("GET /admin/v1/ledger/digests", "?limit=2&cursor=2026-01-01&from=2026-01-01&to=2026-12-31", "", 200)
	d.call("GET /admin/v1/effective-config", "", "", 200)
	d.call("GET /admin/v1/targets", "", "", 200)
	d.call("POST /admin/v1/test/clock", "", `{"advance":"1s"}`, 200)
	d.call("GET /admin/v1/test/fault", "", "", 200)
	d.call("POST /admin/v1/test/fault", "", `{"point":"handler_panic"}`, 200)
	d.call("POST /admin/v1/test/fault", "", `{"point":"handler_panic","times":0}`, 200)
	d.call("PUT /admin/v1/test/sim", "", `{"model":"m","steps":[{"status":200}]}`, 200)
	d.call("PUT /admin/v1/test/sim", "", `{"model":"m","steps":[]}`, 200)
	d.call("DELETE /admin/v1/keys/{key}", "", "", 200)
	d.call("DELETE /admin/v1/keys/{key}", "", "", 200)
}

// wrong brings about what goes wrong in the same way everywhere, and what goes
// wrong in its own way.
func (d *driver) wrong() {
	d.Helper()
	tooLong := `{"name":"` + strings.Repeat("a", 1<<20) + `"}`
	gone, stranger, nobody, throttled := *d, *d, *d, *d
	gone.values = map[string]string{"account": "acc_0000000000001", "key": "key_0000000000001", "request": "req_0000000000000000000000000a", "webhook": "evt_0000000000000000000000000a"}
	stranger.token, stranger.client = "wrong", from("127.0.0.2")
	nobody.token = ""
	throttled.client = from("127.0.0.3")
	d.throttle(throttled.client)
	wrong := 0
	for _, op := range slices.Sorted(maps.Keys(d.ops)) {
		responses := d.ops[op].Operation.Responses
		if responses.Value("401") != nil {
			if wrong++; wrong%15 == 0 {
				stranger.client = from(fmt.Sprintf("127.0.1.%d", wrong))
			}
			stranger.call(op, "", "{}", 401)
			nobody.call(op, "", "{}", 401)
		}
		if responses.Value("429") != nil {
			r := throttled.call(op, "", "{}", 429) // with the right token
			if r.header.Get("Retry-After") == "" {
				d.Errorf("%s: 429 without Retry-After", op)
			}
		}
		if responses.Value("413") != nil {
			d.call(op, "", tooLong, 413)
		}
		if responses.Value("400") != nil {
			d.call(op, "?nothing=1", `{"nothing":1}`, 400)
		}
		if responses.Value("404") != nil && !strings.Contains(op, "/test/") {
			gone.call(op, "", `{"note":"x"}`, 404)
		}
	}
	d.call("POST /admin/v1/accounts/{account}/credits", "", `{"amount_usd":"1","kind":"topup","reference":"r","test":false}`, 409)
	d.call("POST /admin/v1/requests/{request}/refund", "", `{"note":"again"}`, 409)
	d.call("PATCH /admin/v1/keys/{key}", "", `{}`, 409) // it was revoked

	for _, r := range []struct{ method, path, code string }{
		{"GET", "/admin/v1/nothing", "not_found"},
		{"GET", "/admin/v2/accounts", "not_found"},
		{"GET", "/", "not_found"},
		{"DELETE", "/admin/v1/accounts", "method_not_allowed"},
		{"POST", "/admin/v1/usage", "method_not_allowed"},
	} {
		d.astray(r.method, r.path, r.code)
	}
}

// astray asks for what is not there, and checks the shape of the answer.
func (d *driver) astray(method, path, code string) {
	d.Helper()
	req, _ := http.NewRequestWithContext(d.Context(), method, d.g.AdminURL+path, nil)
	req.Header.Set("Authorization", "Bearer "+d.token)
	resp, err := d.client.Do(req)
	if err != nil {
		d.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	want := map[string]int{"not_found": 404, "method_not_allowed": 405}[code]
	if resp.StatusCode != want || member(d, body, "error.code") != code || member(d, body, "error.param") != "null" || member(d, body, "error.message") == "" {
		d.Errorf("%s %s = %d %s", method, path, resp.StatusCode, body)
	}
	if allow := resp.Header.Get("Allow"); (allow != "") != (want == 405) {
		d.Errorf("%s %s: Allow is %q", method, path, allow)
	}
}

// throttle sends twenty wrong tokens, which is what an address may.
func (d *driver) throttle(client *http.Client) {
	d.Helper()
	for i := range 21 {
		req, _ := http.NewRequestWithContext(d.Context(), "GET", d.g.AdminURL+"/admin/v1/accounts", nil)
		req.Header.Set("Authorization", fmt.Sprint("Bearer wrong-", i))
		resp, err := client.Do(req)
		if err != nil {
			d.Fatal(err)
		}
		_ = resp.Body.Close()
		if want := map[bool]int{true: 401, false: 429}[i < 20]; resp.StatusCode != want {
			d.Fatalf("wrong token %d: %d, want %d", i+1, resp.StatusCode, want)
		}
	}
}

// withoutTest checks that a process without --test has no test controls.
func (d *driver) withoutTest(g *harness.Gateway) {
	d.Helper()
	plain := *d
	plain.g = g
	tried := 0
	for _, op := range slices.Sorted(maps.Keys(d.ops)) {
		if strings.Contains(op, "/test/") {
			plain.call(op, "", `{"advance":"1s","point":"handler_panic","model":"m","steps":[]}`, 404)
			tried++
		}
	}
	if tried < 4 {
		d.Errorf("%d test controls are described", tried)
	}
	plain.call("GET /admin/v1/accounts", "", "", 200)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/profile?seconds=1"} {
		plain.astray("GET", path, "not_found")
	}
}

// degraded brings about what a process says that cannot record charges.
func (d *driver) degraded() {
	d.Helper()
	answers := newCustomer(d, d.g, "10", nil)
	paid := ask(d, d.g, call{path: "/v1/chat/completions", key: answers.key, body: chat("gpt-5-mini", `"max_tokens":100`)}).is(d, 200)
	refund := *d
	refund.values = maps.Clone(d.values)
	refund.values["request"] = paid.header.Get("X-Request-ID")
	arm(d, d.g, "disk_full", 1_000_000)
	// The first credit waits until there is room again; the next are refused.
	waited := make(chan error, 1)
	go func() {
		status, body, err := d.g.Admin(d.Context(), "POST", "/admin/v1/accounts/"+answers.account+"/credits", map[string]any{"amount_usd": "1", "kind": "topup"}, nil)
		if err == nil && status != 201 {
			err = fmt.Errorf("%d %s", status, body)
		}
		waited <- err
	}()
	ready := &reply{}
	eventually(d, "not ready while the disk is full", func() bool {
		resp, err := direct.Get(d.g.AdminURL + "/readyz")
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		ready.status, ready.header = resp.StatusCode, resp.Header
		ready.body, _ = io.ReadAll(resp.Body)
		return ready.status == 503
	})
	d.validate(d.ops["GET /readyz"], "/readyz", "", http.Header{}, ready)
	if got := ready.at(d, "degraded"); got != `["ledger"]` {
		d.Errorf("what is degraded is %s", got)
	}
	d.seen["GET /readyz 503"] = true
	d.call("POST /admin/v1/accounts/{account}/credits", "", `{"amount_usd":"1","kind":"topup"}`, 503)
	refund.call("POST /admin/v1/requests/{request}/refund", "", `{"note":"x"}`, 503)
	refused := ask(d, d.g, call{path: "/v1/chat/completions", key: answers.key, body: chat("gpt-5-mini", `"max_tokens":100`)})
	if refused.status != 503 || refused.at(d, "error.code") != "ledger_unavailable" {
		d.Errorf("while charges cannot be recorded: %d %s", refused.status, refused.body)
	}
	refused.waits(d)
	arm(d, d.g, "disk_full", 0)
	if err := <-waited; err != nil {
		d.Errorf("the credit that waited for room: %v", err)
	}
	eventually(d, "ready again", func() bool {
		resp, err := direct.Get(d.g.AdminURL + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil && resp.StatusCode == 200
	})
	settled(d, d.g)
}

// goingDown checks what a process says that goes down, as long as an answer is
// under way. Nothing can be asked of it afterwards.
func (d *driver) goingDown() {
	d.Helper()
	answers := newCustomer(d, d.g, "10", nil)
	script(d, d.g, "gpt-5-mini", `[{"fault":"hang_stream","after":1}]`)
	resp, err := open(d.Context(), d.g, call{path: "/v1/chat/completions", key: answers.key, body: chat("gpt-5-mini", `"stream":true`)})
	if err != nil || resp.StatusCode != 200 {
		d.Fatalf("%v %v", resp, err)
	}
	if err := d.g.Signal(syscall.SIGTERM); err != nil {
		d.Fatal(err)
	}
	eventually(d, "draining", func() bool {
		resp, err := direct.Get(d.g.AdminURL + "/readyz")
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode == 503 && member(d, body, "degraded") == `["draining"]`
	})
	_ = resp.Body.Close()
}
