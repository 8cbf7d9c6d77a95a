package catalog

import (
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// usd reads a rate or an amount of a test.
func usd(t *testing.T, s string) money.Rate {
	t.Helper()
	r, err := money.ParseRate(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// entry makes a price of rates in the order of the fields; "" is unknown.
func entry(t *testing.T, rates ...string) *PriceEntry {
	t.Helper()
	e := &PriceEntry{}
	for i, p := range []**money.Rate{&e.Input, &e.Output, &e.CachedInput, &e.CacheWrite, &e.CacheWrite1h} {
		if i < len(rates) && rates[i] != "" {
			r := usd(t, rates[i])
			*p = &r
		}
	}
	return e
}

func (e *PriceEntry) must(t *testing.T, kind string) Price {
	t.Helper()
	return e.price(kind, func(field, reason string) { t.Errorf("price %s: %s", field, reason) })
}

func perRequest(a money.Amount) *PriceEntry { return &PriceEntry{Request: &a} }

func TestCostSplitsUsageIntoDisjointLines(t *testing.T) {
	t.Parallel()
	claude := entry(t, "3", "15", "0.3", "3.75", "6").must(t, Chat)
	flat := perRequest(3_000_000).must(t, Chat)
	both := *entry(t, "1", "2")
	both.Request = perRequest(5_000_000).Request
	for _, c := range []struct {
		name  string
		price Price
		usage llm.Usage
		total money.Amount
		lines []Line
	}{
		{"plain", claude, llm.Usage{Input: 1000, Output: 100}, 4_500_000, []Line{{"input", 1000, usd(t, "3"), 3_000_000}, {"output", 100, usd(t, "15"), 1_500_000}}},
		{
			"every class", claude,
			llm.Usage{Input: 1000, CachedInput: 200, CacheWrite: 300, CacheWrite1h: 100, Output: 10, Reasoning: 4},
			1_200_000 + 60_000 + 1_125_000 + 600_000 + 150_000,
			[]Line{
				{"input", 400, usd(t, "3"), 1_200_000},
				{"cached_input", 200, usd(t, "0.3"), 60_000},
				{"cache_write", 300, usd(t, "3.75"), 1_125_000},
				{"cache_write_1h", 100, usd(t, "6"), 600_000},
				{"output", 10, usd(t, "15"), 150_000},
			},
		},
		{"nothing used", claude, llm.Usage{}, 0, []Line{}},
		{"a flat price counts no tokens", flat, llm.Usage{Input: 9, Output: 9}, 3_000_000, []Line{{"request", 1, 3_000_000, 3_000_000}}},
		{"both", both.must(t, Chat), llm.Usage{Input: 1, Output: 1}, 5_003_000, []Line{{"input", 1, usd(t, "1"), 1000}, {"output", 1, usd(t, "2"), 2000}, {"request", 1, 5_000_000, 5_000_000}}},
		// 1 token at $0.0001/M is a tenth of a nano-dollar: the sum is rounded up once, not each line.
		{"rounds once", entry(t, "0.0001", "0.0001").must(t, Chat), llm.Usage{Input: 1, Output: 1}, 1, []Line{{"input", 1, MinRate, 1}, {"output", 1, MinRate, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			total, lines, err := c.price.Cost(c.usage)
			if err != nil || total != c.total {
				t.Errorf("Cost(%+v) = %d, %v; want %d", c.usage, total, err, c.total)
			}
			if diff := cmp.Diff(c.lines, lines); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCostRefusesUsageThatCannotBe(t *testing.T) {
	t.Parallel()
	p := entry(t, "3", "15").must(t, Chat)
	for _, u := range []llm.Usage{
		{Input: -1},
		{Output: -1},
		{Input: 10, CachedInput: 11},
		{Input: 10, CachedInput: 5, CacheWrite: 5, CacheWrite1h: 1},
		{Input: 10, CacheWrite: -5},
	} {
		if total, _, err := p.Cost(u); err == nil {
			t.Errorf("Cost(%+v) = %d, want an error", u, total)
		}
	}
	if _, _, err := (Price{}).Cost(llm.Usage{}); !errors.Is(err, ErrUnpriced) {
		t.Errorf("Cost without a price = %v, want ErrUnpriced: it is never free", err)
	}
	if _, _, err := p.Cost(llm.Usage{Input: 1 << 62, Output: 1 << 62}); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("Cost of too much = %v, want ErrOverflow", err)
	}
}

func TestUnknownCachePricesAreNeverFree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		entry *PriceEntry
		want  Price
	}{
		{"none known", entry(t, "3", "15"), Price{Input: usd(t, "3"), Output: usd(t, "15"), CachedInput: usd(t, "3"), CacheWrite: usd(t, "3"), CacheWrite1h: usd(t, "3"), PerToken: true}},
		{"a write known", entry(t, "3", "15", "", "3.75"), Price{Input: usd(t, "3"), Output: usd(t, "15"), CachedInput: usd(t, "3"), CacheWrite: usd(t, "3.75"), CacheWrite1h: usd(t, "6"), PerToken: true}},
		{"all known", entry(t, "3", "15", "0.3", "3.75", "7"), Price{Input: usd(t, "3"), Output: usd(t, "15"), CachedInput: usd(t, "0.3"), CacheWrite: usd(t, "3.75"), CacheWrite1h: usd(t, "7"), PerToken: true}},
		{"free, and said so", &PriceEntry{Free: true}, Price{PerToken: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, c.entry.must(t, Chat)); diff != "" {
				t.Errorf("price (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPriceMustBeBelievable(t *testing.T) {
	t.Parallel()
	neg, dear := money.Rate(-1), MaxRate+1
	negReq, dearReq := money.Amount(-1), MaxRequest+1
	for _, c := range []struct {
		name  string
		kind  string
		entry PriceEntry
		want  string // fields that are wrong
	}{
		{"empty", Chat, PriceEntry{}, ""},
		{"no output", Chat, *entry(t, "1"), "output"},
		{"no input", Chat, *entry(t, "", "1"), "input"},
		{"embeddings need no output", Embedding, *entry(t, "1"), "-"},
		{"only a cache price", Chat, *entry(t, "", "", "1"), "input"},
		{"negative", Chat, PriceEntry{Input: &neg, Output: &neg}, "input output"},
		{"per token, meant per million", Chat, PriceEntry{Input: &dear, Output: &dear}, "input output"},
		{"negative fee", Chat, PriceEntry{Request: &negReq}, "request"},
		{"a fee beyond belief", Chat, PriceEntry{Request: &dearReq}, "request"},
		{"the dearest", Chat, *entry(t, "10000", "10000"), "-"},
		{"the cheapest", Chat, *entry(t, "0.0001", "0.0001", "0.0001"), "-"},
		{"of one token, meant per million", Chat, *entry(t, "0.00000025", "0.000002"), "input output"},
		{"of one token, and the cache's", Chat, *entry(t, "1", "1", "0.0000999", "0.000099999", "0.000000001"), "cached_input cache_write cache_write_1h"},
		{"nothing", Chat, *entry(t, "0", "0"), "input output"},
		{"an answer for nothing", Chat, *entry(t, "1", "0"), "output"},
		{"embeddings for nothing", Embedding, *entry(t, "0"), "input"},
		{"caches for nothing", Chat, *entry(t, "1", "1", "0", "0", "0"), "cached_input cache_write cache_write_1h"},
		{"a fee of nothing", Chat, PriceEntry{Request: new(money.Amount)}, "request"},
		{"a fee of nothing besides", Chat, PriceEntry{Input: entry(t, "1").Input, Output: entry(t, "1").Input, Request: new(money.Amount)}, "request"},
		{"free", Chat, PriceEntry{Free: true}, "-"},
		{"free embeddings", Embedding, PriceEntry{Free: true}, "-"},
		{"free, and not", Chat, PriceEntry{Free: true, Input: entry(t, "1").Input, Output: entry(t, "1").Input}, "free"},
		{"free, but for the cache", Chat, PriceEntry{Free: true, CacheWrite: entry(t, "1").Input}, "free"},
		{"free, for a fee", Chat, PriceEntry{Free: true, Request: perRequest(1).Request}, "free"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var fields []string
			c.entry.price(c.kind, func(field, _ string) { fields = append(fields, field) })
			got := strings.Join(fields, " ")
			if fields == nil {
				got = "-"
			}
			if got != c.want {
				t.Errorf("wrong fields = %q, want %q", got, c.want)
			}
		})
	}
}

// drawPrice draws a price as an operator could write it.
func drawPrice(t draws) Price {
	rate := func(name string) *money.Rate {
		r := money.Rate(t.between(int64(MinRate), int64(MaxRate), name))
		return &r
	}
	maybe := func(name string) *money.Rate {
		if t.either(name + " known") {
			return rate(name)
		}
		return nil
	}
	e := PriceEntry{}
	way := []string{"token", "request", "both"}[t.between(0, 2, "way")]
	if way != "request" {
		e = PriceEntry{Input: rate("input"), Output: rate("output"), CachedInput: maybe("cached"), CacheWrite: maybe("write"), CacheWrite1h: maybe("write1h"), ImageInput: maybe("image"), AudioInput: maybe("audio")}
		e.Reasoning, e.AudioOutput, e.ImageOutput = maybe("thoughts"), maybe("speech"), maybe("drawing")
	}
	if way != "token" {
		a := money.Amount(t.between(1, int64(MaxRequest), "request"))
		e.Request = &a
	}
	for _, tool := range []struct {
		name string
		to   **money.Amount
	}{{"web search", &e.WebSearch}, {"file search", &e.FileSearch}, {"code", &e.CodeExecution}} {
		if t.either(tool.name + " known") {
			a := money.Amount(t.between(1, int64(money.Dollar), tool.name))
			*tool.to = &a
		}
	}
	if way != "request" {
		drawLong(t, &e)
	}
	return e.price(Chat, func(field, reason string) { t.Fatalf("price %s: %s", field, reason) })
}

// drawUsage draws usage within the given totals.
func drawUsage(t draws, input, output int64, hour bool) llm.Usage {
	u := llm.Usage{Input: t.between(0, input, "used input"), Output: t.between(0, output, "used output")}
	left := u.Input
	take := func(name string) int64 {
		n := t.between(0, left, name)
		left -= n
		return n
	}
	u.CachedInput, u.CacheWrite = take("read"), take("written")
	if hour {
		u.CacheWrite1h = take("written for an hour")
	}
	u.Reasoning = t.between(0, u.Output, "thought")
	u.AudioOutput = t.between(0, u.Output-u.Reasoning, "spoken")
	u.ImageOutput = t.between(0, u.Output-u.Reasoning-u.AudioOutput, "drawn")
	u.Tier = llm.Tier(t.between(0, int64(llm.TierFastRegional), "tier"))
	return u
}

func TestLinesSumToTheTotal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPrice(rapidDraws{t})
		u := drawUsage(rapidDraws{t}, 1<<24, 1<<24, true)
		u.Calls = drawCalls(rapidDraws{t}, drawHosted(rapidDraws{t}))
		total, lines, err := p.Cost(u)
		if err != nil {
			t.Fatal(err)
		}
		var sum money.Amount
		for _, l := range lines {
			if l.Amount < 0 || l.Units <= 0 {
				t.Fatalf("line %+v", l)
			}
			// What a customer reckons by hand is less than a nano-dollar away.
			exact := new(big.Rat).Mul(big.NewRat(l.Units, 1), big.NewRat(int64(l.Rate), 1_000_000))
			if l.Kind == "request" {
				exact = big.NewRat(l.Units*int64(l.Rate), 1)
			}
			if off := exact.Sub(exact, big.NewRat(int64(l.Amount), 1)); off.Abs(off).Cmp(big.NewRat(1, 1)) >= 0 {
				t.Fatalf("line %+v is off by %s nano-dollars", l, off)
			}
			sum += l.Amount
		}
		if sum != total {
			t.Fatalf("lines sum to %d, total is %d", sum, total)
		}
	})
}

func TestAPricesIDIsThatOfItsRates(t *testing.T) {
	t.Parallel()
	// It stands in receipts: another version must not change it.
	if got := entry(t, "3", "15", "0.3", "3.75", "6").must(t, Chat).ID(); got != "f4cfe8d2" {
		t.Errorf("ID = %s", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		p, other := drawPrice(rapidDraws{t}), drawPrice(rapidDraws{t})
		if reflect.DeepEqual(p, other) != (p.ID() == other.ID()) || len(p.ID()) != 8 {
			t.Fatalf("%+v is %s, %+v is %s", p, p.ID(), other, other.ID())
		}
	})
}

// BenchmarkCost prices an answer by a plain price, as nearly all are.
func BenchmarkCost(b *testing.B) {
	in, out, cached := money.Rate(money.Dollar), money.Rate(10*money.Dollar), money.Rate(money.Dollar/10)
	p := (&PriceEntry{Input: &in, Output: &out, CachedInput: &cached}).price(Chat, func(field, reason string) { b.Fatalf("%s: %s", field, reason) })
	u := llm.Usage{Input: 5000, CachedInput: 4000, Output: 700, Reasoning: 300}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := p.Cost(u); err != nil {
			b.Fatal(err)
		}
	}
}
