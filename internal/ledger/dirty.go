package ledger

import (
	"container/heap"
	"time"
)

// accountFold is what the committer remembers of an account between folds.
type accountFold struct {
	dirty     bool
	hadGrants bool  // grants may be stored
	folded    int64 // entries up to this one are folded; used in recovery
}

// dirty holds the rows that entries have changed and no fold has written, in the
// order in which they were first changed. All entries before the first of them
// are folded everywhere.
type dirty struct {
	order    []dirtyRow
	head     int // rows before it are folded
	counters map[CounterID]*CounterRow
	usage    map[UsageID]*UsageRow
}

// dirtyRow is one of: an account, a counter, a line of the usage report.
type dirtyRow struct {
	account *account
	counter *CounterRow
	usage   *UsageRow
	first   int64 // entry that changed it first since it was folded
	at      int64 // monotonic time of that
}

// oldest returns when the first row became dirty.
func (d *dirty) oldest() (at int64, ok bool) {
	if d.len() == 0 {
		return 0, false
	}
	return d.order[d.head].at, true
}

func (d *dirty) len() int { return len(d.order) - d.head }

// add notes every row that e changed.
func (d *dirty) add(a *account, e *Entry, now int64) {
	if e.Kind != KindAbsorbed {
		d.balance(a, e.Seq, now)
	}
	for _, id := range e.counters() {
		d.count(id, e, now)
	}
	if id, ok := e.usage(); ok {
		d.report(id, e, now)
	}
}

func (d *dirty) balance(a *account, seq, now int64) {
	if !a.fold.dirty {
		a.fold.dirty = true
		d.order = append(d.order, dirtyRow{account: a, first: seq, at: now})
	}
}

func (d *dirty) count(id CounterID, e *Entry, now int64) {
	row := d.counters[id]
	if row == nil {
		if d.counters == nil {
			d.counters = map[CounterID]*CounterRow{}
		}
		row = &CounterRow{CounterID: id, Account: e.Account}
		d.counters[id] = row
		d.order = append(d.order, dirtyRow{counter: row, first: e.Seq, at: now})
	}
	row.Requests++
	row.Spent += e.Amount
}

func (d *dirty) report(id UsageID, e *Entry, now int64) {
	row := d.usage[id]
	if row == nil {
		if d.usage == nil {
			d.usage = map[UsageID]*UsageRow{}
		}
		row = &UsageRow{UsageID: id}
		d.usage[id] = row
		d.order = append(d.order, dirtyRow{usage: row, first: e.Seq, at: now})
	}
	row.add(e)
}

// add adds an entry to the line.
func (r *UsageRow) add(e *Entry) {
	switch e.Kind {
	case KindUsage:
		r.Requests++
		r.Charge += e.Amount
		r.Tokens.Input += e.Tokens.Input
		r.Tokens.CachedInput += e.Tokens.CachedInput
		r.Tokens.CacheWrite += e.Tokens.CacheWrite
		r.Tokens.CacheWrite1h += e.Tokens.CacheWrite1h
		r.Tokens.Output += e.Tokens.Output
		r.Tokens.Reasoning += e.Tokens.Reasoning
	case KindRefund:
		r.Refunded += e.Amount
	case KindAbsorbed:
		r.Absorbed += e.Amount
	case KindTopup, KindGrant, KindAdjust, KindExpire, KindReduce:
	}
}

