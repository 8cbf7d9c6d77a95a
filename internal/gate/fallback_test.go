package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/route"
)

// chain is a world whose models have providers of their own: first, then second
// and third as its fallbacks.
type chain struct {
	*world
	up map[string]*upstream
}

// chained makes a chain on a site with the plans given. The models cost one,
// two and three dollars per million tokens of output.
func chained(t *testing.T, balance money.Amount, in catalog.Input, o catalog.Overlay) *chain {
	t.Helper()
	w := setup(t, balance)
	c := &chain{world: w, up: map[string]*upstream{}}
	in.Models = map[string]catalog.Entry{}
	for i, name := range []string{"first", "second", "third", "extra"} {
		c.up[name] = &upstream{events: []llm.Event{says(20), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 0, Output: 10}}}}
		in.Providers = append(in.Providers, catalog.Provider{Name: name})
		rate, nothing := money.Rate(i+1)*perMillion, money.Rate(0)
		in.Models[name] = catalog.Entry{Targets: []catalog.Target{{Provider: name}}, Context: 100_000, MaxOutput: 10_000, Price: &catalog.PriceEntry{Input: &nothing, Output: &rate}}
	}
	if in.Fallbacks == nil {
		in.Fallbacks = map[string][]string{"first": {"second", "third"}}
	}
	o.Site = "*"
	in.Sites = []catalog.Overlay{o}
	cat, err := catalog.Build(in)
	if err != nil {
		t.Fatal(err)
	}
	view := cat.View("*")
	p := &Plans{Views: map[string]*catalog.View{"*": view}, Targets: map[*catalog.Model][]*route.Target{}, Tests: map[*catalog.Model][]*route.Target{}, Attempts: 1}
	now := w.now
	for _, m := range view.Models() {
		p.Targets[m] = []*route.Target{
			{ID: m.ID + "/1", Provider: c.up[m.ID], Model: "their-" + m.ID, Health: route.NewHealth(now, route.Norms{})},
			{ID: m.ID + "/2", Provider: &upstream{open: down(fault.UpstreamFailed)}, Model: m.ID, Health: route.NewHealth(now, route.Norms{})},
		}
		p.Tests[m] = p.Targets[m]
	}
	w.g.Swap(p)
	return c
}

// down is a provider's failure after which others may be tried.
func down(code fault.Code) *provider.Failure {
	return &provider.Failure{Fault: fault.New(code, ""), Failover: true, Breaker: true}
}

// asks is a request to a model, with more members in its body.
func asks(model, more string) *llm.Request {
	body := fmt.Sprintf(`{"model":%q%s}`, model, more)
	r := request()
	r.Model = model
	start := bytes.Index([]byte(body), []byte(`"model"`))
	r.Raw = llm.Raw{Body: []byte(body), Members: []llm.Member{{Name: "model", Start: start, ValueStart: start + 8, End: start + 10 + len(model)}}}
	if more != "" { // ,"quality":"hd"
		at := len(body) - len(more)
		r.Raw.Members = append(r.Raw.Members, llm.Member{Name: "quality", Start: at, ValueStart: at + 10, End: len(body) - 1})
	}
	return r
}

// open asks, and returns what came of it with the receipt.
func (c *chain) open(key string, r *llm.Request, w Wishes) (*Call, *Caller, error) {
	c.t.Helper()
	caller, err := c.enter(key)
	if err != nil {
		c.t.Fatal(err)
	}
	caller.v.Event.Model = r.Model
	call, err := caller.Open(context.Background(), r, w)
	if err != nil {
		caller.Refused(fault.From(err), 503)
	} else {
		consume(call, false)
	}
	caller.Leave()
	return call, caller, err
}

