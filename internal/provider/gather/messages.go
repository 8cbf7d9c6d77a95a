package gather

import (
	"errors"
	"slices"
	"strconv"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/provider"
)

func itoa(n int) string { return strconv.Itoa(n) }

// messages puts the events of Anthropic's messages together.
type messages struct {
	message *node
	inputs  map[int][]byte // of tools, by the index of their block: the insides of JSON strings
	indexes []int          // of the blocks, by their place
}

func (m *messages) add(data []byte) error {
	ev, err := parse(data)
	if err != nil {
		return err
	}
	if m.message == nil {
		if ev.get("type").is("message_start") {
			m.message = ev.get("message")
		}
		if m.message != nil && m.message.kind != '{' {
			return errNotJSON
		}
		return nil
	}
	index := ev.get("index").number()
	switch {
	case ev.get("type").is("content_block_start"):
		content := m.message.get("content")
		if block := ev.get("content_block"); content != nil && content.list() && block != nil {
			content.items = append(content.items, block)
			m.indexes = append(m.indexes, index)
		}
	case ev.get("type").is("content_block_delta"):
		m.delta(index, ev.get("delta"))
	case ev.get("type").is("message_delta"):
		for _, x := range ev.members {
			switch x.name {
			case "type":
			case "delta":
				for _, d := range x.value.members {
					m.message.set(d.name, d.value)
				}
			default: // usage, and what else a message has
				m.message.set(x.name, merge("", m.message.get(x.name), x.value))
			}
		}
	}
	return nil
}

// block returns the content block with an index.
func (m *messages) block(index int) *node {
	at := slices.Index(m.indexes, index)
	if at < 0 {
		return nil
	}
	return m.message.get("content").items[at]
}

// delta adds to a block what has come of it: a citation to a list, a tool's input
// to a text that is JSON when it is whole, and anything else to the member of
// that name.
func (m *messages) delta(index int, delta *node) {
	block := m.block(index)
	if block == nil || block.kind != '{' || delta == nil {
		return
	}
	for _, d := range delta.members {
		switch d.name {
		case "type":
		case "partial_json":
			if m.inputs == nil {
				m.inputs = map[int][]byte{}
			}
			m.inputs[index] = append(m.inputs[index], d.value.text...)
		case "citation":
			list := block.get("citations")
			if list.null() || !list.list() {
				list = &node{kind: '['}
				block.set("citations", list)
			}
			list.items = append(list.items, d.value)
		default:
			block.set(d.name, merge(d.name, block.get(d.name), d.value))
		}
	}
}

// whole returns the message.
func (m *messages) whole() ([]byte, error) {
	if m.message == nil {
		return nil, errors.New("the stream holds no message")
	}
	for index, inner := range m.inputs {
		if len(inner) > 0 {
			m.block(index).set("input", input(provider.Unescape(inner)))
		}
	}
	return m.message.append(nil), nil
}

// input returns a tool's input. Text that is not JSON is wrapped, as Anthropic's
// documentation has it.
func input(s string) *node {
	if _, err := parse([]byte(s)); err == nil {
		return raw(s)
	}
	wrapped := &node{kind: '{'}
	quoted := jsonx.AppendString(nil, s)
	wrapped.set("INVALID_JSON", text(string(quoted[1:len(quoted)-1])))
	return wrapped
}
