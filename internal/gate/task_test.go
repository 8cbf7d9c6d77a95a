package gate

import (
	"context"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

// defers prepares a request of a job and holds for it.
func (w *world) defers(r *llm.Request) (account.KeyID, *ledger.Hold, Prepared) {
	w.t.Helper()
	caller, err := w.enter(w.key(account.NewKey{}))
	if err != nil {
		w.t.Fatal(err)
	}
	defer caller.Leave()
	p, err := caller.Prepare(r, obs.NewRequestID(time.Now()))
	if err != nil {
		w.t.Fatal(err)
	}
	holds, err := caller.HoldAll(context.Background(), [16]byte{1}, []Prepared{p}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return caller.who.Key.ID, holds[0], p
}

// works answers a request of a job to its end, and returns what it cost.
func (w *world) works(key account.KeyID, h *ledger.Hold, r *llm.Request, pinned []byte) money.Amount {
	w.t.Helper()
	before := w.posted()
	call, err := w.g.Resume(context.Background(), Task{Hold: h, Pinned: pinned, Site: "*", Key: key, Request: r, Event: &obs.Event{}})
	for err == nil {
		_, err = call.Next()
	}
	if err != io.EOF {
		w.t.Fatal(err)
	}
	if err := call.FinishTask(nil); err != nil {
		w.t.Fatal(err)
	}
	return before - w.posted()
}

// A request of a job costs what it did when it was held for, steps, factors, classes
// and tools included, whatever the price is by the time that it is its turn.
func TestAJobIsPaidForAtThePriceOfItsAdmission(t *testing.T) {
	t.Parallel()
	w := classed(t, money.Dollar)
	w.stepped(100)
	m, _ := w.g.plans.Load().Views["*"].Model("m")
	long := &m.Price.Long.Price
	long.Reasoning, long.ImageOutput, long.AudioOutput = 40*perMillion, 60*perMillion, 80*perMillion
	r := asking("priority")
	r.Hosted.Search(2)
	key, h, p := w.defers(r)
	// The dearest answer: 3 × 2 × the rates of upper(r) tokens and of 100 of an image, and two searches.
	if want := money.Amount(6*(upper(r)*1000+100*30_000) + 2*10_000_000); h.Amount() != want {
		t.Errorf("%d are held, want %d", h.Amount(), want)
	}
	price := m.Price
	defer func() { m.Price = price }()
	m.Price = catalog.Price{Input: 1, Output: 1, PerToken: true, Tiers: catalog.Tiers{Priority: 10_000_000}}
	w.up.events = []llm.Event{says(40), {
		Finish: llm.FinishStop, Calls: &llm.Calls{WebSearch: 2}, Last: true,
		Usage: &llm.Usage{Input: upper(r), Output: 100, Reasoning: 30, ImageOutput: 50, Tier: llm.TierPriority},
	}}
	want := money.Amount(6*(upper(r)*1000+20*10_000+30*20_000+50*30_000) + 2*10_000_000)
	if charge := w.works(key, h, r, p.Pinned); charge != want {
		t.Errorf("charged %d, want %d", charge, want)
	}
}

// A job that an earlier version admitted, which knew one price for all tiers, is paid
// for at that price, in whatever tier it is served.
func TestAJobOfAnEarlierVersionCostsWhatItSaid(t *testing.T) {
	t.Parallel()
	const pinned = `{"Price":{"Input":1000000000,"Output":10000000000,"CachedInput":1000000000,"CacheWrite":1000000000,"CacheWrite1h":1000000000,"ImageInput":0,"AudioInput":0,"Request":"0.00","Image":"0.00","Characters":0,"Minute":"0.00","PerToken":true,"PerRequest":false,"PerUnit":false,"Surcharge":0},"Plan":"","Class":"","Free":false}`
	for _, tier := range []llm.Tier{llm.TierStandard, llm.TierFlex, llm.TierPriority, llm.TierFast} {
		w := setup(t, money.Dollar)
		plain := request()
		key, h, p := w.defers(plain)
		w.up.events = []llm.Event{says(4), {Finish: llm.FinishStop, Usage: &llm.Usage{Input: upper(plain), Output: 100, Tier: tier}, Last: true}}
		if charge := w.works(key, h, asking("ultrafast"), []byte(pinned)); charge != h.Amount() {
			t.Errorf("served by %s it cost %d, and %d were held", tier, charge, h.Amount())
		}
		var now Pinned
		if err := json.Unmarshal(p.Pinned, &now); err != nil || now.Price.ID() != "b504ce62" {
			t.Errorf("%s, %v: the price is %s", p.Pinned, err, now.Price.ID())
		}
	}
}
