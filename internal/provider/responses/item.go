package responses

import (
	"encoding/json"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// maxItems bounds what an answer can make us remember.
const maxItems = 4096

// source is where the thoughts of an item are taken from: they may come both as
// they are and in a summary.
type source uint8

const (
	nowhere source = iota
	fromSummary
	fromContent
)

// item is what is known of one item of the output.
type item struct {
	index   int64
	name    string // its id, where its events do not say its index
	begun   bool   // a tool call that was passed on
	call    int    // its number
	custom  bool   // of a custom tool
	said    bool   // deltas of text or a refusal have come
	argued  bool   // deltas of arguments have come
	cited   bool   // annotations have come
	thought source
	over    bool
}

// at returns the item at an index of the output.
func (s *scanner) at(index int64) *item {
	for i := len(s.items) - 1; i >= 0; i-- {
		if s.items[i].index == index {
			return &s.items[i]
		}
	}
	if len(s.items) >= maxItems {
		return &s.items[maxItems-1]
	}
	s.items = append(s.items, item{index: index})
	return &s.items[len(s.items)-1]
}

// place is the index of the item that an event without one is about. Such items are
// known by their ids and count downwards. An event that names none, or one within an
// item that nobody has named, is about the last.
func (s *scanner) place(f *frame) int64 {
	name, within := f.name, true
	switch s.step {
	case itemAdded, itemDone:
		b, _ := bodyOf(f.item)
		if name = b.id; len(name) == 0 {
			name = b.call
		}
		within = len(name) == 0
	case textDelta, refusalDelta, summaryPart, summaryDelta, thoughtDelta, argsDelta, annotated:
	default:
		return 0
	}
	for i := range s.items {
		if len(name) > 0 && s.items[i].name == string(name) {
			return s.items[i].index
		}
	}
	n := len(s.items)
	if n > 0 && (within && !s.items[n-1].over || n >= maxItems) {
		return s.items[n-1].index
	}
	s.items = append(s.items, item{index: -1 - int64(n), name: string(name)})
	return -1 - int64(n)
}

// body are the members of an item. Texts are the insides of JSON strings.
type body struct {
	kind, id, call, name, args, seal []byte
	result, format                   []byte // of an image
	status, action, container        []byte // of what the provider ran
	summary, content                 []byte
}

func bodyOf(v []byte) (b body, ok bool) {
	c := provider.Walk(v)
	if c.Kind() != '{' {
		return b, false
	}
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			return b, !c.Err()
		}
		switch string(key) {
		case "type":
			b.kind, _ = c.Text()
		case "id":
			b.id, _ = c.Text()
		case "call_id":
			b.call, _ = c.Text()
		case "name":
			b.name, _ = c.Text()
		case "arguments", "input":
			b.args, _ = c.Text()
		case "encrypted_content":
			b.seal, _ = c.Text()
		case "result":
			b.result, _ = c.Text()
		case "status":
			b.status, _ = c.Text()
		case "action":
			b.action = c.Value()
		case "container_id":
			b.container, _ = c.Text()
		case "output_format":
			b.format, _ = c.Text()
		case "summary":
			b.summary = c.Value()
		case "content":
			b.content = c.Value()
		default:
			c.Skip()
		}
	}
}

// added notes that an item begins. A message or a thought has nothing to it yet.
func (s *scanner) added(index int64, v []byte) {
	b, ok := bodyOf(v)
	it := s.at(index)
	if it.over { // the number is used again
		*it = item{index: index}
	}
	if !ok {
		return
	}
	switch string(b.kind) {
	case "message", "reasoning":
	case "function_call", "custom_tool_call":
		s.tool(it, &b)
	default:
		s.content = true
	}
}

// done reads a whole item, of which only that counts which no event has told.
// Items of the provider's own tools that nobody asked for who speaks another
// dialect count as content, and are not passed on there, but for images.
func (s *scanner) done(index int64, v []byte) {
	b, ok := bodyOf(v)
	it := s.at(index)
	if it.over && s.stream {
		return
	}
	it.over = true
	if !ok {
		return
	}
	switch string(b.kind) {
	case "message":
		s.message(it, b.content)
	case "reasoning":
		s.reasoning(it, &b)
	case "function_call", "custom_tool_call":
		s.tool(it, &b)
		s.arguments(it, &b)
	case "image_generation_call":
		s.image(&b)
	default:
		s.content = true
		if !s.stream {
			s.add(v)
		}
		s.left.Add(b.kind)
		s.ran(&b)
	}
}

// image notes an image that the model had made. A call that came to nothing is told
// by nobody.
func (s *scanner) image(b *body) {
	s.content = true
	if len(b.result) == 0 {
		s.left.Add(b.kind)
		return
	}
	s.bytes, s.split.Image = s.bytes+provider.ImageBytes, s.split.Image+provider.ImageBytes
	if s.stream {
		s.weight += provider.ImageWeight
	}
	if !s.translate {
		return
	}
	p := llm.Part{Data: provider.Unescape(b.result)}
	if len(b.format) > 0 {
		p.MediaType = "image/" + provider.Unescape(b.format)
	}
	if image := s.images.Take(p); image != nil {
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaImage, Image: image})
	}
}

