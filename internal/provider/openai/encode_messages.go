package openai

import (
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

func (e *encoder) messages() {
	e.name("messages")
	e.open('[')
	if len(e.chat.System) > 0 {
		e.message("system", "system", e.chat.System)
	}
	for i, m := range e.chat.Messages {
		path := "messages." + strconv.Itoa(i)
		switch m.Role {
		case llm.RoleSystem:
			e.message("system", path, m.Parts)
		case llm.RoleAssistant:
			e.assistant(path, m.Parts)
		default:
			e.user(path, m.Parts)
		}
	}
	e.close(']')
}

// message writes a message with nothing but content.
func (e *encoder) message(role, path string, parts []llm.Part) {
	e.element()
	e.open('{')
	e.text("role", role)
	e.name("content")
	e.content(path, parts, role == "user")
	e.close('}')
}

// content writes a text if the parts are one, or are to be one, else a list.
func (e *encoder) content(path string, parts []llm.Part, user bool) {
	plain, marked := true, false
	for i := range parts {
		plain = plain && parts[i].Kind == llm.PartText
		marked = marked || parts[i].Cache != nil && e.vendor.cacheMark
	}
	if plain && !marked && (len(parts) < 2 || !user && !e.vendor.parts) {
		texts := make([]string, len(parts))
		for i := range parts {
			texts[i] = parts[i].Text
			e.mark(parts[i].Cache, place(path, i))
			e.citations(&parts[i], place(path, i))
		}
		e.out = jsonx.AppendString(e.out, strings.Join(texts, "\n\n"))
		e.comma = true
		return
	}
	e.open('[')
	for i := range parts {
		e.part(place(path, i), &parts[i], user)
	}
	e.close(']')
}

func place(path string, i int) string { return path + ".content." + strconv.Itoa(i) }

// citations drops where a text came from: no dialect takes that back.
func (e *encoder) citations(p *llm.Part, path string) {
	if len(p.Citations) > 0 {
		e.drop(path + ".citations")
	}
}

// part writes one part of a list.
func (e *encoder) part(path string, p *llm.Part, user bool) {
	if p.Kind == llm.PartText && p.Text == "" {
		return
	}
	if !user && p.Kind != llm.PartText {
		e.unsupported(path)
		return
	}
	e.citations(p, path)
	e.element()
	e.open('{')
	switch p.Kind {
	case llm.PartText:
		e.text("type", "text")
		e.text("text", p.Text)
	case llm.PartImage:
		e.image(path, p)
	case llm.PartAudio:
		e.audio(path, p)
	case llm.PartFile:
		e.file(path, p)
	default:
		e.unsupported(path)
	}
	e.mark(p.Cache, path)
	e.close('}')
}

func (e *encoder) image(path string, p *llm.Part) {
	url := p.URL
	switch {
	case url != "":
	case p.Data != "":
		url = dataURL(p, "image/png")
	default:
		e.unsupported(path) // an image in somebody else's store of files
		return
	}
	e.text("type", "image_url")
	e.name("image_url")
	e.open('{')
	e.text("url", url)
	if p.Detail != "" {
		e.text("detail", p.Detail)
	}
	e.close('}')
}

// dataURL writes inline data as a URL.
func dataURL(p *llm.Part, otherwise string) string {
	media := p.MediaType
	if media == "" {
		media = otherwise
	}
	return "data:" + media + ";base64," + p.Data
}

// audioFormats are the names that OpenAI has for media types.
var audioFormats = map[string]string{
	"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3",
}

func (e *encoder) audio(path string, p *llm.Part) {
	format := audioFormats[p.MediaType]
	if format == "" || p.Data == "" {
		e.refuse(fault.InputModalityUnsupported, path, "Audio is taken as inline wav or mp3 only.")
		return
	}
	e.text("type", "input_audio")
	e.name("input_audio")
	e.open('{')
	e.text("data", p.Data)
	e.text("format", format)
	e.close('}')
}

// file writes a document. Plain text is text; a URL or a file id means nothing
// to another provider, and we fetch nothing for callers.
func (e *encoder) file(path string, p *llm.Part) {
	switch {
	case p.Text != "":
		e.text("type", "text")
		e.text("text", p.Text)
		if p.Name != "" {
			e.drop(path + ".title")
		}
		return
	case !e.vendor.files || p.Data == "":
		e.refuse(fault.InputModalityUnsupported, path, "This model takes no documents of that kind.")
		return
	}
	name := p.Name
	if name == "" {
		name = "document.pdf"
	}
	e.text("type", "file")
	e.name("file")
	e.open('{')
	e.text("filename", name)
	e.text("file_data", dataURL(p, "application/pdf"))
	e.close('}')
}

// user writes a user's turn: the tool results first, which must follow the call
// at once, each as a message of its own; then what the tools showed; then what
// the user says.
func (e *encoder) user(path string, parts []llm.Part) {
	var said, shown []llm.Part
	for i := range parts {
		p := &parts[i]
		if p.Kind != llm.PartToolResult {
			said = append(said, *p)
			continue
		}
		shown = append(shown, e.result(place(path, i), p)...)
	}
	if said = append(shown, said...); len(said) == 0 {
		return
	}
	e.message("user", path, said)
}

// result writes the result of a tool and returns the images in it, which a tool
// message cannot hold.
func (e *encoder) result(path string, p *llm.Part) (shown []llm.Part) {
	texts := make([]llm.Part, 0, len(p.Parts))
	for i, in := range p.Parts {
		switch in.Kind {
		case llm.PartText:
			texts = append(texts, in)
		case llm.PartImage, llm.PartFile:
			e.drop(place(path, i)) // from the place where it stood
			shown = append(shown, in)
		default:
			e.unsupported(place(path, i))
		}
	}
	if p.IsError {
		e.drop(path + ".is_error")
	}
	e.element()
	e.open('{')
	e.text("role", "tool")
	e.text("tool_call_id", toolID(p.ToolID))
	e.name("content")
	e.content(path, texts, false)
	e.mark(p.Cache, path)
	e.close('}')
	return shown
}

// maxToolID is the longest id that all vendors take.
const maxToolID = 64

// toolID returns an id of a tool call that every vendor takes: itself, or the
// same substitute for it every time, so that a later request still fits.
func toolID(id string) string {
	legal := id != "" && len(id) <= maxToolID
	for i := 0; i < len(id) && legal; i++ {
		c := id[i]
		legal = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c == ':'
	}
	if legal {
		return id
	}
	return "call_" + shortHash(id)
}

// assistant writes an assistant's turn. Thoughts go back only to vendors that
// take them; elsewhere they are no part of what was said.
func (e *encoder) assistant(path string, parts []llm.Part) {
	var said []llm.Part
	var thoughts, refusal []string
	var calls []*llm.Part
	for i := range parts {
		switch p := &parts[i]; p.Kind {
		case llm.PartReasoning:
			if p.Text != "" {
				thoughts = append(thoughts, p.Text)
			}
			if p.Signature != "" || e.vendor.reasoning == "" {
				e.drop(place(path, i))
			}
		case llm.PartRedacted:
			e.drop(place(path, i))
		case llm.PartRefusal:
			refusal = append(refusal, p.Text)
		case llm.PartToolCall:
			calls = append(calls, p)
		default:
			said = append(said, *p)
		}
	}
	if len(said)+len(refusal)+len(calls) == 0 {
		said = []llm.Part{{Kind: llm.PartText}}
	}
	e.element()
	e.open('{')
	e.text("role", "assistant")
	e.name("content")
	if len(said) == 0 {
		e.out = append(e.out, "null"...)
		e.comma = true
	} else {
		e.content(path, said, false)
	}
	if len(thoughts) > 0 && e.vendor.reasoning != "" {
		e.text(e.vendor.reasoning, strings.Join(thoughts, "\n"))
	}
	if len(refusal) > 0 {
		e.text("refusal", strings.Join(refusal, "\n"))
	}
	e.calls(path, calls)
	e.close('}')
}

func (e *encoder) calls(path string, calls []*llm.Part) {
	if len(calls) == 0 {
		return
	}
	e.name("tool_calls")
	e.open('[')
	for i, p := range calls {
		e.element()
		e.open('{')
		e.text("id", toolID(p.ToolID))
		e.text("type", "function")
		e.name("function")
		e.open('{')
		e.text("name", p.ToolName)
		switch args := strings.TrimSpace(string(p.Args)); {
		case args == "":
			e.text("arguments", "{}")
		case args[0] == '"':
			e.raw("arguments", p.Args) // not JSON: kept as the text that it is
		default:
			e.text("arguments", string(p.Args))
		}
		e.close('}')
		e.mark(p.Cache, path+".tool_calls."+strconv.Itoa(i))
		e.close('}')
	}
	e.close(']')
}
