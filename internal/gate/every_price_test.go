package gate

import (
	"context"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

// Prices with steps, tiers, classes, tools, a fee for the request and a surcharge, of
// requests with and without a limit, in answers that end, are left or are cut: a charge
// is never more than there is, and never more than the hold where the answer keeps to
// what was asked for, is left, or is cut; and charge and what is absorbed are what the
// lines come to.
func TestEveryPriceInEveryEnding(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(27, 11))
	w := classed(t, money.Dollar/1000)
	m, _ := w.g.plans.Load().Views["*"].Model("m")
	m.Reasoning = false // so that what comes can be weighed
	w.stepped(90)
	long := &m.Price.Long.Price
	long.Reasoning, long.AudioOutput, long.ImageOutput = 40*perMillion, 80*perMillion, 60*perMillion
	m.Price.Request, m.Price.PerRequest, m.Price.Surcharge = 12_345, true, 50_001
	m.Price.WebSearch, m.Price.FileSearch, m.Price.CodeExecution = 1_000_000, 250_000, 3_000_000
	key := w.key(account.NewKey{})
	paid, cut, left, refused := 0, 0, 0, 0
	for range 400 {
		if w.posted() < money.Dollar/20 {
			w.credit(money.Amount(rnd.Int64N(int64(money.Dollar / 2))))
		}
		r := asking([]string{"", "flex", "priority", "fast", "auto"}[rnd.IntN(5)])
		r.HasMaxOutput, r.MaxOutput = rnd.IntN(2) == 0, 1+rnd.Int64N(400)
		r.Size.ASCII = 40 + rnd.Int64N(400)
		if rnd.IntN(2) == 0 {
			r.Hosted.Search(1 + rnd.Int64N(4))
			r.Hosted.Run()
		}
		caller, err := w.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		tier := llm.Tier(rnd.IntN(4))
		keeps := rnd.IntN(3) > 0 // to what was asked for
		events, u := drawAnswer(rnd, r, tier, keeps)
		w.up.events = events
		before := w.posted()
		call, err := caller.Open(context.Background(), r, Wishes{})
		if err != nil {
			if !fault.Is(err, fault.BalanceInsufficient) {
				t.Fatal(err)
			}
			refused++
			caller.Leave()
			continue
		}
		release := func() {}
		if rnd.IntN(3) == 0 { // others hold the rest meanwhile
			free := w.ledger.Balance(int64(w.acc.ID)).Available
			h, err := w.ledger.Hold(ledger.Reservation{Account: int64(w.acc.ID), Key: int64(caller.who.Key.ID), Request: obs.NewRequestID(time.Now()), Amount: free, Floor: free})
			if err != nil {
				t.Fatal(err)
			}
			release = func() { h.Void(nil) }
		}
		leaves := rnd.IntN(4) == 0
		for err == nil {
			if _, err = call.Next(); err == nil && leaves && rnd.IntN(len(events)) == 0 {
				break
			}
		}
		gone := err == nil
		if gone {
			call.Left()
		} else if _, fail := call.Finish(nil); err != io.EOF || fail != nil {
			t.Fatal(err, fail)
		}
		call.Close()
		release()
		ev, charge := caller.v.Event, before-w.posted()
		switch {
		case charge < 0 || w.posted() < 0 || charge != ev.Charge:
			t.Fatalf("charged %d of %d, and says %d", charge, before, ev.Charge)
		case (gone && !call.over() || call.cut) && charge > ev.Hold:
			t.Fatalf("left %t, cut %t: charged %d, and %d were held", gone, call.cut, charge, ev.Hold)
		case keeps && u.Output <= call.allowed() && (charge > ev.Hold || ev.Absorbed > 0):
			t.Fatalf("%+v of %+v: charged %d and absorbed %d, and %d were held", u, r.Hosted, charge, ev.Absorbed, ev.Hold)
		}
		if charge+ev.Absorbed > 0 {
			var lines money.Amount
			for _, l := range w.receipt(caller).Lines {
				lines += l.Amount
			}
			if lines != charge+ev.Absorbed {
				t.Fatalf("charged %d and absorbed %d, and the lines come to %d", charge, ev.Absorbed, lines)
			}
		}
		switch {
		case call.cut:
			cut++
		case gone:
			left++
		default:
			paid++
		}
		caller.Leave()
	}
	if paid < 50 || cut < 10 || left < 20 || refused < 5 {
		t.Errorf("%d were paid, %d cut, %d left and %d refused: too few of some", paid, cut, left, refused)
	}
}

// drawAnswer draws the events of an answer and its usage, within what r lets it come
// to if it keeps to that.
func drawAnswer(rnd *rand.Rand, r *llm.Request, tier llm.Tier, keeps bool) (events []llm.Event, u llm.Usage) {
	u.Input = 1 + rnd.Int64N(upper(r))
	most := int64(10_000)
	if r.HasMaxOutput {
		most = r.MaxOutput
	}
	calls := &llm.Calls{}
	if r.Hosted.WebSearch > 0 {
		calls.WebSearch, calls.CodeExecution = rnd.Int64N(r.Hosted.WebSearch+1), rnd.Int64N(2)
	}
	if !keeps {
		u.Input, most, calls.WebSearch = u.Input*3, most*2, calls.WebSearch*5
	}
	u.Output = 1 + rnd.Int64N(most)
	u = u.WithOutput(rnd.Int64N(u.Output+1), 0, rnd.Int64N(u.Output+1))
	u.Tier = tier
	events = append(events, llm.Event{Content: true, OutputBytes: 4, Weight: llm.WeightPerToken, Tier: tier}, llm.Event{Calls: calls})
	for n := u.Output - 1; n > 0; n -= 100 {
		k := int(min(n, 100))
		events = append(events, llm.Event{Content: true, OutputBytes: 4 * k, Weight: llm.WeightPerToken * k})
	}
	return append(events, llm.Event{Finish: llm.FinishStop, Usage: &u, Last: true}), u
}
