package app

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTheTestClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c clock
		began := time.Now()
		is := func(want time.Duration) {
			t.Helper()
			if got := c.now().Sub(began); got != want {
				t.Fatalf("%v have passed, want %v", got, want)
			}
		}
		time.Sleep(time.Second)
		is(time.Second)
		c.advance(time.Hour)
		is(time.Hour + time.Second)
		c.stop(true)
		c.stop(true)
		time.Sleep(time.Minute)
		is(time.Hour + time.Second)
		c.advance(time.Millisecond)
		is(time.Hour + time.Second + time.Millisecond)
		c.stop(false)
		c.stop(false)
		is(time.Hour + time.Second + time.Millisecond)
		time.Sleep(time.Second)
		is(time.Hour + 2*time.Second + time.Millisecond)
	})
}
