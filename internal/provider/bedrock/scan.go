package bedrock

import (
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// scanner takes the facts and the meaning out of events and whole answers, in one
// pass over each.
type scanner struct {
	issuer string
	stream bool

	// Of the whole answer.
	counts   counts
	calls    int           // tool calls that have begun
	open     map[int64]int // numbers of the tool calls that are not whole, by the index of their block
	unfilled map[int]bool  // calls without arguments yet
	reason   string        // why it ended, in the protocol's words
	left     provider.Leavings

	// Of the present event.
	content  bool
	bytes    int
	split    llm.Parts // of bytes
	weight   int       // of streams
	finish   llm.Finish
	reported bool // there was a usage object
	known    bool // has an output: it is a whole answer
	media    bool // an image, a sound or a film
	deltas   []llm.Delta
}

// maxOpen is how many tool calls may be open at once.
const maxOpen = 1024

// reset forgets the last event.
func (s *scanner) reset() {
	s.content, s.bytes, s.weight, s.finish, s.reported, s.known, s.media, s.deltas = false, 0, 0, "", false, false, false, s.deltas[:0]
	s.split = llm.Parts{}
}

// block is a content block, or a piece of one. Texts are the insides of JSON
// strings.
type block struct {
	index                         int64
	text, reasoning, signature    []byte
	redacted                      []byte
	tool                          bool // there is a toolUse
	id, name, server, input, json []byte
	media                         bool   // an image, a sound or a film
	other                         []byte // its name, if nobody asked for its kind
}

// event reads the payload of an event; it reports whether it is a JSON object.
func (s *scanner) event(name string, payload []byte) bool {
	s.reset()
	c := provider.Walk(payload)
	if c.Kind() != '{' {
		return false
	}
	var b block
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "contentBlockIndex":
			b.index, _ = c.Int()
		case "start", "delta":
			b.read(&c)
		case "stopReason":
			s.stopped(&c)
		case "usage":
			s.reported = true
			s.counts.read(&c)
		default:
			c.Skip()
		}
	}
	if !c.Done() {
		return false
	}
	s.media = b.media
	switch name {
	case "messageStart":
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaStart})
	case "contentBlockStart":
		s.begin(&b)
	case "contentBlockDelta":
		s.add(&b)
	case "contentBlockStop":
		s.stop(b.index)
	case "messageStop":
		s.end()
	}
	return true
}

// whole reads a whole answer; it reports whether it is a JSON object.
func (s *scanner) whole(body []byte) bool {
	s.reset()
	c := provider.Walk(body)
	if c.Kind() != '{' {
		return false
	}
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "output":
			s.output(&c)
		case "stopReason":
			s.stopped(&c)
		case "usage":
			s.reported = true
			s.counts.read(&c)
		default:
			c.Skip()
		}
	}
	s.end()
	return c.Done()
}

// output reads {message: {content: […]}}.
func (s *scanner) output(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "message":
			s.output(c)
		case "content":
			s.known = true
			s.blocks(c)
		default:
			c.Skip()
		}
	}
}

func (s *scanner) blocks(c *provider.Cursor) {
	if !c.Enter('[') {
		return
	}
	for c.More() {
		var b block
		b.read(c)
		s.media = s.media || b.media
		s.begin(&b)
		s.add(&b)
		s.stop(b.index)
	}
}

// read reads a block, or a piece of one.
func (b *block) read(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "text":
			b.text, _ = c.Text()
		case "toolUse":
			b.toolUse(c)
		case "reasoningContent":
			b.thought(c)
		case "citationsContent":
			b.cited(c)
		case "citation", "p":
			c.Skip()
		case "image", "audio", "video":
			b.media = true
			c.Skip()
		default:
			b.other = key
			c.Skip()
		}
	}
}

func (b *block) toolUse(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	b.tool = true
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "toolUseId":
			b.id, _ = c.Text()
		case "name":
			b.name, _ = c.Text()
		case "type":
			b.server, _ = c.Text()
		case "input":
			if c.Kind() == '"' {
				b.input, _ = c.Text()
			} else {
				b.json = c.Value()
			}
		default:
			c.Skip()
		}
	}
}

// thought reads reasoning: a piece of it, or the whole within reasoningText.
func (b *block) thought(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "reasoningText":
			b.thought(c)
		case "text":
			b.reasoning, _ = c.Text()
		case "signature":
			b.signature, _ = c.Text()
		case "redactedContent":
			b.redacted, _ = c.Text()
		default:
			c.Skip()
		}
	}
}

// cited reads the text of a block with citations. Nobody can have asked for those.
func (b *block) cited(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		if string(key) != "content" || !c.Enter('[') {
			if string(key) != "content" {
				c.Skip()
			}
			continue
		}
		for c.More() {
			var part block
			part.read(c)
			b.text = append(b.text[:len(b.text):len(b.text)], part.text...)
		}
	}
}

