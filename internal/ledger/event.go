package ledger

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// EventKind says what an event tells.
type EventKind string

// The kinds of events.
const (
	EventBalanceWarning EventKind = "balance_warning" // a charge took a live balance below its threshold
	EventAbsorbed       EventKind = "absorbed"        // an answer to a live key cost more than could be charged
)

// eventKinds holds every kind at its number in the outbox.
var eventKinds = [...]EventKind{1: EventBalanceWarning, 2: EventAbsorbed}

// Number returns the kind's number in the outbox, or 0 for an unknown kind.
func (k EventKind) Number() int64 {
	return int64(max(slices.Index(eventKinds[:], k), 0))
}

// EventKindOf is the reverse of [EventKind.Number]; "" for an unknown number.
func EventKindOf(n int64) EventKind {
	if n < 0 || n >= int64(len(eventKinds)) {
		return ""
	}
	return eventKinds[n]
}

// Alerts says which events a charge may cause. The zero value is none. Test money
// causes none.
type Alerts struct {
	// WarnBelow is the balance below which there is a warning; 0: none. Only one
	// is given, until a credit brings the balance to 120 % of it. A charge with a
	// lower threshold warns again when the balance is below that, too.
	WarnBelow money.Amount

	Absorbed bool   // tell what was absorbed
	Target   string // provider/model that answered, to be told
}

// Event is something that became so with a charge, to be told to whoever wants to
// know. It is durable in the same transaction.
type Event struct {
	ID      [16]byte // of its request and kind: the same event never has two
	Kind    EventKind
	Time    time.Time
	Account int64
	Key     int64
	Request [16]byte // that was charged

	Balance money.Amount // balance_warning: posted, after the charge
	Below   money.Amount // balance_warning: the threshold

	Model    string       // absorbed: as the caller named it
	Target   string       // absorbed: provider/model that answered
	Charge   money.Amount // absorbed: what was charged
	Absorbed money.Amount // absorbed: what was not
}

// eventID derives the id of a request's event. It begins as the request's id
// does, so that events sort by the time of their requests.
func eventID(request [16]byte, kind EventKind) (id [16]byte) {
	sum := sha256.Sum256(append([]byte(kind), request[:]...))
	copy(id[:8], request[:8])
	copy(id[8:], sum[:])
	return id
}

// Version of the layout that an event's Detail writes.
const eventLayout = 1

// Detail packs the fields of the event that have no column of their own.
func (v *Event) Detail() []byte {
	w := writer{b: make([]byte, 0, 48+len(v.Model)+len(v.Target))}
	w.b = append(w.b, eventLayout)
	w.int(v.Key)
	for _, a := range [...]money.Amount{v.Balance, v.Below, v.Charge, v.Absorbed} {
		w.int(int64(a))
	}
	w.string(v.Model)
	w.string(v.Target)
	return w.b
}

// SetDetail fills in the fields that [Event.Detail] packed.
func (v *Event) SetDetail(b []byte) error {
	r := reader{b: b}
	if layout := r.byte(); layout != eventLayout {
		return fmt.Errorf("event %x: detail: unknown layout %d", v.ID, layout)
	}
	v.Key = r.int()
	for _, a := range [...]*money.Amount{&v.Balance, &v.Below, &v.Charge, &v.Absorbed} {
		*a = money.Amount(r.int())
	}
	v.Model, v.Target = r.string(), r.string()
	if err := r.end(); err != nil {
		return fmt.Errorf("event %x: detail: %w", v.ID, err)
	}
	return nil
}

// WarnedRow says that a live balance was warned of.
type WarnedRow struct {
	Account int64
	Below   money.Amount // the threshold; 0: it is not warned of any more
}

// edge is where a live balance stands while a batch is put together.
type edge struct {
	posted money.Amount
	below  money.Amount // threshold that it was warned of; 0: it was not
	was    money.Amount // below before the batch
}

// notice adds the events of the ops to the batch, and what changes in which
// balances are warned of. Nothing else decides that, so there is one order in
// which balances fall and rise: that of the journal.
func (e *Engine) notice(b *Batch, ops []*op) {
	if !e.watches(ops) {
		return
	}
	edges := map[int64]*edge{}
	for _, o := range ops {
		if o.bare || o.entry.Test {
			continue
		}
		x := edges[o.entry.Account]
		if x == nil {
			x = &edge{posted: e.postedLive(o.entry.Account), below: e.warned[o.entry.Account]}
			x.was = x.below
			edges[o.entry.Account] = x
		}
		x.posted += o.entry.Effect()
		if x.below > 0 && x.posted-x.below >= (x.below+4)/5 {
			x.below = 0
		}
		if below := o.alerts.WarnBelow; below > 0 && x.posted < below && (x.below == 0 || below < x.below || mutated(EdgeIgnored)) {
			x.below = below
			v := o.event(EventBalanceWarning)
			v.Balance, v.Below = x.posted, below
			b.Events = append(b.Events, v)
		}
		if o.absorbed != nil && o.alerts.Absorbed {
			v := o.event(EventAbsorbed)
			v.Model, v.Target, v.Charge, v.Absorbed = o.entry.Model, o.alerts.Target, o.entry.Amount, o.absorbed.Amount
			b.Events = append(b.Events, v)
		}
	}
	for account, x := range edges {
		if x.below != x.was {
			b.Warned = append(b.Warned, WarnedRow{Account: account, Below: x.below})
		}
	}
}

// watches reports whether the ops can cause an event, or end a warning.
func (e *Engine) watches(ops []*op) bool {
	for _, o := range ops {
		if o.alerts != (Alerts{}) || (len(e.warned) > 0 && e.warned[o.entry.Account] > 0) {
			return true
		}
	}
	return false
}

// postedLive returns what is posted of a live balance. Only the committer, which
// asks, changes it.
func (e *Engine) postedLive(account int64) money.Amount {
	s := e.shard(account)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account(account).purse(false).posted()
}

// event is an event of the op's charge.
func (o *op) event(kind EventKind) *Event {
	return &Event{
		ID: eventID(o.entry.Request, kind), Kind: kind, Time: o.entry.Time,
		Account: o.entry.Account, Key: o.entry.Key, Request: o.entry.Request,
	}
}

// noticed remembers what a durable batch warned of, and tells that there are
// events.
func (e *Engine) noticed(b *Batch) {
	for _, w := range b.Warned {
		if w.Below == 0 {
			delete(e.warned, w.Account)
		} else {
			e.warned[w.Account] = w.Below
		}
	}
	if len(b.Events) > 0 && e.notify != nil {
		e.notify()
	}
}
