package catalog

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// Output tokens that a quote reckons with.
const (
	// FloorOutput is how much of an answer a caller must be able to pay for,
	// who set no limit.
	FloorOutput = 1024
	// unknownOutput limits answers of a model whose maximum nobody knows.
	unknownOutput = 16384
)

// Quote is the most that a request can cost. It is a value; the zero Quote
// costs nothing.
type Quote struct {
	Input   int64 // tokens, an upper estimate
	Output  int64 // tokens at worst, of all choices together
	Elastic bool  // the caller set no limit, so that less than Hold may be held, down to Floor

	Hold  money.Amount // covers any usage of at most Input and Output tokens
	Floor money.Amount // the same with [FloorOutput] tokens for each choice; Hold if that is less or Elastic is not set

	// Room is how many output tokens each choice has before the context is
	// full, reckoned from Input; 0: unknown.
	Room int64

	inRate, outRate money.Rate
	request         money.Amount
	surcharge       money.Rate
	choices         int64
	most            int64 // tokens of one choice at worst
	always          bool  // the provider knows no limit of its own, so one must be sent
	usual           bool  // the surface sets the limit, so one must be sent
}

// Quote reckons what r can cost at most. upper is an estimate of the prompt's
// tokens that is not below their number; exact counts them and is only called
// where upper alone does not fit the context (nil: upper counts).
//
// Input is priced as if all of it were written to the cache at the dearest rate
// that the request can ask for; discounts for cached input are ignored. All tokens are
// priced at the step that Input reaches, and in the tier that the request asks for. It
// returns a *fault.Error: ModelUnavailable without a price, ContextLengthExceeded
// with the numbers, InvalidParameter for a limit whose cost is beyond all money.
func (m *Model) Quote(r *llm.Request, upper int64, exact func() int64) (Quote, error) {
	if !m.Priced() {
		return Quote{}, m.unpriced()
	}
	if r.Task == llm.TaskCountTokens {
		return Quote{Input: upper}, nil // providers count for nothing
	}
	q := Quote{
		Input:   counted(r, upper),
		choices: int64(max(r.Choices, 1)),
		request: m.Price.Request,

		surcharge: m.Price.Surcharge,
	}
	if m.Price.tools() {
		tools, err := m.Price.worstCalls(m, r)
		if err == nil {
			q.request, err = q.request.Add(tools)
		}
		if err != nil {
			return Quote{}, beyond(r)
		}
	}
	switch r.Task {
	case llm.TaskEmbed, llm.TaskModerate:
	case llm.TaskChat:
		m.outputs(r, &q)
	default:
		if err := m.media(r, &q); err != nil {
			return Quote{}, err
		}
	}
	if m.limits(r) {
		if err := m.fit(r, &q, exact); err != nil {
			return Quote{}, err
		}
	}
	q.rates(m.PriceFor(r, q.Input), r)
	if q.choices > 0 && q.most > math.MaxInt64/q.choices {
		return Quote{}, beyond(r)
	}
	q.Output = q.most * q.choices
	var err error
	if q.Hold, err = q.cost(q.Output); err != nil {
		return Quote{}, beyond(r)
	}
	q.Floor = q.Hold
	if q.Elastic {
		floor := min(q.most, FloorOutput) * q.choices
		if q.Floor, err = q.cost(floor); err != nil {
			return Quote{}, beyond(r)
		}
	}
	return q, nil
}

// rates sets what tokens cost at worst, by the price for the longest that the prompt
// may be.
func (q *Quote) rates(p *Price, r *llm.Request) {
	q.inRate = p.worstInput(r)
	if r.Task != llm.TaskEmbed && r.Task != llm.TaskModerate {
		q.outRate = p.worstOutput(r)
	}
}

// How many tokens sound is at most, by the second: OpenAI's transcribers make ten
// of it, and Mistral's twelve and a half, of no less than half a minute.
const (
	soundTokens = 16
	leastSound  = 30
)

// SoundTokens returns how many tokens so many seconds of sound are at most.
func SoundTokens(seconds int64) int64 { return max(seconds, leastSound) * soundTokens }

// counted is how many tokens of input are charged for at most, where upper is an
// estimate of the prompt's.
func counted(r *llm.Request, upper int64) int64 {
	n := max(upper, 0)
	switch r.Task {
	case llm.TaskTranscribe:
		n += SoundTokens(r.Seconds)
	case llm.TaskImage: // in a stream each is counted with the prompt
		n *= max(r.Images, 1)
	}
	return n
}

