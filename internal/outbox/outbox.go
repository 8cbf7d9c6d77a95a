package outbox

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of delivery.
const (
	tryTimeout = 10 * time.Second    // of one try, its answer's body included
	keepTrying = 3 * 24 * time.Hour  // after the event
	keepRows   = 7 * 24 * time.Hour  // after the end of a delivery
	maxRows    = 10_000              // beyond them the oldest are dropped
	firstWait  = 10 * time.Second    // between the first try and the second; doubles
	firstPause = time.Second         // of all tries after one that failed; doubles
	longPause  = time.Minute         // of all tries at most
	pruneEvery = time.Hour           // how often old rows are looked for when nothing happens
	maxError   = 200                 // bytes of what is kept of an error
	maxAnswer  = 64 << 10            // bytes that are read of an answer
	maxDoubled = 20                  // doublings after which a wait is the longest anyway
	userAgent  = "Pontage-Webhook/1" // of every try
)

// LongestWait is how long it is between two tries of an event, at most.
const LongestWait = 6 * time.Hour

// Endpoint is who is told. The zero value is nobody.
type Endpoint struct {
	URL    string
	Secret string // signs every try
}

// Options of an Outbox. Store and Endpoint are required.
type Options struct {
	Store    Store
	Endpoint func() Endpoint  // asked before every try
	Now      func() time.Time // wall clock; nil: time.Now
	Client   *http.Client     // nil: one of its own; its timeout and redirects are not used
	Log      *slog.Logger     // nil: nothing is logged
	Random   func() float64   // in [0, 1), for jitter; nil: math/rand
}

// Outbox delivers events, one at a time. Its methods may be called by many
// goroutines; Run by one.
type Outbox struct {
	o      Options
	client *http.Client
	kick   chan struct{}
	hurry  atomic.Bool

	mu sync.Mutex // held while a row is read and written again

	pending, failed, delivered, failures, dropped atomic.Int64

	// Of the goroutine of Run.
	inRow  int       // tries that failed in a row
	paused time.Time // nothing is tried before
}

// Stats is how delivery goes. The last three count from the start of the process.
type Stats struct {
	Pending, Failed int64 // rows, now
	Delivered       int64 // events
	Failures        int64 // tries
	Dropped         int64 // rows that were not delivered and fell out for want of room
}

// New returns an Outbox that does nothing until Run.
func New(o Options) *Outbox {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Client == nil {
		o.Client = &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: maxAnswer,
		}}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	client := *o.Client
	client.Timeout = tryTimeout
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Outbox{o: o, client: &client, kick: make(chan struct{}, 1)}
}

// Wake says that there are new events. It never blocks.
func (o *Outbox) Wake() {
	select {
	case o.kick <- struct{}{}:
	default:
	}
}

// Hurry makes the next try come as soon as its event is due, whatever has failed
// before: the endpoint or the clock has changed, or somebody asks.
func (o *Outbox) Hurry() {
	o.hurry.Store(true)
	o.Wake()
}

// Stats returns the counters.
func (o *Outbox) Stats() Stats {
	return Stats{o.pending.Load(), o.failed.Load(), o.delivered.Load(), o.failures.Load(), o.dropped.Load()}
}

// Run delivers until ctx ends, which ends a try under way.
func (o *Outbox) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer o.client.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.kick:
		case <-timer.C:
		}
		timer.Reset(o.pass(ctx))
	}
}

// pass tries everything that is due, and returns how long to wait for the next.
func (o *Outbox) pass(ctx context.Context) time.Duration {
	if o.hurry.Swap(false) {
		o.inRow, o.paused = 0, time.Time{}
	}
	err := o.tidy(ctx)
	var wait time.Duration
	if err == nil {
		wait, err = o.deliver(ctx)
	}
	if err == nil {
		err = o.tidy(ctx)
	}
	if err != nil && ctx.Err() == nil {
		o.o.Log.Warn("the outbox cannot be read or written", "error", err.Error())
		return longPause
	}
	return wait
}

