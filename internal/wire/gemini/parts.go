package gemini

import (
	"strings"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/token"
)

// part is one part of a content: at most one kind of data, and what belongs to
// it.
type part struct {
	text, inline, file, call, result jsonx.Value
	thought, signature               jsonx.Value

	kinds int           // of data
	rest  []jsonx.Value // members of no other place, other kinds of data among them
}

// readPart reads a part.
func readPart(v jsonx.Value) part {
	var p part
	for name, m := range v.Members() {
		if !m.Exists() {
			continue
		}
		switch string(unsnake(name)) {
		case "text":
			p.text = m
		case "inlineData":
			p.inline = m
		case "fileData":
			p.file = m
		case "functionCall":
			p.call = m
		case "functionResponse":
			p.result = m
		case "executableCode", "codeExecutionResult", "toolCall", "toolResponse":
			p.rest = append(p.rest, m)
		case "thought":
			p.thought = m
			continue
		case "thoughtSignature":
			p.signature = m
			continue
		default:
			p.rest = append(p.rest, m)
			continue
		}
		p.kinds++
	}
	return p
}

// contents checks the conversation: a list of contents, or one.
func (c *checker) contents(v jsonx.Value) {
	if v.Kind() == jsonx.Array && !c.p.Array(v, 1, maxContents) {
		return
	}
	for _, m := range c.list(v, maxContents) {
		if c.p.Full() {
			return
		}
		c.r.Size.Messages++
		role := m.Get("role")
		if role.Exists() && !role.Is("") {
			c.p.OneOf(role, "user", "model", "function", "tool")
		}
		c.parts(m)
	}
}

// parts checks the parts of a content.
func (c *checker) parts(content jsonx.Value) {
	v, ok := c.p.Require(content, "parts")
	if !ok {
		return
	}
	if v.Kind() == jsonx.Array && !c.p.Array(v, 1, maxParts) {
		return
	}
	for _, one := range c.list(v, maxParts) {
		if c.p.Full() {
			return
		}
		if one.Kind() == jsonx.Object {
			c.part(one)
		}
	}
}

// system checks systemInstruction, a content or a text.
func (c *checker) system(v jsonx.Value) {
	switch {
	case v.Kind() == jsonx.String:
		dialect.Count(&c.r.Size, v.Inner())
	case c.object(v):
		c.parts(v)
	}
}

// part checks one part.
func (c *checker) part(v jsonx.Value) {
	p := readPart(v)
	if p.kinds > 1 {
		c.p.Invalid(v, "Must hold one kind of data")
		return
	}
	c.p.Bool(p.thought)
	if c.p.String(p.signature) {
		dialect.Count(&c.r.Size, p.signature.Inner())
	}
	if c.p.String(p.text) {
		dialect.Count(&c.r.Size, p.text.Inner())
	}
	c.media(p.inline, true)
	c.media(p.file, false)
	if c.object(p.call) {
		c.name(p.call)
		c.p.String(get(p.call, "id"))
		c.p.Object(get(p.call, "args"))
		dialect.Count(&c.r.Size, p.call.Raw())
	}
	if c.object(p.result) {
		c.result(p.result)
	}
	for _, m := range p.rest {
		dialect.Count(&c.r.Size, m.Raw())
	}
}

// name checks the name of a call, or of a result.
func (c *checker) name(v jsonx.Value) {
	if n, ok := c.p.Require(v, "name"); ok {
		c.p.Text(n, maxName)
	}
}

// result checks the result of a function.
func (c *checker) result(v jsonx.Value) {
	c.name(v)
	c.p.String(get(v, "id"))
	if r, ok := c.p.Require(v, "response"); ok && c.p.Object(r) {
		dialect.Count(&c.r.Size, r.Raw())
	}
	for _, m := range c.list(get(v, "parts"), maxParts) {
		p := readPart(m)
		c.media(p.inline, true)
		c.media(p.file, false)
	}
}

// media checks what is inline, or where it is.
func (c *checker) media(v jsonx.Value, inline bool) {
	if !c.object(v) {
		return
	}
	kind := get(v, "mimeType")
	document := kindOf(kind.Text()) == llm.PartFile
	if inline {
		if !kind.Exists() {
			c.p.Missing(v, "mimeType")
		}
		if data, ok := c.p.Require(v, "data"); ok && c.p.Text(data, maxMedia) {
			if document {
				token.Document(&c.r.Size, kind.Text(), data.Inner())
			} else {
				c.r.Size.Media += int64(len(data.Inner()))
			}
		}
	} else if uri := get(v, "fileUri"); !uri.Exists() {
		c.p.Missing(v, "fileUri")
	} else {
		c.p.Text(uri, maxMedia)
	}
	c.p.String(kind)
	switch {
	case !document:
		c.r.Size.Images++
	case !inline:
		token.Elsewhere(&c.r.Size)
	}
	if need := needOf(kindOf(kind.Text())); !c.r.Needs.Has(need) {
		c.r.Needs.Add(need, v.Path())
	}
}

// kindOf returns the kind of part for a media type.
func kindOf(media string) llm.PartKind {
	family, _, _ := strings.Cut(strings.ToLower(media), "/")
	switch family {
	case "image":
		return llm.PartImage
	case "audio":
		return llm.PartAudio
	case "video":
		return llm.PartVideo
	}
	return llm.PartFile
}

func needOf(kind llm.PartKind) llm.Need {
	switch kind {
	case llm.PartImage:
		return llm.NeedImageInput
	case llm.PartAudio:
		return llm.NeedAudioInput
	case llm.PartVideo:
		return llm.NeedVideoInput
	}
	return llm.NeedFileInput
}
