package gate

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/provider"
)

// tokens is what is used of the key's tokens per minute.
func (w *world) tokens(c *Caller) int64 {
	w.t.Helper()
	for _, u := range w.g.o.Limiter.Uses(int64(c.who.Key.ID), c.Rate()) {
		if u.Source == limit.Tokens {
			return u.Used
		}
	}
	w.t.Fatal("no limit of tokens")
	return 0
}

// Whatever ends a request, its key has used the tokens that it is charged for,
// and no other.
func TestTokensAreThoseThatAreChargedFor(t *testing.T) {
	t.Parallel()
	const tpm = 10_000
	usage := &llm.Usage{Input: 120, Output: 50, Reasoning: 20, CachedInput: 60}
	end := llm.Event{Finish: llm.FinishStop, Usage: usage}
	for _, c := range []struct {
		name    string
		balance money.Amount
		up      *upstream // nil: it is not asked
		end     func(*testing.T, *Call)
		free    bool
	}{
		{name: "finished", up: &upstream{events: []llm.Event{says(4), end}}},
		{name: "more than expected", up: &upstream{events: []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 30_000, Output: 1}}}}},
		{name: "left midway", up: &upstream{events: []llm.Event{says(4), says(4), end}}, end: func(_ *testing.T, call *Call) { consume(call, true) }},
		{name: "too little money", balance: 1, free: true},
		{name: "refused by the provider", up: &upstream{open: &provider.Failure{Fault: fault.New(fault.UpstreamFailed, "")}}, free: true},
		{name: "unsupported", up: &upstream{refusal: fault.New(fault.UnsupportedParameter, "")}, free: true},
		{name: "a defect while it opens", up: &upstream{panics: true}, free: true},
		{name: "empty", up: &upstream{events: []llm.Event{end}}, free: true},
		{name: "blocked", up: &upstream{events: []llm.Event{says(4), {Finish: llm.FinishContentFilter, Usage: usage}}}, free: true},
		{name: "broke off", up: &upstream{events: []llm.Event{says(4)}, end: &provider.Failure{Fault: fault.New(fault.StreamInterrupted, "")}}, free: true},
		{name: "a defect of ours", up: &upstream{events: []llm.Event{says(4), end}}, end: func(_ *testing.T, call *Call) { call.Close() }, free: true},
		{name: "not kept", up: &upstream{events: []llm.Event{says(4), end}}, end: func(t *testing.T, call *Call) {
			drain(call)
			if _, err := call.Finish(func(Bill) (*ledger.Stored, error) { return nil, errors.New("no") }); err == nil {
				t.Error("it is finished")
			}
		}, free: true},
		{name: "taken back", up: &upstream{events: []llm.Event{says(4), end}}, end: func(t *testing.T, call *Call) {
			drain(call)
			if _, err := call.Finish(nil); err != nil {
				t.Fatal(err)
			}
			call.TakeBack()
		}, free: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, max(c.balance, 1))
			if c.balance == 0 {
				w.topUp(money.Dollar)
			}
			if c.up != nil {
				w.up.events, w.up.end, w.up.open, w.up.refusal, w.up.panics = c.up.events, c.up.end, c.up.open, c.up.refusal, c.up.panics
			}
			caller, err := w.enter(w.key(account.NewKey{Limits: account.Limits{TokensPerMinute: tpm}}))
			if err != nil {
				t.Fatal(err)
			}
			defer caller.Leave()
			func() {
				defer func() { _ = recover() }()
				call, err := caller.Open(context.Background(), request(), Wishes{})
				if err != nil {
					caller.Refused(fault.From(err), 502)
					return
				}
				if got, want := w.tokens(caller), call.quote.Input+100; got != want {
					t.Errorf("%d tokens are taken, want %d of the prompt and 100 of the answer", got, want)
				}
				if c.end == nil {
					consume(call, false)
				} else {
					c.end(t, call)
				}
			}()
			want := caller.v.Event.InputTokens + caller.v.Event.OutputTokens
			if c.free {
				want = 0
			} else if want == 0 {
				t.Error("nothing is used")
			}
			if got := w.tokens(caller); got != want {
				t.Errorf("%d tokens are used, want %d", got, want)
			}
		})
	}
}

func drain(call *Call) {
	for {
		if _, err := call.Next(); err != nil {
			return
		}
	}
}

func (w *world) topUp(a money.Amount) {
	w.t.Helper()
	if _, err := w.ledger.Credit(context.Background(), ledger.Credit{Account: int64(w.acc.ID), Kind: ledger.KindTopup, Amount: a}); err != nil {
		w.t.Fatal(err)
	}
}

// The refusal tells tokens from requests, and the exact wait: after that the
// same request passes, and a millisecond before it does not.
func TestTooManyTokens(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 700, Output: 200}}}
	key := w.key(account.NewKey{Limits: account.Limits{TokensPerMinute: 1000, RequestsPerDay: 5}})
	ask := func() error {
		caller, err := w.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		defer caller.Leave()
		call, err := caller.Open(context.Background(), request(), Wishes{})
		if err != nil {
			caller.Refused(fault.From(err), 429)
			return err
		}
		consume(call, false)
		return nil
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	e := fault.From(ask())
	need := e.RetryAfter
	if e.Code != fault.RateLimited || e.LimitSource != "tokens" || e.Args["limit"] != "1000" || e.Args["per"] != "1m0s" || need <= 0 || need > time.Minute {
		t.Fatalf("%+v", e)
	}
	w.advance(need - time.Millisecond)
	if e := fault.From(ask()); e == nil || e.RetryAfter != time.Millisecond {
		t.Fatalf("a millisecond early: %v", e)
	}
	w.advance(time.Millisecond)
	if err := ask(); err != nil {
		t.Fatal(err)
	}
}

// Without a limit of the caller's, a request is expected to answer with the
// floor; and what is more than the minute's worth passes a full bucket.
func TestExpectedTokens(t *testing.T) {
	t.Parallel()
	w := setup(t, 100*money.Dollar)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	open := func(tpm int64, req *llm.Request) int64 {
		caller, err := w.enter(w.key(account.NewKey{Limits: account.Limits{TokensPerMinute: tpm}}))
		if err != nil {
			t.Fatal(err)
		}
		defer caller.Leave()
		call, err := caller.Open(context.Background(), req, Wishes{})
		if err != nil {
			t.Fatal(err)
		}
		defer call.Close()
		return w.tokens(caller)
	}
	prompt := upper(request())
	free := request()
	free.HasMaxOutput, free.MaxOutput = false, 0
	if got := open(50_000, free); got != prompt+1024 {
		t.Errorf("%d, want %d and the floor", got, prompt)
	}
	free.Choices = 3
	if got := open(50_000, free); got != prompt+3*1024 {
		t.Errorf("%d, want %d and the floor of three choices", got, prompt)
	}
	if got := open(500, free); got != 500 {
		t.Errorf("%d of 500", got)
	}
	if got := open(50_000, request()); got != prompt+100 {
		t.Errorf("%d, want %d and 100", got, prompt)
	}
}
