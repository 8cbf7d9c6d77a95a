package ledger

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/pontage/pontage/internal/money"
)

// Progress of an op.
const (
	opWaiting int32 = iota
	opApplied       // durable, and in memory
	opRevoked       // to be dropped or, if durable, refunded
)

// op is one entry on its way to the journal, and whoever waits for it.
type op struct {
	entry    Entry
	absorbed *Entry      // second entry of a settle
	receipt  *ReceiptRow // of a settle
	hold     *Hold       // of a settle
	expire   *stake      // of an expiry: what it keeps others from taking
	incoming money.Amount
	turns    []turnKey // what others may not do meanwhile
	follows  bool      // made by the committer itself, which takes it in while it closes
	alerts   Alerts    // of a settle
	bare     bool      // without an entry; of the entry only the account is meant
	extra    *extra    // what few ops have; nil: nothing of it

	at       int64 // monotonic time it was queued
	progress atomic.Int32
	done     chan struct{} // closed when the op is durable and applied, or failed
	err      error         // read after done
	balance  money.Amount  // posted, after the entry; read after done
}

// extra is what only few ops have.
type extra struct {
	keep   *Claim // its answer becomes durable with the op
	forget *Claim // its answer is deleted with the op
	abort  *Aborted

	opens    []*Hold   // become durable with the op
	ends     []HoldEnd // durable holds that end with it
	releases []*Hold   // give everything back once it is durable
}

// kept returns the claim whose answer becomes durable with the op, or nil.
func (o *op) kept() *Claim {
	if o.extra == nil {
		return nil
	}
	return o.extra.keep
}

// weight says how much of a batch's room the op takes: rows, and bytes.
func (o *op) weight() int {
	if o.extra == nil {
		return 1
	}
	n := 1 + len(o.extra.opens) + len(o.extra.ends)
	if c := o.extra.keep; c != nil {
		n += len(c.row.Doc) / opBytes
	}
	for i := range o.extra.ends {
		n += len(o.extra.ends[i].Result) / opBytes
	}
	return n
}

// wait waits for the op, or for ctx.
func (o *op) wait(ctx context.Context) error {
	select {
	case <-o.done:
		return o.err
	default:
	}
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// failed reports whether the journal has failed with the op.
func (o *op) failed() bool {
	select {
	case <-o.done:
		return o.err != nil
	default:
		return false
	}
}

// queue is what waits for the committer. Settles are never refused: there is at
// most one for every open hold, and no hold is granted while more than maxQueue
// of them wait. Everything else has its own bound.
type queue struct {
	mu       sync.Mutex
	ops      []*op         // guarded by mu
	receipts []*ReceiptRow // lazy; guarded by mu; at most maxLazy
	marks    []Delivered   // lazy; guarded by mu; at most maxLazy
	barriers []*barrier    // guarded by mu
	pruning  *pruneOp      // guarded by mu; nil: none waits
	digests  []Digest      // guarded by mu; of closed days: one a day, and after a start those that are missing
	closed   bool          // guarded by mu: nothing more is taken in
	lazyAt   int64         // guarded by mu: when the oldest lazy item was queued

	kick     chan struct{} // the committer has something to do
	waiting  atomic.Int64  // ops queued and in flight
	headAt   atomic.Int64  // at of the first op in ops; 0: none
	flightAt atomic.Int64  // at of the first op in flight; 0: nothing is in flight
}

// barrier is done once everything queued before it is durable.
type barrier struct {
	fold bool   // and folded
	then func() // runs on the committer's goroutine, between two transactions; may be nil
	done chan struct{}
	err  error
}

func (q *queue) wake() {
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake()
}

// oldest returns when the oldest op that is not durable was queued; 0: none.
func (q *queue) oldest() int64 {
	flight, head := q.flightAt.Load(), q.headAt.Load()
	if flight != 0 {
		return flight
	}
	return head
}

// enqueue hands o to the committer.
func (e *Engine) enqueue(o *op) error {
	if o.done == nil {
		o.done = make(chan struct{})
	}
	q := &e.queue
	q.mu.Lock()
	if q.closed && !o.follows {
		q.mu.Unlock()
		return fmt.Errorf("%w: closed", ErrUnavailable)
	}
	o.at = e.mono()
	q.ops = append(q.ops, o)
	if len(q.ops) == 1 {
		q.headAt.Store(o.at)
	}
	q.waiting.Add(1)
	q.mu.Unlock()
	q.wake()
	return nil
}

// Record stores the receipt of a request that was not charged, lazily. It keeps
// no reference to r. If too much waits the receipt is dropped and counted.
func (e *Engine) Record(r *Receipt) {
	row := r.row()
	q := &e.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.receipts) >= maxLazy {
		e.stats.droppedReceipts.Add(1)
		return
	}
	q.receipts = append(q.receipts, row)
	e.lazyLocked()
}

