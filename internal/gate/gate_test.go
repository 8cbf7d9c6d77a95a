package gate

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
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
	t      *testing.T
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

func setup(t *testing.T, balance money.Amount) *world {
	t.Helper()
	return setupOn(t, balance, func(j ledger.Journal) ledger.Journal { return j })
}

// setupOn does what setup does, on a journal that is put in front of the real one.
func setupOn(t *testing.T, balance money.Amount, front func(ledger.Journal) ledger.Journal) *world {
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
		if _, err := w.ledger.Credit(ctx, ledger.Credit{Account: int64(w.acc.ID), Kind: ledger.KindTopup, Amount: balance}); err != nil {
			t.Fatal(err)
		}
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

func request() *llm.Request {
	return &llm.Request{Model: "m", Stream: true, Choices: 1, Inputs: 1, MaxOutput: 100, HasMaxOutput: true, Size: llm.Size{ASCII: 300, Messages: 1}}
}

func says(n int) llm.Event { return llm.Event{Content: true, OutputBytes: n} }

func (w *world) posted() money.Amount { return w.ledger.Balance(int64(w.acc.ID)).Posted }

// The table of endings: what each costs, what the receipt says, and that
// nothing is held afterwards and no daily request is used by what is free.
func TestEndings(t *testing.T) {
	t.Parallel()
	used := &llm.Usage{Input: 100, Output: 50}
	full := 100*1000 + 50*10_000 // nano-dollars: a dollar and ten per million
	ends := func(f llm.Finish, u *llm.Usage) llm.Event { return llm.Event{Finish: f, Usage: u} }
	for _, c := range []struct {
		name    string
		events  []llm.Event
		end     error
		open    error
		leave   bool
		charge  int
		outcome string
		fault   string
	}{
		{"stop", []llm.Event{says(20), ends(llm.FinishStop, used)}, nil, nil, false, full, OutcomeOK, ""},
		{"length", []llm.Event{says(20), ends(llm.FinishLength, used)}, nil, nil, false, full, OutcomeOK, ""},
		{"tool calls", []llm.Event{says(20), ends(llm.FinishToolCalls, used)}, nil, nil, false, full, OutcomeOK, ""},
		{"length while thinking", []llm.Event{ends(llm.FinishLength, &llm.Usage{Input: used.Input, Output: used.Output, Reasoning: used.Output})}, nil, nil, false, full, OutcomeOK, ""},
		{"length without a word", []llm.Event{ends(llm.FinishLength, used)}, nil, nil, false, 0, OutcomeEmpty, "empty_response"},
		{"no usage: estimated", []llm.Event{says(40), ends(llm.FinishStop, nil)}, nil, nil, false, 0, OutcomeOK, ""},
		{"content filter", []llm.Event{says(20), ends(llm.FinishContentFilter, used)}, nil, nil, false, 0, OutcomeBlocked, ""},
		{"refusal object", []llm.Event{{Content: true, Refusal: true}, ends(llm.FinishStop, used)}, nil, nil, false, 0, OutcomeBlocked, ""},
		{"empty", []llm.Event{ends(llm.FinishStop, used)}, nil, nil, false, 0, OutcomeEmpty, "empty_response"},
		{"policy block", nil, nil, &provider.Failure{Fault: fault.New(fault.ContentPolicy, "")}, false, 0, OutcomeBlocked, "content_policy"},
		{"before content", nil, nil, &provider.Failure{Fault: fault.New(fault.UpstreamFailed, "")}, false, 0, OutcomeFailed, "upstream_failed"},
		{"died midway", []llm.Event{says(20)}, &provider.Failure{Fault: fault.New(fault.StreamInterrupted, "")}, nil, false, 0, OutcomeInterrupted, "stream_interrupted"},
		{"left midway", []llm.Event{{Usage: &llm.Usage{Input: 100, Output: 1}}, says(40), says(40)}, nil, nil, true, 100*1000 + 20*10_000, OutcomeClientLeft, ""},
		{"left after the finish", []llm.Event{says(20), ends(llm.FinishStop, used)}, nil, nil, true, full, OutcomeOK, ""},
		{"lies: negative", []llm.Event{says(40), ends(llm.FinishStop, &llm.Usage{Input: -5, Output: 1 << 50})}, nil, nil, false, 0, OutcomeOK, ""},
		{"lies: more than the model can hold", []llm.Event{says(40), ends(llm.FinishStop, &llm.Usage{Input: 100, Output: 900_000_000})}, nil, nil, false, 0, OutcomeOK, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, money.Dollar)
			w.up.events, w.up.end, w.up.open = c.events, c.end, c.open
			key := w.key(account.NewKey{Limits: account.Limits{RequestsPerDay: 10}})
			caller, err := w.enter(key)
			if err != nil {
				t.Fatal(err)
			}
			defer caller.Leave()
			call, err := caller.Open(context.Background(), request(), Wishes{})
			if err != nil {
				caller.Refused(fault.From(err), 502)
			} else {
				consume(call, c.leave)
			}
			if !w.ledger.Idle() {
				t.Error("something is held")
			}
			charge := money.Dollar - w.posted()
			estimated := strings.HasPrefix(c.name, "no usage") || strings.HasPrefix(c.name, "lies")
			if estimated {
				// 300 bytes of prompt and 40 of answer: counted, not free, not more than held.
				if charge < 10*10_000 || charge > caller.v.Event.Hold {
					t.Errorf("an estimate of $%s with a hold of $%s", charge, caller.v.Event.Hold)
				}
			} else if charge != money.Amount(c.charge) {
				t.Errorf("charged %d, want %d", charge, c.charge)
			}
			r := w.receipt(caller)
			if r.Outcome != c.outcome || r.Fault != c.fault || r.Charge != charge || r.Usage.Estimated != (estimated || c.name == "left midway") {
				t.Errorf("receipt: outcome %q, fault %q, charge %d, estimated %v", r.Outcome, r.Fault, r.Charge, r.Usage.Estimated)
			}
			if day := w.ledger.KeyDay(int64(caller.who.Key.ID)); (day.Requests == 1) != (charge > 0) {
				t.Errorf("%d requests of the day used, charge %d", day.Requests, charge)
			}
		})
	}
}

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

