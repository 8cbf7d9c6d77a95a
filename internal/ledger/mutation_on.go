//go:build mutation

package ledger

import "os"

func mutated(m Mutation) bool { return os.Getenv("PONTAGE_MUTATION") == string(m) }
