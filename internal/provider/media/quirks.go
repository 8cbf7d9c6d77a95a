package media

import (
	"bytes"
	"io"
	"mime/multipart"
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// quirk is a row of the table of those who take requests otherwise than OpenAI.
// The zero value is who does not.
type quirk struct {
	soundInJSON bool     // sound to hear stands in JSON, in base64, and not in a form
	editsInJSON bool     // images to edit stand in JSON, each by its url, and not in a form
	transcripts []string // the forms of a transcript that it has; nil: all. It is not asked for one by name
	packed      string   // what it calls images in base64; empty: b64_json
}

// quirks are those of families; see provider.Classify. Sources: recorded traffic,
// and the documentation of OpenRouter (speech to text), Mistral (audio), xAI
// (images) and Together (images).
var quirks = map[string]quirk{
	"openrouter": {soundInJSON: true, transcripts: []string{"json", "text"}},
	"mistral":    {transcripts: []string{"json", "text", "verbose_json"}},
	"xai":        {editsInJSON: true},
	"together":   {packed: "base64"},
}

// check refuses what the provider is known not to do.
func (p *Provider) check(r *llm.Request) error {
	if paths[r.Dialect] == "" {
		return fault.New(fault.UnsupportedParameter, "This model does not do that here.").At("model")
	}
	if p.quirk.transcripts != nil && r.Task == llm.TaskTranscribe {
		if f := setting(r, "response_format"); f != "" && !slices.Contains(p.quirk.transcripts, f) {
			return fault.New(fault.UnsupportedParameter, "This model gives transcripts as %s.", strings.Join(p.quirk.transcripts, ", ")).At("response_format")
		}
	}
	return nil
}

// setting returns a text of the request, of JSON or of a form; empty: there is
// none.
func setting(r *llm.Request, name string) string {
	if r.Media == "" {
		doc, err := jsonx.Parse(r.Raw.Value(name))
		if err != nil {
			return ""
		}
		return doc.Root().Text()
	}
	text := ""
	_ = eachPart(r, func(p *multipart.Part) error {
		if text != "" || p.FormName() != name || p.FileName() != "" {
			return nil
		}
		data, err := io.ReadAll(p) // of a body that is in memory
		text = string(data)
		return err
	})
	return text
}

// unasked is the setting that the provider is not asked for by name; empty: none.
func (p *Provider) unasked(r *llm.Request) string {
	if p.quirk.transcripts != nil && r.Task == llm.TaskTranscribe {
		return "response_format"
	}
	return ""
}

// outgoing returns the body of a request as the provider takes it, with its own
// name of the model, and the content type; empty: JSON. Its error is a
// *fault.Error.
func (p *Provider) outgoing(r *llm.Request, model string) (body []byte, media string, err error) {
	edit := r.Dialect == llm.OpenAIImageEdits
	switch {
	case r.Task == llm.TaskTranscribe && r.Media == "" && !p.quirk.soundInJSON:
		return soundForm(r, model, p.unasked(r))
	case r.Task == llm.TaskTranscribe && r.Media != "" && p.quirk.soundInJSON:
		body, err = soundJSON(r, model, p.unasked(r))
		return body, "", err
	case edit && r.Media != "" && p.quirk.editsInJSON:
		body, err = editJSON(r, model)
		return body, "", err
	case r.Media != "":
		body, err = renameInForm(r, model, p.unasked(r))
		return body, r.Media, err
	}
	edits, err := p.edits(r, model)
	if err != nil || len(edits) == 0 {
		return r.Raw.Body, "", err
	}
	return r.Raw.Splice(edits...), "", nil
}

// edits are what changes in a request of JSON.
func (p *Provider) edits(r *llm.Request, model string) (edits []llm.Edit, err error) {
	if r.Raw.Value("model") != nil || model != r.Model { // else the provider has the same default
		edits = append(edits, llm.Edit{Name: "model", Value: jsonx.AppendString(nil, model)})
	}
	if p.quirk.packed != "" && r.Task == llm.TaskImage && string(r.Raw.Value("response_format")) == `"b64_json"` {
		edits = append(edits, llm.Edit{Name: "response_format", Value: jsonx.AppendString(nil, p.quirk.packed)})
	}
	if name := p.unasked(r); name != "" && r.Raw.Value(name) != nil {
		edits = append(edits, llm.Edit{Name: name})
	}
	if r.Dialect == llm.OpenAIImageEdits {
		return p.imageEdits(edits, r)
	}
	return edits, nil
}

// imageEdits names the images of an edit as the provider does. Some have a single
// image where OpenAI has a list.
func (p *Provider) imageEdits(edits []llm.Edit, r *llm.Request) ([]llm.Edit, error) {
	lone := r.Raw.Value("image") != nil && r.Raw.Value("images") == nil && !p.quirk.editsInJSON
	for _, name := range []string{"image", "images", "mask"} {
		v := r.Raw.Value(name)
		if v == nil {
			continue
		}
		doc, err := jsonx.Parse(v)
		if err != nil {
			return nil, fault.From(err)
		}
		root := doc.Root()
		list := root.Kind() == jsonx.Array
		var images [][]byte
		for _, x := range root.Items() {
			images = append(images, p.image(x))
		}
		if !list {
			images = append(images, p.image(root))
		}
		switch {
		case lone && name == "image":
			edits = append(edits, llm.Edit{Name: "image"}, llm.Edit{Name: "images", Value: array(images)})
		case list:
			edits = append(edits, llm.Edit{Name: name, Value: array(images)})
		default:
			edits = append(edits, llm.Edit{Name: name, Value: images[0]})
		}
	}
	return edits, nil
}

// image returns an image of an edit in the provider's words.
func (p *Provider) image(x jsonx.Value) []byte {
	switch theirs, ours := x.Get("url"), x.Get("image_url"); {
	case p.quirk.editsInJSON && ours.Kind() == jsonx.String && !theirs.Exists():
		return append(append([]byte(`{"type":"image_url","url":`), ours.Raw()...), '}')
	case !p.quirk.editsInJSON && theirs.Kind() == jsonx.String && !ours.Exists():
		return append(append([]byte(`{"image_url":`), theirs.Raw()...), '}')
	}
	return x.Raw()
}

// array returns a JSON array.
func array(elements [][]byte) []byte {
	return append(append([]byte{'['}, bytes.Join(elements, []byte{','})...), ']')
}
