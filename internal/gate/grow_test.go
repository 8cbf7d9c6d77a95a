package gate

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/route"
)

// What an elastic request to the model m costs: a prompt of 124 tokens at most,
// and output at ten dollars a million.
const (
	elasticPrompt = 124 * 1000
	outputToken   = 10_000
	elasticFloor  = elasticPrompt + catalog.FloorOutput*outputToken
	elasticWorst  = elasticPrompt + 10_000*outputToken
)

// elastic is a streamed request without a limit of its own.
func elastic() *llm.Request {
	r := request()
	r.MaxOutput, r.HasMaxOutput = 0, false
	return r
}

// watched is a world whose model has no thoughts.
func watched(t *testing.T, balance money.Amount) *world {
	t.Helper()
	w := setup(t, balance)
	w.model("m").Reasoning = false
	return w
}

func (w *world) model(id string) *catalog.Model {
	m, _ := w.g.plans.Load().Views["*"].Model(id)
	return m
}

// asks opens a request with a key, and leaves the slot to the end of the test.
func (w *world) asks(key string, r *llm.Request) (*Call, error) {
	w.t.Helper()
	caller, err := w.enter(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(caller.Leave)
	return caller.Open(context.Background(), r, Wishes{})
}

func (w *world) mustAsk(key string, r *llm.Request) *Call {
	w.t.Helper()
	call, err := w.asks(key, r)
	if err != nil {
		w.t.Fatal(err)
	}
	return call
}

// pieces are n events of size bytes each, one token for four of them, and a good
// end.
func pieces(n, size int) []llm.Event {
	var out []llm.Event
	for range n {
		out = append(out, llm.Event{Content: true, OutputBytes: size, Weight: 2 * size, Data: []byte(`{}`)})
	}
	return append(out, llm.Event{Finish: llm.FinishStop}, llm.Event{Usage: &llm.Usage{Input: 100, Output: int64(n * size / 4)}})
}

// run reads an answer on, and returns how many events had content, and the one
// that cut it off, if one did.
func (call *Call) run(t *testing.T) (content int, cut *llm.Event) {
	t.Helper()
	for {
		ev, err := call.Next()
		if err == io.EOF {
			return content, cut
		}
		if err != nil || cut != nil {
			t.Fatalf("%+v, %v after %v", ev, err, cut)
		}
		if ev.Content {
			content++
		}
		if ev.Cut {
			cut = &ev
		}
	}
}

func TestAStreamWithoutALimitHoldsAShare(t *testing.T) {
	t.Parallel()
	thinks := func(w *world) { w.model("m").Reasoning = true }
	quiet := func(w *world) { thinks(w); w.up.quiet = []string{"m"} }
	elsewhere := func(w *world) {
		quiet(w)
		p := w.g.plans.Load()
		m := w.model("m")
		p.Targets[m] = append(p.Targets[m], &route.Target{ID: "up/other", Provider: w.up, Model: "other", Health: route.NewHealth(w.now, route.Norms{})})
	}
	thoughtful := elastic()
	thoughtful.Needs.Add(llm.NeedReasoning, "reasoning_effort")
	whole := elastic()
	whole.Stream = false
	foretold := elastic()
	foretold.Raw = llm.Raw{Body: []byte(`{"prediction":{}}`), Members: []llm.Member{{Name: "prediction", Start: 1, ValueStart: 14, End: 16}}}
	for _, c := range []struct {
		name    string
		balance money.Amount
		r       *llm.Request
		more    func(*world)
		held    money.Amount
		capped  int64
	}{
		{"rich", 8 * elasticWorst, elastic(), nil, elasticWorst, 0},
		{"not quite as rich", 8*elasticWorst - 8, elastic(), nil, elasticWorst - 1, 0},
		{"an eighth of what is free", 4 * elasticWorst, elastic(), nil, elasticWorst / 2, 0},
		{"the floor", 2 * elasticFloor, elastic(), nil, elasticFloor, (2*elasticFloor - elasticPrompt) / outputToken},
		{"the floor and no more", elasticFloor, elastic(), nil, elasticFloor, catalog.FloorOutput},
		{"not streamed", 2 * elasticFloor, whole, nil, 2 * elasticFloor, (2*elasticFloor - elasticPrompt) / outputToken},
		{"thoughts that nobody sees", 2 * elasticFloor, elastic(), thinks, 2 * elasticFloor, (2*elasticFloor - elasticPrompt) / outputToken},
		{"no thoughts that were not asked for", 2 * elasticFloor, elastic(), quiet, elasticFloor, (2*elasticFloor - elasticPrompt) / outputToken},
		{"thoughts that were asked for", 2 * elasticFloor, thoughtful, quiet, 2 * elasticFloor, (2*elasticFloor - elasticPrompt) / outputToken},
		{"thoughts at another target", 2 * elasticFloor, elastic(), elsewhere, 2 * elasticFloor, (2*elasticFloor - elasticPrompt) / outputToken},
		{"output that was foretold", 2 * elasticFloor, foretold, nil, 2 * elasticFloor, (2*elasticFloor - elasticPrompt) / outputToken},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := watched(t, c.balance)
			if c.more != nil {
				c.more(w)
			}
			w.up.events = pieces(3, 40)
			call := w.mustAsk(w.key(account.NewKey{}), c.r)
			if got := call.hold.Amount(); got != c.held || w.up.calls[0].CapOutput != c.capped {
				t.Errorf("holds %s and caps at %d, want %s and %d", got, w.up.calls[0].CapOutput, c.held, c.capped)
			}
			if capped := call.CappedBy() == "balance"; capped != (c.capped > 0) {
				t.Errorf("capped by %q", call.CappedBy())
			}
			if n, cut := call.run(t); n != 3 || cut != nil {
				t.Errorf("%d pieces, cut off by %v", n, cut)
			}
			if b, err := call.Finish(nil); err != nil || b.Charge != 100*1000+30*outputToken {
				t.Errorf("%+v, %v", b, err)
			}
		})
	}
}

