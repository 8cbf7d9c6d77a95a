package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// classed is a world whose model has prices for every class of output and for tools:
// 1,000 nano-dollars for a token of the prompt, 10,000 for text, 20,000 for thoughts,
// 40,000 for sound, 30,000 for images; a cent for a search, three for a container.
func classed(t *testing.T, balance money.Amount) *world {
	t.Helper()
	w := setup(t, balance)
	m, _ := w.g.plans.Load().Views["*"].Model("m")
	m.Reasoning = true
	m.Price.Reasoning, m.Price.AudioOutput, m.Price.ImageOutput = 20*perMillion, 40*perMillion, 30*perMillion
	m.Price.WebSearch, m.Price.FileSearch, m.Price.CodeExecution = money.Dollar/100, money.Dollar/400, 3*money.Dollar/100
	return w
}

func searching(most int64) *llm.Request {
	r := request()
	r.Hosted.Search(most)
	return r
}

// linesOf writes the lines of a receipt down.
func linesOf(r *ledger.Receipt) (out []string) {
	for _, l := range r.Lines {
		out = append(out, fmt.Sprintf("%s %d", l.Kind, l.Units))
	}
	return out
}

// TestClassesAndCallsAreCharged has answers to their ends, and some that somebody left:
// what they cost, and the lines that say so.
func TestClassesAndCallsAreCharged(t *testing.T) {
	t.Parallel()
	calls := func(n int64) *llm.Calls { return &llm.Calls{WebSearch: n} }
	thinks := llm.Event{Content: true, OutputBytes: 40, Bytes: llm.Parts{Reasoning: 40}}
	draws := llm.Event{Content: true, OutputBytes: 400, Bytes: llm.Parts{Image: 400}}
	for _, c := range []struct {
		name   string
		req    *llm.Request
		events []llm.Event
		leave  bool
		want   money.Amount
		lines  []string
		how    string
	}{
		{
			"classes that are told", request(),
			[]llm.Event{says(40), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 50, Output: 90, Reasoning: 20, AudioOutput: 30, ImageOutput: 10}}},
			false,
			50*1000 + 30*10_000 + 20*20_000 + 30*40_000 + 10*30_000,
			[]string{"input 50", "output 30", "reasoning 20", "audio_output 30", "image_output 10"},
			OutcomeOK,
		},
		{
			"classes that cannot be true are counted here", request(),
			[]llm.Event{thinks, says(40), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 50, Output: 20, Reasoning: 15, AudioOutput: 15}}},
			false,
			124*1000 + 10*10_000 + 10*20_000,
			[]string{"input 124", "output 10", "reasoning 10"},
			OutcomeOK,
		},
		{
			"an image and thoughts that nobody tells", request(),
			[]llm.Event{thinks, draws, {Finish: llm.FinishStop}},
			false,
			124*1000 + 10*20_000 + 90*30_000,
			[]string{"input 124", "reasoning 10", "image_output 90"},
			OutcomeOK,
		},
		{
			"thoughts that came after the report", request(),
			[]llm.Event{says(40), {Usage: &llm.Usage{Input: 50, Output: 10}}, thinks, {Finish: llm.FinishStop}},
			false,
			50*1000 + 10*10_000 + 10*20_000,
			[]string{"input 50", "output 10", "reasoning 10"},
			OutcomeOK,
		},
		{
			"searches", searching(3),
			[]llm.Event{{Calls: calls(1)}, says(40), {Calls: calls(2), Finish: llm.FinishStop, Usage: &llm.Usage{Input: 50, Output: 10}}},
			false,
			50*1000 + 10*10_000 + 20_000_000,
			[]string{"input 50", "output 10", "web_search 2"},
			OutcomeOK,
		},
		{
			"fewer than were seen, as is told in the end", searching(3),
			[]llm.Event{{Calls: calls(2)}, says(40), {Calls: calls(0), Finish: llm.FinishStop, Usage: &llm.Usage{Input: 50, Output: 10}}},
			false,
			50*1000 + 10*10_000,
			[]string{"input 50", "output 10"},
			OutcomeOK,
		},
		{
			"searches beyond belief", searching(3),
			[]llm.Event{{Calls: calls(1)}, says(40), {Calls: calls(llm.MostCalls + 1), Finish: llm.FinishStop, Usage: &llm.Usage{Input: 50, Output: 10}}},
			false,
			50*1000 + 10*10_000 + 10_000_000,
			[]string{"input 50", "output 10", "web_search 1"},
			OutcomeOK,
		},
		{
			"tools of all kinds", searching(3),
			[]llm.Event{says(40), {Calls: &llm.Calls{FileSearch: 2, CodeExecution: 1}, Finish: llm.FinishStop, Usage: &llm.Usage{Input: 50, Output: 10}}},
			false,
			50*1000 + 10*10_000 + 2*2_500_000 + 30_000_000,
			[]string{"input 50", "output 10", "file_search 2", "code_execution 1"},
			OutcomeOK,
		},
		{
			"who leaves pays for the searches that were seen", searching(3),
			[]llm.Event{{Calls: calls(1)}, says(80), {Calls: calls(3), Finish: llm.FinishStop}},
			true,
			124*1000 + 20*10_000 + 10_000_000,
			[]string{"input 124", "output 20", "web_search 1"},
			OutcomeClientLeft,
		},
		{
			"a refusal after a search", searching(3),
			[]llm.Event{{Calls: calls(1)}, {Content: true, Refusal: true, OutputBytes: 80}, {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 50, Output: 10}}},
			false,
			0, nil, OutcomeBlocked,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := classed(t, money.Dollar)
			w.up.events = c.events
			caller, call := w.reads(context.Background(), c.req, 0)
			defer caller.Leave()
			consume(call, c.leave)
			if charge := money.Dollar - w.posted(); charge != c.want {
				t.Errorf("charged %d, want %d", charge, c.want)
			}
			if r := w.receipt(caller); !slices.Equal(linesOf(r), c.lines) || r.Outcome != c.how {
				t.Errorf("receipt: %s, %v; want %s, %v", r.Outcome, linesOf(r), c.how, c.lines)
			}
		})
	}
}

