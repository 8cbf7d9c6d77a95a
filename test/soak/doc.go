// Package soak runs the built binary for long, under traffic of every kind and
// with a provider that fails in every way, and looks whether anything piles up:
// memory, goroutines, files, the log of the database, holds. In the end the
// journal must say what the provider's own bill says, priced by the test itself.
//
// PONTAGE_SOAK is how long the traffic goes on (make soak SOAK=30m).
package soak
