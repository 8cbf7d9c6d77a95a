// Package jsonx reads JSON the way the gateway needs it: one strict pass over
// the bytes gives the places of all values, and everything else (typed reading,
// checking, splicing, a later full decode) works on those places and leaves the
// bytes as they are.
//
// Strict means: valid UTF-8, no object with two members of one name, nesting of
// at most [MaxDepth], at most [MaxValues] values, nothing after the document.
package jsonx

import (
	"fmt"
)

// MaxDepth is the deepest nesting of arrays and objects that is accepted.
const MaxDepth = 128

// MaxValues is the largest number of values, names included, in one document.
// It bounds what a hostile body of many tiny values can make us allocate
// (16 bytes each), and is far above what real requests hold.
const MaxValues = 1 << 20

// SyntaxError says why a document was refused, and where.
type SyntaxError struct {
	Offset int    // in bytes from the start of the document
	Reason string // a short phrase that may be shown to a caller
}

// Error returns the reason and the place.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset) }
