package catalog

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// Bounds of what is believed to be a price. A price per token that was meant
// per million, or the other way round, falls outside.
const (
	MinRate    money.Rate   = 100_000                           // per million tokens
	MaxRate    money.Rate   = 10_000 * money.Rate(money.Dollar) // per million tokens
	MaxRequest money.Amount = 1_000 * money.Dollar              // per request
)

// Price is what a model costs. All ways of charging may hold at once. Every
// rate of a price per token is known: see [PriceEntry] for what stands in for
// those that nobody gave.
type Price struct {
	Input, Output, CachedInput, CacheWrite, CacheWrite1h money.Rate

	ImageInput, AudioInput money.Rate // of images and sound in the prompt; 0: as Input

	Reasoning, AudioOutput, ImageOutput money.Rate // of thoughts, sound and images in the answer; 0: as Output

	WebSearch, FileSearch, CodeExecution money.Amount // each call of a tool that the provider runs; 0: nothing but its tokens

	Request money.Amount

	Image      money.Amount // each
	Characters money.Rate   // of speech, per million
	Minute     money.Amount // of sound that is heard, charged by the second

	PerToken, PerRequest bool
	PerUnit              bool // of Image, Characters or Minute

	Surcharge money.Rate // on the sum of all else: so many parts of a million; see [Model.WithSurcharge]

	Long  *Long // what tokens cost with a longer prompt; nil: the same
	Tiers Tiers // of service
}

// Set reports whether there is a price.
func (p Price) Set() bool { return p.PerToken || p.PerRequest || p.PerUnit }

// ID names the price in receipts: eight hexadecimal digits that are the same for
// the same rates, whatever model, site or process has them.
func (p Price) ID() string {
	numbers := append(make([]int64, 0, 13),
		int64(p.Input), int64(p.Output), int64(p.CachedInput), int64(p.CacheWrite), int64(p.CacheWrite1h), int64(p.Request), number(p.PerToken), number(p.PerRequest),
	)
	if p.PerUnit { // only then, so that prices by tokens keep the names they have in old receipts
		numbers = append(numbers, int64(p.Image), int64(p.Characters), int64(p.Minute))
	}
	// What came later begins with a number that no price has, lest one list is two prices.
	if p.Surcharge != 0 {
		numbers = append(numbers, -1, int64(p.Surcharge))
	}
	if p.ImageInput != 0 || p.AudioInput != 0 {
		numbers = append(numbers, -2, int64(p.ImageInput), int64(p.AudioInput))
	}
	numbers = p.appendOutputs(numbers)
	numbers = p.numbers(numbers)
	b := make([]byte, 0, 8*len(numbers))
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:4])
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// PriceEntry is a price as an operator or the table gives it. It is one whole:
// where an entry has a price, nothing of another price shows through.
//
// A nil rate is unknown, and none may be zero. ImageInput and AudioInput are then as
// Input. A model charged by tokens needs
// Input, and all but embedding and moderation Output. Unknown: CachedInput and CacheWrite are charged as Input;
// CacheWrite1h as twice Input if CacheWrite is known (as Anthropic charges), else
// as Input.
type PriceEntry struct {
	Input, Output, CachedInput, CacheWrite, CacheWrite1h *money.Rate

	ImageInput, AudioInput *money.Rate

	Reasoning, AudioOutput, ImageOutput *money.Rate // unknown: as Output

	WebSearch, FileSearch, CodeExecution *money.Amount // dollars each; unknown: nothing but the tokens

	Request *money.Amount

	Image      *money.Amount // dollars each
	Characters *money.Rate   // dollars per million characters of speech
	Minute     *money.Amount // dollars per minute of sound that is heard

	Long                           []LongEntry // by the length of the prompt, the shortest first
	Flex, Priority, Fast, Regional *Factor     // of the tiers of service

	Free bool // costs nothing; stands alone
}

// usualPrice is how models of a kind are paid for.
var usualPrice = map[string]string{
	Chat: "input and output", Completion: "input and output", Embedding: "input", Moderation: "input",
	Images: "image, or input and output", Speech: "characters, or input and output", Transcription: "minute, or input and output",
}