// Longest is how many tokens of input r is held for, if it is admitted; upper is what
// [Model.Quote] gets.
func (m *Model) Longest(r *llm.Request, upper int64) int64 {
	n := counted(r, upper)
	if m.limits(r) {
		n = min(n, m.Context)
	}
	return n
}

// limits reports whether the prompt of r must fit the context. That is of one input of
// embeddings, and of several only their sum is known.
func (m *Model) limits(r *llm.Request) bool {
	return m.Context > 0 && (r.Task == llm.TaskChat || r.Task == llm.TaskEmbed && r.Inputs <= 1)
}

// media reckons what is counted in other units than tokens as a part of the fee
// for the request, and the tokens of the answer as the most that the model gives,
// for each image.
func (m *Model) media(r *llm.Request, q *Quote) error {
	u := llm.Usage{Images: r.Images, Characters: r.Characters, Seconds: r.Seconds}
	p := m.Price
	p.PerToken, p.PerRequest, p.PerUnit, p.Surcharge = false, false, true, 0
	fixed, _, err := p.Cost(u)
	if err != nil {
		return beyond(r)
	}
	if q.request, err = q.request.Add(fixed); err != nil {
		return beyond(r)
	}
	if m.Price.PerToken && m.Price.Output > 0 {
		q.most = m.MaxOutput
		if q.most <= 0 {
			q.most = unknownOutput
		}
		q.choices = max(r.Images, 1)
	}
	return nil
}

// outputs sets how long one choice can get.
func (m *Model) outputs(r *llm.Request, q *Quote) {
	switch {
	case r.HasMaxOutput:
		q.most = max(r.MaxOutput, 0)
		return
	case r.UsualOutput > 0:
		q.most, q.usual = r.UsualOutput, true
		if m.MaxOutput > 0 {
			q.most = min(q.most, m.MaxOutput)
		}
		if m.Context > 0 {
			q.most = min(q.most, max(m.Context-q.Input, 1))
		}
		return
	case m.MaxOutput > 0:
		q.most = m.MaxOutput
	case m.Context > 0:
		q.most = m.Context
	default:
		q.most, q.always = unknownOutput, m.Price.Output > 0
	}
	q.Elastic = true
}

// fit checks prompt and answer against the context.
func (m *Model) fit(r *llm.Request, q *Quote, exact func() int64) error {
	// Without a limit of the caller's, any answer at all will do.
	answer := q.most
	if q.Elastic {
		answer = 1
	}
	input := q.Input
	if input > m.Context-min(answer, m.Context) || (q.Elastic && m.Context-input < FloorOutput) {
		if exact != nil {
			input = min(max(exact(), 0), input)
		}
		if answer > m.Context || input > m.Context-answer {
			return m.tooLong(r, input, q)
		}
	}
	if r.Task != llm.TaskEmbed {
		q.Room = m.Context - input
	}
	q.Input = min(q.Input, m.Context)
	return nil
}

func (m *Model) tooLong(r *llm.Request, input int64, q *Quote) *fault.Error {
	num := func(n int64) string { return strconv.FormatInt(n, 10) }
	answer := q.most
	if q.Elastic {
		answer = 1
	}
	need := input + answer
	if need < 0 {
		need = math.MaxInt64
	}
	alone := "messages alone are"
	if r.PromptName() == "prompt" {
		alone = "prompt alone is"
	}
	var e *fault.Error
	switch {
	case r.Task == llm.TaskEmbed:
		e = fault.New(fault.ContextLengthExceeded, "This model's maximum context length is %d tokens, but the request needs %d.", m.Context, need).At("input")
	case q.Elastic:
		e = fault.New(fault.ContextLengthExceeded, "This model's maximum context length is %d tokens, but the %s %d.", m.Context, alone, input).At(r.PromptName())
	default:
		e = fault.New(fault.ContextLengthExceeded,
			"This model's maximum context length is %d tokens, but the request needs %d (%d in the %s, %d for the answer).",
			m.Context, need, input, r.PromptName(), answer).At(r.PromptName())
	}
	return e.With("input", num(input)).With("max_output", num(answer)).With("context", num(m.Context)).With("tokens", num(need)).With("model", m.ID)
}

func beyond(r *llm.Request) *fault.Error {
	return fault.New(fault.InvalidParameter, "Is too large.").At(limitName(r))
}

