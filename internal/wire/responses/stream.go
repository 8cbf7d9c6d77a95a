package responses

import (
	"crypto/rand"
	"errors"
	"strconv"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// stream writes a streamed answer from the meaning of its events.
//
// Items are numbered in the order in which they began. Text and reasoning end
// when something else begins; calls of tools, which some providers write side by
// side and none says the end of, stay open until the answer ends.
type stream struct {
	head    response
	summary bool // the caller wants his reasoning as summaries
	spaces  *spaces
	started bool
	number  int64 // of the next event
	items   []*item

	called bool
	ending llm.Finish
	logged []byte // log probabilities that are yet to be told: elements with commas between them
	cut    bool   // the answer was cut off: what is open stays half told
	buf    []byte
}

// Bounds on what a provider can make us remember.
const (
	maxAnswerItems = 4096
	maxNotes       = 4096 // of one part
)

// event appends what one event gives.
func (s *stream) event(dst []byte, ev llm.Event) ([]byte, error) {
	if len(ev.Deltas) > 0 {
		dst = s.start(dst)
	}
	for i := range ev.Deltas {
		var err error
		if dst, err = s.delta(dst, &ev.Deltas[i]); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// start appends the two events that every answer begins with, once.
func (s *stream) start(dst []byte) []byte {
	if s.started {
		return dst
	}
	s.started = true
	o := object{status: statusInProgress, model: s.head.r.Model}
	b := append(s.buf[:0], `"response":`...)
	b = append(s.head.append(b, o), '}')
	s.buf = b
	dst = s.frame(dst, "response.created", b)
	return s.frame(dst, "response.in_progress", b)
}

// frame appends one event; members as for [frame].
func (s *stream) frame(dst []byte, name string, members []byte) []byte {
	dst = frame(dst, name, s.number, members)
	s.number++
	return dst
}

// delta appends what one delta gives.
func (s *stream) delta(dst []byte, d *llm.Delta) ([]byte, error) {
	if d.Choice != 0 {
		return dst, errors.New("answer with several choices has no place in a response")
	}
	switch d.Kind {
	case llm.DeltaText:
		s.log(d.Logprobs)
		return s.grow(dst, kindMessage, partText, d.Text)
	case llm.DeltaRefusal:
		return s.grow(dst, kindMessage, partRefusal, d.Text)
	case llm.DeltaReasoning:
		if s.summary {
			return s.grow(dst, kindReasoning, partSummary, d.Text)
		}
		return s.grow(dst, kindReasoning, partThought, d.Text)
	case llm.DeltaSignature:
		return s.seal(dst, d.Text)
	case llm.DeltaRedacted:
		dst, err := s.open(dst, &item{kind: kindReasoning, id: newID("rs_"), summary: s.summary, seal: asRedacted(d.Text)})
		return s.close(dst), err
	case llm.DeltaToolCall:
		s.called = true
		n := s.spaces.split(d.ToolName)
		kind := kindCall
		if d.Custom {
			kind = kindCustomCall
		}
		call := &item{kind: kind, id: newID(idPrefix[kind]), tool: d.Tool, callID: d.ToolID, name: n.name, space: n.space}
		if call.callID == "" {
			call.callID = "call_" + rand.Text()
		}
		return s.open(dst, call)
	case llm.DeltaToolArgs:
		return s.arguments(dst, d)
	case llm.DeltaCitation:
		return s.cite(dst, d)
	case llm.DeltaImage:
		return s.image(dst, d.Image)
	case llm.DeltaFinish:
		s.ending = d.Finish
	case llm.DeltaStart:
	}
	return dst, nil
}

func (s *stream) last() *item {
	if len(s.items) == 0 {
		return nil
	}
	return s.items[len(s.items)-1]
}

// open begins an item, and ends what cannot go on beside it.
func (s *stream) open(dst []byte, it *item) ([]byte, error) {
	if len(s.items) >= maxAnswerItems {
		return dst, errors.New("answer has too many items")
	}
	dst = s.close(dst)
	it.index, it.open = len(s.items), true
	s.items = append(s.items, it)
	b := strconv.AppendInt(append(s.buf[:0], `"output_index":`...), int64(it.index), 10)
	b = append(it.append(append(b, `,"item":`...), statusInProgress), '}')
	s.buf = b
	return s.frame(dst, "response.output_item.added", b), nil
}

// close ends the last item, unless it is a call of a tool.
func (s *stream) close(dst []byte) []byte {
	if last := s.last(); last != nil && last.open && !last.calls() {
		return s.done(dst, last, statusCompleted)
	}
	return dst
}

// grow appends a piece of text to the last item if it is of the right kind, else
// to a new one.
func (s *stream) grow(dst []byte, kind, partKind, text string) ([]byte, error) {
	last := s.last()
	var err error
	if last == nil || !last.open || last.kind != kind {
		if text == "" {
			return dst, nil // nothing begins with nothing
		}
		last = &item{kind: kind, summary: s.summary, id: newID(idPrefix[kind])}
		if dst, err = s.open(dst, last); err != nil {
			return dst, err
		}
	}
	if n := len(last.parts); n == 0 || last.parts[n-1].kind != partKind {
		dst = s.donePart(dst, last)
		last.parts = append(last.parts, part{kind: partKind})
		dst = s.beginPart(dst, last)
	}
	p := &last.parts[len(last.parts)-1]
	p.text = append(p.text, text...)
	p.runes += utf8.RuneCountInString(text)
	b := jsonx.AppendString(append(s.place(last, partKind), `,"delta":`...), text)
	if partKind == partText {
		b = append(append(append(b, `,"logprobs":[`...), s.logged...), ']')
		p.log(s.logged)
		s.logged = nil
	}
	s.buf = append(b, '}')
	return s.frame(dst, eventsOf[partKind].delta, s.buf), nil
}

// log takes over log probabilities of the text that comes with them, or next.
func (s *stream) log(tokens []byte) {
	if len(tokens) == 0 {
		return
	}
	doc, err := jsonx.Parse(tokens)
	if err != nil {
		return
	}
	for _, t := range doc.Root().Items() {
		if len(s.logged) > 0 {
			s.logged = append(s.logged, ',')
		}
		s.logged = appendLog(s.logged, t)
	}
}

// appendLog appends what is known of a token, and of those it could have been. A
// token without bytes has none of them here, where other dialects say null.
func appendLog(dst []byte, t jsonx.Value) []byte {
	if t.Kind() != jsonx.Object {
		return appendFlat(dst, t.Raw())
	}
	var edits []llm.Edit
	if !t.Get("bytes").Exists() {
		edits = append(edits, llm.Edit{Name: "bytes", Value: []byte("[]")})
	}
	if others := t.Get("top_logprobs"); others.Len() > 0 {
		list := []byte{'['}
		for i, o := range others.Items() {
			if i > 0 {
				list = append(list, ',')
			}
			list = appendLog(list, o)
		}
		edits = append(edits, llm.Edit{Name: "top_logprobs", Value: append(list, ']')})
	}
	return appendFlat(dst, jsonx.Splice(t.Raw(), edits))
}

// idPrefix begins the ids of items.
var idPrefix = map[string]string{kindMessage: "msg_", kindReasoning: "rs_", kindCall: "fc_", kindCustomCall: "ctc_"}

// partEvents are the events of a kind of part, and the member that numbers it.
type partEvents struct{ added, delta, done, end, index, text string }

var eventsOf = map[string]partEvents{
	partText: {
		"response.content_part.added", "response.output_text.delta", "response.output_text.done", "response.content_part.done", "content_index", "text",
	},
	partRefusal: {
		"response.content_part.added", "response.refusal.delta", "response.refusal.done", "response.content_part.done", "content_index", "refusal",
	},
	partThought: {
		"response.content_part.added", "response.reasoning_text.delta", "response.reasoning_text.done", "response.content_part.done", "content_index", "text",
	},
	partSummary: {
		"response.reasoning_summary_part.added", "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done",
		"response.reasoning_summary_part.done", "summary_index", "text",
	},
}

// place begins the members of an event of the last part of an item.
func (s *stream) place(it *item, kind string) []byte {
	b := jsonx.AppendString(append(s.buf[:0], `"item_id":`...), it.id)
	b = strconv.AppendInt(append(b, `,"output_index":`...), int64(it.index), 10)
	b = append(append(append(b, `,"`...), eventsOf[kind].index...), `":`...)
	return strconv.AppendInt(b, int64(len(it.parts)-1), 10)
}

// beginPart appends the beginning of the last part of an item.
func (s *stream) beginPart(dst []byte, it *item) []byte {
	p := &it.parts[len(it.parts)-1]
	s.buf = append(p.append(append(s.place(it, p.kind), `,"part":`...)), '}')
	return s.frame(dst, eventsOf[p.kind].added, s.buf)
}

// donePart appends the end of the last part of an item, if it has one.
func (s *stream) donePart(dst []byte, it *item) []byte {
	if len(it.parts) == 0 {
		return dst
	}
	p := &it.parts[len(it.parts)-1]
	if p.kind == partText {
		p.log(s.logged)
		s.logged = nil
	}
	e := eventsOf[p.kind]
	b := append(append(append(s.place(it, p.kind), `,"`...), e.text...), `":`...)
	b = jsonx.AppendString(b, string(p.text))
	if p.kind == partText {
		b = append(append(append(b, `,"logprobs":[`...), p.logs...), ']')
	}
	s.buf = append(b, '}')
	dst = s.frame(dst, e.done, s.buf)
	s.buf = append(p.append(append(s.place(it, p.kind), `,"part":`...)), '}')
	return s.frame(dst, e.end, s.buf)
}

// seal seals the reasoning before it, which thereby ends.
func (s *stream) seal(dst []byte, seal string) ([]byte, error) {
	last := s.last()
	if last == nil || !last.open || last.kind != kindReasoning {
		last = &item{kind: kindReasoning, id: newID("rs_"), summary: s.summary}
		var err error
		if dst, err = s.open(dst, last); err != nil {
			return dst, err
		}
	}
	last.seal = seal
	return s.close(dst), nil
}

// arguments appends a piece of a call's arguments.
func (s *stream) arguments(dst []byte, d *llm.Delta) ([]byte, error) {
	for _, it := range s.items {
		if !it.calls() || it.tool != d.Tool {
			continue
		}
		if d.Text == "" {
			return dst, nil
		}
		it.args = append(it.args, d.Text...)
		s.buf = append(jsonx.AppendString(append(s.call(it), `,"delta":`...), d.Text), '}')
		return s.frame(dst, calledWith[it.kind]+".delta", s.buf), nil
	}
	return dst, errors.New("answer continues a tool call that it has not begun")
}

// calledWith begins the names of the events of what a call is called with.
var calledWith = map[string]string{kindCall: "response.function_call_arguments", kindCustomCall: "response.custom_tool_call_input"}

// call begins the members of an event of a call's arguments.
func (s *stream) call(it *item) []byte {
	b := jsonx.AppendString(append(s.buf[:0], `"item_id":`...), it.id)
	return strconv.AppendInt(append(b, `,"output_index":`...), int64(it.index), 10)
}

// calledWith appends all that a call is called with.
func (s *stream) calledWith(dst []byte, it *item) []byte {
	b := s.call(it)
	if it.kind == kindCall {
		b = jsonx.AppendString(append(b, `,"name":`...), it.name)
	}
	b = append(append(append(b, `,"`...), argumentsOf[it.kind]...), `":`...)
	s.buf = append(jsonx.AppendString(b, string(it.args)), '}')
	return s.frame(dst, calledWith[it.kind]+".done", s.buf)
}

// cite appends where the newest text came from.
func (s *stream) cite(dst []byte, d *llm.Delta) ([]byte, error) {
	last := s.last()
	doc, err := jsonx.Parse(d.Value)
	if err != nil || last == nil || last.kind != kindMessage || !last.open || len(last.parts) == 0 {
		return dst, nil // it is about nothing that was said
	}
	p := &last.parts[len(last.parts)-1]
	note := appendNote(nil, doc.Root(), p.runes)
	if len(note) == 0 || p.kind != partText || p.noted >= maxNotes {
		return dst, nil
	}
	if p.noted > 0 {
		p.notes = append(p.notes, ',')
	}
	p.notes = append(p.notes, note...)
	b := strconv.AppendInt(append(s.place(last, partText), `,"annotation_index":`...), int64(p.noted), 10)
	p.noted++
	s.buf = append(append(append(b, `,"annotation":`...), note...), '}')
	return s.frame(dst, "response.output_text.annotation.added", s.buf), nil
}

// done appends the end of an item.
func (s *stream) done(dst []byte, it *item, status string) []byte {
	it.open, it.status = false, status
	switch {
	case it.raw != nil:
	case it.calls():
		if it.kind == kindCall && len(it.args) == 0 && status == statusCompleted {
			it.args = append(it.args, "{}"...)
		}
		dst = s.calledWith(dst, it)
	default:
		dst = s.donePart(dst, it)
	}
	b := strconv.AppendInt(append(s.buf[:0], `"output_index":`...), int64(it.index), 10)
	s.buf = append(it.append(append(b, `,"item":`...), status), '}')
	return s.frame(dst, "response.output_item.done", s.buf)
}
