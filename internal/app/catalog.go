package app

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pontage/pontage/catalogs"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/config"
)

// catalogInput says what of a configuration concerns models.
func catalogInput(c *config.Config, dev bool) (catalog.Input, error) {
	table, err := catalog.ParseTable(catalogs.Models())
	if err != nil {
		return catalog.Input{}, fmt.Errorf("embedded catalogue: %w", err)
	}
	in := catalog.Input{
		Table:     table,
		Models:    entries(c.Models),
		Classes:   classes(c.Classes),
		Fallbacks: c.Fallbacks,
		Plans:     plans(c.Plans),
		Dev:       dev,
		Sim:       "sim",
	}
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		in.Providers = append(in.Providers, catalog.Provider{Name: name, Table: c.Providers[name].Catalog})
	}
	names := siteNames(c)
	for i, s := range c.Sites {
		in.Sites = append(in.Sites, catalog.Overlay{
			Site:      names[i],
			Path:      fmt.Sprintf("sites[%d]", i),
			Models:    entries(s.Models),
			Classes:   classes(s.Classes),
			Fallbacks: s.Fallbacks,
			Plans:     plans(s.Plans.Own),
			OnlyPlans: s.Plans.Names,
			Standard:  s.DefaultPlan,
		})
	}
	return in, nil
}

// unpriced reports every model that the configuration names and that a site
// offers without a price: each request for it would be refused.
func unpriced(c *config.Config, cat *catalog.Catalog) error {
	var errs []error
	told := map[string]bool{}
	look := func(v *catalog.View, own map[string]config.Model, at string) {
		for _, name := range slices.Sorted(maps.Keys(own)) {
			path := at + "models." + name
			if m, ok := v.Model(name); ok && m.Enabled && !m.Priced() && !told[path] {
				told[path] = true
				errs = append(errs, c.Problem(path, "has no price, neither here nor in the embedded catalogue, so every request for it would be refused; give it a price, price: {free: true} if it costs nothing, or enabled: false"))
			}
		}
	}
	for i, site := range siteNames(c) {
		v, own := cat.View(site), c.Sites[i].Models
		look(v, own, fmt.Sprintf("sites[%d].", i))
		inherited := maps.Clone(c.Models)
		maps.DeleteFunc(inherited, func(name string, _ config.Model) bool { _, ok := own[name]; return ok })
		look(v, inherited, "")
	}
	return errors.Join(errs...)
}

const roleDashboard = "dashboard"

// siteNames names every site, for the keys and models that are bound to it: its
// first host, or the address of its own where that serves every host.
func siteNames(c *config.Config) []string {
	out := make([]string, len(c.Sites))
	for i, s := range c.Sites {
		out[i] = s.Hosts[0]
		if s.Hosts[0] == "*" && s.Listen != "" {
			out[i] = s.Listen
		}
	}
	return out
}

func entries(models map[string]config.Model) map[string]catalog.Entry {
	out := make(map[string]catalog.Entry, len(models))
	for name, m := range models {
		e := catalog.Entry{
			Attempts: m.Attempts, Order: m.Order, Affinity: m.Affinity, Class: m.Class, Kind: m.Kind, OwnedBy: m.OwnedBy,
			Context: m.Context, MaxOutput: m.MaxOutput,
			Tools: m.Tools, ForcedTool: m.ForcedTool, Reasoning: m.Reasoning, JSONSchema: m.JSONSchema,
			Temperature: m.Temperature, BatchInput: m.BatchInput, Enabled: m.Enabled,
		}
		for _, t := range m.Targets {
			e.Targets = append(e.Targets, catalog.Target{Provider: t.Provider, Model: t.Model, Weight: t.Weight, Cost: cost(t.Cost), API: t.API})
		}
		for _, in := range m.Input {
			e.Inputs = append(e.Inputs, catalog.Modality(in))
		}
		if p := m.Price; p != nil {
			e.Price = &catalog.PriceEntry{
				Input: p.Input, Output: p.Output, CachedInput: p.CachedInput,
				CacheWrite: p.CacheWrite, CacheWrite1h: p.CacheWrite1h, Request: p.Request,
				ImageInput: p.ImageInput, AudioInput: p.AudioInput,
				Reasoning: p.Reasoning, AudioOutput: p.AudioOutput, ImageOutput: p.ImageOutput,
				WebSearch: p.WebSearch, FileSearch: p.FileSearch, CodeExecution: p.CodeExec,
				Image: p.Image, Characters: p.Characters, Minute: p.Minute, Free: p.Free,
				Long: long(p.Long), Flex: (*catalog.Factor)(p.Flex), Priority: (*catalog.Factor)(p.Priority), Fast: (*catalog.Factor)(p.Fast),
				Regional: (*catalog.Factor)(p.Regional),
			}
		}
		out[name] = e
	}
	return out
}

// long is what an operator says that longer prompts cost.
func long(steps []config.LongPrice) []catalog.LongEntry {
	var out []catalog.LongEntry
	for _, s := range steps {
		out = append(out, catalog.LongEntry{Above: s.Above, Rates: catalog.PriceEntry{
			Input: s.Input, Output: s.Output, CachedInput: s.CachedInput, CacheWrite: s.CacheWrite, CacheWrite1h: s.CacheWrite1h,
			ImageInput: s.ImageInput, AudioInput: s.AudioInput,
			Reasoning: s.Reasoning, AudioOutput: s.AudioOutput, ImageOutput: s.ImageOutput,
		}})
	}
	return out
}

// cost is what an operator says that a target costs; nil: he does not.
func cost(c *config.Cost) *catalog.Cost {
	if c == nil {
		return nil
	}
	var out catalog.Cost
	if c.Input != nil {
		out.Input = *c.Input
	}
	if c.Output != nil {
		out.Output = *c.Output
	}
	if c.Request != nil {
		out.Request = *c.Request
	}
	return &out
}

func classes(list []config.Class) []catalog.Class {
	out := make([]catalog.Class, len(list))
	for i, c := range list {
		out[i] = catalog.Class{Name: c.Name, Models: c.Models, When: c.When}
	}
	return out
}

func plans(list map[string]config.Plan) map[string]catalog.Plan {
	out := make(map[string]catalog.Plan, len(list))
	for name, p := range list {
		cp := catalog.Plan{Name: name, Classes: make(map[string]catalog.Quota, len(p.Classes))}
		for class, q := range p.Classes {
			cq := catalog.Quota{PerDay: -1, Metered: q.Billing == "metered"}
			if q.RequestsPerDay != nil {
				cq.PerDay = *q.RequestsPerDay
			}
			cp.Classes[class] = cq
		}
		out[name] = cp
	}
	return out
}
