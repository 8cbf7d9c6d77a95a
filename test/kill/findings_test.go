package kill

import (
	"fmt"
	"sync"
)

// crime is a kind of finding.
type crime string

const (
	lost      crime = "lost"      // an answer that came to its end has no charge, or an acknowledged credit is gone
	double    crime = "double"    // charged, or credited, twice
	overspend crime = "overspend" // more was spent, or given back, than there was
	held      crime = "held"      // something is held by nobody
	wrong     crime = "wrong"     // an amount, a day, a row, a receipt is not what it must be
	trouble   crime = "trouble"   // the process ended by itself, did not come back, or did not verify
)

// maxSaid is how many findings are told in words.
const maxSaid = 20

// findings is what was found, and what was seen on the way.
type findings struct {
	mu     sync.Mutex
	counts map[crime]int // guarded by mu, as is said, while others add
	said   []string

	kills, crashes, ends         int            // kill -9 from outside; at points; ended otherwise
	ways                         map[string]int // kills and crashes, by where the process died
	acks, refusals, gone         int            // of requests: to their end; refused or failed; left by their client
	cut                          int            // off by a kill
	undelivered, mostUndelivered int            // charged among them, in all and in one kill
	entries, absorbed, receipts  int
	credits, refunds             int            // acknowledged
	surfaces                     map[string]int // acks, by surface
	bill                         bill
}

// Ways to end that are no points.
const (
	byKill    = "kill -9"
	bySIGTERM = "SIGTERM"
)

// died notes how the process was killed, by us or by itself.
func (f *findings) died(way string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ways == nil {
		f.ways = map[string]int{}
	}
	f.ways[way]++
	if way == byKill {
		f.kills++
	} else {
		f.crashes++
	}
}

// deaths is how often the process was killed, by us or by itself.
func (f *findings) deaths() int { return f.kills + f.crashes }

func (f *findings) add(c crime, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = map[crime]int{}
	}
	f.counts[c]++
	if len(f.said) < maxSaid {
		f.said = append(f.said, string(c)+": "+fmt.Sprintf(format, args...))
	}
}

func (f *findings) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.said) > 0
}
