package catalog

import (
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

func chatModel(p Price, context, maxOutput int64) *Model {
	return &Model{
		ID: "m", Kind: Chat, Price: p, Context: context, MaxOutput: maxOutput, Inputs: []Modality{Text},
		Tools: true, ForcedTool: true, Reasoning: true, JSONSchema: true, Temperature: true, Enabled: true,
	}
}

func never(t *testing.T) func() int64 {
	return func() int64 { t.Error("tokens were counted where the estimate was enough"); return 0 }
}

func TestQuoteHoldsTheWorst(t *testing.T) {
	t.Parallel()
	p := entry(t, "3", "15", "0.3", "3.75", "6").must(t, Chat)
	hour := llm.Raw{Body: []byte(`{"cache_control":{"ttl":"1h"}}`)}
	escaped := llm.Raw{Body: []byte(`{"cache_control":{"ttl":"\u0031h"}}`)}
	for _, c := range []struct {
		name  string
		model *Model
		req   llm.Request
		hold  money.Amount
		floor money.Amount
		out   int64
	}{
		{"a limit is held exactly", chatModel(p, 200_000, 8192), llm.Request{HasMaxOutput: true, MaxOutput: 100}, 1000*3750 + 100*15000, 1000*3750 + 100*15000, 100},
		{"of every choice", chatModel(p, 200_000, 8192), llm.Request{HasMaxOutput: true, MaxOutput: 100, Choices: 3}, 1000*3750 + 300*15000, 1000*3750 + 300*15000, 300},
		{"a limit of nothing", chatModel(p, 200_000, 8192), llm.Request{HasMaxOutput: true}, 1000 * 3750, 1000 * 3750, 0},
		{"no limit: the model's own", chatModel(p, 200_000, 8192), llm.Request{}, 1000*3750 + 8192*15000, 1000*3750 + 1024*15000, 8192},
		{"a short model has a low floor", chatModel(p, 200_000, 500), llm.Request{}, 1000*3750 + 500*15000, 1000*3750 + 500*15000, 500},
		{"unknown maximum: the context", chatModel(p, 10_000, 0), llm.Request{}, 1000*3750 + 10_000*15000, 1000*3750 + 1024*15000, 10_000},
		{"nothing known", chatModel(p, 0, 0), llm.Request{}, 1000*3750 + 16384*15000, 1000*3750 + 1024*15000, 16384},
		{"an hour's cache write", chatModel(p, 200_000, 8192), llm.Request{HasMaxOutput: true, Raw: hour}, 1000 * 6000, 1000 * 6000, 0},
		{"the same, escaped", chatModel(p, 200_000, 8192), llm.Request{HasMaxOutput: true, Raw: escaped}, 1000 * 6000, 1000 * 6000, 0},
		{"a flat price", chatModel(perRequest(3_000_000).must(t, Chat), 200_000, 8192), llm.Request{}, 3_000_000, 3_000_000, 8192},
		{"counting is free", chatModel(p, 200_000, 8192), llm.Request{Task: llm.TaskCountTokens}, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			q, err := c.model.Quote(&c.req, 1000, never(t))
			if err != nil {
				t.Fatal(err)
			}
			if q.Hold != c.hold || q.Floor != c.floor || q.Output != c.out || q.Input != 1000 {
				t.Errorf("Quote = hold %d, floor %d, output %d, input %d; want %d, %d, %d, 1000", q.Hold, q.Floor, q.Output, q.Input, c.hold, c.floor, c.out)
			}
			if q.Elastic == c.req.HasMaxOutput && c.req.Task == llm.TaskChat {
				t.Errorf("Elastic = %v with HasMaxOutput = %v", q.Elastic, c.req.HasMaxOutput)
			}
		})
	}
}

func TestEmbeddingsHaveNoOutput(t *testing.T) {
	t.Parallel()
	m := &Model{ID: "e", Kind: Embedding, Price: entry(t, "0.02").must(t, Embedding), Context: 8191, Enabled: true, BatchInput: true}
	q, err := m.Quote(&llm.Request{Task: llm.TaskEmbed, Inputs: 1}, 5000, never(t))
	if err != nil || q.Hold != 100_000 || q.Floor != q.Hold || q.Elastic || q.Output != 0 {
		t.Errorf("Quote = %+v, %v", q, err)
	}
	// The context is of one input: many together may be longer.
	if q, err := m.Quote(&llm.Request{Task: llm.TaskEmbed, Inputs: 100}, 100_000, never(t)); err != nil || q.Input != 8191 && q.Input != 100_000 {
		t.Errorf("Quote of a batch = %+v, %v", q, err)
	} else if q.Input != 100_000 {
		t.Errorf("Quote of a batch holds for %d tokens, want all 100000", q.Input)
	}
	_, err = m.Quote(&llm.Request{Task: llm.TaskEmbed, Inputs: 1}, 9000, func() int64 { return 8500 })
	if !fault.Is(err, fault.ContextLengthExceeded) || fault.From(err).Param != "input" {
		t.Errorf("Quote of an input that is too long = %v", err)
	}
}

