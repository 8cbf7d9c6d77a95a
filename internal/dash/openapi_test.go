package dash

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/money"
)

const document = "../../docs/admin.openapi.yaml"

// described is the document, and which of its answers were seen.
type described struct {
	*world
	doc  *openapi3.T
	ops  map[string]*routers.Route // by "METHOD /path/{pattern}"
	seen map[string]bool           // "METHOD /path/{pattern} status"
}

func describe(t *testing.T) *described {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()); err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	d := &described{doc: doc, ops: map[string]*routers.Route{}, seen: map[string]bool{}}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			d.ops[method+" "+path] = &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: op}
		}
	}
	return d
}

// TestEveryRouteIsDescribedAndNothingElse compares the routes of a process with
// everything switched on with the document.
func TestEveryRouteIsDescribedAndNothingElse(t *testing.T) {
	t.Parallel()
	d := describe(t)
	w := setup(t)
	s := &server{Deps: w.deps}
	var have []string
	for _, r := range s.routes() {
		have = append(have, r.method+" "+r.path)
		op := d.ops[r.method+" "+r.path]
		if op == nil {
			t.Errorf("%s %s is not described", r.method, r.path)
			continue
		}
		if open := op.Operation.Security != nil && len(*op.Operation.Security) == 0; open != r.open {
			t.Errorf("%s %s: open is %v, described as %v", r.method, r.path, r.open, open)
		}
		for _, status := range []string{"401", "429", "500"} {
			if described := op.Operation.Responses.Value(status) != nil; described == r.open {
				t.Errorf("%s %s: answer %s is described: %v", r.method, r.path, status, described)
			}
		}
		if body, large := op.Operation.RequestBody != nil, op.Operation.Responses.Value("413") != nil; body != large {
			t.Errorf("%s %s: has a body: %v, answer 413 is described: %v", r.method, r.path, body, large)
		}
	}
	for op := range d.ops {
		if !slices.Contains(have, op) {
			t.Errorf("%s is described and does not exist", op)
		}
	}
}

// call sends a request to an operation and holds request and answer against the
// document. A request that succeeds must be valid.
func (d *described) call(w *world, op, path, body string, status int, headers ...string) *reply {
	d.Helper()
	method, _, _ := strings.Cut(op, " ")
	route := d.ops[op]
	if route == nil {
		d.Fatalf("%s is not described", op)
	}
	r := w.do(method, path, body, headers...)
	if r.status != status {
		d.Errorf("%s %.300s = %d %s, want %d", op, body, r.status, r.body, status)
		return r
	}
	d.seen[fmt.Sprint(op, " ", status)] = true

	u, err := url.Parse(path)
	if err != nil {
		d.Fatal(err)
	}
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.Header = r.request.Header
	in := &openapi3filter.RequestValidationInput{
		Request: request, PathParams: pathParams(route.Path, u.Path), QueryParams: u.Query(), Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if status < 400 {
		if err := openapi3filter.ValidateRequest(d.Context(), in); err != nil {
			d.Errorf("%s %s %.300s succeeds, but is not valid: %v", op, path, body, err)
		}
	}
	err = openapi3filter.ValidateResponse(d.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: r.status, Header: r.header, Body: io.NopCloser(bytes.NewReader(r.body)), Options: in.Options,
	})
	if err != nil {
		d.Errorf("%s = %d %s: %v", op, r.status, r.body, err)
	}
	return r
}

func pathParams(pattern, path string) map[string]string {
	out := map[string]string{}
	parts := strings.Split(path, "/")
	for i, p := range strings.Split(pattern, "/") {
		if name, ok := strings.CutPrefix(p, "{"); ok && i < len(parts) {
			out[strings.TrimSuffix(name, "}")] = parts[i]
		}
	}
	return out
}

