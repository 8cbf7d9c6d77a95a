package route

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// Order says which target of a model is asked first.
type Order uint8

// The orders.
const (
	ByPriority Order = iota // as they are listed; neighbours with a weight share the requests by it
	ByLatency               // who lately gave the first content soonest
	ByCost                  // who asks least for a request of this size; unknown costs go last
)

// Stay says who may take the place of the target that is to answer.
type Stay uint8

// What is allowed where the target that comes first cannot answer.
const (
	Anywhere     Stay = iota // any other target
	SameProvider             // other models and credentials of its provider
	SameTarget               // other credentials only: its provider has the prompt in its cache
)

// explored is which share of the requests, one in so many, asks another target
// than the quickest first, so that one that has become quick is found out.
const explored = 50

// candidates returns the targets that can honour the request in the order in
// which they are to be asked, fit ones first, or the refusal that says most if
// none can.
func (r *Router) candidates(req *llm.Request, p *Plan) ([]*Target, *fault.Error) {
	order, refusal := able(req, p.Targets)
	if len(order) == 0 {
		return nil, refusal
	}
	if len(order) == 1 {
		return order, nil
	}
	p.pinned = r.pinned(order, p)
	r.arrange(order, p)
	issuer, sealed := llm.Issuer(req.Raw.Body)
	before := func(t *Target) int { // who sealed what it carries, then whom the caller prefers
		return rank(p.Prefer, t.Name) + boolInt(sealed && t.Name != issuer)*(len(p.Prefer)+1)
	}
	first(order, before)
	if p.Stay != Anywhere {
		head := order[0]
		order = slices.DeleteFunc(order, func(t *Target) bool {
			return !t.alike(head) || p.Stay == SameTarget && t.Model != head.Model
		})
	}
	// By latency what is out of use is not first already.
	if order[0] == p.pinned || p.Order == ByLatency && p.pinned != nil && !p.pinned.Health.Fit() && before(p.pinned) == before(order[0]) {
		p.stayed = p.pinned
	}
	first(order, func(t *Target) int { return boolInt(!t.Health.Fit()) })
	return order, nil
}

// alike reports whether two targets are at the same provider, however it is asked.
func (t *Target) alike(o *Target) bool {
	return t.Name == o.Name && (t.Name != "" || t.Provider == o.Provider)
}

// able returns the targets whose providers can honour the request.
func able(req *llm.Request, targets []*Target) ([]*Target, *fault.Error) {
	if len(targets) == 1 {
		if err := targets[0].Provider.Supports(req); err != nil {
			return nil, fault.From(err)
		}
		return slices.Clone(targets), nil
	}
	order := make([]*Target, 0, len(targets))
	var refusal *fault.Error
	supported := map[provider.Provider]bool{}
	for _, t := range targets {
		ok, known := supported[t.Provider]
		if !known {
			err := t.Provider.Supports(req)
			ok = err == nil
			supported[t.Provider] = ok
			if err != nil && refusal == nil {
				refusal = fault.From(err)
			}
		}
		if ok {
			order = append(order, t)
		}
	}
	if len(order) == 0 && refusal == nil {
		refusal = fault.New(fault.NoTarget, "")
	}
	return order, refusal
}

// first sorts targets by rank, and leaves equal ones in their order.
func first(order []*Target, rank func(*Target) int) {
	slices.SortStableFunc(order, func(a, b *Target) int { return rank(a) - rank(b) })
}

// rank is the place of a name in a list; behind all of it if it is not there.
func rank(list []string, name string) int {
	i := slices.IndexFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
	if i < 0 {
		return len(list)
	}
	return i
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// arrange puts the targets into the order of the plan.
func (r *Router) arrange(order []*Target, p *Plan) {
	switch p.Order {
	case ByLatency:
		r.quickest(order, p)
	case ByCost:
		slices.SortStableFunc(order, func(a, b *Target) int { return cmp.Compare(a.costs(p), b.costs(p)) })
		for rest := order; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].costs(p) == rest[0].costs(p) {
				n++
			}
			r.shareOut(rest[:n], p)
			rest = rest[n:]
		}
	default:
		r.shareOut(order, p)
	}
}

// costs is what the operator pays a target for a request of the plan's size, in
// nano-dollars times a million; unknown ones cost more than any.
func (t *Target) costs(p *Plan) float64 {
	if !t.Priced {
		return math.Inf(1)
	}
	input, output := t.Cost.Input, t.Cost.Output
	for _, s := range t.Cost.Long {
		if p.Input > s.Above {
			input, output = s.Input, s.Output
		}
	}
	return float64(input)*float64(p.Input) + float64(output)*float64(p.Output) + float64(t.Cost.Request)*1e6
}

// quickest sorts by latency. What has not been measured for a while counts as
// quicker than it was, and is tried for that in the end. A session stays where it
// is if it is to, since what is in the cache there is quicker than any other.
func (r *Router) quickest(order []*Target, p *Plan) {
	took := make(map[*Target]float64, len(order))
	for _, t := range order {
		took[t] = t.Health.latency(p.stream)
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	slices.SortStableFunc(order, func(a, b *Target) int { return cmp.Compare(took[a], took[b]) })
	head := -1
	switch {
	case p.HasSession:
		head = slices.Index(order, slices.MaxFunc(order, func(a, b *Target) int {
			if p.Stay != Anywhere { // whether it is in use or not
				return -p.near(a, b)
			}
			return cmp.Or(boolInt(a.Health.Fit())-boolInt(b.Health.Fit()), -p.near(a, b))
		}))
	case r.draw(explored) == 0:
		head = r.draw(len(order))
	}
	if head > 0 {
		t := order[head]
		copy(order[1:head+1], order[:head])
		order[0] = t
	}
}

// shareOut orders each run of weighted targets by the session, or else shuffles it
// by weight.
func (r *Router) shareOut(order []*Target, p *Plan) {
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && order[j].Weight > 0 {
			j++
		}
		run := order[i:j]
		if p.HasSession && len(run) > 1 {
			slices.SortStableFunc(run, p.near)
			run = nil
		}
		for ; len(run) > 1; run = run[1:] {
			total := 0
			for _, t := range run {
				total += t.Weight
			}
			pick := r.draw(total)
			for k, t := range run {
				if pick -= t.Weight; pick < 0 {
					run[0], run[k] = run[k], run[0]
					break
				}
			}
		}
		i = max(j, i+1)
	}
}

// near compares two targets by how near they are to the session: where it is, and then
// by hashing.
func (p *Plan) near(a, b *Target) int {
	return cmp.Or(boolInt(b == p.pinned)-boolInt(a == p.pinned), cmp.Compare(b.score(p.Session), a.score(p.Session)))
}

// draw returns a number from 0 to n-1.
func (r *Router) draw(n int) int {
	if r.Draw != nil {
		return r.Draw(n)
	}
	return rand.IntN(n)
}
