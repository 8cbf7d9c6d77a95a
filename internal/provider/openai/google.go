package openai

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/provider"
)

// Requests for embeddings of Google's dialect. A model of this protocol makes one
// vector of one text, so the texts of a content are joined.

// googleMember are the members of a request for one vector, in both spellings;
// those that are false say nothing of the vector that can be said here, and are
// dropped.
var googleMember = map[string]bool{
	"model": true, "content": true, "outputDimensionality": true, "output_dimensionality": true,
	"embedContentConfig": true, "embed_content_config": true,
	"taskType": false, "task_type": false, "title": false,
}

// googleConfig are the members of its configuration, which current clients write in
// place of members of the request. How documents and films are read says nothing of
// a text.
var googleConfig = map[string]bool{
	"outputDimensionality": true, "output_dimensionality": true,
	"taskType": false, "task_type": false, "title": false,
	"documentOcr": false, "document_ocr": false, "audioTrackExtraction": false, "audio_track_extraction": false,
}

// google is a request for embeddings of Google's dialect.
type google struct {
	provider.Encoding
	texts      []string
	dimensions int64
}

// fromGoogle translates a request for embeddings of Google's dialect, which was
// checked. Its error is a *fault.Error.
func (p *Provider) fromGoogle(c provider.Call) (*google, error) {
	doc, err := jsonx.Parse(c.Request.Raw.Body)
	if err != nil {
		return nil, fault.From(err)
	}
	g := &google{}
	root := doc.Root()
	if list := root.Get("requests"); list.Exists() {
		for name, v := range root.Members() {
			if v.Exists() && string(name) != "requests" && string(name) != "model" {
				g.Unsupported(v.Path())
			}
		}
		for i, one := range list.Items() {
			g.one(one, i)
		}
	} else {
		g.one(root, 0)
	}
	if g.Err != nil {
		return nil, g.Err
	}
	g.Open('{')
	g.Text("model", c.Model)
	g.Name("input")
	g.Open('[')
	for _, t := range g.texts {
		g.Element()
		g.String(t)
	}
	g.Close(']')
	if p.vendor.takesFormat("float") {
		g.Text("encoding_format", "float")
	}
	if g.dimensions > 0 {
		g.Int(p.vendor.dimensions(), g.dimensions)
	}
	g.Close('}')
	return g, nil
}

// one takes over the nth request for one vector.
func (g *google) one(v jsonx.Value, n int) {
	config := either(v, "embedContentConfig", "embed_content_config")
	g.knows(v, googleMember)
	g.knows(config, googleConfig)
	dimensions, ok := either(config, "outputDimensionality", "output_dimensionality").Int()
	if !ok {
		dimensions, _ = either(v, "outputDimensionality", "output_dimensionality").Int()
	}
	if n > 0 && dimensions != g.dimensions {
		g.Refuse(fault.UnsupportedParameter, v.Path(), "This model makes vectors of one length at a time.")
	}
	g.dimensions = dimensions
	content := v.Get("content")
	if content.Kind() == jsonx.String {
		g.texts = append(g.texts, content.Text())
		return
	}
	parts := content.Get("parts")
	all := []jsonx.Value{parts}
	if parts.Kind() == jsonx.Array {
		all = all[:0]
		for _, p := range parts.Items() {
			all = append(all, p)
		}
	}
	var b strings.Builder
	for _, p := range all {
		for name, m := range p.Members() {
			if m.Exists() && string(name) != "text" {
				g.Unsupported(m.Path())
			}
		}
		b.WriteString(p.Get("text").Text())
	}
	g.texts = append(g.texts, b.String())
}

// knows refuses the members of v that nobody knows, and drops those that can not be
// said. A text that is too long is refused by a model of this protocol, which is what
// not to cut it asks for.
func (g *google) knows(v jsonx.Value, members map[string]bool) {
	for name, m := range v.Members() {
		said, known := members[string(name)]
		switch {
		case !m.Exists() || said:
		case known:
			g.Drop(m.Path())
		case string(name) == "autoTruncate" || string(name) == "auto_truncate":
			if cut, ok := m.Bool(); cut || !ok {
				g.Unsupported(m.Path())
			}
		default:
			g.Unsupported(m.Path())
		}
	}
}

// either returns a member by whichever of its spellings it has.
func either(v jsonx.Value, name, snake string) jsonx.Value {
	if m := v.Get(name); m.Exists() {
		return m
	}
	return v.Get(snake)
}

// toGoogle writes an answer with embeddings in Google's form, with the tokens of
// the prompts if the provider counted them.
func (w *whole) toGoogle(body []byte) ([]byte, error) {
	bad := func(why string) error { return provider.BadAnswer(http.StatusOK, body, errors.New(why)) }
	lists := make([][]byte, w.call.Request.Inputs)
	c := provider.Walk(body)
	for ok := c.Enter('{'); ok; {
		var key []byte
		if key, ok = c.Key(); !ok {
			break
		}
		if string(key) != "data" || !c.Enter('[') {
			c.Skip()
			continue
		}
		for n := int64(0); c.More(); n++ {
			index, v := n, []byte(nil)
			for in := c.Enter('{'); in; {
				if key, in = c.Key(); !in {
					break
				}
				switch string(key) {
				case "index":
					if i, ok := c.Int(); ok {
						index = i
					}
				case "embedding":
					v = c.Value()
				default:
					c.Skip()
				}
			}
			list, err := w.list(v, body)
			switch {
			case err != nil:
				return nil, err
			case index < 0 || index >= int64(len(lists)) || len(list) == 0 || list[0] != '[':
				return nil, bad("an embedding is no list of numbers")
			}
			lists[index] = list
		}
	}
	if slices.ContainsFunc(lists, func(v []byte) bool { return v == nil }) {
		return nil, bad("the answer has not one vector for each input")
	}
	var e provider.Encoding
	e.Open('{')
	if w.call.Request.Raw.Value("requests") == nil {
		e.Name("embedding")
		values(&e, lists[0])
	} else {
		e.Name("embeddings")
		e.Open('[')
		for _, v := range lists {
			e.Element()
			values(&e, v)
		}
		e.Close(']')
	}
	if n := w.usage.Input; n > 0 {
		e.Name("usageMetadata")
		e.Open('{')
		e.Int("promptTokenCount", n)
		e.Close('}')
	}
	e.Close('}')
	return e.Body, nil
}

func values(e *provider.Encoding, list []byte) {
	e.Open('{')
	e.Raw("values", list)
	e.Close('}')
}
