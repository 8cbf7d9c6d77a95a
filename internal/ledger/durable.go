package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// Bounds of durable holds.
const (
	MaxDurable = 100     // reservations of one HoldDurably
	MaxResult  = 1 << 20 // bytes of what is kept of how a hold ended

	maxDurableOpen = 100_000 // in one ledger
)

// DurableOptions say what several durable holds belong to.
type DurableOptions struct {
	Group  [16]byte // the job's id
	Claim  *Claim   // the job's idempotency key, or nil
	Stored *Stored  // what the key stands for once the holds are durable; nil: the fact only
}

// DurableState is how a durable hold stands in the journal.
type DurableState uint8

// The states. A hold that has ended stays as it is.
const (
	DurableOpen   DurableState = 1
	DurablePosted DurableState = 2 // charged
	DurableVoided DurableState = 3 // given back
)

// HoldRow is a durable hold as a [Journal] stores it.
type HoldRow struct {
	ID, Group    [16]byte // of the request, of its job
	Account, Key int64
	Test         bool
	Day          Day // of its admission
	Amount       money.Amount
	KeyUSD       money.Amount // the key's dollars per day; 0: no limit
	Classes      []string     // of a plan
	State        DurableState
	Charge       money.Amount // posted: what was charged
	Result       []byte       // of Settle or VoidDurably; may be nil
	Created      time.Time
	Ended        time.Time // zero: it is open
}

// HoldEnd says how an open durable hold ends.
type HoldEnd struct {
	ID     [16]byte
	State  DurableState
	Charge money.Amount
	Result []byte
	At     time.Time
}

// durable is what a hold has that is durable.
type durable struct {
	group [16]byte
	place int64 // order of their making, in this process
}

// HoldDurably takes every reservation or none, and returns when the holds are on
// disk: they survive a crash, and are open until Settle or VoidDurably has ended
// each of them. The reservations are of one account, key and balance, with the
// same limits, for requests whose ids are used for nothing else, and none of them
// is elastic; there are at most MaxDurable. A *[Short] tells what all of them
// need together: with exactly that free they pass.
//
// If ctx ends first HoldDurably returns its error, and what became durable all
// the same is voided right after. The claim ends with what becomes of the holds;
// it stays the caller's, who releases it, if they were not taken at all. After
// an error that wraps [ErrUnavailable] the holds may turn up in [Engine.OpenHolds]
// of the next process.
func (e *Engine) HoldDurably(ctx context.Context, rs []Reservation, o DurableOptions) ([]*Hold, error) {
	if err := e.Ready(); err != nil {
		return nil, err
	}
	if o.Group == [16]byte{} {
		return nil, errors.New("hold durably: group: missing")
	}
	d, err := together(rs)
	if err != nil {
		return nil, fmt.Errorf("hold durably: %w", err)
	}
	if n := e.durables.count(); n+len(rs) > maxDurableOpen {
		return nil, fmt.Errorf("%w: %d durable holds are open", ErrUnavailable, n)
	}
	holds, err := e.takeAll(rs, d, o.Group)
	if err != nil {
		return nil, err
	}
	p := &op{bare: true, extra: &extra{opens: holds}}
	p.entry.Account, p.entry.Time = rs[0].Account, e.now()
	if o.Claim != nil {
		kept, err := o.Claim.keep(e, rs[0].Account, rs[0].Test, o.Stored, o.Group, p.entry.Time)
		if err != nil {
			releaseAll(holds)
			return nil, fmt.Errorf("hold durably: %w", err)
		}
		p.extra.keep = kept
	}
	if err := e.enqueue(p); err != nil {
		e.drop(p)
		return nil, fmt.Errorf("hold durably: %w", err)
	}
	if err := p.wait(ctx); err != nil && p.progress.CompareAndSwap(opWaiting, opRevoked) {
		return nil, fmt.Errorf("hold durably: %w", err)
	}
	return holds, nil
}

// demand is what several reservations need together.
type demand struct {
	Reservation         // its amount is the sum, its quotas are one for each class
	requests    int64   // of the key
	counts      []int64 // of each class
}