func TestRefusalsInTheirOrder(t *testing.T) {
	t.Parallel()
	w := setup(t, 0)
	inference := w.key(account.NewKey{})
	billing := w.key(account.NewKey{Kind: "billing"})
	narrow := w.key(account.NewKey{Models: []string{"other*"}})
	once := w.key(account.NewKey{Limits: account.Limits{RPS: 0.001, Burst: 1}})
	spent := w.key(account.NewKey{Limits: account.Limits{RequestsPerDay: 1}})
	for _, c := range []struct {
		name, key string
		model     string
		change    func(*llm.Request)
		want      fault.Code
	}{
		{"no key", "", "m", nil, fault.KeyMissing},
		{"a stranger", "sk-nobody", "m", nil, fault.KeyInvalid},
		{"a billing key", billing, "m", nil, fault.KeyWrongKind},
		{"an unknown model before the balance", inference, "none", nil, fault.ModelNotFound},
		{"a model that is off", inference, "off", nil, fault.ModelUnavailable},
		{"a model the key may not use", narrow, "m", nil, fault.ModelNotAllowed},
		{"too long before the balance", inference, "m", func(r *llm.Request) { r.Size.ASCII = 10 << 20 }, fault.ContextLengthExceeded},
		{"no money", inference, "m", nil, fault.BalanceInsufficient},
		{"no money with a daily limit that is not reached", spent, "m", nil, fault.BalanceInsufficient},
	} {
		err := func() error {
			caller, err := w.enter(c.key)
			if err != nil {
				return err
			}
			defer caller.Leave()
			r := request()
			r.Model = c.model
			if c.change != nil {
				c.change(r)
			}
			_, err = caller.Open(context.Background(), r, Wishes{})
			return err
		}()
		if !fault.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if caller, err := w.enter(once); err != nil {
		t.Error(err)
	} else {
		caller.Leave()
	}
	again, err := w.enter(once)
	if f := fault.From(err); f == nil || f.Code != fault.RateLimited || f.RetryAfter <= 0 {
		t.Errorf("over the throughput: %v", err)
	}
	if again == nil || again.Balance() != w.posted() {
		t.Fatal("who is over the throughput is not told of")
	}
	again.Refused(fault.From(err), 429)
	again.Leave()
	rec, _, err := w.ledger.Receipts(context.Background(), ledger.Filter{Account: int64(w.acc.ID), Limit: 1})
	if err != nil || len(rec) != 1 || rec[0].Fault != "rate_limited" || rec[0].Status != 429 || rec[0].Outcome != OutcomeRefused {
		t.Errorf("the receipt of who is over the throughput: %+v, %v", rec, err)
	}
	if len(w.up.calls) != 0 {
		t.Errorf("%d refused requests reached the provider", len(w.up.calls))
	}
}

// A refusal for money tells the exact amount: with that available the same
// request passes, with one nano-dollar less it does not.
func TestARefusalForMoneyTellsTheExactAmount(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	key := w.key(account.NewKey{})
	open := func() error {
		caller, err := w.enter(key)
		if err != nil {
			return err
		}
		defer caller.Leave()
		call, err := caller.Open(context.Background(), request(), Wishes{})
		if err == nil {
			call.Fail(fault.New(fault.Internal, ""), 500)
		}
		return err
	}
	e := fault.From(open())
	if e == nil || e.Code != fault.BalanceInsufficient || e.Available != 1 || e.Required <= 1 {
		t.Fatalf("with one nano-dollar: %+v", e)
	}
	top := func(n money.Amount) {
		if _, err := w.ledger.Credit(context.Background(), ledger.Credit{Account: int64(w.acc.ID), Kind: ledger.KindTopup, Amount: n}); err != nil {
			t.Fatal(err)
		}
	}
	top(e.Required - e.Available - 1)
	if err := open(); !fault.Is(err, fault.BalanceInsufficient) {
		t.Errorf("with one nano-dollar less than required: %v", err)
	}
	top(1)
	if err := open(); err != nil {
		t.Errorf("with exactly what was required: %v", err)
	}
}

func TestABalanceThatIsHeldIsNotABalanceThatIsMissing(t *testing.T) {
	t.Parallel()
	w := setup(t, 2_000_000)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	key := w.key(account.NewKey{})
	first, err := w.enter(key)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Leave()
	call, err := first.Open(context.Background(), request(), Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	second, _ := w.enter(key)
	defer second.Leave()
	_, err = second.Open(context.Background(), request(), Wishes{})
	e := fault.From(err)
	if e == nil || e.Code != fault.BalanceHeld || e.RetryAfter < time.Second || e.Held == 0 {
		t.Errorf("while the balance is held: %+v", e)
	}
	call.Close()
}

func TestDailyLimitsComeBeforeTheBalanceAndEndAtMidnight(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	key := w.key(account.NewKey{Limits: account.Limits{RequestsPerDay: 1}})
	use := func(finish bool) error {
		caller, err := w.enter(key)
		if err != nil {
			return err
		}
		defer caller.Leave()
		call, err := caller.Open(context.Background(), request(), Wishes{})
		if err != nil {
			return err
		}
		consume(call, false)
		return nil
	}
	if err := use(true); err != nil {
		t.Fatal(err)
	}
	e := fault.From(use(true))
	if e == nil || e.Code != fault.DailyRequestsExceeded || e.RetryAfter != 12*time.Hour {
		t.Errorf("the second request of the day: %+v, want a wait to midnight", e)
	}
	w.advance(12 * time.Hour)
	if err := use(true); err != nil {
		t.Errorf("the next day: %v", err)
	}
}

func TestADailyLimitCountsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	key := w.key(account.NewKey{Limits: account.Limits{RequestsPerDay: 3}})
	open := func() (*Call, error) {
		caller, err := w.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(caller.Leave)
		return caller.Open(context.Background(), request(), Wishes{})
	}
	calls := make([]*Call, 3)
	for i := range calls {
		var err error
		if calls[i], err = open(); err != nil {
			t.Fatal(err)
		}
	}
	consume(calls[0], false)
	_, err := open()
	e := fault.From(err)
	if e == nil || e.Code != fault.DailyRequestsExceeded || e.Args["used"] != "3" || e.Args["limit"] != "3" || e.RetryAfter != time.Second {
		t.Errorf("one answered and two in flight of three: %+v", e)
	}
	calls[1].Close()
	calls[2].Close()
}

func TestWithoutALimitOfItsOwnTheOutputIsCappedAtWhatCanBePaid(t *testing.T) {
	t.Parallel()
	w := setup(t, 30*money.Amount(10_000)*100) // 3,000 tokens of output
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	key := w.key(account.NewKey{})
	open := func(wish Wishes) (*Caller, error) {
		caller, err := w.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		defer caller.Leave()
		r := request()
		r.MaxOutput, r.HasMaxOutput = 0, false
		call, err := caller.Open(context.Background(), r, wish)
		if err == nil {
			consume(call, false)
		}
		return caller, err
	}
	caller, err := open(Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if c := w.up.calls[0].CapOutput; c < 2500 || c > 3000 || caller.v.Event.CappedBy != "balance" {
		t.Errorf("output capped at %d by %q, want a little less than 3,000 by balance", c, caller.v.Event.CappedBy)
	}
	if _, err := open(Wishes{FullOutput: true}); !fault.Is(err, fault.BalanceInsufficient) {
		t.Errorf("a caller who wants the full output or nothing: %v", err)
	}
}

func TestTestKeysSpendTheTestBalance(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 100, Output: 50}}}
	key := w.key(account.NewKey{Test: true})
	caller, err := w.enter(key)
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Leave()
	if _, err := caller.Open(context.Background(), request(), Wishes{}); !fault.Is(err, fault.BalanceInsufficient) {
		t.Fatalf("without a test balance: %v", err)
	}
	if _, err := w.ledger.Credit(context.Background(), ledger.Credit{Account: int64(w.acc.ID), Kind: ledger.KindGrant, Amount: money.Dollar, Test: true}); err != nil {
		t.Fatal(err)
	}
	call, err := caller.Open(context.Background(), request(), Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	consume(call, false)
	b := w.ledger.Balance(int64(w.acc.ID))
	if b.Posted != money.Dollar || b.TestPosted != money.Dollar-600_000 {
		t.Errorf("balance %s, test balance %s", b.Posted, b.TestPosted)
	}
}

