// Package token counts tokens and estimates them.
//
// Neither is exact for every model: vendors other than OpenAI do not publish
// their tokenizers. Estimates are for holds and must not be too low; what is
// charged is what the provider reports.
package token

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tiktoken-go/tokenizer"

	"github.com/pontage/pontage/internal/llm"
)

// MaxCounted is how many bytes of a text are really counted; the rest is
// assumed to be like them. It bounds a call to about a second.
const MaxCounted = 4 << 20

// chunk is how much the tokenizer gets at once, which bounds its memory.
const chunk = 64 << 10

// What an upper estimate adds for things whose tokens do not show in bytes.
const (
	perMessage = 8    // roles and separators; OpenAI's are 3 to 4
	perReply   = 16   // what primes the answer, and rounding
	perMedia   = 2048 // an image at full detail, a page or two, some seconds of sound
	perPage    = 5000 // a page of a document: a dense text, and the page as an image
	mediaBytes = 256  // inline base64 bytes per further token: big files are long ones
)

// codec returns the o200k tokenizer, made at the first use: 12 ms and 6 MB.
var codec = sync.OnceValues(func() (tokenizer.Codec, error) {
	return tokenizer.Get(tokenizer.O200kBase)
})

// Count returns the number of o200k tokens in text, exactly up to
// [MaxCounted] bytes but for a token more or less per 64 KiB, and in proportion
// beyond. It takes about 0.13 µs per byte, so it stays off the hot path. If
// there is no tokenizer, it is [Upper]'s estimate.
func Count(text string) int64 {
	c, err := codec()
	if err != nil {
		return Upper(size(text))
	}
	counted := text
	if len(counted) > MaxCounted {
		counted = counted[:cut(counted, MaxCounted)]
	}
	var total int64
	for rest := counted; rest != ""; {
		piece := rest
		if len(piece) > chunk {
			piece = piece[:cut(piece, chunk)]
		}
		rest = rest[len(piece):]
		n, err := c.Count(piece)
		if err != nil { // only in the tokenizer's strict mode, which is off
			return Upper(size(text))
		}
		total += int64(n)
	}
	if len(text) > len(counted) {
		total = (total*int64(len(text)) + int64(len(counted)) - 1) / int64(len(counted))
	}
	return total
}

// cut returns where to split s at or before limit: before a space if there is
// one in the second half, since tokens begin with theirs, else between runes.
func cut(s string, limit int) int {
	if i := strings.LastIndexByte(s[:limit], ' '); i > limit/2 {
		return i
	}
	for i := limit; i > limit-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return limit
}

// size weighs a text.
func size(text string) llm.Size {
	var s llm.Size
	for i := range len(text) {
		if text[i] < utf8.RuneSelf {
			s.ASCII++
		} else {
			s.Other++
		}
	}
	return s
}

// Upper returns a cheap estimate of a prompt's tokens that errs upwards: a
// token for every three ASCII bytes and every two others, and constants per
// message, per image, per page and per byte of inline media.
func Upper(s llm.Size) int64 {
	return (s.ASCII+2)/3 + (s.Other+1)/2 + s.Messages*perMessage + perReply +
		s.Images*perMedia + s.Pages*perPage + s.Media/mediaBytes
}
