//go:build race

package ledger

// RaceEnabled says that the race detector is on, which slows everything down.
const RaceEnabled = true
