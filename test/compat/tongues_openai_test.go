package compat

import "slices"

type obj = map[string]any

// chatTongue is OpenAI's chat completions. It has no state of reasoning.
type chatTongue struct{}

func (chatTongue) read(q map[string]any, h *hearing) {
	for _, tool := range list(q, "tools") {
		if f, ok := tool["function"].(map[string]any); ok {
			h.Tools = append(h.Tools, f["name"].(string))
		}
	}
	for _, m := range list(q, "messages") {
		if m["role"] == "tool" {
			h.Results = append(h.Results, text(m, "content"))
		}
	}
}

func (chatTongue) usage() obj {
	return obj{
		"prompt_tokens": toldInput, "completion_tokens": toldOutput, "total_tokens": toldInput + toldOutput,
		"prompt_tokens_details":     obj{"cached_tokens": toldCached},
		"completion_tokens_details": obj{"reasoning_tokens": toldReasoning},
	}
}

func (c chatTongue) whole(q map[string]any, s said) any {
	m, finish := obj{"role": "assistant", "content": nil, "refusal": nil}, "stop"
	if s.call != nil {
		finish = "tool_calls"
		m["tool_calls"] = []obj{{"id": "call_" + s.id, "type": "function", "function": obj{"name": s.call.Tool, "arguments": s.call.Arguments}}}
	} else {
		m["content"] = s.text
	}
	return obj{
		"id": "chatcmpl-" + s.id, "object": "chat.completion", "created": 1790000000, "model": q["model"],
		"choices": []obj{{"index": 0, "message": m, "logprobs": nil, "finish_reason": finish}}, "usage": c.usage(),
	}
}

func (c chatTongue) stream(q map[string]any, s said) (out []string) {
	chunk := func(delta obj, finish any) {
		out = append(out, frame("", obj{
			"id": "chatcmpl-" + s.id, "object": "chat.completion.chunk", "created": 1790000000, "model": q["model"],
			"choices": []obj{{"index": 0, "delta": delta, "logprobs": nil, "finish_reason": finish}},
		}))
	}
	chunk(obj{"role": "assistant", "content": ""}, nil)
	if s.call != nil {
		chunk(obj{"tool_calls": []obj{{"index": 0, "id": "call_" + s.id, "type": "function", "function": obj{"name": s.call.Tool, "arguments": ""}}}}, nil)
		for _, half := range halves(s.call.Arguments) {
			chunk(obj{"tool_calls": []obj{{"index": 0, "function": obj{"arguments": half}}}}, nil)
		}
		chunk(obj{}, "tool_calls")
	} else {
		for _, half := range halves(s.text) {
			chunk(obj{"content": half}, nil)
		}
		chunk(obj{}, "stop")
	}
	if options, _ := q["stream_options"].(map[string]any); options["include_usage"] == true {
		out = append(out, frame("", obj{
			"id": "chatcmpl-" + s.id, "object": "chat.completion.chunk", "created": 1790000000, "model": q["model"],
			"choices": []obj{}, "usage": c.usage(),
		}))
	}
	return append(out, "data: [DONE]\n\n")
}

// responsesTongue is OpenAI's responses, which keep nothing: reasoning is given
// out sealed to who asks for that, and must come back as it was.
type responsesTongue struct{}

func (responsesTongue) read(q map[string]any, h *hearing) {
	for _, tool := range list(q, "tools") {
		name, _ := tool["name"].(string)
		if name == "" {
			name, _ = tool["type"].(string)
		}
		h.Tools = append(h.Tools, name)
	}
	for _, item := range list(q, "input") {
		switch item["type"] {
		case "function_call_output", "custom_tool_call_output":
			h.Results = append(h.Results, text(item, "output"))
		case "reasoning":
			seal, _ := item["encrypted_content"].(string)
			h.States = append(h.States, seal)
			h.Refused = wrongState(seal)
		}
	}
}

func (responsesTongue) usage() obj {
	return obj{
		"input_tokens": toldInput, "input_tokens_details": obj{"cached_tokens": toldCached, "cache_write_tokens": 0},
		"output_tokens": toldOutput, "output_tokens_details": obj{"reasoning_tokens": toldReasoning}, "total_tokens": toldInput + toldOutput,
	}
}

