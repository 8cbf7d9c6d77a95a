// Package vector writes the vectors of embeddings in their two forms: a list of
// numbers, and base64 of the numbers' bytes.
package vector

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Form is how a number stands in base64.
type Form uint8

// The forms.
const (
	Float32 Form = iota // four bytes, the least significant one first, as OpenAI has them
	Int8                // one byte with a sign, as Perplexity has them
)

// AppendBase64 appends the JSON list of numbers as a JSON string of base64, each
// as a [Float32]. Its error says what is no number.
func AppendBase64(dst, list []byte) ([]byte, error) {
	inner := bytes.TrimSpace(list)
	if len(inner) < 2 || inner[0] != '[' || inner[len(inner)-1] != ']' {
		return dst, fmt.Errorf("vector is no list: %.8q", list)
	}
	inner = inner[1 : len(inner)-1]
	raw := make([]byte, 0, len(inner)/2)
	for more := len(bytes.TrimSpace(inner)) > 0; more; {
		var one []byte
		one, inner, more = bytes.Cut(inner, []byte{','})
		f, err := strconv.ParseFloat(string(bytes.TrimSpace(one)), 32)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, fmt.Errorf("vector holds %.16q", one)
		}
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(f)))
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, raw)
	return append(dst, '"'), nil
}

// AppendList appends a text of base64, without quotes, as a JSON list of numbers
// of the given form. Padding may be missing. Its error says what is wrong with
// the text, and that a number is none.
func AppendList(dst []byte, text string, form Form) ([]byte, error) {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return dst, errors.New("vector is not base64")
	}
	dst = append(dst, '[')
	if form == Int8 {
		for i, b := range raw {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendInt(dst, int64(int8(b)), 10)
		}
		return append(dst, ']'), nil
	}
	if len(raw)%4 != 0 {
		return dst, errors.New("vector is not base64 of 32-bit numbers")
	}
	for i := 0; i < len(raw); i += 4 {
		f := float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[i:])))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, errors.New("vector holds what is not a number")
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, f, 'g', -1, 32)
	}
	return append(dst, ']'), nil
}
