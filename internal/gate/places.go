package gate

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/route"
)

// wanted refuses wishes for a model that name what there is not: a provider, a choice
// among them, or a model to fall back to.
func (c *Caller) wanted(model string, w *Wishes) error {
	for _, name := range w.Only {
		if names(c.plans.Providers, name) {
			continue
		}
		if w.Suffix != "" { // it is none, so that it belongs to the name
			return fault.NoModel(clip(model+":"+name), "model")
		}
		return fault.New(fault.UnknownProvider, "There is no provider %q.", clip(name)).At(w.OnlyAt)
	}
	if m, ok := c.view.Model(model); ok && w.Suffix != "" {
		switch {
		case !c.selectable(m):
			return fault.New(fault.SuffixUnsupported, "%s has no providers to choose from, as :%s would.", m.ID, clip(w.Suffix)).At("model").With("model", m.ID)
		case w.Caching && !(m.Price.PerToken && m.Price.CachedInput < m.Price.Input):
			return fault.New(fault.SuffixUnsupported, "%s has no price for prompts that are cached.", m.ID).At("model").With("model", m.ID)
		}
	}
	for _, name := range w.Models {
		if !c.Knows(name) {
			return fault.NoModel(clip(name), w.ModelsAt)
		}
	}
	return nil
}

// selectable reports whether there are providers of a model to choose from.
func (c *Caller) selectable(m *catalog.Model) bool {
	all := c.plans.Targets[m.Shared()]
	return slices.ContainsFunc(all, func(t *route.Target) bool { return t.Name != all[0].Name })
}

// surcharge is what a request to m costs beside its price, because the caller chooses
// among its providers: in parts of a million of that.
func (c *Caller) surcharge(m *catalog.Model, w *Wishes) money.Rate {
	if s := c.plans.Surcharges[c.v.Site]; s > 0 && w.Selects && c.selectable(m) {
		return s
	}
	return 0
}

// clip cuts what a caller named to what can be shown.
func clip(name string) string { return name[:min(len(name), 200)] }

// names reports whether a list has the name, in any case of letters.
func names(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}

// places is where the request may go, of the targets of a model: the caller may
// leave providers out, and models that cost more than he names. A test key's
// requests go to the simulator whatever it says.
func (c *Caller) places(m *catalog.Model, req *llm.Request, w Wishes) ([]*route.Target, error) {
	all := c.targets(m)
	if err := tooDear(atItsDearest(m, req), &w); err != nil {
		return nil, err
	}
	if len(w.Only)+len(w.Ignore) == 0 || c.who.Key.Test {
		return all, nil
	}
	var some []*route.Target
	for _, t := range all {
		if (len(w.Only) == 0 || names(w.Only, t.Name)) && !names(w.Ignore, t.Name) {
			some = append(some, t)
		}
	}
	if len(some) == 0 && len(all) > 0 {
		at := w.OnlyAt
		if len(w.Only) == 0 {
			at = "provider.ignore"
		}
		return nil, fault.New(fault.InvalidParameter, "No provider that is left serves %s.", m.ID).At(at).With("model", m.ID)
	}
	return some, nil
}

// atItsDearest is the model at the price that a request is held for, where that is
// another one because of its length or of the tier that it asks for.
func atItsDearest(m *catalog.Model, req *llm.Request) *catalog.Model {
	if m.Price.Long == nil && req.Tier() == llm.TierStandard {
		return m
	}
	dear := *m
	dear.Price = *m.PriceFor(req, m.Longest(req, upper(req)))
	return &dear
}

