package provider

import (
	"slices"

	"github.com/pontage/pontage/internal/llm"
)

// EffortOf maps a thinking budget in tokens to the effort it stands for; see
// protocols.md §3.5.
func EffortOf(budget int64) string {
	switch {
	case budget <= 2048:
		return "low"
	case budget <= 8192:
		return "medium"
	}
	return "high"
}

// Silenced is the parameter by which a caller switched thinking off.
func Silenced(r *llm.Reasoning) string {
	if r.Disabled {
		return "thinking"
	}
	return "reasoning_effort"
}

// Unfinished reports whether the conversation ends in the middle of the assistant's
// turn, with the results of tools that it called.
func Unfinished(c *llm.Chat) bool {
	n := len(c.Messages)
	return n > 0 && slices.ContainsFunc(c.Messages[n-1].Parts, func(p llm.Part) bool { return p.Kind == llm.PartToolResult })
}
