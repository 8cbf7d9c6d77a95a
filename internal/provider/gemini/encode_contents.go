package gemini

import (
	"path"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

func place(path string, i int) string { return path + ".content." + num(i) }

// system writes the leading system messages, as parts of their own.
func (e *encoder) system() {
	n := 0
	for i := range e.chat.System {
		p, at := &e.chat.System[i], place("messages.0", i)
		e.mark(p.Cache, at)
		if p.Kind == llm.PartText && p.Text == "" {
			continue
		}
		if n++; n == 1 {
			e.Name("systemInstruction")
			e.Open('{')
			e.Name("parts")
			e.Open('[')
		}
		if p.Kind != llm.PartText {
			e.Unsupported(at)
		}
		e.Element()
		e.Open('{')
		e.Text("text", p.Text)
		e.Close('}')
	}
	if n > 0 {
		e.Close(']')
		e.Close('}')
	}
}

// turn is one content as it goes out: neighbours of one role are one turn.
type turn struct {
	role  string // user or model
	parts []piece
}

// piece is a part with its place in the request, and the state that belongs to
// it.
type piece struct {
	llm.Part
	path  string
	state string
}

// past is a call of the history: a result names only its id.
type past struct {
	id, name string
	turn     int
	answered bool
}

// contents writes the conversation.
func (e *encoder) contents() {
	turns := e.turns()
	switch {
	case len(turns) == 0:
		e.Refuse(fault.UnsupportedParameter, "messages", "This model needs a message of the user.")
		return
	case turns[0].role != "user":
		e.Refuse(fault.UnsupportedParameter, "messages.0.role", "This model needs a conversation that begins with the user.")
	case turns[len(turns)-1].role != "user":
		e.Refuse(fault.UnsupportedParameter, "messages", "This model needs a conversation that ends with the user, or with the results of tools.")
	}
	current := currentTurn(turns)
	e.Name("contents")
	e.Open('[')
	for n := range turns {
		t := &turns[n]
		if t.role == "model" && e.family.signs {
			sign(t.parts, n > current)
		}
		e.Element()
		e.Open('{')
		e.Text("role", t.role)
		e.Name("parts")
		e.Open('[')
		// Results of functions stand before what the user says, media that they
		// showed behind them.
		for i := range t.parts {
			if t.parts[i].Kind == llm.PartToolResult {
				e.result(&t.parts[i], n)
			}
		}
		for i := range t.parts {
			if p := &t.parts[i]; p.Kind != llm.PartToolResult {
				e.part(p, n)
			} else if !e.family.media {
				e.shown(p)
			}
		}
		e.Close(']')
		e.Close('}')
	}
	e.Close(']')
}

// currentTurn returns the index of the last turn in which the user said anything:
// the calls after it are those under way.
func currentTurn(turns []turn) int {
	for i := len(turns) - 1; i >= 0; i-- {
		if turns[i].role != "user" {
			continue
		}
		for _, p := range turns[i].parts {
			if p.Kind != llm.PartToolResult {
				return i
			}
		}
	}
	return -1
}

// unsigned stands for the signature of a call that another model made, or one
// whose signature was lost. It is one of the two that Google documents for that:
// ai.google.dev/gemini-api/docs/thought-signatures, "FAQs". Without it the first
// call of a step of the turn under way is refused, from Gemini 3 on.
const unsigned = "skip_thought_signature_validator"

// sign gives every image a signature that has none, and the first call of a step if
// that is of the turn under way: the others are not asked for.
func sign(parts []piece, current bool) {
	for i := range parts {
		p := &parts[i]
		call := p.Kind == llm.PartToolCall && current
		if (call || p.Kind == llm.PartImage) && p.state == "" {
			p.state = unsigned
		}
		current = current && !call
	}
}

// turns joins neighbours of one role, and leaves out what is empty. A system
// message in the middle keeps its place as words of the user.
func (e *encoder) turns() []turn {
	var out []turn
	for i, m := range e.chat.Messages {
		at := "messages." + num(i)
		t := turn{role: "user"}
		if m.Role == llm.RoleAssistant {
			t.role = "model"
			t.parts = e.said(at, m.Parts)
		} else {
			t.parts = e.asked(at, &m)
		}
		switch last := len(out) - 1; {
		case len(t.parts) == 0 && t.role == "model":
			e.Drop(at)
		case len(t.parts) == 0:
			e.Refuse(fault.UnsupportedParameter, at+".content", "This model takes no empty messages.")
		case last >= 0 && out[last].role == t.role:
			out[last].parts = append(out[last].parts, t.parts...)
		default:
			out = append(out, t)
		}
	}
	return out
}

// asked returns the parts of a message of the user, or of the system.
func (e *encoder) asked(at string, m *llm.Message) (out []piece) {
	for j, p := range m.Parts {
		switch {
		case p.Kind == llm.PartText && p.Text == "":
			e.mark(p.Cache, place(at, j))
			continue
		case m.Role == llm.RoleSystem && p.Kind == llm.PartText:
			p.Text = "<system>\n" + p.Text + "\n</system>"
			e.Drop(at + ".role")
		}
		out = append(out, piece{Part: p, path: place(at, j)})
	}
	return out
}

// said returns the parts of a message of the model. Its thoughts are no part of
// what was said; their signature belongs to the part that follows them.
func (e *encoder) said(at string, parts []llm.Part) (out []piece) {
	thought := ""
	for j, p := range parts {
		x := piece{Part: p, path: place(at, j)}
		switch p.Kind {
		case llm.PartReasoning:
			thought = e.state(p.Signature)
			e.Drop(x.path)
			continue
		case llm.PartRedacted:
			e.foreign()
			e.Drop(x.path)
			continue
		case llm.PartText, llm.PartToolCall, llm.PartImage:
			if x.state = e.state(p.Signature); x.state == "" {
				x.state = thought
			}
			thought = ""
		}
		if p.Text == "" && x.state == "" && (p.Kind == llm.PartText || p.Kind == llm.PartRefusal) {
			continue
		}
		out = append(out, x)
	}
	return out
}

// state returns the signature in a seal of this provider. Any other is dropped.
func (e *encoder) state(seal string) string {
	if seal == "" {
		return ""
	}
	issuer, state, ok := llm.Unseal(seal)
	if !ok || issuer != e.issuer {
		e.foreign()
		return ""
	}
	return state
}

// foreign notes, once, that state which another provider issued was left out.
func (e *encoder) foreign() {
	if !e.stateless {
		e.stateless = true
		e.Drop("reasoning_state")
	}
}

// part writes one part. n is the index of its turn.
func (e *encoder) part(p *piece, n int) {
	if len(p.Citations) > 0 {
		e.Drop(p.path + ".citations")
	}
	e.mark(p.Cache, p.path)
	e.Element()
	e.Open('{')
	switch p.Kind {
	case llm.PartText, llm.PartRefusal:
		e.Text("text", p.Text)
	case llm.PartImage, llm.PartAudio, llm.PartVideo, llm.PartFile:
		e.media(p.path, &p.Part)
	case llm.PartToolCall:
		e.toolCall(p, n)
	default:
		e.Refuse(fault.InputModalityUnsupported, p.path, "This model does not take that kind of input.")
	}
	if p.state != "" {
		e.Text("thoughtSignature", p.state)
	}
	e.Close('}')
}

// toolCall writes a call of the history.
func (e *encoder) toolCall(p *piece, n int) {
	e.calls = append(e.calls, past{id: p.ToolID, name: p.ToolName, turn: n})
	e.Name("functionCall")
	e.Open('{')
	if p.ToolID != "" {
		e.Text("id", p.ToolID)
	}
	e.Text("name", p.ToolName)
	e.Input("args", p.Args, p.path)
	e.Close('}')
}

// answers returns the call that a result in turn n answers: the latest with its
// id, else the first of the turn before that has no result yet. Nil: there is
// none.
func (e *encoder) answers(id string, n int) *past {
	for i := len(e.calls) - 1; i >= 0 && id != ""; i-- {
		if e.calls[i].id == id {
			return &e.calls[i]
		}
	}
	for i := range e.calls {
		if c := &e.calls[i]; c.turn == n-1 && !c.answered {
			return c
		}
	}
	return nil
}

// result writes the result of a function. The protocol wants an object, whose
// numbers it keeps as floating point, and refuses some that look like schemas:
// what the tool said stays the text that it was.
func (e *encoder) result(p *piece, n int) {
	of := e.answers(p.ToolID, n)
	if of == nil {
		e.Refuse(fault.InvalidParameter, p.path, "This result answers no tool call of the conversation.")
		return
	}
	of.answered = true
	e.mark(p.Cache, p.path)
	e.Element()
	e.Open('{')
	e.Name("functionResponse")
	e.Open('{')
	if of.id != "" {
		e.Text("id", of.id)
	}
	e.Text("name", of.name)
	var texts []string
	var media []int
	for i := range p.Parts {
		switch in := &p.Parts[i]; in.Kind {
		case llm.PartText:
			texts = append(texts, in.Text)
			e.mark(in.Cache, place(p.path, i))
		case llm.PartImage, llm.PartAudio, llm.PartVideo, llm.PartFile:
			media = append(media, i)
		default:
			e.Unsupported(place(p.path, i))
		}
	}
	e.Name("response")
	e.Open('{')
	key := "output"
	if p.IsError {
		key = "error"
	}
	e.Text(key, strings.Join(texts, "\n"))
	e.Close('}')
	if len(media) > 0 && e.family.media {
		e.Name("parts")
		e.Open('[')
		for _, i := range media {
			e.Element()
			e.Open('{')
			e.media(place(p.path, i), &p.Parts[i])
			e.Close('}')
			e.mark(p.Parts[i].Cache, place(p.path, i))
		}
		e.Close(']')
	}
	e.Close('}')
	e.Close('}')
}

// shown writes what a function showed behind its result, for models whose results
// hold no media.
func (e *encoder) shown(p *piece) {
	for i := range p.Parts {
		if in := &p.Parts[i]; in.Kind != llm.PartText {
			e.Drop(place(p.path, i)) // from the place where it stood
			e.part(&piece{Part: *in, path: place(p.path, i)}, 0)
		}
	}
}

// media writes an image, a sound, a film or a document: inline, or where it is.
func (e *encoder) media(at string, p *llm.Part) {
	if p.Detail != "" && p.Detail != "auto" {
		e.Drop(at + ".image_url.detail")
	}
	if p.Name != "" {
		e.Drop(at + ".title")
	}
	kind := mediaType(p)
	switch {
	case p.Kind == llm.PartFile && p.Text != "":
		e.Text("text", p.Text)
	case p.Kind == llm.PartImage && kind == "image/gif":
		e.Refuse(fault.UnsupportedParameter, at, "This model takes images as PNG, JPEG, WebP, HEIC or HEIF.")
	case p.Data != "" && kind != "":
		e.Name("inlineData")
		e.Open('{')
		e.Text("mimeType", kind)
		e.Text("data", p.Data)
		e.Close('}')
	case inBucket(p.URL):
		e.Refuse(fault.InputModalityUnsupported, at, bucketRefused)
	case strings.HasPrefix(p.URL, "https://"):
		e.Name("fileData")
		e.Open('{')
		if kind != "" {
			e.Text("mimeType", kind)
		}
		e.Text("fileUri", p.URL)
		e.Close('}')
	default:
		e.Refuse(fault.InputModalityUnsupported, at, "This model takes that inline with its media type, or by an https URL.")
	}
}

// endings tells media types by the end of a URL's path.
var endings = map[string]string{
	".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif",
	".heic": "image/heic", ".heif": "image/heif", ".pdf": "application/pdf", ".txt": "text/plain",
	".mp3": "audio/mp3", ".wav": "audio/wav", ".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime",
}

// mediaType returns the type of a part, as far as it can be told.
func mediaType(p *llm.Part) string {
	media, _, _ := strings.Cut(strings.ToLower(p.MediaType), ";")
	switch media = strings.TrimSpace(media); {
	case media == "image/jpg":
		return "image/jpeg"
	case media != "":
		return media
	case p.Data != "":
		return llm.MediaTypeOf(p.Data)
	}
	name, _, _ := strings.Cut(p.URL, "?")
	return endings[strings.ToLower(path.Ext(name))]
}