// due takes out the rows whose time has come, and returns them as a fold up to
// the entry seq, which must be the newest one posted; nil if there is nothing to
// fold. A backlog that grows old is folded faster.
func (d *dirty) due(now, seq int64, all bool) *Fold {
	budget := foldRows
	if at, ok := d.oldest(); !ok {
		return nil
	} else if now-at > int64(2*foldAge) {
		budget = 8 * foldRows
	}
	rows := d.order[d.head:]
	n := 0
	for n < len(rows) && (all || (n < budget && now-rows[n].at >= int64(foldAge))) {
		n++
	}
	if n == 0 {
		return nil
	}
	f := &Fold{Seq: seq}
	for _, r := range rows[:n] {
		switch {
		case r.account != nil:
			f.Balances = append(f.Balances, r.account.row(seq))
		case r.counter != nil:
			delete(d.counters, r.counter.CounterID)
			r.counter.Folded = seq
			f.Counters = append(f.Counters, *r.counter)
		default:
			delete(d.usage, r.usage.UsageID)
			r.usage.Folded = seq
			f.Usage = append(f.Usage, *r.usage)
		}
	}
	d.forget(n)
	f.LowWater = d.lowWater(seq)
	return f
}

// lowWater returns the entry up to which everything is folded, or is by the fold
// that was taken out last. last is the newest entry.
func (d *dirty) lowWater(last int64) int64 {
	if d.len() > 0 {
		return d.order[d.head].first - 1
	}
	return last
}

// forget drops the first n rows, and gives their memory back now and then.
func (d *dirty) forget(n int) {
	clear(d.order[d.head : d.head+n])
	d.head += n
	if d.head > len(d.order)/2 {
		rest := copy(d.order, d.order[d.head:])
		clear(d.order[rest:])
		d.order, d.head = d.order[:rest], 0
	}
}

// row returns the account's balances as they are folded. Only the committer
// changes what is posted, so it may read it without the lock.
func (a *account) row(seq int64) BalanceRow {
	a.fold.dirty = false
	r := BalanceRow{Account: a.id, Folded: seq}
	for i := range a.purses {
		p := &a.purses[i]
		r.Credit[i], r.Used[i] = p.credit, p.used
		for _, g := range p.grants {
			r.Grants = append(r.Grants, GrantRow{Seq: g.seq, Account: a.id, Test: i == 1, Remaining: g.remaining, ExpiresAt: g.expires})
		}
	}
	r.HasGrants = a.fold.hadGrants || len(r.Grants) > 0
	a.fold.hadGrants = len(r.Grants) > 0
	return r
}

// expiry says that a grant of an account expires.
type expiry struct {
	at      time.Time
	account *account
	test    bool
}

// expiryHeap holds expiries, soonest first.
type expiryHeap []expiry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h expiryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is for package heap.
func (h *expiryHeap) Push(x any) { *h = append(*h, x.(expiry)) }

// Pop is for package heap.
func (h *expiryHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (h *expiryHeap) add(x expiry) { heap.Push(h, x) }

// sweep returns an op for every grant that has expired and of which something
// can be taken. What others hold stays until they have ended; the grant is
// looked at again then.
func (e *Engine) sweep() []*op {
	if len(e.expiry) == 0 {
		return nil
	}
	now := e.now()
	var ops []*op
	var again []expiry
	swept := map[balanceID]bool{} // a balance may have several grants, and is looked at once
	for len(e.expiry) > 0 && !e.expiry[0].at.After(now) && len(ops) < maxBatch {
		x := heap.Pop(&e.expiry).(expiry)
		id := balanceID{x.account.id, x.test}
		if swept[id] {
			continue
		}
		swept[id] = true
		expired, more := e.expire(x, now)
		ops = append(ops, expired...)
		if more {
			again = append(again, x)
		}
	}
	for _, x := range again {
		e.expiry.add(x)
	}
	return ops
}

// expire takes what is left of a balance's expired grants out of reach, and
// reports whether more of them must wait.
func (e *Engine) expire(x expiry, now time.Time) (ops []*op, more bool) {
	s := e.shard(x.account.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := x.account.purse(x.test)
	parts, more := p.expired(now)
	for _, g := range parts {
		p.held += g.amount
		o := &op{expire: &stake{purse: p, amount: g.amount}, done: make(chan struct{})}
		o.entry = Entry{Time: now, Kind: KindExpire, Account: x.account.id, Test: x.test, Day: e.today(), Amount: g.amount, Grant: g.grant, Actor: ActorSystem}
		ops = append(ops, o)
	}
	return ops, more
}
