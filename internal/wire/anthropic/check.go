package anthropic

import (
	"strings"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// checker validates one body and fills the request on the way.
type checker struct {
	p       fields.Problems
	r       *llm.Request
	schemas *fields.Schemas
}

// Bounds of the official description, and ours where it has none.
const (
	maxModel    = 256
	maxTokens   = 1 << 40
	maxTools    = 4096
	maxName     = 128
	maxMessages = 100_000
	maxBlocks   = 100_000
	maxStops    = 8192
	maxMedia    = 1 << 31 // characters of a URL or of base64: the body is bounded
	minBudget   = 1024
)

// Values that are not the dialect's own, and are taken for what it has.
const (
	required = "required"
	standard = "standard"
	batch    = "batch"
)

// request checks the members of the body.
func (c *checker) request(root jsonx.Value) {
	c.p.Require(root, "model")
	if c.r.Task == llm.TaskChat {
		c.p.Require(root, "max_tokens")
	}
	c.p.Require(root, "messages")
	for name, v := range root.Members() {
		if c.p.Full() {
			return
		}
		if v.Exists() {
			c.member(name, v)
		}
	}
	c.budget(root)
	c.choice(root)
}

// member checks one member of the body; those it does not know are not judged.
func (c *checker) member(name []byte, v jsonx.Value) {
	switch string(name) {
	case "model":
		if c.p.Text(v, maxModel) {
			c.r.Model = v.Text()
		}
	case "max_tokens": // 0 fills the prompt cache and answers nothing
		if n, ok := c.p.Integer(v, 0, maxTokens); ok {
			c.r.MaxOutput, c.r.HasMaxOutput = n, true
		}
	case "stream":
		c.stream(v)
	case "temperature":
		if f, ok := c.p.Number(v, 0, 1); ok && f != 1 {
			c.r.Needs.Add(llm.NeedTemperature, "temperature")
		}
	case "top_p":
		if !unset(v) {
			c.p.Number(v, 0, 1)
		}
	case "top_k":
		if !unset(v) {
			c.p.Integer(v, 0, maxTokens)
		}
	case "stop_sequences":
		c.p.Strings(v, 0, maxStops)
	case "messages":
		c.messages(v)
	case "system":
		c.content(v, "a string or an array of text blocks")
	case "tools":
		c.tools(v)
	case "thinking":
		c.thinking(v)
	case "output_config":
		if c.p.Object(v) {
			if e := v.Get("effort"); c.p.String(e) {
				c.r.Needs.Add(llm.NeedReasoning, "output_config.effort")
			}
			c.format(v.Get("format"))
		}
	case "output_format":
		c.format(v)
	case "metadata":
		if c.p.Object(v) {
			c.p.Short(v.Get("user_id"), 256)
		}
	case "cache_control":
		c.cache(v)
	case "service_tier":
		c.tier(v)
	}
}

// unset reports whether top_p or top_k says that it says nothing, as the protocol has it
// and LangChain sends in every request (@langchain/anthropic 0.x).
func unset(v jsonx.Value) bool { return string(v.Raw()) == "-1" }

// stream checks stream. A count has nothing to stream: who asks for that would
// have what the provider says of it taken for a failure.
func (c *checker) stream(v jsonx.Value) {
	on, _ := c.p.Bool(v)
	if on && c.r.Task != llm.TaskChat {
		c.p.Invalid(v, "Must be false: a count is not streamed")
		return
	}
	c.r.Stream, c.r.IncludeUsage = on, on // the dialect always has it
}

func (c *checker) thinking(v jsonx.Value) {
	if !c.p.Object(v) {
		return
	}
	kind, ok := c.p.Require(v, "type")
	if !ok || !c.p.OneOf(kind, "enabled", "adaptive", "disabled") || kind.Is("disabled") {
		return
	}
	c.r.Needs.Add(llm.NeedReasoning, "thinking")
	if kind.Is("enabled") {
		if n, ok := c.p.Require(v, "budget_tokens"); ok {
			c.p.Integer(n, minBudget, maxTokens)
		}
	}
	c.p.OneOf(v.Get("display"), "summarized", "omitted")
}

// budget checks that thinking leaves room for the answer. Where it is interleaved
// with calls of tools, its budget is for all turns together.
func (c *checker) budget(root jsonx.Value) {
	v := root.Get("thinking")
	b := v.Get("budget_tokens")
	n, ok := b.Int()
	if !ok || n < minBudget || !v.Get("type").Is("enabled") || !c.r.HasMaxOutput || n < c.r.MaxOutput {
		return
	}
	for _, beta := range c.r.Headers["Anthropic-Beta"] {
		if strings.Contains(beta, "interleaved-thinking") {
			return
		}
	}
	c.p.Invalid(b, "Must be less than max_tokens")
}

// format checks a format of structured output.
func (c *checker) format(v jsonx.Value) {
	if !c.p.Object(v) {
		return
	}
	dialect.Count(&c.r.Size, v.Raw())
	kind, ok := c.p.Require(v, "type")
	if !ok || !c.p.OneOf(kind, "json_schema") {
		return
	}
	c.r.Needs.Add(llm.NeedJSONSchema, v.Path())
	if s, ok := c.p.Require(v, "schema"); ok {
		c.schemas.Check(&c.p, s)
	}
}

// tools checks the definitions of tools. Those with a type of their own run at
// the provider, and are for it to judge.
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
		c.cache(t.Get("cache_control"))
		if kind := t.Get("type"); kind.Exists() && !kind.Is("custom") {
			if c.p.String(kind) {
				most, _ := t.Get("max_uses").Int()
				c.r.Hosted.Offer(kind.Text(), most)
			}
			continue
		}
		if n, ok := c.p.Require(t, "name"); ok {
			c.p.Name(n, maxName)
		}
		c.p.String(t.Get("description"))
		c.p.Bool(t.Get("strict"))
		if s, ok := c.p.Require(t, "input_schema"); ok {
			c.schemas.Check(&c.p, s)
		}
	}
}

