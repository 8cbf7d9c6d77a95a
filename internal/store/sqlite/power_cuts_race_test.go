//go:build linux && race

package sqlite

// powerCuts is how often the power goes in one recorded run: less often with the
// race detector, which is about other things.
const powerCuts = 12
