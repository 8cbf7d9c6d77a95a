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

// hunters are the campaigns that are to find the mutations: that of keys those of
// what only callers with idempotency keys, and jobs, ask of the ledger.
var hunters = map[ledger.Mutation]string{
	ledger.HoldUnchecked:     byMoney,
	ledger.EarlyReply:        byMoney,
	ledger.EarlyRelease:      byMoney,
	ledger.LostFold:          byMoney,
	ledger.FoldBeforeReplay:  byMoney,
	ledger.DoubleApply:       byMoney,
	ledger.VoidKeeps:         byMoney,
	ledger.ReferenceIgnored:  byMoney,
	ledger.RefundUnbounded:   byMoney,
	ledger.ChargeAboveFunds:  byMoney,
	ledger.AdmissionDayMoves: byMoney,
	ledger.AnswerIgnored:     byKeys, // a key is charged again, and has another answer
	ledger.AnswerStands:      byKeys, // a key has an answer whose charge came too late and was taken back
	ledger.HoldsForgotten:    byKeys, // the requests of a job are never done
	ledger.ExtendUnchecked:   byMoney,
	ledger.WarningsForgotten: byLedger,
	ledger.EdgeIgnored:       byLedger,
	ledger.FenceIgnored:      byLedger,
	ledger.CommitAssumed:     byLedger,
	ledger.ClaimLapses:       byLedger,
	ledger.ExpireHeld:        byLedger,
	ledger.RevokeLost:        byLedger,
	ledger.AnswerPurged:      byLedger,
	ledger.TurnsIgnored:      byLedger,
	ledger.VoidEarly:         byLedger,
	ledger.StatementLost:     byLedger,
}

// The campaigns.
const (
	byMoney = "money"
	byKeys  = "keys"

	// Those that take what a campaign does not bring about: a second process on the
	// file, an error of a commit, a clock that moves by hours, two callers in the same
	// moment, somebody who listens to events. The simulator of internal/ledger, or the
	// tests beside it, see them.
	byLedger = "the ledger's own tests"
)

// A mutation that no campaign is to find would be one that nobody looks for.
func TestEveryMutationHasACampaign(t *testing.T) {
	t.Parallel()
	all := ledger.Mutations()
	for _, m := range all {
		if by := hunters[m]; by != byMoney && by != byKeys && by != byLedger {
			t.Errorf("mutation %s: no campaign is to find it: add it to hunters", m)
		}
	}
	for m := range hunters {
		if !slices.Contains(all, m) {
			t.Errorf("mutation %s is to be found, and does not exist", m)
		}
	}
}

// The harness sees every deliberate mistake of the ledger that it can bring about.
func TestEveryMutationIsFoundOut(t *testing.T) {
	if os.Getenv("PONTAGE_MUTANTS") == "" {
		t.Skip("make mutants runs this, with a binary that was built with -tags mutation")
	}
	seed := number(t, "PONTAGE_SEED", time.Now().UnixNano())
	for _, m := range ledger.Mutations() {
		if hunters[m] == byLedger {
			continue
		}
		t.Run(string(m), func(t *testing.T) {
			c := newCampaign(t, seed, "PONTAGE_MUTATION="+string(m))
			c.mutant = true
			begun := time.Now()
			by := hunters[m]
			switch by {
			case byKeys:
				newKeyed(c).run()
			case byMoney:
				c.until = func(f *findings) bool { return f.deaths() >= mutantKills }
				c.run()
			default:
				t.Fatal("no campaign is to find the mutation")
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
