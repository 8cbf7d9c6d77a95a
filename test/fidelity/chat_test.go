package fidelity

import (
	"slices"
	"strings"
)

// readChatRequest reads a request of chat completions.
func readChatRequest(body value) talk {
	q := talk{alone: string(in(body, "parallel_tool_calls")) == "false", effort: chatEffort(body)}
	for _, m := range items(in(body, "messages")) {
		q.chatMessage(m)
	}
	for _, t := range items(in(body, "tools")) {
		f := in(t, "function")
		if f == nil {
			q.beyond = append(q.beyond, "tools")
			continue
		}
		q.tools = append(q.tools, tool{text(in(f, "name")), text(in(f, "description")), in(f, "parameters")})
	}
	q.chatFunctions(body)
	q.chatChoice(in(body, "tool_choice"))
	switch f := in(body, "response_format"); text(in(f, "type")) {
	case "json_object":
		q.format = &format{}
	case "json_schema":
		q.format = &format{text(in(f, "json_schema", "name")), in(f, "json_schema", "schema")}
	}
	q.set("max", any1(body, "max_completion_tokens", "max_tokens"))
	for to, from := range map[string]string{"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "seed": "seed", "frequency": "frequency_penalty", "presence": "presence_penalty"} {
		q.set(to, in(body, from))
	}
	q.set("seed", any1(body, "seed", "random_seed"))
	q.stop = texts(in(body, "stop"))
	return q
}

// chatEffort reads the ways to say how much to think: OpenAI's, what OpenRouter has,
// and what others took over from Anthropic.
func chatEffort(body value) string {
	if e := text(in(body, "reasoning_effort")); e != "" && e != "default" {
		return e
	}
	r, kind := in(body, "reasoning"), text(in(body, "thinking", "type"))
	switch {
	case kind == "disabled", string(in(r, "enabled")) == "false":
		return "none"
	case in(r, "effort") != nil:
		return text(in(r, "effort"))
	case in(r, "max_tokens") != nil:
		return budgeted(in(r, "max_tokens"))
	case yes(in(r, "enabled")), kind != "":
		return budgeted(in(body, "thinking", "budget_tokens"))
	}
	return ""
}

// texts reads one text or a list of them.
func texts(v value) (out []string) {
	if isText(v) {
		return []string{text(v)}
	}
	for _, s := range items(v) {
		out = append(out, text(s))
	}
	return out
}

func (q *talk) chatChoice(v value) {
	switch {
	case isText(v):
		q.choice = text(v)
		if q.choice == "any" {
			q.choice = "required"
		}
	case in(v, "function", "name") != nil:
		q.choice = "=" + text(in(v, "function", "name"))
	case text(in(v, "type")) == "allowed_tools":
		var names []string
		for _, t := range items(in(v, "allowed_tools", "tools")) {
			names = append(names, text(in(t, "function", "name")))
		}
		q.narrow(text(in(v, "allowed_tools", "mode")), names)
	case v != nil:
		q.beyond = append(q.beyond, "tool_choice")
	}
}

// chatFunctions reads what came before tools: functions are called one at a time.
func (q *talk) chatFunctions(body value) {
	for _, f := range items(in(body, "functions")) {
		q.alone = true
		q.tools = append(q.tools, tool{text(in(f, "name")), text(in(f, "description")), in(f, "parameters")})
	}
	switch v := in(body, "function_call"); {
	case isText(v):
		q.choice = text(v)
	case v != nil:
		q.choice = "=" + text(in(v, "name"))
	}
}

// aFunction is the id of a call that has none, until the next.
const aFunction = "function"

