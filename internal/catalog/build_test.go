package catalog

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pontage/pontage/internal/money"
)

func build(t *testing.T, in Input) *Catalog {
	t.Helper()
	if in.Table == nil {
		in.Table = table(t)
	}
	c, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Catalog) model(t *testing.T, site, name string) *Model {
	t.Helper()
	m, ok := c.View(site).Model(name)
	if !ok {
		t.Fatalf("no model %s on site %q", name, site)
	}
	return m
}

func ptr[T any](v T) *T { return &v }

var real3 = []Provider{{Name: "openai", Table: "openai"}, {Name: "claude", Table: "anthropic"}, {Name: "local"}}

func TestModelsOfAConfiguredProviderComeFromTheTable(t *testing.T) {
	t.Parallel()
	c := build(t, Input{Providers: real3})
	want := &Model{
		ID: "gpt-5-mini", OwnedBy: "openai", Class: "closed", Kind: Chat, Created: 1754524800,
		Targets: []Target{{Provider: "openai", Model: "gpt-5-mini"}}, Context: 400_000, MaxOutput: 128_000,
		Price: Price{
			Input: usd(t, "0.25"), Output: usd(t, "2"), CachedInput: usd(t, "0.025"), CacheWrite: usd(t, "0.25"), CacheWrite1h: usd(t, "0.25"),
			WebSearch: money.Cent, FileSearch: money.Cent / 4, CodeExecution: 3 * money.Cent,
			PerToken: true, Tiers: Tiers{Priority: whole / 10 * 18},
		},
		PriceSource: "models.dev (github.com/anomalyco/models.dev, MIT licence)", PriceDate: "2026-07-02",
		Inputs: []Modality{Text, Image}, Tools: true, ForcedTool: true, Reasoning: true, JSONSchema: true, BatchInput: true, Enabled: true,
	}
	if diff := cmp.Diff(want, c.model(t, "", "gpt-5-mini"), cmpopts.IgnoreUnexported(Model{})); diff != "" {
		t.Errorf("gpt-5-mini (-want +got):\n%s", diff)
	}
	if m := c.model(t, "", "claude-sonnet-4-5"); m.Targets[0].Provider != "claude" || m.Price.CacheWrite1h != usd(t, "6") {
		t.Errorf("claude-sonnet-4-5 = %+v", m)
	}
	if _, ok := c.View("").Model("gemini-2.0-flash"); ok {
		t.Error("gemini-2.0-flash is offered, and no provider of it is configured")
	}
}

func TestTheFirstConfiguredRowOfAnIDServes(t *testing.T) {
	t.Parallel()
	const id = "openai/gpt-oss-20b" // at Groq and OpenRouter, in this order
	c := build(t, Input{Providers: []Provider{{Name: "or", Table: "openrouter"}}})
	if m := c.model(t, "", id); m.Targets[0].Provider != "or" || m.Price.Input != usd(t, "0.029") {
		t.Errorf("with OpenRouter alone = %+v", m)
	}
	c = build(t, Input{Providers: []Provider{{Name: "or", Table: "openrouter"}, {Name: "groq", Table: "groq"}}})
	if m := c.model(t, "", id); m.Targets[0].Provider != "groq" || m.Price.Input != usd(t, "0.075") || len(m.Targets) != 1 {
		t.Errorf("with both = %+v", m)
	}
}

func TestDevServesTheWholeTable(t *testing.T) {
	t.Parallel()
	tab := table(t)
	c := build(t, Input{Table: tab, Dev: true, Sim: "sim", Providers: []Provider{{Name: "sim"}, {Name: "openai", Table: "openai"}}})
	for id := range tab.byID {
		m := c.model(t, "", id)
		want := "sim"
		if tab.find("openai", id) != nil {
			want = "openai"
		}
		if len(m.Targets) != 1 || m.Targets[0].Provider != want {
			t.Errorf("%s is served by %+v, want %s", id, m.Targets, want)
		}
	}
	if got := len(c.View("").Models()); got != len(tab.byID) {
		t.Errorf("%d models are listed, want %d", got, len(tab.byID))
	}
}

