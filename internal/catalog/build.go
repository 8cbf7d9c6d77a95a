package catalog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxAttempts is the most tries that a model may be given.
const maxAttempts = 10

// Input is what a catalogue is built from. Maps and slices are read and not
// kept.
type Input struct {
	Table     *Table // facts; nil: none
	Providers []Provider
	Models    map[string]Entry
	Classes   []Class
	Fallbacks map[string][]string
	Plans     map[string]Plan
	Sites     []Overlay

	// Dev offers every model of the table: those that none of Providers
	// serves are served by the provider named Sim.
	Dev bool
	Sim string
}

// Provider is one provider of the configuration.
type Provider struct {
	Name  string
	Table string // whose rows of the table it serves; empty: none
}

// Entry is what the configuration says of one model. What is nil, empty or zero
// is not said, and is taken from the table, from the entry of the same model at
// the top if this one is a site's, or else from the defaults: a chat model that
// takes text, and of which nobody knows that it could not do something.
type Entry struct {
	Targets   []Target
	Attempts  int
	Order     string
	Affinity  string
	Class     string
	Kind      string
	OwnedBy   string
	Context   int64
	MaxOutput int64
	Price     *PriceEntry // replaces a price as a whole
	Inputs    []Modality

	Tools, ForcedTool, Reasoning, JSONSchema, Temperature, BatchInput, Enabled *bool
}

// Overlay is what one site has of its own.
type Overlay struct {
	Site      string // name of the view
	Path      string // of the site in the configuration, for errors: "sites[1]"
	Models    map[string]Entry
	Classes   []Class             // looked at before those at the top; a name again replaces
	Fallbacks map[string][]string // per model, in place of those at the top
	Plans     map[string]Plan     // per name, in place of those at the top
	OnlyPlans []string            // if not nil: the plans of this site, by name
	Standard  string              // plan of accounts without one; empty: none
}

// Problem is one thing wrong with an [Input].
type Problem struct {
	Path   string // in the configuration: "models.gpt-4o.price.input"
	Reason string
}

// Error returns path and reason.
func (p *Problem) Error() string { return p.Path + ": " + p.Reason }