// items are what is put out: first each as it begins, then as it ends.
func (responsesTongue) items(q map[string]any, s said) (begun, ended []obj) {
	include, _ := q["include"].([]any)
	if s.thinks {
		begun = append(begun, obj{"id": "rs_" + s.id, "type": "reasoning", "summary": []obj{}})
		r := obj{"id": "rs_" + s.id, "type": "reasoning", "summary": []obj{{"type": "summary_text", "text": thought}}}
		if slices.Contains(include, any("reasoning.encrypted_content")) {
			r["encrypted_content"] = signed + s.id
		}
		ended = append(ended, r)
	}
	switch {
	case s.call == nil:
		begun = append(begun, obj{"id": "msg_" + s.id, "type": "message", "role": "assistant", "status": "in_progress", "content": []obj{}})
		part := obj{"type": "output_text", "text": s.text, "annotations": []obj{}, "logprobs": []obj{}}
		ended = append(ended, obj{"id": "msg_" + s.id, "type": "message", "role": "assistant", "status": "completed", "content": []obj{part}})
	case s.call.Freeform:
		call := func(input, status string) obj {
			return obj{"id": "ctc_" + s.id, "type": "custom_tool_call", "call_id": "call_" + s.id, "name": s.call.Tool, "input": input, "status": status}
		}
		begun, ended = append(begun, call("", "in_progress")), append(ended, call(s.call.Arguments, "completed"))
	default:
		call := func(arguments, status string) obj {
			return obj{"id": "fc_" + s.id, "type": "function_call", "call_id": "call_" + s.id, "name": s.call.Tool, "arguments": arguments, "status": status}
		}
		begun, ended = append(begun, call("", "in_progress")), append(ended, call(s.call.Arguments, "completed"))
	}
	return begun, ended
}

func (r responsesTongue) answer(q map[string]any, s said, status string, output []obj, usage any) obj {
	return obj{
		"id": "resp_" + s.id, "object": "response", "created_at": 1790000000, "status": status, "model": q["model"], "output": output, "usage": usage,
		"error": nil, "incomplete_details": nil, "instructions": nil, "metadata": obj{}, "parallel_tool_calls": true, "tool_choice": "auto", "tools": []obj{},
		"temperature": 1, "top_p": 1, "previous_response_id": nil, "store": false, "text": obj{"format": obj{"type": "text"}}, "reasoning": obj{"effort": "medium", "summary": nil},
		"truncation": "disabled", "max_output_tokens": nil, "user": nil,
	}
}

func (r responsesTongue) whole(q map[string]any, s said) any {
	_, ended := r.items(q, s)
	return r.answer(q, s, "completed", ended, r.usage())
}

func (r responsesTongue) stream(q map[string]any, s said) (out []string) {
	event := func(kind string, more obj) {
		more["type"], more["sequence_number"] = kind, len(out)
		out = append(out, frame(kind, more))
	}
	event("response.created", obj{"response": r.answer(q, s, "in_progress", []obj{}, nil)})
	event("response.in_progress", obj{"response": r.answer(q, s, "in_progress", []obj{}, nil)})
	begun, ended := r.items(q, s)
	for i, item := range ended {
		event("response.output_item.added", obj{"output_index": i, "item": begun[i]})
		at := func(more obj) obj {
			more["item_id"], more["output_index"] = item["id"], i
			return more
		}
		switch item["type"] {
		case "reasoning":
			event("response.reasoning_summary_part.added", at(obj{"summary_index": 0, "part": obj{"type": "summary_text", "text": ""}}))
			for _, half := range halves(thought) {
				event("response.reasoning_summary_text.delta", at(obj{"summary_index": 0, "delta": half}))
			}
			event("response.reasoning_summary_text.done", at(obj{"summary_index": 0, "text": thought}))
			event("response.reasoning_summary_part.done", at(obj{"summary_index": 0, "part": obj{"type": "summary_text", "text": thought}}))
		case "message":
			part := item["content"].([]obj)[0]
			event("response.content_part.added", at(obj{"content_index": 0, "part": obj{"type": "output_text", "text": "", "annotations": []obj{}, "logprobs": []obj{}}}))
			for _, half := range halves(s.text) {
				event("response.output_text.delta", at(obj{"content_index": 0, "delta": half, "logprobs": []obj{}}))
			}
			event("response.output_text.done", at(obj{"content_index": 0, "text": s.text, "logprobs": []obj{}}))
			event("response.content_part.done", at(obj{"content_index": 0, "part": part}))
		case "function_call":
			for _, half := range halves(s.call.Arguments) {
				event("response.function_call_arguments.delta", at(obj{"delta": half}))
			}
			event("response.function_call_arguments.done", at(obj{"name": s.call.Tool, "arguments": s.call.Arguments}))
		case "custom_tool_call":
			for _, half := range halves(s.call.Arguments) {
				event("response.custom_tool_call_input.delta", at(obj{"delta": half}))
			}
			event("response.custom_tool_call_input.done", at(obj{"input": s.call.Arguments}))
		}
		event("response.output_item.done", obj{"output_index": i, "item": item})
	}
	event("response.completed", obj{"response": r.answer(q, s, "completed", ended, r.usage())})
	return out
}