func TestContextIsCountedBeforeItRefuses(t *testing.T) {
	t.Parallel()
	p := entry(t, "3", "15").must(t, Chat)
	m := chatModel(p, 10_000, 8000)
	limit := llm.Request{HasMaxOutput: true, MaxOutput: 4000}
	for _, c := range []struct {
		name         string
		req          llm.Request
		upper, exact int64 // exact < 0: must not be called
		tokens       string
	}{
		{"fits by estimate", limit, 6000, -1, ""},
		{"fits by count", limit, 9000, 6000, ""},
		{"does not fit", limit, 9000, 6001, "10001"},
		{"more than all", llm.Request{HasMaxOutput: true, MaxOutput: 20_000}, 10, 8, "20008"},
		{"an absurd limit", llm.Request{HasMaxOutput: true, MaxOutput: math.MaxInt64}, 10, 8, "9223372036854775807"},
		{"no limit, room to spare", llm.Request{}, 8000, -1, ""},
		{"no limit, little room", llm.Request{}, 9500, 9400, ""},
		{"no limit, no room", llm.Request{}, 12_000, 10_000, "10001"},
		{"no limit, not as long as it seemed", llm.Request{}, 12_000, 9999, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			exact := func() int64 { return c.exact }
			if c.exact < 0 {
				exact = never(t)
			}
			q, err := m.Quote(&c.req, c.upper, exact)
			if c.tokens == "" {
				if err != nil || q.Input > m.Context {
					t.Errorf("Quote = %+v, %v", q, err)
				}
				return
			}
			var f *fault.Error
			if !errors.As(err, &f) || f.Code != fault.ContextLengthExceeded || f.Param != "messages" {
				t.Fatalf("Quote = %v, want ContextLengthExceeded at messages", err)
			}
			if f.Args["tokens"] != c.tokens || f.Args["context"] != "10000" || f.Args["input"] == "" || f.Args["max_output"] == "" {
				t.Errorf("Args = %v, want %s tokens", f.Args, c.tokens)
			}
		})
	}
	_, err := m.Quote(&limit, 9000, func() int64 { return 6001 })
	want := "This model's maximum context length is 10000 tokens, but the request needs 10001 (6001 in the messages, 4000 for the answer)."
	if got := fault.From(err).Message; got != want {
		t.Errorf("message = %q, want %q", got, want)
	}
}

func TestACapLeavesRoomInTheContext(t *testing.T) {
	t.Parallel()
	m := chatModel(entry(t, "0.0001", "1").must(t, Chat), 8192, 8192)
	q, err := m.Quote(&llm.Request{}, 5000, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := q.OutputFor(q.Hold); got != 0 {
		t.Errorf("OutputFor(all) = %d, want no cap", got)
	}
	if got := q.OutputFor(q.Hold - 1000); got != 3192 {
		t.Errorf("OutputFor(nearly all) = %d, want what is left of the context, 3192", got)
	}
}

func TestAModelWithoutLimitsIsAlwaysCapped(t *testing.T) {
	t.Parallel()
	q, err := chatModel(entry(t, "1", "2").must(t, Chat), 0, 0).Quote(&llm.Request{}, 10, nil)
	if err != nil || q.OutputFor(q.Hold) != 16384 {
		t.Errorf("OutputFor(all) = %d, %v; want 16384, or the hold would not cover the answer", q.OutputFor(q.Hold), err)
	}
}

func TestWhatASurfaceUsuallyAllowsFitsTheModel(t *testing.T) {
	t.Parallel()
	p := entry(t, "3", "15").must(t, Chat)
	for _, c := range []struct {
		name      string
		context   int64
		maxOutput int64
		most      int64
	}{
		{"a model that gives more", 200_000, 8192, 1024},
		{"one that gives less", 200_000, 100, 100},
		{"a context that is nearly full", 1200, 8192, 200},
		{"one of which nothing is known", 0, 0, 1024},
	} {
		m := chatModel(p, c.context, c.maxOutput)
		r := &llm.Request{UsualOutput: 1024, Choices: 1}
		if err := m.Check(r); err != nil {
			t.Errorf("%s: Check = %v", c.name, err)
		}
		q, err := m.Quote(r, 1000, nil)
		if err != nil || q.Output != c.most || q.Elastic || q.Hold != money.Amount(1000*3000+c.most*15000) || q.OutputFor(q.Hold) != c.most {
			t.Errorf("%s: Quote = %+v, %v; want %d tokens, and that cap sent", c.name, q, err, c.most)
		}
	}
	if _, err := chatModel(p, 1000, 0).Quote(&llm.Request{UsualOutput: 1024, Choices: 1}, 1000, nil); !fault.Is(err, fault.ContextLengthExceeded) {
		t.Errorf("a full context: %v", err)
	}
}

func TestQuoteRefusesWhatHasNoPrice(t *testing.T) {
	t.Parallel()
	_, err := chatModel(Price{}, 1000, 100).Quote(&llm.Request{}, 1, nil)
	if !fault.Is(err, fault.ModelUnavailable) || !strings.Contains(err.Error(), "no price") {
		t.Errorf("Quote = %v, want ModelUnavailable that says why", err)
	}
}

func TestQuoteRefusesMoreThanAllMoney(t *testing.T) {
	t.Parallel()
	m := chatModel(entry(t, "10000", "10000").must(t, Chat), 0, 0)
	for _, r := range []llm.Request{
		{HasMaxOutput: true, MaxOutput: math.MaxInt64},
		{HasMaxOutput: true, MaxOutput: math.MaxInt64 / 2, Choices: 3},
	} {
		if q, err := m.Quote(&r, 1, nil); !fault.Is(err, fault.InvalidParameter) || fault.From(err).Param != "max_tokens" {
			t.Errorf("Quote = %+v, %v; want InvalidParameter at max_tokens", q, err)
		}
	}
}

// Invariant I8: whatever is used within the caps costs no more than the hold,
// for a whole hold and for any elastic part of it.
func TestNoUsageWithinTheCapsCostsMoreThanTheHold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { covered(rapidDraws{t}) })
}

