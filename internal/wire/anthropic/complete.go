package anthropic

// completeness follows JSON text that comes in pieces, and tells when an object
// or array that it began with has ended. It does not check the text. The zero
// value has seen nothing.
type completeness struct {
	depth    int
	inString bool
	escaped  bool
	done     bool
}

// complete reports whether the value has ended: nothing but space can follow.
func (c *completeness) complete() bool { return c.done }

// feed takes the next piece.
func (c *completeness) feed(text string) {
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case c.escaped:
			c.escaped = false
		case c.inString:
			c.escaped = b == '\\'
			c.inString = b != '"'
		case b == '"':
			c.inString = true
		case b == '{', b == '[':
			c.depth++
		case b == '}', b == ']':
			c.depth--
			c.done = c.depth == 0
		case !isSpace(b) && c.depth == 0:
			c.done = false // not an object: when it ends, nobody knows
			c.depth = -1 << 30
		}
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\r' || b == '\t' }
