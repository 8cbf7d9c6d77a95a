package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/money"
)

// ErrUnavailable is wrapped by errors of the engine while charges cannot be
// recorded. What it was asked for was not done, unless the error says otherwise.
var ErrUnavailable = errors.New("ledger unavailable")

// ErrEnded is returned by operations on a hold that was settled or voided.
var ErrEnded = errors.New("the hold has ended")

// Bounds of the engine.
const (
	maxQueue  = 4096        // settles waiting before new holds are refused
	maxStall  = time.Second // age of the oldest of them before new holds are refused
	maxBatch  = 2048        // operations in one transaction
	opBytes   = 16 << 10    // bytes of an answer, or a result, that count as an operation of their own
	maxLazy   = 16384       // lazy receipts, and deliveries, waiting; more are dropped
	lazyDelay = 100 * time.Millisecond
	fullLimit = 10 * time.Second // how long the disk may be full before the process gives up
)

// Options of an engine.
type Options struct {
	Now        func() time.Time // wall clock; nil: time.Now
	Failpoints *failpoint.Set   // nil: off

	// Notify is called when there are new events, which are durable then. It must
	// not block: charges wait for it. Nil does nothing.
	Notify func()
	// Retention is how long usage, absorbed cost and receipts are kept one by
	// one; then the sums of each day replace them. 0: for ever; otherwise at
	// least MinRetention.
	Retention time.Duration

	// Fatal is called, once, when the journal may hold something else than
	// memory does, so that the process must end and recover from disk. The
	// engine does nothing more afterwards. Nil does nothing.
	Fatal func(error)
}

// Engine is the ledger of one process. It is used by many goroutines at once.
type Engine struct {
	journal Journal
	now     func() time.Time
	fp      *failpoint.Set
	fatal   func(error)
	notify  func()    // may be nil
	start   time.Time // of the monotonic clock that readiness goes by
	epoch   int64

	shards [numShards]shard
	keys   sync.Map     // int64 key → *account
	day    atomic.Int32 // newest day seen; never moves back
	open   atomic.Int64 // holds that have not ended, besides the durable ones

	queue queue
	stats stats

	full    atomic.Bool // the disk is full, or somebody holds the database
	dead    atomic.Bool // memory and disk may be apart
	closed  atomic.Bool
	done    chan struct{}
	failure error // why the engine stopped; read after done

	keeper // state of the committer's goroutine
	turns  turns
	claims claims

	durables durables
	digester digester

	retention time.Duration
	retaining sync.Mutex
	floor     atomic.Pointer[Floor]

	verifying chan struct{} // has room for the one verification at a time
}

const numShards = 256

// shard holds some of the accounts. Everything a request needs belongs to one
// account, so one lock is all that a hold takes, and there is no order of locks
// to get wrong.
type shard struct {
	mu       sync.Mutex
	accounts map[int64]*account // guarded by mu, and so is what they hold
}

// Stats counts what the engine did since it was opened.
type Stats struct {
	Settled         int64        // charges recorded
	Voided          int64        // holds given back without a charge
	Absorbed        money.Amount // cost above what could be charged
	DroppedReceipts int64        // uncharged receipts that found the queue full
	DroppedMarks    int64        // deliveries that did
	Batches         int64        // transactions
	Waiting         int64        // operations in the queue now
	OpenHolds       int64        // now, durable ones included
	LastSeq         int64        // newest durable entry
}

type stats struct {
	settled, voided, absorbed, droppedReceipts, droppedMarks, batches, lastSeq atomic.Int64
}

// Open takes over the journal, brings memory and folds up to its newest entry,
// and starts the engine. The caller closes the engine before the journal.
func Open(ctx context.Context, j Journal, o Options) (*Engine, error) {
	e, err := open(ctx, j, o)
	if err != nil {
		return nil, err
	}
	e.startDigester()
	go e.run()
	return e, nil
}

// open is Open without the committer and the digester: whoever calls it makes
// their steps.
func open(ctx context.Context, j Journal, o Options) (*Engine, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Fatal == nil {
		o.Fatal = func(error) {}
	}
	if o.Retention != 0 && o.Retention < MinRetention {
		return nil, fmt.Errorf("retention: %v is less than %v", o.Retention, MinRetention)
	}
	e := &Engine{
		journal: j, retention: o.Retention, now: o.Now, fp: o.Failpoints, fatal: o.Fatal, notify: o.Notify,
		start: time.Now(), done: make(chan struct{}), verifying: make(chan struct{}, 1),
	}
	for i := range e.shards {
		e.shards[i].accounts = map[int64]*account{}
	}
	e.queue.kick = make(chan struct{}, 1)
	e.turns.ops = map[turnKey]*op{}
	e.warned = map[int64]money.Amount{}
	e.claims.slots = map[IdemKey]*slot{}
	e.durables.open = map[[16]byte]*Hold{}
	e.day.Store(int32(DayOf(o.Now())))
	if err := e.recover(ctx); err != nil {
		return nil, fmt.Errorf("recover ledger: %w", err)
	}
	return e, nil
}

