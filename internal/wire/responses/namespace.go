package responses

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"

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

// maxJoined is the longest name that every protocol takes.
const maxJoined = 64

// join returns both names in one, of letters that every protocol takes, and at
// most 64 of them. Where they would not fit, or are not to be mistaken for another
// name, the end tells them apart.
func (n spaced) join(apart bool) string {
	long := strings.TrimSuffix(n.space, "__") + "__" + n.name
	legal := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, long)
	if legal == long && len(long) <= maxJoined && !apart {
		return long
	}
	sum := sha256.Sum256([]byte(n.space + "\x00" + n.name))
	end := "_" + hex.EncodeToString(sum[:8])
	return legal[:min(len(legal), maxJoined-len(end))] + end
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
