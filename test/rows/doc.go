// Package rows proves the documented rows of the contracts: each one is brought
// about on a running gateway, with live keys, real balances and upstreams that
// really fail, and what the caller gets is compared with what is documented.
//
// Its tests write one line of JSON per row to build/rows.jsonl, so that the
// proof can be checked from outside.
package rows
