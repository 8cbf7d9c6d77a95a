package kill

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
)

// mutantKills is how many kills a mutation may survive.
const mutantKills = 30

// The harness sees every deliberate mistake that the ledger can make.
func TestEveryMutationIsFoundOut(t *testing.T) {
	if os.Getenv("PONTAGE_MUTANTS") == "" {
		t.Skip("make mutants runs this, with a binary that was built with -tags mutation")
	}
	seed := number(t, "PONTAGE_SEED", time.Now().UnixNano())
	for _, m := range ledger.Mutations() {
		t.Run(string(m), func(t *testing.T) {
			c := newCampaign(t, seed, "PONTAGE_MUTATION="+string(m))
			c.mutant = true
			begun := time.Now()
			c.until = func(f *findings) bool { return f.deaths() >= mutantKills }
			c.run()
			if !c.f.any() {
				t.Fatalf("the mutation lived through %d kills (seed %d)", c.f.deaths(), seed)
			}
			var kinds []string
			for _, k := range slices.Sorted(maps.Keys(c.f.counts)) {
				kinds = append(kinds, fmt.Sprintf("%s=%d", k, c.f.counts[k]))
			}
			fmt.Printf("mutant: %s found after %d kills in %v (%s): %.300s\n", m, c.f.deaths(), time.Since(begun).Round(100*time.Millisecond), strings.Join(kinds, " "), c.f.said[0])
		})
	}
}
