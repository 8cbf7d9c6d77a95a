package openai

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pontage/pontage/internal/jsonx"
)

// recode returns an embeddings answer with all vectors in base64 (little-endian
// float32) or as numbers. It returns body itself if they are so already. It
// reads without an index of all values, since there can be millions.
func recode(body []byte, toBase64 bool) ([]byte, error) {
	w := recoder{dec: jsontext.NewDecoder(bytes.NewBuffer(body)), body: body, toBase64: toBase64}
	if err := w.members(func(name string) error {
		if name != "data" || w.dec.PeekKind() != '[' {
			return w.dec.SkipValue()
		}
		return w.elements()
	}); err != nil {
		if errors.Is(err, errAlready) {
			return body, nil
		}
		return nil, fmt.Errorf("read embeddings: %w", err)
	}
	if w.out == nil {
		return body, nil
	}
	return append(w.out, body[w.copied:]...), nil
}

// errAlready ends the reading of an answer that is as it should be.
var errAlready = errors.New("vectors are in the encoding asked for")

// recoder copies an answer and replaces vectors on the way.
type recoder struct {
	dec      *jsontext.Decoder
	body     []byte
	toBase64 bool
	out      []byte
	copied   int // how much of body is in out
}

// members calls f for each member of the object that comes next.
func (w *recoder) members(f func(name string) error) error {
	if k := w.dec.PeekKind(); k != '{' {
		return fmt.Errorf("%q where an object should be", k)
	}
	if _, err := w.dec.ReadToken(); err != nil {
		return err
	}
	for w.dec.PeekKind() == '"' {
		name, err := w.dec.ReadToken()
		if err != nil {
			return err
		}
		if err := f(name.String()); err != nil {
			return err
		}
	}
	_, err := w.dec.ReadToken()
	return err
}

// elements goes through data.
func (w *recoder) elements() error {
	if _, err := w.dec.ReadToken(); err != nil {
		return err
	}
	for w.dec.PeekKind() == '{' {
		if err := w.members(func(name string) error {
			if name != "embedding" {
				return w.dec.SkipValue()
			}
			return w.vector()
		}); err != nil {
			return err
		}
	}
	_, err := w.dec.ReadToken()
	return err
}

// vector replaces one vector.
func (w *recoder) vector() error {
	v, err := w.dec.ReadValue()
	if err != nil {
		return err
	}
	isBase64 := v.Kind() == '"'
	if isBase64 == w.toBase64 {
		if w.out == nil {
			return errAlready
		}
		return nil
	}
	end := int(w.dec.InputOffset())
	w.out = append(w.out, w.body[w.copied:end-len(v)]...)
	w.copied = end
	if isBase64 {
		w.out, err = appendFloats(w.out, v)
	} else {
		w.out, err = appendBase64(w.out, v)
	}
	return err
}

// appendBase64 appends an array of numbers as a base64 string.
func appendBase64(dst []byte, array jsontext.Value) ([]byte, error) {
	inner := bytes.TrimSpace(array)
	if len(inner) < 2 || inner[0] != '[' {
		return dst, fmt.Errorf("vector begins with %.8q", array)
	}
	inner = inner[1 : len(inner)-1]
	raw := make([]byte, 0, len(inner)/2)
	for len(bytes.TrimSpace(inner)) > 0 {
		var one []byte
		one, inner, _ = bytes.Cut(inner, []byte{','})
		f, err := strconv.ParseFloat(string(bytes.TrimSpace(one)), 32)
		if err != nil {
			return dst, fmt.Errorf("vector holds %.16q", one)
		}
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(f)))
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, raw)
	return append(dst, '"'), nil
}

// appendFloats appends a base64 string as an array of numbers.
func appendFloats(dst []byte, text jsontext.Value) ([]byte, error) {
	doc, err := jsonx.Parse(text)
	if err != nil {
		return dst, err
	}
	raw, err := base64.StdEncoding.DecodeString(doc.Root().Text())
	if err != nil || len(raw)%4 != 0 {
		return dst, errors.New("vector is not base64 of 32-bit numbers")
	}
	dst = append(dst, '[')
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