// On so many floors so many streams are admitted, and with a nano-dollar less
// one of them is not, and is told that it may be later.
func TestAsManyStreamsAsThereAreFloors(t *testing.T) {
	t.Parallel()
	const n = 4
	w := watched(t, n*elasticFloor+1)
	w.up.events = pieces(3, 668)
	key := w.key(account.NewKey{})
	var open []*Call
	for range n {
		open = append(open, w.mustAsk(key, elastic()))
	}
	_, err := w.asks(key, elastic())
	e := fault.From(err)
	if !fault.Is(err, fault.BalanceHeld) || e.Required != elasticFloor || e.Available != 1 || e.RetryAfter != heldRetry {
		t.Errorf("one too many: %+v", e)
	}
	for _, call := range open {
		consume(call, false)
	}
	// A charge is about half a floor.
	for w.posted() >= elasticFloor {
		consume(w.mustAsk(key, elastic()), false)
	}
	if _, err := w.asks(key, elastic()); !fault.Is(err, fault.BalanceInsufficient) || fault.From(err).Required != elasticFloor {
		t.Errorf("when it is spent: %v", err)
	}
	if _, err := w.ledger.Credit(context.Background(), credit(w, elasticFloor-w.posted()-1)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.asks(key, elastic()); !fault.Is(err, fault.BalanceInsufficient) {
		t.Errorf("with a nano-dollar less than the floor: %v", err)
	}
	if _, err := w.ledger.Credit(context.Background(), credit(w, 1)); err != nil {
		t.Fatal(err)
	}
	consume(w.mustAsk(key, elastic()), false)
}

// The hold of an answer that is alone grows to all that can be had, as it was
// before there were shares, and its provider's cap is what ends it.
func TestAHoldGrowsWithItsStream(t *testing.T) {
	t.Parallel()
	const balance = 5 * elasticFloor
	w := watched(t, balance)
	const tokens = (balance - elasticPrompt) / outputToken // the cap
	w.up.events = pieces(tokens/10, 40)
	call := w.mustAsk(w.key(account.NewKey{}), elastic())
	if w.up.calls[0].CapOutput != tokens {
		t.Fatalf("capped at %d, want %d", w.up.calls[0].CapOutput, tokens)
	}
	held := []money.Amount{call.hold.Amount()}
	for {
		ev, err := call.Next()
		if err == io.EOF {
			break
		}
		if err != nil || ev.Cut {
			t.Fatalf("%+v, %v", ev, err)
		}
		now := call.hold.Amount()
		if now > held[len(held)-1] {
			held = append(held, now)
		}
		if seen := money.Amount(elasticPrompt + call.produced/4*outputToken); now < seen {
			t.Fatalf("%s is held for %s", now, seen)
		}
		if g := call.growth; g.on && 4*g.used > 3*g.covered+wholeToken {
			t.Fatalf("%s is held, which is not ahead of %d of %d", now, g.used, g.covered)
		}
	}
	if len(held) != 6 || held[1] != elasticFloor+catalog.FloorOutput*outputToken || held[len(held)-1] != balance {
		t.Errorf("held %v", held)
	}
	b, err := call.Finish(nil)
	if err != nil || b.Charge != 100*1000+tokens/10*10*outputToken || b.Usage.Estimated {
		t.Errorf("%+v, %v", b, err)
	}
	if r := w.receipt(call.c); r.Hold != balance || r.Absorbed != 0 || r.Outcome != OutcomeOK {
		t.Errorf("receipt: hold %s, absorbed %s, %s", r.Hold, r.Absorbed, r.Outcome)
	}
}

// A piece that is larger than a step is no reason to end.
func TestAHoldGrowsByWhatAPieceNeeds(t *testing.T) {
	t.Parallel()
	w := watched(t, 5*elasticFloor)
	w.up.events = pieces(2, 9000)
	call := w.mustAsk(w.key(account.NewKey{}), elastic())
	if n, cut := call.run(t); n != 2 || cut != nil {
		t.Errorf("%d pieces, cut off by %+v", n, cut)
	}
	if b, err := call.Finish(nil); err != nil || b.Charge != 100*1000+4500*outputToken {
		t.Errorf("%+v, %v", b, err)
	}
}

// With nothing more to be had the answer ends, before what cannot be paid.
func TestAnAnswerIsCutOffWhereTheMoneyEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*Call){
		"finish": func(c *Call) { _, _ = c.Finish(nil) },
		"leave":  func(c *Call) { c.Left() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := watched(t, 2*elasticFloor)
			w.up.events = pieces(1000, 40)
			key := w.key(account.NewKey{})
			call := w.mustAsk(key, elastic())
			upstream := w.up.ctx
			w.up.events = pieces(102, 40) // its provider was told to give no more
			other := w.mustAsk(key, elastic())
			n, cut := call.run(t)
			// 40 bytes are 13⅓ tokens here, and the frame of the answer 16.
			if n != (catalog.FloorOutput-16)*3/40 || cut == nil || cut.Finish != llm.FinishLength || cut.Content || !bytes.Equal(cut.Data, []byte(`{}`)) {
				t.Errorf("%d pieces, cut off by %+v", n, cut)
			}
			if upstream.Err() == nil {
				t.Error("the provider goes on")
			}
			if call.CappedBy() != "balance" {
				t.Errorf("capped by %q", call.CappedBy())
			}
			before := w.posted()
			end(call)
			input := countInput(elastic())
			if charge := before - w.posted(); charge != money.Amount(input*1000+int64(n)*10*outputToken) || charge > elasticFloor {
				t.Errorf("charged %s for %d pieces", charge, n)
			}
			r := w.receipt(call.c)
			if r.Outcome != OutcomeOK || !r.Usage.Estimated || r.Hold != elasticFloor || r.Absorbed != 0 || r.Usage.Output != int64(n)*10 {
				t.Errorf("receipt: %+v", r)
			}
			if more, cut := other.run(t); more != 102 || cut != nil {
				t.Errorf("the other one got %d pieces, cut off by %+v", more, cut)
			}
			if b, err := other.Finish(nil); err != nil || b.Charge != 100*1000+1020*outputToken {
				t.Errorf("the other one: %+v, %v", b, err)
			}
		})
	}
}

