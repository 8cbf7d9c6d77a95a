package openai

import (
	"bytes"
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
	maxModel  = 256
	maxTokens = 1 << 40
	maxTools  = 4096
	maxName   = 64
	maxStops  = 64 // DeepSeek's are 16, OpenAI's 4

	maxTokenIDs = 1 << 20
)

// request checks the members of the body.
func (c *checker) request(root jsonx.Value) {
	c.p.Require(root, "model")
	c.p.Require(root, "messages")
	for name, v := range root.Members() {
		if c.p.Full() {
			return
		}
		if v.Exists() && !c.setting(name, v) {
			c.structure(name, v)
		}
	}
	c.output(root)
	c.choice(root)
	c.functionCall(root)
}

// setting checks the scalar members, and reports whether name is one.
func (c *checker) setting(name []byte, v jsonx.Value) bool {
	switch string(name) {
	case "model":
		if c.p.Text(v, maxModel) {
			c.r.Model = v.Text()
		}
	case "stream":
		c.r.Stream, _ = c.p.Bool(v)
	case "temperature":
		if f, ok := c.p.Number(v, 0, 2); ok && f != 1 {
			c.r.Needs.Add(llm.NeedTemperature, "temperature")
		}
	case "top_p":
		c.p.Number(v, 0, 1)
	case "frequency_penalty", "presence_penalty":
		c.p.Number(v, -2, 2)
	case "n":
		if n, ok := c.p.Integer(v, 1, 128); ok {
			c.r.Choices = int(n)
		}
	case "seed":
		c.p.Integer(v, -1<<63, 1<<63-1)
	case "logprobs", "parallel_tool_calls", "store":
		c.p.Bool(v)
	case "top_logprobs":
		c.p.Integer(v, 0, 20)
	case "reasoning_effort":
		// default is Groq's.
		if !v.Is("default") && c.p.OneOf(v, efforts...) && !v.Is("none") {
			c.r.Needs.Add(llm.NeedReasoning, "reasoning_effort")
		}
	case "verbosity":
		c.p.OneOf(v, "low", "medium", "high")
	case "user", "prompt_cache_key", "prompt_cache_retention", "service_tier":
		c.p.String(v)
	case "safety_identifier":
		c.p.Short(v, 64)
	default:
		return c.sampling(name, v)
	}
	return true
}

// structure checks the members that are arrays and objects.
func (c *checker) structure(name []byte, v jsonx.Value) {
	switch string(name) {
	case "messages":
		c.messages(v)
	case "stop":
		if v.Kind() == jsonx.Array {
			c.p.Strings(v, 0, maxStops) // how many it takes is for the vendor to judge
		} else if v.Kind() != jsonx.String {
			c.p.Type(v, "a string or an array of strings")
		}
	case "stream_options":
		if c.p.Object(v) {
			c.r.IncludeUsage, _ = c.p.Bool(v.Get("include_usage"))
			c.p.Bool(v.Get("include_obfuscation"))
		}
	case "tools":
		c.tools(v)
	case "functions":
		c.functions(v)
	case "response_format":
		c.format(v)
	case "logit_bias":
		if c.p.Object(v) {
			for _, bias := range v.Members() {
				c.p.Number(bias, -100, 100)
			}
		}
	case "metadata":
		c.p.Pairs(v, 16, 64, 512)
	case "modalities":
		c.modalities(v)
	case "audio":
		if c.p.Object(v) {
			c.p.Require(v, "voice")
			if f, ok := c.p.Require(v, "format"); ok {
				c.p.String(f)
			}
		}
	case "prompt_cache_options", "moderation", "prediction":
		c.p.Object(v)
	case "web_search_options":
		if c.p.Object(v) {
			c.r.Hosted.Search(1)
		}
	case "plugins": // OpenRouter's
		for _, p := range v.Items() {
			if p.Get("id").Is("web") {
				c.r.Hosted.Search(1)
			}
		}
	case "search_parameters": // xAI's
		if most, _ := v.Get("max_search_results").Int(); v.Kind() == jsonx.Object && !v.Get("mode").Is("off") {
			c.r.Hosted.Search(most)
		}
	}
}

