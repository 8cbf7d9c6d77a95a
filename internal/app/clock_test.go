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
		back := time.Duration(0)
		is := func(want time.Duration) {
			t.Helper()
			if got, steady := c.now().Sub(began), c.steady().Sub(began); got != want || steady != want+back {
				t.Fatalf("%v have passed, and %v without going back, want %v and %v", got, steady, want, want+back)
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
		c.advance(-time.Minute)
		back = time.Minute
		is(59*time.Minute + 2*time.Second + time.Millisecond)
		c.stop(true)
		c.advance(-time.Minute)
		back = 2 * time.Minute
		is(58*time.Minute + 2*time.Second + time.Millisecond)
		c.stop(false)
		time.Sleep(time.Second)
		is(58*time.Minute + 3*time.Second + time.Millisecond)
	})
}
