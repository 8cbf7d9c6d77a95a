package fidelity

import (
	"bytes"
	"fmt"
	"strings"
)

// readMessagesRequest reads a request of Anthropic's messages.
func readMessagesRequest(body value) talk {
	q := talk{}
	q.blocks("system", in(body, "system"))
	for _, m := range items(in(body, "messages")) {
		q.blocks(text(in(m, "role")), in(m, "content"))
	}
	for _, t := range items(in(body, "tools")) {
		if in(t, "input_schema") == nil {
			q.beyond = append(q.beyond, "tools")
			continue
		}
		q.tools = append(q.tools, tool{text(in(t, "name")), text(in(t, "description")), in(t, "input_schema")})
	}
	choice := in(body, "tool_choice")
	switch kind := text(in(choice, "type")); kind {
	case "tool":
		q.choice = "=" + text(in(choice, "name"))
	case "any":
		q.choice = "required"
	default:
		q.choice = kind
	}
	q.alone = yes(in(choice, "disable_parallel_tool_use"))
	for to, from := range map[string]string{"max": "max_tokens", "temperature": "temperature", "top_p": "top_p", "top_k": "top_k"} {
		q.set(to, in(body, from))
	}
	q.stop = texts(in(body, "stop_sequences"))
	q.effort = text(in(body, "output_config", "effort"))
	switch text(in(body, "thinking", "type")) {
	case "disabled":
		q.effort = "none"
	case "enabled", "adaptive":
		if q.effort == "" {
			q.effort = budgeted(in(body, "thinking", "budget_tokens"))
		}
	}
	f := in(body, "output_config", "format")
	if f == nil {
		f = in(body, "output_format")
	}
	if f != nil {
		q.format = &format{"", in(f, "schema")}
	}
	for name := range members(body) {
		if strings.Contains(" mcp_servers container context_management ", " "+name+" ") {
			q.beyond = append(q.beyond, name)
		}
	}
	return q
}

// blocks reads content: a text or a list of blocks.
func (q *talk) blocks(role string, v value) {
	if v == nil {
		return
	}
	parts, unknown := messageParts(v)
	q.beyond = append(q.beyond, unknown...)
	if role == "system" {
		for _, p := range parts { // each stands for itself
			q.say(role, p)
		}
		return
	}
	q.say(role, parts...)
}

func messageParts(v value) (out []part, unknown []string) {
	if isText(v) {
		return []part{{kind: "text", text: text(v)}}, nil
	}
	for _, b := range items(v) {
		switch kind := text(in(b, "type")); kind {
		case "text":
			out = append(out, part{kind: "text", text: text(in(b, "text"))})
		case "image", "document":
			s := in(b, "source")
			p := part{kind: map[string]string{"image": "image", "document": "file"}[kind], name: text(in(b, "title")), mime: text(in(s, "media_type"))}
			if text(in(s, "type")) == "text" {
				p.text = text(in(s, "data"))
			} else {
				p.data, p.url = text(in(s, "data")), text(any1(s, "url", "file_id"))
			}
			if text(in(s, "type")) == "content" {
				unknown = append(unknown, "document of blocks")
			}
			out = append(out, p)
		case "tool_use":
			out = append(out, part{kind: "call", id: text(in(b, "id")), name: text(in(b, "name")), args: in(b, "input")})
		case "tool_result":
			inside, more := messageParts(in(b, "content"))
			unknown = append(unknown, more...)
			out = append(out, part{kind: "result", id: text(in(b, "tool_use_id")), in: inside})
		case "thinking", "redacted_thinking":
			out = append(out, part{kind: "thought"})
		default:
			unknown = append(unknown, kind)
		}
	}
	return out, unknown
}

