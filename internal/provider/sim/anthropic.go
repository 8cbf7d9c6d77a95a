package sim

// appendAnthropic appends a whole message.
func appendAnthropic(dst []byte, a *answer) []byte {
	dst = appendMessageHead(dst, a)
	finish, stopAt := "end_turn", ""
	if len(a.choices) > 0 {
		c := &a.choices[0]
		finish, stopAt = anthropicFinish[string(c.finish)], c.stopAt
		for i, p := range c.parts {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendBlock(dst, p, true)
		}
	}
	dst = append(dst, `],"stop_reason":`...)
	dst = quote(dst, finish)
	dst = append(dst, `,"stop_sequence":`...)
	dst = quoteOrNull(dst, stopAt)
	return appendMessageTail(dst, a, a.usage.output, a.usage.reasoning)
}

// appendMessageHead appends a message up to its content.
func appendMessageHead(dst []byte, a *answer) []byte {
	dst = append(dst, `{"id":"msg_sim`...)
	dst = append(dst, a.id...)
	dst = append(dst, `","type":"message","role":"assistant","model":`...)
	dst = quote(dst, a.model)
	return append(dst, `,"content":[`...)
}

// appendMessageTail appends what follows the stop sequence of a message.
func appendMessageTail(dst []byte, a *answer, output, thinking int64) []byte {
	dst = append(dst, `,"stop_details":null,"container":null,"diagnostics":null`...)
	if !a.noUsage {
		u := a.usage
		if a.absurd {
			u.read += absurdTokens
		}
		dst = append(dst, `,"usage":{`...)
		dst = appendAnthropicInput(dst, u)
		dst = member(dst, `,"cache_creation":{"ephemeral_5m_input_tokens":`, u.write)
		dst = member(dst, `,"ephemeral_1h_input_tokens":`, u.write1h)
		dst = member(dst, `},"output_tokens":`, output)
		dst = member(dst, `,"output_tokens_details":{"thinking_tokens":`, thinking)
		dst = append(dst, `},"server_tool_use":null,"service_tier":"standard","inference_geo":null,"speed":null}`...)
	}
	return append(dst, '}')
}

func appendAnthropicInput(dst []byte, u usage) []byte {
	dst = member(dst, `"input_tokens":`, u.uncached)
	dst = member(dst, `,"cache_creation_input_tokens":`, u.write+u.write1h)
	return member(dst, `,"cache_read_input_tokens":`, u.read)
}

// appendBlock appends a content block: whole, or empty as it starts a stream.
func appendBlock(dst []byte, p part, whole bool) []byte {
	text, seal := "", ""
	if whole {
		text, seal = p.text, p.seal
	}
	switch p.kind {
	case partText:
		dst = append(dst, `{"type":"text","citations":[],"text":`...)
		dst = quote(dst, text)
	case partReasoning:
		dst = append(dst, `{"type":"thinking","thinking":`...)
		dst = quote(dst, text)
		dst = append(dst, `,"signature":`...)
		dst = quote(dst, seal)
	case partTool:
		dst = append(dst, `{"type":"tool_use","id":`...)
		dst = quote(dst, p.id)
		dst = append(dst, `,"name":`...)
		dst = quote(dst, p.name)
		dst = append(dst, `,"caller":{"type":"direct"},"input":`...)
		if whole {
			dst = append(dst, p.arguments()...)
		} else {
			dst = append(dst, "{}"...)
		}
	}
	return append(dst, '}')
}

// The steps of a message's stream.
const (
	stepStart = iota
	stepPing
	stepBlockStart
	stepDelta
	stepSeal
	stepBlockStop
	stepMessageDelta
	stepMessageStop
	stepOver
)

// anthropicStream makes the events of a message.
type anthropicStream struct {
	a    *answer
	step uint8
	part int
	cut  cutter
}

func (s *anthropicStream) parts() []part {
	if len(s.a.choices) == 0 {
		return nil
	}
	return s.a.choices[0].parts
}

