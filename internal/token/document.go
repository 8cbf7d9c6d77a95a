package token

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

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
	maxSeen      = len("/Count") + maxWord
	unpackPiece  = 64 << 10 // bytes that are unpacked at once
	maxHead      = 512      // bytes between what a stream is and where it begins
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
		pdf, ok := plain(data)
		n := pages(pdf)
		if !ok {
			n = max(n, unknownPages)
		}
		s.Pages += n
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

// plain decodes base64, with either alphabet, as far as it is some. ok: all of it is.
func plain(data []byte) (out []byte, ok bool) {
	if bytes.IndexByte(data, '\\') >= 0 {
		data, _ = jsontext.AppendUnquote(nil, slices.Concat([]byte{'"'}, data, []byte{'"'})) // it stood in JSON
	}
	enc := base64.RawStdEncoding
	if bytes.ContainsAny(data, "-_") {
		enc = base64.RawURLEncoding
	}
	data = bytes.TrimRight(data, "=")
	out = make([]byte, enc.DecodedLen(len(data)))
	n, err := enc.Decode(out, data) // what is no base64 is for the provider to refuse
	return out[:n], err == nil
}

// pages returns how many pages a PDF has at most. Pages are counted where they
// stand, in streams of packed objects, too; where none is seen, as in one that is
// encrypted, the document's own count is taken, and else the most that providers
// take, as where unpacking it would go too far.
func pages(pdf []byte) int64 {
	var seen sight
	seen.look(pdf, len(pdf))
	u := unpacker{left: int64(len(pdf)) * unpackRatio, unread: int64(len(pdf))}
	rest := pdf
	for range maxObjects {
		var found bool
		if _, rest, found = bytes.Cut(rest, []byte("/ObjStm")); !found || seen.leaves >= mostPages {
			break
		}
		head := rest[:min(len(rest), maxHead)]
		at := bytes.Index(head, []byte("stream"))
		if at < 0 {
			continue
		}
		data := bytes.TrimPrefix(rest[at+len("stream"):], []byte("\r"))
		if u.unpack(bytes.TrimPrefix(data, []byte("\n")), &seen); u.left <= 0 || u.unread <= 0 {
			seen.leaves = max(seen.leaves, unknownPages)
			break
		}
	}
	switch {
	case seen.leaves > 0:
		return min(seen.leaves, mostPages)
	case seen.biggest > 0:
		return min(seen.biggest, mostPages)
	}
	return unknownPages
}

// unpacker unpacks streams of a PDF, a piece at a time.
type unpacker struct {
	left   int64 // bytes that it may still write
	unread int64 // and read: as many as the document has, so that none is read often
	z      io.ReadCloser
	buf    []byte
}

// unpack looks into what data begin with, if that is packed.
func (u *unpacker) unpack(data []byte, seen *sight) {
	in := bytes.NewReader(data[:min(int64(len(data)), u.unread)])
	size := in.Len()
	defer func() { u.unread -= int64(size - in.Len()) }()
	var err error
	if u.z == nil {
		u.z, err = zlib.NewReader(in)
		u.buf = make([]byte, unpackPiece)
	} else {
		err = u.z.(zlib.Resetter).Reset(in, nil)
	}
	for kept := 0; err == nil && u.left > 0; {
		var n int
		n, err = io.ReadFull(u.z, u.buf[kept:min(int64(len(u.buf)), int64(kept)+u.left)])
		piece := u.buf[:kept+n]
		end := len(piece)
		if u.left -= int64(n); err == nil && u.left > 0 {
			end -= maxSeen
		}
		seen.look(piece, end)
		kept = copy(u.buf, piece[end:])
	}
}

// sight is what was seen of the pages of a PDF.
type sight struct {
	leaves  int64 // objects that are pages, and not sets of them
	biggest int64 // count
}

// look adds what begins in the first end bytes of a piece.
func (s *sight) look(piece []byte, end int) {
	for rest := range after(piece, end, "/Type") {
		if rest, ok := bytes.CutPrefix(rest, []byte("/Page")); ok && !bytes.HasPrefix(rest, []byte("s")) {
			if s.leaves++; s.leaves >= mostPages {
				break
			}
		}
	}
	for rest := range after(piece, end, "/Count") {
		n := int64(0)
		for i := 0; i < len(rest) && rest[i] >= '0' && rest[i] <= '9' && n < mostPages; i++ {
			n = n*10 + int64(rest[i]-'0')
		}
		s.biggest = max(s.biggest, n)
	}
}

// after yields what follows each word that begins in the first end bytes of a piece,
// but for spaces.
func after(piece []byte, end int, word string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		at := 0
		for range maxWords {
			i := bytes.Index(piece[at:], []byte(word))
			if i < 0 || at+i >= end {
				return
			}
			at += i + len(word)
			if !yield(bytes.TrimLeft(piece[at:min(len(piece), at+maxWord)], " \t\r\n")) {
				return
			}
		}
	}
}
