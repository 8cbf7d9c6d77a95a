package anthropic

import (
	"bytes"
	"strings"

	"github.com/pontage/pontage/internal/provider"
)

// ran counts what a block says of a tool that ran at the provider: a search by its
// result, since one that failed is not billed, and code once an answer.
func (s *scanner) ran(b content) {
	kind := string(b.kind)
	if !strings.HasSuffix(kind, "_tool_result") {
		return
	}
	switch {
	case kind == "web_search_tool_result":
		if c := provider.Walk(b.result); c.Kind() != '[' {
			return
		}
		s.calls.WebSearch++
	case strings.Contains(kind, "code_execution"):
		if bytes.Contains(b.result, []byte("_tool_result_error")) || s.calls.CodeExecution > 0 {
			return
		}
		s.calls.CodeExecution = 1
	default:
		return
	}
	s.news = true
}

// told takes the number of searches from a report of usage, but for that with which an
// answer begins: what it counts is still to come.
func (s *scanner) told() {
	if s.reported && s.kind != messageStart && s.counts.tools.Told {
		s.calls.WebSearch, s.news = s.counts.tools.WebSearch, true
	}
}
