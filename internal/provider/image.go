package provider

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/llm"
)

// What an image in an answer is taken for, where its provider does not say what was
// used: as Google counts one of 1024×1024, and the largest that it makes. Nobody
// counts pictures as the text that their base64 is.
// Source: ai.google.dev/gemini-api/docs/pricing.
const (
	ImageBytes  = 4 * 1290 // of text that has as many tokens
	ImageWeight = 2000 * llm.WeightPerToken
)

// SoundBytes is what so many bytes of base64 of sound in an answer are taken for, where
// its provider does not say what was used: a second for 16,000 bytes, and 25 tokens a
// second, as Google counts them, in bytes of a text that has as many.
// Source: ai.google.dev/gemini-api/docs/tokens.
func SoundBytes(base64 int) int { return base64 * 3 / 4 * (25 * 4) / 16_000 }

// Images takes over the images in one answer to a caller of another dialect. In the
// zero value they are told to nobody.
type Images struct {
	Dialect llm.Dialect // of the caller
	size    int
	untold  bool
}

// Take returns the image as it is told. Nil: the caller's dialect has no place for
// it, or those of the answer are too long together; see Err. An image of a type that
// nobody tells is of that which its base64 says, or else PNG; one that is elsewhere,
// of that which the end of its URL says.
func (m *Images) Take(p llm.Part) *llm.Part {
	p.Kind = llm.PartImage
	if p.Data != "" && p.MediaType == "" {
		if p.MediaType = llm.MediaTypeOf(p.Data); p.MediaType == "" {
			p.MediaType = "image/png"
		}
	}
	if p.Data == "" && p.MediaType == "" {
		p.MediaType = endings[strings.ToLower(p.URL[strings.LastIndexByte(p.URL, '.')+1:])]
	}
	if !m.Dialect.TellsImage(&p) {
		m.untold = true
		return nil
	}
	if m.size += len(p.Data) + len(p.URL); m.size > MaxWhole {
		return nil
	}
	return &p
}

// Err returns why the answer cannot be told: a *Failure, or nil. Its images are
// [MaxWhole] bytes of base64 at most, all together.
func (m *Images) Err() error {
	switch {
	case m.untold:
		return Untold()
	case m.size > MaxWhole:
		return BadAnswer(http.StatusOK, nil, fmt.Errorf("the images of the answer are longer than %d bytes", MaxWhole))
	}
	return nil
}

// endings tells types of images by the end of a URL.
var endings = map[string]string{"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}

// maxLeft bounds how many kinds of output are named that have no place in an answer.
const (
	maxLeft = 32
	maxKind = 64 // bytes of its name
)

// Leavings are the kinds of output that the caller's dialect has no place for, each
// once for an answer, and at most 32 of them. The zero value is ready for use.
type Leavings struct {
	all  []string
	told int
}

// Add notes one, by the inside of a JSON string.
func (l *Leavings) Add(inner []byte) {
	if kind := Unescape(inner[:min(len(inner), maxKind)]); len(l.all) < maxLeft && !slices.Contains(l.all, kind) {
		l.all = append(l.all, kind)
	}
}

// New returns those that were added since it was last called.
func (l *Leavings) New() []string {
	from := l.told
	l.told = len(l.all)
	return l.all[from:]
}