func TestACallerWhoLeavesCancelsTheProviderAtOnceUnlessTheKeyDrains(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cancel", "drain"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := setup(t, money.Dollar)
			w.up.events = []llm.Event{says(8)}
			release := make(chan struct{})
			w.up.wait = func(ctx context.Context) error {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-release:
					return nil
				}
			}
			caller, err := w.enter(w.key(account.NewKey{OnDisconnect: mode}))
			if err != nil {
				t.Fatal(err)
			}
			defer caller.Leave()
			ctx, leave := context.WithCancel(context.Background())
			call, err := caller.Open(ctx, request(), Wishes{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := call.Next(); err != nil {
				t.Fatal(err)
			}
			leave()
			if mode == "drain" {
				close(release)
			}
			_, err = call.Next()
			if mode == "drain" {
				if err != io.EOF {
					t.Errorf("the answer that is drained ended with %v", err)
				}
				_, err = call.Finish(nil)
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the provider's stream ended with %v, want a cancel", err)
			}
			call.Left()
		})
	}
}

func TestAModelIsTriedAsOftenAsThePlansSay(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{1, 2, 5} {
		w := setup(t, money.Dollar)
		plans := *w.g.plans.Load()
		plans.Attempts = attempts
		w.g.Swap(&plans)
		w.up.open = &provider.Failure{Fault: fault.New(fault.UpstreamFailed, ""), Retry: true}
		caller, err := w.enter(w.key(account.NewKey{}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := caller.Open(context.Background(), request(), Wishes{}); !fault.Is(err, fault.UpstreamFailed) {
			t.Errorf("%d attempts: %v", attempts, err)
		}
		caller.Leave()
		if len(w.up.calls) != attempts {
			t.Errorf("tried %d times, want %d", len(w.up.calls), attempts)
		}
	}
}

func TestWhatADrainBreaksOffWasAborted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e    *fault.Error
		want string
	}{
		{fault.New(fault.Draining, ""), OutcomeAborted},
		{fault.Wrap(fault.Draining, context.Canceled), OutcomeAborted},
		{fault.Wrap(fault.UpstreamFailed, context.Canceled), OutcomeClientLeft},
		{fault.New(fault.Internal, ""), OutcomeAborted},
	} {
		if got := classOf(c.e, false).row().outcome; got != c.want {
			t.Errorf("%v: %q, want %q", c.e, got, c.want)
		}
	}
}

func TestWhatWasLeftOutIsTold(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	w.up.dropped = []string{"seed", "messages.0.name"}
	caller, err := w.enter(w.key(account.NewKey{}))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Leave()
	call, err := caller.Open(context.Background(), request(), Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	if got := strings.Join(call.Dropped(), " "); got != "seed messages.0.name" || len(caller.v.Event.Dropped) != 2 {
		t.Errorf("dropped %q", got)
	}
}
