package provider

import "github.com/pontage/pontage/internal/llm"

// What bytes of an answer weigh, in [llm.WeightPerToken]ths of a token: more than
// tokenizers make of prose and code in any language, and of numbers, tables,
// hexadecimal and base64, of which they make a token for every two or three
// characters, or a token for every digit.
const (
	letterWeight = 2 // a-z and the space
	otherWeight  = 3 // of UTF-8 beyond ASCII
	signWeight   = 4 // punctuation, line breaks, tabs
	upperWeight  = llm.WeightPerToken
	digitWeight  = llm.WeightPerToken

	shortEscape = 2 * otherWeight // up to \u07ff, which are two bytes at most
	longEscape  = 3 * otherWeight // what is beyond, or half a pair

	// CallWeight is what the beginning of a tool call weighs beside its arguments.
	CallWeight = 16 * llm.WeightPerToken
)

var weights = func() (w [256]uint8) {
	for i := range w {
		switch c := byte(i); {
		case c >= 'a' && c <= 'z', c == ' ':
			w[i] = letterWeight
		case c >= 'A' && c <= 'Z':
			w[i] = upperWeight
		case c >= '0' && c <= '9':
			w[i] = digitWeight
		case c < 0x80:
			w[i] = signWeight
		default:
			w[i] = otherWeight
		}
	}
	return w
}()

// Weight returns an upper estimate of the tokens of the text of which inner is
// the inside of a JSON string, or of JSON, in [llm.WeightPerToken]ths.
func Weight(inner []byte) (n int) {
	for i := 0; i < len(inner); i++ {
		c := inner[i]
		if c != '\\' || i+1 == len(inner) {
			n += int(weights[c])
			continue
		}
		if i++; inner[i] == 'u' {
			n += longEscape
			if i+2 < len(inner) && inner[i+1] == '0' && inner[i+2] < '8' {
				n += shortEscape - longEscape
			}
			i += 4
			continue
		}
		n += signWeight
	}
	return n
}
