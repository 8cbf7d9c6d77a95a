package catalog

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// asks makes r ask for a tier, as a caller of the dialect that has it does.
func asks(r *llm.Request, tier llm.Tier) {
	name, value := "service_tier", map[llm.Tier]string{llm.TierFlex: `"flex"`, llm.TierPriority: `"priority"`, llm.TierFast: `"fast"`, llm.TierRegional: `"us"`}[tier]
	switch tier {
	case llm.TierStandard:
		return
	case llm.TierFast:
		name = "speed"
	case llm.TierRegional:
		name = "inference_geo"
	case llm.TierFastRegional:
		asks(r, llm.TierRegional)
		asks(r, llm.TierFast)
		return
	}
	start := len(r.Raw.Body)
	r.Raw.Body = append(r.Raw.Body, value...)
	r.Raw.Members = append(r.Raw.Members, llm.Member{Name: name, Start: start, ValueStart: start, End: len(r.Raw.Body)})
}

// drawLong draws steps and factors for an entry, in which the same rates are known
// as in the price below them.
func drawLong(t draws, e *PriceEntry) {
	before := e.price(Chat, func(field, reason string) { t.Fatalf("price %s: %s", field, reason) })
	above := int64(0)
	for range t.between(0, maxSteps, "steps") {
		above = t.between(above+1, above+1<<19, "above")
		s := LongEntry{Above: above}
		for _, r := range []struct {
			known, to **money.Rate
			was       money.Rate
		}{
			{&e.Input, &s.Rates.Input, max(before.Input, before.ImageInput, before.AudioInput)},
			{&e.Output, &s.Rates.Output, max(before.Output, before.Reasoning, before.AudioOutput, before.ImageOutput)},
			{&e.CachedInput, &s.Rates.CachedInput, before.CachedInput},
			{&e.CacheWrite, &s.Rates.CacheWrite, before.CacheWrite},
			{&e.CacheWrite1h, &s.Rates.CacheWrite1h, before.CacheWrite1h},
			{&e.ImageInput, &s.Rates.ImageInput, before.ImageInput},
			{&e.AudioInput, &s.Rates.AudioInput, before.AudioInput},
			{&e.Reasoning, &s.Rates.Reasoning, before.Reasoning},
			{&e.AudioOutput, &s.Rates.AudioOutput, before.AudioOutput},
			{&e.ImageOutput, &s.Rates.ImageOutput, before.ImageOutput},
		} {
			if *r.known != nil {
				rate := money.Rate(t.between(int64(min(r.was, MaxRate)), int64(MaxRate), "rate of a step"))
				*r.to = &rate
			}
		}
		e.Long = append(e.Long, s)
		before = s.price("", &before, func(field, reason string) { t.Fatalf("step %s: %s", field, reason) })
	}
	for _, f := range []struct {
		to        **Factor
		low, high Factor
	}{{&e.Flex, minFlex, whole}, {&e.Priority, whole, maxFactor}, {&e.Fast, whole, maxFactor}, {&e.Regional, whole, maxFactor}} {
		if t.either("factor known") {
			x := Factor(t.between(int64(f.low), int64(f.high), "factor"))
			*f.to = &x
		}
	}
}

// gemini is a price of two steps: what Gemini 2.5 Pro asks, and an invented third.
func gemini(t *testing.T) *PriceEntry {
	e := entry(t, "1.25", "10", "0.125")
	e.Long = []LongEntry{{Above: 200_000, Rates: *entry(t, "2.5", "15", "0.25")}, {Above: 500_000, Rates: *entry(t, "5", "20")}}
	return e
}

