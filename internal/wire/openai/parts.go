package openai

import (
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// parts takes over the content of a message. The members of parts that copies names
// are taken over elsewhere.
func (d *decoder) parts(content jsonx.Value, copies ...string) []llm.Part {
	switch content.Kind() {
	case jsonx.String:
		return []llm.Part{{Kind: llm.PartText, Text: content.Text()}}
	case jsonx.Array:
		out := make([]llm.Part, 0, content.Len())
		for _, v := range content.Items() {
			if p, ok := d.part(v, copies...); ok {
				p.Cache = cacheMark(v)
				out = append(out, p)
			}
		}
		return out
	}
	return nil
}

// part takes over one part, or keeps it as an extra.
func (d *decoder) part(v jsonx.Value, copies ...string) (llm.Part, bool) {
	kind := v.Get("type").Text()
	body := v.Get(kind)
	var p llm.Part
	switch kind {
	case "text":
		p = llm.Part{Kind: llm.PartText, Text: body.Text()}
	case "refusal":
		p = llm.Part{Kind: llm.PartRefusal, Text: body.Text()}
	case "image_url":
		p = llm.Part{Kind: llm.PartImage, Detail: body.Get("detail").Text()}
		p.URL, p.MediaType, p.Data = llm.SplitData(link(body))
		d.Extras(body, "url", "detail")
	case "input_audio":
		if body.Kind() != jsonx.Object {
			d.Extra(v)
			return p, false
		}
		p = llm.Part{Kind: llm.PartAudio, Data: body.Get("data").Text(), MediaType: audioType(body.Get("format").Text())}
		d.Extras(body, "data", "format")
	case "file":
		p = llm.Part{Kind: llm.PartFile, FileID: body.Get("file_id").Text(), Name: body.Get("filename").Text()}
		p.URL, p.MediaType, p.Data = llm.SplitData(body.Get("file_data").Text())
		d.Extras(body, "file_id", "filename", "file_data")
	case "document_url", "file_url":
		p = llm.Part{Kind: llm.PartFile}
		p.URL, p.MediaType, p.Data = llm.SplitData(link(body))
		d.Extras(body, "url")
	default:
		d.Extra(v)
		return p, false
	}
	d.Extras(v, append(copies[:len(copies):len(copies)], "type", kind, "cache_control", "prompt_cache_breakpoint")...)
	return p, true
}

// link returns a URL that stands alone or in {url}.
func link(v jsonx.Value) string {
	if v.Kind() == jsonx.Object {
		v = v.Get("url")
	}
	return v.Text()
}

// audioType is the media type of an audio format.
func audioType(format string) string {
	if format == "mp3" {
		return "audio/mpeg"
	}
	return "audio/" + format
}
