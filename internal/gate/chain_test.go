package gate

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/route"
)

// askedOf lists the models whose providers were asked, in order of their names.
func (c *chain) askedOf() (out []string) {
	for _, m := range []string{"first", "second", "third", "extra"} {
		if len(c.up[m].calls) > 0 {
			out = append(out, m)
		}
	}
	return out
}

func TestWhoNamesSeveralModelsIsAnsweredByTheFirstThatFits(t *testing.T) {
	t.Parallel()
	narrow := catalog.Entry{Context: 150}
	for _, k := range []struct {
		name    string
		balance money.Amount
		key     account.NewKey
		overlay catalog.Overlay
		wishes  Wishes
		change  func(c *chain, r *llm.Request)
		by      string // empty: nobody
		want    fault.Code
		asked   []string
		tried   []Tried
	}{
		{
			name: "the first is up", wishes: Wishes{Models: []string{"third"}}, by: "first", asked: []string{"first"},
			tried: []Tried{{Model: "first"}},
		},
		{
			name: "in place of the configured ones", wishes: Wishes{Models: []string{"extra"}}, by: "extra", asked: []string{"first", "extra"},
			change: func(c *chain, _ *llm.Request) { c.up["first"].open = down(fault.UpstreamFailed) },
			tried:  []Tried{{"first", fault.UpstreamFailed}, {Model: "extra"}},
		},
		{
			name: "a key that may not use the first", key: account.NewKey{Models: []string{"extra"}}, wishes: Wishes{Models: []string{"second", "extra"}}, by: "extra", asked: []string{"extra"},
			tried: []Tried{{"first", fault.ModelNotAllowed}, {"second", fault.ModelNotAllowed}, {Model: "extra"}},
		},
		{
			name: "what does not fit its context", overlay: catalog.Overlay{Models: map[string]catalog.Entry{"first": narrow}}, wishes: Wishes{Models: []string{"second"}}, by: "second", asked: []string{"second"},
			tried: []Tried{{"first", fault.ContextLengthExceeded}, {Model: "second"}},
		},
		{
			name: "what it cannot do", overlay: catalog.Overlay{Models: map[string]catalog.Entry{"first": {Tools: new(bool)}, "second": {Tools: new(bool)}}}, wishes: Wishes{Models: []string{"second", "third"}}, by: "third", asked: []string{"third"},
			change: func(_ *chain, r *llm.Request) { r.Needs.Add(llm.NeedTools, "tools") },
			tried:  []Tried{{"first", fault.UnsupportedParameter}, {"second", fault.UnsupportedParameter}, {Model: "third"}},
		},
		{
			name: "what its caller cannot pay", balance: 100 * 2500, wishes: Wishes{Models: []string{"first"}}, by: "first", asked: []string{"first"},
			change: func(_ *chain, r *llm.Request) { *r = *asks("third", "") },
			tried:  []Tried{{"third", fault.BalanceInsufficient}, {Model: "first"}},
		},
		{
			name: "what costs more than he allows", wishes: Wishes{Models: []string{"third", "second"}, MaxOutput: 2 * perMillion, MaxPriceAt: "provider.max_price"}, by: "second", asked: []string{"first", "second"},
			change: func(c *chain, _ *llm.Request) { c.up["first"].open = down(fault.UpstreamFailed) },
			tried:  []Tried{{"first", fault.UpstreamFailed}, {"third", fault.InvalidParameter}, {Model: "second"}},
		},
		{
			name: "a provider that finds it too long", wishes: Wishes{Models: []string{"second"}}, by: "second", asked: []string{"first", "second"},
			change: func(c *chain, _ *llm.Request) {
				c.up["first"].open = down(fault.ContextLengthExceeded)
			},
			tried: []Tried{{"first", fault.ContextLengthExceeded}, {Model: "second"}},
		},
		{name: "none fits", key: account.NewKey{Models: []string{"extra"}}, wishes: Wishes{Models: []string{"second"}}, want: fault.ModelNotAllowed},
		{name: "one is unknown", wishes: Wishes{Models: []string{"second", "forth"}, ModelsAt: "models"}, want: fault.ModelNotFound},
		{
			name: "he forbids it", wishes: Wishes{Models: []string{"second"}, NoFallback: true}, want: fault.NoFallback, asked: []string{"first"},
			change: func(c *chain, _ *llm.Request) { c.up["first"].open = down(fault.UpstreamFailed) },
		},
		{
			name: "all fail", wishes: Wishes{Models: []string{"second", "third"}}, want: fault.AllFallbacksFailed, asked: []string{"first", "second", "third"},
			change: func(c *chain, _ *llm.Request) {
				for _, u := range c.up {
					u.open = down(fault.UpstreamFailed)
				}
			},
		},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			balance := k.balance
			if balance == 0 {
				balance = money.Dollar
			}
			c := chained(t, balance, catalog.Input{}, k.overlay)
			r := asks("first", "")
			if k.change != nil {
				k.change(c, r)
			}
			call, caller, err := c.open(c.key(k.key), r, k.wishes)
			if got := c.askedOf(); !slices.Equal(got, k.asked) {
				t.Errorf("asked %v, want %v", got, k.asked)
			}
			if err != nil || k.by == "" {
				if k.by != "" || !fault.Is(err, k.want) {
					t.Fatalf("%v, want %v", err, k.want)
				}
				if c.posted() != balance {
					t.Errorf("charged %s", balance-c.posted())
				}
				return
			}
			if d := cmp.Diff(k.tried, call.Tried()); d != "" || call.Model().ID != k.by {
				t.Errorf("%s answers: %s", call.Model().ID, d)
			}
			rate, _ := c.g.plans.Load().Views["*"].Model(k.by)
			if charge := balance - c.posted(); charge != money.Amount(10*rate.Price.Output/1_000_000) {
				t.Errorf("charged %d, want the price of %s", charge, k.by)
			}
			if by := caller.v.Event.AnsweredBy; (by == k.by) != (k.by != r.Model) {
				t.Errorf("the receipt of a request for %s says that %q answered", r.Model, by)
			}
		})
	}
}

