package gemini

import (
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/provider"
)

// Bounds of arguments that come in pieces.
const (
	maxPartialDepth = 64
	maxPartialItems = 10_000
	maxPartialNodes = 100_000
)

// partial puts the arguments of a call together that come in pieces, each with
// the place that it belongs to. The zero partial is an empty object.
type partial struct {
	root  node
	nodes int // that were made
}

// node is a value under construction: an object, an array, or what stands in
// text.
type node struct {
	keys    []string
	members map[string]*node
	items   []*node
	array   bool
	text    []byte // JSON; of a string without the quotes
	scalar  bool
	str     bool
}

// add takes a list of pieces in. A piece at a place that cannot be is left out.
func (p *partial) add(list []byte) {
	c := provider.Walk(list)
	if c.Kind() != '[' {
		return
	}
	c.Enter('[')
	for c.More() {
		if c.Enter('{') {
			p.piece(&c)
		}
	}
}

func (p *partial) piece(c *provider.Cursor) {
	var path string
	var value []byte
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "jsonPath":
			if text, ok := c.Text(); ok {
				path = provider.Unescape(text)
			}
		case "stringValue", "numberValue", "boolValue", "nullValue":
			value = c.Value()
			if string(key) == "nullValue" {
				value = []byte("null")
			}
		default:
			c.Skip()
		}
	}
	if value == nil {
		return
	}
	n := p.at(path)
	if n == nil {
		return
	}
	n.scalar = true
	if value[0] == '"' {
		n.str = true
		n.text = append(n.text, value[1:len(value)-1]...)
		return
	}
	n.text = append(n.text[:0], value...)
}

// at returns the node at a path such as $.a.b[0]['c'], which it makes; nil for
// what is none, or one too many.
func (p *partial) at(path string) *node {
	n := &p.root
	rest, ok := strings.CutPrefix(path, "$")
	for depth := 0; ok && rest != ""; depth++ {
		var name string
		index := -1
		switch {
		case depth == maxPartialDepth:
			return nil
		case rest[0] == '.':
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			name, rest = rest[1:1+end], rest[1+end:]
		case strings.HasPrefix(rest, "['"), strings.HasPrefix(rest, `["`):
			end := strings.Index(rest[2:], rest[1:2]+"]")
			if end < 0 {
				return nil
			}
			name, rest = rest[2:2+end], rest[2+end+2:]
		case rest[0] == '[':
			digits, tail, found := strings.Cut(rest[1:], "]")
			i, err := strconv.Atoi(digits)
			if !found || err != nil || i < 0 || i >= maxPartialItems {
				return nil
			}
			index, rest = i, tail
		default:
			return nil
		}
		if n = p.child(n, name, index); n == nil {
			return nil
		}
	}
	if !ok {
		return nil
	}
	return n
}

// child returns a member, or with an index an element.
func (p *partial) child(n *node, name string, index int) *node {
	made := 0
	switch {
	case index >= len(n.items):
		made = index + 1 - len(n.items)
	case index < 0 && n.members[name] == nil:
		made = 1
	}
	if p.nodes += made; p.nodes > maxPartialNodes {
		return nil
	}
	if index >= 0 {
		n.array = true
		for range made {
			n.items = append(n.items, &node{})
		}
		return n.items[index]
	}
	if made > 0 {
		if n.members == nil {
			n.members = map[string]*node{}
		}
		n.members[name] = &node{}
		n.keys = append(n.keys, name)
	}
	return n.members[name]
}

// json returns the arguments.
func (p *partial) json() []byte { return p.root.append(nil) }

func (n *node) append(dst []byte) []byte {
	switch {
	case n.str:
		return append(append(append(dst, '"'), n.text...), '"')
	case n.scalar:
		return append(dst, n.text...)
	case n.array:
		dst = append(dst, '[')
		for i, x := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = x.append(dst)
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	for i, k := range n.keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(jsonx.AppendString(dst, k), ':')
		dst = n.members[k].append(dst)
	}
	return append(dst, '}')
}
