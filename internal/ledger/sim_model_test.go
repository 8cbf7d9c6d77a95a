package ledger

import (
	"time"

	"github.com/pontage/pontage/internal/money"
)

// simModel is what the committed entries come to, one after the other, reckoned
// with nothing of the engine's code. It is asked what a process must answer, and
// it finds wrong whatever must never be committed.
type simModel struct {
	s       *sim
	seq     int64
	posted  map[balanceID]money.Amount
	reduced map[int64]bool // accounts whose operator took something away
	days    map[CounterID]*use
	charges map[[16]byte]*simCharge
	refs    map[turnKey]int64
	answers map[IdemKey]*simAnswer
	jobs    map[[16]byte]*HoldRow // durable holds, open or not
	alerts  simAlerts
	book    simBook
	floor   int64              // usage up to this entry was replaced
	opened  map[[16]byte]int64 // newest entry when a durable hold became one

	usageLines map[UsageID]UsageRow
	maxWall    time.Time
}

type simCharge struct {
	seq                int64
	account            int64
	amount, back, lost money.Amount
	at                 time.Time
	revoked            bool // the last part of it was given back by Revoke
}

// simAnswer is what a key stands for.
type simAnswer struct {
	request [16]byte
	at      time.Time
}

func newSimModel(s *sim) *simModel {
	return &simModel{
		s: s, posted: map[balanceID]money.Amount{}, reduced: map[int64]bool{}, days: map[CounterID]*use{}, charges: map[[16]byte]*simCharge{},
		refs: map[turnKey]int64{}, answers: map[IdemKey]*simAnswer{}, jobs: map[[16]byte]*HoldRow{}, maxWall: s.wall,
		alerts: newSimAlerts(), opened: map[[16]byte]int64{}, usageLines: map[UsageID]UsageRow{},
	}
}

func (m *simModel) day(id CounterID) *use {
	u := m.days[id]
	if u == nil {
		u = new(use)
		m.days[id] = u
	}
	return u
}

// live returns what the key stands for, if it must still stand for it.
func (m *simModel) live(k IdemKey) *simAnswer {
	if a := m.answers[k]; a != nil && a.at.Add(IdemTTL).After(m.maxWall) {
		return a
	}
	return nil
}

// commit takes in what has just become durable.
func (m *simModel) commit(b *Batch) {
	m.close(b)
	for _, e := range b.Entries {
		m.entry(e, b)
		m.alert(e)
		m.report(e)
	}
	m.alerted()
	for _, r := range b.Forgotten {
		if a := m.answers[r.IdemKey]; a != nil && a.request == r.Request {
			delete(m.answers, r.IdemKey)
		}
	}
	for _, r := range b.Answers {
		if a := m.live(r.IdemKey); a != nil {
			m.s.fail("I2: key %v: request %x is charged, %x was before", r.IdemKey, r.Request, a.request)
		}
		m.answers[r.IdemKey] = &simAnswer{r.Request, r.At}
		if f := m.s.life.held.byRequest(m.s, r.Request); f != nil && f.facts {
			f.unclaim()
		}
	}
	for _, h := range b.Opened {
		row := *h
		m.jobs[h.ID], m.opened[h.ID] = &row, b.After
	}
	for i := range b.Ended {
		end := &b.Ended[i]
		h := m.jobs[end.ID]
		if h == nil || h.State != DurableOpen {
			m.s.fail("durable hold %x ends twice", end.ID)
			continue
		}
		h.State = end.State
		m.s.life.held.release(end.ID)
	}
	m.prune(b.Pruned)
}

func (m *simModel) entry(e *Entry, b *Batch) {
	if m.seq++; e.Seq != m.seq {
		m.s.fail("entry %d follows %d", e.Seq, m.seq-1)
	}
	id := balanceID{e.Account, e.Test}
	switch e.Kind {
	case KindUsage:
		m.usage(e, id)
		m.answered(e, b)
	case KindTopup, KindGrant, KindAdjust:
		m.posted[id] += e.Amount
	case KindReduce:
		m.posted[id] -= e.Amount
		m.reduced[e.Account] = true
	case KindRefund:
		m.posted[id] += e.Amount
		c := m.charges[e.Request]
		if c == nil {
			m.s.fail("I1: entry %d refunds %x, which was not charged", e.Seq, e.Request)
			return
		}
		if c.back += e.Amount; c.back > c.amount {
			m.s.fail("%s were refunded of %s", c.back, c.amount)
		}
		if e.Note == noteRevoked {
			c.revoked = true
			m.forgotten(e.Request, b)
		}
	case KindExpire:
		m.posted[id] -= e.Amount
		if m.posted[id] < 0 && !m.reduced[e.Account] {
			m.s.fail("I3: entry %d expires %s, and leaves %s", e.Seq, e.Amount, m.posted[id])
		}
	case KindAbsorbed:
		if c := m.charges[e.Request]; c != nil {
			c.lost += e.Amount
		}
	}
	if e.Reference != "" {
		k := turnKey{account: e.Account, reference: e.Reference}
		if m.refs[k] != 0 {
			m.s.fail("I1: reference %q of account %d is credited twice", e.Reference, e.Account)
		}
		m.refs[k] = e.Seq
	}
}

