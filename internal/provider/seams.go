package provider

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/llm"
)

// Servers cut texts wherever a token ends, and some tokens end within a character:
// its bytes, or the halves of its surrogate pair, come in two pieces. Each piece
// alone is no text; protocols.md §5.

// Fragment is [Unescape] for a piece of a text. What may be a part of a character
// stays at its ends as it is: bytes as they are, and half of a surrogate pair in
// the three bytes that UTF-8 would have for it. A [Stream] puts them together.
func Fragment(inner []byte) string {
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var head, end []byte
	for len(head) < utf8.UTFMax-1 && len(inner) > 0 && !utf8.RuneStart(inner[0]) {
		head, inner = append(head, inner[0]), inner[1:]
	}
	if u, ok := half(inner, 0xdc00); len(head) == 0 && ok {
		head, inner = appendHalf(nil, u), inner[6:]
	}
	if n := whole(inner); n < len(inner) {
		end, inner = inner[n:], inner[:n]
	} else if n := len(inner) - 6; n >= 0 && !escaped(inner, n) {
		if u, ok := half(inner[n:], 0xd800); ok {
			end, inner = appendHalf(nil, u), inner[:n]
		}
	}
	return string(head) + Unescape(inner) + string(end)
}

// escaped reports whether the byte at n is escaped by one before it.
func escaped(inner []byte, n int) bool {
	odd := false
	for ; n > 0 && inner[n-1] == '\\'; n-- {
		odd = !odd
	}
	return odd
}

// half returns the half of a surrogate pair that b begins with, as an escape: that
// of the 1024 from first on.
func half(b []byte, first uint64) (u uint64, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	u, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return u, err == nil && u&0xfc00 == first
}

func appendHalf(dst []byte, u uint64) []byte {
	return append(dst, 0xe0|byte(u>>12), 0x80|byte(u>>6)&0x3f, 0x80|byte(u)&0x3f)
}

// whole returns how many bytes of a text stand before what may be the beginning of
// a character at its end.
func whole[T string | []byte](s T) int {
	n := len(s)
	for i := 1; i < utf8.UTFMax && i <= n; i++ {
		switch b := s[n-i]; {
		case b < utf8.RuneSelf:
			return n
		case b >= 0xf0 || b >= 0xe0 && i < 3 || b >= 0xc0 && i < 2, b == 0xed && i == 3 && s[n-2]&0xf0 == 0xa0:
			return n - i
		case b >= 0xc0:
			return n
		}
	}
	return n
}

// seams puts together what was cut within a character. Its zero value is ready.
type seams struct{ open []seam }

// seam is the beginning of a character at the end of a text.
type seam struct {
	kind         llm.DeltaKind
	choice, tool int
	begun        string
}

// maxSeams bounds how many texts may be cut at once.
const maxSeams = 1024

// texts are the deltas that continue one another.
func texts(k llm.DeltaKind) bool {
	return k == llm.DeltaText || k == llm.DeltaReasoning || k == llm.DeltaRefusal || k == llm.DeltaToolArgs
}

// join returns deltas with whole characters only; the beginning of one at their
// end comes with the next.
func (s *seams) join(deltas []llm.Delta) []llm.Delta {
	cut := func(d llm.Delta) bool {
		return texts(d.Kind) && (whole(d.Text) < len(d.Text) || surrogate(d.Text) >= 0xdc00)
	}
	if len(s.open) == 0 && !slices.ContainsFunc(deltas, cut) {
		return deltas
	}
	out := make([]llm.Delta, 0, len(deltas)+len(s.open))
	for _, d := range deltas {
		out = s.end(out, d)
		if texts(d.Kind) {
			d.Text = joined(s.take(d), d.Text)
			if n := whole(d.Text); n < len(d.Text) && len(s.open) < maxSeams {
				s.open = append(s.open, seam{d.Kind, d.Choice, d.Tool, d.Text[n:]})
				d.Text = d.Text[:n]
			}
			if d.Text == "" && d.Signature == "" && d.Logprobs == nil {
				continue
			}
		}
		out = append(out, d)
	}
	return out
}

// end appends, as a character that nobody knows, what was begun in texts that d
// tells the end of: something else follows in its choice.
func (s *seams) end(dst []llm.Delta, d llm.Delta) []llm.Delta {
	s.open = slices.DeleteFunc(s.open, func(x seam) bool {
		if x.choice != d.Choice || x.kind == d.Kind && (x.kind == llm.DeltaToolArgs || x.tool == d.Tool) {
			return false
		}
		dst = append(dst, llm.Delta{Kind: x.kind, Choice: x.choice, Tool: x.tool, Text: string(utf8.RuneError)})
		return true
	})
	return dst
}

// take returns what was begun in the text that d continues.
func (s *seams) take(d llm.Delta) string {
	for i, x := range s.open {
		if x.kind == d.Kind && x.choice == d.Choice && x.tool == d.Tool {
			s.open = slices.Delete(s.open, i, i+1)
			return x.begun
		}
	}
	return ""
}

// joined is a text behind the beginning of a character. Halves of surrogate pairs
// that do not belong together are characters that nobody knows.
func joined(begun, text string) string {
	first, second := surrogate(begun), surrogate(text)
	switch r := utf16.DecodeRune(first, second); {
	case r != utf8.RuneError:
		return string(r) + text[3:]
	case second >= 0xdc00:
		return begun + string(utf8.RuneError) + text[3:]
	case first != 0 && text != "":
		return string(utf8.RuneError) + text
	}
	return begun + text
}

// settle leaves whole characters only in an answer in one piece.
func settle(a *llm.Answer) {
	for i := range a.Choices {
		for j := range a.Choices[i].Parts {
			p := &a.Choices[i].Parts[j]
			p.Text = entire(p.Text)
			if !utf8.Valid(p.Args) {
				p.Args = json.RawMessage(entire(string(p.Args)))
			}
		}
	}
}

// entire returns a text, put together of what [Fragment] returned, with whole
// characters only.
func entire(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	out := make([]byte, 0, len(s))
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if u := surrogate(s); u != 0 {
			n = 3
			if r = utf16.DecodeRune(u, surrogate(s[3:])); r != utf8.RuneError {
				n = 6
			}
		}
		out = utf8.AppendRune(out, r)
		s = s[n:]
	}
	return string(out)
}

// surrogate returns the half of a surrogate pair that s begins with; 0: none.
func surrogate(s string) rune {
	if len(s) < 3 || s[0] != 0xed || s[1]&0xe0 != 0xa0 || utf8.RuneStart(s[2]) {
		return 0
	}
	return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f)
}
