//go:build !race

package money

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"testing"
)

// A million prices against big.Int: the rounding is up, by less than a
// nano-dollar, once, and nothing overflows unseen.
func TestAMillionCostsMatchBigArithmetic(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(8, 1))
	sum, x, y := new(big.Int), new(big.Int), new(big.Int)
	overflows := 0
	for n := range 1_000_000 {
		lines := make([]Line, rnd.IntN(6))
		sum.SetInt64(0)
		for i := range lines {
			lines[i] = Line{Units: int64(rnd.Uint64() >> (1 + rnd.IntN(63))), Rate: Rate(rnd.Uint64() >> (1 + rnd.IntN(63)))}
			sum.Add(sum, x.Mul(x.SetInt64(lines[i].Units), y.SetInt64(int64(lines[i].Rate))))
		}
		sum.Add(sum, x.SetInt64(perRate-1)).Div(sum, x.SetInt64(perRate))
		got, err := Cost(lines...)
		if !sum.IsInt64() {
			overflows++
			if !errors.Is(err, ErrOverflow) {
				t.Fatalf("case %d: Cost(%v) = %d, %v; want ErrOverflow", n, lines, got, err)
			}
			continue
		}
		if err != nil || int64(got) != sum.Int64() {
			t.Fatalf("case %d: Cost(%v) = %d, %v; want %s", n, lines, got, err, sum)
		}
	}
	if overflows < 1000 {
		t.Errorf("only %d of the cases overflow", overflows)
	}
}
