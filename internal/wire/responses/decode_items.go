package responses

import (
	"strings"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// input takes over what is asked.
func (d *decoder) input(v jsonx.Value) {
	if v.Kind() == jsonx.String {
		d.say(llm.RoleUser, []llm.Part{{Kind: llm.PartText, Text: v.Text()}}, v)
		return
	}
	for _, item := range v.Items() {
		d.item(item)
	}
}

// item takes over one item, or keeps it as an extra. Its id and its status name
// it, and say nothing to a model.
func (d *decoder) item(item jsonx.Value) {
	switch kindOf(item) {
	case kindMessage:
		d.message(item)
	case kindCall:
		d.say(llm.RoleAssistant, []llm.Part{{
			Kind: llm.PartToolCall, ToolID: item.Get("call_id").Text(), ToolName: d.named(item),
			Args: dialect.Arguments(item.Get("arguments").Text()),
		}}, item)
		d.Extras(item, "type", "id", "status", "call_id", "name", "namespace", "arguments")
	case kindCustomCall:
		d.say(llm.RoleAssistant, []llm.Part{{
			Kind: llm.PartToolCall, ToolID: item.Get("call_id").Text(), ToolName: d.named(item),
			Custom: true, Text: item.Get("input").Text(),
		}}, item)
		d.Extras(item, "type", "id", "status", "call_id", "name", "namespace", "input")
	case kindOutput, kindCustomOutput:
		result := llm.Part{Kind: llm.PartToolResult, ToolID: item.Get("call_id").Text(), Custom: kindOf(item) == kindCustomOutput}
		result.Parts, _ = d.parts(item.Get("output"))
		d.result(result, item)
		d.Extras(item, "type", "id", "status", "call_id", "output")
	case kindReasoning:
		d.say(llm.RoleAssistant, thoughts(item), item)
		d.Extras(item, "type", "id", "status", "summary", "content", "encrypted_content")
	case kindImage:
		p, ok := made(item)
		if !ok {
			d.Extra(item)
			return
		}
		d.say(llm.RoleAssistant, []llm.Part{p}, item)
		d.Extras(item, "type", "id", "status", "result", "output_format")
	case kindUpdate:
		if effort := item.Get("reasoning").Get("effort").Text(); effort != "" {
			d.effort = effort
		}
		d.Extras(item, "type", "id", "reasoning")
		d.Extras(item.Get("reasoning"), "effort")
	default:
		d.Extra(item)
	}
}

// thoughts makes parts of a reasoning item. What is sealed without a word of it
// being told is opaque, unless it is a seal of what was told as nothing.
func thoughts(item jsonx.Value) []llm.Part {
	var text strings.Builder
	for _, name := range [...]string{"summary", "content"} {
		for _, part := range item.Get(name).Items() {
			if text.Len() > 0 {
				text.WriteString("\n\n")
			}
			text.WriteString(part.Get("text").Text())
		}
		if text.Len() > 0 {
			break // both tell the same
		}
	}
	seal := item.Get("encrypted_content").Text()
	if data, ok := unredacted(seal); ok {
		return []llm.Part{{Kind: llm.PartRedacted, Data: data}}
	}
	return []llm.Part{{Kind: llm.PartReasoning, Text: text.String(), Signature: seal}}
}

// redacted begins, within a seal, state that stands in the place of reasoning and
// does not belong to reasoning that is told.
const redacted = "redacted:"

// asRedacted marks a provider's redacted reasoning, sealed or not, so that it can
// be told from a seal of what was told, and stays a seal for everybody else.
func asRedacted(data string) string {
	issuer, state, ok := llm.Unseal(data)
	if !ok {
		state = data
	}
	return llm.Seal(issuer, redacted+state)
}

// unredacted undoes asRedacted.
func unredacted(seal string) (data string, ok bool) {
	issuer, state, ok := llm.Unseal(seal)
	if !ok {
		return "", false
	}
	if state, ok = strings.CutPrefix(state, redacted); !ok || issuer == "" {
		return state, ok
	}
	return llm.Seal(issuer, state), true
}

// message takes over one message. Leading system messages stand apart.
func (d *decoder) message(item jsonx.Value) {
	role := item.Get("role")
	parts, from := d.parts(item.Get("content"))
	d.Extras(item, "type", "id", "status", "role", "content")
	switch {
	case !role.Is("system") && !role.Is("developer"):
		to := llm.RoleUser
		if role.Is("assistant") {
			to = llm.RoleAssistant
		}
		d.say(to, parts, from...)
	case d.talking:
		d.say(llm.RoleSystem, parts, from...)
	default:
		d.system(parts)
	}
}

func (d *decoder) system(parts []llm.Part) { d.Chat.System = append(d.Chat.System, parts...) }

// say adds parts to the conversation, and continues the turn of an assistant who
// has the word: all that one answer said and called is one turn. from is where
// the parts stood, each or all together.
func (d *decoder) say(role llm.Role, parts []llm.Part, from ...jsonx.Value) {
	last := len(d.Chat.Messages) - 1
	same := last >= 0 && (role == llm.RoleAssistant && d.Chat.Messages[last].Role == role || role == llm.RoleUser && d.results)
	d.results, d.talking = false, true
	if !same {
		d.Chat.Messages = append(d.Chat.Messages, llm.Message{Role: role})
		last++
	}
	m := &d.Chat.Messages[last]
	m.Parts = append(m.Parts, parts...)
	d.at.parts(last, len(parts), from)
}

// result adds the result of a tool: together with those beside it, and with what
// the user says next, it is one turn.
func (d *decoder) result(p llm.Part, item jsonx.Value) {
	last := len(d.Chat.Messages) - 1
	d.talking = true
	if !d.results {
		d.Chat.Messages = append(d.Chat.Messages, llm.Message{Role: llm.RoleUser})
		last++
	}
	d.results = true
	m := &d.Chat.Messages[last]
	m.Parts = append(m.Parts, p)
	d.at.parts(last, 1, []jsonx.Value{item})
}

// parts takes over a content, and tells where each part stood.
func (d *decoder) parts(content jsonx.Value) (out []llm.Part, from []jsonx.Value) {
	switch content.Kind() {
	case jsonx.String:
		return []llm.Part{{Kind: llm.PartText, Text: content.Text()}}, []jsonx.Value{content}
	case jsonx.Array:
		for _, v := range content.Items() {
			if p, ok := d.part(v); ok {
				if v.Get("prompt_cache_breakpoint").Exists() {
					p.Cache = &llm.CacheMark{}
				}
				out, from = append(out, p), append(from, v)
			}
		}
	}
	return out, from
}

// part takes over one part, or keeps it as an extra.
func (d *decoder) part(v jsonx.Value) (p llm.Part, ok bool) {
	switch v.Get("type").Text() {
	case "input_text":
		p = llm.Part{Kind: llm.PartText, Text: v.Get("text").Text()}
		d.Extras(v, "type", "text", "prompt_cache_breakpoint")
	case "output_text":
		p = llm.Part{Kind: llm.PartText, Text: v.Get("text").Text()}
		if notes := v.Get("annotations"); notes.Len() > 0 {
			p.Citations = notes.Raw()
		}
		d.Extras(v, "type", "text", "annotations", "logprobs")
	case "refusal":
		p = llm.Part{Kind: llm.PartRefusal, Text: v.Get("refusal").Text()}
		d.Extras(v, "type", "refusal")
	case "input_image":
		p = llm.Part{Kind: llm.PartImage, Detail: v.Get("detail").Text(), FileID: v.Get("file_id").Text()}
		p.URL, p.MediaType, p.Data = llm.SplitData(v.Get("image_url").Text())
		d.Extras(v, "type", "image_url", "file_id", "detail", "prompt_cache_breakpoint")
	case "input_file":
		p = llm.Part{Kind: llm.PartFile, FileID: v.Get("file_id").Text(), Name: v.Get("filename").Text()}
		if data := v.Get("file_data"); data.Exists() {
			p.URL, p.MediaType, p.Data = llm.SplitData(data.Text())
		} else {
			p.URL = v.Get("file_url").Text()
		}
		d.Extras(v, "type", "file_data", "file_url", "file_id", "filename", "prompt_cache_breakpoint")
	default:
		d.Extra(v)
		return p, false
	}
	return p, true
}
