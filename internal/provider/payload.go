package provider

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/pontage/pontage/internal/llm"
)

// payload is the body of a request on its way out. A transport may come back to
// it after the exchange has ended: to the rest of it, when the answer came
// early. By then the bytes may be somebody else's, and so they can be taken out
// of its reach.
type payload struct {
	size int
	own  []byte // the body, if it is never used again

	mu   sync.Mutex
	body []byte // else; nil: withdrawn
}

var errWithdrawn = errors.New("the exchange has ended before the request was written")

func newPayload(body []byte) *payload {
	if len(body) <= llm.OwnBody {
		return &payload{own: body}
	}
	return &payload{size: len(body), body: body}
}

// withdraw returns when nobody reads the bytes any more, and nobody will. It
// waits for a write under way, which the end of the connection ends.
func (p *payload) withdraw() {
	p.mu.Lock()
	p.body = nil
	p.mu.Unlock()
}

// reader returns a reader of the whole payload. If its type is one that net/http
// knows to be in memory, the headers and a small body leave in one packet.
func (p *payload) reader() io.ReadCloser {
	if p.own != nil {
		return io.NopCloser(bytes.NewReader(p.own))
	}
	return &payloadReader{payload: p}
}

type payloadReader struct {
	*payload
	at int
}

// Read is that of io.Reader. It fails once the payload is withdrawn, but for a
// reader that was at its end.
func (r *payloadReader) Read(p []byte) (int, error) {
	if r.at == r.size {
		return 0, io.EOF
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body == nil {
		return 0, errWithdrawn
	}
	n := copy(p, r.body[r.at:])
	r.at += n
	return n, nil
}

// WriteTo writes what is left in one go.
func (r *payloadReader) WriteTo(w io.Writer) (int64, error) {
	if r.at == r.size {
		return 0, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body == nil {
		return 0, errWithdrawn
	}
	n, err := w.Write(r.body[r.at:])
	r.at += n
	return int64(n), err
}

// Close is that of io.Closer.
func (r *payloadReader) Close() error { return nil }

// conn is a connection that takes a payload in one write. net/http would copy
// it in pieces, through a buffer that it makes each time. Where TLS stands
// between, it still does.
type conn struct{ *net.TCPConn }

// ReadFrom is that of io.ReaderFrom.
func (c conn) ReadFrom(r io.Reader) (int64, error) {
	if l, ok := r.(*io.LimitedReader); ok {
		if p, ok := l.R.(*payloadReader); ok && int64(p.size-p.at) <= l.N {
			n, err := p.WriteTo(c.TCPConn)
			l.N -= n
			return n, err
		}
	}
	return c.TCPConn.ReadFrom(r)
}
