package config

import (
	"fmt"
	"slices"
	"strings"
)

// classNames lists the classes that there are, at the top and on the given
// sites.
func (v *validator) classNames(sites ...Site) []string {
	out := slices.Clone(weights)
	for _, c := range v.c.Classes {
		out = append(out, c.Name)
	}
	for _, s := range sites {
		for _, c := range s.Classes {
			out = append(out, c.Name)
		}
	}
	return out
}

func (v *validator) class(path, name string, known []string) {
	if name != "" && !slices.Contains(known, name) {
		v.bad(path, "there is no class %q%s", clip(name), meant(name, known))
	}
}

func (v *validator) classes(path string, list []Class) {
	for _, c := range list {
		at := path + "." + c.Name
		if len(c.Models) == 0 && len(c.When) == 0 && !v.wrong(at) && !v.wrong(at+".models") {
			v.bad(at, "matches nothing: give it models or when")
		}
		for i, g := range c.Models {
			if g == "" {
				v.bad(fmt.Sprintf("%s.models[%d]", at, i), "is empty")
			}
		}
	}
}

func (v *validator) models(path string, models map[string]Model) {
	for _, name := range names(models) {
		m, at := models[name], path+"."+name
		if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			v.bad(at, "a model's name is 1 to %d bytes without spaces", maxName)
		}
		v.targets(at, m.Targets)
		if m.Order != "" {
			v.oneOf(at+".order", m.Order, orders)
		}
		if m.Affinity != "" {
			v.oneOf(at+".affinity", m.Affinity, affinity)
		}
		if v.c.lines[at+".attempts"] > 0 {
			v.within(at+".attempts", int64(m.Attempts), 1, maxAttempts)
		}
		v.within(at+".context", m.Context, 0, maxTokens)
		v.within(at+".max_output", m.MaxOutput, 0, maxTokens)
		if m.Context > 0 && m.MaxOutput > m.Context {
			v.bad(at+".max_output", "is above the context")
		}
		if m.Kind != "" {
			v.oneOf(at+".kind", m.Kind, modelKinds)
		}
		for i, in := range m.Input {
			v.oneOf(fmt.Sprintf("%s.input[%d]", at, i), in, inputs)
		}
	}
}

func (v *validator) targets(path string, targets []Target) {
	seen := map[Target]int{}
	for i, t := range targets {
		at := fmt.Sprintf("%s.targets[%d]", path, i)
		_, known := v.c.Providers[t.Provider]
		switch {
		case v.wrong(at) || v.wrong(at+".provider"):
			continue
		case t.Provider == "":
			v.bad(at, "provider is missing")
		case !known:
			v.bad(at+".provider", "there is no provider %q%s", clip(t.Provider), meant(t.Provider, names(v.c.Providers)))
		}
		if t.API != "" {
			v.oneOf(at+".api", t.API, apis)
			if kind := v.c.Providers[t.Provider].Kind; known && kind != "openai" && kind != "azure" && kind != "sim" {
				v.bad(at+".api", "is not spoken by providers of kind %s", kind)
			}
		}
		v.within(at+".weight", int64(t.Weight), 0, maxWeight)
		if c := t.Cost; c != nil && c.Input == nil && c.Output == nil && c.Request == nil && !v.wrong(at+".cost") {
			v.bad(at+".cost", "says nothing: give it input, output or request; input: 0 for what costs nothing")
		}
		key := Target{Provider: t.Provider, Model: t.Model}
		if first, twice := seen[key]; twice {
			v.bad(at, "is the same as targets[%d]", first)
		}
		seen[key] = i
	}
}

func (v *validator) fallbacks(path string, all map[string][]string) {
	for _, name := range names(all) {
		seen := map[string]bool{}
		for i, f := range all[name] {
			at := fmt.Sprintf("%s.%s[%d]", path, name, i)
			switch {
			case v.wrong(at):
			case f == "":
				v.bad(at, "is empty")
			case f == name:
				v.bad(at, "a model cannot be its own fallback")
			case seen[f]:
				v.bad(at, "is there twice")
			}
			seen[f] = true
		}
	}
}

func (v *validator) plans(path string, plans map[string]Plan, classes []string) {
	for _, name := range names(plans) {
		for _, class := range names(plans[name].Classes) {
			q, at := plans[name].Classes[class], path+"."+name+".classes."+class
			v.class(at, class, classes)
			if q.RequestsPerDay != nil {
				v.within(at+".requests_per_day", *q.RequestsPerDay, 0, maxLimit)
			}
			v.oneOf(at+".billing", q.Billing, billings)
		}
	}
}
