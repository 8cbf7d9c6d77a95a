package openai

import (
	"bytes"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/token"
)

const (
	maxMessages = 100_000 // Anthropic's limit; OpenAI publishes none
	maxImages   = 1024    // of one message of an assistant
	maxMedia    = 1 << 31 // characters of a URL or of base64: the body is bounded
)

// messages checks the conversation.
func (c *checker) messages(v jsonx.Value) {
	if !c.p.Array(v, 1, maxMessages) {
		return
	}
	for _, m := range v.Items() {
		if c.p.Full() {
			return
		}
		c.r.Size.Messages++
		if m.Kind() != jsonx.Object {
			c.p.Type(m, "an object")
			continue
		}
		c.message(m)
	}
}

// message checks one message by its role.
func (c *checker) message(m jsonx.Value) {
	role, ok := c.p.Require(m, "role")
	if ok && !c.p.OneOf(role, "developer", "system", "user", "assistant", "tool", "function") {
		ok = false
	}
	content := m.Get("content")
	switch {
	case content.Exists():
		c.content(content, role)
	case ok && role.Is("assistant") && speaks(m), ok && (role.Is("function") || role.Is("tool")) && content.Kind() == jsonx.Null:
	default:
		c.p.Missing(m, "content")
	}
	switch {
	case !ok:
	case role.Is("tool"):
		if id, ok := c.p.Require(m, "tool_call_id"); ok {
			c.p.String(id)
		}
	case role.Is("function"):
		if n, ok := c.p.Require(m, "name"); ok {
			c.p.String(n)
		}
	}
	for name, v := range m.Members() {
		switch string(name) {
		case "role", "content":
		case "name":
			c.p.String(v)
			dialect.Count(&c.r.Size, v.Inner())
		case "tool_call_id":
		default:
			if !v.Exists() {
				continue
			}
			if string(name) == "images" && role.Is("assistant") {
				c.images(v)
				continue
			}
			c.weigh(v)
			if ok && role.Is("assistant") {
				c.spoken(name, v)
			}
		}
	}
}

// spoken checks what an assistant said beside its content. Members that vendors
// have added are for them to judge.
func (c *checker) spoken(name []byte, v jsonx.Value) {
	switch string(name) {
	case "refusal":
		c.p.String(v)
	case "audio":
		if c.p.Object(v) {
			if id, ok := c.p.Require(v, "id"); ok {
				c.p.String(id)
			}
		}
	case "function_call":
		c.call(v)
	case "tool_calls":
		c.calls(v)
	}
}

// images checks the images that an assistant made, which are parts as a user's are.
func (c *checker) images(list jsonx.Value) {
	if !c.p.Array(list, 0, maxImages) {
		return
	}
	for _, one := range list.Items() {
		switch url := one.Get("image_url"); {
		case c.p.Full():
			return
		case one.Kind() != jsonx.Object:
			c.p.Type(one, "an object")
		case !url.Exists():
			c.p.Missing(one, "image_url")
		default:
			dialect.Need(c.r, llm.NeedImageInput, one)
			c.image(url)
		}
	}
}

// speaks reports whether an assistant's message without content says something.
func speaks(m jsonx.Value) bool {
	for _, name := range []string{"tool_calls", "function_call", "audio", "refusal", "reasoning_content", "reasoning", "reasoning_details", "images"} {
		if v := m.Get(name); v.Exists() && (v.Kind() != jsonx.Array || v.Len() > 0) {
			return true
		}
	}
	return false
}

// calls checks the tool calls of an assistant's message.
func (c *checker) calls(list jsonx.Value) {
	if !c.p.Array(list, 0, maxTools) {
		return
	}
	for _, call := range list.Items() {
		if c.p.Full() {
			return
		}
		if call.Kind() != jsonx.Object {
			c.p.Type(call, "an object")
			continue
		}
		if id, ok := c.p.Require(call, "id"); ok {
			c.p.String(id)
		}
		kind := call.Get("type")
		if kind.Exists() && !c.p.OneOf(kind, "function", "custom") {
			continue
		}
		if kind.Is("custom") {
			if f, ok := c.p.Require(call, "custom"); ok && c.p.Object(f) {
				for _, name := range [...]string{"name", "input"} {
					if v, ok := c.p.Require(f, name); ok {
						c.p.String(v)
					}
				}
			}
			continue
		}
		if f, ok := c.p.Require(call, "function"); ok {
			c.call(f)
		}
	}
}

