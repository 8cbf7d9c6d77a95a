package catalog

import (
	"fmt"
	"math"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// maxSteps is how often a price may rise with the length of the prompt.
const maxSteps = 4

// Long is what tokens cost, all those of the request, once its prompt is longer than
// Above: the rates of Price, whose own Long is the next step. No rate is below that
// of the step before, so that no shorter prompt costs more.
type Long struct {
	Above int64 // tokens of the whole input, what was cached included
	Price Price // its rates of tokens, and nothing else
}

// LongEntry is a step as an operator or the table gives it. What is nil is filled in
// as it is in a price without steps, from the step's own rates.
type LongEntry struct {
	Above int64
	Rates PriceEntry
}

// tokenRate is a rate of a price that is charged by the token. as is the one that
// stands in for it where it is 0; nil: none does.
type tokenRate struct {
	name   string
	of, as func(*Price) *money.Rate
}

// tokenRates are the rates that rise with the length of the prompt and with the tier
// of service.
var tokenRates = [...]tokenRate{
	{"input", inputOf, nil},
	{"output", outputOf, nil},
	{"cached_input", func(p *Price) *money.Rate { return &p.CachedInput }, nil},
	{"cache_write", func(p *Price) *money.Rate { return &p.CacheWrite }, nil},
	{"cache_write_1h", func(p *Price) *money.Rate { return &p.CacheWrite1h }, nil},
	{"image_input", func(p *Price) *money.Rate { return &p.ImageInput }, inputOf},
	{"audio_input", func(p *Price) *money.Rate { return &p.AudioInput }, inputOf},
	{"reasoning", func(p *Price) *money.Rate { return &p.Reasoning }, outputOf},
	{"audio_output", func(p *Price) *money.Rate { return &p.AudioOutput }, outputOf},
	{"image_output", func(p *Price) *money.Rate { return &p.ImageOutput }, outputOf},
}

func inputOf(p *Price) *money.Rate  { return &p.Input }
func outputOf(p *Price) *money.Rate { return &p.Output }

// rate is what p charges by it.
func (r tokenRate) rate(p *Price) money.Rate {
	rate := *r.of(p)
	if rate == 0 && r.as != nil {
		rate = *r.as(p)
	}
	return rate
}

// long makes the steps above base, the price that e says but for them. Errors are
// given to bad with the name of the field.
func (e PriceEntry) long(base Price, bad func(field, reason string)) *Long {
	if len(e.Long) == 0 || e.Free {
		return nil
	}
	if !base.PerToken || base.Input == 0 {
		bad("long", "needs a price of input and output")
		return nil
	}
	if len(e.Long) > maxSteps {
		bad("long", fmt.Sprintf("has more than %d steps", maxSteps))
		return nil
	}
	var first *Long
	before, above, next := &base, int64(0), &first
	for i, s := range e.Long {
		at := fmt.Sprintf("long[%d].", i)
		switch {
		case s.Above <= 0:
			bad(at+"above", "must be a number of tokens above 0")
		case s.Above <= above:
			bad(at+"above", fmt.Sprintf("must be above the %d of the step before", above))
		}
		step := &Long{Above: s.Above, Price: s.price(at, before, bad)}
		*next, next = step, &step.Price.Long
		before, above = &step.Price, max(above, s.Above)
	}
	return first
}

// price makes the rates of a step that follows another price.
func (e LongEntry) price(at string, before *Price, bad func(field, reason string)) (p Price) {
	wrong := false
	tell := func(field, reason string) {
		wrong = true
		bad(at+field, reason)
	}
	e.Rates.rates(tell)
	if e.Rates.Input == nil {
		tell("input", "is missing: a step has prices of its own")
	}
	if e.Rates.Output == nil && before.Output > 0 {
		tell("output", "is missing: a step has prices of its own")
	}
	p.fill(e.Rates)
	if wrong {
		return p
	}
	for _, r := range tokenRates {
		if *r.of(&p) == 0 && *r.of(before) == 0 {
			continue // neither has one of its own
		}
		if now, was := r.rate(&p), r.rate(before); now < was {
			tell(r.name, fmt.Sprintf("is %s, below the %s of shorter prompts", money.Amount(now), money.Amount(was)))
		}
	}
	return p
}

// Factor multiplies prices: so many parts of a million. 0: the usual one.
type Factor int64

// whole is a factor that changes nothing.
const whole Factor = 1_000_000

// What a tier costs where a price does not say so. That is never less than a provider
// asks: of those that are known the dearest are GPT-5.5 by priority and Claude Opus 4.6
// and 4.7 at speed fast; and nothing is cheaper that nobody said is.
const (
	usualFlex     = whole
	usualPriority = whole / 2 * 5
	usualFast     = 6 * whole
	usualRegional = whole / 10 * 11
)

// The bounds of factors.
const (
	minFlex   = whole / 10
	maxFactor = 10 * whole
)

// Tiers are the factors of all rates of tokens in answers that their provider says it
// served in another tier than the standard one.
type Tiers struct {
	Flex, Priority, Fast, Regional Factor
}

// NoTiers are the factors of a price that is the same in every tier.
var NoTiers = Tiers{Flex: whole, Priority: whole, Fast: whole, Regional: whole}

// factor is that of a tier.
func (t Tiers) factor(of llm.Tier) Factor {
	switch of {
	case llm.TierFlex:
		return t.Flex.or(usualFlex)
	case llm.TierPriority:
		return t.Priority.or(usualPriority)
	case llm.TierFast:
		return t.Fast.or(usualFast)
	case llm.TierRegional:
		return t.Regional.or(usualRegional)
	case llm.TierFastRegional:
		return Factor(t.Fast.or(usualFast).on(money.Rate(t.Regional.or(usualRegional))))
	}
	return whole
}

func (f Factor) or(usual Factor) Factor {
	if f != 0 {
		return f
	}
	return usual
}

// on is a rate at the factor, rounded up.
func (f Factor) on(r money.Rate) money.Rate {
	a, err := money.Cost(money.Line{Units: int64(r), Rate: money.Rate(f)})
	if err != nil {
		return math.MaxInt64
	}
	return money.Rate(a)
}

// tiers checks the factors of e.
func (e PriceEntry) tiers(perToken bool, bad func(field, reason string)) (t Tiers) {
	for _, f := range []struct {
		name      string
		factor    *Factor
		low, high Factor
		reason    string
		to        *Factor
	}{
		{"flex", e.Flex, minFlex, whole, "must be from 0.1 to 1", &t.Flex},
		{"priority", e.Priority, whole, maxFactor, "must be from 1 to 10", &t.Priority},
		{"fast", e.Fast, whole, maxFactor, "must be from 1 to 10", &t.Fast},
		{"regional", e.Regional, whole, maxFactor, "must be from 1 to 10", &t.Regional},
	} {
		switch {
		case f.factor == nil || e.Free:
			continue
		case *f.factor < f.low || *f.factor > f.high:
			bad(f.name, f.reason)
		case !perToken:
			bad(f.name, "needs a price of input and output")
		}
		*f.to = *f.factor
	}
	return t
}

// of is the price of an answer to so many tokens of input, served in a tier: p with
// the rates that its tokens are charged at, and no others.
func (p Price) of(input int64, tier llm.Tier) Price {
	at := &p
	for at.Long != nil && input > at.Long.Above {
		at = &at.Long.Price
	}
	out, factor := p, p.Tiers.factor(tier)
	for _, r := range tokenRates {
		*r.of(&out) = factor.on(*r.of(at))
	}
	out.Long, out.Tiers = nil, Tiers{}
	return out
}

// Billed returns the tier whose price an answer is charged at: the one that its
// provider says it was served in, unless that is dearer than the one the caller asked
// for, whose price is then the most that he pays.
func (p Price) Billed(asked, served llm.Tier) llm.Tier {
	switch most := p.Tiers.factor(asked); {
	case p.Tiers.factor(served) <= max(most, whole):
		return served
	case most > whole:
		return asked
	}
	return llm.TierStandard
}

// PriceFor returns the price at which r is held for if its prompt has so many tokens:
// that of the step they reach, and of the tier that r asks for unless it is the cheaper
// one, since it need not be served in it. It must not be changed.
func (m *Model) PriceFor(r *llm.Request, input int64) *Price {
	p := &m.Price
	tier := r.Tier()
	if tier != llm.TierStandard && p.Tiers.factor(tier) <= whole {
		tier = llm.TierStandard
	}
	if p.Long == nil && tier == llm.TierStandard {
		return p
	}
	of := p.of(input, tier)
	return &of
}

// numbers appends what tells p from a price with other steps or factors. What has
// neither keeps the name it has in old receipts.
func (p Price) numbers(dst []int64) []int64 {
	for l := p.Long; l != nil; l = l.Price.Long {
		dst = append(dst, -11, l.Above)
		for _, r := range tokenRates {
			dst = append(dst, int64(*r.of(&l.Price)))
		}
	}
	t := p.Tiers
	if t.Flex != 0 || t.Priority != 0 || t.Fast != 0 {
		dst = append(dst, -12, int64(t.Flex), int64(t.Priority), int64(t.Fast))
	}
	if t.Regional != 0 {
		dst = append(dst, -13, int64(t.Regional))
	}
	return dst
}
