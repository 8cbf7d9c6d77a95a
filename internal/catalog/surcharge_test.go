package catalog

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// ceilShare is n·rate/1,000,000, rounded up, by other means than the house's.
func ceilShare(n money.Amount, rate money.Rate) money.Amount {
	x := new(big.Int).Mul(big.NewInt(int64(n)), big.NewInt(int64(rate)))
	x.Add(x, big.NewInt(999_999)).Div(x, big.NewInt(1_000_000))
	return money.Amount(x.Int64())
}

func TestASurchargeIsALineOfItsOwnAndRoundedUpOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		price       Price
		usage       llm.Usage
		base, extra money.Amount
	}{
		{Price{PerToken: true, Input: 1_000_000, Output: 1_000_000}, llm.Usage{Input: 19, Output: 1}, 20, 1},
		{Price{PerToken: true, Input: 1_000_000, Output: 1_000_000}, llm.Usage{Input: 20, Output: 1}, 21, 2}, // 1.05 nano-dollars
		{Price{PerToken: true, Input: 150_000_000, Output: 600_000_000}, llm.Usage{Input: 1000, Output: 500}, 450_000, 22_500},
		{Price{PerRequest: true, Request: 3}, llm.Usage{}, 3, 1},
		{Price{PerToken: true}, llm.Usage{Input: 1000, Output: 500}, 0, 0}, // free
	} {
		m := &Model{ID: "m", Kind: Chat, Enabled: true, Price: c.price}
		dear := m.WithSurcharge(50_000)
		total, lines, err := dear.Price.Cost(c.usage)
		if err != nil || total != c.base+c.extra {
			t.Errorf("%+v costs %d (%v), want %d and %d", c.usage, total, err, c.base, c.extra)
			continue
		}
		var sum money.Amount
		for _, l := range lines {
			sum += l.Amount
		}
		if sum != total {
			t.Errorf("lines %+v sum to %d, not %d", lines, sum, total)
		}
		last := Line{}
		if n := len(lines); n > 0 {
			last = lines[n-1]
		}
		if want := (Line{Kind: "provider_selection", Units: int64(c.base), Rate: 50_000, Amount: c.extra}); c.extra > 0 && last != want {
			t.Errorf("last line %+v, want %+v", last, want)
		}
		if c.extra == 0 && last.Kind == "provider_selection" {
			t.Errorf("a line for nothing: %+v", last)
		}
		if m.Price.Surcharge != 0 || m.Price.ID() == dear.Price.ID() || dear.Shared() != m || m.Shared() != m || m.WithSurcharge(0) != m {
			t.Errorf("the model that is shared was changed, or its price keeps its name: %+v", m)
		}
	}
}

// What is held covers whatever an answer within its bounds costs, surcharge included;
// what a hold is said to cover, it does, and not one token less.
func TestAHoldCoversTheSurcharge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := (&Model{ID: "m", Kind: Chat, Enabled: true, MaxOutput: 5000, Price: Price{
			PerToken: true, PerRequest: true,
			Input: money.Rate(rapid.Int64Range(0, 1e11).Draw(t, "input")), Output: money.Rate(rapid.Int64Range(1, 1e11).Draw(t, "output")),
			Request: money.Amount(rapid.Int64Range(0, 1e9).Draw(t, "request")),
		}}).WithSurcharge(money.Rate(rapid.Int64Range(1, 1_000_000).Draw(t, "surcharge")))
		r := &llm.Request{Task: llm.TaskChat}
		q, err := m.Quote(r, rapid.Int64Range(0, 100_000).Draw(t, "prompt"), nil)
		if err != nil {
			t.Fatal(err)
		}
		cost := func(output int64) money.Amount {
			plain := m.Price
			plain.Surcharge = 0
			c, _, err := plain.Cost(llm.Usage{Input: q.Input, Output: output})
			if err != nil {
				t.Fatal(err)
			}
			return c + ceilShare(c, m.Price.Surcharge)
		}
		used := rapid.Int64Range(0, q.Output).Draw(t, "used")
		if got, _, err := m.Price.Cost(llm.Usage{Input: q.Input, Output: used}); err != nil || got != cost(used) || got > q.Hold {
			t.Fatalf("%d tokens cost %d (%v), want %d, within the hold of %d", used, got, err, cost(used), q.Hold)
		}
		if q.Hold != cost(q.Output) || q.Floor != cost(FloorOutput) {
			t.Fatalf("holds %d, at least %d; want %d and %d", q.Hold, q.Floor, cost(q.Output), cost(FloorOutput))
		}
		hold := money.Amount(rapid.Int64Range(int64(cost(0)), int64(q.Hold)).Draw(t, "hold"))
		n := q.Covers(hold)
		if cost(n) > hold || cost(n+1) <= hold {
			t.Fatalf("a hold of %d covers %d tokens, which cost %d, and one more %d", hold, n, cost(n), cost(n+1))
		}
		more := rapid.Int64Range(0, q.Output-used).Draw(t, "more")
		if cost(used+more)-cost(used) > q.More(more)+1 { // each of the two is rounded up
			t.Fatalf("%d more cost %d, and not %d", more, cost(used+more)-cost(used), q.More(more))
		}
	})
}
