package openai

import (
	"bytes"
	"encoding/json"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// readMessage reads a delta, or the message of a whole answer. Its thoughts may
// come under several names at once; the first that holds something counts.
func (s *scanner) readMessage(body []byte, ch int) {
	c := provider.Walk(body)
	if c.Kind() != '{' {
		return
	}
	var thought bool
	var details, tools, annotations, images []byte
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "content":
			s.readContent(&c, ch)
		case "reasoning_content", "reasoning":
			if text, ok := c.Text(); ok && len(text) > 0 && !thought {
				thought = true
				s.text(llm.DeltaReasoning, ch, text)
			}
		case "reasoning_details":
			details = c.Value()
		case "refusal":
			if text, ok := c.Text(); ok && len(text) > 0 {
				s.text(llm.DeltaRefusal, ch, text)
			}
		case "tool_calls":
			tools = c.Value()
		case "function_call":
			s.readFunction(&c, ch)
		case "annotations":
			annotations = c.Value()
		case "images":
			images = c.Value()
		case "audio":
			s.sound(c.Value())
		case "reasoning_encrypted":
			v := c.Value()
			s.content = s.content || holds(v)
		default:
			c.Skip()
		}
	}
	// Thoughts come before what they led to, whatever the order of members.
	s.readDetails(details, ch, thought)
	s.readTools(tools, ch)
	s.readAnnotations(annotations, ch)
	if images != nil {
		s.readImages(images, ch)
	}
}

// holds reports whether a value holds something.
func holds(v []byte) bool { return len(v) > 2 && bytes.IndexByte([]byte(`{["`), v[0]) >= 0 }

// sound notes a sound, or a piece of one, and what is said in it.
func (s *scanner) sound(v []byte) {
	if !holds(v) {
		return
	}
	s.content, s.media = true, true
	c := provider.Walk(member(v, "data"))
	if data, ok := c.Text(); ok {
		n := provider.SoundBytes(len(data))
		s.bytes, s.split.Audio = s.bytes+n, s.split.Audio+n
	}
	c = provider.Walk(member(v, "transcript"))
	if text, ok := c.Text(); ok {
		s.bytes += provider.TextLen(text)
	}
}

// text notes a piece of text, of which inner is the inside of a JSON string.
func (s *scanner) text(kind llm.DeltaKind, ch int, inner []byte) {
	if kind == llm.DeltaRefusal {
		s.refused = true
	} else {
		s.content = true
	}
	n := provider.TextLen(inner)
	s.bytes += n
	if kind == llm.DeltaReasoning {
		s.split.Reasoning += n
	}
	if s.stream {
		s.weight += provider.Weight(inner)
	}
	if s.translate {
		s.deltas = append(s.deltas, llm.Delta{Kind: kind, Choice: s.choices[ch].index, Text: provider.Fragment(inner)})
	}
}

// readContent reads content: text, or Mistral's list of texts and thoughts.
func (s *scanner) readContent(c *provider.Cursor, ch int) {
	if c.Kind() != '[' {
		if text, ok := c.Text(); ok && len(text) > 0 {
			s.text(llm.DeltaText, ch, text)
		}
		return
	}
	c.Enter('[')
	for c.More() {
		s.readPart(c, ch, llm.DeltaText)
	}
}

// readPart reads one part of a list of content.
func (s *scanner) readPart(c *provider.Cursor, ch int, kind llm.DeltaKind) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "type":
			if kind, ok := c.Text(); ok && !known[string(kind)] {
				s.left.Add(kind)
			}
		case "image_url":
			s.image(c.Value(), ch)
		case "text":
			if text, ok := c.Text(); ok && len(text) > 0 {
				s.text(kind, ch, text)
			}
		case "thinking":
			if c.Kind() != '[' {
				if text, ok := c.Text(); ok && len(text) > 0 {
					s.text(llm.DeltaReasoning, ch, text)
				}
				continue
			}
			c.Enter('[')
			for c.More() {
				s.readPart(c, ch, llm.DeltaReasoning)
			}
		default:
			c.Skip()
		}
	}
}

// readDetails reads OpenRouter's list of thoughts, with what seals them.
func (s *scanner) readDetails(v []byte, ch int, thought bool) {
	c := provider.Walk(v)
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
			text, ok := c.Text()
			if !ok || len(text) == 0 {
				continue
			}
			switch string(key) {
			case "text", "summary":
				if !thought {
					s.text(llm.DeltaReasoning, ch, text)
				}
			case "signature":
				s.seal(llm.DeltaSignature, ch, text)
			case "data":
				s.seal(llm.DeltaRedacted, ch, text)
			}
		}
	}
}

// seal notes what is opaque, and not output that anybody reads.
func (s *scanner) seal(kind llm.DeltaKind, ch int, inner []byte) {
	s.content = true
	if s.translate {
		s.deltas = append(s.deltas, llm.Delta{Kind: kind, Choice: s.choices[ch].index, Text: provider.Unescape(inner)})
	}
}