// output takes the limit of the answer from either of its members.
func (c *checker) output(root jsonx.Value) {
	for _, name := range []string{"max_completion_tokens", "max_tokens"} {
		v := root.Get(name)
		n, ok := c.p.Integer(v, 1, maxTokens)
		if !ok {
			continue
		}
		if c.r.HasMaxOutput && n != c.r.MaxOutput {
			c.p.Invalid(v, "Must not differ from max_completion_tokens")
		}
		if !c.r.HasMaxOutput {
			c.r.MaxOutput, c.r.HasMaxOutput = n, true
		}
	}
}

func (c *checker) modalities(v jsonx.Value) {
	if !c.p.Array(v, 0, 8) {
		return
	}
	for _, m := range v.Items() {
		if m.Kind() != jsonx.String {
			c.p.Type(m, "a string")
		} else if m.Is("image") { // OpenRouter's
			continue
		} else if c.p.OneOf(m, "text", "audio") && m.Is("audio") {
			c.r.Needs.Add(llm.NeedAudioOutput, "modalities")
		}
	}
}

// vendorFormat reports whether a kind of response_format is some vendor's own:
// Perplexity's, Fireworks' and vLLM's, Hugging Face's.
func vendorFormat(kind jsonx.Value) bool {
	return kind.Is("regex") || kind.Is("grammar") || kind.Is("structural_tag") || kind.Is("json")
}

// format checks response_format. What it holds of a vendor's own is for that to
// judge.
func (c *checker) format(v jsonx.Value) {
	if !c.p.Object(v) {
		return
	}
	c.weigh(v)
	kind, ok := c.p.Require(v, "type")
	if !ok || vendorFormat(kind) || !c.p.OneOf(kind, "text", "json_object", "json_schema") || !kind.Is("json_schema") {
		return
	}
	c.r.Needs.Add(llm.NeedJSONSchema, "response_format")
	if flat := v.Get("schema"); flat.Exists() && !v.Get("json_schema").Exists() { // Together's
		c.schemas.Check(&c.p, flat)
		return
	}
	s, ok := c.p.Require(v, "json_schema")
	if !ok || !c.p.Object(s) {
		return
	}
	c.p.SchemaName(s, maxName)
	c.p.String(s.Get("description"))
	c.p.Bool(s.Get("strict"))
	if schema := s.Get("schema"); schema.Exists() {
		c.schemas.Check(&c.p, schema)
	}
}

// tools checks the definitions of tools. Types other than function and custom
// belong to a vendor, and are for it to judge.
func (c *checker) tools(v jsonx.Value) {
	if !c.p.Array(v, 0, maxTools) {
		return
	}
	c.weigh(v)
	for _, t := range v.Items() {
		if c.p.Full() {
			return
		}
		c.r.Needs.Add(llm.NeedTools, "tools")
		if t.Kind() != jsonx.Object {
			c.p.Type(t, "an object")
			continue
		}
		kind := t.Get("type")
		switch {
		case kind.Is("function"):
			c.function(t, "function")
		case kind.Is("custom"):
			c.function(t, "custom")
		case !kind.Exists() && t.Get("function").Exists(): // seen from Mistral's clients
			c.function(t, "function")
		case !kind.Exists():
			c.p.Missing(t, "type")
		default:
			c.p.String(kind)
			c.r.Hosted.Offer(kind.Text(), 0)
		}
	}
}

// function checks the description of one tool under the given member.
func (c *checker) function(tool jsonx.Value, member string) {
	f, ok := c.p.Require(tool, member)
	if ok && c.p.Object(f) {
		c.signature(f)
	}
}

// signature checks name, description and parameters of a function.
func (c *checker) signature(f jsonx.Value) {
	if n, ok := c.p.Require(f, "name"); ok {
		c.name(n)
	}
	c.p.String(f.Get("description"))
	c.p.Bool(f.Get("strict"))
	c.grammar(f.Get("format"))
	if s := f.Get("parameters"); s.Exists() {
		c.schemas.Check(&c.p, s)
	}
}

// name checks the name of a tool. Dots and colons, which OpenAI does not take, are
// Google's, and other vendors'.
func (c *checker) name(v jsonx.Value) {
	const known = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:"
	if v.Kind() == jsonx.String && bytes.ContainsAny(v.Inner(), ".:") && strings.Trim(v.Text(), known) == "" {
		c.p.Text(v, maxName)
		return
	}
	c.p.Name(v, maxName)
}