// What an event counts for, in sixths of a token.
func TestOutputIsWeighed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		ev   llm.Event
		want int64
	}{
		{"no content", llm.Event{OutputBytes: 9, Weight: 18, Finish: llm.FinishStop}, 0},
		{"less than a token", llm.Event{Content: true, OutputBytes: 1, Weight: 2}, 6},
		{"a sentence", llm.Event{Content: true, OutputBytes: 25, Weight: 55}, 55},
		{"no text", llm.Event{Content: true}, 96},
	} {
		if got := weigh(&c.ev); got != c.want {
			t.Errorf("%s weighs %d sixths of a token, want %d", c.name, got, c.want)
		}
	}
}

// The first piece is given whatever its size, and so is what follows the end.
func TestTheFirstPieceIsGiven(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		n    int
		got  int
		cut  bool
	}{{"all in one piece", 1, 1, false}, {"and another one", 2, 1, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := watched(t, 2*elasticFloor)
			key := w.key(account.NewKey{})
			w.up.events = pieces(c.n, 3200) // 800 tokens, which may be 1,067
			call := w.mustAsk(key, elastic())
			w.up.events = pieces(1, 4)
			other := w.mustAsk(key, elastic())
			defer other.Close()
			n, cut := call.run(t)
			if n != c.got || (cut != nil) != c.cut {
				t.Errorf("%d pieces, cut off by %+v", n, cut)
			}
			if b, err := call.Finish(nil); err != nil || b.Charge > elasticFloor {
				t.Errorf("%+v, %v", b, err)
			}
			if r := w.receipt(call.c); r.Absorbed != 0 {
				t.Errorf("%s was absorbed", r.Absorbed)
			}
		})
	}
}