func TestAnEntryOverridesFieldByField(t *testing.T) {
	t.Parallel()
	c := build(t, Input{Providers: real3, Models: map[string]Entry{
		"gpt-5-mini": {Targets: []Target{{Provider: "openai"}, {Provider: "local", Model: "my-mini", Weight: 1}}, Attempts: 2, Tools: ptr(false)},
		"gpt-4o":     {Price: entry(t, "9", "10")},
		"fast":       {Targets: []Target{{Provider: "claude", Model: "claude-haiku-4-5"}}},
		"house":      {Targets: []Target{{Provider: "local"}}, Price: entry(t, "1", "2")},
		"my-embed":   {Targets: []Target{{Provider: "local"}}, Price: entry(t, "1")},
		"unpriced":   {Targets: []Target{{Provider: "local"}}},
		"gpt-4":      {Enabled: ptr(false)},
	}})
	m := c.model(t, "", "gpt-5-mini")
	if m.Context != 400_000 || m.Price.Output != usd(t, "2") || m.Tools || m.ForcedTool || m.Attempts != 2 {
		t.Errorf("gpt-5-mini = %+v", m)
	}
	if diff := cmp.Diff([]Target{{Provider: "openai", Model: "gpt-5-mini", Cost: &Cost{Input: usd(t, "0.25"), Output: usd(t, "2")}}, {Provider: "local", Model: "my-mini", Weight: 1}}, m.Targets); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	if m := c.model(t, "", "gpt-4o"); m.Price.CachedInput != usd(t, "9") || m.PriceSource != "configuration" || m.PriceDate != "" {
		t.Errorf("the price of gpt-4o = %+v from %s: the discount of another price shows through", m.Price, m.PriceSource)
	}
	if m := c.model(t, "", "fast"); m.ID != "fast" || m.Price.Input != usd(t, "1") || m.MaxOutput != 64_000 || !m.Takes(Image) {
		t.Errorf("fast = %+v, want the facts of its target", m)
	}
	if m := c.model(t, "", "house"); !m.Tools || !m.JSONSchema || m.Takes(Image) || m.OwnedBy != "local" || m.Class != "" {
		t.Errorf("house = %+v", m)
	}
	if m := c.model(t, "", "my-embed"); m.Kind != Embedding {
		t.Errorf("my-embed is %s", m.Kind)
	}
	for _, name := range []string{"unpriced", "gpt-4"} {
		c.model(t, "", name) // known
		for _, m := range c.View("").Models() {
			if m.ID == name {
				t.Errorf("%s is listed", name)
			}
		}
	}
}

