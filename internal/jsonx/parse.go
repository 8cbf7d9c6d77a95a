package jsonx

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pontage/pontage/internal/llm"
)

// Kind is the kind of a value: the first byte of its JSON text, with '0' for
// every number.
type Kind byte

// The kinds. The zero Kind is that of a value that is not there.
const (
	Absent Kind = 0
	Null   Kind = 'n'
	False  Kind = 'f'
	True   Kind = 't'
	String Kind = '"'
	Number Kind = '0'
	Object Kind = '{'
	Array  Kind = '['
)

// node is one value or member name. The children of an array or object follow
// it at once; next is the index of the node after the last of them.
type node struct {
	start, end uint32
	next       uint32
	kind       Kind
	escaped    bool // a string with at least one backslash
}

// Doc is a parsed document: the bytes, and the places of all values in them.
// It is never changed, and may be read by many goroutines at once.
type Doc struct {
	body   []byte
	nodes  []node
	mended bool

	once    sync.Once
	parents []parent // made by the first need of a path, if the document is large
}

// parent is where a value stands: the array or object, and the place in it. For
// a member the place is the node of its name.
type parent struct{ node, place uint32 }

// reader is a jsontext decoder with the buffer it reads, reused.
type reader struct {
	buf bytes.Buffer
	dec jsontext.Decoder
}

// readers holds idle decoders; each keeps a few hundred bytes of state.
var readers = sync.Pool{New: func() any { return new(reader) }}

// Parse checks body and finds the places of all its values. The Doc keeps body,
// which must not be changed afterwards. The error is a *[SyntaxError].
func Parse(body []byte) (*Doc, error) {
	if uint64(len(body)) >= math.MaxUint32 {
		return nil, &SyntaxError{Offset: len(body), Reason: "document too large"}
	}
	r := readers.Get().(*reader)
	defer readers.Put(r)
	// The decoder reads a bytes.Buffer in place, without a copy.
	r.buf = *bytes.NewBuffer(body)
	r.dec.Reset(&r.buf)
	d := &Doc{body: body, nodes: make([]node, 0, 32)}
	err := d.read(&r.dec)
	// An idle reader must not keep somebody's prompt alive.
	r.buf = bytes.Buffer{}
	r.dec.Reset(&r.buf)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// read fills d.nodes. open holds the indexes of the arrays and objects that are
// not finished.
func (d *Doc) read(dec *jsontext.Decoder) error {
	var stack [MaxDepth]uint32
	open := stack[:0]
	for {
		kind := dec.PeekKind()
		switch kind {
		case '{', '[':
			if len(open) == MaxDepth {
				return &SyntaxError{Offset: int(dec.InputOffset()), Reason: "nesting too deep"}
			}
			if _, err := dec.ReadToken(); err != nil {
				return d.syntax(err, dec)
			}
			open = append(open, uint32(len(d.nodes)))
			start := uint32(dec.InputOffset()) - 1
			d.nodes = append(d.nodes, node{start: start, kind: Kind(kind)})
		case '}', ']':
			if _, err := dec.ReadToken(); err != nil {
				return d.syntax(err, dec)
			}
			n := &d.nodes[open[len(open)-1]]
			open = open[:len(open)-1]
			n.end, n.next = uint32(dec.InputOffset()), uint32(len(d.nodes))
		default:
			v, err := dec.ReadValue()
			if err != nil {
				return d.syntax(err, dec)
			}
			end := uint32(dec.InputOffset())
			d.nodes = append(d.nodes, node{
				start:   end - uint32(len(v)),
				end:     end,
				next:    uint32(len(d.nodes)) + 1,
				kind:    Kind(kind),
				escaped: kind == '"' && bytes.IndexByte(v, '\\') >= 0,
			})
		}
		if len(d.nodes) > MaxValues {
			return &SyntaxError{Offset: int(dec.InputOffset()), Reason: "too many values"}
		}
		if len(open) == 0 {
			return d.end(dec)
		}
	}
}

// end checks that nothing follows the document.
func (d *Doc) end(dec *jsontext.Decoder) error {
	at := int(dec.InputOffset())
	if rest := bytes.TrimLeft(d.body[at:], " \t\r\n"); len(rest) > 0 {
		return &SyntaxError{Offset: len(d.body) - len(rest), Reason: "more after the end of the document"}
	}
	return nil
}

// syntax turns an error of the decoder into ours, with words that can be shown.
func (d *Doc) syntax(err error, dec *jsontext.Decoder) error {
	out := &SyntaxError{Offset: int(dec.InputOffset()), Reason: "invalid JSON"}
	var se *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		out.Offset, out.Reason = len(d.body), "unexpected end"
	case errors.Is(err, jsontext.ErrDuplicateName):
		out.Reason = "duplicate member name"
		if errors.As(err, &se) {
			out.Offset = int(se.ByteOffset)
			if name := se.JSONPointer.LastToken(); len(name) <= 64 {
				out.Reason = "duplicate member name " + strconv.Quote(name)
			}
		}
	case errors.As(err, &se):
		out.Offset = int(se.ByteOffset)
		if se.Err != nil {
			out.Reason = se.Err.Error()
		}
	}
	return out
}

// Root returns the document's value.
func (d *Doc) Root() Value { return Value{d, 0} }

// Members returns the document as bytes with the places of its top-level
// members. It has none if the document is not an object.
func (d *Doc) Members() llm.Raw {
	raw := llm.Raw{Body: d.body}
	if d.nodes[0].kind != Object {
		return raw
	}
	count := 0
	for i, end := uint32(1), d.nodes[0].next; i < end; i = d.nodes[i+1].next {
		count++
	}
	raw.Members = make([]llm.Member, 0, count)
	for i, end := uint32(1), d.nodes[0].next; i < end; i = d.nodes[i+1].next {
		v := d.nodes[i+1]
		raw.Members = append(raw.Members, llm.Member{
			Name:       Value{d, i}.intern(),
			Start:      int(d.nodes[i].start),
			ValueStart: int(v.start),
			End:        int(v.end),
		})
	}
	return raw
}

// Scan checks that body is one JSON object and returns its top-level members
// with their places. It keeps body. The error is a *[SyntaxError].
func Scan(body []byte) (llm.Raw, error) {
	d, err := Parse(body)
	if err != nil {
		return llm.Raw{}, err
	}
	if d.nodes[0].kind != Object {
		return llm.Raw{}, &SyntaxError{Offset: int(d.nodes[0].start), Reason: "not an object"}
	}
	return d.Members(), nil
}
