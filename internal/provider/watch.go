package provider

import (
	"context"
	"fmt"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// TimeoutError says which timer of [Timeouts] ended an attempt.
type TimeoutError struct {
	Phase string        // connect, headers, first_event, idle, idle_events, total
	After time.Duration // what the timer was set to
}

// Error names the timer and its setting.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("provider timeout: %s after %s", e.Phase, e.After)
}

// Timeout reports true, as net.Error has it.
func (e *TimeoutError) Timeout() bool { return true }

// watch holds the timers of one attempt. One runtime timer serves them all: it
// looks at the marks that the attempt leaves as it goes along, and is set again
// to the first moment at which a timer could be over. So nothing is reset per
// read.
type watch struct {
	limits Timeouts
	stream bool
	start  time.Time
	ctx    context.Context // ends the HTTP exchange; its cause may be a TimeoutError
	cancel context.CancelCauseFunc
	timer  *time.Timer

	reported   atomic.Bool // the transport tells what it does
	connecting mark        // a connection is being made
	sent       mark        // the request was written
	answered   mark        // headers have come
	content    atomic.Bool // an event with content has come
	meant      mark        // the last event that meant something
	reading    mark        // a read is waiting
}

// mark is a moment in nanoseconds since the start of the attempt, plus one;
// zero means that it has not come, or that what it began is over.
type mark struct{ atomic.Int64 }

func (w *watch) set(m *mark) { m.Store(int64(time.Since(w.start)) + 1) }

// newWatch starts the timers of an attempt within ctx.
func newWatch(ctx context.Context, limits Timeouts, stream bool) *watch {
	w := &watch{limits: limits, stream: stream, start: time.Now()}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	const never = 1 << 62
	w.timer = time.AfterFunc(never, w.check)
	if _, next := w.look(0); next > 0 {
		w.timer.Reset(next)
	}
	return w
}

// traced returns the context of the HTTP request, with hooks that leave marks.
func (w *watch) traced() context.Context {
	return httptrace.WithClientTrace(w.ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			w.reported.Store(true)
			w.set(&w.connecting)
		},
		GotConn: func(httptrace.GotConnInfo) { w.connecting.Store(0) },
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			if i.Err == nil {
				w.set(&w.sent)
			}
		},
	})
}

// check runs when the timer does.
func (w *watch) check() {
	if w.ctx.Err() != nil {
		return
	}
	over, next := w.look(time.Since(w.start))
	if over != nil {
		w.cancel(over)
		return
	}
	if next > 0 { // else all that are left are switched off
		w.timer.Reset(next)
	}
}

// look returns the timer that is over, if one is, and in how long to look
// again. A timer that has not begun cannot be over before its limit from now.
func (w *watch) look(now time.Duration) (over *TimeoutError, next time.Duration) {
	l := &w.limits
	answered, content := w.answered.Load(), w.content.Load()
	sent := max(w.sent.Load(), 1)
	events := w.stream && content && w.reading.Load() > 0
	for _, t := range [...]struct {
		phase string
		limit time.Duration
		begun int64
		still bool // it runs, or may yet
	}{
		{"connect", l.Connect, w.connecting.Load(), answered == 0},
		{"headers", l.Headers, pick(w.connecting.Load() == 0, sent), answered == 0},
		{"first_event", l.FirstEvent, answered, w.stream && !content},
		{"idle", l.Idle, w.reading.Load(), true},
		{"idle_events", l.IdleEvents, pick(events, w.meant.Load()), w.stream},
		{"total", l.Total, 1, true},
	} {
		if t.limit <= 0 || !t.still {
			continue
		}
		left := t.limit
		if t.begun > 0 {
			left = time.Duration(t.begun-1) + t.limit - now
		}
		if left <= 0 {
			return &TimeoutError{Phase: t.phase, After: t.limit}, 0
		}
		if next == 0 || left < next {
			next = left
		}
	}
	return nil, next
}

// pick returns v if ok, else 0.
func pick(ok bool, v int64) int64 {
	if ok {
		return v
	}
	return 0
}

// headers notes that the answer has begun.
func (w *watch) headers() { w.set(&w.answered) }

// enter and leave stand around a read.
func (w *watch) enter() { w.set(&w.reading) }
func (w *watch) leave() { w.reading.Store(0) }

// meaning notes an event that meant something.
func (w *watch) meaning(content bool) {
	w.set(&w.meant)
	if content {
		w.content.Store(true)
	}
}

// stop ends the attempt and its timers.
func (w *watch) stop() {
	w.cancel(context.Canceled)
	w.timer.Stop()
}