// grammar checks the format of the text for a custom tool.
func (c *checker) grammar(format jsonx.Value) {
	if !c.p.Object(format) || !format.Get("type").Is("grammar") {
		return
	}
	if g, ok := c.p.Require(format, "grammar"); ok && c.p.Object(g) {
		for _, name := range [...]string{"syntax", "definition"} {
			if v, ok := c.p.Require(g, name); ok {
				c.p.String(v)
			}
		}
	}
}

// functions checks the predecessor of tools.
func (c *checker) functions(v jsonx.Value) {
	if !c.p.Array(v, 1, 128) {
		return
	}
	c.weigh(v)
	c.r.Needs.Add(llm.NeedTools, "functions")
	for _, f := range v.Items() {
		if f.Kind() != jsonx.Object {
			c.p.Type(f, "an object")
			continue
		}
		c.signature(f)
	}
}

// functionCall checks the predecessor of tool_choice against functions.
func (c *checker) functionCall(root jsonx.Value) {
	v, functions := root.Get("function_call"), root.Get("functions")
	if v.Kind() != jsonx.Object {
		c.p.OneOf(v, "none", "auto")
		return
	}
	c.r.Needs.Add(llm.NeedForcedTool, "function_call")
	name, ok := c.p.Require(v, "name")
	if !ok || !c.p.Text(name, maxName) {
		return
	}
	if !functions.Exists() {
		c.p.Invalid(v, "Needs functions")
		return
	}
	for _, f := range functions.Items() {
		if f.Get("name").Is(name.Text()) {
			return
		}
	}
	if functions.Len() > 0 {
		c.p.Invalid(name, "Names a function that is not among functions")
	}
}

// choice checks tool_choice against the tools.
func (c *checker) choice(root jsonx.Value) {
	v, tools := root.Get("tool_choice"), root.Get("tools")
	switch v.Kind() {
	case jsonx.Absent, jsonx.Null:
		return
	case jsonx.String:
		// any is Mistral's word for required.
		if !c.p.OneOf(v, "none", "auto", "required", "any") || v.Is("none") || v.Is("auto") {
			return
		}
		c.r.Needs.Add(llm.NeedForcedTool, "tool_choice")
	case jsonx.Object:
		c.named(v, tools)
	default:
		c.p.Type(v, "a string or an object")
		return
	}
	if !tools.Exists() || tools.Kind() == jsonx.Array && tools.Len() == 0 {
		c.p.Invalid(v, "Needs tools")
	}
}

// named checks a tool_choice that names what may be called.
func (c *checker) named(v, tools jsonx.Value) {
	kind, ok := c.p.Require(v, "type")
	if !ok || !c.p.OneOf(kind, "function", "custom", "allowed_tools") {
		return
	}
	inner, ok := c.p.Require(v, kind.Text())
	if !ok || !c.p.Object(inner) {
		return
	}
	if kind.Is("allowed_tools") {
		if mode, ok := c.p.Require(inner, "mode"); ok && c.p.OneOf(mode, "auto", "required") && mode.Is("required") {
			c.r.Needs.Add(llm.NeedForcedTool, "tool_choice")
		}
		if list, ok := c.p.Require(inner, "tools"); ok {
			c.allowed(list, tools)
		}
		return
	}
	c.r.Needs.Add(llm.NeedForcedTool, "tool_choice")
	if name, ok := c.p.Require(inner, "name"); ok && c.p.Text(name, maxName) {
		dialect.Offered(&c.p, name, toolNames(tools))
	}
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
		for _, member := range [...]string{"function", "custom"} {
			if name := t.Get(member).Get("name"); c.p.String(name) {
				dialect.Offered(&c.p, name, names)
			}
		}
	}
}

// toolNames returns the names of the functions and custom tools among tools, and
// nil if there are no tools at all: that is what the caller is told then.
func toolNames(tools jsonx.Value) map[string]bool {
	if tools.Kind() != jsonx.Array || tools.Len() == 0 {
		return nil
	}
	names := make(map[string]bool)
	for _, t := range tools.Items() {
		for _, member := range [...]string{"function", "custom"} {
			if n := t.Get(member).Get("name"); n.Kind() == jsonx.String {
				names[n.Text()] = true
			}
		}
	}
	return names
}

// weigh counts the text of a value as it stands.
func (c *checker) weigh(v jsonx.Value) { dialect.Count(&c.r.Size, v.Raw()) }