// TestEveryAnswerIsAsDescribed drives every operation to every answer that the
// document gives it, but for internal errors, of which one is enough.
func TestEveryAnswerIsAsDescribed(t *testing.T) {
	t.Parallel()
	d := describe(t)
	w := setup(t)
	d.world = w
	acc, key, _ := w.newAccount("100")
	request := w.spend(acc, key, "m", 5*money.Dollar, 3*money.Dollar)
	const a, r = "/admin/v1/accounts", "/admin/v1/requests"
	anAccount, aRequest := a+"/"+acc, r+"/"+request
	paths := map[string]string{"{account}": acc, "{key}": key, "{request}": request, "{webhook}": w.do("GET", "/admin/v1/webhooks", "").at("data.0.id")}
	d.driveWell(acc, key, request)

	// What goes wrong in the same way everywhere.
	tooLong := `{"name":"` + strings.Repeat("a", MaxBody) + `"}`
	throttled := []string{"remote", "192.0.2.99:1"}
	for range wrongBurst {
		w.do("GET", a, "", "Authorization", "Bearer wrong", "remote", throttled[1])
	}
	for _, op := range slices.Sorted(maps.Keys(d.ops)) {
		path := d.ops[op].Path
		for name, value := range paths {
			path = strings.ReplaceAll(path, name, value)
		}
		responses := d.ops[op].Operation.Responses
		if responses.Value("401") != nil {
			d.call(w, op, path, "{}", 401, "Authorization", "Bearer wrong", "remote", "192.0.2."+fmt.Sprint(len(d.seen)%90)+":1")
		}
		if responses.Value("429") != nil {
			d.call(w, op, path, "{}", 429, throttled...)
		}
		if responses.Value("413") != nil {
			d.call(w, op, path, tooLong, 413)
		}
		if responses.Value("400") != nil {
			d.call(w, op, path+"?nothing=1", `{"nothing":1}`, 400)
		}
		if responses.Value("404") != nil {
			gone := d.ops[op].Path
			for name, value := range map[string]string{"{account}": "acc_0000000000001", "{key}": "key_0000000000001", "{request}": "req_0000000000000000000000000a", "{webhook}": "evt_0000000000000000000000000a"} {
				gone = strings.ReplaceAll(gone, name, value)
			}
			where := w
			if strings.Contains(op, "/test/") {
				where = setup(t, func(d *Deps) { d.Test = nil })
			}
			d.call(where, op, gone, `{"note":"x"}`, 404)
		}
	}

	// What goes wrong in its own way.
	d.call(w, "POST /admin/v1/accounts/{account}/credits", anAccount+"/credits", `{"amount_usd":"1","kind":"topup","reference":"r","test":false}`, 409)
	d.call(w, "POST /admin/v1/requests/{request}/refund", aRequest+"/refund", `{"note":"again"}`, 409)
	d.call(w, "PATCH /admin/v1/keys/{key}", "/admin/v1/keys/"+key, `{}`, 409) // it was revoked
	full := setup(t, func(d *Deps) {
		var err error
		if d.Accounts, err = account.Open(t.Context(), crowded{}, []byte("a pepper for tests only"), d.Now); err != nil {
			t.Fatal(err)
		}
	})
	d.call(full, "POST /admin/v1/accounts/{account}/keys", a+"/acc_0000000000001/keys", `{"name":"k"}`, 409)
	w.backup = w.failing(ErrBusy)
	d.call(w, "GET /admin/v1/backup", "/admin/v1/backup", "", 409)
	w.backup = w.failing(ErrNoSpace)
	d.call(w, "GET /admin/v1/backup", "/admin/v1/backup", "", 507)
	w.ready = []string{"ledger: the disk is full"}
	d.call(w, "GET /readyz", "/readyz", "", 503)
	broken := setup(t, func(d *Deps) { d.EffectiveConfig = func() any { panic("broken") } })
	d.call(broken, "GET /admin/v1/effective-config", "/admin/v1/effective-config", "", 500)
	if err := w.deps.Ledger.Close(); err != nil {
		t.Fatal(err)
	}
	d.call(w, "POST /admin/v1/accounts/{account}/credits", anAccount+"/credits", `{"amount_usd":"1","kind":"topup"}`, 503)
	d.call(w, "POST /admin/v1/requests/{request}/refund", aRequest+"/refund", `{"note":"x"}`, 503)

	for _, op := range slices.Sorted(maps.Keys(d.ops)) {
		for status := range d.ops[op].Operation.Responses.Map() {
			if status != "500" && !d.seen[op+" "+status] {
				t.Errorf("%s: answer %s is described, and this test does not bring it about", op, status)
			}
		}
	}
}