// begin notes a tool call. Other blocks have no beginning of their own.
func (s *scanner) begin(b *block) {
	if b.other != nil {
		s.content = true // of a kind that has no place in other dialects
		s.left.Add(b.other)
	}
	if !b.tool || len(b.server) > 0 && string(b.server) != "tool_use" || len(s.open) >= maxOpen {
		return
	}
	if s.open == nil {
		s.open, s.unfilled = map[int64]int{}, map[int]bool{}
	}
	s.content = true
	s.open[b.index], s.unfilled[s.calls] = s.calls, true
	if s.stream {
		s.weight += provider.CallWeight
	}
	s.deltas = append(s.deltas, llm.Delta{
		Kind: llm.DeltaToolCall, Tool: s.calls, ToolID: provider.Unescape(b.id), ToolName: provider.Unescape(b.name),
	})
	s.calls++
}

// add notes what a piece adds.
func (s *scanner) add(b *block) {
	s.text(llm.DeltaReasoning, b.reasoning)
	s.seal(llm.DeltaSignature, signature, b.signature)
	s.seal(llm.DeltaRedacted, redacted, b.redacted)
	s.text(llm.DeltaText, b.text)
	switch {
	case len(b.input) > 0:
		s.args(b.index, provider.TextLen(b.input), b.input, provider.Fragment(b.input))
	case len(b.json) > 0 && !emptyObject(b.json):
		s.args(b.index, len(b.json), b.json, string(b.json))
	}
}

func emptyObject(v []byte) bool {
	c := provider.Walk(v)
	if !c.Enter('{') {
		return false
	}
	_, more := c.Key()
	return !more
}

// count counts output of n bytes, of which inner is how it is written.
func (s *scanner) count(n int, inner []byte) {
	s.content = true
	s.bytes += n
	if s.stream {
		s.weight += provider.Weight(inner)
	}
}

func (s *scanner) text(kind llm.DeltaKind, inner []byte) {
	if len(inner) == 0 {
		return
	}
	s.count(provider.TextLen(inner), inner)
	if kind == llm.DeltaReasoning {
		s.split.Reasoning += provider.TextLen(inner)
	}
	s.deltas = append(s.deltas, llm.Delta{Kind: kind, Text: provider.Fragment(inner)})
}

// seal notes what only this provider can read.
func (s *scanner) seal(kind llm.DeltaKind, what string, inner []byte) {
	if len(inner) == 0 {
		return
	}
	s.content = true
	s.deltas = append(s.deltas, llm.Delta{Kind: kind, Text: llm.Seal(s.issuer, what+provider.Unescape(inner))})
}

// args notes a piece of a tool's arguments, if the tool is the caller's.
func (s *scanner) args(index int64, n int, inner []byte, text string) {
	s.count(n, inner)
	if tool, ok := s.open[index]; ok {
		delete(s.unfilled, tool)
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaToolArgs, Tool: tool, Text: text})
	}
}

// stop ends a block. A tool call without arguments has the empty ones.
func (s *scanner) stop(index int64) {
	tool, ok := s.open[index]
	if ok && s.unfilled[tool] {
		delete(s.unfilled, tool)
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaToolArgs, Tool: tool, Text: "{}"})
	}
	delete(s.open, index)
}

// stopped reads why the answer ended.
func (s *scanner) stopped(c *provider.Cursor) {
	reason, _ := c.Text()
	s.reason = string(reason)
	s.finish = finishOf(s.reason)
}

// finishOf maps a stop reason; see protocols.md §3.9. What nobody knows is a
// natural end.
func finishOf(reason string) llm.Finish {
	switch reason {
	case "", malformedOutput, malformedTool:
		return ""
	case "stop_sequence":
		return llm.FinishStopSequence
	case "max_tokens":
		return llm.FinishLength
	case "model_context_window_exceeded":
		return llm.FinishContextWindow
	case "tool_use":
		return llm.FinishToolCalls
	case "guardrail_intervened", "content_filtered":
		return llm.FinishContentFilter
	}
	return llm.FinishStop
}

// The stop reasons that are failures of the model.
const (
	malformedOutput = "malformed_model_output"
	malformedTool   = "malformed_tool_use"
)

// malformed reports whether the model has failed to answer.
func (s *scanner) malformed() bool { return s.reason == malformedOutput || s.reason == malformedTool }

// end passes on why the answer ended. Whether there were tool calls is seen from
// the calls.
func (s *scanner) end() {
	if s.finish == "" {
		return
	}
	if s.finish == llm.FinishStop && s.calls > 0 {
		s.finish = llm.FinishToolCalls
	}
	s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaFinish, Finish: s.finish})
}
