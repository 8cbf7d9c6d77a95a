package contract

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// HasAnswer reports whether the contract says what a success on this route looks
// like, whatever the query. Otherwise the surface's own shape is shown.
func (r Route) HasAnswer() bool { return r.answer != nil }

// HasDetailed reports whether it says so for a query with detailed=true.
func (r Route) HasDetailed() bool { return r.detailed != nil }

// Answer renders the body of a success on a route of this contract, with the
// extras that apply there behind the answer's own members. detailed asks for the
// route's detailed answer, where it has one. It is nil where the route has no
// such answer, and never fails: what d lacks is null.
func (c *Contract) Answer(r Route, detailed bool, d Data, f Facts) []byte {
	n := r.answer
	if detailed && r.detailed != nil {
		n = r.detailed
	}
	if n == nil {
		return nil
	}
	out := n.append(make([]byte, 0, 512), &scope{c: c, f: &f, data: &d})
	if n.shape != shapeObject {
		return out
	}
	first := len(out) == len("{}")
	out = out[:len(out)-1]
	s := &scope{c: c, f: &f}
	face := c.face(r.Envelope)
	for i := range c.extras {
		if x := &c.extras[i]; x.applies(face, onAnswer, &f) && x.isOf(r.Surface) {
			out, first = appendMembers(out, x.members, s, first)
		}
	}
	return append(out, '}')
}

// answer returns a value of an answer, under the contract's own term for it.
func (s *scope) answer(f field) value {
	if s.data == nil {
		return value{}
	}
	from := s.data.Values
	if f.inItem {
		from = s.item
	}
	out := from[f.arg].shown(f)
	if t, ok := s.c.terms[f.arg][out.s]; ok && !out.raw && slices.Contains(answerTexts, f.arg) {
		out.s = t
	}
	return out
}

// answerSurfaces lists the surfaces whose answers a contract can shape, sorted.
func answerSurfaces() []string { return slices.Sorted(maps.Keys(answers)) }

// answerNames are the placeholders of the answers of a surface, or of the items
// of one of its lists.
type answerNames struct {
	surface string
	list    string // empty: the answer itself
}

func (a answerNames) terms() []answerTerm {
	words := answers[a.surface]
	if a.list == "" {
		return words.terms
	}
	for _, l := range words.lists {
		if l.name == a.list {
			return l.terms
		}
	}
	return nil
}

// aspects are the endings of placeholders, by the kind of the value.
var aspects = map[valueKind][]aspect{
	valueText:   {{"", asItself}},
	valueNumber: {{"", asItself}},
	valueFlag:   {{"", asItself}},
	valueUSD:    {{"_usd", asItself}, {"_number", asNumber}, {"_cents", asCents}},
	valueTime:   {{"", asItself}, {"_unix", asUnix}, {"_ms", asMillis}},
}

type aspect struct {
	ending string
	as     shownAs
}

func (a answerNames) find(name string) (field, bool) {
	for _, t := range a.terms() {
		ending, ok := strings.CutPrefix(name, t.name)
		if !ok {
			continue
		}
		for _, aspect := range aspects[t.kind] {
			if aspect.ending == ending {
				return field{kind: kAnswer, arg: t.name, as: aspect.as, usd: t.kind == valueUSD, inItem: a.list != ""}, true
			}
		}
	}
	return field{}, false
}

func (a answerNames) lists() []string {
	var out []string
	if a.list == "" {
		for _, l := range answers[a.surface].lists {
			out = append(out, l.name)
		}
	}
	return out
}

func (a answerNames) within(list string) names {
	if a.list != "" || !slices.Contains(a.lists(), list) {
		return nil
	}
	return answerNames{surface: a.surface, list: list}
}

func (a answerNames) String() string {
	if a.list == "" {
		return "in an answer of " + a.surface
	}
	return "in an item of " + a.list + " of " + a.surface
}

// answer reads what a success on a route looks like.
func (p *parser) answer(r *Route, n *yaml.Node, f map[string]*yaml.Node, what string) {
	_, can := answers[r.Surface]
	models := r.Surface == "openai.models"
	if v := f["answer"]; v != nil && can {
		r.answer = p.tree(v, answerNames{surface: r.Surface}, what+": answer")
	}
	if v := f["detailed"]; v != nil && models {
		r.detailed = p.tree(v, answerNames{surface: r.Surface}, what+": detailed")
	}
	if v := f["only"]; v != nil && models {
		r.Only = p.choice(v, what+": only", "chat", "embedding")
	}
	if v := f["status"]; v != nil {
		r.Status = p.success(v, what+": status")
	}
	switch {
	case r.Surface == "": // told already
	case f["answer"] != nil && !can:
		p.fail(f["answer"], "%s: the answers of surface %s cannot be shaped; those of %s can", what, r.Surface, strings.Join(answerSurfaces(), ", "))
	case f["answer"] == nil && can && !models:
		p.fail(n, "%s: answer is missing", what)
	case f["status"] != nil && f["answer"] == nil && f["detailed"] == nil:
		p.fail(f["status"], "%s: status without answer", what)
	}
	for _, name := range []string{"detailed", "only"} {
		if f[name] != nil && !models && r.Surface != "" {
			p.fail(f[name], "%s: %s is only for surface openai.models", what, name)
		}
	}
}
