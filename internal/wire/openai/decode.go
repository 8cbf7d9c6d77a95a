package openai

import (
	"bytes"
	"encoding/json"
	"iter"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// decodeChat makes a conversation of a checked body. Every member goes to a
// field of its own or to Extra, but for null and empty lists, and for what says
// no more than the default: those ask for nothing.
func decodeChat(root jsonx.Value) (*llm.Chat, error) {
	d := decoder{Taking: dialect.Begin(), legacy: legacy(root), wishes: wishes(root)}
	for name, v := range root.Members() {
		if v.Exists() && !d.setting(name, v) && !d.structure(name, v) && !isDefault(name, v) {
			d.Extra(v)
		}
	}
	dialect.Rename(d.Chat)
	return d.Chat, nil
}

// arguments returns what a function is called with: a text, or as some vendors have
// it, the object itself.
func arguments(v jsonx.Value) json.RawMessage {
	if v.Kind() == jsonx.Object {
		return json.RawMessage(v.Raw())
	}
	return dialect.Arguments(v.Text())
}

// decoder gathers a conversation.
type decoder struct {
	dialect.Taking
	talking bool // a message other than the leading system messages was seen
	results bool // the last message is a user's turn that began with tool results
	legacy  bool // functions are offered, and no tools
	wishes  int  // how many members say how much to think

	calls, called string // the last call of a function without a result: its id and its name
}

// isDefault reports whether a member says what would hold without it.
func isDefault(name []byte, v jsonx.Value) bool {
	switch string(name) {
	case "logprobs", "store":
		return v.Kind() == jsonx.False
	case "service_tier":
		return v.Is("auto") || v.Is("default")
	case "modalities":
		return v.Len() == 0 || v.Len() == 1 && v.At(0).Is("text")
	case "logit_bias", "metadata":
		return v.Kind() == jsonx.Object && v.Len() == 0
	}
	return false
}

// setting takes over a scalar member, and reports whether name is one.
func (d *decoder) setting(name []byte, v jsonx.Value) bool {
	c := d.Chat
	switch string(name) {
	case "model", "stream", "stream_options": // the request has them
	case "temperature":
		c.Temperature = dialect.Number(v)
	case "top_p":
		c.TopP = dialect.Number(v)
	case "top_k":
		if n := dialect.Integer(v); n != nil && *n > 0 { // the rest switches it off
			c.TopK = n
		}
	case "frequency_penalty":
		c.FrequencyPenalty = dialect.Number(v)
	case "presence_penalty":
		c.PresencePenalty = dialect.Number(v)
	case "seed":
		c.Seed = dialect.Integer(v)
	case "n":
		if n := dialect.Integer(v); n != nil {
			c.Choices = int(*n)
		}
	case "max_completion_tokens", "max_tokens":
		c.MaxOutput = dialect.Integer(v)
	case "parallel_tool_calls":
		if b, ok := v.Bool(); ok {
			c.ParallelTools = &b
		}
	case "reasoning_effort":
		if !v.Is("default") {
			c.Reasoning = &llm.Reasoning{Effort: v.Text()}
		}
	case "user", "safety_identifier":
		if c.User != "" && !v.Is(c.User) {
			return false
		}
		c.User = v.Text()
	default:
		return false
	}
	return true
}

// structure takes over a member that is an array or an object.
func (d *decoder) structure(name []byte, v jsonx.Value) bool {
	switch string(name) {
	case "messages":
		for _, m := range v.Items() {
			d.message(m)
		}
	case "stop":
		if v.Kind() == jsonx.String {
			d.Chat.Stop = []string{v.Text()}
		}
		for _, s := range v.Items() {
			d.Chat.Stop = append(d.Chat.Stop, s.Text())
		}
	case "tools":
		for _, t := range v.Items() {
			d.tool(t)
		}
	case "tool_choice":
		return d.choice(v)
	case "reasoning":
		return d.wishes == 1 && v.Kind() == jsonx.Object && d.reasoning(v)
	case "thinking":
		return d.wishes == 1 && v.Kind() == jsonx.Object && d.thinking(v)
	case "functions":
		if !d.legacy {
			return false
		}
		d.functions(v)
	case "function_call":
		if !d.legacy {
			return false
		}
		d.functionChoice(v)
	case "response_format":
		d.format(v)
	default:
		return false
	}
	return true
}

// tool takes over one definition; types other than function and custom have no
// field.
func (d *decoder) tool(t jsonx.Value) {
	if c := t.Get("custom"); t.Get("type").Is("custom") {
		tool := d.Custom(c, c.Get("format").Get("grammar"))
		tool.Cache = cacheMark(t)
		d.Chat.Tools = append(d.Chat.Tools, tool)
		d.Extras(t, "type", "custom", "cache_control", "prompt_cache_breakpoint")
		return
	}
	f := t.Get("function")
	if kind := t.Get("type"); kind.Exists() && !kind.Is("function") || !f.Exists() {
		d.Extra(t)
		return
	}
	tool := d.function(f)
	tool.Cache = cacheMark(t)
	d.Chat.Tools = append(d.Chat.Tools, tool)
	d.Extras(t, "type", "function", "cache_control", "prompt_cache_breakpoint")
}

// function returns a function as a tool.
func (d *decoder) function(f jsonx.Value) llm.Tool {
	tool := llm.Tool{Name: f.Get("name").Text(), Description: f.Get("description").Text()}
	if s := f.Get("parameters"); s.Exists() {
		tool.Schema = json.RawMessage(s.Raw())
	}
	if b, ok := f.Get("strict").Bool(); ok {
		tool.Strict = &b
	}
	d.Extras(f, "name", "description", "parameters", "strict")
	return tool
}

// choice takes over tool_choice, unless it names other tools than functions and
// custom ones.
func (d *decoder) choice(v jsonx.Value) bool {
	switch {
	case v.Is("auto"), v.Is("none"), v.Is("required"):
		d.Chat.ToolChoice = &llm.ToolChoice{Mode: llm.ToolMode(v.Text())}
	case v.Is("any"):
		d.Chat.ToolChoice = &llm.ToolChoice{Mode: llm.ToolRequired}
	case v.Get("type").Is("function"), v.Get("type").Is("custom"):
		d.Chat.ToolChoice = &llm.ToolChoice{Mode: llm.ToolNamed, Name: v.Get(v.Get("type").Text()).Get("name").Text()}
	case v.Get("type").Is("allowed_tools"):
		allowed := v.Get("allowed_tools")
		names := make([]string, 0, allowed.Get("tools").Len())
		for _, t := range allowed.Get("tools").Items() {
			kind := t.Get("type")
			if !kind.Is("function") && !kind.Is("custom") {
				return false
			}
			names = append(names, t.Get(kind.Text()).Get("name").Text())
		}
		d.Chat.ToolChoice = llm.Narrow(llm.ToolMode(allowed.Get("mode").Text()), names)
	default:
		return false
	}
	return true
}

// format takes over response_format; text is what holds without it.
func (d *decoder) format(v jsonx.Value) {
	kind := v.Get("type")
	switch {
	case kind.Is("json_object"):
		d.Chat.Format = &llm.Format{JSON: true}
	case kind.Is("json_schema"):
		s := v.Get("json_schema")
		f := &llm.Format{JSON: true, Name: s.Get("name").Text(), Description: s.Get("description").Text()}
		if schema := s.Get("schema"); schema.Exists() {
			f.Schema = json.RawMessage(schema.Raw())
		}
		if b, ok := s.Get("strict").Bool(); ok {
			f.Strict = &b
		}
		d.Chat.Format = f
		d.Extras(s, "name", "description", "schema", "strict")
	case vendorFormat(kind):
		d.Extra(kind)
	}
	d.Extras(v, "type", "json_schema")
}

// message takes over one message. Leading system messages stand apart; tool
// results become parts of a user's turn, which the user's own next message
// continues: they must answer the assistant's calls in one turn.
func (d *decoder) message(m jsonx.Value) {
	role := m.Get("role")
	id := m.Get("tool_call_id").Text()
	isResult := role.Is("tool")
	if role.Is("function") {
		if d.calls == "" || !m.Get("name").Is(d.called) {
			d.talking = true
			d.Extra(m) // which answers nothing
			return
		}
		id, isResult, d.calls = d.calls, true, ""
	}
	continues := d.results && (isResult || role.Is("user"))
	defer func() { d.results = isResult }()
	if p := m.Get("prefix"); p.Kind() == jsonx.True { // Mistral's; false is the default
		d.Extra(p)
	}
	own := []string{
		"prefix", "role", "content", "tool_call_id", "tool_calls", "refusal", "reasoning_content", "reasoning",
		"thinking_blocks", "annotations", "cache_control", "prompt_cache_breakpoint", "function_call", "name",
	}
	if !role.Is("function") { // whose name is what it answers
		own = own[:len(own)-1]
	}
	if role.Is("assistant") {
		own = append(own, "images")
	}
	d.Extras(m, own...)
	var copies []string
	if role.Is("assistant") {
		copies = thoughtNames
	}
	parts := d.parts(m.Get("content"), copies...)
	if mark := cacheMark(m); mark != nil && len(parts) > 0 {
		parts[len(parts)-1].Cache = mark
	}
	to := llm.RoleUser
	switch {
	case role.Is("system"), role.Is("developer"):
		if !d.talking {
			d.Chat.System = append(d.Chat.System, parts...)
			return
		}
		to = llm.RoleSystem
	case isResult:
		result := llm.Part{Kind: llm.PartToolResult, ToolID: id, Parts: parts}
		if len(parts) > 0 {
			result.Cache, parts[len(parts)-1].Cache = parts[len(parts)-1].Cache, nil
		}
		parts = []llm.Part{result}
	case role.Is("assistant"):
		to = llm.RoleAssistant
		parts = d.assistant(m, parts)
	}
	d.talking = true
	if continues {
		last := &d.Chat.Messages[len(d.Chat.Messages)-1]
		last.Parts = append(last.Parts, parts...)
		return
	}
	d.Chat.Messages = append(d.Chat.Messages, llm.Message{Role: to, Parts: parts})
}

// assistant puts reasoning before and tool calls after the parts of content.
func (d *decoder) assistant(m jsonx.Value, content []llm.Part) []llm.Part {
	parts := thoughtsOf(m)
	if notes := m.Get("annotations"); notes.Len() > 0 {
		for i := range content {
			if content[i].Kind == llm.PartText {
				content[i].Citations = json.RawMessage(notes.Raw())
				break
			}
		}
	}
	parts = append(parts, content...)
	for _, one := range m.Get("images").Items() {
		parts = append(parts, d.made(one))
	}
	if r := m.Get("refusal"); r.Kind() == jsonx.String {
		parts = append(parts, llm.Part{Kind: llm.PartRefusal, Text: r.Text()})
	}
	if call := m.Get("function_call"); call.Exists() {
		parts = append(parts, d.functionCall(call))
	}
	for _, call := range m.Get("tool_calls").Items() {
		if c := call.Get("custom"); call.Get("type").Is("custom") {
			d.Extras(call, "id", "type", "custom", "index", "cache_control")
			d.Extras(c, "name", "input")
			parts = append(parts, llm.Part{
				Kind: llm.PartToolCall, ToolID: call.Get("id").Text(), Custom: true,
				ToolName: c.Get("name").Text(), Text: c.Get("input").Text(), Cache: cacheMark(call),
			})
			continue
		}
		f := call.Get("function")
		if !f.Exists() {
			d.Extra(call)
			continue
		}
		parts = append(parts, llm.Part{
			Kind:     llm.PartToolCall,
			ToolID:   call.Get("id").Text(),
			ToolName: f.Get("name").Text(),
			Args:     arguments(f.Get("arguments")),
			Cache:    cacheMark(call),

			Signature: d.state(call, "id", "type", "function", "index", "cache_control"),
		})
	}
	return parts
}

// made takes over an image that the assistant made.
func (d *decoder) made(v jsonx.Value) llm.Part {
	body := v.Get("image_url")
	p := llm.Part{Kind: llm.PartImage, Detail: body.Get("detail").Text()}
	p.URL, p.MediaType, p.Data = llm.SplitData(link(body))
	d.Extras(body, "url", "detail")
	p.Signature = d.state(v, "type", "image_url", "index")
	return p
}

// state returns the state that belongs to a tool call or an image, where Google's own
// API in this grammar has it, and takes over what else v holds beside its own members.
func (d *decoder) state(v jsonx.Value, own ...string) string {
	content := v.Get("extra_content")
	google := content.Get("google")
	signature := google.Get("thought_signature")
	if signature.Kind() != jsonx.String {
		d.Extras(v, own...)
		return ""
	}
	d.Extras(v, append(own, "extra_content")...)
	d.Extras(content, "google")
	d.Extras(google, "thought_signature")
	return signature.Text()
}

// cacheMark reads the marker at v: OpenAI's own, or the one that OpenRouter took
// over from Anthropic.
func cacheMark(v jsonx.Value) *llm.CacheMark {
	if c := v.Get("cache_control"); c.Kind() == jsonx.Object {
		return &llm.CacheMark{TTL: c.Get("ttl").Text()}
	}
	if v.Get("prompt_cache_breakpoint").Exists() {
		return &llm.CacheMark{}
	}
	return nil
}

// customNames returns the names of the custom tools among those of a body.
func customNames(tools []byte) map[string]bool {
	if !bytes.Contains(tools, []byte(`"custom"`)) {
		return nil
	}
	doc, err := jsonx.Parse(tools)
	if err != nil {
		return nil // cannot be: it was checked
	}
	names := map[string]bool{}
	for _, t := range doc.Root().Items() {
		if t.Get("type").Is("custom") {
			names[t.Get("custom").Get("name").Text()] = true
		}
	}
	return names
}

// toolNamesIn yields the names of all tools of a body.
func toolNamesIn(body llm.Raw) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, list := range [...]string{"tools", "functions"} {
			doc, err := jsonx.Parse(body.Value(list))
			if err != nil {
				continue // there is none: what is there was checked
			}
			for _, t := range doc.Root().Items() {
				for _, f := range [...]jsonx.Value{t, t.Get("function"), t.Get("custom")} {
					if name := f.Get("name"); name.Kind() == jsonx.String && !yield(name.Text()) {
						return
					}
				}
			}
		}
	}
}
