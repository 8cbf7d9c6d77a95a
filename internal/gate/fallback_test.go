package gate

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
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
		rate := money.Rate(i+1) * perMillion
		in.Models[name] = catalog.Entry{Targets: []catalog.Target{{Provider: name}}, Context: 100_000, MaxOutput: 10_000, Price: &catalog.PriceEntry{Input: &rate, Output: &rate}}
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
		m.Price = catalog.Price{Output: m.Price.Output, PerToken: true} // no entry can say that prompts cost nothing
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

// added is a provider's objection to what the gateway added to the request.
func added() *provider.Failure {
	return &provider.Failure{Fault: fault.New(fault.TranslationError, ""), Failover: true, Added: "x"}
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

// Waiting does not mend what the gateway has put wrongly for each of the models.
func TestWhatCouldBePutForNoModelIsNoMatterOfTime(t *testing.T) {
	t.Parallel()
	c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	for _, u := range c.up {
		u.open = added()
	}
	_, caller, err := c.open(c.key(account.NewKey{}), asks("first", ""), Wishes{})
	if !fault.Is(err, fault.TranslationError) || len(c.receipt(caller).Attempts) != 3 {
		t.Errorf("%v after %+v", err, c.receipt(caller).Attempts)
	}
	if c.posted() != money.Dollar || !c.ledger.Idle() {
		t.Error("it was to be free")
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
		{"the gateway added what the first does not take", "first", Wishes{}, added(), fault.AllFallbacksFailed, []string{"first", "second", "third"}},
		{"and the caller forbids another", "first", Wishes{NoFallback: true}, added(), fault.TranslationError, []string{"first"}},
		{"and the caller stays with his cache", "first", Wishes{Sticky: true}, added(), fault.TranslationError, []string{"first"}},
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

// Who leaves while a fallback is at work pays its price, so that the receipt
// names it.
func TestWhoLeavesDuringAFallbackIsToldWhichModelItWas(t *testing.T) {
	t.Parallel()
	c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	c.up["first"].open = down(fault.UpstreamFailed)
	c.up["second"].events = []llm.Event{{Usage: &llm.Usage{Input: 50, Output: 10}}}
	ctx, leave := context.WithCancel(context.Background())
	c.up["second"].wait = func(ctx context.Context) error {
		leave()
		return untilGone(ctx)
	}
	caller, err := c.enter(c.key(account.NewKey{}))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Leave()
	caller.v.Event.Model = "first"
	if _, err := caller.Open(ctx, asks("first", ""), Wishes{}); err == nil {
		t.Fatal("it was answered")
	}
	if r := c.receipt(caller); r.Charge != 10*2*1000 || r.Model != "first" || r.AnsweredBy != "second" || caller.v.Event.Provider != "second/1" {
		t.Errorf("charged %d for %q, answered by %q of %q", r.Charge, r.Model, r.AnsweredBy, caller.v.Event.Provider)
	}
}