const mustCost = "must be above 0; what is really free says so, with price: {free: true}"

// price checks e and fills in what is unknown. Errors are given to bad with the
// name of the field.
func (e PriceEntry) price(kind string, bad func(field, reason string)) Price {
	e.rates(bad)
	p := Price{PerToken: e.Input != nil || e.Output != nil, PerUnit: e.Image != nil || e.Characters != nil || e.Minute != nil}
	for _, f := range []struct {
		name string
		each *money.Amount
		to   *money.Amount
	}{
		{"image", e.Image, &p.Image},
		{"minute", e.Minute, &p.Minute},
		{"web_search", e.WebSearch, &p.WebSearch},
		{"file_search", e.FileSearch, &p.FileSearch},
		{"code_execution", e.CodeExecution, &p.CodeExecution},
	} {
		switch {
		case f.each == nil:
			continue
		case *f.each <= 0:
			bad(f.name, mustCost)
		case *f.each > MaxRequest:
			bad(f.name, "is above 1000 dollars")
		}
		*f.to = *f.each
	}
	if e.Request != nil {
		p.Request, p.PerRequest = *e.Request, true
		if p.Request <= 0 {
			bad("request", mustCost)
		} else if p.Request > MaxRequest {
			bad("request", "is above 1000 dollars per request")
		}
	}
	media := e.ImageInput != nil || e.AudioInput != nil || e.outputs()
	switch {
	case e.Free && (p.Set() || media || p.tools() || e.CachedInput != nil || e.CacheWrite != nil || e.CacheWrite1h != nil || len(e.Long) > 0 || e.Flex != nil || e.Priority != nil || e.Fast != nil || e.Regional != nil):
		bad("free", "stands alone: what is free has no other price")
	case e.Free:
		return Price{PerToken: true}
	case p.PerToken && e.Input == nil:
		bad("input", "is missing: a price per token needs it")
	case p.PerToken && e.Output == nil && kind != Embedding && kind != Moderation:
		bad("output", "is missing: a price per token needs it")
	case !p.PerToken && (e.CachedInput != nil || e.CacheWrite != nil || e.CacheWrite1h != nil):
		bad("input", "is missing: cache prices need a price of input and output")
	case !p.PerToken && media:
		bad("input", "is missing: prices of reasoning, images and sound need a price of input and output")
	case !p.Set():
		bad("", "is empty: give "+usualPrice[kind]+", or request, or free: true")
	default:
		e.units(kind, bad)
	}
	p.fill(e)
	p.Tiers = e.tiers(p.PerToken, bad)
	p.Long = e.long(p, bad)
	return p
}

// rates calls bad for every rate that is out of bounds.
func (e PriceEntry) rates(bad func(field, reason string)) {
	for _, f := range []struct {
		name string
		rate *money.Rate
	}{
		{"input", e.Input},
		{"output", e.Output},
		{"cached_input", e.CachedInput},
		{"cache_write", e.CacheWrite},
		{"cache_write_1h", e.CacheWrite1h},
		{"image_input", e.ImageInput},
		{"audio_input", e.AudioInput},
		{"reasoning", e.Reasoning},
		{"audio_output", e.AudioOutput},
		{"image_output", e.ImageOutput},
		{"characters", e.Characters},
	} {
		if f.rate == nil {
			continue
		}
		switch {
		case *f.rate <= 0 && strings.HasPrefix(f.name, "cache"):
			bad(f.name, "must be above 0; leave it out where the cache has no price of its own")
		case *f.rate <= 0:
			bad(f.name, mustCost)
		case *f.rate < MinRate:
			bad(f.name, "is below 0.0001 dollars per million tokens: it looks like the price of one token")
		case *f.rate > MaxRate:
			bad(f.name, "is above 10000 dollars per million tokens")
		}
	}
}

