package gate

import (
	"context"
	"time"
)

// Bounds of answers that are read to their end although the caller has left,
// for keys that ask for it. An answer above either is ended as it is for any
// other key, and what it produced until then is charged.
const (
	DrainFor  = 10 * time.Minute // that one may go on
	MaxDrains = 256              // at once, in this process
)

// LateUsage is how long a provider may take to say what an answer used that has
// ended, for a caller who left between its last word and that.
const LateUsage = 2 * time.Second

// upstream returns the context of a provider's work for a caller whose context
// is ctx, and what releases it. It ends with the caller's, or a moment later if
// finishing says that only the usage is missing; for an answer that drains, when
// the bounds say so; and in any case when the process goes down.
func (g *Gate) upstream(ctx context.Context, drains bool, finishing func() bool) (context.Context, context.CancelFunc) {
	up, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		switch {
		case drains:
			g.drain(up)
		case finishing():
			g.linger(up, LateUsage)
		}
		cancel()
	})
	return up, func() {
		stop()
		cancel()
	}
}

// drain waits until up ends, or must end.
func (g *Gate) drain(up context.Context) {
	defer g.drains.Add(-1)
	if g.drains.Add(1) > MaxDrains {
		return
	}
	g.linger(up, DrainFor)
}

// linger waits until up ends, for at most d.
func (g *Gate) linger(up context.Context, d time.Duration) {
	patience := time.NewTimer(d)
	defer patience.Stop()
	select {
	case <-up.Done():
	case <-patience.C:
	case <-g.o.Base.Done():
	}
}

// lateUsage reads on after the last word of an answer, until its usage is known
// or cannot be.
func (call *Call) lateUsage() {
	if !call.finishing.Load() {
		return
	}
	enough := time.AfterFunc(LateUsage, call.cancel)
	defer enough.Stop()
	for call.finishing.Load() {
		if _, err := call.Next(); err != nil {
			return
		}
	}
}
