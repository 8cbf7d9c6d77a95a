package traffic

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// conversation lists all that a request says, each as a line, sorted: texts by
// role, calls with their arguments, results, media, tools and settings. Two
// requests in different dialects that mean the same have the same lines, but
// for what Anthropic must have: a limit of output, and tools where there were
// calls. So a provider's body may hold those though its origin, the caller's,
// does not.
//
// Ids of calls are numbered in their order, since some dialects forbid others'
// ids, and media stand without their role: a result of a tool that is an image
// goes into a message of the user.
func conversation(api string, body, origin []byte) []string {
	c := talk{ids: map[string]string{}}
	o := parse(body)
	if ask := parse(origin); origin != nil && ask["max_tokens"] == nil && ask["max_completion_tokens"] == nil {
		delete(o, "max_tokens")
	}
	if origin != nil && valueOf(origin, "tools") == nil {
		delete(o, "tools")
	}
	if api == "openai.chat" {
		c.openAI(o)
	} else {
		c.anthropic(o)
	}
	sort.Strings(c.lines)
	return c.lines
}

type talk struct {
	lines []string
	ids   map[string]string
}

// id is the number of a call.
func (c *talk) id(v any) string {
	s := str(v)
	if c.ids[s] == "" {
		c.ids[s] = fmt.Sprint("#", len(c.ids)+1)
	}
	return c.ids[s]
}

func (c *talk) add(kind string, v any) {
	switch s := v.(type) {
	case nil:
	case string:
		if strings.TrimSpace(s) != "" {
			c.lines = append(c.lines, kind+": "+s)
		}
	case json.Number:
		f, _ := s.Float64()
		c.lines = append(c.lines, fmt.Sprintf("%s: %g", kind, f))
	default:
		b, _ := json.Marshal(v)
		c.lines = append(c.lines, kind+": "+string(b))
	}
}

// topP adds top_p. 1 says nothing.
func (c *talk) topP(v any) {
	if n, ok := v.(json.Number); ok {
		if f, err := n.Float64(); err == nil && f == 1 {
			return
		}
	}
	c.add("top_p", v)
}

func (c *talk) openAI(o object) {
	for _, m := range list(o["messages"]) {
		c.openAIMessage(obj(m))
	}
	for _, t := range list(o["tools"]) {
		if fn := obj(obj(t)["function"]); fn != nil {
			c.tool(fn["name"], fn["description"], fn["parameters"])
		}
	}
	c.add("max", first(o["max_completion_tokens"], o["max_tokens"]))
	c.add("temperature", o["temperature"])
	c.topP(o["top_p"])
	c.stops(o["stop"])
	format := obj(obj(o["response_format"])["json_schema"])
	c.add("schema", format["schema"])
}

func (c *talk) stops(v any) {
	if s, ok := v.(string); ok {
		c.add("stop", s)
	}
	for _, s := range list(v) {
		c.add("stop", s)
	}
}

func (c *talk) tool(name, description, schema any) {
	c.add("tool", name)
	c.add("tool "+str(name)+" is", description)
	if props := obj(obj(schema)["properties"]); len(props) > 0 {
		c.add("tool "+str(name)+" takes", props)
	}
}

func (c *talk) openAIMessage(m object) {
	role := str(m["role"])
	switch role {
	case "developer":
		role = "system"
	case "tool", "function":
		role = "result " + c.id(m["tool_call_id"])
	}
	c.openAIContent(role, m["content"])
	c.add(role, m["refusal"])
	for _, t := range list(m["tool_calls"]) {
		t := obj(t)
		args := tidy(str(obj(t["function"])["arguments"]))
		if args == "null" { // some models write it where a tool takes nothing
			args = "{}"
		}
		c.add("call "+c.id(t["id"])+" "+str(obj(t["function"])["name"]), args)
	}
}

func (c *talk) openAIContent(role string, v any) {
	c.add(role, textOnly(v))
	for _, p := range list(v) {
		p := obj(p)
		switch str(p["type"]) {
		case "text":
			c.add(role, p["text"])
		case "refusal":
			c.add(role, p["refusal"])
		case "image_url":
			url, _ := p["image_url"].(string)
			if url == "" {
				url = str(obj(p["image_url"])["url"])
			}
			c.add("image", media(url))
		case "file":
			c.add("file", media(str(first(obj(p["file"])["file_data"], obj(p["file"])["file_id"]))))
		case "document_url":
			c.add("file", media(str(p["document_url"])))
		case "input_audio":
			c.add("audio", obj(p["input_audio"])["data"])
		}
	}
}

func textOnly(v any) any {
	if s, ok := v.(string); ok {
		return s
	}
	return nil
}

// media is the payload of a data URL, or the URL.
func media(url string) string {
	kind, data, ok := strings.Cut(url, ";base64,")
	if !ok {
		return url
	}
	if text, err := base64.StdEncoding.DecodeString(data); err == nil && strings.HasPrefix(kind, "data:text/") {
		return string(text)
	}
	return data
}

func (c *talk) anthropic(o object) {
	c.blocks("system", o["system"])
	for _, m := range list(o["messages"]) {
		c.blocks(str(obj(m)["role"]), obj(m)["content"])
	}
	for _, t := range list(o["tools"]) {
		if t := obj(t); t["input_schema"] != nil {
			c.tool(t["name"], t["description"], t["input_schema"])
		}
	}
	c.add("max", o["max_tokens"])
	c.add("temperature", o["temperature"])
	c.topP(o["top_p"])
	c.stops(o["stop_sequences"])
	format := obj(first(obj(o["output_config"])["format"], o["output_format"], object{}))
	c.add("schema", format["schema"])
}

func (c *talk) blocks(role string, v any) {
	c.add(role, textOnly(v))
	for _, b := range list(v) {
		b := obj(b)
		switch str(b["type"]) {
		case "text":
			c.add(role, b["text"])
		case "image":
			c.add("image", first(obj(b["source"])["data"], obj(b["source"])["url"]))
		case "document":
			if str(obj(b["source"])["type"]) == "text" {
				c.add(role, obj(b["source"])["data"])
				continue
			}
			c.add("file", first(obj(b["source"])["data"], obj(b["source"])["url"], obj(b["source"])["file_id"]))
		case "tool_use":
			in := b["input"]
			if raw, wrapped := obj(in)["_raw"]; wrapped { // what the model wrote that is no object
				in = raw
			}
			raw, _ := json.Marshal(in)
			c.add("call "+c.id(b["id"])+" "+str(b["name"]), tidy(string(raw)))
		case "tool_result":
			c.blocks("result "+c.id(b["tool_use_id"]), b["content"])
		}
	}
}

// opened is state of a provider without the seal that it travels under with
// callers of the simple surface.
func opened(s string) string {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || parts[0] != "pontage1" {
		return s
	}
	state, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return s
	}
	return string(state)
}