// usage is the rule of I1 and I3.
func (m *simModel) usage(e *Entry, id balanceID) {
	if m.charges[e.Request] != nil {
		m.s.fail("I1: request %x is charged twice", e.Request)
	}
	m.charges[e.Request] = &simCharge{seq: e.Seq, account: e.Account, amount: e.Amount, at: e.Time}
	m.posted[id] -= e.Amount
	if m.posted[id] < 0 && e.Amount > 0 && !m.reduced[e.Account] {
		m.s.fail("I3: entry %d charges %s, and leaves %s", e.Seq, e.Amount, m.posted[id])
	}
	key := m.day(CounterID{Day: e.Day, Scope: ScopeKey, ID: e.Key})
	key.requests++
	key.spent += e.Amount
	limit := simLimits[e.Key]
	if limit.KeyUSDPerDay > 0 && key.spent > limit.KeyUSDPerDay {
		m.s.fail("I3: key %d has spent %s of %s on %s", e.Key, key.spent, limit.KeyUSDPerDay, e.Day)
	}
	if limit.KeyRequestsPerDay > 0 && key.requests > limit.KeyRequestsPerDay {
		m.s.fail("I3: key %d has made %d requests of %d on %s", e.Key, key.requests, limit.KeyRequestsPerDay, e.Day)
	}
	for _, class := range e.Classes {
		plan := m.day(CounterID{Day: e.Day, Scope: planScope(e.Test), ID: e.Account, Class: class})
		if plan.requests++; plan.requests > limit.Quotas[0].PerDay {
			m.s.fail("I3: account %d has made %d requests of class %s on %s", e.Account, plan.requests, class, e.Day)
		}
	}
	m.s.life.held.release(e.Request)
}

// answered finds a charge without the answer of its key.
func (m *simModel) answered(e *Entry, b *Batch) {
	f := m.s.life.held.byRequest(m.s, e.Request)
	if f == nil || f.idem.Key == "" {
		return
	}
	f.unclaim() // the answer says from now on what the key stands for
	for _, r := range b.Answers {
		if r.Request == e.Request && r.Seq == e.Seq && r.IdemKey == f.idem {
			return
		}
	}
	m.s.fail("I2: entry %d of key %v has no answer with it", e.Seq, f.idem)
}

// forgotten finds an answer that stands although its charge was revoked.
func (m *simModel) forgotten(request [16]byte, b *Batch) {
	for k, a := range m.answers {
		if a.request != request {
			continue
		}
		for _, r := range b.Forgotten {
			if r.Request == request {
				return
			}
		}
		m.s.fail("request %x is revoked, and key %v still stands for it", request, k)
	}
}

// simHeld is what requests hold in the memory of a process.
type simHeld struct {
	holds    map[[16]byte]*simHold
	sums     map[balanceID]money.Amount
	days     map[CounterID]*use
	revoked  [][16]byte                 // requests that were
	unkept   [][16]byte                 // and those whose fact was given up or taken back
	expiring map[balanceID]money.Amount // by expiries of the transaction that is under way
}

type simHold struct {
	r       Reservation
	day     Day
	amount  money.Amount
	settled bool // its charge is on its way
}

func newSimHeld() simHeld {
	return simHeld{holds: map[[16]byte]*simHold{}, sums: map[balanceID]money.Amount{}, days: map[CounterID]*use{}}
}

// expiring sums up what expires in a batch.
func expiring(b *Batch) map[balanceID]money.Amount {
	m := map[balanceID]money.Amount{}
	for _, e := range b.Entries {
		if e.Kind == KindExpire {
			m[balanceID{e.Account, e.Test}] += e.Amount
		}
	}
	return m
}

func (h *simHeld) day(id CounterID) *use {
	u := h.days[id]
	if u == nil {
		u = new(use)
		h.days[id] = u
	}
	return u
}

