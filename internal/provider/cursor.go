package provider

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is the deepest nesting that a Cursor follows.
const maxDepth = 256

// Cursor walks once over JSON text, in order, and allocates nothing. It checks
// the syntax of everything it passes, but not for double names or bad UTF-8,
// which providers do send. After an error it stands still: all its methods
// return at once, and Err tells. The zero Cursor is at the end of nothing.
//
// To walk an object: if Enter('{'), then for Key() …, reading or skipping one
// value each time. An array: if Enter('['), then for More() ….
type Cursor struct {
	b     []byte
	i     int
	depth int
	first bool // nothing of the object or array just entered was read
	bad   bool
}

// Walk returns a cursor over b.
func Walk(b []byte) Cursor { return Cursor{b: b} }

// Err reports whether the text is not JSON as far as it was read.
func (c *Cursor) Err() bool { return c.bad }

// Done reports whether the cursor has read one whole value, and nothing but
// space follows.
func (c *Cursor) Done() bool {
	c.space()
	return !c.bad && c.depth == 0 && c.i == len(c.b)
}

// Offset returns where the cursor stands.
func (c *Cursor) Offset() int { return c.i }

// Kind returns the first byte of the next value, with '0' for numbers; 0 at the
// end or after an error.
func (c *Cursor) Kind() byte {
	c.space()
	if c.bad || c.i >= len(c.b) {
		return 0
	}
	k := c.b[c.i]
	if k == '-' || k >= '1' && k <= '9' {
		return '0'
	}
	return k
}

// Enter enters the next value if it is of the given kind, '{' or '['; any other
// value is skipped.
func (c *Cursor) Enter(kind byte) bool {
	if c.Kind() != kind {
		c.Skip()
		return false
	}
	if c.depth++; c.depth > maxDepth {
		c.bad = true
		return false
	}
	c.i++
	c.first = true
	return true
}

// Key goes to the next member of the object entered and returns its name as it
// is written; ok is false at the object's end, which it leaves.
func (c *Cursor) Key() (name []byte, ok bool) {
	if !c.next('}') {
		return nil, false
	}
	raw := c.text()
	c.space()
	if c.bad || c.i >= len(c.b) || c.b[c.i] != ':' {
		c.bad = true
		return nil, false
	}
	c.i++
	return raw, true
}

// More goes to the next element of the array entered; it is false at the
// array's end, which it leaves.
func (c *Cursor) More() bool { return c.next(']') }

// next steps over a comma, or leaves at the end.
func (c *Cursor) next(end byte) bool {
	c.space()
	if c.bad || c.i >= len(c.b) {
		c.bad = true
		return false
	}
	first := c.first
	c.first = false
	switch c.b[c.i] {
	case end:
		c.i++
		c.depth--
		return false
	case ',':
		c.i++
		if !first {
			c.space()
			if c.i < len(c.b) && c.b[c.i] == end {
				c.bad = true
			}
			return !c.bad
		}
	default:
		if first {
			return true
		}
	}
	c.bad = true
	return false
}

// Value reads the next value, of any kind, and returns its text.
func (c *Cursor) Value() []byte {
	c.space()
	from := c.i
	c.Skip()
	if c.bad {
		return nil
	}
	return c.b[from:c.i]
}

// Skip reads the next value and checks it.
func (c *Cursor) Skip() {
	switch c.Kind() {
	case '"':
		c.text()
	case '{':
		c.Enter('{')
		for {
			if _, ok := c.Key(); !ok {
				return
			}
			c.Skip()
		}
	case '[':
		c.Enter('[')
		for c.More() {
			c.Skip()
		}
	case 't':
		c.literal("true")
	case 'f':
		c.literal("false")
	case 'n':
		c.literal("null")
	case '0':
		c.number()
	default:
		c.bad = true
	}
}

// Null reads the next value if it is null.
func (c *Cursor) Null() bool {
	if c.Kind() != 'n' {
		return false
	}
	c.literal("null")
	return !c.bad
}

// Text reads the next value and, if it is a string, returns what stands between
// its quotes, escapes and all; see [Unescape]. Other kinds give nil and false.
func (c *Cursor) Text() (inner []byte, ok bool) {
	if c.Kind() != '"' {
		c.Skip()
		return nil, false
	}
	inner = c.text()
	return inner, !c.bad
}