// Build makes a catalogue. Its error joins a *Problem for everything that is
// wrong, in the order of their paths.
func Build(in Input) (*Catalog, error) {
	b := &builder{in: in, served: map[string]served{}, known: map[string]bool{}}
	if b.in.Table == nil {
		b.in.Table = &Table{}
	}
	for _, p := range in.Providers {
		b.known[p.Name] = true
	}
	b.serve()
	c := &Catalog{sites: make(map[string]*View, len(in.Sites))}
	c.base = b.view("", in.Models, in.Models, Overlay{})
	for _, o := range in.Sites {
		if len(o.Models)+len(o.Classes)+len(o.Fallbacks)+len(o.Plans) == 0 && o.OnlyPlans == nil && o.Standard == "" {
			continue
		}
		merged := maps.Clone(in.Models)
		if merged == nil {
			merged = make(map[string]Entry, len(o.Models))
		}
		for name, e := range o.Models {
			merged[name] = e.over(merged[name])
		}
		c.sites[o.Site] = b.view(o.Path, merged, o.Models, o)
	}
	if len(b.problems) > 0 {
		slices.SortStableFunc(b.problems, func(x, y *Problem) int { return strings.Compare(x.Path, y.Path) })
		errs := make([]error, len(b.problems))
		for i, p := range b.problems {
			errs[i] = p
		}
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// over returns e with what it does not say taken from under.
func (e Entry) over(under Entry) Entry {
	if e.Targets != nil {
		under.Targets = e.Targets
	}
	if e.Inputs != nil {
		under.Inputs = e.Inputs
	}
	if e.Price != nil {
		under.Price = e.Price
	}
	set(&under.Attempts, e.Attempts)
	set(&under.Order, e.Order)
	set(&under.Affinity, e.Affinity)
	set(&under.Class, e.Class)
	set(&under.Kind, e.Kind)
	set(&under.OwnedBy, e.OwnedBy)
	set(&under.Context, e.Context)
	set(&under.MaxOutput, e.MaxOutput)
	set(&under.Tools, e.Tools)
	set(&under.ForcedTool, e.ForcedTool)
	set(&under.Reasoning, e.Reasoning)
	set(&under.JSONSchema, e.JSONSchema)
	set(&under.Temperature, e.Temperature)
	set(&under.BatchInput, e.BatchInput)
	set(&under.Enabled, e.Enabled)
	return under
}

// set sets *p to v unless v is the zero value.
func set[T comparable](p *T, v T) {
	var zero T
	if v != zero {
		*p = v
	}
}

type builder struct {
	in       Input
	served   map[string]served // models of the table that some provider serves, by id
	known    map[string]bool   // names of providers
	problems []*Problem
}

// served is a row and the provider that serves it.
type served struct {
	row      *row
	provider string
}

func (b *builder) bad(path, format string, args ...any) {
	b.problems = append(b.problems, &Problem{path, fmt.Sprintf(format, args...)})
}

// serve finds the provider of each model of the table: that of the first row
// with a provider of the configuration, or else the simulator in dev.
func (b *builder) serve() {
	by := make(map[string]string, len(b.in.Providers))
	for _, p := range b.in.Providers {
		if p.Table != "" && by[p.Table] == "" {
			by[p.Table] = p.Name
		}
	}
	t := b.in.Table
	for i := range t.rows {
		r := &t.rows[i]
		if name := by[r.provider]; name != "" && b.served[r.id].row == nil {
			b.served[r.id] = served{r, name}
		}
	}
	if !b.in.Dev {
		return
	}
	for i := range t.rows {
		if r := &t.rows[i]; b.served[r.id].row == nil {
			b.served[r.id] = served{r, b.in.Sim}
		}
	}
}

// view builds one site's view. Only what stands in own, entries of this site,
// is reported; the rest has been already.
func (b *builder) view(path string, entries, own map[string]Entry, o Overlay) *View {
	if path != "" {
		path += "."
	}
	v := &View{
		models:    make(map[string]*Model, len(b.served)+len(entries)),
		fallbacks: map[string][]string{},
		classes:   classes(o.Classes, b.in.Classes),
	}
	for id, s := range b.served {
		if _, ok := entries[id]; !ok {
			m := b.fromRow(s.row)
			m.Targets = []Target{{Provider: s.provider, Model: id}}
			v.add(m)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		report := func(string, string, ...any) {}
		if _, ok := own[name]; ok {
			report = func(field, format string, args ...any) {
				b.bad(strings.TrimSuffix(path+"models."+name+"."+field, "."), format, args...)
			}
		}
		if m := b.model(name, entries[name], report); m != nil {
			v.add(m)
		}
	}
	for _, m := range v.models {
		if m.Enabled && m.Priced() {
			v.list = append(v.list, m)
		}
	}
	slices.SortFunc(v.list, func(x, y *Model) int { return strings.Compare(x.ID, y.ID) })
	b.fallbacks(v, path, o)
	v.plans = b.plans(path, o)
	if v.standard = v.plans[o.Standard]; v.standard == nil && o.Standard != "" {
		b.bad(path+"default_plan", "there is no plan %q here", o.Standard)
	}
	return v
}

// add puts m in the view, in the class that fits.
func (v *View) add(m *Model) {
	if m.Class == "" {
		for _, c := range v.classes {
			if matchAny(c.Models, m.ID) {
				m.Class = c.Name
				break
			}
		}
	}
	if m.Class == "" {
		m.Class = m.weights
	}
	v.models[m.ID] = m
}

// classes returns a site's classes, and behind them those at the top that it
// does not have itself.
func classes(site, top []Class) []Class {
	out := slices.Clone(site)
	for _, c := range top {
		if !slices.ContainsFunc(site, func(s Class) bool { return s.Name == c.Name }) {
			out = append(out, c)
		}
	}
	return out
}

func (b *builder) fallbacks(v *View, path string, o Overlay) {
	all := maps.Clone(b.in.Fallbacks)
	if all == nil {
		all = map[string][]string{}
	}
	maps.Copy(all, o.Fallbacks)
	for name, list := range all {
		_, own := o.Fallbacks[name]
		report := own || path == ""
		if report && !b.exists(v, name) {
			b.bad(path+"fallbacks."+name, "there is no such model")
		}
		for i, f := range list {
			at := fmt.Sprintf("%sfallbacks.%s[%d]", path, name, i)
			switch {
			case report && f == name:
				b.bad(at, "a model cannot be its own fallback")
			case report && !b.exists(v, f):
				b.bad(at, "there is no model %q", f)
			case report && v.models[name] != nil && v.models[f] != nil && v.models[name].Kind != v.models[f].Kind:
				b.bad(at, "%s is a model of another kind", f)
			}
			if m := v.models[f]; m != nil && m.Enabled && m.Priced() {
				v.fallbacks[name] = append(v.fallbacks[name], f)
			}
		}
	}
}

// exists reports whether name is a model here, or a known one whose provider is
// not configured.
func (b *builder) exists(v *View, name string) bool {
	return v.models[name] != nil || len(b.in.Table.byID[name]) > 0
}

func (b *builder) plans(path string, o Overlay) map[string]*Plan {
	all := maps.Clone(b.in.Plans)
	if all == nil {
		all = map[string]Plan{}
	}
	maps.Copy(all, o.Plans)
	out := make(map[string]*Plan, len(all))
	for name, p := range all {
		if o.OnlyPlans == nil || slices.Contains(o.OnlyPlans, name) {
			p.Name = name
			out[name] = &p
		}
	}
	for i, name := range o.OnlyPlans {
		if _, ok := all[name]; !ok {
			b.bad(fmt.Sprintf("%splans[%d]", path, i), "there is no plan %q", name)
		}
	}
	return out
}
