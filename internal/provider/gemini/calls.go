package gemini

import (
	"bytes"
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/provider"
)

// maxQueries bounds the searches that an answer can make us remember.
const maxQueries = 256

// flat reports whether Google bills the searches of a model as one for each answer that
// rests on some: up to Gemini 2.5. Those of later ones are billed each.
// Source: ai.google.dev/gemini-api/docs/google-search, "Pricing".
func flat(version string) bool {
	_, version, _ = strings.Cut(version, "gemini-")
	return len(version) > 0 && (version[0] == '1' || version[0] == '2')
}

// ran counts code that ran, once an answer.
func (s *scanner) ran(kind []byte) {
	if string(kind) == "codeExecutionResult" && s.calls.CodeExecution == 0 {
		s.calls.CodeExecution, s.news = 1, true
	}
}

// grounded counts the searches that an answer rests on: queries that differ and are not
// empty, or one where there are only their results. Events tell them again.
func (s *scanner) grounded(v []byte) {
	c := provider.Walk(v)
	if c.Kind() != '{' {
		return
	}
	before, web, files := s.calls, false, false
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "webSearchQueries":
			s.searched(&c)
		case "groundingChunks":
			list := c.Value()
			web = web || bytes.Contains(list, []byte(`"web"`)) || bytes.Contains(list, []byte(`"maps"`))
			files = files || bytes.Contains(list, []byte(`"retrievedContext"`))
		default:
			c.Skip()
		}
	}
	n := int64(len(s.queries))
	if n == 0 && web {
		n = 1
	}
	if s.flat {
		n = min(n, 1)
	}
	s.calls.WebSearch = max(s.calls.WebSearch, n)
	if files {
		s.calls.FileSearch = 1
	}
	if s.calls != before {
		s.news = true
	}
}

// searched reads a list of queries.
func (s *scanner) searched(c *provider.Cursor) {
	if !c.Enter('[') {
		return
	}
	for c.More() {
		text, ok := c.Text()
		if ok && len(bytes.TrimSpace(text)) > 0 && len(s.queries) < maxQueries && !slices.Contains(s.queries, string(text)) {
			s.queries = append(s.queries, string(text))
		}
	}
}