func TestALongPromptIsChargedAtItsStep(t *testing.T) {
	t.Parallel()
	p := gemini(t).must(t, Chat)
	for _, c := range []struct {
		name  string
		usage llm.Usage
		total money.Amount
		lines []Line
	}{
		{"short", llm.Usage{Input: 1000, Output: 10}, 1_250_000 + 100_000, []Line{{"input", 1000, usd(t, "1.25"), 1_250_000}, {"output", 10, usd(t, "10"), 100_000}}},
		{"up to the step", llm.Usage{Input: 200_000, Output: 1}, 250_000_000 + 10_000, []Line{{"input", 200_000, usd(t, "1.25"), 250_000_000}, {"output", 1, usd(t, "10"), 10_000}}},
		{"one token more", llm.Usage{Input: 200_001, Output: 1}, 500_002_500 + 15_000, []Line{{"input", 200_001, usd(t, "2.5"), 500_002_500}, {"output", 1, usd(t, "15"), 15_000}}},
		{
			"what is cached counts",
			llm.Usage{Input: 200_001, CachedInput: 200_000, Output: 1},
			2500 + 50_000_000 + 15_000,
			[]Line{{"input", 1, usd(t, "2.5"), 2500}, {"cached_input", 200_000, usd(t, "0.25"), 50_000_000}, {"output", 1, usd(t, "15"), 15_000}},
		},
		{
			"the last step, where the cache has no price",
			llm.Usage{Input: 600_000, CachedInput: 500_000},
			3_000_000_000,
			[]Line{{"input", 100_000, usd(t, "5"), 500_000_000}, {"cached_input", 500_000, usd(t, "5"), 2_500_000_000}},
		},
		{
			"by priority",
			llm.Usage{Input: 200_001, Output: 1, Tier: llm.TierPriority},
			1_250_006_250 + 37_500,
			[]Line{{"input", 200_001, usd(t, "6.25"), 1_250_006_250}, {"output", 1, usd(t, "37.5"), 37_500}},
		},
	} {
		total, lines, err := p.Cost(c.usage)
		if err != nil || total != c.total {
			t.Errorf("%s: costs %d, %v; want %d", c.name, total, err, c.total)
		}
		if diff := cmp.Diff(c.lines, lines); diff != "" {
			t.Errorf("%s: lines (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestATierMultipliesTheRatesOfTokensAlone(t *testing.T) {
	t.Parallel()
	e := *entry(t, "1", "2", "0.1")
	e.Request = perRequest(5).Request
	half, double := whole/2, whole/10*17
	told := e
	told.Flex, told.Priority = &half, &double
	fifth, region := whole/10*12, e
	region.Regional = &fifth
	odd := *entry(t, "0.000100001", "1")
	odd.Priority = &double
	for _, c := range []struct {
		name  string
		price Price
		tier  llm.Tier
		total money.Amount
	}{
		{"standard", told.must(t, Chat), llm.TierStandard, 900_000 + 10_000 + 200_000 + 5},
		{"flex", told.must(t, Chat), llm.TierFlex, 450_000 + 5_000 + 100_000 + 5},
		{"priority", told.must(t, Chat), llm.TierPriority, 1_530_000 + 17_000 + 340_000 + 5},
		{"flex, of which nothing is said", e.must(t, Chat), llm.TierFlex, 900_000 + 10_000 + 200_000 + 5},
		{"priority, likewise", e.must(t, Chat), llm.TierPriority, 2_250_000 + 25_000 + 500_000 + 5},
		{"speed fast, likewise", e.must(t, Chat), llm.TierFast, 5_400_000 + 60_000 + 1_200_000 + 5},
		{"in one region, likewise", e.must(t, Chat), llm.TierRegional, 990_000 + 11_000 + 220_000 + 5},
		{"fast and in one region", e.must(t, Chat), llm.TierFastRegional, 5_940_000 + 66_000 + 1_320_000 + 5},
		{"in one region at a factor of its own", region.must(t, Chat), llm.TierRegional, 1_080_000 + 12_000 + 240_000 + 5},
		{"fast there", region.must(t, Chat), llm.TierFastRegional, 6_480_000 + 72_000 + 1_440_000 + 5},
		// 100,001 × 1.7 is 170,001.7 nano-dollars a million: the rate is rounded up.
		{"an odd rate", odd.must(t, Chat), llm.TierPriority, 171 + 170_000},
		{"free", (&PriceEntry{Free: true}).must(t, Chat), llm.TierFast, 0},
	} {
		total, lines, err := c.price.Cost(llm.Usage{Input: 1000, CachedInput: 100, Output: 100, Tier: c.tier})
		if err != nil || total != c.total {
			t.Errorf("%s: costs %d in %v, %v; want %d", c.name, total, lines, err, c.total)
		}
	}
}

// Nobody pays for a tier that he did not ask for, or more than for the one he did.
func TestATierIsBilledAsAskedFor(t *testing.T) {
	t.Parallel()
	const std, flex, prio, fast = llm.TierStandard, llm.TierFlex, llm.TierPriority, llm.TierFast
	const here, both = llm.TierRegional, llm.TierFastRegional
	half := whole / 2
	cheap := entry(t, "1", "2")
	cheap.Flex = &half
	for _, c := range []struct{ asked, served, want llm.Tier }{
		{std, std, std},
		{std, prio, std}, // the operator's project has it as its default
		{std, fast, std},
		{std, flex, flex},
		{prio, prio, prio},
		{prio, std, std}, // given less than was asked for
		{prio, flex, flex},
		{prio, fast, prio},
		{flex, flex, flex},
		{flex, std, std},
		{flex, prio, std},
		{fast, fast, fast},
		{fast, prio, prio},
		{here, here, here},
		{here, std, std},
		{std, here, std}, // the operator's workspace has it as its default
		{fast, both, fast},
		{here, both, here},
		{both, both, both},
		{both, here, here},
	} {
		for _, p := range []Price{cheap.must(t, Chat), entry(t, "1", "2").must(t, Chat)} {
			if got := p.Billed(c.asked, c.served); got != c.want {
				t.Errorf("asked for %d and served %d: charged %d, want %d", c.asked, c.served, got, c.want)
			}
		}
	}
}

func TestAQuoteIsOfTheStepThatThePromptMayReach(t *testing.T) {
	t.Parallel()
	p := gemini(t).must(t, Chat)
	hour := *gemini(t)
	hour.CacheWrite = hour.Input
	hour.Long[0].Rates.CacheWrite1h, hour.Long[1].Rates.CacheWrite1h = entry(t, "7").Input, entry(t, "10").Input
	for _, c := range []struct {
		name  string
		price Price
		upper int64
		tier  llm.Tier
		body  string
		hold  money.Amount
	}{
		{"short", p, 200_000, 0, "", 250_000_000 + 100*10_000},
		{"one token more", p, 200_001, 0, "", 500_002_500 + 100*15_000},
		{"the last step", p, 500_001, 0, "", 2_500_005_000 + 100*20_000},
		{"by priority", p, 1000, llm.TierPriority, "", 3_125_000 + 100*25_000},
		{"by priority, long", p, 200_001, llm.TierPriority, "", 1_250_006_250 + 100*37_500},
		{"by flex, of which nothing is said", p, 1000, llm.TierFlex, "", 1_250_000 + 100*10_000},
		{"written for an hour", hour.must(t, Chat), 200_001, 0, `"1h"`, 1_400_007_000 + 100*15_000},
		{"beyond the context", p, 2_000_000, 0, "", 5_000_000_000},
	} {
		r := llm.Request{HasMaxOutput: true, MaxOutput: 100, Raw: llm.Raw{Body: []byte(c.body)}}
		if c.upper > 1_000_000 {
			r.MaxOutput = 0
		}
		asks(&r, c.tier)
		q, err := chatModel(c.price, 1_000_000, 8192).Quote(&r, c.upper, func() int64 { return 1_000_000 })
		if err != nil || q.Hold != c.hold || q.Floor != q.Hold {
			t.Errorf("%s: holds %d, %v; want %d", c.name, q.Hold, err, c.hold)
		}
	}
	half := whole / 2
	cheap := gemini(t)
	cheap.Flex = &half
	r := llm.Request{}
	asks(&r, llm.TierFlex)
	q, err := chatModel(cheap.must(t, Chat), 1_000_000, 8192).Quote(&r, 200_001, nil)
	if err != nil || q.Hold != 500_002_500+8192*15_000 || q.Floor != 500_002_500+1024*15_000 || q.Step() != 1024*15_000 || q.More(3) != 45_000 || q.Covers(q.Floor) != 1024 || q.OutputFor(q.Floor) != 1024 {
		t.Errorf("an answer without a limit, by flex: %+v, %v; it need not be served so", q, err)
	}
}

// A longer prompt, a longer answer and a dearer tier never cost less.
func TestMoreNeverCostsLess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := rapidDraws{t}
		p := drawPrice(d)
		u := drawUsage(d, 1<<22, 1<<22, true)
		if u.Tier == llm.TierFlex {
			u.Tier = llm.TierStandard
		}
		cost := func(u llm.Usage) money.Amount {
			c, _, err := p.Cost(u)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		base, by := cost(u), d.between(1, 1<<21, "more")
		for _, more := range []func(*llm.Usage){
			func(u *llm.Usage) { u.Input += by },
			func(u *llm.Usage) { u.Input += by; u.CachedInput += by },
			func(u *llm.Usage) { u.Output += by },
		} {
			v := u
			more(&v)
			if c := cost(v); c < base {
				t.Fatalf("%+v costs %d, and %+v only %d", u, base, v, c)
			}
		}
		plain, flex := u, u
		plain.Tier, flex.Tier = llm.TierStandard, llm.TierFlex
		if cost(plain) > base || cost(flex) > cost(plain) {
			t.Fatalf("%+v costs %d, plain %d, by flex %d", u, base, cost(plain), cost(flex))
		}
	})
}

// A step is charged as a price without steps that says the same, by hand.
func TestAStepIsAPriceOfItsOwn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := rapidDraws{t}
		p, u := drawPrice(d), drawUsage(d, 1<<22, 1<<22, true)
		total, lines, err := p.Cost(u)
		if err != nil {
			t.Fatal(err)
		}
		at := &p
		for at.Long != nil && u.Input > at.Long.Above {
			at = &at.Long.Price
		}
		sum := new(big.Int)
		for _, l := range lines {
			want, ok := map[string]money.Rate{"input": at.Input, "output": at.Output, "cached_input": at.CachedInput, "cache_write": at.CacheWrite, "cache_write_1h": at.CacheWrite1h}[l.Kind]
			if !ok { // the fee for the request
				sum.Add(sum, new(big.Int).Mul(big.NewInt(int64(l.Amount)), big.NewInt(1_000_000)))
				continue
			}
			if rate := ceilShare(money.Amount(want), money.Rate(p.Tiers.factor(u.Tier))); l.Rate != money.Rate(rate) {
				t.Fatalf("%d tokens of %s at %d, want %d at tier %d", l.Units, l.Kind, l.Rate, rate, u.Tier)
			}
			sum.Add(sum, new(big.Int).Mul(big.NewInt(l.Units), big.NewInt(int64(l.Rate))))
		}
		sum.Add(sum, big.NewInt(999_999)).Div(sum, big.NewInt(1_000_000))
		if sum.Int64() != int64(total) {
			t.Fatalf("costs %d, want %s", total, sum)
		}
	})
}

