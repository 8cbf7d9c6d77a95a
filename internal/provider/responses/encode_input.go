package responses

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

func place(path string, i int) string { return path + ".content." + strconv.Itoa(i) }

func (e *encoder) input() {
	e.Name("input")
	e.Open('[')
	for i, m := range e.chat.Messages {
		path := "messages." + strconv.Itoa(i)
		switch m.Role {
		case llm.RoleAssistant:
			e.assistant(path, m.Parts)
		case llm.RoleSystem:
			e.said("system", path, m.Parts, 0)
		default:
			e.user(path, m.Parts)
		}
	}
	e.Close(']')
}

// user writes a user's turn: the results of tools, which are items of their own,
// and what the user says, in their order.
func (e *encoder) user(path string, parts []llm.Part) {
	from := 0
	for i := range parts {
		if parts[i].Kind != llm.PartToolResult {
			continue
		}
		e.said("user", path, parts[from:i], from)
		e.result(place(path, i), &parts[i])
		from = i + 1
	}
	e.said("user", path, parts[from:], from)
}

// said writes a message of a user or the system; first is the number of the
// first part.
func (e *encoder) said(role, path string, parts []llm.Part, first int) {
	if len(parts) == 0 {
		return
	}
	e.Element()
	e.Open('{')
	e.Text("role", role)
	e.Name("content")
	if len(parts) == 1 && parts[0].Kind == llm.PartText {
		e.mark(&parts[0], place(path, first))
		e.String(parts[0].Text)
	} else {
		e.parts(path, parts, first, role == "user")
	}
	e.Close('}')
}

// parts writes a list of parts.
func (e *encoder) parts(path string, parts []llm.Part, first int, media bool) {
	e.Open('[')
	for i := range parts {
		p, at := &parts[i], place(path, first+i)
		if p.Kind == llm.PartText && p.Text == "" {
			continue
		}
		if !media && p.Kind != llm.PartText {
			e.Unsupported(at)
			continue
		}
		e.mark(p, at)
		e.Element()
		e.Open('{')
		e.part(at, p)
		e.Close('}')
	}
	e.Close(']')
}

// mark drops what does not change an answer: a mark to cache the prompt, and
// where a text came from.
func (e *encoder) mark(p *llm.Part, path string) {
	if p.Cache != nil {
		e.Drop(path + ".cache_control")
	}
	if len(p.Citations) > 0 {
		e.Drop(path + ".citations")
	}
}

// part writes the members of one part.
func (e *encoder) part(path string, p *llm.Part) {
	switch p.Kind {
	case llm.PartText:
		e.Text("type", "input_text")
		e.Text("text", p.Text)
	case llm.PartImage:
		e.image(path, p)
	case llm.PartFile:
		e.file(path, p)
	case llm.PartAudio:
		e.Refuse(fault.InputModalityUnsupported, path, "This model takes no audio.")
	case llm.PartVideo:
		e.Refuse(fault.InputModalityUnsupported, path, "This model takes no video.")
	default:
		e.Unsupported(path)
	}
}

func (e *encoder) image(path string, p *llm.Part) {
	url := p.URL
	switch {
	case url != "":
	case p.Data != "":
		url = dataURL(p, "image/png")
	default:
		e.Unsupported(path) // an image in somebody else's store of files
		return
	}
	e.Text("type", "input_image")
	e.Text("image_url", url)
	detail := p.Detail
	if detail == "" {
		detail = "auto" // by the schema it is not optional, as it is everywhere else
	}
	e.Text("detail", detail)
}

// dataURL writes inline data as a URL.
func dataURL(p *llm.Part, otherwise string) string {
	media := p.MediaType
	if media == "" {
		media = otherwise
	}
	return "data:" + media + ";base64," + p.Data
}

// file writes a document. Plain text is text; a file id means nothing to another
// provider.
func (e *encoder) file(path string, p *llm.Part) {
	switch {
	case p.Text != "":
		e.Text("type", "input_text")
		e.Text("text", p.Text)
		if p.Name != "" {
			e.Drop(path + ".title")
		}
	case p.Data != "":
		name := p.Name
		if name == "" {
			name = "document.pdf"
		}
		e.Text("type", "input_file")
		e.Text("filename", name)
		e.Text("file_data", dataURL(p, "application/pdf"))
	case p.URL != "":
		e.Text("type", "input_file")
		e.Text("file_url", p.URL)
	default:
		e.Refuse(fault.InputModalityUnsupported, path, "This model takes no documents of that kind.")
	}
}

