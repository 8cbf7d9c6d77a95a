package fidelity

import (
	"strings"
)

// readResponsesRequest reads a request of OpenAI's Responses.
func readResponsesRequest(body value) talk {
	q := talk{alone: string(in(body, "parallel_tool_calls")) == "false", effort: text(in(body, "reasoning", "effort"))}
	if s := text(in(body, "instructions")); s != "" {
		q.say("system", part{kind: "text", text: s})
	}
	if input := in(body, "input"); isText(input) {
		q.say("user", part{kind: "text", text: text(input)})
	} else {
		for _, item := range items(input) {
			q.item(item)
		}
	}
	for _, t := range items(in(body, "tools")) {
		if text(in(t, "type")) != "function" {
			q.beyond = append(q.beyond, "tools")
			continue
		}
		q.tools = append(q.tools, tool{text(in(t, "name")), text(in(t, "description")), in(t, "parameters")})
	}
	switch c := in(body, "tool_choice"); {
	case isText(c):
		q.choice = text(c)
	case text(in(c, "type")) == "function":
		q.choice = "=" + text(in(c, "name"))
	case text(in(c, "type")) == "allowed_tools":
		var names []string
		for _, t := range items(in(c, "tools")) {
			names = append(names, text(in(t, "name")))
		}
		q.narrow(text(in(c, "mode")), names)
	case c != nil:
		q.beyond = append(q.beyond, "tool_choice")
	}
	switch f := in(body, "text", "format"); text(in(f, "type")) {
	case "json_object":
		q.format = &format{}
	case "json_schema":
		q.format = &format{text(in(f, "name")), in(f, "schema")}
	}
	for to, from := range map[string]string{"max": "max_output_tokens", "temperature": "temperature", "top_p": "top_p"} {
		q.set(to, in(body, from))
	}
	for _, name := range []string{"previous_response_id", "conversation", "background", "prompt", "context_management", "max_tool_calls"} {
		if v := in(body, name); v != nil && string(v) != "false" {
			q.beyond = append(q.beyond, name)
		}
	}
	return q
}

func (q *talk) item(v value) {
	switch kind := text(in(v, "type")); kind {
	case "", "message":
		role := text(in(v, "role"))
		if role == "developer" {
			role = "system"
		}
		q.say(role, responsesParts(in(v, "content"))...)
	case "function_call":
		q.say("assistant", part{kind: "call", id: text(in(v, "call_id")), name: text(in(v, "name")), args: value(text(in(v, "arguments")))})
	case "custom_tool_call": // elsewhere it is a function with one string
		q.say("assistant", part{kind: "call", id: text(in(v, "call_id")), name: text(in(v, "name")), args: value(`{"input":` + string(in(v, "input")) + `}`)})
	case "function_call_output", "custom_tool_call_output":
		q.say("user", part{kind: "result", id: text(in(v, "call_id")), in: responsesParts(in(v, "output"))})
	case "reasoning":
		q.say("assistant", part{kind: "thought"})
	case "image_generation_call":
		q.say("assistant", part{kind: "image", data: text(in(v, "result"))})
	case "configuration_update": // the last one holds
		q.effort = text(in(v, "reasoning", "effort"))
	default:
		q.beyond = append(q.beyond, kind)
	}
}

func responsesParts(v value) (out []part) {
	if isText(v) {
		return []part{{kind: "text", text: text(v)}}
	}
	for _, p := range items(v) {
		switch kind := text(in(p, "type")); kind {
		case "input_text", "output_text", "text", "refusal":
			out = append(out, part{kind: "text", text: text(any1(p, "text", "refusal"))})
		case "input_image":
			out = append(out, fromURL("image", text(any1(p, "image_url", "file_id"))))
		case "input_file":
			f := fromURL("file", text(any1(p, "file_data", "file_url", "file_id")))
			f.name = text(in(p, "filename"))
			out = append(out, f)
		default:
			out = append(out, part{kind: kind})
		}
	}
	return out
}

// responsesCan leaves what Responses can say: no sound, no stop sequences.
func responsesCan(q talk) talk {
	if q.effort == "some" {
		q.effort = "medium"
	}
	q = q.without("top_k", "seed", "frequency", "presence").only(func(role string, p part) bool {
		switch p.kind {
		case "text", "call", "refusal", "result":
			return true
		case "image":
			return role == "user" && p.url+p.data != ""
		case "file":
			return role == "user" && p.data+p.url != ""
		}
		return false
	})
	q.stop = nil
	if n := count(value(q.sets["max"])); n > 0 && n < 16 {
		q = q.without("max")
	}
	return q
}