// Close refuses new work, makes what waits durable, folds everything and stops.
// Holds that are still open give back what they have when they settle. It may
// be called any number of times.
func (e *Engine) Close() error {
	e.closed.Store(true)
	e.queue.close()
	<-e.done
	return e.failure
}

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	return Stats{
		Settled:         e.stats.settled.Load(),
		Voided:          e.stats.voided.Load(),
		Absorbed:        money.Amount(e.stats.absorbed.Load()),
		DroppedReceipts: e.stats.droppedReceipts.Load(),
		DroppedMarks:    e.stats.droppedMarks.Load(),
		Batches:         e.stats.batches.Load(),
		Waiting:         e.queue.waiting.Load(),
		OpenHolds:       e.open.Load() + int64(e.durables.count()),
		LastSeq:         e.stats.lastSeq.Load(),
	}
}

// Ready returns nil if charges can be recorded now. Otherwise its error wraps
// [ErrUnavailable] and says why: the journal has been stuck for a second, too
// much waits, the disk is full, or the engine has stopped. It goes by a
// monotonic clock, whatever the wall clock does.
func (e *Engine) Ready() error {
	switch {
	case e.dead.Load():
		return fmt.Errorf("%w: a commit failed", ErrUnavailable)
	case e.closed.Load():
		return fmt.Errorf("%w: closed", ErrUnavailable)
	case e.full.Load():
		return fmt.Errorf("%w: the disk is full, or another process holds the database", ErrUnavailable)
	}
	if n := e.queue.waiting.Load(); n > maxQueue {
		return fmt.Errorf("%w: %d charges wait for the disk", ErrUnavailable, n)
	}
	if since := e.queue.oldest(); since != 0 {
		if age := e.mono() - since; age > int64(maxStall) {
			return fmt.Errorf("%w: the last commit has taken %v", ErrUnavailable, time.Duration(age).Round(time.Millisecond))
		}
	}
	return nil
}

// mono is a monotonic clock in nanoseconds, never 0.
func (e *Engine) mono() int64 { return int64(time.Since(e.start)) + 1 }

// today returns the day, which never moves back.
func (e *Engine) today() Day {
	d := int32(DayOf(e.now()))
	for {
		seen := e.day.Load()
		if d <= seen {
			return Day(seen)
		}
		if e.day.CompareAndSwap(seen, d) {
			return Day(d)
		}
	}
}

func (e *Engine) shard(account int64) *shard {
	h := uint64(account) * 0x9e3779b97f4a7c15
	return &e.shards[h>>56]
}

// account returns the account, which it makes if there is none. The caller holds
// the shard's lock.
func (s *shard) account(id int64) *account {
	a := s.accounts[id]
	if a == nil {
		a = &account{id: id}
		s.accounts[id] = a
	}
	return a
}

// Balance is what an account has.
type Balance struct {
	Posted    money.Amount // credit less charges, durable
	Held      money.Amount // by requests in flight
	Available money.Amount // Posted less Held

	TestPosted, TestHeld, TestAvailable money.Amount // the same of the test balance
}

// Balance returns what the account has now; nothing for an unknown account.
func (e *Engine) Balance(account int64) Balance {
	s := e.shard(account)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[account]
	if a == nil {
		return Balance{}
	}
	live, test := &a.purses[0], &a.purses[1]
	return Balance{
		Posted: live.posted(), Held: live.held, Available: live.free(),
		TestPosted: test.posted(), TestHeld: test.held, TestAvailable: test.free(),
	}
}

// DayUse is what was used of one day, durable and held.
type DayUse struct {
	Day                    Day
	Requests, RequestsHeld int64
	USD, USDHeld           money.Amount
	ResetsAt               time.Time // 00:00 UTC of the next day
}

// KeyDay returns what the key has used of today.
func (e *Engine) KeyDay(key int64) DayUse {
	id := CounterID{Day: e.today(), Scope: ScopeKey, ID: key}
	a, ok := e.keys.Load(key)
	if !ok {
		return DayUse{Day: id.Day, ResetsAt: (id.Day + 1).Start()}
	}
	return e.dayUse(a.(*account).id, id)
}

// PlanDay returns what the account has used of today in a class of its plan.
func (e *Engine) PlanDay(account int64, test bool, class string) DayUse {
	return e.dayUse(account, CounterID{Day: e.today(), Scope: planScope(test), ID: account, Class: class})
}

func (e *Engine) dayUse(account int64, id CounterID) DayUse {
	d := DayUse{Day: id.Day, ResetsAt: (id.Day + 1).Start()}
	s := e.shard(account)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[account]
	if a == nil {
		return d
	}
	if u := a.days[id]; u != nil {
		d.Requests, d.RequestsHeld, d.USD, d.USDHeld = u.requests, u.requestsHeld, u.spent, u.spentHeld
	}
	return d
}

// Idle reports that nothing is held anywhere. It looks at every account.
func (e *Engine) Idle() bool {
	if e.open.Load() != 0 || e.durables.count() != 0 {
		return false
	}
	for i := range e.shards {
		if !e.shards[i].idle() {
			return false
		}
	}
	return true
}

func (s *shard) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		if a.purses[0].held != 0 || a.purses[1].held != 0 {
			return false
		}
		for _, u := range a.days {
			if u.requestsHeld != 0 || u.spentHeld != 0 {
				return false
			}
		}
	}
	return true
}
