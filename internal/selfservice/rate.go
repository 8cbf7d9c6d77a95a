package selfservice

import (
	"math"
	"time"

	"github.com/pontage/pontage/internal/limit"
)

// window tells how many requests a rule lets through in how many whole seconds,
// in the long run; 0, 0: as many as come. If the rule limits throughput in two
// ways it is the slower of them.
func window(r limit.Rule) (requests, seconds int64) {
	switch {
	case r.Requests > 0 && r.Per >= time.Second:
		requests, seconds = r.Requests, int64((r.Per+time.Second-1)/time.Second)
	case r.Requests > 0 && r.Per > 0:
		requests, seconds = int64(float64(r.Requests)/r.Per.Seconds()), 1
	}
	if r.RPS > 0 {
		if n, s := inSeconds(r.RPS); requests == 0 || n*seconds < requests*s {
			requests, seconds = n, s
		}
	}
	return requests, seconds
}

// inSeconds writes a rate, of [limit.MinRPS] requests a second or more, in whole
// numbers: exactly in the shortest of some usual spans that allows it, or cut in
// the longest.
func inSeconds(rate float64) (requests, seconds int64) {
	for _, seconds = range []int64{1, 10, 60, 600, 3600} {
		n := rate * float64(seconds)
		if whole := math.Round(n); whole >= 1 && math.Abs(n-whole) < 1e-9*whole {
			return int64(whole), seconds
		}
	}
	return int64(rate * float64(seconds)), seconds
}
