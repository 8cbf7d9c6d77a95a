package gemini

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// call is a function call of the conversation that a result can answer.
type call struct {
	id, name string
	answered bool
}

// content takes over one content, the nth. Those of the model that follow one another
// are one message: Google's SDKs keep every piece of a stream as a content of its own.
func (d *decoder) content(v jsonx.Value, n int) {
	d.extras(v, "role", "parts")
	role := llm.RoleUser
	if v.Get("role").Is("model") {
		role = llm.RoleAssistant
	}
	last := len(d.chat.Messages) - 1
	piece := role == llm.RoleAssistant && last >= 0 && d.chat.Messages[last].Role == role
	if !piece {
		d.chat.Messages = append(d.chat.Messages, llm.Message{Role: role})
		last++
	}
	m := &d.chat.Messages[last]
	for i, one := range list(v.Get("parts")) {
		p := readPart(one)
		for _, x := range p.rest {
			d.extra(x)
		}
		if out, ok := d.part(&p, "call_"+strconv.Itoa(n)+"_"+strconv.Itoa(i)); ok {
			d.say(m, out, piece && i == 0)
		}
	}
}

// say appends a part to those of a message, or to its last one. Thoughts go on until one
// is signed, which is where a stream signs them; text does so where the part begins
// another piece of it.
func (d *decoder) say(m *llm.Message, p llm.Part, piece bool) {
	if n := len(m.Parts); n > 0 {
		before := &m.Parts[n-1]
		if before.Kind == p.Kind && before.Signature == "" && (p.Kind == llm.PartReasoning || p.Kind == llm.PartText && piece) {
			if d.said.Len() == 0 {
				d.said.WriteString(before.Text)
			}
			d.said.WriteString(p.Text)
			before.Text, before.Signature = d.said.String(), p.Signature
			return
		}
	}
	d.said = strings.Builder{} // what it has written stays
	m.Parts = append(m.Parts, p)
}

// part takes over one part. id is that of a call which has none of its own.
func (d *decoder) part(p *part, id string) (llm.Part, bool) {
	var out llm.Part
	signature, redacted := state(p.signature)
	thought, _ := p.thought.Bool()
	switch {
	case redacted:
		return llm.Part{Kind: llm.PartRedacted, Data: signature}, true
	case thought && (p.text.Exists() || p.kinds == 0):
		out = llm.Part{Kind: llm.PartReasoning, Text: p.text.Text()}
	case p.inline.Exists():
		out = llm.Part{MediaType: get(p.inline, "mimeType").Text(), Data: standard(p.inline.Get("data").Text()), Name: get(p.inline, "displayName").Text()}
		out.Kind = kindOf(out.MediaType)
		d.extras(p.inline, "mimeType", "data", "displayName")
	case p.file.Exists():
		out = llm.Part{MediaType: get(p.file, "mimeType").Text(), URL: get(p.file, "fileUri").Text(), Name: get(p.file, "displayName").Text()}
		out.Kind = kindOf(out.MediaType)
		d.extras(p.file, "mimeType", "fileUri", "displayName")
	case p.call.Exists():
		out = d.call(p.call, id)
	case p.result.Exists():
		out = d.result(p.result)
	case p.text.Exists():
		out = llm.Part{Kind: llm.PartText, Text: p.text.Text()}
	case signature == "":
		return out, false // it was kept as an extra, or is nothing
	default:
		out = llm.Part{Kind: llm.PartText} // Gemini signs what it said with an empty text
	}
	out.Signature = signature
	return out, true
}

// call takes over a function call. Google's own have had no ids for long; one
// that is the same every time lets results name it.
func (d *decoder) call(v jsonx.Value, id string) llm.Part {
	p := llm.Part{Kind: llm.PartToolCall, ToolID: get(v, "id").Text(), ToolName: v.Get("name").Text(), Args: json.RawMessage(`{}`)}
	if p.ToolID == "" {
		p.ToolID = id
	}
	if args := v.Get("args"); args.Exists() {
		p.Args = json.RawMessage(args.Raw())
	}
	d.calls = append(d.calls, call{id: p.ToolID, name: p.ToolName})
	d.extras(v, "id", "name", "args")
	return p
}

// result takes over the result of a function: what stands as output or error,
// or else all of it.
func (d *decoder) result(v jsonx.Value) llm.Part {
	p := llm.Part{Kind: llm.PartToolResult, ToolID: d.answers(v)}
	response := v.Get("response")
	said := response
	if output, failed := response.Get("output"), response.Get("error"); response.Len() == 1 {
		switch {
		case output.Exists():
			said = output
		case failed.Exists():
			said, p.IsError = failed, true
		}
	}
	text := string(said.Raw())
	if said.Kind() == jsonx.String {
		text = said.Text()
	}
	p.Parts = append(p.Parts, llm.Part{Kind: llm.PartText, Text: text})
	for _, one := range list(v.Get("parts")) {
		in := readPart(one)
		if m, ok := d.part(&in, ""); ok {
			p.Parts = append(p.Parts, m)
		}
		for _, x := range in.rest {
			d.extra(x)
		}
	}
	d.extras(v, "id", "name", "response", "parts")
	return p
}

// answers returns the id of the call that a result answers: that which it names,
// else the first call of the function that has no result yet.
func (d *decoder) answers(v jsonx.Value) string {
	id, name := get(v, "id").Text(), v.Get("name").Text()
	for i := range d.calls {
		c := &d.calls[i]
		if id != "" && c.id == id || id == "" && c.name == name && !c.answered {
			c.answered = true
			return c.id
		}
	}
	if id == "" {
		return "call_" + name // which answers nothing; the provider says so
	}
	return id
}

// State of another provider travels as a thoughtSignature, which is base64 to
// Google's SDKs: behind one of these marks.
const (
	signatureMark = "pontage:"
	redactedMark  = "pontage#"
)

// carried returns state as a thoughtSignature.
func carried(mark, state string) string {
	return base64.StdEncoding.EncodeToString([]byte(mark + state))
}

// foreign is the issuer of what Google signed for the caller itself: the name of
// no provider, so that nobody takes it for its own.
const foreign = "?"

// state returns the state in a thoughtSignature, and whether it is reasoning that
// only its provider can read.
func state(v jsonx.Value) (state string, redacted bool) {
	text := v.Text()
	if text == "" {
		return "", false
	}
	b, err := base64.StdEncoding.DecodeString(standard(text))
	if err == nil {
		if s, ok := strings.CutPrefix(string(b), signatureMark); ok {
			return s, false
		}
		if s, ok := strings.CutPrefix(string(b), redactedMark); ok {
			return s, true
		}
	}
	return llm.Seal(foreign, text), false
}

// standard returns base64 in its standard alphabet, padded: Google takes it in
// that for URLs, too.
func standard(s string) string {
	if strings.ContainsAny(s, "-_") {
		s = strings.NewReplacer("-", "+", "_", "/").Replace(s)
	}
	if n := len(s) % 4; n > 1 && !strings.ContainsAny(s, "=\r\n") {
		s += "=="[:4-n]
	}
	return s
}
