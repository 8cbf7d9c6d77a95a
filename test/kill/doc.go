// Package kill counts the money of a gateway that is killed again and again.
//
// Its tests drive the built binary over HTTP with dozens of requests in flight,
// against an upstream of their own whose answers use what the test knows, so
// that the exact price of every request is known. They kill the process at any
// moment and at every point where it could matter, start it again on the same
// data, and prove from outside that nothing was lost, charged twice, overspent
// or left held. What the ledger holds they read with SQL of their own, and add
// up by themselves.
//
// There are two campaigns. That of money has requests of every kind, credits,
// refunds and limits. That of keys has callers who ask with idempotency keys, and
// for jobs, until they have their answer.
//
// PONTAGE_KILLS says how many kills there are, PONTAGE_SEED repeats a run's
// choices (not its timing), and PONTAGE_MUTANTS=1 runs the harness against a
// binary that was built with -tags mutation, once for every mutation, and fails
// if one of them is not found out.
package kill
