package compat

import (
	"encoding/json"
	"strings"
)

// messagesTongue is Anthropic's. Who has it think gets a signed thought, which
// must stand before the call when that comes back.
type messagesTongue struct{}

func (messagesTongue) read(q map[string]any, h *hearing) {
	for _, tool := range list(q, "tools") {
		h.Tools = append(h.Tools, tool["name"].(string))
	}
	for _, m := range list(q, "messages") {
		begins := ""
		for i, block := range list(m, "content") {
			if i == 0 {
				begins, _ = block["type"].(string)
			}
			switch block["type"] {
			case "tool_result":
				h.Results = append(h.Results, text(block, "content"))
			case "thinking":
				signature, _ := block["signature"].(string)
				h.States = append(h.States, signature)
				h.Refused = wrongState(signature)
			case "tool_use":
				if (messagesTongue{}).thinks(q) && begins != "thinking" {
					h.Refused = "Expected `thinking`, but found `" + begins + "`"
				}
			}
		}
	}
}

func (messagesTongue) thinks(q map[string]any) bool {
	thinking, _ := q["thinking"].(map[string]any)
	return thinking["type"] == "enabled" || thinking["type"] == "adaptive"
}

// blocks are what is said, each as it begins and with its deltas.
func (c messagesTongue) blocks(q map[string]any, s said) (begun []obj, deltas [][]obj, ended []obj) {
	if s.thinks && c.thinks(q) {
		begun = append(begun, obj{"type": "thinking", "thinking": "", "signature": ""})
		h := halves(thought)
		deltas = append(deltas, []obj{{"type": "thinking_delta", "thinking": h[0]}, {"type": "thinking_delta", "thinking": h[1]}, {"type": "signature_delta", "signature": signed + s.id}})
		ended = append(ended, obj{"type": "thinking", "thinking": thought, "signature": signed + s.id})
	}
	if s.call != nil {
		h := halves(s.call.Arguments)
		begun = append(begun, obj{"type": "tool_use", "id": "toolu_" + s.id, "name": s.call.Tool, "input": obj{}})
		deltas = append(deltas, []obj{{"type": "input_json_delta", "partial_json": ""}, {"type": "input_json_delta", "partial_json": h[0]}, {"type": "input_json_delta", "partial_json": h[1]}})
		ended = append(ended, obj{"type": "tool_use", "id": "toolu_" + s.id, "name": s.call.Tool, "input": json.RawMessage(s.call.Arguments)})
		return begun, deltas, ended
	}
	h := halves(s.text)
	begun = append(begun, obj{"type": "text", "text": ""})
	deltas = append(deltas, []obj{{"type": "text_delta", "text": h[0]}, {"type": "text_delta", "text": h[1]}})
	return begun, deltas, append(ended, obj{"type": "text", "text": s.text})
}

func (messagesTongue) usage() obj {
	return obj{
		"input_tokens": toldInput - toldCached, "cache_read_input_tokens": toldCached, "cache_creation_input_tokens": 0,
		"output_tokens": toldOutput, "output_tokens_details": obj{"thinking_tokens": toldReasoning},
	}
}

func (c messagesTongue) message(q map[string]any, s said, content []obj, stop any, usage obj) obj {
	return obj{
		"id": "msg_" + s.id, "type": "message", "role": "assistant", "model": q["model"], "content": content,
		"stop_reason": stop, "stop_sequence": nil, "usage": usage,
	}
}

func (messagesTongue) stop(s said) string {
	if s.call != nil {
		return "tool_use"
	}
	return "end_turn"
}

func (c messagesTongue) whole(q map[string]any, s said) any {
	_, _, ended := c.blocks(q, s)
	return c.message(q, s, ended, c.stop(s), c.usage())
}

