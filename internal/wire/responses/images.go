package responses

import (
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// The events of an image that is made, between the beginning of its item and its
// end.
var imageEvents = [...]string{
	"response.image_generation_call.in_progress", "response.image_generation_call.generating", "response.image_generation_call.completed",
}

// image appends an image that the model made, as if a tool had made it: the dialect
// has no other place for one.
func (s *stream) image(dst []byte, p *llm.Part) ([]byte, error) {
	it := &item{kind: kindImage, id: newID("ig_"), image: p.Data, format: formatOf(p.MediaType)}
	dst, err := s.open(dst, it)
	if err != nil {
		return dst, err
	}
	return s.close(s.making(dst, it)), nil
}

// making appends how an image came about.
func (s *stream) making(dst []byte, it *item) []byte {
	for _, name := range imageEvents {
		b := strconv.AppendInt(append(s.buf[:0], `"output_index":`...), int64(it.index), 10)
		s.buf = append(jsonx.AppendString(append(b, `,"item_id":`...), it.id), '}')
		dst = s.frame(dst, name, s.buf)
	}
	return dst
}

// formatOf is what the dialect calls a media type: png, webp, jpeg.
func formatOf(media string) string {
	media, _, _ = strings.Cut(media, ";")
	return strings.TrimSpace(strings.TrimPrefix(strings.ToLower(media), "image/"))
}

// image checks an image that a model made before. One that names no data is its
// provider's to know.
func (c *checker) image(item jsonx.Value) {
	c.p.String(item.Get("status"))
	c.p.String(item.Get("output_format"))
	result := item.Get("result")
	if !result.Exists() || !c.p.Text(result, maxMedia) {
		return
	}
	dialect.Need(c.r, llm.NeedImageInput, item)
	c.r.Size.Images++
	c.r.Size.Media += int64(len(result.Inner()))
}

// made takes over an image that a model made before; it is not ok for one that only
// its provider knows.
func made(item jsonx.Value) (p llm.Part, ok bool) {
	p = llm.Part{Kind: llm.PartImage, Data: item.Get("result").Text()}
	if p.Data == "" {
		return p, false
	}
	if format := item.Get("output_format").Text(); format != "" {
		p.MediaType = "image/" + format
	} else if p.MediaType = llm.MediaTypeOf(p.Data); p.MediaType == "" {
		p.MediaType = "image/png" // which is what the tool makes unless it is told otherwise
	}
	return p, true
}
