package provider

import (
	"bytes"

	"github.com/pontage/pontage/internal/jsonx"
)

// Span is a part of a payload. The zero Span is none.
type Span struct{ From, To int }

// Of returns the part of b.
func (s Span) Of(b []byte) []byte { return b[s.From:s.To] }

// Patch is a part of a payload, and what stands in its place for the caller.
type Patch struct {
	At   Span
	With []byte
}

// OwnName returns the caller's name for the model as JSON; nil: the provider has
// the same.
func (c Call) OwnName() []byte {
	if c.Model == c.Request.Model {
		return nil
	}
	return jsonx.AppendString(nil, c.Request.Model)
}

// Rename appends to the patches of data the one that puts name, as OwnName has it,
// where the model's name is at, if there is one and it is another.
func Rename(patches []Patch, data []byte, at Span, name []byte) []Patch {
	if name == nil || at == (Span{}) || bytes.Equal(at.Of(data), name) {
		return patches
	}
	return append(patches, Patch{at, name})
}

// appendPatched appends data with its patches, which are in their order and apart.
func appendPatched(dst, data []byte, patches []Patch) []byte {
	from := 0
	for _, p := range patches {
		dst = append(append(dst, data[from:p.At.From]...), p.With...)
		from = p.At.To
	}
	return append(dst, data[from:]...)
}

// Patched returns data with its patches; data itself if there are none.
func Patched(data []byte, patches []Patch) []byte {
	if len(patches) == 0 {
		return data
	}
	n := len(data)
	for _, p := range patches {
		n += len(p.With)
	}
	return appendPatched(make([]byte, 0, n), data, patches)
}
