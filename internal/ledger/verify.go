package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pontage/pontage/internal/money"
)

// maxDifferences bounds what a report lists.
const maxDifferences = 100

// Report is what a verification found.
type Report struct {
	OK          bool
	Entries     int64
	Accounts    int
	Differences []string // at most 100, and a line that says how many more there are
	more        int
}

func (r *Report) differ(format string, args ...any) {
	if len(r.Differences) >= maxDifferences {
		r.more++
		return
	}
	r.Differences = append(r.Differences, fmt.Sprintf(format, args...))
}

func (r *Report) end() {
	r.OK = len(r.Differences) == 0
	if r.more > 0 {
		r.Differences = append(r.Differences, fmt.Sprintf("and %d more", r.more))
	}
}

// Verify recomputes every balance, counter and line of the usage report from the
// entries, and compares them with what is stored. The journal may be in use, or
// opened for reading only. An error means that it could not be read.
func Verify(ctx context.Context, j Journal) (Report, error) {
	snap, err := j.Snapshot(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	rep, _, err := verify(ctx, snap)
	if err = errors.Join(err, snap.Close()); err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	rep.end()
	return rep, nil
}

// Verify does what the function Verify does, and compares what is in memory with
// the entries as well. It is done one at a time: each holds all the sums in
// memory, and a view of the journal that keeps its log from being reset.
func (e *Engine) Verify(ctx context.Context) (Report, error) {
	select {
	case e.verifying <- struct{}{}:
		defer func() { <-e.verifying }()
	case <-ctx.Done():
		return Report{}, fmt.Errorf("verify: %w", context.Cause(ctx))
	}
	var snap Snapshot
	var now memory
	var failed error
	err := e.sync(ctx, &barrier{then: func() {
		snap, failed = e.journal.Snapshot(ctx)
		if failed == nil {
			now = e.remember()
		}
	}})
	if errors.Is(err, ErrUnavailable) {
		return Verify(ctx, e.journal)
	}
	if err != nil { // snap may still be written to; it ends with ctx
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	if failed != nil {
		return Report{}, fmt.Errorf("verify: %w", failed)
	}
	rep, sums, err := verify(ctx, snap)
	if err = errors.Join(err, snap.Close()); err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	now.compare(sums, &rep)
	rep.end()
	return rep, nil
}

// sums is what the entries add up to. It is reckoned apart from the code that
// keeps the folds, on purpose: the same mistake in both would hide itself.
type sums struct {
	balances map[balanceID]*balanceSum
	counters map[CounterID]*counterSum
	usage    map[UsageID]*usageSum
	holds    map[[16]byte]money.Amount // not sums: the open durable ones
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
	rowGrants          map[int64]grantSum // at the row's entry
}

type grantSum struct {
	seq       int64
	expires   int64
	remaining money.Amount
}

type counterSum struct {
	requests int64
	spent    money.Amount
	row      CounterRow // what the entries up to the row's Folded give
}

type usageSum struct{ row UsageRow }

// stored is what the journal holds of folds.
type stored struct {
	mark     Mark
	balances map[int64]BalanceRow
	grants   map[int64][]GrantRow
	counters map[CounterID]CounterRow
	usage    map[UsageID]UsageRow
	holds    map[[16]byte]money.Amount // open durable ones
}

func read(ctx context.Context, r Reader) (stored, error) {
	s := stored{balances: map[int64]BalanceRow{}, grants: map[int64][]GrantRow{}, counters: map[CounterID]CounterRow{}, usage: map[UsageID]UsageRow{}, holds: map[[16]byte]money.Amount{}}
	var err error
	if s.mark, err = r.Mark(ctx); err != nil {
		return s, err
	}
	const ever = Day(-1 << 31)
	return s, errors.Join(
		r.Balances(ctx, func(b BalanceRow) error { s.balances[b.Account] = b; return nil }),
		r.Grants(ctx, func(g GrantRow) error { s.grants[g.Account] = append(s.grants[g.Account], g); return nil }),
		r.Counters(ctx, ever, func(c CounterRow) error { s.counters[c.CounterID] = c; return nil }),
		r.Usage(ctx, ever, func(u UsageRow) error { s.usage[u.UsageID] = u; return nil }),
		r.OpenHolds(ctx, func(h HoldRow) error { s.holds[h.ID] = h.Amount; return nil }),
	)
}

func verify(ctx context.Context, r Reader) (rep Report, all *sums, err error) {
	s, err := read(ctx, r)
	if err != nil {
		return rep, nil, err
	}
	all = &sums{holds: s.holds, balances: map[balanceID]*balanceSum{}, counters: map[CounterID]*counterSum{}, usage: map[UsageID]*usageSum{}}
	accounts := map[int64]bool{}
	last := int64(0)
	err = r.Entries(ctx, 0, func(e *Entry) error {
		if e.Seq != last+1 {
			rep.differ("entries %d to %d are missing", last+1, e.Seq-1)
		}
		last = e.Seq
		rep.Entries++
		accounts[e.Account] = true
		if e.Kind == "" || e.Amount < 0 {
			rep.differ("entry %d is malformed", e.Seq)
		}
		all.add(e, &s, &rep)
		return nil
	})
	if err != nil {
		return rep, nil, err
	}
	if last != s.mark.LastSeq {
		rep.differ("the last entry is %d, but %d was recorded", last, s.mark.LastSeq)
	}
	for id := range s.balances {
		accounts[id] = true
	}
	rep.Accounts = len(accounts)
	all.compare(&s, &rep)
	mismatches, err := r.Mismatches(ctx, maxDifferences)
	for _, m := range mismatches {
		rep.differ("%s", m)
	}
	return rep, all, err
}

// add adds one entry, also to the sums of the rows that claim to include it. An
// entry that a row does not include must lie above the low water.
func (s *sums) add(e *Entry, st *stored, rep *Report) {
	if e.Kind != KindAbsorbed {
		folded := st.balances[e.Account].Folded
		if !s.balance(e).add(e, e.Seq <= folded) {
			rep.differ("entry %d takes back %s of grant %d, of which less is left", e.Seq, e.Amount, e.Grant)
		}
		if e.Seq > folded && e.Seq <= st.mark.LowWater {
			rep.differ("account %d: entry %d is not in the balance, which is folded up to %d", e.Account, e.Seq, folded)
		}
	}
	if e.Kind == KindUsage {
		ids := []CounterID{{Day: e.Day, Scope: ScopeKey, ID: e.Key}}
		scope := ScopePlan
		if e.Test {
			scope = ScopePlanTest
		}
		for _, class := range e.Classes {
			ids = append(ids, CounterID{Day: e.Day, Scope: scope, ID: e.Account, Class: class})
		}
		for _, id := range ids {
			s.count(id, e, st, rep)
		}
	}
	if e.Kind == KindUsage || e.Kind == KindRefund || e.Kind == KindAbsorbed {
		s.report(e, st, rep)
	}
}

func (s *sums) balance(e *Entry) *balanceSum {
	id := balanceID{e.Account, e.Test}
	b := s.balances[id]
	if b == nil {
		b = &balanceSum{rowGrants: map[int64]grantSum{}}
		s.balances[id] = b
	}
	return b
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
			slices.SortFunc(b.grants, func(x, y *grantSum) int { return cmp.Or(cmp.Compare(x.expires, y.expires), cmp.Compare(x.seq, y.seq)) })
		}
	case KindTopup, KindRefund, KindAdjust:
		b.credit += e.Amount
	case KindAbsorbed:
	}
	b.grants = slices.DeleteFunc(b.grants, func(g *grantSum) bool { return g.remaining == 0 })
	if inRow {
		b.rowCredit, b.rowUsed = b.credit, b.used
		clear(b.rowGrants)
		for _, g := range b.grants {
			b.rowGrants[g.seq] = *g
		}
	}
	return ok
}

