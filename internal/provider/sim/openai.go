package sim

// appendOpenAI appends a whole chat completion.
func appendOpenAI(dst []byte, a *answer) []byte {
	dst = append(dst, `{"id":"chatcmpl-sim`...)
	dst = append(dst, a.id...)
	dst = member(dst, `","object":"chat.completion","created":`, a.created)
	dst = append(dst, `,"model":`...)
	dst = quote(dst, a.model)
	dst = append(dst, `,"choices":[`...)
	for i := range a.choices {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendOpenAIChoice(dst, &a.choices[i], i)
	}
	dst = append(dst, ']')
	if !a.noUsage {
		dst = append(dst, `,"usage":`...)
		dst = appendOpenAIUsage(dst, a)
	}
	return append(dst, `,"service_tier":"default","system_fingerprint":"fp_sim"}`...)
}

func appendOpenAIChoice(dst []byte, c *choice, i int) []byte {
	dst = member(dst, `{"index":`, int64(i))
	dst = append(dst, `,"message":{"role":"assistant","content":`...)
	text, reasoning, calls := "", "", 0
	for _, p := range c.parts {
		switch p.kind {
		case partText:
			text += p.text
		case partReasoning:
			reasoning += p.text
		case partTool:
			calls++
		}
	}
	if text == "" && calls > 0 {
		dst = append(dst, "null"...)
	} else {
		dst = quote(dst, text)
	}
	dst = append(dst, `,"refusal":null`...)
	if reasoning != "" {
		dst = append(dst, `,"reasoning_content":`...)
		dst = quote(dst, reasoning)
	}
	if calls > 0 {
		dst = append(dst, `,"tool_calls":[`...)
		first := true
		for _, p := range c.parts {
			if p.kind != partTool {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(appendOpenAICall(append(dst, '{'), p, p.text), '}')
		}
		dst = append(dst, ']')
	}
	dst = append(dst, `,"annotations":[]},"logprobs":null,"finish_reason":`...)
	dst = quote(dst, openaiFinish[string(c.finish)])
	return append(dst, '}')
}

// appendOpenAICall appends the members of a tool call.
func appendOpenAICall(dst []byte, p part, args string) []byte {
	dst = append(dst, `"id":`...)
	dst = quote(dst, p.id)
	if p.custom {
		dst = append(dst, `,"type":"custom","custom":{"name":`...)
	} else {
		dst = append(dst, `,"type":"function","function":{"name":`...)
	}
	dst = quote(dst, p.name)
	dst = appendOpenAIArgs(append(dst, ','), p, args)
	return append(dst, '}')
}

func appendOpenAIArgs(dst []byte, p part, args string) []byte {
	if p.custom {
		dst = append(dst, `"input":`...)
	} else {
		dst = append(dst, `"arguments":`...)
	}
	return quote(dst, args)
}

func appendOpenAIUsage(dst []byte, a *answer) []byte {
	u := a.usage
	input, total, read := u.input(), u.input()+u.output, u.read
	if a.absurd {
		total, read = 0, input+absurdTokens
	}
	dst = member(dst, `{"prompt_tokens":`, input)
	dst = member(dst, `,"completion_tokens":`, u.output)
	dst = member(dst, `,"total_tokens":`, total)
	dst = member(dst, `,"prompt_tokens_details":{"cached_tokens":`, read)
	dst = member(dst, `,"cache_write_tokens":`, u.write+u.write1h)
	dst = append(dst, `,"audio_tokens":0}`...)
	dst = member(dst, `,"completion_tokens_details":{"reasoning_tokens":`, u.reasoning)
	return append(dst, `,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`...)
}

// cursor is how far one choice has been streamed.
type cursor struct {
	part    int
	tool    int // number of the tool call
	started bool
	opened  bool // the part at hand has begun
	done    bool
	cut     cutter
}

// openaiStream makes the chunks of a chat completion.
type openaiStream struct {
	a    *answer
	cur  []cursor
	turn int
	end  uint8 // after the choices: 0 usage, 1 [DONE], 2 nothing
}

func newOpenAIStream(a *answer) *openaiStream {
	return &openaiStream{a: a, cur: make([]cursor, len(a.choices))}
}

func (s *openaiStream) next(dst []byte) ([]byte, eventKind) {
	for range s.cur {
		i := s.turn
		s.turn = (s.turn + 1) % len(s.cur)
		if !s.cur[i].done {
			return s.choice(dst, i)
		}
	}
	if s.end == 0 {
		s.end = 1
		if s.a.inUsage && !s.a.noUsage {
			dst = s.head(dst)
			dst = append(dst, `],"usage":`...)
			dst = appendOpenAIUsage(dst, s.a)
			return append(dst, "}\n\n"...), s.tail()
		}
	}
	if s.end == 1 && !s.a.noDone {
		dst = append(dst, "data: [DONE]\n\n"...)
	}
	s.end = 2
	return dst, eventLast
}

// tail is the kind of an event after the choices.
func (s *openaiStream) tail() eventKind {
	if s.a.noDone {
		s.end = 2
		return eventLast
	}
	return eventEnding
}

// head appends a chunk up to the list of its choices.
func (s *openaiStream) head(dst []byte) []byte {
	dst = append(dst, `data: {"id":"chatcmpl-sim`...)
	dst = append(dst, s.a.id...)
	dst = member(dst, `","object":"chat.completion.chunk","created":`, s.a.created)
	dst = append(dst, `,"model":`...)
	dst = quote(dst, s.a.model)
	return append(dst, `,"service_tier":"default","system_fingerprint":"fp_sim","choices":[`...)
}

// choice appends the next chunk of choice i.
func (s *openaiStream) choice(dst []byte, i int) ([]byte, eventKind) {
	c, k := &s.a.choices[i], &s.cur[i]
	dst = s.head(dst)
	dst = member(dst, `{"index":`, int64(i))
	dst = append(dst, `,"delta":{`...)
	kind, finish := eventContent, ""
	switch {
	case !k.started:
		k.started, kind = true, eventOther
		dst = append(dst, `"role":"assistant","content":"","refusal":null`...)
	case k.part < len(c.parts):
		dst = k.delta(dst, c.parts)
	default:
		k.done, kind = true, eventOther
		finish = openaiFinish[string(c.finish)]
		if s.finished() {
			kind = eventEnding
		}
	}
	dst = append(dst, `},"logprobs":null,"finish_reason":`...)
	dst = quoteOrNull(dst, finish)
	dst = append(dst, "}]"...)
	if s.a.inUsage {
		dst = append(dst, `,"usage":null`...)
	}
	return append(dst, "}\n\n"...), kind
}

func (s *openaiStream) finished() bool {
	for i := range s.cur {
		if !s.cur[i].done {
			return false
		}
	}
	return true
}

// delta appends the members of a delta, and moves on.
func (k *cursor) delta(dst []byte, parts []part) []byte {
	p := parts[k.part]
	if !k.opened {
		k.opened, k.cut = true, newCutter(p.text, p.chunks)
		if p.kind == partTool {
			dst = member(dst, `"tool_calls":[{"index":`, int64(k.tool))
			dst = appendOpenAICall(append(dst, ','), p, "")
			k.close(p)
			return append(dst, "}]"...)
		}
	}
	piece := k.cut.next()
	switch p.kind {
	case partText:
		dst = append(dst, `"content":`...)
		dst = quote(dst, piece)
	case partReasoning:
		dst = append(dst, `"reasoning_content":`...)
		dst = quote(dst, piece)
	case partTool:
		dst = member(dst, `"tool_calls":[{"index":`, int64(k.tool))
		if p.custom {
			dst = append(dst, `,"custom":{`...)
		} else {
			dst = append(dst, `,"function":{`...)
		}
		dst = appendOpenAIArgs(dst, p, piece)
		dst = append(dst, "}}]"...)
	}
	k.close(p)
	return dst
}

// close goes on to the next part if this one is spent.
func (k *cursor) close(p part) {
	if !k.cut.empty() {
		return
	}
	k.part++
	k.opened = false
	if p.kind == partTool {
		k.tool++
	}
}

var _ events = (*openaiStream)(nil)
