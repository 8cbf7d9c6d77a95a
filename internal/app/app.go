// Package app is the composition root: it makes everything of a configuration,
// starts it, puts another configuration in force, and takes it down again. It
// is the only package that sees everything.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/config"
	"github.com/pontage/pontage/internal/dash"
	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/gate"
	"github.com/pontage/pontage/internal/job"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/outbox"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/provider/sim"
	"github.com/pontage/pontage/internal/response"
	"github.com/pontage/pontage/internal/route"
	"github.com/pontage/pontage/internal/store/sqlite"
	"github.com/pontage/pontage/internal/wire"
)

// Options say how the process runs, beside its configuration.
type Options struct {
	Config *config.Config
	Dir    string // that paths of the configuration are relative to
	Dev    bool   // serve every model of the catalogue, by the simulator if by nobody else
	Test   bool   // allow the test clock, fault points and simulator scripts

	Log        io.Writer // nil: os.Stderr
	LogLevel   slog.Level
	LogFormat  string // "text" for people; anything else is JSON
	Version    string // shown in metrics
	Failpoints string // armed from the start: "point:times,…"; for tests
	// Fatal ends the process when the journal may hold something else than
	// memory does; nil: exit with status 75.
	Fatal func(error)
}

// ExitTempFail is the exit status after which the process should simply be
// started again: it recovers from disk.
const ExitTempFail = 75

// App is a gateway. Its methods may be called by many goroutines.
type App struct {
	o      Options
	clock  clock
	points *failpoint.Set
	obs    *obs.Obs

	db       *sqlite.DB
	outbox   *outbox.Outbox
	ledger   *ledger.Engine
	accounts *account.Registry
	limiter  *limit.Limiter
	sim      *sim.Sim
	health   healthBoard
	pipes    transports

	gate      *gate.Gate
	tasks     *tasks
	jobs      *job.Runner
	responses *response.Memory
	wire      *wire.Server
	api       *http.Server
	admin     *http.Server
	listen    net.Listener
	more      map[string]net.Listener // of sites with an address of their own, by that address
	manage    net.Listener

	looking  context.CancelFunc // ends the looks at providers of the setup in force
	reload   sync.Mutex
	current  atomic.Pointer[setup]
	draining atomic.Bool
	copying  atomic.Bool  // somebody is making or reading a backup
	inFlight atomic.Int64 // requests of the API
	base     context.Context
	cancel   context.CancelCauseFunc
	undo     []func() error // what was made, to be closed in reverse
}

// New makes a gateway of a configuration and listens, but does not serve yet.
// What it made before an error is closed again.
func New(ctx context.Context, o Options) (*App, error) {
	if o.Log == nil {
		o.Log = os.Stderr
	}
	a := &App{o: o}
	if err := a.make(ctx); err != nil {
		_ = a.close()
		return nil, err
	}
	return a, nil
}

func (a *App) make(ctx context.Context) (err error) {
	o := a.o
	a.base, a.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	a.obs = obs.New(obs.Options{Log: o.Log, Level: o.LogLevel, Format: o.LogFormat, Build: o.Version})
	a.obs.Hide(o.Config.Server.AdminToken.Reveal())
	if o.Test || o.Dev {
		if a.points, err = failpoint.FromEnv(o.Failpoints); err != nil {
			return err
		}
		if a.points == nil {
			a.points = failpoint.New() // to be armed while it runs
		}
	}
	if err := a.openStore(ctx); err != nil {
		return err
	}
	a.limiter = limit.New(a.clock.steady)
	a.sim = sim.New(sim.Options{Now: a.clock.now})
	a.health.now, a.health.notify = a.clock.steady, a.changed
	s, err := a.build(o.Config)
	if err != nil {
		return err
	}
	a.gate = gate.New(gate.Options{
		Accounts: a.accounts,
		Ledger:   a.ledger,
		Limiter:  a.limiter,
		Router: &route.Router{
			Base: o.Config.Routing.Backoff.Base, Most: o.Config.Routing.Backoff.Max,
			Pins: route.NewPins(a.clock.steady, route.DefaultPins),
		},
		Now:  a.clock.now,
		Base: a.base,
	}, s.plans)
	a.inForce(s)
	a.responses = response.New(a.db.Responses(), o.Config.Store.Responses, a.clock.now)
	a.look(s)
	if err := a.startJobs(ctx); err != nil {
		return err
	}
	a.wire = wire.NewServer(wire.Options{
		Gateway:     edge{a.gate},
		Dialects:    dialects(),
		Desks:       a.desks(),
		Memory:      memory{a},
		Listers:     listers(),
		Done:        a.obs.Done,
		Now:         a.clock.now,
		BodyLimit:   int64(o.Config.Server.BodyLimit),
		BodyTimeout: o.Config.Server.BodyTimeout,
		Heartbeat:   o.Config.Server.Heartbeat,
		Failpoints:  a.points,
	}, s.sites)
	a.obs.SetModels(a.known)
	a.metrics()
	return a.open(o.Config)
}

