package ledger

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/pontage/pontage/internal/money"
)

// sums is what the journal holds of folds, and what the entries add up to. That
// is reckoned apart from the code that keeps the folds, on purpose: the same
// mistake in both would hide itself.
type sums struct {
	mark     Mark
	last     int64 // entry that was added last
	accounts map[int64]*accountSum
	counters map[CounterID]*counterSum
	usage    map[UsageID]*usageSum
	holds    map[[16]byte]money.Amount // not sums: the open durable ones
	chain    chain
	floor    Floor
}

// accountSum is an account with its balances, live and test.
type accountSum struct {
	row      BalanceRow // stored; without grants
	has      bool       // it is
	moved    bool       // by an entry
	left     []GrantRow // stored
	balances [2]balanceSum
	opening  BalanceRow      // at the floor; without grants
	kept     [2]money.Amount // effects of the entries up to the floor that are still there
	stated   [2]money.Amount // charges of statements

	// Those that were looked for last. Entries of an account come in the order of
	// time, and are mostly about the same few.
	counters recent[counterSum]
	usage    recent[usageSum]
}

type balanceID struct {
	account int64
	test    bool
}

// balanceSum is a balance by all entries, and by those that its row claims.
type balanceSum struct {
	credit, used       money.Amount
	rowCredit, rowUsed money.Amount
	grants             []*grantSum
	rowGrants          []grantSum // at the row's entry
}

type grantSum struct {
	seq       int64
	expires   int64
	remaining money.Amount
}

// counterSum is a counter by all entries, by those that its row claims, and the
// row.
type counterSum struct {
	id       CounterID
	all, row useSum
	stored   useSum
	has      bool // it is stored
	folded   int64
}

type useSum struct {
	requests int64
	spent    money.Amount
}

// usageSum is a line of the usage report by those entries that it claims, and
// as it is stored. Both are without their id.
type usageSum struct {
	id          UsageID
	row, stored UsageRow
	has         bool // it is stored
}

// recent is the few sums of one kind that were looked for last.
type recent[T any] struct {
	sums [4]*T
	next uint8
}

func (r *recent[T]) put(s *T) {
	r.sums[r.next%4] = s
	r.next++
}

// readFolds reads everything that entries are to be compared with.
func readFolds(ctx context.Context, r Reader) (*sums, error) {
	s := &sums{accounts: map[int64]*accountSum{}, counters: map[CounterID]*counterSum{}, usage: map[UsageID]*usageSum{}, holds: map[[16]byte]money.Amount{}}
	var err error
	if s.mark, err = r.Mark(ctx); err != nil {
		return nil, err
	}
	if s.floor, err = r.Floor(ctx); err != nil {
		return nil, err
	}
	s.last, s.chain.mark = s.floor.Seq, s.mark
	const ever = Day(-1 << 31)
	err = errors.Join(
		r.Balances(ctx, math.MinInt64, math.MaxInt64, func(b BalanceRow) error {
			a := s.account(b.Account)
			a.row, a.has = b, true
			return nil
		}),
		r.Grants(ctx, func(g GrantRow) error {
			a := s.account(g.Account)
			a.left = append(a.left, g)
			return nil
		}),
		r.Counters(ctx, ever, func(c CounterRow) error {
			s.counters[c.CounterID] = &counterSum{id: c.CounterID, has: true, folded: c.Folded, stored: useSum{c.Requests, c.Spent}}
			return nil
		}),
		r.Usage(ctx, ever, func(u UsageRow) error {
			id := u.UsageID
			u.UsageID = UsageID{}
			s.usage[id] = &usageSum{id: id, has: true, stored: u}
			return nil
		}),
		r.OpenHolds(ctx, func(h HoldRow) error { s.holds[h.ID] = h.Amount; return nil }),
		r.Digests(ctx, func(d Digest) error { s.chain.list = append(s.chain.list, d); return nil }),
		r.Openings(ctx, s.openBalance),
		r.OpeningGrants(ctx, s.openGrant),
		r.Statements(ctx, s.state),
	)
	return s, err
}

func (s *sums) account(id int64) *accountSum {
	a := s.accounts[id]
	if a == nil {
		a = new(accountSum)
		s.accounts[id] = a
	}
	return a
}

