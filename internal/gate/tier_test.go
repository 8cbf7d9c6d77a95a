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

// asking is a request that asks for a tier of service.
func asking(name string) *llm.Request {
	r := request()
	if name == "" {
		return r
	}
	r.Raw = llm.Raw{Body: []byte(`{"service_tier":"` + name + `"}`), Members: []llm.Member{{Name: "service_tier", Start: 1, ValueStart: 16, End: 18 + len(name)}}}
	return r
}

// stepped gives the model m a price with a step above so many tokens, at which all is
// twice as dear, and factors of 3 by priority and a half by flex.
func (w *world) stepped(above int64) {
	m, _ := w.g.plans.Load().Views["*"].Model("m")
	m.Price.Long = &catalog.Long{Above: above, Price: catalog.Price{
		Input: 2 * perMillion, CachedInput: 2 * perMillion, CacheWrite: 2 * perMillion, CacheWrite1h: 2 * perMillion, Output: 20 * perMillion,
	}}
	m.Price.Tiers = catalog.Tiers{Priority: 3_000_000, Flex: 500_000}
}

func TestAnAnswerIsChargedInTheTierThatServedIt(t *testing.T) {
	t.Parallel()
	const plain = 100*1000 + 7*10_000
	for _, c := range []struct {
		name   string
		asks   string
		served llm.Tier
		charge money.Amount
	}{
		{"asked for and given", "priority", llm.TierPriority, 3 * plain},
		{"asked for by its other name", "fast", llm.TierPriority, 3 * plain},
		{"asked for and not given", "priority", llm.TierStandard, plain},
		{"given to who did not ask", "", llm.TierPriority, plain},
		{"given to who leaves it open", "auto", llm.TierPriority, plain},
		{"a dearer one than that asked for", "priority", llm.TierFast, 3 * plain},
		{"a cheaper one", "flex", llm.TierFlex, plain / 2},
		{"a cheaper one, that nobody asked for", "", llm.TierFlex, plain / 2},
		{"a cheaper one that was not given", "flex", llm.TierStandard, plain},
		{"the opposite of what was asked for", "flex", llm.TierPriority, plain},
	} {
		w := setup(t, money.Dollar)
		w.stepped(50_000)
		w.up.events = []llm.Event{
			{Content: true, OutputBytes: 40, Tier: c.served},
			{Finish: llm.FinishStop, Usage: &llm.Usage{Input: 100, Output: 7, Tier: c.served}, Last: true},
		}
		caller, call := w.reads(context.Background(), asking(c.asks), 0)
		consume(call, false)
		if charge := money.Dollar - w.posted(); charge != c.charge {
			t.Errorf("%s: charged %d, want %d", c.name, charge, c.charge)
		}
		caller.Leave()
	}
}

// What is estimated for who leaves is at the tier that the provider had told by then.
func TestWhoLeavesPaysTheTierThatWasTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		asks   string
		factor money.Amount
	}{{"priority", 3}, {"", 1}} {
		w := setup(t, money.Dollar)
		w.stepped(50_000)
		w.up.events = []llm.Event{{Content: true, OutputBytes: 400, Tier: llm.TierPriority}, {Content: true, OutputBytes: 4}}
		caller, call := w.reads(context.Background(), asking(c.asks), 1)
		call.Left()
		call.Close()
		r := w.receipt(caller)
		if want := c.factor * money.Amount(r.Usage.Input*1000+r.Usage.Output*10_000); r.Usage.Output != 100 || money.Dollar-w.posted() != want {
			t.Errorf("asking for %q: charged %d for %+v, want %d", c.asks, money.Dollar-w.posted(), r.Usage, want)
		}
		caller.Leave()
	}
}

// The number of a refusal is that of the step and the tier, to the nano-dollar.
func TestARefusalNamesWhatTheStepAndTheTierNeed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		above int64
		asks  string
		times int64
	}{
		{"short", 50_000, "", 1},
		{"long", 1, "", 2},
		{"short, by priority", 50_000, "priority", 3},
		{"long, by priority", 1, "priority", 6},
		{"short, by flex", 50_000, "flex", 1},
	} {
		r := asking(c.asks)
		need := money.Amount(c.times * (upper(r)*1000 + 100*10_000))
		for _, lacks := range []money.Amount{0, 1} {
			w := setup(t, need-lacks)
			w.stepped(c.above)
			w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: upper(r), Output: 100, Tier: r.Tier()}, Last: true}}
			caller, err := w.enter(w.key(account.NewKey{}))
			if err != nil {
				t.Fatal(err)
			}
			call, err := caller.Open(context.Background(), r, Wishes{})
			switch e := fault.From(err); {
			case lacks == 0 && err != nil:
				t.Errorf("%s: %v, although there are %d", c.name, err, need)
			case lacks > 0 && (e == nil || e.Code != fault.BalanceInsufficient || e.Required != need):
				t.Errorf("%s: %+v, want %d", c.name, e, need)
			case err == nil:
				consume(call, false)
				if c.asks != "flex" && w.posted() != 0 {
					t.Errorf("%s: %d are left", c.name, w.posted())
				}
			}
			caller.Leave()
		}
	}
}

