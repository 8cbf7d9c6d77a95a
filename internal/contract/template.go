package contract

import (
	"slices"
	"strings"
)

// piece is a stretch of text, or a placeholder in it.
type piece struct {
	lit   string
	field field
	isVar bool
}

// words is a text with placeholders.
type words []piece

// complete reports whether every placeholder stands for something.
func (w words) complete(s *scope) bool {
	for i := range w {
		if w[i].isVar && !s.value(w[i].field).there {
			return false
		}
	}
	return true
}

// string returns the text. What stands for nothing leaves nothing.
func (w words) string(s *scope) string {
	if len(w) == 1 && !w[0].isVar {
		return w[0].lit
	}
	var b strings.Builder
	for i := range w {
		if w[i].isVar {
			b.WriteString(s.value(w[i].field).s)
		} else {
			b.WriteString(w[i].lit)
		}
	}
	return b.String()
}

func (w words) appendEscaped(dst []byte, s *scope) []byte {
	for i := range w {
		if w[i].isVar {
			dst = appendEscaped(dst, s.value(w[i].field).s)
		} else {
			dst = appendEscaped(dst, w[i].lit)
		}
	}
	return dst
}

// shape tells what a node is.
type shape uint8

const (
	shapeLiteral shape = iota
	shapeField
	shapeWords
	shapeObject
	shapeArray
	shapeEach
)

// node is one place of a compiled tree.
type node struct {
	shape   shape
	lit     []byte // JSON
	void    bool   // the literal is empty: null, "", [], {}
	field   field
	words   words
	members []member
	items   []*node
	list    string // what is repeated: details, or a list of an answer
	each    *node
	when    *node // of an item of an array: it is left out when this is empty; nil: it is there
}

// member is a member of an object.
type member struct {
	name     string
	key      []byte // the name as JSON, with its colon
	optional bool   // left out when empty
	value    *node
}

// maxDetails bounds how many bad fields are told.
const maxDetails = 64

// append appends the node's JSON.
func (n *node) append(dst []byte, s *scope) []byte {
	switch n.shape {
	case shapeField:
		return s.value(n.field).appendJSON(dst)
	case shapeWords:
		dst = append(dst, '"')
		dst = n.words.appendEscaped(dst, s)
		return append(dst, '"')
	case shapeObject:
		dst = append(dst, '{')
		dst, _ = appendMembers(dst, n.members, s, true)
		return append(dst, '}')
	case shapeArray:
		dst = append(dst, '[')
		first := true
		for _, item := range n.items {
			if item.when != nil && item.when.empty(s) {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = item.append(dst, s)
		}
		return append(dst, ']')
	case shapeEach:
		dst = append(dst, '[')
		dst = n.appendItems(dst, s)
		return append(dst, ']')
	}
	return append(dst, n.lit...)
}

// appendItems appends the items of a list, with commas between them.
func (n *node) appendItems(dst []byte, s *scope) []byte {
	if s.data != nil {
		for i, item := range s.data.Lists[n.list] {
			if i > 0 {
				dst = append(dst, ',')
			}
			s.item = item
			dst = n.each.append(dst, s)
		}
		s.item = nil
		return dst
	}
	for i := range s.details[:min(len(s.details), maxDetails)] {
		if i > 0 {
			dst = append(dst, ',')
		}
		s.detail = &s.details[i]
		dst = n.each.append(dst, s)
	}
	s.detail = nil
	return dst
}

// appendMembers appends the members that are there, with commas between them
// and, unless first, before them. It returns whether still none was written.
func appendMembers(dst []byte, members []member, s *scope, first bool) ([]byte, bool) {
	for i := range members {
		m := &members[i]
		if m.optional && m.value.empty(s) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, m.key...)
		dst = m.value.append(dst, s)
	}
	return dst, first
}

// empty reports whether an optional member with this value is left out.
func (n *node) empty(s *scope) bool {
	switch n.shape {
	case shapeField:
		v := s.value(n.field)
		return v.s == "" || !v.there
	case shapeWords:
		return !n.words.complete(s)
	case shapeObject:
		for i := range n.members {
			if m := &n.members[i]; !m.optional || !m.value.empty(s) {
				return false
			}
		}
		return true
	case shapeArray:
		return !slices.ContainsFunc(n.items, func(item *node) bool { return item.when == nil || !item.when.empty(s) })
	case shapeEach:
		if s.data != nil {
			return len(s.data.Lists[n.list]) == 0
		}
		return len(s.details) == 0
	}
	return n.void
}

// header is a header that a contract adds. It is left out when one of its
// placeholders stands for nothing.
type header struct {
	name  string
	value words
}

func appendHeaders(dst [][2]string, headers []header, s *scope) [][2]string {
	for i := range headers {
		if headers[i].value.complete(s) {
			dst = append(dst, [2]string{headers[i].name, headerValue(headers[i].value.string(s))})
		}
	}
	return dst
}