// add adds one entry, also to the sums of the rows that claim to include it. An
// entry that a row does not include must lie above the low water.
func (s *sums) add(e *Entry, rep *Report) {
	if e.Seq <= s.floor.Seq {
		s.keep(e, rep)
		return
	}
	if e.Seq != s.last+1 {
		rep.differ("entries %d to %d are missing", s.last+1, e.Seq-1)
	}
	s.last = e.Seq
	rep.Entries++
	if e.Kind == "" || e.Amount < 0 {
		rep.differ("entry %d is malformed", e.Seq)
	}
	a := s.account(e.Account)
	if e.Kind != KindAbsorbed {
		s.addBalance(a, e, rep)
	}
	if e.Kind == KindUsage {
		s.count(a, CounterID{Day: e.Day, Scope: ScopeKey, ID: e.Key}, e, rep)
		scope := ScopePlan
		if e.Test {
			scope = ScopePlanTest
		}
		for _, class := range e.Classes {
			s.count(a, CounterID{Day: e.Day, Scope: scope, ID: e.Account, Class: class}, e, rep)
		}
	}
	if e.Kind == KindUsage || e.Kind == KindRefund || e.Kind == KindAbsorbed {
		s.report(a, e, rep)
	}
}

func (s *sums) addBalance(a *accountSum, e *Entry, rep *Report) {
	a.moved = true
	b := &a.balances[place(e.Test)]
	if !b.add(e, e.Seq <= a.row.Folded) {
		rep.differ("entry %d takes back %s of grant %d, of which less is left", e.Seq, e.Amount, e.Grant)
	}
	if e.Seq > a.row.Folded && e.Seq <= s.mark.LowWater {
		rep.differ("account %d: entry %d is not in the balance, which is folded up to %d", e.Account, e.Seq, a.row.Folded)
	}
}

// add adds an entry to the balance; inRow: the stored row includes it. It
// reports whether that could be.
func (b *balanceSum) add(e *Entry, inRow bool) (ok bool) {
	ok = e.Kind != KindExpire
	switch e.Kind {
	case KindUsage:
		b.used += e.Amount
		b.spend(e.Amount)
	case KindReduce:
		b.credit -= e.Amount
		b.spend(e.Amount)
	case KindExpire:
		b.credit -= e.Amount
		for _, g := range b.grants {
			if g.seq == e.Grant {
				ok = g.remaining >= e.Amount
				g.remaining -= e.Amount
			}
		}
	case KindGrant:
		owed := max(0, b.used-b.credit)
		b.credit += e.Amount
		if !e.ExpiresAt.IsZero() && e.Amount > owed {
			b.grants = append(b.grants, &grantSum{seq: e.Seq, expires: e.ExpiresAt.UnixNano(), remaining: e.Amount - owed})
			b.sortGrants()
		}
	case KindTopup, KindRefund, KindAdjust:
		b.credit += e.Amount
	case KindAbsorbed:
	}
	b.grants = slices.DeleteFunc(b.grants, func(g *grantSum) bool { return g.remaining == 0 })
	if inRow {
		b.rowCredit, b.rowUsed = b.credit, b.used
		b.rowGrants = b.rowGrants[:0]
		for _, g := range b.grants {
			b.rowGrants = append(b.rowGrants, *g)
		}
	}
	return ok
}

func (b *balanceSum) sortGrants() {
	slices.SortFunc(b.grants, func(x, y *grantSum) int { return cmp.Or(cmp.Compare(x.expires, y.expires), cmp.Compare(x.seq, y.seq)) })
}

func (b *balanceSum) spend(n money.Amount) {
	for _, g := range b.grants {
		part := min(n, g.remaining)
		g.remaining -= part
		n -= part
	}
}

func (s *sums) counter(a *accountSum, id CounterID) *counterSum {
	for _, c := range a.counters.sums {
		if c != nil && c.id == id {
			return c
		}
	}
	c := s.counters[id]
	if c == nil {
		c = &counterSum{id: id}
		s.counters[id] = c
	}
	a.counters.put(c)
	return c
}

