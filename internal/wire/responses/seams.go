package responses

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Servers cut texts wherever a token ends, and some tokens end within a character:
// its bytes, or the halves of its surrogate pair, come in two events. To callers they
// go as they came; in what is kept such a character stands in the second of the two.

// seams puts together what was cut within a character. Its zero value is ready.
type seams struct{ open []seam }

// seam is an event of which only the beginning of a character is left, the end of a
// text that goes on.
type seam struct {
	name       string
	item, part int64
	begun      []byte // the beginning, as it stood there
	event      []byte // its data, should nothing come behind that
}

// maxSeams bounds how many texts may be cut at once.
const maxSeams = 1024

// join returns an event, which was read as doc and stands in data, with whole
// characters only, and before it what it tells the end of: of that the character that
// was never whole is U+FFFD. The event itself is not among them if all that it said
// comes with the next.
func (s *seams) join(name string, data []byte, doc *jsonx.Doc) []Event {
	root := doc.Root()
	at := seam{name: name, item: -1, part: -1}
	if n, ok := root.Get("output_index").Int(); ok {
		at.item = n
	}
	for _, index := range [...]string{"content_index", "summary_index"} {
		if n, ok := root.Get(index).Int(); ok {
			at.part = n
		}
	}
	text := strings.HasSuffix(name, ".delta") && root.Get("delta").Kind() == jsonx.String
	out := s.end(at, text)
	if text {
		if data = s.cut(at, data, root); data == nil {
			return out
		}
	}
	if whole, err := jsonx.ParseEvent(data); err == nil {
		out = append(out, Event{name, whole.Root().Raw()})
	}
	return out
}

// end returns what was begun in texts that an event at that place ends: those of its
// item but the one that it continues, and all where it is about no item.
func (s *seams) end(at seam, text bool) (out []Event) {
	kept := s.open[:0]
	for _, x := range s.open {
		if at.item >= 0 && x.item != at.item || text && x.name == at.name && x.part == at.part && x.item == at.item {
			kept = append(kept, x)
			continue
		}
		if doc, err := jsonx.ParseEvent(x.event); err == nil {
			out = append(out, Event{x.name, doc.Root().Raw()})
		}
	}
	clear(s.open[len(kept):])
	s.open = kept
	return out
}

// cut puts what was begun before in front of the text of an event, and keeps back
// the character that it only begins. nil: nothing else is in it.
func (s *seams) cut(at seam, data []byte, root jsonx.Value) []byte {
	from, to, ok := jsonx.Inside(data, "delta")
	if !ok {
		return data
	}
	inner := data[from:to]
	for i, x := range s.open {
		if x.name == at.name && x.item == at.item && x.part == at.part {
			inner = joined(x.begun, inner)
			s.open = append(s.open[:i], s.open[i+1:]...)
			break
		}
	}
	with := func(text []byte) []byte { return bytes.Join([][]byte{data[:from], text, data[to:]}, nil) }
	n := wholeOf(inner)
	if n == len(inner) || len(s.open) == maxSeams {
		return with(inner)
	}
	at.begun = bytes.Clone(inner[n:])
	if at.event = with([]byte(unknown)); root.Get("logprobs").Len() > 0 { // which are told once
		at.event = jsonx.Splice(at.event, []llm.Edit{{Name: "logprobs", Value: []byte("[]")}})
	}
	s.open = append(s.open, at)
	if n == 0 && root.Get("logprobs").Len() == 0 {
		return nil
	}
	return with(inner[:n])
}

// unknown stands for a character of which only a part came.
const unknown = string(utf8.RuneError)

// joined is the inside of a JSON string behind the beginning of a character, which it
// may not go on with.
func joined(begun, inner []byte) []byte {
	goes := len(inner) == 0
	switch {
	case goes:
	case begun[0] == '\\':
		u, ok := halfOf(inner)
		goes = ok && u&0xfc00 == 0xdc00
	default:
		goes = !utf8.RuneStart(inner[0])
	}
	if !goes {
		begun = []byte(unknown)
	}
	return append(bytes.Clone(begun), inner...)
}

// halfOf returns the UTF-16 unit that the inside of a JSON string begins with, as an
// escape.
func halfOf(inner []byte) (u uint64, ok bool) {
	if len(inner) < 6 || inner[0] != '\\' || inner[1] != 'u' {
		return 0, false
	}
	u, err := strconv.ParseUint(string(inner[2:6]), 16, 16)
	return u, err == nil
}

// wholeOf returns how many bytes of the inside of a JSON string stand before what may
// be the beginning of a character at its end.
func wholeOf(inner []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(inner); n++ {
		b := inner[len(inner)-n:]
		if b[0] < utf8.RuneSelf {
			break
		}
		if utf8.RuneStart(b[0]) {
			if !utf8.FullRune(b) {
				return len(inner) - n
			}
			break
		}
	}
	n := len(inner) - 6
	if n < 0 || (n-len(bytes.TrimRight(inner[:n], `\`)))%2 != 0 { // it is escaped itself
		return len(inner)
	}
	if u, ok := halfOf(inner[n:]); ok && u&0xfc00 == 0xd800 {
		return n
	}
	return len(inner)
}
