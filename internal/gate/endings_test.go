package gate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

var update = flag.Bool("update", false, "write the table of docs/ledger.md again")

// Around the table in docs/ledger.md.
const (
	tableBegins = "<!-- the table of internal/gate/endings.go; make generate -->\n"
	tableEnds   = "<!-- its end -->\n"
)

// table is the table of endings as docs/ledger.md shows it.
func table(t *testing.T) string {
	charged := map[owes]string{nothing: "nothing", used: "what it used", produced: "the prompt, and what was produced; at most the hold"}
	counts := map[bool]string{true: "count", false: "do not count"}
	delivered := map[reach]string{toNobody: "none", toWhereItBroke: "partial; none if nothing was sent", toTheEnd: "complete; unknown until the last bytes have left"}
	var b strings.Builder
	b.WriteString("| ending | charged | daily quotas | outcome | delivery, at most |\n|---|---|---|---|---|\n")
	for c, r := range endings {
		if r.when == "" || r.outcome == "" {
			t.Fatalf("class %d has no row", c)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` | %s |\n", r.when, charged[r.owes], counts[r.owes != nothing], r.outcome, delivered[r.delivery])
	}
	return b.String()
}

func TestGeneratedTableOfEndings(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "docs", "ledger.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), tableBegins)
	shown, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		t.Fatalf("%s has no table of endings", path)
	}
	want := table(t)
	if *update {
		if err := os.WriteFile(path, []byte(before+tableBegins+want+tableEnds+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if shown != want {
		t.Errorf("the table of endings in %s is not that of the code: run make generate", path)
	}
}

// What is charged moves daily quotas, and what is not does not: the ledger does
// both with one entry. So nobody is charged for what did not end well.
func TestOnlyAnswersAndWhoLeavesAreCharged(t *testing.T) {
	t.Parallel()
	for c, r := range endings {
		if paid := r.outcome == OutcomeOK || r.outcome == OutcomeClientLeft; r.owes != nothing && !paid {
			t.Errorf("class %d, %q, is charged", c, r.outcome)
		}
		if r.alone && r.delivery == toTheEnd {
			t.Errorf("class %d reaches the end though nobody is there", c)
		}
	}
}

// untilGone waits for the end of the provider's context.
func untilGone(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Who leaves before content pays for the prompt if a provider was at work on it,
// and nothing if it is not known that one was.
func TestWhoLeavesBeforeContentPaysForWhatWasAccepted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		events     []llm.Event
		accepts    bool
		goingDown  bool
		in, out    int64 // charged; in -1: counted here
		estimated  bool
		outcome    string
		dayRequest int64
	}{
		{"not accepted", nil, false, false, 0, 0, false, OutcomeClientLeft, 0},
		{"accepted", nil, true, false, -1, 0, true, OutcomeClientLeft, 1},
		{"the prompt was counted", []llm.Event{{Usage: &llm.Usage{Input: 70, Output: 1}}}, true, false, 70, 1, false, OutcomeClientLeft, 1},
		{"something that is no content", []llm.Event{{Usage: &llm.Usage{Input: 70}}, {OutputBytes: 40}}, true, false, 70, 10, true, OutcomeClientLeft, 1},
		{"what cannot be true", []llm.Event{{Usage: &llm.Usage{Input: -70, Output: 1}}}, true, false, -1, 0, true, OutcomeClientLeft, 1},
		{"at the end of the process", nil, true, true, 0, 0, false, OutcomeAborted, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, money.Dollar)
			base, down := context.WithCancelCause(context.Background())
			defer down(nil)
			w.g.o.Base = base
			w.up.events, w.up.wait = c.events, untilGone
			if !c.accepts {
				w.up.accept = untilGone
			}
			caller, err := w.enter(w.key(account.NewKey{Limits: account.Limits{RequestsPerDay: 5, TokensPerMinute: 1000}}))
			if err != nil {
				t.Fatal(err)
			}
			defer caller.Leave()
			ctx, leave := context.WithCancel(base)
			time.AfterFunc(10*time.Millisecond, func() {
				if c.goingDown {
					down(errors.New("going down"))
				}
				leave()
			})
			_, err = caller.Open(ctx, request(), Wishes{})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("Open: %v", err)
			}
			status, why := 499, ""
			if c.goingDown { // as the edge tells it
				err, status, why = fault.Wrap(fault.Draining, err), 503, "draining"
			}
			caller.Refused(fault.From(err), status)
			charge, r := money.Dollar-w.posted(), w.receipt(caller)
			want := money.Amount(c.in*1000 + c.out*10_000)
			if c.in < 0 {
				want = money.Amount(countInput(request()) * 1000)
			}
			if charge != want || r.Charge != want || caller.v.Event.Charge != want {
				t.Errorf("charged %d, the receipt says %d, the event %d; want %d", charge, r.Charge, caller.v.Event.Charge, want)
			}
			if r.Outcome != c.outcome || r.Fault != why || r.Status != status || r.Delivery != "none" || r.Usage.Estimated != c.estimated {
				t.Errorf("receipt: %q, fault %q, status %d, delivery %q, estimated %v", r.Outcome, r.Fault, r.Status, r.Delivery, r.Usage.Estimated)
			}
			if day := w.ledger.KeyDay(int64(caller.who.Key.ID)); day.Requests != c.dayRequest {
				t.Errorf("%d requests of the day are used", day.Requests)
			}
			// The bucket is refilled meanwhile, by a token in 60 ms.
			if tokens, want := w.tokens(caller), r.Usage.Input+r.Usage.Output; (tokens == 0) != (want == 0) || tokens > want {
				t.Errorf("%d tokens of the minute are used, %d are charged for", tokens, want)
			}
		})
	}
}

// Who had left when the process went down is told nothing of that, and owes
// nothing for what was read on for him.
func TestWhoLeftBeforeAShutdownOwesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	base, down := context.WithCancelCause(context.Background())
	w.g.o.Base = base
	ctx, leave := context.WithCancel(base)
	w.up.wait = func(ctx context.Context) error {
		leave()
		down(errors.New("going down"))
		return untilGone(ctx)
	}
	caller, err := w.enter(w.key(account.NewKey{OnDisconnect: account.DisconnectDrain}))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Leave()
	_, err = caller.Open(ctx, request(), Wishes{})
	caller.Refused(fault.From(err), 499)
	if r := w.receipt(caller); r.Charge != 0 || r.Outcome != OutcomeAborted || r.Status != 499 || w.posted() != money.Dollar {
		t.Errorf("charged %d, %q, status %d", r.Charge, r.Outcome, r.Status)
	}
}

// An attempt that failed by itself is not the bill of who leaves during the next.
func TestWhoLeavesDuringASecondTryOwesNothingForTheFirst(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{{Usage: &llm.Usage{Input: 70, Output: 1}}, {Finish: llm.FinishStop}}
	n := 0
	w.up.accept = func(ctx context.Context) error {
		if n++; n == 1 {
			return nil // an empty answer follows
		}
		return untilGone(ctx)
	}
	caller, err := w.enter(w.key(account.NewKey{}))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Leave()
	ctx, leave := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, leave)
	_, err = caller.Open(ctx, request(), Wishes{})
	caller.Refused(fault.From(err), 499)
	if r := w.receipt(caller); n != 2 || r.Charge != 0 || r.Outcome != OutcomeClientLeft || w.posted() != money.Dollar {
		t.Errorf("after %d tries: charged %d, %q", n, r.Charge, r.Outcome)
	}
}

// What is charged for usage that is late, lacks something or is too much.
func TestWhatIsChargedForUsage(t *testing.T) {
	t.Parallel()
	stop := func(u *llm.Usage) llm.Event { return llm.Event{Finish: llm.FinishStop, Usage: u} }
	early := llm.Event{Usage: &llm.Usage{Input: 100, Output: 1}}
	for _, c := range []struct {
		name      string
		events    []llm.Event
		change    func(*llm.Request)
		in, out   int64 // charged
		absorbed  int64 // tokens of output
		estimated bool
	}{
		{"the last report counts", []llm.Event{early, says(8), stop(&llm.Usage{Input: 90, Output: 5}), {Usage: &llm.Usage{Input: 100, Output: 7}}}, nil, 100, 7, 0, false},
		{"no report after the first words", []llm.Event{early, says(80), stop(nil)}, nil, 100, 20, 0, true},
		{"an old report of more than was seen", []llm.Event{{Usage: &llm.Usage{Input: 100, Output: 50}}, says(80), stop(nil)}, nil, 100, 50, 0, true},
		{"every event reports", []llm.Event{{Content: true, OutputBytes: 80, Usage: &llm.Usage{Input: 100, Output: 9}}, stop(nil)}, nil, 100, 9, 0, false},
		{"no output, though there was some", []llm.Event{says(40), stop(&llm.Usage{Input: 100})}, nil, 100, 10, 0, true},
		{"more than the caller's limit", []llm.Event{says(40), stop(&llm.Usage{Input: 100, Output: 500})}, nil, 100, 100, 400, false},
		{"as much as two choices may have", []llm.Event{says(40), stop(&llm.Usage{Input: 100, Output: 500})}, func(r *llm.Request) { r.Choices = 2 }, 100, 200, 300, false},
		{"more than the model can", []llm.Event{says(40), stop(&llm.Usage{Input: 100, Output: 10_500})}, func(r *llm.Request) { r.HasMaxOutput, r.MaxOutput = false, 0 }, 100, 10_000, 500, false},
		{"more than the usual", []llm.Event{says(40), stop(&llm.Usage{Input: 100, Output: 500})}, func(r *llm.Request) { r.HasMaxOutput, r.UsualOutput = false, 300 }, 100, 300, 200, false},
		{"an estimate of more than was allowed", []llm.Event{early, says(4000), stop(nil)}, nil, 100, 100, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, money.Dollar)
			w.up.events = c.events
			caller, err := w.enter(w.key(account.NewKey{}))
			if err != nil {
				t.Fatal(err)
			}
			defer caller.Leave()
			r := request()
			if c.change != nil {
				c.change(r)
			}
			call, err := caller.Open(context.Background(), r, Wishes{})
			if err != nil {
				t.Fatal(err)
			}
			consume(call, false)
			want, absorbed := money.Amount(c.in*1000+c.out*10_000), money.Amount(c.absorbed*10_000)
			rc := w.receipt(caller)
			if money.Dollar-w.posted() != want || rc.Charge != want || rc.Absorbed != absorbed || rc.Usage.Estimated != c.estimated {
				t.Errorf("charged %d, absorbed %d, estimated %v; want %d, %d, %v", rc.Charge, rc.Absorbed, rc.Usage.Estimated, want, absorbed, c.estimated)
			}
			sum := money.Amount(0)
			for _, l := range rc.Lines {
				sum += l.Amount
			}
			if sum != want+absorbed {
				t.Errorf("the lines sum to %d", sum)
			}
		})
	}
}

// A provider that says stop with its first piece can still end with a filter.
func TestTheLastFinishOfAChoiceCounts(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{{Content: true, OutputBytes: 8, Finish: llm.FinishStop}, {Finish: llm.FinishContentFilter, Usage: &llm.Usage{Input: 100, Output: 5}}}
	caller, call := w.reads(context.Background(), request(), 0)
	defer caller.Leave()
	consume(call, false)
	if rc := w.receipt(caller); rc.Outcome != OutcomeBlocked || rc.Charge != 0 || w.posted() != money.Dollar {
		t.Errorf("%s, charged %d", rc.Outcome, rc.Charge)
	}
}

// Whoever reads the answer, and a task is read by nobody's edge.
func TestWhatAnAnswerLeavesOutIsOnTheRecord(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{{Left: []string{"a"}}, {Content: true, OutputBytes: 8, Left: []string{"b", "c"}}, {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 100, Output: 5}}}
	caller, call := w.reads(context.Background(), request(), 0)
	defer caller.Leave()
	consume(call, false)
	if got := strings.Join(caller.v.Event.Left, " "); got != "a b c" {
		t.Errorf("it says %q", got)
	}
}

// With a key of an answer that cannot be read to its end any more, the caller
// pays what he would without, once: the key stands for that.
func TestAKeyDoesNotMakeHalfAnAnswerFree(t *testing.T) {
	t.Parallel()
	for _, content := range []bool{true, false} {
		w := setup(t, money.Dollar)
		w.g.drains.Store(MaxDrains)
		w.up.events = []llm.Event{{Usage: &llm.Usage{Input: 100}}}
		if content {
			w.up.events = append(w.up.events, says(80))
		}
		w.up.wait = untilGone
		key := w.key(account.NewKey{})
		caller, err := w.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(context.Background())
		if _, err := caller.Claim(ctx, "k", [32]byte{1}, 0); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(10*time.Millisecond, leave)
		want := money.Amount(100 * 1000)
		call, err := caller.Open(ctx, request(), Wishes{})
		if content {
			want += 20 * 10_000
			for err == nil {
				_, err = call.Next()
			}
			call.Left()
		}
		if !errors.Is(err, context.Canceled) || err == io.EOF {
			t.Fatal(err)
		}
		if !content {
			caller.Refused(fault.From(err), 499)
		}
		caller.Leave()
		if charge := money.Dollar - w.posted(); charge != want {
			t.Errorf("content %v: charged %d, want %d", content, charge, want)
		}
		again, err := w.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := again.Claim(context.Background(), "k", [32]byte{1}, 0)
		again.Leave()
		if err != nil || stored == nil || stored.Kept || stored.Request != caller.v.ID {
			t.Errorf("content %v: the key stands for %+v, %v", content, stored, err)
		}
	}
}