// Tokens is how many tokens to expect of the request, prompt and answer
// together: the caller's limit, or [FloorOutput] for each choice where there is
// none.
func (q Quote) Tokens() int64 {
	if q.Elastic {
		return q.Input + min(q.most, FloorOutput)*q.choices
	}
	return q.Input + min(q.Output, math.MaxInt64-q.Input)
}

// cost is what Input and the given number of output tokens cost at worst.
func (q Quote) cost(output int64) (money.Amount, error) {
	c, err := money.Cost(money.Line{Units: q.Input, Rate: q.inRate}, money.Line{Units: output, Rate: q.outRate})
	if err != nil {
		return 0, err
	}
	if c, err = c.Add(q.request); err != nil {
		return 0, err
	}
	return withSurcharge(c, q.surcharge)
}

// OutputFor returns how many output tokens to allow each choice, so that the
// request costs at most hold; 0: no cap is needed, since the caller's limit or
// the model's own is covered. It is at least 1 where a cap is needed, so for a
// hold below Floor it may allow too much.
func (q Quote) OutputFor(hold money.Amount) int64 {
	if q.usual {
		return q.most
	}
	if !q.Elastic || (hold >= q.Hold && !q.always) {
		return 0
	}
	most := q.most
	if q.Room > 0 {
		most = min(most, q.Room)
	}
	if q.outRate > 0 && hold < q.Hold {
		most = min(most, q.affordable(hold)/q.choices)
	}
	return max(most, 1)
}

// Choices returns how many answers were asked for side by side.
func (q Quote) Choices() int64 { return q.choices }

// Covers returns how many output tokens, of all choices together, cost at most
// hold together with the prompt.
func (q Quote) Covers(hold money.Amount) int64 { return q.affordable(hold) }

// More returns what so many output tokens cost at most beside others. It is no
// more than Hold.
func (q Quote) More(tokens int64) money.Amount {
	c, err := money.Cost(money.Line{Units: max(tokens, 0), Rate: q.outRate})
	if err == nil {
		c, err = withSurcharge(c, q.surcharge)
	}
	if err != nil {
		return q.Hold
	}
	return min(c, q.Hold)
}

// Step is what [FloorOutput] tokens cost for each choice: by so much a hold grows
// that keeps ahead of its answer.
func (q Quote) Step() money.Amount { return q.More(min(q.most, FloorOutput) * q.choices) }

// affordable is the largest number of output tokens whose cost, with Input's
// and the fee for the request, is at most hold.
func (q Quote) affordable(hold money.Amount) int64 {
	budget := withoutSurcharge(hold, q.surcharge) - q.request
	if budget <= 0 {
		return 0
	}
	const perRate = 1_000_000
	hi, lo := bits.Mul64(uint64(budget), perRate)
	inHi, inLo := bits.Mul64(uint64(q.Input), uint64(q.inRate))
	lo, borrow := bits.Sub64(lo, inLo, 0)
	hi, borrow = bits.Sub64(hi, inHi, borrow)
	if borrow != 0 {
		return 0
	}
	if hi >= uint64(q.outRate) {
		return math.MaxInt64
	}
	n, _ := bits.Div64(hi, lo, uint64(q.outRate))
	return int64(min(n, math.MaxInt64))
}

// worstInput is the dearest rate at which input of r can be charged. A write
// to the cache for an hour must be asked for, so it only counts if the body
// could hold the word (escaped letters count as if it did).
func (p *Price) worstInput(r *llm.Request) money.Rate {
	if !p.PerToken {
		return 0
	}
	worst := max(p.Input, p.CachedInput, p.CacheWrite)
	// Whatever is in a prompt but text is counted there; what it continues may hold
	// anything.
	if r.Size.Images > 0 || r.Task == llm.TaskTranscribe || r.Thread != nil && (r.Thread.Previous != "" || len(r.Thread.References) > 0) {
		worst = max(worst, p.ImageInput, p.AudioInput)
	}
	if p.CacheWrite1h > worst && AsksHour(r.Raw.Body) {
		worst = p.CacheWrite1h
	}
	return worst
}

// AsksHour reports whether the body could ask for a cache of an hour.
func AsksHour(body []byte) bool {
	for _, word := range [...]string{`"1h"`, `\u0031`, `\u0068`} {
		if bytes.Contains(body, []byte(word)) {
			return true
		}
	}
	return false
}
