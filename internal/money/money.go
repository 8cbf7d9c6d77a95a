// Package money holds the one exact money type of the house.
//
// An [Amount] is an int64 count of nano-US-dollars (10⁻⁹ USD) and never passes
// through a float. A [Rate] prices one million units. [Cost] is the only place
// where prices and quantities meet, and it rounds once, up, per call.
package money

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// Amount is an exact sum of money in nano-US-dollars. The zero value is nothing.
// Its range is about ±9.2 billion dollars.
type Amount int64

// Units of an Amount.
const (
	Nano   Amount = 1
	Cent   Amount = 10_000_000
	Dollar Amount = 1_000_000_000
)

// Max is the largest Amount.
const Max Amount = math.MaxInt64

// Rate is a price in nano-US-dollars per one million units: $0.075 per million
// tokens is Rate(75_000_000). A Rate is never negative.
type Rate int64

// perRate is how many units a Rate prices.
const perRate = 1_000_000

// ErrOverflow reports a sum that does not fit an Amount.
var ErrOverflow = errors.New("amount out of range")

// Line is a quantity at a rate. A negative quantity or rate is refused by [Cost].
type Line struct {
	Units int64
	Rate  Rate
}

// Cost prices all lines together and rounds the total up to a whole
// nano-dollar, once. It returns [ErrOverflow] when the total does not fit, and
// an error for a negative quantity or rate. It is monotone: more units or a
// higher rate never cost less.
func Cost(lines ...Line) (Amount, error) {
	var hi, lo uint64
	for _, l := range lines {
		if l.Units < 0 || l.Rate < 0 {
			return 0, fmt.Errorf("cost of %d units at rate %d: negative", l.Units, l.Rate)
		}
		h, m := bits.Mul64(uint64(l.Units), uint64(l.Rate))
		var carry uint64
		lo, carry = bits.Add64(lo, m, 0)
		hi, carry = bits.Add64(hi, h, carry)
		if carry != 0 {
			return 0, ErrOverflow
		}
	}
	lo, carry := bits.Add64(lo, perRate-1, 0)
	hi, carry = bits.Add64(hi, 0, carry)
	if carry != 0 || hi >= perRate {
		return 0, ErrOverflow
	}
	q, _ := bits.Div64(hi, lo, perRate)
	if q > math.MaxInt64 {
		return 0, ErrOverflow
	}
	return Amount(q), nil
}

// Add returns a+b, or [ErrOverflow].
func (a Amount) Add(b Amount) (Amount, error) {
	s := a + b
	if (b > 0 && s < a) || (b < 0 && s > a) {
		return 0, ErrOverflow
	}
	return s, nil
}

// String formats a as a decimal number of dollars with at least two and at most
// nine decimals and no currency sign: "10.00", "0.000000001", "-3.5025".
func (a Amount) String() string {
	u := uint64(a)
	neg := a < 0
	if neg {
		u = -u
	}
	frac := fmt.Sprintf("%09d", u%uint64(Dollar))
	for len(frac) > 2 && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	s := fmt.Sprintf("%d.%s", u/uint64(Dollar), frac)
	if neg {
		return "-" + s
	}
	return s
}

// Cents formats a in dollars with exactly two decimals, cut and not rounded:
// $3.509 reads "3.50", so that nobody is shown money that is not there.
func (a Amount) Cents() string {
	u := uint64(a)
	sign := ""
	if a < 0 {
		u, sign = -u, "-"
	}
	return fmt.Sprintf("%s%d.%02d", sign, u/uint64(Dollar), u%uint64(Dollar)/uint64(Cent))
}

// MarshalText and UnmarshalText make an Amount a decimal string in JSON and YAML.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what [ParseUSD] reads.
func (a *Amount) UnmarshalText(b []byte) error {
	v, err := ParseUSD(string(b))
	if err != nil {
		return err
	}
	*a = v
	return nil
}

// ParseUSD reads a decimal number of dollars such as "10", "0.25" or "-3.5".
// It takes at most nine decimals, and no exponent, sign of currency or space.
func ParseUSD(s string) (Amount, error) {
	n, err := parseNano(s)
	if err != nil {
		return 0, fmt.Errorf("amount %q: %w", clip(s), err)
	}
	return Amount(n), nil
}

// ParseRate reads a price in dollars per one million units, such as "0.075".
// It refuses a negative price.
func ParseRate(s string) (Rate, error) {
	n, err := parseNano(s)
	if err == nil && n < 0 {
		err = errors.New("must not be negative")
	}
	if err != nil {
		return 0, fmt.Errorf("price %q: %w", clip(s), err)
	}
	return Rate(n), nil
}

// ParsePercent reads a share from "0%" to "100%", with at most four decimals, as the
// Rate that takes that share of what it is applied to: "5%" is Rate(50_000).
func ParsePercent(s string) (Rate, error) {
	digits, ok := strings.CutSuffix(s, "%")
	n, err := parseNano(digits)
	const perPercent = int64(Dollar) / (perRate / 100)
	if !ok || err != nil || n < 0 || n > 100*int64(Dollar) || n%perPercent != 0 {
		return 0, fmt.Errorf("share %q: must be from 0%% to 100%%, with at most four decimals", clip(s))
	}
	return Rate(n / perPercent), nil
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

func parseNano(s string) (int64, error) {
	digits, neg := strings.CutPrefix(s, "-")
	whole, frac, dot := strings.Cut(digits, ".")
	if whole == "" || (dot && frac == "") {
		return 0, errors.New("not a decimal number")
	}
	if len(frac) > 9 {
		return 0, errors.New("more than nine decimals")
	}
	var n uint64
	for _, c := range []byte(whole + frac + "000000000"[len(frac):]) {
		if c < '0' || c > '9' {
			return 0, errors.New("not a decimal number")
		}
		if n > (math.MaxInt64-uint64(c-'0'))/10 {
			return 0, ErrOverflow
		}
		n = n*10 + uint64(c-'0')
	}
	if neg {
		return -int64(n), nil
	}
	return int64(n), nil
}