// messagesCan leaves what Messages can say: no sound, no other roles first, no
// temperature above one, no object without a schema.
func messagesCan(q talk) talk {
	q = q.without("seed", "frequency", "presence").results(func(x part) bool {
		return x.kind == "text" || (x.kind == "image" || x.kind == "file") && !strings.HasPrefix(x.url, "file-")
	}).only(func(role string, p part) bool {
		switch p.kind {
		case "text":
			return strings.TrimSpace(p.text) != ""
		case "image", "file":
			return role == "user" && p.url+p.data+p.text != "" && !strings.HasPrefix(p.url, "file-")
		case "call", "result":
			return true
		}
		return false
	})
	if t := q.sets["temperature"]; strings.TrimRight(t, "0.") != "" && t[0] != '0' && strings.TrimRight(t, "0.") != "1" {
		q = q.without("temperature")
	}
	if q.sets["max"] == "" {
		q.set("max", value("64000"))
	}
	if q.format != nil && q.format.schema == nil {
		q.format = nil
	}
	if q.effort == "minimal" {
		q.effort = "low"
	}
	for i, t := range q.tools {
		if in(t.schema, "type") == nil {
			q.tools = append([]tool(nil), q.tools...)
			q.tools[i].schema = value(`{"type":"object","properties":{}}`)
		}
	}
	return q
}

// writeMessagesRequest writes a request of Messages.
func writeMessagesRequest(q talk, model string, stream bool) value {
	o := object{"model": model, "stream": stream}
	var system, messages []any
	for _, t := range q.turns {
		blocks := messageBlocks(t.parts)
		if t.role == "system" && messages == nil {
			system = append(system, blocks...)
			continue
		}
		messages = append(messages, object{"role": t.role, "content": blocks})
	}
	o["messages"] = messages
	if system != nil {
		o["system"] = system
	}
	var tools []any
	for _, t := range q.tools {
		m := object{"name": t.name, "input_schema": t.schema}
		if t.description != "" {
			m["description"] = t.description
		}
		tools = append(tools, m)
	}
	if tools != nil {
		o["tools"] = tools
		choice := object{"type": "auto"}
		switch name, one := strings.CutPrefix(q.choice, "="); {
		case one:
			choice = object{"type": "tool", "name": name}
		case q.choice == "required":
			choice["type"] = "any"
		case q.choice != "":
			choice["type"] = q.choice
		}
		if q.alone && q.choice != "none" {
			choice["disable_parallel_tool_use"] = true
		}
		if q.choice != "" || q.alone {
			o["tool_choice"] = choice
		}
	}
	for to, from := range map[string]string{"max_tokens": "max", "temperature": "temperature", "top_p": "top_p", "top_k": "top_k"} {
		if v, ok := q.sets[from]; ok {
			o[to] = value(v)
		}
	}
	if q.stop != nil {
		o["stop_sequences"] = q.stop
	}
	config := object{}
	switch q.effort {
	case "":
	case "none":
		o["thinking"] = object{"type": "disabled"}
	case "some":
		o["thinking"] = object{"type": "adaptive"}
	default:
		config["effort"] = q.effort
	}
	if q.format != nil {
		config["format"] = object{"type": "json_schema", "schema": q.format.schema}
	}
	if len(config) > 0 {
		o["output_config"] = config
	}
	return encode(o)
}

func messageBlocks(parts []part) []any {
	out := []any{}
	for _, p := range parts {
		switch p.kind {
		case "text":
			out = append(out, object{"type": "text", "text": p.text})
		case "image", "file":
			source := object{"type": "url", "url": p.url}
			switch {
			case p.text != "":
				source = object{"type": "text", "media_type": "text/plain", "data": p.text}
			case p.data != "":
				source = object{"type": "base64", "media_type": p.mime, "data": p.data}
			}
			out = append(out, object{"type": map[string]string{"image": "image", "file": "document"}[p.kind], "source": source})
		case "call":
			args := arguments(p.args)
			if members(args) == nil {
				args = encode(object{"_raw": args})
			}
			out = append(out, object{"type": "tool_use", "id": p.id, "name": p.name, "input": args})
		case "result":
			out = append(out, object{"type": "tool_result", "tool_use_id": p.id, "content": messageBlocks(p.in)})
		}
	}
	return out
}

