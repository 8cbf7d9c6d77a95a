package gemini

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// encoder writes a conversation as a request of generateContent. Everything in it
// is written, dropped by a rule below, or refused.
type encoder struct {
	provider.Encoding
	call   provider.Call
	chat   *llm.Chat
	issuer string // of the seals that are ours
	family family

	shows     []string // what the answer is to hold, if it is told: text, image
	calls     []past   // that the history made, in order
	stateless bool     // that foreign state was dropped has been noted
}

// tiers are OpenAI's tiers by Google's names for them: fast is another name for
// priority.
var tiers = map[string]string{`"flex"`: "flex", `"priority"`: "priority", `"fast"`: "priority"}

// tier writes the tier that the caller of one of OpenAI's dialects asks for. Vertex
// AI has no member for it.
func (e *encoder) tier(x llm.Extra) bool {
	d := e.call.Request.Dialect
	name := tiers[string(x.Value)]
	if x.Path != "service_tier" || name == "" || d != llm.OpenAIChat && d != llm.OpenAIResponses {
		return false
	}
	e.Text("serviceTier", name)
	return true
}

// encode returns the request for a caller of another dialect, or a *fault.Error
// naming what cannot be said.
func (p *Provider) encode(c provider.Call) (*encoder, error) {
	if c.Request.DecodeChat == nil {
		return nil, fault.New(fault.UnsupportedParameter, "This model cannot be used here.").At("model")
	}
	chat, err := c.Request.DecodeChat()
	if err == nil {
		chat, err = provider.Functions(chat)
	}
	if err != nil {
		return nil, fault.From(err)
	}
	e := &encoder{call: c, chat: chat, issuer: p.name, family: familyOf(c.Model)}
	e.Body = append(make([]byte, 0, len(c.Request.Raw.Body)+256), '{')
	e.Extras(chat.Extra, func(x llm.Extra) bool { return e.modalities(x) || !p.vertex && e.tier(x) })
	e.system()
	e.tools()
	e.contents()
	e.config()
	if chat.User != "" {
		e.Drop(e.call.Named("user", "metadata.user_id"))
	}
	if e.Err != nil {
		return nil, e.Err
	}
	e.Body = append(e.Body, '}')
	return e, nil
}

// modalities takes over what a chat completion is to hold: texts and images, and no
// sounds, which are told nowhere.
func (e *encoder) modalities(x llm.Extra) bool {
	var wanted []string
	if x.Path != "modalities" || json.Unmarshal(x.Value, &wanted) != nil || e.call.Request.Dialect != llm.OpenAIChat {
		return false
	}
	for _, m := range wanted {
		if m != "text" && m != "image" {
			return false
		}
	}
	e.shows = wanted
	return true
}

// config writes generationConfig. Safety settings are the provider's defaults.
func (e *encoder) config() {
	before := len(e.Body)
	e.Name("generationConfig")
	e.Open('{')
	begun := len(e.Body)
	e.limits()
	e.sampling()
	e.format()
	e.thinking()
	if len(e.shows) > 0 {
		e.Name("responseModalities")
		e.Open('[')
		for _, m := range e.shows {
			e.Element()
			e.String(strings.ToUpper(m))
		}
		e.Close(']')
	}
	if len(e.Body) == begun {
		e.Body = e.Body[:before] // nothing follows it
		return
	}
	e.Close('}')
}

// limits writes how long the answer may be, thoughts included.
func (e *encoder) limits() {
	limit := e.call.CapOutput
	if e.chat.MaxOutput != nil {
		limit = *e.chat.MaxOutput
		if limit < 1 {
			e.Refuse(fault.UnsupportedParameter, e.call.Named("max_completion_tokens", "max_tokens"), "This model takes a limit of at least 1 token.")
		}
	}
	if limit > 0 {
		e.Int("maxOutputTokens", limit)
	}
}

// The most that the protocol takes.
const (
	maxStops      = 5
	maxCandidates = 8
)

// sampling writes the numbers that steer the choice of tokens.
func (e *encoder) sampling() {
	c := e.chat
	if c.Temperature != nil && *c.Temperature > 2 {
		e.Refuse(fault.UnsupportedParameter, "temperature", "This model takes a temperature of at most 2.")
	}
	e.Float("temperature", c.Temperature)
	e.Float("topP", c.TopP)
	if c.TopK != nil {
		e.Int("topK", *c.TopK)
	}
	if c.FrequencyPenalty != nil && *c.FrequencyPenalty != 0 {
		e.Float("frequencyPenalty", c.FrequencyPenalty)
	}
	if c.PresencePenalty != nil && *c.PresencePenalty != 0 {
		e.Float("presencePenalty", c.PresencePenalty)
	}
	switch {
	case c.Seed == nil:
	case *c.Seed < math.MinInt32 || *c.Seed > math.MaxInt32:
		e.Drop("seed") // which promises nothing
	default:
		e.Int("seed", *c.Seed)
	}
	switch {
	case c.Choices > maxCandidates:
		e.Refuse(fault.UnsupportedParameter, "n", "This model gives at most %d answers at a time.", maxCandidates)
	case c.Choices > 1:
		e.Int("candidateCount", int64(c.Choices))
	}
	if len(c.Stop) > maxStops {
		e.Refuse(fault.UnsupportedParameter, e.call.Named("stop", "stop_sequences"), "This model takes at most %d stop sequences.", maxStops)
	}
	if len(c.Stop) > 0 {
		e.Name("stopSequences")
		e.Open('[')
		for _, s := range c.Stop {
			e.Element()
			e.String(s)
		}
		e.Close(']')
	}
}

