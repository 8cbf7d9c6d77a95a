package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// fromRow makes a model of what the table says, without targets.
func (b *builder) fromRow(r *row) *Model {
	m := &Model{
		ID: r.id, OwnedBy: r.provider, Kind: r.kind, Created: r.created,
		Context: r.context, MaxOutput: r.maxOutput, Inputs: r.inputs,
		Tools: r.tools, ForcedTool: r.tools, Reasoning: r.reasoning, JSONSchema: r.jsonSchema, Temperature: r.temperature,
		BatchInput: true, Enabled: true, weights: "closed",
	}
	if owner, _, ok := strings.Cut(r.id, "/"); ok && owner != "accounts" {
		m.OwnedBy = owner
	}
	if r.open {
		m.weights = "open"
	}
	if r.price != nil {
		m.Price = r.price.price(r.kind, func(string, string) {}) // ParseTable has checked it
		m.PriceSource, m.PriceDate = b.in.Table.Source, b.in.Table.Date
	}
	return m
}

// model makes the model of an entry, or reports what is wrong with it.
func (b *builder) model(name string, e Entry, bad func(field, format string, args ...any)) *Model {
	targets := slices.Clone(e.Targets)
	for i := range targets {
		if targets[i].Model == "" {
			targets[i].Model = name
		}
		if p := targets[i].Provider; !b.known[p] {
			bad(at("targets", i), "there is no provider %q", p)
		}
	}
	facts := b.facts(name, targets)
	if len(targets) == 0 {
		s := b.served[name]
		switch {
		case s.row != nil:
			targets = []Target{{Provider: s.provider, Model: name}}
		case facts != nil:
			bad("", "has no targets, and none of its providers is configured (%s)", strings.Join(b.whoServes(name), ", "))
			return nil
		default:
			bad("", "has no targets, and is not in the embedded catalogue")
			return nil
		}
	}
	m := &Model{
		OwnedBy: targets[0].Provider, Kind: Chat, Inputs: []Modality{Text},
		Tools: true, ForcedTool: true, Reasoning: true, JSONSchema: true, Temperature: true, BatchInput: true, Enabled: true,
	}
	if strings.Contains(name, "embed") {
		m.Kind = Embedding
	}
	if facts != nil {
		m = b.fromRow(facts)
	}
	b.price(targets)
	m.ID, m.Targets = name, targets
	m.apply(e, bad)
	return m
}

// price gives targets that are compared the list prices of their providers, where
// the operator says nothing of what he pays.
func (b *builder) price(targets []Target) {
	if len(targets) < 2 {
		return
	}
	for i := range targets {
		t := &targets[i]
		if t.Cost != nil {
			continue
		}
		for _, p := range b.in.Providers {
			if p.Name != t.Provider || p.Table == "" {
				continue
			}
			if r := b.in.Table.find(p.Table, t.Model); r != nil && r.price != nil {
				listed := r.price.price(r.kind, func(string, string) {}) // ParseTable has checked it
				t.Cost = &Cost{Input: listed.Input, Output: listed.Output, Request: listed.Request, Long: listed.Long}
			}
		}
	}
}

// apply puts what e says over the facts.
func (m *Model) apply(e Entry, bad func(field, format string, args ...any)) {
	set(&m.OwnedBy, e.OwnedBy)
	set(&m.Class, e.Class)
	set(&m.Kind, e.Kind)
	set(&m.Attempts, e.Attempts)
	set(&m.Order, e.Order)
	set(&m.Affinity, e.Affinity)
	set(&m.Context, e.Context)
	set(&m.MaxOutput, e.MaxOutput)
	if e.Inputs != nil {
		m.Inputs = e.Inputs
	}
	for _, f := range []struct {
		to   *bool
		from *bool
	}{
		{&m.Tools, e.Tools},
		{&m.ForcedTool, e.Tools}, // follows tools, unless it is said itself
		{&m.ForcedTool, e.ForcedTool},
		{&m.Reasoning, e.Reasoning},
		{&m.JSONSchema, e.JSONSchema},
		{&m.Temperature, e.Temperature},
		{&m.BatchInput, e.BatchInput},
		{&m.Enabled, e.Enabled},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if !slices.Contains(Kinds(), m.Kind) {
		bad("kind", "%q is none of %s", m.Kind, strings.Join(Kinds(), ", "))
	}
	if m.Attempts < 0 || m.Attempts > maxAttempts {
		bad("attempts", "must be from 1 to %d", maxAttempts)
	}
	if m.Context < 0 {
		bad("context", "must not be negative")
	}
	if m.MaxOutput < 0 {
		bad("max_output", "must not be negative")
	}
	for i, in := range m.Inputs {
		if !slices.Contains(Modalities(), in) {
			bad(at("input", i), "%q is not known", in)
		}
	}
	if e.Price != nil {
		m.Price = e.Price.price(m.Kind, func(field, reason string) {
			bad(strings.TrimSuffix("price."+field, "."), "%s", reason)
		})
		m.PriceSource, m.PriceDate = "configuration", ""
	}
}

// facts finds the row that an entry stands on: that of its first target, or any
// of the same name.
func (b *builder) facts(name string, targets []Target) *row {
	t := b.in.Table
	id := name
	if len(targets) > 0 {
		id = targets[0].Model
		for _, p := range b.in.Providers {
			if p.Name == targets[0].Provider && p.Table != "" {
				if r := t.find(p.Table, id); r != nil {
					return r
				}
			}
		}
	} else if s := b.served[name]; s.row != nil {
		return s.row
	}
	for _, id := range []string{id, name} {
		if rows := t.byID[id]; len(rows) > 0 {
			return &t.rows[rows[0]]
		}
	}
	return nil
}

func at(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// whoServes lists the providers in the table that serve id.
func (b *builder) whoServes(id string) []string {
	var out []string
	for _, i := range b.in.Table.byID[id] {
		out = append(out, b.in.Table.rows[i].provider)
	}
	return out
}
