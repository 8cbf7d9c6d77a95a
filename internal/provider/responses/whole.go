package responses

import (
	"errors"
	"fmt"
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
	body, err := w.x.ReadJSON()
	if err != nil {
		return llm.Event{}, err
	}
	k := &w.scanner
	switch ok := k.scan(body); {
	case !ok:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer is not a JSON object"))
	case k.failed && k.problem == nil && k.known:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, fmt.Errorf("the response is %s", k.status))
	case k.failed:
		return llm.Event{}, provider.Classify(w.x.Family(), http.StatusOK, w.x.Header, k.fault(body))
	case !k.known:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer has no output"))
	case k.images.Err() != nil:
		return llm.Event{}, k.images.Err()
	}
	ev := llm.Event{
		Content: k.content || k.refused, Refusal: k.refused && !k.content, OutputBytes: k.bytes, Bytes: k.split, Finish: k.finish, Last: true, Tier: k.tier,
	}
	if k.news {
		ev.Calls = &k.hosted
	}
	if u, ok := k.counts.usage(); ok {
		w.usage, w.usage.Tier = u, k.tier
		ev.Usage = &w.usage
	}
	if k.translate {
		ev.Left = k.left.New()
		ev.Whole = &llm.Answer{ID: k.id, Model: k.model, Created: k.created, Choices: []llm.Choice{choice(k.deltas)}}
		return ev, nil
	}
	body = provider.Patched(body, provider.Rename(nil, body, k.modelAt, w.call.OwnName()))
	ev.Raw, ev.Data = body, body
	return ev, nil
}

// Blame corrects a parameter; see provider.Source.
func (w *whole) Blame(err error) error { return blame(w.call.Request, err) }

// choice puts the pieces of an answer together. All its messages are one answer:
// there are no alternatives in this protocol.
func choice(deltas []llm.Delta) llm.Choice {
	var ch llm.Choice
	last := func(kind llm.PartKind) *llm.Part {
		if n := len(ch.Parts); n > 0 && ch.Parts[n-1].Kind == kind {
			return &ch.Parts[n-1]
		}
		ch.Parts = append(ch.Parts, llm.Part{Kind: kind})
		return &ch.Parts[len(ch.Parts)-1]
	}
	sealed := false // the last thought is over
	for _, d := range deltas {
		switch d.Kind {
		case llm.DeltaText:
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartText, Text: d.Text})
			ch.Log(d.Logprobs)
		case llm.DeltaReasoning:
			if sealed {
				ch.Parts, sealed = append(ch.Parts, llm.Part{Kind: llm.PartReasoning}), false
			}
			last(llm.PartReasoning).Text += d.Text
		case llm.DeltaSignature:
			if sealed {
				ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartReasoning})
			}
			last(llm.PartReasoning).Signature, sealed = d.Text, true
		case llm.DeltaRefusal:
			last(llm.PartRefusal).Text += d.Text
		case llm.DeltaToolCall:
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartToolCall, ToolID: d.ToolID, ToolName: d.ToolName, Custom: d.Custom})
		case llm.DeltaToolArgs:
			last(llm.PartToolCall).Argue(d.Text)
		case llm.DeltaImage:
			ch.Parts = append(ch.Parts, *d.Image)
		case llm.DeltaCitation:
			last(llm.PartText).Cite(d.Value)
		case llm.DeltaFinish:
			ch.Finish = d.Finish
		}
	}
	return ch
}
