package jsonx

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// ParseEvent is [Parse] of one event of a provider's. A text in it may end within a
// character, and begin with the rest of one: such a part is read as U+FFFD, and the
// document that was parsed has that in its place; see [Doc.Mended].
func ParseEvent(data []byte) (*Doc, error) {
	d, err := Parse(data)
	if err == nil {
		return d, nil
	}
	mended, bad := jsontext.AppendFormat(nil, data, jsontext.AllowInvalidUTF8(true))
	if bad != nil {
		return nil, err
	}
	if d, err = Parse(mended); err == nil {
		d.mended = true
	}
	return d, err
}

// Mended reports whether the document has U+FFFD where the event that it was read
// from has parts of characters.
func (d *Doc) Mended() bool { return d.mended }

// Inside returns where the text of a top-level member stands in an event, without
// its quotes, and as the event has it: parts of characters may stand at its ends. It
// is not ok if there is no such member, or no text in it.
func Inside(data []byte, name string) (from, to int, ok bool) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowInvalidUTF8(true))
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '{' {
		return 0, 0, false
	}
	for dec.PeekKind() == '"' {
		key, err := dec.ReadToken()
		if err != nil {
			return 0, 0, false
		}
		found := key.String() == name
		v, err := dec.ReadValue()
		if err != nil {
			return 0, 0, false
		}
		if found {
			to = int(dec.InputOffset()) - 1
			return to - len(v) + 2, to, v.Kind() == '"'
		}
	}
	return 0, 0, false
}