// driveWell drives every operation to success, with requests that use every
// member there is.
func (d *described) driveWell(acc, key, request string) {
	d.Helper()
	w := d.world
	const a = "/admin/v1/accounts"
	anAccount, aKey, aRequest := a+"/"+acc, "/admin/v1/keys/"+key, "/admin/v1/requests/"+request
	d.call(w, "GET /healthz", "/healthz", "", 200)
	d.call(w, "GET /readyz", "/readyz", "", 200)
	d.call(w, "GET /metrics", "/metrics", "", 200)
	d.call(w, "POST /admin/v1/accounts", a, `{"name":"eve"}`, 201)
	d.call(w, "POST /admin/v1/accounts", a, `{"name":"eve","plan":null}`, 201)
	d.call(w, "POST /admin/v1/accounts", a, `{"name":"eve","plan":"pro","warn_below_usd":"5.00"}`, 201)
	d.call(w, "GET /admin/v1/accounts", a, "", 200)
	next := d.call(w, "GET /admin/v1/accounts", a+"?limit=1", "", 200).at("next")
	d.call(w, "GET /admin/v1/accounts", a+"?limit=200&cursor="+next, "", 200)
	d.call(w, "GET /admin/v1/accounts/{account}", anAccount, "", 200)
	d.call(w, "PATCH /admin/v1/accounts/{account}", anAccount, `{"name":"n","plan":null,"status":"suspended"}`, 200)
	d.call(w, "PATCH /admin/v1/accounts/{account}", anAccount, `{"plan":"free","status":"active","warn_below_usd":"0"}`, 200)
	d.call(w, "PATCH /admin/v1/accounts/{account}", anAccount, `{"warn_below_usd":null}`, 200)
	event := d.call(w, "GET /admin/v1/webhooks", "/admin/v1/webhooks?state=pending&limit=1", "", 200).at("data.0.id")
	d.call(w, "GET /admin/v1/webhooks", "/admin/v1/webhooks?cursor="+event, "", 200)
	d.call(w, "POST /admin/v1/webhooks/{webhook}/retry", "/admin/v1/webhooks/"+event+"/retry", "", 200)

	credits := anAccount + "/credits"
	d.call(w, "POST /admin/v1/accounts/{account}/credits", credits, `{"amount_usd":"1","kind":"topup","reference":"r","note":"n","test":true}`, 201)
	d.call(w, "POST /admin/v1/accounts/{account}/credits", credits, `{"amount_usd":"1","kind":"grant","expires_at":"2026-12-01T00:00:00+01:00"}`, 201)
	d.call(w, "POST /admin/v1/accounts/{account}/credits", credits, `{"amount_usd":"-0.000000001","kind":"adjust","expires_at":null,"reference":null,"note":null,"test":null}`, 201)

	keys := anAccount + "/keys"
	d.call(w, "POST /admin/v1/accounts/{account}/keys", keys, `{"name":"k","kind":null,"site":null,"test":null,"limits":null,"models":null,"expires_at":null,"on_disconnect":null}`, 201)
	full := d.call(w, "POST /admin/v1/accounts/{account}/keys", keys, `{"name":"k","kind":"billing","site":"ninja.localhost","test":true,"models":["a*"],"expires_at":"2026-12-01T00:00:00Z",
		"limits":{"rps":1.5,"burst":3,"requests":60,"per":"60s","tokens_per_minute":5000,"requests_per_day":70,"usd_per_day":"1.5","concurrency":2},"on_disconnect":"drain"}`, 201)
	d.call(w, "GET /admin/v1/accounts/{account}/keys", keys, "", 200)
	d.call(w, "GET /admin/v1/accounts/{account}/keys", keys+"?limit=1&cursor="+key, "", 200)
	d.call(w, "PATCH /admin/v1/keys/{key}", "/admin/v1/keys/"+full.at("id"), `{"active":false,"limits":{"rps":null,"burst":null,"tokens_per_minute":null,"usd_per_day":null},"models":["b"],"name":"m"}`, 200)
	d.call(w, "PATCH /admin/v1/keys/{key}", "/admin/v1/keys/"+full.at("id"), `{"active":true,"limits":{"rps":2,"burst":4}}`, 200)
	d.call(w, "GET /admin/v1/accounts/{account}/limits", anAccount+"/limits", "", 200)
	d.call(w, "GET /admin/v1/accounts/{account}/limits", anAccount+"/limits?limit=1&cursor="+key, "", 200)
	d.call(w, "PATCH /admin/v1/keys/{key}", aKey, `{"limits":null,"models":null}`, 200)

	d.call(w, "GET /admin/v1/requests", "/admin/v1/requests?limit=5&model=m&outcome=ok&from=2026-11-20&to=2026-11-20T13:00:00Z&account="+acc+"&key="+key, "", 200)
	d.call(w, "GET /admin/v1/requests/{request}", aRequest, "", 200)
	d.call(w, "GET /admin/v1/usage", "/admin/v1/usage", "", 200)
	d.call(w, "GET /admin/v1/usage", "/admin/v1/usage?group_by=day,account,key,model&test=false&model=m&from=2026-11-20&to=2026-11-20&account="+acc+"&key="+key, "", 200)
	d.call(w, "POST /admin/v1/requests/{request}/refund", aRequest+"/refund", `{"amount_usd":"1","note":"n","reference":"t"}`, 201, "X-Pontage-Actor", "alice@example")
	d.call(w, "POST /admin/v1/requests/{request}/refund", aRequest+"/refund", `{"amount_usd":null,"note":"n","reference":null}`, 201)
	d.call(w, "DELETE /admin/v1/keys/{key}", aKey, "", 200)

	d.call(w, "GET /admin/v1/ledger/verify", "/admin/v1/ledger/verify", "", 200)
	d.call(w, "GET /admin/v1/backup", "/admin/v1/backup", "", 200)
	d.call(w, "GET /admin/v1/ledger/digests", "/admin/v1/ledger/digests", "", 200)
	w.advance(24 * time.Hour)
	d.call(w, "GET /admin/v1/ledger/digests", "/admin/v1/ledger/digests?limit=1&cursor=2026-11-01&from=2026-11-20&to=2026-11-20T12:00:00Z", "", 200)
	d.call(w, "GET /admin/v1/effective-config", "/admin/v1/effective-config", "", 200)
	d.call(w, "GET /admin/v1/targets", "/admin/v1/targets", "", 200)
	d.call(w, "POST /admin/v1/test/clock", "/admin/v1/test/clock", `{"advance":"1s","stop":false}`, 200)
	d.call(w, "GET /admin/v1/test/fault", "/admin/v1/test/fault", "", 200)
	d.call(w, "POST /admin/v1/test/fault", "/admin/v1/test/fault", `{"point":"handler_panic"}`, 200)
	d.call(w, "POST /admin/v1/test/fault", "/admin/v1/test/fault", `{"point":"handler_panic","times":0}`, 200)
	d.call(w, "PUT /admin/v1/test/sim", "/admin/v1/test/sim", `{"model":"m","steps":[{"status":200}]}`, 200)
}