// openStore opens the store and everything that lives in it.
func (a *App) openStore(ctx context.Context) error {
	path, err := storePath(a.o.Config.Store.URL, a.o.Dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if a.db, err = sqlite.Open(ctx, path); err != nil {
		return fmt.Errorf("store %s: %w", path, err)
	}
	a.undo = append(a.undo, a.db.Close)
	a.db.Arm(a.points)
	if was, is := a.db.Schema(); was != is && was != 0 {
		a.obs.Logger().Info("the schema of the database was brought up to date", "from", was, "to", is)
	}
	a.startOutbox()
	a.ledger, err = ledger.Open(ctx, a.db.Journal(), ledger.Options{
		Now: a.clock.now, Failpoints: a.points, Fatal: a.fatal, Notify: a.outbox.Wake, Retention: a.o.Config.Store.Retention,
	})
	if err != nil {
		return fmt.Errorf("store %s: ledger: %w", path, err)
	}
	a.undo = append(a.undo, a.ledger.Close)
	pepper, err := pepper(ctx, a.db, path)
	if err != nil {
		return err
	}
	if a.accounts, err = account.Open(ctx, a.db.Accounts(), pepper, a.clock.now); err != nil {
		return fmt.Errorf("accounts: %w", err)
	}
	return nil
}

// StorePath returns the file that a store URL names, relative to dir.
func StorePath(url, dir string) (string, error) { return storePath(url, dir) }

func storePath(url, dir string) (string, error) {
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok || path == "" {
		return "", fmt.Errorf("store.url %q: only sqlite:PATH is supported", url)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return path, nil
}

// fatal ends the process: what is on disk is right, and memory may not be.
func (a *App) fatal(err error) {
	if a.o.Fatal != nil {
		a.o.Fatal(err)
		return
	}
	a.obs.Logger().Error("the ledger stopped; the process ends and recovers from disk when it is started again", "error", err.Error())
	a.obs.Flush()
	os.Exit(ExitTempFail)
}

// pingAfter is how long a connection of HTTP/2 may be silent before it is asked
// whether anybody is there, and how long the answer may take: else who has gone
// without a word would hold what his streams hold.
const pingAfter = 15 * time.Second

// open listens on both addresses.
func (a *App) open(c *config.Config) error {
	var err error
	if a.listen, err = net.Listen("tcp", c.Server.Listen); err != nil {
		return fmt.Errorf("server.listen: %w", err)
	}
	a.undo = append(a.undo, ignoreClosed(a.listen.Close))
	if err := a.openMore(c); err != nil {
		return err
	}
	if a.manage, err = net.Listen("tcp", c.Server.AdminListen); err != nil {
		return fmt.Errorf("server.admin_listen: %w", err)
	}
	a.undo = append(a.undo, ignoreClosed(a.manage.Close))
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	a.api = &http.Server{
		Handler: a.handler(),
		// OPTIONS * is refused like any other path that there is not.
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            wire.HeadTimeout,
		IdleTimeout:                  120 * time.Second,
		MaxHeaderBytes:               64 << 10,
		Protocols:                    &protocols,
		HTTP2:                        &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter},
		BaseContext:                  func(net.Listener) context.Context { return a.base },
		ConnContext:                  wire.ConnContext,
		ErrorLog:                     slog.NewLogLogger(a.obs.Logger().Handler(), slog.LevelDebug),
	}
	a.admin = &http.Server{
		Handler:           a.adminHandler(c),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(a.obs.Logger().Handler(), slog.LevelDebug),
	}
	return nil
}

// openMore listens at the addresses that sites have of their own.
func (a *App) openMore(c *config.Config) error {
	a.more = map[string]net.Listener{}
	for i, site := range c.Sites {
		if site.Listen == "" || site.Listen == c.Server.Listen || a.more[site.Listen] != nil {
			continue
		}
		l, err := net.Listen("tcp", site.Listen)
		if err != nil {
			return fmt.Errorf("sites[%d].listen: %w", i, err)
		}
		a.more[site.Listen] = l
		a.undo = append(a.undo, ignoreClosed(l.Close))
	}
	return nil
}

// handler is the API: the edge, unless the process goes down.
func (a *App) handler() http.Handler {
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.obs.Begin()
		defer a.obs.End()
		a.wire.ServeHTTP(w, r)
	})
	open := a.wire.Refusing(counted, func() *fault.Error {
		if !a.draining.Load() {
			return nil
		}
		e := fault.New(fault.Draining, "")
		e.RetryAfter = time.Second
		return e
	})
	return a.wire.RefuseTwoBounds(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.inFlight.Add(1) // before it looks whether it is admitted, so that a drain waits for it
		defer a.inFlight.Add(-1)
		open.ServeHTTP(w, r)
	}))
}

