package sim

import "github.com/pontage/pontage/internal/llm"

// responsesStatus gives the status of a response, and why it is incomplete.
func responsesStatus(f llm.Finish) (status, reason string) {
	switch f {
	case llm.FinishLength, llm.FinishContextWindow:
		return "incomplete", "max_output_tokens"
	case llm.FinishContentFilter:
		return "incomplete", "content_filter"
	}
	return "completed", ""
}

// items are the parts of a response's output. A model whose thoughts are hidden
// has an item for them all the same.
func (a *answer) items() []part {
	if len(a.choices) == 0 {
		return nil
	}
	parts := a.choices[0].parts
	if a.usage.reasoning > 0 && (len(parts) == 0 || parts[0].kind != partReasoning) {
		return append([]part{{kind: partReasoning, seal: signature(hash(hashStart, a.id))}}, parts...)
	}
	return parts
}

// appendResponses appends a whole response.
func appendResponses(dst []byte, a *answer) []byte {
	f := llm.FinishStop
	if len(a.choices) > 0 {
		f = a.choices[0].finish
	}
	status, reason := responsesStatus(f)
	dst = a.appendResponse(dst, status, reason)
	for i, p := range a.items() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = a.appendItem(dst, p, i, true)
	}
	return a.appendResponseTail(dst, true)
}

// appendResponse appends a response up to its output.
func (a *answer) appendResponse(dst []byte, status, reason string) []byte {
	dst = append(dst, `{"id":"resp_sim`...)
	dst = append(dst, a.id...)
	dst = member(dst, `","object":"response","created_at":`, a.created)
	dst = append(dst, `,"status":`...)
	dst = quote(dst, status)
	dst = append(dst, `,"background":false,"error":null,"incomplete_details":`...)
	if reason == "" {
		dst = append(dst, "null"...)
	} else {
		dst = append(quote(append(dst, `{"reason":`...), reason), '}')
	}
	dst = append(dst, `,"instructions":null,"max_output_tokens":null,"metadata":{},"model":`...)
	dst = quote(dst, a.model)
	return append(dst, `,"parallel_tool_calls":true,"previous_response_id":null,"store":false,"temperature":1,"tool_choice":"auto","tools":[],"top_p":1,"truncation":"disabled","output":[`...)
}

// appendResponseTail appends what follows the output.
func (a *answer) appendResponseTail(dst []byte, over bool) []byte {
	dst = append(dst, ']')
	if !over || a.noUsage {
		return append(dst, '}')
	}
	u := a.usage
	input, total, read := u.input(), u.input()+u.output, u.read
	if a.absurd {
		total, read = 0, input+absurdTokens
	}
	dst = member(dst, `,"usage":{"input_tokens":`, input)
	dst = member(dst, `,"input_tokens_details":{"cached_tokens":`, read)
	dst = member(dst, `,"cache_write_tokens":`, u.write+u.write1h)
	dst = member(dst, `},"output_tokens":`, u.output)
	dst = member(dst, `,"output_tokens_details":{"reasoning_tokens":`, u.reasoning)
	dst = member(dst, `},"total_tokens":`, total)
	return append(dst, "}}"...)
}

// itemID appends the id of an item, which depends on the answer and its place.
func (a *answer) itemID(dst []byte, p part, i int) []byte {
	prefix := `"msg_sim`
	switch {
	case p.kind == partReasoning:
		prefix = `"rs_sim`
	case p.custom:
		prefix = `"ctc_sim`
	case p.kind == partTool:
		prefix = `"fc_sim`
	}
	dst = append(dst, prefix...)
	dst = append(dst, a.id...)
	return append(member(dst, "_", int64(i)), '"')
}

// appendItem appends an item of the output: whole, or empty as it starts.
func (a *answer) appendItem(dst []byte, p part, i int, whole bool) []byte {
	text, status := "", "in_progress"
	if whole {
		text, status = p.text, "completed"
	}
	dst = a.itemID(append(dst, `{"id":`...), p, i)
	switch p.kind {
	case partReasoning:
		dst = append(dst, `,"type":"reasoning","summary":[`...)
		if text != "" {
			dst = append(quote(append(dst, `{"type":"summary_text","text":`...), text), '}')
		}
		dst = append(dst, ']')
		if a.sealed && whole {
			dst = quote(append(dst, `,"encrypted_content":`...), p.seal)
		}
		return append(dst, '}')
	case partTool:
		name := `,"type":"function_call","arguments":`
		if p.custom {
			name = `,"type":"custom_tool_call","input":`
		}
		dst = quote(append(dst, name...), text)
		dst = quote(append(dst, `,"call_id":`...), p.id)
		dst = quote(append(dst, `,"name":`...), p.name)
		if p.space != "" {
			dst = quote(append(dst, `,"namespace":`...), p.space)
		}
	default:
		dst = append(dst, `,"type":"message","role":"assistant","content":[`...)
		if whole {
			dst = appendTextPart(dst, text)
		}
		dst = append(dst, ']')
	}
	return append(quote(append(dst, `,"status":`...), status), '}')
}

func appendTextPart(dst []byte, text string) []byte {
	dst = quote(append(dst, `{"type":"output_text","text":`...), text)
	return append(dst, `,"annotations":[],"logprobs":[]}`...)
}

// appendCompaction appends a conversation that was compacted, of which nobody but
// this simulator could make anything.
func appendCompaction(dst []byte, a *answer) []byte {
	dst = append(append(dst, `{"id":"resp_sim`...), a.id...)
	dst = member(dst, `","object":"response.compaction","created_at":`, a.created)
	dst = append(append(dst, `,"output":[{"id":"cmp_sim`...), a.id...)
	dst = quote(append(dst, `","type":"compaction","encrypted_content":`...), signature(hash(hashStart, a.id)))
	return a.appendResponseTail(append(dst, '}'), true)
}
