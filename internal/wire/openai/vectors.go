package openai

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/vector"
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
		doc, bad := jsonx.Parse(v)
		if bad != nil {
			return bad
		}
		w.out, err = vector.AppendList(w.out, doc.Root().Text(), vector.Float32)
	} else {
		w.out, err = vector.AppendBase64(w.out, v)
	}
	return err
}