// A prompt that turns out longer than it was estimated is charged at the step that it
// is in, as far as there is money; the rest is absorbed.
func TestAPromptAboveItsStepIsTheCallersAsFarAsThereIsMoney(t *testing.T) {
	t.Parallel()
	const cost = 2000*2000 + 100*20_000
	for _, balance := range []money.Amount{money.Dollar, cost, cost - 1} {
		w := setup(t, balance)
		w.stepped(1999)
		w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 2000, Output: 100}, Last: true}}
		caller, call := w.reads(context.Background(), request(), 0)
		consume(call, false)
		if charge := balance - w.posted(); charge != min(cost, balance) || call.c.v.Event.Absorbed != cost-charge {
			t.Errorf("of %d there were %d charged and %d absorbed", balance, charge, call.c.v.Event.Absorbed)
		}
		r := w.receipt(caller)
		if len(r.Lines) != 2 || r.Lines[0] != (ledger.Line{Kind: "input", Units: 2000, Rate: 2 * perMillion, Rated: true, Amount: 4_000_000}) {
			t.Errorf("the receipt says %+v", r.Lines)
		}
		caller.Leave()
	}
}

// Who names the most that he pays does not pay the step of a prompt that turns out
// longer than it was held for: he would have been refused at its price.
func TestTheMostThatACallerPaysIsNotExceededByALongerPrompt(t *testing.T) {
	t.Parallel()
	const short, long = 2000*1000 + 100*10_000, 2 * (2000*1000 + 100*10_000)
	for _, c := range []struct {
		name   string
		asks   string
		wish   Wishes
		charge money.Amount
	}{
		{"he names none", "", Wishes{}, long},
		{"of the prompt", "", Wishes{MaxInput: perMillion}, short},
		{"of the answer", "", Wishes{MaxOutput: 10 * perMillion}, short},
		{"by the request", "", Wishes{MaxRequest: money.Dollar}, long},
		{"he asked for more than he got", "priority", Wishes{MaxInput: 3 * perMillion}, long},
	} {
		w := setup(t, money.Dollar)
		w.stepped(1999)
		w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 2000, Output: 100}, Last: true}}
		caller, err := w.enter(w.key(account.NewKey{}))
		if err != nil {
			t.Fatal(err)
		}
		call, err := caller.Open(context.Background(), asking(c.asks), c.wish)
		if err != nil {
			t.Fatal(err)
		}
		consume(call, false)
		if charge := money.Dollar - w.posted(); charge != c.charge || call.c.v.Event.Absorbed != long-c.charge {
			t.Errorf("%s: charged %d, want %d; absorbed %d", c.name, charge, c.charge, call.c.v.Event.Absorbed)
		}
		caller.Leave()
	}
}

// Who names the most that he pays is not asked for more because his prompt is long, or
// because he wants it soon.
func TestTheMostThatACallerPaysIsThatOfHisRequest(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	m, _ := w.g.plans.Load().Views["*"].Model("m")
	caller, err := w.enter(w.key(account.NewKey{}))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Leave()
	for _, c := range []struct {
		above int64
		asks  string
		times money.Rate
	}{{50_000, "", 1}, {1, "", 2}, {50_000, "priority", 3}, {1, "priority", 6}, {50_000, "flex", 1}} {
		w.stepped(c.above)
		for _, wish := range []Wishes{{MaxInput: c.times * perMillion}, {MaxOutput: c.times * 10 * perMillion}} {
			wish.MaxPriceAt = "provider.max_price"
			if _, err := caller.places(m, asking(c.asks), wish); err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			wish.MaxInput, wish.MaxOutput = max(wish.MaxInput-1, 0), max(wish.MaxOutput-1, 0)
			if _, err := caller.places(m, asking(c.asks), wish); !fault.Is(err, fault.InvalidParameter) {
				t.Errorf("%+v: %v, although it is one less", c, err)
			}
		}
	}
	w.stepped(10_000)
	for name, r := range map[string]*llm.Request{
		"sound":       {Task: llm.TaskTranscribe, Seconds: 1000},
		"many images": {Task: llm.TaskImage, Images: 100, Size: llm.Size{ASCII: 1000}},
	} {
		if _, err := caller.places(m, r, Wishes{MaxInput: perMillion, MaxPriceAt: "provider.max_price"}); !fault.Is(err, fault.InvalidParameter) {
			t.Errorf("%s: %v, although it is held for as long", name, err)
		}
	}
}
