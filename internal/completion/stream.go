package completion

import (
	"errors"
	"strconv"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// UsageMode says where the usage of a stream goes.
type UsageMode uint8

// The usage modes.
const (
	UsageNone  UsageMode = iota // nowhere
	UsageChunk                  // in a chunk of its own, without choices, before the end; null in all others
	UsageLast                   // in the last chunk
)

// Stream writes one streamed answer, chunk by chunk. The chunk that ends a
// choice is kept back until the next one, or the end: what a contract adds
// belongs into the last chunk, and an answer that breaks off before its end
// must not look finished.
type Stream struct {
	head    Head
	open    []byte // the members that every chunk begins with, brace and all
	usage   UsageMode
	content string // the delta of a chunk that ends a choice, without braces
	choices []choice
	log     []byte // the logprobs of the chunk that is being written; nil: null
	held    []byte // payload of the chunk kept back; empty: none
	buf     []byte
}

// choice is what is known of one choice so far.
type choice struct {
	started, finished bool
	runes, images     int
	args              []bool // of each tool call: whether arguments have come
	reasoning         []byte // since the last seal
}

// NewStream returns the writer of one streamed answer.
func NewStream(h Head, u UsageMode) *Stream {
	b := append(make([]byte, 0, 160), `{"id":`...)
	b = jsonx.AppendString(b, h.ID)
	b = append(b, `,"object":"chat.completion.chunk","created":`...)
	b = strconv.AppendInt(b, h.Created, 10)
	b = append(b, `,"model":`...)
	return &Stream{head: h, open: jsonx.AppendString(b, h.Model), usage: u}
}

// Deltas appends the chunks for ds.
func (s *Stream) Deltas(dst []byte, ds []llm.Delta) ([]byte, error) {
	for i := range ds {
		d := &ds[i]
		if d.Kind == llm.DeltaStart {
			continue
		}
		if d.Choice < 0 || d.Choice >= maxChoices || d.Tool < 0 || d.Tool >= maxTools {
			return dst, errors.New("answer has too many choices or tool calls")
		}
		for len(s.choices) <= d.Choice {
			s.choices = append(s.choices, choice{})
		}
		c := &s.choices[d.Choice]
		if !c.started {
			c.started = true
			dst = s.chunk(dst, d.Choice, []byte(`"role":"assistant","content":""`))
		}
		var err error
		if dst, err = s.delta(dst, c, d); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// Bounds on what a provider can make us remember.
const (
	maxChoices = 128
	maxTools   = 4096
)

// delta appends the chunk for one delta, or keeps it back.
func (s *Stream) delta(dst []byte, c *choice, d *llm.Delta) ([]byte, error) {
	b := s.buf[:0]
	switch d.Kind {
	case llm.DeltaText:
		c.runes += utf8.RuneCountInString(d.Text)
		b = append(b, `"content":`...)
		b = jsonx.AppendString(b, d.Text)
		if len(d.Logprobs) > 0 {
			s.log = appendLogprobs(nil, d.Logprobs)
			defer func() { s.log = nil }()
		}
	case llm.DeltaRefusal:
		b = append(b, `"refusal":`...)
		b = jsonx.AppendString(b, d.Text)
	case llm.DeltaReasoning:
		c.reasoning = append(c.reasoning, d.Text...)
		b = append(b, `"reasoning_content":`...)
		b = jsonx.AppendString(b, d.Text)
	case llm.DeltaSignature:
		b = append(b, `"thinking_blocks":[`...)
		b = appendThinking(b, string(c.reasoning), d.Text)
		b = append(b, ']')
		c.reasoning = c.reasoning[:0]
	case llm.DeltaRedacted:
		b = append(b, `"thinking_blocks":[`...)
		b = appendRedacted(b, d.Text)
		b = append(b, ']')
	case llm.DeltaToolCall:
		c.tool(d.Tool)
		if s.head.Functions && len(c.args) > 1 {
			return dst, errSeveralFunctions
		}
		b = s.call(b, c, d)
	case llm.DeltaToolArgs:
		*c.tool(d.Tool) = true
		if d.Custom && s.head.Custom {
			b = strconv.AppendInt(append(b, `"tool_calls":[{"index":`...), int64(d.Tool), 10)
			b = append(jsonx.AppendString(append(b, `,"custom":{"input":`...), d.Text), `}}]`...)
			break
		}
		b = s.arguments(b, d.Tool, d.Text)
	case llm.DeltaCitation:
		note := citation(d.Value, c.runes)
		if len(note) == 0 {
			return dst, nil
		}
		b = append(b, `"annotations":[`...)
		b = append(b, note...)
		b = append(b, ']')
	case llm.DeltaImage:
		b = append(b, `"images":[`...)
		b = append(appendImage(b, c.images, d.Image, d.Signature), ']')
		c.images++
	case llm.DeltaFinish:
		return s.finish(dst, c, d)
	default:
		return dst, nil
	}
	s.buf = b
	return s.chunk(dst, d.Choice, b), nil
}

// call appends the member that begins a tool call.
func (s *Stream) call(b []byte, c *choice, d *llm.Delta) []byte {
	if s.head.Functions {
		b = jsonx.AppendString(append(b, `"function_call":{"name":`...), d.ToolName)
		return append(b, `,"arguments":""}`...)
	}
	b = strconv.AppendInt(append(b, `"tool_calls":[{"index":`...), int64(d.Tool), 10)
	b = jsonx.AppendString(append(b, `,"id":`...), d.ToolID)
	if d.Custom && s.head.Custom {
		*c.tool(d.Tool) = true // no arguments are no text
		return append(appendInput(b, d.ToolName, ""), `}]`...)
	}
	b = jsonx.AppendString(append(b, `,"type":"function","function":{"name":`...), d.ToolName)
	return append(appendState(append(b, `,"arguments":""}`...), d.Signature), `}]`...)
}

// citation returns an annotation of a text of which so many runes were told; nil:
// there is none to tell.
func citation(v []byte, runes int) []byte {
	doc, err := jsonx.Parse(v)
	if err != nil {
		return nil
	}
	if doc.Root().Get("start_index").Exists() {
		runes = 0 // it says where; texts of one answer are one here
	}
	return appendCitation(nil, doc.Root(), runes, runes)
}

// tool returns whether arguments have come for tool call n.
func (c *choice) tool(n int) *bool {
	for len(c.args) <= n {
		c.args = append(c.args, false)
	}
	return &c.args[n]
}

func (s *Stream) arguments(b []byte, tool int, text string) []byte {
	if s.head.Functions {
		return append(jsonx.AppendString(append(b, `"function_call":{"arguments":`...), text), '}')
	}
	b = append(b, `"tool_calls":[{"index":`...)
	b = strconv.AppendInt(b, int64(tool), 10)
	b = append(b, `,"function":{"arguments":`...)
	b = jsonx.AppendString(b, text)
	return append(b, `}}]`...)
}

// finish ends a choice: a tool call without arguments gets empty ones, and the
// chunk with the reason is kept back.
func (s *Stream) finish(dst []byte, c *choice, d *llm.Delta) ([]byte, error) {
	reason, err := s.head.reason(d.Finish, len(c.args) > 0)
	if err != nil {
		return dst, err
	}
	for n, some := range c.args {
		if !some {
			c.args[n] = true
			dst = s.chunk(dst, d.Choice, s.arguments(nil, n, "{}"))
		}
	}
	return s.end(dst, c, d.Choice, reason), nil
}

// end keeps back the chunk that ends a choice.
func (s *Stream) end(dst []byte, c *choice, index int, reason string) []byte {
	c.finished = true
	dst = s.release(dst)
	s.held = s.payload(s.held[:0], index, []byte(s.content), reason)
	return dst
}

// Cut ends every choice that has not ended, for its length, wherever it is: a
// tool call stays half told.
func (s *Stream) Cut(dst []byte) []byte {
	for i := range s.choices {
		if c := &s.choices[i]; !c.finished {
			dst = s.end(dst, c, i, lengthReason)
		}
	}
	return dst
}

// SetContent makes every chunk that ends a choice carry an empty content, for
// readers that expect one in every chunk.
func (s *Stream) SetContent() { s.content = `"content":""` }

// End appends the end of the answer but for the marker [DONE]: what was kept
// back, the usage, and the extras in the last chunk.
func (s *Stream) End(dst []byte, u llm.Usage, extras []llm.Edit) ([]byte, error) {
	if len(s.choices) == 0 {
		return dst, errors.New("answer without choices")
	}
	for _, c := range s.choices {
		if !c.finished {
			return dst, errors.New("answer without a finish")
		}
	}
	switch s.usage {
	case UsageChunk:
		dst = s.release(dst)
		s.held = append(s.held[:0], s.open...)
		s.held = append(s.held, `,"choices":[],"usage":`...)
		s.held = append(AppendUsage(s.held, u), '}')
	case UsageLast:
		s.held = append(s.held[:len(s.held)-1], `,"usage":`...)
		s.held = append(AppendUsage(s.held, u), '}')
	}
	s.held = jsonx.Splice(s.held, extras)
	return s.release(dst), nil
}

// release appends the chunk that was kept back.
func (s *Stream) release(dst []byte) []byte {
	if len(s.held) == 0 {
		return dst
	}
	dst = append(dst, "data: "...)
	dst = append(dst, s.held...)
	s.held = s.held[:0]
	return append(dst, "\n\n"...)
}

// chunk appends one chunk with the given delta. What was kept back stays so where
// the choice has ended: a provider that has more to say then says it before its end.
func (s *Stream) chunk(dst []byte, index int, delta []byte) []byte {
	if !s.choices[index].finished {
		dst = s.release(dst)
	}
	dst = append(dst, "data: "...)
	dst = s.payload(dst, index, delta, "")
	return append(dst, "\n\n"...)
}

func (s *Stream) payload(dst []byte, index int, delta []byte, reason string) []byte {
	dst = append(dst, s.open...)
	dst = append(dst, `,"choices":[{"index":`...)
	dst = strconv.AppendInt(dst, int64(index), 10)
	dst = append(dst, `,"delta":{`...)
	dst = append(dst, delta...)
	dst = append(dst, `},"logprobs":`...)
	if s.log != nil {
		dst = append(dst, s.log...)
	} else {
		dst = append(dst, `null`...)
	}
	dst = append(dst, `,"finish_reason":`...)
	if reason == "" {
		dst = append(dst, `null}]`...)
	} else {
		dst = append(dst, '"')
		dst = append(dst, reason...)
		dst = append(dst, `"}]`...)
	}
	if s.usage == UsageChunk {
		dst = append(dst, `,"usage":null`...)
	}
	return append(dst, '}')
}