// writeResponsesRequest writes a request of Responses.
func writeResponsesRequest(q talk, model string, stream bool) value {
	o := object{"model": model, "input": responsesItems(q), "stream": stream, "store": false}
	var tools []any
	for _, t := range q.tools {
		tools = append(tools, object{"type": "function", "name": t.name, "description": t.description, "parameters": t.schema, "strict": false})
	}
	if tools != nil {
		o["tools"] = tools
		if q.alone {
			o["parallel_tool_calls"] = false
		}
		if name, one := strings.CutPrefix(q.choice, "="); one {
			o["tool_choice"] = object{"type": "function", "name": name}
		} else if q.choice != "" {
			o["tool_choice"] = q.choice
		}
	}
	for to, from := range map[string]string{"max_output_tokens": "max", "temperature": "temperature", "top_p": "top_p"} {
		if v, ok := q.sets[from]; ok {
			o[to] = value(v)
		}
	}
	if q.effort != "" {
		o["reasoning"] = object{"effort": q.effort}
	}
	if f := q.format; f != nil && f.schema != nil {
		o["text"] = object{"format": object{"type": "json_schema", "name": name(f), "schema": f.schema, "strict": false}}
	} else if f != nil {
		o["text"] = object{"format": object{"type": "json_object"}}
	}
	return encode(o)
}

func responsesItems(q talk) []any {
	out := []any{}
	for _, t := range q.turns {
		var content []any
		flush := func() {
			if content != nil {
				out = append(out, object{"type": "message", "role": t.role, "content": content})
			}
			content = nil
		}
		for _, p := range t.parts {
			switch p.kind {
			case "call":
				flush()
				out = append(out, object{"type": "function_call", "call_id": p.id, "name": p.name, "arguments": string(p.args)})
			case "result":
				flush()
				out = append(out, object{"type": "function_call_output", "call_id": p.id, "output": responsesContent("user", p.in)})
			default:
				content = append(content, responsesContent(t.role, []part{p})...)
			}
		}
		flush()
	}
	return out
}

func responsesContent(role string, parts []part) []any {
	out := []any{}
	for _, p := range parts {
		switch {
		case p.kind == "image":
			out = append(out, object{"type": "input_image", "image_url": p.toURL(), "detail": "auto"})
		case p.kind == "file" && p.data != "":
			out = append(out, object{"type": "input_file", "filename": fileName(p), "file_data": p.toURL()})
		case p.kind == "file":
			out = append(out, object{"type": "input_file", "file_url": p.url})
		case role == "assistant" && p.kind == "refusal":
			out = append(out, object{"type": "refusal", "refusal": p.text})
		case role == "assistant":
			out = append(out, object{"type": "output_text", "text": p.text, "annotations": []any{}})
		default:
			out = append(out, object{"type": "input_text", "text": p.text})
		}
	}
	return out
}

// readResponses reads a response, whole or as events. Of a stream the increments
// count, and the whole that ends it must say the same.
func readResponses(_ string, body []byte, sse bool) (a answer) {
	if !sse {
		a.ended = true
		a.response(body)
		return a
	}
	s := a.choice(0)
	next := int64(-1)
	for _, e := range events(body) {
		if len(e.data) == 0 || string(e.data) == "[DONE]" {
			continue
		}
		if members(e.data) == nil {
			a.failed = "not JSON: " + string(e.data)
			continue
		}
		if n := in(e.data, "sequence_number"); n != nil {
			if count(n) <= next {
				a.complain("sequence_number %s after %d", n, next)
			}
			next = count(n)
		}
		kind := text(in(e.data, "type"))
		if a.ended { // some recordings go on with another response
			break
		}
		switch kind {
		case "response.created", "response.in_progress":
			a.model = text(in(e.data, "response", "model"))
		case "error":
			a.failed = string(e.data)
		case "response.completed", "response.incomplete", "response.failed":
			a.ended = true
			whole := answer{}
			whole.response(in(e.data, "response"))
			a.usage, a.model = whole.usage, whole.model
			if whole.failed != "" {
				a.failed = whole.failed
			}
			a.sameWhole(whole.choice(0), items(in(e.data, "response", "output")) != nil && len(items(in(e.data, "response", "output"))) > 0)
		default:
			s.responsesEvent(kind, e.data)
		}
	}
	return a
}

