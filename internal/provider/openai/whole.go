package openai

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

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
	case k.failed:
		return llm.Event{}, provider.Classify(w.x.Family(), http.StatusOK, w.x.Header, body)
	case k.translate && k.media:
		return llm.Event{}, provider.Untold()
	case k.images.Err() != nil:
		return llm.Event{}, k.images.Err()
	case !k.known:
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer has neither choices nor data"))
	}
	ev := llm.Event{
		Content: k.content || k.refused, Refusal: k.refused && !k.content, OutputBytes: k.bytes, Bytes: k.split, Finish: k.finish, Last: true, Tier: k.tier,
	}
	if k.news {
		ev.Calls = &k.hosted
	}
	if k.translate {
		ev.Left = k.left.New()
	}
	if k.counted {
		w.usage = k.usage
		ev.Usage = &w.usage
	}
	answer := k.deltas
	if f := k.conclude(); ev.Finish == "" {
		ev.Finish = f
	}
	if w.call.Request.Dialect == llm.GeminiEmbed {
		if body, err = w.toGoogle(body); err != nil {
			return llm.Event{}, err
		}
		ev.Raw, ev.Data = body, body
		return ev, nil
	}
	if k.translate {
		ev.Whole = k.answer(append(answer[:len(answer):len(answer)], k.deltas...))
		return ev, nil
	}
	patches := k.patches(nil, body, w.call.OwnName())
	if w.call.Request.Task == llm.TaskEmbed {
		if patches, err = w.vectorPatches(patches, body); err != nil {
			return llm.Event{}, err
		}
	}
	body = provider.Patched(body, patches)
	ev.Raw, ev.Data = body, body
	return ev, nil
}

// Blame corrects a parameter; see provider.Source.
func (w *whole) Blame(err error) error { return blame(w.call.Request, !w.scanner.translate, err) }

// answer puts the pieces of a whole answer together, with its choices by their
// numbers.
func (s *scanner) answer(deltas []llm.Delta) *llm.Answer {
	a := &llm.Answer{ID: s.id, Model: s.model, Created: s.created, Choices: make([]llm.Choice, len(s.choices))}
	order := make([]int, len(s.choices))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(s.choices[i].index, s.choices[j].index) })
	for n, i := range order {
		known, ch := s.choices[i], &a.Choices[n]
		if i < len(s.logprobs) {
			ch.Logprobs = s.logprobs[i]
		}
		for _, d := range deltas {
			if d.Choice == known.index && d.Kind != llm.DeltaStart {
				add(ch, d)
			}
		}
		for j := range ch.Parts {
			if p := &ch.Parts[j]; p.Kind == llm.PartToolCall && !p.Custom && len(p.Args) == 0 {
				p.Args = json.RawMessage("{}")
			}
		}
	}
	return a
}

// add adds one piece to a choice.
func add(ch *llm.Choice, d llm.Delta) {
	last := func(kind llm.PartKind) *llm.Part {
		if n := len(ch.Parts); n > 0 && ch.Parts[n-1].Kind == kind {
			return &ch.Parts[n-1]
		}
		ch.Parts = append(ch.Parts, llm.Part{Kind: kind})
		return &ch.Parts[len(ch.Parts)-1]
	}
	switch d.Kind {
	case llm.DeltaText:
		last(llm.PartText).Text += d.Text
	case llm.DeltaReasoning:
		last(llm.PartReasoning).Text += d.Text
	case llm.DeltaSignature:
		last(llm.PartReasoning).Signature += d.Text
	case llm.DeltaRefusal:
		last(llm.PartRefusal).Text += d.Text
	case llm.DeltaRedacted:
		ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartRedacted, Data: d.Text})
	case llm.DeltaToolCall:
		ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartToolCall, ToolID: d.ToolID, ToolName: d.ToolName, Custom: d.Custom})
	case llm.DeltaToolArgs:
		for i := range ch.Parts {
			if p := &ch.Parts[i]; p.Kind == llm.PartToolCall {
				if d.Tool--; d.Tool < 0 {
					p.Argue(d.Text)
					return
				}
			}
		}
	case llm.DeltaImage:
		ch.Parts = append(ch.Parts, *d.Image)
	case llm.DeltaCitation:
		last(llm.PartText).Cite(d.Value)
	case llm.DeltaFinish:
		ch.Finish, ch.StopSequence = d.Finish, d.StopSequence
	}
}
