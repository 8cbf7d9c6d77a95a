//go:build race

package account

// raceDetector is on: it makes sync.Pool forget at random, and so allocate.
const raceDetector = true
