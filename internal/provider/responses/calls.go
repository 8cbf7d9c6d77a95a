package responses

import (
	"slices"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// maxRooms bounds the containers that an answer can make us remember; those beyond are
// taken for others.
const maxRooms = 64

// ran counts an item of a tool that has run at the provider: each search, but not pages
// that are opened or looked through, and each container in which code ran. Calls that
// failed are not billed. Source: OpenAI's price list, "Built-in tools".
func (s *scanner) ran(b *body) {
	if st := string(b.status); st == "failed" || st == "incomplete" {
		return
	}
	var to *int64
	switch string(b.kind) {
	case "web_search_call", "x_search_call":
		if kind := actionOf(b.action); kind != "" && kind != "search" {
			return
		}
		to = &s.hosted.WebSearch
	case "file_search_call":
		to = &s.hosted.FileSearch
	case "code_interpreter_call":
		room := string(b.container)
		if slices.Contains(s.rooms, room) {
			return
		}
		if len(s.rooms) < maxRooms {
			s.rooms = append(s.rooms, room)
		}
		to = &s.hosted.CodeExecution
	default:
		return
	}
	*to, s.news = min(*to+1, llm.MostCalls), true
}

// actionOf returns the type of an action; "": it has none.
func actionOf(v []byte) (kind string) {
	c := provider.Walk(v)
	if c.Kind() != '{' {
		return ""
	}
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			return kind
		}
		if text, ok := c.Text(); ok && string(key) == "type" {
			kind = string(text)
		}
	}
}