func TestASiteOverlaysWhatStandsAtTheTop(t *testing.T) {
	t.Parallel()
	flat := money.Amount(3_000_000)
	c := build(t, Input{
		Providers: real3,
		Models:    map[string]Entry{"gpt-5-mini": {MaxOutput: 5000}, "gpt-4o": {Enabled: ptr(false)}},
		Classes:   []Class{{Name: "closed", Models: []string{"gpt-*"}}, {Name: "open", Models: []string{"*"}}},
		Fallbacks: map[string][]string{"gpt-4o": {"claude-3-5-sonnet-20241022", "gemini-2.0-flash", "deepseek-chat"}, "o1": {"gpt-5"}},
		Plans:     map[string]Plan{"free": {Classes: map[string]Quota{"open": {PerDay: 10}}}, "pro": {}},
		Sites: []Overlay{
			{Site: "ninja", Path: "sites[1]", Models: map[string]Entry{
				"gpt-5-mini": {Price: &PriceEntry{Request: &flat}},
				"gpt-4o":     {Enabled: ptr(true)},
				"only-here":  {Targets: []Target{{Provider: "local"}}, Price: &PriceEntry{Request: &flat}},
			}},
			{
				Site: "samurai", Path: "sites[2]", OnlyPlans: []string{"free"},
				Classes:   []Class{{Name: "pro", Models: []string{"o1*"}}},
				Fallbacks: map[string][]string{"gpt-4o": {"gpt-5"}},
			},
			{Site: "plain", Path: "sites[3]"},
		},
	})
	if m := c.model(t, "ninja", "gpt-5-mini"); m.Price != (Price{Request: flat, PerRequest: true}) || m.MaxOutput != 5000 {
		t.Errorf("ninja's gpt-5-mini = %+v", m)
	}
	if m := c.model(t, "", "gpt-5-mini"); !m.Price.PerToken {
		t.Errorf("the overlay of a site shows at the top: %+v", m.Price)
	}
	if !c.model(t, "ninja", "gpt-4o").Enabled || c.model(t, "", "gpt-4o").Enabled {
		t.Error("enabled must be the site's own")
	}
	if _, ok := c.View("").Model("only-here"); ok {
		t.Error("only-here is offered everywhere")
	}
	c.model(t, "ninja", "only-here")
	if c.View("plain") != c.View("") || c.View("nobody") != c.View("") {
		t.Error("a site without an overlay must offer what stands at the top")
	}
	if got := c.model(t, "samurai", "o1").Class + " " + c.model(t, "", "o1").Class + " " + c.model(t, "samurai", "gpt-5").Class; got != "pro open closed" {
		t.Errorf("classes = %s, want pro open closed", got)
	}
	if diff := cmp.Diff([]string{"claude-3-5-sonnet-20241022"}, c.View("").Fallbacks("gpt-4o")); diff != "" {
		t.Errorf("fallbacks, without those that nobody serves (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"gpt-5"}, c.View("samurai").Fallbacks("gpt-4o")); diff != "" {
		t.Errorf("samurai's fallbacks (-want +got):\n%s", diff)
	}
	if got := c.View("samurai").Fallbacks("o1"); len(got) != 1 {
		t.Errorf("samurai's other fallbacks = %v, want those at the top", got)
	}
	if _, ok := c.View("samurai").Plan("pro"); ok {
		t.Error("samurai sells a plan that it does not list")
	}
	if p, ok := c.View("samurai").Plan("free"); !ok || p.Name != "free" || p.Classes["open"].PerDay != 10 {
		t.Errorf("plan free = %+v, %v", p, ok)
	}
}

func TestBuildReportsEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	neg := money.Amount(-1)
	_, err := Build(Input{
		Table: table(t), Providers: real3,
		Models: map[string]Entry{
			"gpt-5-mini":       {Price: entry(t, "1")},
			"gemini-2.0-flash": {MaxOutput: 100},
			"nowhere":          {},
			"house":            {Targets: []Target{{Provider: "locale"}}, Kind: "song", Attempts: 11, Inputs: []Modality{"smell"}, Context: -1, MaxOutput: -1},
		},
		Fallbacks: map[string][]string{"gpt-4o": {"gpt-4o", "gtp-5", "text-embedding-3-small", "deepseek-chat"}, "gtp-4": {"gpt-5"}},
		Sites: []Overlay{{
			Site: "s", Path: "sites[0]", OnlyPlans: []string{"gold"},
			Models:    map[string]Entry{"gpt-5-mini": {Price: &PriceEntry{Request: &neg}}, "elsewhere": {}},
			Fallbacks: map[string][]string{"gpt-4o": {"x"}},
		}},
	})
	want := strings.TrimSpace(`
fallbacks.gpt-4o[0]: a model cannot be its own fallback
fallbacks.gpt-4o[1]: there is no model "gtp-5"
fallbacks.gpt-4o[2]: text-embedding-3-small is a model of another kind
fallbacks.gtp-4: there is no such model
models.gemini-2.0-flash: has no targets, and none of its providers is configured (gemini)
models.gpt-5-mini.price.output: is missing: a price per token needs it
models.house.attempts: must be from 1 to 10
models.house.context: must not be negative
models.house.input[0]: "smell" is not known
models.house.kind: "song" is none of chat, completion, embedding, moderation, image, speech, transcription
models.house.max_output: must not be negative
models.house.targets[0]: there is no provider "locale"
models.nowhere: has no targets, and is not in the embedded catalogue
sites[0].fallbacks.gpt-4o[0]: there is no model "x"
sites[0].models.elsewhere: has no targets, and is not in the embedded catalogue
sites[0].models.gpt-5-mini.price.request: must be above 0; what is really free says so, with price: {free: true}
sites[0].plans[0]: there is no plan "gold"`)
	if err == nil {
		t.Fatal("Build accepted all of it")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestModelsAreListedByName(t *testing.T) {
	t.Parallel()
	list := build(t, Input{Providers: real3}).View("").Models()
	for i := 1; i < len(list); i++ {
		if list[i-1].ID >= list[i].ID {
			t.Errorf("%s stands before %s", list[i-1].ID, list[i].ID)
		}
	}
	if len(list) < 40 {
		t.Errorf("%d models", len(list))
	}
}
