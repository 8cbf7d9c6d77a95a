package token

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"io"
	"iter"
	"strings"

	"github.com/pontage/pontage/internal/llm"
)

// What a document can come to where nobody can look into it.
const (
	unknownPages = 100     // the most that Anthropic and OpenAI take in one document
	mostPages    = 1000    // that Google takes; more is refused by all
	unpackRatio  = 8       // how much longer than the document what is unpacked in search of its pages gets
	maxObjects   = 10_000  // streams of packed objects that are looked into
	maxWords     = 1 << 20 // of a kind that are looked at
	maxWord      = 32      // bytes of a name, with the spaces before it
	maxHead      = 512     // bytes between what a stream is and where it begins
	zipRatio     = 10      // how much longer the text of an office document is than its bytes
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

// pages returns how many pages a PDF has at most. Pages are counted where they
// stand, in streams of packed objects, too; where none is seen, as in one that is
// encrypted, the document's own count is taken, and else the most that providers
// take, as where unpacking it would go too far.
func pages(pdf []byte) int64 {
	n, most := leaves(pdf), biggest(pdf)
	left, rest := int64(len(pdf))*unpackRatio, pdf
	for range maxObjects {
		var found bool
		if _, rest, found = bytes.Cut(rest, []byte("/ObjStm")); !found || n >= mostPages {
			break
		}
		head := rest[:min(len(rest), maxHead)]
		at := bytes.Index(head, []byte("stream"))
		if at < 0 {
			continue
		}
		data := bytes.TrimPrefix(rest[at+len("stream"):], []byte("\r"))
		z, err := zlib.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\n"))))
		if err != nil {
			continue
		}
		unpacked, _ := io.ReadAll(io.LimitReader(z, left)) // a part of it will do
		n += leaves(unpacked)
		most = max(most, biggest(unpacked))
		if left -= int64(len(unpacked)); left <= 0 {
			n = max(n, unknownPages)
			break
		}
	}
	switch {
	case n > 0:
		return min(n, mostPages)
	case most > 0:
		return min(most, mostPages)
	}
	return unknownPages
}

// after yields what follows each word of a piece of a PDF, but for spaces.
func after(pdf []byte, word string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for range maxWords {
			var found bool
			if _, pdf, found = bytes.Cut(pdf, []byte(word)); !found {
				return
			}
			if !yield(bytes.TrimLeft(pdf[:min(len(pdf), maxWord)], " \t\r\n")) {
				return
			}
		}
	}
}

// leaves counts the objects that are pages, and not sets of them.
func leaves(pdf []byte) (n int64) {
	for rest := range after(pdf, "/Type") {
		if rest, ok := bytes.CutPrefix(rest, []byte("/Page")); ok && !bytes.HasPrefix(rest, []byte("s")) {
			if n++; n >= mostPages {
				break
			}
		}
	}
	return n
}

// biggest returns the biggest count in a piece of a PDF.
func biggest(pdf []byte) (most int64) {
	for rest := range after(pdf, "/Count") {
		n := int64(0)
		for i := 0; i < len(rest) && rest[i] >= '0' && rest[i] <= '9' && n < mostPages; i++ {
			n = n*10 + int64(rest[i]-'0')
		}
		most = max(most, n)
	}
	return most
}
