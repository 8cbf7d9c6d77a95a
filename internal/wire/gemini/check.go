package gemini

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
	maxContents = 100_000
	maxParts    = 100_000
	maxTools    = 4096
	maxName     = 128
	maxStops    = 5
	maxChoices  = 8
	maxLogprobs = 20
	maxMedia    = 1 << 31 // characters of a URL or of base64: the body is bounded
)

// object checks that v is an object, in which no member stands in both spellings.
func (c *checker) object(v jsonx.Value) bool {
	if !c.p.Object(v) {
		return false
	}
	ok := true
	for name, m := range v.Members() {
		if n := unsnake(name); len(n) != len(name) && v.Get(string(n)).Kind() != jsonx.Absent {
			c.p.Invalid(m, "Must not stand beside "+string(n))
			ok = false
		}
	}
	return ok
}

// list checks that v is a list of at most max objects, or one, and returns them.
func (c *checker) list(v jsonx.Value, max int) []jsonx.Value {
	switch v.Kind() {
	case jsonx.Absent, jsonx.Null:
		return nil
	case jsonx.Array:
		if !c.p.Array(v, 0, max) {
			return nil
		}
	case jsonx.Object:
	default:
		c.p.Type(v, "an array of objects")
		return nil
	}
	out := list(v)
	for i, e := range out {
		switch {
		case c.p.Full():
			return out[:i]
		case e.Kind() != jsonx.Object:
			c.p.Type(e, "an object")
		default:
			c.object(e)
		}
	}
	return out
}

// request checks the members of a request to generate.
func (c *checker) request(root jsonx.Value) {
	if !c.object(root) {
		return
	}
	contents := get(root, "contents")
	if !contents.Exists() {
		c.p.Missing(root, "contents")
	}
	for name, v := range root.Members() {
		if c.p.Full() {
			return
		}
		if !v.Exists() {
			continue
		}
		switch string(unsnake(name)) {
		case "model":
			c.named(v)
		case "contents":
			c.contents(v)
		case "systemInstruction":
			c.system(v)
		case "tools":
			c.tools(v)
		case "toolConfig":
			c.toolConfig(v, get(root, "tools"))
		case "generationConfig":
			c.config(v)
		case "safetySettings":
			c.list(v, maxTools)
		case "cachedContent", "serviceTier":
			c.p.String(v)
		case "labels":
			c.p.Object(v)
		}
	}
}

// named checks that a model in the body is that of the path.
func (c *checker) named(v jsonx.Value) {
	if c.p.String(v) && c.r.Model != "" && modelName(v.Text()) != c.r.Model {
		c.p.Invalid(v, "Must be the model in the path")
	}
}

// config checks generationConfig.
func (c *checker) config(v jsonx.Value) {
	if !c.object(v) {
		return
	}
	for name, m := range v.Members() {
		if c.p.Full() {
			return
		}
		if m.Exists() && !c.sampling(string(unsnake(name)), m) {
			c.form(string(unsnake(name)), m)
		}
	}
	if s := get(v, "responseSchema"); s.Exists() {
		for _, name := range []string{"responseJsonSchema", "_responseJsonSchema"} {
			if j := get(v, name); j.Exists() {
				c.p.Invalid(j, "Must not stand beside responseSchema")
			}
		}
	}
}

// sampling checks a number of generationConfig, and reports whether name is one.
func (c *checker) sampling(name string, m jsonx.Value) bool {
	switch name {
	case "temperature":
		if f, ok := c.p.Number(m, 0, 2); ok && f != 1 {
			c.r.Needs.Add(llm.NeedTemperature, m.Path())
		}
	case "topP":
		c.p.Number(m, 0, 1)
	case "topK":
		c.p.Integer(m, 0, maxTokens)
	case "candidateCount":
		if n, ok := c.p.Integer(m, 1, maxChoices); ok {
			c.r.Choices = int(n)
		}
	case "maxOutputTokens":
		if n, ok := c.p.Integer(m, 1, maxTokens); ok {
			c.r.MaxOutput, c.r.HasMaxOutput = n, true
		}
	case "stopSequences":
		c.p.Strings(m, 0, maxStops)
	case "presencePenalty", "frequencyPenalty":
		c.p.Number(m, -2, 2)
	case "seed":
		c.p.Integer(m, -1<<31, 1<<31-1)
	case "responseLogprobs":
		c.p.Bool(m)
	case "logprobs":
		c.p.Integer(m, 0, maxLogprobs)
	default:
		return false
	}
	return true
}