// tooDear refuses a model whose price is above what the caller will pay.
func tooDear(m *catalog.Model, w *Wishes) error {
	for _, p := range [...]struct {
		price, most int64
		name, unit  string
	}{
		{int64(max(m.Price.Input, m.Price.ImageInput, m.Price.AudioInput)), int64(w.MaxInput), "prompt", " per million tokens"},
		{int64(max(m.Price.Output, m.Price.Reasoning, m.Price.AudioOutput, m.Price.ImageOutput)), int64(w.MaxOutput), "completion", " per million tokens"},
		{int64(m.Price.Request), int64(w.MaxRequest), "request", ""},
		{int64(m.Price.Image), int64(w.MaxImage), "image", " an image"},
		{int64(m.Price.Characters), int64(w.MaxCharacters), "characters", " per million characters"},
		{int64(m.Price.Minute), int64(w.MaxMinute), "minute", " a minute"},
	} {
		price := m.Price.Surcharged(money.Amount(p.price))
		if p.most > 0 && int64(price) > p.most {
			return fault.New(fault.InvalidParameter, "%s costs $%s%s, and at most $%s is allowed.", m.ID, price, p.unit, money.Amount(p.most)).
				At(w.MaxPriceAt+"."+p.name).With("model", m.ID)
		}
	}
	return nil
}

// dispatch brings the request to a provider of its model.
func (call *Call) dispatch(ctx context.Context, w Wishes) error {
	targets, err := call.c.places(call.model, call.req, w)
	if err != nil {
		return err
	}
	return call.send(ctx, targets, w)
}

// orders are those of the catalogue, for the router.
var orders = map[string]route.Order{catalog.OrderLatency: route.ByLatency, catalog.OrderCost: route.ByCost}

// usualAnswer is how many tokens an answer is taken to have where costs are
// compared and nobody limits it.
const usualAnswer = 500

// plan says how the request is to be routed.
func (call *Call) plan(targets []*route.Target, w Wishes) route.Plan {
	c, m := call.c, call.model
	p := route.Plan{
		Targets:   targets,
		Attempts:  cmp.Or(m.Attempts, c.plans.Attempts),
		CapOutput: call.capOutput,
		MaxOutput: call.mostOutput(),
		Reasons:   m.Reasoning,
		RequestID: c.v.Event.ID,
		Impatient: w.Impatient,
		Start:     call.began,
		Within:    c.plans.Deadline,
		Prefer:    w.Order,
		Seen:      &call.seen,
		Fetched:   &call.fetched,
	}
	if !call.Drains() {
		p.Patience = w.Patience
	}
	call.stays = false
	affinity := m.Affinity
	if w.Caching && affinity != catalog.AffinityStrict {
		affinity = catalog.AffinityPrefer
	}
	if len(targets) > 1 {
		p.Order = orders[cmp.Or(w.Sort, m.Order)]
		if p.Order == route.ByLatency {
			affinity = cmp.Or(affinity, catalog.AffinityOff)
		}
		if p.Order == route.ByCost {
			p.Input, p.Output = call.quote.Input, call.expected()
		}
	}
	if affinity == catalog.AffinityStrict || len(targets) > 1 && affinity != catalog.AffinityOff {
		p.Session, p.HasSession = route.Session(call.req, w.Session, int64(c.who.Key.ID))
		call.stays = p.HasSession && affinity == catalog.AffinityStrict && call.quote.Input >= c.plans.StrictFrom
		if p.Model = m.ID; p.HasSession && len(targets) > 1 && c.plans.Pin > 0 {
			p.Pin = c.plans.Pin
			if catalog.AsksHour(call.req.Raw.Body) {
				p.Pin = c.plans.LongPin
			}
		}
	}
	switch {
	case w.Sticky || call.stays:
		p.Stay = route.SameTarget
	case w.NoFallback:
		p.Stay = route.SameProvider
	}
	return p
}

// expected is how many tokens of answer to expect, where costs are compared.
func (call *Call) expected() int64 {
	r := call.req
	switch {
	case r.Task == llm.TaskEmbed:
		return 0
	case r.HasMaxOutput:
		return max(r.MaxOutput, 0) * int64(max(r.Choices, 1))
	}
	return usualAnswer * int64(max(r.Choices, 1))
}
