package gemini

import (
	"strconv"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// call notes a function call, which comes whole unless its arguments were asked
// for in pieces.
func (s *scanner) call(p part, index int) {
	f := readCall(p.call)
	ch := &s.choices[index]
	s.content = true
	if ch.open != nil && len(f.name) == 0 {
		s.add(len(f.partial), f.partial)
		if ch.open.add(f.partial); !f.more {
			s.flush(index)
		}
		return
	}
	s.flush(index)
	if len(f.name) == 0 && f.args == nil {
		return // the end of a call that has ended
	}
	ch.tools++
	s.add(inputLen(f.args), f.args)
	if s.stream {
		s.weight += provider.CallWeight
	}
	if f.more {
		ch.open = &partial{}
		ch.open.add(f.partial)
	}
	if !s.translate {
		return
	}
	d := llm.Delta{Kind: llm.DeltaToolCall, Choice: index, Tool: ch.tools - 1, ToolName: provider.Unescape(f.name), ToolID: provider.Unescape(f.id)}
	if d.ToolID == "" {
		d.ToolID = s.callID(index, ch.tools-1, f)
	}
	if len(p.signature) > 0 {
		if d.Signature = s.seal(p.signature); s.thinker {
			s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaSignature, Choice: index, Text: d.Signature})
		}
	}
	s.deltas = append(s.deltas, d)
	if !f.more {
		s.args(index, f.args)
	}
}

// args passes on the whole arguments of the newest call.
func (s *scanner) args(index int, args []byte) {
	text := string(args)
	if text == "" {
		text = "{}"
	}
	s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaToolArgs, Choice: index, Tool: s.choices[index].tools - 1, Text: text})
}

// flush ends the call whose arguments come in pieces, if there is one.
func (s *scanner) flush(index int) {
	ch := &s.choices[index]
	if ch.open == nil {
		return
	}
	args := ch.open.json()
	ch.open = nil
	if s.translate {
		s.args(index, args)
	}
}

// callID makes an id for a call that has none: the same for the same answer.
func (s *scanner) callID(index, tool int, f call) string {
	answer := s.id
	if answer == "" {
		answer = s.request
	}
	return "call_" + provider.ShortHash(answer, strconv.Itoa(index), strconv.Itoa(tool), string(f.name), string(f.args))
}

func inputLen(input []byte) int {
	if len(input) <= 2 { // {}
		return 0
	}
	return len(input)
}

// call is a function call. Texts are the insides of JSON strings.
type call struct {
	id, name, args []byte
	partial        []byte // pieces of arguments
	more           bool   // further pieces follow
}

func readCall(v []byte) (f call) {
	c := provider.Walk(v)
	if c.Kind() != '{' {
		return f
	}
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			return f
		}
		switch string(key) {
		case "id":
			f.id, _ = c.Text()
		case "name":
			f.name, _ = c.Text()
		case "args":
			if c.Kind() == '{' {
				f.args = c.Value()
			} else {
				c.Skip()
			}
		case "partialArgs":
			f.partial = c.Value()
		case "willContinue":
			f.more = c.Kind() == 't'
			c.Skip()
		default:
			c.Skip()
		}
	}
}