// TestTheCauseThatTellsMostIsTold of all that made a request fail.
func TestTheCauseThatTellsMostIsTold(t *testing.T) {
	t.Parallel()
	c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	for name, code := range map[string]fault.Code{"first": fault.UpstreamAuth, "second": fault.UpstreamOverloaded, "third": fault.UpstreamTimeout} {
		f := down(code)
		f.Fault.UpstreamStatus = 500 + int(code)
		c.up[name].open = f
	}
	c.up["third"].open.(interface{ Unwrap() error }).Unwrap().(*fault.Error).RetryAfter = 2 * time.Second
	_, caller, err := c.open(c.key(account.NewKey{}), asks("first", ""), Wishes{})
	e := fault.From(err)
	if e == nil || e.Code != fault.AllFallbacksFailed || e.UpstreamStatus != 500+int(fault.UpstreamOverloaded) || e.RetryAfter != 2*time.Second {
		t.Errorf("%v, status %d, retry after %v", err, e.UpstreamStatus, e.RetryAfter)
	}
	if r := c.receipt(caller); len(r.Attempts) != 3 {
		t.Errorf("the receipt has %d attempts", len(r.Attempts))
	}
}

// spread gives model first a second provider, as good as the first.
func (c *chain) spread(order, affinity string) *upstream {
	other := &upstream{events: c.up["first"].events}
	p := *c.g.plans.Load()
	m, _ := p.Views["*"].Model("first")
	m.Order, m.Affinity = order, affinity
	one := &route.Target{ID: "one/m", Name: "first", Provider: c.up["first"], Model: "m", Weight: 1, Health: route.NewHealth(c.now, route.Norms{})}
	two := &route.Target{ID: "two/m", Name: "two", Provider: other, Model: "m", Weight: 1, Health: route.NewHealth(c.now, route.Norms{})}
	p.Targets = map[*catalog.Model][]*route.Target{m: {one, two}}
	p.Providers = []string{"first", "two"}
	p.Attempts = 2
	c.g.Swap(&p)
	return other
}