// readAnnotations reads citations.
func (s *scanner) readAnnotations(v []byte, ch int) {
	c := provider.Walk(v)
	if c.Kind() != '[' {
		return
	}
	c.Enter('[')
	for c.More() {
		one := c.Value()
		s.content, s.cited = true, true
		if s.translate {
			s.deltas = append(s.deltas, llm.Delta{
				Kind: llm.DeltaCitation, Choice: s.choices[ch].index, Value: json.RawMessage(string(one)),
			})
		}
	}
}

// tool is one entry of tool_calls, or of function_call.
type tool struct {
	index    int64
	indexed  bool
	id, name []byte
	args     []byte // the inside of a JSON string
	object   []byte // arguments that are not a string, as some servers send
	custom   bool   // of a custom tool
}

func (s *scanner) readTools(v []byte, ch int) {
	c := provider.Walk(v)
	if c.Kind() != '[' {
		return
	}
	c.Enter('[')
	for position := int64(0); c.More(); position++ {
		if !c.Enter('{') {
			continue
		}
		t := tool{index: position}
		for {
			key, ok := c.Key()
			if !ok {
				break
			}
			switch string(key) {
			case "index":
				if i, ok := c.Int(); ok {
					t.index, t.indexed = i, true
				}
			case "id":
				t.id, _ = c.Text()
			case "custom":
				if t.custom = c.Kind() == '{'; !t.custom { // null beside a function
					c.Skip()
					continue
				}
				t.function(&c)
			case "function":
				t.function(&c)
			default:
				c.Skip()
			}
		}
		s.tool(t, ch)
	}
}

// function reads the function of a tool call.
func (t *tool) function(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "name":
			t.name, _ = c.Text()
		case "arguments", "input":
			if k := c.Kind(); k == '{' || k == '[' {
				t.object = c.Value()
				continue
			}
			if t.args, _ = c.Text(); len(t.args) > 0 {
				t.object = nil
			}
		case "parameters": // of servers that answer as the tool was defined
			if v := c.Value(); len(v) > 0 && v[0] == '{' && len(t.args) == 0 && t.object == nil {
				t.object = v
			}
		default:
			c.Skip()
		}
	}
}

// readFunction reads the old form of a tool call, of which there is one.
func (s *scanner) readFunction(c *provider.Cursor, ch int) {
	if c.Kind() != '{' {
		c.Skip()
		return
	}
	var t tool
	t.function(c)
	s.tool(t, ch)
}

// tool notes a tool call, or a piece of one.
func (s *scanner) tool(t tool, ch int) {
	s.content = true
	s.bytes += provider.TextLen(t.args) + len(t.object)
	if s.stream {
		s.weight += provider.Weight(t.args) + provider.Weight(t.object)
		if len(t.name) > 0 {
			s.weight += provider.CallWeight
		}
	}
	k := s.call(t, ch)
	if k == nil || !s.translate {
		return
	}
	args := string(t.object)
	if t.object == nil {
		args = provider.Fragment(t.args)
	}
	if !k.begun {
		k.held += args
		if len(t.name) == 0 {
			return
		}
		args, k.held, k.begun, k.name = k.held, "", true, provider.Unescape(t.name)
		k.number, k.custom = s.choices[ch].begun, t.custom
		s.choices[ch].begun++
		if k.id == "" {
			k.id, k.unnamed = s.newID(k), true
		}
		s.deltas = append(s.deltas, llm.Delta{
			Kind: llm.DeltaToolCall, Choice: k.choice, Tool: k.number,
			ToolID: k.id, ToolName: k.name, Custom: k.custom,
		})
	}
	if args != "" {
		if k.unnamed {
			k.args = append(k.args, args...)
		}
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaToolArgs, Choice: k.choice, Tool: k.number, Text: args, Custom: k.custom})
	}
}

// call finds the call that t belongs to. An id that differs from the one that
// the index had means another call: some servers number all of them 0. Where
// they have no ids either, another name does, and so do arguments behind those
// that are complete.
func (s *scanner) call(t tool, ch int) *call {
	index := s.choices[ch].index
	for i := len(s.calls) - 1; i >= 0; i-- {
		k := &s.calls[i]
		if k.choice != index || k.index != int(t.index) {
			continue
		}
		if len(t.name) > 0 && k.begun && k.other(t) {
			break
		}
		if k.id == "" && len(t.id) > 0 && !k.begun {
			k.id = provider.Unescape(t.id)
		}
		return k
	}
	if len(s.calls) >= maxCalls {
		return nil
	}
	k := call{choice: index, index: int(t.index)}
	s.choices[ch].calls++
	if s.translate {
		k.id = provider.Unescape(t.id)
	}
	s.calls = append(s.calls, k)
	return &s.calls[len(s.calls)-1]
}

// other reports whether t, which has a name, begins another call than k.
func (k *call) other(t tool) bool {
	switch {
	case len(t.id) > 0:
		return k.id != provider.Unescape(t.id)
	case !k.unnamed:
		return false
	}
	return k.name != provider.Unescape(t.name) || len(t.args)+len(t.object) > 0 && json.Valid(k.args)
}
