package bedrock

import (
	"strconv"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// budgets are what efforts stand for; see protocols.md §3.5.
var budgets = map[string]int64{
	"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 1 << 40,
}

// minBudget is the least that a model can be given to think.
const minBudget = 1024

// asked returns how the caller asks to think, if it does.
func (e *encoder) asked() *llm.Reasoning {
	r := e.chat.Reasoning
	if r == nil || r.Disabled || r.Effort == "none" || r.Effort == "" && r.Budget == 0 && !r.Adaptive {
		return nil
	}
	return r
}

// halted reports whether thinking must stop for this request: a turn of tools
// goes on of which the thoughts are not there any more, and models with a budget
// refuse to think on without them.
func (e *encoder) halted() bool {
	return !e.mused && e.traits.budget() && provider.Unfinished(e.chat)
}

// thinking returns the member of that name, which Anthropic's models know.
func (e *encoder) thinking() string {
	r := e.asked()
	if r == nil {
		if q := e.chat.Reasoning; q != nil && (q.Disabled || q.Effort == "none") {
			return e.off()
		}
		return ""
	}
	switch {
	case e.traits.open:
		return ""
	case e.traits.claude == "":
		if r.Effort == "" {
			e.Unsupported("thinking")
		}
		return ""
	case e.halted():
		e.Drop(e.call.Named("reasoning_effort", "thinking"))
		return e.off()
	}
	e.thinkingRules()
	if e.traits.budget() {
		return `{"type":"enabled","budget_tokens":` + strconv.FormatInt(e.budget(r), 10) + `}`
	}
	if r.Budget > 0 {
		e.Drop("thinking.budget_tokens")
	}
	if r.Display != "" {
		return `{"type":"adaptive","display":` + string(jsonx.AppendString(nil, r.Display)) + `}`
	}
	return `{"type":"adaptive"}`
}

// off returns the member that keeps a model from thinking, if it needs to be told.
func (e *encoder) off() string {
	if e.traits.claude == "" || e.traits.quiet() {
		return ""
	}
	return `{"type":"disabled"}`
}

// effort returns how hard to think in words, for models that know them.
func (e *encoder) effort() string {
	r := e.asked()
	switch {
	case r == nil && e.traits.claude == "" && !e.traits.open && e.chat.Reasoning != nil && e.chat.Reasoning.Effort == "none":
		return "none"
	case r == nil || e.traits.budget():
		return ""
	case r.Budget > 0:
		return provider.EffortOf(r.Budget)
	case r.Effort == "minimal" && e.traits.claude != "":
		return "low"
	}
	return r.Effort
}

// thinkingRules refuses what does not go with thinking.
func (e *encoder) thinkingRules() {
	c := e.chat
	if c.Temperature != nil && *c.Temperature != 1 {
		e.Refuse(fault.UnsupportedParameter, "temperature", "A temperature other than 1 does not go with reasoning for this model.")
	}
	if c.TopK != nil && !provider.UsualTopK(e.call.Request, *c.TopK) {
		e.Refuse(fault.UnsupportedParameter, "top_k", "top_k does not go with reasoning for this model.")
	}
	if t := c.ToolChoice; t != nil && (t.Mode == llm.ToolRequired || t.Mode == llm.ToolNamed) {
		e.Refuse(fault.ToolChoiceUnsupported, "tool_choice", "A forced tool_choice does not go with reasoning for this model.")
	}
}

// unknownLimit is the limit of output that is counted with where nobody knows one.
const unknownLimit = 4096

// budget returns how many tokens the model may think, which leaves room for the
// answer. The caller's own limit is never raised for it.
func (e *encoder) budget(r *llm.Reasoning) int64 {
	budget := r.Budget
	if budget == 0 {
		budget = budgets[r.Effort]
	}
	if budget == 0 { // adaptive, which these models are not
		budget = budgets["medium"]
	}
	budget = max(budget, minBudget)
	limit := e.limit
	if limit == 0 {
		limit = e.call.MaxOutput
	}
	if limit == 0 {
		limit = unknownLimit
	}
	room := max(limit-minBudget, min(minBudget, limit-1))
	if room < minBudget {
		e.Refuse(fault.UnsupportedParameter, e.call.Named("reasoning_effort", "thinking"), "Reasoning needs a limit of more than %d output tokens for this model.", minBudget)
		return budget
	}
	if budget > room {
		if budget != budgets["max"] {
			e.Drop(e.call.Named("reasoning_effort", "thinking.budget_tokens"))
		}
		budget = room
	}
	return budget
}