func TestAConversationStaysWithItsProvider(t *testing.T) {
	t.Parallel()
	for affinity, want := range map[string]fault.Code{"": 0, catalog.AffinityPrefer: 0, catalog.AffinityStrict: fault.FallbackBlocked} {
		c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
		other := c.spread("", affinity)
		key := c.key(account.NewKey{})
		for range 12 {
			if _, _, err := c.open(key, asks("first", ""), Wishes{Session: "s"}); err != nil {
				t.Fatal(err)
			}
		}
		home, away := c.up["first"], other
		if len(away.calls) > 0 {
			home, away = away, home
		}
		if len(home.calls) != 12 || len(away.calls) != 0 {
			t.Fatalf("%q: one conversation went to two providers, %d and %d times", affinity, len(home.calls), len(away.calls))
		}
		home.open = down(fault.UpstreamOverloaded)
		if _, _, err := c.open(key, asks("first", ""), Wishes{Session: "s"}); want == 0 && err != nil || want != 0 && !fault.Is(err, want) {
			t.Errorf("%q: its provider is down: %v", affinity, err)
		}
		if want != 0 && len(away.calls)+len(c.up["second"].calls) > 0 {
			t.Errorf("%q: another one was asked", affinity)
		}
	}
}

func TestProvidersThatACallerLeavesOutAreNotAsked(t *testing.T) {
	t.Parallel()
	c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	other := c.spread("", "")
	key := c.key(account.NewKey{})
	for _, w := range []Wishes{{Only: []string{"TWO"}, OnlyAt: "X-Provider"}, {Ignore: []string{"First", "nobody"}}, {Order: []string{"nobody", "two"}}} {
		other.calls = nil
		for range 6 {
			if _, _, err := c.open(key, asks("first", ""), w); err != nil {
				t.Fatal(err)
			}
		}
		if len(other.calls) != 6 {
			t.Errorf("%+v: the other provider was asked too", w)
		}
	}
	for _, k := range []struct {
		wishes Wishes
		param  string
		code   fault.Code
	}{
		{Wishes{Only: []string{"two", "nobody"}, OnlyAt: "provider.only"}, "provider.only", fault.UnknownProvider},
		{Wishes{Only: []string{"two"}, OnlyAt: "X-Provider", Ignore: []string{"two"}}, "X-Provider", fault.InvalidParameter},
		{Wishes{Ignore: []string{"two", "first"}}, "provider.ignore", fault.InvalidParameter},
		{Wishes{MaxOutput: perMillion / 2, MaxPriceAt: "provider.max_price"}, "provider.max_price.completion", fault.InvalidParameter},
	} {
		_, _, err := c.open(key, asks("first", ""), k.wishes)
		if e := fault.From(err); e == nil || e.Code != k.code || e.Param != k.param {
			t.Errorf("%+v: %v", k.wishes, err)
		}
	}
}

func TestNobodyIsAskedAfterTheDeadline(t *testing.T) {
	t.Parallel()
	c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	c.up["first"].open = down(fault.UpstreamFailed)
	p := *c.g.plans.Load()
	p.Deadline = time.Nanosecond // over before anything is tried
	c.g.Swap(&p)
	_, _, err := c.open(c.key(account.NewKey{}), asks("first", ""), Wishes{})
	if !fault.Is(err, fault.UpstreamTimeout) || len(c.askedOf()) != 0 {
		t.Errorf("%v after %v were asked", err, c.askedOf())
	}
}