// crowded is a store of one account that has as many keys as it may.
type crowded struct{ account.Store }

func (crowded) Fingerprint(_ context.Context, fp account.Hash) (account.Hash, error) { return fp, nil }

func (crowded) Load(_ context.Context, yield func(account.Account) error, key func(account.Key, account.Hash) error) error {
	if err := yield(account.Account{ID: 1, Name: "a", Status: account.StatusActive}); err != nil {
		return err
	}
	for i := range account.MaxKeys {
		if err := key(account.Key{ID: account.KeyID(i + 1), Account: 1, Active: true}, account.Hash{byte(i), byte(i >> 8)}); err != nil {
			return err
		}
	}
	return nil
}

// The document must be able to say no.
func TestDocumentRefusesOtherShapes(t *testing.T) {
	t.Parallel()
	d := describe(t)
	for name, bad := range map[string]map[string]any{
		"Account": {"id": "acc_x"},
		"Error":   {"error": map[string]any{"code": "made_up", "message": "m", "param": nil}},
		"Limits":  {"rsp": 1},
		"Counter": {"counter": "balance_usd", "key": nil, "class": nil, "test": false, "limit": 1.5, "used": 0, "held": 0, "per": nil, "resets_at": nil},
	} {
		if err := d.doc.Components.Schemas[name].Value.VisitJSON(bad, openapi3.EnableJSONSchema2020()); err == nil {
			t.Errorf("%s allows %v", name, bad)
		}
	}
}
