package provider

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWhereNoTimerIsLeftNobodyLooksAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const off = -1
		w := newWatch(t.Context(), Timeouts{Connect: off, Headers: time.Second, FirstEvent: off, Idle: off, IdleEvents: off, Total: off}, true)
		defer w.stop()
		w.headers()
		w.timer.Stop()
		w.check() // the timer of headers, which are there
		if w.timer.Stop() {
			t.Error("the timer is set again, to run at once and without end")
		}
		if w.ctx.Err() != nil {
			t.Error("the attempt was ended")
		}
	})
}
