package bedrock

import (
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/provider"
)

// traits are what is known of a model that requests depend on. Bedrock takes what
// is special to a company's models in a place of its own.
type traits struct {
	claude string // the model's name at Anthropic; empty: it is somebody else's
	caches bool   // takes marks in the prompt
	open   bool   // it is not known which model it is, so that nothing is refused for its sake
	urls   bool   // what is named by a URL will be there in bytes when the request is sent
}

// targets returns the traits of the model that is called. A resource of the
// operator's own has a name that says nothing; there the caller's counts.
func targets(c provider.Call) traits {
	t := of(c.Model)
	if t.claude == "" && strings.HasPrefix(c.Model, "arn:") && !t.caches {
		t = of(c.Request.Model)
	}
	t.open = false
	return t
}

// callers returns the traits of a model of which only the caller's name is known.
func callers(model string) traits {
	t := of(model)
	t.open = t.claude == ""
	return t
}

// answered returns the traits of a model that has answered, by its name here.
func answered(model string) traits {
	t := of(model)
	t.open = t.claude == "" && strings.HasPrefix(model, "arn:")
	return t
}

func of(model string) traits {
	if at := strings.LastIndex(model, "claude"); at >= 0 {
		return traits{claude: strings.ReplaceAll(model[at:], ".", "-"), caches: true}
	}
	return traits{caches: strings.Contains(model, "amazon.nova")}
}

// budgetModels begin the names of the models that think within a budget and
// know no effort; see protocols.md §3.5. The list is closed.
var budgetModels = []string{
	"claude-3-7-", "claude-opus-4-2", "claude-sonnet-4-2", "claude-opus-4-1-", "claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5",
}

// tuned reports whether the model takes a top_k: those of Claude that came before
// 4.7 do.
func (t traits) tuned() bool {
	return t.budget() || strings.HasPrefix(t.claude, "claude-3-") || strings.HasPrefix(t.claude, "claude-opus-4-6") || strings.HasPrefix(t.claude, "claude-sonnet-4-6")
}

// quietModels begin the names of the others that do not think unless they are
// asked to.
var quietModels = []string{"claude-3-", "claude-opus-4-6", "claude-sonnet-4-6", "claude-opus-4-7"}

// budget reports whether the model thinks within a budget.
func (t traits) budget() bool { return begins(t.claude, budgetModels) }

// quiet reports whether the model does not think unless it is asked to.
func (t traits) quiet() bool { return t.budget() || begins(t.claude, quietModels) }

// ThinksOnlyWhenAsked reports whether the model thinks for nobody who does not ask
// for it; see provider.Thinker.
func (p *Provider) ThinksOnlyWhenAsked(model string) bool {
	return of(model).quiet()
}

func begins(name string, with []string) bool {
	return slices.ContainsFunc(with, func(p string) bool { return strings.HasPrefix(name, p) })
}

// betas are the flags of Anthropic that Bedrock is documented to take, and that
// need no member of the request which Converse does not have.
var betas = []string{
	"computer-use-2025-01-24", "token-efficient-tools-2025-02-19", "interleaved-thinking-2025-05-14",
	"output-128k-2025-02-19", "dev-full-thinking-2025-05-14", "context-1m-2025-08-07", "fine-grained-tool-streaming-2025-05-14",
}
