package token

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/llm"
)

// What a document can come to where nobody can look into it.
const (
	unknownPages = 100      // the most that Anthropic and OpenAI take in one document
	mostPages    = 1000     // that Google takes; more is refused by all
	maxInflated  = 64 << 20 // bytes of a document that are unpacked in search of its pages
	zipRatio     = 10       // how much longer the text of an office document is than its bytes
)

// Document adds what a document in base64, as it stands in JSON, comes to at most:
// a PDF by its pages, anything else by its text. An unknown media type is that of a
// PDF if the data begin like one.
func Document(s *llm.Size, mediaType string, data []byte) {
	s.Images++
	media, _, _ := strings.Cut(strings.ToLower(mediaType), ";")
	switch media = strings.TrimSpace(media); {
	case media == "application/pdf", bytes.HasPrefix(data, []byte("JVBERi")):
		s.Media += int64(len(data))
		s.Pages += pages(plain(data))
	case strings.HasPrefix(media, "text/"), media == "application/json", media == "application/xml":
		s.ASCII += int64(base64.StdEncoding.DecodedLen(len(data)))
	case media == "":
		s.Media += int64(len(data))
		s.Pages += unknownPages
	default:
		s.ASCII += int64(base64.StdEncoding.DecodedLen(len(data))) * zipRatio
	}
}

// Elsewhere adds what a document comes to at most that is named by its URL or by its
// id at the provider.
func Elsewhere(s *llm.Size) {
	s.Images++
	s.Pages += unknownPages
}

// Linked adds what a document comes to at most that stands in a data URL, or in bare
// base64, or is named by a URL; link is as it stands in JSON.
func Linked(s *llm.Size, link []byte) {
	rest, inline := bytes.CutPrefix(link, []byte("data:"))
	switch head, data, ok := bytes.Cut(rest, []byte{','}); {
	case inline && ok:
		media, _, _ := bytes.Cut(head, []byte{';'})
		Document(s, strings.ReplaceAll(string(media), `\/`, "/"), data)
	case bytes.HasPrefix(link, []byte("http")):
		Elsewhere(s)
	default:
		Document(s, "", link)
	}
}

// plain decodes base64 as far as it is some.
func plain(data []byte) []byte {
	if bytes.IndexByte(data, '\\') >= 0 {
		data = bytes.ReplaceAll(data, []byte(`\/`), []byte("/"))
		data = bytes.ReplaceAll(data, []byte(`\n`), nil)
		data = bytes.ReplaceAll(data, []byte(`\r`), nil)
	}
	data = bytes.TrimRight(data, "=")
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(data)))
	n, _ := base64.RawStdEncoding.Decode(out, data) // what is no base64 is for the provider to refuse
	return out[:n]
}

var (
	page    = regexp.MustCompile(`/Type\s*/Page[^s]`)
	count   = regexp.MustCompile(`/Count\s+(\d{1,6})`)
	objects = regexp.MustCompile(`/ObjStm[^\n]*?(?s:.{0,400}?)stream\r?\n`)
)

// pages returns how many pages a PDF has at most. Pages are counted where they
// stand, in streams of packed objects, too; where none is seen, as in one that is
// encrypted, the document's own count is taken, and else the most that providers
// take.
func pages(pdf []byte) int64 {
	n := int64(len(page.FindAllIndex(pdf, mostPages)))
	most := biggest(pdf)
	left := int64(maxInflated)
	for _, at := range objects.FindAllIndex(pdf, -1) {
		if left <= 0 || n >= mostPages {
			break
		}
		z, err := zlib.NewReader(bytes.NewReader(pdf[at[1]:]))
		if err != nil {
			continue
		}
		unpacked, _ := io.ReadAll(io.LimitReader(z, left)) // a part of it will do
		left -= int64(len(unpacked)) + 1
		n += int64(len(page.FindAllIndex(unpacked, mostPages)))
		most = max(most, biggest(unpacked))
	}
	switch {
	case n > 0:
		return min(n, mostPages)
	case most > 0:
		return min(most, mostPages)
	}
	return unknownPages
}

// biggest returns the biggest count in a piece of a PDF.
func biggest(pdf []byte) (most int64) {
	for _, m := range count.FindAllSubmatch(pdf, mostPages) {
		n, err := strconv.ParseInt(string(m[1]), 10, 64)
		if err == nil {
			most = max(most, n)
		}
	}
	return most
}