// result writes the result of a tool.
func (e *encoder) result(path string, p *llm.Part) {
	if p.IsError {
		e.Drop(path + ".is_error")
	}
	e.mark(p, path)
	e.Element()
	e.Open('{')
	if p.Custom || e.custom[p.ToolID] {
		e.Text("type", "custom_tool_call_output")
	} else {
		e.Text("type", "function_call_output")
	}
	e.Text("call_id", provider.ToolID(p.ToolID))
	e.Name("output")
	plain := true
	texts := make([]string, 0, len(p.Parts))
	for i := range p.Parts {
		plain = plain && p.Parts[i].Kind == llm.PartText
		texts = append(texts, p.Parts[i].Text)
	}
	if plain {
		for i := range p.Parts {
			e.mark(&p.Parts[i], place(path, i))
		}
		e.String(strings.Join(texts, "\n\n"))
	} else {
		e.parts(path, p.Parts, 0, true)
	}
	e.Close('}')
}

// assistant writes an assistant's turn, part by part, each as an item of its own.
// Thoughts go back to who sealed them; elsewhere they are no part of what was
// said.
func (e *encoder) assistant(path string, parts []llm.Part) {
	for i := range parts {
		p, at := &parts[i], place(path, i)
		switch p.Kind {
		case llm.PartReasoning, llm.PartRedacted:
			e.thought(at, p, parts[i+1:])
		case llm.PartToolCall:
			e.toolCall(p, at)
		case llm.PartText, llm.PartRefusal:
			e.spoken(at, p)
		default:
			e.Shown(at)
		}
	}
}

// spoken writes a message of the assistant.
func (e *encoder) spoken(path string, p *llm.Part) {
	e.mark(p, path)
	if p.Text == "" {
		return
	}
	e.Element()
	e.Open('{')
	e.Text("role", "assistant")
	e.Name("content")
	if p.Kind == llm.PartText {
		e.String(p.Text)
	} else {
		e.Open('[')
		e.Open('{')
		e.Text("type", "refusal")
		e.Text("refusal", p.Text)
		e.Close('}')
		e.Close(']')
	}
	e.Close('}')
}

// thought writes reasoning that this provider sealed. It must be followed by what
// it led to; what another one sealed, or nobody, is left out.
func (e *encoder) thought(path string, p *llm.Part, rest []llm.Part) {
	issuer, state, ok := llm.Unseal(p.Signature)
	led := false
	for i := range rest {
		led = led || rest[i].Kind != llm.PartReasoning && rest[i].Kind != llm.PartRedacted
	}
	if !ok || issuer != e.issuer || !led {
		switch {
		case p.Signature == "" && p.Kind == llm.PartReasoning:
			e.Drop(path) // nobody's state, and no part of what was said
		case !slices.Contains(e.Dropped, reasoningState):
			e.Drop(reasoningState)
		}
		return
	}
	id, blob := unpack(state)
	e.Element()
	e.Open('{')
	e.Text("type", "reasoning")
	if id != "" {
		e.Text("id", id)
	}
	e.Name("summary")
	e.Open('[')
	if p.Text != "" {
		e.Open('{')
		e.Text("type", "summary_text")
		e.Text("text", p.Text)
		e.Close('}')
	}
	e.Close(']')
	e.Text("encrypted_content", blob)
	e.Close('}')
}

func (e *encoder) toolCall(p *llm.Part, path string) {
	e.mark(p, path)
	e.Element()
	e.Open('{')
	if p.Custom {
		if e.custom == nil {
			e.custom = map[string]bool{}
		}
		e.custom[p.ToolID] = true
		e.Text("type", "custom_tool_call")
	} else {
		e.Text("type", "function_call")
	}
	e.Text("call_id", provider.ToolID(p.ToolID))
	e.Text("name", p.ToolName)
	e.Arguments(p)
	e.Close('}')
}