func TestTheNextModelAnswersAtItsOwnPrice(t *testing.T) {
	t.Parallel()
	c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	c.up["first"].open = down(fault.UpstreamFailed)
	c.up["second"].open = down(fault.UpstreamTimeout)
	call, caller, err := c.open(c.key(account.NewKey{}), asks("first", ""), Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if call.Model().ID != "third" || call.Request().Model != "third" {
		t.Errorf("%s answers a request for %s", call.Model().ID, call.Request().Model)
	}
	sent := c.up["third"].calls[0]
	if got := string(sent.Request.Raw.Body); got != `{"model":"third"}` || sent.Model != "their-third" {
		t.Errorf("the provider was sent %s, for %s", got, sent.Model)
	}
	if charge := money.Dollar - c.posted(); charge != 10*3*1000 {
		t.Errorf("charged %d for ten tokens at three dollars a million", charge)
	}
	r := c.receipt(caller)
	if r.Model != "first" || r.AnsweredBy != "third" || len(r.Attempts) != 3 || r.Hold != 100*3*1000 {
		t.Errorf("receipt: %s answered by %s after %d attempts, hold %s", r.Model, r.AnsweredBy, len(r.Attempts), r.Hold)
	}
}

func TestWhenNoModelAnswers(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		name   string
		model  string
		wishes Wishes
		first  *provider.Failure
		want   fault.Code
		asked  []string
	}{
		{"all fail", "first", Wishes{}, down(fault.UpstreamFailed), fault.AllFallbacksFailed, []string{"first", "second", "third"}},
		{"the caller forbids it", "first", Wishes{NoFallback: true}, down(fault.UpstreamFailed), fault.NoFallback, []string{"first"}},
		{"the caller stays with his cache", "first", Wishes{Sticky: true}, down(fault.UpstreamFailed), fault.FallbackBlocked, []string{"first"}},
		{"there is none", "extra", Wishes{}, down(fault.UpstreamFailed), fault.UpstreamFailed, []string{"extra"}},
		{"there is none, and he forbids it", "extra", Wishes{NoFallback: true}, down(fault.UpstreamTimeout), fault.NoFallback, []string{"extra"}},
		{"it is the request's own fault", "first", Wishes{}, &provider.Failure{Fault: fault.New(fault.ContentPolicy, "")}, fault.ContentPolicy, []string{"first"}},
		{"and then, too, if he forbids it", "first", Wishes{NoFallback: true}, &provider.Failure{Fault: fault.New(fault.InvalidParameter, "")}, fault.InvalidParameter, []string{"first"}},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
			for _, u := range c.up {
				u.open = down(fault.UpstreamFailed)
			}
			c.up[k.model].open = k.first
			_, caller, err := c.open(c.key(account.NewKey{}), asks(k.model, ""), k.wishes)
			if !fault.Is(err, k.want) {
				t.Errorf("%v, want %v", err, k.want)
			}
			var asked []string
			for _, name := range []string{"first", "second", "third", "extra"} {
				if len(c.up[name].calls) > 0 {
					asked = append(asked, name)
				}
			}
			if !slices.Equal(asked, k.asked) {
				t.Errorf("asked %v, want %v", asked, k.asked)
			}
			if c.posted() != money.Dollar || !c.ledger.Idle() {
				t.Error("it was to be free")
			}
			if r := c.receipt(caller); r.Fault != k.want.String() {
				t.Errorf("the receipt says %s", r.Fault)
			}
		})
	}
}

func TestWhoForbidsAnotherTargetStaysWithTheFirst(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		name   string
		wishes Wishes
		want   fault.Code
		asked  []string
	}{
		{"its provider", Wishes{NoFallback: true}, fault.NoFallback, []string{"a", "b", "a"}},
		{"and its model, for the cache", Wishes{Sticky: true}, fault.FallbackBlocked, []string{"a", "a"}},
	} {
		c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
		c.up["first"].open = down(fault.UpstreamFailed)
		plans := c.g.plans.Load()
		plans.Attempts = 3
		m, _ := plans.Views["*"].Model("first")
		at := func(up *upstream, model string) *route.Target {
			return &route.Target{ID: model, Provider: up, Model: model, Health: route.NewHealth(c.now, route.Norms{})}
		}
		plans.Targets[m] = []*route.Target{at(c.up["first"], "a"), at(c.up["first"], "b"), at(c.up["first"], "a"), at(c.up["second"], "c")}
		_, _, err := c.open(c.key(account.NewKey{}), asks("first", ""), k.wishes)
		var asked []string
		for _, call := range c.up["first"].calls {
			asked = append(asked, call.Model)
		}
		if !fault.Is(err, k.want) || !slices.Equal(asked, k.asked) || len(c.up["second"].calls) > 0 {
			t.Errorf("%s: %v after asking %v, want %v after %v", k.name, err, asked, k.want, k.asked)
		}
	}
}

