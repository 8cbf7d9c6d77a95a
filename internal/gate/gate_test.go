package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/provider"
)

// The table of endings: what each costs, what the receipt says, and that
// nothing is held afterwards and no daily request is used by what is free.
func TestEndings(t *testing.T) {
	t.Parallel()
	used := &llm.Usage{Input: 100, Output: 50}
	full := 100*1000 + 50*10_000 // nano-dollars: a dollar and ten per million
	ends := func(f llm.Finish, u *llm.Usage) llm.Event { return llm.Event{Finish: f, Usage: u} }
	for _, c := range []struct {
		name    string
		events  []llm.Event
		end     error
		open    error
		leave   bool
		charge  int
		outcome string
		fault   string
	}{
		{"stop", []llm.Event{says(20), ends(llm.FinishStop, used)}, nil, nil, false, full, OutcomeOK, ""},
		{"length", []llm.Event{says(20), ends(llm.FinishLength, used)}, nil, nil, false, full, OutcomeOK, ""},
		{"tool calls", []llm.Event{says(20), ends(llm.FinishToolCalls, used)}, nil, nil, false, full, OutcomeOK, ""},
		{"length while thinking", []llm.Event{ends(llm.FinishLength, &llm.Usage{Input: used.Input, Output: used.Output, Reasoning: used.Output})}, nil, nil, false, full, OutcomeOK, ""},
		{"length without a word, or which tokens were thoughts", []llm.Event{ends(llm.FinishLength, used)}, nil, nil, false, full, OutcomeOK, ""},
		{"length without a token", []llm.Event{ends(llm.FinishLength, &llm.Usage{Input: used.Input})}, nil, nil, false, 0, OutcomeEmpty, "empty_response"},
		{"no usage: estimated", []llm.Event{says(40), ends(llm.FinishStop, nil)}, nil, nil, false, 0, OutcomeOK, ""},
		{"content filter", []llm.Event{says(20), ends(llm.FinishContentFilter, used)}, nil, nil, false, 0, OutcomeBlocked, ""},
		{"refusal object", []llm.Event{{Content: true, Refusal: true}, ends(llm.FinishStop, used)}, nil, nil, false, 0, OutcomeBlocked, ""},
		{"empty", []llm.Event{ends(llm.FinishStop, used)}, nil, nil, false, 0, OutcomeEmpty, "empty_response"},
		{"policy block", nil, nil, &provider.Failure{Fault: fault.New(fault.ContentPolicy, "")}, false, 0, OutcomeBlocked, "content_policy"},
		{"before content", nil, nil, &provider.Failure{Fault: fault.New(fault.UpstreamFailed, "")}, false, 0, OutcomeFailed, "upstream_failed"},
		{"died midway", []llm.Event{says(20)}, &provider.Failure{Fault: fault.New(fault.StreamInterrupted, "")}, nil, false, 0, OutcomeInterrupted, "stream_interrupted"},
		{"left midway", []llm.Event{{Usage: &llm.Usage{Input: 100, Output: 1}}, says(40), says(40)}, nil, nil, true, 100*1000 + 20*10_000, OutcomeClientLeft, ""},
		{"left after the finish", []llm.Event{says(20), ends(llm.FinishStop, used)}, nil, nil, true, full, OutcomeOK, ""},
		{"lies: negative", []llm.Event{says(40), ends(llm.FinishStop, &llm.Usage{Input: -5, Output: 1 << 50})}, nil, nil, false, 0, OutcomeOK, ""},
		{"lies: more than the model can hold", []llm.Event{says(40), ends(llm.FinishStop, &llm.Usage{Input: 100, Output: 900_000_000})}, nil, nil, false, 0, OutcomeOK, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, money.Dollar)
			w.up.events, w.up.end, w.up.open = c.events, c.end, c.open
			key := w.key(account.NewKey{Limits: account.Limits{RequestsPerDay: 10}})
			caller, err := w.enter(key)
			if err != nil {
				t.Fatal(err)
			}
			defer caller.Leave()
			call, err := caller.Open(context.Background(), request(), Wishes{})
			if err != nil {
				caller.Refused(fault.From(err), 502)
			} else {
				consume(call, c.leave)
			}
			if !w.ledger.Idle() {
				t.Error("something is held")
			}
			charge := money.Dollar - w.posted()
			estimated := strings.HasPrefix(c.name, "no usage") || strings.HasPrefix(c.name, "lies")
			if estimated {
				// 300 bytes of prompt and 40 of answer: counted, not free, not more than held.
				if charge < 10*10_000 || charge > caller.v.Event.Hold {
					t.Errorf("an estimate of $%s with a hold of $%s", charge, caller.v.Event.Hold)
				}
			} else if charge != money.Amount(c.charge) {
				t.Errorf("charged %d, want %d", charge, c.charge)
			}
			r := w.receipt(caller)
			if r.Outcome != c.outcome || r.Fault != c.fault || r.Charge != charge || r.Usage.Estimated != (estimated || c.name == "left midway") {
				t.Errorf("receipt: outcome %q, fault %q, charge %d, estimated %v", r.Outcome, r.Fault, r.Charge, r.Usage.Estimated)
			}
			if day := w.ledger.KeyDay(int64(caller.who.Key.ID)); (day.Requests == 1) != (charge > 0) {
				t.Errorf("%d requests of the day used, charge %d", day.Requests, charge)
			}
		})
	}
}

