package contract

import (
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"

	"github.com/pontage/pontage/internal/fault"
)

// decl is what a file says of one fault or class: of all envelopes, and of
// single ones.
type decl struct {
	key      *yaml.Node
	status   int // 0: not said; below: badly
	typ      *string
	code     *string
	param    *string
	words    []words
	fixed    bool
	envelope string
	add      []member
	headers  []header
	note     string
	in       map[int]*decl
}

var declFields = []string{"status", "type", "code", "param", "words", "fixed", "envelope", "add", "headers", "note", "in"}

func (p *parser) classes(n *yaml.Node) {
	for _, at := range p.mapping(n, "defaults") {
		if class, ok := p.class(at.key, "defaults"); ok {
			p.defaults[class] = p.decl(at.key, at.value, "default of class "+at.name, true)
		}
	}
}

func (p *parser) codes(n *yaml.Node) {
	for _, at := range p.mapping(n, "faults") {
		code, ok := p.code(at.key, "faults")
		if !ok {
			continue
		}
		d := p.decl(at.key, at.value, "fault "+at.name, true)
		p.faults[code] = d
		if secretive(code) {
			p.noUpstream(d, at.name)
		}
	}
}

// noUpstream refuses the provider's words where they would speak of our own
// credential.
func (p *parser) noUpstream(d *decl, name string) {
	for _, w := range d.words {
		for _, piece := range w {
			if piece.isVar && piece.field.kind == kUpstream {
				p.fail(d.key, "fault %s: the provider's words about our own credential are not for callers", name)
			}
		}
	}
	for _, sub := range d.in {
		p.noUpstream(sub, name)
	}
}

// decl reads a row. The row of one envelope has none of its own within.
func (p *parser) decl(key, n *yaml.Node, what string, outer bool) *decl {
	known := declFields
	if !outer {
		known = declFields[:len(declFields)-2]
	}
	f := p.fields(n, what, known...)
	d := &decl{key: key}
	if v := f["status"]; v != nil {
		if d.status = p.status(v, what+".status"); d.status == 0 {
			d.status = -1 // told
		}
	}
	if v := f["type"]; v != nil {
		d.typ = p.nullable(v, what+".type")
	}
	if v := f["code"]; v != nil {
		d.code = p.nullable(v, what+".code")
	}
	if v := f["param"]; v != nil {
		d.param = p.nullable(v, what+".param")
	}
	p.declWords(d, f, n, what)
	if v := f["envelope"]; v != nil && p.envelope(v, what) >= 0 {
		d.envelope = v.Value
	}
	if v := f["add"]; v != nil {
		d.add = p.members(v, inBody, what+".add")
	}
	if v := f["headers"]; v != nil {
		d.headers = p.headers(v, inBody, what+".headers")
	}
	if v := f["note"]; v != nil {
		d.note = p.str(v, what+".note")
	}
	if v := f["in"]; v != nil {
		d.in = map[int]*decl{}
		for _, at := range p.mapping(v, what+".in") {
			i, ok := p.c.byName[at.name]
			switch {
			case !ok:
				p.fail(at.key, "%s: unknown envelope %q", what, at.name)
			case !p.c.isFace(i):
				p.fail(at.key, "%s: no route answers in envelope %q, so this never applies", what, at.name)
			default:
				d.in[i] = p.decl(at.key, at.value, what+" in "+at.name, false)
			}
		}
	}
	return d
}

func (p *parser) declWords(d *decl, f map[string]*yaml.Node, n *yaml.Node, what string) {
	v := f["words"]
	switch {
	case v == nil:
	case v.Kind == yaml.SequenceNode:
		for _, item := range p.list(v, what+".words") {
			d.words = append(d.words, p.reader.words(item, inWords, what+".words"))
		}
	default:
		d.words = []words{p.reader.words(v, inWords, what+".words")}
	}
	if fixed := f["fixed"]; fixed != nil {
		d.fixed = p.boolean(fixed, what+".fixed")
		if v == nil {
			p.fail(n, "%s: fixed without words", what)
		}
	}
}

// layers lists what a file says of a fault on a face, the strongest first: the
// fault in that envelope, the fault, its class in that envelope, its class.
func (p *parser) layers(face int, code fault.Code) []*decl {
	var out []*decl
	for _, d := range []*decl{p.faults[code], p.defaults[code.Entry().Class]} {
		if d == nil {
			continue
		}
		if sub := d.in[face]; sub != nil {
			out = append(out, sub)
		}
		out = append(out, d)
	}
	return out
}

// compile makes the rows of every face, and checks the file as a whole.
func (p *parser) compile() {
	codes := fault.All()
	p.c.rows = make([][]row, len(p.c.envelopes))
	for _, e := range codes {
		if len(p.layers(0, e.Code)) == 0 {
			p.fail(p.root, "fault %s has no row: name it under faults, or give class %s a default", e.Name, e.Class)
		}
	}
	for face := range p.c.envelopes {
		p.c.rows[face] = make([]row, len(codes)+1)
		for _, e := range codes {
			p.c.rows[face][e.Code] = p.row(face, e)
		}
		if !p.used[face] {
			p.fail(p.nodes[face], "envelope %s is used by no route, fallback or fault", p.c.envelopes[face].name)
		}
	}
	p.clashes()
	for name, i := range p.c.byName {
		if !p.c.isFace(i) {
			delete(p.c.byName, name) // only rows lead there
		}
	}
}

