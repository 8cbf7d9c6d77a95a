package dash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/outbox"
	"github.com/pontage/pontage/internal/store/sqlite"
)

type secret string

func (s secret) Reveal() string { return string(s) }

const token = "open-sesame-4711"

// world is an admin API on a real database.
type world struct {
	*testing.T
	handler http.Handler
	deps    Deps
	log     *bytes.Buffer
	logMu   *sync.Mutex
	ready   []string
	backup  func() (*Copy, error)
	sim     map[string]string
	store   func() outbox.Store

	mu  sync.Mutex
	now time.Time
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Script takes steps that are not an empty object.
func (w *world) Script(model string, steps []byte) error {
	if strings.Contains(string(steps), "nonsense") {
		return errors.New("steps.0: nonsense is not a step")
	}
	w.sim[model] = string(steps)
	return nil
}

// Targets is one healthy target, and one that everything is wrong with.
func (w *world) Targets() []TargetHealth {
	return []TargetHealth{
		{Target: "sim/m", Provider: "sim", Model: "m", Healthy: true, Breaker: "closed", Requests: 3},
		{
			Target: "other/m", Provider: "other", Model: "m", Breaker: "half_open", CooldownUntil: w.time(),
			QuarantinedUntil: w.time(), Reason: "upstream_auth", Requests: 2, Failures: 2,
		},
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func setup(t *testing.T, change ...func(*Deps)) *world {
	t.Helper()
	w := &world{T: t, now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), log: new(bytes.Buffer), logMu: new(sync.Mutex), sim: map[string]string{}}
	w.backup = w.copied("a database", 10)
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "pontage.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w.store = db.Outbox
	fp := failpoint.New()
	engine, err := ledger.Open(t.Context(), db.Journal(), ledger.Options{Now: w.time, Failpoints: fp})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	accounts, err := account.Open(t.Context(), db.Accounts(), []byte("a pepper for tests only"), w.time)
	if err != nil {
		t.Fatal(err)
	}
	w.deps = Deps{
		Accounts: accounts, Ledger: engine, Token: secret(token), Now: w.time,
		Log: slog.New(slog.NewTextHandler(lockedWriter{w.logMu, w.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		KeyPrefix: func(site, kind string) (string, string, bool) {
			switch {
			case site == "" && kind == account.KindBilling:
				return "", "mk-", true
			case site == "":
				return "", "sk-", true
			case site == "ninja.localhost" || site == "www.ninja.localhost":
				return "ninja.localhost", "nj_sk_", true
			}
			return "", "", false
		},
		PlanKnown: func(plan string) bool { return plan == "free" || plan == "pro" },
		PlanQuotas: func(string) []ledger.Quota {
			return []ledger.Quota{{Class: "open", PerDay: 150}, {Class: "closed", PerDay: -1}}
		},
		Limiter:         limit.New(w.time),
		Webhooks:        outbox.New(outbox.Options{Store: db.Outbox(), Now: w.time}),
		Backup:          func(context.Context) (*Copy, error) { return w.backup() },
		Routes:          w,
		EffectiveConfig: func() any { return map[string]any{"server": map[string]any{"admin_token": "[redacted]"}} },
		Ready:           func() []string { return w.ready },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = io.WriteString(w, "pontage_up 1\n")
		}),
		Test: &TestControls{AdvanceClock: w.advance, Failpoints: fp, Sim: w},
	}
	for _, c := range change {
		c(&w.deps)
	}
	w.handler = New(w.deps)
	return w
}

// reply is an answer, and what was asked.
type reply struct {
	t       *testing.T
	request *http.Request
	sent    string
	status  int
	header  http.Header
	body    []byte
}

// do sends a request with the admin token, and a body if there is one.
func (w *world) do(method, target, body string, headers ...string) *reply {
	w.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "remote" {
			r.RemoteAddr = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return &reply{w.T, r, body, rec.Code, rec.Header(), rec.Body.Bytes()}
}

// must fails the test unless the answer has that status.
func (r *reply) must(status int) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s %s %.200s = %d %s, want %d", r.request.Method, r.request.URL, r.sent, r.status, r.body, status)
	}
	return r
}

// at returns the member at a path with dots, as JSON text; strings without
// their quotes.
func (r *reply) at(path string) string {
	r.t.Helper()
	v := jsontext.Value(r.body)
	for _, name := range strings.Split(path, ".") {
		if v.Kind() == '[' {
			var items []jsontext.Value
			if err := json.Unmarshal(v, &items); err != nil {
				r.t.Fatal(err)
			}
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(items) {
				r.t.Fatalf("%s: no item %s in %s", path, name, r.body)
			}
			v = items[i]
			continue
		}
		var m map[string]jsontext.Value
		if err := json.Unmarshal(v, &m); err != nil {
			r.t.Fatalf("%s of %s: %v", path, r.body, err)
		}
		var ok bool
		if v, ok = m[name]; !ok {
			r.t.Fatalf("%s: no member %s in %s", path, name, r.body)
		}
	}
	if v.Kind() == '"' {
		var s string
		if err := json.Unmarshal(v, &s); err != nil {
			r.t.Fatal(err)
		}
		return s
	}
	return string(v)
}

// failed fails the test unless the answer is that error at that parameter.
func (r *reply) failed(status int, code, param string) *reply {
	r.t.Helper()
	r.must(status)
	if param == "" {
		param = "null"
	}
	if got := r.at("error.code"); got != code || r.at("error.param") != param || r.at("error.message") == "" {
		r.t.Errorf("%s %s %.200s = %s, want %s at %s", r.request.Method, r.request.URL, r.sent, r.body, code, param)
	}
	return r
}

// newAccount makes an account with money and a key, over the API.
func (w *world) newAccount(usd string) (acc, key, text string) {
	w.Helper()
	acc = w.do("POST", "/admin/v1/accounts", `{"name":"ada","plan":"free"}`).must(201).at("id")
	if usd != "" {
		w.do("POST", "/admin/v1/accounts/"+acc+"/credits", `{"amount_usd":"`+usd+`","kind":"topup"}`).must(201)
	}
	k := w.do("POST", "/admin/v1/accounts/"+acc+"/keys", `{"name":"k"}`).must(201)
	return acc, k.at("id"), k.at("key")
}

// spend charges the key for one request, as the gate would, and returns its id.
func (w *world) spend(acc, key, model string, hold, charge money.Amount) string {
	w.Helper()
	a, err := account.ParseID(acc)
	if err != nil {
		w.Fatal(err)
	}
	k, err := account.ParseKeyID(key)
	if err != nil {
		w.Fatal(err)
	}
	id := obs.NewRequestID(w.time())
	h, err := w.deps.Ledger.Hold(ledger.Reservation{Account: int64(a), Key: int64(k), Request: id, Amount: hold, Quotas: []ledger.Quota{{Class: "open", PerDay: 150}}})
	if err != nil {
		w.Fatal(err)
	}
	r := ledger.Receipt{
		ID: id, Account: int64(a), Key: int64(k), Site: "ninja.localhost", Surface: "openai.chat", Model: model, Outcome: "ok", Status: 200,
		Usage: ledger.Tokens{Input: 10, CachedInput: 4, Output: 20, Reasoning: 5}, Hold: hold, Started: w.time(), Took: 1500 * time.Microsecond,
		Lines: []ledger.Line{{Kind: "input", Units: 10, Amount: 1}, {Kind: "output", Units: 20, Amount: charge - 1, Rate: 7_500_000, Rated: true}}, Price: "0123abcd",
		Dropped:  []string{"seed"},
		Attempts: []ledger.Attempt{{Target: "sim/m", Outcome: "upstream_timeout", Took: time.Millisecond}, {Target: "other/m", Outcome: "ok", Status: 200, Took: 250 * time.Microsecond}},
	}
	if _, err := h.Settle(context.WithoutCancel(w.Context()), ledger.Settlement{Actual: charge, Receipt: &r, Alerts: ledger.Alerts{WarnBelow: 98 * money.Dollar}}); err != nil {
		w.Fatal(err)
	}
	w.deps.Ledger.Delivered(id)
	return id.String()
}

// logged returns what was logged so far.
func (w *world) logged() string {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	return w.log.String()
}

// names returns the names of a list's items at a path.
func (r *reply) names(path string) []string {
	r.t.Helper()
	var l struct {
		Data []map[string]jsontext.Value `json:"data"`
		Next *string                     `json:"next"`
	}
	if err := json.Unmarshal(r.body, &l, json.RejectUnknownMembers(false)); err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, item := range l.Data {
		out = append(out, strings.Trim(string(item[path]), `"`))
	}
	return slices.Clip(out)
}
