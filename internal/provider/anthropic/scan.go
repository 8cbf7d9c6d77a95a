package anthropic

import (
	"encoding/json"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// scanner takes the facts out of events and whole answers, in one pass over
// each, and their meaning too if the caller speaks another dialect.
type scanner struct {
	translate bool
	stream    bool
	issuer    string // that reasoning is sealed by; empty: it is told as it comes

	// Of the whole answer.
	id, model string
	counts    counts
	tools     int  // that have begun
	open      bool // the block that is open is a tool call
	filled    bool // and it has arguments
	left      provider.Leavings
	calls     llm.Calls // of tools at the provider

	// Of the present event.
	kind     event
	failed   bool
	known    bool // has content or input_tokens: it is an answer
	modelAt  provider.Span
	content  bool
	bytes    int
	split    llm.Parts // of bytes
	news     bool      // something new is known of tools at the provider
	weight   int       // of streams
	finish   llm.Finish
	sequence string // stop sequence
	reported bool   // there was a usage object
	refusal  string // why the model refused
	deltas   []llm.Delta
}

// event is the type of an event.
type event uint8

const (
	other event = iota
	ping
	messageStart
	blockStart
	blockDelta
	blockStop
	messageDelta
	messageStop
	failure
)

// events maps the names; they are looked up without an allocation.
func eventOf(name []byte) event {
	switch string(name) {
	case "ping":
		return ping
	case "message_start":
		return messageStart
	case "content_block_start":
		return blockStart
	case "content_block_delta":
		return blockDelta
	case "content_block_stop":
		return blockStop
	case "message_delta":
		return messageDelta
	case "message_stop":
		return messageStop
	case "error":
		return failure
	}
	return other
}

// newScanner returns the scanner of one answer.
func newScanner(c provider.Call, stream bool) scanner {
	return scanner{translate: !passes(c.Request), stream: stream}
}

// scan reads one event, or a whole answer; it reports whether data is a JSON
// object.
func (s *scanner) scan(data []byte) bool {
	s.kind, s.failed, s.known, s.modelAt, s.content, s.reported = other, false, false, provider.Span{}, false, false
	s.bytes, s.weight, s.finish, s.sequence, s.refusal, s.deltas = 0, 0, "", "", "", s.deltas[:0]
	s.split, s.news = llm.Parts{}, false
	c := provider.Walk(data)
	if c.Kind() != '{' {
		return false
	}
	var block, delta []byte
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "type":
			name, _ := c.Text()
			s.kind = eventOf(name)
		case "message":
			at := c.Kind()
			from := c.Offset()
			body := c.Value()
			if at == '{' {
				s.answer(body, from)
			}
		case "content_block":
			block = c.Value()
		case "delta":
			delta = c.Value()
		case "error":
			if !c.Null() {
				s.failed = true
				c.Skip()
			}
		default:
			s.member(&c, key)
		}
	}
	if !c.Done() {
		return false
	}
	s.meaning(block, delta)
	s.told()
	return true
}

// meaning reads what the type of the event says there is.
func (s *scanner) meaning(block, delta []byte) {
	switch s.kind {
	case failure:
		s.failed = true
	case messageStart:
		if s.translate {
			s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaStart, ID: s.id, Model: s.model})
		}
	case blockStart:
		c := provider.Walk(block)
		s.block(&c)
	case blockDelta:
		s.delta(delta)
	case blockStop:
		s.stop()
	case messageDelta:
		s.ending(delta)
		s.end()
	default:
		if s.known { // a whole answer
			s.end()
		}
	}
}

// answer reads a message object: within message_start, or the whole answer.
// from is where it stands in the event.
func (s *scanner) answer(body []byte, from int) {
	c := provider.Walk(body)
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		s.member(&c, key)
		if string(key) == "model" && s.modelAt != (provider.Span{}) {
			s.modelAt.From += from
			s.modelAt.To += from
		}
	}
}

// member reads one member of a message, or of message_delta beside its delta.
func (s *scanner) member(c *provider.Cursor, key []byte) {
	switch string(key) {
	case "id":
		if text, ok := c.Text(); ok && s.translate && s.id == "" {
			s.id = provider.Unescape(text)
		}
	case "model":
		c.Kind()
		from := c.Offset()
		text, ok := c.Text()
		s.modelAt = provider.Span{}
		if ok {
			s.modelAt = provider.Span{From: from, To: c.Offset()}
		}
		if s.translate && s.model == "" {
			s.model = provider.Unescape(text)
		}
	case "usage":
		s.reported = true
		s.counts.read(c)
	case "input_tokens": // of count_tokens
		s.known = true
		n := int64(0)
		s.counts.set(&n, c)
		s.content = !s.counts.bad
		if s.translate {
			s.counts.input = n
		}
	case "content":
		s.known = true
		s.blocks(c)
	case "stop_reason", "stop_sequence", "stop_details":
		s.why(c, key)
	default:
		c.Skip()
	}
}

// blocks reads the content of a whole answer. In message_start it is empty.
func (s *scanner) blocks(c *provider.Cursor) {
	if !c.Enter('[') {
		return
	}
	for c.More() {
		s.block(c)
		s.stop()
	}
}

