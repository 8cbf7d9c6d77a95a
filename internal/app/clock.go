package app

import (
	"sync"
	"sync/atomic"
	"time"
)

// clock is the clocks of the process, which tests may move and stop. Its zero
// value is the real time.
type clock struct {
	ahead   atomic.Int64            // of the wall clock; may be negative
	forward atomic.Int64            // of the steady clock
	still   atomic.Pointer[instant] // nil: they run

	mu sync.Mutex // for changes
}

// instant is where clocks stand that were stopped.
type instant struct{ wall, steady time.Time }

// now is the wall clock, which somebody may set back.
func (c *clock) now() time.Time {
	if at := c.still.Load(); at != nil {
		return at.wall
	}
	return time.Now().Add(time.Duration(c.ahead.Load()))
}

// steady is a clock for durations, which never goes back, as the machine's
// monotonic clock does not.
func (c *clock) steady() time.Time {
	if at := c.still.Load(); at != nil {
		return at.steady
	}
	return time.Now().Add(time.Duration(c.forward.Load()))
}

// advance moves the wall clock by d, which adds to what it was moved before. The
// steady clock moves along, but only forward.
func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.still.Load(); at != nil {
		c.still.Store(&instant{wall: at.wall.Add(d), steady: at.steady.Add(max(d, 0))})
		return
	}
	c.ahead.Add(int64(d))
	c.forward.Add(int64(max(d, 0)))
}

// stop holds the clocks where they are, or lets them run on from there.
func (c *clock) stop(stopped bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.still.Load()
	switch {
	case stopped && at == nil:
		c.still.Store(&instant{wall: c.now(), steady: c.steady()})
	case !stopped && at != nil:
		c.ahead.Store(int64(time.Until(at.wall)))
		c.forward.Store(int64(time.Until(at.steady)))
		c.still.Store(nil)
	}
}