func (b *balanceSum) spend(n money.Amount) {
	for _, g := range b.grants {
		part := min(n, g.remaining)
		g.remaining -= part
		n -= part
	}
}

func (s *sums) count(id CounterID, e *Entry, st *stored, rep *Report) {
	c := s.counters[id]
	if c == nil {
		c = new(counterSum)
		s.counters[id] = c
	}
	c.requests++
	c.spent += e.Amount
	folded := st.counters[id].Folded
	if e.Seq <= folded {
		c.row.Requests++
		c.row.Spent += e.Amount
	} else if e.Seq <= st.mark.LowWater {
		rep.differ("counter %v: entry %d is not in it, and it is folded up to %d", id, e.Seq, folded)
	}
}

func (s *sums) report(e *Entry, st *stored, rep *Report) {
	id := UsageID{Day: e.Day, Account: e.Account, Key: e.Key, Test: e.Test, Model: e.Model}
	u := s.usage[id]
	if u == nil {
		u = &usageSum{row: UsageRow{UsageID: id}}
		s.usage[id] = u
	}
	folded := st.usage[id].Folded
	if e.Seq > folded {
		if e.Seq <= st.mark.LowWater {
			rep.differ("usage %v: entry %d is not in it, and it is folded up to %d", id, e.Seq, folded)
		}
		return
	}
	u.row.Folded = folded
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
func (s *sums) compare(st *stored, rep *Report) {
	for _, account := range slices.Sorted(maps.Keys(st.balances)) {
		row := st.balances[account]
		left := map[int64]GrantRow{}
		for _, g := range st.grants[account] {
			left[g.Seq] = g
		}
		delete(st.grants, account)
		for i, test := range []bool{false, true} {
			b := s.balances[balanceID{account, test}]
			if b == nil {
				b = new(balanceSum)
			}
			if b.rowCredit != row.Credit[i] || b.rowUsed != row.Used[i] {
				rep.differ("account %d, test %t: credit %s and used %s are stored, the entries give %s and %s", account, test, row.Credit[i], row.Used[i], b.rowCredit, b.rowUsed)
			}
			for seq, g := range b.rowGrants {
				has, stored := left[seq]
				if has.Remaining != g.remaining {
					rep.differ("account %d, test %t: %s is stored as left of grant %d, the entries give %s", account, test, has.Remaining, seq, g.remaining)
				} else if stored && (has.Test != test || has.ExpiresAt.UnixNano() != g.expires) {
					rep.differ("account %d, test %t: grant %d is stored with another balance or expiry than the entries give", account, test, seq)
				}
				delete(left, seq)
			}
		}
		for seq := range left {
			rep.differ("account %d: grant %d is stored, the entries leave nothing of it", account, seq)
		}
	}
	for account := range st.grants { // of those that have no balance
		rep.differ("account %d: grants are stored, but no balance", account)
	}
	for id, row := range st.counters {
		c := s.counters[id]
		if c == nil {
			c = new(counterSum)
		}
		if c.row.Requests != row.Requests || c.row.Spent != row.Spent {
			rep.differ("counter %v: %d requests and %s are stored, the entries give %d and %s", id, row.Requests, row.Spent, c.row.Requests, c.row.Spent)
		}
	}
	for id, row := range st.usage {
		u := s.usage[id]
		if u == nil {
			u = new(usageSum)
		}
		row.UsageID, u.row.UsageID, u.row.Folded = id, id, row.Folded
		if u.row != row {
			rep.differ("usage %v: %+v is stored, the entries give %+v", id, row, u.row)
		}
	}
}

// memory is what the engine held at one moment, between two transactions. Every
// charge waits while it is copied, so it is only sorted out afterwards.
type memory struct {
	day      Day
	accounts []remembered
	counters []CounterRow
	holds    map[[16]byte]money.Amount
}

// remembered is what was posted of one account, live and test.
type remembered struct {
	id           int64
	credit, used [2]money.Amount
}

// remember copies what is posted. It runs on the committer's goroutine.
func (e *Engine) remember() memory {
	n := 0
	for i := range e.shards {
		n += e.shards[i].len()
	}
	m := memory{day: e.today(), accounts: make([]remembered, 0, n), counters: make([]CounterRow, 0, n)}
	for i := range e.shards {
		e.shards[i].remember(&m)
	}
	m.holds = e.durables.amounts()
	return m
}

func (s *shard) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.accounts)
}