// Delivered notes, lazily, that the last bytes of an answer left: its receipt
// says complete instead of unknown.
func (e *Engine) Delivered(id [16]byte) { e.mark(id, DeliveryComplete) }

// DeliveredPart notes that the answer could not be delivered to its end: the
// receipt says partial instead of unknown.
func (e *Engine) DeliveredPart(id [16]byte) { e.mark(id, DeliveryPartial) }

func (e *Engine) mark(id [16]byte, delivery string) {
	q := &e.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.marks) >= maxLazy {
		e.stats.droppedMarks.Add(1)
		return
	}
	q.marks = append(q.marks, Delivered{ID: id, Delivery: delivery})
	e.lazyLocked()
}

// lazyLocked notes that something lazy was queued.
func (e *Engine) lazyLocked() {
	n := len(e.queue.receipts) + len(e.queue.marks)
	if n == 1 {
		e.queue.lazyAt = e.mono()
	}
	if n == 1 || n == maxBatch {
		e.queue.wake()
	}
}

// sync waits until everything queued so far is durable and, if fold is set,
// folded. It fails at once while the ledger is not ready.
func (e *Engine) sync(ctx context.Context, b *barrier) error {
	if err := e.Ready(); err != nil {
		return err
	}
	b.done = make(chan struct{})
	q := &e.queue
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return fmt.Errorf("%w: closed", ErrUnavailable)
	}
	q.barriers = append(q.barriers, b)
	q.mu.Unlock()
	q.wake()
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// quiet reports that nothing waits and nothing is on its way.
func (q *queue) quiet() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ops)+len(q.receipts)+len(q.marks) == 0 && q.flightAt.Load() == 0
}

// work is one batch and what goes with it.
type work struct {
	ops      []*op
	barriers []*barrier
	closing  bool
	lazyDue  int64 // when the lazy items left in the queue are due; 0: none
}

// take moves what the next transaction appends into b. The scratch slices of w
// are used again.
func (q *queue) take(w *work, b *Batch, now int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.closing = q.closed
	n := 0
	for room := maxBatch; n < len(q.ops) && room > 0; n++ {
		room -= q.ops[n].weight()
	}
	w.ops = append(w.ops[:0], q.ops[:n]...)
	rest := copy(q.ops, q.ops[n:])
	clear(q.ops[rest:])
	q.ops = q.ops[:rest]
	q.headAt.Store(0)
	if rest > 0 {
		q.headAt.Store(q.ops[0].at)
	}
	q.flightAt.Store(now)
	if n > 0 {
		q.flightAt.Store(w.ops[0].at)
	}
	b.Digested, q.digests = q.digests, nil
	w.barriers = w.barriers[:0]
	if rest == 0 {
		w.barriers, q.barriers = append(w.barriers, q.barriers...), q.barriers[:0]
	}
	lazy := len(q.receipts) + len(q.marks)
	w.lazyDue = 0
	if lazy == 0 {
		return
	}
	if due := q.lazyAt + int64(lazyDelay); now < due && lazy < maxBatch && len(w.barriers) == 0 && !w.closing {
		w.lazyDue = due
		return
	}
	b.Receipts = append(b.Receipts, q.receipts...)
	b.Delivered = append(b.Delivered, q.marks...)
	q.receipts, q.marks = nil, nil
}