func TestWithoutALimitOfItsOwnTheOutputIsCappedAtWhatCanBePaid(t *testing.T) {
	t.Parallel()
	w := setup(t, 30*money.Amount(10_000)*100) // 3,000 tokens of output
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	key := w.key(account.NewKey{})
	open := func(wish Wishes) (*Caller, error) {
		caller, err := w.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		defer caller.Leave()
		r := request()
		r.MaxOutput, r.HasMaxOutput = 0, false
		call, err := caller.Open(context.Background(), r, wish)
		if err == nil {
			consume(call, false)
		}
		return caller, err
	}
	caller, err := open(Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if c := w.up.calls[0].CapOutput; c < 2500 || c > 3000 || caller.v.Event.CappedBy != "balance" {
		t.Errorf("output capped at %d by %q, want a little less than 3,000 by balance", c, caller.v.Event.CappedBy)
	}
	if _, err := open(Wishes{FullOutput: true}); !fault.Is(err, fault.BalanceInsufficient) {
		t.Errorf("a caller who wants the full output or nothing: %v", err)
	}
}

func TestTestKeysSpendTheTestBalance(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 100, Output: 50}}}
	key := w.key(account.NewKey{Test: true})
	caller, err := w.enter(key)
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Leave()
	if _, err := caller.Open(context.Background(), request(), Wishes{}); !fault.Is(err, fault.BalanceInsufficient) {
		t.Fatalf("without a test balance: %v", err)
	}
	if _, err := w.ledger.Credit(context.Background(), ledger.Credit{Account: int64(w.acc.ID), Kind: ledger.KindGrant, Amount: money.Dollar, Test: true}); err != nil {
		t.Fatal(err)
	}
	call, err := caller.Open(context.Background(), request(), Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	consume(call, false)
	b := w.ledger.Balance(int64(w.acc.ID))
	if b.Posted != money.Dollar || b.TestPosted != money.Dollar-600_000 {
		t.Errorf("balance %s, test balance %s", b.Posted, b.TestPosted)
	}
}

func TestACallerWhoLeavesCancelsTheProviderAtOnceUnlessTheKeyDrains(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cancel", "drain"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := setup(t, money.Dollar)
			w.up.events = []llm.Event{says(8)}
			release := make(chan struct{})
			w.up.wait = func(ctx context.Context) error {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-release:
					return nil
				}
			}
			caller, err := w.enter(w.key(account.NewKey{OnDisconnect: mode}))
			if err != nil {
				t.Fatal(err)
			}
			defer caller.Leave()
			ctx, leave := context.WithCancel(context.Background())
			call, err := caller.Open(ctx, request(), Wishes{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := call.Next(); err != nil {
				t.Fatal(err)
			}
			leave()
			if mode == "drain" {
				close(release)
			}
			_, err = call.Next()
			if mode == "drain" {
				if err != io.EOF {
					t.Errorf("the answer that is drained ended with %v", err)
				}
				_, err = call.Finish(nil)
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the provider's stream ended with %v, want a cancel", err)
			}
			call.Left()
		})
	}
}

func TestAModelIsTriedAsOftenAsThePlansSay(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{1, 2, 5} {
		w := setup(t, money.Dollar)
		plans := *w.g.plans.Load()
		plans.Attempts = attempts
		w.g.Swap(&plans)
		w.up.open = &provider.Failure{Fault: fault.New(fault.UpstreamFailed, ""), Retry: true}
		caller, err := w.enter(w.key(account.NewKey{}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := caller.Open(context.Background(), request(), Wishes{}); !fault.Is(err, fault.UpstreamFailed) {
			t.Errorf("%d attempts: %v", attempts, err)
		}
		caller.Leave()
		if len(w.up.calls) != attempts {
			t.Errorf("tried %d times, want %d", len(w.up.calls), attempts)
		}
	}
}

func TestWhatADrainBreaksOffWasAborted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e    *fault.Error
		want string
	}{
		{fault.New(fault.Draining, ""), OutcomeAborted},
		{fault.Wrap(fault.Draining, context.Canceled), OutcomeAborted},
		{fault.Wrap(fault.UpstreamFailed, context.Canceled), OutcomeClientLeft},
		{fault.New(fault.Internal, ""), OutcomeAborted},
	} {
		if got := classOf(c.e, false).row().outcome; got != c.want {
			t.Errorf("%v: %q, want %q", c.e, got, c.want)
		}
	}
}

func TestWhatWasLeftOutIsTold(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	w.up.dropped = []string{"seed", "messages.0.name"}
	caller, call := w.reads(context.Background(), request(), 0)
	defer caller.Leave()
	defer call.Close()
	if got := strings.Join(call.Dropped(), " "); got != "seed messages.0.name" || len(caller.v.Event.Dropped) != 2 {
		t.Errorf("dropped %q", got)
	}
	caller.v.Event.Left = []string{"web_search_call"}
	call.req.Place = strings.ToUpper
	if r := call.receipt(llm.Usage{}); fmt.Sprint(r.Dropped, r.Left) != "[SEED MESSAGES.0.NAME] [web_search_call]" {
		t.Errorf("the receipt says %q and %q", r.Dropped, r.Left)
	}
}
