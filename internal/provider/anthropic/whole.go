package anthropic

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// whole is an answer in one piece.
type whole struct {
	x       *provider.Exchange
	scanner scanner
	call    provider.Call
	usage   llm.Usage
}

// Next returns the answer; see provider.Source.
func (w *whole) Next() (llm.Event, error) {
	body, err := w.x.ReadAll(provider.MaxWhole)
	if err != nil {
		return llm.Event{}, err
	}
	body = bytes.TrimLeft(body, " \t\r\n")
	k := &w.scanner
	switch ok := k.scan(body); {
	case !ok:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer is not a JSON object"))
	case k.failed:
		return llm.Event{}, provider.Classify(family, http.StatusOK, w.x.Header, body)
	case !k.known:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer has no content"))
	}
	ev := llm.Event{Content: k.content, OutputBytes: k.bytes, Finish: k.finish, Last: true}
	if u, ok := k.counts.usage(); ok {
		w.usage = u
		ev.Usage = &w.usage
	}
	if k.translate && w.call.Request.Task == llm.TaskCountTokens {
		return ev, nil
	}
	if k.translate {
		ev.Whole = &llm.Answer{ID: k.id, Model: k.model, Choices: []llm.Choice{choice(k.deltas)}}
		return ev, nil
	}
	body = provider.Patched(body, provider.Rename(nil, body, k.modelAt, w.call.OwnName()))
	ev.Raw, ev.Data = body, body
	return ev, nil
}

// Blame corrects a parameter; see provider.Source.
func (w *whole) Blame(err error) error { return blame(w.call.Request, err) }

// choice puts the pieces of an answer together: every block is a part.
func choice(deltas []llm.Delta) llm.Choice {
	var ch llm.Choice
	last := func() *llm.Part { return &ch.Parts[len(ch.Parts)-1] }
	for _, d := range deltas {
		switch d.Kind {
		case llm.DeltaText:
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartText, Text: d.Text})
		case llm.DeltaReasoning:
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartReasoning, Text: d.Text})
		case llm.DeltaSignature:
			if len(ch.Parts) == 0 || last().Kind != llm.PartReasoning || last().Signature != "" {
				ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartReasoning})
			}
			last().Signature = d.Text
		case llm.DeltaRedacted:
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartRedacted, Data: d.Text})
		case llm.DeltaRefusal:
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartRefusal, Text: d.Text})
		case llm.DeltaToolCall:
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartToolCall, ToolID: d.ToolID, ToolName: d.ToolName})
		case llm.DeltaToolArgs:
			last().Args = append(last().Args, d.Text...)
		case llm.DeltaCitation:
			if len(ch.Parts) > 0 && last().Kind == llm.PartText {
				cite(last(), d.Value)
			}
		case llm.DeltaFinish:
			ch.Finish, ch.StopSequence = d.Finish, d.StopSequence
		}
	}
	return ch
}

// cite adds a citation to the list of p.
func cite(p *llm.Part, v json.RawMessage) {
	if len(p.Citations) == 0 {
		p.Citations = append(append(append(p.Citations, '['), v...), ']')
		return
	}
	p.Citations = append(append(append(p.Citations[:len(p.Citations)-1], ','), v...), ']')
}
