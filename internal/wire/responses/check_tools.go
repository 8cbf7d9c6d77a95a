package responses

import (
	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// tools checks the definitions of tools. Those that run at the provider are for
// it to judge.
func (c *checker) tools(v jsonx.Value) {
	if !c.p.Array(v, 0, maxTools) {
		return
	}
	dialect.Count(&c.r.Size, v.Raw())
	for _, t := range v.Items() {
		if c.p.Full() {
			return
		}
		c.r.Needs.Add(llm.NeedTools, "tools")
		if t.Kind() != jsonx.Object {
			c.p.Type(t, "an object")
			continue
		}
		kind, ok := c.p.Require(t, "type")
		if !ok || !c.p.String(kind) {
			continue
		}
		switch {
		case kind.Is("function"):
			c.function(t)
		case kind.Is("custom"):
			c.custom(t)
		case kind.Is(kindNamespace):
			c.namespace(t)
		default:
			c.r.Hosted.Offer(kind.Text(), 0)
		}
	}
}

// namespace checks a set of tools under a name of their own.
func (c *checker) namespace(t jsonx.Value) {
	if n, ok := c.p.Require(t, "name"); ok {
		c.p.Text(n, maxName)
	}
	c.p.String(t.Get("description"))
	list, ok := c.p.Require(t, "tools")
	if !ok || !c.p.Array(list, 1, maxTools) {
		return
	}
	for _, in := range list.Items() {
		if c.p.Full() {
			return
		}
		if in.Kind() != jsonx.Object {
			c.p.Type(in, "an object")
			continue
		}
		switch kind, ok := c.p.Require(in, "type"); {
		case !ok || !c.p.OneOf(kind, "function", "custom"):
		case kind.Is("function"):
			c.function(in)
		default:
			c.custom(in)
		}
	}
}

func (c *checker) custom(t jsonx.Value) {
	c.named(t)
	c.p.Object(t.Get("format"))
}

func (c *checker) named(t jsonx.Value) {
	if n, ok := c.p.Require(t, "name"); ok {
		c.p.Name(n, maxName)
	}
	c.p.String(t.Get("description"))
}

// function checks a function, whose members stand beside its type here.
func (c *checker) function(t jsonx.Value) {
	c.named(t)
	c.p.Bool(t.Get("strict"))
	c.p.Bool(t.Get("defer_loading"))
	for _, name := range [...]string{"parameters", "output_schema"} {
		if s := t.Get(name); s.Exists() {
			c.schemas.Check(&c.p, s)
		}
	}
}

// choice checks tool_choice against the tools.
func (c *checker) choice(root jsonx.Value) {
	v, tools := root.Get("tool_choice"), root.Get("tools")
	switch v.Kind() {
	case jsonx.Absent, jsonx.Null:
		return
	case jsonx.String:
		if !c.p.OneOf(v, "none", "auto", "required") || !v.Is("required") {
			return
		}
		c.r.Needs.Add(llm.NeedForcedTool, "tool_choice")
	case jsonx.Object:
		c.chosen(v, tools)
	default:
		c.p.Type(v, "a string or an object")
		return
	}
	if !tools.Exists() || tools.Kind() == jsonx.Array && tools.Len() == 0 {
		c.p.Invalid(v, "Needs tools")
	}
}

// chosen checks a tool_choice that names what may be called.
func (c *checker) chosen(v, tools jsonx.Value) {
	kind, ok := c.p.Require(v, "type")
	if !ok || !c.p.String(kind) {
		return
	}
	switch {
	case kind.Is("allowed_tools"):
		if mode, ok := c.p.Require(v, "mode"); ok && c.p.OneOf(mode, "auto", "required") && mode.Is("required") {
			c.r.Needs.Add(llm.NeedForcedTool, "tool_choice")
		}
		if list, ok := c.p.Require(v, "tools"); ok {
			c.allowed(list, tools)
		}
		return
	case kind.Is("function"), kind.Is("custom"):
		if name, ok := c.p.Require(v, "name"); ok && c.p.Text(name, maxName) {
			dialect.Offered(&c.p, name, toolNames(tools))
		}
	}
	c.r.Needs.Add(llm.NeedForcedTool, "tool_choice")
}

// allowed checks the subset of tools that allowed_tools names.
func (c *checker) allowed(list, tools jsonx.Value) {
	if !c.p.Array(list, 1, maxTools) {
		return
	}
	names := toolNames(tools)
	for _, t := range list.Items() {
		if c.p.Full() {
			return
		}
		if t.Kind() != jsonx.Object {
			c.p.Type(t, "an object")
			continue
		}
		if kind := t.Get("type"); kind.Is("function") || kind.Is("custom") {
			if name, ok := c.p.Require(t, "name"); ok && c.p.String(name) {
				dialect.Offered(&c.p, name, names)
			}
		}
	}
}

// toolNames returns the names of the functions and custom tools among tools, and
// nil if there are no tools at all, which is told then, or if there are namespaces,
// whose tools have names of their own.
func toolNames(tools jsonx.Value) map[string]bool {
	if tools.Kind() != jsonx.Array || tools.Len() == 0 {
		return nil
	}
	names := make(map[string]bool)
	for _, t := range tools.Items() {
		switch kind := t.Get("type"); {
		case kind.Is("function"), kind.Is("custom"):
			names[t.Get("name").Text()] = true
		case kind.Is(kindNamespace):
			return nil
		}
	}
	return names
}
