package gate

import (
	"slices"

	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/route"
)

// A caller who sets no limit could be answered at any length, and what is held
// for the longest answer that can be paid is lost to everybody else meanwhile.
// So where an answer can be watched as it comes, only a share of what is free is
// held at first, and more as the answer grows. If there is no more when it is
// needed, the answer ends there, as if its provider had reached a limit.

// shareOf is the part of what is free that one answer may hold at first: one in
// so many, unless the floor is more.
const shareOf = 8

// cappedByBalance says that the output is capped at what can be paid.
const cappedByBalance = "balance"

// No event with content is less than a token, and one that shows no text, such as
// what seals a thought, is taken for sixteen.
const (
	wholeToken = llm.WeightPerToken
	noText     = 16 * wholeToken
	mostTokens = 1 << 50 // keeps sums of them from overflowing
)

// growth is how far the hold of an answer is ahead of it, in parts of a token.
// In the zero value the hold stays as it is.
type growth struct {
	on      bool
	used    int64 // an upper estimate of what was produced
	ample   int64 // up to here nothing need be done
	covered int64 // up to here it can be paid
}

// growthOf returns the growth of an answer of which nothing has come yet.
func growthOf(h *ledger.Hold, q catalog.Quote) (g growth) {
	if h.Amount() < h.Reach() {
		g.on = true
		g.reckon(h, q)
		g.used = noText * q.Choices() // what frames an answer
	}
	return g
}

// reckon takes note of what is held. A hold that has all it can reach covers the
// longest answer that the provider was asked for.
func (g *growth) reckon(h *ledger.Hold, q catalog.Quote) {
	g.on = h.Amount() < h.Reach()
	g.covered = min(q.Covers(h.Amount()), mostTokens) * wholeToken
	g.ample = g.covered / 4 * 3
}

// observable reports whether all output of an answer shows as it comes, so that
// it can be weighed: it is streamed, and is no sound, and no tokens are thought, or
// foretold by the caller, that nobody sees and that cost as much.
func observable(m *catalog.Model, targets []*route.Target, req *llm.Request) bool {
	return req.Stream && req.Task == llm.TaskChat && req.Raw.Value("prediction") == nil && !req.Needs.Has(llm.NeedAudioOutput) && !thinks(m, targets, req)
}

// thinks reports whether there may be thoughts in the answer: where the model can
// have some, and is asked for them or may have them unasked at one of the targets.
func thinks(m *catalog.Model, targets []*route.Target, req *llm.Request) bool {
	if !m.Reasoning {
		return false
	}
	asked := req.Needs.Has(llm.NeedReasoning)
	return asked || len(targets) == 0 || slices.ContainsFunc(targets, func(t *route.Target) bool { return !t.ThinksOnlyWhenAsked() })
}

// keepUp holds more if the answer with ev needs it, and reports whether ev can
// be paid.
func (call *Call) keepUp(ev *llm.Event) bool {
	g := &call.growth
	weight := weigh(ev)
	g.used += weight
	if u := ev.Usage; u != nil && u.Output > g.used/wholeToken { // who counts on the way knows best
		g.used = min(u.Output, mostTokens) * wholeToken
	}
	if g.used <= g.ample {
		return true
	}
	call.holdMore()
	switch {
	case !g.on || g.used <= g.covered || weight == 0:
		return true
	case call.over():
		return true
	}
	// Whoever was let in can pay for something: he gets the first piece, however
	// large.
	return !call.said && !call.refused
}

// holdMore extends the hold by a step, or what is needed if that is more, as far
// as it may reach and as anything is free.
func (call *Call) holdMore() {
	h, q, g := call.hold, call.quote, &call.growth
	lacks := (g.used-g.covered)/wholeToken + 1
	by := min(max(q.Step(), q.More(lacks)), h.Reach()-h.Amount())
	if more, err := h.Extend(by); err != nil || more == 0 {
		return
	}
	g.reckon(h, q)
	call.c.v.Event.Hold = h.Amount()
}

// cutOff ends the answer before ev, which cannot be paid, and returns the event
// that tells so.
func (call *Call) cutOff(ev llm.Event) llm.Event {
	call.cancel()
	usage := call.used()
	usage = call.estimated(usage, max(usage.Output, call.estimateOutput())) // what was reported on the way is too low
	usage.Estimated = true
	call.usage, call.told, call.cut = &usage, true, true
	call.finish = call.finish.And(llm.FinishLength)
	call.finishing.Store(false)
	call.c.v.Event.CappedBy = cappedByBalance
	return llm.Event{Name: ev.Name, Data: ev.Data, Finish: llm.FinishLength, Cut: true}
}

// weigh returns an upper estimate of the output in ev, in parts of a token.
func weigh(ev *llm.Event) int64 {
	switch {
	case !ev.Content:
		return 0
	case ev.Weight == 0:
		return noText
	}
	return max(int64(ev.Weight), llm.WeightPerToken)
}
