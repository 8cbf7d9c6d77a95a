package route

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// slow is a provider that takes its time before it answers.
type slow struct {
	script
	after time.Duration
}

func (s *slow) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	time.Sleep(s.after)
	return s.script.Open(ctx, c)
}

// timed makes targets that answer after so long, on the bubble's clock.
func timed(after ...time.Duration) (targets []*Target, slows []*slow) {
	for i, d := range after {
		s := &slow{script: script{steps: []step{says("hi")}}, after: d}
		slows = append(slows, s)
		targets = append(targets, &Target{ID: string(rune('a' + i)), Provider: s, Model: "m", Health: NewHealth(time.Now, Norms{})})
	}
	return targets, slows
}

func TestTheQuickestTargetIsAskedFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		explores := 1 // no request does
		b.router.Draw = func(n int) int {
			if n == explored {
				return explores
			}
			return n - 1
		}
		targets, slows := timed(300*time.Millisecond, 100*time.Millisecond, 200*time.Millisecond)
		p := Plan{Targets: targets, Order: ByLatency}
		ask := func() string {
			_, a, err := b.open(p)
			if err != nil {
				t.Fatal(err)
			}
			return a.Target()
		}
		first := map[string]bool{}
		for range 3 { // who was never asked might be the quickest
			first[ask()] = true
		}
		if len(first) != 3 {
			t.Errorf("of three targets that nothing is known of, these were asked: %v", first)
		}
		for range 10 {
			if got := ask(); got != "b" {
				t.Fatalf("%s was asked, and not the quickest", got)
			}
		}
		// It becomes the slowest, and that is found out by asking.
		slows[1].after = 2 * time.Second
		for range 10 {
			ask()
		}
		if got := ask(); got != "c" {
			t.Errorf("%s is asked after b has become slow", got)
		}
		// What was slow is tried again in the end, although no request explores.
		slows[1].after = time.Millisecond
		for range 3000 {
			ask()
			time.Sleep(100 * time.Millisecond)
		}
		if got := ask(); got != "b" {
			t.Errorf("%s is asked long after b has become quick again", got)
		}
		// One request in so many asks another one.
		explores = 0
		if got := ask(); got == "b" {
			t.Error("a request that explores asked the quickest target")
		}
	})
}

func TestWholeAnswersAreNotComparedWithStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHealth(time.Now, Norms{})
		h.answers(false, false, 20*time.Second)
		h.answers(false, true, time.Second)
		if s := h.Status(); s.Latency != time.Second || h.latency(false) != float64(20*time.Second) {
			t.Errorf("streams %v, whole answers %v", s.Latency, time.Duration(h.latency(false)))
		}
		time.Sleep(latencyHalves)
		if s := h.Status(); s.Latency != time.Second/2 {
			t.Errorf("after %v without a sample: %v", latencyHalves, s.Latency)
		}
	})
}

func TestTheCheapestTargetIsAskedFirst(t *testing.T) {
	t.Parallel()
	b := setup()
	var p Plan
	for _, c := range []struct {
		name   string
		cost   Cost
		priced bool
	}{
		{"unknown", Cost{}, false},
		{"input", Cost{Input: 1e9, Output: 10e9}, true},
		{"output", Cost{Input: 2e9, Output: 3e9}, true},
		{"request", Cost{Request: 3e6}, true},
	} {
		target, _ := b.target(c.name, says("hi"))
		target.Cost, target.Priced = c.cost, c.priced
		p.Targets = append(p.Targets, target)
	}
	p.Order = ByCost
	for _, c := range []struct {
		in, out int64
		want    string
	}{
		{1000, 10, "input output request unknown"},
		{100, 900, "output request input unknown"},
		{1000, 1000, "request output input unknown"},
	} {
		p.Input, p.Output = c.in, c.out
		order, _ := b.router.candidates(&llm.Request{}, &p)
		var got []string
		for _, o := range order {
			got = append(got, o.ID)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%d tokens in and %d out: %v, want %s", c.in, c.out, got, c.want)
		}
	}
}

func TestTargetsThatCostTheSameShareTheRequests(t *testing.T) {
	t.Parallel()
	b := setup()
	dear, sd := b.target("dear", says("hi"))
	one, s1 := b.target("one", says("hi"))
	two, s2 := b.target("two", says("hi"))
	for _, x := range []*Target{dear, one, two} {
		x.Weight, x.Priced, x.Cost = 1, true, Cost{Input: 1e9, Output: 1e9}
	}
	dear.Cost.Output = 2e9
	for range 200 {
		if _, _, err := b.open(Plan{Targets: []*Target{dear, one, two}, Order: ByCost, Input: 10, Output: 10}); err != nil {
			t.Fatal(err)
		}
	}
	if sd.calls != 0 || s1.calls < 60 || s2.calls < 60 {
		t.Errorf("calls: %d of the dear one, %d and %d", sd.calls, s1.calls, s2.calls)
	}
}

// A target whose price rises with the length of the prompt is compared by what this
// request costs there.
func TestCostsGoByTheLengthOfThePrompt(t *testing.T) {
	t.Parallel()
	b := setup()
	flat, _ := b.target("flat", says("hi"))
	steps, _ := b.target("steps", says("hi"))
	flat.Priced, flat.Cost = true, Cost{Input: 2e9, Output: 2e9}
	steps.Priced, steps.Cost = true, Cost{Input: 1e9, Output: 1e9, Long: []Step{{Above: 100, Input: 2e9, Output: 2e9 - 1}, {Above: 200, Input: 3e9, Output: 3e9}}}
	for input, want := range map[int64]string{100: "steps", 101: "steps", 200: "steps", 201: "flat"} {
		p := Plan{Targets: []*Target{flat, steps}, Order: ByCost, Input: input, Output: 10}
		if order, _ := b.router.candidates(&llm.Request{}, &p); order[0].ID != want {
			t.Errorf("%d tokens go to %s first, want %s", input, order[0].ID, want)
		}
	}
}
