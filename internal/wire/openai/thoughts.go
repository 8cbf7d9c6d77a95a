package openai

import (
	"bytes"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

var _ wire.Thoughtful = (*Chat)(nil)

// Thoughts returns an encoder that tells what the model thought in another member of
// a message than e does: reasoning, reasoning_content, or content, in front of what it
// says there; see [wire.Thoughtful].
func (*Chat) Thoughts(e wire.Encoder, r *llm.Request, member string) wire.Encoder {
	return &thoughts{Encoder: e, member: member, stream: r.Stream}
}

type thoughts struct {
	wire.Encoder
	member string
	stream bool
}

// Event appends what one event gives.
func (t *thoughts) Event(dst []byte, ev llm.Event) ([]byte, error) {
	from := len(dst)
	dst, err := t.Encoder.Event(dst, ev)
	return t.moved(dst, from), err
}

// Finish appends the end of the answer.
func (t *thoughts) Finish(dst []byte, f wire.Final) ([]byte, error) {
	from := len(dst)
	dst, err := t.Encoder.Finish(dst, f)
	return t.moved(dst, from), err
}

// moved returns dst with the thoughts in its frames, or in its answer, from there on
// where they belong.
func (t *thoughts) moved(dst []byte, from int) []byte {
	if !bytes.Contains(dst[from:], []byte(`"reasoning`)) {
		return dst
	}
	said := bytes.Clone(dst[from:])
	dst = dst[:from]
	if !t.stream {
		return t.document(dst, said)
	}
	for line := range bytes.Lines(said) {
		data, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok || !bytes.Contains(data, []byte(`"reasoning`)) {
			dst = append(dst, line...)
			continue
		}
		dst = t.document(append(dst, "data:"...), data)
	}
	return dst
}

// messages is where messages stand in an answer, and what is new of them in a chunk.
var messages = regexp.MustCompile(`^/choices/[0-9]+/(?:message|delta)$`)

// document appends an answer, or a chunk of one. Texts in it may end within a
// character: what is not moved stays byte by byte as it is, and so does all of what is
// no JSON.
func (t *thoughts) document(dst, data []byte) []byte {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowInvalidUTF8(true))
	done := 0
	for {
		// What stands before a value belongs to what is copied.
		if dec.PeekKind() == '{' && messages.MatchString(string(dec.StackPointer())) {
			v, err := dec.ReadValue()
			if err != nil {
				break
			}
			end := int(dec.InputOffset())
			dst = append(dst, data[done:end-len(v)]...)
			dst = t.message(dst, v)
			done = end
			continue
		}
		if _, err := dec.ReadToken(); err != nil {
			break
		}
	}
	return append(dst, data[done:]...)
}

// pair is a member of an object, as it stands there.
type pair struct{ name, value []byte }

// message appends a message. Of several members with thoughts the first that has any
// is told: some servers have the same in two.
func (t *thoughts) message(dst, object []byte) []byte {
	var all []pair
	dec := jsontext.NewDecoder(bytes.NewBuffer(object), jsontext.AllowInvalidUTF8(true))
	if _, err := dec.ReadToken(); err != nil {
		return append(dst, object...)
	}
	first, content := -1, -1
	for dec.PeekKind() == '"' {
		name, err := dec.ReadValue()
		if err != nil {
			return append(dst, object...)
		}
		name = bytes.Clone(name)
		value, err := dec.ReadValue()
		if err != nil {
			return append(dst, object...)
		}
		p := pair{name, bytes.Clone(value)}
		switch {
		case p.thinks() && (first < 0 || all[first].says() < p.says()):
			first = len(all)
		case string(p.name) == `"content"`:
			content = len(all)
		}
		all = append(all, p)
	}
	if first < 0 {
		return append(dst, object...)
	}
	if t.member == "content" {
		all = inContent(all, content, all[first].value)
		first = -1
	} else {
		all[first].name = []byte(`"` + t.member + `"`)
	}
	dst = append(dst, '{')
	begun := false
	for i, p := range all {
		if p.thinks() && i != first {
			continue
		}
		if begun {
			dst = append(dst, ',')
		}
		begun = true
		dst = append(append(append(dst, p.name...), ':'), p.value...)
	}
	return append(dst, '}')
}

// inContent returns the members of a message with a thought in front of what it says
// at content; below 0: it has no such member.
func inContent(all []pair, content int, thought []byte) []pair {
	switch {
	case thought[0] != '"': // null
	case content < 0:
		return append(all, pair{[]byte(`"content"`), thought})
	case all[content].value[0] == '"':
		all[content].value = joinStrings(thought, all[content].value)
	case all[content].value[0] == '[': // parts, as some servers have them
		rest := bytes.TrimLeft(all[content].value[1:], " \t\r\n")
		value := append(append([]byte(`[{"type":"text","text":`), thought...), '}')
		if rest[0] != ']' {
			value = append(value, ',')
		}
		all[content].value = append(value, rest...)
	default: // null
		all[content].value = thought
	}
	return all
}

// thinks reports whether the member has what a model thought, in words, or none.
func (p *pair) thinks() bool {
	return (string(p.name) == `"reasoning"` || string(p.name) == `"reasoning_content"`) && (p.value[0] == '"' || p.value[0] == 'n')
}

// says ranks a member with thoughts: by whether it has any words, and then whether it
// has a text.
func (p *pair) says() int {
	switch {
	case p.value[0] != '"':
		return 0
	case len(p.value) == len(`""`):
		return 1
	}
	return 2
}

// joinStrings puts two JSON strings together.
func joinStrings(a, b []byte) []byte {
	return append(bytes.Clone(a[:len(a)-1]), b[1:]...)
}
