package selfservice

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/ledger"
)

// maxOffset is how many rows can stand before a page.
const maxOffset = 10_000

// query reads the parameters of a request, each of which must be known and stand
// once, and collects what is wrong with them.
type query struct {
	values map[string][]string
	taken  []string
	found  []fault.Detail
}

// text returns a parameter, and whether it is there.
func (q *query) text(name string) (string, bool) {
	q.taken = append(q.taken, name)
	v := q.values[name]
	if len(v) > 1 {
		q.bad(name, "Must be given once")
	}
	if len(v) == 0 {
		return "", false
	}
	return v[0], true
}

func (q *query) bad(name, message string) { q.add(name, fault.InvalidParameter, message) }

// add records what is wrong with a parameter, the first thing only.
func (q *query) add(name string, code fault.Code, message string) {
	if !slices.ContainsFunc(q.found, func(d fault.Detail) bool { return d.Field == name }) {
		q.found = append(q.found, fault.Detail{Field: name, Code: code, Message: message})
	}
}

// number reads a whole number in decimal digits, from low to high.
func (q *query) number(name string, low, high, absent int) int {
	s, ok := q.text(name)
	if !ok {
		return absent
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || int(n) < low || int(n) > high {
		q.bad(name, "Must be a whole number from "+strconv.Itoa(low)+" to "+strconv.Itoa(high))
		return absent
	}
	return int(n)
}

// page reads limit, at most most, and offset.
func (q *query) page(most int) (limit, offset int) {
	const usual = 50
	return q.number("limit", 1, most, usual), q.number("offset", 0, maxOffset, 0)
}

// Spans of a usage report, in days.
const (
	usualSpan = 30
	maxSpan   = 366
)

// span reads from and to, days of UTC that both belong to the span.
func (q *query) span(today ledger.Day) (from, to ledger.Day) {
	from, hasFrom := q.day("from")
	to, hasTo := q.day("to")
	switch {
	case !hasFrom && !hasTo:
		return today - usualSpan + 1, today
	case !hasTo:
		q.add("to", fault.MissingParameter, "Required with from")
	case !hasFrom:
		q.add("from", fault.MissingParameter, "Required with to")
	case len(q.found) > 0: // one of them is no day
	case to > today:
		q.bad("to", "Must not be in the future")
	case from > to:
		q.bad("from", "Must not be after to")
	case to-from >= maxSpan:
		q.bad("from", "Must be at most "+strconv.Itoa(maxSpan)+" days before the end of to")
	}
	return from, to
}

// day reads a day of UTC from 1970 on. The zero time, in year 1, would be no
// bound at all to the ledger.
func (q *query) day(name string) (ledger.Day, bool) {
	s, ok := q.text(name)
	if !ok {
		return 0, false
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 1970 {
		q.bad(name, "Must be a day as YYYY-MM-DD, from 1970-01-01 on")
		return 0, true
	}
	return ledger.DayOf(t), true
}

// err returns one fault of everything that is wrong: parameters that were read,
// in the order of reading, and then by name those that nobody read.
func (q *query) err() error {
	var unknown []string
	for name := range q.values {
		if !slices.Contains(q.taken, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown[:min(len(unknown), fields.MaxProblems)] {
		q.bad(shown(name), "Is not known here")
	}
	if len(q.found) == 0 {
		return nil
	}
	return fault.Fields(q.found)
}

// shown cuts the name of an unknown parameter to what can be told back.
func shown(name string) string {
	const most = 100
	return strings.ToValidUTF8(name[:min(len(name), most)], "\uFFFD")
}