func (h *simHeld) take(r Reservation, day Day, amount money.Amount) *simHold {
	x := &simHold{r: r, day: day, amount: amount}
	h.holds[r.Request] = x
	h.move(x, 1, amount)
	return x
}

func (h *simHeld) move(x *simHold, requests int64, amount money.Amount) {
	h.sums[balanceID{x.r.Account, x.r.Test}] += amount
	key := h.day(CounterID{Day: x.day, Scope: ScopeKey, ID: x.r.Key})
	key.requests += requests
	key.spent += amount
	for _, q := range x.r.Quotas {
		h.day(CounterID{Day: x.day, Scope: planScope(x.r.Test), ID: x.r.Account, Class: q.Class}).requests += requests
	}
}

// grow makes the hold larger while its charge is on its way.
func (h *simHeld) grow(x *simHold, amount money.Amount) {
	h.move(x, 0, amount)
	x.amount += amount
}

// release ends the hold of the request, if there is one.
func (h *simHeld) release(request [16]byte) {
	if x := h.holds[request]; x != nil {
		delete(h.holds, request)
		h.move(x, -1, -x.amount)
	}
}

// byRequest returns the flow of a request of this life.
func (h *simHeld) byRequest(s *sim, request [16]byte) *flow {
	for _, f := range s.flows {
		if f.request == request {
			return f
		}
	}
	return nil
}

// free returns what the reservation could still take: money of the balance, and
// of the key's day.
func (s *sim) free(r *Reservation, day Day) (balance, key money.Amount) {
	id := balanceID{r.Account, r.Test}
	h := &s.life.held
	balance = s.model.posted[id] - h.sums[id] - h.expiring[id]
	key = money.Max
	if r.KeyUSDPerDay > 0 {
		c := CounterID{Day: day, Scope: ScopeKey, ID: r.Key}
		key = r.KeyUSDPerDay - s.model.day(c).spent - h.day(c).spent
	}
	return balance, key
}

// expected is what must become of a reservation.
type expected struct {
	amount money.Amount
	reach  money.Amount // without its share
	short  []Bucket
}

// expect returns what a reservation for n requests takes, and which buckets are
// short.
func (s *sim) expect(r *Reservation, day Day, n int64) expected {
	balance, key := s.free(r, day)
	x := expected{amount: r.Amount, reach: r.Amount}
	need := r.Amount
	if r.Floor > 0 && r.Floor < r.Amount {
		need = r.Floor
		free := min(balance, key)
		x.reach = max(need, min(r.Amount, free))
		x.amount = x.reach
		for x.amount > need && r.Share > 1 && x.amount*money.Amount(r.Share) > free {
			x.amount--
		}
	}
	if need > 0 && balance < need {
		x.short = append(x.short, BucketBalance)
	}
	if need > 0 && key < need {
		x.short = append(x.short, BucketKeyUSD)
	}
	count := func(id CounterID) int64 { return s.model.day(id).requests + s.life.held.day(id).requests }
	if r.KeyRequestsPerDay > 0 && r.KeyRequestsPerDay-count(CounterID{Day: day, Scope: ScopeKey, ID: r.Key}) < n {
		x.short = append(x.short, BucketKeyRequests)
	}
	for _, q := range r.Quotas {
		if q.PerDay-count(CounterID{Day: day, Scope: planScope(r.Test), ID: r.Account, Class: q.Class}) < n {
			x.short = append(x.short, BucketPlan)
		}
	}
	return x
}

// check holds what the process says of its balances and days against the model.
func (s *sim) check() {
	e, h := s.life.e, &s.life.held
	s.life.day = max(s.life.day, DayOf(s.wall))
	for account := int64(1); account <= simAccounts; account++ {
		b := e.Balance(account)
		for _, x := range []struct {
			test         bool
			posted, held money.Amount
		}{{false, b.Posted, b.Held}, {true, b.TestPosted, b.TestHeld}} {
			id := balanceID{account, x.test}
			if x.posted != s.model.posted[id] || x.held != h.sums[id] {
				s.fail("I6: balance %v: %d posted and %d held, want %d and %d", id, x.posted, x.held, s.model.posted[id], h.sums[id])
			}
		}
	}
	for key := range simLimits {
		d := e.KeyDay(key)
		id := CounterID{Day: s.life.day, Scope: ScopeKey, ID: key}
		done, held := s.model.day(id), h.day(id)
		if d.Day != id.Day || d.Requests != done.requests || d.USD != done.spent || d.RequestsHeld != held.requests || d.USDHeld != held.spent {
			s.fail("I6: key %d: %+v, want %+v on %s and %+v held", key, d, done, id.Day, held)
		}
	}
}
