// Package endings proves on the built binary what every way costs in which an
// answer can end: for each dialect that callers speak, each family of providers,
// streamed and whole, to the nano-dollar. The provider is scripted, so that what
// it used is known; the table is that of docs/ledger.md.
package endings