func (q *talk) chatMessage(m value) {
	parts := chatParts(in(m, "content"))
	switch role := text(in(m, "role")); role {
	case "system", "developer":
		q.say("system", parts...)
	case "tool":
		q.say("user", part{kind: "result", id: text(in(m, "tool_call_id")), in: parts})
	case "function":
		q.say("user", part{kind: "result", id: aFunction, in: parts})
	case "assistant":
		if r := text(in(m, "refusal")); r != "" {
			parts = append(parts, part{kind: "refusal", text: r})
		}
		if f := in(m, "function_call"); f != nil {
			parts = append(parts, part{kind: "call", id: aFunction, name: text(in(f, "name")), args: value(text(in(f, "arguments")))})
		}
		for _, p := range items(in(m, "images")) {
			parts = append(parts, chatImage(p))
		}
		for _, c := range items(in(m, "tool_calls")) {
			f := in(c, "function")
			if own := in(c, "custom"); own != nil { // elsewhere it is a function with one string
				parts = append(parts, part{kind: "call", id: text(in(c, "id")), name: text(in(own, "name")), args: value(`{"input":` + string(in(own, "input")) + `}`)})
				continue
			}
			parts = append(parts, part{kind: "call", id: text(in(c, "id")), name: text(in(f, "name")), args: value(text(in(f, "arguments")))})
		}
		q.say("assistant", parts...)
	case "user":
		q.say("user", parts...)
	default:
		q.beyond = append(q.beyond, "role "+role)
	}
}

func chatParts(v value) (out []part) {
	if isText(v) {
		return []part{{kind: "text", text: text(v)}}
	}
	for _, p := range items(v) {
		switch kind := text(in(p, "type")); kind {
		case "text", "refusal":
			out = append(out, part{kind: "text", text: text(any1(p, "text", "refusal"))})
		case "image_url":
			url := in(p, "image_url")
			if !isText(url) {
				url = in(url, "url")
			}
			out = append(out, fromURL("image", text(url)))
		case "input_audio":
			out = append(out, part{kind: "audio", mime: "audio/" + text(in(p, "input_audio", "format")), data: text(in(p, "input_audio", "data"))})
		case "file":
			f := fromURL("file", text(in(p, "file", "file_data")))
			if f.name = text(in(p, "file", "filename")); f.url+f.data == "" {
				f.url = text(in(p, "file", "file_id"))
			}
			out = append(out, f)
		case "document_url":
			out = append(out, fromURL("file", text(in(p, "document_url"))))
		default:
			out = append(out, part{kind: kind})
		}
	}
	return out
}

// fromURL makes a part of a URL, which may hold the data itself.
func fromURL(kind, url string) part {
	head, data, ok := strings.Cut(url, ";base64,")
	if !ok {
		return part{kind: kind, url: url}
	}
	mime, _, _ := strings.Cut(strings.TrimPrefix(head, "data:"), ";")
	if kind == "file" {
		kind = media(mime)
	}
	return part{kind: kind, mime: mime, data: data}
}

// toURL writes media as a URL.
func (p part) toURL() string {
	if p.data == "" {
		return p.url
	}
	return "data:" + p.mime + ";base64," + p.data
}

// object is JSON to be written.
type object = map[string]any

// chatCan leaves what chat completions can say.
func chatCan(q talk) talk {
	if q.effort == "some" {
		q.effort = "medium"
	}
	return q.without("top_k").textResults().only(func(role string, p part) bool {
		switch p.kind {
		case "text", "call", "refusal", "result":
			return true
		case "image":
			return role == "user" && !strings.HasPrefix(p.url, "file-")
		case "audio":
			return role == "user" && (p.mime == "audio/wav" || p.mime == "audio/mp3")
		case "file":
			return role == "user" && p.data != ""
		}
		return false
	})
}

// textResults leaves of results of tools what is text.
func (q talk) textResults() talk {
	return q.results(func(x part) bool { return x.kind == "text" })
}

// results leaves of results of tools what may stay.
func (q talk) results(keep func(part) bool) talk {
	turns := q.turns
	q.turns = nil
	for _, t := range turns {
		t.parts = slices.Clone(t.parts)
		for i, p := range t.parts {
			if p.kind == "result" {
				t.parts[i].in = slices.DeleteFunc(slices.Clone(p.in), func(x part) bool { return !keep(x) })
			}
		}
		q.turns = append(q.turns, t)
	}
	return q
}

