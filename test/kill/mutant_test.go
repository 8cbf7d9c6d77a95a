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

// mutantKills is how many kills a mutation may survive in the campaign of money.
const mutantKills = 30

// ofKeys are the mutations of what only callers with idempotency keys, and jobs,
// ask of the ledger. The campaign of keys is to find them, the campaign of money
// all others.
var ofKeys = []ledger.Mutation{
	ledger.AnswerIgnored,  // a key is charged again, and has another answer
	ledger.AnswerStands,   // a key has an answer whose charge came too late and was taken back
	ledger.HoldsForgotten, // the requests of a job are never done
}

// inner are the mutations that take what a campaign does not bring about: a
// second process on the file, an error of a commit, a clock that moves by hours,
// or two callers in the same moment. The simulator of internal/ledger sees them.
var inner = []ledger.Mutation{
	ledger.FenceIgnored, ledger.CommitAssumed, ledger.ClaimLapses, ledger.ExpireHeld,
	ledger.RevokeLost, ledger.AnswerPurged, ledger.TurnsIgnored, ledger.VoidEarly,
}

// The harness sees every deliberate mistake of the ledger that it can bring about.
func TestEveryMutationIsFoundOut(t *testing.T) {
	if os.Getenv("PONTAGE_MUTANTS") == "" {
		t.Skip("make mutants runs this, with a binary that was built with -tags mutation")
	}
	seed := number(t, "PONTAGE_SEED", time.Now().UnixNano())
	for _, m := range ledger.Mutations() {
		if slices.Contains(inner, m) {
			continue
		}
		t.Run(string(m), func(t *testing.T) {
			c := newCampaign(t, seed, "PONTAGE_MUTATION="+string(m))
			c.mutant = true
			begun := time.Now()
			by := "money"
			if slices.Contains(ofKeys, m) {
				by = "keys"
				newKeyed(c).run()
			} else {
				c.until = func(f *findings) bool { return f.deaths() >= mutantKills }
				c.run()
			}
			if !c.f.any() {
				t.Fatalf("the mutation lived through %d kills of the campaign of %s (seed %d)", c.f.deaths(), by, seed)
			}
			var kinds []string
			for _, k := range slices.Sorted(maps.Keys(c.f.counts)) {
				kinds = append(kinds, fmt.Sprintf("%s=%d", k, c.f.counts[k]))
			}
			fmt.Printf("mutant: %s found by %s after %d kills in %v (%s): %.300s\n", m, by, c.f.deaths(), time.Since(begun).Round(100*time.Millisecond), strings.Join(kinds, " "), c.f.said[0])
		})
	}
}