// covered draws a request, and something it uses within its caps, which must not
// cost more than is held. It reports whether the request was admitted.
func covered(t draws) bool {
	limits := []int64{0, 1, 500, 8192, 128_000, 1 << 20}
	m := chatModel(drawPrice(t), limits[t.between(0, 5, "context")], limits[t.between(0, 5, "max output")])
	r := llm.Request{Choices: int(t.between(0, 4, "n"))}
	if r.HasMaxOutput = t.either("limited"); r.HasMaxOutput {
		r.MaxOutput = t.between(0, 1<<20, "max_tokens")
	}
	hour := t.either("hour")
	if hour {
		r.Raw.Body = []byte(`"1h"`)
	}
	if t.either("spoken") {
		r.Needs.Add(llm.NeedAudioOutput, "modalities")
	}
	r.Hosted = drawHosted(t)
	asks(&r, llm.Tier(t.between(0, int64(llm.TierFastRegional), "tier asked for")))
	upper := t.between(0, 1<<21, "upper")
	actual := t.between(0, upper, "actual")
	q, err := m.Quote(&r, upper, func() int64 { return actual })
	if err != nil {
		return false
	}
	if m.Context > 0 {
		actual = min(actual, m.Context) // the provider refuses more
	}
	if q.Floor > q.Hold || q.Floor < 0 {
		t.Fatalf("floor %d, hold %d", q.Floor, q.Hold)
	}
	hold := money.Amount(t.between(int64(q.Floor), int64(q.Hold), "hold"))
	each := q.Output / max(int64(r.Choices), 1)
	if limit := q.OutputFor(hold); limit > 0 {
		each = limit
	} else if hold < q.Hold && m.Price.Output > 0 {
		t.Fatalf("hold %d of %d, and no cap", hold, q.Hold)
	}
	u := drawUsage(t, actual, each*max(int64(r.Choices), 1), hour)
	if !r.Needs.Has(llm.NeedAudioOutput) {
		u.AudioOutput = 0
	}
	u.Calls = drawCalls(t, r.Hosted)
	u.Tier = m.Price.Billed(r.Tier(), u.Tier)
	cost, _, err := m.Price.Cost(u)
	if err != nil {
		t.Fatalf("cost of %+v: %v", u, err)
	}
	if cost > hold {
		t.Fatalf("%+v costs %d, and only %d of %d is held (cap %d each)", u, cost, hold, q.Hold, each)
	}
	return true
}

