package openai

import (
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// ran reads a member of a usage object that says how often tools ran at the provider:
// Perplexity's searches, xAI's sources and calls, and those of Anthropic's models, as
// OpenRouter tells them.
func (n *counts) ran(key []byte, c *provider.Cursor) {
	switch string(key) {
	case "server_tool_use", "server_side_tool_usage_details":
		var t provider.ToolUse
		if t.Read(c); t.Told {
			n.calls, n.hasCalls, n.detailed = t.Calls, true, true
		}
	default: // what cannot be a number of searches says nothing
		if v, ok := c.Int(); ok && v >= 0 && v <= llm.MostCalls && !n.detailed {
			n.calls.WebSearch, n.hasCalls = max(n.calls.WebSearch, v), true
		}
	}
}

// searchesFor reports whether the answer to a call may have been searched for in the
// web, and always: whether it was in any case.
func searchesFor(c provider.Call) (may, always bool) {
	if c.Request.Task != llm.TaskChat {
		return false, false
	}
	always = llm.Searches(c.Model)
	return always || c.Request.Hosted.WebSearch > 0, always
}

// ran notes how often tools have run for the answer so far, and whether that is news.
// Where no usage says so, an answer that searches the web has searched once: OpenAI's
// search models for every one, others if they cite what they found.
func (s *scanner) ran(n *counts) (news bool) {
	switch {
	case n.hasCalls:
		s.hosted, s.told = n.calls, true
	case s.told || s.hosted.WebSearch > 0 || !s.content || !s.always && !(s.searches && s.cited):
		return false
	default:
		s.hosted.WebSearch = 1
	}
	return true
}
