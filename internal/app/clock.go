package app

import (
	"sync/atomic"
	"time"
)

// clock is the clocks of the process, which tests may move. Its zero value is the
// real time.
type clock struct {
	ahead   atomic.Int64 // of the wall clock; may be negative
	forward atomic.Int64 // of the steady clock
}

// now is the wall clock, which somebody may set back.
func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// steady is a clock for durations, which never goes back, as the machine's
// monotonic clock does not.
func (c *clock) steady() time.Time { return time.Now().Add(time.Duration(c.forward.Load())) }

// advance moves the wall clock by d, which adds to what it was moved before. The
// steady clock moves along, but only forward.
func (c *clock) advance(d time.Duration) {
	c.ahead.Add(int64(d))
	c.forward.Add(int64(max(d, 0)))
}
