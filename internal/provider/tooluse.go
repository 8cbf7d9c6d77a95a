package provider

import "github.com/pontage/pontage/internal/llm"

// ToolUse is what a usage object says of the tools that ran at the provider: Anthropic's
// server_tool_use and xAI's server_side_tool_usage_details.
type ToolUse struct {
	llm.Calls
	Told bool // some number was there that can be one
}

// Read reads the object, or skips what stands in its place. Fetching pages costs
// nothing but tokens. Source: platform.claude.com, "Web search tool"; docs.x.ai, "Tools".
func (t *ToolUse) Read(c *Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		var to *int64
		switch string(key) {
		case "web_search_requests", "web_search_calls", "x_search_calls":
			to = &t.WebSearch
		case "file_search_calls", "document_search_calls":
			to = &t.FileSearch
		case "code_interpreter_calls":
			to = &t.CodeExecution
		default:
			c.Skip()
			continue
		}
		if v, ok := c.Int(); ok && v >= 0 && *to+v <= llm.MostCalls {
			*to, t.Told = *to+v, true
		}
	}
}