// call checks the call of a function.
func (c *checker) call(f jsonx.Value) {
	if !c.p.Object(f) {
		return
	}
	if n, ok := c.p.Require(f, "name"); ok {
		c.p.String(n)
	}
	if args := f.Get("arguments"); args.Kind() != jsonx.Object { // as some vendors write and take them
		c.p.String(args)
	}
}

// content checks a message's content: a text, or parts.
func (c *checker) content(v, role jsonx.Value) {
	switch v.Kind() {
	case jsonx.String:
		dialect.Count(&c.r.Size, v.Inner())
	case jsonx.Array:
		if v.Len() == 0 && !role.Is("assistant") && !role.Is("tool") {
			c.p.Invalid(v, "Must not be empty")
		}
		for _, part := range v.Items() {
			if c.p.Full() {
				return
			}
			if part.Kind() != jsonx.Object {
				c.p.Type(part, "an object")
				continue
			}
			c.part(part)
		}
	default:
		c.p.Type(v, "a string or an array of parts")
	}
}

// part checks one part. Beyond OpenAI's own it knows those that other vendors of
// the dialect have added.
func (c *checker) part(part jsonx.Value) {
	kind, ok := c.p.Require(part, "type")
	if !ok || !c.p.OneOf(kind, "text", "image_url", "input_audio", "file", "refusal",
		"thinking", "reference", "document_url", "file_url", "video_url", "audio_url") {
		return
	}
	name := kind.Text()
	body, ok := c.p.Require(part, name)
	if !ok {
		return
	}
	switch name {
	case "text", "refusal":
		if c.p.String(body) {
			dialect.Count(&c.r.Size, body.Inner())
		}
	case "image_url":
		dialect.Need(c.r, llm.NeedImageInput, part)
		c.image(body)
	case "input_audio":
		dialect.Need(c.r, llm.NeedAudioInput, part)
		c.audio(body)
	case "file":
		dialect.Need(c.r, llm.NeedFileInput, part)
		if c.p.Object(body) {
			if data := body.Get("file_data"); data.Exists() && !data.Is("") {
				c.document(data)
			} else {
				token.Elsewhere(&c.r.Size)
			}
			c.p.String(body.Get("file_id"))
			c.p.String(body.Get("filename"))
		}
	case "document_url", "file_url":
		dialect.Need(c.r, llm.NeedFileInput, part)
		if body.Kind() == jsonx.Object {
			if body, ok = c.p.Require(body, "url"); !ok {
				return
			}
		}
		c.document(body)
	case "video_url":
		dialect.Need(c.r, llm.NeedVideoInput, part)
		c.link(body)
	case "audio_url":
		dialect.Need(c.r, llm.NeedAudioInput, part)
		c.link(body)
	default:
		c.weigh(body)
	}
}

// image checks {url, detail}, or the bare URL that some vendors take.
func (c *checker) image(v jsonx.Value) {
	if v.Kind() == jsonx.String {
		c.media(v)
		return
	}
	if !c.p.Object(v) {
		return
	}
	if url, ok := c.p.Require(v, "url"); ok {
		c.media(url)
	}
	c.p.OneOf(v.Get("detail"), "auto", "low", "high", "original")
}

func (c *checker) audio(v jsonx.Value) {
	if v.Kind() == jsonx.String { // Mistral's form
		c.media(v)
		return
	}
	if !c.p.Object(v) {
		return
	}
	if data, ok := c.p.Require(v, "data"); ok {
		c.media(data)
	}
	if f, ok := c.p.Require(v, "format"); ok {
		c.p.String(f)
	}
}

// link checks a URL that stands alone or in {url}.
func (c *checker) link(v jsonx.Value) {
	if v.Kind() == jsonx.Object {
		url, ok := c.p.Require(v, "url")
		if !ok {
			return
		}
		v = url
	}
	c.media(v)
}

// document weighs a document by its URL, or in base64.
func (c *checker) document(v jsonx.Value) {
	if c.p.Text(v, maxMedia) {
		token.Linked(&c.r.Size, v.Inner())
	}
}

// media counts what is inline in a URL or in base64.
func (c *checker) media(v jsonx.Value) {
	if !c.p.Text(v, maxMedia) {
		return
	}
	c.r.Size.Images++
	if !bytes.HasPrefix(v.Inner(), []byte("http")) {
		c.r.Size.Media += int64(len(v.Inner()))
	}
}
