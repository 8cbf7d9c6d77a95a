package wire

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/bits"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// checkMedia refuses a body that is not what is wanted, by its headers.
func checkMedia(h http.Header, want Body) *fault.Error {
	boundary, form := boundaryOf(h)
	switch {
	case form && want == JSON, !form && want == Form:
		return notMedia(want)
	case form && boundary == "":
		return fault.New(fault.UnsupportedMediaType, "Content-Type must name the boundary of the form.").At("Content-Type")
	case !form:
		ct := h.Get("Content-Type")
		if ct == "" || ct == jsonMedia {
			break
		}
		media, params, err := mime.ParseMediaType(ct)
		if err != nil || (media != jsonMedia && !strings.HasSuffix(media, "+json")) {
			return notMedia(want)
		}
		if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") && !strings.EqualFold(cs, "utf8") {
			return fault.New(fault.UnsupportedMediaType, "The charset must be utf-8.").At("Content-Type")
		}
	}
	switch enc := strings.ToLower(h.Get("Content-Encoding")); enc {
	case "", "identity", "gzip":
		return nil
	default:
		return fault.New(fault.UnsupportedMediaType, "Content-Encoding must be identity or gzip.").At("Content-Encoding")
	}
}

// notMedia is the fault of another content type than what is wanted.
func notMedia(want Body) *fault.Error {
	return fault.NotMedia([...]string{JSON: jsonMedia, Form: formMedia, Either: jsonMedia + " or " + formMedia}[want])
}

const formMedia = "multipart/form-data"

// IsForm reports whether the headers say that the body is a form.
func IsForm(h http.Header) bool {
	_, is := boundaryOf(h)
	return is
}

// boundaryOf returns what stands between the parts of a form, and whether the body
// is one. What cannot be is not parsed.
func boundaryOf(h http.Header) (boundary string, is bool) {
	ct := h.Get("Content-Type")
	if len(ct) < len(formMedia) || !strings.EqualFold(ct[:len(formMedia)], formMedia) {
		return "", false
	}
	media, params, err := mime.ParseMediaType(ct)
	return params["boundary"], err == nil && media == formMedia
}

// readBody reads a request's body within limit bytes and timeout, undoing gzip
// within the same limit. It returns BodyTooLarge, RequestTimeout,
// UnsupportedMediaType or, for a body that breaks off, InvalidRequest. The body
// may be handed to giveBack.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, timeout time.Duration) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, fault.TooLarge(limit)
	}
	rc := http.NewResponseController(w)
	if timeout > 0 {
		if err := rc.SetReadDeadline(time.Now().Add(timeout)); err != nil {
			return nil, fault.Wrap(fault.Internal, err)
		}
	}
	var src io.Reader = http.MaxBytesReader(w, r.Body, limit)
	zipped := strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip")
	size := r.ContentLength
	if zipped {
		zr, err := gzip.NewReader(src)
		if err != nil {
			return nil, bodyFault(err, limit, true)
		}
		src, size = io.LimitReader(zr, limit+1), -1
	}
	body, err := readAll(src, size)
	if err != nil {
		return nil, bodyFault(err, limit, zipped)
	}
	if int64(len(body)) > limit {
		return nil, fault.TooLarge(limit)
	}
	if timeout > 0 {
		// From here on the deadline would only look like a client that left.
		if err := rc.SetReadDeadline(time.Time{}); err != nil {
			return nil, fault.Wrap(fault.Internal, err)
		}
	}
	return body, nil
}

// readAll reads everything, in one piece if the size is known.
func readAll(src io.Reader, size int64) ([]byte, error) {
	if size < 0 {
		var b bytes.Buffer
		_, err := b.ReadFrom(src)
		return b.Bytes(), err
	}
	body := takeBuffer(int(size))
	n, err := io.ReadFull(src, body)
	if err == io.EOF && size == 0 {
		err = nil
	}
	return body[:n], err
}

// buffers holds the buffers of bodies, to be used again, by the binary logarithm
// of their size: a large body is most of what its request allocates, and what
// wakes the collector. No body gets a much larger buffer than it needs, which it
// might keep as long as a stream lasts.
var buffers [maxBufferLog + 1]sync.Pool // of *[]byte

// Bodies of other sizes are left to the collector.
const (
	minBuffer    = llm.OwnBody + 1
	maxBuffer    = 1 << maxBufferLog
	maxBufferLog = 20
)

// takeBuffer returns size bytes, for giveBack.
func takeBuffer(size int) []byte {
	if size < minBuffer || size > maxBuffer {
		return make([]byte, size)
	}
	log := bits.Len(uint(size - 1))
	if p, _ := buffers[log].Get().(*[]byte); p != nil {
		return (*p)[:size]
	}
	return make([]byte, size, 1<<log)
}

// giveBack lets another request have a body's buffer. Nothing may refer to the
// body any more: see llm.Request. It is wiped, since the other request may be
// another customer's.
func giveBack(body []byte) {
	size := cap(body)
	if len(body) < minBuffer || size > maxBuffer || size&(size-1) != 0 {
		return // not one of takeBuffer's
	}
	body = body[:size]
	clear(body)
	buffers[bits.Len(uint(size-1))].Put(&body)
}

func bodyFault(err error, limit int64, zipped bool) *fault.Error {
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return fault.TooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.Wrap(fault.RequestTimeout, err)
	case zipped && (errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum)):
		return fault.New(fault.InvalidRequest, "The request body is not valid gzip.")
	}
	return &fault.Error{Code: fault.InvalidRequest, Message: "The request body broke off.", Cause: err}
}
