// Package dash is the operator's side: the admin API under /admin/v1, and
// health, readiness and metrics beside it. docs/admin.openapi.yaml describes
// every operation; a test holds the two together.
//
// Every request under /admin/ carries "Authorization: Bearer" and the admin
// token. /healthz, /readyz and /metrics do not, so that probes and scrapers need
// no secret; the handler belongs on a listener of its own that the world cannot
// reach.
package dash

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/obs"
)

// Secret is a value that prints as something else; Reveal gives it away.
type Secret interface{ Reveal() string }

// Deps is what the admin API works with. Accounts, Ledger, Token and Now are
// required; the documentation of each other field says what its absence does.
type Deps struct {
	Accounts *account.Registry
	Ledger   *ledger.Engine
	Token    Secret // the admin token; if it is empty nobody gets in
	Now      func() time.Time
	Log      *slog.Logger // nil: nothing is logged

	// KeyPrefix says how a new key of that kind starts on a site, and by which
	// of its hosts the site is known; ok is false if there is no such site. The
	// empty site is that of keys which work everywhere. Nil: no site is known,
	// and keys start "sk-".
	KeyPrefix func(site, kind string) (host, prefix string, ok bool)

	// PlanKnown reports whether any site has a plan of that name. Nil: a plan
	// may have any name.
	PlanKnown func(plan string) bool

	// PlanQuotas lists what a plan allows a day; see [ledger.Quota]. The empty
	// plan is that of accounts without one. Nil: plans have no quotas.
	PlanQuotas func(plan string) []ledger.Quota

	// Limiter holds the throughput of keys by their numbers, a key's own rule
	// first. Nil: throughput is not reported.
	Limiter *limit.Limiter

	// Backup makes a copy of everything that is durable. The caller closes its
	// file. Nil: /admin/v1/backup is not found.
	Backup func(context.Context) (*Copy, error)

	Routes          Routes               // nil: there are no targets
	EffectiveConfig func() any           // what is in force, without secrets, in a form that JSON can hold; nil: an empty object
	Ready           func() []string      // what keeps the process from taking traffic: a word or, with why, "word: why"; nil, or nothing: ready
	Metrics         http.Handler         // nil: /metrics is not found
	Webhooks        Webhooks             // nil: there are no events
	Test            *TestControls        // nil outside dev and serve --test: their paths are not found
	NewRequestID    func() obs.RequestID // nil: obs.NewRequestID
}

// Routes tells how the targets are.
type Routes interface {
	Targets() []TargetHealth
}

// TargetHealth is how one target is, since the process started.
type TargetHealth struct {
	Target           string // provider/model
	Provider         string
	Model            string    // the provider's name of it
	Healthy          bool      // it would be tried now
	Breaker          string    // closed, open or half_open
	CooldownUntil    time.Time // zero: not cooling down
	QuarantinedUntil time.Time // zero: its credential is in use
	Reason           string    // of the last failure; empty: none
	Requests         int64
	Failures         int64
	Latency          time.Duration // to the first content of its streams lately; 0: unknown
}

// TestControls is what tests may do to a process that allows it. A nil field
// takes its path away.
type TestControls struct {
	AdvanceClock func(time.Duration)
	StopClock    func(bool)
	Failpoints   *failpoint.Set
	Sim          Sim
}

// Sim is a simulated provider that takes a script.
type Sim interface {
	// Script makes the model go through the steps, a JSON array, one a request.
	// Its error says what is wrong with them.
	Script(model string, steps []byte) error
}

// server is the handler and what its operations share.
type server struct {
	Deps
	token   [sha256.Size]byte
	hasAny  bool // a token is set
	wrong   throttle
	mux     *http.ServeMux
	patchMu sync.Mutex // makes reading a key's limits and merging a patch into them one step
}

// route is one operation.
type route struct {
	method, path string
	serve        func(*call) error
	open         bool // needs no token
}

func (s *server) routes() []route {
	routes := []route{
		{"GET", "/healthz", s.health, true},
		{"GET", "/readyz", s.ready, true},
		{"POST", "/admin/v1/accounts", s.createAccount, false},
		{"GET", "/admin/v1/accounts", s.listAccounts, false},
		{"GET", "/admin/v1/accounts/{account}", s.getAccount, false},
		{"PATCH", "/admin/v1/accounts/{account}", s.updateAccount, false},
		{"POST", "/admin/v1/accounts/{account}/credits", s.credit, false},
		{"POST", "/admin/v1/accounts/{account}/keys", s.createKey, false},
		{"GET", "/admin/v1/accounts/{account}/keys", s.listKeys, false},
		{"GET", "/admin/v1/accounts/{account}/limits", s.listLimits, false},
		{"PATCH", "/admin/v1/keys/{key}", s.updateKey, false},
		{"DELETE", "/admin/v1/keys/{key}", s.revokeKey, false},
		{"GET", "/admin/v1/requests", s.listRequests, false},
		{"GET", "/admin/v1/requests/{request}", s.getRequest, false},
		{"POST", "/admin/v1/requests/{request}/refund", s.refund, false},
		{"GET", "/admin/v1/usage", s.usage, false},
		{"GET", "/admin/v1/ledger/verify", s.verify, false},
		{"GET", "/admin/v1/ledger/digests", s.listDigests, false},
		{"GET", "/admin/v1/effective-config", s.effectiveConfig, false},
		{"GET", "/admin/v1/targets", s.targets, false},
		{"GET", "/admin/v1/webhooks", s.listWebhooks, false},
		{"POST", "/admin/v1/webhooks/{webhook}/retry", s.retryWebhook, false},
	}
	if s.Backup != nil {
		routes = append(routes, route{"GET", "/admin/v1/backup", s.backup, false})
	}
	if s.Metrics != nil {
		routes = append(routes, route{"GET", "/metrics", s.metrics, true})
	}
	if t := s.Test; t != nil {
		if t.AdvanceClock != nil {
			routes = append(routes, route{"POST", "/admin/v1/test/clock", s.advanceClock, false})
		}
		if t.Failpoints != nil {
			routes = append(routes,
				route{"GET", "/admin/v1/test/fault", s.listFaults, false},
				route{"POST", "/admin/v1/test/fault", s.armFault, false})
		}
		if t.Sim != nil {
			routes = append(routes, route{"PUT", "/admin/v1/test/sim", s.scriptSim, false})
		}
	}
	return routes
}

