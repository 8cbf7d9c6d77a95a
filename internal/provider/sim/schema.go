package sim

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The bounds of making an instance of a schema.
const (
	maxSchemaDepth = 32
	maxSchemaSteps = 2000
)

// schema is what the simulator understands of JSON Schema.
type schema struct {
	Type             jsontext.Value            `json:"type"`
	Enum             []jsontext.Value          `json:"enum"`
	Const            jsontext.Value            `json:"const"`
	Default          jsontext.Value            `json:"default"`
	Ref              string                    `json:"$ref"`
	AnyOf            []jsontext.Value          `json:"anyOf"`
	OneOf            []jsontext.Value          `json:"oneOf"`
	AllOf            []jsontext.Value          `json:"allOf"`
	Properties       map[string]jsontext.Value `json:"properties"`
	Required         []string                  `json:"required"`
	Items            jsontext.Value            `json:"items"`
	PrefixItems      []jsontext.Value          `json:"prefixItems"`
	MinItems         int                       `json:"minItems"`
	MinLength        int                       `json:"minLength"`
	MaxLength        *int                      `json:"maxLength"`
	Format           string                    `json:"format"`
	Minimum          *float64                  `json:"minimum"`
	Maximum          *float64                  `json:"maximum"`
	ExclusiveMinimum *float64                  `json:"exclusiveMinimum"`
	ExclusiveMaximum *float64                  `json:"exclusiveMaximum"`
	MultipleOf       *float64                  `json:"multipleOf"`
}

// instance returns the smallest JSON that matches the schema: required members
// only, the first of every choice. What it does not understand (patterns,
// negations, conditions) it leaves out of account. A schema that cannot be read
// gives {}.
func instance(root jsontext.Value) jsontext.Value {
	if root == nil {
		return jsontext.Value("{}")
	}
	in := instancer{root: root}
	out, ok := in.value(nil, root, 0)
	if v := jsontext.Value(out); ok && v.IsValid() {
		return v
	}
	return jsontext.Value("{}")
}

type instancer struct {
	root  jsontext.Value
	steps int
}

// value appends an instance of v. It reports false if there is none that it can
// make.
func (in *instancer) value(dst []byte, v jsontext.Value, depth int) ([]byte, bool) {
	if in.steps++; depth > maxSchemaDepth || in.steps > maxSchemaSteps {
		return dst, false
	}
	var s schema
	if v.Kind() == 't' {
		return append(dst, `"simulated"`...), true
	}
	if v.Kind() != '{' || json.Unmarshal(v, &s) != nil {
		return dst, false
	}
	switch {
	case s.Ref != "":
		target, ok := in.resolve(s.Ref)
		if !ok {
			return dst, false
		}
		return in.value(dst, target, depth+1)
	case s.Const != nil:
		return append(dst, s.Const...), true
	case len(s.Enum) > 0:
		return append(dst, s.Enum[0]...), true
	case len(s.AllOf) > 0:
		return in.allOf(dst, &s, depth)
	case len(s.AnyOf) > 0:
		return in.first(dst, s.AnyOf, depth)
	case len(s.OneOf) > 0:
		return in.first(dst, s.OneOf, depth)
	}
	return in.typed(dst, &s, depth)
}

// first appends an instance of the first alternative that has one. The others
// are why a schema that refers to itself comes to an end.
func (in *instancer) first(dst []byte, list []jsontext.Value, depth int) ([]byte, bool) {
	start := len(dst)
	for _, v := range list {
		if out, ok := in.value(dst[:start:start], v, depth+1); ok {
			return out, true
		}
	}
	return dst, false
}

// allOf appends an instance of all alternatives, by merging what they say of an
// object.
func (in *instancer) allOf(dst []byte, s *schema, depth int) ([]byte, bool) {
	for _, v := range s.AllOf {
		for hops := 0; hops < maxSchemaDepth; hops++ {
			var part schema
			if v.Kind() != '{' || json.Unmarshal(v, &part) != nil {
				return dst, false
			}
			if part.Ref == "" {
				s.merge(&part)
				break
			}
			target, ok := in.resolve(part.Ref)
			if !ok {
				return dst, false
			}
			v = target
		}
	}
	switch {
	case s.Const != nil:
		return append(dst, s.Const...), true
	case len(s.Enum) > 0:
		return append(dst, s.Enum[0]...), true
	}
	return in.typed(dst, s, depth)
}

func (s *schema) merge(o *schema) {
	if s.Type == nil {
		s.Type = o.Type
	}
	if s.Const == nil {
		s.Const = o.Const
	}
	if s.Enum == nil {
		s.Enum = o.Enum
	}
	if s.Items == nil {
		s.Items = o.Items
	}
	if s.Properties == nil {
		s.Properties = map[string]jsontext.Value{}
	}
	for k, v := range o.Properties {
		s.Properties[k] = v
	}
	s.Required = append(s.Required, o.Required...)
	s.MinItems, s.MinLength = max(s.MinItems, o.MinItems), max(s.MinLength, o.MinLength)
	for _, p := range []struct{ v, o **float64 }{
		{&s.Minimum, &o.Minimum},
		{&s.Maximum, &o.Maximum},
		{&s.ExclusiveMinimum, &o.ExclusiveMinimum},
		{&s.ExclusiveMaximum, &o.ExclusiveMaximum},
		{&s.MultipleOf, &o.MultipleOf},
	} {
		if *p.v == nil {
			*p.v = *p.o
		}
	}
	if s.Format == "" {
		s.Format = o.Format
	}
}