// fill sets every rate of p from e, and stands in for those that are unknown.
func (p *Price) fill(e PriceEntry) {
	p.Input = or(e.Input, 0)
	p.Output = or(e.Output, 0)
	p.CachedInput = or(e.CachedInput, p.Input)
	p.CacheWrite = or(e.CacheWrite, p.Input)
	p.CacheWrite1h = p.Input
	if e.CacheWrite != nil {
		p.CacheWrite1h = max(2*min(p.Input, MaxRate), p.CacheWrite)
	}
	p.CacheWrite1h = or(e.CacheWrite1h, p.CacheWrite1h)
	p.ImageInput, p.AudioInput = or(e.ImageInput, 0), or(e.AudioInput, 0)
	p.Reasoning, p.AudioOutput, p.ImageOutput = or(e.Reasoning, 0), or(e.AudioOutput, 0), or(e.ImageOutput, 0)
	p.Characters = or(e.Characters, 0)
}

// units refuses prices of what a kind of model does not give.
func (e PriceEntry) units(kind string, bad func(field, reason string)) {
	for _, f := range []struct {
		name string
		set  bool
		of   string
	}{
		{"image", e.Image != nil, Images},
		{"characters", e.Characters != nil, Speech},
		{"minute", e.Minute != nil, Transcription},
		{"web_search", e.WebSearch != nil, Chat},
		{"file_search", e.FileSearch != nil, Chat},
		{"code_execution", e.CodeExecution != nil, Chat},
	} {
		if f.set && kind != f.of {
			bad(f.name, "is for models of kind "+f.of)
		}
	}
}

func or(r *money.Rate, d money.Rate) money.Rate {
	if r != nil {
		return *r
	}
	return d
}

// Line is one part of a charge.
type Line struct {
	Kind   string     // input, cached_input, cache_write, cache_write_1h, image_input, audio_input, output, reasoning, audio_output, image_output, image, characters, audio_seconds, web_search, file_search, code_execution, request, provider_selection
	Units  int64      // tokens, images, characters, seconds, calls; of request, 1; of provider_selection, nano-dollars of all other lines
	Rate   money.Rate // per million units; of request, for it
	Amount money.Amount
}

// ErrUnpriced reports that there is no price to charge by.
var ErrUnpriced = errors.New("the model has no price")

// Cost prices what an answer used, at the rates for the whole of its input and for the
// tier it was served in. The total is rounded up once, and so is the
// surcharge on it, which is the last line; lines sum to it exactly, and there is none
// for what was not used. It returns an error for
// usage that is negative or whose parts are more than their total, [ErrUnpriced]
// without a price, and [money.ErrOverflow].
func (p Price) Cost(u llm.Usage) (total money.Amount, lines []Line, err error) {
	if !p.Set() {
		return 0, nil, ErrUnpriced
	}
	for _, n := range []int64{u.Input, u.CachedInput, u.CacheWrite, u.CacheWrite1h, u.ImageInput, u.AudioInput, u.Output, u.Images, u.Characters, u.Seconds} {
		if n < 0 {
			return 0, nil, fmt.Errorf("usage %+v: negative", u)
		}
	}
	plain := u.Input
	for _, n := range []int64{u.CachedInput, u.CacheWrite, u.CacheWrite1h, u.ImageInput, u.AudioInput} {
		if plain -= n; plain < 0 {
			return 0, nil, fmt.Errorf("usage %+v: parts of the input are more than the whole", u)
		}
	}
	text, err := textOutput(&u)
	if err != nil {
		return 0, nil, err
	}
	if p.Long != nil || u.Tier != llm.TierStandard {
		p = p.of(u.Input, u.Tier)
	}
	if p.PerToken || p.PerUnit {
		total, lines, err = p.units(plain, text, &u)
		if err != nil {
			return 0, nil, err
		}
	}
	if u.Calls != (llm.Calls{}) {
		if total, lines, err = p.calls(u.Calls, total, lines); err != nil {
			return 0, nil, err
		}
	}
	if p.PerRequest {
		lines = append(lines, Line{Kind: "request", Units: 1, Rate: money.Rate(p.Request), Amount: p.Request})
		if total, err = total.Add(p.Request); err != nil {
			return 0, nil, err
		}
	}
	whole, err := withSurcharge(total, p.Surcharge)
	if err != nil {
		return 0, nil, err
	}
	if extra := whole - total; extra > 0 {
		lines = append(lines, Line{Kind: "provider_selection", Units: int64(total), Rate: p.Surcharge, Amount: extra})
	}
	return whole, lines, nil
}

