package gather

import (
	"bytes"
	"errors"
)

// contents puts the events of Google's generateContent together. Each is an answer
// of its own kind, with the parts that are new.
type contents struct{ answer *node }

func (c *contents) add(data []byte) error {
	chunk, err := parse(data)
	if err != nil {
		return err
	}
	if c.answer == nil {
		c.answer = &node{kind: '{'}
	}
	for _, m := range chunk.members {
		switch old := c.answer.get(m.name); {
		case m.name == "candidates" && m.value.kind == '[':
			c.candidates(m.value)
		case old == nil || !m.value.null():
			c.answer.set(m.name, over(old, m.value))
		}
	}
	return nil
}

// over is an object with what a newer one says of its members; of anything else the
// newer.
func over(old, newer *node) *node {
	if old == nil || old.kind != '{' || newer.kind != '{' {
		return newer
	}
	for _, m := range newer.members {
		old.set(m.name, m.value)
	}
	return old
}

func (c *contents) candidates(v *node) {
	all := c.answer.get("candidates")
	if all == nil || all.kind != '[' {
		all = &node{kind: '['}
		c.answer.set("candidates", all)
	}
	for position, it := range v.items {
		if it.kind == '{' {
			candidate(place(all, it, position), it)
		}
	}
}

// place returns the candidate of the answer that it goes on with, or a new one. One
// without an index is the one at its place.
func place(all, it *node, position int) *node {
	index := indexOf(it, position)
	for i, n := range all.items {
		if indexOf(n, i) == index {
			return n
		}
	}
	n := &node{kind: '{'}
	all.items = append(all.items, n)
	return n
}

func indexOf(candidate *node, position int) int {
	if i := candidate.get("index").number(); i >= 0 {
		return i
	}
	return position
}

// candidate adds what an event says of one: more parts, more citations and
// probabilities, and otherwise what holds from now on.
func candidate(all, it *node) {
	for _, m := range it.members {
		switch old := all.get(m.name); {
		case old == nil:
			if parts := m.value.get("parts"); m.name == "content" && parts != nil && parts.kind == '[' {
				list := parts.items
				parts.items = nil
				addParts(parts, list)
			}
			all.set(m.name, m.value)
		case m.value.null():
		case m.name == "content":
			content(old, m.value)
		case m.name == "citationMetadata" || m.name == "logprobsResult":
			lists(old, m.value)
		default:
			all.set(m.name, over(old, m.value))
		}
	}
}

func content(old, newer *node) {
	for _, m := range newer.members {
		if list := old.get(m.name); m.name == "parts" && list != nil && list.kind == '[' && m.value.kind == '[' {
			addParts(list, m.value.items)
			continue
		}
		old.set(m.name, m.value)
	}
}

// addParts appends parts. A text goes on with the one before it where neither says
// anything else but whether it is a thought: what has a signature stays as it is.
func addParts(to *node, list []*node) {
	for _, it := range list {
		if n := len(to.items); n > 0 && plain(to.items[n-1]) && plain(it) && thought(to.items[n-1]) == thought(it) {
			last := to.items[n-1].get("text")
			last.text = append(last.text, it.get("text").text...)
			continue
		}
		to.items = append(to.items, it)
	}
}

// plain reports whether a part is a text, and whether it is a thought, and no more.
func plain(part *node) bool {
	if t := part.get("text"); t == nil || t.kind != '"' {
		return false
	}
	for _, m := range part.members {
		if m.name != "text" && m.name != "thought" {
			return false
		}
	}
	return true
}

func thought(part *node) bool {
	t := part.get("thought")
	return t != nil && string(t.text) == "true"
}

// lists appends the elements of the lists within an object.
func lists(old, newer *node) {
	for _, m := range newer.members {
		if list := old.get(m.name); list != nil && list.kind == '[' && m.value.kind == '[' {
			list.items = append(list.items, m.value.items...)
			continue
		}
		old.set(m.name, m.value)
	}
}

func (c *contents) whole() ([]byte, error) {
	if c.answer == nil {
		return nil, errors.New("the stream holds no events")
	}
	return c.answer.append(nil), nil
}

// otherwise are members of a request for what Google streams in another form than it
// has in one piece: sound in slices, pictures that are not done, and arguments of
// calls in fragments.
var otherwise = [...][]byte{
	[]byte("responseModalities"), []byte("response_modalities"),
	[]byte("streamFunctionCallArguments"), []byte("stream_function_call_arguments"),
}

// streamsOtherwise reports whether the body of a request names one of them.
func streamsOtherwise(body []byte) bool {
	for _, name := range otherwise {
		if bytes.Contains(body, name) {
			return true
		}
	}
	return false
}
