package ledger

import (
	"errors"
	"fmt"
	"time"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/money"
)

// keeper is what only the committer's goroutine touches: where the journal
// stands, and what of it is not folded yet.
type keeper struct {
	lastSeq int64
	dirty   dirty
	expiry  expiryHeap
	rate    rate
	purge   purge
	warned  map[int64]money.Amount // live balances that were warned of, with the threshold
	days    dayBook
}

// Pace of the committer.
const (
	lingerAbove = 500 // operations per second above which a batch waits for more
	lingerTime  = time.Millisecond
	lingerUntil = 256                    // operations after which it does not
	foldAge     = 500 * time.Millisecond // age at which a changed row is folded
	foldRows    = 64                     // rows folded in one transaction, normally
	sweepEvery  = 500 * time.Millisecond // how often expired grants are looked for
	retryPause  = 100 * time.Millisecond // between attempts while the disk is full
	idleWait    = time.Hour
)

// run is the committer: the only goroutine that writes to the journal, and the
// only one that changes what is posted.
func (e *Engine) run() { e.end(e.keep()) }

// end tells everybody that the committer has made its last step, and why; nil:
// the engine was closed.
func (e *Engine) end(err error) {
	end := errors.New("closed")
	if err != nil {
		e.die(err)
		end = err
	}
	e.digester.close()
	e.claims.close(fmt.Errorf("%w: %w", ErrUnavailable, end))
	close(e.done)
	if err != nil {
		e.fatal(err)
	}
}

// keep writes batches until the engine is closed and everything is folded.
func (e *Engine) keep() error {
	var w work
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-e.queue.kick:
		case <-timer.C:
		}
		for more := true; more; {
			e.linger()
			var err error
			if more, err = e.step(&w); err != nil {
				return err
			}
		}
		if w.closing {
			return nil
		}
		timer.Reset(e.pause(&w))
	}
}

// linger waits a moment for company if there is a lot of it: a commit costs the
// same for one operation and for a hundred. It does not wait if every hold has
// arrived already.
func (e *Engine) linger() {
	waiting := e.queue.waiting.Load()
	if e.rate.perSecond > lingerAbove && waiting < lingerUntil && waiting < e.open.Load() {
		time.Sleep(lingerTime)
	}
}

// pause returns how long the committer may sleep if nobody wakes it.
func (e *Engine) pause(w *work) time.Duration {
	wait := idleWait
	if w.lazyDue != 0 {
		wait = min(wait, time.Duration(w.lazyDue-e.mono()))
	}
	if at, ok := e.dirty.oldest(); ok {
		wait = min(wait, time.Duration(at-e.mono())+foldAge)
	}
	if len(e.expiry) > 0 {
		wait = min(wait, sweepEvery)
	}
	wait = min(wait, e.purge.wait(e.mono(), e.now()))
	wait = min(wait, e.days.wait(e.lastSeq, e.now()))
	return max(wait, time.Millisecond)
}

// step writes one batch, if there is anything to write, and reports whether more
// waits already.
func (e *Engine) step(w *work) (more bool, err error) {
	now := e.mono()
	b := &Batch{Epoch: e.epoch, After: e.lastSeq}
	e.queue.take(w, b, now)
	w.ops = e.living(w.ops)
	expired := e.sweep()
	if len(expired) > 0 {
		// First, since what is left of a grant was reckoned before any of the others.
		w.ops = append(expired, w.ops...)
	}
	f := e.dirty.due(now, e.lastSeq, w.closing)
	b.purge = e.purge.due(now, e.now())
	if !w.closing {
		b.Pruned = e.queue.pruningDue(e.dirty.lowWater(e.lastSeq))
	}
	b.Closed = e.days.due(e.today(), e.lastSeq, e.now())
	if len(w.ops)+len(b.Receipts)+len(b.Delivered)+len(b.Digested) > 0 || b.Closed != nil || b.Pruned != nil || f != nil || !b.purge.IsZero() {
		e.number(b, w.ops)
		e.notice(b, w.ops)
		if err := e.write(b, f); err != nil {
			e.fail(w, err)
			return false, err
		}
		e.apply(b, w.ops, e.mono())
		if err := e.fp.Hit(failpoint.CrashAfterWake); err != nil {
			return false, err
		}
	}
	if err := e.release(w); err != nil {
		e.fail(&work{barriers: w.barriers}, err)
		return false, err
	}
	e.queue.flightAt.Store(0)
	e.rate.add(len(w.ops), now)
	clear(w.ops)
	return e.queue.waiting.Load() > 0 || (w.closing && e.dirty.len() > 0), nil
}

// release ends the barriers: what they waited for is durable, and now folded if
// one of them wants that.
func (e *Engine) release(w *work) error {
	fold := false
	for _, r := range w.barriers {
		fold = fold || r.fold
	}
	if fold {
		if f := e.dirty.due(e.mono(), e.lastSeq, true); f != nil {
			if err := e.write(&Batch{Epoch: e.epoch, After: e.lastSeq}, f); err != nil {
				return err
			}
		}
	}
	for _, r := range w.barriers {
		if r.then != nil {
			r.then()
		}
		close(r.done)
	}
	clear(w.barriers)
	w.barriers = w.barriers[:0]
	return nil
}