func TestTheWaitOfAllThatFailedIsTheShortest(t *testing.T) {
	t.Parallel()
	c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	c.up["first"].open = down(fault.UpstreamFailed)
	for name, wait := range map[string]time.Duration{"second": 20 * time.Second, "third": 30 * time.Second} {
		f := down(fault.UpstreamRateLimited)
		f.Fault.RetryAfter = wait
		c.up[name].open = f
	}
	_, _, err := c.open(c.key(account.NewKey{}), asks("first", ""), Wishes{})
	if e := fault.From(err); e.Code != fault.AllFallbacksFailed || e.RetryAfter != 20*time.Second {
		t.Errorf("%v, to be tried again after %v", err, e.RetryAfter)
	}
}

// What does not fit the caller is passed over, and the receipt says so.
func TestFallbacksThatDoNotFitArePassedOver(t *testing.T) {
	t.Parallel()
	plan := func(second, third catalog.Quota) catalog.Overlay {
		return catalog.Overlay{
			Standard: "p",
			Classes:  []catalog.Class{{Name: "one", Models: []string{"first"}}, {Name: "two", Models: []string{"second"}}, {Name: "three", Models: []string{"third"}}},
			Plans:    map[string]catalog.Plan{"p": {Classes: map[string]catalog.Quota{"one": {PerDay: -1}, "two": second, "three": third}}},
		}
	}
	for _, k := range []struct {
		name    string
		balance money.Amount
		key     account.NewKey
		site    catalog.Overlay
		answers string
		skipped string
	}{
		{"too dear", 100 * 1500, account.NewKey{}, catalog.Overlay{}, "", "skipped: balance_insufficient"},
		{"not for this key", money.Dollar, account.NewKey{Models: []string{"first", "third"}}, catalog.Overlay{}, "third", "skipped: model_not_allowed"},
		{"not in the plan", 0, account.NewKey{}, plan(catalog.Quota{}, catalog.Quota{PerDay: 5}), "third", "skipped: plan_required"},
		{"paid from credits that are not there", 0, account.NewKey{}, plan(catalog.Quota{PerDay: 5, Metered: true}, catalog.Quota{PerDay: 5}), "third", "skipped: credits_required"},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			c := chained(t, k.balance, catalog.Input{}, k.site)
			c.up["first"].open = down(fault.UpstreamFailed)
			call, caller, err := c.open(c.key(k.key), asks("first", ""), Wishes{})
			if k.answers == "" {
				if !fault.Is(err, fault.UpstreamFailed) {
					t.Errorf("nobody else was asked: %v", err)
				}
			} else if err != nil || call.Model().ID != k.answers {
				t.Errorf("%v, want an answer of %s", err, k.answers)
			}
			found := false
			for _, a := range c.receipt(caller).Attempts {
				found = found || a.Outcome == k.skipped
			}
			if !found {
				t.Errorf("the receipt does not say %q: %+v", k.skipped, c.receipt(caller).Attempts)
			}
			if u := c.ledger.PlanDay(int64(c.acc.ID), false, "one"); u.Requests != 0 || u.RequestsHeld != 0 {
				t.Errorf("the class of the model that failed was counted: %+v", u)
			}
		})
	}
}