func (s *anthropicStream) next(dst []byte) ([]byte, eventKind) {
	switch s.step {
	case stepStart:
		s.step = stepPing
		dst = append(dst, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"...)
		dst = appendMessageHead(dst, s.a)
		dst = append(dst, `],"stop_reason":null,"stop_sequence":null`...)
		dst = appendMessageTail(dst, s.a, min(s.a.usage.output, 1), 0)
		return append(dst, "}\n\n"...), eventOther
	case stepPing:
		s.step = stepMessageDelta
		if len(s.parts()) > 0 {
			s.step = stepBlockStart
		}
		return append(dst, "event: ping\ndata: {\"type\":\"ping\"}\n\n"...), eventOther
	case stepMessageDelta:
		s.step = stepMessageStop
		return s.messageDelta(dst), eventEnding
	case stepMessageStop:
		s.step = stepOver
		if s.a.noDone {
			return dst, eventLast
		}
		return append(dst, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...), eventLast
	case stepOver:
		return dst, eventLast
	}
	return s.block(dst)
}

// block appends the next event of the block at hand.
func (s *anthropicStream) block(dst []byte) ([]byte, eventKind) {
	p := s.parts()[s.part]
	index := int64(s.part)
	switch s.step {
	case stepBlockStart:
		s.cut = newCutter(p.text, p.chunks)
		s.afterDelta(p)
		dst = member(dst, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":", index)
		dst = append(dst, `,"content_block":`...)
		dst = appendBlock(dst, p, false)
		dst = append(dst, "}\n\n"...)
		if p.kind == partTool {
			return dst, eventContent
		}
		return dst, eventOther
	case stepBlockStop:
		s.part++
		s.step = stepBlockStart
		if s.part == len(s.parts()) {
			s.step = stepMessageDelta
		}
		dst = member(dst, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":", index)
		return append(dst, "}\n\n"...), eventOther
	}
	dst = member(dst, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":", index)
	kind := eventContent
	if s.step == stepSeal {
		s.step, kind = stepBlockStop, eventOther
		dst = append(dst, `,"delta":{"type":"signature_delta","signature":`...)
		dst = quote(dst, p.seal)
	} else {
		switch p.kind {
		case partText:
			dst = append(dst, `,"delta":{"type":"text_delta","text":`...)
		case partReasoning:
			dst = append(dst, `,"delta":{"type":"thinking_delta","thinking":`...)
		case partTool:
			dst = append(dst, `,"delta":{"type":"input_json_delta","partial_json":`...)
		}
		dst = quote(dst, s.cut.next())
		s.afterDelta(p)
	}
	return append(dst, "}}\n\n"...), kind
}

// afterDelta chooses what follows a delta, or the start of a block.
func (s *anthropicStream) afterDelta(p part) {
	switch {
	case !s.cut.empty():
		s.step = stepDelta
	case p.seal != "":
		s.step = stepSeal
	default:
		s.step = stepBlockStop
	}
}

func (s *anthropicStream) messageDelta(dst []byte) []byte {
	finish, stopAt := "end_turn", ""
	if len(s.a.choices) > 0 {
		finish, stopAt = anthropicFinish[string(s.a.choices[0].finish)], s.a.choices[0].stopAt
	}
	dst = append(dst, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"...)
	dst = quote(dst, finish)
	dst = append(dst, `,"stop_sequence":`...)
	dst = quoteOrNull(dst, stopAt)
	dst = append(dst, `,"stop_details":null,"container":null}`...)
	if !s.a.noUsage {
		u := s.a.usage
		if s.a.absurd {
			u.read += absurdTokens
		}
		dst = append(dst, `,"usage":{`...)
		dst = appendAnthropicInput(dst, u)
		dst = member(dst, `,"output_tokens":`, u.output)
		dst = member(dst, `,"output_tokens_details":{"thinking_tokens":`, u.reasoning)
		dst = append(dst, `},"server_tool_use":null}`...)
	}
	return append(dst, "}\n\n"...)
}

var _ events = (*anthropicStream)(nil)
