package sim

import "github.com/pontage/pontage/internal/llm"

// The steps of a response's stream.
const (
	respCreated = iota
	respProgress
	respItem     // output_item.added
	respPart     // content_part.added, or that of a summary
	respDelta    //
	respDone     // of the text or the arguments
	respPartDone //
	respItemDone
	respEnd
	respOver
)

// responsesStream makes the events of a response.
type responsesStream struct {
	a     *answer
	items []part
	step  uint8
	item  int
	seq   int64
	cut   cutter
}

func newResponsesStream(a *answer) *responsesStream {
	return &responsesStream{a: a, items: a.items()}
}

// eventEnd ends the payload of an event, and the event.
const eventEnd = "}\n\n"

// event begins an event.
func (s *responsesStream) event(dst []byte, name string) []byte {
	dst = append(append(dst, "event: "...), name...)
	dst = quote(append(dst, "\ndata: {\"type\":"...), name)
	dst = member(dst, `,"sequence_number":`, s.seq)
	s.seq++
	return dst
}

func (s *responsesStream) next(dst []byte) ([]byte, eventKind) {
	switch s.step {
	case respCreated, respProgress:
		name := "response.created"
		if s.step == respProgress {
			name = "response.in_progress"
		}
		if s.step++; s.step == respItem && len(s.items) == 0 {
			s.step = respEnd
		}
		dst = s.a.appendResponse(append(s.event(dst, name), `,"response":`...), "in_progress", "")
		return append(s.a.appendResponseTail(dst, false), eventEnd...), eventOther
	case respEnd:
		return s.end(dst)
	case respOver:
		return dst, eventLast
	case respItem, respItemDone:
		return s.whole(dst)
	}
	return s.piece(dst)
}

// end is the event with the whole response.
func (s *responsesStream) end(dst []byte) ([]byte, eventKind) {
	s.step = respOver
	if s.a.noDone {
		return dst, eventLast
	}
	f := llm.FinishStop
	if len(s.a.choices) > 0 {
		f = s.a.choices[0].finish
	}
	status, _ := responsesStatus(f)
	dst = append(s.event(dst, "response."+status), `,"response":`...)
	return append(appendResponses(dst, s.a), eventEnd...), eventLast
}

// whole is an event with an item as it begins or ends.
func (s *responsesStream) whole(dst []byte) ([]byte, eventKind) {
	p, i, over := s.items[s.item], s.item, s.step == respItemDone
	name, kind := "response.output_item.added", eventOther
	switch {
	case over:
		name = "response.output_item.done"
		s.item++
		s.step = respItem
		if s.item == len(s.items) {
			s.step, kind = respEnd, eventEnding
		}
	case p.kind == partTool:
		s.step, kind = respDelta, eventContent
	case p.text == "" && p.kind == partReasoning:
		s.step = respItemDone
	default:
		s.step = respPart
	}
	if !over {
		s.cut = newCutter(p.text, p.chunks)
		if s.step == respDelta && s.cut.empty() {
			s.step = respDone
		}
	}
	dst = member(s.event(dst, name), `,"output_index":`, int64(i))
	return append(s.a.appendItem(append(dst, `,"item":`...), p, i, over), eventEnd...), kind
}

// pieceNames are the names of the events within an item: of its part, of deltas,
// and of their end; and what the text is called in that one.
type pieceNames struct{ part, delta, index, text string }

func (p part) names() pieceNames {
	switch {
	case p.kind == partReasoning:
		return pieceNames{"response.reasoning_summary_part", "response.reasoning_summary_text", `,"summary_index":0`, `,"text":`}
	case p.custom:
		return pieceNames{"", "response.custom_tool_call_input", "", `,"input":`}
	case p.kind == partTool:
		return pieceNames{"", "response.function_call_arguments", "", `,"arguments":`}
	}
	return pieceNames{"response.content_part", "response.output_text", `,"content_index":0`, `,"text":`}
}

// piece is an event within the item at hand.
func (s *responsesStream) piece(dst []byte) ([]byte, eventKind) {
	p := s.items[s.item]
	n := p.names()
	begin := func(name string) []byte {
		dst = member(s.event(dst, name), `,"output_index":`, int64(s.item))
		dst = s.a.itemID(append(dst, `,"item_id":`...), p, s.item)
		return append(dst, n.index...)
	}
	kind := eventOther
	switch s.step {
	case respPart, respPartDone:
		text, suffix := "", ".added"
		if s.step == respPartDone {
			text, suffix = p.text, ".done"
		}
		dst = append(begin(n.part+suffix), `,"part":`...)
		if p.kind == partReasoning {
			dst = append(quote(append(dst, `{"type":"summary_text","text":`...), text), '}')
		} else {
			dst = appendTextPart(dst, text)
		}
		switch {
		case s.step == respPartDone:
			s.step = respItemDone
		case s.cut.empty():
			s.step = respDone
		default:
			s.step = respDelta
		}
	case respDelta:
		kind = eventContent
		dst = quote(append(begin(n.delta+".delta"), `,"delta":`...), s.cut.next())
		if s.cut.empty() {
			s.step = respDone
		}
	default:
		dst = quote(append(begin(n.delta+".done"), n.text...), p.text)
		if s.step = respItemDone; n.part != "" {
			s.step = respPartDone
		}
	}
	if p.kind == partText && kind == eventContent || p.kind == partText && s.step == respPartDone {
		dst = append(dst, `,"logprobs":[]`...)
	}
	if p.kind == partTool && !p.custom && s.step == respItemDone {
		dst = quote(append(dst, `,"name":`...), p.name)
	}
	return append(dst, eventEnd...), kind
}

var _ events = (*responsesStream)(nil)
