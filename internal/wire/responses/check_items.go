package responses

import (
	"bytes"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/token"
)

// The kinds of items that are checked and translated; others are for a provider
// of the same dialect to judge.
const (
	kindMessage      = "message"
	kindCall         = "function_call"
	kindOutput       = "function_call_output"
	kindCustomCall   = "custom_tool_call"
	kindCustomOutput = "custom_tool_call_output"
	kindReasoning    = "reasoning"
	kindCompaction   = "compaction"
	kindReference    = "item_reference"
	kindImage        = "image_generation_call"
	kindUpdate       = "configuration_update"
)

// kindOf returns the kind of an item. A message may leave it out, and so may a
// reference.
func kindOf(item jsonx.Value) string {
	switch kind := item.Get("type"); {
	case kind.Exists():
		return kind.Text()
	case item.Get("role").Exists():
		return kindMessage
	case item.Get("id").Exists():
		return kindReference
	}
	return ""
}

// input checks what is asked: a text, or items.
func (c *checker) input(v jsonx.Value) {
	switch v.Kind() {
	case jsonx.String:
		c.r.Size.Messages++
		dialect.Count(&c.r.Size, v.Inner())
	case jsonx.Array:
		least := 1
		if c.r.Raw.Value("previous_response_id") != nil {
			least = 0
		}
		if !c.p.Array(v, least, maxItems) {
			return
		}
		for _, item := range v.Items() {
			if c.p.Full() {
				return
			}
			c.r.Size.Messages++
			if item.Kind() != jsonx.Object {
				c.p.Type(item, "an object")
				continue
			}
			if kind := item.Get("type"); kind.Exists() && !c.p.String(kind) {
				continue
			}
			c.item(item)
		}
	default:
		c.p.Type(v, "a string or an array of items")
	}
}

// item checks one item by its kind.
func (c *checker) item(item jsonx.Value) {
	c.p.String(item.Get("id"))
	switch kindOf(item) {
	case kindMessage:
		if role, ok := c.p.Require(item, "role"); ok {
			c.p.OneOf(role, "user", "assistant", "system", "developer")
		}
		c.p.String(item.Get("phase"))
		if content, ok := c.p.Require(item, "content"); ok {
			c.content(content)
		}
	case kindCall:
		c.called(item)
		c.text(item, "arguments")
	case kindCustomCall:
		c.called(item)
		c.text(item, "input")
	case kindOutput, kindCustomOutput:
		if id, ok := c.p.Require(item, "call_id"); ok {
			c.p.Text(id, maxCallID)
		}
		if output, ok := c.p.Require(item, "output"); ok {
			if output.Kind() != jsonx.String || c.p.Short(output, maxOutput) {
				c.content(output)
			}
		}
	case kindReasoning:
		c.thoughts(item)
	case kindCompaction:
		if opaque, ok := c.p.Require(item, "encrypted_content"); ok && c.p.Short(opaque, maxOpaque) {
			dialect.Count(&c.r.Size, opaque.Inner())
		}
	case kindReference:
		if id, ok := c.p.Require(item, "id"); ok && c.p.Text(id, maxResponse) {
			c.r.Thread.References = append(c.r.Thread.References, id.Text())
		}
	case kindImage:
		c.image(item)
	case kindUpdate:
		if v := item.Get("reasoning"); v.Exists() {
			c.reasoning(v)
		}
	case "":
		c.p.Missing(item, "type")
	default:
		dialect.Count(&c.r.Size, item.Raw())
	}
}

// called checks whom a call of a tool calls.
func (c *checker) called(item jsonx.Value) {
	if id, ok := c.p.Require(item, "call_id"); ok {
		c.p.Text(id, maxCallID)
	}
	c.text(item, "name")
	c.p.String(item.Get("namespace"))
}

// thoughts checks what a model thought before.
func (c *checker) thoughts(item jsonx.Value) {
	for _, name := range [...]string{"summary", "content"} {
		list := item.Get(name)
		if !c.p.Array(list, 0, maxParts) {
			continue
		}
		for _, part := range list.Items() {
			if c.p.Full() {
				return
			}
			if part.Kind() != jsonx.Object {
				c.p.Type(part, "an object")
				continue
			}
			c.text(part, "text")
		}
	}
	if opaque := item.Get("encrypted_content"); c.p.Short(opaque, maxOpaque) {
		dialect.Count(&c.r.Size, opaque.Inner())
	}
}

// content checks a text, or parts.
func (c *checker) content(v jsonx.Value) {
	switch v.Kind() {
	case jsonx.String:
		dialect.Count(&c.r.Size, v.Inner())
	case jsonx.Array:
		if !c.p.Array(v, 0, maxParts) {
			return
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

// part checks one part. Those that are not known here are for the provider to
// judge.
func (c *checker) part(part jsonx.Value) {
	kind, ok := c.p.Require(part, "type")
	if !ok || !c.p.String(kind) {
		return
	}
	c.p.Object(part.Get("prompt_cache_breakpoint"))
	switch {
	case kind.Is("input_text"), kind.Is("output_text"):
		c.text(part, "text")
	case kind.Is("refusal"):
		c.text(part, "refusal")
	case kind.Is("input_image"):
		dialect.Need(c.r, llm.NeedImageInput, part)
		c.p.OneOf(part.Get("detail"), "auto", "low", "high", "original")
		c.source(part, "image_url", "file_id")
	case kind.Is("input_file"):
		dialect.Need(c.r, llm.NeedFileInput, part)
		c.p.String(part.Get("filename"))
		c.source(part, "file_data", "file_url", "file_id")
	default:
		dialect.Count(&c.r.Size, part.Raw())
	}
}

// source checks that a medium comes from somewhere.
func (c *checker) source(part jsonx.Value, members ...string) {
	found := false
	for _, name := range members {
		v := part.Get(name)
		if !v.Exists() {
			continue
		}
		found = true
		if !c.p.Text(v, maxMedia) {
			continue
		}
		switch name {
		case "file_data", "file_url":
			token.Linked(&c.r.Size, v.Inner())
			continue
		case "file_id":
			if members[0] == "file_data" {
				token.Elsewhere(&c.r.Size)
				continue
			}
		}
		c.r.Size.Images++
		if name != "file_id" && !bytes.HasPrefix(v.Inner(), []byte("http")) {
			c.r.Size.Media += int64(len(v.Inner()))
		}
	}
	if !found {
		c.p.Missing(part, members[0])
	}
}

// text checks a required string of an object, and weighs it.
func (c *checker) text(object jsonx.Value, name string) {
	if v, ok := c.p.Require(object, name); ok && c.p.String(v) {
		dialect.Count(&c.r.Size, v.Inner())
	}
}