// message reads the parts of a message.
func (s *scanner) message(it *item, content []byte) {
	said, cited := it.said, it.cited
	c := provider.Walk(content)
	if c.Kind() != '[' {
		return
	}
	c.Enter('[')
	for c.More() {
		if !c.Enter('{') {
			continue
		}
		kind := llm.DeltaText
		var text, annotations, logprobs []byte
		for {
			key, ok := c.Key()
			if !ok {
				break
			}
			switch string(key) {
			case "text":
				text, _ = c.Text()
			case "refusal":
				kind = llm.DeltaRefusal
				text, _ = c.Text()
			case "annotations":
				annotations = c.Value()
			case "logprobs":
				logprobs = c.Value()
			default:
				c.Skip()
			}
		}
		if !said {
			s.text(kind, text)
			s.log(logprobs)
		}
		if !cited {
			s.annotations(it, annotations)
		}
	}
}

func (s *scanner) annotations(it *item, list []byte) {
	c := provider.Walk(list)
	if c.Kind() != '[' {
		return
	}
	c.Enter('[')
	for c.More() {
		s.cite(it, c.Value())
	}
}

// reasoning reads a thought, and what seals it.
func (s *scanner) reasoning(it *item, b *body) {
	if it.thought == nowhere {
		s.thoughts(it, fromContent, b.content)
	}
	if it.thought == nowhere {
		s.thoughts(it, fromSummary, b.summary)
	}
	if len(b.seal) == 0 {
		return
	}
	s.content = true
	if s.translate {
		s.deltas = append(s.deltas, llm.Delta{
			Kind: llm.DeltaSignature,
			Text: llm.Seal(s.issuer, pack(provider.Unescape(b.id), provider.Unescape(b.seal))),
		})
	}
}

// thoughts reads a list of texts.
func (s *scanner) thoughts(it *item, from source, list []byte) {
	c := provider.Walk(list)
	if c.Kind() != '[' {
		return
	}
	c.Enter('[')
	for c.More() {
		if !c.Enter('{') {
			continue
		}
		for {
			key, ok := c.Key()
			if !ok {
				break
			}
			text, _ := c.Text()
			if string(key) != "text" || len(text) == 0 {
				continue
			}
			if it.thought == from {
				s.gap()
			}
			s.thought(it, from, text)
		}
	}
}

// thought notes a piece of a thought, unless it is told elsewhere too.
func (s *scanner) thought(it *item, from source, inner []byte) {
	if it.thought == nowhere {
		it.thought = from
	}
	if it.thought == from {
		s.text(llm.DeltaReasoning, inner)
	}
}

// gap separates two parts of a thought.
func (s *scanner) gap() {
	if s.translate {
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaReasoning, Text: "\n\n"})
	}
}

// tool notes a tool call, once.
func (s *scanner) tool(it *item, b *body) {
	s.content = true
	if it.begun {
		return
	}
	it.begun, it.call, it.custom = true, s.calls, string(b.kind) == "custom_tool_call"
	s.calls++
	if s.stream {
		s.weight += provider.CallWeight
	}
	if !s.translate {
		return
	}
	id := provider.Unescape(b.call)
	if id == "" {
		id = provider.Unescape(b.id)
	}
	s.deltas = append(s.deltas, llm.Delta{
		Kind: llm.DeltaToolCall, Tool: it.call, ToolID: id, ToolName: provider.Unescape(b.name), Custom: it.custom,
	})
}

// arguments notes the arguments of a whole call. Those of none are the empty
// ones.
func (s *scanner) arguments(it *item, b *body) {
	if it.argued {
		return
	}
	if len(b.args) == 0 && string(b.kind) == "function_call" {
		if s.translate {
			s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaToolArgs, Tool: it.call, Text: "{}"})
		}
		return
	}
	s.args(it, b.args)
}

// args notes a piece of a tool's arguments. Arguments of no call that has begun
// are told by the call itself, when it is done.
func (s *scanner) args(it *item, inner []byte) {
	if len(inner) == 0 {
		return
	}
	s.content = true
	s.add(inner)
	if !it.begun {
		return
	}
	it.argued = true
	if s.translate {
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaToolArgs, Tool: it.call, Text: provider.Fragment(inner), Custom: it.custom})
	}
}

// text notes a piece of text, of which inner is the inside of a JSON string.
func (s *scanner) text(kind llm.DeltaKind, inner []byte) {
	if len(inner) == 0 {
		return
	}
	if kind == llm.DeltaRefusal {
		s.refused = true
	} else {
		s.content = true
	}
	s.add(inner)
	if kind == llm.DeltaReasoning {
		s.split.Reasoning += provider.TextLen(inner)
	}
	if s.translate {
		s.deltas = append(s.deltas, llm.Delta{Kind: kind, Text: provider.Fragment(inner)})
	}
}

// log gives log probabilities to the newest text.
func (s *scanner) log(tokens []byte) {
	if n := len(s.deltas); len(tokens) > 2 && tokens[0] == '[' && n > 0 && s.deltas[n-1].Kind == llm.DeltaText {
		s.deltas[n-1].Logprobs = json.RawMessage(string(tokens))
	}
}

// add counts output.
func (s *scanner) add(inner []byte) {
	s.bytes += provider.TextLen(inner)
	if s.stream && len(inner) > 0 {
		s.weight += provider.Weight(inner)
	}
}

func (s *scanner) cite(it *item, v []byte) {
	if len(v) == 0 {
		return
	}
	it.cited, s.content = true, true
	if s.translate {
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaCitation, Value: json.RawMessage(string(v))})
	}
}
