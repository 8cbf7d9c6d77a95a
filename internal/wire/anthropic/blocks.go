package anthropic

import (
	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/token"
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
		if role, ok := c.p.Require(m, "role"); ok {
			c.p.OneOf(role, "user", "assistant", "system")
		}
		if content, ok := c.p.Require(m, "content"); ok {
			c.content(content, "a string or an array of blocks")
		}
	}
}

// content checks a text or a list of blocks.
func (c *checker) content(v jsonx.Value, want string) {
	switch v.Kind() {
	case jsonx.String:
		dialect.Count(&c.r.Size, v.Inner())
	case jsonx.Array:
		if !c.p.Array(v, 0, maxBlocks) {
			return
		}
		for _, b := range v.Items() {
			if c.p.Full() {
				return
			}
			if b.Kind() != jsonx.Object {
				c.p.Type(b, "an object")
				continue
			}
			c.block(b)
		}
	default:
		c.p.Type(v, want)
	}
}

// block checks one block. New kinds appear with every beta; those that are not
// known here are for the provider to judge.
func (c *checker) block(b jsonx.Value) {
	kind, ok := c.p.Require(b, "type")
	if !ok || !c.p.String(kind) {
		return
	}
	c.cache(b.Get("cache_control"))
	switch {
	case kind.Is("text"):
		c.text(b, "text")
	case kind.Is("image"):
		dialect.Need(c.r, llm.NeedImageInput, b)
		c.source(b, "base64", "url", "file")
	case kind.Is("document"):
		dialect.Need(c.r, llm.NeedFileInput, b)
		c.source(b, "base64", "url", "file", "text", "content")
	case kind.Is("tool_use"):
		c.text(b, "id")
		c.text(b, "name")
		if in, ok := c.p.Require(b, "input"); ok && c.p.Object(in) {
			dialect.Count(&c.r.Size, in.Raw())
		}
	case kind.Is("tool_result"):
		c.text(b, "tool_use_id")
		c.p.Bool(b.Get("is_error"))
		if content := b.Get("content"); content.Exists() {
			c.content(content, "a string or an array of blocks")
		}
	case kind.Is("thinking"):
		c.text(b, "thinking")
		c.p.String(b.Get("signature"))
		dialect.Count(&c.r.Size, b.Get("signature").Inner())
	case kind.Is("redacted_thinking"):
		c.text(b, "data")
	default:
		dialect.Count(&c.r.Size, b.Raw())
	}
}

// text checks a required string of a block, and weighs it.
func (c *checker) text(b jsonx.Value, name string) {
	if v, ok := c.p.Require(b, name); ok && c.p.String(v) {
		dialect.Count(&c.r.Size, v.Inner())
	}
}

// source checks where an image or a document comes from: one of the given kinds.
func (c *checker) source(b jsonx.Value, kinds ...string) {
	s, ok := c.p.Require(b, "source")
	if !ok || !c.p.Object(s) {
		return
	}
	kind, ok := c.p.Require(s, "type")
	if !ok || !c.p.OneOf(kind, kinds...) {
		return
	}
	document := b.Get("type").Is("document")
	if !document || kind.Is("text") || kind.Is("content") {
		c.r.Size.Images++
	}
	switch {
	case kind.Is("base64"):
		c.inline(s, document)
	case kind.Is("text"):
		c.text(s, "data")
	case kind.Is("content"):
		if content, ok := c.p.Require(s, "content"); ok {
			c.content(content, "a string or an array of blocks")
		}
	case kind.Is("url"), kind.Is("file"):
		if document {
			token.Elsewhere(&c.r.Size)
		}
		c.named(s, kind)
	}
}

// inline checks and weighs what stands in the request.
func (c *checker) inline(s jsonx.Value, document bool) {
	media, ok := c.p.Require(s, "media_type")
	if ok {
		c.p.String(media)
	}
	data, ok := c.p.Require(s, "data")
	switch {
	case !ok || !c.p.Text(data, maxMedia):
	case document:
		token.Document(&c.r.Size, media.Text(), data.Inner())
	default:
		c.r.Size.Media += int64(len(data.Inner()))
	}
}

// named checks what the request only names.
func (c *checker) named(s, kind jsonx.Value) {
	if kind.Is("url") {
		if u, ok := c.p.Require(s, "url"); ok {
			c.p.Text(u, maxMedia)
		}
	} else if id, ok := c.p.Require(s, "file_id"); ok {
		c.p.String(id)
	}
}