func TestStepsAndFactorsAreChecked(t *testing.T) {
	t.Parallel()
	factor := func(f Factor) *Factor { return &f }
	step := func(above int64, rates ...string) LongEntry {
		return LongEntry{Above: above, Rates: *entry(t, rates...)}
	}
	base := func() PriceEntry { return *entry(t, "1", "2", "0.5") }
	long := func(steps ...LongEntry) PriceEntry {
		e := base()
		e.Long = steps
		return e
	}
	for _, c := range []struct {
		name  string
		entry PriceEntry
		want  string // fields that are wrong
	}{
		{"well", long(step(1000, "1", "2"), step(2000, "2", "2", "1")), "-"},
		{"no threshold", long(step(0, "1", "2")), "long[0].above"},
		{"falls", long(step(1000, "1", "2"), step(1000, "2", "2")), "long[1].above"},
		{"falls again", long(step(1000, "1", "2"), step(5, "2", "2"), step(900, "3", "3")), "long[1].above long[2].above"},
		{"cheaper", long(step(1000, "0.9", "1.9", "0.4")), "long[0].input long[0].output long[0].cached_input long[0].cache_write long[0].cache_write_1h"},
		{"cheaper than the step before", long(step(1000, "2", "3"), step(2000, "2", "2.5")), "long[1].output"},
		{"no input", long(step(1000, "", "2")), "long[0].input"},
		{"no output", long(step(1000, "2")), "long[0].output"},
		{"per token, meant per million", long(step(1000, "0.00000002", "3")), "long[0].input"},
		{"nothing", long(step(1000, "2", "3", "0")), "long[0].cached_input"},
		{"too many", long(step(1, "1", "2"), step(2, "1", "2"), step(3, "1", "2"), step(4, "1", "2"), step(5, "1", "2")), "long"},
		{"four", long(step(1, "1", "2"), step(2, "1", "2"), step(3, "1", "2"), step(4, "1", "2")), "-"},
		{"a fee alone", PriceEntry{Request: perRequest(1).Request, Long: long(step(1, "1", "2")).Long}, "long"},
		{"free", PriceEntry{Free: true, Long: long(step(1, "1", "2")).Long}, "free"},
		{"a fee alone by priority", PriceEntry{Request: perRequest(1).Request, Priority: factor(whole)}, "priority"},
		{"free by priority", PriceEntry{Free: true, Priority: factor(whole)}, "free"},
		{"free in one region", PriceEntry{Free: true, Regional: factor(whole)}, "free"},
		{"cheaper by priority", func() PriceEntry {
			e := base()
			e.Priority, e.Fast, e.Regional = factor(whole-1), factor(whole-1), factor(whole-1)
			return e
		}(), "priority fast regional"},
		{"much dearer", func() PriceEntry {
			e := base()
			e.Flex, e.Priority, e.Fast, e.Regional = factor(whole+1), factor(maxFactor+1), factor(maxFactor+1), factor(maxFactor+1)
			return e
		}(), "flex priority fast regional"},
		{"flex for nothing", func() PriceEntry { e := base(); e.Flex = factor(minFlex - 1); return e }(), "flex"},
		{"factors", func() PriceEntry {
			e := base()
			e.Flex, e.Priority, e.Fast, e.Regional = factor(minFlex), factor(maxFactor), factor(whole), factor(whole)
			return e
		}(), "-"},
	} {
		var fields []string
		c.entry.price(Chat, func(field, _ string) { fields = append(fields, field) })
		got := strings.Join(fields, " ")
		if fields == nil {
			got = "-"
		}
		if got != c.want {
			t.Errorf("%s: wrong fields = %q, want %q", c.name, got, c.want)
		}
	}
	// Images that cost more than text must not become text in a step.
	seen := base()
	seen.ImageInput = entry(t, "4").Input
	seen.Long = []LongEntry{step(1000, "3", "3")}
	var told []string
	seen.price(Chat, func(field, reason string) { told = append(told, field+" "+reason) })
	if want := []string{"long[0].image_input is 3.00, below the 4.00 of shorter prompts"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if got := (PriceEntry{Input: entry(t, "1").Input, Long: []LongEntry{step(1000, "2")}}); got.must(t, Embedding).Long.Price.Input != usd(t, "2") {
		t.Errorf("a step of embeddings: %+v", got)
	}
}

// A price with steps has a name that covers them, and is the same when a job is
// resumed with it.
func TestAPriceWithStepsHasItsOwnName(t *testing.T) {
	t.Parallel()
	p := gemini(t).must(t, Chat)
	names := map[string]bool{p.ID(): true, entry(t, "1.25", "10", "0.125").must(t, Chat).ID(): true}
	for i, change := range []func(*PriceEntry){
		func(e *PriceEntry) { e.Long = e.Long[:1] },
		func(e *PriceEntry) { e.Long[1].Above++ },
		func(e *PriceEntry) { e.Long[1].Rates.Output = entry(t, "21").Input },
		func(e *PriceEntry) { f := whole / 2; e.Flex = &f },
		func(e *PriceEntry) { f := whole; e.Priority = &f },
		func(e *PriceEntry) { f := whole; e.Fast = &f },
		func(e *PriceEntry) { f := whole; e.Regional = &f },
	} {
		e := gemini(t)
		change(e)
		names[e.must(t, Chat).ID()] = true
		if len(names) != i+3 {
			t.Errorf("change %d: the name is one of another price", i)
		}
	}
	pinned, err := json.Marshal(p)
	var again Price
	if err != nil || json.Unmarshal(pinned, &again) != nil || again.ID() != p.ID() {
		t.Errorf("%s became %+v (%v)", pinned, again, err)
	}
	dear := (&Model{Price: p}).WithSurcharge(50_000).Price
	u := llm.Usage{Input: 200_001, Output: 1}
	if got, _, err := dear.Cost(u); err != nil || got != 500_017_500+25_000_875 {
		t.Errorf("with a surcharge of 5%% it costs %d, %v", got, err)
	}
}