// together adds the reservations up.
func together(rs []Reservation) (*demand, error) {
	if len(rs) == 0 || len(rs) > MaxDurable {
		return nil, fmt.Errorf("%d reservations are not between 1 and %d", len(rs), MaxDurable)
	}
	first := &rs[0]
	d := &demand{Reservation: *first, requests: int64(len(rs))}
	d.Amount, d.Quotas = 0, nil
	seen := map[[16]byte]bool{{}: true}
	for i := range rs {
		r := &rs[i]
		if err := r.check(); err != nil {
			return nil, err
		}
		switch {
		case r.Account != first.Account || r.Key != first.Key || r.Test != first.Test:
			return nil, errors.New("the reservations are of several accounts, keys or balances")
		case r.KeyRequestsPerDay != first.KeyRequestsPerDay || r.KeyUSDPerDay != first.KeyUSDPerDay:
			return nil, errors.New("the reservations have several limits for one key")
		case r.Floor != 0 && r.Floor != r.Amount:
			return nil, errors.New("reservation: floor: a durable hold is not elastic")
		case seen[r.Request]:
			return nil, errors.New("reservation: request: missing, or there twice")
		case r.Amount > maxBalance-d.Amount:
			return nil, fmt.Errorf("reservation: amount: the sum is beyond %s", maxBalance)
		}
		seen[r.Request] = true
		d.Amount += r.Amount
		for _, q := range r.Quotas {
			if err := d.add(q); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

// add counts one more request of a class.
func (d *demand) add(q Quota) error {
	i := slices.IndexFunc(d.Quotas, func(o Quota) bool { return o.Class == q.Class })
	if i < 0 {
		d.Quotas, d.counts = append(d.Quotas, q), append(d.counts, 1)
		return nil
	}
	if d.Quotas[i] != q {
		return fmt.Errorf("the reservations have several quotas for class %q", q.Class)
	}
	d.counts[i]++
	return nil
}

// takeAll takes every reservation or none.
func (e *Engine) takeAll(rs []Reservation, d *demand, group [16]byte) ([]*Hold, error) {
	s, day := e.shard(d.Account), e.today()
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(d.Account)
	if err := e.admit(a, d.Key, day); err != nil {
		return nil, err
	}
	if short := a.short(d, day); short != nil && !mutated(HoldUnchecked) {
		return nil, short
	}
	holds := make([]*Hold, len(rs))
	for i := range rs {
		h := &Hold{e: e, s: s, a: a, day: day, durable: &durable{group: group}}
		if short := a.take(&rs[i], day, &h.stake); short != nil {
			// What all of them need was there a moment ago.
			for _, taken := range holds[:i] {
				taken.releaseLocked()
			}
			return nil, short
		}
		h.remember(&rs[i])
		holds[i] = h
	}
	return holds, nil
}

// drop ends an op that will not open its holds.
func (e *Engine) drop(o *op) {
	releaseAll(o.extra.opens)
	if c := o.extra.keep; c != nil {
		e.claims.free(c)
	}
}

func releaseAll(holds []*Hold) {
	for _, h := range holds {
		h.state.Store(holdVoid)
		h.release()
	}
}

// undoOnTheWay voids the holds of o, and takes its answer back, which were given up
// while they became durable. It runs on the committer's goroutine.
func (e *Engine) undoOnTheWay(o *op) {
	v := &op{bare: true, follows: true, extra: &extra{forget: o.extra.keep, releases: o.extra.opens}}
	v.entry.Account = o.entry.Account
	now := e.now()
	for _, h := range o.extra.opens {
		h.state.Store(holdVoid)
		v.extra.ends = append(v.extra.ends, HoldEnd{ID: h.request, State: DurableVoided, At: now})
	}
	// A follower is always taken in.
	_ = e.enqueue(v)
}

// Durable reports that the hold survives the process.
func (h *Hold) Durable() bool { return h.durable != nil }

// Group returns the id of the job that a durable hold belongs to; zero for
// others.
func (h *Hold) Group() [16]byte {
	if h.durable == nil {
		return [16]byte{}
	}
	return h.durable.group
}

// VoidDurably ends a durable hold without a charge, and returns when that is on
// disk; only then everything is given back. The receipt, if there is one, and
// the result are recorded with it. If ctx ends first the hold is voided all the
// same. If an error says that it could not be queued, the hold is still open.
func (h *Hold) VoidDurably(ctx context.Context, r *Receipt, result []byte) error {
	if h.durable == nil {
		return errors.New("void durably: the hold is not durable")
	}
	if len(result) > MaxResult {
		return fmt.Errorf("void durably: result: longer than %d bytes", MaxResult)
	}
	if !h.state.CompareAndSwap(holdOpen, holdVoid) {
		return ErrEnded
	}
	if mutated(VoidEarly) {
		h.release()
	}
	o := &op{bare: true, extra: &extra{releases: []*Hold{h}}}
	o.entry.Account = h.a.id
	o.extra.ends = []HoldEnd{{ID: h.request, State: DurableVoided, Result: result, At: h.e.now()}}
	if r != nil {
		r = h.receipt(r)
		r.Charge, r.Absorbed = 0, 0
		o.receipt = r.row()
	}
	if err := h.e.enqueue(o); err != nil {
		h.state.Store(holdOpen)
		return fmt.Errorf("void durably: %w", err)
	}
	if err := o.wait(ctx); err != nil {
		return fmt.Errorf("void durably: %w", err)
	}
	return nil
}

// row returns the hold as it is stored.
func (h *Hold) row(created time.Time) *HoldRow {
	return &HoldRow{
		ID: h.request, Group: h.durable.group, Account: h.a.id, Key: h.key, Test: h.test, Day: h.day,
		Amount: h.amount, KeyUSD: h.stake.keyUSD, Classes: h.classes, State: DurableOpen, Created: created,
	}
}

// restore takes an open hold again that an earlier process took, also if that
// is more than there is.
func (e *Engine) restore(r *HoldRow) {
	s := e.shard(r.Account)
	a := s.account(r.Account)
	h := &Hold{
		e: e, s: s, a: a, durable: &durable{group: r.Group},
		amount: r.Amount, day: r.Day, key: r.Key, test: r.Test, request: r.ID, classes: r.Classes,
	}
	h.stake = stake{purse: a.purse(r.Test), amount: r.Amount, keyUSD: r.KeyUSD}
	counters := r.counters()
	h.stake.key = a.use(counters[0])
	for _, id := range counters[1:] {
		h.stake.plans = append(h.stake.plans, a.use(id))
	}
	h.stake.takeAgain()
	e.keys.Store(r.Key, a)
	e.durables.add(h)
}

// counters returns the counters that the hold has taken a request of: its key's,
// and those of its classes.
func (r *HoldRow) counters() []CounterID {
	ids := []CounterID{{Day: r.Day, Scope: ScopeKey, ID: r.Key}}
	for _, class := range r.Classes {
		ids = append(ids, CounterID{Day: r.Day, Scope: planScope(r.Test), ID: r.Account, Class: class})
	}
	return ids
}

// OpenHolds returns the durable holds that nobody has begun to end, those of
// earlier processes included, in the order of their making. Whoever runs the
// jobs ends them.
func (e *Engine) OpenHolds() []*Hold {
	return e.durables.list()
}

// HoldsOf returns all holds of a group, open or ended, in the order of their
// making.
func (e *Engine) HoldsOf(ctx context.Context, group [16]byte) ([]HoldRow, error) {
	return e.journal.ReadHolds(ctx, group)
}

// durables holds the durable holds that are open in the journal.
type durables struct {
	mu   sync.Mutex
	open map[[16]byte]*Hold // guarded by mu; at most about maxDurableOpen
	last int64              // guarded by mu
}

func (d *durables) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open)
}

func (d *durables) add(h *Hold) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	h.durable.place = d.last
	d.open[h.request] = h
}

