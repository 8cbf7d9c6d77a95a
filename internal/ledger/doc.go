// Package ledger decides who may spend what, and makes every charge durable
// before anybody is told of it.
//
// Everything that is bounded is a bucket in memory: the balance of an account
// (live and test apart), the dollars and the requests of a key in one UTC day,
// the requests of a plan's class in one UTC day. [Engine.Hold] takes from all
// buckets of a request or from none, without input or output. [Hold.Settle]
// appends one immutable [Entry] to the journal, waits for the group commit, and
// only then turns the hold into a charge. Balances, counters and usage reports
// are folds of the entries and can be recomputed ([Verify]).
//
// [Engine.Claim] keeps the answer of a charge by the caller's idempotency key,
// and [Engine.HoldDurably] takes holds that survive the process, for jobs.
//
// Money is int64 nano-dollars throughout ([money.Amount]). The package does no
// SQL: a [Journal] stores what it decides. See docs/ledger.md for the invariants.
package ledger
