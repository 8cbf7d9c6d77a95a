package responses

import (
	"errors"
	"fmt"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/wire"
)

// outcome returns the status of an answer that ended so, and the reason if it is
// incomplete. An unfinished server-side turn has no word, and is an error.
func outcome(f llm.Finish) (status, reason string, err error) {
	switch f {
	case llm.FinishStop, llm.FinishStopSequence, llm.FinishToolCalls:
		return statusCompleted, "", nil
	case llm.FinishLength, llm.FinishContextWindow:
		return statusIncomplete, "max_output_tokens", nil
	case llm.FinishContentFilter:
		return statusIncomplete, "content_filter", nil
	}
	return "", "", fmt.Errorf("finish %q has no status", f)
}

// finish ends what is open, and returns the response as it ended. Where only a
// whole answer is made, dst is nobody's.
func (s *stream) finish(dst []byte, f wire.Final, at int64) (out, whole []byte, err error) {
	if !s.started {
		return dst, nil, errors.New("no answer")
	}
	status, reason, err := outcome(s.ending)
	if err != nil {
		return dst, nil, err
	}
	for i, it := range s.items {
		if !it.open {
			continue
		}
		how := statusCompleted
		if s.cut || status == statusIncomplete && i == len(s.items)-1 {
			how = statusIncomplete
		}
		dst = s.done(dst, it, how)
	}
	o := object{status: status, reason: reason, model: s.head.r.Model, output: s.output(), usage: &f.Usage}
	if f.Model != "" {
		o.model = f.Model
	}
	if status == statusCompleted {
		o.completed = at
	}
	return dst, s.head.append(nil, o), nil
}

// output is the array of all items as they stand.
func (s *stream) output() []byte {
	b := []byte{'['}
	for _, it := range s.items {
		if it.kind == "" && it.raw == nil {
			continue // a provider has left out its number
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		status := it.status
		if status == "" {
			status = statusIncomplete // it broke off
		}
		if it.raw != nil && it.open {
			b = append(b, unfinished(it.raw)...)
			continue
		}
		b = it.append(b, status)
	}
	return append(b, ']')
}

// unfinished is an item of a provider's own tools that broke off. Searches of the web
// and images know no incomplete ones.
func unfinished(raw []byte) []byte {
	doc, err := jsonx.Parse(raw)
	if err != nil || !doc.Root().Get("status").Exists() {
		return raw
	}
	status := statusIncomplete
	switch doc.Root().Get("type").Text() {
	case "web_search_call", kindImage:
		status = statusFailed
	case "apply_patch_call": // which has no word for it
		return raw
	}
	return jsonx.Splice(raw, []llm.Edit{{Name: "status", Value: jsonx.AppendString(nil, status)}})
}

// whole takes over a whole answer, as if it had come bit by bit.
func (s *stream) whole(a *llm.Answer) error {
	if len(a.Choices) != 1 {
		return errors.New("answer without exactly one choice has no place in a response")
	}
	c := &a.Choices[0]
	var ds []llm.Delta
	calls := 0
	logprobs := contentLogs(c.Logprobs)
	for i := range c.Parts {
		p := &c.Parts[i]
		switch p.Kind {
		case llm.PartText:
			ds = append(ds, llm.Delta{Kind: llm.DeltaText, Text: p.Text, Logprobs: logprobs})
			if p.Text != "" {
				logprobs = nil
			}
			ds = append(ds, citations(p.Citations)...)
		case llm.PartRefusal:
			ds = append(ds, llm.Delta{Kind: llm.DeltaRefusal, Text: p.Text})
		case llm.PartReasoning:
			ds = append(ds, llm.Delta{Kind: llm.DeltaReasoning, Text: p.Text})
			if p.Signature != "" {
				ds = append(ds, llm.Delta{Kind: llm.DeltaSignature, Text: p.Signature})
			}
		case llm.PartRedacted:
			ds = append(ds, llm.Delta{Kind: llm.DeltaRedacted, Text: p.Data})
		case llm.PartToolCall:
			text := p.Text
			if !p.Custom {
				text = argumentText(p.Args)
			}
			ds = append(ds, llm.Delta{Kind: llm.DeltaToolCall, Tool: calls, ToolID: p.ToolID, ToolName: p.ToolName, Custom: p.Custom},
				llm.Delta{Kind: llm.DeltaToolArgs, Tool: calls, Text: text, Custom: p.Custom})
			calls++
		case llm.PartImage:
			ds = append(ds, llm.Delta{Kind: llm.DeltaImage, Image: p})
		default:
			return fmt.Errorf("part of kind %d has no place in a response", p.Kind)
		}
	}
	ds = append(ds, llm.Delta{Kind: llm.DeltaFinish, Finish: c.Finish})
	_, err := s.event(nil, llm.Event{Deltas: ds})
	return err
}

// contentLogs returns the tokens of the text in the log probabilities of a choice.
func contentLogs(logprobs []byte) []byte {
	doc, err := jsonx.Parse(logprobs)
	if err != nil {
		return nil
	}
	return doc.Root().Get("content").Raw()
}

func citations(raw []byte) []llm.Delta {
	doc, err := jsonx.Parse(raw)
	if err != nil {
		return nil
	}
	var out []llm.Delta
	for _, c := range doc.Root().Items() {
		out = append(out, llm.Delta{Kind: llm.DeltaCitation, Value: c.Raw()})
	}
	return out
}

// argumentText is the text of the arguments as the model wrote it.
func argumentText(raw []byte) string {
	if len(raw) > 0 && raw[0] == '"' { // the model wrote no JSON, and it had to be wrapped up
		if doc, err := jsonx.Parse(raw); err == nil {
			return doc.Root().Text()
		}
	}
	return string(raw)
}

// failure is the code that a failed response has, of the few that there are.
func failure(e *fault.Error) string {
	switch e.Code {
	case fault.RateLimited, fault.UpstreamRateLimited, fault.UpstreamOverloaded, fault.Overloaded:
		return "rate_limit_exceeded"
	}
	return "server_error"
}