// writeChatRequest writes a request of chat completions.
func writeChatRequest(q talk, model string, stream bool) value {
	o := object{"model": model, "messages": chatMessages(q)}
	if stream {
		o["stream"], o["stream_options"] = true, object{"include_usage": true}
	}
	var tools []any
	for _, t := range q.tools {
		f := object{"name": t.name}
		if t.description != "" {
			f["description"] = t.description
		}
		if t.schema != nil {
			f["parameters"] = t.schema
		}
		tools = append(tools, object{"type": "function", "function": f})
	}
	if tools != nil {
		o["tools"] = tools
		if q.alone {
			o["parallel_tool_calls"] = false
		}
		if name, one := strings.CutPrefix(q.choice, "="); one {
			o["tool_choice"] = object{"type": "function", "function": object{"name": name}}
		} else if q.choice != "" {
			o["tool_choice"] = q.choice
		}
	}
	for to, from := range map[string]string{"max_completion_tokens": "max", "temperature": "temperature", "top_p": "top_p", "seed": "seed", "frequency_penalty": "frequency", "presence_penalty": "presence"} {
		if v, ok := q.sets[from]; ok {
			o[to] = value(v)
		}
	}
	if q.stop != nil {
		o["stop"] = q.stop
	}
	if q.effort != "" {
		o["reasoning_effort"] = q.effort
	}
	if f := q.format; f != nil && f.schema != nil {
		o["response_format"] = object{"type": "json_schema", "json_schema": object{"name": name(f), "schema": f.schema}}
	} else if f != nil {
		o["response_format"] = object{"type": "json_object"}
	}
	return encode(o)
}

// name is the name of a format; some dialects want one.
func name(f *format) string {
	if f.name == "" {
		return "answer"
	}
	return f.name
}

func chatMessages(q talk) []any {
	out := []any{}
	for _, t := range q.turns {
		var content, calls []any
		for _, p := range t.parts {
			switch p.kind {
			case "text", "refusal":
				content = append(content, object{"type": "text", "text": p.text})
			case "image":
				content = append(content, object{"type": "image_url", "image_url": object{"url": p.toURL()}})
			case "audio":
				content = append(content, object{"type": "input_audio", "input_audio": object{"format": strings.TrimPrefix(p.mime, "audio/"), "data": p.data}})
			case "file":
				content = append(content, object{"type": "file", "file": object{"filename": fileName(p), "file_data": p.toURL()}})
			case "call":
				calls = append(calls, object{"id": p.id, "type": "function", "function": object{"name": p.name, "arguments": string(p.args)}})
			case "result":
				texts := make([]string, 0, 1)
				for _, x := range p.in {
					texts = append(texts, x.text)
				}
				out = append(out, object{"role": "tool", "tool_call_id": p.id, "content": strings.Join(texts, "\n")})
			}
		}
		m := object{"role": t.role}
		if content != nil || calls != nil {
			m["content"] = content
			if calls != nil {
				m["tool_calls"] = calls
			}
			out = append(out, m)
		}
	}
	return out
}

func fileName(p part) string {
	if p.name == "" {
		return "file.pdf"
	}
	return p.name
}

// simpleCan leaves what the simple surface can say: texts.
func simpleCan(q talk) talk {
	q = q.without("top_k", "seed", "frequency", "presence").only(func(_ string, p part) bool { return p.kind == "text" })
	return talk{turns: q.turns, sets: q.sets}
}

// writeSimpleRequest writes a request of the simple surface.
func writeSimpleRequest(q talk, model string, stream bool) value {
	var messages []any
	for _, t := range q.turns {
		var said []string
		for _, p := range t.parts {
			said = append(said, p.text)
		}
		messages = append(messages, object{"role": t.role, "content": strings.Join(said, "\n")})
	}
	o := object{"model": model, "messages": messages, "stream": stream}
	for to, from := range map[string]string{"max_tokens": "max", "temperature": "temperature", "top_p": "top_p"} {
		if v, ok := q.sets[from]; ok {
			o[to] = value(v)
		}
	}
	return encode(o)
}