func (s *sums) count(a *accountSum, id CounterID, e *Entry, rep *Report) {
	if id.Day <= s.floor.Day {
		return // not all of its entries are there
	}
	c := s.counter(a, id)
	c.all.requests++
	c.all.spent += e.Amount
	if e.Seq <= c.folded {
		c.row.requests++
		c.row.spent += e.Amount
	} else if e.Seq <= s.mark.LowWater {
		rep.differ("counter %v: entry %d is not in it, and it is folded up to %d", id, e.Seq, c.folded)
	}
}

func (s *sums) line(a *accountSum, id UsageID) *usageSum {
	for _, u := range a.usage.sums {
		if u != nil && u.id == id {
			return u
		}
	}
	u := s.usage[id]
	if u == nil {
		u = &usageSum{id: id}
		s.usage[id] = u
	}
	a.usage.put(u)
	return u
}

func (s *sums) report(a *accountSum, e *Entry, rep *Report) {
	u := s.line(a, UsageID{Day: e.Day, Account: e.Account, Key: e.Key, Test: e.Test, Model: e.Model})
	if folded := u.stored.Folded; e.Seq > folded {
		if e.Seq <= s.mark.LowWater {
			rep.differ("usage %v: entry %d is not in it, and it is folded up to %d", u.id, e.Seq, folded)
		}
		return
	}
	switch e.Kind {
	case KindUsage:
		u.row.Requests++
		u.row.Charge += e.Amount
		t, n := &u.row.Tokens, e.Tokens
		t.Input, t.CachedInput, t.CacheWrite, t.CacheWrite1h = t.Input+n.Input, t.CachedInput+n.CachedInput, t.CacheWrite+n.CacheWrite, t.CacheWrite1h+n.CacheWrite1h
		t.Output, t.Reasoning = t.Output+n.Output, t.Reasoning+n.Reasoning
	case KindRefund:
		u.row.Refunded += e.Amount
	case KindAbsorbed:
		u.row.Absorbed += e.Amount
	case KindTopup, KindGrant, KindAdjust, KindExpire, KindReduce:
	}
}

// compare holds the stored rows against the sums.
func (s *sums) compare(rep *Report) {
	for _, id := range slices.Sorted(maps.Keys(s.accounts)) {
		s.accounts[id].compareOpening(id, s.floor.Seq, rep)
		s.accounts[id].compare(id, rep)
	}
	for id, c := range s.counters {
		if c.has && id.Day > s.floor.Day && c.row != c.stored {
			rep.differ("counter %v: %d requests and %s are stored, the entries give %d and %s", id, c.stored.requests, c.stored.spent, c.row.requests, c.row.spent)
		}
	}
	for id, u := range s.usage {
		u.row.Folded = u.stored.Folded
		if (u.has || u.row != UsageRow{}) && u.row != u.stored {
			rep.differ("usage %v: %+v is stored, the entries give %+v", id, u.stored, u.row)
		}
	}
}

func (a *accountSum) compare(id int64, rep *Report) {
	if !a.has {
		if len(a.left) > 0 {
			rep.differ("account %d: grants are stored, but no balance", id)
		}
		return
	}
	left := map[int64]GrantRow{}
	for _, g := range a.left {
		left[g.Seq] = g
	}
	for i, test := range []bool{false, true} {
		b := &a.balances[i]
		if b.rowCredit != a.row.Credit[i] || b.rowUsed != a.row.Used[i] {
			rep.differ("account %d, test %t: credit %s and used %s are stored, the entries give %s and %s", id, test, a.row.Credit[i], a.row.Used[i], b.rowCredit, b.rowUsed)
		}
		for _, g := range b.rowGrants {
			has, stored := left[g.seq]
			if has.Remaining != g.remaining {
				rep.differ("account %d, test %t: %s is stored as left of grant %d, the entries give %s", id, test, has.Remaining, g.seq, g.remaining)
			} else if stored && (has.Test != test || has.ExpiresAt.UnixNano() != g.expires) {
				rep.differ("account %d, test %t: grant %d is stored with another balance or expiry than the entries give", id, test, g.seq)
			}
			delete(left, g.seq)
		}
	}
	for seq := range left {
		rep.differ("account %d: grant %d is stored, the entries leave nothing of it", id, seq)
	}
}
