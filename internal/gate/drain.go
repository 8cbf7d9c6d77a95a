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

// upstream returns the context of a provider's work for a caller whose context
// is ctx, and what releases it. Unless the answer drains it ends with the
// caller's; else when the bounds say so, and in any case when the process goes
// down.
func (g *Gate) upstream(ctx context.Context, drains bool) (context.Context, context.CancelFunc) {
	if !drains {
		return context.WithCancel(ctx)
	}
	up, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		g.drain(up)
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
	patience := time.NewTimer(DrainFor)
	defer patience.Stop()
	select {
	case <-up.Done():
	case <-patience.C:
	case <-g.o.Base.Done():
	}
}
