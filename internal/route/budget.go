package route

import (
	"math"
	"time"
)

// Bounds of the load that trying again adds to a target: a share of the requests
// of the last ten seconds, and a few in any case. Without them a target that is
// slow to answer gets, from everybody who tries again, three times the load that
// made it slow.
const (
	budgetWindow = 10 // seconds
	budgetLeast  = 10 // so many in the window whatever the share
)

// budget counts tries by the second.
type budget struct{ seconds [budgetWindow]tries }

type tries struct {
	at           int64 // the second
	first, again int
}

// now returns the counters of the present second.
func (b *budget) now(now time.Time) *tries {
	s := now.Unix()
	c := &b.seconds[uint64(s)%budgetWindow]
	if c.at != s {
		*c = tries{at: s}
	}
	return c
}

// left reports whether a target may be tried once more.
func (b *budget) left(now time.Time, percent int) bool {
	first, again := 0, 0
	for i := range b.seconds {
		if c := &b.seconds[i]; now.Unix()-c.at < budgetWindow {
			first += c.first
			again += c.again
		}
	}
	return again < max(budgetLeast, first*percent/100)
}

// The time to first content is remembered as a mean in which a sample counts for
// less the more of them there are and the older it is.
const (
	latencyMemory = 10 * time.Second // after which a sample counts for a third
	latencyShare  = 0.1              // that the newest sample counts for at least
	latencyHalves = time.Minute      // in which a mean without a new sample counts for half
)

// ewma is a mean of durations that forgets.
type ewma struct {
	mean float64 // nanoseconds; 0: nothing is known
	at   time.Time
}

func (m *ewma) add(d time.Duration, now time.Time) {
	share := max(latencyShare, 1-math.Exp(-float64(now.Sub(m.at))/float64(latencyMemory)))
	if m.mean == 0 {
		share = 1
	}
	m.mean += share * (float64(d) - m.mean)
	m.at = now
}

// value is the mean as it counts now: half of it for every minute in which nothing
// was measured, so that nobody is passed over for ever.
func (m *ewma) value(now time.Time) float64 {
	return m.mean * math.Exp2(-max(float64(now.Sub(m.at)), 0)/float64(latencyHalves))
}
