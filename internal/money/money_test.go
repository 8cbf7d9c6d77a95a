package money

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestParseAndFormat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want Amount
		out  string
	}{
		{"10", 10 * Dollar, "10.00"},
		{"0.000000001", 1, "0.000000001"},
		{"-3.5025", -3_502_500_000, "-3.5025"},
		{"9223372036.854775807", Max, "9223372036.854775807"},
	} {
		got, err := ParseUSD(c.in)
		if err != nil || got != c.want || got.String() != c.out {
			t.Errorf("ParseUSD(%q) = %d %q, %v; want %d %q", c.in, got, got, err, c.want, c.out)
		}
	}
	for _, bad := range []string{"", ".", "1.", ".5", "1e3", "$1", " 1", "1,5", "+1", "--1", "0.0000000001", "9223372036.854775808", "NaN", "1.2.3"} {
		if got, err := ParseUSD(bad); err == nil {
			t.Errorf("ParseUSD(%q) = %v, want an error", bad, got)
		}
	}
	if _, err := ParseRate("-1"); err == nil {
		t.Error("ParseRate(-1): want an error: a price is never negative")
	}
	if got := Amount(math.MinInt64).String(); got != "-9223372036.854775808" {
		t.Errorf("smallest amount = %s", got)
	}
}

func TestCentsAreCutNotRounded(t *testing.T) {
	t.Parallel()
	for in, want := range map[Amount]string{3_509_999_999: "3.50", 0: "0.00", -19_999_999: "-0.01", 5 * Dollar: "5.00"} {
		if got := in.Cents(); got != want {
			t.Errorf("%d.Cents() = %s, want %s", in, got, want)
		}
	}
}

// The reference is big.Int arithmetic; I8 of the ledger's invariants.
func TestCostMatchesBigArithmetic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 5).Draw(t, "lines")
		lines := make([]Line, n)
		sum := new(big.Int)
		for i := range lines {
			lines[i] = Line{Units: rapid.Int64Min(0).Draw(t, "units"), Rate: Rate(rapid.Int64Min(0).Draw(t, "rate"))}
			sum.Add(sum, new(big.Int).Mul(big.NewInt(lines[i].Units), big.NewInt(int64(lines[i].Rate))))
		}
		sum.Add(sum, big.NewInt(perRate-1)).Div(sum, big.NewInt(perRate))
		got, err := Cost(lines...)
		if !sum.IsInt64() {
			if err == nil {
				t.Fatalf("Cost(%v) = %d, want overflow", lines, got)
			}
			return
		}
		if err != nil || int64(got) != sum.Int64() {
			t.Fatalf("Cost(%v) = %d, %v; want %s", lines, got, err, sum)
		}
	})
}

// A sum that only the rounding takes past 128 bits.
func TestRoundingUpIsAnOverflowToo(t *testing.T) {
	t.Parallel()
	lines := []Line{{1 << 62, 15}, {1<<62 - 5, 1}}
	for range 4 {
		lines = append(lines, Line{math.MaxInt64, math.MaxInt64})
	}
	if got, err := Cost(lines...); !errors.Is(err, ErrOverflow) {
		t.Errorf("Cost of 2^128-1 = %d, %v; want ErrOverflow", got, err)
	}
}

func TestCostRefusesNegatives(t *testing.T) {
	t.Parallel()
	for _, l := range []Line{{-1, 1}, {1, -1}} {
		if _, err := Cost(l); err == nil {
			t.Errorf("Cost(%v): want an error", l)
		}
	}
}

func FuzzParseUSD(f *testing.F) {
	for _, s := range []string{"10", "-3.5", "0.000000001", "1e9", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseUSD(s)
		if err != nil {
			return
		}
		if b, err := ParseUSD(a.String()); err != nil || b != a {
			t.Fatalf("ParseUSD(%q) = %d, which prints %q and reads back %d, %v", s, a, a, b, err)
		}
	})
}

func TestAShareIsReadExactly(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Rate{"0%": 0, "5%": 50_000, "2.5%": 25_000, "0.0001%": 1, "100%": 1_000_000, "33.3333%": 333_333} {
		if got, err := ParsePercent(s); err != nil || got != want {
			t.Errorf("%s is %d (%v), want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "5", "%", "-1%", "100.0001%", "0.00001%", "5 %", "five%", "1e1%", "99999999999999999999%"} {
		if got, err := ParsePercent(s); err == nil {
			t.Errorf("%q is read as %d", s, got)
		}
	}
}
