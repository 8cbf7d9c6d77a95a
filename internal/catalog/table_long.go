package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/money"
)

// readLong reads what longer prompts cost, and the factors of tiers of service.
//
// A step is its threshold and its prices of input, output, cached input, cache write
// and cache write for an hour, of which those at the end may be left out:
// "200000:2.5/15/0.25". Steps are joined by +, and so are factors:
// "flex=0.5+priority=2".
func (e *PriceEntry) readLong(steps, tiers string) error {
	if steps != "" {
		for text := range strings.SplitSeq(steps, "+") {
			step, err := parseStep(text)
			if err != nil {
				return fmt.Errorf("%s: %q: %w", columns[firstLong], text, err)
			}
			e.Long = append(e.Long, step)
		}
	}
	if tiers == "" {
		return nil
	}
	for text := range strings.SplitSeq(tiers, "+") {
		name, value, _ := strings.Cut(text, "=")
		to := map[string]**Factor{"flex": &e.Flex, "priority": &e.Priority, "fast": &e.Fast, "regional": &e.Regional}[name]
		r, err := money.ParseRate(value) // a number with nine decimals
		switch f := Factor(r / 1000); {
		case to == nil || *to != nil:
			return fmt.Errorf("%s: %q is none of flex, priority, fast, regional, each once", columns[firstLong+1], name)
		case err != nil || r%1000 != 0:
			return fmt.Errorf("%s: %q is not a number with at most six decimals", columns[firstLong+1], value)
		default:
			*to = &f
		}
	}
	return nil
}

func parseStep(text string) (s LongEntry, err error) {
	above, rates, _ := strings.Cut(text, ":")
	if s.Above, err = strconv.ParseInt(above, 10, 64); err != nil {
		return s, fmt.Errorf("%q is not a number of tokens", above)
	}
	r := &s.Rates
	to := []**money.Rate{&r.Input, &r.Output, &r.CachedInput, &r.CacheWrite, &r.CacheWrite1h}
	cells := slices.Collect(strings.SplitSeq(rates, "/"))
	if len(cells) > len(to) {
		return s, fmt.Errorf("has more than %d prices", len(to))
	}
	for i, c := range cells {
		if c == "" {
			continue
		}
		rate, err := money.ParseRate(c)
		if err != nil {
			return s, err
		}
		*to[i] = &rate
	}
	return s, nil
}
