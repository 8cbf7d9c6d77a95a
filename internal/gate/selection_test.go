package gate

import (
	"context"
	"testing"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// selling makes a site where the choice of a provider costs five percent, and where
// all models but the third have two providers.
func selling(t *testing.T, balance money.Amount, in catalog.Input, o catalog.Overlay) *chain {
	t.Helper()
	c := chained(t, balance, in, o)
	p := *c.g.plans.Load()
	p.Surcharges, p.Providers = map[string]money.Rate{"*": 50_000}, []string{"one", "two"}
	for m, all := range p.Targets {
		all[0].Name, all[1].Name = "one", "two"
		if m.ID == "third" {
			all[1].Name = "one"
		}
	}
	c.g.Swap(&p)
	return c
}

// The models cost one, two and three dollars per million tokens of output, and answer
// with ten tokens; a hundred are asked for.
func TestWhoChoosesAProviderPaysMore(t *testing.T) {
	t.Parallel()
	const ten = 10 * 1000 // nano-dollars at the first model
	for _, c := range []struct {
		name   string
		model  string
		wishes Wishes
		charge money.Amount
	}{
		{"nobody", "first", Wishes{}, ten},
		{"only the dearest price", "first", Wishes{MaxOutput: 2 * perMillion, MaxPriceAt: "provider.max_price"}, ten},
		{"one by name", "first", Wishes{Only: []string{"one"}, OnlyAt: "X-Provider", Selects: true}, ten + 500},
		{"an order", "second", Wishes{Sort: catalog.OrderCost, Selects: true}, 2*ten + 1000},
		{"of one", "third", Wishes{Only: []string{"one"}, OnlyAt: "X-Provider", Selects: true}, 3 * ten},
	} {
		w := selling(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
		caller, err := w.enter(w.key(account.NewKey{}))
		if err != nil {
			t.Fatal(err)
		}
		call, err := caller.Open(context.Background(), asks(c.model, ""), c.wishes)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		held := caller.v.Event.Hold
		consume(call, false)
		if spent := money.Dollar - w.posted(); spent != c.charge || held != 10*c.charge {
			t.Errorf("%s: charged %d of %d held, want %d", c.name, spent, held, c.charge)
		}
		r := w.receipt(caller)
		var sum money.Amount
		for _, l := range r.Lines {
			sum += l.Amount
		}
		last, extra := r.Lines[len(r.Lines)-1], c.charge%ten
		if want := (ledger.Line{Kind: "provider_selection", Units: int64(c.charge - extra), Amount: extra, Rate: 50_000, Rated: true}); extra > 0 && last != want {
			t.Errorf("%s: the last line is %+v, want %+v", c.name, last, want)
		}
		if sum != c.charge || extra == 0 && last.Kind == "provider_selection" {
			t.Errorf("%s: lines %+v", c.name, r.Lines)
		}
	}
}

// One nano-dollar less than the surcharge needs, and the request is refused before
// anybody is asked.
func TestTheSurchargeIsHeldBeforeAnybodyIsAsked(t *testing.T) {
	t.Parallel()
	const need = 100*1000 + 5000
	choice := Wishes{Only: []string{"one"}, OnlyAt: "X-Provider", Selects: true}
	for balance, want := range map[money.Amount]fault.Code{need: 0, need - 1: fault.BalanceInsufficient} {
		w := selling(t, balance, catalog.Input{Fallbacks: map[string][]string{"first": {}}}, catalog.Overlay{})
		caller, err := w.enter(w.key(account.NewKey{}))
		if err != nil {
			t.Fatal(err)
		}
		call, err := caller.Open(context.Background(), asks("first", ""), choice)
		if want == 0 {
			if err != nil {
				t.Errorf("with %d: %v", balance, err)
				continue
			}
			consume(call, false)
			continue
		}
		if e := fault.From(err); !fault.Is(err, want) || e.Required != need || len(w.up["first"].calls) != 0 {
			t.Errorf("with %d: %v, and %d calls", balance, err, len(w.up["first"].calls))
		}
		caller.Refused(fault.From(err), 402)
	}
}

// A fallback costs what the choice costs there: nothing where there is none.
func TestAFallbackCostsWhatTheChoiceCostsThere(t *testing.T) {
	t.Parallel()
	w := selling(t, money.Dollar, catalog.Input{Fallbacks: map[string][]string{"first": {"third"}}}, catalog.Overlay{})
	w.up["first"].open = down(fault.UpstreamFailed)
	caller, err := w.enter(w.key(account.NewKey{}))
	if err != nil {
		t.Fatal(err)
	}
	call, err := caller.Open(context.Background(), asks("first", ""), Wishes{Only: []string{"one"}, OnlyAt: "X-Provider", Selects: true})
	if err != nil {
		t.Fatal(err)
	}
	consume(call, false)
	if spent := money.Dollar - w.posted(); spent != 30_000 || caller.v.Event.AnsweredBy != "third" {
		t.Errorf("charged %d by %q", spent, caller.v.Event.AnsweredBy)
	}
}

// No plan pays for a choice, nor is it one of the plan's requests, nor kept from who
// has no such class in his.
func TestNoPlanPaysForAChoice(t *testing.T) {
	t.Parallel()
	in := catalog.Input{
		Classes: []catalog.Class{{Name: "closed", Models: []string{"first"}}, {Name: "open", Models: []string{"second"}}},
		Plans:   map[string]catalog.Plan{"free": {Name: "free", Classes: map[string]catalog.Quota{"open": {PerDay: 5}}}},
	}
	w := selling(t, money.Dollar, in, catalog.Overlay{Standard: "free"})
	key := w.key(account.NewKey{})
	open := func(model string, wish Wishes) money.Amount {
		t.Helper()
		before := w.posted()
		caller, err := w.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		defer caller.Leave()
		call, err := caller.Open(context.Background(), asks(model, ""), wish)
		if err != nil {
			caller.Refused(fault.From(err), 403)
			if !fault.Is(err, fault.PlanRequired) {
				t.Errorf("%s: %v", model, err)
			}
			return -1
		}
		consume(call, false)
		return before - w.posted()
	}
	choice := Wishes{Only: []string{"one"}, OnlyAt: "X-Provider", Selects: true}
	for _, c := range []struct {
		model string
		wish  Wishes
		want  money.Amount
	}{{"second", Wishes{}, 0}, {"second", choice, 21_000}, {"first", Wishes{}, -1}, {"first", choice, 10_500}} {
		if got := open(c.model, c.wish); got != c.want {
			t.Errorf("%s with %+v: charged %d, want %d", c.model, c.wish, got, c.want)
		}
	}
	if u := w.ledger.PlanDay(int64(w.acc.ID), false, "open"); u.Requests != 1 {
		t.Errorf("%d requests count in the plan", u.Requests)
	}
}

func TestSuffixesNeedProvidersToChooseFrom(t *testing.T) {
	t.Parallel()
	w := selling(t, money.Dollar, catalog.Input{Fallbacks: map[string][]string{"first": {}}}, catalog.Overlay{})
	for _, c := range []struct {
		model  string
		wishes Wishes
		want   fault.Code
		at     string
	}{
		{"first", Wishes{Sort: catalog.OrderCost, Suffix: "cheap", Selects: true}, 0, ""},
		{"third", Wishes{Sort: catalog.OrderCost, Suffix: "cheap", Selects: true}, fault.SuffixUnsupported, "model"},
		{"first", Wishes{Only: []string{"nobody"}, OnlyAt: "model", Suffix: "nobody", Selects: true}, fault.ModelNotFound, "model"},
		{"first", Wishes{Only: []string{"nobody"}, OnlyAt: "provider.only", Selects: true}, fault.UnknownProvider, "provider.only"},
		{"first", Wishes{Caching: true, Suffix: "cache", Selects: true}, fault.SuffixUnsupported, "model"}, // it has no price for that
		{"first", Wishes{Caching: true}, 0, ""},
		{"first", Wishes{Selects: true, MaxOutput: perMillion, MaxPriceAt: "provider.max_price"}, fault.InvalidParameter, "provider.max_price.completion"},
		{"first", Wishes{Selects: true, MaxOutput: perMillion * 105 / 100, MaxPriceAt: "provider.max_price"}, 0, ""},
	} {
		caller, err := w.enter(w.key(account.NewKey{}))
		if err != nil {
			t.Fatal(err)
		}
		call, err := caller.Open(context.Background(), asks(c.model, ""), c.wishes)
		if err == nil {
			consume(call, false)
		} else {
			caller.Refused(fault.From(err), 400)
		}
		if e := fault.From(err); c.want == 0 && err != nil || c.want != 0 && (!fault.Is(err, c.want) || e.Param != c.at) {
			t.Errorf("%s with %+v: %v, want %v at %s", c.model, c.wishes, err, c.want, c.at)
		}
	}
}

// Tokens are counted for the same names as answers are given for.
func TestTokensAreCountedForNamesThatThereAre(t *testing.T) {
	t.Parallel()
	w := selling(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	for _, c := range []struct {
		model  string
		wishes Wishes
		want   fault.Code
	}{
		{"first", Wishes{Only: []string{"nobody"}, OnlyAt: "model", Suffix: "nobody", Selects: true}, fault.ModelNotFound},
		{"third", Wishes{Sort: catalog.OrderCost, Suffix: "cheap", Selects: true}, fault.SuffixUnsupported},
		{"first", Wishes{Sort: catalog.OrderCost, Suffix: "cheap", Selects: true}, 0},
	} {
		r := asks(c.model, "")
		r.Task = llm.TaskCountTokens
		_, _, err := w.open(w.key(account.NewKey{}), r, c.wishes)
		if c.want == 0 && err != nil || c.want != 0 && !fault.Is(err, c.want) {
			t.Errorf("%s with %+v: %v, want %v", c.model, c.wishes, err, c.want)
		}
	}
	if spent := money.Dollar - w.posted(); spent != 0 {
		t.Errorf("counting is charged %d", spent)
	}
}

// What is reported while a caller waits, and what he is charged who leaves, has the
// surcharge as well, within what is held.
func TestWhoLeavesPaysTheSurchargeOfWhatWasProduced(t *testing.T) {
	t.Parallel()
	w := selling(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	w.up["first"].events = []llm.Event{says(400), says(20)}
	caller, err := w.enter(w.key(account.NewKey{}))
	if err != nil {
		t.Fatal(err)
	}
	call, err := caller.Open(context.Background(), asks("first", ""), Wishes{Only: []string{"one"}, OnlyAt: "X-Provider", Selects: true})
	if err != nil {
		t.Fatal(err)
	}
	consume(call, true)
	if spent := money.Dollar - w.posted(); spent != 105_000 {
		t.Errorf("charged %d, want a hundred tokens and five percent", spent)
	}
}
