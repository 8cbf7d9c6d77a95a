package gate

import (
	"context"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

func TestRefusalsInTheirOrder(t *testing.T) {
	t.Parallel()
	w := setup(t, 0)
	inference := w.key(account.NewKey{})
	billing := w.key(account.NewKey{Kind: "billing"})
	narrow := w.key(account.NewKey{Models: []string{"other*"}})
	once := w.key(account.NewKey{Limits: account.Limits{RPS: 0.001, Burst: 1}})
	spent := w.key(account.NewKey{Limits: account.Limits{RequestsPerDay: 1}})
	for _, c := range []struct {
		name, key string
		model     string
		change    func(*llm.Request)
		want      fault.Code
	}{
		{"no key", "", "m", nil, fault.KeyMissing},
		{"a stranger", "sk-nobody", "m", nil, fault.KeyInvalid},
		{"a billing key", billing, "m", nil, fault.KeyWrongKind},
		{"an unknown model before the balance", inference, "none", nil, fault.ModelNotFound},
		{"a model that is off", inference, "off", nil, fault.ModelUnavailable},
		{"a model the key may not use", narrow, "m", nil, fault.ModelNotAllowed},
		{"too long before the balance", inference, "m", func(r *llm.Request) { r.Size.ASCII = 10 << 20 }, fault.ContextLengthExceeded},
		{"no money", inference, "m", nil, fault.BalanceInsufficient},
		{"no money with a daily limit that is not reached", spent, "m", nil, fault.BalanceInsufficient},
	} {
		err := func() error {
			caller, err := w.enter(c.key)
			if err != nil {
				return err
			}
			defer caller.Leave()
			r := request()
			r.Model = c.model
			if c.change != nil {
				c.change(r)
			}
			_, err = caller.Open(context.Background(), r, Wishes{})
			return err
		}()
		if !fault.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if caller, err := w.enter(once); err != nil {
		t.Error(err)
	} else {
		caller.Leave()
	}
	again, err := w.enter(once)
	if f := fault.From(err); f == nil || f.Code != fault.RateLimited || f.RetryAfter <= 0 {
		t.Errorf("over the throughput: %v", err)
	}
	if again == nil || again.Balance() != w.posted() {
		t.Fatal("who is over the throughput is not told of")
	}
	again.Refused(fault.From(err), 429)
	again.Leave()
	rec, _, err := w.ledger.Receipts(context.Background(), ledger.Filter{Account: int64(w.acc.ID), Limit: 1})
	if err != nil || len(rec) != 1 || rec[0].Fault != "rate_limited" || rec[0].Status != 429 || rec[0].Outcome != OutcomeRefused {
		t.Errorf("the receipt of who is over the throughput: %+v, %v", rec, err)
	}
	if len(w.up.calls) != 0 {
		t.Errorf("%d refused requests reached the provider", len(w.up.calls))
	}
}

// A refusal for money tells the exact amount: with that available the same
// request passes, with one nano-dollar less it does not.
func TestARefusalForMoneyTellsTheExactAmount(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	key := w.key(account.NewKey{})
	open := func() error {
		caller, err := w.enter(key)
		if err != nil {
			return err
		}
		defer caller.Leave()
		call, err := caller.Open(context.Background(), request(), Wishes{})
		if err == nil {
			call.Fail(fault.New(fault.Internal, ""), 500)
		}
		return err
	}
	e := fault.From(open())
	if e == nil || e.Code != fault.BalanceInsufficient || e.Available != 1 || e.Required <= 1 {
		t.Fatalf("with one nano-dollar: %+v", e)
	}
	top := func(n money.Amount) {
		if _, err := w.ledger.Credit(context.Background(), ledger.Credit{Account: int64(w.acc.ID), Kind: ledger.KindTopup, Amount: n}); err != nil {
			t.Fatal(err)
		}
	}
	top(e.Required - e.Available - 1)
	if err := open(); !fault.Is(err, fault.BalanceInsufficient) {
		t.Errorf("with one nano-dollar less than required: %v", err)
	}
	top(1)
	if err := open(); err != nil {
		t.Errorf("with exactly what was required: %v", err)
	}
}

func TestABalanceThatIsHeldIsNotABalanceThatIsMissing(t *testing.T) {
	t.Parallel()
	w := setup(t, 2_000_000)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	key := w.key(account.NewKey{})
	first, err := w.enter(key)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Leave()
	call, err := first.Open(context.Background(), request(), Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	second, _ := w.enter(key)
	defer second.Leave()
	_, err = second.Open(context.Background(), request(), Wishes{})
	e := fault.From(err)
	if e == nil || e.Code != fault.BalanceHeld || e.RetryAfter < time.Second || e.Held == 0 {
		t.Errorf("while the balance is held: %+v", e)
	}
	call.Close()
}

func TestDailyLimitsComeBeforeTheBalanceAndEndAtMidnight(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	key := w.key(account.NewKey{Limits: account.Limits{RequestsPerDay: 1}})
	use := func(finish bool) error {
		caller, err := w.enter(key)
		if err != nil {
			return err
		}
		defer caller.Leave()
		call, err := caller.Open(context.Background(), request(), Wishes{})
		if err != nil {
			return err
		}
		consume(call, false)
		return nil
	}
	if err := use(true); err != nil {
		t.Fatal(err)
	}
	e := fault.From(use(true))
	if e == nil || e.Code != fault.DailyRequestsExceeded || e.RetryAfter != 12*time.Hour {
		t.Errorf("the second request of the day: %+v, want a wait to midnight", e)
	}
	w.advance(12 * time.Hour)
	if err := use(true); err != nil {
		t.Errorf("the next day: %v", err)
	}
}

func TestADailyLimitCountsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	w := setup(t, money.Dollar)
	w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 1, Output: 1}}}
	key := w.key(account.NewKey{Limits: account.Limits{RequestsPerDay: 3}})
	open := func() (*Call, error) {
		caller, err := w.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(caller.Leave)
		return caller.Open(context.Background(), request(), Wishes{})
	}
	calls := make([]*Call, 3)
	for i := range calls {
		var err error
		if calls[i], err = open(); err != nil {
			t.Fatal(err)
		}
	}
	consume(calls[0], false)
	_, err := open()
	e := fault.From(err)
	if e == nil || e.Code != fault.DailyRequestsExceeded || e.Args["used"] != "3" || e.Args["limit"] != "3" || e.RetryAfter != time.Second {
		t.Errorf("one answered and two in flight of three: %+v", e)
	}
	calls[1].Close()
	calls[2].Close()
}
