package ledger

import (
	"maps"

	"github.com/pontage/pontage/internal/money"
)

// simWarnBelow are the thresholds of the accounts.
var simWarnBelow = [simAccounts + 1]money.Amount{0, 60, 33, 5}

// simAlerts is what the entries say of events: those that a plain walk over
// them, in their order, comes by.
type simAlerts struct {
	wanted map[[16]byte]Alerts // by request: of its last settlement
	warned map[int64]money.Amount
	events map[simEventKey]Event // without their ids
	fresh  []simEventKey         // of the batch that is being taken in
}

type simEventKey struct {
	request [16]byte
	kind    EventKind
}

func newSimAlerts() simAlerts {
	return simAlerts{wanted: map[[16]byte]Alerts{}, warned: map[int64]money.Amount{}, events: map[simEventKey]Event{}}
}

// drawAlerts draws which events a charge may cause: mostly those of its account.
func (s *sim) drawAlerts(f *flow) Alerts {
	a := Alerts{WarnBelow: simWarnBelow[f.limits.Account], Absorbed: s.rnd.IntN(2) == 0, Target: "up/m"}
	switch s.rnd.IntN(8) {
	case 0:
		a = Alerts{}
	case 1:
		a.WarnBelow = money.Amount(s.rnd.IntN(90)) // it was changed
	}
	s.model.alerts.wanted[f.request] = a
	return a
}

// alert takes the next step of the walk.
func (m *simModel) alert(e *Entry) {
	a := &m.alerts
	if e.Test {
		return
	}
	balance, warned := m.posted[balanceID{e.Account, false}], a.warned[e.Account]
	if 5*balance >= 6*warned {
		warned = 0
	}
	event := Event{Time: e.Time, Account: e.Account, Key: e.Key, Request: e.Request}
	wanted := a.wanted[e.Request]
	switch below := wanted.WarnBelow; {
	case e.Kind == KindUsage && below > 0 && balance < below && (warned == 0 || below < warned):
		warned = below
		event.Kind, event.Balance, event.Below = EventBalanceWarning, balance, below
		m.event(event)
	case e.Kind == KindAbsorbed && wanted.Absorbed:
		event.Kind, event.Model, event.Target = EventAbsorbed, e.Model, wanted.Target
		event.Charge, event.Absorbed = m.charges[e.Request].amount, e.Amount
		m.event(event)
	}
	if a.warned[e.Account] = warned; warned == 0 {
		delete(a.warned, e.Account)
	}
}

func (m *simModel) event(v Event) {
	k := simEventKey{v.Request, v.Kind}
	if _, known := m.alerts.events[k]; known {
		m.s.fail("the walk comes by %s of request %x twice", v.Kind, v.Request)
	}
	m.alerts.events[k] = v
	m.alerts.fresh = append(m.alerts.fresh, k)
	m.s.stats.events++
}

// alerted holds what is on the disk against the walk, after each batch.
func (m *simModel) alerted() {
	a, d := &m.alerts, m.s.disk
	for _, k := range a.fresh {
		want := a.events[k]
		want.ID = eventID(k.request, k.kind)
		if got := d.events[want.ID]; got != want {
			m.s.fail("the event is %+v, want %+v", got, want)
		}
	}
	a.fresh = a.fresh[:0]
	if len(d.events) != len(a.events) {
		m.s.fail("there are %d events, want %d", len(d.events), len(a.events))
	}
	if !maps.Equal(d.warned, a.warned) {
		m.s.fail("balances were warned of at %v, want %v", d.warned, a.warned)
	}
}
