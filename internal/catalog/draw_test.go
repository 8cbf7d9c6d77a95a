package catalog

import (
	"pgregory.net/rapid"
)

// draws is where a property has its values from: rapid, which shrinks what
// fails, or a seed, which is fast.
type draws interface {
	Fatalf(format string, args ...any)
	between(low, high int64, name string) int64 // both included
	either(name string) bool
}

type rapidDraws struct{ *rapid.T }

func (d rapidDraws) between(low, high int64, name string) int64 {
	return rapid.Int64Range(low, high).Draw(d.T, name)
}

func (d rapidDraws) either(name string) bool { return rapid.Bool().Draw(d.T, name) }