func (in *instancer) typed(dst []byte, s *schema, depth int) ([]byte, bool) {
	switch s.kind() {
	case "object":
		return in.object(dst, s, depth)
	case "array":
		return in.array(dst, s, depth)
	case "string":
		return in.text(dst, s)
	case "integer", "number":
		return s.number(dst)
	case "boolean":
		return append(dst, "true"...), true
	case "null":
		return append(dst, "null"...), true
	default:
		return append(dst, `"simulated"`...), true
	}
}

// kind is the type, or the first of several that is not null; where none is
// named, what the other words of the schema speak of.
func (s *schema) kind() string {
	switch s.Type.Kind() {
	case '"':
		return literal(s.Type)
	case '[':
		var list []string
		if json.Unmarshal(s.Type, &list) == nil {
			for _, t := range list {
				if t != "null" {
					return t
				}
			}
			return "null"
		}
	}
	switch {
	case s.Properties != nil || s.Required != nil:
		return "object"
	case s.Items != nil || s.PrefixItems != nil:
		return "array"
	case s.Minimum != nil || s.Maximum != nil || s.MultipleOf != nil:
		return "number"
	}
	return ""
}

func (in *instancer) object(dst []byte, s *schema, depth int) ([]byte, bool) {
	dst = append(dst, '{')
	seen := map[string]bool{}
	for _, name := range s.Required {
		if seen[name] {
			continue
		}
		if len(seen) > 0 {
			dst = append(dst, ',')
		}
		seen[name] = true
		dst = append(quote(dst, name), ':')
		v, ok := s.Properties[name]
		if !ok {
			v = jsontext.Value("true")
		}
		if dst, ok = in.value(dst, v, depth+1); !ok {
			return dst, false
		}
	}
	return append(dst, '}'), true
}

func (in *instancer) array(dst []byte, s *schema, depth int) ([]byte, bool) {
	dst = append(dst, '[')
	n := max(s.MinItems, len(s.PrefixItems))
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		item := s.Items
		if i < len(s.PrefixItems) {
			item = s.PrefixItems[i]
		}
		if item == nil {
			item = jsontext.Value("true")
		}
		var ok bool
		if dst, ok = in.value(dst, item, depth+1); !ok {
			return dst, false
		}
	}
	return append(dst, ']'), true
}

// formats are values of the formats that validators check.
var formats = map[string]string{
	"date":         "2026-01-02",
	"time":         "03:04:05Z",
	"date-time":    "2026-01-02T03:04:05Z",
	"duration":     "P1D",
	"email":        "simulated@example.com",
	"hostname":     "example.com",
	"ipv4":         "192.0.2.1",
	"ipv6":         "2001:db8::1",
	"uri":          "https://example.com/",
	"url":          "https://example.com/",
	"uuid":         "01234567-89ab-4def-8123-456789abcdef",
	"json-pointer": "/simulated",
	"regex":        "simulated",
}

func (in *instancer) text(dst []byte, s *schema) ([]byte, bool) {
	text, ok := formats[s.Format]
	if !ok {
		text = "simulated"
	}
	if len(text) < s.MinLength {
		if s.MinLength > maxPiece*1024 {
			return dst, false
		}
		text += strings.Repeat("x", s.MinLength-len(text))
	}
	if s.MaxLength != nil && len(text) > *s.MaxLength {
		text = text[:max(*s.MaxLength, 0)]
	}
	return quote(dst, text), true
}

func (s *schema) number(dst []byte) ([]byte, bool) {
	step := 1.0
	if s.MultipleOf != nil && *s.MultipleOf > 0 {
		step = *s.MultipleOf
	}
	low, high := math.Inf(-1), math.Inf(1)
	raise := func(p *float64, by float64) {
		if p != nil {
			low = max(low, *p+by)
		}
	}
	raise(s.Minimum, 0)
	raise(s.ExclusiveMinimum, step/2)
	if s.Maximum != nil {
		high = *s.Maximum
	}
	if s.ExclusiveMaximum != nil {
		high = min(high, *s.ExclusiveMaximum-step/2)
	}
	n := step
	if n > high {
		n = math.Floor(high/step) * step
	}
	if n < low {
		n = math.Ceil(low/step) * step
	}
	if n > high && s.kind() == "number" && s.MultipleOf == nil {
		n = (low + high) / 2 // a range narrower than a whole number
	}
	return strconv.AppendFloat(dst, n, 'f', -1, 64), n >= low && n <= high
}

// resolve follows a reference within the schema, such as "#/$defs/node".
func (in *instancer) resolve(ref string) (jsontext.Value, bool) {
	path, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil, false
	}
	v := in.root
	for token := range jsontext.Pointer(path).Tokens() {
		if v.Kind() != '{' {
			return nil, false
		}
		var members map[string]jsontext.Value
		if json.Unmarshal(v, &members) != nil {
			return nil, false
		}
		if v, ok = members[token]; !ok {
			return nil, false
		}
	}
	return bytes.TrimSpace(v), true
}