// The prompt that a price is looked up for is the one that is held for.
func TestAPromptIsAsLongAsItIsHeldFor(t *testing.T) {
	t.Parallel()
	in, out := money.Rate(money.Dollar), money.Rate(10*money.Dollar)
	rapid.Check(t, func(t *rapid.T) {
		task := rapid.SampledFrom([]llm.Task{llm.TaskChat, llm.TaskEmbed, llm.TaskModerate, llm.TaskImage, llm.TaskSpeech, llm.TaskTranscribe}).Draw(t, "task")
		m := chatModel(Price{Input: in, Output: out, PerToken: true}, rapid.SampledFrom([]int64{0, 1000, 100_000}).Draw(t, "context"), 500)
		r := &llm.Request{
			Task: task, HasMaxOutput: rapid.Bool().Draw(t, "limited"), MaxOutput: 100, Images: rapid.Int64Range(0, 10).Draw(t, "images"),
			Seconds: rapid.Int64Range(0, 10_000).Draw(t, "seconds"), Inputs: rapid.IntRange(0, 3).Draw(t, "inputs"),
		}
		upper := rapid.Int64Range(-1, 200_000).Draw(t, "upper")
		q, err := m.Quote(r, upper, func() int64 { return 1 })
		if n := m.Longest(r, upper); err == nil && n != q.Input {
			t.Fatalf("%d tokens, and %d are held for", n, q.Input)
		}
	})
}

// drawHosted draws which tools may run for a request.
func drawHosted(t draws) (h llm.Hosted) {
	if !t.either("tools") {
		return h
	}
	h.WebSearch, h.FileSearch, h.CodeExecution = t.between(0, 30, "searches"), t.between(0, 30, "searches of files"), t.between(0, 3, "containers")
	if t.either("limited together") {
		h.Limit(t.between(1, 40, "max_tool_calls"))
	}
	return h
}

// drawCalls draws how often they ran.
func drawCalls(t draws, h llm.Hosted) (c llm.Calls) {
	left := h.Total
	if left == 0 {
		left = 100
	}
	for _, of := range []struct{ most, to *int64 }{{&h.WebSearch, &c.WebSearch}, {&h.FileSearch, &c.FileSearch}, {&h.CodeExecution, &c.CodeExecution}} {
		*of.to = t.between(0, min(*of.most, left), "ran")
		left -= *of.to
	}
	return c
}

// A cap is no lower than it must be: one more token would not be covered.
func TestACapGivesAllThatCanBePaid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := chatModel(drawPrice(rapidDraws{t}), 0, 1<<20)
		upper := rapid.Int64Range(0, 1<<20).Draw(t, "upper")
		q, err := m.Quote(&llm.Request{}, upper, nil)
		if err != nil || q.Floor == q.Hold {
			return
		}
		hold := money.Amount(rapid.Int64Range(int64(q.Floor), int64(q.Hold)-1).Draw(t, "hold"))
		n := q.OutputFor(hold)
		if c, err := q.cost(n); err != nil || c > hold {
			t.Fatalf("cap %d costs %d, %v; hold %d", n, c, err, hold)
		}
		if c, err := q.cost(n + 1); err == nil && c <= hold && n < m.MaxOutput {
			t.Fatalf("cap %d, but %d would cost %d of %d", n, n+1, c, hold)
		}
	})
}

// What is held on the way covers what it is held for, to the token.
func TestAHoldThatGrowsCoversWhatItGrewFor(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := chatModel(drawPrice(rapidDraws{t}), 0, 1<<20)
		q, err := m.Quote(&llm.Request{Choices: rapid.IntRange(0, 4).Draw(t, "n")}, rapid.Int64Range(0, 1<<20).Draw(t, "upper"), nil)
		if err != nil || q.Floor == q.Hold {
			return
		}
		hold := money.Amount(rapid.Int64Range(int64(q.Floor), int64(q.Hold)-1).Draw(t, "hold"))
		n := q.Covers(hold)
		if c, err := q.cost(n); err != nil || c > hold {
			t.Fatalf("%d tokens cost %d, %v; hold %d", n, c, err, hold)
		}
		if c, err := q.cost(n + 1); err == nil && c <= hold {
			t.Fatalf("%d tokens are covered, but %d would cost %d of %d", n, n+1, c, hold)
		}
		more := rapid.Int64Range(-1, q.Output-n).Draw(t, "more")
		if by := q.More(more); by < 0 || by > q.Hold || q.Covers(hold+by) < n+more {
			t.Fatalf("with %d more for %d tokens only %d are covered after %d", by, more, q.Covers(hold+by), n)
		}
		if q.Step() != q.More(FloorOutput*q.Choices()) {
			t.Fatalf("a step is %d", q.Step())
		}
	})
}

func BenchmarkQuote(b *testing.B) {
	in, out := money.Rate(3e9), money.Rate(15e9)
	m := chatModel((PriceEntry{Input: &in, Output: &out}).price(Chat, nil), 200_000, 8192)
	r := &llm.Request{Choices: 1}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Quote(r, 300, nil); err != nil {
			b.Fatal(err)
		}
	}
}
