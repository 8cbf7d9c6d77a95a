package app

import (
	"sync/atomic"
	"time"
)

// clock is the wall clock of the process, which tests may move. Its zero
// value is the real time.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// advance moves the clock by d, which adds to what was advanced before.
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }
