package provider

import "github.com/pontage/pontage/internal/llm"

// Dropper is a Provider that can tell which parameters of a request it leaves
// out as harmless, by their paths, for the log and for whoever wants to tell
// the caller. The request's model is the provider's own name of it. It costs as
// much as Supports does.
type Dropper interface {
	Dropped(r *llm.Request) []string
}

// Thinker is a Provider that knows of models which think only when they are asked
// to, so that all output of an answer shows where they are not. Of what it does
// not know for certain it says false.
type Thinker interface {
	ThinksOnlyWhenAsked(model string) bool
}

// Inliner is a Provider that takes some parts of a conversation only in their
// bytes. Where it is told that somebody fetches them, its Supports lets their URLs
// pass, and Open is called with a request that has the bytes in their places.
type Inliner interface {
	// Inlines returns what tells these parts; nil: all are taken as they are.
	Inlines(r *llm.Request) func(*llm.Part) bool
}