// New returns the handler. It serves until its dependencies are closed, and has
// nothing to close itself.
func New(d Deps) http.Handler {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.NewRequestID == nil {
		d.NewRequestID = func() obs.RequestID { return obs.NewRequestID(d.Now()) }
	}
	s := &server{Deps: d, mux: http.NewServeMux()}
	if d.Token != nil {
		s.hasAny = d.Token.Reveal() != ""
		s.token = sha256.Sum256([]byte(d.Token.Reveal()))
	}
	methods := map[string][]route{}
	for _, r := range s.routes() {
		methods[r.path] = append(methods[r.path], r)
	}
	for pattern, routes := range methods {
		s.mux.Handle(pattern, dispatch(routes))
	}
	return s
}

// dispatch is the handler of one path. The mux only finds it: the server calls
// the operation, because a handler cannot return an error.
type dispatch []route

// ServeHTTP is never called.
func (dispatch) ServeHTTP(http.ResponseWriter, *http.Request) {}

// find returns the operation of r, or the fault of there being none.
func (s *server) find(r *http.Request) (*route, error) {
	h, pattern := s.mux.Handler(r)
	routes, ok := h.(dispatch)
	if !ok || path.Clean(r.URL.Path) != r.URL.Path {
		return nil, fail(http.StatusNotFound, codeNotFound, "", "there is nothing at this path")
	}
	var allow []string
	for i := range routes {
		if routes[i].method == r.Method || (routes[i].method == "GET" && r.Method == "HEAD") {
			setPathValues(r, pattern)
			return &routes[i], nil
		}
		allow = append(allow, routes[i].method)
		if routes[i].method == "GET" {
			allow = append(allow, "HEAD")
		}
	}
	slices.Sort(allow)
	f := fail(http.StatusMethodNotAllowed, codeMethod, "", "this path takes %s", strings.Join(allow, ", "))
	f.allow = strings.Join(allow, ", ")
	return nil, f
}

// setPathValues sets what the mux would have set.
func setPathValues(r *http.Request, pattern string) {
	parts := strings.Split(r.URL.EscapedPath(), "/")
	for i, p := range strings.Split(pattern, "/") {
		if name, ok := strings.CutPrefix(p, "{"); ok && i < len(parts) {
			if v, err := url.PathUnescape(parts[i]); err == nil {
				r.SetPathValue(strings.TrimSuffix(name, "}"), v)
			}
		}
	}
}

// call is one request on its way through an operation.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	id    string
	route string
	actor ledger.Actor // who calls; set for every operation that needs the token
	wrote int          // status; 0: nothing was written
}

func (c *call) ctx() context.Context { return c.r.Context() }

// ServeHTTP serves one request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{w: w, r: r, id: s.NewRequestID().String(), route: "none"}
	h := w.Header()
	h.Set("X-Request-ID", c.id)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	started := s.Now()
	h.Set("Date", started.UTC().Format(http.TimeFormat)) // of the clock that limits and days go by
	defer func() {
		if p := recover(); p != nil {
			s.answer(c, panicked(p))
		}
		level := slog.LevelDebug
		if r.Method != "GET" && r.Method != "HEAD" {
			level = slog.LevelInfo // what changed, and who was refused to
		}
		s.Log.Log(c.ctx(), level, "admin", "id", c.id, "method", r.Method, "route", c.route, "status", c.wrote, "actor", string(c.actor), "remote", r.RemoteAddr, "took", s.Now().Sub(started))
	}()
	if err := s.serve(c); err != nil {
		s.answer(c, err)
	}
}

func (s *server) serve(c *call) error {
	if v := c.r.Header.Get("X-Client-Request-Id"); v != "" && len(v) <= 200 {
		c.w.Header().Set("X-Client-Request-Id", v)
	}
	op, err := s.find(c.r)
	if op == nil || !op.open {
		// A stranger does not learn which paths there are, but outside /admin/
		// there is nothing to hide.
		if op != nil || strings.HasPrefix(c.r.URL.Path, "/admin/") {
			if err := s.authorize(c.r); err != nil {
				return err
			}
		}
	}
	if err != nil {
		return err
	}
	c.route = op.path
	if !op.open {
		if c.actor, err = operator(c.r); err != nil {
			return err
		}
	}
	return op.serve(c)
}

// actorHeader names the operator who calls.
const actorHeader = "X-Pontage-Actor"

// operator is who calls: whoever has the token, by the name that he gives.
func operator(r *http.Request) (ledger.Actor, error) {
	names := r.Header.Values(actorHeader)
	if len(names) > 1 {
		return "", invalid(actorHeader, "stands twice")
	}
	if len(names) == 1 && names[0] == "" {
		return "", invalid(actorHeader, "is empty")
	}
	a, err := ledger.Operator(strings.Join(names, ""))
	if err != nil {
		return "", invalid(actorHeader, "%s", err)
	}
	return a, nil
}