// block reads a content block, which is whole or about to begin.
func (s *scanner) block(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	var b content
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "type":
			b.kind, _ = c.Text()
		case "text", "thinking":
			b.text, _ = c.Text()
		case "signature":
			b.signature, _ = c.Text()
		case "content":
			b.result = c.Value()
		case "data":
			b.data, _ = c.Text()
		case "id":
			b.id, _ = c.Text()
		case "name":
			b.name, _ = c.Text()
		case "input":
			b.input = c.Value()
		case "citations":
			b.citations = c.Value()
		default:
			c.Skip()
		}
	}
	s.begin(b)
}

// content is a content block. Texts are the insides of JSON strings.
type content struct {
	kind, text, signature, data, id, name []byte
	input, citations, result              []byte
}

// begin notes a block. Kinds that nobody asked for who speaks another dialect
// (searches, code that was run) count as content and are not passed on there.
func (s *scanner) begin(b content) {
	s.open = false
	switch string(b.kind) {
	case "text":
		s.text(llm.DeltaText, b.text)
		s.cite(b.citations)
	case "thinking":
		s.text(llm.DeltaReasoning, b.text)
		s.seal(llm.DeltaSignature, b.signature)
	case "redacted_thinking":
		s.seal(llm.DeltaRedacted, b.data)
	case "tool_use":
		s.tool(b)
	default:
		s.content = true
		s.add(inputLen(b.input), b.input)
		s.left.Add(b.kind)
		s.ran(b)
	}
}

// add counts output of so many bytes.
func (s *scanner) add(n int, text []byte) {
	s.bytes += n
	if s.stream && n > 0 {
		s.weight += provider.Weight(text)
	}
}

func inputLen(input []byte) int {
	if len(input) <= 2 { // {}
		return 0
	}
	return len(input)
}

// tool notes the beginning of a tool call, or a whole one.
func (s *scanner) tool(b content) {
	s.content, s.open, s.filled = true, true, false
	s.tools++
	n := inputLen(b.input)
	s.add(n, b.input)
	if s.stream {
		s.weight += provider.CallWeight
	}
	if !s.translate {
		return
	}
	s.deltas = append(s.deltas, llm.Delta{
		Kind: llm.DeltaToolCall, Tool: s.tools - 1,
		ToolID: provider.Unescape(b.id), ToolName: provider.Unescape(b.name),
	})
	if n > 0 {
		s.filled = true
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaToolArgs, Tool: s.tools - 1, Text: string(b.input)})
	}
}

// stop ends a block. A tool call without arguments has the empty ones.
func (s *scanner) stop() {
	if s.open && !s.filled && s.translate {
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaToolArgs, Tool: s.tools - 1, Text: "{}"})
	}
	s.open = false
}

// delta reads a content_block_delta.
func (s *scanner) delta(v []byte) {
	c := provider.Walk(v)
	if c.Kind() != '{' {
		return
	}
	var text []byte
	kind := llm.DeltaStart
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "text":
			kind = llm.DeltaText
			text, _ = c.Text()
		case "thinking":
			kind = llm.DeltaReasoning
			text, _ = c.Text()
		case "partial_json":
			kind = llm.DeltaToolArgs
			text, _ = c.Text()
		case "signature":
			kind = llm.DeltaSignature
			text, _ = c.Text()
		case "citation":
			s.citation(c.Value())
		default:
			c.Skip()
		}
	}
	switch kind {
	case llm.DeltaText, llm.DeltaReasoning:
		s.text(kind, text)
	case llm.DeltaToolArgs:
		s.args(text)
	case llm.DeltaSignature:
		s.seal(kind, text)
	}
}

// text notes a piece of text, of which inner is the inside of a JSON string.
func (s *scanner) text(kind llm.DeltaKind, inner []byte) {
	if len(inner) == 0 {
		return
	}
	s.content = true
	s.add(provider.TextLen(inner), inner)
	if kind == llm.DeltaReasoning {
		s.split.Reasoning += provider.TextLen(inner)
	}
	if s.translate {
		s.deltas = append(s.deltas, llm.Delta{Kind: kind, Text: provider.Fragment(inner)})
	}
}

// args notes a piece of a tool's arguments, if the tool is the caller's.
func (s *scanner) args(inner []byte) {
	if len(inner) == 0 {
		return
	}
	s.content = true
	s.add(provider.TextLen(inner), inner)
	if s.translate && s.open {
		s.filled = true
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaToolArgs, Tool: s.tools - 1, Text: provider.Fragment(inner)})
	}
}

// seal notes what is opaque.
func (s *scanner) seal(kind llm.DeltaKind, inner []byte) {
	if len(inner) == 0 {
		return
	}
	s.content = true
	if s.translate {
		s.deltas = append(s.deltas, llm.Delta{Kind: kind, Text: s.sealed(provider.Unescape(inner))})
	}
}

// sealed returns the provider's own state as the caller may have it.
func (s *scanner) sealed(state string) string {
	if s.issuer == "" {
		return state
	}
	return llm.Seal(s.issuer, state)
}

// cite notes the citations of a whole block.
func (s *scanner) cite(list []byte) {
	c := provider.Walk(list)
	if c.Kind() != '[' {
		return
	}
	c.Enter('[')
	for c.More() {
		s.citation(c.Value())
	}
}

func (s *scanner) citation(v []byte) {
	s.content = true
	if s.translate {
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaCitation, Value: json.RawMessage(string(v))})
	}
}
