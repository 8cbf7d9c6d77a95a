//go:build !race

package catalog

import (
	"math/bits"
	"math/rand/v2"
	"testing"
)

type seededDraws struct {
	*testing.T
	rnd *rand.Rand
}

// between prefers the ends, and is as often small as large.
func (d seededDraws) between(low, high int64, _ string) int64 {
	span := uint64(high - low)
	switch d.rnd.IntN(8) {
	case 0:
		return low
	case 1:
		return high
	case 2, 3, 4:
		return low + int64(d.rnd.Uint64N(span+1))
	}
	size := d.rnd.IntN(bits.Len64(span) + 1)
	return low + int64(min(span, d.rnd.Uint64N(uint64(1)<<size)))
}

func (d seededDraws) either(string) bool { return d.rnd.IntN(2) == 0 }

// Invariant I8, a million times.
func TestAMillionUsagesWithinTheirCapsAreCovered(t *testing.T) {
	t.Parallel()
	d := seededDraws{t, rand.New(rand.NewPCG(8, 2))}
	admitted := 0
	for tries := 0; admitted < 1_000_000; tries++ {
		if covered(d) {
			admitted++
		}
		if tries > 4_000_000 {
			t.Fatalf("only %d of %d requests were admitted", admitted, tries)
		}
	}
}
