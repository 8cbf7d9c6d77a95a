// Package dialect is what the callers' dialects have in common: how what they say
// is taken over into a conversation, and weighed.
package dialect

import (
	"encoding/json"
	"strings"

	"github.com/pontage/pontage/internal/fields"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Taking is a conversation that is being taken over from a body. What has no field
// in it is kept with its place. The zero value has no conversation.
type Taking struct{ Chat *llm.Chat }

// Begin returns an empty conversation to take over into.
func Begin() Taking { return Taking{Chat: &llm.Chat{}} }

// Extra keeps what has no field.
func (t *Taking) Extra(v jsonx.Value) {
	t.Chat.Extra = append(t.Chat.Extra, llm.Extra{Path: v.Path(), Value: json.RawMessage(v.Raw())})
}

// Extras keeps all members of v but the named ones, and what asks for nothing: null
// and empty lists.
func (t *Taking) Extras(v jsonx.Value, but ...string) {
next:
	for name, m := range v.Members() {
		if !m.Exists() || m.Kind() == jsonx.Array && m.Len() == 0 {
			continue
		}
		for _, b := range but {
			if string(name) == b {
				continue next
			}
		}
		t.Extra(m)
	}
}

// Number returns a number, or nil if v is none.
func Number(v jsonx.Value) *float64 {
	f, ok := v.Float()
	if !ok {
		return nil
	}
	return &f
}

// Integer returns a whole number, or nil if v is none.
func Integer(v jsonx.Value) *int64 {
	n, ok := v.Int()
	if !ok {
		return nil
	}
	return &n
}

// Arguments makes JSON of the text that a model wrote to call a tool. What is no
// JSON becomes a string, which nothing else does.
func Arguments(text string) json.RawMessage {
	trimmed := strings.TrimSpace(text)
	switch {
	case trimmed == "":
		return json.RawMessage(`{}`)
	case trimmed[0] == '"', !jsonx.Valid([]byte(trimmed)):
		return jsonx.AppendString(nil, text)
	}
	return json.RawMessage(trimmed)
}

// Count adds a text to a size, as it stands in the body.
func Count(s *llm.Size, text []byte) {
	ascii, other := jsonx.Count(text)
	s.ASCII += ascii
	s.Other += other
}

// Need records that what stands at v needs n; a path costs something, so that only
// the first is asked for.
func Need(r *llm.Request, n llm.Need, v jsonx.Value) {
	if !r.Needs.Has(n) {
		r.Needs.Add(n, v.Path())
	}
}

// Offered checks that a name is among those of the tools. Nil names are of tools
// that nothing can be said of.
func Offered(p *fields.Problems, name jsonx.Value, names map[string]bool) {
	if names != nil && !names[name.Text()] {
		p.Invalid(name, "Names a tool that is not among tools")
	}
}
