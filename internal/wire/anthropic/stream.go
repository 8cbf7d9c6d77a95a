package anthropic

import (
	"errors"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// stream writes a streamed message from the meaning of its events.
//
// The dialect has one open block at a time, and a closed block stays closed.
// Other providers may write several tool calls side by side, and never say that
// one has ended. So blocks stand in a queue in the order in which they began:
// the first one is open and goes out as it grows, those behind it wait. The
// first closes when there is another and nothing can follow: a text at once, a
// tool call when its arguments are a complete JSON value, everything at the end.
type stream struct {
	model   string
	started bool
	queue   []*block
	next    int // index of the next block

	called, refused bool
	ending          llm.Finish
	sequence        string
}

// block is one block of content that has not been closed.
type block struct {
	kind   llm.PartKind
	index  int
	tool   int
	sealed bool // reasoning whose signature has come
	json   completeness
	input  input
	wait   []byte // frames that wait until the block is first
}

// maxWaiting bounds the blocks of one answer that are not closed.
const maxWaiting = 4096

func newStream(model string) *stream { return &stream{model: model} }

// event appends what one event gives.
func (s *stream) event(dst []byte, ev llm.Event) ([]byte, error) {
	if !s.started && len(ev.Deltas) > 0 {
		s.started = true
		var u llm.Usage
		if ev.Usage != nil {
			u = *ev.Usage
		}
		dst = s.start(dst, u)
	}
	for i := range ev.Deltas {
		var err error
		if dst, err = s.delta(dst, &ev.Deltas[i]); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// start appends message_start. What the prompt costs is seldom known yet;
// message_delta tells it.
func (s *stream) start(dst []byte, u llm.Usage) []byte {
	dst = append(dst, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{"...)
	dst = appendHead(dst, s.model)
	dst = append(dst, `,"content":[],"stop_reason":null,"stop_sequence":null,"stop_details":null,"container":null,"diagnostics":null,"usage":`...)
	dst = appendUsage(dst, u)
	return append(dst, "}}\n\n"...)
}

// delta appends what one delta gives.
func (s *stream) delta(dst []byte, d *llm.Delta) ([]byte, error) {
	if d.Choice != 0 {
		return dst, errors.New("answer with several choices has no place in a message")
	}
	switch d.Kind {
	case llm.DeltaText, llm.DeltaRefusal:
		if d.Text == "" {
			return dst, nil // the dialect knows no empty text
		}
		s.refused = s.refused || d.Kind == llm.DeltaRefusal
		return s.grow(dst, llm.PartText, "text_delta", "text", d.Text)
	case llm.DeltaReasoning:
		return s.grow(dst, llm.PartReasoning, "thinking_delta", "thinking", d.Text)
	case llm.DeltaSignature:
		dst, err := s.grow(dst, llm.PartReasoning, "signature_delta", "signature", d.Text)
		if err == nil {
			s.queue[len(s.queue)-1].sealed = true
		}
		return dst, err
	case llm.DeltaRedacted:
		return s.open(dst, &block{kind: llm.PartRedacted}, func(b []byte) []byte {
			return jsonx.AppendString(append(b, `"redacted_thinking","data":`...), d.Text)
		})
	case llm.DeltaToolCall:
		s.called = true
		return s.open(dst, &block{kind: llm.PartToolCall, tool: d.Tool}, func(b []byte) []byte {
			b = jsonx.AppendString(append(b, `"tool_use","id":`...), toolID(d.ToolID))
			b = jsonx.AppendString(append(b, `,"name":`...), d.ToolName)
			return append(b, `,"input":{},"caller":{"type":"direct"}`...)
		})
	case llm.DeltaToolArgs:
		return s.arguments(dst, d)
	case llm.DeltaCitation:
		return s.cite(dst, d)
	case llm.DeltaFinish:
		s.ending, s.sequence = d.Finish, d.StopSequence
	case llm.DeltaStart:
	}
	return dst, nil
}

// grow appends a piece of text to the newest block if it is of the right kind,
// else to a new one.
func (s *stream) grow(dst []byte, kind llm.PartKind, delta, member, text string) ([]byte, error) {
	last := s.last()
	if last == nil || last.kind != kind || last.sealed {
		var err error
		dst, err = s.open(dst, &block{kind: kind}, func(b []byte) []byte {
			if kind == llm.PartText {
				return append(b, `"text","text":"","citations":[]`...)
			}
			return append(b, `"thinking","thinking":"","signature":""`...)
		})
		if err != nil {
			return dst, err
		}
		last = s.last()
	}
	return s.write(dst, last, delta, member, text), nil
}

func (s *stream) last() *block {
	if len(s.queue) == 0 {
		return nil
	}
	return s.queue[len(s.queue)-1]
}

// arguments appends a piece of a tool call's arguments.
func (s *stream) arguments(dst []byte, d *llm.Delta) ([]byte, error) {
	for _, b := range s.queue {
		if b.kind == llm.PartToolCall && b.tool == d.Tool {
			b.json.feed(d.Text)
			return s.advance(s.tell(dst, b, b.input.feed(d.Text))), nil
		}
	}
	for _, c := range []byte(d.Text) {
		if !isSpace(c) {
			return dst, errors.New("answer continues a tool call that has ended")
		}
	}
	return dst, nil
}

// tell appends a piece of a tool call's input, if there is any.
func (s *stream) tell(dst []byte, b *block, piece string) []byte {
	if piece == "" {
		return dst
	}
	return s.write(dst, b, "input_json_delta", "partial_json", piece)
}

// cite appends a citation to the newest text.
func (s *stream) cite(dst []byte, d *llm.Delta) ([]byte, error) {
	doc, err := jsonx.Parse(d.Value)
	if err != nil || !isCitation(doc.Root()) {
		return dst, nil
	}
	if last := s.last(); last == nil || last.kind != llm.PartText {
		if dst, err = s.grow(dst, llm.PartText, "text_delta", "text", ""); err != nil {
			return dst, err
		}
	}
	last := s.last()
	to := s.target(&dst, last)
	*to = s.deltaHead(*to, last, "citations_delta", "citation")
	*to = append(*to, d.Value...)
	*to = append(*to, "}}\n\n"...)
	return dst, nil
}

// open puts a block at the end of the queue. content appends the members of the
// block from the value of type on.
func (s *stream) open(dst []byte, b *block, content func([]byte) []byte) ([]byte, error) {
	if len(s.queue) >= maxWaiting {
		return dst, errors.New("answer has too many blocks")
	}
	b.index = s.next
	s.next++
	s.queue = append(s.queue, b)
	to := s.target(&dst, b)
	*to = append(*to, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":"...)
	*to = appendInt(*to, int64(b.index))
	*to = append(*to, `,"content_block":{"type":`...)
	*to = content(*to)
	*to = append(*to, "}}\n\n"...)
	return s.advance(dst), nil
}

// target is where frames of b go: out, if it is first.
func (s *stream) target(dst *[]byte, b *block) *[]byte {
	if s.queue[0] == b {
		return dst
	}
	return &b.wait
}

func (s *stream) deltaHead(dst []byte, b *block, delta, member string) []byte {
	dst = append(dst, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"...)
	dst = appendInt(dst, int64(b.index))
	dst = append(dst, `,"delta":{"type":"`...)
	dst = append(dst, delta...)
	dst = append(dst, `","`...)
	dst = append(dst, member...)
	return append(dst, `":`...)
}

// write appends a delta of one string.
func (s *stream) write(dst []byte, b *block, delta, member, text string) []byte {
	to := s.target(&dst, b)
	*to = s.deltaHead(*to, b, delta, member)
	*to = jsonx.AppendString(*to, text)
	*to = append(*to, "}}\n\n"...)
	return dst
}

// advance closes the first block as long as it is complete and not the only one.
func (s *stream) advance(dst []byte) []byte {
	for len(s.queue) > 1 {
		if b := s.queue[0]; b.kind == llm.PartToolCall && !b.json.complete() {
			return dst
		}
		dst = s.close(dst)
	}
	return dst
}

// close ends the first block and lets the next one go out.
func (s *stream) close(dst []byte) []byte {
	dst = s.tell(dst, s.queue[0], s.queue[0].input.end())
	dst = appendBlockStop(dst, s.queue[0].index)
	s.queue = s.queue[1:]
	if len(s.queue) > 0 {
		dst = append(dst, s.queue[0].wait...)
		s.queue[0].wait = nil
	}
	return dst
}

func appendBlockStop(dst []byte, index int) []byte {
	dst = append(dst, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":"...)
	dst = appendInt(dst, int64(index))
	return append(dst, "}\n\n"...)
}

// finish appends the end of the message.
func (s *stream) finish(dst []byte, f wire.Final) ([]byte, error) {
	if !s.started {
		return dst, errors.New("no answer")
	}
	reason, err := stopReason(s.ending, s.called, s.refused)
	if err != nil {
		return dst, err
	}
	for len(s.queue) > 0 {
		dst = s.close(dst)
	}
	return appendEnd(dst, reason, s.sequence, f), nil
}

// appendEnd appends the two events that end a message.
func appendEnd(dst []byte, reason, sequence string, f wire.Final) []byte {
	data := append(make([]byte, 0, 512), `{"type":"message_delta","delta":{`...)
	data = appendStop(data, reason, sequence, reason == "stop_sequence")
	data = append(data, `},"usage":{`...)
	data = appendCounts(data, f.Usage)
	data = append(data, `}}`...)
	dst = appendFrame(dst, "message_delta", jsonx.Splice(data, f.Extras))
	return append(dst, messageStop...)
}
