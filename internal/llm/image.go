package llm

import "strings"

// TellsImage reports whether an answer of the dialect has a place for an image that
// the model made: inline, or where it is if that is all that is known.
func (d Dialect) TellsImage(p *Part) bool {
	switch d {
	case OpenAIChat, Simple, GeminiGenerate:
		return p.Data != "" && p.MediaType != "" || p.URL != ""
	case OpenAIResponses:
		return p.Data != "" && p.MediaType != ""
	}
	return false
}

// begins tells media types by how their base64 begins.
var begins = []struct{ base64, media string }{
	{"/9j/", "image/jpeg"},
	{"iVBOR", "image/png"},
	{"R0lGOD", "image/gif"},
	{"UklGR", "image/webp"},
	{"JVBERi", "application/pdf"},
}

// MediaTypeOf returns the media type of an image or a document in base64 by how it
// begins; empty: it is not known.
func MediaTypeOf(base64 string) string {
	for _, b := range begins {
		if strings.HasPrefix(base64, b.base64) {
			return b.media
		}
	}
	return ""
}

// SplitData takes a data URL apart. What is none, or not in base64, is a plain URL;
// bare base64 is data of an unknown type.
func SplitData(s string) (url, mediaType, data string) {
	rest, ok := strings.CutPrefix(s, "data:")
	if !ok {
		if strings.Contains(s, "://") || s == "" {
			return s, "", ""
		}
		return "", "", s
	}
	head, body, ok := strings.Cut(rest, ",")
	mediaType, isBase64 := strings.CutSuffix(head, ";base64")
	if !ok || !isBase64 {
		return s, "", ""
	}
	return "", mediaType, body
}
