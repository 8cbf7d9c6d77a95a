package gemini

import (
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
	body, err := w.x.ReadJSON()
	if err != nil {
		return llm.Event{}, err
	}
	if r := w.call.Request; r.Task == llm.TaskEmbed && !passes(r) {
		return w.vectors(body)
	}
	k := &w.scanner
	k.counts.tier = tierOf(w.x.Header)
	if !k.scan(body) {
		return llm.Event{}, notWhole(body)
	}
	if err := k.failure(w.x.Header, body, false); err != nil {
		return llm.Event{}, err
	}
	ev := llm.Event{Content: k.content, OutputBytes: k.bytes, Bytes: k.split, Finish: k.finish, Last: true, Tier: k.counts.tier}
	if k.news {
		ev.Calls = &k.calls
	}
	if k.blocked && len(k.choices) == 0 {
		ev.Finish = llm.FinishContentFilter
	}
	if k.reported {
		if u, ok := k.counts.usage(); ok {
			w.usage = u
			ev.Usage = &w.usage
		}
	}
	switch {
	case k.translate && w.call.Request.Task == llm.TaskCountTokens:
		return ev, nil
	case k.translate:
		ev.Whole, ev.Left = k.answer(), k.left.New()
		return ev, nil
	}
	body = provider.Patched(body, provider.Rename(nil, body, k.modelAt, w.call.OwnName()))
	ev.Raw, ev.Data = body, body
	return ev, nil
}

// notWhole is the failure of an answer that is no JSON object.
func notWhole(body []byte) error {
	if provider.HasError(body) {
		return provider.Classify(tables, http.StatusOK, nil, body)
	}
	return provider.BadAnswer(http.StatusOK, body, errors.New("the answer is not a JSON object"))
}

// failure returns what is wrong with what was scanned. begun says that the caller
// has had content of the answer. To callers of this dialect the provider's own
// reasons are told, but for those of an answer that can be tried again.
func (s *scanner) failure(header http.Header, body []byte, begun bool) error {
	switch {
	case s.failed:
		return provider.Classify(tables, http.StatusOK, header, body)
	case !s.known && !s.reported && !s.stream:
		return provider.BadAnswer(http.StatusOK, body, errors.New("the answer has no candidates"))
	case s.broken != nil && (s.translate || !s.stream || !s.content && !begun):
		return fruitless(s.broken, body)
	case s.translate && s.blocked && len(s.choices) == 0:
		return blocked(body)
	case s.translate && s.media:
		return provider.Untold()
	}
	return s.images.Err()
}

// Blame corrects a parameter; see provider.Source.
func (w *whole) Blame(err error) error { return blame(w.call.Request, err) }

// answer puts the pieces of a whole answer together.
func (s *scanner) answer() *llm.Answer {
	a := &llm.Answer{ID: s.id, Model: s.model, Choices: make([]llm.Choice, max(1, len(s.choices)))}
	for _, d := range s.deltas {
		add(&a.Choices[d.Choice], d)
	}
	return a
}

// add adds one piece to a choice. Texts that follow each other are one, unless
// one of them has a signature, which belongs to it alone.
func add(ch *llm.Choice, d llm.Delta) {
	var last *llm.Part
	if n := len(ch.Parts); n > 0 {
		last = &ch.Parts[n-1]
	}
	switch d.Kind {
	case llm.DeltaText, llm.DeltaReasoning:
		kind := llm.PartText
		if d.Kind == llm.DeltaReasoning {
			kind = llm.PartReasoning
		}
		if last != nil && last.Kind == kind && last.Signature == "" && d.Signature == "" && len(last.Citations) == 0 {
			last.Text += d.Text
			return
		}
		ch.Parts = append(ch.Parts, llm.Part{Kind: kind, Text: d.Text, Signature: d.Signature})
	case llm.DeltaSignature:
		if last == nil || last.Kind != llm.PartReasoning || last.Signature != "" {
			ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartReasoning})
			last = &ch.Parts[len(ch.Parts)-1]
		}
		last.Signature = d.Text
	case llm.DeltaToolCall:
		ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartToolCall, ToolID: d.ToolID, ToolName: d.ToolName, Signature: d.Signature})
	case llm.DeltaToolArgs:
		if p := newest(ch, llm.PartToolCall); p != nil {
			p.Args = append(p.Args, d.Text...)
		}
	case llm.DeltaImage:
		ch.Parts = append(ch.Parts, *d.Image)
		ch.Parts[len(ch.Parts)-1].Signature = d.Signature
	case llm.DeltaCitation:
		if p := newest(ch, llm.PartText); p != nil {
			p.Cite(d.Value)
		}
	case llm.DeltaFinish:
		ch.Finish = d.Finish
	}
}

// newest returns the last part of a kind, or nil.
func newest(ch *llm.Choice, kind llm.PartKind) *llm.Part {
	for i := len(ch.Parts) - 1; i >= 0; i-- {
		if ch.Parts[i].Kind == kind {
			return &ch.Parts[i]
		}
	}
	return nil
}