// living returns the ops that were not revoked while they waited, and ends the
// others.
func (e *Engine) living(ops []*op) []*op {
	kept := ops[:0]
	for _, o := range ops {
		if o.progress.Load() == opRevoked {
			if o.hold != nil {
				o.hold.giveBack()
			}
			if o.extra != nil {
				e.drop(o)
			}
			e.queue.waiting.Add(-1)
			o.err = fmt.Errorf("%w: revoked", ErrUnavailable)
			close(o.done)
			continue
		}
		kept = append(kept, o)
	}
	return kept
}

// number gives the entries of the ops their places in the journal.
func (e *Engine) number(b *Batch, ops []*op) {
	seq := e.lastSeq
	b.Entries = make([]*Entry, 0, len(ops)+8)
	for _, o := range ops {
		if o.extra != nil {
			b.add(o, seq+1)
		}
		if o.bare {
			if o.receipt != nil {
				b.Receipts = append(b.Receipts, o.receipt)
			}
			continue
		}
		seq++
		o.entry.Seq = seq
		b.Entries = append(b.Entries, &o.entry)
		if o.receipt != nil {
			o.receipt.Seq = seq
			b.Receipts = append(b.Receipts, o.receipt)
		}
		if o.absorbed != nil {
			seq++
			o.absorbed.Seq = seq
			b.Entries = append(b.Entries, o.absorbed)
		}
	}
}

// add adds what few ops have to the batch. seq is the op's entry, if it has one.
func (b *Batch) add(o *op, seq int64) {
	if c := o.extra.keep; c != nil {
		if !o.bare {
			c.row.Seq = seq
		}
		b.Answers = append(b.Answers, c.row)
	}
	if c := o.extra.forget; c != nil && !mutated(AnswerStands) {
		b.Forgotten = append(b.Forgotten, c.row)
	}
	if a := o.extra.abort; a != nil {
		b.Aborted = append(b.Aborted, *a)
	}
	for _, h := range o.extra.opens {
		b.Opened = append(b.Opened, h.row(o.entry.Time))
	}
	b.Ended = append(b.Ended, o.extra.ends...)
}

// write makes the batch durable. While the disk is full it tries the same batch
// again, for a while; any other error is final.
func (e *Engine) write(b *Batch, f *Fold) error {
	begun := e.mono()
	for {
		err := e.attempt(b, f)
		if err == nil {
			e.full.Store(false)
			return nil
		}
		if !errors.Is(err, ErrRetry) || e.mono()-begun > int64(fullLimit) {
			return err
		}
		e.full.Store(true)
		time.Sleep(retryPause)
	}
}

func (e *Engine) attempt(b *Batch, f *Fold) error {
	if err := e.fp.Hit(failpoint.CrashBeforeBegin); err != nil {
		return err
	}
	tx, err := e.journal.Begin()
	if err != nil {
		return fmt.Errorf("begin batch: %w", err)
	}
	if err := e.fill(tx, b, f); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return e.commit(tx)
}

func (e *Engine) fill(tx Tx, b *Batch, f *Fold) error {
	if err := e.fp.Hit(failpoint.DiskFull); err != nil {
		return fmt.Errorf("insert batch: %w: %w", ErrRetry, err)
	}
	if err := tx.Insert(b); err != nil {
		return fmt.Errorf("insert batch: %w", err)
	}
	if err := e.fp.Hit(failpoint.CrashAfterInsert); err != nil {
		return err
	}
	if !b.purge.IsZero() {
		next, err := tx.Purge(b.purge, purgeRows+2*len(b.Answers))
		if err != nil {
			return fmt.Errorf("purge answers: %w", err)
		}
		e.purge.next = next
	}
	if f != nil {
		if err := e.fold(tx, f, failpoint.CrashMidFold); err != nil {
			return err
		}
	}
	if b.Pruned != nil {
		return e.prune(tx, b.Pruned)
	}
	return nil
}

// fold writes f in two halves, with the crash point between them.
func (e *Engine) fold(tx Tx, f *Fold, point string) error {
	if mutated(LostFold) {
		f = &Fold{Seq: f.Seq, LowWater: f.LowWater}
	}
	if err := tx.Fold(&Fold{Seq: f.Seq, Balances: f.Balances, LowWater: -1}); err != nil {
		return fmt.Errorf("fold balances: %w", err)
	}
	if err := e.fp.Hit(point); err != nil {
		return err
	}
	if err := tx.Fold(&Fold{Seq: f.Seq, Counters: f.Counters, Usage: f.Usage, LowWater: f.LowWater}); err != nil {
		return fmt.Errorf("fold counters: %w", err)
	}
	return nil
}

