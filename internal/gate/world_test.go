package gate

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/route"
	"github.com/pontage/pontage/internal/store/sqlite"
)

// upstream is a provider that answers with the events it is given.
type upstream struct {
	mu      sync.Mutex
	events  []llm.Event
	end     error // after the events; nil: a clean end
	open    error
	refusal error
	dropped []string
	panics  bool
	calls   []provider.Call
	ctx     context.Context                 // of the last call
	wait    func(ctx context.Context) error // before the end
	accept  func(ctx context.Context) error // before the answer begins
	quiet   []string                        // models that think only when they are asked to
}

func (u *upstream) ThinksOnlyWhenAsked(model string) bool { return slices.Contains(u.quiet, model) }

func (u *upstream) Supports(*llm.Request) error   { return u.refusal }
func (u *upstream) Dropped(*llm.Request) []string { return u.dropped }

func (u *upstream) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls, u.ctx = append(u.calls, c), ctx
	if u.panics {
		panic("a defect")
	}
	if u.accept != nil {
		if err := u.accept(ctx); err != nil {
			return nil, &provider.Failure{Fault: fault.Wrap(fault.UpstreamFailed, err)}
		}
	}
	if u.open != nil {
		return nil, u.open
	}
	return &answer{u: u, ctx: ctx, events: u.events}, nil
}

type answer struct {
	u      *upstream
	ctx    context.Context
	events []llm.Event
}

func (a *answer) Next() (llm.Event, error) {
	if len(a.events) > 0 {
		ev := a.events[0]
		a.events = a.events[1:]
		return ev, nil
	}
	if a.u.wait != nil {
		if err := a.u.wait(a.ctx); err != nil {
			return llm.Event{}, &provider.Failure{Fault: fault.Wrap(fault.UpstreamFailed, err)}
		}
	}
	if a.u.end != nil {
		return llm.Event{}, a.u.end
	}
	return llm.Event{}, io.EOF
}

func (a *answer) Close() error { return nil }

// world is a gate with everything real around it but the provider.
type world struct {
	t      testing.TB
	g      *Gate
	up     *upstream
	ledger *ledger.Engine
	reg    *account.Registry
	acc    *account.Account
	ahead  atomic.Int64 // nanoseconds, of noon
}

// now is the world's clock, which the ledger's own goroutines read as well.
func (w *world) now() time.Time {
	return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).Add(time.Duration(w.ahead.Load()))
}

func (w *world) advance(d time.Duration) { w.ahead.Add(int64(d)) }

const perMillion = money.Rate(money.Dollar)

func setup(t testing.TB, balance money.Amount) *world {
	t.Helper()
	return setupOn(t, balance, func(j ledger.Journal) ledger.Journal { return j })
}

// setupOn does what setup does, on a journal that is put in front of the real one.
func setupOn(t testing.TB, balance money.Amount, front func(ledger.Journal) ledger.Journal) *world {
	t.Helper()
	w := &world{t: t, up: &upstream{}}
	now := w.now
	ctx := context.Background()
	db, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	w.ledger, err = ledger.Open(ctx, front(db.Journal()), ledger.Options{Now: now, Fatal: func(err error) { t.Errorf("ledger: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !w.ledger.Idle() {
			t.Error("something is still held")
		}
		rep, err := w.ledger.Verify(ctx)
		if err != nil || !rep.OK {
			t.Errorf("verify: %+v, %v", rep, err)
		}
		_ = w.ledger.Close()
		_ = db.Close()
	})
	if w.reg, err = account.Open(ctx, db.Accounts(), []byte("0123456789abcdef0123456789abcdef"), now); err != nil {
		t.Fatal(err)
	}
	if w.acc, err = w.reg.CreateAccount(ctx, account.NewAccount{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if balance > 0 {
		w.credit(balance)
	}
	in, out := perMillion, 10*perMillion
	cat, err := catalog.Build(catalog.Input{
		Providers: []catalog.Provider{{Name: "up"}},
		Models: map[string]catalog.Entry{
			"m":   {Targets: []catalog.Target{{Provider: "up"}}, Context: 100_000, MaxOutput: 10_000, Price: &catalog.PriceEntry{Input: &in, Output: &out}},
			"off": {Targets: []catalog.Target{{Provider: "up"}}, Enabled: new(bool), Price: &catalog.PriceEntry{Input: &in, Output: &out}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	view := cat.View("*")
	m, _ := view.Model("m")
	target := []*route.Target{{ID: "up/m", Provider: w.up, Model: "m", Health: route.NewHealth(now, route.Norms{})}}
	w.g = New(Options{
		Accounts: w.reg, Ledger: w.ledger, Limiter: limit.New(now), Now: now,
		Router: &route.Router{Sleep: func(context.Context, time.Duration) error { return nil }},
	}, &Plans{
		Views:   map[string]*catalog.View{"*": view},
		Targets: map[*catalog.Model][]*route.Target{m: target},
		Tests:   map[*catalog.Model][]*route.Target{m: target},
	})
	return w
}

func (w *world) credit(a money.Amount) {
	w.t.Helper()
	if _, err := w.ledger.Credit(context.Background(), ledger.Credit{Account: int64(w.acc.ID), Kind: ledger.KindTopup, Amount: a}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) key(k account.NewKey) string {
	w.t.Helper()
	k.Account, k.Name, k.Prefix = w.acc.ID, "k", "sk-"
	_, secret, err := w.reg.CreateKey(context.Background(), k)
	if err != nil {
		w.t.Fatal(err)
	}
	return secret
}

func (w *world) enter(key string) (*Caller, error) {
	return w.g.Enter(context.Background(), Visit{
		Site: "*", Kind: "inference", Format: account.Format{Prefixes: []string{"sk-"}, Trim: true},
		Credential: key, ID: obs.NewRequestID(time.Now()), Event: &obs.Event{Start: w.now()},
	})
}

// reads opens a request of a new key, and reads n events of its answer.
func (w *world) reads(ctx context.Context, r *llm.Request, n int) (*Caller, *Call) {
	w.t.Helper()
	caller, err := w.enter(w.key(account.NewKey{}))
	if err != nil {
		w.t.Fatal(err)
	}
	call, err := caller.Open(ctx, r, Wishes{})
	if err != nil {
		w.t.Fatal(err)
	}
	for range n {
		if _, err := call.Next(); err != nil {
			w.t.Fatal(err)
		}
	}
	return caller, call
}

func request() *llm.Request {
	return &llm.Request{Model: "m", Stream: true, Choices: 1, Inputs: 1, MaxOutput: 100, HasMaxOutput: true, Size: llm.Size{ASCII: 300, Messages: 1}}
}

func says(n int) llm.Event { return llm.Event{Content: true, OutputBytes: n} }

func (w *world) posted() money.Amount { return w.ledger.Balance(int64(w.acc.ID)).Posted }

func consume(call *Call, leave bool) {
	defer call.Close()
	for {
		_, err := call.Next()
		if leave && len(call.answer.Target()) > 0 && (call.produced >= 80 || call.finish != "") {
			call.Left()
			return
		}
		if err == io.EOF {
			_, _ = call.Finish(nil)
			return
		}
		if err != nil {
			call.Fail(fault.From(err), 0)
			return
		}
	}
}

// receipt waits until the receipt of a caller's request is written.
func (w *world) receipt(c *Caller) *ledger.Receipt {
	w.t.Helper()
	for range 500 {
		r, err := w.ledger.Receipt(context.Background(), c.v.ID)
		if err == nil && r != nil {
			return r
		}
		time.Sleep(time.Millisecond)
	}
	w.t.Fatal("there is no receipt")
	return nil
}