func (o *Outbox) deliver(ctx context.Context) (wait time.Duration, err error) {
	for {
		to, now := o.o.Endpoint(), o.o.Now()
		if to.URL == "" {
			return pruneEvery, nil
		}
		if d := o.paused.Sub(now); d > 0 {
			return d, nil
		}
		row, err := o.o.Store.Due(ctx, now)
		if err != nil {
			return 0, err
		}
		if row == nil {
			break
		}
		if err := o.try(ctx, to, row); err != nil {
			return 0, err
		}
	}
	next, err := o.o.Store.Next(ctx)
	if err != nil || next.IsZero() {
		return pruneEvery, err
	}
	return min(max(next.Sub(o.o.Now()), time.Millisecond), pruneEvery), nil
}

// tidy keeps the rows within their bounds, and counts them.
func (o *Outbox) tidy(ctx context.Context) error {
	dropped, err := o.o.Store.Prune(ctx, o.o.Now().Add(-keepRows), maxRows)
	if err != nil {
		return err
	}
	if dropped > 0 {
		o.dropped.Add(dropped)
		o.o.Log.Warn("events were dropped before they were delivered", "events", dropped, "room", maxRows)
	}
	pending, failed, err := o.o.Store.Count(ctx)
	if err != nil {
		return err
	}
	o.pending.Store(pending)
	o.failed.Store(failed)
	return nil
}

// try makes one try, and writes down what came of it. It only returns errors of
// the store.
func (o *Outbox) try(ctx context.Context, to Endpoint, row *Row) error {
	failure := o.post(ctx, to, &row.Event)
	if failure != nil && ctx.Err() != nil {
		return ctx.Err() // the process goes down: it does not count
	}
	// What has been delivered must be known, even if the process goes down now.
	ctx = context.WithoutCancel(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.o.Now()
	fresh, err := o.o.Store.Get(ctx, row.Event.ID)
	if errors.Is(err, ErrNotFound) { // it fell out for want of room
		return nil
	}
	if err != nil {
		return err
	}
	asked := !fresh.Next.Equal(row.Next) // somebody wants another try, whatever came of this one
	fresh.Tries++
	if failure == nil {
		o.inRow, o.paused = 0, time.Time{}
		o.delivered.Add(1)
		fresh.State, fresh.Ended, fresh.Error = Delivered, now, ""
		return o.o.Store.Put(ctx, fresh)
	}
	o.failures.Add(1)
	o.paused = now.Add(min(firstPause<<min(o.inRow, maxDoubled), longPause))
	o.inRow++
	fresh.Error = failure.Error()
	if until := fresh.until(); asked {
		o.paused = time.Time{}
	} else if !now.Before(until) {
		fresh.State, fresh.Ended = Failed, now
	} else if fresh.Next = now.Add(o.wait(fresh.Tries)); fresh.Next.After(until) {
		fresh.Next = until
	}
	o.o.Log.Warn("a webhook was not delivered", "event", ID(fresh.Event.ID), "type", string(fresh.Event.Kind), "tries", fresh.Tries,
		"state", string(fresh.State), "next", fresh.Next.UTC().Format(time.RFC3339), "error", fresh.Error)
	return o.o.Store.Put(ctx, fresh)
}

// until is when a pending row is given up.
func (r *Row) until() time.Time {
	if !r.Until.IsZero() {
		return r.Until
	}
	return r.Event.Time.Add(keepTrying)
}

// wait is how long to wait after so many tries: doubling, and anything from half
// of that to all of it, so that receivers are not asked by everybody at once.
func (o *Outbox) wait(tries int) time.Duration {
	d := min(firstWait<<min(tries-1, maxDoubled), LongestWait)
	return d/2 + time.Duration(o.o.Random()*float64(d/2))
}

// List returns at most limit rows, the latest first, of that state (empty: any),
// below the id before (zero: from the first).
func (o *Outbox) List(ctx context.Context, state State, before [16]byte, limit int) ([]Row, error) {
	return o.o.Store.List(ctx, state, before, limit)
}

// Retry makes an event due now, for another three days, whatever its state, and
// returns it. It is ErrNotFound if there is none.
func (o *Outbox) Retry(ctx context.Context, id [16]byte) (*Row, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	row, err := o.o.Store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	now := o.o.Now()
	row.State, row.Next, row.Until, row.Ended = Pending, now, now.Add(keepTrying), time.Time{}
	if err := o.o.Store.Put(ctx, row); err != nil {
		return nil, err
	}
	o.Hurry()
	return row, nil
}