func (e *Engine) commit(tx Tx) error {
	for _, point := range []string{failpoint.CrashBeforeCommit, failpoint.SlowFsync, failpoint.SlowDisk, failpoint.CommitError} {
		if err := e.fp.Hit(point); err != nil {
			return errors.Join(fmt.Errorf("commit batch: %w", err), tx.Rollback())
		}
	}
	if err := tx.Commit(); err != nil && !mutated(CommitAssumed) {
		return fmt.Errorf("commit batch: %w", err)
	}
	e.stats.batches.Add(1)
	return e.fp.Hit(failpoint.CrashAfterCommit)
}

// apply posts a durable batch, and then tells everybody.
func (e *Engine) apply(b *Batch, ops []*op, now int64) {
	for _, o := range ops {
		e.post(o, now)
	}
	if n := len(b.Entries); n > 0 {
		e.lastSeq = b.Entries[n-1].Seq
		e.stats.lastSeq.Store(e.lastSeq)
	}
	e.purge.done(b, now)
	e.noticed(b)
	if b.Closed != nil {
		e.days.closed(b.Closed, e.today())
	}
	if b.Closed != nil || len(b.Digested) > 0 { // usage goes once its day has its digest
		e.digester.wake()
	}
	if b.Pruned != nil {
		e.floor.Store(&b.Pruned.Floor)
		e.queue.pruned()
	}
	queued := int64(0)
	for _, o := range ops {
		if o.expire == nil {
			queued++
		}
	}
	e.queue.waiting.Add(-queued)
	for _, o := range ops {
		close(o.done)
	}
}

// post makes a durable op visible.
func (e *Engine) post(o *op, now int64) {
	if !o.bare {
		e.postEntry(o, now)
	}
	if o.extra != nil {
		e.postExtra(o)
	}
	e.turns.drop(o)
}

// postExtra ends the claims and holds of an op. Who asks for the key next asks
// the journal, where the answer is, or is not, by now.
func (e *Engine) postExtra(o *op) {
	if (len(o.extra.opens) > 0 || o.bare && o.extra.keep != nil) && !o.progress.CompareAndSwap(opWaiting, opApplied) {
		e.undoOnTheWay(o)
	}
	for _, h := range o.extra.opens {
		e.durables.add(h)
	}
	for i := range o.extra.ends {
		e.durables.remove(o.extra.ends[i].ID)
	}
	for _, h := range o.extra.releases {
		h.release()
		e.stats.voided.Add(1)
	}
	if c := o.extra.forget; c != nil {
		e.claims.free(c)
	}
	if c := o.extra.keep; c != nil && o.progress.Load() != opRevoked {
		e.claims.done(c)
	}
}

// postEntry turns what o held into what was used, in one step.
func (e *Engine) postEntry(o *op, now int64) {
	s := e.shard(o.entry.Account)
	s.mu.Lock()
	a := s.account(o.entry.Account)
	if o.hold != nil {
		o.hold.releaseLocked()
	}
	if o.expire != nil {
		o.expire.giveBack()
	}
	p := a.purse(o.entry.Test)
	p.incoming -= o.incoming
	a.post(&o.entry)
	o.balance = p.posted()
	s.mu.Unlock()

	e.dirty.add(a, &o.entry, now)
	if o.absorbed != nil {
		e.dirty.add(a, o.absorbed, now)
		e.stats.absorbed.Add(int64(o.absorbed.Amount))
	}
	if o.entry.Kind == KindGrant && !o.entry.ExpiresAt.IsZero() {
		e.expiry.add(expiry{at: o.entry.ExpiresAt, account: a, test: o.entry.Test})
	}
	if o.hold != nil {
		if o.hold.durable == nil {
			e.open.Add(-1)
		}
		e.stats.settled.Add(1)
		if !o.progress.CompareAndSwap(opWaiting, opApplied) && !mutated(RevokeLost) {
			e.takeBackOnTheWay(o)
		}
	}
}

// die ends the engine: nothing is taken in any more, and everybody who waits is
// told.
func (e *Engine) die(err error) {
	e.failure = err
	e.queue.close()
	var w work
	for {
		e.queue.take(&w, &Batch{}, e.mono())
		if len(w.ops)+len(w.barriers) == 0 {
			break
		}
		e.fail(&w, err)
	}
}

// fail tells everybody who waits for w that its outcome is unknown.
func (e *Engine) fail(w *work, err error) {
	e.dead.Store(true)
	for _, o := range w.ops {
		o.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		e.turns.drop(o)
		if o.done != nil {
			close(o.done)
		}
	}
	for _, b := range w.barriers {
		b.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		close(b.done)
	}
}

// rate estimates how many operations come per second.
type rate struct {
	perSecond float64
	count     int
	since     int64 // monotonic
}

// rateWindow is how long operations are counted before the estimate moves.
const rateWindow = int64(50 * time.Millisecond)

func (r *rate) add(n int, now int64) {
	r.count += n
	if age := now - r.since; age >= rateWindow {
		current := float64(r.count) * float64(time.Second) / float64(age)
		r.perSecond = (r.perSecond + current) / 2
		r.count, r.since = 0, now
	}
}