func (s *shard) remember(m *memory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, a := range s.accounts {
		m.accounts = append(m.accounts, remembered{
			id: id, credit: [2]money.Amount{a.purses[0].credit, a.purses[1].credit}, used: [2]money.Amount{a.purses[0].used, a.purses[1].used},
		})
		for c, u := range a.days {
			if c.Day == m.day {
				m.counters = append(m.counters, CounterRow{CounterID: c, Requests: u.requests, Spent: u.spent})
			}
		}
	}
}

// compare holds what was in memory against the sums of all entries.
func (m *memory) compare(s *sums, rep *Report) {
	known := make(map[int64]bool, len(m.accounts))
	for _, a := range m.accounts {
		known[a.id] = true
		for i, test := range []bool{false, true} {
			b := s.balances[balanceID{a.id, test}]
			if b == nil {
				b = new(balanceSum)
			}
			if a.credit[i] != b.credit || a.used[i] != b.used {
				rep.differ("account %d, test %t: memory has credit %s and used %s, the entries give %s and %s", a.id, test, a.credit[i], a.used[i], b.credit, b.used)
			}
		}
	}
	for id := range s.balances {
		if !known[id.account] {
			rep.differ("account %d is not in memory", id.account)
		}
	}
	for id, amount := range s.holds {
		if has, known := m.holds[id]; !known || has != amount {
			rep.differ("hold %x is open with %s, memory has %s", id, amount, has)
		}
		delete(m.holds, id)
	}
	for id := range m.holds {
		rep.differ("hold %x is open in memory only", id)
	}
	counters := make(map[CounterID]CounterRow, len(m.counters))
	for _, c := range m.counters {
		counters[c.CounterID] = c
	}
	for id, c := range s.counters {
		if id.Day != m.day {
			continue
		}
		if has := counters[id]; has.Requests != c.requests || has.Spent != c.spent {
			rep.differ("counter %v: memory has %d requests and %s, the entries give %d and %s", id, has.Requests, has.Spent, c.requests, c.spent)
		}
	}
}
