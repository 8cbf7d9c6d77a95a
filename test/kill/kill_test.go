package kill

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
)

// fewKills is how many there are when nobody says.
const fewKills = 6

// number reads an environment variable.
func number(t testing.TB, name string, absent int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return absent
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number", name, text)
	}
	return n
}

func newCampaign(t testing.TB, seed int64, env ...string) *campaign {
	return &campaign{t: t, env: env, rng: rand.New(rand.NewPCG(uint64(seed), 0)), f: &findings{}}
}

// deaths is how often the process was killed, by us or by itself.
func (f *findings) deaths() int { return f.kills + f.crashes }

// Whatever moment the process is killed at, every answer that came to its end is
// charged once and exactly, nobody spends more than they have, and nothing stays
// held.
func TestNoMoneyIsLostOrMadeWhenTheProcessIsKilled(t *testing.T) {
	kills := int(number(t, "PONTAGE_KILLS", fewKills))
	seed := number(t, "PONTAGE_SEED", time.Now().UnixNano())
	c := newCampaign(t, seed)
	c.until = func(f *findings) bool { return f.deaths() >= kills }
	begun := time.Now()
	c.run()
	median, most := c.readiness()
	f := c.f
	summary := fmt.Sprintf("kills=%d (outside=%d points=%d) other_ends=%d acknowledged=%d entries=%d refused=%d left=%d cut_off=%d credits=%d refunds=%d absorbed=%d receipts_read=%d "+
		"lost=%d double=%d overspend=%d held=%d wrong=%d trouble=%d undelivered=%d (most in one kill: %d) ready_median=%v ready_max=%v took=%v seed=%d",
		f.deaths(), f.kills, f.crashes, f.ends, f.acks, f.entries, f.refusals, f.gone, f.cut, f.credits, f.refunds, f.absorbed, f.receipts,
		f.counts[lost], f.counts[double], f.counts[overspend], f.counts[held], f.counts[wrong], f.counts[trouble], f.undelivered, f.mostUndelivered,
		median.Round(time.Millisecond), most.Round(time.Millisecond), time.Since(begun).Round(time.Second), seed)
	fmt.Println("kill:", summary)
	for _, said := range f.said {
		t.Error(said)
	}
	if f.acks < kills*20 || f.credits == 0 || f.refusals == 0 {
		t.Errorf("too little was going on to prove anything: %s", summary)
	}
	if median > 2*time.Second {
		t.Errorf("it takes %v until the process is ready again, want 2 s at most", median)
	}
}

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
			c.until = func(f *findings) bool { return f.deaths() >= mutantKills }
			begun := time.Now()
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