// Surcharged is what a caller pays in place of a, the price of a unit.
func (p Price) Surcharged(a money.Amount) money.Amount {
	whole, err := withSurcharge(a, p.Surcharge)
	if err != nil {
		return money.Max
	}
	return whole
}

// withSurcharge adds so many parts of a million to an amount, rounded up.
func withSurcharge(a money.Amount, s money.Rate) (money.Amount, error) {
	if s == 0 {
		return a, nil
	}
	extra, err := money.Cost(money.Line{Units: int64(a), Rate: s})
	if err != nil {
		return 0, err
	}
	return a.Add(extra)
}

// withoutSurcharge is the largest amount that costs at most a with its surcharge.
func withoutSurcharge(a money.Amount, s money.Rate) money.Amount {
	if s == 0 || a <= 0 {
		return a
	}
	const whole = 1_000_000
	hi, lo := bits.Mul64(uint64(a), whole)
	q, _ := bits.Div64(hi, lo, uint64(whole+s)) // hi < whole: it fits
	return money.Amount(q)
}

// secondRate is what a million seconds cost at so much a minute, rounded up.
func secondRate(minute money.Amount) money.Rate { return money.Rate((int64(minute)*50_000 + 2) / 3) }

// units prices tokens, and what else is counted. A line is what the total grows
// by when it is added, so that roundings of lines never add up to more than the
// one of the total.
func (p *Price) units(plain, text int64, u *llm.Usage) (total money.Amount, lines []Line, err error) {
	seen, heard := u.ImageInput, u.AudioInput
	if p.ImageInput == 0 {
		plain, seen = plain+seen, 0
	}
	if p.AudioInput == 0 {
		plain, heard = plain+heard, 0
	}
	text, thought, spoken, drawn := p.outputs(text, u)
	parts := [...]struct {
		kind string
		line money.Line
	}{
		{"input", money.Line{Units: plain, Rate: p.Input}},
		{"cached_input", money.Line{Units: u.CachedInput, Rate: p.CachedInput}},
		{"cache_write", money.Line{Units: u.CacheWrite, Rate: p.CacheWrite}},
		{"cache_write_1h", money.Line{Units: u.CacheWrite1h, Rate: p.CacheWrite1h}},
		{"image_input", money.Line{Units: seen, Rate: p.ImageInput}},
		{"audio_input", money.Line{Units: heard, Rate: p.AudioInput}},
		{"output", money.Line{Units: text, Rate: p.Output}},
		{"reasoning", money.Line{Units: thought, Rate: p.Reasoning}},
		{"audio_output", money.Line{Units: spoken, Rate: p.AudioOutput}},
		{"image_output", money.Line{Units: drawn, Rate: p.ImageOutput}},
		{"image", money.Line{Units: u.Images, Rate: money.Rate(p.Image) * 1_000_000}},
		{"characters", money.Line{Units: u.Characters, Rate: p.Characters}},
		{"audio_seconds", money.Line{Units: u.Seconds, Rate: secondRate(p.Minute)}},
	}
	sum := make([]money.Line, 0, len(parts))
	lines = make([]Line, 0, 4)
	const tokenParts = 10
	for i, x := range parts {
		token := i < tokenParts
		if x.line.Units == 0 || token && !p.PerToken || !token && x.line.Rate == 0 {
			continue
		}
		sum = append(sum, x.line)
		next, err := money.Cost(sum...)
		if err != nil {
			return 0, nil, err
		}
		lines = append(lines, Line{Kind: x.kind, Units: x.line.Units, Rate: x.line.Rate, Amount: next - total})
		total = next
	}
	return total, lines, nil
}
