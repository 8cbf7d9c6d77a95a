package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/pontage/pontage/internal/failpoint"
)

// recover brings memory up to the newest entry: the folded rows, and on top of
// them the entries that were not folded when the last process ended. That tail
// is then folded in one transaction, before anything is served: a later fold
// would move the low water past it.
func (e *Engine) recover(ctx context.Context) error {
	mark, err := e.journal.Start(ctx)
	if err != nil {
		return err
	}
	e.epoch, e.lastSeq = mark.Epoch, mark.LastSeq
	e.stats.lastSeq.Store(mark.LastSeq)
	snap, err := e.journal.Snapshot(ctx)
	if err != nil {
		return err
	}
	err = e.load(ctx, snap, mark)
	if err == nil {
		e.purge.next, err = snap.Expiry(ctx)
	}
	if err == nil {
		err = e.days.recover(ctx, e, snap, mark)
	}
	if err == nil {
		var floor Floor
		floor, err = snap.Floor(ctx)
		e.floor.Store(&floor)
	}
	if err != nil {
		return errors.Join(err, snap.Close())
	}
	if err := snap.Close(); err != nil {
		return err
	}
	return e.foldTail()
}

// load reads the folded rows and replays the tail.
func (e *Engine) load(ctx context.Context, r Reader, mark Mark) error {
	if err := e.loadBalances(ctx, r); err != nil {
		return err
	}
	err := r.Warned(ctx, func(w WarnedRow) error {
		if !mutated(WarningsForgotten) {
			e.warned[w.Account] = w.Below
		}
		return nil
	})
	if err != nil {
		return err
	}
	var tail []*Entry
	since := e.today() - 1 // late settles of yesterday do not survive a restart, but refusals look at today
	next := mark.LowWater
	err = r.Entries(ctx, mark.LowWater, func(x *Entry) error {
		if next++; x.Seq != next {
			return fmt.Errorf("journal: entry %d follows %d", x.Seq, next-1)
		}
		if x.Kind == "" {
			return fmt.Errorf("journal: entry %d is of no known kind", x.Seq)
		}
		since = min(since, x.Day)
		tail = append(tail, x)
		return nil
	})
	if err != nil {
		return err
	}
	if next != mark.LastSeq {
		return fmt.Errorf("journal: last entry is %d, but %d was recorded", next, mark.LastSeq)
	}
	var open []HoldRow
	needed := map[CounterID]bool{}
	err = r.OpenHolds(ctx, func(h HoldRow) error {
		open = append(open, h)
		for _, id := range h.counters() {
			needed[id] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	counters, err := e.loadCounters(ctx, r, since, needed)
	if err != nil {
		return err
	}
	usage, err := foldedUsage(ctx, r, since, tail)
	if err != nil {
		return err
	}
	for _, x := range tail {
		e.replay(x, counters, usage)
	}
	if !mutated(HoldsForgotten) {
		for i := range open {
			e.restore(&open[i])
		}
	}
	return nil
}

// loadBalances reads balances and grants.
func (e *Engine) loadBalances(ctx context.Context, r Reader) error {
	last, err := r.LastBalance(ctx)
	if err != nil {
		return err
	}
	parts := int64(1)
	if last >= manyBalances {
		parts = int64(runtime.GOMAXPROCS(0))
	}
	share := last/parts + 1
	errs := make([]error, parts)
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() {
			if after, upTo := i*share, min((i+1)*share, last); i == 0 {
				errs[i] = e.loadPart(ctx, r, after, upTo)
			} else {
				errs[i] = e.loadElsewhere(ctx, after, upTo)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return r.Grants(ctx, func(g GrantRow) error {
		a := e.shard(g.Account).account(g.Account)
		a.fold.hadGrants = true
		p := a.purse(g.Test)
		p.insert(grant{seq: g.Seq, remaining: g.Remaining, expires: g.ExpiresAt})
		e.expiry.add(expiry{at: g.ExpiresAt, account: a, test: g.Test})
		return nil
	})
}

// So many balances are read by all processors.
const manyBalances = 10_000

// loadElsewhere is loadPart with a snapshot of its own, which is like any other:
// nobody writes yet.
func (e *Engine) loadElsewhere(ctx context.Context, after, upTo int64) (err error) {
	snap, err := e.journal.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	return e.loadPart(ctx, snap, after, upTo)
}

// loadPart reads the balances of the accounts after one up to another.
func (e *Engine) loadPart(ctx context.Context, r Reader, after, upTo int64) error {
	var room []account // one allocation for many: they stay as long as the engine
	return r.Balances(ctx, after, upTo, func(row BalanceRow) error {
		if len(room) == 0 {
			room = make([]account, min(upTo-row.Account+1, 512))
		}
		a := &room[0]
		room = room[1:]
		a.id = row.Account
		for i := range a.purses {
			a.purses[i].credit, a.purses[i].used = row.Credit[i], row.Used[i]
		}
		a.fold.folded = row.Folded
		s := e.shard(row.Account)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.accounts[a.id] = a
		return nil
	})
}

// loadCounters reads the counters since that day, and older ones that are needed,
// and returns up to which entry each is folded.
func (e *Engine) loadCounters(ctx context.Context, r Reader, since Day, needed map[CounterID]bool) (map[CounterID]int64, error) {
	folded := map[CounterID]int64{}
	from := since
	for id := range needed {
		from = min(from, id.Day)
	}
	err := r.Counters(ctx, from, func(row CounterRow) error {
		if row.Day < since && !needed[row.CounterID] {
			return nil
		}
		folded[row.CounterID] = row.Folded
		a := e.shard(row.Account).account(row.Account)
		u := a.use(row.CounterID)
		u.requests, u.spent = row.Requests, row.Spent
		if row.Scope == ScopeKey {
			e.keys.Store(row.ID, a)
		}
		return nil
	})
	return folded, err
}

// foldedUsage returns up to which entry each line of the usage report is folded
// that the tail is about.
func foldedUsage(ctx context.Context, r Reader, since Day, tail []*Entry) (map[UsageID]int64, error) {
	folded := map[UsageID]int64{}
	if len(tail) == 0 {
		return folded, nil
	}
	err := r.Usage(ctx, since, func(row UsageRow) error {
		folded[row.UsageID] = row.Folded
		return nil
	})
	return folded, err
}

// replay applies one entry of the tail to every row that does not have it yet.
func (e *Engine) replay(x *Entry, counters map[CounterID]int64, usage map[UsageID]int64) {
	a := e.shard(x.Account).account(x.Account)
	if x.Key != 0 {
		e.keys.Store(x.Key, a)
	}
	d := &e.dirty
	if mutated(FoldBeforeReplay) {
		d = new(dirty)
	}
	if x.Kind != KindAbsorbed && (x.Seq > a.fold.folded || mutated(DoubleApply)) {
		a.postBalance(x)
		d.balance(a, x.Seq, 0)
		if x.Kind == KindGrant && !x.ExpiresAt.IsZero() {
			e.expiry.add(expiry{at: x.ExpiresAt, account: a, test: x.Test})
		}
	}
	for _, id := range x.counters() {
		if x.Seq > counters[id] || mutated(DoubleApply) {
			a.use(id).add(x)
			d.count(id, x, 0)
		}
	}
	if id, ok := x.usage(); ok && (x.Seq > usage[id] || mutated(DoubleApply)) {
		d.report(id, x, 0)
	}
}

// foldTail folds everything that replay changed, in one transaction.
func (e *Engine) foldTail() error {
	f := e.dirty.due(0, e.lastSeq, true)
	if f == nil {
		f = &Fold{Seq: e.lastSeq, LowWater: e.lastSeq}
	}
	tx, err := e.journal.Begin()
	if err != nil {
		return fmt.Errorf("fold the tail: %w", err)
	}
	b := &Batch{Epoch: e.epoch, After: e.lastSeq, Closed: e.days.due(e.today(), e.lastSeq, e.now())}
	err = tx.Insert(b)
	if err == nil {
		err = e.fold(tx, f, failpoint.CrashMidRecovery)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("fold the tail: %w", err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("fold the tail: %w", err)
	}
	if b.Closed != nil {
		e.days.closed(b.Closed, e.today())
	}
	return nil
}
