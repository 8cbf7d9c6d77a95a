package anthropic

import (
	"encoding/base64"
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
		if provider.Blank(p) {
			e.Omit(place("messages.0", i), p)
			continue
		}
		if n++; n == 1 {
			e.Name("system")
			e.Open('[')
		}
		if p.Kind != llm.PartText {
			e.Unsupported(place("messages.0", i))
		}
		e.Element()
		e.Open('{')
		e.Text("type", "text")
		e.Text("text", p.Text)
		e.mark(p.Cache, place("messages.0", i))
		e.Close('}')
	}
	if n > 0 {
		e.Close(']')
	}
}

// turns joins neighbours of one role, and leaves out what is empty. A system
// message in the middle keeps its place as words of the user.
func (e *encoder) turns() []provider.Turn {
	var out []provider.Turn
	for i, m := range e.chat.Messages {
		path := "messages." + num(i)
		role := "user"
		if m.Role == llm.RoleAssistant {
			role, e.mused = "assistant", false
		}
		t := provider.Turn{Role: role}
		for j, p := range m.Parts {
			switch {
			case provider.Blank(&p):
				e.Omit(place(path, j), &p)
				continue
			case p.Kind == llm.PartReasoning && p.Signature == "":
				// Thoughts that nobody sealed are refused by the provider, and
				// are no part of what was said.
				e.Drop(place(path, j))
				continue
			case p.Kind == llm.PartReasoning && !e.unseal(&p.Signature), p.Kind == llm.PartRedacted && !e.unseal(&p.Data):
				e.foreign()
				e.Drop(place(path, j))
				continue
			case p.Kind == llm.PartToolCall && p.Signature != "":
				e.foreign()
			case m.Role == llm.RoleSystem && p.Kind == llm.PartText:
				p.Text = "<system>\n" + p.Text + "\n</system>"
				e.Drop(path + ".role")
			}
			e.mused = e.mused || p.Kind == llm.PartReasoning || p.Kind == llm.PartRedacted
			t.Parts = append(t.Parts, p)
			t.Paths = append(t.Paths, place(path, j))
		}
		out = e.Join(out, t, path)
	}
	return out
}

// foreign notes, once, that such state was left out.
func (e *encoder) foreign() {
	if !slices.Contains(e.Dropped, "reasoning_state") {
		e.Drop("reasoning_state")
	}
}

// part writes one block.
func (e *encoder) part(path string, p *llm.Part) {
	if len(p.Citations) > 0 {
		e.Drop(path + ".citations")
	}
	e.Element()
	e.Open('{')
	switch p.Kind {
	case llm.PartText, llm.PartRefusal:
		e.Text("type", "text")
		e.Text("text", p.Text)
	case llm.PartImage:
		e.image(path, p)
	case llm.PartFile:
		e.file(path, p)
	case llm.PartToolCall:
		e.toolUse(path, p)
	case llm.PartToolResult:
		e.result(path, p)
	case llm.PartReasoning:
		e.Text("type", "thinking")
		e.Text("thinking", p.Text)
		e.Text("signature", p.Signature)
	case llm.PartRedacted:
		e.Text("type", "redacted_thinking")
		e.Text("data", p.Data)
	default:
		e.Refuse(fault.InputModalityUnsupported, path, "This model does not take that kind of input.")
	}
	if p.Kind != llm.PartReasoning && p.Kind != llm.PartRedacted {
		e.mark(p.Cache, path)
	}
	e.Close('}')
}

// images are the types that are taken, with how their base64 begins.
var images = map[string]string{
	"image/jpeg": "/9j/", "image/png": "iVBOR", "image/gif": "R0lGOD", "image/webp": "UklGR",
}

// imageType returns the type of an image, or nothing if it is not taken.
func imageType(p *llm.Part) string {
	media := strings.ToLower(p.MediaType)
	if media == "image/jpg" {
		media = "image/jpeg"
	}
	if _, ok := images[media]; ok {
		return media
	}
	for name, begin := range images {
		if media == "" && strings.HasPrefix(p.Data, begin) {
			return name
		}
	}
	return ""
}

func (e *encoder) image(path string, p *llm.Part) {
	if p.Detail != "" && p.Detail != "auto" {
		e.Drop(path + ".image_url.detail")
	}
	e.Text("type", "image")
	e.Name("source")
	media := imageType(p)
	switch {
	case p.URL != "":
		e.source("url", "", p.URL)
	case p.Data != "" && media != "":
		e.source("base64", media, p.Data)
	default:
		e.Value("null")
		e.Refuse(fault.UnsupportedParameter, path, "This model takes images as JPEG, PNG, GIF or WebP.")
	}
}

// source writes where the bytes of an image or document are.
func (e *encoder) source(kind, media, data string) {
	e.Open('{')
	e.Text("type", kind)
	if kind == "url" {
		e.Text("url", data)
	} else {
		e.Text("media_type", media)
		e.Text("data", data)
	}
	e.Close('}')
}

// file writes a document: PDF, or plain text.
func (e *encoder) file(path string, p *llm.Part) {
	e.Text("type", "document")
	e.Name("source")
	media, _, _ := strings.Cut(strings.ToLower(p.MediaType), ";")
	switch {
	case p.Text != "":
		e.source("text", "text/plain", p.Text)
	case p.URL != "":
		e.source("url", "", p.URL)
	case p.Data != "" && (media == "application/pdf" || media == "" && strings.HasPrefix(p.Data, "JVBERi")):
		e.source("base64", "application/pdf", p.Data)
	case p.Data != "" && strings.HasPrefix(media, "text/"):
		text, err := base64.StdEncoding.DecodeString(p.Data)
		if err != nil {
			e.Refuse(fault.InvalidParameter, path, "The file is not valid base64.")
		}
		e.source("text", "text/plain", string(text))
	default:
		e.Value("null")
		e.Refuse(fault.InputModalityUnsupported, path, "This model takes documents as inline PDF or text, or by URL.")
	}
	if p.Name != "" {
		e.Text("title", p.Name)
	}
}

// toolUse writes a tool call.
func (e *encoder) toolUse(path string, p *llm.Part) {
	e.Text("type", "tool_use")
	e.Text("id", provider.ToolID(p.ToolID))
	e.Text("name", p.ToolName)
	e.Input("input", p.Args, path)
}

// result writes the result of a tool, with what it showed.
func (e *encoder) result(path string, p *llm.Part) {
	e.Text("type", "tool_result")
	e.Text("tool_use_id", provider.ToolID(p.ToolID))
	e.Name("content")
	e.Open('[')
	for i := range p.Parts {
		in := &p.Parts[i]
		switch {
		case provider.Blank(in):
			e.Omit(place(path, i), in)
		case in.Kind == llm.PartText, in.Kind == llm.PartImage, in.Kind == llm.PartFile:
			e.part(place(path, i), in)
		default:
			e.Unsupported(place(path, i))
		}
	}
	e.Close(']')
	if p.IsError {
		e.Bool("is_error", true)
	}
}
