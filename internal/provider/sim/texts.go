package sim

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// openaiText is POST /completions, the protocol of models that continue a text.
type openaiText struct {
	Model         string         `json:"model"`
	Prompt        jsontext.Value `json:"prompt"`
	MaxTokens     *int64         `json:"max_tokens"`
	N             *int           `json:"n"`
	BestOf        *int           `json:"best_of"`
	Echo          *bool          `json:"echo"`
	Stop          jsontext.Value `json:"stop"`
	Seed          *int64         `json:"seed"`
	Stream        *bool          `json:"stream"`
	StreamOptions struct {
		IncludeUsage *bool `json:"include_usage"`
	} `json:"stream_options"`
}

// usualText is how many tokens a text goes on for where nothing is said.
const usualText = 16

// decodeTexts reads a request to continue texts. Its errors are *badRequest.
func decodeTexts(body []byte, count func(string) int64) (*ask, error) {
	var q openaiText
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, refuse(400, "", "", "We could not parse the JSON body of your request (simulated): %v", err)
	}
	a := &ask{family: familyTexts, model: q.Model, maxOutput: usualText, choices: 1}
	prompts, ok := promptTexts(q.Prompt)
	switch {
	case q.Model == "":
		return nil, refuse(400, "model", "missing_required_parameter", "Missing required parameter: 'model'.")
	case !ok:
		return nil, refuse(400, "prompt", "invalid_type", "Invalid 'prompt': expected a string, or a list of strings or tokens.")
	}
	if q.N != nil {
		if a.choices = *q.N; a.choices < 1 || a.choices > maxChoices {
			return nil, refuse(400, "n", "integer_below_min_value", "Invalid 'n': expected a value from 1 to %d.", maxChoices)
		}
	}
	if q.BestOf != nil && *q.BestOf > a.choices {
		a.unseen = (*q.BestOf - a.choices) * len(prompts)
	}
	a.choices *= len(prompts)
	if q.MaxTokens != nil {
		if a.maxOutput = *q.MaxTokens; a.maxOutput < 0 {
			return nil, refuse(400, "max_tokens", "integer_below_min_value", "Invalid 'max_tokens': expected a value of at least 0.")
		}
	}
	var err error
	if a.stop, err = stops(q.Stop); err != nil {
		return nil, refuse(400, "stop", "invalid_type", "Invalid 'stop': expected a string or a list of strings.")
	}
	a.stream = q.Stream != nil && *q.Stream
	a.includeUsage = a.stream && q.StreamOptions.IncludeUsage != nil && *q.StreamOptions.IncludeUsage
	if q.Echo != nil && *q.Echo {
		a.echo = prompts
	}
	r := reader{meter: meter{count: count}}
	for _, p := range prompts {
		r.meter.text(p)
	}
	a.prompt = strings.Join(prompts, "\n")
	a.seal(&r, body, q.Seed)
	return a, nil
}

// promptTexts returns the prompts. Those of tokens are shown as their numbers.
func promptTexts(v jsontext.Value) (out []string, ok bool) {
	var one string
	if v.Kind() == '"' && json.Unmarshal(v, &one) == nil {
		return []string{one}, true
	}
	var list []jsontext.Value
	if json.Unmarshal(v, &list) != nil || len(list) == 0 || len(list) > maxChoices {
		return []string{""}, v == nil // without one a text begins
	}
	if list[0].Kind() == '0' {
		return []string{string(v)}, true
	}
	for _, p := range list {
		if p.Kind() != '"' {
			out = append(out, string(p))
			continue
		}
		out = append(out, literal(p))
	}
	return out, true
}

// said is the text of a choice, the prompt before it if that is wanted.
func (a *answer) said(i int) (text string) {
	if n := len(a.echo); n > 0 {
		text = a.echo[i*n/len(a.choices)]
	}
	for _, p := range a.choices[i].parts {
		if p.kind == partText {
			text += p.text
		}
	}
	return text
}

// appendTextHead appends a completion up to its choices.
func appendTextHead(dst []byte, a *answer) []byte {
	dst = append(append(dst, `{"id":"cmpl-sim`...), a.id...)
	dst = member(dst, `","object":"text_completion","created":`, a.created)
	dst = quote(append(dst, `,"model":`...), a.model)
	return append(dst, `,"choices":[`...)
}

func appendTextChoice(dst []byte, i int, text, finish string) []byte {
	dst = quote(append(dst, `{"text":`...), text)
	dst = member(dst, `,"index":`, int64(i))
	dst = append(dst, `,"logprobs":null,"finish_reason":`...)
	return append(quoteOrNull(dst, finish), '}')
}

// appendTexts appends a whole completion.
func appendTexts(dst []byte, a *answer) []byte {
	dst = appendTextHead(dst, a)
	for i := range a.choices {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendTextChoice(dst, i, a.said(i), textFinish(a.choices[i]))
	}
	dst = append(dst, ']')
	if !a.noUsage {
		dst = appendOpenAIUsage(append(dst, `,"usage":`...), a)
	}
	return append(dst, '}')
}

func textFinish(c choice) string {
	if f := openaiFinish[string(c.finish)]; f != "tool_calls" {
		return f
	}
	return "stop"
}

// textStream makes the chunks of a completion, one choice after the other.
type textStream struct {
	a      *answer
	choice int
	cut    cutter
	opened bool
	end    uint8 // after the choices: 0 usage, 1 [DONE], 2 nothing
}

func (s *textStream) next(dst []byte) ([]byte, eventKind) {
	if s.choice < len(s.a.choices) {
		return s.chunk(dst)
	}
	if s.end == 0 {
		s.end = 1
		if s.a.inUsage && !s.a.noUsage {
			dst = appendTextHead(append(dst, "data: "...), s.a)
			dst = appendOpenAIUsage(append(dst, `],"usage":`...), s.a)
			dst = append(dst, "}\n\n"...)
			if s.a.noDone {
				s.end = 2
				return dst, eventLast
			}
			return dst, eventEnding
		}
	}
	if s.end == 1 && !s.a.noDone {
		dst = append(dst, "data: [DONE]\n\n"...)
	}
	s.end = 2
	return dst, eventLast
}

// chunk appends the next chunk of the choice at hand.
func (s *textStream) chunk(dst []byte) ([]byte, eventKind) {
	i := s.choice
	c := s.a.choices[i]
	if !s.opened {
		pieces := 0
		for _, p := range c.parts {
			pieces = max(pieces, p.chunks)
		}
		s.opened, s.cut = true, newCutter(s.a.said(i), pieces)
	}
	text, finish, kind := "", "", eventContent
	if s.cut.empty() {
		finish, kind = textFinish(c), eventOther
		s.choice, s.opened = i+1, false
		if s.choice == len(s.a.choices) {
			kind = eventEnding
		}
	} else {
		text = s.cut.next()
	}
	dst = appendTextHead(append(dst, "data: "...), s.a)
	dst = append(appendTextChoice(dst, i, text, finish), ']')
	if s.a.inUsage {
		dst = append(dst, `,"usage":null`...)
	}
	return append(dst, "}\n\n"...), kind
}

var _ events = (*textStream)(nil)