func TestPlans(t *testing.T) {
	t.Parallel()
	site := catalog.Overlay{
		Standard: "free",
		Classes:  []catalog.Class{{Name: "best", Models: []string{"third"}, When: map[string]string{"quality": "hd"}}, {Name: "open", Models: []string{"first"}}, {Name: "closed", Models: []string{"*"}}},
		Plans: map[string]catalog.Plan{
			"free": {Classes: map[string]catalog.Quota{"open": {PerDay: 3}, "closed": {PerDay: 1}, "best": {PerDay: 0}}},
			"pro":  {Classes: map[string]catalog.Quota{"open": {PerDay: -1}, "best": {PerDay: 2, Metered: true}}},
		},
	}
	c := chained(t, 0, catalog.Input{Fallbacks: map[string][]string{}}, site)
	key := c.key(account.NewKey{})
	want := func(what string, r *llm.Request, code fault.Code) *fault.Error {
		t.Helper()
		_, _, err := c.open(key, r, Wishes{})
		e := fault.From(err)
		if (err == nil) != (code == fault.None) || (e != nil && e.Code != code) {
			t.Errorf("%s: %v, want %v", what, err, code)
		}
		return e
	}
	plan := func(name string) {
		t.Helper()
		if _, err := c.reg.UpdateAccount(context.Background(), c.acc.ID, account.AccountPatch{Plan: &name}); err != nil {
			t.Fatal(err)
		}
	}
	want("one of class closed", asks("second", ""), fault.None)
	e := want("a second one", asks("second", ""), fault.PlanQuotaExceeded)
	if e.Args["class"] != "closed" || e.RetryAfter != 12*time.Hour || e.Args["limit"] != "1" {
		t.Errorf("%+v, after %v", e.Args, e.RetryAfter)
	}
	want("the other class still answers", asks("first", ""), fault.None)
	c.up["first"].open = down(fault.UpstreamFailed)
	want("a failure", asks("first", ""), fault.UpstreamFailed)
	c.up["first"].open = nil
	want("which took nothing", asks("first", ""), fault.None)
	want("of the three", asks("first", ""), fault.None)
	want("now the class is spent", asks("first", ""), fault.PlanQuotaExceeded)
	want("a class with 0 is not in the plan", asks("third", ""), fault.PlanRequired)
	want("nor is it by what the request says", asks("first", `,"quality":"hd"`), fault.PlanRequired)
	c.advance(12 * time.Hour)
	want("another day", asks("second", ""), fault.None)
	plan("pro")
	want("a class that the plan lacks", asks("second", ""), fault.PlanRequired)
	want("credits before the quota", asks("third", ""), fault.CreditsRequired)
	if _, err := c.ledger.Credit(context.Background(), topup(c.acc.ID, money.Dollar)); err != nil {
		t.Fatal(err)
	}
	want("paid from credits", asks("third", ""), fault.None)
	if c.posted() != money.Dollar-10*3*1000 {
		t.Errorf("a metered class left %s", c.posted())
	}
	want("and by what the request says", asks("first", `,"quality":"hd"`), fault.None)
	if c.posted() != money.Dollar-10*3*1000-10*1000 {
		t.Errorf("a class by request left %s", c.posted())
	}
	want("which counts, too", asks("third", ""), fault.PlanQuotaExceeded)
	want("included, and without limit", asks("first", ""), fault.None)
	plan("unknown here")
	want("a plan that is not sold here is the default", asks("third", ""), fault.PlanRequired)
}

