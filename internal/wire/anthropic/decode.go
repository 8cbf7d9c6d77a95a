package anthropic

import (
	"encoding/json"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// decodeChat makes a conversation of a checked body. Every member goes to a
// field of its own or to Extra, but for null and empty lists.
func decodeChat(root jsonx.Value) (*llm.Chat, error) {
	d := decoder{Taking: dialect.Begin()}
	for name, v := range root.Members() {
		if v.Exists() && !d.setting(name, v) && !d.structure(name, v) {
			d.Extra(v)
		}
	}
	// An effort says more than adaptive does, and beside a budget one of the two
	// has no field.
	if r := d.Chat.Reasoning; r != nil && r.Effort != "" {
		r.Adaptive = false
		if r.Budget != 0 {
			r.Budget = 0
			d.Extra(root.Get("thinking").Get("budget_tokens"))
		}
	}
	dialect.Rename(d.Chat)
	return d.Chat, nil
}

// decoder gathers a conversation.
type decoder struct {
	dialect.Taking
}

// setting takes over a scalar member, and reports whether name is one.
func (d *decoder) setting(name []byte, v jsonx.Value) bool {
	c := d.Chat
	switch string(name) {
	case "model", "stream": // the request has them
	case "max_tokens":
		c.MaxOutput = dialect.Integer(v)
	case "temperature":
		c.Temperature = dialect.Number(v)
	case "top_p":
		if !unset(v) {
			c.TopP = dialect.Number(v)
		}
	case "top_k":
		if !unset(v) {
			c.TopK = dialect.Integer(v)
		}
	case "stop_sequences":
		for _, s := range v.Items() {
			c.Stop = append(c.Stop, s.Text())
		}
	case "service_tier":
		return v.Is("auto") || v.Is("standard_only") || v.Is(standard) || v.Is(batch)
	default:
		return false
	}
	return true
}

// structure takes over a member that is an array or an object.
func (d *decoder) structure(name []byte, v jsonx.Value) bool {
	c := d.Chat
	switch string(name) {
	case "system":
		c.System = d.content(v)
	case "messages":
		for _, m := range v.Items() {
			d.message(m)
		}
	case "tools":
		for _, t := range v.Items() {
			d.tool(t)
		}
	case "tool_choice":
		d.choice(v)
	case "thinking":
		d.thinking(v)
	case "output_config":
		if e := v.Get("effort"); e.Kind() == jsonx.String {
			d.reasoning().Effort = e.Text()
		}
		if f := v.Get("format"); f.Exists() {
			d.format(f)
		}
		d.Extras(v, "effort", "format")
	case "output_format":
		d.format(v)
	case "metadata":
		c.User = v.Get("user_id").Text()
		d.Extras(v, "user_id")
	default:
		return false
	}
	return true
}

func (d *decoder) reasoning() *llm.Reasoning {
	if d.Chat.Reasoning == nil {
		d.Chat.Reasoning = &llm.Reasoning{}
	}
	return d.Chat.Reasoning
}

// thinking takes over the member thinking.
func (d *decoder) thinking(v jsonx.Value) {
	r := d.reasoning()
	kind := v.Get("type")
	switch {
	case kind.Is("disabled"):
		r.Disabled = true
	case kind.Is("adaptive"):
		r.Adaptive = true
	case kind.Is("enabled"):
		r.Budget, _ = v.Get("budget_tokens").Int()
	}
	r.Display = v.Get("display").Text()
	d.Extras(v, "type", "budget_tokens", "display")
}

// format takes over a format of structured output.
func (d *decoder) format(v jsonx.Value) {
	d.Chat.Format = &llm.Format{JSON: true, Schema: json.RawMessage(v.Get("schema").Raw()), Name: v.Get("name").Text()}
	d.Extras(v, "type", "schema", "name")
}

// tool takes over one definition; those that run at the provider have no field.
func (d *decoder) tool(t jsonx.Value) {
	if kind := t.Get("type"); kind.Exists() && !kind.Is("custom") {
		d.Extra(t)
		return
	}
	tool := llm.Tool{
		Name:        t.Get("name").Text(),
		Description: t.Get("description").Text(),
		Schema:      json.RawMessage(t.Get("input_schema").Raw()),
		Cache:       cacheMark(t),
	}
	if b, ok := t.Get("strict").Bool(); ok {
		tool.Strict = &b
	}
	d.Chat.Tools = append(d.Chat.Tools, tool)
	d.Extras(t, "type", "name", "description", "input_schema", "strict", "cache_control")
}

func (d *decoder) choice(v jsonx.Value) {
	c := &llm.ToolChoice{Mode: llm.ToolAuto}
	switch kind := v.Get("type"); {
	case kind.Is("any"), kind.Is(required):
		c.Mode = llm.ToolRequired
	case kind.Is("none"):
		c.Mode = llm.ToolNone
	case kind.Is("tool"):
		c.Mode, c.Name = llm.ToolNamed, v.Get("name").Text()
	}
	d.Chat.ToolChoice = c
	if b, ok := v.Get("disable_parallel_tool_use").Bool(); ok {
		parallel := !b
		d.Chat.ParallelTools = &parallel
	}
	d.Extras(v, "type", "name", "disable_parallel_tool_use")
}

func (d *decoder) message(m jsonx.Value) {
	role := llm.Role(m.Get("role").Text())
	d.Chat.Messages = append(d.Chat.Messages, llm.Message{Role: role, Parts: d.content(m.Get("content"))})
	d.Extras(m, "role", "content")
}

// content takes over a text or a list of blocks.
func (d *decoder) content(v jsonx.Value) []llm.Part {
	switch v.Kind() {
	case jsonx.String:
		return []llm.Part{{Kind: llm.PartText, Text: v.Text()}}
	case jsonx.Array:
		out := make([]llm.Part, 0, v.Len())
		for _, b := range v.Items() {
			if p, ok := d.block(b); ok {
				p.Cache = cacheMark(b)
				out = append(out, p)
			}
		}
		return out
	}
	return nil
}

// block takes over one block, or keeps it as an extra.
func (d *decoder) block(b jsonx.Value) (llm.Part, bool) {
	var p llm.Part
	switch kind := b.Get("type"); {
	case kind.Is("text"):
		p = llm.Part{Kind: llm.PartText, Text: b.Get("text").Text()}
		if c := b.Get("citations"); c.Len() > 0 {
			p.Citations = json.RawMessage(c.Raw())
		}
		d.Extras(b, "type", "text", "citations", "cache_control")
	case kind.Is("image"), kind.Is("document"):
		return d.source(b, kind.Is("document"))
	case kind.Is("tool_use"):
		p = llm.Part{Kind: llm.PartToolCall, ToolID: b.Get("id").Text(), ToolName: b.Get("name").Text(), Args: json.RawMessage(b.Get("input").Raw())}
		if caller := b.Get("caller"); caller.Exists() && !caller.Get("type").Is("direct") {
			d.Extra(caller)
		}
		d.Extras(b, "type", "id", "name", "input", "caller", "cache_control")
	case kind.Is("tool_result"):
		p = llm.Part{Kind: llm.PartToolResult, ToolID: b.Get("tool_use_id").Text(), Parts: d.content(b.Get("content"))}
		p.IsError, _ = b.Get("is_error").Bool()
		d.Extras(b, "type", "tool_use_id", "content", "is_error", "cache_control")
	case kind.Is("thinking"):
		p = llm.Part{Kind: llm.PartReasoning, Text: b.Get("thinking").Text(), Signature: b.Get("signature").Text()}
		d.Extras(b, "type", "thinking", "signature", "cache_control")
	case kind.Is("redacted_thinking"):
		p = llm.Part{Kind: llm.PartRedacted, Data: b.Get("data").Text()}
		d.Extras(b, "type", "data", "cache_control")
	default:
		d.Extra(b)
		return p, false
	}
	return p, true
}

// source takes over an image or a document.
func (d *decoder) source(b jsonx.Value, document bool) (llm.Part, bool) {
	p := llm.Part{Kind: llm.PartImage}
	if document {
		p = llm.Part{Kind: llm.PartFile, Name: b.Get("title").Text()}
	}
	s := b.Get("source")
	switch kind := s.Get("type"); {
	case kind.Is("base64"):
		p.MediaType, p.Data = s.Get("media_type").Text(), s.Get("data").Text()
	case kind.Is("url"):
		p.URL = s.Get("url").Text()
	case kind.Is("file"):
		p.FileID = s.Get("file_id").Text()
	case kind.Is("text"):
		p.MediaType, p.Text = "text/plain", s.Get("data").Text()
	default:
		d.Extra(b)
		return p, false
	}
	d.Extras(s, "type", "media_type", "data", "url", "file_id")
	if c := b.Get("citations"); c.Exists() && c.Get("enabled").Kind() == jsonx.True {
		d.Extra(c)
	}
	d.Extras(b, "type", "source", "title", "citations", "cache_control")
	return p, true
}

// cacheMark reads the marker at v.
func cacheMark(v jsonx.Value) *llm.CacheMark {
	c := v.Get("cache_control")
	if c.Kind() != jsonx.Object {
		return nil
	}
	return &llm.CacheMark{TTL: c.Get("ttl").Text()}
}
