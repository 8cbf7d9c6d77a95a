//go:build mutation

package ledger

import (
	"strings"
	"testing"
)

// How many seeds the simulator may need for a mutation.
const mutantSeeds = 1000

// The simulator sees every mistake of the list within a thousand seeds, and none
// where there is none. Each is found by another rule of the model, or by the
// process that ends itself.
func TestTheSimulatorSeesEveryMutation(t *testing.T) {
	t.Setenv("PONTAGE_MUTATION", "none")
	for seed := uint64(1); seed <= 50; seed++ {
		if _, _, err := simulate(t, seed, simSteps, false); err != nil {
			t.Fatalf("without a mutation, seed %d: %v", seed, err)
		}
	}
	for _, m := range Mutations() {
		t.Setenv("PONTAGE_MUTATION", string(m))
		found := false
		steps := 0
		for seed := uint64(1); seed <= mutantSeeds && !found; seed++ {
			stats, _, err := simulate(t, seed, simSteps, false)
			steps += stats.steps
			if err != nil {
				found = true
				what, _, _ := strings.Cut(err.Error(), "\n")
				t.Logf("%-19s seed %3d, after %6d steps: %.140s", m, seed, steps, what)
			}
		}
		if !found {
			t.Errorf("%s: not seen in %d seeds", m, mutantSeeds)
		}
	}
}
