// Package contracts holds the contracts that come with the program, as files.
// They are read by internal/contract; docs/contracts.md describes their format.
package contracts

import "embed"

// Files holds one NAME.yaml for each contract.
//
//go:embed *.yaml
var Files embed.FS