// messageFinishes are our words for theirs.
var messageFinishes = map[string]string{
	"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length",
	"tool_use": "tool_calls", "refusal": "content_filter", "pause_turn": "pause",
}

// readMessages reads a message, whole or as events.
func readMessages(_ string, body []byte, sse bool) (a answer) {
	if !sse {
		a.ended, a.model, a.failed = true, text(in(body, "model")), string(in(body, "error"))
		if members(body) == nil {
			a.failed = "not JSON"
		}
		s := a.choice(0)
		for i, b := range items(in(body, "content")) {
			s.block(fmt.Sprint(i), b)
		}
		a.stop(body)
		a.usage = messagesUsage(members(in(body, "usage")))
		return a
	}
	usage := map[string]value{}
	open := "" // the index of the block that is open
	for _, e := range events(body) {
		if a.ended { // some routers send a [DONE] as well
			break
		}
		if len(bytes.TrimSpace(e.data)) == 0 {
			continue
		}
		s, kind, index := a.choice(0), text(in(e.data, "type")), string(in(e.data, "index"))
		switch {
		case kind == "error" || in(e.data, "error") != nil || members(e.data) == nil:
			a.failed = string(e.data)
		case kind == "message_start":
			a.model = text(in(e.data, "message", "model"))
			merge(usage, in(e.data, "message", "usage"))
		case kind == "content_block_start":
			if open != "" {
				a.complain("block %s begins while %s is open", index, open)
			}
			open = index
			s.block(index, in(e.data, "content_block"))
		case kind == "content_block_delta":
			if open != index {
				a.complain("a delta of block %s while %q is open", index, open)
			}
			s.delta(index, in(e.data, "delta"))
		case kind == "content_block_stop":
			open = ""
		case kind == "message_delta":
			a.stop(in(e.data, "delta"))
			merge(usage, in(e.data, "usage"))
		case kind == "message_stop":
			a.ended = true
		}
	}
	a.usage = messagesUsage(usage)
	return a
}

// merge overwrites counts: later ones are totals.
func merge(dst map[string]value, src value) {
	for k, v := range members(src) {
		if string(v) != "null" {
			dst[k] = v
		}
	}
}

func (s *said) block(key string, b value) {
	switch text(in(b, "type")) {
	case "text":
		s.text += text(in(b, "text"))
	case "thinking":
		s.thought += text(in(b, "thinking"))
	case "tool_use":
		c := s.call(key)
		c.id, c.name = text(in(b, "id")), text(in(b, "name"))
		if input := in(b, "input"); len(members(input)) > 0 {
			c.args = string(input)
		}
	default:
		s.beyond = true
		if kind := text(in(b, "type")); kind != "redacted_thinking" {
			s.left = append(s.left, kind)
		}
	}
	s.beyond = s.beyond || len(items(in(b, "citations"))) > 0
}

func (s *said) delta(key string, d value) {
	s.text += text(in(d, "text"))
	s.thought += text(in(d, "thinking"))
	s.beyond = s.beyond || in(d, "citation") != nil
	if _, called := s.at[key]; called {
		s.call(key).args += text(in(d, "partial_json"))
	}
}

func (a *answer) stop(v value) {
	s := a.choice(0)
	if r := text(in(v, "stop_reason")); r != "" {
		s.raw, s.finish = r, messageFinishes[r]
		if s.finish == "" {
			a.complain("the stop reason %q", r)
		}
	}
	s.refusal += text(in(v, "stop_details", "explanation"))
}

// messagesUsage reads a usage; input_tokens leave out what was cached.
func messagesUsage(u map[string]value) *tokens {
	plain, read, written := count(u["input_tokens"]), count(u["cache_read_input_tokens"]), count(u["cache_creation_input_tokens"])
	hour := count(in(u["cache_creation"], "ephemeral_1h_input_tokens"))
	if plain+read+written == 0 {
		return nil
	}
	return &tokens{
		Input: plain + read + written, Cached: read, Write: written - hour, Write1h: hour,
		Output: count(u["output_tokens"]), Reasoning: count(in(u["output_tokens_details"], "thinking_tokens")),
	}
}
