package gather

import (
	"errors"

	"github.com/pontage/pontage/internal/provider"
)

// node is a JSON value that can grow. Numbers, texts and the rest are kept as
// they were written.
type node struct {
	kind    byte   // '{', '[', '"', or '0' for any other
	text    []byte // of a string what is between its quotes, of any other scalar all of it
	members []member
	items   []*node
}

type member struct {
	name  string // as it is written
	value *node
}

var errNotJSON = errors.New("an event of the stream is not a JSON object")

// parse reads an object.
func parse(data []byte) (*node, error) {
	c := provider.Walk(data)
	if c.Kind() != '{' {
		return nil, errNotJSON
	}
	n := read(&c)
	if !c.Done() {
		return nil, errNotJSON
	}
	return n, nil
}

func read(c *provider.Cursor) *node {
	switch kind := c.Kind(); kind {
	case '{':
		n := &node{kind: '{'}
		c.Enter('{')
		for {
			key, ok := c.Key()
			if !ok {
				return n
			}
			n.set(string(key), read(c))
		}
	case '[':
		n := &node{kind: '['}
		c.Enter('[')
		for c.More() {
			n.items = append(n.items, read(c))
		}
		return n
	case '"':
		inner, _ := c.Text()
		return &node{kind: '"', text: append([]byte(nil), inner...)}
	}
	return &node{kind: '0', text: append([]byte(nil), c.Value()...)}
}

// get returns a member's value; nil: there is none.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for i := range n.members {
		if n.members[i].name == name {
			return n.members[i].value
		}
	}
	return nil
}

// set sets a member, in its place if it is there, else at the end.
func (n *node) set(name string, v *node) {
	for i := range n.members {
		if n.members[i].name == name {
			n.members[i].value = v
			return
		}
	}
	n.members = append(n.members, member{name, v})
}

// remove takes a member out.
func (n *node) remove(name string) {
	for i := range n.members {
		if n.members[i].name == name {
			n.members = append(n.members[:i], n.members[i+1:]...)
			return
		}
	}
}

// null reports whether there is nothing: no value, or null.
func (n *node) null() bool { return n == nil || n.kind == '0' && string(n.text) == "null" }

// is reports whether n is the string, which has nothing to escape.
func (n *node) is(s string) bool { return n != nil && n.kind == '"' && string(n.text) == s }

// number returns a whole number that is small; -1: it is none.
func (n *node) number() int {
	if n == nil || n.kind != '0' {
		return -1
	}
	c := provider.Walk(n.text)
	v, ok := c.Int()
	if !ok || v < 0 || v > 1<<20 {
		return -1
	}
	return int(v)
}

// append writes the value.
func (n *node) append(dst []byte) []byte {
	switch n.kind {
	case '{':
		dst = append(dst, '{')
		for i, m := range n.members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, '"'), m.name...), '"', ':')
			dst = m.value.append(dst)
		}
		return append(dst, '}')
	case '[':
		dst = append(dst, '[')
		for i, it := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = it.append(dst)
		}
		return append(dst, ']')
	case '"':
		return append(append(append(dst, '"'), n.text...), '"')
	}
	return append(dst, n.text...)
}

// text returns a string.
func text(s string) *node { return &node{kind: '"', text: []byte(s)} }

// raw returns a scalar.
func raw(s string) *node { return &node{kind: '0', text: []byte(s)} }

// growing are the members of a delta whose texts continue what came before. All
// others say the same again, or something else.
var growing = map[string]bool{
	"content": true, "reasoning_content": true, "reasoning": true, "refusal": true, "arguments": true, "input": true,
	"text": true, "summary": true, "thinking": true, "transcript": true, "data": true, "signature": true,
}

// merge adds a delta to what there is under the name.
func merge(name string, old, delta *node) *node {
	if growing[name] && !old.null() && !delta.null() && old.kind != delta.kind {
		old, delta = parts(old), parts(delta)
	}
	switch {
	case delta.null() && old != nil:
		return old
	case old.null() || old.kind != delta.kind:
		return delta
	}
	switch delta.kind {
	case '"':
		if growing[name] {
			old.text = append(old.text, delta.text...)
			return old
		}
		if len(delta.text) == 0 {
			return old
		}
		return delta
	case '{':
		for _, m := range delta.members {
			old.set(m.name, merge(m.name, old.get(m.name), m.value))
		}
		return old
	case '[':
		for _, it := range delta.items {
			if n := len(old.items); n > 0 && growing[name] && continues(old.items[n-1], it) {
				old.items[n-1] = merge("", old.items[n-1], it)
				continue
			}
			old.element(it)
		}
		return old
	}
	return delta
}

// parts returns a text as the list of parts that some vendors have in its place.
func parts(n *node) *node {
	if n.kind != '"' {
		return n
	}
	out := &node{kind: '['}
	if len(n.text) > 0 {
		part := &node{kind: '{'}
		part.set("type", text("text"))
		part.set("text", n)
		out.items = append(out.items, part)
	}
	return out
}

// continues reports whether a part of content goes on with that before it: texts
// and thoughts do, and nothing else.
func continues(last, it *node) bool {
	kind := it.get("type")
	return last.get("index") == nil && it.get("index") == nil && !differ(last.get("type"), kind) && (kind.is("text") || kind.is("thinking"))
}

// element adds an element to a list: to that with the same index, if it has one,
// else at the end. Some servers give all of them the same index: another id or
// another type means another one.
func (n *node) element(it *node) {
	index := it.get("index").number()
	for i := len(n.items) - 1; i >= 0 && index >= 0; i-- {
		old := n.items[i]
		if old.get("index").number() != index {
			continue
		}
		if differ(it.get("id"), old.get("id")) || differ(it.get("type"), old.get("type")) {
			break
		}
		n.items[i] = merge("", old, it)
		return
	}
	if n.list() {
		n.items = append(n.items, it)
	}
}

// differ reports whether both are texts, and not the same.
func differ(a, b *node) bool {
	return !a.null() && !b.null() && len(a.text) > 0 && len(b.text) > 0 && string(a.text) != string(b.text)
}

func (n *node) list() bool { return n.kind == '[' }