func (d *durables) remove(id [16]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, id)
}

func (d *durables) list() []*Hold {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]*Hold, 0, len(d.open))
	for _, h := range d.open {
		if h.state.Load() == holdOpen {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b *Hold) int { return cmp.Compare(a.durable.place, b.durable.place) })
	return list
}

// amounts returns what each of them holds.
func (d *durables) amounts() map[[16]byte]money.Amount {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := make(map[[16]byte]money.Amount, len(d.open))
	for id, h := range d.open {
		m[id] = h.amount
	}
	return m
}

// Version of the layout that Detail writes.
const holdLayout = 1

// Detail packs the fields of the row that have no column of their own.
func (r *HoldRow) Detail() []byte {
	var w writer
	w.b = append(w.b, holdLayout)
	w.int(int64(r.KeyUSD))
	w.strings(r.Classes)
	return w.b
}

// SetDetail fills in the fields that [HoldRow.Detail] packed.
func (r *HoldRow) SetDetail(b []byte) error {
	d := reader{b: b}
	if v := d.byte(); v != holdLayout {
		return fmt.Errorf("hold %x: unknown layout %d", r.ID, v)
	}
	r.KeyUSD, r.Classes = money.Amount(d.int()), d.strings()
	if err := d.end(); err != nil {
		return fmt.Errorf("hold %x: %w", r.ID, err)
	}
	return nil
}