func (c messagesTongue) stream(q map[string]any, s said) (out []string) {
	event := func(kind string, more obj) {
		more["type"] = kind
		out = append(out, frame(kind, more))
	}
	first := c.usage()
	first["output_tokens"] = 1
	delete(first, "output_tokens_details")
	event("message_start", obj{"message": c.message(q, s, []obj{}, nil, first)})
	event("ping", obj{})
	begun, deltas, _ := c.blocks(q, s)
	for i, block := range begun {
		event("content_block_start", obj{"index": i, "content_block": block})
		for _, delta := range deltas[i] {
			event("content_block_delta", obj{"index": i, "delta": delta})
		}
		event("content_block_stop", obj{"index": i})
	}
	event("message_delta", obj{"delta": obj{"stop_reason": c.stop(s), "stop_sequence": nil}, "usage": c.usage()})
	event("message_stop", obj{})
	return out
}

// geminiTongue is Google's. Each call has a signature, without which it must not
// come back.
type geminiTongue struct{}

func (geminiTongue) read(q map[string]any, h *hearing) {
	for _, tool := range list(q, "tools") {
		for _, f := range list(tool, "functionDeclarations") {
			h.Tools = append(h.Tools, f["name"].(string))
		}
	}
	for _, c := range list(q, "contents") {
		for _, part := range list(c, "parts") {
			if call, ok := part["functionCall"].(map[string]any); ok {
				signature, _ := part["thoughtSignature"].(string)
				h.States = append(h.States, signature)
				if !strings.HasPrefix(signature, signed) && signature != unsigned {
					name, _ := call["name"].(string)
					h.Refused = "Function call is missing a thought_signature in functionCall parts: " + name
				}
			}
			if r, ok := part["functionResponse"].(map[string]any); ok {
				h.Results = append(h.Results, onlyText(r["response"]))
			}
		}
	}
}

// unsigned is what Google takes for the signature of a call that another made.
const unsigned = "skip_thought_signature_validator"

// onlyText returns the only text of a result, which each client wraps in its own way.
func onlyText(v any) string {
	m, _ := v.(map[string]any)
	for _, name := range []string{"output", "result", "content", "name"} {
		if s, ok := m[name].(string); ok {
			return s
		}
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func (geminiTongue) parts(q map[string]any, s said) (out []obj) {
	config, _ := q["generationConfig"].(map[string]any)
	thinking, _ := config["thinkingConfig"].(map[string]any)
	if s.thinks && thinking["includeThoughts"] == true {
		out = append(out, obj{"text": thought, "thought": true})
	}
	if s.call != nil {
		return append(out, obj{"functionCall": obj{"id": "gem-" + s.id, "name": s.call.Tool, "args": json.RawMessage(s.call.Arguments)}, "thoughtSignature": signed + s.id})
	}
	return append(out, obj{"text": s.text})
}

func (geminiTongue) answer(s said, parts []obj, last bool) obj {
	candidate := obj{"index": 0, "content": obj{"role": "model", "parts": parts}}
	usage := obj{"promptTokenCount": toldInput, "cachedContentTokenCount": toldCached, "totalTokenCount": toldInput}
	if last {
		candidate["finishReason"] = "STOP"
		usage["candidatesTokenCount"], usage["thoughtsTokenCount"], usage["totalTokenCount"] = toldOutput-toldReasoning, toldReasoning, toldInput+toldOutput
	}
	return obj{"candidates": []obj{candidate}, "usageMetadata": usage, "modelVersion": "gemini-upstream", "responseId": s.id}
}

func (c geminiTongue) whole(q map[string]any, s said) any {
	return c.answer(s, c.parts(q, s), true)
}

func (c geminiTongue) stream(q map[string]any, s said) (out []string) {
	parts := c.parts(q, s)
	if s.call == nil {
		h := halves(s.text)
		parts = append(parts[:len(parts)-1], obj{"text": h[0]}, obj{"text": h[1]})
	}
	for i, part := range parts {
		out = append(out, frame("", c.answer(s, []obj{part}, i == len(parts)-1)))
	}
	return out
}
