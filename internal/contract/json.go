package contract

import (
	"strings"
	"unicode/utf8"
)

// maxValue bounds every single value that a failure brings along, in bytes: a
// caller's model name or a provider's words can be of any length.
const maxValue = 4096

// clip returns s cut to maxValue bytes, at the border of a character.
func clip(s string) string {
	if len(s) <= maxValue {
		return s
	}
	n := maxValue
	for n > maxValue-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends s as the inside of a JSON string. It does not escape
// HTML, and replaces bytes that are not UTF-8. It does escape the separators
// U+0085, U+2028 and U+2029, at which naive readers of a stream break lines.
func appendEscaped(dst []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= 0x20 && b != '"' && b != '\\' && b < utf8.RuneSelf {
			i++
			continue
		}
		size, repl := 1, ""
		switch {
		case b == '"':
			repl = `\"`
		case b == '\\':
			repl = `\\`
		case b == '\n':
			repl = `\n`
		case b == '\r':
			repl = `\r`
		case b == '\t':
			repl = `\t`
		case b < 0x20:
			dst = append(dst, s[start:i]...)
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
			i++
			start = i
			continue
		default:
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				repl = "\ufffd"
			case r == '\u0085':
				repl = `\u0085`
			case r == '\u2028':
				repl = `\u2028`
			case r == '\u2029':
				repl = `\u2029`
			}
		}
		if repl != "" {
			dst = append(dst, s[start:i]...)
			dst = append(dst, repl...)
			start = i + size
		}
		i += size
	}
	return append(dst, s[start:]...)
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, s)
	return append(dst, '"')
}

// headerValue returns s fit for a header: visible ASCII and single spaces
// inside, so that nothing a caller sent can start another header.
func headerValue(s string) string {
	plain := true
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x20 || r == 0x7f:
			return ' '
		case r > 0x7e:
			return '?'
		}
		return r
	}, s)
}
