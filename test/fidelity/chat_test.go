package fidelity

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// readChatRequest reads a request of chat completions.
func readChatRequest(body value) talk {
	q := talk{alone: string(in(body, "parallel_tool_calls")) == "false", effort: text(in(body, "reasoning_effort"))}
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
	if text(in(body, "thinking", "type")) == "disabled" {
		q.effort = "none"
	}
	return q
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
	case v != nil:
		q.beyond = append(q.beyond, "tool_choice")
	}
}

func (q *talk) chatMessage(m value) {
	parts := chatParts(in(m, "content"))
	switch role := text(in(m, "role")); role {
	case "system", "developer":
		q.say("system", parts...)
	case "tool":
		q.say("user", part{kind: "result", id: text(in(m, "tool_call_id")), in: parts})
	case "assistant":
		if r := text(in(m, "refusal")); r != "" {
			parts = append(parts, part{kind: "refusal", text: r})
		}
		for _, c := range items(in(m, "tool_calls")) {
			f := in(c, "function")
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

// chatFinishes are our words for theirs.
var chatFinishes = map[string]string{
	"stop": "stop", "length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls", "content_filter": "content_filter",
	"model_length": "length", "error": "error", "eos": "stop", "end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter",
}

// readChat reads a chat completion, whole or as chunks. vendor is whose it is.
func readChat(vendor string, body []byte, sse bool) (a answer) {
	chunks := []value{bytes.TrimLeft(body, " \r\n\t")}
	a.ended = !sse
	if sse {
		chunks = nil
		for _, e := range events(body) {
			if string(bytes.TrimSpace(e.data)) == "[DONE]" {
				a.ended = true
				break
			}
			if len(bytes.TrimSpace(e.data)) > 0 {
				chunks = append(chunks, e.data)
			}
		}
	}
	var usage, groq value
	for _, c := range chunks {
		if !isObject(c) || members(c) == nil {
			a.failed = fmt.Sprintf("not JSON: %.100q", c)
			continue
		}
		if e := in(c, "error"); e != nil {
			a.failed = string(e)
		}
		if a.model == "" {
			a.model = text(in(c, "model"))
		}
		if u := in(c, "usage"); u != nil && (usage == nil || count(in(u, "total_tokens"))+count(in(u, "prompt_tokens")) > 0) {
			usage = u
		}
		if u := in(c, "x_groq", "usage"); u != nil {
			groq = u
		}
		for i, choice := range items(in(c, "choices")) {
			a.chatChoice(choice, i, sse)
		}
	}
	if usage == nil {
		usage = groq
	}
	a.usage = chatUsage(usage, vendor)
	return a
}

// chatChoice reads a choice, or what a chunk adds to one. Some vendors have both
// a delta and a message in it.
func (a *answer) chatChoice(c value, i int, sse bool) {
	if n := in(c, "index"); n != nil {
		i = int(count(n))
	}
	s := a.choice(i)
	m := in(c, "message")
	if d := in(c, "delta"); d != nil && (sse || m == nil) {
		m = d
	}
	if e := in(c, "error"); e != nil {
		a.failed = string(e)
	}
	s.chatContent(m)
	for k, t := range items(in(m, "tool_calls")) {
		s.chatCall(k, t)
	}
	if f := in(m, "function_call"); f != nil {
		s.chatPiece("0", "", f)
	}
	if r := text(in(c, "finish_reason")); r != "" {
		s.raw = r
		if s.finish = chatFinishes[r]; s.finish == "" {
			s.finish = "stop"
		}
	}
	if r := text(in(c, "native_finish_reason")); r == "error" || r == "network_error" {
		s.finish = "error"
	}
}

// chatContent reads the texts of a message.
func (s *said) chatContent(m value) {
	s.text += text(in(m, "content"))
	for _, p := range items(in(m, "content")) {
		s.text += text(in(p, "text"))
		thinking := in(p, "thinking")
		s.thought += text(thinking)
		for _, t := range items(thinking) {
			s.thought += text(in(t, "text"))
		}
	}
	thought := text(in(m, "reasoning_content"))
	if thought == "" {
		thought = text(in(m, "reasoning"))
	}
	s.thought += thought
	for _, d := range items(in(m, "reasoning_details")) {
		if thought == "" {
			s.thought += text(in(d, "text")) + text(in(d, "summary"))
		}
		s.beyond = s.beyond || in(d, "data") != nil
	}
	for _, b := range items(in(m, "thinking_blocks")) {
		s.beyond = s.beyond || in(b, "data") != nil
	}
	s.refusal += text(in(m, "refusal"))
	s.beyond = s.beyond || len(items(in(m, "annotations"))) > 0 || len(items(in(m, "images"))) > 0 || in(m, "audio") != nil
}

// chatCall reads one call, or a piece of one. A piece with a name and another
// id begins another call: some servers number all of them 0.
func (s *said) chatCall(k int, t value) {
	key := fmt.Sprint(k)
	if n := in(t, "index"); n != nil {
		key = string(n)
	}
	f := in(t, "function")
	if f == nil {
		f = in(t, "custom")
	}
	s.chatPiece(key, text(in(t, "id")), f)
}

func (s *said) chatPiece(key, id string, f value) {
	name := text(in(f, "name"))
	if i, known := s.at[key]; known && id != "" && name != "" && s.calls[i].id != "" && s.calls[i].id != id && s.calls[i].name != "" {
		delete(s.at, key)
	}
	c := s.call(key)
	if c.id == "" {
		c.id = id
	}
	if c.name == "" {
		c.name = name
	}
	args := any1(f, "arguments", "input")
	if isText(args) {
		c.args += text(args)
	} else {
		c.args += string(args)
	}
}

// chatUsage reads a usage as protocols.md §3.10 says; nil: nothing was counted.
func chatUsage(u value, vendor string) *tokens {
	input, output, total := count(any1(u, "prompt_tokens", "input_tokens")), count(any1(u, "completion_tokens", "output_tokens")), count(in(u, "total_tokens"))
	details := any1(u, "prompt_tokens_details", "input_tokens_details")
	thought := max(count(in(any1(u, "completion_tokens_details", "output_tokens_details"), "reasoning_tokens")), count(in(u, "reasoning_tokens")))
	switch {
	case vendor == "voyage" && input == 0: // a total and nothing else
		input = total
	case vendor == "xai" && total == input+output+thought: // thoughts stand outside
		output += thought
	case vendor == "gemini" && total > input+output: // thoughts are in the total only
		thought += total - input - output
		output = total - input
	case vendor == "mistral" && in(u, "prompt_audio_seconds") != nil && total > input+output: // so does sound
		input = total - output
	}
	if input == 0 {
		return nil
	}
	t := &tokens{Input: input, Output: output, Reasoning: min(thought, output)}
	for _, n := range []value{in(details, "cached_tokens"), in(u, "prompt_cache_hit_tokens"), in(u, "cached_tokens"), in(u, "num_cached_tokens"), in(u, "cache_read_input_tokens")} {
		t.Cached = max(t.Cached, count(n))
	}
	for _, n := range []value{in(details, "cache_write_tokens"), in(details, "cache_creation_tokens"), in(u, "cache_creation_input_tokens")} {
		t.Write = max(t.Write, count(n))
	}
	t.Cached = min(t.Cached, input) // some report more cached than there were
	t.Write1h = count(in(u, "cache_creation", "ephemeral_1h_input_tokens"))
	t.Write -= t.Write1h
	return t
}
