package openai

import (
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// ran reads a member of a usage object that says how often tools ran at the provider:
// Perplexity's searches, xAI's sources and calls, and those of Anthropic's models, as
// OpenRouter tells them.
func (n *counts) ran(key []byte, c *provider.Cursor) {
	if c.Kind() != '{' {
		n.call(&n.calls.WebSearch, c)
		return
	}
	if string(key) != "server_tool_use" && string(key) != "server_side_tool_usage_details" {
		c.Skip()
		return
	}
	var t provider.ToolUse
	t.Read(c)
	n.calls, n.hasCalls = t.Calls, t.Told || n.hasCalls
}

// call takes the number of calls; what cannot be one says nothing.
func (n *counts) call(dst *int64, c *provider.Cursor) {
	v, ok := c.Int()
	if ok && v >= 0 && v <= llm.MostCalls {
		*dst, n.hasCalls = max(*dst, v), true
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
