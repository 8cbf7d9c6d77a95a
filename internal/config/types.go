package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// Secret is a credential. It prints as a placeholder wherever it is printed;
// only Reveal gives it away.
type Secret string

const redacted = "[redacted]"

// String returns a placeholder, or nothing for no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString returns what String does.
func (s Secret) GoString() string { return s.String() }

// LogValue returns what String does.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns what String does.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the credential itself.
func (s Secret) Reveal() string { return string(s) }

// Size is a number of bytes.
type Size int64

// sizeUnits are the units of Size, the largest first. B, with which all of them
// end, is the last.
var sizeUnits = [...]struct {
	name string
	n    int64
}{{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1}}

// ParseSize reads a whole number with a unit: "32MiB", "500kB", "100B".
func ParseSize(s string) (Size, error) {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
		if err != nil || n > uint64(math.MaxInt64/u.n) {
			break
		}
		return Size(int64(n) * u.n), nil
	}
	return 0, errors.New("must be a whole number with a unit, like 32MiB (B, kB, MB, GB, KiB, MiB, GiB)")
}

// String returns s in the largest unit that needs no fraction.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if n := int64(s); n != 0 && n%u.n == 0 {
			return fmt.Sprintf("%d%s", n/u.n, u.name)
		}
	}
	return "0B"
}

// Percent is a share, in parts of a million.
type Percent money.Rate

// String returns the share as it is written: 5%.
func (p Percent) String() string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%04d", p/10_000, p%10_000), "0"), ".") + "%"
}

// Factor is what a price is multiplied by, in parts of a million.
type Factor int64

// String returns the factor as it is written: 1.7.
func (f Factor) String() string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%06d", f/1_000_000, f%1_000_000), "0"), ".")
}

// Timeout is a duration that can be switched off. Zero: the default. Negative:
// off.
type Timeout time.Duration

// String returns the duration, "off", or nothing for the default.
func (t Timeout) String() string {
	switch {
	case t < 0:
		return "off"
	case t == 0:
		return ""
	}
	return duration(time.Duration(t))
}

// duration formats d without parts that are zero: "1m", not "1m0s".
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// wellFormed matches a duration of whatever length.
var wellFormed = regexp.MustCompile(`^\+?(\d+(\.\d*)?(ns|us|µs|μs|ms|s|m|h))+$`)

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil && wellFormed.MatchString(s):
		return 0, errors.New("is too long: no duration is longer than 2562047h")
	case err != nil:
		return 0, errors.New("must be a duration with a unit, like 60s or 1m30s")
	case d < 0:
		return 0, errors.New("must not be negative")
	}
	return d, nil
}