// sameWhole compares the whole that ends a stream with its increments. Some
// servers leave the whole empty.
func (a *answer) sameWhole(w *said, filled bool) {
	s := a.choice(0)
	s.finish, s.raw = w.finish, w.raw
	if len(s.calls) > 0 && s.finish == "stop" {
		s.finish = "tool_calls"
	}
	if !filled {
		return
	}
	s.beyond = s.beyond || w.beyond
	if !s.shows() && len(s.left) == 0 {
		s.images, s.left = w.images, w.left
	}
	if d := sameImages(s.images, w.images); d != "" {
		a.complain("the whole and its increments: %s", d)
	}
	if s.text+s.refusal == "" { // some servers tell only the whole
		s.text, s.refusal = w.text, w.refusal
	}
	if s.thought == "" {
		s.thought = w.thought
	}
	for i := range w.calls {
		if len(s.calls) < len(w.calls) {
			s.calls = append(s.calls, call{})
		}
		if c := &s.calls[i]; c.args == "" {
			*c = w.calls[i]
		}
	}
	if len(s.calls) > 0 && s.finish == "stop" {
		s.finish = "tool_calls"
	}
	if s.text != w.text || s.refusal != w.refusal {
		a.complain("the whole says %.200q, its increments %.200q", w.text+w.refusal, s.text+s.refusal)
	}
	if d := sameCalls(s.calls, w.calls, false, false); d != nil {
		a.complain("the whole and its increments: %v", d)
	}
	if s.thought != w.thought {
		a.complain("the whole thinks %.200q, its increments %.200q", w.thought, s.thought)
	}
}

// responsesEvent reads one increment. Texts come in deltas; a call begins with
// its item.
func (s *said) responsesEvent(kind string, e value) {
	key := string(in(e, "output_index"))
	switch kind {
	case "response.output_text.delta":
		s.text += text(in(e, "delta"))
	case "response.refusal.delta":
		s.refusal += text(in(e, "delta"))
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		s.thought += text(in(e, "delta"))
	case "response.output_item.added", "response.output_item.done":
		item := in(e, "item")
		switch text(in(item, "type")) {
		case "function_call", "custom_tool_call":
			c := s.call(key)
			c.id, c.name = text(in(item, "call_id")), text(in(item, "name"))
			if args := text(any1(item, "arguments", "input")); strings.HasSuffix(kind, "done") && c.args == "" {
				c.args = args
			}
		case "message", "reasoning":
		default:
			s.beyond = true
			if strings.HasSuffix(kind, "done") {
				s.responsesOther(item)
			}
		}
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
		s.call(key).args += text(in(e, "delta"))
	case "response.output_text.annotation.added":
		s.beyond = true
	}
}

// responsesOther reads an item of a tool that runs at the provider: an image that it
// made, or what no other dialect has.
func (s *said) responsesOther(item value) {
	kind, data := text(in(item, "type")), text(in(item, "result"))
	if kind != "image_generation_call" || data == "" {
		s.beyond, s.left = true, append(s.left, kind)
		return
	}
	image := part{kind: "image", data: data}
	if format := text(in(item, "output_format")); format != "" {
		image.mime = "image/" + format
	}
	s.images = append(s.images, image)
}

// response reads a whole response.
func (a *answer) response(v value) {
	a.model = text(in(v, "model"))
	if e := in(v, "error"); e != nil {
		a.failed = string(e)
	}
	if members(v) == nil {
		a.failed = "not JSON"
	}
	s := a.choice(0)
	for _, item := range items(in(v, "output")) {
		switch text(in(item, "type")) {
		case "message":
			for _, c := range items(in(item, "content")) {
				if text(in(c, "type")) == "refusal" {
					s.refusal += text(in(c, "refusal"))
					continue
				}
				s.text += text(in(c, "text"))
				s.beyond = s.beyond || len(items(in(c, "annotations"))) > 0
			}
		case "reasoning":
			thoughts := items(in(item, "content")) // in full; else in summary
			if len(thoughts) == 0 {
				thoughts = items(in(item, "summary"))
			}
			for _, p := range thoughts {
				s.thought += text(in(p, "text"))
			}
		case "function_call", "custom_tool_call":
			c := s.call(string(in(item, "call_id")))
			c.id, c.name, c.args = text(in(item, "call_id")), text(in(item, "name")), text(any1(item, "arguments", "input"))
		default:
			s.responsesOther(item)
		}
	}
	s.raw = text(in(v, "status"))
	switch reason := text(in(v, "incomplete_details", "reason")); {
	case s.raw == "completed" && len(s.calls) > 0:
		s.finish = "tool_calls"
	case s.raw == "completed":
		s.finish = "stop"
	case s.raw == "incomplete" && reason == "content_filter":
		s.finish = "content_filter"
	case s.raw == "incomplete":
		s.finish = "length"
	case s.raw == "failed", s.raw == "cancelled":
		s.finish = "error"
	}
	a.usage = responsesUsage(in(v, "usage"))
}

func responsesUsage(u value) *tokens {
	if count(in(u, "input_tokens")) == 0 {
		return nil
	}
	return &tokens{
		Input: count(in(u, "input_tokens")), Output: count(in(u, "output_tokens")),
		Cached: count(in(u, "input_tokens_details", "cached_tokens")), Write: count(in(u, "input_tokens_details", "cache_write_tokens")),
		Reasoning: count(in(u, "output_tokens_details", "reasoning_tokens")),
	}
}