// A provider that counts on the way is believed if it counts more.
func TestACountOnTheWayIsBelieved(t *testing.T) {
	t.Parallel()
	w := watched(t, 2*elasticFloor)
	key := w.key(account.NewKey{})
	piece := func(n int64) llm.Event {
		return llm.Event{Content: true, OutputBytes: 4, Weight: 8, Usage: &llm.Usage{Input: 90, Output: n}}
	}
	w.up.events = []llm.Event{piece(500), piece(1000), piece(1020), piece(1030), {Finish: llm.FinishStop}}
	call := w.mustAsk(key, elastic())
	w.up.events = pieces(1, 4)
	other := w.mustAsk(key, elastic())
	defer other.Close()
	if n, cut := call.run(t); n != 3 || cut == nil {
		t.Errorf("%d pieces, cut off by %+v", n, cut)
	}
	if b, err := call.Finish(nil); err != nil || b.Charge != 90*1000+1020*outputToken || !b.Usage.Estimated {
		t.Errorf("%+v, %v", b, err)
	}
}

// A key's dollars of the day bound a hold as the balance does.
func TestAKeysDollarsBoundWhatAHoldGrowsTo(t *testing.T) {
	t.Parallel()
	w := watched(t, money.Dollar)
	w.up.events = pieces(1000, 40)
	key := w.key(account.NewKey{Limits: account.Limits{USDPerDay: 2 * elasticFloor}})
	call := w.mustAsk(key, elastic())
	w.up.events = pieces(100, 40)
	other := w.mustAsk(key, elastic())
	if _, err := w.asks(key, elastic()); !fault.Is(err, fault.DailySpendExceeded) || fault.From(err).RetryAfter != heldRetry {
		t.Errorf("one too many: %v", err)
	}
	if _, cut := call.run(t); cut == nil || call.hold.Amount() != elasticFloor {
		t.Errorf("with %s held it was not cut off", call.hold.Amount())
	}
	if _, err := call.Finish(nil); err != nil {
		t.Error(err)
	}
	if _, cut := other.run(t); cut != nil {
		t.Error("the other one was cut off")
	}
	if _, err := other.Finish(nil); err != nil {
		t.Error(err)
	}
	if d := w.ledger.KeyDay(int64(call.c.who.Key.ID)); d.USD > 2*elasticFloor || d.USDHeld != 0 {
		t.Errorf("%+v", d)
	}
}

// A fallback's hold is a share at its own price.
func TestAFallbackHoldsAShare(t *testing.T) {
	t.Parallel()
	const floor = catalog.FloorOutput * 2 * 1000 // of the second model
	c := chained(t, 3*floor, catalog.Input{}, catalog.Overlay{})
	c.up["first"].open = down(fault.UpstreamFailed)
	c.up["second"].events = pieces(2000, 40)
	c.model("second").Reasoning = false
	r := asks("first", "")
	r.MaxOutput, r.HasMaxOutput = 0, false
	call := c.mustAsk(c.key(account.NewKey{}), r)
	if call.Model().ID != "second" || call.hold.Amount() != floor || call.hold.Reach() != 3*floor || c.up["second"].calls[0].CapOutput != 3*catalog.FloorOutput {
		t.Errorf("%s holds %s of %s, capped at %d", call.Model().ID, call.hold.Amount(), call.hold.Reach(), c.up["second"].calls[0].CapOutput)
	}
	if more, err := call.hold.Extend(2*floor - 1); more != 2*floor-1 || err != nil { // somebody else has the last nano-dollar
		t.Errorf("%s, %v", more, err)
	}
	call.Close()
}

func TestChoicesShareTheHold(t *testing.T) {
	t.Parallel()
	const floor = elasticPrompt + 2*catalog.FloorOutput*outputToken
	w := watched(t, 2*floor)
	key := w.key(account.NewKey{})
	r := elastic()
	r.Choices = 2
	// One of the two ends, and the other one goes on.
	w.up.events = append([]llm.Event{says(4), {Finish: llm.FinishStop}}, pieces(1000, 40)...)
	call := w.mustAsk(key, r)
	w.up.events = pieces(1, 4)
	other := w.mustAsk(key, r)
	defer other.Close()
	n, cut := call.run(t)
	if want := (2*(catalog.FloorOutput-16) - 2) * 3 / 40; n < want || n > want+2 || cut == nil {
		t.Errorf("%d pieces of some %d, cut off by %+v", n, want, cut)
	}
	if b, err := call.Finish(nil); err != nil || b.Charge > floor {
		t.Errorf("%+v, %v", b, err)
	}
	if strings.Contains(string(call.finish), "stop") {
		t.Errorf("ended with %s", call.finish)
	}
}

func credit(w *world, amount money.Amount) ledger.Credit {
	return ledger.Credit{Account: int64(w.acc.ID), Kind: ledger.KindAdjust, Amount: amount}
}
