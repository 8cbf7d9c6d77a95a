package wire

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pontage/pontage/internal/fault"
)

// A request with both Content-Length and Transfer-Encoding has two bounds, and
// whoever stands in front of us may have taken the other one: what we take for
// the next request was then hidden in a body. net/http takes one of them and
// says nothing, so the connection itself is watched; see RFC 9112 §6.1.
//
// It also takes away the space around a header's value, as it must by RFC 9110
// §5.5. Contracts that take a key as it stands are to know of that space, so the
// watch keeps it.

// Bounded returns l with connections that notice requests with two bounds, know
// the space around the key of the newest one, and the listener that they came by;
// see [Site]. A server must also have [ConnContext] and [Server.RefuseTwoBounds].
func Bounded(l net.Listener, name string) net.Listener { return boundedListener{l, name} }

// HeadTimeout is how long the head of a request may take from its first bytes on.
// A server must have it as its ReadHeaderTimeout.
const HeadTimeout = 10 * time.Second

type boundedListener struct {
	net.Listener
	name string
}

func (l boundedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &boundedConn{Conn: c, listener: l.name}, nil
}

// boundedConn looks at what is read. Reads follow one another, in whatever
// goroutine.
type boundedConn struct {
	net.Conn
	listener string
	heads    heads
	doubtful atomic.Bool
	begun    bool                   // something was read
	spaced   atomic.Pointer[string] // as heads.spaced; nil: none
}

func (c *boundedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	if !c.begun {
		// net/http counts from the first bytes as well, but for the first request:
		// there it counts from the connection, and if that has run out between the
		// few bytes that tell HTTP/2 and the others, takes those few for a request
		// and answers that it is malformed.
		c.begun = true
		_ = c.SetReadDeadline(time.Now().Add(HeadTimeout)) // else the earlier one stands
	}
	if c.heads.feed(p[:n]) {
		c.doubtful.Store(true)
	}
	switch spaced := c.heads.spaced; {
	case spaced != "":
		c.spaced.Store(&spaced)
	case c.spaced.Load() != nil:
		c.spaced.Store(nil)
	}
	return n, err
}

// CloseWrite is what net/http asks a connection for, so that a last answer gets
// through.
func (c *boundedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

type connKey struct{}

// ConnContext makes the connection known to its requests, for http.Server.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// RefuseTwoBounds returns a handler that refuses requests with two bounds, and
// ends their connection.
func (s *Server) RefuseTwoBounds(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if (len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1)) && doubtful(r) {
			s.refuse(w, r, fault.New(fault.InvalidRequest, "A request has either Content-Length or Transfer-Encoding, not both."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func doubtful(r *http.Request) bool {
	c, ok := r.Context().Value(connKey{}).(*boundedConn)
	return ok && c.doubtful.Load()
}

// listener returns the listener that a request came by.
func listener(r *http.Request) string {
	if c, ok := r.Context().Value(connKey{}).(*boundedConn); ok {
		return c.listener
	}
	return ""
}

// folded is what there is around a key in a header of several lines, of which
// net/http makes one.
const folded = "\n"

// asSent returns the value of a header that holds a key, as net/http has it, with
// the space that stood around it on the line. Of requests that are sent without
// waiting for the answers before them, only the newest is known so.
func asSent(r *http.Request, value string) string {
	if c, ok := r.Context().Value(connKey{}).(*boundedConn); ok {
		switch s := c.spaced.Load(); {
		case s == nil:
		case *s == folded:
			return value + folded
		case strings.Trim(*s, " \t") == value:
			return *s
		}
	}
	return value
}

// heads follows the requests of one connection, just far enough to see in the
// head of each how its body is bounded, and whether there is space around a key.
// What is not HTTP/1 it does not follow any further; net/http refuses that, or
// speaks HTTP/2.
type heads struct {
	at     place
	line   [256]byte // how the present line begins
	length int       // of the present line, all of it
	left   int64     // bytes until the next line
	sized  bool      // the head has Content-Length
	coded  bool      // the head has Transfer-Encoding
	size   int64     // the body's, if it is sized
	keyed  bool      // the header before may hold a key
	spaced string    // value with a key that has space around it, in the newest head, or folded; empty: none
}

// place is what the next line is.
type place uint8

const (
	start   place = iota // the first of a request
	head                 // a header, or the end of the head
	chunk                // the size of a chunk
	trailer              // a trailer, or the end of the body
	lost
)

// feed takes what was read next, and reports whether a head with two bounds has
// ended in it.
func (h *heads) feed(p []byte) (two bool) {
	for len(p) > 0 && h.at != lost {
		if h.left > 0 {
			n := min(h.left, int64(len(p)))
			h.left -= n
			p = p[n:]
			continue
		}
		part, rest, whole := bytes.Cut(p, []byte{'\n'})
		if h.length < len(h.line) {
			copy(h.line[h.length:], part)
		}
		h.length += len(part)
		p = rest
		if whole {
			two = h.next() || two
			h.length = 0
		}
	}
	return two
}

// next takes the line that is complete.
func (h *heads) next() (two bool) {
	line := bytes.TrimSuffix(h.line[:min(h.length, len(h.line))], []byte{'\r'})
	switch h.at {
	case start:
		if bytes.HasPrefix(line, []byte("PRI ")) {
			h.at = lost // HTTP/2
		} else if len(line) > 0 {
			h.at, h.sized, h.coded, h.size, h.keyed, h.spaced = head, false, false, 0, false, ""
		}
	case head:
		if len(line) > 0 {
			h.header(line)
			return false
		}
		two = h.sized && h.coded
		h.at, h.left = start, h.size
		if h.coded {
			h.at, h.left = chunk, 0
		}
	case chunk:
		digits, _, _ := bytes.Cut(line, []byte{';'})
		n, err := strconv.ParseInt(string(bytes.TrimSpace(digits)), 16, 62)
		switch {
		case err != nil || n < 0:
			h.at = lost
		case n == 0:
			h.at = trailer
		default:
			h.left = n + 2 // and the end of the line behind it
		}
	case trailer:
		if len(line) == 0 {
			h.at = start
		}
	}
	return two
}

// header takes a header. A length that net/http would refuse ends the watch.
func (h *heads) header(line []byte) {
	if line[0] == ' ' || line[0] == '\t' {
		if h.keyed {
			h.spaced = folded
		}
		return
	}
	h.keyed = false
	name, value, _ := bytes.Cut(line, []byte{':'})
	switch {
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.coded = true
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 63)
		if err != nil || n < 0 {
			h.at = lost
			return
		}
		h.sized, h.size = true, n
	case bytes.EqualFold(name, []byte("Authorization")), bytes.EqualFold(name, []byte("X-Api-Key")):
		h.keyed = true
		// One space in front belongs to the header.
		value = bytes.TrimPrefix(value, []byte{' '})
		if len(bytes.Trim(value, " \t")) < len(value) && h.length <= len(h.line) {
			h.spaced = string(value)
		}
	}
}
