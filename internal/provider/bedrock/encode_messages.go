package bedrock

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

func num(i int) string { return strconv.Itoa(i) }

func place(path string, i int) string { return path + ".content." + num(i) }

// system writes the leading system messages, as blocks of their own so that
// their cache marks keep their places.
func (e *encoder) system() {
	n := 0
	for i := range e.chat.System {
		p := &e.chat.System[i]
		if p.Kind != llm.PartText {
			e.Unsupported(place("messages.0", i))
			continue
		}
		if provider.Blank(p) {
			e.Omit(place("messages.0", i), p)
			continue
		}
		if n++; n == 1 {
			e.Name("system")
			e.Open('[')
		}
		e.Element()
		e.Open('{')
		e.Text("text", p.Text)
		e.Close('}')
		e.mark(p.Cache, place("messages.0", i))
	}
	if n > 0 {
		e.Close(']')
	}
}

// documents refuses a document that stands alone: the protocol wants words beside
// it.
func (e *encoder) documents(turns []provider.Turn) {
	for _, t := range turns {
		has := func(kind llm.PartKind) int {
			return slices.IndexFunc(t.Parts, func(p llm.Part) bool { return p.Kind == kind })
		}
		if at := has(llm.PartFile); at >= 0 && has(llm.PartText) < 0 {
			e.Refuse(fault.UnsupportedParameter, t.Paths[at], "This model takes a document only beside a text.")
		}
	}
}

// turns joins neighbours of one role, and leaves out what is empty. A system
// message in the middle keeps its place as words of the user.
func (e *encoder) turns() []provider.Turn {
	var out []provider.Turn
	for i, m := range e.chat.Messages {
		path := "messages." + num(i)
		t := provider.Turn{Role: "user"}
		if m.Role == llm.RoleAssistant {
			t.Role, e.mused = "assistant", false
		}
		for j, p := range m.Parts {
			if !e.keeps(place(path, j), &p) {
				continue
			}
			if m.Role == llm.RoleSystem && p.Kind == llm.PartText {
				p.Text = "<system>\n" + p.Text + "\n</system>"
				e.Drop(path + ".role")
			}
			t.Parts = append(t.Parts, p)
			t.Paths = append(t.Paths, place(path, j))
		}
		out = e.Join(out, t, path)
	}
	return out
}

// keeps reports whether a part goes out, and takes the seal off a thought of this
// provider's own. Thoughts of others are no part of what was said.
func (e *encoder) keeps(path string, p *llm.Part) bool {
	switch p.Kind {
	case llm.PartText, llm.PartRefusal:
		if provider.Blank(p) {
			e.Omit(path, p)
			return false
		}
		return true
	case llm.PartReasoning, llm.PartRedacted:
		issuer, state, ok := llm.Unseal(p.Signature)
		if !ok {
			issuer, state, ok = llm.Unseal(p.Data)
		}
		if ok && issuer == e.issuer {
			p.Kind, p.Signature, p.Data = unpack(state)
			e.mused = true
			return true
		}
		switch {
		case p.Signature == "" && p.Data == "":
			e.Drop(path)
		case !slices.Contains(e.Dropped, reasoningState):
			e.Drop(reasoningState)
		}
		return false
	}
	return true
}

// The kinds of state that a seal can hold, before the state itself.
const (
	signature = "s"
	redacted  = "r"
)

// unpack returns what a seal of this provider held.
func unpack(state string) (kind llm.PartKind, sign, data string) {
	if blob, ok := strings.CutPrefix(state, redacted); ok {
		return llm.PartRedacted, "", blob
	}
	return llm.PartReasoning, strings.TrimPrefix(state, signature), ""
}

// part writes one block, and its cache mark.
func (e *encoder) part(path string, p *llm.Part) {
	if len(p.Citations) > 0 {
		e.Drop(path + ".citations")
	}
	e.Element()
	e.Open('{')
	switch p.Kind {
	case llm.PartText, llm.PartRefusal:
		e.Text("text", p.Text)
	case llm.PartImage, llm.PartFile, llm.PartAudio, llm.PartVideo:
		e.medium(path, p)
	case llm.PartToolCall:
		e.toolUse(path, p)
	case llm.PartToolResult:
		e.result(path, p)
	case llm.PartReasoning:
		e.Name("reasoningContent")
		e.Open('{')
		e.Name("reasoningText")
		e.Open('{')
		e.Text("text", p.Text)
		e.Text("signature", p.Signature)
		e.Close('}')
		e.Close('}')
	case llm.PartRedacted:
		e.Name("reasoningContent")
		e.Open('{')
		e.Text("redactedContent", p.Data)
		e.Close('}')
	default:
		e.Refuse(fault.InputModalityUnsupported, path, "This model does not take that kind of input.")
	}
	e.Close('}')
	if p.Kind != llm.PartReasoning && p.Kind != llm.PartRedacted {
		e.mark(p.Cache, path)
	}
}

// toolUse writes a tool call.
func (e *encoder) toolUse(path string, p *llm.Part) {
	e.Name("toolUse")
	e.Open('{')
	e.Text("toolUseId", provider.ToolID(p.ToolID))
	e.Text("name", p.ToolName)
	e.Input("input", p.Args, path)
	e.Close('}')
}

// result writes the result of a tool, with what it showed.
func (e *encoder) result(path string, p *llm.Part) {
	e.Name("toolResult")
	e.Open('{')
	e.Text("toolUseId", provider.ToolID(p.ToolID))
	e.Name("content")
	e.Open('[')
	for i := range p.Parts {
		in := &p.Parts[i]
		switch {
		case provider.Blank(in):
			e.Omit(place(path, i), in)
		case in.Kind == llm.PartText, in.Kind == llm.PartImage, in.Kind == llm.PartFile, in.Kind == llm.PartVideo:
			if in.Cache != nil {
				e.Drop(place(path, i) + ".cache_control")
			}
			plain := *in
			plain.Cache = nil
			e.part(place(path, i), &plain)
		default:
			e.Unsupported(place(path, i))
		}
	}
	e.Close(']')
	if p.IsError {
		e.Text("status", "error")
	} else {
		e.Text("status", "success")
	}
	e.Close('}')
}
