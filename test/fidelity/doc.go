// Package fidelity proves that translation loses nothing. Every recorded
// interaction with a provider is replayed behind the built binary, and asked
// for in its own dialect and in every other one that callers may speak.
//
// What a recording says is read here by readers of their own, one for each
// dialect, and so are the answers that callers get and the requests that
// reached the provider. A recorded request is put into another dialect by a
// converter that lives here, too: nothing of the product is used to judge it.
//
// What schemas and vendors allow and no recording shows is in testdata/variants,
// as recordings that were made up, and in testdata/requests, which go to providers
// of every protocol as they are; outcomes.tsv says what becomes of those that do
// not simply arrive.
//
// A dialect or a provider is one entry of the tables in table_test.go. The
// outcome of each recording in each dialect is a line of build/fidelity.jsonl:
// passed, refused by a rule that testdata/refusals.tsv counts, or failed.
package fidelity