// choice checks tool_choice against the tools.
func (c *checker) choice(root jsonx.Value) {
	v, tools := root.Get("tool_choice"), root.Get("tools")
	if !c.p.Object(v) {
		return
	}
	c.p.Bool(v.Get("disable_parallel_tool_use"))
	kind, ok := c.p.Require(v, "type")
	if kind.Is(required) { // OpenAI's word for any
		c.r.Raw = c.r.Raw.With("tool_choice", jsonx.Splice(v.Raw(), []llm.Edit{{Name: "type", Value: []byte(`"any"`)}}))
	} else if !ok || !c.p.OneOf(kind, "auto", "any", "tool", "none") || kind.Is("auto") || kind.Is("none") {
		return
	}
	c.r.Needs.Add(llm.NeedForcedTool, "tool_choice")
	if !tools.Exists() || tools.Kind() == jsonx.Array && tools.Len() == 0 {
		c.p.Invalid(v, "Needs tools")
		return
	}
	if tools.Kind() != jsonx.Array || !kind.Is("tool") {
		return
	}
	name, ok := c.p.Require(v, "name")
	if !ok || !c.p.Text(name, maxName) {
		return
	}
	want := name.Text()
	for _, t := range tools.Items() {
		if t.Get("name").Is(want) || t.Get("type").Is("mcp_toolset") {
			return
		}
	}
	c.p.Invalid(name, "Names a tool that is not among tools")
}

// tier checks service_tier. Some callers send what answers say that they were
// served by, and mean the like: standard, or batch, which is no choice here.
func (c *checker) tier(v jsonx.Value) {
	switch c.p.String(v); {
	case v.Is(standard):
		c.r.Raw = c.r.Raw.With("service_tier", []byte(`"standard_only"`))
	case v.Is(batch):
		c.r.Raw = c.r.Raw.With("service_tier", []byte(`"auto"`))
	}
}

func (c *checker) cache(v jsonx.Value) {
	if !c.p.Object(v) {
		return
	}
	if kind, ok := c.p.Require(v, "type"); ok {
		c.p.OneOf(kind, "ephemeral")
	}
	c.p.OneOf(v.Get("ttl"), "5m", "1h")
}
