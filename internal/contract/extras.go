package contract

import (
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/pontage/pontage/internal/money"
)

// extra is what every answer carries besides, on a condition.
type extra struct {
	name     string
	below    money.Amount // applies while the balance is below this
	hasBelow bool
	faces    []int    // empty: all
	surfaces []string // empty: all
	on       [3]bool
	members  []member
	headers  []header
}

// place is a kind of answer that an extra can appear on.
type place int

const (
	onAnswer place = iota
	onError
	onFrame
)

// applies reports whether an extra appears on an answer of that kind.
func (x *extra) applies(face int, p place, f *Facts) bool {
	if !x.on[p] || !x.isIn(face) {
		return false
	}
	if !x.hasBelow {
		return true
	}
	below := x.below
	if f.WarnBelow > 0 {
		below = f.WarnBelow
	}
	return f.HasBalance && f.Balance < below
}

// WarnBelow is the balance below which answers of the contract carry its warning,
// where the site has no bound of its own; the highest, if there are several; 0:
// there is no such warning.
func (c *Contract) WarnBelow() (below money.Amount) {
	for i := range c.extras {
		below = max(below, c.extras[i].below)
	}
	return below
}

// isIn reports whether an extra appears in an envelope.
func (x *extra) isIn(face int) bool { return len(x.faces) == 0 || slices.Contains(x.faces, face) }

// answers reports whether an extra can appear on a success of a route.
func (x *extra) answers(r Route, face int) bool {
	return x.on[onAnswer] && x.isIn(face) && x.isOf(r.Surface)
}

// isOf reports whether an extra appears on a surface.
func (x *extra) isOf(surface string) bool {
	return len(x.surfaces) == 0 || slices.Contains(x.surfaces, surface)
}

func (p *parser) extras(n *yaml.Node) {
	for _, at := range p.mapping(n, "extras") {
		what := "extra " + at.name
		p.name(at.key, what)
		f := p.fields(at.value, what, "below", "on", "envelopes", "surfaces", "members", "headers")
		x := extra{name: at.name, on: [3]bool{true, true, true}}
		if v := f["below"]; v != nil {
			a, err := money.ParseUSD(v.Value)
			if err != nil || a <= 0 {
				p.fail(v, "%s: below: %s is not a positive number of dollars", what, shown(v))
			}
			x.below, x.hasBelow = a, true
		}
		if v := f["on"]; v != nil {
			x.on = p.places(v, what+".on")
		}
		if v := f["envelopes"]; v != nil {
			for _, item := range p.list(v, what+".envelopes") {
				if i := p.envelope(item, what); i >= 0 {
					x.faces = append(x.faces, i)
				}
			}
		}
		if v := f["surfaces"]; v != nil {
			p.extraOf(&x, v, what)
		}
		if v := f["members"]; v != nil {
			x.members = p.members(v, inExtra, what)
		}
		if v := f["headers"]; v != nil {
			x.headers = p.headers(v, inExtra, what)
		}
		if len(x.members)+len(x.headers) == 0 {
			p.fail(at.key, "%s: adds neither members nor headers", what)
		}
		if len(x.surfaces) > 0 && len(x.headers) > 0 {
			p.fail(f["headers"], "%s: headers cannot be bound to surfaces", what)
		}
		p.c.extras = append(p.c.extras, x)
	}
}

// places reads the kinds of answers that an extra appears on.
func (p *parser) places(n *yaml.Node, what string) (on [3]bool) {
	for _, item := range p.list(n, what) {
		switch p.choice(item, what, "answer", "error", "frame") {
		case "answer":
			on[onAnswer] = true
		case "error":
			on[onError] = true
		case "frame":
			on[onFrame] = true
		}
	}
	return on
}

// extraOf reads the surfaces that an extra is bound to. A failure before the
// answer is one of an envelope, not of a surface.
func (p *parser) extraOf(x *extra, n *yaml.Node, what string) {
	for _, item := range p.list(n, what+".surfaces") {
		s := p.choice(item, what+".surfaces", Surfaces()...)
		if s != "" && !slices.ContainsFunc(p.c.routes, func(r Route) bool { return r.Surface == s }) {
			p.fail(item, "%s.surfaces: no route has the surface %q", what, s)
		}
		x.surfaces = append(x.surfaces, item.Value)
	}
	if x.on[onError] {
		p.fail(n, "%s: an extra of single surfaces cannot be on error; say on: [answer] or [answer, frame]", what)
	}
}
