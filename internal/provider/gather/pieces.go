package gather

import (
	"encoding/json"

	"github.com/pontage/pontage/internal/llm"
)

// pieces puts the deltas of a translated stream together.
type pieces struct {
	answer  llm.Answer
	indexes []int // of the choices, by their place
	tools   [][]int
	sealed  []bool // the last thought of the choice is over
}

// at returns the place of a choice.
func (p *pieces) at(index int) int {
	for i, known := range p.indexes {
		if known == index {
			return i
		}
	}
	p.indexes = append(p.indexes, index)
	p.tools = append(p.tools, nil)
	p.sealed = append(p.sealed, false)
	p.answer.Choices = append(p.answer.Choices, llm.Choice{})
	return len(p.indexes) - 1
}

func (p *pieces) add(deltas []llm.Delta) {
	for i := range deltas {
		if d := &deltas[i]; d.Kind == llm.DeltaStart {
			p.answer.ID, p.answer.Model = d.ID, d.Model
		} else {
			p.piece(p.at(d.Choice), d)
		}
	}
}

// last returns the last part of a choice if it is of the kind and open, or else
// a new one.
func (p *pieces) last(i int, kind llm.PartKind, open bool) *llm.Part {
	ch := &p.answer.Choices[i]
	if n := len(ch.Parts); n > 0 && open && ch.Parts[n-1].Kind == kind {
		return &ch.Parts[n-1]
	}
	ch.Parts = append(ch.Parts, llm.Part{Kind: kind})
	return &ch.Parts[len(ch.Parts)-1]
}

// piece adds one delta to choice i.
func (p *pieces) piece(i int, d *llm.Delta) {
	ch := &p.answer.Choices[i]
	ch.Log(d.Logprobs)
	if d.Text == "" && d.Signature == "" && (d.Kind == llm.DeltaText || d.Kind == llm.DeltaRefusal) {
		return
	}
	switch d.Kind {
	case llm.DeltaText:
		part := p.last(i, llm.PartText, true)
		part.Text += d.Text
		if d.Signature != "" {
			part.Signature = d.Signature
		}
	case llm.DeltaReasoning:
		part := p.last(i, llm.PartReasoning, !p.sealed[i])
		part.Text += d.Text
		p.sealed[i] = false
	case llm.DeltaSignature:
		p.last(i, llm.PartReasoning, !p.sealed[i]).Signature = d.Text
		p.sealed[i] = true
	case llm.DeltaRedacted:
		ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartRedacted, Data: d.Text})
	case llm.DeltaRefusal:
		p.last(i, llm.PartRefusal, true).Text += d.Text
	case llm.DeltaToolCall:
		p.tools[i] = append(p.tools[i], len(ch.Parts))
		ch.Parts = append(ch.Parts, llm.Part{Kind: llm.PartToolCall, ToolID: d.ToolID, ToolName: d.ToolName, Signature: d.Signature, Custom: d.Custom})
	case llm.DeltaToolArgs:
		if d.Tool < len(p.tools[i]) {
			ch.Parts[p.tools[i][d.Tool]].Argue(d.Text)
		}
	case llm.DeltaImage:
		ch.Parts = append(ch.Parts, *d.Image)
		ch.Parts[len(ch.Parts)-1].Signature = d.Signature
	case llm.DeltaCitation:
		p.last(i, llm.PartText, true).Cite(d.Value)
	case llm.DeltaFinish:
		ch.Finish, ch.StopSequence = d.Finish, d.StopSequence
	}
}

// whole returns the answer. A call without arguments has the empty ones.
func (p *pieces) whole() *llm.Answer {
	for i := range p.answer.Choices {
		for j := range p.answer.Choices[i].Parts {
			if part := &p.answer.Choices[i].Parts[j]; part.Kind == llm.PartToolCall && !part.Custom && len(part.Args) == 0 {
				part.Args = json.RawMessage("{}")
			}
		}
	}
	return &p.answer
}
