package app

import (
	"sync"
	"sync/atomic"
	"time"
)

// clock is the wall clock of the process, which tests may put forward and stop.
// It never goes back. Its zero value is the real time.
type clock struct {
	ahead atomic.Int64
	still atomic.Pointer[time.Time] // nil: it runs

	mu sync.Mutex // for changes
}

func (c *clock) now() time.Time {
	if at := c.still.Load(); at != nil {
		return *at
	}
	return time.Now().Add(time.Duration(c.ahead.Load()))
}

// advance puts the clock forward by d, which adds to what was advanced before.
func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.still.Load(); at != nil {
		later := at.Add(d)
		c.still.Store(&later)
		return
	}
	c.ahead.Add(int64(d))
}

// stop holds the clock where it is, or lets it run on from there.
func (c *clock) stop(stopped bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.still.Load()
	switch {
	case stopped && at == nil:
		now := c.now()
		c.still.Store(&now)
	case !stopped && at != nil:
		c.ahead.Store(int64(time.Until(*at)))
		c.still.Store(nil)
	}
}
