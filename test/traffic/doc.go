// Package traffic replays recorded traffic of real providers through the built
// binary: its tests are the upstream on one side and the caller on the other.
//
// What they expect of an answer is read from the recording by code of their
// own, and priced by arithmetic of their own, so that a mistake in the product
// does not repeat itself here. The recordings lie outside the repository; see
// internal/testkit.
package traffic
