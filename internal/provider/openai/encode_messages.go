package openai

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

func (e *encoder) messages() {
	e.Name("messages")
	e.Open('[')
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
	e.Close(']')
}

// message writes a message with nothing but content.
func (e *encoder) message(role, path string, parts []llm.Part) {
	e.Element()
	e.Open('{')
	e.Text("role", role)
	e.Name("content")
	e.content(path, parts, role == "user")
	e.Close('}')
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
		e.String(strings.Join(texts, "\n\n"))
		return
	}
	e.Open('[')
	for i := range parts {
		e.part(place(path, i), &parts[i], user)
	}
	e.Close(']')
}

func place(path string, i int) string { return path + ".content." + strconv.Itoa(i) }

// citations drops where a text came from: no dialect takes that back.
func (e *encoder) citations(p *llm.Part, path string) {
	if len(p.Citations) > 0 {
		e.Drop(path + ".citations")
	}
}

// part writes one part of a list.
func (e *encoder) part(path string, p *llm.Part, user bool) {
	if p.Kind == llm.PartText && p.Text == "" {
		return
	}
	if !user && p.Kind != llm.PartText {
		e.Unsupported(path)
		return
	}
	e.citations(p, path)
	e.Element()
	e.Open('{')
	switch p.Kind {
	case llm.PartText:
		e.Text("type", "text")
		e.Text("text", p.Text)
	case llm.PartImage:
		e.image(path, p)
	case llm.PartAudio:
		e.audio(path, p)
	case llm.PartFile:
		e.file(path, p)
	default:
		e.Unsupported(path)
	}
	e.mark(p.Cache, path)
	e.Close('}')
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
	e.Text("type", "image_url")
	e.Name("image_url")
	e.Open('{')
	e.Text("url", url)
	switch p.Detail {
	case "":
	case "original": // which only responses know
		e.Drop(path + ".image_url.detail")
		e.Text("detail", "high")
	default:
		e.Text("detail", p.Detail)
	}
	e.Close('}')
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
		e.Refuse(fault.InputModalityUnsupported, path, "Audio is taken as inline wav or mp3 only.")
		return
	}
	e.Text("type", "input_audio")
	e.Name("input_audio")
	e.Open('{')
	e.Text("data", p.Data)
	e.Text("format", format)
	e.Close('}')
}

// file writes a document. Plain text is text; a file id means nothing to another
// provider, nor does a URL to most, and we fetch nothing for callers.
func (e *encoder) file(path string, p *llm.Part) {
	switch {
	case p.Text != "":
		e.Text("type", "text")
		e.Text("text", p.Text)
		if p.Name != "" {
			e.Drop(path + ".title")
		}
		return
	case e.vendor.documents && (p.Data != "" || strings.HasPrefix(p.URL, "https://")):
		e.document(p)
		return
	case !e.vendor.files || p.Data == "":
		e.Refuse(fault.InputModalityUnsupported, path, "This model takes no documents of that kind.")
		return
	}
	name := p.Name
	if name == "" {
		name = "document.pdf"
	}
	e.Text("type", "file")
	e.Name("file")
	e.Open('{')
	e.Text("filename", name)
	e.Text("file_data", dataURL(p, "application/pdf"))
	e.Close('}')
}

// document writes a document in Mistral's form: docs.mistral.ai/api, DocumentURLChunk.
func (e *encoder) document(p *llm.Part) {
	url := p.URL
	if p.Data != "" {
		url = dataURL(p, "application/pdf")
	}
	e.Text("type", "document_url")
	e.Text("document_url", url)
	if p.Name != "" {
		e.Text("document_name", p.Name)
	}
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
			e.Drop(place(path, i)) // from the place where it stood
			shown = append(shown, in)
		default:
			e.Unsupported(place(path, i))
		}
	}
	if p.IsError {
		e.Drop(path + ".is_error")
	}
	e.Element()
	e.Open('{')
	e.Text("role", "tool")
	e.Text("tool_call_id", provider.ToolID(p.ToolID))
	e.Name("content")
	e.content(path, texts, false)
	e.mark(p.Cache, path)
	e.Close('}')
	return shown
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
				e.Drop(place(path, i))
			}
		case llm.PartRedacted:
			e.Drop(place(path, i))
		case llm.PartRefusal:
			refusal = append(refusal, p.Text)
		case llm.PartToolCall:
			calls = append(calls, p)
			if p.Signature != "" && !slices.Contains(e.Dropped, "reasoning_state") {
				e.Drop("reasoning_state")
			}
		case llm.PartText:
			said = append(said, *p)
		default:
			e.Shown(place(path, i))
		}
	}
	if len(said)+len(refusal)+len(calls) == 0 {
		said = []llm.Part{{Kind: llm.PartText}}
	}
	e.Element()
	e.Open('{')
	e.Text("role", "assistant")
	e.Name("content")
	if len(said) == 0 {
		e.Value("null")
	} else {
		e.content(path, said, false)
	}
	if len(thoughts) > 0 && e.vendor.reasoning != "" {
		e.Text(e.vendor.reasoning, strings.Join(thoughts, "\n"))
	}
	if len(refusal) > 0 {
		e.Text("refusal", strings.Join(refusal, "\n"))
	}
	e.calls(path, calls)
	e.Close('}')
}

func (e *encoder) calls(path string, calls []*llm.Part) {
	if len(calls) == 0 {
		return
	}
	e.Name("tool_calls")
	e.Open('[')
	for i, p := range calls {
		e.Element()
		e.Open('{')
		e.Text("id", provider.ToolID(p.ToolID))
		e.called(p)
		e.mark(p.Cache, path+".tool_calls."+strconv.Itoa(i))
		e.Close('}')
	}
	e.Close(']')
}

// called writes whom a call calls, and with what.
func (e *encoder) called(p *llm.Part) {
	kind := "function"
	if p.Custom {
		kind = "custom"
	}
	e.Text("type", kind)
	e.Name(kind)
	e.Open('{')
	e.Text("name", p.ToolName)
	e.Arguments(p)
	e.Close('}')
}