// row merges the layers of one fault on one face.
func (p *parser) row(face int, e fault.Entry) row {
	out := row{face: face, envelope: p.c.envelopes[face]}
	layers := p.layers(face, e.Code)
	var typ, code, param *string
	chosen := false
	for _, d := range layers {
		if out.status == 0 {
			out.status = d.status
		}
		if typ == nil {
			typ = d.typ
		}
		if code == nil {
			code = d.code
		}
		if param == nil {
			param = d.param
		}
		if out.words == nil {
			out.words, out.fixed = d.words, d.fixed
		}
		if d.envelope != "" && !chosen {
			out.envelope, chosen = p.c.envelopes[p.c.byName[d.envelope]], true
		}
		if out.add == nil {
			out.add = d.add
		}
		if out.headers == nil {
			out.headers = d.headers
		}
		if out.note == "" {
			out.note = d.note
		}
	}
	out.statusText, out.code, out.param = strconv.Itoa(out.status), deref(code), deref(param)
	if len(layers) == 0 || out.status < 0 || !p.c.isFace(face) {
		return out
	}
	if out.status == 0 {
		p.fail(layers[0].key, "fault %s in envelope %s: no status, neither of its own nor of class %s", e.Name, p.c.envelopes[face].name, e.Class)
		return out
	}
	told := len(p.problems)
	out.typ = p.typeIn(face, out.envelope, layers, typ, out.status)
	out.frameTyp = p.typeIn(face, p.c.envelopes[face], layers, typ, out.status)
	if out.typ == "" && wantsType(out.envelope.members) && len(p.problems) == told {
		p.fail(layers[0].key, "fault %s in envelope %s: no type", e.Name, out.envelope.name)
	}
	return out
}

// typeIn returns the type of a fault. Where the envelope has a table of types
// by status, only a row for that very envelope comes before it.
func (p *parser) typeIn(face int, e *envelope, layers []*decl, typ *string, status int) string {
	if e.types == nil {
		return deref(typ)
	}
	for _, d := range layers {
		if d.typ != nil && p.isIn(face, d) {
			return *d.typ
		}
	}
	t := typeOf(e.types, status)
	if t == "" {
		p.fail(layers[0].key, "envelope %s: no type for status %d", e.name, status)
	}
	return t
}

// isIn reports whether d is the row of the one envelope.
func (p *parser) isIn(face int, d *decl) bool {
	for _, outer := range p.faults {
		if outer.in[face] == d {
			return true
		}
	}
	for _, outer := range p.defaults {
		if outer.in[face] == d {
			return true
		}
	}
	return false
}

// wantsType reports whether a template shows the type where it must not be empty.
func wantsType(members []member) bool {
	return slices.ContainsFunc(members, func(m member) bool {
		switch {
		case m.optional:
			return false
		case m.value.shape == shapeObject:
			return wantsType(m.value.members)
		}
		return m.value.shape == shapeField && m.value.field.kind == kType
	})
}

// clashes refuses a member that would stand twice in one body.
func (p *parser) clashes() {
	for face := range p.c.envelopes {
		for _, e := range fault.All() {
			r := &p.c.rows[face][e.Code]
			for _, m := range r.add {
				if has(r.envelope.members, m.name) {
					p.fail(p.faultNode(e), "fault %s: added member %q stands in envelope %s already", e.Name, m.name, r.envelope.name)
				}
			}
		}
	}
	for i, x := range p.c.extras {
		for _, m := range x.members {
			if p.taken(m.name) || slices.ContainsFunc(p.c.extras[:i], func(y extra) bool { return has(y.members, m.name) }) {
				p.fail(p.root, "extra %s: member %q stands in an envelope, a fault or another extra already", x.name, m.name)
			}
			for _, r := range p.c.routes {
				if x.answers(r, p.c.byName[r.Envelope]) && (r.answer.has(m.name) || r.detailed.has(m.name)) {
					p.fail(p.root, "extra %s: member %q stands in the answer of route %s %s already", x.name, m.name, r.Method, r.Path)
				}
			}
		}
	}
}

// taken reports whether a member stands in any envelope, frame or row.
func (p *parser) taken(name string) bool {
	for i, e := range p.c.envelopes {
		if has(e.members, name) || has(e.frame.members, name) {
			return true
		}
		for j := range p.c.rows[i] {
			if has(p.c.rows[i][j].add, name) {
				return true
			}
		}
	}
	for _, f := range p.c.surfaces {
		if has(f.members, name) {
			return true
		}
	}
	return false
}

func (p *parser) faultNode(e fault.Entry) *yaml.Node {
	if d := p.faults[e.Code]; d != nil {
		return d.key
	}
	return p.defaults[e.Class].key
}

func has(members []member, name string) bool {
	return slices.ContainsFunc(members, func(m member) bool { return m.name == name })
}

// has reports whether a template, if there is one, is an object with the member.
func (n *node) has(name string) bool { return n != nil && has(n.members, name) }

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