// An answer that breaks off after a search costs nothing, like any other.
func TestABrokenAnswerIsFreeOfItsSearches(t *testing.T) {
	t.Parallel()
	w := classed(t, money.Dollar)
	w.up.events, w.up.end = []llm.Event{{Calls: &llm.Calls{WebSearch: 2}}, says(40)}, fault.New(fault.StreamInterrupted, "")
	caller, call := w.reads(context.Background(), searching(3), 0)
	defer caller.Leave()
	consume(call, false)
	if w.posted() != money.Dollar {
		t.Errorf("charged %d", money.Dollar-w.posted())
	}
}

// Who leaves before content, while the provider searches, pays for what was seen.
func TestWhoLeavesWhileTheProviderSearchesPaysForIt(t *testing.T) {
	t.Parallel()
	w := classed(t, money.Dollar)
	ctx, leave := context.WithCancel(context.Background())
	w.up.events = []llm.Event{{Calls: &llm.Calls{WebSearch: 2}}}
	w.up.wait = func(up context.Context) error {
		leave()
		<-up.Done()
		return context.Canceled
	}
	caller, err := w.enter(w.key(account.NewKey{}))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Leave()
	if _, err := caller.Open(ctx, searching(3), Wishes{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Open: %v", err)
	}
	if charge := money.Dollar - w.posted(); charge != 20_000_000+124*1000 {
		t.Errorf("charged %d, want two searches and the prompt", charge)
	}
}

// With exactly what a request with tools can cost it passes, and with a nano-dollar
// less it does not.
func TestAHoldHasTheToolsInItToTheNanoDollar(t *testing.T) {
	t.Parallel()
	r := searching(3)
	r.Hosted.Run()
	m, _ := classed(t, 0).g.plans.Load().Views["*"].Model("m")
	q, err := m.Quote(r, upper(r), nil)
	if err != nil || q.Hold != money.Amount(upper(r))*1000+100*30_000+3*10_000_000+30_000_000 {
		t.Fatalf("holds %d (%v)", q.Hold, err)
	}
	for _, less := range []money.Amount{0, 1} {
		w := classed(t, q.Hold-less)
		w.up.events = []llm.Event{says(40), {Finish: llm.FinishStop, Calls: &llm.Calls{WebSearch: 3, CodeExecution: 1}, Usage: &llm.Usage{Input: upper(r), Output: 100, ImageOutput: 100}}}
		caller, err := w.enter(w.key(account.NewKey{}))
		if err != nil {
			t.Fatal(err)
		}
		call, err := caller.Open(context.Background(), r, Wishes{})
		if less > 0 {
			if !fault.Is(err, fault.BalanceInsufficient) {
				t.Errorf("with %d less: %v", less, err)
			} else if e := fault.From(err); e.Required != q.Hold {
				t.Errorf("asks for %d, want %d", e.Required, q.Hold)
			}
			caller.Leave()
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		consume(call, false)
		if w.posted() != 0 {
			t.Errorf("%d is left of the dearest answer", w.posted())
		}
		caller.Leave()
	}
}

// Searches above what was held for are charged as far as hold and free balance go; the
// rest is absorbed.
func TestSearchesAboveTheHoldAreChargedAsFarAsThereIs(t *testing.T) {
	t.Parallel()
	const cost = 50*1000 + 10*10_000 + 30*10_000_000
	for _, c := range []struct{ balance, charge money.Amount }{{money.Dollar, cost}, {150_000_000, 150_000_000}} {
		w := classed(t, c.balance)
		w.up.events = []llm.Event{says(40), {Finish: llm.FinishStop, Calls: &llm.Calls{WebSearch: 30}, Usage: &llm.Usage{Input: 50, Output: 10}}}
		caller, call := w.reads(context.Background(), searching(0), 0)
		consume(call, false)
		if charge := c.balance - w.posted(); charge != c.charge || caller.v.Event.Absorbed != cost-c.charge {
			t.Errorf("of %d, %d was charged and %d absorbed; want %d of %d", c.balance, charge, caller.v.Event.Absorbed, c.charge, int64(cost))
		}
		caller.Leave()
	}
}

// Of output beyond the caller's limit the text is absorbed first.
func TestThoughtsBeyondTheLimitAreAbsorbed(t *testing.T) {
	t.Parallel()
	w := classed(t, money.Dollar)
	w.up.events = []llm.Event{says(40), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 50, Output: 300, Reasoning: 250}}}
	caller, call := w.reads(context.Background(), request(), 0) // 100 tokens
	defer caller.Leave()
	consume(call, false)
	if charge := money.Dollar - w.posted(); charge != 50*1000+100*20_000 || caller.v.Event.Absorbed != 150*20_000+50*10_000 {
		t.Errorf("charged %d, absorbed %d", charge, caller.v.Event.Absorbed)
	}
}

// A share of what is free is held for what shows as it comes, and not for sound.
func TestSoundIsHeldForInFull(t *testing.T) {
	t.Parallel()
	r := &llm.Request{Stream: true, Choices: 1}
	m := &catalog.Model{ID: "m"}
	if !observable(m, nil, r) {
		t.Error("text cannot be weighed")
	}
	if r.Needs.Add(llm.NeedAudioOutput, "modalities"); observable(m, nil, r) {
		t.Error("sound is weighed")
	}
}