// format writes the form of the answer.
func (e *encoder) format() {
	f := e.chat.Format
	if f == nil {
		return
	}
	t := e.chat.ToolChoice
	if len(e.chat.Tools) > 0 && !e.family.formTool && (t == nil || t.Mode != llm.ToolNone) {
		e.Refuse(fault.UnsupportedParameter, e.call.Named("response_format", "output_config.format"), "A response format does not go with tools for this model.")
	}
	e.Text("responseMimeType", "application/json")
	if len(f.Schema) > 0 {
		e.Raw("responseJsonSchema", f.Schema)
	}
	if f.Strict != nil && !*f.Strict {
		e.Drop("response_format.json_schema.strict") // it is always held to
	}
	if f.Description != "" {
		e.Drop("response_format.json_schema.description")
	}
}

// budgets are what efforts stand for; see protocols.md §3.5.
var budgets = map[string]int64{
	"minimal": 512, "low": 2048, "medium": 8192, "high": 24576, "xhigh": math.MaxInt32, "max": math.MaxInt32,
}

// thinking writes how much to think, and whether thoughts are told. Where nothing
// is said of it, nothing is.
func (e *encoder) thinking() {
	r := e.chat.Reasoning
	if r == nil || !r.Disabled && !r.Adaptive && r.Effort == "" && r.Budget == 0 {
		return
	}
	if r.Disabled || r.Effort == "none" {
		e.thoughtless()
		return
	}
	if !e.family.thinks() {
		e.Unsupported(e.call.Named("reasoning_effort", "thinking"))
		return
	}
	e.Name("thinkingConfig")
	e.Open('{')
	if e.family.levels != "" {
		if level := e.level(r); level != "" {
			e.Text("thinkingLevel", level)
		}
	} else {
		e.Int("thinkingBudget", e.budget(r))
	}
	if r.Display != "omitted" {
		e.Bool("includeThoughts", true)
	}
	e.Close('}')
}

// thoughtless switches thinking off, or as far down as is as good as off. Of a model
// that always thinks an effort of none is refused; where thinking is disabled, which
// agents say of all that is to be cheap and fast, it thinks as little as it can.
func (e *encoder) thoughtless() {
	switch f := e.family; {
	case !f.thinks():
	case f.off:
		e.Name("thinkingConfig")
		e.Value(`{"thinkingBudget":0}`)
	case f.has("MINIMAL"):
		e.Name("thinkingConfig")
		e.Value(`{"thinkingLevel":"MINIMAL"}`)
	case !e.chat.Reasoning.Disabled:
		e.Refuse(fault.UnsupportedParameter, e.call.Named("reasoning_effort", "thinking"), "This model cannot be kept from thinking.")
	default:
		e.Drop("thinking")
		e.Name("thinkingConfig")
		if least, _, _ := strings.Cut(f.levels, " "); least != "" {
			e.Value(`{"thinkingLevel":"` + least + `"}`)
		} else {
			e.Value(`{"thinkingBudget":` + strconv.FormatInt(f.least, 10) + `}`)
		}
	}
}

// level returns the level that is nearest to what was asked for; nothing means
// the model's own choice.
func (e *encoder) level(r *llm.Reasoning) string {
	path := e.call.Named("reasoning_effort", "output_config.effort")
	effort := r.Effort
	if r.Budget > 0 {
		effort = provider.EffortOf(r.Budget)
		e.Drop("thinking.budget_tokens")
	}
	level := ""
	switch effort {
	case "":
		return ""
	case "minimal":
		level = "MINIMAL"
	case "low":
		level = "LOW"
	case "medium":
		level = "MEDIUM"
	case "high":
		level = "HIGH"
	default: // xhigh, max
		level = "HIGH"
		e.Drop(path)
	}
	if e.family.has(level) {
		return level
	}
	e.Drop(path)
	if level == "MINIMAL" {
		return "LOW"
	}
	return "HIGH"
}

// budget returns the tokens for thinking, within the model's range and below the
// limit of the whole answer; −1 is the model's own choice.
func (e *encoder) budget(r *llm.Reasoning) int64 {
	n := r.Budget
	if n == 0 {
		n = budgets[r.Effort]
	}
	if n == 0 {
		return -1
	}
	fit := min(max(n, e.family.least), e.family.most)
	if limit := e.chat.MaxOutput; limit != nil && fit >= *limit {
		fit = max(*limit/2, e.family.least)
	}
	if fit != n && n != math.MaxInt32 {
		e.Drop(e.call.Named("reasoning_effort", "thinking.budget_tokens"))
	}
	return fit
}

func num(i int) string { return strconv.Itoa(i) }
