package responses

import (
	"encoding/json"
	"strings"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// decodeChat makes a conversation of a checked body. Every member goes to a
// field of its own or to Extra, but for null and empty lists, for what says no
// more than the default, and for what the gateway itself takes care of.
func decodeChat(root jsonx.Value) (*llm.Chat, error) {
	d := decoder{Taking: dialect.Begin()}
	d.request(root)
	dialect.Rename(d.Chat)
	return d.Chat, nil
}

// decoder gathers a conversation.
type decoder struct {
	dialect.Taking
	talking bool    // something beside the leading system messages was seen
	results bool    // the last message is a user's turn that began with results of tools
	effort  string  // of the last update within the conversation
	at      *places // nil: nobody asks where everything stood
	spaces  *spaces
}

func (d *decoder) request(root jsonx.Value) {
	d.spaces = spacesOf(root.Get("tools"))
	// What the request says for itself stands before what was said in the past.
	if v := root.Get("instructions"); v.Kind() == jsonx.String {
		d.system([]llm.Part{{Kind: llm.PartText, Text: v.Text()}})
	}
	for name, v := range root.Members() {
		if v.Exists() && !d.setting(name, v) && !d.structure(name, v) && !isDefault(name, v) {
			d.Extra(v)
		}
	}
	if d.effort == "" {
		return
	}
	if d.Chat.Reasoning == nil {
		d.Chat.Reasoning = &llm.Reasoning{}
	}
	d.Chat.Reasoning.Effort = d.effort
}

// isDefault reports whether a member says what would hold without it.
func isDefault(name []byte, v jsonx.Value) bool {
	switch string(name) {
	case "top_logprobs":
		n, ok := v.Int()
		return ok && n == 0
	case "truncation":
		return v.Is("disabled")
	case "service_tier":
		return v.Is("auto") || v.Is("default")
	case "metadata":
		return v.Kind() == jsonx.Object && v.Len() == 0
	}
	return false
}

// setting takes over a scalar member, and reports whether name is one.
func (d *decoder) setting(name []byte, v jsonx.Value) bool {
	c := d.Chat
	switch string(name) {
	case "model", "stream", "stream_options", // the request has them
		"instructions",
		"store", "background", "previous_response_id": // the gateway's own
	case "temperature":
		c.Temperature = dialect.Number(v)
	case "top_p":
		c.TopP = dialect.Number(v)
	case "max_output_tokens":
		c.MaxOutput = dialect.Integer(v)
	case "parallel_tool_calls":
		if b, ok := v.Bool(); ok {
			c.ParallelTools = &b
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
	case "input":
		d.input(v)
	case "tools":
		for _, t := range v.Items() {
			if t.Get("type").Is(kindNamespace) {
				d.namespace(t)
			} else {
				d.tool(t, "", "")
			}
		}
	case "tool_choice":
		return d.choice(v)
	case "text":
		d.format(v.Get("format"))
		d.Extras(v, "format")
	case "reasoning":
		d.reasoning(v)
	case "include":
		for _, i := range v.Items() {
			if !included[i.Text()] {
				d.Extra(i)
			}
		}
	default:
		return false
	}
	return true
}

// included are the inclusions that are always made, as far as there is anything
// to include: the seal of reasoning, and what tools that run at a provider of
// this dialect bring along.
var included = map[string]bool{
	"reasoning.encrypted_content":           true,
	"file_search_call.results":              true,
	"web_search_call.results":               true,
	"web_search_call.action.sources":        true,
	"code_interpreter_call.outputs":         true,
	"computer_call_output.output.image_url": true,
	"message.input_image.image_url":         true,
}

// namespace takes over the tools of a namespace, under joined names. What it says of
// itself stands with the first of them.
func (d *decoder) namespace(t jsonx.Value) {
	about := t.Get("description").Text()
	for _, in := range t.Get("tools").Items() {
		d.tool(in, t.Get("name").Text(), about)
		about = ""
	}
	d.Extras(t, "type", "name", "description", "tools")
}

// tool takes over one definition, of a namespace if space is not empty; types other
// than function and custom have no field. about is what stands before its
// description.
func (d *decoder) tool(t jsonx.Value, space, about string) {
	var tool llm.Tool
	switch kind := t.Get("type"); {
	case kind.Is("custom"):
		tool = d.Custom(t, t.Get("format"))
	case kind.Is("function"):
		tool = d.function(t)
	default:
		d.Extra(t)
		return
	}
	d.at.tool(t)
	tool.Name = d.spaces.name(spaced{space, tool.Name})
	if about != "" {
		tool.Description = strings.TrimSpace(about + "\n\n" + tool.Description)
	}
	d.Chat.Tools = append(d.Chat.Tools, tool)
}

// function returns a function as a tool.
func (d *decoder) function(t jsonx.Value) llm.Tool {
	tool := llm.Tool{Name: t.Get("name").Text(), Description: t.Get("description").Text()}
	if s := t.Get("parameters"); s.Exists() {
		tool.Schema = json.RawMessage(s.Raw())
	}
	if b, ok := t.Get("strict").Bool(); ok {
		tool.Strict = &b
	}
	d.Extras(t, "type", "name", "description", "parameters", "strict")
	return tool
}

// choice takes over tool_choice, unless it names something else than functions and
// custom tools.
func (d *decoder) choice(v jsonx.Value) bool {
	switch {
	case v.Is("auto"), v.Is("none"), v.Is("required"):
		d.Chat.ToolChoice = &llm.ToolChoice{Mode: llm.ToolMode(v.Text())}
	case v.Get("type").Is("function"), v.Get("type").Is("custom"):
		d.Chat.ToolChoice = &llm.ToolChoice{Mode: llm.ToolNamed, Name: d.named(v)}
	case v.Get("type").Is("allowed_tools"):
		names := make([]string, 0, v.Get("tools").Len())
		for _, t := range v.Get("tools").Items() {
			if kind := t.Get("type"); !kind.Is("function") && !kind.Is("custom") {
				return false
			}
			names = append(names, d.named(t))
		}
		d.Chat.ToolChoice = llm.Narrow(llm.ToolMode(v.Get("mode").Text()), names)
	default:
		return false
	}
	return true
}

// named returns the name of a tool that v tells.
func (d *decoder) named(v jsonx.Value) string {
	return d.spaces.name(spaced{v.Get("namespace").Text(), v.Get("name").Text()})
}

// format takes over text.format; text is what holds without it.
func (d *decoder) format(v jsonx.Value) {
	kind := v.Get("type")
	switch {
	case kind.Is("json_object"):
		d.Chat.Format = &llm.Format{JSON: true}
	case kind.Is("json_schema"):
		f := &llm.Format{JSON: true, Name: v.Get("name").Text(), Description: v.Get("description").Text(), Schema: json.RawMessage(v.Get("schema").Raw())}
		if b, ok := v.Get("strict").Bool(); ok {
			f.Strict = &b
		}
		d.Chat.Format = f
	}
	d.Extras(v, "type", "name", "description", "schema", "strict")
}

// reasoning takes over how much to think, and how much of it to tell.
func (d *decoder) reasoning(v jsonx.Value) {
	r := &llm.Reasoning{Effort: v.Get("effort").Text()}
	if v.Get("summary").Exists() || v.Get("generate_summary").Exists() {
		r.Display = "summarized"
	}
	if *r != (llm.Reasoning{}) {
		d.Chat.Reasoning = r
	}
	d.Extras(v, "effort", "summary", "generate_summary")
}
