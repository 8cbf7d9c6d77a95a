// Package fields checks the members of a request body and collects everything
// that is wrong with them, so that a caller learns it at once.
//
// All checks take a value as it stands in the body. A value that is absent or
// null passes every check, and yields ok == false: whether it may be missing is
// asked separately, with [Problems.Require].
package fields

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
)

// MaxProblems bounds how many bad fields one answer lists; what is wrong beyond
// is not looked at.
const MaxProblems = 64

// Problems collects bad fields. The zero value is ready for use.
type Problems struct {
	found   []problem
	schemas int // size of the schemas that had to be checked
}

type problem struct {
	detail fault.Detail
	at     int // place in the body, to sort by; missing top-level members come first
}

// Parse parses a body that must be a JSON object. Its error is a *fault.Error
// with [fault.InvalidJSON] that says where.
func Parse(body []byte) (*jsonx.Doc, error) {
	doc, err := jsonx.Parse(body)
	if err == nil && doc.Root().Kind() != jsonx.Object {
		err = &jsonx.SyntaxError{Offset: doc.Root().Offset(), Reason: "not an object"}
	}
	if err == nil {
		return doc, nil
	}
	var se *jsonx.SyntaxError
	if !errors.As(err, &se) {
		return nil, fault.Wrap(fault.InvalidJSON, err)
	}
	return nil, fault.New(fault.InvalidJSON, "The request body is not a valid JSON object: %s at byte %d.", se.Reason, se.Offset)
}

// Err returns one *fault.Error of all problems in the order of the request, or
// nil if there are none.
func (p *Problems) Err() error {
	if len(p.found) == 0 {
		return nil
	}
	sort.SliceStable(p.found, func(i, j int) bool { return p.found[i].at < p.found[j].at })
	details := make([]fault.Detail, len(p.found))
	for i, f := range p.found {
		details[i] = f.detail
	}
	return fault.Fields(details)
}

// Full reports whether no more problems are listed; checking can stop.
func (p *Problems) Full() bool { return len(p.found) >= MaxProblems }

// Add records that v is bad.
func (p *Problems) Add(v jsonx.Value, code fault.Code, message string) {
	p.AddBelow(v, "", code, message)
}

// AddBelow records that what stands at path below v is bad.
func (p *Problems) AddBelow(v jsonx.Value, path string, code fault.Code, message string) {
	if p.Full() {
		return
	}
	field := v.Path()
	if field != "" && path != "" {
		field += "."
	}
	p.found = append(p.found, problem{
		detail: fault.Detail{Field: field + path, Code: code, Message: message},
		at:     v.Offset(),
	})
}

// Invalid records that v has a value that is not allowed.
func (p *Problems) Invalid(v jsonx.Value, message string) { p.Add(v, fault.InvalidParameter, message) }

// Type records that v is of the wrong kind; want is as in "a string".
func (p *Problems) Type(v jsonx.Value, want string) { p.Add(v, fault.InvalidType, "Must be "+want) }

// Require returns the named member of the object, and records it as missing if
// it is absent or null.
func (p *Problems) Require(object jsonx.Value, name string) (jsonx.Value, bool) {
	v := object.Get(name)
	if !v.Exists() {
		p.Missing(object, name)
		return v, false
	}
	return v, true
}

// Missing records that the named member of the object is required and not there.
func (p *Problems) Missing(object jsonx.Value, name string) {
	p.AddBelow(object, name, fault.MissingParameter, "Required")
}

// is records a wrong kind and reports whether v is there and of kind k.
func (p *Problems) is(v jsonx.Value, k jsonx.Kind, want string) bool {
	if !v.Exists() {
		return false
	}
	if v.Kind() != k {
		p.Type(v, want)
		return false
	}
	return true
}

// String checks that v is a string.
func (p *Problems) String(v jsonx.Value) bool { return p.is(v, jsonx.String, "a string") }

// Text checks that v is a string of at least one and at most max characters.
func (p *Problems) Text(v jsonx.Value, max int) bool {
	if !p.String(v) {
		return false
	}
	inner := v.Inner()
	if len(inner) == 0 {
		p.Invalid(v, "Must not be empty")
		return false
	}
	return p.short(v, max)
}

// Short checks that v is a string of at most max characters.
func (p *Problems) Short(v jsonx.Value, max int) bool { return p.String(v) && p.short(v, max) }

func (p *Problems) short(v jsonx.Value, max int) bool {
	if len(v.Inner()) > max && utf8.RuneCountInString(v.Text()) > max {
		p.Invalid(v, fmt.Sprintf("Must have at most %d characters", max))
		return false
	}
	return true
}

// Name checks that v is a name of letters, digits, underscores and dashes, of at
// most max characters.
func (p *Problems) Name(v jsonx.Value, max int) bool {
	if !p.Text(v, max) {
		return false
	}
	inner := v.Inner()
	if bytes.IndexByte(inner, '\\') >= 0 {
		inner = []byte(v.Text())
	}
	for _, c := range inner {
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			continue
		}
		p.Invalid(v, "Must consist of letters, digits, underscores and dashes")
		return false
	}
	return true
}

