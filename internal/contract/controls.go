package contract

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pontage/pontage/internal/fault"
)

// ControlMeaning says what a [Control] asks of the gateway.
type ControlMeaning uint8

// The meanings of a Control.
const (
	ControlNothing    ControlMeaning = iota // it is known, and has no effect
	ControlNoFallback                       // only the first target may answer
	ControlSticky                           // another target would break the cache of the prompt
	ControlRefuse                           // the request is refused
	ControlModels                           // a list of models, of which the first is asked for and the others after it
	ControlChain                            // the same in the model's name, with > between them
	ControlProviders                        // which providers may answer, and in which order
	ControlCaching                          // the conversation stays where its prompt is cached
)

// Control is a member of a request's body, or a header, that speaks to the
// gateway. A member goes no further: it is not sent to a provider.
//
// A control with a Value takes effect where the caller sent that: the boolean
// itself in a body; in a header true, 1, yes or on, or false, 0, no or off. One
// without takes effect whatever was sent, unless that is false, 0, no, off, empty
// or an object whose member enabled is false.
//
// An object that has the member Unless is the dialect's own: it stays, but for
// what other controls name within it. All controls of a member share that.
type Control struct {
	Member   []string // the member's name, and that of a member within it; nil: a header
	Header   string   // canonical; empty: a member
	Value    bool
	HasValue bool
	Surfaces []string // where it holds; empty: everywhere
	Unless   string   // a member of an object that is the dialect's own; empty: none is
	Means    ControlMeaning
	Fault    fault.Code // of ControlRefuse
}

var meanings = map[string]ControlMeaning{
	"nothing": ControlNothing, "no_fallback": ControlNoFallback, "sticky": ControlSticky, "refuse": ControlRefuse,
	"models": ControlModels, "chain": ControlChain, "providers": ControlProviders, "caching": ControlCaching,
}

// meaningNames lists them for people.
const meaningNames = "no_fallback, sticky, caching, refuse, models, chain, providers or nothing"

// memberRule is what the names of members are like that a control can have.
var memberRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func (p *parser) controls(n *yaml.Node) {
	for _, at := range p.mapping(n, "controls") {
		what := "control " + at.name
		var c Control
		if name, ok := strings.CutPrefix(at.name, "header."); ok {
			c.Header = http.CanonicalHeaderKey(name)
			if !tokenRule.MatchString(name) || slices.ContainsFunc(p.c.controls, func(d Control) bool { return d.Header == c.Header }) {
				p.fail(at.key, "%s: %q is not the name of a header, or stands here twice", what, name)
			}
		} else {
			c.Member = strings.Split(at.name, ".")
			if len(c.Member) > 2 || slices.ContainsFunc(c.Member, func(s string) bool { return !memberRule.MatchString(s) }) {
				p.fail(at.key, "%s: is not a member, a member.within it, or header.NAME", what)
			}
		}
		p.control(&c, at.value, what)
		p.c.controls = append(p.c.controls, c)
	}
	for _, whole := range p.c.controls {
		if whole.Unless == "" {
			continue
		}
		for i := range p.c.controls {
			if c := &p.c.controls[i]; len(c.Member) == 2 && c.Member[0] == whole.Member[0] {
				c.Unless = whole.Unless
			}
		}
	}
}

// named reports whether a control names models or providers.
func (c *Control) named() bool {
	return c.Means == ControlModels || c.Means == ControlChain || c.Means == ControlProviders
}

// Late reports whether it is enough to look for a member once the request was
// decoded: most requests have none of these, and each look at a long body costs.
func (c *Control) Late() bool { return c.Means == ControlModels || c.Means == ControlProviders }

func (p *parser) control(c *Control, n *yaml.Node, what string) {
	f := p.fields(n, what, "value", "unless", "surfaces", "means", "fault")
	if v := f["value"]; v != nil {
		c.Value, c.HasValue = p.boolean(v, what+".value"), true
	}
	if v := f["unless"]; v != nil {
		if c.Unless = p.str(v, what+".unless"); len(c.Member) != 1 || !memberRule.MatchString(c.Unless) {
			p.fail(v, "%s: unless is the name of a member within a member", what)
			c.Unless = ""
		}
	}
	if v := f["surfaces"]; v != nil {
		for _, item := range p.list(v, what+".surfaces") {
			if s := p.choice(item, what+".surfaces", Surfaces()...); s != "" {
				c.Surfaces = append(c.Surfaces, s)
			}
		}
		if len(c.Surfaces) == 0 {
			p.fail(v, "%s.surfaces: names no surface", what)
		}
	}
	if v := f["means"]; v == nil {
		p.fail(n, "%s: means is missing; it is "+meaningNames, what)
		return
	} else if name := p.choice(v, what+".means", "no_fallback", "sticky", "caching", "refuse", "models", "chain", "providers", "nothing"); name == "" {
		return
	} else {
		c.Means = meanings[name]
	}
	if v := f["fault"]; v != nil {
		c.Fault, _ = p.code(v, what+".fault")
	}
	switch {
	case c.Means == ControlRefuse && f["fault"] == nil:
		p.fail(n, "%s: refuse needs a fault", what)
	case c.Means != ControlRefuse && f["fault"] != nil:
		p.fail(f["fault"], "%s: only refuse has a fault", what)
	case (c.Means == ControlNothing || c.named()) && c.HasValue:
		p.fail(f["value"], "%s: %s has no value", what, f["means"].Value)
	case c.Means == ControlChain && (len(c.Member) != 1 || c.Member[0] != "model"):
		p.fail(n, "%s: only model can be a chain", what)
	case c.named() && len(c.Member) > 1, c.Means == ControlModels && c.Header != "":
		p.fail(n, "%s: %s is a whole member of the body", what, f["means"].Value)
	case (c.Means == ControlNoFallback || c.Means == ControlSticky || c.Means == ControlCaching) && !c.HasValue:
		p.fail(n, "%s: value is missing; it is true or false", what)
	}
}
