package gemini

import (
	"errors"
	"strconv"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// appendAnswer appends a whole answer but for its usage.
func appendAnswer(dst []byte, r *llm.Request, a *llm.Answer) ([]byte, error) {
	if len(a.Choices) == 0 {
		return dst, errors.New("answer without choices")
	}
	thoughts := wantsThoughts(r)
	dst = append(dst, `{"candidates":[`...)
	for i := range a.Choices {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendCandidate(dst, i, &a.Choices[i], thoughts); err != nil {
			return dst, err
		}
	}
	dst = append(dst, "],"...)
	return append(appendHead(dst, r.Model, newID()), '}'), nil
}

// appendCandidate appends one candidate.
func appendCandidate(dst []byte, index int, c *llm.Choice, thoughts bool) ([]byte, error) {
	w := partWriter{thoughts: thoughts}
	for i := range c.Parts {
		if err := w.add(&c.Parts[i]); err != nil {
			return dst, err
		}
	}
	reason, err := finishReason(c.Finish, w.refused)
	if err != nil {
		return dst, err
	}
	dst = append(dst, `{"content":{"parts":[`...)
	if w.parts == nil {
		w.parts = append(w.parts, `{"text":""}`...)
	}
	dst = append(append(dst, w.parts...), `],"role":"model"},"finishReason":"`...)
	dst = append(append(dst, reason...), `","index":`...)
	dst = strconv.AppendInt(dst, int64(index), 10)
	return append(appendSources(dst, w.sources), '}'), nil
}

// wantsThoughts reports whether the caller asked to see the model's thoughts. Who
// says nothing of it does not see them.
func wantsThoughts(r *llm.Request) bool {
	doc, err := jsonx.Parse(r.Raw.Body)
	if err != nil {
		return false
	}
	on, _ := get(get(get(doc.Root(), "generationConfig"), "thinkingConfig"), "includeThoughts").Bool()
	return on
}

// partWriter writes the parts of one candidate.
type partWriter struct {
	thoughts bool   // they are told
	refused  bool   // there was a refusal
	parts    []byte // JSON elements with commas between them
	sources  []byte // the same, of groundingChunks
}

// open begins a part.
func (w *partWriter) open() {
	if len(w.parts) > 0 {
		w.parts = append(w.parts, ',')
	}
	w.parts = append(w.parts, '{')
}

// text writes a text, or a thought.
func (w *partWriter) text(text, signature string, thought bool) {
	w.open()
	w.parts = jsonx.AppendString(append(w.parts, `"text":`...), text)
	if thought {
		w.parts = append(w.parts, `,"thought":true`...)
	}
	w.close(signature)
}

// close ends a part, with the state that belongs to it.
func (w *partWriter) close(signature string) {
	if signature != "" {
		w.parts = jsonx.AppendString(append(w.parts, `,"thoughtSignature":`...), carried(signatureMark, signature))
	}
	w.parts = append(w.parts, '}')
}

// add writes one part of an answer.
func (w *partWriter) add(p *llm.Part) error {
	switch p.Kind {
	case llm.PartText, llm.PartRefusal:
		w.refused = w.refused || p.Kind == llm.PartRefusal
		if p.Text != "" || p.Signature != "" {
			w.text(p.Text, p.Signature, false)
		}
		w.cite(p.Citations)
	case llm.PartReasoning:
		if w.thoughts && (p.Text != "" || p.Signature != "") {
			w.text(p.Text, p.Signature, true)
		}
	case llm.PartRedacted:
		w.redacted(p.Data)
	case llm.PartImage:
		w.image(p, p.Signature)
	case llm.PartToolCall:
		w.call(p.ToolID, p.ToolName, p.Args, p.Signature)
	default:
		return errors.New("answer holds media that are no images")
	}
	return nil
}

// image writes an image that the model made: inline, as it came, or where it is.
func (w *partWriter) image(p *llm.Part, signature string) {
	w.open()
	if p.Data != "" {
		w.parts = jsonx.AppendString(append(w.parts, `"inlineData":{"mimeType":`...), p.MediaType)
		w.parts = jsonx.AppendString(append(w.parts, `,"data":`...), p.Data)
	} else {
		w.parts = append(w.parts, `"fileData":{`...)
		if p.MediaType != "" {
			w.parts = append(jsonx.AppendString(append(w.parts, `"mimeType":`...), p.MediaType), ',')
		}
		w.parts = jsonx.AppendString(append(w.parts, `"fileUri":`...), p.URL)
	}
	w.parts = append(w.parts, '}')
	w.close(signature)
}

// redacted writes a thought that only its provider can read.
func (w *partWriter) redacted(data string) {
	if !w.thoughts {
		return
	}
	w.open()
	w.parts = append(w.parts, `"text":"","thought":true,"thoughtSignature":`...)
	w.parts = append(jsonx.AppendString(w.parts, carried(redactedMark, data)), '}')
}

// call writes a function call.
func (w *partWriter) call(id, name string, args []byte, signature string) {
	w.open()
	w.parts = append(w.parts, `"functionCall":{`...)
	if id != "" {
		w.parts = append(jsonx.AppendString(append(w.parts, `"id":`...), id), ',')
	}
	w.parts = jsonx.AppendString(append(w.parts, `"name":`...), name)
	w.parts = jsonx.AppendObject(append(w.parts, `,"args":`...), args)
	w.parts = append(w.parts, '}')
	w.close(signature)
}

// cite notes sources. Annotations that name no address are left out.
func (w *partWriter) cite(citations []byte) {
	if len(citations) == 0 {
		return
	}
	doc, err := jsonx.Parse(citations)
	if err != nil {
		return
	}
	for _, c := range list(doc.Root()) {
		if in := c.Get("url_citation"); in.Exists() {
			c = in
		}
		uri := c.Get("url").Text()
		if uri == "" {
			continue
		}
		if len(w.sources) > 0 {
			w.sources = append(w.sources, ',')
		}
		w.sources = jsonx.AppendString(append(w.sources, `{"web":{"uri":`...), uri)
		if title := c.Get("title").Text(); title != "" {
			w.sources = jsonx.AppendString(append(w.sources, `,"title":`...), title)
		}
		w.sources = append(w.sources, `}}`...)
	}
}

// appendSources appends the member groundingMetadata, if there are any sources.
func appendSources(dst, sources []byte) []byte {
	if len(sources) == 0 {
		return dst
	}
	dst = append(dst, `,"groundingMetadata":{"groundingChunks":[`...)
	return append(append(dst, sources...), `]}`...)
}