// form checks a member of generationConfig that says what kind of answer is
// wanted.
func (c *checker) form(name string, m jsonx.Value) {
	switch name {
	case "responseMimeType":
		c.p.String(m)
	case "responseSchema":
		if c.p.Object(m) {
			c.r.Needs.Add(llm.NeedJSONSchema, m.Path())
			dialect.Count(&c.r.Size, m.Raw())
		}
	case "responseJsonSchema", "_responseJsonSchema":
		c.r.Needs.Add(llm.NeedJSONSchema, m.Path())
		dialect.Count(&c.r.Size, m.Raw())
		c.schemas.Check(&c.p, m)
	case "responseModalities":
		if c.p.Strings(m, 0, maxTools) {
			for _, one := range m.Items() {
				if strings.EqualFold(one.Text(), "AUDIO") {
					c.r.Needs.Add(llm.NeedAudioOutput, one.Path())
				}
			}
		}
	case "thinkingConfig":
		c.thinking(m)
	}
}

// levels are the words for how much to think.
var levels = []string{"THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH"}

// thinking checks thinkingConfig.
func (c *checker) thinking(v jsonx.Value) {
	if !c.object(v) {
		return
	}
	c.p.Bool(get(v, "includeThoughts"))
	budget, level := get(v, "thinkingBudget"), get(v, "thinkingLevel")
	if n, ok := c.p.Integer(budget, -1, maxTokens); ok && n != 0 {
		c.r.Needs.Add(llm.NeedReasoning, budget.Path())
	}
	if !c.p.String(level) {
		return
	}
	word := strings.ToUpper(level.Text())
	if !c.oneOf(level, word, levels...) || word == levels[0] {
		return
	}
	c.r.Needs.Add(llm.NeedReasoning, level.Path())
	if budget.Exists() {
		c.p.Invalid(level, "Must not stand beside thinkingBudget")
	}
}

// oneOf checks that v, which is word in the spelling of the dialect, is one of
// the words.
func (c *checker) oneOf(v jsonx.Value, word string, words ...string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return c.p.OneOf(v, words...)
}

// tools checks the definitions of tools. Those that run at the provider are for
// it to judge.
func (c *checker) tools(v jsonx.Value) {
	tools := c.list(v, maxTools)
	if len(tools) > 0 {
		dialect.Count(&c.r.Size, v.Raw())
	}
	for _, t := range tools {
		for name, m := range t.Members() {
			if m.Exists() {
				c.r.Needs.Add(llm.NeedTools, v.Path())
				c.hosted(name)
			}
		}
		for _, f := range c.list(get(t, "functionDeclarations"), maxTools) {
			if c.p.Full() {
				return
			}
			c.function(f)
		}
	}
}

// hosted notes a tool that may run at the provider.
func (c *checker) hosted(name []byte) {
	switch string(unsnake(name)) {
	case "googleSearch", "googleSearchRetrieval", "enterpriseWebSearch", "googleMaps":
		c.r.Hosted.Search(0)
	case "fileSearch", "retrieval":
		c.r.Hosted.SearchFiles(0)
	case "codeExecution":
		c.r.Hosted.Run()
	}
}

// function checks one function.
func (c *checker) function(f jsonx.Value) {
	if n, ok := c.p.Require(f, "name"); ok {
		c.p.Text(n, maxName)
	}
	c.p.String(get(f, "description"))
	own, full := get(f, "parameters"), get(f, "parametersJsonSchema")
	c.p.Object(own)
	if full.Exists() {
		c.schemas.Check(&c.p, full)
		if own.Exists() {
			c.p.Invalid(full, "Must not stand beside parameters")
		}
	}
}

// modes are the words for how functions may be called, by their numbers in Google's
// protocol buffers.
var modes = []string{"MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"}

// enumerator returns the word that v is, in capital letters, whether it stands there
// or its number does, which some clients send; "" for anything else.
func enumerator(v jsonx.Value, words []string) string {
	if n, ok := v.Int(); ok && n >= 0 && n < int64(len(words)) {
		return words[n]
	}
	return strings.ToUpper(v.Text())
}

// toolConfig checks toolConfig against the tools.
func (c *checker) toolConfig(v, tools jsonx.Value) {
	if !c.object(v) {
		return
	}
	f := get(v, "functionCallingConfig")
	if !c.object(f) {
		return
	}
	mode := get(f, "mode")
	word := enumerator(mode, modes)
	if word == "" && !c.p.String(mode) || !c.oneOf(mode, word, modes...) {
		return
	}
	names := get(f, "allowedFunctionNames")
	if !c.p.Strings(names, 0, maxTools) && names.Exists() || word != "ANY" {
		return
	}
	c.r.Needs.Add(llm.NeedForcedTool, mode.Path())
	have := functions(tools)
	if len(have) == 0 {
		c.p.Invalid(mode, "Needs functions")
		return
	}
	for _, n := range names.Items() {
		if !has(have, n.Text()) {
			c.p.Invalid(n, "Names a function that is not among tools")
		}
	}
}

// functions lists the functions of the tools.
func functions(tools jsonx.Value) []jsonx.Value {
	var out []jsonx.Value
	for _, t := range list(tools) {
		out = append(out, list(get(t, "functionDeclarations"))...)
	}
	return out
}

func has(functions []jsonx.Value, name string) bool {
	for _, f := range functions {
		if f.Get("name").Is(name) {
			return true
		}
	}
	return false
}
