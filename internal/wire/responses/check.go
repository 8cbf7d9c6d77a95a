package responses

import (
	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// checker validates one body and fills the request on the way.
type checker struct {
	counts  bool // nothing is to be answered
	compact bool // the conversation is to be answered in less
	p       fields.Problems
	r       *llm.Request
	schemas *fields.Schemas
}

// Bounds of the official description, and ours where it has none.
const (
	maxModel     = 256
	minTokens    = 16
	maxTokens    = 1 << 40
	maxTools     = 4096
	maxName      = 128
	maxItems     = 100_000
	maxParts     = 100_000
	maxCallID    = 64
	maxOutput    = 10_485_760 // characters of a tool's result
	maxOpaque    = 20_971_520 // characters of what only its issuer can read
	maxMedia     = 1 << 31    // characters of a URL or of base64: the body is bounded
	maxResponse  = 256        // characters of the id of a response
	maxIncludes  = 64
	minThreshold = 1000
)

// request checks the members of the body.
func (c *checker) request(root jsonx.Value) {
	if !root.Get("prompt").Exists() { // which is refused, and holds the rest
		c.p.Require(root, "model")
		if !c.counts && !root.Get("previous_response_id").Exists() {
			c.p.Require(root, "input")
		}
	}
	for name, v := range root.Members() {
		if c.p.Full() {
			return
		}
		if v.Exists() && !c.setting(name, v) && !c.remembered(name, v) {
			c.structure(name, v)
		}
	}
	if c.compact {
		c.compacting(root)
	}
	c.choice(root)
	c.background(root)
}

// setting checks the scalar members, and reports whether name is one.
func (c *checker) setting(name []byte, v jsonx.Value) bool {
	switch string(name) {
	case "model":
		if c.p.Text(v, maxModel) {
			c.r.Model = v.Text()
		}
	case "instructions":
		if c.p.String(v) {
			dialect.Count(&c.r.Size, v.Inner())
		}
	case "stream":
		c.r.Stream, _ = c.p.Bool(v)
	case "max_output_tokens":
		if n, ok := c.p.Integer(v, minTokens, maxTokens); ok {
			c.r.MaxOutput, c.r.HasMaxOutput = n, true
		}
	case "max_tool_calls":
		if n, ok := c.p.Integer(v, 1, maxTokens); ok {
			c.r.Hosted.Limit(n)
		}
	case "temperature":
		if f, ok := c.p.Number(v, 0, 2); ok && f != 1 {
			c.r.Needs.Add(llm.NeedTemperature, "temperature")
		}
	case "top_p":
		c.p.Number(v, 0, 1)
	case "top_logprobs":
		c.p.Integer(v, 0, 20)
	case "parallel_tool_calls":
		c.p.Bool(v)
	case "truncation":
		c.p.OneOf(v, "auto", "disabled")
	case "user", "prompt_cache_key", "prompt_cache_retention", "service_tier":
		c.p.String(v)
	case "safety_identifier":
		c.p.Short(v, 64)
	default:
		return false
	}
	return true
}

// remembered checks the members that ask for something to be remembered, and
// reports whether name is one. What the gateway has not is refused: without it
// the answer would be one to another question.
func (c *checker) remembered(name []byte, v jsonx.Value) bool {
	t := c.r.Thread
	switch string(name) {
	case "store":
		t.Store, t.Asked = c.p.Bool(v)
	case "background":
		t.Background, _ = c.p.Bool(v)
	case "previous_response_id":
		if c.p.Text(v, maxResponse) {
			t.Previous = v.Text()
		}
	case "conversation":
		c.p.Add(v, fault.UnsupportedParameter, "Conversations are not kept here: send the items, or previous_response_id.")
	case "prompt":
		c.p.Add(v, fault.UnsupportedParameter, "Prompts are not kept here: send instructions and input.")
	default:
		return false
	}
	return true
}

// structure checks the members that are arrays and objects.
func (c *checker) structure(name []byte, v jsonx.Value) {
	switch string(name) {
	case "input":
		c.input(v)
	case "tools":
		c.tools(v)
	case "text":
		if c.p.Object(v) {
			c.format(v.Get("format"))
			c.p.OneOf(v.Get("verbosity"), "low", "medium", "high")
		}
	case "reasoning":
		c.reasoning(v)
	case "include":
		c.p.Strings(v, 0, maxIncludes)
	case "metadata":
		c.p.Pairs(v, 16, 64, 512)
	case "stream_options":
		if c.p.Object(v) {
			c.p.Bool(v.Get("include_obfuscation"))
		}
	case "context_management":
		c.management(v)
	case "prompt_cache_options", "moderation":
		c.p.Object(v)
	}
}

func (c *checker) reasoning(v jsonx.Value) {
	if !c.p.Object(v) {
		return
	}
	if e := v.Get("effort"); c.p.OneOf(e, "none", "minimal", "low", "medium", "high", "xhigh", "max") && !e.Is("none") {
		c.r.Needs.Add(llm.NeedReasoning, "reasoning.effort")
	}
	c.p.OneOf(v.Get("summary"), "auto", "concise", "detailed")
	c.p.OneOf(v.Get("generate_summary"), "auto", "concise", "detailed")
	c.p.OneOf(v.Get("context"), "auto", "current_turn", "all_turns")
	c.p.String(v.Get("mode"))
}

// format checks text.format.
func (c *checker) format(v jsonx.Value) {
	if !c.p.Object(v) {
		return
	}
	dialect.Count(&c.r.Size, v.Raw())
	kind, ok := c.p.Require(v, "type")
	if !ok || !c.p.OneOf(kind, "text", "json_object", "json_schema") || !kind.Is("json_schema") {
		return
	}
	c.r.Needs.Add(llm.NeedJSONSchema, "text.format")
	c.p.SchemaName(v, 64)
	c.p.String(v.Get("description"))
	c.p.Bool(v.Get("strict"))
	if schema, ok := c.p.Require(v, "schema"); ok {
		c.schemas.Check(&c.p, schema)
	}
}

func (c *checker) management(v jsonx.Value) {
	if !c.p.Array(v, 1, maxItems) {
		return
	}
	for _, m := range v.Items() {
		if c.p.Full() {
			return
		}
		if m.Kind() != jsonx.Object {
			c.p.Type(m, "an object")
			continue
		}
		if kind, ok := c.p.Require(m, "type"); ok {
			c.p.String(kind)
		}
		c.p.Integer(m.Get("compact_threshold"), minThreshold, maxTokens)
	}
}

// background checks what cannot be asked of an answer that nobody waits for.
func (c *checker) background(root jsonx.Value) {
	if t := c.r.Thread; t.Background && !t.Store {
		c.p.Invalid(root.Get("background"), "Needs store: the answer is asked for later")
	}
}
