// Package scale looks at what grows with the journal: it makes one of as many
// entries as PONTAGE_SCALE_ENTRIES says (20,000 if it says nothing), and lets
// the built binary work on it.
package scale