// SchemaName checks that object, which holds a JSON Schema, has a member name in
// the sense of [Problems.Name]. What is wrong with it is a problem with
// [fault.InvalidJSONSchema].
func (p *Problems) SchemaName(object jsonx.Value, max int) {
	before := len(p.found)
	if v, ok := p.Require(object, "name"); ok {
		p.Name(v, max)
	}
	for i := range p.found[before:] {
		p.found[before+i].detail.Code = fault.InvalidJSONSchema
	}
}

// OneOf checks that v is one of the given strings.
func (p *Problems) OneOf(v jsonx.Value, values ...string) bool {
	if !p.String(v) {
		return false
	}
	for _, s := range values {
		if v.Is(s) {
			return true
		}
	}
	p.Invalid(v, "Must be one of "+join(values))
	return false
}

// join lists words as a sentence does.
func join(values []string) string {
	var out string
	for i, s := range values {
		switch {
		case i > 0 && i == len(values)-1:
			out += " or "
		case i > 0:
			out += ", "
		}
		out += s
	}
	return out
}

// Bool checks that v is true or false, and returns it.
func (p *Problems) Bool(v jsonx.Value) (b, ok bool) {
	if !v.Exists() {
		return false, false
	}
	if b, ok = v.Bool(); !ok {
		p.Type(v, "true or false")
	}
	return b, ok
}

// Number checks that v is a number from low to high, and returns it.
func (p *Problems) Number(v jsonx.Value, low, high float64) (f float64, ok bool) {
	if !p.is(v, jsonx.Number, "a number") {
		return 0, false
	}
	f, ok = v.Float()
	if !ok || f < low || f > high {
		p.Invalid(v, "Must be between "+decimal(low)+" and "+decimal(high))
		return 0, false
	}
	return f, true
}

// AtLeast checks that v is a number not below low.
func (p *Problems) AtLeast(v jsonx.Value, low float64) bool {
	if !p.is(v, jsonx.Number, "a number") {
		return false
	}
	f, ok := v.Float()
	switch {
	case !ok:
		p.Invalid(v, "Is too large")
	case f < low:
		p.Invalid(v, "Must be at least "+decimal(low))
	default:
		return true
	}
	return false
}

// Above checks that v is a number above low, and at most high.
func (p *Problems) Above(v jsonx.Value, low, high float64) bool {
	if !p.is(v, jsonx.Number, "a number") {
		return false
	}
	if f, ok := v.Float(); !ok || f <= low || f > high {
		p.Invalid(v, "Must be above "+decimal(low)+" and at most "+decimal(high))
		return false
	}
	return true
}

// decimal writes a number as people do, without an exponent.
func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// Integer checks that v is a whole number from low to high, and returns it.
func (p *Problems) Integer(v jsonx.Value, low, high int64) (n int64, ok bool) {
	if !p.is(v, jsonx.Number, "a whole number") {
		return 0, false
	}
	n, ok = v.Int()
	if f, isFloat := v.Float(); !ok && isFloat && f > -1<<53 && f < 1<<53 {
		p.Type(v, "a whole number")
		return 0, false
	}
	if ok && n >= low && n <= high {
		return n, true
	}
	const unbounded = 1 << 40 // a bound this high is one in name only
	message := "Must be between " + strconv.FormatInt(low, 10) + " and " + strconv.FormatInt(high, 10)
	if high >= unbounded && low > -unbounded {
		message = "Must be at least " + strconv.FormatInt(low, 10)
		if n > low || !ok && v.Raw()[0] != '-' {
			message = "Is too large"
		}
	}
	p.Invalid(v, message)
	return 0, false
}

// Object checks that v is an object.
func (p *Problems) Object(v jsonx.Value) bool { return p.is(v, jsonx.Object, "an object") }

// Array checks that v is an array of low to high elements.
func (p *Problems) Array(v jsonx.Value, low, high int) bool {
	if !p.is(v, jsonx.Array, "an array") {
		return false
	}
	return p.length(v, low, high)
}

func (p *Problems) length(v jsonx.Value, low, high int) bool {
	n := v.Len()
	switch {
	case n >= low && n <= high:
		return true
	case n < low && low == 1:
		p.Invalid(v, "Must not be empty")
	case n < low:
		p.Invalid(v, fmt.Sprintf("Must have at least %d elements", low))
	default:
		p.Invalid(v, fmt.Sprintf("Must have at most %d elements", high))
	}
	return false
}

// Strings checks that v is an array of low to high strings.
func (p *Problems) Strings(v jsonx.Value, low, high int) bool {
	if !p.Array(v, low, high) {
		return false
	}
	ok := true
	for _, e := range v.Items() {
		if p.Full() {
			return false
		}
		if e.Kind() != jsonx.String {
			p.Type(e, "a string")
			ok = false
		}
	}
	return ok
}

// Pairs checks that v is an object of at most max strings, with names of at most
// maxName characters and values of at most maxValue.
func (p *Problems) Pairs(v jsonx.Value, max, maxName, maxValue int) bool {
	if !p.Object(v) {
		return false
	}
	if v.Len() > max {
		p.Invalid(v, fmt.Sprintf("Must have at most %d members", max))
		return false
	}
	ok := true
	for name, e := range v.Members() {
		if utf8.RuneCount(name) > maxName {
			p.Invalid(e, fmt.Sprintf("Must have a name of at most %d characters", maxName))
			ok = false
		} else if e.Kind() != jsonx.String {
			p.Type(e, "a string")
			ok = false
		} else if !p.short(e, maxValue) {
			ok = false
		}
	}
	return ok
}
