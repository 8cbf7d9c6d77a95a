package gather

import (
	"errors"
	"slices"
)

// chat puts the chunks of a chat completion together. What stands at the top of
// a chunk, and in a choice beside its delta, holds until another one says
// otherwise.
type chat struct{ answer *node }

func (c *chat) add(data []byte) error {
	if string(data) == "[DONE]" {
		return nil
	}
	chunk, err := parse(data)
	if err != nil {
		return err
	}
	if c.answer == nil {
		c.answer = &node{kind: '{'}
	}
	for _, m := range chunk.members {
		switch m.name {
		case "choices":
			c.choices(m.value)
		case "obfuscation", "p": // pads a chunk, at OpenAI and at Mistral
		case "usage":
			if !m.value.null() {
				c.answer.set(m.name, m.value)
			}
		default:
			if old := c.answer.get(m.name); old == nil || !m.value.null() {
				c.answer.set(m.name, m.value)
			}
		}
	}
	return nil
}

// choices adds what a chunk says of each choice.
func (c *chat) choices(v *node) {
	all := c.answer.get("choices")
	if all == nil {
		all = &node{kind: '['}
		c.answer.set("choices", all)
	}
	for position, it := range v.items {
		if it.kind == '{' {
			c.choice(all, it, position)
		}
	}
}

func (c *chat) choice(all, chunk *node, position int) {
	index := chunk.get("index").number()
	if index < 0 {
		index = position
	}
	at := slices.IndexFunc(all.items, func(n *node) bool { return n.get("index").number() == index })
	if at < 0 {
		one := &node{kind: '{'}
		one.set("index", raw(itoa(index)))
		one.set("message", &node{kind: '{'})
		all.items = append(all.items, one)
		at = len(all.items) - 1
	}
	choice := all.items[at]
	for _, m := range chunk.members {
		switch m.name {
		case "index":
		case "delta":
			if chunk.get("message") == nil { // Perplexity: the message as far as it has come
				choice.set("message", merge("", choice.get("message"), m.value))
			}
		case "message":
			if m.value.kind == '{' {
				choice.set("message", m.value)
			}
		case "logprobs":
			choice.set(m.name, merge(m.name, choice.get(m.name), m.value))
		default:
			if choice.get(m.name) == nil || !m.value.null() {
				choice.set(m.name, m.value)
			}
		}
	}
}

// whole returns the completion.
func (c *chat) whole() ([]byte, error) {
	if c.answer == nil {
		return nil, errors.New("the stream holds no events")
	}
	if c.answer.get("object") != nil {
		c.answer.set("object", text("chat.completion"))
	}
	choices := c.answer.get("choices")
	if choices != nil {
		slices.SortStableFunc(choices.items, func(a, b *node) int { return a.get("index").number() - b.get("index").number() })
		for _, it := range choices.items {
			settle(it)
		}
	}
	return c.answer.append(nil), nil
}

// settle makes a choice of its chunks. In one piece calls are not numbered. A
// server that never told why it ended did so for the plain reason.
func settle(choice *node) {
	m, calls := choice.get("message"), 0
	if m != nil && m.kind == '{' {
		m.remove("index")
		if list := m.get("tool_calls"); list != nil {
			calls = len(list.items)
			for _, call := range list.items {
				call.remove("index")
			}
		}
	}
	if choice.get("finish_reason").null() {
		choice.set("finish_reason", text("stop"))
		if calls > 0 {
			choice.set("finish_reason", text("tool_calls"))
		}
	}
}
