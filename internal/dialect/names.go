package dialect

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"strings"

	"github.com/pontage/pontage/internal/llm"
)

// maxName is the longest name of a tool that every protocol takes.
const maxName = 64

// mark begins the end of a name that stands for another.
const mark = "_x"

// Legal returns a name of a tool that every protocol takes: itself if it has at most
// 64 letters, digits, _ and -, or else a substitute that is the same every time.
func Legal(name string) string {
	legal := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, name)
	if legal == name && len(name) <= maxName {
		return name
	}
	return Apart(legal, name)
}

// Apart returns a legal name that begins as name does, and is told apart from others
// by an end that depends on what it is of.
func Apart(name, of string) string {
	sum := sha256.Sum256([]byte(of))
	end := mark + hex.EncodeToString(sum[:8])
	return name[:min(len(name), maxName-len(end))] + end
}

// Rename gives every tool of a conversation its legal name.
func Rename(c *llm.Chat) {
	for i := range c.Tools {
		c.Tools[i].Name = Legal(c.Tools[i].Name)
	}
	if t := c.ToolChoice; t != nil {
		if t.Name != "" {
			t.Name = Legal(t.Name)
		}
		for i := range t.Allowed {
			t.Allowed[i] = Legal(t.Allowed[i])
		}
	}
	for _, m := range c.Messages {
		for i := range m.Parts {
			if p := &m.Parts[i]; p.Kind == llm.PartToolCall && p.ToolName != "" {
				p.ToolName = Legal(p.ToolName)
			}
		}
	}
}

// Restore undoes Rename in an event, by the names of the tools that the request
// offers. They are asked for only where a name may stand for another.
func Restore(ev llm.Event, offered func() iter.Seq[string]) {
	own := func(name *string) {
		if i := strings.LastIndex(*name, mark); i < 0 || len(*name)-i != len(mark)+16 {
			return
		}
		for n := range offered() {
			if n != *name && Legal(n) == *name {
				*name = n
				return
			}
		}
	}
	for i := range ev.Deltas {
		if d := &ev.Deltas[i]; d.Kind == llm.DeltaToolCall {
			own(&d.ToolName)
		}
	}
	if ev.Whole == nil {
		return
	}
	for _, c := range ev.Whole.Choices {
		for i := range c.Parts {
			if p := &c.Parts[i]; p.Kind == llm.PartToolCall {
				own(&p.ToolName)
			}
		}
	}
}
