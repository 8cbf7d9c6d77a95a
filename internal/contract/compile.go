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
	namedRule = regexp.MustCompile(`^([a-z][a-z0-9_]*)(?::([0-9]+))?$`)
	tokenRule = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
)

// placeholder finds a placeholder, and says what is wrong with it.
func (r *reader) placeholder(n *yaml.Node, name string, in names, what string) (field, bool) {
	f, ok := in.find(name)
	switch {
	case ok:
		return f, true
	case known(name):
		r.fail(n, "%s: placeholder %q has no meaning %s", what, name, in)
	default:
		r.fail(n, "%s: unknown placeholder %q", what, name)
	}
	return field{}, false
}

// inText finds the placeholder that a text has in braces: a name, or the name of
// an amount of money with how many decimals it is to have, {x:2}.
func (r *reader) inText(n *yaml.Node, m []string, in names, what string) (field, bool) {
	name, places := m[1], m[2]
	if in.within(name) != nil {
		r.fail(n, "%s: %q cannot stand in a text", what, name)
		return field{}, false
	}
	f, ok := r.placeholder(n, name, in, what)
	switch {
	case !ok:
		return f, false
	case f.kind == kArgJSON:
		r.fail(n, "%s: %q cannot stand in a text", what, name)
	case places == "":
	case !f.money() || f.as != asItself || f.places != exact:
		r.fail(n, "%s: {%s:%s}: only an exact amount of money, as text, can have its decimals cut", what, name, places)
	case len(places) > 1:
		r.fail(n, "%s: {%s:%s}: an amount of money has 0 to 9 decimals", what, name, places)
	default:
		f.places = fixed(int(places[0] - '0'))
	}
	return f, true
}

// words compiles a text with {name} in it; {{ and }} are braces.
func (r *reader) words(n *yaml.Node, in names, what string) words {
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
		m := namedRule.FindStringSubmatch(name)
		if text[0] == '}' || !closed || m == nil {
			r.fail(n, "%s: a brace that is no {placeholder}; write {{ or }} for a brace", what)
			return nil
		}
		if f, ok := r.inText(n, m, in, what); ok {
			flush()
			out = append(out, piece{field: f, isVar: true})
		}
		text = rest
	}
	flush()
	return out
}

// tree compiles any place of a template.
func (r *reader) tree(n *yaml.Node, in names, what string) *node {
	switch n.Kind {
	case yaml.MappingNode:
		if repeats(n) {
			return r.each(n, in, what)
		}
		return &node{shape: shapeObject, members: r.members(n, in, what)}
	case yaml.SequenceNode:
		out := &node{shape: shapeArray}
		for _, item := range n.Content {
			out.items = append(out.items, r.item(item, in, what))
		}
		return out
	}
	return r.scalar(n, in, what)
}

// item compiles an item of a list, which may be {when: $x, as: …}.
func (r *reader) item(n *yaml.Node, in names, what string) *node {
	if n.Kind != yaml.MappingNode || len(n.Content) != 4 || n.Content[0].Value != "when" || n.Content[2].Value != "as" {
		return r.tree(n, in, what)
	}
	out := r.tree(n.Content[3], in, what)
	out.when = r.scalar(n.Content[1], in, what+": when")
	return out
}

// scalar compiles a literal, a placeholder that keeps its type, or a text.
func (r *reader) scalar(n *yaml.Node, in names, what string) *node {
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
		if in.within(m[1]) != nil {
			r.fail(n, "%s: $%s is a list: write {each: $%s, as: …}", what, m[1], m[1])
			return &node{lit: []byte("null")}
		}
		f, _ := r.placeholder(n, m[1], in, what)
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

// repeats reports whether a mapping is {each: …, as: …}, in whatever order.
func repeats(n *yaml.Node) bool {
	c := n.Content
	return len(c) > 0 && c[0].Value == "each" || len(c) == 4 && c[0].Value == "as" && c[2].Value == "each"
}

// each compiles {each: $list, as: …}.
func (r *reader) each(n *yaml.Node, in names, what string) *node {
	empty := &node{lit: []byte("[]"), void: true}
	lists := in.lists()
	if len(lists) == 0 {
		r.fail(n, "%s: there is nothing to repeat %s", what, in)
		return empty
	}
	f := r.fields(n, what, "each", "as")
	if f["each"] == nil || f["as"] == nil {
		r.fail(n, "%s: a list is written {each: $%s, as: …}", what, lists[0])
		return empty
	}
	v := f["each"]
	name, dollar := strings.CutPrefix(v.Value, "$")
	if v.Kind != yaml.ScalarNode || !dollar || !slices.Contains(lists, name) {
		r.fail(v, "%s: each: must be $%s", what, strings.Join(lists, " or $"))
		return empty
	}
	return &node{shape: shapeEach, list: name, each: r.tree(f["as"], in.within(name), what)}
}

// members compiles the members of an object. A name that ends in ? is left out
// when empty.
func (r *reader) members(n *yaml.Node, in names, what string) []member {
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
	"X-Client-Request-Id", "Idempotency-Replayed", "X-Dropped-Params", "X-Dropped-Output", "X-Output-Capped-By", "Trailer", "Upgrade",
}

func (r *reader) headers(n *yaml.Node, in names, what string) []header {
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
