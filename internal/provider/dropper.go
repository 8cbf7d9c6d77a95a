package provider

import "github.com/pontage/pontage/internal/llm"

// Dropper is a Provider that can tell which parameters of a request it leaves
// out as harmless, by their paths, for the log and for whoever wants to tell
// the caller. It costs as much as Supports does.
type Dropper interface {
	Dropped(r *llm.Request) []string
}
