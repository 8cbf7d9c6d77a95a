package gemini

import (
	"encoding/json"
	"strings"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// decodeChat makes a conversation of a checked body. Every member goes to a
// field of its own or to Extra, but for null and empty lists.
func decodeChat(root jsonx.Value) *llm.Chat {
	d := decoder{chat: &llm.Chat{}}
	for name, v := range root.Members() {
		if !v.Exists() {
			continue
		}
		switch string(unsnake(name)) {
		case "model": // the request has it
		case "systemInstruction":
			d.system(v)
		case "contents":
			for i, m := range list(v) {
				d.content(m, i)
			}
		case "tools":
			d.tools(v)
		case "toolConfig":
			d.toolConfig(v, functions(get(root, "tools")))
		case "generationConfig":
			d.config(v)
		default:
			d.extra(v)
		}
	}
	dialect.Rename(d.chat)
	return d.chat
}

// decoder gathers a conversation.
type decoder struct {
	chat  *llm.Chat
	calls []call
	said  strings.Builder // the text of the last part, once something was added to it
}

// extra keeps what has no field, unless it is an empty list.
func (d *decoder) extra(v jsonx.Value) {
	if v.Exists() && (v.Kind() != jsonx.Array || v.Len() > 0) {
		d.chat.Extra = append(d.chat.Extra, llm.Extra{Path: v.Path(), Value: json.RawMessage(v.Raw())})
	}
}

// extras keeps all members of v but the named ones.
func (d *decoder) extras(v jsonx.Value, but ...string) {
next:
	for name, m := range v.Members() {
		n := string(unsnake(name))
		for _, b := range but {
			if n == b {
				continue next
			}
		}
		d.extra(m)
	}
}

func (d *decoder) system(v jsonx.Value) {
	if v.Kind() == jsonx.String {
		d.chat.System = []llm.Part{{Kind: llm.PartText, Text: v.Text()}}
		return
	}
	d.extras(v, "role", "parts")
	for _, one := range list(get(v, "parts")) {
		p := readPart(one)
		if !p.text.Exists() {
			d.extra(one)
			continue
		}
		for _, m := range p.rest {
			d.extra(m)
		}
		d.chat.System = append(d.chat.System, llm.Part{Kind: llm.PartText, Text: p.text.Text()})
	}
}

// config takes over generationConfig.
func (d *decoder) config(v jsonx.Value) {
	c := d.chat
	for name, m := range v.Members() {
		if !m.Exists() {
			continue
		}
		switch string(unsnake(name)) {
		case "temperature":
			c.Temperature = dialect.Number(m)
		case "topP":
			c.TopP = dialect.Number(m)
		case "topK":
			if c.TopK = dialect.Integer(m); c.TopK != nil && *c.TopK == 0 {
				c.TopK = nil // as many as there are
			}
		case "candidateCount":
			if n, ok := m.Int(); ok {
				c.Choices = int(n)
			}
		case "maxOutputTokens":
			c.MaxOutput = dialect.Integer(m)
		case "stopSequences":
			for _, s := range m.Items() {
				c.Stop = append(c.Stop, s.Text())
			}
		case "presencePenalty":
			c.PresencePenalty = dialect.Number(m)
		case "frequencyPenalty":
			c.FrequencyPenalty = dialect.Number(m)
		case "seed":
			c.Seed = dialect.Integer(m)
		case "thinkingConfig":
			d.thinking(m)
		case "responseMimeType", "responseSchema", "responseJsonSchema", "_responseJsonSchema": // see format
		case "responseModalities":
			if m.Len() != 1 || !strings.EqualFold(m.At(0).Text(), "TEXT") {
				d.extra(m)
			}
		default:
			d.extra(m)
		}
	}
	d.format(v)
}

// format takes over the form of the answer.
func (d *decoder) format(v jsonx.Value) {
	own, full := get(v, "responseSchema"), get(v, "responseJsonSchema")
	if !full.Exists() {
		full = get(v, "_responseJsonSchema")
	}
	media := get(v, "responseMimeType")
	switch {
	case media.Is("application/json"):
	case media.Exists() && !media.Is("text/plain") && !media.Is(""), !own.Exists() && !full.Exists():
		if !media.Is("text/plain") && !media.Is("") {
			d.extra(media)
		}
		d.extra(own)
		d.extra(full)
		return
	}
	f := &llm.Format{JSON: true}
	switch {
	case own.Exists():
		f.Schema, f.Name = jsonSchema(own), "response"
	case full.Exists():
		f.Schema, f.Name = json.RawMessage(full.Raw()), "response"
	}
	d.chat.Format = f
}

// thinking takes over thinkingConfig.
func (d *decoder) thinking(v jsonx.Value) {
	r := &llm.Reasoning{}
	budget, level := get(v, "thinkingBudget"), strings.ToLower(get(v, "thinkingLevel").Text())
	switch n, ok := budget.Int(); {
	case ok && n == 0:
		r.Disabled = true
	case ok && n < 0:
		r.Adaptive = true
	case ok:
		r.Budget = n
	case level != "" && level != strings.ToLower(levels[0]):
		r.Effort = level
	}
	d.extras(v, "thinkingBudget", "thinkingLevel", "includeThoughts")
	switch on, ok := get(v, "includeThoughts").Bool(); {
	case on:
		r.Display = "summarized"
	case ok && !r.Disabled:
		r.Display = "omitted"
	}
	d.chat.Reasoning = r
}

// tools takes over the functions; tools that run at the provider have no field.
func (d *decoder) tools(v jsonx.Value) {
	for _, t := range list(v) {
		for name, m := range t.Members() {
			if string(unsnake(name)) != "functionDeclarations" {
				d.extra(m)
				continue
			}
			for _, f := range list(m) {
				d.function(f)
			}
		}
	}
}

func (d *decoder) function(f jsonx.Value) {
	t := llm.Tool{Name: f.Get("name").Text(), Description: get(f, "description").Text()}
	if own := get(f, "parameters"); own.Exists() {
		t.Schema = jsonSchema(own)
	} else if full := get(f, "parametersJsonSchema"); full.Exists() {
		t.Schema = json.RawMessage(full.Raw())
	}
	d.chat.Tools = append(d.chat.Tools, t)
	d.extras(f, "name", "description", "parameters", "parametersJsonSchema")
}

// toolConfig takes over how functions may be called. The mode VALIDATED has no field,
// which is AUTO with calls that are sure to match their schemas.
func (d *decoder) toolConfig(v jsonx.Value, have []jsonx.Value) {
	d.extras(v, "functionCallingConfig")
	f := get(v, "functionCallingConfig")
	d.extras(f, "mode", "allowedFunctionNames")
	mode, names := get(f, "mode"), get(f, "allowedFunctionNames")
	choice := &llm.ToolChoice{Mode: llm.ToolAuto}
	switch enumerator(mode, modes) {
	case "", modes[0]:
		d.extra(names)
		return
	case "NONE":
		choice.Mode = llm.ToolNone
	case "ANY":
		choice.Mode = llm.ToolRequired
		switch n := names.Len(); {
		case n == 1:
			choice.Mode, choice.Name = llm.ToolNamed, names.At(0).Text()
		case n > 0 && !all(names, have):
			choice = llm.Narrow(choice.Mode, texts(names))
		}
	case "VALIDATED":
		d.extra(mode)
		if names.Len() > 0 && !all(names, have) {
			choice = llm.Narrow(choice.Mode, texts(names))
		}
	default:
		d.extra(names)
	}
	d.chat.ToolChoice = choice
}

func texts(list jsonx.Value) []string {
	out := make([]string, 0, list.Len())
	for _, v := range list.Items() {
		out = append(out, v.Text())
	}
	return out
}

// all reports whether names has that of every function.
func all(names jsonx.Value, have []jsonx.Value) bool {
	listed := map[string]bool{}
	for _, n := range names.Items() {
		listed[n.Text()] = true
	}
	for _, f := range have {
		if !listed[f.Get("name").Text()] {
			return false
		}
	}
	return true
}
