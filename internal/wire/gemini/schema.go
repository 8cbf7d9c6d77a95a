package gemini

import (
	"bytes"

	"github.com/pontage/pontage/internal/jsonx"
)

// jsonSchema returns one of Google's schemas, a subset of OpenAPI's, as a JSON
// Schema: types in small letters, null among them where the value is nullable,
// whole numbers that stand as texts as numbers, members in the order that is
// asked for. What is JSON Schema already stays as it is.
func jsonSchema(v jsonx.Value) []byte { return appendSchema(nil, v) }

// types are the words for types; OpenAPI's and, beside those of Google, the
// words of JSON Schema.
var types = map[string]string{
	"STRING": "string", "NUMBER": "number", "INTEGER": "integer", "BOOLEAN": "boolean", "ARRAY": "array", "OBJECT": "object", "NULL": "null",
}

// numbered are the words by their numbers in Google's protocol buffers, which some
// clients send.
var numbered = []string{"TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"}

func appendSchema(dst []byte, v jsonx.Value) []byte {
	if v.Kind() != jsonx.Object {
		return append(dst, v.Raw()...)
	}
	nullable, _ := get(v, "nullable").Bool()
	dst = append(dst, '{')
	first := true
	for name, m := range v.Members() {
		n := string(unsnake(name))
		if n == "nullable" || n == "propertyOrdering" || !m.Exists() && n != "default" && n != "const" {
			continue
		}
		start := len(dst)
		if !first {
			dst = append(dst, ',')
		}
		dst = jsonx.AppendString(dst, n)
		dst = append(dst, ':')
		before := len(dst)
		if dst = appendKeyword(dst, n, m, v, nullable); len(dst) == before {
			dst = dst[:start]
			continue
		}
		first = false
	}
	return append(dst, '}')
}

// appendKeyword appends the value of one keyword of the schema; nothing if it
// says nothing.
func appendKeyword(dst []byte, name string, m, schema jsonx.Value, nullable bool) []byte {
	switch name {
	case "type":
		return appendType(dst, m, nullable)
	case "enum":
		return appendEnum(dst, m, nullable)
	case "properties", "$defs", "definitions", "defs":
		return appendProperties(dst, m, get(schema, "propertyOrdering"))
	case "items", "additionalProperties", "not":
		return appendSchema(dst, m)
	case "anyOf", "oneOf", "allOf", "prefixItems":
		dst = append(dst, '[')
		for i, e := range list(m) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendSchema(dst, e)
		}
		if nullable && name == "anyOf" && !get(schema, "type").Exists() {
			dst = append(dst, `,{"type":"null"}`...)
		}
		return append(dst, ']')
	case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
		if m.Kind() == jsonx.String { // an int64 in the JSON of protocol buffers
			return append(dst, m.Inner()...)
		}
	}
	return append(dst, m.Raw()...)
}

func appendType(dst []byte, m jsonx.Value, nullable bool) []byte {
	word := enumerator(m, numbered)
	if word == "" {
		return append(dst, m.Raw()...)
	}
	if word == "TYPE_UNSPECIFIED" {
		return dst
	}
	t, ok := types[word]
	switch {
	case !ok:
		return append(dst, m.Raw()...)
	case nullable && t != "null":
		return append(append(append(dst, `["`...), t...), `","null"]`...)
	}
	return jsonx.AppendString(dst, t)
}

func appendEnum(dst []byte, m jsonx.Value, nullable bool) []byte {
	raw := bytes.TrimSpace(m.Raw())
	if !nullable || m.Kind() != jsonx.Array || m.Len() == 0 {
		return append(dst, raw...)
	}
	for _, e := range m.Items() {
		if e.Kind() == jsonx.Null {
			return append(dst, raw...)
		}
	}
	return append(append(dst, raw[:len(raw)-1]...), `,null]`...)
}

// appendProperties appends schemas by their names, those that order lists first.
func appendProperties(dst []byte, m, order jsonx.Value) []byte {
	if m.Kind() != jsonx.Object {
		return append(dst, m.Raw()...)
	}
	done := map[string]bool{}
	dst = append(dst, '{')
	one := func(name string, v jsonx.Value) {
		if done[name] || v.Kind() == jsonx.Absent {
			return
		}
		if len(done) > 0 {
			dst = append(dst, ',')
		}
		done[name] = true
		dst = append(jsonx.AppendString(dst, name), ':')
		dst = appendSchema(dst, v)
	}
	for _, n := range order.Items() {
		one(n.Text(), m.Get(n.Text()))
	}
	for name, v := range m.Members() {
		one(string(name), v)
	}
	return append(dst, '}')
}
