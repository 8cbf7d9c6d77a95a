package openai

import (
	"strings"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// known are the types of parts of a content that are told.
var known = map[string]bool{"": true, "text": true, "output_text": true, "thinking": true, "image_url": true}

// readImages reads OpenRouter's list of the images that a model made: each is
// {"type": "image_url", "image_url": {"url": "data:…"}}. Source:
// openrouter.ai/docs/features/multimodal/image-generation.
func (s *scanner) readImages(v []byte, ch int) {
	c := provider.Walk(v)
	if c.Kind() != '[' {
		s.strange(v)
		return
	}
	c.Enter('[')
	for c.More() {
		one := c.Value()
		if url := member(one, "image_url"); url != nil {
			s.image(url, ch)
		} else {
			s.strange(one)
		}
	}
}

// strange notes what stands in the place of an image, and is none that is known.
func (s *scanner) strange(v []byte) {
	s.content = s.content || holds(v)
	s.media = s.media || holds(v)
}

// image notes an image, which is {"url"} or the URL alone. One that is inline and
// not in base64 is told by nobody.
func (s *scanner) image(v []byte, ch int) {
	if in := member(v, "url"); in != nil {
		v = in
	}
	c := provider.Walk(v)
	url, ok := c.Text()
	s.content = true
	if !ok || len(url) == 0 {
		s.media = true
		return
	}
	s.bytes, s.split.Image = s.bytes+provider.ImageBytes, s.split.Image+provider.ImageBytes
	if s.stream {
		s.weight += provider.ImageWeight
	}
	if !s.translate {
		return
	}
	var p llm.Part
	if p.URL, p.MediaType, p.Data = llm.SplitData(provider.Unescape(url)); strings.HasPrefix(p.URL, "data:") {
		p.URL = ""
	}
	if image := s.images.Take(p); image != nil {
		s.deltas = append(s.deltas, llm.Delta{Kind: llm.DeltaImage, Choice: s.choices[ch].index, Image: image})
	}
}

// member returns a member of an object, or nil.
func member(v []byte, name string) (found []byte) {
	c := provider.Walk(v)
	if c.Kind() != '{' {
		return nil
	}
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			return found
		}
		if string(key) == name {
			found = c.Value()
			continue
		}
		c.Skip()
	}
}
