package jsonx

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/llm"
)

const hex = "0123456789abcdef"

// AppendString appends s as a JSON string. It escapes only what JSON demands:
// quote, backslash and control characters; not <, > and &. Bytes that are not
// UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// Count returns how many bytes of b are ASCII and how many are not.
func Count(b []byte) (ascii, other int64) {
	n := len(b)
	high := 0
	for len(b) >= 8 {
		high += bits.OnesCount64(binary.LittleEndian.Uint64(b) & 0x8080808080808080)
		b = b[8:]
	}
	for _, c := range b {
		high += int(c >> 7)
	}
	return int64(n - high), int64(high)
}

// Splice makes edits to the top-level members of a JSON object that may come
// from anywhere. A body that is no such object, or no edits, give the body back
// as it is.
func Splice(body []byte, edits []llm.Edit) []byte {
	if len(edits) == 0 {
		return body
	}
	raw, err := Scan(body)
	if err != nil {
		return body
	}
	return raw.Splice(edits...)
}

// AppendObject appends the arguments of a tool call as an object. null, which some
// models write where a tool takes nothing, is an empty one, and what else the model
// wrote that is none goes into one, whole, as _raw.
func AppendObject(dst, args []byte) []byte {
	switch {
	case len(args) == 0, string(args) == "null":
		return append(dst, `{}`...)
	case IsObject(args):
		return append(dst, args...)
	}
	dst = append(dst, `{"_raw":`...)
	if doc, err := Parse(args); err == nil && doc.Root().Kind() == String {
		dst = append(dst, args...)
	} else {
		dst = AppendString(dst, string(args))
	}
	return append(dst, '}')
}
