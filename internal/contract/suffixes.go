package contract

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/money"
)

// SuffixMeaning says what a [Suffix] asks of the gateway.
type SuffixMeaning uint8

// The meanings of a Suffix.
const (
	SuffixSort     SuffixMeaning = iota // an order of the model's providers
	SuffixTools                         // the model must be able to call tools
	SuffixCaching                       // the conversation stays where its prompt is cached, which must have a price
	SuffixProvider                      // the suffix is the name of a provider
	SuffixRefuse                        // the request is refused
)

// Suffix is what callers may write behind the name of a model, with a colon before
// it and in any case of letters. What is a model's whole name is never one.
type Suffix struct {
	Name   string // in lower case; with a * at its end, everything that begins so
	Means  SuffixMeaning
	Sort   string     // of SuffixSort: one of Sorts
	Fault  fault.Code // of SuffixRefuse
	prefix bool
}

// Sorts lists the orders of providers that callers ask for by name.
func Sorts() []string { return []string{"price", "latency", "throughput", "speed"} }

// Suffixes reports whether the contract knows any.
func (c *Contract) Suffixes() bool { return len(c.suffixes) > 0 }

// Suffix returns the suffix that callers write so: the one of just that name, or else
// the longest that it begins with.
func (c *Contract) Suffix(name string) (found Suffix, ok bool) {
	name = strings.ToLower(name)
	for i := range c.suffixes {
		s := &c.suffixes[i]
		head := strings.TrimSuffix(s.Name, "*")
		switch {
		case !s.prefix && s.Name == name:
			return *s, true
		case s.prefix && strings.HasPrefix(name, head) && (!ok || len(s.Name) > len(found.Name)):
			found, ok = *s, true
		}
	}
	return found, ok
}

// Surcharge is what the caller's own choice of a provider costs where the site does
// not say otherwise, in parts of a million of the price.
func (c *Contract) Surcharge() money.Rate { return c.surcharge }

var suffixMeanings = map[string]SuffixMeaning{
	"sort": SuffixSort, "tools": SuffixTools, "caching": SuffixCaching, "provider": SuffixProvider, "refuse": SuffixRefuse,
}

// suffixRule is what a suffix is like.
var suffixRule = regexp.MustCompile(`^([a-z0-9][a-z0-9/._-]*\*?|\*)$`)

func (p *parser) suffixes(n *yaml.Node) {
	for _, at := range p.mapping(n, "suffixes") {
		what := "suffix " + at.name
		if !suffixRule.MatchString(at.name) {
			p.fail(at.key, "%s: is not small letters, digits and /._-, which may end with *", what)
			continue
		}
		s := Suffix{Name: at.name, prefix: strings.HasSuffix(at.name, "*")}
		f := p.fields(at.value, what, "means", "sort", "fault")
		if f["means"] == nil {
			p.fail(at.value, "%s: means is missing; it is sort, tools, caching, provider or refuse", what)
			continue
		}
		name := p.choice(f["means"], what+".means", "sort", "tools", "caching", "provider", "refuse")
		if name == "" {
			continue
		}
		s.Means = suffixMeanings[name]
		if v := f["sort"]; v != nil {
			s.Sort = p.choice(v, what+".sort", Sorts()...)
		}
		if v := f["fault"]; v != nil {
			s.Fault, _ = p.code(v, what+".fault")
		}
		switch {
		case (s.Means == SuffixSort) != (f["sort"] != nil):
			p.fail(at.value, "%s: sort has a sort, and nothing else has", what)
		case (s.Means == SuffixRefuse) != (f["fault"] != nil):
			p.fail(at.value, "%s: refuse has a fault, and nothing else has", what)
		case (s.Means == SuffixProvider) != (s.Name == "*"):
			p.fail(at.value, "%s: * is a provider, and nothing else is", what)
		}
		p.c.suffixes = append(p.c.suffixes, s)
	}
	if len(p.c.suffixes) == 0 {
		p.fail(n, "suffixes: there is none; leave it out")
	}
}

func (p *parser) selection(n *yaml.Node) {
	v := p.fields(n, "provider_selection", "surcharge")["surcharge"]
	if v == nil {
		p.fail(n, "provider_selection: surcharge is missing")
		return
	}
	s, err := money.ParsePercent(p.str(v, "provider_selection.surcharge"))
	if err != nil {
		p.fail(v, "provider_selection.surcharge: %s is not a share from 0%% to 100%%, with at most four decimals", shown(v))
	}
	p.c.surcharge = s
}
