package contract

import (
	"strconv"

	"github.com/pontage/pontage/internal/money"
)

// decimals is how many decimals an amount of money is shown with. The zero value
// is [exact].
type decimals uint8

// exact shows at least two decimals, and as many as there are.
const exact decimals = 0

// fixed shows n decimals, 0 to 9.
func fixed(n int) decimals { return decimals(n + 1) }

// dollars returns an amount in one of its aspects.
func dollars(a money.Amount, f field) value {
	if f.places == exact || f.as == asNumber {
		return value{s: a.String(), there: true, raw: f.as == asNumber}
	}
	return value{s: decimal(a, int(f.places)-1, f.roundsUp()), there: true}
}

// decimal writes an amount in dollars with n decimals, 0 to 9. What is behind
// them is cut, or brings the amount up to the next one above it.
func decimal(a money.Amount, n int, up bool) string {
	unit := uint64(1) // nano-dollars of the last decimal
	for range 9 - n {
		unit *= 10
	}
	nano, sign := uint64(a), ""
	if a < 0 {
		nano, sign = -nano, "-"
	}
	units := nano / unit
	if up && a > 0 && nano%unit > 0 {
		units++
	}
	if units == 0 {
		sign = ""
	}
	whole := uint64(money.Dollar) / unit // units of a dollar
	s := sign + strconv.FormatUint(units/whole, 10)
	if n == 0 {
		return s
	}
	frac := strconv.FormatUint(whole+units%whole, 10) // the first digit keeps the zeros
	return s + "." + frac[1:]
}
