//go:build !mutation

package ledger

func mutated(Mutation) bool { return false }
