package bedrock

import (
	"encoding/base64"
	"fmt"
	"path"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// kind is a kind of media: what it is called in the protocol and to a caller, and
// the formats that are taken by their types.
type kind struct {
	name, called string
	formats      map[string]string
	begins       map[string]string // base64 of how the bytes of a format begin
}

var (
	images = kind{
		name: "image", called: "images as JPEG, PNG, GIF or WebP",
		formats: map[string]string{"image/jpeg": "jpeg", "image/jpg": "jpeg", "image/png": "png", "image/gif": "gif", "image/webp": "webp"},
		begins:  map[string]string{"/9j/": "jpeg", "iVBOR": "png", "R0lGOD": "gif", "UklGR": "webp"},
	}
	documents = kind{
		name: "document", called: "documents as PDF, text, Markdown, HTML, CSV, Word or Excel",
		formats: map[string]string{
			"application/pdf": "pdf", "text/plain": "txt", "text/markdown": "md", "text/html": "html", "text/csv": "csv",
			"application/msword": "doc", "application/vnd.ms-excel": "xls",
			"application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
			"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":       "xlsx",
		},
		begins: map[string]string{"JVBERi": "pdf"},
	}
	sounds = kind{
		name: "audio", called: "audio as WAV, MP3, FLAC, Ogg, Opus, AAC or M4A",
		formats: map[string]string{
			"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3", "audio/flac": "flac",
			"audio/ogg": "ogg", "audio/opus": "opus", "audio/aac": "aac", "audio/mp4": "m4a", "audio/m4a": "m4a", "audio/x-m4a": "m4a",
		},
	}
	videos = kind{
		name: "video", called: "video as MP4, QuickTime, Matroska, WebM, FLV, MPEG, WMV or 3GP",
		formats: map[string]string{
			"video/mp4": "mp4", "video/quicktime": "mov", "video/mov": "mov", "video/x-matroska": "mkv", "video/webm": "webm", "video/x-flv": "flv",
			"video/mpeg": "mpeg", "video/mpg": "mpg", "video/x-ms-wmv": "wmv", "video/wmv": "wmv", "video/3gpp": "three_gp",
		},
	}
)

// kindOf returns the kind of a part that holds media.
func kindOf(p *llm.Part) kind {
	switch p.Kind {
	case llm.PartImage:
		return images
	case llm.PartAudio:
		return sounds
	case llm.PartVideo:
		return videos
	}
	return documents
}

// format returns the format of a part's bytes, or nothing if it is not taken.
func (k kind) format(p *llm.Part) string {
	media, _, _ := strings.Cut(strings.ToLower(p.MediaType), ";")
	media = strings.TrimSpace(media)
	if f, ok := k.formats[media]; ok {
		return f
	}
	if media != "" && media != "application/octet-stream" {
		return ""
	}
	for begin, f := range k.begins {
		if strings.HasPrefix(p.Data, begin) {
			return f
		}
	}
	return ""
}

// medium writes an image, a document, a sound or a video, which must be there in
// bytes. An address in S3 would be read with the operator's rights, and not with
// the caller's, so it is refused like all others.
func (e *encoder) medium(at string, p *llm.Part) {
	if p.Detail != "" && p.Detail != "auto" {
		e.Drop(at + ".image_url.detail")
	}
	k := kindOf(p)
	data, format := p.Data, k.format(p)
	if p.Text != "" && p.Kind == llm.PartFile {
		data, format = base64.StdEncoding.EncodeToString([]byte(p.Text)), "txt"
	}
	switch {
	case data != "" && format != "":
	case e.traits.urls && byURL(p):
	case p.URL != "":
		e.Refuse(fault.UnsupportedParameter, at, "This model takes no %ss by URL; send the bytes as a data URL.", k.name)
	case p.Kind == llm.PartImage:
		e.Refuse(fault.UnsupportedParameter, at, "This model takes %s, in bytes.", k.called)
	default:
		e.Refuse(fault.InputModalityUnsupported, at, "This model takes %s, in bytes.", k.called)
	}
	e.Name(k.name)
	e.Open('{')
	e.Text("format", format)
	if p.Kind == llm.PartFile {
		e.Text("name", e.docName(p.Name))
	}
	e.Name("source")
	e.Open('{')
	e.Text("bytes", data)
	e.Close('}')
	e.Close('}')
}

// maxDocName is the longest name that a document may have.
const maxDocName = 200

// docName returns a name for a document that the protocol takes and no other
// document of the request has: letters, digits, hyphens, brackets and single
// spaces. The model reads it, so one that says nothing stands where there is none.
func (e *encoder) docName(name string) string {
	name = strings.TrimSuffix(name, path.Ext(name))
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-()[]", r):
			return r
		}
		return ' '
	}, name)
	name = strings.Join(strings.Fields(name), " ")
	if len(name) > maxDocName-8 { // so that a number fits behind it
		name = strings.TrimSpace(name[:maxDocName-8])
	}
	if name == "" {
		name = "Document"
	}
	own := name
	for n := 2; e.names[own]; n++ {
		own = fmt.Sprintf("%s %d", name, n)
	}
	e.names[own] = true
	return own
}