func topup(id account.ID, amount money.Amount) ledger.Credit {
	return ledger.Credit{Account: int64(id), Kind: ledger.KindTopup, Amount: amount}
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	site := catalog.Overlay{
		Standard: "free",
		Classes:  []catalog.Class{{Name: "open", Models: []string{"first"}}, {Name: "closed", Models: []string{"*"}}},
		Plans:    map[string]catalog.Plan{"free": {Classes: map[string]catalog.Quota{"open": {PerDay: 150}, "closed": {PerDay: 70}}}},
	}
	c := chained(t, 0, catalog.Input{}, site)
	key := c.key(account.NewKey{})
	caller, err := c.enter(key)
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Leave()
	midnight := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	if q, ok := caller.Quota(); !ok || q != (Quota{70, 70, midnight}) {
		t.Errorf("before the class is known: %+v, %v", q, ok)
	}
	caller.Concerns(asks("nonesuch", ""))
	if q, _ := caller.Quota(); q != (Quota{70, 70, midnight}) {
		t.Errorf("of no model: %+v", q)
	}
	caller.Concerns(asks("first", ""))
	if q, _ := caller.Quota(); q != (Quota{150, 150, midnight}) {
		t.Errorf("before anything is asked of the model: %+v", q)
	}
	call, err := caller.Open(context.Background(), asks("first", ""), Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if q, _ := caller.Quota(); q != (Quota{150, 149, midnight}) {
		t.Errorf("in flight: %+v", q)
	}
	consume(call, false)
	if q, _ := caller.Quota(); q != (Quota{150, 149, midnight}) {
		t.Errorf("answered: %+v", q)
	}
	for _, u := range c.up {
		u.open = down(fault.UpstreamFailed)
	}
	if _, err := caller.Open(context.Background(), asks("first", ""), Wishes{}); !fault.Is(err, fault.AllFallbacksFailed) {
		t.Fatalf("%v", err)
	}
	if q, _ := caller.Quota(); q != (Quota{150, 149, midnight}) {
		t.Errorf("all that could answer failed: %+v", q)
	}
}

func TestOneGenerationForAnIdempotencyKey(t *testing.T) {
	t.Parallel()
	c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	key := c.key(account.NewKey{})
	ctx := context.Background()
	// once asks with the key k, and answers like the edge does.
	once := func(digest byte, fails bool) (*ledger.Stored, error) {
		t.Helper()
		caller, err := c.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		defer caller.Leave()
		stored, err := caller.Claim(ctx, "k", [32]byte{digest}, 0)
		if stored != nil || err != nil {
			return stored, err
		}
		c.up["extra"].open = nil
		if fails {
			c.up["extra"].open = down(fault.UpstreamFailed)
		}
		call, err := caller.Open(ctx, asks("extra", ""), Wishes{})
		if err != nil {
			return nil, err
		}
		defer call.Close()
		if !call.Drains() {
			t.Error("an answer that can be asked for again ends with its caller")
		}
		for {
			if _, err := call.Next(); err != nil {
				break
			}
		}
		_, err = call.Finish(func(b Bill) (*ledger.Stored, error) {
			return &ledger.Stored{Status: 200, Body: []byte(b.Charge.String()), Kept: true}, nil
		})
		return nil, err
	}
	if _, err := once(1, true); !fault.Is(err, fault.UpstreamFailed) {
		t.Fatal(err)
	}
	if got, err := once(1, false); got != nil || err != nil {
		t.Fatalf("a failure is no answer: %v, %v", got, err)
	}
	got, err := once(1, false)
	if err != nil || got == nil || string(got.Body) != "0.00004" {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := once(2, false); !fault.Is(err, fault.IdempotencyMismatch) {
		t.Errorf("another request: %v", err)
	}
	if n := len(c.up["extra"].calls); n != 2 || c.posted() != money.Dollar-10*4*1000 {
		t.Errorf("the provider was asked %d times, %s is left", n, c.posted())
	}
}

func TestAKeyInFlightIsInProgress(t *testing.T) {
	t.Parallel()
	c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	key := c.key(account.NewKey{})
	ctx := context.Background()
	first, err := c.enter(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Claim(ctx, "k", [32]byte{}, 0); err != nil {
		t.Fatal(err)
	}
	second, err := c.enter(key)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Leave()
	if _, err := second.Claim(ctx, "k", [32]byte{}, 0); !fault.Is(err, fault.IdempotencyInProgress) || fault.From(err).RetryAfter == 0 {
		t.Errorf("%v", err)
	}
	leaving, leave := context.WithCancel(ctx)
	leave()
	if _, err := second.Claim(leaving, "k", [32]byte{}, time.Minute); fault.Is(err, fault.Internal) || !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves while he waits is our mistake: %v", err)
	}
	first.Leave()
	if stored, err := second.Claim(ctx, "k", [32]byte{}, 0); stored != nil || err != nil {
		t.Errorf("the key was given up: %v, %v", stored, err)
	}
}

// Who was told how a request ended may ask again at once.
func TestAKeyIsGivenUpBeforeItsCallerIsTold(t *testing.T) {
	t.Parallel()
	c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	key := c.key(account.NewKey{})
	ctx := context.Background()
	c.up["extra"].open = nil
	claims := func() *Caller {
		t.Helper()
		caller, err := c.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(caller.Leave)
		if _, err := caller.Claim(ctx, "k", [32]byte{}, 0); err != nil {
			t.Error(err)
		}
		return caller
	}
	opens := func() *Call {
		t.Helper()
		call, err := claims().Open(ctx, asks("extra", ""), Wishes{})
		if err != nil {
			t.Fatal(err)
		}
		return call
	}
	claims().Refused(fault.New(fault.BalanceInsufficient, ""), 402)
	opens().Fail(fault.New(fault.StreamInterrupted, ""), 0)
	blocked := opens()
	blocked.finish = llm.FinishContentFilter
	if _, err := blocked.Finish(nil); err != nil {
		t.Error(err)
	}
	claims()
}