// known reports whether a site offers a model, so that names that callers made
// up do not become series.
func (a *App) known(site, model string) bool {
	view := a.current.Load().plans.Views[site]
	if view == nil {
		return false
	}
	_, ok := view.Model(model)
	return ok
}

func (a *App) adminHandler(c *config.Config) http.Handler {
	d := dash.Deps{
		Accounts:        a.accounts,
		Ledger:          a.ledger,
		Token:           provider.Secret(c.Server.AdminToken.Reveal()),
		Now:             a.clock.now,
		Log:             a.obs.Logger(),
		KeyPrefix:       a.keyPrefix,
		Limiter:         a.limiter,
		PlanKnown:       a.planKnown,
		PlanQuotas:      a.planQuotas,
		Backup:          a.backup,
		Routes:          &a.health,
		EffectiveConfig: func() any { return a.current.Load().config.Redacted() },
		Ready:           a.degraded,
		Metrics:         a.obs.Handler(),
		Webhooks:        a.outbox,
	}
	if a.o.Test || a.o.Dev {
		d.Test = &dash.TestControls{
			AdvanceClock: a.advance, StopClock: a.clock.stop,
			Failpoints: a.points,
			Sim:        scripts{a.sim},
		}
	}
	h := dash.New(d)
	if !a.o.Test {
		return h
	}
	mux := http.NewServeMux()
	mux.Handle("/", h)
	profiles(mux)
	return mux
}

// Addr is the address of the API.
func (a *App) Addr() string { return a.listen.Addr().String() }

// AdminAddr is the address of the admin API.
func (a *App) AdminAddr() string { return a.manage.Addr().String() }

// Accounts gives the accounts, for the demo account of the dev command.
func (a *App) Accounts() *account.Registry { return a.accounts }

// Ledger gives the ledger, for the demo account's credit.
func (a *App) Ledger() *ledger.Engine { return a.ledger }

// Logger gives the log of the process.
func (a *App) Logger() *slog.Logger { return a.obs.Logger() }

// degraded names what keeps the process from taking traffic, and why.
func (a *App) degraded() []string {
	var out []string
	if a.draining.Load() {
		out = append(out, "draining")
	}
	if err := a.ledger.Ready(); err != nil {
		out = append(out, "ledger: "+strings.TrimPrefix(err.Error(), ledger.ErrUnavailable.Error()+": "))
	}
	return out
}

// Serve serves until ctx ends, then drains: it refuses new requests, lets
// answers go on for as long as the configuration says, breaks off the rest free
// of charge, and closes everything.
func (a *App) Serve(ctx context.Context) error {
	failed := make(chan error, 2+len(a.more))
	go func() { failed <- a.api.Serve(wire.Bounded(a.listen, "")) }()
	for name, l := range a.more {
		go func() { failed <- a.api.Serve(wire.Bounded(l, name)) }()
	}
	go func() { failed <- a.admin.Serve(a.manage) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	a.draining.Store(true)
	a.obs.Logger().Info("draining", "for", a.current.Load().config.Server.Drain.String())
	grace, stop := context.WithTimeout(context.Background(), a.current.Load().config.Server.Drain)
	defer stop()
	// A server that is shutting down hangs up on requests without a word, so it
	// is only shut down when there is nothing left but to break off. Until then
	// it takes no new connections, and refuses what comes on those it has.
	_ = a.listen.Close()
	for _, l := range a.more {
		_ = l.Close()
	}
	_ = a.points.Hit(failpoint.CrashMidDrain) // does not return if it is armed, like the other one
	jobs := make(chan struct{})
	a.tasks.feeds.stop()
	go func() { a.jobs.Stop(grace); close(jobs) }()
	a.idle(grace)
	<-jobs
	if errors.Is(a.api.Shutdown(grace), context.DeadlineExceeded) {
		a.cancel(wire.ErrGoingDown)
		last, stop := context.WithTimeout(context.Background(), 5*time.Second)
		defer stop()
		if errors.Is(a.api.Shutdown(last), context.DeadlineExceeded) {
			_ = a.api.Close()
		}
	}
	_ = a.admin.Close()
	_ = a.points.Hit(failpoint.CrashBeforeClose)
	if cerr := a.close(); cerr != nil {
		err = errors.Join(err, cerr)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// idle waits until no request is in flight, or ctx ends.
func (a *App) idle(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for a.inFlight.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// close closes what was made, the last first.
func (a *App) close() error {
	if a.cancel != nil {
		a.cancel(wire.ErrGoingDown)
	}
	var errs []error
	for i := len(a.undo) - 1; i >= 0; i-- {
		errs = append(errs, a.undo[i]())
	}
	a.undo = nil
	if a.obs != nil {
		a.obs.Flush()
	}
	return errors.Join(errs...)
}

func ignoreClosed(closer func() error) func() error {
	return func() error {
		if err := closer(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}
