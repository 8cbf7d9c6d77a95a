package gemini

import (
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// tools writes the functions that the model may call, and which it must. Schemas
// go out as they are: the protocol takes JSON Schema beside its own.
func (e *encoder) tools() {
	c := e.chat
	if len(c.Tools) == 0 {
		if t := c.ToolChoice; t != nil && (t.Mode == llm.ToolRequired || t.Mode == llm.ToolNamed) {
			e.Refuse(fault.ToolChoiceUnsupported, "tool_choice", "tool_choice asks for a tool, but there are none.")
		}
		return
	}
	e.Name("tools")
	e.Open('[')
	e.Element()
	e.Open('{')
	e.Name("functionDeclarations")
	e.Open('[')
	for i := range c.Tools {
		// Among all of them some can be named only where one must be called.
		if forced := c.ToolChoice != nil && c.ToolChoice.Mode == llm.ToolRequired; forced || c.Offers(c.Tools[i].Name) {
			e.Element()
			e.tool(&c.Tools[i], "tools."+num(i))
		}
	}
	e.Close(']')
	e.Close('}')
	e.Close(']')
	e.choice()
}

// tool writes one function.
func (e *encoder) tool(t *llm.Tool, path string) {
	if !legalName(t.Name) {
		e.Refuse(fault.UnsupportedParameter, path, "This model takes names of tools that begin with a letter or _ and have at most %d characters of a-z A-Z 0-9 _ . : -", maxToolName)
	}
	e.Open('{')
	e.Text("name", t.Name)
	if t.Description != "" {
		e.Text("description", t.Description)
	}
	if len(t.Schema) > 0 {
		e.Raw("parametersJsonSchema", t.Schema)
	}
	e.Close('}')
	if t.Strict != nil && *t.Strict {
		e.Drop(path + ".strict") // the caller checks what it gets anyhow
	}
	e.mark(t.Cache, path)
}

// maxToolName is the longest name of a function.
const maxToolName = 128

func legalName(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		case i > 0 && (c >= '0' && c <= '9' || c == '.' || c == ':' || c == '-'):
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxToolName
}

// choice writes which functions may be called. The protocol has no word against
// several calls at once.
func (e *encoder) choice() {
	t := e.chat.ToolChoice
	if p := e.chat.ParallelTools; p != nil && !*p && (t == nil || t.Mode != llm.ToolNone) {
		e.OneCall(e.call, e.chat)
	}
	if t == nil {
		return
	}
	e.Name("toolConfig")
	e.Open('{')
	e.Name("functionCallingConfig")
	e.Open('{')
	switch t.Mode {
	case llm.ToolRequired:
		e.Text("mode", "ANY")
		e.only(t.Allowed)
	case llm.ToolNamed:
		e.Text("mode", "ANY")
		e.only([]string{t.Name})
	case llm.ToolNone:
		e.Text("mode", "NONE")
	default:
		e.Text("mode", "AUTO")
	}
	e.Close('}')
	e.Close('}')
}

// only writes which functions may be called, if that is not any.
func (e *encoder) only(names []string) {
	if names == nil {
		return
	}
	e.Name("allowedFunctionNames")
	e.Open('[')
	for _, n := range names {
		e.Element()
		e.String(n)
	}
	e.Close(']')
}

// mark drops a cache mark: the provider caches what it finds worth it by itself.
func (e *encoder) mark(m *llm.CacheMark, path string) {
	if m != nil {
		e.Drop(path + ".cache_control")
	}
}
