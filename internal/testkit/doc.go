// Package testkit holds what several packages' tests share: the recorded
// traffic of real providers, and an HTTP upstream that does as it is told. Only
// tests import it.
//
// Recordings live outside the repository. The environment variable
// PONTAGE_SHARED names their folder; unset, it is the first folder "shared"
// found next to one of the folders above the test's own. Where there is none a
// test is skipped, or fails if PONTAGE_REQUIRE_SHARED is 1.
package testkit