// Int reads the next value and, if it is a whole number, returns it. Other
// kinds, null among them, give 0 and false.
func (c *Cursor) Int() (int64, bool) {
	if c.Kind() != '0' {
		c.Skip()
		return 0, false
	}
	v := c.Value()
	n := int64(0)
	for i, d := range v {
		if d < '0' || d > '9' || i > 17 {
			f, err := strconv.ParseFloat(string(v), 64)
			if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
				return 0, false
			}
			return int64(f), true
		}
		n = 10*n + int64(d-'0')
	}
	return n, len(v) > 0
}

// space skips white space.
func (c *Cursor) space() {
	for c.i < len(c.b) && c.b[c.i] <= ' ' {
		switch c.b[c.i] {
		case ' ', '\n', '\t', '\r':
			c.i++
		default:
			return
		}
	}
}

// text reads a string and returns what stands between its quotes.
func (c *Cursor) text() []byte {
	b := c.b
	if c.bad || c.i >= len(b) || b[c.i] != '"' {
		c.bad = true
		return nil
	}
	from := c.i + 1
	for i := special(b, from); i < len(b); i = special(b, i) {
		switch b[i] {
		case '"':
			c.i = i + 1
			return b[from:i]
		case '\\':
			if i+1 < len(b) && escapes[b[i+1]] {
				i += 2
				continue
			}
		}
		break
	}
	c.bad = true
	return nil
}

// special returns the place of the first byte of b, from i on, that is a quote, a
// backslash or a control character; len(b) if there is none. It looks at eight
// bytes at a time.
func special(b []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		v := binary.LittleEndian.Uint64(b[i:])
		quote, slash := v^(ones*'"'), v^(ones*'\\')
		// A byte's high bit is set where it is zero, or below a space; above it
		// borrows may set others, and the lowest one counts.
		found := ((quote-ones)&^quote | (slash-ones)&^slash | (v-ones*' ')&^v) & highs
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < ' ' {
			return i
		}
	}
	return i
}

// escapes are the bytes that may follow a backslash. The digits of \u are
// checked by whoever undoes it.
var escapes = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true, 'u': true}

func (c *Cursor) literal(word string) {
	if end := c.i + len(word); end <= len(c.b) && string(c.b[c.i:end]) == word {
		c.i = end
		return
	}
	c.bad = true
}

// number reads a number; leading zeros and the like are let pass.
func (c *Cursor) number() {
	from := c.i
	for c.i < len(c.b) {
		switch ch := c.b[c.i]; {
		case ch >= '0' && ch <= '9', ch == '-', ch == '+', ch == '.', ch == 'e', ch == 'E':
			c.i++
			continue
		}
		break
	}
	if last := c.b[c.i-1]; c.i == from || last < '0' || last > '9' {
		c.bad = true
	}
}

// Unescape returns the text of which inner is the inside of a JSON string.
func Unescape(inner []byte) string {
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	quoted := make([]byte, 0, len(inner)+2)
	quoted = append(append(append(quoted, '"'), inner...), '"')
	// Bad UTF-8 and lone surrogates become U+FFFD, and are reported besides.
	out, _ := jsontext.AppendUnquote(nil, quoted)
	return string(out)
}

// TextLen returns how many bytes of UTF-8 the text has of which inner is the
// inside of a JSON string, give or take the lone halves of surrogates.
func TextLen(inner []byte) int {
	n := len(inner)
	for i := bytes.IndexByte(inner, '\\'); i >= 0 && i+1 < len(inner); {
		if inner[i+1] != 'u' {
			n--
			i += 2
		} else {
			n -= 6 - escapedLen(inner[min(i+2, len(inner)):])
			i += 6
		}
		if i >= len(inner) {
			break
		}
		next := bytes.IndexByte(inner[i:], '\\')
		if next < 0 {
			break
		}
		i += next
	}
	return n
}

// escapedLen returns the length in UTF-8 of the code unit that hex begins with;
// half a pair counts for two of its four bytes.
func escapedLen(hex []byte) int {
	if len(hex) < 4 {
		return 0
	}
	u, err := strconv.ParseUint(string(hex[:4]), 16, 16)
	switch {
	case err != nil:
		return 0
	case u < 0x80:
		return 1
	case u < 0x800, u >= 0xd800 && u < 0xe000:
		return 2
	}
	return 3
}
