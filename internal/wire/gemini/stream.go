package gemini

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// stream writes a streamed answer from the meaning of its events. Each event with
// something to tell is one answer, with the parts that are new. Function calls
// are told whole: when they have ended, and the candidate says something else or
// ends.
//
// The last answer holds the end of what was said, as Google's do: the last character
// of a text waits for what comes next, and so do calls and images. Google's SDKs
// forget a turn of which one answer has no part, and older ones
// (@google/generative-ai, the first of Python's google-genai) one with an empty text.
type stream struct {
	model, id string
	thoughts  bool
	choices   map[int]*candidate
	order     []int // of choices, as they began
}

// candidate is the state of one of them.
type candidate struct {
	w       partWriter
	calls   []gathered
	tail    string // the end of a text, which waits
	thought bool   // it is of a thought
	waits   bool   // what is written does, too
	finish  llm.Finish
}

// gathered is a function call whose arguments come in pieces.
type gathered struct {
	number              int
	id, name, signature string
	args                []byte
}

// Bounds of one answer.
const (
	maxCalls = 4096     // function calls that were not told yet
	maxArgs  = 64 << 20 // bytes of the arguments of one
	maxIndex = 128      // candidates
)

func newStream(r *llm.Request) *stream {
	return &stream{model: r.Model, id: newID(), thoughts: wantsThoughts(r), choices: map[int]*candidate{}}
}

// event returns the answer that an event gives, which may be none.
func (s *stream) event(ev llm.Event) ([]byte, error) {
	for i := range ev.Deltas {
		d := &ev.Deltas[i]
		if d.Choice < 0 || d.Choice >= maxIndex {
			return nil, errors.New("answer has too many candidates")
		}
		c := s.choices[d.Choice]
		if c == nil {
			c = &candidate{w: partWriter{thoughts: s.thoughts}}
			s.choices[d.Choice] = c
			s.order = append(s.order, d.Choice)
		}
		if err := c.delta(d); err != nil {
			return nil, err
		}
	}
	return s.chunk(), nil
}

// cut leaves of the calls those that had ended when the gateway ended the stream.
func (s *stream) cut() {
	for _, c := range s.choices {
		c.calls = slices.DeleteFunc(c.calls, func(g gathered) bool { return !jsonx.IsObject(g.args) })
		c.tell(true)
	}
}

// rest returns the answer with the parts that wait where the stream breaks off; nil if
// there are none.
func (s *stream) rest() []byte {
	for _, c := range s.choices {
		c.release()
	}
	return s.chunk()
}

// chunk returns the answer with the parts that are new, and do not wait; nil if there
// are none.
func (s *stream) chunk() []byte {
	var out []byte
	for _, i := range s.order {
		c := s.choices[i]
		if len(c.w.parts) == 0 || c.waits {
			continue
		}
		if out == nil {
			out = append(out, `{"candidates":[`...)
		} else {
			out = append(out, ',')
		}
		out = append(append(out, `{"content":{"parts":[`...), c.w.parts...)
		out = append(out, `],"role":"model"},"index":`...)
		out = append(strconv.AppendInt(out, int64(i), 10), '}')
		c.w.parts = c.w.parts[:0]
	}
	if out == nil {
		return nil
	}
	out = append(out, "],"...)
	return append(appendHead(out, s.model, s.id), '}')
}

// delta takes one delta over.
func (c *candidate) delta(d *llm.Delta) error {
	switch d.Kind {
	case llm.DeltaText, llm.DeltaRefusal:
		c.w.refused = c.w.refused || d.Kind == llm.DeltaRefusal
		c.text(d.Text, d.Signature, false)
	case llm.DeltaReasoning:
		if c.w.thoughts {
			c.text(d.Text, "", true)
		}
	case llm.DeltaSignature:
		if c.w.thoughts {
			c.text("", d.Text, true)
		}
	case llm.DeltaRedacted:
		c.release()
		c.w.redacted(d.Text)
	case llm.DeltaToolCall:
		if len(c.calls) >= maxCalls {
			return errors.New("answer has too many function calls")
		}
		c.release()
		c.calls = append(c.calls, gathered{number: d.Tool, id: d.ToolID, name: d.ToolName, signature: d.Signature})
	case llm.DeltaToolArgs:
		return c.arguments(d)
	case llm.DeltaImage:
		c.tell(false)
		c.release()
		c.w.image(d.Image, d.Signature)
		c.waits = true
	case llm.DeltaCitation:
		c.w.cite(d.Value)
	case llm.DeltaFinish:
		c.tell(true)
		c.finish = d.Finish
	case llm.DeltaStart:
	}
	return nil
}

// text takes over a piece of a text, or of a thought, and the state that belongs to it,
// which stays with the text that it came with.
func (c *candidate) text(text, signature string, thought bool) {
	if text == "" && signature == "" {
		return
	}
	c.tell(false)
	if signature != "" {
		c.release()
		c.w.text(text, signature, thought)
		c.waits = !thought
		return
	}
	if c.tail != "" && c.thought == thought {
		text, c.tail = c.tail+text, ""
	}
	c.release()
	_, n := utf8.DecodeLastRuneInString(text)
	if n < len(text) {
		c.w.text(text[:len(text)-n], "", thought)
	}
	c.tail, c.thought = text[len(text)-n:], thought
}

// release ends the waiting: something else comes, or nothing.
func (c *candidate) release() {
	if c.tail != "" {
		c.w.text(c.tail, "", c.thought)
	}
	c.tail, c.waits = "", false
}

// arguments takes over a piece of a call's arguments.
func (c *candidate) arguments(d *llm.Delta) error {
	for i := range c.calls {
		g := &c.calls[i]
		if g.number != d.Tool {
			continue
		}
		if len(g.args)+len(d.Text) > maxArgs {
			return errors.New("answer has too long arguments")
		}
		g.args = append(g.args, d.Text...)
		return nil
	}
	for _, b := range []byte(d.Text) {
		if b != ' ' && b != '\n' && b != '\r' && b != '\t' {
			return errors.New("answer continues a function call that has ended")
		}
	}
	return nil
}

// tell writes the calls that were gathered, if they have all ended.
func (c *candidate) tell(ended bool) {
	for i := range c.calls {
		if !ended && !jsonx.IsObject(c.calls[i].args) {
			return
		}
	}
	if len(c.calls) == 0 {
		return
	}
	c.release()
	for i := range c.calls {
		g := &c.calls[i]
		c.w.call(g.id, g.name, json.RawMessage(g.args), g.signature)
	}
	c.calls, c.waits = c.calls[:0], true
}

// finish returns the last answer: why each candidate ended, and the usage. cut
// says that those which have not ended were cut off. What they gathered of calls
// is no call.
func (s *stream) finish(f wire.Final, cut bool) ([]byte, error) {
	if len(s.order) == 0 {
		return nil, errors.New("no answer")
	}
	model := s.model
	if f.Model != "" {
		model = f.Model
	}
	out := append([]byte{}, `{"candidates":[`...)
	for n, i := range s.order {
		c := s.choices[i]
		if c.finish != "" {
			c.tell(true) // some providers call after they have said why they end
		} else if cut {
			c.finish = llm.FinishLength
		}
		reason, err := finishReason(c.finish, c.w.refused)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			out = append(out, ',')
		}
		c.release()
		out = appendEnd(out, i, c.w.parts, reason, c.w.sources)
	}
	out = append(out, "],"...)
	out = append(appendUsage(out, f.Usage), ',')
	return append(appendHead(out, model, s.id), '}'), nil
}
