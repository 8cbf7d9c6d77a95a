package responses

import (
	"bytes"
	"iter"
	"strings"

	"github.com/pontage/pontage/internal/dialect"
	"github.com/pontage/pontage/internal/jsonx"
)

const kindNamespace = "namespace"

// spaced is the name of a tool within a namespace; space is empty outside of any.
type spaced struct{ space, name string }

// spaces are the names by which the tools of namespaces, which no other dialect
// has, go by there: that of the namespace and the tool's own, joined. The nil
// *spaces knows none.
type spaces struct {
	joined map[spaced]string
	of     map[string]spaced
}

// spacesOf returns the names for the tools of a request. They depend on nothing
// but that, so that those of an answer are undone, and of later requests are the
// same.
func spacesOf(tools jsonx.Value) *spaces {
	var s *spaces
	for _, t := range tools.Items() {
		if !t.Get("type").Is(kindNamespace) {
			continue
		}
		if s == nil {
			s = &spaces{joined: map[spaced]string{}, of: map[string]spaced{}}
			for _, t := range tools.Items() { // whose names cannot be had
				if name := t.Get("name"); name.Exists() && !t.Get("type").Is(kindNamespace) {
					s.of[name.Text()] = spaced{name: name.Text()}
				}
			}
		}
		for _, f := range t.Get("tools").Items() {
			s.add(spaced{t.Get("name").Text(), f.Get("name").Text()})
		}
	}
	return s
}

// spacesIn returns the names for the tools of a body.
func spacesIn(tools []byte) *spaces {
	if !bytes.Contains(tools, []byte(`"`+kindNamespace+`"`)) {
		return nil
	}
	doc, err := jsonx.Parse(tools)
	if err != nil {
		return nil // cannot be: it was checked
	}
	return spacesOf(doc.Root())
}

func (s *spaces) add(n spaced) {
	name := n.join(false)
	if _, taken := s.of[name]; taken {
		name = n.join(true)
	}
	s.joined[n], s.of[name] = name, n
}

// join returns both names in one that every protocol takes. Where it is not to be
// mistaken for another name, the end tells them apart.
func (n spaced) join(apart bool) string {
	both := n.space + "\x00" + n.name
	long := strings.TrimSuffix(n.space, "__") + "__" + n.name
	if legal := dialect.Legal(long); apart || legal != long {
		return dialect.Apart(legal, both)
	}
	return long
}

// name returns the name that a tool goes by elsewhere.
func (s *spaces) name(n spaced) string {
	switch {
	case n.space == "":
		return n.name
	case s != nil && s.joined[n] != "":
		return s.joined[n]
	}
	return n.join(false) // of a namespace that is not offered any more
}

// split undoes name.
func (s *spaces) split(name string) spaced {
	if s != nil {
		if n, ok := s.of[name]; ok {
			return n
		}
	}
	return spaced{name: name}
}

// customIn returns the names by which the custom tools of a body go elsewhere, or if
// they stand in no namespace, their own.
func customIn(tools []byte) map[string]bool {
	if !bytes.Contains(tools, []byte(`"custom"`)) {
		return nil
	}
	doc, err := jsonx.Parse(tools)
	if err != nil {
		return nil // cannot be: it was checked
	}
	s, names := spacesOf(doc.Root()), map[string]bool{}
	for _, t := range doc.Root().Items() {
		if t.Get("type").Is("custom") {
			names[t.Get("name").Text()] = true
		}
		for _, in := range t.Get("tools").Items() {
			if in.Get("type").Is("custom") {
				names[s.name(spaced{t.Get("name").Text(), in.Get("name").Text()})] = true
			}
		}
	}
	return names
}

// offered yields the names of the functions and custom tools of a request that stand
// in no namespace.
func offered(tools []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		doc, err := jsonx.Parse(tools)
		if err != nil {
			return // cannot be: it was checked
		}
		for _, t := range doc.Root().Items() {
			if kind := t.Get("type"); (kind.Is("function") || kind.Is("custom")) && !yield(t.Get("name").Text()) {
				return
			}
		}
	}
}
