package ledger

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// How much is simulated. PONTAGE_SIM_SEEDS and PONTAGE_SIM_FROM change it, and
// -sim.seed replays one seed with its trace.
const (
	simSeeds = 2400
	simSteps = 300
)

var simSeed = flag.Uint64("sim.seed", 0, "replay this seed of the simulator")

func envUint(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Whatever callers, clocks, disks and crashes do, in whatever order: what was
// acknowledged is there once, what was not is there at most once, nobody spends
// what is not there, nothing stays held, and a new process knows what the
// entries say.
func TestNoCrashAndNoOrderOfThingsBreaksTheLedger(t *testing.T) {
	if *simSeed != 0 {
		_, trace, err := simulate(t, *simSeed, simSteps, true)
		t.Logf("seed %d:\n%s", *simSeed, trace)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	seeds := uint64(simSeeds)
	if RaceEnabled {
		seeds = simSeeds / 8
	}
	seeds, from := envUint(t, "PONTAGE_SIM_SEEDS", seeds), envUint(t, "PONTAGE_SIM_FROM", 1)
	const workers = 2
	var mu sync.Mutex
	var sum simStats
	var failed atomic.Bool
	begun := time.Now()
	t.Run("seeds", func(t *testing.T) {
		for w := range uint64(workers) {
			t.Run(fmt.Sprint(w), func(t *testing.T) {
				t.Parallel()
				for seed := from + w; seed < from+seeds && !failed.Load(); seed += workers {
					stats, _, err := simulate(t, seed, simSteps, false)
					if err != nil {
						failed.Store(true)
						_, trace, _ := simulate(t, seed, simSteps, true)
						t.Errorf("seed %d: %v\nreplay with: go test ./internal/ledger -run NoCrash -sim.seed %d\n%s", seed, err, seed, trace)
					}
					mu.Lock()
					sum.add(stats)
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%d seeds, %d steps in %v: %+v", seeds, sum.steps, time.Since(begun).Round(time.Millisecond), sum)
	if sum.crashes == 0 || sum.lost == 0 || sum.full == 0 || sum.fenced == 0 || sum.acks == 0 || sum.denials == 0 || sum.replays == 0 || sum.revoked == 0 || sum.events == 0 || sum.taken == 0 || sum.days == 0 || sum.pruned == 0 {
		t.Errorf("the simulator did not get to see everything: %+v", sum)
	}
}

// A seed is one run: what it found once, it finds again.
func TestASeedIsOneRun(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		_, first, err := simulate(t, seed, simSteps, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, second, _ := simulate(t, seed, simSteps, true); second != first {
			a, b := strings.Split(first, "\n"), strings.Split(second, "\n")
			for i := range min(len(a), len(b)) {
				if a[i] != b[i] {
					t.Fatalf("seed %d ran twice and did different things, after\n%s\nfirst: %s\nthen:  %s", seed, strings.Join(a[max(0, i-30):i], "\n"), a[i], b[i])
				}
			}
		}
	}
}
