package contract

import (
	"encoding/json"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

var (
	wholeRule = regexp.MustCompile(`^\$([a-z][a-z0-9_]*)$`)
	namedRule = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	tokenRule = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
)

// placeholder finds a placeholder, and says what is wrong with it.
func (r *reader) placeholder(n *yaml.Node, name string, in where, what string) (field, bool) {
	f, ok, known := lookup(name, in)
	switch {
	case ok:
		return f, true
	case known:
		r.fail(n, "%s: placeholder %q has no meaning %s", what, name, whereNames[in])
	default:
		r.fail(n, "%s: unknown placeholder %q", what, name)
	}
	return field{}, false
}

// words compiles a text with {name} in it; {{ and }} are braces.
func (r *reader) words(n *yaml.Node, in where, what string) words {
	text := r.str(n, what)
	var out words
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			out = append(out, piece{lit: lit.String()})
			lit.Reset()
		}
	}
	for text != "" {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			i = len(text)
		}
		lit.WriteString(text[:i])
		text = text[i:]
		if text == "" {
			break
		}
		if strings.HasPrefix(text, "{{") || strings.HasPrefix(text, "}}") {
			lit.WriteByte(text[0])
			text = text[2:]
			continue
		}
		name, rest, closed := strings.Cut(text[1:], "}")
		if text[0] == '}' || !closed || !namedRule.MatchString(name) {
			r.fail(n, "%s: a brace that is no {placeholder}; write {{ or }} for a brace", what)
			return nil
		}
		if f, ok := r.placeholder(n, name, in, what); ok {
			if f.kind == kDetails || f.kind == kArgJSON {
				r.fail(n, "%s: %q cannot stand in a text", what, name)
			}
			flush()
			out = append(out, piece{field: f, isVar: true})
		}
		text = rest
	}
	flush()
	return out
}

// tree compiles any place of a template.
func (r *reader) tree(n *yaml.Node, in where, what string) *node {
	switch n.Kind {
	case yaml.MappingNode:
		if len(n.Content) > 0 && n.Content[0].Value == "each" {
			return r.each(n, in, what)
		}
		return &node{shape: shapeObject, members: r.members(n, in, what)}
	case yaml.SequenceNode:
		out := &node{shape: shapeArray}
		for _, item := range n.Content {
			out.items = append(out.items, r.tree(item, in, what))
		}
		return out
	}
	return r.scalar(n, in, what)
}

// scalar compiles a literal, a placeholder that keeps its type, or a text.
func (r *reader) scalar(n *yaml.Node, in where, what string) *node {
	switch tag := n.ShortTag(); tag {
	case "!!null":
		return &node{lit: []byte("null"), void: true}
	case "!!bool":
		return &node{lit: []byte(strings.ToLower(n.Value))}
	case "!!int", "!!float":
		if !json.Valid([]byte(n.Value)) {
			r.fail(n, "%s: %s is not a number in JSON", what, shown(n))
			return &node{lit: []byte("0")}
		}
		return &node{lit: []byte(n.Value)}
	case "!!str":
	default:
		r.fail(n, "%s: %s is of a kind (%s) that JSON does not have; quote it", what, shown(n), tag)
		return &node{lit: []byte("null")}
	}
	if m := wholeRule.FindStringSubmatch(n.Value); m != nil {
		f, ok := r.placeholder(n, m[1], in, what)
		if ok && f.kind == kDetails {
			r.fail(n, "%s: $details is a list: write {each: $details, as: …}", what)
		}
		return &node{shape: shapeField, field: f}
	}
	if n.Value == "" {
		return &node{lit: []byte(`""`), void: true}
	}
	if strings.HasPrefix(n.Value, "$$") {
		n = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: n.Value[1:], Line: n.Line}
	}
	w := r.words(n, in, what)
	if len(w) == 1 && !w[0].isVar {
		return &node{lit: appendString(nil, w[0].lit)}
	}
	return &node{shape: shapeWords, words: w}
}

// each compiles {each: $details, as: …}.
func (r *reader) each(n *yaml.Node, in where, what string) *node {
	f := r.fields(n, what, "each", "as")
	if f["each"] == nil || f["as"] == nil {
		r.fail(n, "%s: a list is written {each: $details, as: …}", what)
		return &node{lit: []byte("[]"), void: true}
	}
	if v := f["each"]; v.Kind != yaml.ScalarNode || v.Value != "$details" || in != inBody {
		r.fail(v, "%s: each: must be $details, in the body of a fault", what)
	}
	return &node{shape: shapeEach, each: r.tree(f["as"], inEach, what)}
}

// members compiles the members of an object. A name that ends in ? is left out
// when empty.
func (r *reader) members(n *yaml.Node, in where, what string) []member {
	var out []member
	for _, p := range r.mapping(n, what) {
		name, optional := strings.CutSuffix(p.name, "?")
		if name == "" || slices.ContainsFunc(out, func(m member) bool { return m.name == name }) {
			r.fail(p.key, "%s: member %q stands here twice or has no name", what, p.name)
			continue
		}
		out = append(out, member{
			name:     name,
			key:      append(appendString(nil, name), ':'),
			optional: optional,
			value:    r.tree(p.value, in, what+"."+name),
		})
	}
	return out
}

// ours are the headers that a contract cannot set.
var ours = []string{
	"Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection", "Date", "Set-Cookie",
	"Retry-After", "Retry-After-Ms", "X-Should-Retry", "X-Required-Usd", "X-Available-Usd", "X-Charge-Usd", "Allow", "X-Request-Id",
}

func (r *reader) headers(n *yaml.Node, in where, what string) []header {
	var out []header
	seen := map[string]bool{}
	for _, p := range r.mapping(n, what) {
		key := textproto.CanonicalMIMEHeaderKey(p.name)
		switch {
		case !tokenRule.MatchString(p.name):
			r.fail(p.key, "%s: %q is not the name of a header", what, p.name)
			continue
		case slices.Contains(ours, key):
			r.fail(p.key, "%s: %s is written by the gateway", what, p.name)
			continue
		case seen[key]:
			r.fail(p.key, "%s: %s stands here twice", what, p.name)
			continue
		}
		seen[key] = true
		v := p.value
		if m := wholeRule.FindStringSubmatch(v.Value); v.Kind == yaml.ScalarNode && m != nil {
			// In a header $x and {x} are the same.
			v = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "{" + m[1] + "}", Line: v.Line}
		}
		out = append(out, header{name: p.name, value: r.words(v, in, what+"."+p.name)})
	}
	return out
}
